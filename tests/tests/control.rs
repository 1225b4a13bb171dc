//! The control plane: roles, durability, bulk, policy errors, keys that rotate, the command line.

use partywall_core::scan::Loader;
use partywall_core::snapshot::{PublicKey, open};
use partywall_tests::http::{Request, Response};
use partywall_tests::process::{Process, free_port, root, tool};
use partywall_tests::stack::{Stack, demo_policy};
use partywall_tests::{cases, mint};
use serde::Deserialize;
use serde_json::{Value, json};
use std::process::Command;
use std::time::{Duration, Instant};

fn bare(name: &str) -> Stack {
    Stack::builder(name).no_envoy().start().unwrap()
}

fn ask(stack: &Stack, token: &str, method: &str, path: &str, body: Option<&str>) -> Response {
    let mut request = Request::new(method, "control", path);
    if !token.is_empty() {
        request = request.bearer(token);
    }
    if let Some(body) = body {
        request = request.body("application/json", body.as_bytes().to_vec());
    }
    request.send(stack.control).unwrap()
}

#[test]
fn every_route_knows_its_roles() {
    let stack = bare("roles");
    let make = |role: &str| {
        let made = stack.api("POST", "/v1/tokens", Some(&json!({"name": role, "role": role}))).unwrap();
        made["token"].as_str().unwrap().to_owned()
    };
    let tokens = [
        ("admin", stack.admin_token.clone()),
        ("security", make("security")),
        ("sidecar", make("sidecar")),
        ("none", String::new()),
        ("wrong", "pwa_x".to_owned()),
    ];
    let document = ask(&stack, "", "GET", "/openapi.json", None).json();
    let open_routes = ["/healthz", "/readyz", "/metrics"];
    let admin_only = |method: &str, path: &str| {
        path.starts_with("/v1/tokens")
            || matches!(
                (method, path),
                ("post", "/v1/fingerprint-store/restore" | "/v1/fingerprint-store/accept")
                    | ("post", "/v1/tenants")
                    | ("post", "/v1/tenants/{id}/offboarding" | "/v1/adopt" | "/v1/audits")
                    | ("patch" | "delete", "/v1/tenants/{id}")
                    | ("delete", "/v1/fingerprints/{id}")
                    | ("delete", "/v1/tenants/{id}/documents/{document}")
                    | ("post" | "delete", "/v1/common")
                    | ("post", "/v1/phrases/rotate")
                    | ("get" | "put", "/v1/policy")
                    | ("post", "/v1/policy/rollback/{version}")
            )
    };
    let sidecar_only = |method: &str, path: &str| {
        matches!(
            (method, path),
            ("get", "/v1/snapshot" | "/v1/segments/{digest}") | ("post", "/v1/events" | "/v1/rag-writes")
        )
    };
    let mut routes = 0;
    for (path, operations) in document["paths"].as_object().unwrap() {
        for method in operations.as_object().unwrap().keys() {
            routes += 1;
            if path == "/v1/events/stream" {
                continue;
            }
            let target = path
                .replace("{id}", "nobody")
                .replace("{version}", "999")
                .replace("{digest}", "00")
                .replace("{name}", "nobody");
            for (role, token) in &tokens {
                let response = ask(&stack, token, &method.to_uppercase(), &target, Some("{}"));
                let allowed = match *role {
                    _ if open_routes.contains(&path.as_str()) => true,
                    "admin" => true,
                    "security" => !admin_only(method, path) && !sidecar_only(method, path),
                    "sidecar" => sidecar_only(method, path),
                    _ => false,
                };
                let refused = matches!(response.status, 401 | 403);
                assert_eq!(!refused, allowed, "{role} {method} {path}: {} {}", response.status, response.text());
                assert_ne!(response.status, 405, "{method} {path} is in the document but not in the router");
                assert!(response.status != 500, "{role} {method} {path}: {}", response.text());
            }
        }
    }
    assert!(routes >= 25, "{routes}");
}

#[test]
fn nothing_accepted_is_lost_by_a_kill() {
    let mut stack = bare("kill");
    for n in 0..20 {
        stack.api("POST", "/v1/tenants", Some(&json!({"id": format!("tenant-{n}")}))).unwrap();
        stack
            .api(
                "POST",
                "/v1/fingerprints",
                Some(&json!({"tenant": format!("tenant-{n}"), "text": format!("secret thing {n}")})),
            )
            .unwrap();
        if n % 5 == 4 {
            // The harness kills with SIGKILL.
            stack.stop_control();
            stack.start_control().unwrap();
        }
    }
    let status = stack.api("GET", "/v1/status", None).unwrap();
    assert_eq!((&status["tenants"], &status["fingerprints"]), (&json!(22), &json!(20)));
    assert_eq!(status["policy"], json!(1));
    assert!(status["revision"].as_u64().unwrap() >= 41, "revisions never go back: {status}");
}

#[test]
fn a_poll_gives_what_the_core_believes() {
    let stack = bare("poll");
    let texts: Vec<Value> =
        (0..5000).map(|n| json!({"tenant": "beta", "text": format!("bulk secret {n:05}")})).collect();
    let bulk = stack.api("POST", "/v1/fingerprints/bulk", Some(&Value::Array(texts))).unwrap();
    assert_eq!(bulk, json!({"added": 5000, "existing": 0}));
    let key =
        PublicKey::from_base64(stack.api("GET", "/v1/status", None).unwrap()["public_key"].as_str().unwrap()).unwrap();
    let poll = |have: u64, wait: u64| {
        let path = format!("/v1/snapshot?have={have}&wait={wait}&nonce=n-{have}&instance=test");
        let response = ask(&stack, &stack.admin_token, "GET", &path, None);
        assert_eq!(response.status, 200, "{}", response.text());
        open(&response.body, std::slice::from_ref(&key), &format!("n-{have}"), 0).unwrap()
    };
    let manifest = poll(0, 0);
    let content = manifest.content.unwrap();
    for segment in &content.segments {
        let mut loader = Loader::new(segment).unwrap();
        let mut offset = 0;
        while offset < segment.bytes {
            let path = format!("/v1/segments/{}?offset={offset}&length=100000", segment.digest);
            let piece = ask(&stack, &stack.admin_token, "GET", &path, None).body;
            offset += piece.len() as u64;
            loader.push(&piece).unwrap();
        }
        loader.finish().unwrap();
    }
    assert_eq!(content.segments.iter().map(|segment| segment.entries).sum::<u64>(), 5000);
    // The same revision again: waits, vouches, sends nothing. A change wakes it.
    let start = Instant::now();
    assert!(poll(manifest.revision, 1).content.is_none() && start.elapsed() >= Duration::from_millis(900));
    let woken = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            let start = Instant::now();
            (poll(manifest.revision, 20), start.elapsed())
        });
        std::thread::sleep(Duration::from_millis(300));
        stack.api("POST", "/v1/tenants", Some(&json!({"id": "gamma"}))).unwrap();
        waiting.join().unwrap()
    });
    assert!(woken.0.content.is_some() && woken.1 < Duration::from_secs(5), "{:?}", woken.1);
    // A filter that runs a later revision (ours was restored from a backup) is answered with one later still.
    assert!(poll(manifest.revision + 1000, 0).revision > manifest.revision + 1000);
}

#[test]
fn a_hundred_thousand_in_one_call() {
    let stack = bare("bulk");
    let mut body = String::new();
    for n in 0..100_000 {
        body += &format!(
            "{{\"tenant\":\"{}\",\"text\":\"customer file {:06}\"}}\n",
            if n % 2 == 0 { "acme" } else { "beta" },
            n
        );
    }
    let response = std::thread::scope(|scope| {
        let bulk = scope.spawn(|| ask(&stack, &stack.admin_token, "POST", "/v1/fingerprints/bulk", Some(&body)));
        while !bulk.is_finished() {
            let start = Instant::now();
            assert_eq!(ask(&stack, &stack.admin_token, "GET", "/v1/tenants", None).status, 200);
            assert!(start.elapsed() < Duration::from_secs(3), "readers waited {:?}", start.elapsed());
            std::thread::sleep(Duration::from_millis(50));
        }
        bulk.join().unwrap()
    });
    assert_eq!(response.json(), json!({"added": 100_000, "existing": 0}), "{}", response.text());
    let bad = ask(
        &stack,
        &stack.admin_token,
        "POST",
        "/v1/fingerprints/bulk",
        Some("{\"tenant\":\"acme\",\"text\":\"fine enough\"}\n{\"tenant\":\"acme\",\"text\":\"x\"}\n"),
    );
    assert_eq!(bad.status, 422, "{}", bad.text());
    assert_eq!(stack.api("GET", "/v1/status", None).unwrap()["fingerprints"], json!(100_000), "all or none");
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PolicyCase {
    name: String,
    /// Replaces the first by the second in the demo's policy.
    replace: Option<(String, String)>,
    /// Or the whole file.
    text: Option<String>,
    /// `line:column: message` of every problem.
    problems: Vec<String>,
}

#[test]
fn policy_errors_name_line_column_and_the_nearest_key() {
    let cases = cases::load::<PolicyCase>("policy");
    assert!(cases.len() >= 12);
    let partywall = tool("PARTYWALL_BIN", "target/release/partywall");
    for (file, case) in cases {
        let mut text = case.text.clone().unwrap_or_else(demo_policy);
        if let Some((from, to)) = &case.replace {
            assert!(text.contains(from.as_str()), "{file}: {}", case.name);
            text = text.replace(from.as_str(), to);
        }
        let path = root().join("target/e2e").join("policy-case.yaml");
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &text).unwrap();
        let output = Command::new(&partywall).args(["--json", "policy", "check"]).arg(&path).output().unwrap();
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        let problem = |p: &Value| format!("{}:{}: {}", p["line"], p["column"], p["message"].as_str().unwrap());
        let got: Vec<String> = report["problems"].as_array().unwrap().iter().map(problem).collect();
        assert_eq!(got, case.problems, "{file}: {}", case.name);
        assert_eq!(output.status.success(), case.problems.is_empty());
    }
}

#[test]
fn policies_are_applied_kept_and_rolled_back() {
    let stack = bare("policies");
    let second = demo_policy().replace("block_and_alert_security", "alert_security");
    stack.apply(&second).unwrap();
    assert!(stack.apply(&second.replace("strict", "none")).is_err());
    let history = stack.api("GET", "/v1/policy/history", None).unwrap();
    assert_eq!(history.as_array().map(Vec::len), Some(2), "{history}");
    stack.api("POST", "/v1/policy/rollback/1", None).unwrap();
    let current = stack.api("GET", "/v1/policy", None).unwrap();
    assert_eq!(
        (&current["version"], current["text"].as_str()),
        (&json!(3), Some(stack.fill_policy(&demo_policy()).as_str()))
    );
    let bad = demo_policy().replace("hosts: [llm.test]", "hosts: [LLM.test]");
    let response = Request::new("POST", "control", "/v1/policy/validate")
        .bearer(&stack.admin_token)
        .body("application/yaml", bad.into_bytes());
    let response = response.send(stack.control).unwrap();
    assert_eq!(response.status, 422);
    assert!(response.text().contains("hosts"), "{}", response.text());
}

#[test]
fn a_tenant_whose_id_no_database_could_hold_is_not_onboarded() {
    let stack = bare("ids");
    let weaviate = partywall_tests::rag::policy(
        partywall_core::snapshot::wire::SurfaceKind::Milvus,
        partywall_core::snapshot::wire::Strategy::SeparateCollection,
    );
    stack.apply(&weaviate).unwrap();
    let (ok, out) = stack.cli(&["tenant", "add", "with-dash"]).unwrap();
    assert!(
        !ok && out.contains("with-dash cannot be part of a name in the database of the surface \"milvus\""),
        "{out}"
    );
    assert!(stack.cli(&["tenant", "add", "with_line"]).unwrap().0);
    stack.apply(&demo_policy()).unwrap();
    assert!(stack.cli(&["tenant", "add", "with-dash"]).unwrap().0);
    let refused = stack.apply(&weaviate).unwrap_err().to_string();
    assert!(refused.contains("tenant_id_unusable"), "{refused}");
}

#[test]
fn keys_of_a_certified_provider_rotate_without_a_gap() {
    let modules = tool("PARTYWALL_NODE_MODULES", "tests/node/node_modules");
    assert!(modules.join("oidc-provider").exists(), "tests/node/node_modules is missing: run `make setup` first");
    let directory = root().join("target/e2e/oidc");
    std::fs::create_dir_all(&directory).unwrap();
    let port = free_port().to_string();
    let script = root().join("tests/node/provider.mjs");
    let start = |keys: &str| {
        let arguments = [script.to_str().unwrap(), port.as_str(), keys];
        let mut process = Process::start("oidc", &directory, std::path::Path::new("node"), &arguments, &[]).unwrap();
        let port = port.parse().unwrap();
        process
            .wait_until(Duration::from_secs(30), || {
                Request::new("GET", "127.0.0.1", "/jwks").send(port).is_ok_and(|r| r.status == 200)
            })
            .unwrap();
        process
    };
    let token = || {
        let form = "grant_type=client_credentials&client_id=acme-app&client_secret=demo-secret-demo-secret&resource=urn:partywall";
        let request = Request::new("POST", &format!("127.0.0.1:{port}"), "/token")
            .body("application/x-www-form-urlencoded", form.as_bytes().to_vec());
        let response = request.send(port.parse().unwrap()).unwrap();
        response.json()["access_token"].as_str().unwrap_or_else(|| panic!("{}", response.text())).to_owned()
    };
    let provider = start("rsa");
    let issuer = json!({"issuer": format!("http://127.0.0.1:{port}"), "audiences": ["urn:partywall"], "algorithms": ["RS256", "ES256"], "discovery": true});
    let policy = demo_policy().replace("  issuers:\n", &format!("  issuers:\n    - {issuer}\n"));
    let stack = Stack::builder("jwks").policy(&policy).start().unwrap();
    let served = |token: &str| {
        stack.llm("GET", "/v1/models").bearer(token).send(stack.edge).unwrap().code().unwrap_or("served").to_owned()
    };
    let first = token();
    assert_eq!(served(&first), "served");
    drop(provider);
    assert_eq!(served(&first), "served", "the provider is down: known keys stay");
    let _provider = start("p256");
    let second = token();
    let start = Instant::now();
    while served(&second) != "served" {
        assert!(start.elapsed() < Duration::from_secs(35), "the new key never came: {}", served(&second));
        std::thread::sleep(Duration::from_millis(200));
    }
    assert_eq!(served(&first), "served", "the old key counts for its time of grace");
    assert_eq!(served(&mint::token("acme")), "served", "the other issuer is not touched");
}

#[test]
fn the_command_line() {
    let stack = bare("cli");
    let partywall = tool("PARTYWALL_BIN", "target/release/partywall");
    let run = |arguments: &[&str]| {
        let url = format!("http://127.0.0.1:{}", stack.control);
        let output = Command::new(&partywall)
            .args(arguments)
            .env("PARTYWALL_URL", url)
            .env("PARTYWALL_TOKEN", &stack.admin_token)
            .output()
            .unwrap();
        (output.status.success(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
    };
    let has = |arguments: &[&str], expect: &str| {
        let (ok, text) = run(arguments);
        assert!(ok && text.contains(expect), "{arguments:?}: {text}");
        assert!(!text.contains('\u{1b}'), "no colour into a pipe: {text}");
    };
    has(&["tenant", "add", "gamma"], "gamma");
    has(&["tenant", "list"], "gamma");
    has(&["fingerprint", "add", "--tenant", "gamma", "The Gamma Protocol"], "The Gamma Protocol");
    has(&["fingerprint", "list", "--tenant", "gamma"], "The Gamma Protocol");
    has(&["--json", "status"], "\"fingerprints\": 1");
    has(&["token", "create", "edge-2", "--role", "sidecar"], "pwk_");
    has(&["token", "list"], "edge-2");
    has(&["token", "revoke", "edge-2"], "revoked");
    has(&["policy", "history"], "first-admin");
    has(&["tenant", "suspend", "gamma"], "suspended");
    has(&["sidecars"], "");
    has(&["surfaces", "chroma"], "/query");
    let (ok, text) = run(&["tenant", "add", "GAMMA"]);
    assert!(!ok && text.contains("by case only"), "{text}");
    let (ok, text) = run(&["fingerprint", "add", "--tenant", "gamma", "it"]);
    assert!(!ok && text.contains("take a longer one"), "{text}");
    let (ok, text) = run(&["tenant", "remove", "gamma"]);
    assert!(!ok && text.contains("remove them first"), "{text}");
    let lost =
        Command::new(&partywall).args(["--url", "http://127.0.0.1:9", "--token", "x", "status"]).output().unwrap();
    assert!(!lost.status.success() && String::from_utf8_lossy(&lost.stderr).contains("is `partywall serve` running"));
}

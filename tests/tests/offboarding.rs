//! The end of a tenant, changes of strategy, and adoption: on the real Chroma, through the real Envoy.

use partywall_tests::fakes::Fake;
use partywall_tests::http::{Request, Response};
use partywall_tests::mint;
use partywall_tests::stack::{Stack, demo_policy};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Opens the collection as a tenant; its sealed id.
fn open(stack: &Stack, token: &str) -> String {
    let body = json!({"name": "docs", "get_or_create": true});
    let made = stack.chroma(token, "POST", "/collections").json(&body).send(stack.edge).unwrap();
    assert_eq!(made.status, 200, "{}", made.text());
    made.json()["id"].as_str().unwrap().to_owned()
}

fn call(stack: &Stack, token: &str, id: &str, operation: &str, body: &Value) -> Response {
    stack.chroma(token, "POST", &format!("/collections/{id}/{operation}")).json(body).send(stack.edge).unwrap()
}

/// Adds documents as a tenant.
fn add(stack: &Stack, tenant: &str, count: usize) -> String {
    let token = mint::token(tenant);
    let id = open(stack, &token);
    let ids: Vec<String> = (0..count).map(|n| format!("d{n}")).collect();
    let body =
        json!({"ids": ids, "embeddings": vec![[1.0, 0.0]; count], "documents": vec![format!("of {tenant}"); count]});
    let added = call(stack, &token, &id, "add", &body);
    assert_eq!(added.status, 201, "{}", added.text());
    id
}

/// What the database itself has, by another way.
fn raw(stack: &Stack, database: &str, collection: &str) -> Vec<String> {
    let path = format!("/api/v2/tenants/default_tenant/databases/{database}/collections");
    let found = Request::new("GET", "chroma", &format!("{path}/{collection}")).send(stack.chroma).unwrap();
    let Some(id) = found.json()["id"].as_str().map(str::to_owned) else { return Vec::new() };
    let all = Request::new("POST", "chroma", &format!("{path}/{id}/get")).json(&json!({})).send(stack.chroma).unwrap();
    let mut ids: Vec<String> =
        all.json()["ids"].as_array().unwrap().iter().map(|id| id.as_str().unwrap().to_owned()).collect();
    ids.sort();
    ids
}

fn wait(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_secs(30), "never: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn status(stack: &Stack) -> String {
    let found = stack.api("GET", "/v1/tenants/acme/offboarding", None).unwrap();
    found["status"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn a_tenant_leaves_and_nothing_of_it_remains() {
    let stack = Stack::builder("offboarding").chroma().start().unwrap();
    let (acme, beta) = (mint::token("acme"), mint::token("beta"));
    add(&stack, "acme", 7);
    let theirs = add(&stack, "beta", 3);
    stack.fingerprint("acme", "Project Falcon Harbor").unwrap();
    stack.fingerprint("acme", "a literal of both").unwrap();
    stack.fingerprint("beta", "a literal of both").unwrap();

    let (ok, out) = stack.cli(&["tenant", "offboard", "acme"]).unwrap();
    assert!(ok, "{out}");
    for words in ["found 7", "0 remain", "default_database/docs, namespace t_acme", "1 removed, 1 left", "keys"] {
        assert!(out.contains(words), "no {words:?} in {out}");
    }
    assert_eq!(raw(&stack, "default_database", "docs"), ["beta:d0", "beta:d1", "beta:d2"]);
    let refused = stack.chroma(&acme, "GET", "/collections").send(stack.edge).unwrap();
    assert_eq!(refused.code(), Some("tenant_unknown"));
    assert_eq!(call(&stack, &beta, &theirs, "get", &json!({})).json()["ids"].as_array().unwrap().len(), 3);
    let owners: Vec<Value> = stack
        .api("GET", "/v1/fingerprints", None)
        .unwrap()
        .as_array()
        .unwrap()
        .iter()
        .map(|f| f["owners"].clone())
        .collect();
    assert_eq!(owners, [json!(["beta"])], "the shared literal has one owner left");

    // The receipt is signed over its exact bytes.
    let (ok, receipt) = stack.cli(&["receipt", "show", "acme", "--json"]).unwrap();
    assert!(ok, "{receipt}");
    let key = stack.api("GET", "/v1/status", None).unwrap()["public_key"].as_str().unwrap().to_owned();
    let file = stack.directory.join("receipt.json");
    let verify = |text: &str| {
        std::fs::write(&file, text).unwrap();
        stack.cli(&["receipt", "verify", &file.to_string_lossy(), "--public-key", &key]).unwrap().0
    };
    assert!(verify(&receipt));
    assert!(!verify(&receipt.replace("\"found\":7", "\"found\":8")), "a changed receipt must not verify");

    // It can be repeated, and the policy cannot bring the tenant back by accident.
    let (ok, again) = stack.cli(&["tenant", "offboard", "acme"]).unwrap();
    assert!(ok && again.contains("found 0"), "{again}");
    assert!(stack.apply(&demo_policy()).unwrap_err().to_string().contains("tenant_offboarded"));
    stack.cli(&["tenant", "add", "acme"]).unwrap();
    stack.converge().unwrap();
    let refused = stack.chroma(&acme, "GET", "/collections").send(stack.edge).unwrap();
    assert_eq!(refused.code(), Some("token_invalid"), "tokens from before stay dead");
}

#[test]
fn a_failure_leaves_the_tenant_locked_until_it_is_done() {
    let mut stack = Stack::builder("offboarding-failure").chroma().start().unwrap();
    add(&stack, "acme", 2);
    stack.stop_chroma();
    let (ok, out) = stack.cli(&["tenant", "offboard", "acme"]).unwrap();
    assert!(!ok && out.contains("stays locked") && out.contains("cannot be reached"), "{out}");
    assert_eq!(status(&stack), "failed");
    let locked = || stack.chroma(&mint::token("acme"), "GET", "/heartbeat").send(stack.edge).unwrap();
    assert_eq!(locked().code(), Some("tenant_suspended"));
    let (ok, out) = stack.cli(&["tenant", "activate", "acme"]).unwrap();
    assert!(!ok && out.contains("is being offboarded"), "{out}");
    let (ok, _) = stack.cli(&["tenant", "remove", "acme"]).unwrap();
    assert!(!ok, "a locked tenant cannot slip away");

    // A restart half-way: the second try hangs in a database that does not answer, and the control plane dies.
    stack.start_chroma().unwrap();
    let hung = Fake::start(|_| {
        std::thread::sleep(Duration::from_secs(60));
        (500, "application/json", Vec::new())
    });
    let real = format!("http://127.0.0.1:{}", stack.chroma);
    let policy = |url: &str| stack.fill_policy(&demo_policy()).replace(&real, url);
    let (hanging, right) = (policy(&format!("http://127.0.0.1:{}", hung.port)), policy(&real));
    stack.apply(&hanging).unwrap();
    stack.api("POST", "/v1/tenants/acme/offboarding", None).unwrap();
    wait("the hung database is asked", || !hung.take().is_empty());
    assert_eq!(status(&stack), "running");
    stack.apply(&right).unwrap();
    stack.stop_control();
    stack.start_control().unwrap();
    wait("it goes on after the restart", || status(&stack) == "done");
    assert_eq!(raw(&stack, "default_database", "docs"), Vec::<String>::new());
}

#[test]
fn a_strategy_changes_only_once_the_old_place_is_empty() {
    let stack = Stack::builder("strategy").chroma().start().unwrap();
    let token = mint::token("acme");
    let id = add(&stack, "acme", 2);
    add(&stack, "beta", 1);
    let separate = demo_policy().replace(
        "      create: true\n",
        "      create: true\n      tenants:\n        - { id: acme, isolation_strategy: separate_collection }\n",
    );
    let refused = stack.apply(&separate).unwrap_err().to_string();
    assert!(refused.contains("place_not_empty") && refused.contains("2 of its records"), "{refused}");
    let emptied = call(&stack, &token, &id, "delete", &json!({"ids": ["d0", "d1"]}));
    assert_eq!(emptied.status, 200);
    stack.apply(&separate).unwrap();

    // acme has a collection of its own now; beta shares as before.
    let own = add(&stack, "acme", 3);
    assert_eq!(raw(&stack, "default_database", "acme.docs"), ["acme:d0", "acme:d1", "acme:d2"]);
    assert_eq!(raw(&stack, "default_database", "docs"), ["beta:d0"]);
    let listed = stack.chroma(&token, "GET", "/collections").send(stack.edge).unwrap().json();
    assert_eq!((listed[0]["name"].as_str(), listed.as_array().map(Vec::len)), (Some("docs"), Some(1)));
    assert_eq!(call(&stack, &token, &own, "get", &json!({})).json()["ids"].as_array().unwrap().len(), 3);

    // Back, by force: the old records are left behind, in nobody's sight.
    assert!(stack.apply(&demo_policy()).is_err());
    let (ok, out) = {
        let file = stack.directory.join("policy.yaml");
        std::fs::write(&file, stack.fill_policy(&demo_policy())).unwrap();
        stack.cli(&["policy", "apply", &file.to_string_lossy(), "--force"]).unwrap()
    };
    assert!(ok, "{out}");
    stack.converge().unwrap();
    let shared = open(&stack, &token);
    assert_eq!(call(&stack, &token, &shared, "get", &json!({})).json()["ids"], json!([]));
}

#[test]
fn a_tenant_has_a_database_of_its_own_by_its_cluster() {
    // Two Chroma servers: the shared one and acme's own; the route follows the header that the filter sets.
    let second = Stack::builder("own-database-acme").chroma().no_envoy().no_policy().start().unwrap();
    let template = partywall_tests::rag::template(&[("chroma-acme", second.chroma)]);
    let own = format!("http://127.0.0.1:{}", second.chroma);
    let policy = demo_policy().replace(
        "      create: true\n",
        &format!("      create: true\n      tenants:\n        - {{ id: acme, isolation_strategy: separate_db, cluster: chroma-acme, backend_url: \"{own}\" }}\n"),
    );
    let stack = Stack::builder("own-database").chroma().template(template).policy(&policy).start().unwrap();
    let id = add(&stack, "acme", 2);
    add(&stack, "beta", 1);
    assert_eq!(raw(&stack, "default_database", "docs"), ["beta:d0"]);
    assert_eq!(raw(&second, "default_database", "docs"), ["acme:d0", "acme:d1"]);
    let token = mint::token("acme");
    let count = stack.chroma(&token, "GET", &format!("/collections/{id}/count")).send(stack.edge).unwrap();
    assert_eq!((count.status, count.text().as_str()), (200, "2"), "the filter's own call goes to the tenant's cluster");
    let (ok, out) = stack.cli(&["tenant", "offboard", "acme"]).unwrap();
    assert!(ok && out.contains("found 2") && out.contains("separate_db"), "{out}");
    assert_eq!(raw(&second, "default_database", "docs"), Vec::<String>::new());
}

#[test]
fn what_was_there_before_is_adopted() {
    let stack = Stack::builder("adopt").chroma().start().unwrap();
    let token = mint::token("acme");
    let id = open(&stack, &token);
    let path = "/api/v2/tenants/default_tenant/databases/default_database/collections";
    let find = Request::new("GET", "chroma", &format!("{path}/docs")).send(stack.chroma).unwrap().json();
    let direct = format!("{path}/{}", find["id"].as_str().unwrap());
    let old = 1203;
    let ids: Vec<String> = (0..old).map(|n| format!("old{n}")).collect();
    let metadatas: Vec<Value> =
        (0..old).map(|n| json!({"customer": if n % 3 == 0 { "b" } else { "a" }, "n": n})).collect();
    let body =
        json!({"ids": ids, "embeddings": vec![[0.5, 0.25]; old], "documents": vec!["x"; old], "metadatas": metadatas});
    let added = Request::new("POST", "chroma", &format!("{direct}/add")).json(&body).send(stack.chroma).unwrap();
    assert_eq!(added.status, 201, "{}", added.text());
    assert_eq!(call(&stack, &token, &id, "get", &json!({})).json()["ids"], json!([]), "unmarked records are nobody's");

    let adopt = |more: &[&str]| {
        let base = [
            "adopt",
            "--tenant",
            "acme",
            "--surface",
            "docs",
            "--collection",
            "docs",
            "--filter",
            "{\"customer\": \"a\"}",
        ];
        stack.cli(&[&base, more].concat()).unwrap()
    };
    let (ok, out) = adopt(&["--dry-run"]);
    assert!(ok && out.contains("802 records seen: 802 would be stamped"), "{out}");
    assert_eq!(raw(&stack, "default_database", "docs").len(), old, "a dry run changes nothing");
    let (ok, out) = adopt(&[]);
    assert!(ok && out.contains("802 are stamped"), "{out}");
    let (ok, out) = adopt(&[]);
    assert!(ok && out.contains("802 records seen: 0 are stamped, 802 carried a marker"), "{out}");

    let found = call(
        &stack,
        &token,
        &id,
        "get",
        &json!({"ids": ["old1", "old3"], "include": ["metadatas", "embeddings", "documents"]}),
    )
    .json();
    assert_eq!(found["ids"], json!(["old1"]), "old3 is the other customer's");
    assert_eq!((&found["metadatas"][0], &found["documents"][0]), (&json!({"customer": "a", "n": 1}), &json!("x")));
    assert_eq!(found["embeddings"][0], json!([0.5, 0.25]));
    let count = stack.chroma(&token, "GET", &format!("/collections/{id}/count")).send(stack.edge).unwrap();
    assert_eq!(count.text(), "802");
}

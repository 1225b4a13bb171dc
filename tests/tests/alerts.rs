//! Alerts reach the real Alertmanager and signed webhooks: at once, once, folded, over restarts, and none is lost by a limit.

use hmac::{Hmac, Mac};
use partywall_tests::alertmanager::Alertmanager;
use partywall_tests::fakes::Fake;
use partywall_tests::http::Request;
use partywall_tests::llm::{Received, Script, completion};
use partywall_tests::mint;
use partywall_tests::process::{free_port, root};
use partywall_tests::stack::{Stack, demo_policy, python};
use serde_json::{Value, json};
use sha2::Sha256;
use std::collections::BTreeSet;
use std::net::TcpListener;
use std::process::Command;
use std::time::{Duration, Instant};

const SECRET: &str = "a secret of the receiver's";

fn wait<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < Duration::from_secs(30), "never: {what}");
        std::thread::sleep(Duration::from_millis(30));
    }
}

fn policy(alerts: &str) -> String {
    format!("{}\nalerts:\n{alerts}", demo_policy())
}

fn webhook(name: &str, port: u16) -> String {
    format!("  - {{name: {name}, url: 'http://127.0.0.1:{port}/hook', secret: \"{SECRET}\"}}\n")
}

/// A webhook that takes everything, and what it took.
struct Hook {
    fake: Fake,
    taken: Vec<Received>,
}

impl Hook {
    fn start(port: u16) -> Self {
        Self { fake: Fake::start_at(port, |_| (200, "text/plain", b"thanks".to_vec())), taken: Vec::new() }
    }

    /// What it has taken so far, each with a right signature.
    fn taken(&mut self) -> Vec<Value> {
        for request in self.fake.take() {
            assert!(signed(&request, &request.body, SECRET), "a wrong signature: {:?}", request.headers);
            self.taken.push(request);
        }
        self.taken.iter().map(|request| serde_json::from_slice(&request.body).unwrap()).collect()
    }
}

/// As `docs/operations.md` tells receivers to verify.
fn signed(request: &Received, body: &[u8], secret: &str) -> bool {
    let header = request.header("x-partywall-signature").unwrap();
    let (at, v1) = header.strip_prefix("t=").unwrap().split_once(",v1=").unwrap();
    assert!(mint::now().abs_diff(at.parse().unwrap()) < 60);
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(&[at.as_bytes(), b".", body].concat());
    mac.verify_slice(&hex::decode(v1).unwrap()).is_ok()
}

/// What the verification that `docs/operations.md` shows says.
fn verified_as_documented(request: &Received, body: &[u8], secret: &str) -> bool {
    let text = std::fs::read_to_string(root().join("docs/operations.md")).unwrap();
    let code = text.split("```python\n").nth(1).unwrap().split("```").next().unwrap();
    let call = format!("{code}\nimport sys\nprint(verify(sys.argv[1].encode(), sys.argv[2], sys.argv[3].encode()))");
    let signature = request.header("x-partywall-signature").unwrap();
    let body = std::str::from_utf8(body).unwrap();
    let output = Command::new(python()).args(["-c", &call, secret, signature, body]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout == b"True\n"
}

/// A decision with a match, as a filter reports it.
fn matched(tenant: &str, fingerprints: &[u64], severity: &str) -> Value {
    let hits: Vec<Value> =
        fingerprints.iter().map(|id| json!({"fingerprint": id, "severity": severity, "offset": 0})).collect();
    json!({"time_ms": mint::now() * 1000, "request_id": format!("request-{tenant}"), "tenant": tenant, "surface": "llm", "endpoint": "openai.chat",
        "outcome": "blocked", "code": "fingerprint_match", "revision": 1, "hits": hits, "bytes": {"scanned": 1, "delivered": 0, "withheld": 1}})
}

fn foreign(tenant: &str) -> Value {
    json!({"time_ms": mint::now() * 1000, "request_id": "request", "tenant": tenant, "surface": "docs", "endpoint": "chroma.get",
        "outcome": "allowed", "revision": 1, "dropped": 1, "foreign": [["t_other", 1]], "bytes": {"scanned": 0, "delivered": 0, "withheld": 0}})
}

fn report(stack: &Stack, decisions: &[Value]) {
    let totals = json!({"requests": 0, "denied": 0, "hits": 0, "dropped": 0});
    let report = json!({"instance": "by hand", "revision": 1, "decisions": decisions, "lost": 0, "totals": totals});
    stack.api("POST", "/v1/events", Some(&report)).unwrap();
}

fn critical(stack: &Stack, text: &str) {
    let new = json!({"tenant": "beta", "text": text, "severity": "critical"});
    stack.api("POST", "/v1/fingerprints", Some(&new)).unwrap();
    stack.converge().unwrap();
}

fn leak(stack: &Stack, prompt: &str, text: &str) {
    stack.llm.script(prompt, Script::new("application/json", vec![completion(text)]));
    let response = stack.chat(&mint::token("acme"), prompt, false).unwrap();
    assert_eq!(response.code(), Some("fingerprint_match"), "{}", response.text());
}

fn metrics(stack: &Stack) -> String {
    Request::new("GET", "control", "/metrics").send(stack.control).unwrap().text()
}

#[test]
fn a_leak_wakes_the_real_alertmanager() {
    let pager = Fake::start(|_| (200, "application/json", b"{}".to_vec()));
    let mut hook = Hook::start(0);
    let port = free_port();
    let (list, own) = (webhook("security", hook.fake.port), webhook("retrieval", hook.fake.port));
    let own = own.replace("}\n", ", kinds: [namespace_mismatch]}\n");
    let policy = policy(&format!(
        "  external_url: https://partywall.example/\n  alertmanager:\n  - {{url: 'http://127.0.0.1:{port}/'}}\n  webhooks:\n{list}{own}"
    ));
    let stack = Stack::builder("alerts").policy(&policy).start().unwrap();
    let alertmanager = Alertmanager::start(&stack.directory, port, pager.port).unwrap();
    critical(&stack, "canary-0451-beta");
    stack.fingerprint("beta", "Project Falcon Harbor").unwrap();
    leak(&stack, "leak the canary", "Here it is: canary-0451-beta.");
    leak(&stack, "leak the project", "It is Project Falcon Harbor.");

    let alerts =
        wait("two alerts in Alertmanager", || Some(alertmanager.alerts().unwrap()).filter(|alerts| alerts.len() == 2));
    let of = |severity: &str| alerts.iter().find(|alert| alert["labels"]["severity"] == severity).unwrap();
    for severity in ["critical", "high"] {
        let alert = of(severity);
        let key = alert["labels"]["key"].as_str().unwrap();
        assert_eq!(
            alert["labels"],
            json!({"alertname": "PartywallFingerprintMatch", "kind": "fingerprint_match", "tenant": "acme", "surface": "llm",
                "severity": severity, "service": "partywall", "key": key})
        );
        let notes = &alert["annotations"];
        assert!(notes["summary"].as_str().unwrap().contains("held another tenant's fingerprint"), "{notes}");
        assert!(notes["runbook"].as_str().unwrap().ends_with("docs/operations.md#alerts"), "{notes}");
        assert_eq!(notes["count"], "1");
        assert!(alert["generatorURL"].as_str().unwrap().starts_with("https://partywall.example/v1/alerts?since="));
        let id = notes["request_id"].as_str().unwrap();
        let events = stack.api("GET", "/v1/events?code=fingerprint_match", None).unwrap();
        assert!(events.as_array().unwrap().iter().any(|event| event["request_id"] == id), "{id} in {events}");
        let text = alert.to_string();
        assert!(!text.contains("canary-0451") && !text.contains("Falcon"), "no content leaves: {text}");
    }
    let page = wait("Alertmanager notifies", || pager.take().into_iter().next());
    assert!(String::from_utf8_lossy(&page.body).contains("PartywallFingerprintMatch"));

    // The webhooks: the first gets both, the one for another kind nothing.
    let taken = wait("two calls of the webhook", || Some(hook.taken()).filter(|taken| taken.len() == 2));
    let severities: BTreeSet<&str> = taken.iter().map(|call| call["alert"]["severity"].as_str().unwrap()).collect();
    assert_eq!(severities, BTreeSet::from(["critical", "high"]));
    let call = &hook.taken[0];
    let body: Value = serde_json::from_slice(&call.body).unwrap();
    assert_eq!((&body["reason"], &body["version"]), (&json!("first"), &json!(1)));
    assert_eq!(call.header("x-partywall-delivery"), body["delivery"].as_str());
    assert_eq!(call.line, "POST /hook HTTP/1.1");
    let tampered = String::from_utf8(call.body.clone()).unwrap().replace("acme", "beta").into_bytes();
    assert!(tampered != call.body && !signed(call, &tampered, SECRET), "a tampered body must not verify");
    assert!(!signed(call, &call.body, "another secret of theirs"));
    assert!(verified_as_documented(call, &call.body, SECRET) && !verified_as_documented(call, &tampered, SECRET));

    let receivers = stack.api("GET", "/v1/alerts/receivers", None).unwrap();
    let state: Vec<(&str, u64, u64)> = receivers
        .as_array()
        .unwrap()
        .iter()
        .map(|r| (r["name"].as_str().unwrap(), r["delivered"].as_u64().unwrap(), r["pending"].as_u64().unwrap()))
        .collect();
    let name = format!("alertmanager:127.0.0.1:{port}");
    assert_eq!(state, [(name.as_str(), 2, 0), ("security", 2, 0), ("retrieval", 0, 0)]);
    let text = metrics(&stack);
    for line in [
        "partywall_alert_deliveries_total{receiver=\"security\",result=\"delivered\"} 2",
        "partywall_alerts_pending 0",
        "partywall_alerts_oldest_pending_seconds 0",
    ] {
        assert!(text.contains(line), "no {line} in\n{text}");
    }
    tests_and_tables(&stack, &alertmanager, &mut hook, &name);
}

/// `partywall alerts test` reaches every receiver; the command line shows who is told.
fn tests_and_tables(stack: &Stack, alertmanager: &Alertmanager, hook: &mut Hook, name: &str) {
    let (ok, text) = stack.cli(&["alerts", "test"]).unwrap();
    assert!(ok && text.contains(name) && text.contains("200 OK: thanks") && text.contains("written"), "{text}");
    wait("the test alert", || {
        let alerts = alertmanager.alerts().unwrap();
        alerts.iter().any(|alert| alert["labels"]["alertname"] == "PartywallTest").then_some(())
    });
    assert_eq!(hook.taken().iter().filter(|call| call["reason"] == "test").count(), 2);
    let (ok, text) = stack.cli(&["alerts", "receivers"]).unwrap();
    assert!(ok && text.contains("security") && text.contains("webhook") && text.contains(" ago"), "{text}");
    let (ok, text) = stack.cli(&["alerts", "--tenant", "acme", "--limit", "5"]).unwrap();
    assert!(ok && text.contains("critical") && text.contains("fingerprint_match"), "{text}");
}

#[test]
fn what_was_raised_while_receivers_were_away_arrives_after_a_kill() {
    let pager = Fake::start(|_| (200, "application/json", b"{}".to_vec()));
    let (manager, port) = (free_port(), free_port());
    let policy = policy(&format!(
        "  alertmanager:\n  - {{url: 'http://127.0.0.1:{manager}'}}\n  webhooks:\n{}",
        webhook("security", port)
    ));
    let mut stack = Stack::builder("alerts-restart").policy(&policy).start().unwrap();
    critical(&stack, "canary-0451-beta");
    leak(&stack, "leak the canary", "Here it is: canary-0451-beta.");
    wait("both have failed", || {
        let receivers = stack.api("GET", "/v1/alerts/receivers", None).unwrap();
        let failing = |r: &Value| r["failing_since"] != 0 && r["pending"] == 1 && r["last_error"].is_string();
        receivers.as_array().unwrap().iter().all(failing).then_some(())
    });
    assert!(metrics(&stack).contains("partywall_alerts_pending 2"), "{}", metrics(&stack));
    let (ok, text) = stack.cli(&["alerts", "test"]).unwrap();
    assert!(!ok && text.contains("2 of the receivers did not take the test alert"), "{text}");

    // The harness kills with SIGKILL.
    stack.stop_control();
    stack.start_control().unwrap();
    let mut hook = Hook::start(port);
    let alertmanager = Alertmanager::start(&stack.directory, manager, pager.port).unwrap();
    wait("the alert in Alertmanager", || {
        let alerts = alertmanager.alerts().unwrap();
        alerts.iter().any(|alert| alert["labels"]["severity"] == "critical").then_some(())
    });
    wait("Alertmanager notifies of what came late", || pager.take().into_iter().next());
    wait("the call of the webhook", || Some(hook.taken()).filter(|taken| !taken.is_empty()));
    wait("nothing waits", || metrics(&stack).contains("partywall_alerts_pending 0").then_some(()));
    // Neither a further restart nor time sends it again.
    stack.stop_control();
    stack.start_control().unwrap();
    std::thread::sleep(Duration::from_secs(3));
    let taken = hook.taken();
    assert_eq!(taken.len(), 1, "exactly once: {taken:?}");
    let receivers = stack.api("GET", "/v1/alerts/receivers", None).unwrap();
    assert!(
        receivers.as_array().unwrap().iter().all(|r| r["delivered"] == 1 && r["failing_since"] == 0),
        "{receivers}"
    );
}

#[test]
fn a_try_that_fails_is_repeated_under_the_same_id() {
    let (fake, cell) = Fake::scripted();
    *cell.lock().unwrap() = (503, "text/plain", b"come back later".to_vec());
    let policy = policy(&format!("  webhooks:\n{}", webhook("security", fake.port)));
    let stack = Stack::builder("alerts-retry").no_envoy().policy(&policy).start().unwrap();
    report(&stack, &[matched("acme", &[1], "high")]);
    let mut tries = Vec::new();
    wait("two tries", || {
        tries.extend(fake.take());
        (tries.len() >= 2).then_some(())
    });
    let receivers = stack.api("GET", "/v1/alerts/receivers", None).unwrap();
    assert_eq!(receivers[0]["last_error"], "503 Service Unavailable: come back later", "{receivers}");
    *cell.lock().unwrap() = (204, "text/plain", Vec::new());
    wait("it is taken", || metrics(&stack).contains("result=\"delivered\"} 1").then_some(()));
    tries.extend(fake.take());
    let ids: BTreeSet<Option<&str>> = tries.iter().map(|call| call.header("x-partywall-delivery")).collect();
    let bodies: BTreeSet<&[u8]> = tries.iter().map(|call| call.body.as_slice()).collect();
    assert!(ids.len() == 1 && bodies.len() == 1 && tries.len() >= 3, "{ids:?}");
}

#[test]
fn a_hundred_equal_alerts_are_one_and_a_summary() {
    let pager = Fake::start(|_| (200, "application/json", b"{}".to_vec()));
    let mut hook = Hook::start(0);
    let port = free_port();
    let policy = policy(&format!(
        "  dedupe: 8s\n  alertmanager:\n  - {{url: 'http://127.0.0.1:{port}'}}\n  webhooks:\n{}",
        webhook("security", hook.fake.port)
    ));
    let mut stack = Stack::builder("alerts-dedupe").no_envoy().policy(&policy).start().unwrap();
    let alertmanager = Alertmanager::start(&stack.directory, port, pager.port).unwrap();
    for _ in 0..10 {
        report(&stack, &vec![matched("acme", &[1], "critical"); 10]);
    }
    let first = wait("the first", || hook.taken().first().cloned());
    assert_eq!((&first["reason"], &first["alert"]["count"]), (&json!("first"), &json!(1)));
    // What is owed is owed after a kill too.
    stack.stop_control();
    stack.start_control().unwrap();
    let taken = wait("the summary", || Some(hook.taken()).filter(|taken| taken.len() > 1));
    assert_eq!(taken.len(), 2);
    assert_eq!((&taken[1]["reason"], &taken[1]["alert"]["count"]), (&json!("summary"), &json!(100)));
    assert_eq!(taken[0]["alert"]["key"], taken[1]["alert"]["key"]);
    assert_ne!(taken[0]["delivery"], taken[1]["delivery"]);
    wait("one alert in Alertmanager, told anew", || {
        let alerts = alertmanager.alerts().unwrap();
        (alerts.len() == 1 && alerts[0]["annotations"]["count"] == "100").then_some(())
    });
    let alerts = stack.api("GET", "/v1/alerts", None).unwrap();
    assert_eq!((alerts.as_array().unwrap().len(), &alerts[0]["count"]), (1, &json!(100)));
    // The window is over: the next one is a first again, and another severity always was.
    report(&stack, &[matched("acme", &[1], "critical"), matched("acme", &[1], "low")]);
    let taken = wait("two more", || Some(hook.taken()).filter(|taken| taken.len() == 4));
    assert!(taken[2..].iter().all(|call| call["reason"] == "first"), "{taken:?}");
}

#[test]
fn the_rate_limit_loses_no_first() {
    let mut hook = Hook::start(0);
    let policy = policy(&format!("  rate_limit: 5\n  webhooks:\n{}", webhook("security", hook.fake.port)));
    let stack = Stack::builder("alerts-rate").no_envoy().policy(&policy).start().unwrap();
    // A flood of different matches of one tenant, and among them the first ones of others.
    let mut decisions: Vec<Value> = (0..300).map(|id| matched("acme", &[id], "high")).collect();
    decisions.insert(100, matched("beta", &[7], "high"));
    decisions.insert(200, foreign("acme"));
    decisions.push(matched("acme", &[1000], "critical"));
    report(&stack, &decisions);
    // 5 of the flood, beta's, acme's critical one, and the two kinds of the foreign result.
    let firsts = wait("all firsts", || Some(hook.taken()).filter(|taken| taken.len() >= 9));
    let of = |kind: &str, tenant: &str, severity: &str| {
        let wanted = |call: &&Value| {
            call["alert"]["kind"] == kind && call["alert"]["tenant"] == tenant && call["alert"]["severity"] == severity
        };
        firsts.iter().filter(wanted).count()
    };
    assert_eq!(of("fingerprint_match", "acme", "high"), 5);
    assert_eq!(of("fingerprint_match", "beta", "high"), 1);
    assert_eq!(of("fingerprint_match", "acme", "critical"), 1);
    assert_eq!(of("namespace_mismatch", "acme", "high"), 1);
    assert_eq!(of("namespace_threshold", "acme", "high"), 1);
    assert_eq!(firsts.len(), 9, "nothing else left at once");
    // The rest waits for the end of the minute: `state/desk.rs` tests that with a clock of its own.
    let owed = stack.api("GET", "/v1/alerts?limit=1000", None).unwrap();
    let owed = owed.as_array().unwrap().iter().filter(|alert| alert["due_ms"] != 0).count();
    assert_eq!(owed, 295);
}

#[test]
fn a_receiver_that_hangs_delays_no_other() {
    // Connections are taken and never answered.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut hook = Hook::start(0);
    let policy = policy(&format!(
        "  alertmanager:\n  - {{url: 'http://127.0.0.1:{}', name: silent}}\n  webhooks:\n{}",
        silent.local_addr().unwrap().port(),
        webhook("security", hook.fake.port)
    ));
    let stack = Stack::builder("alerts-hang").no_envoy().policy(&policy).start().unwrap();
    for id in 0..20 {
        report(&stack, &[matched("acme", &[id], "high")]);
    }
    wait("all of them", || Some(hook.taken()).filter(|taken| taken.len() == 20));
    // The one that hangs has not even failed by now: nothing waited for it.
    // The receiver has all of them a moment before the control plane has its last answer.
    let receivers = wait("the last answer", || {
        let receivers = stack.api("GET", "/v1/alerts/receivers", None).ok()?;
        (receivers[1]["pending"] == 0).then_some(receivers)
    });
    assert_eq!((&receivers[0]["name"], &receivers[0]["pending"]), (&json!("silent"), &json!(20)), "{receivers}");
    assert_eq!((&receivers[1]["delivered"], &receivers[1]["pending"]), (&json!(20), &json!(0)), "{receivers}");
    // A policy without it gives up what waited, and says so.
    stack.apply(&demo_policy()).unwrap();
    wait("they are given up", || {
        let text = metrics(&stack);
        text.contains("partywall_alert_deliveries_total{receiver=\"silent\",result=\"dropped\"} ").then_some(())
    });
}

#[test]
fn a_credential_for_alertmanager() {
    let fake = Fake::start(|_| (200, "application/json", b"{}".to_vec()));
    let policy = policy(&format!(
        "  log: false\n  alertmanager:\n  - {{url: 'http://127.0.0.1:{}/am', header: x-scope, value: wall}}\n",
        fake.port
    ));
    let stack = Stack::builder("alerts-credential").no_envoy().policy(&policy).start().unwrap();
    report(&stack, &[foreign("beta")]);
    let call = wait("the call", || fake.take().into_iter().next());
    assert_eq!((call.line.as_str(), call.header("x-scope")), ("POST /am/api/v2/alerts HTTP/1.1", Some("wall")));
}

//! The isolation audit, on the real Chroma and through the real Envoy: it passes where the wall stands, and finds each hole that is
//! made on purpose.

use partywall_tests::http::Request;
use partywall_tests::mint;
use partywall_tests::stack::{Stack, demo_policy, envoy_template};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// The demo's policy with an audit through this proxy.
fn policy() -> String {
    demo_policy().replace(
        "leakage_detection:\n  enabled: true\n",
        "leakage_detection:\n  enabled: true\n  isolation_audit:\n    schedule: \"0 2 * * 0\"\n    test: inject_canary_documents_per_tenant\n    \
         on_canary_detected_cross_tenant: critical_alert\n    edge: \"http://127.0.0.1:${EDGE_PORT}\"\n",
    )
}

/// A document of each tenant, so that the collection has a size.
fn fill(stack: &Stack, tenants: &[&str]) {
    for tenant in tenants {
        let token = mint::token(tenant);
        let body = json!({"name": "docs", "get_or_create": true});
        let made = stack.chroma(&token, "POST", "/collections").json(&body).send(stack.edge).unwrap();
        let id = made.json()["id"].as_str().unwrap_or_else(|| panic!("{}", made.text())).to_owned();
        let body = json!({"ids": ["d"], "embeddings": [[0.0, 1.0, 0.5]], "documents": [format!("of {tenant}")]});
        let added =
            stack.chroma(&token, "POST", &format!("/collections/{id}/upsert")).json(&body).send(stack.edge).unwrap();
        assert_eq!(added.status, 200, "{}", added.text());
    }
}

/// Everything in the collection, as the database has it.
fn raw(stack: &Stack) -> String {
    let path = "/api/v2/tenants/default_tenant/databases/default_database/collections";
    let found = Request::new("GET", "chroma", &format!("{path}/docs")).send(stack.chroma).unwrap().json();
    let id = found["id"].as_str().unwrap_or_default().to_owned();
    Request::new("POST", "chroma", &format!("{path}/{id}/get")).json(&json!({})).send(stack.chroma).unwrap().text()
}

fn clean(stack: &Stack) {
    assert!(!raw(stack).contains("pwcanary"), "canaries are still in the database");
    let left = stack.api("GET", "/v1/fingerprints", None).unwrap();
    assert_eq!(left, json!([]), "canaries are still fingerprints");
}

#[test]
fn it_passes_where_the_wall_stands() {
    let stack = Stack::builder("audit").chroma().policy(&policy()).start().unwrap();
    fill(&stack, &["acme", "beta"]);
    let (passed, out) = stack.cli(&["audit", "run"]).unwrap();
    assert!(passed && out.contains("passed"), "{out}\n{}", stack.envoy_log());
    clean(&stack);
    let all = stack.api("GET", "/v1/audits", None).unwrap();
    let id = all[0]["id"].as_str().unwrap().to_owned();
    let (_, text) = stack.cli(&["audit", "show", &id, "--json"]).unwrap();
    let signed: Value = serde_json::from_str(&text).unwrap();
    let checks = signed["report"]["checks"].as_array().unwrap();
    assert_eq!(checks.len(), 10, "five ways by two readers: {text}");
    assert!(checks.iter().all(|check| check["own"] == true && check["foreign"] == 0), "{text}");
    assert_eq!(signed["report"]["empty"].as_array().unwrap().len(), 2, "nobody has notes: {text}");

    // The report is signed over its exact bytes, and there is a page of it.
    let key = stack.api("GET", "/v1/status", None).unwrap()["public_key"].as_str().unwrap().to_owned();
    let file = stack.directory.join("report.json");
    let verify = |text: &str| {
        std::fs::write(&file, text).unwrap();
        stack.cli(&["audit", "verify", &file.to_string_lossy(), "--public-key", &key]).unwrap().0
    };
    assert!(verify(&text) && !verify(&text.replace("\"foreign\":0", "\"foreign\":1")));
    let page = Request::new("GET", "control", &format!("/v1/audits/{id}"))
        .bearer(&stack.admin_token)
        .header("accept", "text/html");
    let page = page.send(stack.control).unwrap();
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    assert!(page.text().contains("No canary crossed") && page.text().contains("query, widened"));
    // The audit's tokens are worth nothing now that it is over.
    assert!(stack.metric("partywall_requests_total") >= 10.0);
}

#[test]
fn it_finds_a_route_that_bypasses_the_filter() {
    let bypass = envoy_template()
        .replace("          # The filter names the cluster", "          # Bypassed: the filter names the cluster")
        .replace(
            "route: { cluster_header: x-partywall-cluster, timeout: 60s }",
            "route: { cluster: chroma, timeout: 60s }\n                          typed_per_filter_config:\n                            partywall:\n                              \
             \"@type\": type.googleapis.com/envoy.config.route.v3.FilterConfig\n                              disabled: true",
        );
    assert!(bypass.contains("disabled: true"));
    let stack = Stack::builder("audit-bypass").chroma().policy(&policy()).template(bypass).start().unwrap();
    fill(&stack, &["acme", "beta"]);
    let (passed, out) = stack.cli(&["audit", "run"]).unwrap();
    assert!(!passed && out.contains("failed") && out.contains("CROSSED"), "{out}");
    for words in ["acme saw the canary of beta", "beta saw the canary of acme", "get by text", "query"] {
        assert!(out.contains(words), "no {words:?} in {out}");
    }
    let alerts = stack.api("GET", "/v1/alerts", None).unwrap();
    let crossed = alerts.as_array().unwrap().iter().filter(|alert| alert["kind"] == "canary_crossed").count();
    assert!(crossed >= 10, "{alerts}");
    clean(&stack);
}

#[test]
fn what_cannot_be_tried_does_not_pass() {
    let mut stack = Stack::builder("audit-incomplete").chroma().policy(&policy()).start().unwrap();
    fill(&stack, &["acme", "beta"]);
    stack.stop_chroma();
    let (passed, out) = stack.cli(&["audit", "run"]).unwrap();
    assert!(!passed && out.contains("incomplete"), "{out}");
}

#[test]
fn an_interrupted_audit_leaves_nothing_behind() {
    let mut tenants = String::new();
    for n in 0..40 {
        tenants += &format!("  - id: tenant{n}\n");
    }
    let mut stack = Stack::builder("audit-interrupted").chroma().policy(&(policy() + &tenants)).start().unwrap();
    fill(&stack, &["acme", "beta"]);
    stack.api("POST", "/v1/audits", None).unwrap();
    let start = Instant::now();
    while !raw(&stack).contains("pwcanary") {
        assert!(start.elapsed() < Duration::from_secs(20), "no canary was ever written");
    }
    stack.stop_control();
    stack.start_control().unwrap();
    let start = Instant::now();
    let report = loop {
        let all = stack.api("GET", "/v1/audits", None).unwrap();
        if all[0]["result"] == "incomplete" {
            break all;
        }
        assert!(start.elapsed() < Duration::from_secs(30), "{all}");
        std::thread::sleep(Duration::from_millis(50));
    };
    assert_eq!(report[0]["tenants"], 42);
    clean(&stack);
}

//! The isolation audit, on the real Chroma and through the real Envoy: it passes where the wall stands, and finds each hole that is
//! made on purpose.

use partywall_core::snapshot::wire::{Strategy, SurfaceKind};
use partywall_tests::fakes::Fake;
use partywall_tests::fakes::milvus::Milvus;
use partywall_tests::fakes::postgrest::Postgrest;
use partywall_tests::fakes::weaviate::Weaviate;
use partywall_tests::http::Request;
use partywall_tests::stack::{Stack, demo_policy, envoy_template};
use partywall_tests::{mint, rag};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// The demo's policy with an audit through this proxy.
fn policy() -> String {
    audited(&demo_policy())
}

fn audited(policy: &str) -> String {
    policy.replace(
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

/// A database that evaluates filters, what it holds, and how a tenant writes its first record.
struct Database {
    kind: SurfaceKind,
    fake: Fake,
    holds: Box<dyn Fn() -> String>,
    write: fn(&str) -> (&'static str, Value),
    ways: &'static [&'static str],
}

/// `walls`: whether Weaviate's classes have tenants of their own.
fn databases(walls: bool) -> Vec<Database> {
    let weaviate = Weaviate::new(walls);
    let milvus = Milvus::with(&["docs"]);
    let postgrest = Postgrest::with(&["docs", "notes"], &["id", "title", "n", "tenant_id"]);
    let (w, m, p) = (weaviate.clone(), milvus.clone(), postgrest.clone());
    let (m2, p2) = (milvus.clone(), postgrest.clone());
    vec![
        Database {
            kind: SurfaceKind::Weaviate,
            fake: weaviate.serve(),
            holds: Box::new(move || format!("{:?}", w.shards())),
            write: |tenant| {
                let id = format!("00000000-0000-4000-8000-00000000000{}", tenant.len());
                let object =
                    json!({"class": "Docs", "id": id, "properties": {"title": tenant}, "vector": [0.0, 1.0, 0.5]});
                ("/v1/objects", object)
            },
            ways: &[
                "list, the newest",
                "get",
                "get, widened",
                "near vector",
                "aggregate",
                "by id",
                "whether it exists",
            ],
        },
        Database {
            kind: SurfaceKind::Milvus,
            fake: Fake::start(move |request| m2.answer(request)),
            holds: Box::new(move || format!("{:?}", m.rows("default", "docs"))),
            write: |tenant| {
                let row = json!({"id": format!("first of {tenant}"), "vector": [0, 1, 0], "title": tenant});
                ("/v2/vectordb/entities/insert", json!({"collectionName": "docs", "data": [row]}))
            },
            ways: &[
                "query",
                "query, widened",
                "count",
                "search",
                "search, widened",
                "hybrid search",
                "advanced search",
                "by ids",
            ],
        },
        Database {
            kind: SurfaceKind::Postgrest,
            fake: Fake::start(move |request| p2.answer(request)),
            holds: Box::new(move || format!("{:?}", p.rows("public", "docs"))),
            write: |tenant| ("/docs", json!({"id": tenant.as_bytes()[0], "title": format!("of {tenant}"), "n": 1})),
            ways: &["read", "read, widened", "count"],
        },
    ]
}

impl Database {
    fn stack(&self, bypass: bool) -> Stack {
        let name = partywall_core::surface::Kind::of(self.kind).name;
        let mut template = rag::template(&[(name, self.fake.port)]);
        if bypass {
            let route = "route: { cluster_header: x-partywall-cluster, timeout: 60s }";
            let around = format!(
                "route: {{ cluster: {name}, timeout: 60s }}\n                          typed_per_filter_config:\n                            partywall:\n                              \
                 \"@type\": type.googleapis.com/envoy.config.route.v3.FilterConfig\n                              disabled: true"
            );
            template = template.replace(route, &around);
        }
        let policy = audited(&rag::policy(self.kind, Strategy::Namespace));
        let stack =
            Stack::builder(&format!("audit-{name}-{bypass}")).template(template).policy(&policy).start().unwrap();
        for tenant in ["acme", "betas"] {
            let (path, body) = (self.write)(tenant);
            let token = mint::token(&tenant[..4]);
            let made = Request::new("POST", &format!("{name}.test"), path).bearer(&token).json(&body).send(stack.edge);
            let made = made.unwrap();
            assert!((200..300).contains(&made.status), "{name}: {} {}", made.status, made.text());
        }
        stack
    }
}

#[test]
fn databases_with_schemas_are_audited_by_every_way_of_reading() {
    for database in databases(true) {
        let stack = database.stack(false);
        let (passed, out) = stack.cli(&["audit", "run"]).unwrap();
        assert!(passed && out.contains("passed"), "{out}\n{}", stack.envoy_log());
        assert!(!(database.holds)().contains("pwcanary"), "{}", (database.holds)());
        let all = stack.api("GET", "/v1/audits", None).unwrap();
        let id = all[0]["id"].as_str().unwrap().to_owned();
        let (_, text) = stack.cli(&["audit", "show", &id, "--json"]).unwrap();
        let signed: Value = serde_json::from_str(&text).unwrap();
        let checks = signed["report"]["checks"].as_array().unwrap();
        assert_eq!(signed["report"]["skipped"], json!([]), "{text}");
        for way in database.ways {
            let by: Vec<&Value> = checks.iter().filter(|check| check["way"] == *way).collect();
            assert_eq!(by.len(), 2, "{way} by two readers: {text}");
            assert!(by.iter().all(|check| check["own"] == true && check["foreign"] == 0), "{way}: {text}");
        }
        assert_eq!(checks.len(), 2 * database.ways.len(), "{text}");
    }
}

#[test]
fn databases_with_schemas_that_are_reached_past_the_filter_fail_it() {
    for database in databases(false) {
        let stack = database.stack(true);
        let (passed, out) = stack.cli(&["audit", "run"]).unwrap();
        assert!(!passed && out.contains("CROSSED"), "{out}");
        let all = stack.api("GET", "/v1/audits", None).unwrap();
        let (_, text) = stack.cli(&["audit", "show", all[0]["id"].as_str().unwrap(), "--json"]).unwrap();
        let signed: Value = serde_json::from_str(&text).unwrap();
        let checks = signed["report"]["checks"].as_array().unwrap();
        for way in database.ways {
            let crossed = checks.iter().filter(|check| check["way"] == *way && check["foreign"] != 0).count();
            assert_eq!(crossed, 2, "{way}: {text}");
        }
        assert!(!(database.holds)().contains("pwcanary"), "{}", (database.holds)());
    }
}

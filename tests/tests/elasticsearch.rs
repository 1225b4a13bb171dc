//! Elasticsearch and OpenSearch: cases that are data, and the official clients against a backend that knows what its queries mean.

#[path = "elasticsearch/differential.rs"]
mod differential;

use partywall_core::snapshot::wire::Strategy;
use partywall_core::snapshot::wire::SurfaceKind::{self, Elasticsearch, Opensearch};
use partywall_core::surface::Kind;
use partywall_tests::fakes::Fake;
use partywall_tests::fakes::elasticsearch::Elastic;
use partywall_tests::mint;
use partywall_tests::process::root;
use partywall_tests::rag::{check_answers, check_requests, check_through_envoy, policy, template};
use partywall_tests::stack::{Stack, python};
use serde_json::json;
use std::process::Command;

#[test]
fn elasticsearch_requests() {
    check_requests(Elasticsearch);
}

#[test]
fn elasticsearch_answers() {
    check_answers(Elasticsearch);
}

#[test]
fn elasticsearch_through_envoy() {
    check_through_envoy(Elasticsearch);
}

#[test]
fn opensearch_requests() {
    check_requests(Opensearch);
}

#[test]
fn opensearch_answers() {
    check_answers(Opensearch);
}

#[test]
fn opensearch_through_envoy() {
    check_through_envoy(Opensearch);
}

#[test]
fn elasticsearch_client() {
    client(Elasticsearch, &Elastic::elasticsearch());
}

#[test]
fn opensearch_client() {
    client(Opensearch, &Elastic::opensearch());
}

fn client(kind: SurfaceKind, server: &Elastic) {
    let name = Kind::of(kind).name;
    let serving = server.clone();
    let fake = Fake::start(move |request| serving.handle(request));
    let stack = Stack::builder(&format!("client-{name}"))
        .template(template(&[(name, fake.port)]))
        .policy(&policy(kind, Strategy::Namespace))
        .start()
        .unwrap();
    let run = |step: &str| {
        let script = root().join("tests/python/elasticsearch_client.py");
        let (edge, acme, beta) = (stack.edge.to_string(), mint::token("acme"), mint::token("beta"));
        let output = Command::new(python()).arg(script).args([name, step, &edge, &acme, &beta]).output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        assert!(output.status.success(), "{name}, {step}:\n{}", String::from_utf8_lossy(&text));
    };
    run("ordinary");

    // What the server holds: every document marked, every id scoped, and the marker's field as it must be.
    let documents = server.documents("docs");
    assert_eq!(documents.keys().collect::<Vec<_>>(), ["acme:a", "acme:c", "acme:n7", "beta:z"]);
    for (id, source) in &documents {
        let tenant = id.split(':').next().unwrap();
        assert_eq!(source["tenant_id"], format!("t_{tenant}"), "{id}");
    }
    assert_eq!(server.mapping("docs")["properties"]["tenant_id"], json!({"type": "keyword"}));

    // By the back door: beta's marker under acme's prefix (and in a list, which the forced query finds), none at all, and ours
    // without the prefix.
    let secret =
        |marker: serde_json::Value| json!({"t": "SECRET", "tag": "x", "v": [1.0, 0.0, 0.0], "tenant_id": marker});
    server.put("docs", "acme:ghost", secret(json!("t_beta")));
    server.put("docs", "acme:both", secret(json!(["t_acme", "t_beta"])));
    server.put("docs", "acme:bare", json!({"t": "SECRET", "tag": "x", "v": [1.0, 0.0, 0.0]}));
    server.put("docs", "loose", secret(json!("t_acme")));
    run("poisoned");
    assert!(stack.metric("partywall_results_dropped_total") >= 4.0, "what was dropped was counted");
}

#[test]
fn elasticsearch_differential() {
    let (answered, refused) = differential::run(80, 40);
    assert!(answered > 1000 && refused > 10, "{answered} answered, {refused} refused");
}

#[test]
fn elasticsearch_spoiled_answers() {
    differential::spoil_answers();
}

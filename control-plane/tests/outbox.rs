//! The outbox over time: what a day has not delivered is given up, nothing sooner; what is owed is never evicted.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

use partywall::alerting;
use partywall::policy;
use partywall::state::{App, KEPT_MS, now_ms};
use partywall::store::Store;
use partywall_core::record::Report;
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

fn compiled(alerts: &str) -> policy::Compiled {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../envoy/demo-policy.yaml");
    let text = std::fs::read_to_string(path).unwrap();
    let text = text.replace("secret_env: PARTYWALL_DEMO_SECRET", "secret: a-secret-of-at-least-thirty-two-bytes");
    let text = text.replace("${CHROMA_PORT}", "1");
    policy::compile(&policy::parse(&format!("{text}\nalerts:\n{alerts}")).unwrap()).unwrap()
}

fn report(decisions: &[Value]) -> Report {
    let totals = json!({"requests": 0, "denied": 0, "hits": 0, "dropped": 0});
    serde_json::from_value(json!({"instance": "i", "revision": 1, "decisions": decisions, "lost": 0, "totals": totals}))
        .unwrap()
}

fn matched(id: u64) -> Value {
    json!({"time_ms": 1000, "request_id": "r", "tenant": "acme", "surface": "llm", "endpoint": "openai.chat", "outcome": "blocked",
        "revision": 1, "hits": [{"fingerprint": id, "severity": "high", "offset": 0}], "bytes": {"scanned": 0, "delivered": 0, "withheld": 0}})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_given_up_after_a_day() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let directory = tempfile::tempdir().unwrap();
    // Nothing listens there.
    let dead = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let webhooks =
        format!("  webhooks:\n  - {{name: hook, url: 'http://127.0.0.1:{dead}/', secret: sixteen-bytes-or-more}}\n");
    {
        let app = App::open(directory.path(), None, None).unwrap();
        drop(app);
        let write = Store::open(directory.path()).unwrap().write().unwrap();
        write.set_meta("compiled", &compiled(&webhooks)).unwrap();
        write.commit().unwrap();
        let app = App::open(directory.path(), None, None).unwrap();
        app.report(report(&[matched(1), matched(2)])).unwrap();
        assert_eq!(app.waiting().0, 2);
    }
    // One of the two is a day old.
    {
        let store = Store::open(directory.path()).unwrap();
        let mut outbox = store.numbered::<Value>("outbox").unwrap();
        assert_eq!(outbox.len(), 2);
        outbox[0].1["since_ms"] = json!(now_ms() - KEPT_MS - 1000);
        outbox[1].1["since_ms"] = json!(now_ms() - KEPT_MS + 600_000);
        let write = store.write().unwrap();
        write.put_numbered("outbox", outbox).unwrap();
        write.commit().unwrap();
    }
    let app = Arc::new(App::open(directory.path(), None, None).unwrap());
    let running = tokio::spawn(alerting::run(app.clone()));
    for _ in 0..400 {
        let (standing, pending, _) = app.standing("hook");
        if standing.dropped == 1 && pending == 1 && standing.failing_since > 0 {
            running.abort();
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("{:?}", app.standing("hook"));
}

#[test]
fn what_is_owed_is_not_evicted() {
    let directory = tempfile::tempdir().unwrap();
    let app = App::open(directory.path(), None, None).unwrap();
    // Without a policy sixty a minute leave; the others are owed, and then come more alerts than are kept.
    let all: Vec<Value> = (0..2000).map(matched).collect();
    for part in all.chunks(500) {
        app.report(report(part)).unwrap();
    }
    for part in (2000..12_500).map(matched).collect::<Vec<_>>().chunks(500) {
        app.report(report(part)).unwrap();
    }
    assert_eq!(app.alerts(20_000, |alert| alert.due_ms > 0).len(), 12_500 - 60);
    assert_eq!(app.alerts(20_000, |_| true).len(), 12_500 - 60, "those that have left make room");
    drop(app);
    let app = App::open(directory.path(), None, None).unwrap();
    assert_eq!(app.alerts(20_000, |alert| alert.due_ms > 0).len(), 12_500 - 60, "a restart forgets nothing");
}

#[test]
fn records_of_an_earlier_version_are_read_and_not_told_again() {
    let directory = tempfile::tempdir().unwrap();
    drop(App::open(directory.path(), None, None).unwrap());
    {
        let store = Store::open(directory.path()).unwrap();
        let write = store.write().unwrap();
        let old = json!({"sequence": 7, "at": 5, "kind": "namespace_mismatch", "tenant": "acme", "surface": null, "request_id": "r", "summary": "s"});
        write.put_numbered("alert", [(7, old)]).unwrap();
        write.commit().unwrap();
    }
    let app = App::open(directory.path(), None, None).unwrap();
    app.close_windows().unwrap();
    app.report(report(&[matched(1)])).unwrap();
    let alerts = app.alerts(10, |_| true);
    let shown: Vec<(u64, u64, u64)> = alerts.iter().map(|a| (a.sequence, a.count, a.due_ms)).collect();
    assert_eq!(shown, [(8, 1, 0), (7, 1, 0)]);
    assert_eq!(alerts[1].first_at, 5);
}

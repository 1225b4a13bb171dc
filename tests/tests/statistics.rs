//! The distribution of namespaces in what retrieval brings: counted in the proxy and in the control plane, alarming above the threshold.

use partywall_tests::fakes::Fake;
use partywall_tests::http::Request;
use partywall_tests::mint;
use partywall_tests::stack::{Stack, demo_policy};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const ID: &str = "11111111-2222-3333-4444-555555555555";

/// An answer of a database that lost its walls: the owners of its records, in order; `""` for an unmarked one.
fn answer(owners: &[&str]) -> Vec<u8> {
    let ids: Vec<String> = owners.iter().enumerate().map(|(n, owner)| format!("{owner}:{n}")).collect();
    let mark = |owner: &&str| if owner.is_empty() { Value::Null } else { json!({"tenant_id": format!("t_{owner}")}) };
    let metadatas: Vec<Value> = owners.iter().map(mark).collect();
    json!({"ids": ids, "metadatas": metadatas}).to_string().into_bytes()
}

fn wait<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < Duration::from_secs(10), "never: {what}");
        std::thread::sleep(Duration::from_millis(30));
    }
}

#[test]
fn namespaces_are_counted_and_more_than_the_threshold_alarms() {
    let (fake, cell) = Fake::scripted();
    let policy = demo_policy().replace(
        "leakage_detection:\n  enabled: true\n",
        "leakage_detection:\n  enabled: true\n  statistical_monitoring:\n    track_namespace_distribution: true\n    alert_threshold: 2\n",
    );
    let mut stack = Stack::builder("statistics").chroma_at(fake.port).policy(&policy).start().unwrap();
    let get = |stack: &Stack, tenant: &str, owners: &[&str]| {
        *cell.lock().unwrap() = (200, "application/json", answer(owners));
        let path = format!("/collections/{ID}/get");
        let response = stack.chroma(&mint::token(tenant), "POST", &path).json(&json!({})).send(stack.edge).unwrap();
        assert_eq!(response.status, 200, "{}", response.text());
        response.json()["ids"].as_array().map(Vec::len).unwrap()
    };
    assert_eq!(get(&stack, "acme", &["acme", "beta", "acme", ""]), 2);
    assert_eq!(get(&stack, "beta", &["beta", "beta", "beta"]), 3);
    let row = |rows: &Value, tenant: &str| rows.as_array().unwrap().iter().find(|row| row["tenant"] == tenant).cloned();
    let rows = wait("both are counted", || {
        let rows = stack.api("GET", "/v1/namespaces", None).unwrap();
        (rows.as_array().unwrap().len() == 2).then_some(rows)
    });
    let acme = row(&rows, "acme").unwrap();
    assert_eq!((&acme["surface"], &acme["own"], &acme["requests"]), (&json!("docs"), &json!(2), &json!(1)));
    assert_eq!(acme["foreign"], json!({"t_beta": 1, "": 1}));
    assert_eq!((&row(&rows, "beta").unwrap()["own"], &row(&rows, "beta").unwrap()["foreign"]), (&json!(3), &json!({})));
    let kinds = |stack: &Stack| -> Vec<String> {
        let alerts = stack.api("GET", "/v1/alerts", None).unwrap();
        alerts.as_array().unwrap().iter().map(|alert| alert["kind"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(kinds(&stack), ["namespace_mismatch"], "two foreign results are not more than two");
    let stats = stack.stats().unwrap();
    for line in ["disposition=\"dropped\",surface=\"docs\"} 2", "disposition=\"kept\",surface=\"docs\"} 5"] {
        assert!(
            stats.contains(&format!("partywall_results_total{{{line}")),
            "no {line} in {}",
            stats.lines().filter(|l| l.contains("results")).collect::<String>()
        );
    }

    // One more goes over the threshold: once for the hour, however many follow.
    get(&stack, "acme", &["beta"]);
    get(&stack, "acme", &["beta"]);
    let all = wait("the counts of all three", || {
        let alerts = stack.api("GET", "/v1/alerts", None).unwrap();
        let count = |alert: &Value| (alert["kind"].as_str().unwrap().to_owned(), alert["count"].as_u64().unwrap());
        let counts: Vec<(String, u64)> = alerts.as_array().unwrap().iter().map(count).collect();
        (counts.iter().map(|(_, count)| count).sum::<u64>() == 4).then_some(counts)
    });
    let kind = |name: &str| -> Vec<u64> { all.iter().filter(|(kind, _)| kind == name).map(|(_, n)| *n).collect() };
    assert_eq!(kind("namespace_threshold"), [1]);
    assert_eq!(kind("namespace_mismatch"), [2, 1], "equal ones are one");
    let metrics = partywall_tests::http::Request::new("GET", "control", "/metrics").send(stack.control).unwrap().text();
    for line in [
        "partywall_results_total{surface=\"docs\",tenant=\"acme\",namespace=\"foreign\"} 4",
        "partywall_results_total{surface=\"docs\",tenant=\"acme\",namespace=\"own\"} 2",
        "partywall_alerts_total{kind=\"namespace_threshold\"} 1",
    ] {
        assert!(metrics.contains(line), "no {line} in\n{metrics}");
    }
    // Counts and alerts survive a restart.
    stack.stop_control();
    stack.start_control().unwrap();
    let (_, table) = stack.cli(&["namespaces", "--tenant", "acme"]).unwrap();
    assert!(table.contains("t_beta: 3") && table.contains("(none): 1"), "{table}");
    let (_, table) = stack.cli(&["alerts"]).unwrap();
    assert!(table.contains("namespace_threshold") && table.contains("1 of t_beta"), "{table}");
}

/// Reports one decision of so many hours ago.
fn report(stack: &Stack, hours_ago: u64, kept: u64, foreign: u64) {
    let names: Vec<Value> = if foreign > 0 { vec![json!(["t_beta", foreign])] } else { vec![] };
    let decision = json!({"time_ms": (mint::now() - hours_ago * 3600) * 1000, "request_id": "r", "tenant": "acme", "surface": "docs",
        "endpoint": "chroma.get", "outcome": "alerted", "revision": 1, "kept": kept, "dropped": foreign, "foreign": names,
        "bytes": {"scanned": 0, "delivered": 0, "withheld": 0}});
    let body = json!({"instance": "one", "revision": 1, "lost": 0, "decisions": [decision],
        "totals": {"requests": 1, "denied": 0, "hits": 0, "dropped": 0}});
    let request = Request::new("POST", "control", "/v1/events").bearer(&stack.sidecar_token).json(&body);
    assert_eq!(request.send(stack.control).unwrap().status, 202);
}

#[test]
fn a_share_that_drifts_alarms_once() {
    let policy = |keys: &str| {
        demo_policy().replace(
            "leakage_detection:\n  enabled: true\n",
            &format!(
                "leakage_detection:\n  enabled: true\n  statistical_monitoring:\n    alert_threshold: 1000000\n{keys}"
            ),
        )
    };
    let drifts = |stack: &Stack| {
        let alerts = stack.api("GET", "/v1/alerts", None).unwrap();
        alerts
            .as_array()
            .unwrap()
            .iter()
            .filter(|alert| alert["kind"] == "namespace_drift")
            .cloned()
            .collect::<Vec<_>>()
    };
    for (keys, expected) in [("", 1), ("    drift_baseline_hours: 0\n", 0), ("    drift_minimum_results: 5000\n", 0)] {
        let stack = Stack::builder("drift").no_envoy().policy(&policy(keys)).start().unwrap();
        // Before the baseline; then one in fifty, hour after hour.
        report(&stack, 400, 10, 90);
        for hours in (2..30).rev() {
            report(&stack, hours, 98, 2);
        }
        report(&stack, 0, 196, 4);
        assert!(drifts(&stack).is_empty(), "as ever: {:#?}", drifts(&stack));
        report(&stack, 0, 70, 30);
        report(&stack, 0, 70, 30);
        let found = drifts(&stack);
        assert_eq!(found.len(), expected, "{keys}: {found:#?}");
        if let Some(alarm) = found.first() {
            assert_eq!(
                (&alarm["count"], &alarm["tenant"], &alarm["surface"]),
                (&json!(1), &json!("acme"), &json!("docs"))
            );
            let summary = alarm["summary"].as_str().unwrap();
            assert!(summary.contains("11.33 % was foreign this hour, against 2.00 % before"), "{summary}");
        }
    }
}

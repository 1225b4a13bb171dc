//! Alertmanager's API v2.

use crate::state::{Message, Reason};
use serde_json::{Map, Value, json};
use std::time::{Duration, UNIX_EPOCH};

/// Where an operator reads what to do.
const RUNBOOK: &str = concat!(env!("CARGO_PKG_REPOSITORY"), "/blob/main/docs/operations.md#alerts");
/// The shortest time for which an alert stays active.
const ACTIVE_S: u64 = 300;
/// How many of the alerts that a message stands for are written out.
const LINES: usize = 100;

fn time(at: u64) -> String {
    let time = UNIX_EPOCH.checked_add(Duration::from_secs(at)).unwrap_or(UNIX_EPOCH);
    humantime::format_rfc3339_seconds(time).to_string()
}

/// `fingerprint_match` as `PartywallFingerprintMatch`.
fn name(kind: &str) -> String {
    let word = |word: &str| {
        let mut letters = word.chars();
        letters.next().map(|first| first.to_ascii_uppercase().to_string() + letters.as_str()).unwrap_or_default()
    };
    format!("Partywall{}", kind.split('_').map(word).collect::<String>())
}

/// The body of a POST. Posted again, the same labels are the same alert to Alertmanager, with new annotations.
///
/// The end is counted from now, not from when the alert was raised: one that comes late, because Alertmanager was away, must
/// still be active when it comes, or nobody would be told.
pub(super) fn body(message: &Message, link: &str, dedupe_s: u64, now: u64) -> String {
    let alert = &message.alert;
    let mut labels = Map::new();
    let mut label = |name: &str, value: &str| {
        if !value.is_empty() {
            labels.insert(name.to_owned(), json!(value));
        }
    };
    let severity = serde_json::to_value(alert.severity).unwrap_or_default();
    label("alertname", &name(&alert.kind));
    label("kind", &alert.kind);
    label("tenant", alert.tenant.as_deref().unwrap_or_default());
    label("surface", alert.surface.as_deref().unwrap_or_default());
    label("severity", severity.as_str().unwrap_or_default());
    label("service", "partywall");
    label("key", &alert.key);
    let active = if message.reason == Reason::Test { 60 } else { ACTIVE_S.max(dedupe_s + 60) };
    json!([{
        "labels": labels,
        "annotations": {
            "summary": alert.summary,
            "description": description(message),
            "request_id": alert.request_id,
            "count": alert.count.to_string(),
            "runbook": RUNBOOK,
        },
        "startsAt": time(alert.first_at.min(now)),
        "endsAt": time(now.max(alert.last_at) + active),
        "generatorURL": format!("{link}/v1/alerts?since={}", alert.sequence.saturating_sub(1)),
    }])
    .to_string()
}

fn description(message: &Message) -> String {
    let alert = &message.alert;
    let mut text = alert.summary.clone();
    if alert.count > 1 {
        text += &format!(" ({} times from {} to {})", alert.count, time(alert.first_at), time(alert.last_at));
    }
    let mut lines: Vec<Value> = Vec::new();
    for one in message.more.iter().take(LINES) {
        lines.push(json!(format!("{}x {} (request {})", one.count - one.announced, one.summary, one.request_id)));
    }
    for line in lines.iter().filter_map(Value::as_str) {
        text += "\n";
        text += line;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::Alert;

    #[test]
    fn an_alert_that_comes_late_is_active_still() {
        let alert: Alert = serde_json::from_value(json!({"sequence": 3, "first_at": 1000, "last_at": 2000, "kind": "namespace_mismatch",
            "severity": "high", "key": "k", "tenant": "acme", "surface": null, "request_id": "r", "summary": "s", "count": 4}))
        .unwrap();
        let message = Message { reason: Reason::Summary, alert, more: Vec::new() };
        let now = 80_000;
        let sent: Value = serde_json::from_str(&body(&message, "https://wall", 600, now)).unwrap();
        assert_eq!(sent[0]["startsAt"], "1970-01-01T00:16:40Z");
        assert_eq!(sent[0]["endsAt"], time(now + 660));
        assert_eq!(sent[0]["generatorURL"], "https://wall/v1/alerts?since=2");
        let labels = json!({"alertname": "PartywallNamespaceMismatch", "kind": "namespace_mismatch", "tenant": "acme",
            "severity": "high", "service": "partywall", "key": "k"});
        assert_eq!(sent[0]["labels"], labels, "labels without a value are left out");
        let text = sent[0]["annotations"]["description"].as_str().unwrap();
        assert_eq!(text, "s (4 times from 1970-01-01T00:16:40Z to 1970-01-01T00:33:20Z)");
    }
}

//! Signed webhooks. `docs/operations.md` says how a receiver verifies them.

use crate::state::{Alert, Message};
use hmac::{Hmac, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

/// The header `x-partywall-signature`: HMAC-SHA256 over the time, a dot and the body.
pub fn signature(secret: &str, at: u64, body: &[u8]) -> String {
    // HMAC takes keys of any length.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.as_bytes()) else { return String::new() };
    mac.update(at.to_string().as_bytes());
    mac.update(b".");
    mac.update(body);
    format!("t={at},v1={}", hex::encode(mac.finalize().into_bytes()))
}

fn one(alert: &Alert) -> Value {
    json!({
        "sequence": alert.sequence,
        "kind": alert.kind,
        "severity": alert.severity,
        "key": alert.key,
        "tenant": alert.tenant,
        "surface": alert.surface,
        "request_id": alert.request_id,
        "summary": alert.summary,
        "count": alert.count,
        "first_at": alert.first_at,
        "last_at": alert.last_at,
    })
}

/// The body.
pub fn body(id: &str, message: &Message, link: &str) -> String {
    let mut body = json!({
        "version": 1,
        "delivery": id,
        "reason": message.reason,
        "alert": one(&message.alert),
        "url": format!("{link}/v1/alerts?since={}", message.alert.sequence.saturating_sub(1)),
    });
    let fresh = |alert: &Alert| one(&Alert { count: alert.count - alert.announced, ..alert.clone() });
    if let Some(object) = body.as_object_mut().filter(|_| !message.more.is_empty()) {
        object.insert("more".to_owned(), message.more.iter().map(fresh).collect());
    }
    body.to_string()
}

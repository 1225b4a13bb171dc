//! One message to one receiver, and what it answered.

use super::{alertmanager, link, webhook};
use crate::api::Shared;
use crate::policy::{Receiver, Speaks};
use crate::state::{Alert, Message, Reason, delivery_id, now};
use anyhow::Result;
use partywall_core::record::Severity;
use serde::Serialize;
use std::time::{Duration, Instant};
use utoipa::ToSchema;

/// How long a receiver may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// How much of an answer is kept.
const ANSWER: usize = 200;

/// Why a receiver did not take a message.
pub(super) struct Failure {
    /// Why; without the address, whose path may be a secret.
    pub(super) why: String,
    /// It would take no other message either.
    pub(super) unreachable: bool,
}

/// What a receiver answered to a test.
#[derive(Debug, Serialize, ToSchema)]
pub struct Tested {
    /// Its name.
    pub receiver: String,
    /// Whether it took the alert.
    pub ok: bool,
    /// What it answered, or why it did not.
    pub answer: String,
    /// How long it took.
    pub milliseconds: u64,
}

pub(super) fn client() -> Result<reqwest::Client> {
    let none = reqwest::redirect::Policy::none();
    Ok(reqwest::Client::builder().redirect(none).timeout(PATIENCE).connect_timeout(PATIENCE / 2).build()?)
}

pub(super) async fn send(
    http: &reqwest::Client,
    receiver: &Receiver,
    id: &str,
    message: &Message,
    link: &str,
    dedupe_s: u64,
) -> Result<String, Failure> {
    let request = match &receiver.speaks {
        Speaks::Alertmanager(credential) => {
            let body = alertmanager::body(message, link, dedupe_s, now());
            let request = http.post(format!("{}/api/v2/alerts", receiver.url)).body(body);
            match credential {
                Some((name, value)) => request.header(name, value),
                None => request,
            }
        }
        Speaks::Webhook(secret) => {
            let body = webhook::body(id, message, link);
            let request = http
                .post(&receiver.url)
                .header("x-partywall-delivery", id)
                .header("x-partywall-signature", webhook::signature(secret, now(), body.as_bytes()));
            request.body(body)
        }
    };
    let lost = |error: reqwest::Error| {
        let mut why = error.to_string();
        let mut cause: Option<&dyn std::error::Error> = std::error::Error::source(&error);
        while let Some(inner) = cause {
            why += &format!(": {inner}");
            cause = inner.source();
        }
        Failure { why, unreachable: true }
    };
    let request = request.header("content-type", "application/json").header("user-agent", "partywall");
    let mut response = request.send().await.map_err(|error| lost(error.without_url()))?;
    let status = response.status();
    let mut answer = Vec::new();
    // The status has said it already: an answer that breaks off is no failure.
    while answer.len() < ANSWER
        && let Ok(Some(chunk)) = response.chunk().await
    {
        answer.extend_from_slice(&chunk);
    }
    answer.truncate(ANSWER);
    let text = String::from_utf8_lossy(&answer);
    let text = format!("{status}{}{}", if text.trim().is_empty() { "" } else { ": " }, text.trim());
    if status.is_success() {
        return Ok(text);
    }
    let unreachable =
        status.is_server_error() || matches!(status.as_u16(), 401 | 403 | 404 | 408 | 429) || status.is_redirection();
    Err(Failure { why: text, unreachable })
}

/// Sends a test alert to every receiver, all at once.
///
/// # Errors
/// When there is no randomness for an id.
pub async fn test(app: &Shared) -> Result<Vec<Tested>> {
    let alerting = app.alerting();
    let http = client()?;
    let mut running = Vec::new();
    for receiver in alerting.receivers.clone() {
        let message = Message { reason: Reason::Test, alert: sample(), more: Vec::new() };
        let (id, http, link) = (delivery_id()?, http.clone(), link(app, &alerting));
        running.push(async move {
            let start = Instant::now();
            let result = send(&http, &receiver, &id, &message, &link, 0).await;
            let milliseconds = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
            let (ok, answer) = match result {
                Ok(answer) => (true, answer),
                Err(failure) => (false, failure.why),
            };
            Tested { receiver: receiver.name, ok, answer, milliseconds }
        });
    }
    let mut tested = futures_util::future::join_all(running).await;
    if alerting.log {
        tracing::warn!(kind = "test", "alert: {}", sample().summary);
        tested.push(Tested { receiver: "log".to_owned(), ok: true, answer: "written".to_owned(), milliseconds: 0 });
    }
    Ok(tested)
}

fn sample() -> Alert {
    Alert {
        sequence: 0,
        first_at: now(),
        last_at: now(),
        kind: "test".to_owned(),
        severity: Severity::Low,
        key: "test".to_owned(),
        tenant: None,
        surface: None,
        request_id: String::new(),
        summary: "a test: somebody wants to know whether alerts arrive".to_owned(),
        count: 1,
        announced: 1,
        until_ms: 0,
        due_ms: 0,
    }
}

//! Telling receivers of alerts: at once, and again until they have taken it.
//!
//! What must leave is in the outbox (`state/outbox.rs`), on disk since the alert is. Each receiver has a task of its own while
//! something waits for it, so one that hangs delays no other. A message may come twice, under the same id, when we end
//! between its arrival and our note of it; it is never lost.

mod alertmanager;
mod send;
mod webhook;

pub use send::{Tested, test};
pub use webhook::{body, signature};

use crate::api::Shared;
use crate::state::{Delivery, KEPT_MS, Outcome, now_ms};
use anyhow::Result;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// After the first failure; doubled with each further one.
const BACKOFF_MS: u64 = 1000;
/// The longest time between two tries.
const LONGEST_MS: u64 = 60_000;
/// When the store fails.
const STORE_PAUSE: Duration = Duration::from_secs(1);

/// Where a receiver's task stands.
#[derive(Clone, Copy, Default)]
struct Line {
    busy: bool,
    /// It could not be reached: nothing is tried before then, Unix milliseconds.
    hold_ms: u64,
}

/// The lines to all receivers.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<HashMap<String, Line>>>);

impl Lines {
    fn with<T>(&self, name: &str, change: impl FnOnce(&mut Line) -> T) -> T {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        change(lines.entry(name.to_owned()).or_default())
    }
}

/// Frees a line however its task ends.
struct Free(Lines, String, Shared);

impl Drop for Free {
    fn drop(&mut self) {
        self.0.with(&self.1, |line| line.busy = false);
        self.2.alerts_changed.notify_one();
    }
}

/// Delivers for as long as the process lives.
pub async fn run(app: Shared) {
    let http = match send::client() {
        Ok(http) => http,
        Err(error) => return tracing::error!(error = format!("{error:#}"), "alerts cannot be delivered"),
    };
    let lines = Lines::default();
    loop {
        let changed = app.alerts_changed.notified();
        let closing = app.clone();
        let closed = tokio::task::spawn_blocking(move || closing.close_windows()).await;
        if !matches!(closed, Ok(Ok(()))) {
            tracing::error!(?closed, "summaries of alerts cannot be written");
            tokio::time::sleep(STORE_PAUSE).await;
        }
        let now = now_ms();
        let (waiting, window) = app.due();
        let mut next = window.unwrap_or(u64::MAX);
        for (name, at) in waiting {
            let line = lines.with(&name, |line| *line);
            let at = at.max(line.hold_ms);
            if line.busy {
                continue;
            }
            if at > now {
                next = next.min(at);
                continue;
            }
            lines.with(&name, |line| line.busy = true);
            let free = Free(lines.clone(), name, app.clone());
            tokio::spawn(work(http.clone(), free));
        }
        let pause = Duration::from_millis(next.saturating_sub(now).clamp(1, LONGEST_MS));
        let _ = tokio::time::timeout(pause, changed).await;
    }
}

/// Tells one receiver of everything that may be tried now.
async fn work(http: reqwest::Client, free: Free) {
    let Free(lines, name, app) = &free;
    while let Some((number, delivery)) = app.next_delivery(name) {
        let (outcome, hold) = attempt(&http, app, &delivery).await;
        if let Some(until) = hold {
            lines.with(name, |line| line.hold_ms = until);
        }
        let (settling, id) = (app.clone(), delivery.id);
        let settled: Result<()> = tokio::task::spawn_blocking(move || settling.settle(number, &id, outcome))
            .await
            .map_err(anyhow::Error::from)
            .flatten();
        if let Err(error) = settled {
            tracing::error!(error = format!("{error:#}"), "what became of an alert's delivery cannot be written");
            lines.with(name, |line| line.hold_ms = now_ms() + 5 * BACKOFF_MS);
            return;
        }
        if hold.is_some() {
            return;
        }
    }
}

/// One try: what became of it, and until when nothing else needs to be tried there.
async fn attempt(http: &reqwest::Client, app: &Shared, delivery: &Delivery) -> (Outcome, Option<u64>) {
    let name = &delivery.receiver;
    let alert = &delivery.message.alert;
    let alerting = app.alerting();
    let Some(receiver) = alerting.receivers.iter().find(|receiver| receiver.name == *name) else {
        tracing::error!(
            receiver = name,
            sequence = alert.sequence,
            "an alert is not delivered: the policy no longer names its receiver"
        );
        return (Outcome::Dropped("the policy no longer names the receiver"), None);
    };
    if now_ms().saturating_sub(delivery.since_ms) > KEPT_MS {
        tracing::error!(
            receiver = name,
            sequence = alert.sequence,
            attempts = delivery.attempts,
            "an alert is given up: its receiver has not taken it for a day"
        );
        return (Outcome::Dropped("not taken for a day"), None);
    }
    let link = link(app, &alerting);
    match send::send(http, receiver, &delivery.id, &delivery.message, &link, alerting.dedupe_s).await {
        Ok(_) => (Outcome::Delivered, None),
        Err(failure) => {
            let next_ms = now_ms() + backoff(delivery.attempts);
            tracing::warn!(
                receiver = name,
                sequence = alert.sequence,
                attempts = delivery.attempts + 1,
                why = failure.why,
                "an alert could not be delivered; it is tried again"
            );
            (Outcome::Failed { why: failure.why, next_ms }, failure.unreachable.then_some(next_ms))
        }
    }
}

/// Where people can look at alerts.
fn link(app: &Shared, alerting: &crate::policy::Alerting) -> String {
    let own = app.address.get().cloned().unwrap_or_default();
    alerting.external_url.clone().unwrap_or(own)
}

/// How long to wait: doubled with each failure, up to a minute, less a random part, so that receivers that come back are not
/// met by all at once.
fn backoff(attempts: u32) -> u64 {
    let full = BACKOFF_MS.saturating_mul(1 << attempts.min(10)).min(LONGEST_MS);
    let mut random = [0; 2];
    let _ = getrandom::fill(&mut random);
    full - u64::from(u16::from_le_bytes(random)) * (full / 2) / u64::from(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tries_are_never_more_than_a_minute_apart() {
        for attempts in (0..70).chain([u32::MAX]) {
            let (low, high) = (500 << attempts.min(6), (1000 << attempts.min(6)).min(60_000));
            let wait = backoff(attempts);
            assert!((low.min(30_000)..=high).contains(&wait), "{attempts}: {wait}");
        }
    }
}

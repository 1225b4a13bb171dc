//! Messages on their way to receivers. They are written with the alerts that they tell of, and removed when the receiver has
//! taken them or a day has passed: a restart loses none.

use super::alerts::Alert;
use super::desk::{Batch, Rules};
use super::{App, lock, now_ms};
use crate::policy::Alerting;
use crate::store::Write;
use anyhow::{Result, anyhow};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use utoipa::ToSchema;

/// When so many messages wait, further ones leave as "more" only.
const CROWDED: usize = 10_000;
/// How long a message is tried.
pub const KEPT_MS: u64 = 24 * 3_600_000;

/// Why a message leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The alert is new.
    First,
    /// Its window has ended, and it was raised again meanwhile.
    Summary,
    /// One message for many alerts that came faster than the limit.
    More,
    /// Somebody wants to know whether it arrives.
    Test,
}

/// What receivers are told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Why.
    pub reason: Reason,
    /// The alert, as it was then.
    pub alert: Alert,
    /// With [`Reason::More`]: the alerts that it stands for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub more: Vec<Alert>,
}

/// A message on its way to a receiver.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Delivery {
    /// Its own, the same at every try.
    pub id: String,
    /// The receiver's name.
    pub receiver: String,
    /// What it is told.
    pub message: Arc<Message>,
    /// When it was put here, Unix milliseconds.
    pub since_ms: u64,
    /// How often it was tried.
    pub attempts: u32,
    /// Not before then, Unix milliseconds.
    pub next_ms: u64,
}

/// What is remembered of a receiver.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct Standing {
    /// Messages that it took.
    pub delivered: u64,
    /// Messages that were given up: after a day, or because the policy no longer names the receiver.
    pub dropped: u64,
    /// When it took the last one, Unix seconds; 0 for never.
    pub delivered_at: u64,
    /// Since when every try has failed, Unix seconds; 0 when the last one did not.
    pub failing_since: u64,
    /// Why the last try failed.
    pub last_error: Option<String>,
}

/// What became of a try.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// The receiver took it.
    Delivered,
    /// It did not; try again then.
    Failed {
        /// Why.
        why: String,
        /// When, Unix milliseconds.
        next_ms: u64,
    },
    /// It is given up.
    Dropped(&'static str),
}

/// What is written with a change and told to the memory after the commit.
#[derive(Clone)]
pub(super) struct Filed {
    log: bool,
    batch: Batch,
    deliveries: BTreeMap<u64, Delivery>,
    raised: Vec<Alert>,
    now_ms: u64,
}

/// An id that no other delivery has, of any control plane.
pub fn delivery_id() -> Result<String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| anyhow!("no randomness: {error}"))?;
    Ok(hex::encode(bytes))
}

impl App {
    /// The rules and receivers of the policy in force.
    pub fn alerting(&self) -> Alerting {
        self.read(|model| model.compiled.as_ref().map(|compiled| compiled.alerts.clone())).unwrap_or_default()
    }

    fn rules(&self, alerting: &Alerting) -> Rules {
        let crowded = lock(&self.desk).outbox.len() >= CROWDED;
        Rules { dedupe_ms: alerting.dedupe_s * 1000, rate: if crowded { 0 } else { alerting.rate_limit } }
    }

    /// Writes new alerts and their messages into a transaction. After its commit, and before another writer's turn,
    /// [`App::filed`].
    pub(super) fn file(&self, write: &Write, alerting: &Alerting, raised: Vec<Alert>) -> Result<Filed> {
        let (now_ms, rules) = (now_ms(), self.rules(alerting));
        let batch = lock(&self.desk).raise(raised.clone(), now_ms, rules);
        self.write_batch(write, alerting, batch, raised, now_ms)
    }

    fn write_batch(
        &self,
        write: &Write,
        alerting: &Alerting,
        batch: Batch,
        raised: Vec<Alert>,
        now_ms: u64,
    ) -> Result<Filed> {
        let mut number = lock(&self.desk).outbox.last_key_value().map_or(0, |(number, _)| *number);
        let mut deliveries = BTreeMap::new();
        for message in &batch.messages {
            let message = Arc::new(message.clone());
            for receiver in alerting.receivers.iter().filter(|receiver| receiver.wants(&message.alert.kind)) {
                number += 1;
                let delivery = Delivery {
                    id: delivery_id()?,
                    receiver: receiver.name.clone(),
                    message: Arc::clone(&message),
                    since_ms: now_ms,
                    attempts: 0,
                    next_ms: now_ms,
                };
                deliveries.insert(number, delivery);
            }
        }
        write.put_numbered("alert", batch.changed.iter().map(|(sequence, alert)| (*sequence, alert)))?;
        write.remove_numbered("alert", batch.gone.iter().copied())?;
        write.put_numbered("outbox", deliveries.iter().map(|(number, delivery)| (*number, delivery)))?;
        Ok(Filed { log: alerting.log, batch, deliveries, raised, now_ms })
    }

    /// What was written becomes true, and leaves.
    pub(super) fn filed(&self, filed: Filed) {
        if filed.batch.changed.is_empty() {
            return;
        }
        for alert in &filed.raised {
            self.metrics.alert(&alert.kind);
        }
        if filed.log {
            for Message { reason, alert, .. } in &filed.batch.messages {
                tracing::warn!(kind = alert.kind, severity = ?alert.severity, tenant = ?alert.tenant, surface = ?alert.surface,
                    request_id = %alert.request_id, count = alert.count, ?reason, "alert: {}", alert.summary);
            }
        }
        let mut desk = lock(&self.desk);
        desk.apply(filed.batch, filed.now_ms);
        desk.outbox.extend(filed.deliveries);
        drop(desk);
        self.alerts_changed.notify_one();
    }

    /// Lets out the summaries whose time has come.
    ///
    /// # Errors
    /// When the store fails: then they stay due.
    pub fn close_windows(&self) -> Result<()> {
        let due = |app: &Self| lock(&app.desk).next_due().is_some_and(|at| at <= now_ms());
        if !due(self) {
            return Ok(());
        }
        let _writer = lock(&self.writer);
        let (alerting, now_ms) = (self.alerting(), now_ms());
        let rules = self.rules(&alerting);
        let batch = lock(&self.desk).close(now_ms, rules);
        let write = self.store.write()?;
        let filed = self.write_batch(&write, &alerting, batch, Vec::new(), now_ms)?;
        write.commit()?;
        self.filed(filed);
        Ok(())
    }

    /// For every receiver for which something waits: when its next try is due. And when the next window ends.
    pub fn due(&self) -> (BTreeMap<String, u64>, Option<u64>) {
        let desk = lock(&self.desk);
        let mut next: BTreeMap<String, u64> = BTreeMap::new();
        for delivery in desk.outbox.values() {
            match next.get_mut(&delivery.receiver) {
                Some(at) => *at = delivery.next_ms.min(*at),
                None => drop(next.insert(delivery.receiver.clone(), delivery.next_ms)),
            }
        }
        (next, desk.next_due())
    }

    /// The oldest delivery to a receiver that may be tried now.
    pub fn next_delivery(&self, receiver: &str) -> Option<(u64, Delivery)> {
        let now_ms = now_ms();
        let desk = lock(&self.desk);
        let mut ready = desk.outbox.iter().filter(|(_, d)| d.receiver == receiver && d.next_ms <= now_ms);
        ready.next().map(|(number, delivery)| (*number, delivery.clone()))
    }

    /// Notes what became of a try.
    ///
    /// # Errors
    /// When the store fails: then it is tried again, under the same id.
    pub fn settle(&self, number: u64, id: &str, outcome: Outcome) -> Result<()> {
        let _writer = lock(&self.writer);
        // The id too: numbers are given anew.
        let known = lock(&self.desk).outbox.get(&number).filter(|delivery| delivery.id == id).cloned();
        let Some(mut delivery) = known else { return Ok(()) };
        let name = delivery.receiver.clone();
        let mut standing = lock(&self.desk).receivers.get(&name).cloned().unwrap_or_default();
        let now = now_ms() / 1000;
        let write = self.store.write()?;
        let result = match &outcome {
            Outcome::Delivered => {
                standing.delivered += 1;
                (standing.delivered_at, standing.failing_since) = (now, 0);
                "delivered"
            }
            Outcome::Failed { why, next_ms } => {
                if standing.failing_since == 0 {
                    standing.failing_since = now;
                }
                standing.last_error = Some(why.clone());
                delivery.attempts = delivery.attempts.saturating_add(1);
                delivery.next_ms = *next_ms;
                "failed"
            }
            Outcome::Dropped(_) => {
                standing.dropped += 1;
                "dropped"
            }
        };
        match &outcome {
            Outcome::Failed { .. } => write.put_numbered("outbox", [(number, &delivery)])?,
            _ => write.remove_numbered("outbox", [number])?,
        }
        write.put("receiver", &name, &standing)?;
        write.commit()?;
        let mut desk = lock(&self.desk);
        match outcome {
            Outcome::Failed { .. } => drop(desk.outbox.insert(number, delivery)),
            _ => drop(desk.outbox.remove(&number)),
        }
        desk.receivers.insert(name.clone(), standing);
        self.metrics.delivery(&name, result);
        Ok(())
    }

    /// What is remembered of a receiver, how many messages wait for it, and since when the oldest (Unix milliseconds).
    pub fn standing(&self, receiver: &str) -> (Standing, u64, Option<u64>) {
        let desk = lock(&self.desk);
        let waiting = desk.outbox.values().filter(|delivery| delivery.receiver == receiver);
        let (count, oldest) = waiting.fold((0, None), |(count, oldest): (u64, Option<u64>), delivery| {
            (count + 1, Some(oldest.map_or(delivery.since_ms, |at| at.min(delivery.since_ms))))
        });
        (desk.receivers.get(receiver).cloned().unwrap_or_default(), count, oldest)
    }

    /// How many messages wait, and since when the oldest (Unix milliseconds).
    pub fn waiting(&self) -> (usize, Option<u64>) {
        let desk = lock(&self.desk);
        (desk.outbox.len(), desk.outbox.values().map(|delivery| delivery.since_ms).min())
    }
}

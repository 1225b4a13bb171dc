//! Decisions on their way to the control plane: in batches, alerts at once, bounded, with losses counted.
//!
//! A record is written when it is made, while it is at hand; a report only joins what was written. A report in flight
//! is kept until it is acknowledged; when it fails, its records go back to the front. When the queue is full the
//! oldest record that is no alert makes room; alerts are dropped last.

use partywall_core::record::{Decision, Outcome, Totals};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Records that wait at most.
const QUEUE: usize = 4096;
/// Records in one report.
const BATCH: usize = 500;
/// How long an ordinary record waits for company.
const LINGER: Duration = Duration::from_secs(1);

/// A decision as it will be sent.
struct Record {
    json: Vec<u8>,
    alert: bool,
}

/// The queue of one VM.
pub struct Reporter {
    queue: VecDeque<Record>,
    in_flight: Option<(u32, Vec<Record>)>,
    totals: Totals,
    lost: u64,
    urgent: bool,
    not_before: Instant,
}

impl Reporter {
    /// An empty queue.
    pub fn new(now: Instant) -> Self {
        Self {
            queue: VecDeque::new(),
            in_flight: None,
            totals: Totals::default(),
            lost: 0,
            urgent: false,
            not_before: now,
        }
    }

    /// Takes a record; returns how many had to be dropped for it.
    pub fn push(&mut self, decision: &Decision) -> u64 {
        let totals = &mut self.totals;
        totals.requests = totals.requests.saturating_add(1);
        if matches!(decision.outcome, Outcome::Denied | Outcome::Blocked) {
            totals.denied = totals.denied.saturating_add(1);
        }
        totals.hits = totals.hits.saturating_add(u64::try_from(decision.hits.len()).unwrap_or(0));
        totals.dropped = totals.dropped.saturating_add(decision.dropped);
        totals.bytes.add(decision.bytes);
        // A record that cannot be written would spoil every report that it is in.
        let Ok(json) = serde_json::to_vec(decision) else {
            self.lost = self.lost.saturating_add(1);
            return 1;
        };
        let record = Record { json, alert: decision.is_alert() };
        self.urgent |= record.alert;
        self.queue.push_back(record);
        self.trim()
    }

    fn trim(&mut self) -> u64 {
        let mut dropped = 0u64;
        while self.queue.len() > QUEUE {
            let victim = self.queue.iter().position(|record| !record.alert).unwrap_or(0);
            self.queue.remove(victim);
            dropped = dropped.saturating_add(1);
        }
        self.lost = self.lost.saturating_add(dropped);
        dropped
    }

    /// The report that is due now, if any: a [`partywall_core::record::Report`] as JSON. The caller sends it and says
    /// [`Reporter::sent`] or [`Reporter::failed`].
    pub fn due(&mut self, now: Instant, instance: &str, revision: u64) -> Option<Vec<u8>> {
        let waiting = self.urgent || self.queue.len() >= BATCH || now >= self.not_before;
        if self.in_flight.is_some() || self.queue.is_empty() || !waiting {
            return None;
        }
        let batch: Vec<Record> = self.queue.drain(..self.queue.len().min(BATCH)).collect();
        self.urgent = self.queue.iter().any(|record| record.alert);
        self.not_before = now.checked_add(LINGER).unwrap_or(now);
        let instance = serde_json::to_string(instance).unwrap_or_default();
        let totals = serde_json::to_string(&self.totals).unwrap_or_default();
        let size = batch.iter().fold(256usize, |sum, record| sum.saturating_add(record.json.len()).saturating_add(1));
        let mut body = Vec::with_capacity(size);
        let lost = self.lost;
        body.extend_from_slice(
            format!(
                "{{\"instance\":{instance},\"revision\":{revision},\"lost\":{lost},\"totals\":{totals},\"decisions\":["
            )
            .as_bytes(),
        );
        for (index, record) in batch.iter().enumerate() {
            if index > 0 {
                body.push(b',');
            }
            body.extend_from_slice(&record.json);
        }
        body.extend_from_slice(b"]}");
        self.in_flight = Some((0, batch));
        Some(body)
    }

    /// The report of [`Reporter::due`] is on its way as call `token`.
    pub fn sent(&mut self, token: u32) {
        if let Some((waiting, _)) = &mut self.in_flight {
            *waiting = token;
        }
    }

    /// Whether `token` is the report in flight.
    pub fn awaits(&self, token: u32) -> bool {
        matches!(self.in_flight, Some((waiting, _)) if waiting == token)
    }

    /// The report arrived.
    pub fn acknowledged(&mut self) {
        self.in_flight = None;
    }

    /// The report did not arrive: its records go back to the front. Returns how many had to be dropped.
    pub fn failed(&mut self, now: Instant) -> u64 {
        if let Some((_, batch)) = self.in_flight.take() {
            self.urgent = false;
            for record in batch.into_iter().rev() {
                self.queue.push_front(record);
            }
        }
        self.not_before = now.checked_add(LINGER).unwrap_or(now);
        self.trim()
    }
}

//! Documents on their way to the control plane: in order, bounded, with losses counted.
//!
//! As with decisions, a report in flight is kept until it is acknowledged, and goes back to the front when it fails. When the queue is
//! full the newest is lost: what an older one says of the same document would otherwise be what remains.

use partywall_core::harvest::Written;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Bytes that wait at most, of reports as they are sent.
const QUEUE: usize = 8 * 1024 * 1024;
/// Bytes of one report, unless one document alone has more.
const BATCH: usize = 512 * 1024;
/// How long a failed report waits.
const RETRY: Duration = Duration::from_secs(1);

/// The queue of one VM.
pub struct Harvester {
    queue: VecDeque<Vec<u8>>,
    /// Bytes in the queue and in flight.
    bytes: usize,
    in_flight: Option<(u32, Vec<Vec<u8>>, u64)>,
    /// Lost since the last report that arrived.
    lost: u64,
    not_before: Instant,
}

impl Harvester {
    /// An empty queue.
    pub fn new(now: Instant) -> Self {
        Self { queue: VecDeque::new(), bytes: 0, in_flight: None, lost: 0, not_before: now }
    }

    /// Takes what a request wrote; returns how many documents are lost.
    pub fn push(&mut self, documents: &[Written], skipped: u64) -> u64 {
        let mut lost = skipped;
        for document in documents {
            match serde_json::to_vec(document) {
                Ok(json) if self.bytes.saturating_add(json.len()) <= QUEUE => {
                    self.bytes = self.bytes.saturating_add(json.len());
                    self.queue.push_back(json);
                }
                _ => lost = lost.saturating_add(1),
            }
        }
        self.lost = self.lost.saturating_add(lost);
        lost
    }

    /// The report that is due now, if any: a [`partywall_core::harvest::Harvest`] as JSON. The caller sends it and says
    /// [`Harvester::sent`] or [`Harvester::failed`].
    pub fn due(&mut self, now: Instant, instance: &str) -> Option<Vec<u8>> {
        if self.in_flight.is_some() || now < self.not_before || (self.queue.is_empty() && self.lost == 0) {
            return None;
        }
        let mut batch = Vec::new();
        let mut size = 0usize;
        while let Some(next) = self.queue.front() {
            size = size.saturating_add(next.len()).saturating_add(1);
            if size > BATCH && !batch.is_empty() {
                break;
            }
            batch.extend(self.queue.pop_front());
        }
        let instance = serde_json::to_string(instance).unwrap_or_default();
        let lost = std::mem::take(&mut self.lost);
        let mut body = format!("{{\"instance\":{instance},\"lost\":{lost},\"writes\":[").into_bytes();
        for (index, document) in batch.iter().enumerate() {
            if index > 0 {
                body.push(b',');
            }
            body.extend_from_slice(document);
        }
        body.extend_from_slice(b"]}");
        self.in_flight = Some((0, batch, lost));
        Some(body)
    }

    /// The report of [`Harvester::due`] is on its way as call `token`.
    pub fn sent(&mut self, token: u32) {
        if let Some((waiting, ..)) = &mut self.in_flight {
            *waiting = token;
        }
    }

    /// Whether `token` is the report in flight.
    pub fn awaits(&self, token: u32) -> bool {
        matches!(self.in_flight, Some((waiting, ..)) if waiting == token)
    }

    /// The report arrived.
    pub fn acknowledged(&mut self) {
        let gone = self.in_flight.take().map_or(0, |(_, batch, _)| batch.iter().map(Vec::len).sum());
        self.bytes = self.bytes.saturating_sub(gone);
    }

    /// The report did not arrive: what it said goes back to the front.
    pub fn failed(&mut self, now: Instant) {
        if let Some((_, batch, lost)) = self.in_flight.take() {
            self.lost = self.lost.saturating_add(lost);
            for document in batch.into_iter().rev() {
                self.queue.push_front(document);
            }
        }
        self.not_before = now.checked_add(RETRY).unwrap_or(now);
    }
}

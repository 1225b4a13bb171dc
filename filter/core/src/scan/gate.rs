//! The gate: what was read waits here until it may leave.
//!
//! Bytes leave in order and verbatim, but for spans to be redacted. The gate counts: everything that came in was
//! delivered, withheld, or is still held.

use crate::record::Bytes;
use std::collections::{BTreeMap, VecDeque};

/// What stands in the place of a redacted span.
pub(super) const REDACTED: &[u8] = b"[redacted]";

/// The same between numbers.
const ZERO: &[u8] = b"0";

/// The end of a span to be replaced, and whether it shows the replacement: further spans of the same match just vanish.
type Redaction = (u64, bool);

/// Bytes on their way out.
#[derive(Default)]
pub(super) struct Gate {
    buffer: Vec<u8>,
    /// The first byte of `buffer` that is still held.
    head: usize,
    /// The stream's offset of the first held byte.
    at: u64,
    /// By where they begin; no two touch.
    redactions: BTreeMap<u64, Redaction>,
    /// Where arrays of numbers stand: a number takes the place of what is replaced there.
    numbers: VecDeque<(u64, u64)>,
    /// Up to here a redaction's replacement has been written already.
    redacted_to: u64,
    out: Vec<u8>,
    bytes: Bytes,
}

impl Gate {
    /// Takes bytes in.
    pub(super) fn take(&mut self, bytes: &[u8]) {
        if self.head > 0 && self.head >= self.buffer.len() / 2 {
            self.buffer.drain(..self.head);
            self.head = 0;
        }
        self.buffer.extend_from_slice(bytes);
        self.bytes.scanned = self.bytes.scanned.saturating_add(bytes.len() as u64);
    }

    /// The stream's offset of the first byte that has not left.
    pub(super) fn at(&self) -> u64 {
        self.at
    }

    /// How many bytes are held.
    pub(super) fn held(&self) -> usize {
        self.buffer.len().saturating_sub(self.head)
    }

    /// Marks the spans of a match.
    pub(super) fn redact(&mut self, spans: &[(u64, u64)]) {
        for (index, (from, to)) in spans.iter().enumerate() {
            let (mut from, mut to, mut shown) = (*from, *to, index == 0);
            // Those that it touches become one with it. They end as they begin: the last that begins in it may begin before it.
            while let Some((begin, (end, also))) = self.redactions.range(..=to).next_back()
                && *end >= from
            {
                let begin = *begin;
                (from, to, shown) = (from.min(begin), to.max(*end), shown | also);
                self.redactions.remove(&begin);
            }
            self.redactions.insert(from, (to, shown));
        }
    }

    /// Says that an array of numbers stands there.
    pub(super) fn numbers(&mut self, from: u64, to: u64) {
        while self.numbers.front().is_some_and(|array| array.1 <= self.at) {
            self.numbers.pop_front();
        }
        self.numbers.push_back((from, to));
    }

    /// Lets everything before `to` leave.
    pub(super) fn release(&mut self, to: u64) {
        while self.at < to {
            let redaction = self.redactions.first_key_value().map(|(from, redaction)| (*from, *redaction));
            match redaction {
                Some((from, (end, _))) if end <= self.at => {
                    self.redactions.remove(&from);
                }
                Some((from, (end, shown))) if from <= self.at => {
                    let begins = !(from <= self.redacted_to && self.redacted_to > 0);
                    if begins && self.in_numbers(from) {
                        self.out.extend_from_slice(ZERO);
                    } else if begins && shown {
                        self.out.extend_from_slice(REDACTED);
                    }
                    self.redacted_to = end;
                    let gone = self.pop(end.min(to), false);
                    if gone == 0 {
                        return;
                    }
                    self.bytes.withheld = self.bytes.withheld.saturating_add(gone);
                }
                other => {
                    let until = other.map_or(to, |(from, _)| from.min(to));
                    let gone = self.pop(until, true);
                    self.bytes.delivered = self.bytes.delivered.saturating_add(gone);
                    if gone == 0 {
                        return;
                    }
                }
            }
        }
    }

    /// Whether an array of numbers stands there. They were noted in the order of the stream.
    fn in_numbers(&self, at: u64) -> bool {
        let after = self.numbers.partition_point(|array| array.0 <= at);
        after.checked_sub(1).and_then(|last| self.numbers.get(last)).is_some_and(|array| at < array.1)
    }

    fn pop(&mut self, to: u64, keep: bool) -> u64 {
        let count = usize::try_from(to.saturating_sub(self.at)).unwrap_or(usize::MAX).min(self.held());
        let end = self.head.saturating_add(count);
        if keep {
            self.out.extend_from_slice(self.buffer.get(self.head..end).unwrap_or_default());
        }
        self.head = end;
        self.at = self.at.saturating_add(count as u64);
        count as u64
    }

    /// Everything that is held will never leave.
    pub(super) fn withhold(&mut self) {
        let gone = self.held() as u64;
        self.bytes.withheld = self.bytes.withheld.saturating_add(gone);
        self.at = self.at.saturating_add(gone);
        self.buffer.clear();
        self.head = 0;
    }

    /// Bytes that come after the verdict: counted, never kept.
    pub(super) fn swallow(&mut self, len: usize) {
        self.bytes.scanned = self.bytes.scanned.saturating_add(len as u64);
        self.bytes.withheld = self.bytes.withheld.saturating_add(len as u64);
    }

    /// What may leave now.
    pub(super) fn drain(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.out)
    }

    /// The count so far; what is held is in `scanned` only.
    pub(super) fn bytes(&self) -> Bytes {
        self.bytes
    }
}

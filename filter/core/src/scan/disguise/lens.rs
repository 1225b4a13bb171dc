//! A lens: one way to read a stream as symbols, with what in it may become a match.
//!
//! A thread is a text that began like a pattern: it is born with the last symbol of a gram, narrows the range of
//! patterns with each further symbol, and dies when the range is empty. It holds the stream back **from the character
//! that bore it on**; what came before may have left. So what may leave depends on the stream only, not on its split.

use super::{Find, Found, symbols};
use crate::scan::load::LoadedSegment;
use std::rc::Rc;

#[derive(Clone, Copy, PartialEq, Eq)]
struct Thread {
    segment: u8,
    depth: u8,
    range: (u32, u32),
    /// Where the character stands that bore it.
    from: u64,
}

/// One way to read a stream.
#[derive(Clone, Default)]
pub(super) struct Lens {
    /// The last eight symbols, the last one in the highest byte.
    pub(super) window: u64,
    /// A UTF-8 sequence on its way, and how many bytes it lacks.
    sequence: u32,
    missing: u8,
    threads: Vec<Thread>,
}

impl Lens {
    /// Forgets everything.
    pub(super) fn clear(&mut self, find: &mut Find<'_>) {
        find.alive = find.alive.saturating_sub(self.threads.len());
        self.threads.clear();
        (self.window, self.missing) = (0, 0);
    }

    /// Becomes as another lens.
    pub(super) fn copy(&mut self, other: &Self, find: &mut Find<'_>) {
        self.clear(find);
        self.window = other.window;
        self.threads.clone_from(&other.threads);
        find.alive = find.alive.saturating_add(self.threads.len());
    }

    /// Whether what follows means the same to both.
    pub(super) fn agrees(&self, other: &Self) -> bool {
        (self.window ^ other.window) >> super::SHIFT == 0 && self.missing == 0 && self.threads == other.threads
    }

    /// Where the first thread was born: they are in the order of their birth.
    pub(super) fn live_from(&self) -> Option<u64> {
        self.threads.first().map(|thread| thread.from)
    }

    /// Reads one symbol, 0 for none.
    #[inline]
    pub(super) fn symbol(&mut self, symbol: u8, find: &mut Find<'_>) {
        if symbol == 0 {
            return;
        }
        self.window = self.window >> 8 | u64::from(symbol) << 56;
        if !self.threads.is_empty() {
            self.step(symbol, find);
        }
        if find.grams.maybe(self.window) {
            self.bear(find);
        }
    }

    /// Reads one character.
    pub(super) fn char(&mut self, c: char, find: &mut Find<'_>) {
        self.missing = 0;
        symbols::char(c, |symbol| self.symbol(symbol, find));
    }

    /// Reads a byte of text that was decoded; `false` when it is no text.
    pub(super) fn byte(&mut self, byte: u8, find: &mut Find<'_>) -> bool {
        if self.missing > 0 {
            if byte & 0xc0 != 0x80 {
                return false;
            }
            self.sequence = self.sequence << 6 | u32::from(byte & 0x3f);
            self.missing = self.missing.wrapping_sub(1);
            if self.missing == 0 {
                let Some(c) = char::from_u32(self.sequence) else { return false };
                self.char(c, find);
            }
            return true;
        }
        (self.sequence, self.missing) = match byte {
            b' '..=0x7e | b'\t' | b'\n' | b'\r' => {
                self.symbol(symbols::ascii(byte), find);
                return true;
            }
            0xc2..=0xdf => (u32::from(byte & 0x1f), 1),
            0xe0..=0xef => (u32::from(byte & 0x0f), 2),
            0xf0..=0xf4 => (u32::from(byte & 0x07), 3),
            _ => return false,
        };
        true
    }

    #[cold]
    fn step(&mut self, symbol: u8, find: &mut Find<'_>) {
        let before = self.threads.len();
        let mut ends: Vec<(u64, u8, Option<Found>)> = Vec::new();
        self.threads.retain_mut(|thread| {
            let Some(segment) = find.set.segments().get(usize::from(thread.segment)) else { return false };
            let Some(range) = segment.disguises.narrow(thread.range, thread.depth, symbol) else { return false };
            (thread.range, thread.depth) = (range, thread.depth.saturating_add(1));
            let owner = find.owners.get(usize::from(thread.segment)).copied().flatten();
            for entry in segment.disguises.ends(range, thread.depth).filter_map(|entry| segment.entry(entry)) {
                let foreign = find.set.foreign(segment, entry, owner);
                let found = Found { id: entry.id, severity: entry.severity, from: thread.from };
                ends.push((thread.from, thread.depth, foreign.then_some(found)));
            }
            thread.depth < u8::MAX
        });
        find.alive = find.alive.wrapping_sub(before).wrapping_add(self.threads.len());
        // What is an own fingerprint too is the tenant's own, in whatever segment.
        let own = |from, depth| ends.iter().any(|(f, d, found)| (*f, *d) == (from, depth) && found.is_none());
        for (from, depth, found) in &ends {
            if let Some(found) = found.filter(|_| !own(*from, *depth)) {
                find.found.push(found);
            }
        }
    }

    #[cold]
    fn bear(&mut self, find: &mut Find<'_>) {
        for (index, segment) in find.set.segments().iter().enumerate() {
            let segment: &Rc<LoadedSegment> = segment;
            if let Some(range) = segment.disguises.find(self.window) {
                let depth = super::GRAM as u8;
                self.threads.push(Thread { segment: index as u8, depth, range, from: find.at });
                find.alive = find.alive.saturating_add(1);
            }
        }
    }
}

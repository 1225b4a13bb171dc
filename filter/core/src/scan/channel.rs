//! One logical text: the deltas of one choice, one field of a document, a plain body. It carries the automata's states
//! from piece to piece, so a phrase is found however it was split.
//!
//! For every folded byte of the last 256 the channel remembers where in the stream its character was written. The
//! depth of a state counts folded bytes, so the start of the longest live prefix is one look-up away, and so is
//! the span of a match. No fingerprint is longer than 255 folded bytes.

use super::fold::{self, SEPARATOR};
use super::set::{FingerprintSet, MAX_SEGMENTS};
use crate::record::Severity;
use crate::snapshot::wire::HoldBack;

/// Where a folded byte was written: `offset:48 | flags:8 | length:8`, in bytes of the stream.
type Place = u64;
const WORD_START: u64 = 1 << 8;
const STRING_START: u64 = 2 << 8;

fn offset(place: Place) -> u64 {
    place >> 16
}

fn end(place: Place) -> u64 {
    offset(place).saturating_add(place & 0xff)
}

/// In word-start mode a live prefix that begins inside a word is held only from this many folded bytes on.
const GLUED: u8 = 4;

/// A match: its fingerprint and the spans of the stream that wrote it, one per string that it touches.
pub(super) struct Match {
    pub(super) id: u64,
    pub(super) severity: Severity,
    pub(super) spans: Vec<(u64, u64)>,
}

/// A logical text.
pub(super) struct Channel {
    states: [u32; MAX_SEGMENTS],
    /// The states before the last character: what was live then decides what may leave when that character matches.
    before: [u32; MAX_SEGMENTS],
    before_count: u64,
    ring: Box<[Place; 256]>,
    count: u64,
    class: u8,
    last_separator: bool,
    string_start: bool,
    /// The whole last value, hashed: constants repeat.
    pub(super) last_value: Option<u64>,
}

/// What every channel of a scanner shares.
pub(super) struct Engine<'s> {
    pub(super) set: &'s FingerprintSet,
    pub(super) owners: &'s [Option<u32>],
}

/// Classes of characters; a word begins where the class changes, but not from `Upper` to `Lower`.
const CLASS_SEPARATOR: u8 = 0;
const CLASS_LOWER: u8 = 1;
const CLASS_UPPER: u8 = 2;
const CLASS_DIGIT: u8 = 3;
const CLASS_OTHER: u8 = 4;

fn class(byte: u8) -> u8 {
    match byte {
        b'a'..=b'z' => CLASS_LOWER,
        b'A'..=b'Z' => CLASS_UPPER,
        b'0'..=b'9' => CLASS_DIGIT,
        0x80.. => CLASS_OTHER,
        _ => CLASS_SEPARATOR,
    }
}

impl Channel {
    pub(super) fn new() -> Self {
        Self {
            states: [0; MAX_SEGMENTS],
            before: [0; MAX_SEGMENTS],
            before_count: 0,
            ring: Box::new([0; 256]),
            count: 0,
            class: CLASS_SEPARATOR,
            last_separator: true,
            string_start: true,
            last_value: None,
        }
    }

    /// Forgets everything live: what follows is another text.
    pub(super) fn restart(&mut self) {
        self.states = [0; MAX_SEGMENTS];
        self.before = [0; MAX_SEGMENTS];
        self.class = CLASS_SEPARATOR;
        self.last_separator = true;
        self.begin_string();
    }

    /// A new piece of the same text begins.
    pub(super) fn begin_string(&mut self) {
        self.string_start = true;
    }

    /// Reads text without escapes that was written at `at`, up to and including the first character that ends a
    /// match. Returns how many bytes it read.
    pub(super) fn text(&mut self, engine: &Engine<'_>, text: &str, at: u64, found: &mut Vec<Match>) -> usize {
        let mut rest = text;
        let first_at = at;
        let mut at = at;
        while let Some(first) = rest.as_bytes().first() {
            if first.is_ascii() {
                let run = rest.as_bytes().iter().position(|b| !b.is_ascii()).unwrap_or(rest.len());
                let (ascii, later) = rest.split_at_checked(run).unwrap_or((rest, ""));
                for byte in ascii.bytes() {
                    self.save();
                    self.emit(engine, fold::ascii(byte), class(byte), at << 16 | 1, found);
                    at = at.wrapping_add(1);
                    if !found.is_empty() {
                        return usize::try_from(at.wrapping_sub(first_at)).unwrap_or(text.len());
                    }
                }
                rest = later;
            } else if let Some(c) = rest.chars().next() {
                let len = c.len_utf8();
                self.char(engine, c, at, len, found);
                at = at.wrapping_add(len as u64);
                rest = rest.get(len..).unwrap_or("");
                if !found.is_empty() {
                    return text.len().saturating_sub(rest.len());
                }
            }
        }
        text.len()
    }

    /// Reads one character that `len` bytes at `at` wrote.
    pub(super) fn char(&mut self, engine: &Engine<'_>, c: char, at: u64, len: usize, found: &mut Vec<Match>) {
        self.save();
        let place = at << 16 | (len as u64 & 0xff);
        let kind = if c.is_ascii() { class(c as u8) } else { CLASS_OTHER };
        let mut vanished = true;
        fold::char(c, |byte| {
            vanished = false;
            self.emit(engine, byte, kind, place, found);
        });
        if vanished {
            self.class = CLASS_SEPARATOR;
        }
    }

    #[inline]
    fn save(&mut self) {
        self.before = self.states;
        self.before_count = self.count;
    }

    #[inline]
    fn emit(&mut self, engine: &Engine<'_>, byte: u8, class: u8, place: Place, found: &mut Vec<Match>) {
        if byte == SEPARATOR {
            self.class = CLASS_SEPARATOR;
            if self.last_separator {
                return;
            }
        }
        self.last_separator = byte == SEPARATOR;
        let mut place = place;
        if self.class != class && !(self.class == CLASS_UPPER && class == CLASS_LOWER) {
            place |= WORD_START;
        }
        if self.string_start {
            place |= STRING_START | WORD_START;
            self.string_start = false;
        }
        self.class = class;
        // An u8 indexes 256 places: this cannot be out of bounds.
        #[allow(clippy::indexing_slicing)]
        {
            self.ring[usize::from(self.count as u8)] = place;
        }
        self.count = self.count.wrapping_add(1);
        for (index, (segment, state)) in engine.set.segments().iter().zip(self.states.iter_mut()).enumerate() {
            *state = segment.automaton.step(*state, byte);
            if segment.automaton.slot(*state).out() {
                let owner = engine.owners.get(index).copied().flatten();
                for entry in segment.ends(*state).filter(|entry| engine.set.foreign(segment, entry, owner)) {
                    let spans = spans(&self.ring, self.count, entry.len);
                    found.push(Match { id: entry.id, severity: entry.severity, spans });
                }
            }
        }
    }

    /// Where the longest live prefix begins; `None` when nothing is live.
    pub(super) fn live_from(&self, engine: &Engine<'_>, hold: HoldBack) -> Option<u64> {
        self.live(engine, hold, &self.states, self.count)
    }

    /// As [`Channel::live_from`], before the last character was read.
    pub(super) fn live_from_before(&self, engine: &Engine<'_>, hold: HoldBack) -> Option<u64> {
        self.live(engine, hold, &self.before, self.before_count)
    }

    fn live(&self, engine: &Engine<'_>, hold: HoldBack, states: &[u32], count: u64) -> Option<u64> {
        let starts = engine.set.segments().iter().zip(states).filter_map(|(segment, state)| {
            let mut state = *state;
            loop {
                let slot = segment.automaton.slot(state);
                let depth = slot.depth();
                if depth == 0 {
                    return None;
                }
                let first = place(&self.ring, count, depth);
                if hold == HoldBack::Exact || first & WORD_START != 0 || depth >= GLUED {
                    return Some(offset(first));
                }
                state = slot.fail();
            }
        });
        starts.min()
    }
}

/// The place of the byte that is `back` from the end.
fn place(ring: &[Place; 256], count: u64, back: u8) -> Place {
    ring.get(usize::from((count as u8).wrapping_sub(back))).copied().unwrap_or(0)
}

/// The spans that wrote the last `len` folded bytes: one per string, gaps inside a string (vanished characters,
/// collapsed separators) included.
fn spans(ring: &[Place; 256], count: u64, len: u8) -> Vec<(u64, u64)> {
    let mut spans: Vec<(u64, u64)> = Vec::new();
    for back in (1..=len).rev() {
        let place = place(ring, count, back);
        match spans.last_mut() {
            Some(last) if place & STRING_START == 0 => last.1 = end(place),
            _ => spans.push((offset(place), end(place))),
        }
    }
    spans
}

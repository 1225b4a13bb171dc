//! One logical text: the deltas of one choice, one field of a document, a plain body. It carries the automata's states
//! from piece to piece, so a phrase is found however it was split.
//!
//! For every folded byte that the longest fingerprint may reach back to (255 at most) the channel remembers where in the stream its character was written. The
//! depth of a state counts folded bytes, so the start of the longest live prefix is one look-up away, and so is
//! the span of a match. No fingerprint is longer than 255 folded bytes.
//!
//! ASCII is read in blocks: folded once, then walked by each segment's automaton in a tight loop. A block in which
//! something foreign ends is read again character by character, so that what happens at a match has one place only.

use super::automaton::symbol;
use super::disguise::{Disguises, Quick, seen};
use super::fold::{self, SEPARATOR};
use super::set::{FingerprintSet, MAX_SEGMENTS};
use crate::phrase::{Reading, View};
use crate::record::{Class, Severity};
use crate::snapshot::wire::{Evasion, HoldBack};

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
    pub(super) class: Class,
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
    ring: Box<[Place]>,
    count: u64,
    class: u8,
    last_separator: bool,
    string_start: bool,
    /// The whole last value, hashed: constants repeat.
    pub(super) last_value: Option<u64>,
    /// Where the last value begins, if it repeated the one before: what begins in it waits for nothing.
    pub(super) constant: Option<u64>,
    /// One of many that may never go on.
    pub(super) transient: bool,
    /// The same text as words, for phrases.
    pub(super) words: Reading,
    /// The same text read for literals in disguise.
    disguises: Option<Box<Disguises>>,
}

/// What every channel of a scanner shares.
pub(super) struct Engine<'s> {
    pub(super) set: &'s FingerprintSet,
    pub(super) owners: &'s [Option<u32>],
    pub(super) phrases: Option<View<'s>>,
}

/// How many ASCII bytes are read at once.
const BLOCK: usize = 64;

/// So many are looked at before: behind a match they are looked at again.
const RUN: usize = 8 * BLOCK;

/// What one ASCII byte means: `what disguises see:16 | class:3 | symbol:6 | folded:7`.
const ASCII: [u32; 256] = {
    let mut table = [0u32; 256];
    let mut b = 0u8;
    while b < 128 {
        let folded = if b.is_ascii_alphanumeric() { b.to_ascii_lowercase() } else { SEPARATOR };
        let symbol = match folded {
            b'a'..=b'z' => folded & 0x1f,
            b'0'..=b'9' => folded,
            _ => 31,
        };
        #[allow(clippy::indexing_slicing)] // evaluated by the compiler
        {
            let plain = (class(b) as u16) << 13 | (symbol as u16) << 7 | folded as u16;
            table[b as usize] = (seen(b) as u32) << 16 | plain as u32;
        }
        b = b.wrapping_add(1);
    }
    table
};

/// A block of folded text on its way through the automata.
struct Block {
    /// As [`ASCII`] says them, separators collapsed.
    symbols: [u16; BLOCK],
    len: usize,
    class: u8,
    last_separator: bool,
    string_start: bool,
    /// The same bytes as the search for disguises wants them.
    quick: Quick,
}

/// What became of a block.
enum Read {
    /// Nothing foreign ends in it.
    All,
    /// Something ends in clear: nothing was read.
    Clear,
    /// Something in disguise ends after so many bytes, which were read for disguises only.
    Disguised(usize),
}

/// Classes of characters; a word begins where the class changes, but not from `Upper` to `Lower`.
const CLASS_SEPARATOR: u8 = 0;
const CLASS_LOWER: u8 = 1;
const CLASS_UPPER: u8 = 2;
const CLASS_DIGIT: u8 = 3;
const CLASS_OTHER: u8 = 4;

const fn class(byte: u8) -> u8 {
    match byte {
        b'a'..=b'z' => CLASS_LOWER,
        b'A'..=b'Z' => CLASS_UPPER,
        b'0'..=b'9' => CLASS_DIGIT,
        0x80.. => CLASS_OTHER,
        _ => CLASS_SEPARATOR,
    }
}

impl Channel {
    /// A text in which nothing was read yet, to be searched for `set`.
    pub(super) fn new(set: &FingerprintSet, evasion: Evasion) -> Self {
        // The ring must reach back over the longest fingerprint and what one character may fold to; a power of two.
        let ring = set.longest().saturating_add(BLOCK).next_power_of_two().min(512);
        Self {
            states: [0; MAX_SEGMENTS],
            before: [0; MAX_SEGMENTS],
            before_count: 0,
            ring: vec![0; ring].into_boxed_slice(),
            count: 0,
            class: CLASS_SEPARATOR,
            last_separator: true,
            string_start: true,
            last_value: None,
            constant: None,
            transient: false,
            words: Reading::new(evasion == Evasion::Strict),
            disguises: (evasion == Evasion::Strict && !set.grams().is_empty()).then(Box::default),
        }
    }

    /// Forgets everything live: what follows is another text.
    pub(super) fn restart(&mut self, engine: &Engine<'_>) {
        self.states = [0; MAX_SEGMENTS];
        self.before = [0; MAX_SEGMENTS];
        self.class = CLASS_SEPARATOR;
        self.last_separator = true;
        self.words.restart();
        if let Some(disguises) = &mut self.disguises {
            disguises.restart(engine);
        }
        self.begin_string();
    }

    /// A new piece of the same text begins.
    pub(super) fn begin_string(&mut self) {
        self.string_start = true;
        if let Some(disguises) = &mut self.disguises {
            disguises.begin_string();
        }
    }

    /// Reads text without escapes that was written at `at`, up to and including the first character that ends a
    /// match. Returns how many bytes it read.
    pub(super) fn text(&mut self, engine: &Engine<'_>, text: &str, at: u64, found: &mut Vec<Match>) -> usize {
        if engine.set.segments().is_empty() {
            return text.len();
        }
        let mut rest = text;
        let first_at = at;
        let mut at = at;
        while let Some(first) = rest.as_bytes().first() {
            if first.is_ascii() {
                let run = rest.as_bytes().iter().take(RUN).position(|b| !b.is_ascii()).unwrap_or(rest.len().min(RUN));
                let (ascii, later) = rest.split_at_checked(run).unwrap_or((rest, ""));
                for block in ascii.as_bytes().chunks(BLOCK) {
                    let disguised = match self.block(engine, block, at) {
                        Read::All => {
                            at = at.wrapping_add(block.len() as u64);
                            continue;
                        }
                        Read::Clear => None,
                        Read::Disguised(len) => Some(len),
                    };
                    for (index, byte) in block.iter().enumerate() {
                        self.save();
                        self.emit(engine, fold::ascii(*byte), class(*byte), at << 16 | 1, found);
                        if disguised.is_none_or(|len| index.wrapping_add(1) == len)
                            && let Some(disguises) = &mut self.disguises
                        {
                            if disguised.is_none() {
                                disguises.char(engine, char::from(*byte), at, 1);
                            }
                            disguises.take(found);
                        }
                        at = at.wrapping_add(1);
                        if !found.is_empty() {
                            return usize::try_from(at.wrapping_sub(first_at)).unwrap_or(text.len());
                        }
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

    /// Reads a block of ASCII, unless something foreign ends in it.
    fn block(&mut self, engine: &Engine<'_>, bytes: &[u8], at: u64) -> Read {
        let mut block = self.fold(bytes, at);
        let symbols = block.symbols.get(..block.len).unwrap_or_default();
        let mut states = self.states;
        for (index, (segment, state)) in engine.set.segments().iter().zip(states.iter_mut()).enumerate() {
            let mut rest = symbols;
            let mut slot = segment.automaton.slot(*state);
            // After a letter of another script the table of pairs does not know where we are.
            if !slot.check().is_ascii()
                && let Some((first, later)) = symbols.split_first()
            {
                *state = segment.automaton.step(*state, (first & 0x7f) as u8);
                slot = segment.automaton.slot(*state);
                rest = later;
                if slot.out() && self.foreign(engine, index, *state) {
                    return Read::Clear;
                }
            }
            let mut last = symbol(slot.check());
            for one in rest {
                let next = (one >> 7 & 63) as u8;
                (*state, slot) = segment.automaton.advance(slot, last, (one & 0x7f) as u8, next);
                last = next;
                if slot.out() && self.foreign(engine, index, *state) {
                    return Read::Clear;
                }
            }
        }
        if let Some(disguises) = &mut self.disguises
            && let Some(len) = disguises.ascii(engine, bytes, at, &mut block.quick)
        {
            return Read::Disguised(len);
        }
        self.count = self.count.wrapping_add(block.len as u64);
        self.states = states;
        (self.class, self.last_separator, self.string_start) = (block.class, block.last_separator, block.string_start);
        Read::All
    }

    /// Whether something ends at this state that is not the tenant's own.
    #[cold]
    fn foreign(&self, engine: &Engine<'_>, segment: usize, state: u32) -> bool {
        let owner = engine.owners.get(segment).copied().flatten();
        let segment = engine.set.segments().get(segment);
        segment.is_some_and(|segment| segment.ends(state).any(|entry| engine.set.foreign(segment, entry, owner)))
    }

    /// Folds a block. The places go into the ring at once: it is longer than what a match may reach back to by a
    /// block, so that nothing which is still needed is overwritten, also when the block is read again.
    fn fold(&mut self, bytes: &[u8], at: u64) -> Block {
        let mut symbols = [0; BLOCK];
        let mut quick = Quick::new();
        let mut len = 0usize;
        let (mut class, mut last_separator, mut string_start) = (self.class, self.last_separator, self.string_start);
        let mask = self.ring.len().wrapping_sub(1);
        let mut place = at << 16 | 1;
        for byte in bytes {
            let both = ASCII.get(usize::from(*byte)).copied().unwrap_or(0);
            quick.push((both >> 16) as u16);
            let one = both as u16;
            let before = std::mem::replace(&mut class, (one >> 13) as u8);
            let mut here = place;
            place = place.wrapping_add(1 << 16);
            if class == CLASS_SEPARATOR {
                if last_separator {
                    continue;
                }
                last_separator = true;
            } else {
                last_separator = false;
                if before != class && !(before == CLASS_UPPER && class == CLASS_LOWER) {
                    here |= WORD_START;
                }
            }
            if string_start {
                here |= STRING_START | WORD_START;
                string_start = false;
            }
            if let (Some(symbol), Some(slot)) =
                (symbols.get_mut(len), self.ring.get_mut((self.count as usize).wrapping_add(len) & mask))
            {
                (*symbol, *slot) = (one, here);
            }
            len = len.wrapping_add(1);
        }
        Block { symbols, len, class, last_separator, string_start, quick }
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
        if let Some(disguises) = &mut self.disguises {
            disguises.char(engine, c, at, len);
            disguises.take(found);
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
        let mask = self.ring.len().wrapping_sub(1);
        if let Some(slot) = self.ring.get_mut(self.count as usize & mask) {
            *slot = place;
        }
        self.count = self.count.wrapping_add(1);
        for (index, (segment, state)) in engine.set.segments().iter().zip(self.states.iter_mut()).enumerate() {
            *state = segment.automaton.step(*state, byte);
            if segment.automaton.slot(*state).out() {
                let owner = engine.owners.get(index).copied().flatten();
                for entry in segment.ends(*state).filter(|entry| engine.set.foreign(segment, entry, owner)) {
                    let spans = spans(&self.ring, self.count, entry.len);
                    found.push(Match { class: Class::Literal, id: entry.id, severity: entry.severity, spans });
                }
            }
        }
    }

    /// Where the longest live prefix begins; `None` when nothing is live.
    pub(super) fn live_from(&self, engine: &Engine<'_>, hold: HoldBack) -> Option<u64> {
        let begun = |from: &u64| self.constant.is_none_or(|value| *from < value);
        let literal = self.live(engine, hold, &self.states, self.count).filter(begun);
        let disguised = self.disguises.as_ref().and_then(|disguises| disguises.live_from()).filter(begun);
        let phrase = engine.phrases.as_ref().and_then(|view| self.words.live_from(view)).filter(begun);
        [literal, disguised, phrase].into_iter().flatten().min()
    }

    /// Whether something that may become a match was read, also where it holds nothing back yet.
    pub(super) fn has_begun(&self, engine: &Engine<'_>) -> bool {
        let words = engine.phrases.as_ref().is_some_and(|view| self.words.has_begun(view));
        words || self.live_from(engine, HoldBack::Exact).is_some()
    }

    /// As [`Channel::live_from`], before the last character was read.
    pub(super) fn live_from_before(&self, engine: &Engine<'_>, hold: HoldBack) -> Option<u64> {
        let disguised = self.disguises.as_ref().and_then(|disguises| disguises.live_from_before());
        self.live(engine, hold, &self.before, self.before_count).into_iter().chain(disguised).min()
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
fn place(ring: &[Place], count: u64, back: u8) -> Place {
    let at = (count as usize).wrapping_sub(usize::from(back)) & ring.len().wrapping_sub(1);
    ring.get(at).copied().unwrap_or(0)
}

/// The spans that wrote the last `len` folded bytes: one per string, gaps inside a string (vanished characters,
/// collapsed separators) included.
fn spans(ring: &[Place], count: u64, len: u8) -> Vec<(u64, u64)> {
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

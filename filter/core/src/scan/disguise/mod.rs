//! Literals in disguise: encoded, spaced out, reversed, written with look-alikes.
//!
//! The automaton of `channel.rs` finds a literal in clear and holds back its every byte. Here the same stream is read through
//! **lenses**, each of which gives symbols (`symbols.rs`) that are searched in one sorted table of patterns (`table.rs`):
//!
//! | lens | what it reads |
//! |---|---|
//! | plain | the text itself: separators, leetspeak and look-alikes are gone in the symbols; the patterns are the literal, the literal reversed, and its rot13 |
//! | escapes | percent-encoding, character references and backslash escapes decoded |
//! | shown | the same, tags left out |
//! | base64 × 4, base32 × 8, hex × 2 | what the characters encode, at every alignment |
//!
//! Invariants: a lens holds back from the character on that completed the first [`GRAM`] symbols of a pattern, so at
//! most what wrote the first five may have left; what leaves does not depend on how the stream was split; a stream
//! without a match is not changed. For nearly every character of ordinary text the work is one look-up in a small table.

mod bits;
pub(crate) mod escapes;
pub(crate) mod kinds;
mod lens;
mod lookalikes;
mod quick;
mod symbols;
mod table;

pub(super) use kinds::seen;
pub(super) use quick::Quick;
pub(super) use table::{Grams, Table, build};

use super::channel::{Engine, Match};
use super::set::FingerprintSet;
use crate::record::{Class, Severity};
use bits::Bits;
use escapes::Escapes;
use kinds::{CROSS, ESCAPE, GAP, KINDS, NIBBLE, WRAP};
use lens::Lens;

/// How many symbols it takes until a text may be a disguised literal.
pub(super) const GRAM: usize = 6;
/// The quick way looks at every third symbol only; no pattern is shorter than eight.
const STEP: usize = 3;
/// A window is eight symbols; its last ones are a gram.
const SHIFT: u32 = 64 - 8 * GRAM as u32;

/// A text without separators, its look-alikes and leetspeak undone: what disguises are searched in.
pub fn symbols(text: &str) -> String {
    String::from_utf8_lossy(&symbols::text(text)).into_owned()
}

/// A match.
#[derive(Clone, Copy)]
struct Found {
    id: u64,
    severity: Severity,
    from: u64,
}

/// What lenses share while they read.
struct Find<'f> {
    set: &'f FingerprintSet,
    owners: &'f [Option<u32>],
    grams: &'f Grams,
    /// Where the character stands that is read.
    at: u64,
    /// Threads of all lenses.
    alive: usize,
    found: Vec<Found>,
}

/// All lenses on one logical text.
pub(super) struct Disguises {
    plain: Lens,
    escapes: Escapes,
    /// As `escapes`, with tags left out.
    shown: Escapes,
    base64: Bits<6, 4>,
    base32: Bits<5, 8>,
    hex: Bits<4, 2>,
    alive: usize,
    found: Vec<Found>,
    /// What was held before the last character.
    before: Option<u64>,
    /// The last byte was a backslash: `\x`.
    backslash: bool,
    /// Where the last character ended; a piece of the text ends there when the next one begins elsewhere.
    end: u64,
    new_piece: bool,
    /// Ends and begins of pieces since the first thread was born.
    seams: Vec<(u64, u64)>,
}

impl Default for Disguises {
    fn default() -> Self {
        Self {
            plain: Lens::default(),
            escapes: Escapes::default(),
            shown: Escapes::and_tags(),
            base64: Bits::default(),
            base32: Bits::default(),
            hex: Bits::default(),
            alive: 0,
            found: Vec::new(),
            before: None,
            backslash: false,
            end: 0,
            new_piece: false,
            seams: Vec::new(),
        }
    }
}

impl Disguises {
    /// Forgets everything live: what follows is another text.
    pub(super) fn restart(&mut self, engine: &Engine<'_>) {
        self.with(engine, |this, find| this.clear(find));
        self.before = None;
        self.seams.clear();
        self.begin_string();
    }

    fn clear(&mut self, find: &mut Find<'_>) {
        self.plain.clear(find);
        self.escapes.clear(find);
        self.shown.clear(find);
        self.base64.end(find);
        self.base32.end(find);
        self.hex.end(find);
        self.backslash = false;
    }

    /// A new piece of the same text begins.
    pub(super) fn begin_string(&mut self) {
        self.new_piece = true;
    }

    fn with<T>(&mut self, engine: &Engine<'_>, read: impl FnOnce(&mut Self, &mut Find<'_>) -> T) -> T {
        let mut find = Find {
            set: engine.set,
            owners: engine.owners,
            grams: engine.set.grams(),
            at: 0,
            alive: self.alive,
            found: std::mem::take(&mut self.found),
        };
        let result = read(self, &mut find);
        (self.alive, self.found) = (find.alive, find.found);
        result
    }

    /// Reads ASCII up to and including the first byte that ends a match: then returns how much that was.
    /// `all` is what it looks like.
    pub(super) fn ascii(&mut self, engine: &Engine<'_>, bytes: &[u8], at: u64, all: &mut Quick) -> Option<usize> {
        self.with(engine, |this, find| {
            let mut done = if this.is_busy(find) { 0 } else { this.quick(all, bytes, at, find) };
            let mut close = true;
            while let Some(rest) = bytes.get(done..) {
                let here = at.wrapping_add(done as u64);
                // After a byte that needed a closer look there may be a quick way again.
                if !std::mem::take(&mut close) && !this.is_busy(find) && !rest.is_empty() {
                    done = done.saturating_add(this.quick(&mut Quick::of(rest), rest, here, find));
                }
                let Some(byte) = bytes.get(done) else { break };
                find.at = at.wrapping_add(done as u64);
                this.byte(*byte, find);
                done = done.saturating_add(1);
                if !find.found.is_empty() {
                    return Some(done);
                }
            }
            None
        })
    }

    /// Reads one character that `len` bytes at `at` wrote.
    pub(super) fn char(&mut self, engine: &Engine<'_>, c: char, at: u64, len: usize) {
        self.with(engine, |this, find| {
            find.at = at;
            if c.is_ascii() {
                this.byte(c as u8, find);
            } else {
                this.other(c, find);
            }
            this.end = at.wrapping_add(len as u64);
        });
    }

    #[inline]
    fn byte(&mut self, byte: u8, find: &mut Find<'_>) {
        let kind = KINDS.get(usize::from(byte)).copied().unwrap_or(0);
        if find.alive > 0 || self.new_piece || self.before.is_some() {
            self.note(find);
        }
        if self.escapes.awake || self.shown.awake || kind & ESCAPE != 0 {
            self.escape(byte, find);
        } else {
            self.plain.symbol(kind as u8, find);
        }
        self.encoded(kind, find);
        self.digit(kind, find);
        self.backslash = byte == b'\\';
        self.end = find.at.wrapping_add(1);
    }

    /// Base64 and base32.
    #[inline]
    fn encoded(&mut self, kind: u64, find: &mut Find<'_>) {
        let (base64, base32) = ((kind >> 8) as u8, (kind >> 16) as u8);
        if base64 < 64 {
            self.base64.push(base64, find);
        } else if kind & WRAP == 0 {
            self.base64.end(find);
        }
        if base32 < 32 {
            self.base32.push(base32, find);
        } else if kind & WRAP == 0 {
            self.base32.end(find);
        }
    }

    /// Hex: a digit, the `x` of a prefix, something that may stand between digits, or the run ends.
    #[inline]
    fn digit(&mut self, kind: u64, find: &mut Find<'_>) {
        let hex = kind >> 24 & 0xff;
        if hex & NIBBLE != 0 {
            self.hex.push(hex as u8 & 15, find);
        } else if hex & GAP != 0 || (hex & CROSS != 0 && self.backslash) {
        } else if hex & CROSS != 0 && self.hex.last() == Some(0) {
            self.hex.undo();
        } else {
            self.hex.end(find);
        }
    }

    #[cold]
    fn escape(&mut self, byte: u8, find: &mut Find<'_>) {
        self.plain.symbol(symbols::ascii(byte), find);
        self.escapes.read(char::from(byte), &self.plain, find);
        self.shown.read_above(char::from(byte), &self.escapes, &self.plain, find);
    }

    fn other(&mut self, c: char, find: &mut Find<'_>) {
        self.note(find);
        self.plain.char(c, find);
        self.escapes.read(c, &self.plain, find);
        self.shown.read_above(c, &self.escapes, &self.plain, find);
        // What takes no place may stand in an encoded text, too.
        let mut vanishes = true;
        super::fold::char(c, |_| vanishes = false);
        if !vanishes {
            self.base64.end(find);
            self.base32.end(find);
            self.hex.end(find);
        }
        self.backslash = false;
    }

    /// Before a character is read: what was held, and where pieces meet.
    #[cold]
    fn note(&mut self, find: &Find<'_>) {
        self.before = if find.alive > 0 { self.first() } else { None };
        if find.alive == 0 {
            self.seams.clear();
        } else if self.new_piece {
            self.seams.push((self.end, find.at));
        }
        self.new_piece = false;
    }

    fn first(&self) -> Option<u64> {
        let lenses = [
            self.plain.live_from(),
            self.escapes.live_from(),
            self.shown.live_from(),
            self.base64.live_from(),
            self.base32.live_from(),
            self.hex.live_from(),
        ];
        lenses.into_iter().flatten().min()
    }

    /// From where on the stream is held.
    pub(super) fn live_from(&self) -> Option<u64> {
        if self.alive > 0 { self.first() } else { None }
    }

    /// As [`Disguises::live_from`], before the last character was read.
    pub(super) fn live_from_before(&self) -> Option<u64> {
        self.before
    }

    /// Moves the matches that end with the last character, unless it ended them in clear as well.
    pub(super) fn take(&mut self, matches: &mut Vec<Match>) {
        for found in std::mem::take(&mut self.found) {
            if !matches.iter().any(|known| known.id == found.id) {
                matches.push(Match {
                    class: Class::Literal,
                    id: found.id,
                    severity: found.severity,
                    spans: self.spans(found.from),
                });
            }
        }
    }

    /// What is held of a match: one span for each piece of the text.
    fn spans(&self, from: u64) -> Vec<(u64, u64)> {
        let mut spans = Vec::new();
        let mut begin = from;
        for (end, next) in self.seams.iter().filter(|(_, next)| *next > from) {
            spans.push((begin, *end));
            begin = *next;
        }
        spans.push((begin, self.end));
        spans
    }
}

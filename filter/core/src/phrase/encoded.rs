//! What a text's runs of base64, base32 and hex say, at every alignment.
//!
//! A run of such characters is followed once it is longer than words are ([`Run::LEAST`]): then every alignment in which the last bytes are
//! text is read on as words of its own, from these bytes on, until they are text no more or the run ends. Line breaks do not end a run,
//! nor do separators between pairs of digits one of hex. What was read before counts as written where the reading began: it may have left.

#![allow(clippy::cast_possible_truncation)]

use super::stream::{Found, Piece, View, Words, join};
use crate::scan::fold;
use crate::scan::kinds::{CROSS, GAP, KINDS, NIBBLE, WRAP};

/// Bytes on their way to be characters.
#[derive(Clone, Copy, Default)]
pub(super) struct Utf8 {
    sequence: u32,
    missing: u8,
}

impl Utf8 {
    /// Whether no character lacks bytes.
    pub(super) fn is_whole(self) -> bool {
        self.missing == 0
    }

    /// Reads a byte. `None`: the character's other bytes must come; `Some(None)`: it is no text.
    pub(super) fn byte(&mut self, byte: u8) -> Option<Option<char>> {
        if self.missing > 0 && byte & 0xc0 == 0x80 {
            self.sequence = self.sequence << 6 | u32::from(byte & 0x3f);
            self.missing = self.missing.wrapping_sub(1);
            return (self.missing == 0).then(|| char::from_u32(self.sequence));
        }
        // A character that is cut: what cuts it is text, or as broken.
        if std::mem::take(&mut self.missing) > 0 && !byte.is_ascii() {
            return Some(None);
        }
        (self.sequence, self.missing) = match byte {
            0xc2..=0xdf => (u32::from(byte & 0x1f), 1),
            0xe0..=0xef => (u32::from(byte & 0x0f), 2),
            0xf0..=0xf4 => (u32::from(byte & 0x07), 3),
            _ => (0, 0),
        };
        if self.missing > 0 {
            return None;
        }
        let text = matches!(byte, b' '..=0x7e | b'\t' | b'\n' | b'\r');
        Some(text.then(|| char::from(byte)))
    }
}

/// A run as text, at one alignment.
#[derive(Clone, Default)]
struct Lens {
    words: Words,
    bytes: Utf8,
    /// What wrote the begin of a character that is not complete.
    head: Vec<Piece>,
    /// How much of late was no text.
    doubt: u8,
}

impl Lens {
    /// Each byte that is no text weighs so much, each character that is one takes one away.
    const WEIGHT: u8 = 4;
    const MOST: u8 = 12;

    /// Reads the byte that `piece` completed; `false` when this has long been no text.
    fn byte(&mut self, view: &View<'_>, byte: u8, piece: Piece, found: &mut Vec<Found>) -> bool {
        let Some(c) = self.bytes.byte(byte) else { return true };
        let doubt = if c.is_some() { self.doubt.saturating_sub(1) } else { self.doubt.saturating_add(Self::WEIGHT) };
        self.doubt = doubt;
        // While nothing was live, nothing was held.
        let pieces = if self.words.is_live() { self.head.as_slice() } else { &[piece] };
        self.words.written(view, c.unwrap_or(' '), pieces, found);
        self.head.clear();
        doubt <= Self::MOST
    }

    fn live_from(&self, view: &View<'_>) -> Option<u64> {
        let begun = self.head.first().filter(|_| self.words.is_live()).map(|piece| piece.from);
        self.words.live_from(view).into_iter().chain(begun).min()
    }
}

/// A run of characters of `BITS` bits, `GROUP` to a group of whole bytes.
#[derive(Clone)]
struct Run<const BITS: u32, const GROUP: usize> {
    /// The last characters' bits.
    bits: u128,
    count: u32,
    lenses: [Option<Box<Lens>>; GROUP],
}

impl<const BITS: u32, const GROUP: usize> Default for Run<BITS, GROUP> {
    fn default() -> Self {
        Self { bits: 0, count: 0, lenses: std::array::from_fn(|_| None) }
    }
}

impl<const BITS: u32, const GROUP: usize> Run<BITS, GROUP> {
    /// So many characters are a run. Of base64 and base32 they are 15 bytes, all of which are kept; of hex they are twelve.
    const LEAST: u32 = if BITS == 6 { 20 } else { 24 };
    /// No lens is awake in a shorter one: the last character may be taken back.
    const AWAKE: u32 = Self::LEAST - 1;
    const GROUP_BITS: u32 = BITS * GROUP as u32;
    /// So many of the last characters are known.
    const KEPT: u32 = 128 / BITS;

    /// How many characters it has, if that is not enough; `None` when every further one must be looked at.
    fn asleep(&self) -> Option<usize> {
        let asleep = self.count < Self::LEAST && self.lenses.iter().all(Option::is_none);
        asleep.then_some(self.count as usize)
    }

    /// Reads one character of this value.
    fn push(&mut self, view: &View<'_>, value: u8, piece: Piece, found: &mut Vec<Found>) {
        self.bits = self.bits << BITS | u128::from(value);
        self.count = self.count.wrapping_add(1);
        if self.count >= Self::LEAST {
            self.read(view, piece, found);
        }
    }

    #[cold]
    fn read(&mut self, view: &View<'_>, piece: Piece, found: &mut Vec<Found>) {
        for (phase, slot) in (0u32..).zip(&mut self.lenses) {
            let since = self.count.wrapping_sub(phase).wrapping_sub(1).checked_rem(GROUP as u32).unwrap_or(0);
            let bits = since.wrapping_add(1).wrapping_mul(BITS);
            let Some(lens) = slot else {
                if bits == Self::GROUP_BITS {
                    let bytes = self.bits.to_be_bytes();
                    let groups = self.count.min(Self::KEPT).wrapping_mul(BITS).checked_div(Self::GROUP_BITS);
                    let there = groups.unwrap_or(0).wrapping_mul(Self::GROUP_BITS / 8) as usize;
                    let bytes = bytes.get(bytes.len().saturating_sub(there)..).unwrap_or_default();
                    *slot = text(bytes).map(|text| {
                        let mut lens = Box::<Lens>::default();
                        for byte in text {
                            join(&mut lens.head, piece);
                            lens.byte(view, *byte, piece, found);
                        }
                        lens
                    });
                }
                continue;
            };
            join(&mut lens.head, piece);
            if bits & 7 >= BITS {
                continue;
            }
            if !lens.byte(view, (self.bits >> (bits & 7)) as u8, piece, found) {
                lens.words.end(view, found);
                *slot = None;
            } else if bits & 7 > 0 {
                join(&mut lens.head, piece);
            }
        }
    }

    /// Takes back the last character: the `0` of `0x`.
    fn undo(&mut self) {
        self.bits >>= BITS;
        self.count = self.count.saturating_sub(1);
    }

    /// The run ends.
    fn end(&mut self, view: &View<'_>, found: &mut Vec<Found>) {
        if self.count >= Self::AWAKE {
            self.lenses.iter_mut().filter_map(Option::take).for_each(|mut lens| lens.words.end(view, found));
        }
        self.count = 0;
    }

    fn live_from(&self, view: &View<'_>) -> Option<u64> {
        if self.count < Self::AWAKE {
            return None;
        }
        self.lenses.iter().flatten().filter_map(|lens| lens.live_from(view)).min()
    }
}

/// So many bytes must be text.
const TEXT: usize = 12;

/// The last bytes, if they are text that is long enough; its last character may lack bytes.
fn text(bytes: &[u8]) -> Option<&[u8]> {
    let control = |b: &u8| matches!(b, 0..b' ' | 0x7f) && !matches!(b, b'\t' | b'\n' | b'\r');
    let from = bytes.iter().rposition(control).map_or(0, |last| last.saturating_add(1));
    let last = bytes.len().checked_sub(TEXT)?.min(from.saturating_add(3));
    (from..=last).find_map(|from| {
        let bytes = bytes.get(from..)?;
        std::str::from_utf8(bytes).map_or_else(|error| error.error_len().is_none(), |_| true).then_some(bytes)
    })
}

/// All runs of a text.
#[derive(Clone, Default)]
pub(super) struct Encoded {
    base64: Run<6, 4>,
    base32: Run<5, 8>,
    hex: Run<4, 2>,
    /// Digits of hex since the last gap.
    digits: u32,
    /// A backslash came: in JSON inside JSON it breaks lines.
    backslash: bool,
}

/// So many bytes are looked at ahead.
const AHEAD: usize = 256;

/// Whether no run of base64 or base32 goes on over this byte, whatever is around it.
fn ends_letters(byte: u8) -> bool {
    match KINDS.get(usize::from(byte)) {
        Some(kind) => kind >> 8 & 0xff >= 64 && kind & WRAP == 0 && byte != b'\\',
        None => ends_any(byte),
    }
}

/// The same of hex.
fn ends_hex(byte: u8) -> bool {
    match KINDS.get(usize::from(byte)) {
        Some(kind) => kind >> 24 & (NIBBLE | CROSS | GAP) == 0,
        None => ends_any(byte),
    }
}

/// Scripts without spaces, of which no character vanishes: the first bytes of U+3000 to U+EFFF.
fn ends_any(byte: u8) -> bool {
    matches!(byte, 0xe3..=0xee)
}

/// How many bytes can be read before a run of which `there` characters were read has `least`.
fn until(bytes: &[u8], there: usize, least: usize, ends: impl Fn(u8) -> bool) -> usize {
    let (mut from, mut need) = (0usize, least.saturating_sub(there));
    while let Some(ahead) = bytes.get(from..from.saturating_add(need)) {
        match ahead.iter().rposition(|byte| ends(*byte)) {
            Some(end) => (from, need) = (from.saturating_add(end).saturating_add(1), least),
            None => return from.saturating_add(need).saturating_sub(1),
        }
    }
    bytes.len()
}

impl Encoded {
    /// How many of these bytes, among which are no escapes, certainly wake nothing.
    pub(super) fn quiet(&self, bytes: &[u8]) -> usize {
        let asleep = (self.base64.asleep(), self.base32.asleep(), self.hex.asleep());
        let (Some(letters), Some(_), Some(digits)) = asleep else { return 0 };
        let least = (Run::<6, 4>::LEAST as usize, Run::<4, 2>::LEAST as usize);
        let bytes = bytes.get(..AHEAD).unwrap_or(bytes);
        let quiet = until(bytes, letters, least.0, ends_letters);
        until(bytes.get(..quiet).unwrap_or_default(), digits, least.1, ends_hex)
    }

    /// Reads what wakes nothing: only the runs at its end may go on.
    pub(super) fn pass(&mut self, view: &View<'_>, text: &str, found: &mut Vec<Found>) {
        let last = |ends: fn(u8) -> bool| text.bytes().rposition(ends).unwrap_or(0);
        let from = last(ends_letters).min(last(ends_hex));
        if from > 0 {
            self.end(view, found);
        }
        let nowhere = Piece { string: 0, from: 0, to: 0 };
        text.get(from..).unwrap_or("").chars().for_each(|c| self.char(view, c, nowhere, found));
    }

    /// Reads one character that `piece` wrote.
    pub(super) fn char(&mut self, view: &View<'_>, c: char, piece: Piece, found: &mut Vec<Found>) {
        if std::mem::take(&mut self.backslash) && !matches!(c, '/' | '\\') {
            match c {
                'n' | 'r' => return,
                _ => self.end(view, found),
            }
        }
        let kind = u8::try_from(c).ok().and_then(|byte| KINDS.get(usize::from(byte))).copied();
        let Some(kind) = kind else {
            let mut vanishes = !matches!(c, '\u{3000}'..='\u{efff}');
            if vanishes {
                fold::char(c, |_| vanishes = false);
            }
            if !vanishes {
                self.end(view, found);
            }
            return;
        };
        if c == '\\' {
            self.backslash = true;
            return;
        }
        let (base64, base32) = ((kind >> 8 & 0xff) as u8, (kind >> 16 & 0xff) as u8);
        if base64 < 64 {
            self.base64.push(view, base64, piece, found);
        } else if kind & WRAP == 0 {
            self.base64.end(view, found);
        }
        if base32 < 32 {
            self.base32.push(view, base32, piece, found);
        } else if kind & WRAP == 0 {
            self.base32.end(view, found);
        }
        let hex = kind >> 24 & 0xff;
        if hex & NIBBLE != 0 {
            self.hex.push(view, hex as u8 & 15, piece, found);
            self.digits = self.digits.saturating_add(1);
        } else if hex & CROSS != 0 && self.digits == 1 && self.hex.bits & 15 == 0 {
            self.hex.undo();
            self.digits = 0;
        } else if hex & GAP == 0 || c == '%' || self.is_odd() && kind & WRAP == 0 {
            self.hex.end(view, found);
            self.digits = 0;
        } else if kind & WRAP == 0 {
            self.digits = 0;
        }
    }

    /// Whether a gap ends the run: numbers are no pairs of digits.
    fn is_odd(&self) -> bool {
        self.digits & 1 != 0 && self.digits < Run::<4, 2>::LEAST
    }

    /// All runs end.
    pub(super) fn end(&mut self, view: &View<'_>, found: &mut Vec<Found>) {
        self.base64.end(view, found);
        self.base32.end(view, found);
        self.hex.end(view, found);
        self.digits = 0;
    }

    /// Where the first byte that must be held stands.
    pub(super) fn live_from(&self, view: &View<'_>) -> Option<u64> {
        [self.base64.live_from(view), self.base32.live_from(view), self.hex.live_from(view)].into_iter().flatten().min()
    }
}

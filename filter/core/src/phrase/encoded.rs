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
#[derive(Clone, Default)]
struct Run<const BITS: u32, const GROUP: usize> {
    /// The last characters' bits.
    bits: u128,
    count: u32,
    /// Those awake, each with its alignment.
    lenses: Vec<(u32, Lens)>,
    /// Nobody was there to read what may be text.
    missed: bool,
}

impl<const BITS: u32, const GROUP: usize> Run<BITS, GROUP> {
    /// So many characters are a run: 15 or 16 bytes, all of which are kept.
    const LEAST: u32 = if BITS == 6 {
        20
    } else if BITS == 5 {
        24
    } else {
        32
    };
    /// No lens is awake in a shorter one: the last character may be taken back.
    const AWAKE: u32 = Self::LEAST - 1;
    const GROUP_BITS: u32 = BITS * GROUP as u32;
    /// So many of the last characters are known.
    const KEPT: u32 = 128 / BITS;

    fn is_awake(&self) -> bool {
        !self.lenses.is_empty()
    }

    fn is_long(&self) -> bool {
        self.count >= Self::AWAKE
    }

    /// Reads one character of this value; without a `view` only how far the run is.
    fn push(&mut self, view: Option<&View<'_>>, value: u8, piece: Piece, found: &mut Vec<Found>) {
        self.bits = self.bits << BITS | u128::from(value);
        self.count = self.count.wrapping_add(1);
        if self.count < Self::LEAST {
            return;
        }
        match view {
            Some(view) => self.read(view, piece, found),
            None => {
                let mut kept = [0; 16];
                self.missed |= self.text(&mut kept).is_some();
            }
        }
    }

    /// What the last whole groups say, if it may be text.
    fn text<'k>(&self, kept: &'k mut [u8; 16]) -> Option<&'k [u8]> {
        if !may_be_text(self.bits) {
            return None;
        }
        *kept = self.bits.to_be_bytes();
        let groups = self.count.min(Self::KEPT).wrapping_mul(BITS).checked_div(Self::GROUP_BITS);
        let there = groups.unwrap_or(0).wrapping_mul(Self::GROUP_BITS / 8) as usize;
        text(kept.get(kept.len().saturating_sub(there)..)?)
    }

    #[cold]
    fn read(&mut self, view: &View<'_>, piece: Piece, found: &mut Vec<Found>) {
        let mut kept = [0; 16];
        let text = self.text(&mut kept);
        let now = self.count.checked_rem(GROUP as u32).unwrap_or(0);
        let asleep = self.lenses.iter().all(|(phase, _)| *phase != now);
        let (count, all) = (self.count, self.bits);
        self.lenses.retain_mut(|(phase, lens)| {
            let since = count.wrapping_sub(*phase).wrapping_sub(1).checked_rem(GROUP as u32).unwrap_or(0);
            let bits = since.wrapping_add(1).wrapping_mul(BITS) & 7;
            join(&mut lens.head, piece);
            if bits >= BITS {
                return true;
            }
            if !lens.byte(view, (all >> bits) as u8, piece, found) {
                lens.words.end(view, found);
                return false;
            }
            if bits > 0 {
                join(&mut lens.head, piece);
            }
            true
        });
        if let Some(text) = text.filter(|_| asleep) {
            let mut lens = Lens::default();
            for byte in text {
                join(&mut lens.head, piece);
                lens.byte(view, *byte, piece, found);
            }
            self.lenses.push((now, lens));
        }
    }

    /// Takes back the last character: the `0` of `0x`.
    fn undo(&mut self) {
        self.bits >>= BITS;
        self.count = self.count.saturating_sub(1);
    }

    /// The run ends.
    fn end(&mut self, view: Option<&View<'_>>, found: &mut Vec<Found>) {
        if let Some(view) = view.filter(|_| self.is_long()) {
            self.lenses.drain(..).for_each(|(_, mut lens)| lens.words.end(view, found));
        }
        self.count = 0;
    }

    fn live_from(&self, view: &View<'_>) -> Option<u64> {
        if !self.is_long() {
            return None;
        }
        self.lenses.iter().filter_map(|(_, lens)| lens.live_from(view)).min()
    }
}

/// So many bytes must be text.
const TEXT: usize = 12;

/// Whether the last bytes look like text, seen from their end: of others nearly always the first ones say no.
fn may_be_text(bits: u128) -> bool {
    let mut more = 0usize;
    for at in 0..TEXT {
        let least = match (bits >> at.wrapping_mul(8)) as u8 {
            b' '..=0x7e | b'\t' | b'\n' | b'\r' => 0,
            0x80..=0xbf if more < 3 => {
                more = more.wrapping_add(1);
                continue;
            }
            0xc2..=0xdf => 1,
            0xe0..=0xef => 2,
            0xf0..=0xf4 => 3,
            _ => return false,
        };
        // The last character may lack bytes.
        if more > least || more < least && more < at {
            return false;
        }
        more = 0;
    }
    true
}

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

/// Bits of a byte over which no run goes on, whatever is around it: one of base64 or base32, one of hex.
const LETTERS: u8 = 1;
const HEX: u8 = 2;
const ENDS: [u8; 256] = {
    let mut table = [0; 256];
    let mut b = 0;
    while b < 256 {
        #[allow(clippy::indexing_slicing)] // evaluated by the compiler
        {
            let kind = KINDS[b & 127];
            let letters = kind >> 8 & 0xff >= 64 && kind & WRAP == 0 && b != b'\\' as usize;
            let hex = kind >> 24 & (NIBBLE | CROSS | GAP) == 0;
            table[b] = match b {
                0..128 => (letters as u8 * LETTERS) | (hex as u8 * HEX),
                // Scripts without spaces, of which no character vanishes: the first bytes of U+3000 to U+EFFF.
                0xe3..=0xee => LETTERS | HEX,
                _ => 0,
            };
        }
        b += 1;
    }
    table
};

#[inline]
fn ends(byte: u8, what: u8) -> bool {
    ENDS.get(usize::from(byte)).is_some_and(|ends| ends & what != 0)
}

/// How many bytes can be read before a run of which `there` characters were read has `least`.
fn until(bytes: &[u8], there: usize, least: usize, what: u8) -> usize {
    let (mut from, mut need) = (0usize, least.saturating_sub(there));
    while let Some(ahead) = bytes.get(from..from.saturating_add(need)) {
        match ahead.iter().rposition(|byte| ends(*byte, what)) {
            Some(end) => (from, need) = (from.saturating_add(end).saturating_add(1), least),
            None => return from.saturating_add(need).saturating_sub(1),
        }
    }
    bytes.len()
}

/// Where nothing is written.
const NOWHERE: Piece = Piece { string: 0, from: 0, to: 0 };

impl Encoded {
    /// How many bytes of this text certainly wake nothing, up to the first escape.
    pub(super) fn quiet(&self, text: &str) -> usize {
        if self.base64.is_awake() || self.base32.is_awake() || self.hex.is_awake() {
            return 0;
        }
        let bytes = text.as_bytes();
        let quiet = until(bytes, self.base64.count as usize, Run::<6, 4>::LEAST as usize, LETTERS);
        let bytes = bytes.get(..quiet).unwrap_or_default();
        let quiet = until(bytes, self.hex.count as usize, Run::<4, 2>::LEAST as usize, HEX);
        if quiet > 0 {
            return quiet;
        }
        // A long run, which may be no text at all.
        let mut ahead = self.clone();
        for (at, c) in text.char_indices() {
            ahead.char(None, c, NOWHERE, &mut Vec::new());
            if ahead.base64.missed || ahead.base32.missed || ahead.hex.missed {
                return at;
            }
            if !ahead.base64.is_long() && !ahead.base32.is_long() && !ahead.hex.is_long() {
                return at.saturating_add(c.len_utf8());
            }
        }
        text.len()
    }

    /// Reads what wakes nothing: only the runs at its end may go on.
    pub(super) fn pass(&mut self, text: &str) {
        let last = |what| text.bytes().rposition(|byte| ends(byte, what)).unwrap_or(0);
        let from = last(LETTERS).min(last(HEX));
        if from > 0 {
            self.end(None, &mut Vec::new());
        }
        text.get(from..).unwrap_or("").chars().for_each(|c| self.char(None, c, NOWHERE, &mut Vec::new()));
    }

    /// Reads one character that `piece` wrote.
    pub(super) fn char(&mut self, view: Option<&View<'_>>, c: char, piece: Piece, found: &mut Vec<Found>) {
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
    pub(super) fn end(&mut self, view: Option<&View<'_>>, found: &mut Vec<Found>) {
        self.base64.end(view, found);
        self.base32.end(view, found);
        self.hex.end(view, found);
        self.digits = 0;
    }

    /// Whether a run is read as text.
    pub(super) fn is_awake(&self) -> bool {
        self.base64.is_awake() || self.base32.is_awake() || self.hex.is_awake()
    }

    /// Where the first byte that must be held stands.
    pub(super) fn live_from(&self, view: &View<'_>) -> Option<u64> {
        [self.base64.live_from(view), self.base32.live_from(view), self.hex.live_from(view)].into_iter().flatten().min()
    }
}

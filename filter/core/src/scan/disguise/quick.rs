//! The quick way through text in which nothing begins.
//!
//! Ordinary text has nothing alive, no escape, and no gram of a pattern. A block of it becomes dense symbols and two masks; every
//! third place of the symbols is looked up (the filter knows each pattern's first three grams), and only runs
//! that are long enough for encoded text go through the other lenses. It stops where more than that is needed;
//! both ways leave the same state.

use super::kinds::{KINDS, QUICK_BREAK, QUICK_ENCODED, QUICK_ESCAPE, seen};
use super::{Disguises, Find, STEP};

/// The most bytes that are read at once.
const BLOCK: usize = 64;
/// The shortest runs that eight bytes can be encoded in: base64 (base32 needs more), and hex.
const RUN: u32 = 11;
const HEX_RUN: u32 = 16;
/// Room for the symbols before the block.
const BEFORE: usize = 8;

/// A block of at most 64 bytes as the lenses see it: the symbols with room for those before, and each byte's flags.
pub(in crate::scan) struct Quick {
    symbols: [u8; 2 * BLOCK],
    count: usize,
    flags: [u8; BLOCK],
    len: usize,
}

/// One bit of each of eight flags.
#[inline]
fn gather(flags: u64, bit: u32) -> u64 {
    (flags >> bit & 0x0101_0101_0101_0101).wrapping_mul(0x0102_0408_1020_4080) >> 56
}

/// The places from which on so many bits are set, 8 to 16.
#[inline]
fn long(mask: u64, run: u32) -> u64 {
    let two = mask & mask >> 1;
    let four = two & two >> 2;
    let eight = four & four >> 4;
    eight & eight >> (run.wrapping_sub(8) & 63)
}

fn window(symbols: &[u8], at: usize) -> u64 {
    let eight = symbols.get(at..at.wrapping_add(8)).and_then(|eight| eight.first_chunk::<8>());
    eight.map_or(0, |eight| u64::from_le_bytes(*eight))
}

impl Quick {
    pub(in crate::scan) fn new() -> Self {
        Self { symbols: [0; 2 * BLOCK], count: BEFORE, flags: [0; BLOCK], len: 0 }
    }

    pub(super) fn of(bytes: &[u8]) -> Self {
        let mut block = Self::new();
        bytes.iter().for_each(|byte| block.push(seen(*byte)));
        block
    }

    /// Takes the next byte, as [`seen`] says it.
    #[inline]
    pub(in crate::scan) fn push(&mut self, seen: u16) {
        let symbol = seen as u8;
        if let Some(slot) = self.symbols.get_mut(self.count & (2 * BLOCK - 1)) {
            *slot = symbol;
        }
        self.count = self.count.wrapping_add(usize::from(symbol != 0));
        if let Some(flags) = self.flags.get_mut(self.len & (BLOCK - 1)) {
            *flags = (seen >> 8) as u8;
        }
        self.len = self.len.wrapping_add(1);
    }

    /// Which symbol completes a gram, if any.
    #[inline]
    fn gram(&self, find: &Find<'_>) -> Option<usize> {
        let last = self.count.checked_sub(BEFORE + 1)?;
        let mut at = STEP - 1;
        while at < last {
            if let Some(found) = self.look(at, find) {
                return Some(found);
            }
            at = at.wrapping_add(STEP);
        }
        self.look(last, find)
    }

    #[inline]
    fn look(&self, at: usize, find: &Find<'_>) -> Option<usize> {
        let window = window(&self.symbols, at.wrapping_add(1));
        if find.grams.maybe(window) { confirm(window, at, find) } else { None }
    }

    #[inline]
    fn any(&self, bit: u32) -> bool {
        self.flags.iter().fold(0, |all, flags| all | flags) >> bit & 1 != 0
    }

    #[inline]
    fn mask(&self, bit: u32) -> u64 {
        let eights = self.flags.chunks_exact(8).filter_map(|eight| eight.first_chunk::<8>());
        eights.rev().fold(0, |mask, eight| mask << 8 | gather(u64::from_le_bytes(*eight), bit))
    }
}

/// The filter passes what it must and a little more.
#[cold]
fn confirm(window: u64, at: usize, find: &Find<'_>) -> Option<usize> {
    let known = |window| find.set.segments().iter().any(|segment| segment.disguises.find(window).is_some());
    // The gram that begins a pattern may have ended a symbol or two earlier, in this block.
    (0..STEP).rev().find_map(|back| {
        let (at, window) = (at.checked_sub(back)?, window.wrapping_shl(8u32.saturating_mul(back as u32)));
        (find.grams.maybe(window) && known(window)).then_some(at)
    })
}

impl Disguises {
    /// Whether every byte must be looked at.
    pub(super) fn is_busy(&self, find: &Find<'_>) -> bool {
        let awake = self.base64.is_awake() || self.base32.is_awake() || self.hex.is_awake();
        find.alive > 0 || self.escapes.awake || self.shown.awake || awake
    }

    /// Reads the begin of a block as far as nothing in it needs a closer look. Returns how many bytes that was.
    pub(super) fn quick(&mut self, block: &mut Quick, bytes: &[u8], at: u64, find: &mut Find<'_>) -> usize {
        if let Some(first) = block.symbols.first_chunk_mut() {
            *first = self.plain.window.to_le_bytes();
        }
        let whole = 1u64.checked_shl(bytes.len() as u32).unwrap_or(0).wrapping_sub(1);
        if block.any(QUICK_ESCAPE) {
            let first = (block.mask(QUICK_ESCAPE) & whole).trailing_zeros();
            let first = bytes.get(..first as usize).unwrap_or_default();
            return if first.is_empty() { 0 } else { self.quick(&mut Quick::of(first), first, at, find) };
        }
        if let Some(symbol) = block.gram(find) {
            let mut symbols = 0usize;
            let first = bytes.iter().position(|byte| {
                symbols = symbols.wrapping_add(usize::from(super::symbols::ascii(*byte) != 0));
                symbols > symbol
            });
            let first = bytes.get(..first.unwrap_or(0)).unwrap_or_default();
            return if first.is_empty() { 0 } else { self.quick(&mut Quick::of(first), first, at, find) };
        }
        let marks = (self.base64.mark(), self.base32.mark(), self.hex.mark());
        self.encoded_runs(bytes, at, block.mask(QUICK_ENCODED) & whole, find);
        self.hex_runs(bytes, at, !block.mask(QUICK_BREAK) & whole, find);
        if find.alive > 0 || !find.found.is_empty() {
            self.base64.back(marks.0, find);
            self.base32.back(marks.1, find);
            self.hex.back(marks.2, find);
            find.found.clear();
            return 0;
        }
        self.plain.window = window(&block.symbols, block.count.wrapping_sub(BEFORE));
        (self.before, self.new_piece, self.backslash) = (None, false, false);
        self.seams.clear();
        self.end = at.wrapping_add(bytes.len() as u64);
        bytes.len()
    }

    /// Base64, and base32, whose characters are among those of base64.
    #[inline]
    fn encoded_runs(&mut self, bytes: &[u8], at: u64, mask: u64, find: &mut Find<'_>) {
        let len = bytes.len() as u32;
        let mut done = 0;
        while done < len {
            let rest = mask.checked_shr(done).unwrap_or(0);
            let gap = skip(rest, len.wrapping_sub(done), self.base64.count(), RUN);
            if gap > 0 {
                self.base64.end(find);
                self.base32.end(find);
            }
            let from = done.wrapping_add(gap);
            done = from.wrapping_add((mask.checked_shr(from).unwrap_or(0)).trailing_ones()).min(len);
            for (byte, index) in
                bytes.get(from as usize..done as usize).unwrap_or_default().iter().zip(u64::from(from)..)
            {
                find.at = at.wrapping_add(index);
                self.encoded(KINDS.get(usize::from(*byte)).copied().unwrap_or(0), find);
            }
        }
    }

    /// Hex, with whatever may stand between its digits.
    #[inline]
    fn hex_runs(&mut self, bytes: &[u8], at: u64, mask: u64, find: &mut Find<'_>) {
        let len = bytes.len() as u32;
        let mut done = 0;
        while done < len {
            let rest = mask.checked_shr(done).unwrap_or(0);
            let gap = skip(rest, len.wrapping_sub(done), self.hex.count(), HEX_RUN);
            if gap > 0 {
                self.hex.end(find);
            }
            let from = done.wrapping_add(gap);
            done = from.wrapping_add((mask.checked_shr(from).unwrap_or(0)).trailing_ones()).min(len);
            for (byte, index) in
                bytes.get(from as usize..done as usize).unwrap_or_default().iter().zip(u64::from(from)..)
            {
                find.at = at.wrapping_add(index);
                self.digit(KINDS.get(usize::from(*byte)).copied().unwrap_or(0), find);
            }
        }
    }
}

/// How many bytes of a block only end the run that was there and hold no long run; what follows is in a run or before one.
#[inline]
fn skip(mask: u64, len: u32, carried: u32, run: u32) -> u32 {
    let first = mask.trailing_ones().min(len);
    if first == len || (first > 0 && carried > 0 && first.saturating_add(carried) >= run) {
        return 0;
    }
    match long(mask, run) {
        // The last, short run: it may go on.
        0 => len.saturating_sub((mask << (64u32.saturating_sub(len) & 63)).leading_ones().min(len)),
        long => long.trailing_zeros(),
    }
}

//! Texts in base64, base32 and hex: characters that carry bits, at every alignment.
//!
//! A run of such characters has a lens for each place at which a group of whole bytes may begin (4, 8, 2). A lens is
//! asleep until a whole group is printable ASCII, which ordinary words seldom are; then it reads what the last 16
//! characters meant, too, and from there on each byte as soon as its bits are there. It falls asleep at a byte that
//! is no text. A literal of eight bytes fills a group at any alignment.

use super::Find;
use super::lens::Lens;

/// `BITS` a character, `GROUP` characters to a group of whole bytes.
pub(super) struct Bits<const BITS: u32, const GROUP: usize> {
    /// The last characters' bits.
    word: u64,
    /// The last sixteen characters' values.
    last: [u8; 16],
    /// Characters of this run.
    count: u32,
    /// Which lenses are awake.
    awake: u8,
    lenses: [Lens; GROUP],
}

impl<const BITS: u32, const GROUP: usize> Default for Bits<BITS, GROUP> {
    fn default() -> Self {
        let lenses = std::array::from_fn(|_| Lens::default());
        Self { word: 0, last: [0; 16], count: 0, awake: 0, lenses }
    }
}

impl<const BITS: u32, const GROUP: usize> Bits<BITS, GROUP> {
    /// Whole bytes of a group.
    const BYTES: usize = GROUP * BITS as usize / 8;
    /// The eighth bit of each byte of a group, and the seventh.
    const HIGH: u64 = 0x8080_8080_8080_8080 >> (64 - 8 * Self::BYTES);
    const LETTER: u64 = Self::HIGH >> 1;
    /// No match begins in a run that is shorter.
    const LEAST: u32 = 8;

    /// The run ends.
    #[inline]
    pub(super) fn end(&mut self, find: &mut Find<'_>) {
        self.count = 0;
        if self.awake != 0 {
            self.sleep(find);
        }
    }

    #[cold]
    fn sleep(&mut self, find: &mut Find<'_>) {
        self.lenses.iter_mut().for_each(|lens| lens.clear(find));
        self.awake = 0;
    }

    /// How many characters of this run were read.
    pub(super) fn count(&self) -> u32 {
        self.count
    }

    pub(super) fn is_awake(&self) -> bool {
        self.awake != 0
    }

    /// Where it is, while no lens is awake.
    pub(super) fn mark(&self) -> (u64, [u8; 16], u32) {
        (self.word, self.last, self.count)
    }

    /// Goes back to where no lens was awake.
    pub(super) fn back(&mut self, mark: (u64, [u8; 16], u32), find: &mut Find<'_>) {
        self.sleep(find);
        (self.word, self.last, self.count) = mark;
    }

    /// Takes back the last character: the `0` of `0x`.
    pub(super) fn undo(&mut self) {
        self.word >>= BITS;
        self.count = self.count.saturating_sub(1);
    }

    /// The value of the last character of this run.
    pub(super) fn last(&self) -> Option<u8> {
        let at = self.count.checked_sub(1)? as usize & 15;
        self.last.get(at).copied()
    }

    /// Where the first thread was born.
    pub(super) fn live_from(&self) -> Option<u64> {
        if self.awake == 0 {
            return None;
        }
        self.lenses.iter().filter_map(Lens::live_from).min()
    }

    /// Reads one character of this value.
    #[inline]
    pub(super) fn push(&mut self, value: u8, find: &mut Find<'_>) {
        self.word = self.word << BITS | u64::from(value);
        if let Some(last) = self.last.get_mut(self.count as usize & 15) {
            *last = value;
        }
        self.count = self.count.wrapping_add(1);
        if self.awake != 0 {
            self.step(find);
        }
        let letters = (self.word | self.word << 1) & Self::LETTER == Self::LETTER;
        if self.count >= Self::LEAST && (self.word & Self::HIGH == 0 && letters || find.grams.wide) {
            self.wake(find);
        }
    }

    /// The bytes that are complete now, for those awake.
    #[cold]
    fn step(&mut self, find: &mut Find<'_>) {
        for (phase, lens) in self.lenses.iter_mut().enumerate() {
            if self.awake >> phase & 1 == 0 {
                continue;
            }
            let since =
                (self.count as usize).wrapping_sub(phase).wrapping_sub(1).checked_rem(GROUP).unwrap_or(0) as u32;
            let bits = since.wrapping_add(1).wrapping_mul(BITS);
            if bits & 7 < BITS {
                let byte = (self.word >> (bits & 7)) as u8;
                if !lens.byte(byte, find) {
                    lens.clear(find);
                    self.awake &= !(1 << phase);
                }
            }
        }
    }

    /// A group is complete that may be text.
    #[cold]
    fn wake(&mut self, find: &mut Find<'_>) {
        let phase = (self.count as usize).checked_rem(GROUP).unwrap_or(0);
        if self.awake >> phase & 1 != 0 {
            return;
        }
        let there = self.count.min(16);
        let mut word = 0u128;
        for back in (1..=there).rev() {
            let value = self.last.get((self.count.wrapping_sub(back)) as usize & 15).copied().unwrap_or(0);
            word = word << BITS | u128::from(value);
        }
        let count = (there.wrapping_mul(BITS) >> 3) as usize;
        let bytes = word.to_be_bytes();
        let bytes = bytes.get(bytes.len().saturating_sub(count)..).unwrap_or_default();
        let printable = |b: &u8| matches!(b, b' '..=0x7e | 0x80.. | b'\t' | b'\n' | b'\r');
        let from = bytes.iter().rposition(|b| !printable(b)).map_or(0, |last| last.saturating_add(1));
        let text = (from..bytes.len()).find_map(|from| {
            let bytes = bytes.get(from..)?;
            (bytes.is_ascii() || std::str::from_utf8(bytes).is_ok()).then_some(bytes)
        });
        if let (Some(text), Some(lens)) = (text, self.lenses.get_mut(phase)) {
            lens.clear(find);
            self.awake |= 1 << phase;
            for byte in text {
                lens.byte(*byte, find);
            }
        }
    }
}

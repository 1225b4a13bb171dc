//! The patterns of all disguises, sorted; the control plane writes them, the filter searches them as they came.
//!
//! A match begins with its first [`GRAM`] symbols, a *gram*: a small filter over all grams says for nearly every place of
//! ordinary text that nothing begins here. Where something may, two binary searches find the range of patterns, and
//! each further symbol narrows it. So a pattern costs its own length and 16 bytes, not a state for each symbol.

use super::{GRAM, SHIFT, STEP};

/// A compiled table: patterns as `length u8, symbols`, and for each its entry.
#[derive(Default)]
pub(in crate::scan) struct Built {
    pub(in crate::scan) pool: Vec<u8>,
    pub(in crate::scan) entries: Vec<u32>,
}

/// Compiles the disguises of literals, in the order of the entries.
pub(in crate::scan) fn build<'t>(literals: impl Iterator<Item = &'t str>) -> Built {
    let mut all: Vec<(Vec<u8>, u32)> = Vec::new();
    for (literal, entry) in literals.zip(0..) {
        all.extend(super::symbols::patterns(literal).into_iter().map(|symbols| (symbols, entry)));
    }
    all.sort_unstable();
    let mut built = Built::default();
    for (symbols, entry) in all {
        built.pool.push(u8::try_from(symbols.len()).unwrap_or(0));
        built.pool.extend_from_slice(&symbols);
        built.entries.push(entry);
    }
    built
}

/// A loaded table.
#[derive(Default)]
pub(in crate::scan) struct Table {
    pool: Vec<u8>,
    /// Up to here the pool is indexed.
    indexed: usize,
    /// Where each pattern's symbols begin.
    starts: Vec<u32>,
    /// The first symbols of each, the first one in the highest byte, so that they are sorted, too.
    grams: Vec<u64>,
    entries: Vec<u32>,
}

impl Table {
    /// Room for so many patterns and bytes of them.
    pub(in crate::scan) fn reserve(&mut self, patterns: usize, pool: usize) {
        self.pool.reserve_exact(pool);
        self.starts.reserve_exact(patterns);
        self.grams.reserve_exact(patterns);
        self.entries.reserve_exact(patterns);
    }

    /// How many patterns' entries and bytes of patterns were loaded.
    pub(in crate::scan) fn loaded(&self) -> (usize, usize) {
        (self.entries.len(), self.pool.len())
    }

    /// Loads the next pattern's entry: all of them come first.
    pub(in crate::scan) fn entry(&mut self, entry: u32) {
        self.entries.push(entry);
    }

    /// Loads more of the patterns; those that are whole now are indexed at once, so that no step takes long.
    pub(in crate::scan) fn patterns(&mut self, bytes: &[u8]) {
        self.pool.extend_from_slice(bytes);
        while let Some(end) = self.next() {
            let start = self.indexed.saturating_add(1);
            self.starts.push(start as u32);
            self.grams.push(gram(self.pool.get(start..end).unwrap_or_default()));
            self.indexed = end;
        }
    }

    /// Where the first pattern ends that is not indexed.
    fn next(&self) -> Option<usize> {
        let len = usize::from(*self.pool.get(self.indexed)?);
        let end = self.indexed.checked_add(len)?.checked_add(1)?;
        (end <= self.pool.len() && self.starts.len() < self.entries.len()).then_some(end)
    }

    /// Whether it is a table over so many entries.
    pub(in crate::scan) fn is_sound(&self, count: usize) -> bool {
        let mut last: &[u8] = &[];
        let sorted = (0..self.starts.len()).all(|index| {
            let symbols = self.symbols(index as u32);
            let before = std::mem::replace(&mut last, symbols);
            before <= symbols && symbols.len() >= GRAM + STEP - 1 && !symbols.contains(&0)
        });
        let whole = self.starts.len() == self.entries.len() && self.indexed == self.pool.len();
        whole
            && sorted
            && u32::try_from(self.pool.len()).is_ok()
            && self.entries.iter().all(|entry| (*entry as usize) < count)
    }

    /// Windows whose last symbols are one of a pattern's first grams.
    fn windows(&self) -> impl Iterator<Item = u64> {
        let all = (0..self.starts.len()).map(|index| self.symbols(index as u32));
        all.flat_map(|symbols| symbols.windows(GRAM).take(STEP)).map(|symbols| gram(symbols).swap_bytes())
    }

    /// Whether a pattern has symbols beyond ASCII.
    pub(super) fn wide(&self) -> bool {
        !self.pool.is_ascii() && (0..self.starts.len()).any(|index| !self.symbols(index as u32).is_ascii())
    }

    fn symbols(&self, index: u32) -> &[u8] {
        let start = self.starts.get(index as usize).map_or(0, |start| *start as usize);
        let len = self.pool.get(start.wrapping_sub(1)).map_or(0, |len| usize::from(*len));
        self.pool.get(start..start.saturating_add(len)).unwrap_or_default()
    }

    /// The patterns that begin with a window's last symbols.
    pub(super) fn find(&self, window: u64) -> Option<(u32, u32)> {
        let gram = (window >> SHIFT).swap_bytes() >> SHIFT;
        let low = self.grams.partition_point(|one| *one < gram);
        let rest = self.grams.get(low..).unwrap_or_default();
        let count = rest.partition_point(|one| *one == gram);
        (count > 0).then_some((low as u32, low.saturating_add(count) as u32))
    }

    /// Those of a range whose symbol at `depth` is this one.
    pub(super) fn narrow(&self, (low, high): (u32, u32), depth: u8, symbol: u8) -> Option<(u32, u32)> {
        let at = |index: u32| self.symbols(index).get(usize::from(depth)).copied().unwrap_or(0);
        let first = partition(low, high, |index| at(index) < symbol);
        let last = partition(first, high, |index| at(index) <= symbol);
        (first < last).then_some((first, last))
    }

    /// The entries whose pattern ends after `depth` symbols: of a sorted range, they are its first.
    pub(super) fn ends(&self, (low, high): (u32, u32), depth: u8) -> impl Iterator<Item = u32> {
        (low..high)
            .take_while(move |index| self.symbols(*index).len() == usize::from(depth))
            .filter_map(|index| self.entries.get(index as usize).copied())
    }

    pub(in crate::scan) fn memory_bytes(&self) -> usize {
        let words = self.starts.capacity().saturating_add(self.entries.capacity()).saturating_mul(4);
        self.pool.capacity().saturating_add(words).saturating_add(self.grams.capacity().saturating_mul(8))
    }
}

fn gram(symbols: &[u8]) -> u64 {
    symbols.iter().take(GRAM).fold(0, |gram, symbol| gram << 8 | u64::from(*symbol))
}

fn partition(mut low: u32, mut high: u32, before: impl Fn(u32) -> bool) -> u32 {
    while low < high {
        let middle = low.midpoint(high);
        if before(middle) {
            low = middle.saturating_add(1);
        } else {
            high = middle;
        }
    }
    low
}

/// Which grams there are, of each pattern the first [`STEP`]: three bits each, all in the same word so that one look is enough.
/// With 16 bits a gram or more, about one in two hundred others passes.
#[derive(Default)]
pub(in crate::scan) struct Grams {
    bits: Vec<u64>,
    shift: u32,
    /// Whether any pattern has symbols beyond ASCII.
    pub(super) wide: bool,
}

const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

impl Grams {
    pub(in crate::scan) fn new<'t>(tables: impl Iterator<Item = &'t Table> + Clone) -> Self {
        let count = tables.clone().fold(0usize, |sum, table| sum.saturating_add(table.grams.len()));
        if count == 0 {
            return Self::default();
        }
        let size = count.saturating_mul(48).next_power_of_two().clamp(1 << 12, 1 << 26);
        let wide = tables.clone().any(Table::wide);
        let mut new = Self { bits: vec![0; size >> 6], shift: 70u32.saturating_sub(size.ilog2()), wide };
        for window in tables.flat_map(Table::windows) {
            let (at, three) = new.place(window);
            if let Some(word) = new.bits.get_mut(at) {
                *word |= three;
            }
        }
        new
    }

    /// Whether there is nothing to find.
    pub(in crate::scan) fn is_empty(&self) -> bool {
        self.bits.is_empty()
    }

    /// The word of a gram, and its bits there.
    #[inline]
    fn place(&self, window: u64) -> (usize, u64) {
        let hash = (window >> SHIFT).wrapping_mul(SPREAD);
        (
            hash.wrapping_shr(self.shift) as usize,
            1 << (hash >> 16 & 63) | 1 << (hash >> 22 & 63) | 1 << (hash >> 28 & 63),
        )
    }

    /// Whether the last symbols of a window may be a gram.
    #[inline]
    pub(super) fn maybe(&self, window: u64) -> bool {
        let (at, three) = self.place(window);
        self.bits.get(at).is_some_and(|word| word & three == three)
    }

    pub(in crate::scan) fn memory_bytes(&self) -> usize {
        self.bits.capacity().saturating_mul(8)
    }
}

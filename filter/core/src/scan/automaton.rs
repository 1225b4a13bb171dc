//! The automaton: Aho-Corasick over folded bytes, packed into a double array of 8 bytes a state.
//!
//! A slot holds `base:24 | fail:23 | out:1 | depth:8 | check:8`. The child of `s` by byte `b` is slot `base(s) ^ b`, and is
//! really its child when that slot's check is `b`: bases are unique, empty slots are zero and no folded byte is.
//! A state without children has a base that points beyond every slot. `depth` is the length of the state's text, so
//! of the longest suffix of what was read that may still become a fingerprint: **exact hold-back is one byte of the
//! state that is loaded anyway**. `out` says that this state or one on its fail chain ends a fingerprint.
//!
//! Invariants, checked when a blob is loaded: every fail link leads to an existing state of strictly smaller depth
//! (so every walk ends), the root is slot 0, outputs are sorted and in range.

/// The most slots: `fail` has 23 bits.
pub(super) const MAX_SLOTS: usize = 1 << 23;
/// A base from which no byte leads into the array.
pub(super) const NO_BASE: u32 = 0x00ff_ff00;

/// One state.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Slot(pub(super) u64);

impl Slot {
    pub(super) fn pack(base: u32, fail: u32, out: bool, depth: u8, check: u8) -> Self {
        Self(
            u64::from(base) << 40
                | u64::from(fail) << 17
                | u64::from(out) << 16
                | u64::from(depth) << 8
                | u64::from(check),
        )
    }
    #[inline]
    fn base(self) -> u32 {
        (self.0 >> 40) as u32
    }
    #[inline]
    pub(super) fn fail(self) -> u32 {
        ((self.0 >> 17) as u32) & 0x7f_ffff
    }
    #[inline]
    pub(super) fn out(self) -> bool {
        self.0 & 0x1_0000 != 0
    }
    #[inline]
    pub(super) fn depth(self) -> u8 {
        (self.0 >> 8) as u8
    }
    #[inline]
    pub(super) fn check(self) -> u8 {
        self.0 as u8
    }
    #[inline]
    pub(super) fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// Symbols of the table of pairs: a folded ASCII byte has one of 64, of which few are used.
const SYMBOLS: usize = 64;

/// The packed states.
pub(super) struct Automaton {
    slots: Vec<u64>,
    /// For every two folded ASCII bytes, the state after them from the root. No state of depth 2 or less needs its fail
    /// chain then: most of ordinary text runs in such states.
    pairs: Vec<(u32, Slot)>,
}

/// The symbol of a folded ASCII byte: letters, digits and the separator differ, and 0 is nothing before.
#[inline]
pub(super) fn symbol(folded: u8) -> u8 {
    match folded {
        b'a'..=b'z' => folded & 0x1f,
        b'0'..=b'9' => folded,
        0 => 0,
        _ => 31,
    }
}

impl Automaton {
    /// Takes over slots that are still to be checked: until [`Automaton::prepare`] nothing may be searched.
    pub(super) fn new(slots: Vec<u64>) -> Self {
        Self { slots, pairs: Vec::new() }
    }

    /// The invariants hold: fills the table of pairs. On links that go in circles this would not end.
    pub(super) fn prepare(&mut self) {
        let mut pairs = vec![(0, self.slot(0)); SYMBOLS * SYMBOLS];
        let alphabet = || (b'a'..=b'z').chain(b'0'..=b'9').chain([super::fold::SEPARATOR]);
        for first in alphabet().chain([0]) {
            let after = if first == 0 { 0 } else { self.step(0, first) };
            for second in alphabet() {
                if let Some(pair) = pairs.get_mut(pair(symbol(first), symbol(second))) {
                    let state = self.step(after, second);
                    *pair = (state, self.slot(state));
                }
            }
        }
        self.pairs = pairs;
    }

    /// The slot of a state; beyond the array, an empty one.
    #[inline]
    pub(super) fn slot(&self, state: u32) -> Slot {
        Slot(self.slots.get(state as usize).copied().unwrap_or(0))
    }

    /// The state after one more folded byte.
    #[inline]
    pub(super) fn step(&self, mut state: u32, byte: u8) -> u32 {
        let mut slot = self.slot(state);
        loop {
            let child = slot.base() ^ u32::from(byte);
            if self.slot(child).check() == byte {
                return child;
            }
            if state == 0 {
                return 0;
            }
            state = slot.fail();
            slot = self.slot(state);
        }
    }

    /// As [`Automaton::step`] from the state whose slot this is, for a folded ASCII byte after the folded ASCII byte whose
    /// symbol is `last`; with the new state's slot.
    #[inline]
    pub(super) fn advance(&self, mut slot: Slot, last: u8, byte: u8, symbol: u8) -> (u32, Slot) {
        while slot.depth() > 1 {
            let child = slot.base() ^ u32::from(byte);
            let next = self.slot(child);
            if next.check() == byte {
                return (child, next);
            }
            if slot.depth() == 2 {
                break;
            }
            slot = self.slot(slot.fail());
        }
        self.pairs.get(pair(last, symbol)).copied().unwrap_or((0, Slot(0)))
    }

    /// Bytes of memory.
    pub(super) fn memory_bytes(&self) -> usize {
        self.slots.capacity().saturating_mul(8).saturating_add(self.pairs.capacity().saturating_mul(16))
    }
}

#[inline]
fn pair(first: u8, second: u8) -> usize {
    usize::from(first & 63) << 6 | usize::from(second & 63)
}

//! What an ASCII byte is to each lens, in one table.

use super::{escapes, symbols};

/// What an ASCII byte is to each lens: `flags | hex:8 | base32:8 | base64:8 | symbol:8`.
pub(crate) const KINDS: [u64; 128] = {
    let mut table = [0u64; 128];
    let mut b = 0u8;
    while b < 128 {
        let letter = b.to_ascii_uppercase();
        let mut kind = symbols::ascii(b) as u64;
        let base64 = match b {
            b'A'..=b'Z' => b - b'A',
            b'a'..=b'z' => b - b'a' + 26,
            b'0'..=b'9' => b - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => 64,
        };
        let base32 = match letter {
            b'A'..=b'Z' => letter - b'A',
            b'2'..=b'7' => letter - b'2' + 26,
            _ => 32,
        };
        kind |= (base64 as u64) << 8 | (base32 as u64) << 16;
        kind |= match letter {
            b'0'..=b'9' => (letter - b'0') as u64 | NIBBLE,
            b'A'..=b'F' => (letter - b'A' + 10) as u64 | NIBBLE,
            b'X' => CROSS,
            b'G'..=b'Z' => 0,
            _ => GAP,
        } << 24;
        if b == b'\n' || b == b'\r' {
            kind |= WRAP;
        }
        if escapes::begins(b as char) {
            kind |= ESCAPE;
        }
        #[allow(clippy::indexing_slicing)] // evaluated by the compiler
        {
            table[b as usize] = kind;
        }
        b += 1;
    }
    table
};
/// Of the eight bits for hex: a digit, the `x` of a prefix, what may stand between digits.
pub(crate) const NIBBLE: u64 = 0x10;
pub(crate) const CROSS: u64 = 0x20;
pub(crate) const GAP: u64 = 0x40;
/// A line may be broken here inside an encoded text.
pub(crate) const WRAP: u64 = 1 << 32;
/// An escape or tag may begin here.
pub(super) const ESCAPE: u64 = 1 << 33;

/// What the quick way needs to know of an ASCII byte: `flags:8 | symbol:8`.
pub(in crate::scan) const fn seen(byte: u8) -> u16 {
    #[allow(clippy::indexing_slicing)] // only the compiler evaluates it, for a table
    let kind = KINDS[byte as usize & 127];
    let encoded = kind >> 8 & 0xff < 64 || kind & WRAP != 0;
    let between = kind >> 24 & (NIBBLE | CROSS | GAP) == 0;
    let escape = kind & ESCAPE != 0;
    let flags = (encoded as u16) << QUICK_ENCODED | (between as u16) << QUICK_BREAK | (escape as u16) << QUICK_ESCAPE;
    flags << 8 | (kind & 0xff) as u16
}
/// Bits of the flags: part of a run of base64 or base32, what ends a run of hex, what begins an escape.
pub(super) const QUICK_ENCODED: u32 = 0;
pub(super) const QUICK_BREAK: u32 = 1;
pub(super) const QUICK_ESCAPE: u32 = 2;

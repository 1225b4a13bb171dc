//! Folding: what two texts must have in common to be the same fingerprint.
//!
//! Characters become bytes one at a time, so that folding works on streams:
//!
//! - ASCII letters become lower case; other letters their compatibility decomposition (NFKD), lower case, in UTF-8;
//! - combining marks, zero-width and other default-ignorable characters, variation selectors, bidi controls and tag
//!   characters (U+E0000–E007F) vanish;
//! - every run of anything else that is no letter or digit (space, punctuation, symbols, controls) becomes one space.
//!
//! Patterns are folded the same way and trimmed, so `Falcon-Harbor`, `FALCON  harbor` and `ﬁ…` forms meet. Letters are
//! not mapped to look-alikes of other scripts: `disguise` does that.

use unicode_normalization::char::{decompose_compatible, is_combining_mark};

/// The fewest folded bytes of a fingerprint.
pub const MIN: usize = 4;
/// The most: the automaton's depth is one byte.
pub const MAX: usize = 255;

/// What a separator becomes.
pub const SEPARATOR: u8 = b' ';

/// What one ASCII byte becomes.
const ASCII: [u8; 128] = {
    let mut table = [SEPARATOR; 128];
    let mut b = 0u8;
    while b < 128 {
        if b.is_ascii_alphanumeric() {
            #[allow(clippy::indexing_slicing)] // evaluated by the compiler
            {
                table[b as usize] = b.to_ascii_lowercase();
            }
        }
        b = b.wrapping_add(1);
    }
    table
};

/// Folds one ASCII byte; other bytes count as separators.
#[inline]
pub fn ascii(byte: u8) -> u8 {
    ASCII.get(usize::from(byte)).copied().unwrap_or(SEPARATOR)
}

/// Folds one character: calls `emit` with each byte. [`SEPARATOR`] means "a separator is here"; collapsing runs of
/// them is the caller's. A character that vanishes emits nothing.
pub fn char(c: char, mut emit: impl FnMut(u8)) {
    if c.is_ascii() {
        return emit(ascii(u8::try_from(u32::from(c)).unwrap_or(0)));
    }
    if is_ignorable(c) {
        return;
    }
    decompose_compatible(c, |part| {
        if is_combining_mark(part) || is_ignorable(part) {
            return;
        }
        if part.is_ascii() {
            return emit(ascii(u8::try_from(u32::from(part)).unwrap_or(0)));
        }
        if !part.is_alphanumeric() {
            return emit(SEPARATOR);
        }
        for lower in part.to_lowercase() {
            // Lower-casing may itself give a base and a mark (İ).
            if !is_combining_mark(lower) {
                lower.encode_utf8(&mut [0; 4]).bytes().for_each(&mut emit);
            }
        }
    });
}

/// Characters that take no place: default ignorables, format controls, variation selectors, tags, fillers.
fn is_ignorable(c: char) -> bool {
    matches!(u32::from(c),
        0xad | 0x34f | 0x61c | 0x115f | 0x1160 | 0x17b4 | 0x17b5 | 0x180b..=0x180f | 0x200b..=0x200f
        | 0x202a..=0x202e | 0x2060..=0x206f | 0x3164 | 0xfe00..=0xfe0f | 0xfeff | 0xffa0 | 0xfff9..=0xfffb
        | 0x1bca0..=0x1bca3 | 0x1d173..=0x1d17a | 0xe0000..=0xe0fff)
}

/// Why a text cannot be a fingerprint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LiteralError {
    /// Fewer than [`MIN`] bytes once folded.
    TooShort,
    /// More than [`MAX`] bytes once folded.
    TooLong,
    /// One short word of nothing but letters: ordinary text would match.
    CommonWord,
}

impl std::fmt::Display for LiteralError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::TooShort => "the literal has fewer than 4 letters and digits: take a longer one",
            Self::TooLong => "the literal has more than 255 bytes once folded: take a distinctive part of it",
            Self::CommonWord => {
                "the literal is one word of fewer than 6 letters: ordinary text would match; add the words around it"
            }
        })
    }
}

impl std::error::Error for LiteralError {}

/// The folded form of any text, separators collapsed: what the scanner reads.
pub fn text(text: &str) -> String {
    let mut out: Vec<u8> = Vec::with_capacity(text.len());
    for c in text.chars() {
        char(c, |b| {
            if b != SEPARATOR || out.last().is_some_and(|last| *last != SEPARATOR) {
                out.push(b);
            }
        });
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// The folded form of a literal: the same rule for the control plane that stores it and the scanner that finds it.
///
/// # Errors
/// [`LiteralError`] when the text is no usable fingerprint.
pub fn literal(text: &str) -> Result<Vec<u8>, LiteralError> {
    let mut out = self::text(text).into_bytes();
    if out.last() == Some(&SEPARATOR) {
        out.pop();
    }
    if out.iter().filter(|b| **b != SEPARATOR).count() < MIN {
        return Err(LiteralError::TooShort);
    }
    if out.len() > MAX {
        return Err(LiteralError::TooLong);
    }
    if out.len() < 6 && out.iter().all(u8::is_ascii_lowercase) {
        return Err(LiteralError::CommonWord);
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_that_mean_the_same_meet() {
        let folded = literal("Falcon Harbor 7").unwrap();
        assert_eq!(folded, b"falcon harbor 7");
        for same in [
            "FALCON\tHARBOR 7",
            "falcon--harbor_7",
            " Falcon\n\nHarbor 7!",
            "F\u{200b}alcon Har\u{fe0f}bor 7",
            "Ｆａｌｃｏｎ Ｈａｒｂｏｒ ７",
            "fa\u{301}lcon harbor 7",
            "falcon\u{e0041} harbor 7",
            "fálcon harbor ⁷",
        ] {
            assert_eq!(literal(same).unwrap(), folded, "{same:?}");
        }
        assert_eq!(literal("ﬁnance oﬃce").unwrap(), b"finance office");
        assert_eq!(literal("STRASSE ÄÖÜ").unwrap(), "strasse aou".as_bytes());
        assert_eq!(literal("ΑΘΗΝΑ").unwrap(), "αθηνα".as_bytes());
    }

    #[test]
    fn what_would_match_everything_is_refused() {
        assert_eq!(literal(""), Err(LiteralError::TooShort));
        assert_eq!(literal("--- ..."), Err(LiteralError::TooShort));
        assert_eq!(literal("a b c"), Err(LiteralError::TooShort));
        assert_eq!(literal("Peter"), Err(LiteralError::CommonWord));
        assert_eq!(literal(&"x".repeat(256)), Err(LiteralError::TooLong));
        assert!(literal("AB-1234").is_ok());
    }
}

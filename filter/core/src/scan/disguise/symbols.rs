//! Symbols: what is left of a text when everything that may disguise it is taken away.
//!
//! Beyond folding (`fold.rs`): separators vanish, digits and signs that stand for letters become these (`0` o, `1` l, `3` e, `4` a,
//! `5` s, `7` t, `@` a, `$` s), `i` and `l` are one, and look-alikes of other scripts become the letter that they look
//! like. A symbol is a byte: a lower-case letter, a digit, or a byte of the UTF-8 form of another letter.

use super::lookalikes::LOOKALIKES;
use crate::scan::fold;
use unicode_normalization::char::{decompose_compatible, is_combining_mark};

/// The symbol of an ASCII byte; 0 is none.
pub(super) const fn ascii(byte: u8) -> u8 {
    match byte.to_ascii_lowercase() {
        b'0' => b'o',
        b'1' | b'i' => b'l',
        b'3' => b'e',
        b'4' | b'@' => b'a',
        b'5' | b'$' => b's',
        b'7' => b't',
        letter @ (b'a'..=b'z' | b'0'..=b'9') => letter,
        _ => 0,
    }
}

/// Calls `emit` with each symbol of a character.
pub(super) fn char(c: char, mut emit: impl FnMut(u8)) {
    let mut keep = |symbol: u8| {
        if symbol != 0 {
            emit(symbol);
        }
    };
    if c.is_ascii() {
        return keep(ascii(c as u8));
    }
    decompose_compatible(c, |part| {
        if is_combining_mark(part) {
            return;
        }
        match lookalike(part) {
            Some(letter) => keep(ascii(letter)),
            None => fold::char(part, |byte| keep(if byte.is_ascii() { ascii(byte) } else { byte })),
        }
    });
}

/// The ASCII letter or digit that a character looks like.
fn lookalike(c: char) -> Option<u8> {
    let key = u32::from(c) << 8;
    let at = LOOKALIKES.partition_point(|entry| *entry < key);
    LOOKALIKES.get(at).filter(|entry| **entry >> 8 == u32::from(c)).map(|entry| *entry as u8)
}

/// All symbols of a text.
pub(super) fn text(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for c in text.chars() {
        char(c, |symbol| out.push(symbol));
    }
    out
}

/// A text with its ASCII letters moved by 13.
fn rot13(text: &str) -> String {
    let rotate = |c: char| match c {
        'a'..='m' | 'A'..='M' => char::from((c as u8).wrapping_add(13)),
        'n'..='z' | 'N'..='Z' => char::from((c as u8).wrapping_sub(13)),
        other => other,
    };
    text.chars().map(rotate).collect()
}

/// The disguises of a literal that are patterns of their own: it itself without separators, reversed, and its
/// rot13. Only those that no ordinary text has by chance: a letter weighs 4, a digit 3.
pub(super) fn patterns(literal: &str) -> Vec<Vec<u8>> {
    let folded = fold::text(literal.trim());
    let letters = folded.chars().filter(|c| c.is_alphabetic()).count();
    let digits = folded.chars().filter(|c| c.is_numeric()).count();
    let weight = letters.saturating_mul(4).saturating_add(digits.saturating_mul(3));
    // Two short words may be another, longer one; runs of digits are everywhere.
    let separated = folded.trim().contains(' ');
    let (glued, hidden) = (
        weight
            >= if letters < 4 {
                39
            } else if separated {
                40
            } else {
                32
            },
        weight >= 40,
    );
    let plain = text(literal);
    let varied = plain.iter().any(|symbol| plain.first() != Some(symbol));
    if !glued || !varied {
        return Vec::new();
    }
    let mut all = vec![plain];
    if hidden {
        all.push(text(&literal.chars().rev().collect::<String>()));
        all.push(text(&rot13(literal)));
    }
    all.retain(|symbols| (super::GRAM + super::STEP - 1..=fold::MAX).contains(&symbols.len()));
    all.sort_unstable();
    all.dedup();
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disguises_meet() {
        for same in [
            "Falcon Harbor",
            "F-a-l-c-o-n h a r b o r",
            "f4lc0n-h4rb0r",
            "Fаlсоn Наrbоr",
            "FALCON𝐇𝐀𝐑𝐁𝐎𝐑",
            "ꜰᴀʟᴄᴏɴ ʜᴀʀʙᴏʀ",
        ] {
            assert_eq!(String::from_utf8_lossy(&text(same)), "falconharbor", "{same}");
        }
        assert_eq!(text("НОС"), text("нос"), "case of other scripts");
    }

    #[test]
    fn short_ones_have_no_disguises() {
        for none in ["AB-1234", "the rapist", "12345678", "1111 1111 1111 1111", "Berlin"] {
            assert!(patterns(none).is_empty(), "{none}");
        }
        assert_eq!(patterns("Falconry").len(), 1);
        assert_eq!(patterns("Falcon Harbor").len(), 3);
        assert!(patterns("Falcon Harbor").contains(&b"robrahnoclaf".to_vec()));
        assert!(patterns("Falcon Harbor").contains(&b"snypbauneobe".to_vec()));
    }
}

//! The table of look-alikes is what Unicode's confusables say. `PARTYWALL_BLESS=1` writes it anew.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::fmt::Write as _;
use std::path::Path;
use unicode_normalization::UnicodeNormalization;
use unicode_security::confusable_detection::skeleton;

/// Small capitals, which confusables keep apart from capitals.
const SMALL_CAPITALS: &[(char, char)] = &[
    ('ᴀ', 'a'),
    ('ʙ', 'b'),
    ('ᴄ', 'c'),
    ('ᴅ', 'd'),
    ('ᴇ', 'e'),
    ('ꜰ', 'f'),
    ('ɢ', 'g'),
    ('ʜ', 'h'),
    ('ɪ', 'i'),
    ('ᴊ', 'j'),
    ('ᴋ', 'k'),
    ('ʟ', 'l'),
    ('ᴍ', 'm'),
    ('ɴ', 'n'),
    ('ᴏ', 'o'),
    ('ᴘ', 'p'),
    ('ʀ', 'r'),
    ('ꜱ', 's'),
    ('ᴛ', 't'),
    ('ᴜ', 'u'),
    ('ᴠ', 'v'),
    ('ᴡ', 'w'),
    ('ʏ', 'y'),
    ('ᴢ', 'z'),
];
/// Letters in circles and squares and regional indicators: 26 from each of these on.
const ALPHABETS: &[u32] = &[0x1f150, 0x1f170, 0x1f1e6];

/// The ASCII letter or digit that a reader takes a character for.
fn lookalike(c: char) -> Option<char> {
    if let Some((_, letter)) = SMALL_CAPITALS.iter().find(|(small, _)| *small == c) {
        return Some(*letter);
    }
    for first in ALPHABETS {
        if let Some(n) = u32::from(c).checked_sub(*first).filter(|n| *n < 26) {
            return char::from_u32(u32::from('a').wrapping_add(n));
        }
    }
    if !c.is_alphanumeric() {
        return None;
    }
    // The capital's look where the small letter has none of its own, so that both cases are the same.
    [c.to_string(), c.to_uppercase().collect(), c.to_lowercase().collect()].iter().find_map(|form| {
        let image: Vec<char> = skeleton(form).collect();
        match image.as_slice() {
            [one] if one.is_ascii_alphanumeric() => Some(one.to_ascii_lowercase()),
            [one] => SMALL_CAPITALS.iter().find(|(small, _)| small == one).map(|(_, letter)| *letter),
            _ => None,
        }
    })
}

#[test]
fn the_table_is_what_unicode_says() {
    let mut text = String::from(
        "//! Characters that look like an ASCII letter or digit: `character << 8 | letter`, ascending. Generated from Unicode's\n\
         //! confusables by `tests/lookalikes.rs` (`PARTYWALL_BLESS=1`), without those that compatibility forms fold already.\n\n\
         pub(super) const LOOKALIKES: &[u32] = &[\n",
    );
    let mut line = String::from("   ");
    for c in ('\u{80}'..=char::MAX).filter(|c| c.nfkd().eq([*c])) {
        let Some(letter) = lookalike(c) else { continue };
        let one = format!(" 0x{:x},", u32::from(c) << 8 | u32::from(letter));
        if line.len() + one.len() > 118 {
            writeln!(text, "{line}").unwrap();
            line = String::from("   ");
        }
        line += &one;
    }
    write!(text, "{line}\n];\n").unwrap();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/scan/disguise/lookalikes.rs");
    if std::env::var_os("PARTYWALL_BLESS").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    assert!(std::fs::read_to_string(&path).unwrap_or_default() == text, "out of date: see the file's first lines");
}

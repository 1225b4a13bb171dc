//! A JSON string as it is written, and its characters with the bytes that wrote them.

use std::borrow::Cow;
use std::ops::Range;

/// A string of a document that was walked, so known to be well formed.
#[derive(Clone, Copy, Debug)]
pub struct Str<'a> {
    raw: &'a str,
    start: usize,
    escaped: bool,
}

impl<'a> Str<'a> {
    pub(crate) fn new(raw: &'a str, start: usize, escaped: bool) -> Self {
        Self { raw, start, escaped }
    }

    /// The bytes between the quotes.
    pub fn raw(&self) -> &'a [u8] {
        self.raw.as_bytes()
    }

    /// Where they begin in the document.
    pub fn start(&self) -> usize {
        self.start
    }

    /// Whether any escape occurs.
    pub fn has_escapes(&self) -> bool {
        self.escaped
    }

    /// The string's value.
    pub fn decode(&self) -> Cow<'a, str> {
        if self.escaped { Cow::Owned(self.chars().map(|(c, _)| c).collect()) } else { Cow::Borrowed(self.raw) }
    }

    /// The value's characters, each with the range of the document that wrote it.
    pub fn chars(&self) -> impl Iterator<Item = (char, Range<usize>)> + 'a {
        let (raw, start) = (self.raw, self.start);
        let mut at = 0usize;
        std::iter::from_fn(move || {
            let rest = raw.get(at..)?;
            let c = rest.chars().next()?;
            let (c, len) = if c == '\\' { unescape(rest.as_bytes())? } else { (c, c.len_utf8()) };
            let from = start.saturating_add(at);
            at = at.saturating_add(len);
            Some((c, from..from.saturating_add(len)))
        })
    }
}

/// Reads one escape (a surrogate pair counts as one): the character and the number of bytes.
pub(crate) fn unescape(bytes: &[u8]) -> Option<(char, usize)> {
    let plain = |c| Some((c, 2));
    match bytes.get(1)? {
        b'"' => plain('"'),
        b'\\' => plain('\\'),
        b'/' => plain('/'),
        b'b' => plain('\u{8}'),
        b'f' => plain('\u{c}'),
        b'n' => plain('\n'),
        b'r' => plain('\r'),
        b't' => plain('\t'),
        b'u' => {
            let high = hex4(bytes.get(2..6)?)?;
            if !(0xd800..0xe000).contains(&high) {
                return Some((char::from_u32(high)?, 6));
            }
            if high >= 0xdc00 || bytes.get(6..8)? != b"\\u" {
                return None;
            }
            let low = hex4(bytes.get(8..12)?)?;
            if !(0xdc00..0xe000).contains(&low) {
                return None;
            }
            let code = 0x10000u32.checked_add((high & 0x3ff) << 10)?.checked_add(low & 0x3ff)?;
            Some((char::from_u32(code)?, 12))
        }
        _ => None,
    }
}

fn hex4(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0u32, |sum, digit| Some((sum << 4) | char::from(*digit).to_digit(16)?))
}

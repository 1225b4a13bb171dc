//! Query strings, read and written.

use std::fmt::Write as _;

/// Reads a query into decoded pairs, in order. `None` when an escape is malformed or a text is not UTF-8.
pub fn parse(raw: &str) -> Option<Vec<(String, String)>> {
    let pairs = raw.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Some((decode(name)?, decode(value)?))
        })
        .collect()
}

fn decode(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'%' => {
                let digit =
                    |b: Option<u8>| b.and_then(|b| char::from(b).to_digit(16)).and_then(|d| u8::try_from(d).ok());
                digit(bytes.next())? << 4 | digit(bytes.next())?
            }
            b'+' => b' ',
            0x21..=0x7e if !matches!(byte, b'#' | b'"' | b'<' | b'>' | b';') => byte,
            _ => return None,
        });
    }
    let text = String::from_utf8(out).ok()?;
    (!text.chars().any(char::is_control)).then_some(text)
}

/// Writes pairs as a query; every byte that needs no meaning is escaped.
pub fn write<'q>(pairs: impl IntoIterator<Item = (&'q str, &'q str)>) -> String {
    let mut out = String::new();
    for (name, value) in pairs {
        if !out.is_empty() {
            out.push('&');
        }
        encode(&mut out, name);
        out.push('=');
        encode(&mut out, value);
    }
    out
}

/// Appends a text as one path segment or query part.
pub fn encode(out: &mut String, text: &str) {
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b':' | b'@' | b',' => {
                out.push(char::from(byte));
            }
            _ => {
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_the_same() {
        for text in ["", "a b", "eq.t_ä", "in.(1,2)", "%25", "a&b=c+d", "\"x\"", "日本"] {
            let query = write([(text, text)]);
            assert_eq!(parse(&query), Some(vec![(text.to_owned(), text.to_owned())]), "{query}");
        }
        for bad in ["a=%", "a=%2", "a=%zz", "a=%ff", "a=b;c", "a=%00", "a=\u{e4}"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
        assert_eq!(parse("a=1&&b").map(|pairs| pairs.len()), Some(2));
    }
}

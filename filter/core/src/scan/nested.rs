//! What a string or an array of a document holds that its reader decodes: a JSON document in base64 (the chunks of AWS Bedrock), and the bytes
//! of a token in decimal (OpenAI's `logprobs`).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The shortest string that is decoded: `{"a":"b"}`.
const SHORTEST: usize = 12;

/// The JSON document that a string holds in base64.
pub(super) fn document(raw: &str) -> Option<String> {
    let bytes = raw.as_bytes();
    // An object or an array, nothing before it.
    let begins = matches!(bytes.first_chunk::<2>()?, b"ey" | b"ew" | [b'W', _]);
    if !begins || bytes.len() < SHORTEST || !bytes.len().is_multiple_of(4) {
        return None;
    }
    String::from_utf8(STANDARD.decode(bytes).ok()?).ok()
}

/// The characters that an array of numbers spells in UTF-8, each with where it was written: `(character, offset, length)`.
pub(super) fn characters(raw: &str) -> Vec<(char, usize, usize)> {
    let mut bytes = Vec::new();
    let mut at = 0usize;
    for part in raw.split(|c: char| !c.is_ascii_digit()) {
        if let Ok(byte) = part.parse::<u8>() {
            bytes.push((byte, at, at.saturating_add(part.len())));
        }
        at = at.saturating_add(part.len()).saturating_add(1);
    }
    let text: Vec<u8> = bytes.iter().map(|(byte, _, _)| *byte).collect();
    let mut places = bytes.iter();
    let mut all = Vec::new();
    for chunk in text.utf8_chunks() {
        let mut place = |c: char, len: usize| {
            let mut own = places.by_ref().take(len);
            let Some((_, from, first)) = own.next() else { return };
            let to = own.last().map_or(*first, |(_, _, to)| *to);
            all.push((c, *from, to.saturating_sub(*from)));
        };
        chunk.valid().chars().for_each(|c| place(c, c.len_utf8()));
        if !chunk.invalid().is_empty() {
            place(' ', chunk.invalid().len());
        }
    }
    all
}

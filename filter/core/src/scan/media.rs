//! What a response says that it is, and what it looks like.

/// How a response is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Media {
    /// Server-sent events.
    Sse,
    /// One JSON document a line.
    Ndjson,
    /// One JSON document.
    Json,
    /// Anything else that is text. What looks like one of the others is read as that.
    Text,
}

impl Media {
    /// The media type of a `content-type`; `None` for what cannot be read: binary types, and charsets other than
    /// UTF-8 and its subset.
    pub fn from_content_type(value: &[u8]) -> Option<Self> {
        let value = std::str::from_utf8(value).ok()?;
        let mut parts = value.split(';').map(str::trim);
        let essence = parts.next()?.to_ascii_lowercase();
        let utf8 = parts.filter_map(|parameter| parameter.split_once('=')).all(|(name, value)| {
            let value = value.trim().trim_matches('"').to_ascii_lowercase();
            !name.trim().eq_ignore_ascii_case("charset") || ["utf-8", "utf8", "us-ascii"].contains(&value.as_str())
        });
        if !utf8 {
            return None;
        }
        match essence.as_str() {
            "text/event-stream" => Some(Self::Sse),
            "application/x-ndjson" | "application/ndjson" | "application/jsonl" | "application/x-jsonlines" => {
                Some(Self::Ndjson)
            }
            "application/json" => Some(Self::Json),
            other if other.starts_with("application/") && other.ends_with("+json") => Some(Self::Json),
            other if other.starts_with("text/") => Some(Self::Text),
            _ => None,
        }
    }
}

/// How far a body is looked at.
const SNIFF: usize = 4096;

/// What a body looks like that was declared as text; `None` until enough of it has come.
pub(super) fn sniff(first: &[u8], end: bool) -> Option<Media> {
    // What follows so much white space is text; only this much of the body decides, however it is split.
    let full = first.len() >= SNIFF;
    let first = first.get(..SNIFF).unwrap_or(first);
    let body = first.strip_prefix(b"\xef\xbb\xbf").unwrap_or(first).trim_ascii_start();
    if matches!(body.first(), Some(b'{' | b'[')) {
        return Some(Media::Json);
    }
    let marks: [&[u8]; 5] = [b"data:", b"event:", b"id:", b"retry:", b":"];
    if marks.iter().any(|mark| body.starts_with(mark)) {
        return Some(Media::Sse);
    }
    let open = body.is_empty() || marks.iter().any(|mark| mark.starts_with(body)) || b"\xef\xbb\xbf".starts_with(first);
    if open && !end && !full { None } else { Some(Media::Text) }
}

//! Hosts, paths and queries, read so that no upstream can read them differently.
//!
//! A path is canonical when every segment is its own only spelling: no empty, `.` or `..` segment, no `;`, no byte that is not
//! printable ASCII, and percent-encoding only of a character that needs none, or of one of `:@+=,`, which clients' URL
//! libraries like to encode and every server reads alike. Everything else is refused rather than
//! normalised: what we would normalise, the upstream gets as it came.

/// The host of an authority: lower case, without port; `None` when malformed.
pub(super) fn host(authority: &str) -> Option<String> {
    let host = match authority.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?.0,
        None => authority.split_once(':').map_or(authority, |(host, _)| host),
    };
    let clean =
        !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b':'));
    clean.then(|| host.trim_end_matches('.').to_ascii_lowercase())
}

/// The segments of a canonical absolute path, decoded; `/` has none. `None` when it is not canonical.
pub(super) fn canonical(raw: &str) -> Option<Vec<String>> {
    let rest = raw.strip_prefix('/')?;
    if rest.is_empty() {
        return Some(Vec::new());
    }
    rest.split('/').map(segment).collect()
}

fn segment(raw: &str) -> Option<String> {
    let mut out = String::with_capacity(raw.len());
    let mut bytes = raw.bytes();
    while let Some(byte) = bytes.next() {
        let plain = match byte {
            b'%' => {
                let digit =
                    |b: Option<u8>| b.and_then(|b| char::from(b).to_digit(16)).and_then(|d| u8::try_from(d).ok());
                let decoded = digit(bytes.next())? << 4 | digit(bytes.next())?;
                Some(decoded).filter(|b| {
                    b.is_ascii_alphanumeric() || matches!(b, b'_' | b'~' | b'-' | b':' | b'@' | b'+' | b'=' | b',')
                })?
            }
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-' | b'_' | b'~' | b':' | b'@' | b'+' | b'=' | b',' => {
                byte
            }
            _ => return None,
        };
        out.push(char::from(plain));
    }
    (!out.is_empty() && out != "." && out != "..").then_some(out)
}

/// The segments below a prefix (without a trailing slash); `None` when the path is not below it.
pub(super) fn below<'p>(prefix: &str, segments: &'p [String]) -> Option<&'p [String]> {
    let mut rest = segments;
    for expected in prefix.split('/').filter(|part| !part.is_empty()) {
        let (first, later) = rest.split_first()?;
        if first != expected {
            return None;
        }
        rest = later;
    }
    Some(rest)
}

/// Fits segments to a template; gives what its parameters stand for.
pub(super) fn fit(template: &str, segments: &[String]) -> Option<Vec<String>> {
    let mut parameters = Vec::new();
    let mut rest = segments.iter();
    for part in template.split('/').filter(|part| !part.is_empty()) {
        if part == "*" {
            return Some(parameters);
        }
        let segment = rest.next()?;
        if part.starts_with('{') {
            parameters.push(segment.clone());
        } else if part != segment {
            return None;
        }
    }
    rest.next().is_none().then_some(parameters)
}

/// Whether every parameter of a query is known and occurs once, in its plain spelling.
pub(super) fn query_allowed(query: Option<&str>, known: &[&str]) -> bool {
    let Some(query) = query else { return true };
    let mut seen: Vec<&str> = Vec::new();
    query.split('&').all(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let plain = value.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b';' | b'#' | b'"' | b'<' | b'>'));
        let fresh = known.contains(&name) && !seen.contains(&name);
        seen.push(name);
        plain && fresh
    })
}

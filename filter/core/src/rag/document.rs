//! Reading a client's document: what every rewriter needs.

#![allow(dead_code)] // Each backend uses some of them.

use crate::error::Code;
use crate::json::write;
use crate::json::{self, JsonError, Str, Value};

/// A document's members, in order.
pub type Members<'a> = Vec<(Str<'a>, Value<'a>)>;

/// The members of a body that is an object and has no member but the known ones. One that is not known may be a filter that
/// we do not know.
///
/// # Errors
/// The code that says what is wrong.
pub fn members<'a>(body: &'a [u8], known: &[&str]) -> Result<Members<'a>, Code> {
    let Value::Object(members, _) = json::parse(body).map_err(JsonError::code)? else { return Err(Code::FieldInvalid) };
    only(&members, known)?;
    Ok(members)
}

/// Refuses members that are not known.
///
/// # Errors
/// [`Code::FieldUnknown`].
pub fn only(members: &[(Str<'_>, Value<'_>)], known: &[&str]) -> Result<(), Code> {
    if members.iter().all(|(key, _)| known.contains(&key.decode().as_ref())) { Ok(()) } else { Err(Code::FieldUnknown) }
}

/// The members of a value that is an object.
///
/// # Errors
/// [`Code::FieldInvalid`].
pub fn object<'v, 'a>(value: &'v Value<'a>) -> Result<&'v [(Str<'a>, Value<'a>)], Code> {
    match value {
        Value::Object(members, _) => Ok(members),
        _ => Err(Code::FieldInvalid),
    }
}

/// A member that is there and not null.
pub fn find<'m, 'a>(members: &'m [(Str<'a>, Value<'a>)], name: &str) -> Option<&'m Value<'a>> {
    members.iter().find(|(key, _)| key.decode() == name).map(|(_, value)| value).filter(|value| !value.is_null())
}

/// A list of strings; `None` when absent or null.
///
/// # Errors
/// [`Code::FieldInvalid`] when it is anything else.
pub fn strings<'m, 'a>(members: &'m [(Str<'a>, Value<'a>)], name: &str) -> Result<Option<Vec<&'m Str<'a>>>, Code> {
    let Some(value) = find(members, name) else { return Ok(None) };
    let items = value.items().ok_or(Code::FieldInvalid)?;
    let strings = items.iter().map(|item| match item {
        Value::String(text, _) => Ok(text),
        _ => Err(Code::FieldInvalid),
    });
    strings.collect::<Result<_, _>>().map(Some)
}

/// Writes an id under the tenant's prefix, its own characters verbatim.
pub fn scoped_id(out: &mut Vec<u8>, prefix: &str, id: &Str<'_>) {
    out.push(b'"');
    out.extend_from_slice(prefix.as_bytes());
    out.extend_from_slice(id.raw());
    out.push(b'"');
}

/// Writes ids under the tenant's prefix.
pub fn scoped_ids(out: &mut Vec<u8>, prefix: &str, ids: &[&Str<'_>]) {
    write::array(out, ids, |out, id| scoped_id(out, prefix, id));
}

/// Refuses what has become far larger than the client's: many small parts, each with a condition of ours, would cost a multiple
/// of what was sent.
///
/// # Errors
/// [`Code::BodyTooLarge`].
pub fn fits(written: usize, body: &[u8]) -> Result<(), Code> {
    let most = body.len().saturating_mul(8).saturating_add(16 << 20);
    if written <= most { Ok(()) } else { Err(Code::BodyTooLarge) }
}

/// The items of a list. A list of nothing but numbers was skipped as one span: it is split at its own level. `None` when it is
/// no list.
pub fn items<'a>(value: &Value<'a>) -> Option<Vec<Value<'a>>> {
    match value {
        Value::Array(items, _) => Some(items.clone()),
        Value::Numbers(raw) => numbers(raw),
        _ => None,
    }
}

/// Splits `[1,2]` or `[[1,2],[3]]` at its outermost commas.
fn numbers(raw: &[u8]) -> Option<Vec<Value<'_>>> {
    let inner = raw.strip_prefix(b"[")?.strip_suffix(b"]")?;
    let mut items = Vec::new();
    if inner.trim_ascii().is_empty() {
        return Some(items);
    }
    let (mut depth, mut from) = (0usize, 0usize);
    let mut push = |part: &[u8], from: usize| {
        let raw = inner.get(from..from.saturating_add(part.len())).unwrap_or_default().trim_ascii();
        let list = raw.starts_with(b"[");
        items.push(if list { Value::Numbers(raw) } else { Value::Number(raw) });
        // What was skipped as numbers may be none.
        (list || serde_json::from_slice::<serde_json::Number>(raw).is_ok()).then_some(())
    };
    for (at, byte) in inner.iter().enumerate() {
        match byte {
            b'[' => depth = depth.checked_add(1)?,
            b']' => depth = depth.checked_sub(1)?,
            b',' if depth == 0 => {
                push(inner.get(from..at)?, from)?;
                from = at.checked_add(1)?;
            }
            _ => {}
        }
    }
    push(inner.get(from..)?, from)?;
    Some(items)
}

//! Payloads: what is reserved in them, what is asked of them, what is written into them.

use super::Own;
use super::ids::Id;
use crate::error::Code;
use crate::json::write::{self, Object};
use crate::json::{Str, Value};
use crate::rag::document::{object, only};
use std::borrow::Cow;

/// The first key of a path like `a.b[0]."c d"`; `None` when it is none.
fn first_key(path: &str) -> Option<Cow<'_, str>> {
    let (key, rest) = match path.strip_prefix('"') {
        Some(quoted) => quoted.split_once('"')?,
        None => {
            let end = path.find(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '-'))).unwrap_or(path.len());
            path.split_at_checked(end).filter(|(key, _)| !key.is_empty())?
        }
    };
    (rest.is_empty() || rest.starts_with(['.', '['])).then_some(Cow::Borrowed(key))
}

/// Whether a path leads to what is reserved.
fn reserved(own: &Own<'_>, path: &str) -> bool {
    first_key(path).is_some_and(|key| own.reserves(&key))
}

/// A path that a client may change, group, count or order by.
///
/// # Errors
/// [`Code::FieldInvalid`] when it is none, or is reserved.
pub(super) fn check_path(own: &Own<'_>, path: &Value<'_>) -> Result<(), Code> {
    let Value::String(path, _) = path else { return Err(Code::FieldInvalid) };
    let path = path.decode();
    match first_key(&path) {
        Some(key) if !own.reserves(&key) => Ok(()),
        _ => Err(Code::FieldInvalid),
    }
}

/// Which of the payload is asked for.
pub(super) enum Wanted<'v, 'a> {
    Everything,
    Nothing,
    Include(Vec<&'v Str<'a>>),
    Exclude(Vec<&'v Str<'a>>),
}

/// Reads `with_payload`; `default` is what its absence means.
///
/// # Errors
/// [`Code::FieldInvalid`].
pub(super) fn wanted<'v, 'a>(value: Option<&'v Value<'a>>, default: bool) -> Result<Wanted<'v, 'a>, Code> {
    let all = match value {
        None => default,
        Some(Value::Bool(all)) => *all,
        Some(list @ Value::Array(..)) => return keys(list).map(Wanted::Include),
        Some(selector) => {
            let [(name, list)] = object(selector)? else { return Err(Code::FieldInvalid) };
            return match name.decode().as_ref() {
                "include" => keys(list).map(Wanted::Include),
                "exclude" => keys(list).map(Wanted::Exclude),
                _ => Err(Code::FieldUnknown),
            };
        }
    };
    Ok(if all { Wanted::Everything } else { Wanted::Nothing })
}

fn keys<'v, 'a>(list: &'v Value<'a>) -> Result<Vec<&'v Str<'a>>, Code> {
    let list = list.items().ok_or(Code::FieldInvalid)?;
    let keys = list.iter().map(|key| match key {
        Value::String(key, _) => Ok(key),
        _ => Err(Code::FieldInvalid),
    });
    keys.collect()
}

impl Wanted<'_, '_> {
    /// Whether the client gets no payload.
    pub(super) fn hides(&self) -> bool {
        matches!(self, Self::Nothing)
    }

    /// Writes a `with_payload` with which the marker comes back.
    pub(super) fn write(&self, out: &mut Vec<u8>, own: &Own<'_>) {
        let forced = [own.place.key(), own.companion.as_str()];
        let include = |out: &mut Vec<u8>, keys: &[&Str<'_>]| {
            let all = keys.iter().map(|key| key.decode()).chain(forced.map(Cow::Borrowed));
            write::array(out, all, |out, key| write::string(out, &key));
        };
        match self {
            Self::Everything => out.extend_from_slice(b"true"),
            Self::Nothing => include(out, &[]),
            Self::Include(keys) => include(out, keys),
            Self::Exclude(keys) => {
                out.extend_from_slice(b"{\"exclude\":");
                let rest = keys.iter().map(|key| key.decode()).filter(|key| !reserved(own, key));
                write::array(out, rest, |out, key| write::string(out, &key));
                out.push(b'}');
            }
        }
    }
}

/// Copies a payload's fields but for the reserved ones.
pub(super) fn copy_fields(object: &mut Object<'_>, own: &Own<'_>, fields: &[(Str<'_>, Value<'_>)]) {
    for (key, value) in fields {
        let key = key.decode();
        if !own.reserves(&key) {
            object.raw(&key, value.raw());
        }
    }
}

/// Writes the whole payload of a point: the client's, the marker, and the id where it cannot be read back from the database's.
/// A client's payload was checked to be an object.
pub(super) fn marked(out: &mut Vec<u8>, own: &Own<'_>, client: Option<&Value<'_>>, id: Option<Id>) {
    let mut payload = Object::begin(out);
    if let Some(Value::Object(fields, _)) = client {
        copy_fields(&mut payload, own, fields);
    }
    payload.member(own.place.key(), |out| write::string(out, &own.place.namespace));
    if let Some(id @ Id::Uuid(_)) = id {
        payload.member(&own.companion, |out| id.write(out));
    }
    payload.end();
}

/// Checks `with_vector`.
///
/// # Errors
/// [`Code::FieldInvalid`].
pub(super) fn check_with_vector(value: &Value<'_>) -> Result<(), Code> {
    match value {
        Value::Null | Value::Bool(_) => Ok(()),
        list => keys(list).map(|_| ()),
    }
}

/// Checks `order_by`: a path, or an object with one.
///
/// # Errors
/// [`Code::FieldInvalid`] or [`Code::FieldUnknown`].
pub(super) fn check_order(own: &Own<'_>, value: &Value<'_>) -> Result<(), Code> {
    let Value::Object(members, _) = value else { return check_path(own, value) };
    only(members, &["key", "direction", "start_from"])?;
    check_path(own, value.member("key").ok_or(Code::FieldInvalid)?)
}

#[cfg(test)]
mod tests {
    use super::first_key;

    #[test]
    fn first_keys() {
        for (path, key) in [
            ("a", Some("a")),
            ("a.b", Some("a")),
            ("a[0].b", Some("a")),
            ("a[]", Some("a")),
            ("\"a\"", Some("a")),
            ("\"a\".b", Some("a")),
            ("\"a.b\"", Some("a.b")),
            ("\"\"", Some("")),
            ("ä-1_.x", Some("ä-1_")),
            ("", None),
            (".a", None),
            ("[0]", None),
            ("\"a", None),
            ("\"a\"b", None),
            ("a b", None),
            (" a", None),
            ("a\"", None),
        ] {
            assert_eq!(first_key(path).as_deref(), key, "{path}");
        }
    }
}

//! Filters.
//!
//! A client's filter is read whole before it is nested: only shapes that are known pass, so that nothing is taken for a
//! condition of another kind, and every id in it is found. It is copied as it was written but for those ids.

use super::Own;
use super::ids::Id;
use crate::error::Code;
use crate::json::Value;
use crate::json::write::{self, Object};
use crate::rag::document::{find, items, object, only};

const FILTER: &[&str] = &["must", "should", "must_not", "min_should"];
const FIELD: &[&str] =
    &["key", "match", "range", "geo_bounding_box", "geo_radius", "geo_polygon", "values_count", "is_empty", "is_null"];

/// A client's filter that was read.
#[derive(Clone, Copy)]
pub(super) struct Filter<'v, 'a> {
    value: &'v Value<'a>,
    has_ids: bool,
}

/// Reads a client's filter.
///
/// # Errors
/// [`Code::FieldUnknown`] or [`Code::FieldInvalid`].
pub(super) fn read<'v, 'a>(value: &'v Value<'a>) -> Result<Filter<'v, 'a>, Code> {
    Ok(Filter { value, has_ids: check(value)? })
}

/// Reads a member that is a filter; `None` when it is absent or null.
///
/// # Errors
/// As [`read`].
pub(super) fn member<'v, 'a>(
    members: &'v [(crate::json::Str<'a>, Value<'a>)],
    name: &str,
) -> Result<Option<Filter<'v, 'a>>, Code> {
    find(members, name).map(read).transpose()
}

/// Whether the filter names ids.
fn check(value: &Value<'_>) -> Result<bool, Code> {
    let members = object(value)?;
    only(members, FILTER)?;
    let mut has_ids = false;
    for (key, value) in members {
        has_ids |= match value {
            Value::Null => false,
            value if key.decode() == "min_should" => {
                let members = object(value)?;
                only(members, &["conditions", "min_count"])?;
                let list = find(members, "conditions").and_then(Value::items).ok_or(Code::FieldInvalid)?;
                conditions(list)?
            }
            Value::Array(list, _) => conditions(list)?,
            one => condition(one)?,
        };
    }
    Ok(has_ids)
}

fn conditions(list: &[Value<'_>]) -> Result<bool, Code> {
    list.iter().try_fold(false, |has_ids, one| Ok(condition(one)? | has_ids))
}

/// Whether the condition names ids.
///
/// # Errors
/// As [`read`].
pub(super) fn condition(value: &Value<'_>) -> Result<bool, Code> {
    let members = object(value)?;
    if let Some(key) = find(members, "key") {
        only(members, FIELD)?;
        return text(key).map(|()| false);
    }
    let Some((name, inner)) = members.first().filter(|_| members.len() == 1) else { return check(value) };
    match name.decode().as_ref() {
        "has_id" => {
            let ids = items(inner).ok_or(Code::FieldInvalid)?;
            if ids.iter().all(|id| Id::read(id).is_some()) { Ok(true) } else { Err(Code::FieldInvalid) }
        }
        "has_vector" => text(inner).map(|()| false),
        "is_empty" | "is_null" => {
            let field = object(inner)?;
            only(field, &["key"])?;
            text(find(field, "key").ok_or(Code::FieldInvalid)?).map(|()| false)
        }
        "slice" => only(object(inner)?, &["total", "index"]).map(|()| false),
        "nested" => {
            let nested = object(inner)?;
            only(nested, &["key", "filter"])?;
            text(find(nested, "key").ok_or(Code::FieldInvalid)?)?;
            check(find(nested, "filter").ok_or(Code::FieldInvalid)?)
        }
        _ => check(value),
    }
}

fn text(value: &Value<'_>) -> Result<(), Code> {
    if matches!(value, Value::String(..)) { Ok(()) } else { Err(Code::FieldInvalid) }
}

/// Copies what was read, its ids scoped.
pub(super) fn copy(out: &mut Vec<u8>, own: &Own<'_>, value: &Value<'_>) {
    match value {
        Value::Object(members, _) if find(members, "key").is_none_or(|key| !matches!(key, Value::String(..))) => {
            copy_members(out, own, members);
        }
        // Of a nested filter only its own filter has conditions; of a condition on a field nothing.
        Value::Object(members, _) if find(members, "filter").is_some() => copy_members(out, own, members),
        Value::Array(list, _) => write::array(out, list, |out, one| copy(out, own, one)),
        other => out.extend_from_slice(other.raw()),
    }
}

fn copy_members(out: &mut Vec<u8>, own: &Own<'_>, members: &[(crate::json::Str<'_>, Value<'_>)]) {
    let mut object = Object::begin(out);
    for (key, value) in members {
        let key = key.decode();
        object.member(&key, |out| match key.as_ref() {
            "has_id" => ids(out, own, items(value).unwrap_or_default().iter().filter_map(Id::read)),
            _ => copy(out, own, value),
        });
    }
    object.end();
}

/// Writes ids as the database has them.
pub(super) fn ids(out: &mut Vec<u8>, own: &Own<'_>, list: impl Iterator<Item = Id>) {
    write::array(out, list, |out, id| own.ids.write(out, id));
}

/// What a filter holds besides the marker and the client's.
pub(super) enum And<'v> {
    Nothing,
    /// Only these points.
    Ids(&'v [Id]),
    /// Only points whose id is a number.
    Numbered,
}

/// Writes the forced filter around the client's.
pub(super) fn forced(out: &mut Vec<u8>, own: &Own<'_>, and: &And<'_>, client: Option<Filter<'_, '_>>) {
    out.extend_from_slice(b"{\"must\":[{\"key\":");
    write::string(out, own.place.key());
    out.extend_from_slice(b",\"match\":{\"value\":");
    write::string(out, &own.place.namespace);
    out.extend_from_slice(b"}}");
    match and {
        And::Nothing => {}
        And::Ids(list) => {
            out.extend_from_slice(b",{\"has_id\":");
            ids(out, own, list.iter().copied());
            out.push(b'}');
        }
        And::Numbered => {
            out.extend_from_slice(b",{\"is_empty\":{\"key\":");
            write::string(out, &own.companion);
            out.extend_from_slice(b"}}");
        }
    }
    // An empty one says nothing.
    let says = |client: &Filter<'_, '_>| !matches!(client.value, Value::Object(members, _) if members.is_empty());
    if let Some(client) = client.filter(says) {
        out.push(b',');
        if client.has_ids {
            copy(out, own, client.value);
        } else {
            out.extend_from_slice(client.value.raw());
        }
    }
    out.extend_from_slice(b"]}");
}

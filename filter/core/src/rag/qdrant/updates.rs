//! Changing and deleting points that are there. What the client names by ids or by a filter becomes one filter under the marker.

use super::filter::{self, And, Filter, forced};
use super::ids::Id;
use super::query::elsewhere;
use super::{Own, payload, reads};
use crate::error::Code;
use crate::json::write::Object;
use crate::json::{Str, Value};
use crate::rag::document::{find, only, strings};

/// The points that an operation is on.
enum On<'v, 'a> {
    Ids(Vec<Id>),
    Filter(Filter<'v, 'a>),
}

/// Reads which points are meant. Of both, the server heeds sometimes one and sometimes the other: exactly one is taken.
fn on<'v, 'a>(members: &'v [(Str<'a>, Value<'a>)]) -> Result<On<'v, 'a>, Code> {
    elsewhere(members)?;
    match (find(members, "points"), filter::member(members, "filter")?) {
        (Some(list), None) => reads::ids(list).map(On::Ids),
        (None, Some(filter)) => Ok(On::Filter(filter)),
        _ => Err(Code::FieldInvalid),
    }
}

impl On<'_, '_> {
    fn write(&self, object: &mut Object<'_>, own: &Own<'_>) {
        object.member("filter", |out| match self {
            Self::Ids(ids) => forced(out, own, &And::Ids(ids), None),
            Self::Filter(filter) => forced(out, own, &And::Nothing, Some(*filter)),
        });
    }
}

/// Writes a deletion of points.
///
/// # Errors
/// What is wrong with it.
pub(super) fn delete(out: &mut Vec<u8>, own: &Own<'_>, members: &[(Str<'_>, Value<'_>)]) -> Result<(), Code> {
    only(members, &["points", "filter", "shard_key"])?;
    let on = on(members)?;
    let mut object = Object::begin(out);
    on.write(&mut object, own);
    object.end();
    Ok(())
}

/// Writes a deletion of named vectors.
///
/// # Errors
/// What is wrong with it.
pub(super) fn delete_vectors(out: &mut Vec<u8>, own: &Own<'_>, members: &[(Str<'_>, Value<'_>)]) -> Result<(), Code> {
    // The server knows `vectors` as well.
    only(members, &["points", "filter", "shard_key", "vector", "vectors"])?;
    let on = on(members)?;
    let mut object = Object::begin(out);
    for name in ["vector", "vectors"] {
        if strings(members, name)?.is_some() {
            object.raw(name, find(members, name).map_or(b"[]", Value::raw));
        }
    }
    on.write(&mut object, own);
    object.end();
    Ok(())
}

/// Writes a deletion of payload fields.
///
/// # Errors
/// What is wrong with it; [`Code::FieldInvalid`] for a path to what is reserved.
pub(super) fn delete_payload(out: &mut Vec<u8>, own: &Own<'_>, members: &[(Str<'_>, Value<'_>)]) -> Result<(), Code> {
    only(members, &["points", "filter", "shard_key", "keys"])?;
    let keys = find(members, "keys").ok_or(Code::FieldInvalid)?;
    keys.items().ok_or(Code::FieldInvalid)?.iter().try_for_each(|key| payload::check_path(own, key))?;
    let on = on(members)?;
    let mut object = Object::begin(out);
    object.raw("keys", keys.raw());
    on.write(&mut object, own);
    object.end();
    Ok(())
}

/// Writes a change of payload fields, at the top or (`key`) below a path.
///
/// # Errors
/// What is wrong with it; [`Code::FieldInvalid`] for a path to what is reserved.
pub(super) fn set_payload(out: &mut Vec<u8>, own: &Own<'_>, members: &[(Str<'_>, Value<'_>)]) -> Result<(), Code> {
    only(members, &["points", "filter", "shard_key", "payload", "key"])?;
    let Some(value @ Value::Object(fields, _)) = find(members, "payload") else { return Err(Code::FieldInvalid) };
    let key = find(members, "key");
    key.map_or(Ok(()), |key| payload::check_path(own, key))?;
    let on = on(members)?;
    let mut object = Object::begin(out);
    match key {
        Some(key) => {
            object.raw("key", key.raw());
            object.raw("payload", value.raw());
        }
        None => object.member("payload", |out| {
            let mut payload = Object::begin(out);
            payload::copy_fields(&mut payload, own, fields);
            payload.end();
        }),
    }
    on.write(&mut object, own);
    object.end();
    Ok(())
}

/// Writes the operations that put one payload in the place of many points' own. The marker must stay, and so must each
/// UUID: points with numbers are one operation, each point with a UUID is another.
///
/// # Errors
/// What is wrong with it; [`Code::FieldInvalid`] for a filter, as nothing says which UUIDs its points have;
/// [`Code::BodyTooLarge`] when the operations would be larger than `room`.
pub(super) fn overwrite_payload(
    own: &Own<'_>,
    members: &[(Str<'_>, Value<'_>)],
    room: usize,
) -> Result<Vec<Vec<u8>>, Code> {
    only(members, &["points", "filter", "shard_key", "payload", "key"])?;
    let Some(value @ Value::Object(..)) = find(members, "payload") else { return Err(Code::FieldInvalid) };
    let On::Ids(ids) = on(members)? else { return Err(Code::FieldInvalid) };
    if find(members, "key").is_some() {
        return Err(Code::FieldInvalid);
    }
    let operation = |ids: &[Id], id: Option<Id>| {
        let mut out = Vec::new();
        let mut object = Object::begin(&mut out);
        object.member("payload", |out| payload::marked(out, own, Some(value), id));
        object.member("filter", |out| forced(out, own, &And::Ids(ids), None));
        object.end();
        out
    };
    let (numbers, uuids): (Vec<Id>, Vec<Id>) = ids.into_iter().partition(|id| matches!(id, Id::Number(_)));
    // The payload is written as often as there are UUIDs.
    if value.raw().len().saturating_add(OVERHEAD).saturating_mul(uuids.len()) > room {
        return Err(Code::BodyTooLarge);
    }
    let mut all = Vec::new();
    if !numbers.is_empty() || uuids.is_empty() {
        all.push(operation(&numbers, None));
    }
    all.extend(uuids.iter().map(|id| operation(&[*id], Some(*id))));
    Ok(all)
}

/// About what an operation on one point takes besides the payload.
const OVERHEAD: usize = 512;

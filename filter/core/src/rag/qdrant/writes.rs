//! Writing points: upserts and vectors. Both take ids, which are scoped, and the marker as a condition on what is there already.

use super::filter::{self, And, forced};
use super::ids::Id;
use super::query::elsewhere;
use super::{Own, payload, reads, vectors};
use crate::error::Code;
use crate::json::write::{self, Object};
use crate::json::{Str, Value};
use crate::rag::document::{find, object, only};

/// Writes an upsert: a list of points, or columns of ids, vectors and payloads.
///
/// # Errors
/// What is wrong with it.
pub(super) fn upsert(out: &mut Vec<u8>, own: &Own<'_>, members: &[(Str<'_>, Value<'_>)]) -> Result<(), Code> {
    only(members, &["points", "batch", "shard_key", "update_filter", "update_mode"])?;
    let mode = find(members, "update_mode");
    if mode.is_some_and(|mode| !matches!(mode, Value::String(..))) {
        return Err(Code::FieldInvalid);
    }
    let mut object = conditioned(out, own, members)?;
    if let Some(mode) = mode {
        object.raw("update_mode", mode.raw());
    }
    let mut result = Ok(());
    match (find(members, "points"), find(members, "batch")) {
        (Some(Value::Array(list, _)), None) => {
            let known = &["id", "vector", "vectors", "payload"];
            object.member("points", |out| result = points(out, own, list, known, true));
        }
        (None, Some(columns)) => object.member("batch", |out| result = batch(out, own, columns)),
        _ => return Err(Code::FieldInvalid),
    }
    result?;
    object.end();
    Ok(())
}

/// Writes an update of vectors.
///
/// # Errors
/// What is wrong with it.
pub(super) fn update_vectors(out: &mut Vec<u8>, own: &Own<'_>, members: &[(Str<'_>, Value<'_>)]) -> Result<(), Code> {
    only(members, &["points", "shard_key", "update_filter"])?;
    let list = find(members, "points").and_then(Value::items).ok_or(Code::FieldInvalid)?;
    let mut object = conditioned(out, own, members)?;
    let mut result = Ok(());
    object.member("points", |out| result = points(out, own, list, &["id", "vector", "vectors"], false));
    result?;
    object.end();
    Ok(())
}

/// Begins a write that changes only what is the tenant's.
fn conditioned<'o>(out: &'o mut Vec<u8>, own: &Own<'_>, members: &[(Str<'_>, Value<'_>)]) -> Result<Object<'o>, Code> {
    elsewhere(members)?;
    let client = filter::member(members, "update_filter")?;
    let mut object = Object::begin(out);
    object.member("update_filter", |out| forced(out, own, &And::Nothing, client));
    Ok(object)
}

fn points(out: &mut Vec<u8>, own: &Own<'_>, list: &[Value<'_>], known: &[&str], whole: bool) -> Result<(), Code> {
    let mut result = Ok(());
    write::array(out, list, |out, value| {
        if result.is_ok() {
            result = point(out, own, value, known, whole);
        }
    });
    result
}

/// A point; `whole` ones have a payload.
fn point(out: &mut Vec<u8>, own: &Own<'_>, value: &Value<'_>, known: &[&str], whole: bool) -> Result<(), Code> {
    let members = object(value)?;
    only(members, known)?;
    let id = find(members, "id").and_then(Id::read).ok_or(Code::FieldInvalid)?;
    let client = fields(find(members, "payload"))?;
    let mut object = Object::begin(out);
    object.member("id", |out| own.ids.write(out, id));
    for name in ["vector", "vectors"] {
        if let Some(value) = find(members, name) {
            vectors::named(value)?;
            object.raw(name, value.raw());
        }
    }
    if whole {
        object.member("payload", |out| payload::marked(out, own, client, Some(id)));
    }
    object.end();
    Ok(())
}

/// A payload: an object, or none.
fn fields<'v, 'a>(value: Option<&'v Value<'a>>) -> Result<Option<&'v Value<'a>>, Code> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Object(..)) => Ok(value),
        Some(_) => Err(Code::FieldInvalid),
    }
}

fn batch(out: &mut Vec<u8>, own: &Own<'_>, value: &Value<'_>) -> Result<(), Code> {
    let members = object(value)?;
    only(members, &["ids", "vectors", "payloads"])?;
    let ids = reads::ids(find(members, "ids").ok_or(Code::FieldInvalid)?)?;
    let payloads = match find(members, "payloads") {
        None => None,
        Some(list) => Some(list.items().filter(|list| list.len() == ids.len()).ok_or(Code::FieldInvalid)?),
    };
    payloads.unwrap_or_default().iter().try_for_each(|one| fields(Some(one)).map(|_| ()))?;
    let mut object = Object::begin(out);
    object.member("ids", |out| filter::ids(out, own, ids.iter().copied()));
    if let Some(value) = find(members, "vectors") {
        vectors::columns(value)?;
        object.raw("vectors", value.raw());
    }
    object.member("payloads", |out| {
        write::array(out, ids.iter().enumerate(), |out, (index, id)| {
            let client = payloads.and_then(|list| list.get(index));
            payload::marked(out, own, client, Some(*id));
        });
    });
    object.end();
    Ok(())
}

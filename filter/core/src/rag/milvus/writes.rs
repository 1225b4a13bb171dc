//! Writing records: `insert`, `upsert`, `delete`.

use super::{Body, filter, rewritten};
use crate::error::Code;
use crate::json::write::{self, Object};
use crate::json::{Str, Value};
use crate::rag::document::{object, scoped_id};
use crate::rag::{Ask, Rewritten};
use crate::snapshot::wire::Strategy;

pub(super) fn insert(ask: &Ask<'_>) -> Result<Rewritten, Code> {
    write(ask, false)
}

pub(super) fn upsert(ask: &Ask<'_>) -> Result<Rewritten, Code> {
    write(ask, true)
}

fn write(ask: &Ask<'_>, upsert: bool) -> Result<Rewritten, Code> {
    let body = Body::read(ask, &["data"])?;
    let one;
    let rows = match body.find("data") {
        Some(Value::Array(rows, _)) if !rows.is_empty() => rows.as_slice(),
        // Milvus takes a single row as it is.
        Some(row @ Value::Object(..)) => {
            one = [row.clone()];
            &one
        }
        _ => return Err(Code::FieldInvalid),
    };
    let mut out = Vec::with_capacity(ask.body.len().saturating_add(rows.len().saturating_mul(48)));
    let mut object = body.begin(&mut out);
    let mut result = Ok(());
    object.member("data", |out| {
        write::array(out, rows, |out, row| {
            if result.is_ok() {
                result = self::row(out, &body, row, upsert);
            }
        });
    });
    object.end();
    result?;
    Ok(rewritten(ask, out))
}

/// Writes a row with its key scoped and its marker set.
fn row(out: &mut Vec<u8>, body: &Body<'_>, row: &Value<'_>, upsert: bool) -> Result<(), Code> {
    let (place, key) = (body.place, body.place.rag().id_field.as_str());
    let members: &[(Str<'_>, Value<'_>)] = object(row)?;
    let mut keyed = false;
    let mut object = Object::begin(out);
    for (name, value) in members {
        let name = name.decode();
        // The dynamic field by its own name would hold a marker inside.
        if name.starts_with('$') {
            return Err(Code::FieldInvalid);
        }
        if name == place.key() {
            continue;
        }
        if name != key {
            object.raw(&name, value.raw());
            continue;
        }
        keyed = true;
        match value {
            Value::String(id, _) => object.member(key, |out| scoped_id(out, &place.prefix(), id)),
            // A number that another tenant's record has too would be overwritten by an upsert, and both would go with a
            // later delete of one.
            Value::Number(raw) if place.strategy != Strategy::Namespace => object.raw(key, raw),
            _ => return Err(Code::FieldInvalid),
        }
    }
    if upsert && !keyed {
        return Err(Code::FieldInvalid);
    }
    object.member(place.key(), |out| write::string(out, &place.namespace));
    object.end();
    Ok(())
}

pub(super) fn delete(ask: &Ask<'_>) -> Result<Rewritten, Code> {
    let body = Body::read(ask, &["filter", "exprParams"])?;
    let text = body.text("filter")?.ok_or(Code::FieldInvalid)?;
    let client = filter::read(&text.decode(), body.place)?;
    // Alone, our condition would delete the whole namespace: that is not what an empty request says.
    if client.is_empty() {
        return Err(Code::FieldInvalid);
    }
    let mut out = Vec::with_capacity(ask.body.len().saturating_add(128));
    let mut object = body.begin(&mut out);
    filter::force(&mut object, body.place, &client, body.find("exprParams"))?;
    object.end();
    Ok(rewritten(ask, out))
}

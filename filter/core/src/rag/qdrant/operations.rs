//! Requests that change something: one operation each, or a batch of them.

use super::{Own, path, updates, writes};
use crate::error::Code;
use crate::json::{Str, Value};
use crate::rag::document::{find, fits, members, object};
use crate::rag::{Ask, Call, Memo, Rewritten};

type Members<'a> = [(Str<'a>, Value<'a>)];
type Write = fn(&mut Vec<u8>, &Own<'_>, &Members<'_>) -> Result<(), Code>;

/// Every field that any operation has; each checks its own.
const ANY: &[&str] = &[
    "points",
    "batch",
    "filter",
    "shard_key",
    "payload",
    "key",
    "keys",
    "vector",
    "vectors",
    "update_filter",
    "update_mode",
];

/// How large a request may become by operations that are made of one.
const ROOM: usize = 16 << 20;

fn one(ask: &Ask<'_>, write: Write) -> Result<Rewritten, Code> {
    let own = Own::new(ask.place()?);
    let members = members(ask.body, ANY)?;
    let mut out = Vec::with_capacity(ask.body.len().saturating_add(256));
    write(&mut out, &own, &members)?;
    Ok(Rewritten { body: Some(out), path: Some(path(ask, ask.endpoint.template)?), ..Rewritten::default() })
}

pub(super) fn upsert(ask: &Ask<'_>) -> Result<Rewritten, Code> {
    one(ask, writes::upsert)
}

pub(super) fn update_vectors(ask: &Ask<'_>) -> Result<Rewritten, Code> {
    one(ask, writes::update_vectors)
}

pub(super) fn delete(ask: &Ask<'_>) -> Result<Rewritten, Code> {
    one(ask, updates::delete)
}

pub(super) fn delete_vectors(ask: &Ask<'_>) -> Result<Rewritten, Code> {
    one(ask, updates::delete_vectors)
}

pub(super) fn delete_payload(ask: &Ask<'_>) -> Result<Rewritten, Code> {
    one(ask, updates::delete_payload)
}

pub(super) fn set_payload(ask: &Ask<'_>) -> Result<Rewritten, Code> {
    one(ask, updates::set_payload)
}

/// One operation goes as it came; several become a batch, which the filter asks for itself.
pub(super) fn overwrite_payload(ask: &Ask<'_>) -> Result<Rewritten, Code> {
    let own = Own::new(ask.place()?);
    let mut all = updates::overwrite_payload(&own, &members(ask.body, ANY)?, ROOM)?;
    let alone = match all.len() {
        1 => all.pop(),
        _ => None,
    };
    if let Some(body) = alone {
        return Ok(Rewritten {
            body: Some(body),
            path: Some(path(ask, ask.endpoint.template)?),
            ..Rewritten::default()
        });
    }
    let mut out = b"{\"operations\":[".to_vec();
    let count = all.len();
    append(&mut out, "overwrite_payload", all);
    out.extend_from_slice(b"]}");
    let path = path(ask, "/collections/{collection}/points/batch")?;
    let memo = Memo { names: vec![count.to_string()], ..Memo::default() };
    Ok(Rewritten { body: Some(out), call: Some(Call { method: "POST", path }), memo, ..Rewritten::default() })
}

fn append(out: &mut Vec<u8>, name: &str, bodies: Vec<Vec<u8>>) {
    for body in bodies {
        if !out.ends_with(b"[") {
            out.push(b',');
        }
        out.extend_from_slice(format!("{{\"{name}\":").as_bytes());
        out.extend_from_slice(&body);
        out.push(b'}');
    }
}

/// Operations in order. The memo says how many each has become.
pub(super) fn batch(ask: &Ask<'_>) -> Result<Rewritten, Code> {
    let own = Own::new(ask.place()?);
    let members = members(ask.body, &["operations"])?;
    let operations = find(&members, "operations").and_then(Value::items).ok_or(Code::FieldInvalid)?;
    let mut out = Vec::with_capacity(ask.body.len().saturating_mul(2));
    out.extend_from_slice(b"{\"operations\":[");
    let (mut names, mut room) = (Vec::with_capacity(operations.len()), ROOM);
    for operation in operations {
        let [(name, body)] = object(operation)? else { return Err(Code::FieldInvalid) };
        let (name, body) = (name.decode(), object(body)?);
        let single = |write: Write| {
            let mut out = Vec::new();
            write(&mut out, &own, body).map(|()| vec![out])
        };
        let bodies = match name.as_ref() {
            "upsert" => single(writes::upsert)?,
            "update_vectors" => single(writes::update_vectors)?,
            "delete" => single(updates::delete)?,
            "delete_vectors" => single(updates::delete_vectors)?,
            "delete_payload" => single(updates::delete_payload)?,
            "set_payload" => single(updates::set_payload)?,
            "overwrite_payload" => {
                let bodies = updates::overwrite_payload(&own, body, room)?;
                room = room.saturating_sub(bodies.iter().map(Vec::len).sum());
                bodies
            }
            _ => return Err(Code::FieldUnknown),
        };
        names.push(bodies.len().to_string());
        append(&mut out, &name, bodies);
        fits(out.len(), ask.body)?;
    }
    out.extend_from_slice(b"]}");
    let memo = Memo { names, ..Memo::default() };
    Ok(Rewritten { body: Some(out), path: Some(path(ask, ask.endpoint.template)?), memo, ..Rewritten::default() })
}

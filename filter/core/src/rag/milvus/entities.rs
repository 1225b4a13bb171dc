//! Reading records by a filter or by keys: `query`, `get`, `get_stats`.

use super::{Body, filter, is_name, rewritten, text};
use crate::error::Code;
use crate::json::write::{self, Object};
use crate::json::{Str, Value};
use crate::rag::document::{find, items, strings};
use crate::rag::{Ask, Memo, Rewritten};

/// The most keys in one `get`: Milvus' own limit of a query's results.
const MAX_KEYS: usize = 16_384;
/// What the answer's side must know: the answer is a count.
pub(super) const COUNT: &str = "count(*)";

/// The scalar members that pass as they are.
const PLAIN: &[&str] = &[
    "limit",
    "offset",
    "annsField",
    "groupingField",
    "groupSize",
    "strictGroupSize",
    "consistencyLevel",
    "metricType",
    "ignoreGrowing",
];

/// Copies members that are no more than a word, a number or a flag.
pub(super) fn copy_plain(out: &mut Object<'_>, members: &[(Str<'_>, Value<'_>)]) -> Result<(), Code> {
    for (key, value) in members {
        let key = key.decode();
        if !PLAIN.contains(&key.as_ref()) {
            continue;
        }
        match value {
            Value::Null => continue,
            Value::Number(_) if matches!(key.as_ref(), "limit" | "offset" | "groupSize") => {}
            Value::Bool(_) if matches!(key.as_ref(), "strictGroupSize" | "ignoreGrowing") => {}
            Value::String(word, _)
                if !matches!(key.as_ref(), "limit" | "offset" | "groupSize" | "strictGroupSize" | "ignoreGrowing")
                    && (word.raw().is_empty() || is_name(&word.decode())) => {}
            _ => return Err(Code::FieldInvalid),
        }
        out.raw(&key, value.raw());
    }
    Ok(())
}

/// Writes `outputFields` with the marker among them; `default` is what Milvus takes without any. Gives what the answer's side
/// must know.
pub(super) fn output_fields(out: &mut Object<'_>, body: &Body<'_>, default: &[&str]) -> Result<Memo, Code> {
    let fields: Vec<String> = match strings(&body.members, "outputFields")? {
        Some(fields) => fields.iter().map(|field| field.decode().into_owned()).collect(),
        None => default.iter().map(|field| (*field).to_owned()).collect(),
    };
    if fields.iter().any(|field| field == COUNT) {
        // Milvus counts only what the filter finds; alone, as it must be, it carries no marker.
        if fields.len() > 1 || default.is_empty() {
            return Err(Code::FieldInvalid);
        }
        out.raw("outputFields", b"[\"count(*)\"]");
        return Ok(Memo { names: vec![COUNT.to_owned()], ..Memo::default() });
    }
    if !fields.iter().all(|field| field == "*" || is_name(field)) {
        return Err(Code::FieldInvalid);
    }
    let there = fields.iter().any(|field| field == "*" || field == body.place.key());
    let forced = (!there).then(|| body.place.key().to_owned());
    out.member("outputFields", |out| {
        write::array(out, fields.into_iter().chain(forced), |out, field| write::string(out, &field));
    });
    Ok(Memo::default())
}

/// The client's filter, nested under ours.
pub(super) fn forced(out: &mut Object<'_>, body: &Body<'_>, members: &[(Str<'_>, Value<'_>)]) -> Result<(), Code> {
    let client = match text(members, "filter")? {
        Some(text) => filter::read(&text.decode(), body.place)?,
        None => filter::Client::default(),
    };
    filter::force(out, body.place, &client, find(members, "exprParams"))
}

pub(super) fn query(ask: &Ask<'_>) -> Result<Rewritten, Code> {
    let body = Body::read(ask, &["filter", "exprParams", "limit", "offset", "outputFields", "consistencyLevel"])?;
    let mut out = Vec::with_capacity(ask.body.len().saturating_add(256));
    let mut object = body.begin(&mut out);
    copy_plain(&mut object, &body.members)?;
    forced(&mut object, &body, &body.members)?;
    let memo = output_fields(&mut object, &body, &["*"])?;
    object.end();
    Ok(Rewritten { memo, ..rewritten(ask, out) })
}

const QUERY: &str = "/v2/vectordb/entities/query";

/// `get` has no filter of its own, so it becomes a query for those keys.
pub(super) fn get(ask: &Ask<'_>) -> Result<Rewritten, Code> {
    let body = Body::read(ask, &["id", "outputFields", "consistencyLevel"])?;
    let id = body.find("id").ok_or(Code::FieldInvalid)?;
    let ids = items(id).unwrap_or_else(|| vec![id.clone()]);
    if ids.is_empty() || ids.len() > MAX_KEYS {
        return Err(Code::FieldInvalid);
    }
    let mut list = String::new();
    for id in &ids {
        if !list.is_empty() {
            list.push(',');
        }
        match id {
            Value::Number(raw) => list.push_str(integer(raw)?),
            Value::String(text, _) => write_literal(&mut list, &text.decode())?,
            _ => return Err(Code::FieldInvalid),
        }
    }
    let client = filter::read(&format!("{} in [{list}]", body.place.rag().id_field), body.place)?;
    let mut out = Vec::with_capacity(ask.body.len().saturating_add(256));
    let mut object = body.begin(&mut out);
    copy_plain(&mut object, &body.members)?;
    // Without a limit a query stops at 100.
    object.member("limit", |out| out.extend_from_slice(ids.len().to_string().as_bytes()));
    filter::force(&mut object, body.place, &client, None)?;
    let memo = output_fields(&mut object, &body, &["*"])?;
    object.end();
    let path = Some(ask.path(QUERY, &[], Some(&[])));
    Ok(Rewritten { memo, path, ..rewritten(ask, out) })
}

/// A number that can be a key.
fn integer(raw: &[u8]) -> Result<&str, Code> {
    let text = std::str::from_utf8(raw).map_err(|_| Code::FieldInvalid)?;
    text.parse::<i64>().map(|_| text).map_err(|_| Code::FieldInvalid)
}

/// A text as a literal of a filter.
fn write_literal(out: &mut String, text: &str) -> Result<(), Code> {
    out.push('"');
    for c in text.chars() {
        if c.is_control() {
            return Err(Code::FieldInvalid);
        }
        if matches!(c, '"' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('"');
    Ok(())
}

/// The collection's statistics count everybody's records: the tenant's are counted instead.
pub(super) fn stats(ask: &Ask<'_>) -> Result<Rewritten, Code> {
    let body = Body::read(ask, &[])?;
    let mut out = Vec::new();
    let mut object = body.begin(&mut out);
    filter::force(&mut object, body.place, &filter::Client::default(), None)?;
    object.raw("outputFields", b"[\"count(*)\"]");
    object.end();
    let path = Some(ask.path(QUERY, &[], Some(&[])));
    Ok(Rewritten { path, ..rewritten(ask, out) })
}

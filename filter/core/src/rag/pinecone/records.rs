//! Records of indexes that embed text themselves: their metadata are the record's own members, their namespace the path's.

use super::fields::{self, Is, condition, copy, forced, inside, marked};
use crate::error::Code;
use crate::json::write::{self, Object};
use crate::json::{self, JsonError, Value};
use crate::rag::document::{find, object, strings};
use crate::rag::{Ask, Memo, Rewritten};

/// The path with the tenant's namespace, and the client's as the answer repeats it.
fn path(ask: &Ask<'_>) -> Result<(String, Vec<u8>), Code> {
    let echo = fields::namespace(Some(ask.parameter("namespace")?))?;
    Ok((ask.path(ask.endpoint.template, &[&ask.place()?.namespace], Some(&[])), echo))
}

/// One record a line, each marked.
pub(super) fn upsert(ask: &Ask<'_>) -> Result<Rewritten, Code> {
    let place = ask.place()?;
    let (path, _) = path(ask)?;
    let mut out = Vec::with_capacity(ask.body.len().saturating_mul(2));
    for line in ask.body.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty()) {
        let Value::Object(record, _) = json::parse(line).map_err(JsonError::code)? else {
            return Err(Code::FieldInvalid);
        };
        let id = ["_id", "id"].iter().filter_map(|name| find(&record, name)).collect::<Vec<_>>();
        if !matches!(id.as_slice(), [Value::String(..)]) {
            return Err(Code::FieldInvalid);
        }
        marked(&mut out, place, &record);
        out.push(b'\n');
    }
    if out.is_empty() {
        return Err(Code::BodyMissing);
    }
    Ok(Rewritten { body: Some(out), path: Some(path), ..Rewritten::default() })
}

pub(super) fn search(ask: &Ask<'_>) -> Result<Rewritten, Code> {
    let place = ask.place()?;
    let (path, echo) = path(ask)?;
    let known = &[("query", Is::Object), ("fields", Is::Texts), ("rerank", Is::Object)];
    let members = fields::body(ask.body, known)?;
    let query = object(find(&members, "query").ok_or(Code::FieldInvalid)?)?;
    fields::check(
        query,
        &[
            ("top_k", Is::Number),
            ("filter", Is::Object),
            ("inputs", Is::Object),
            ("vector", Is::Object),
            ("id", Is::Text),
            ("match_terms", Is::Object),
        ],
    )?;
    inside(query, "vector", &[("values", Is::Vector), ("sparse_values", Is::Vector), ("sparse_indices", Is::Vector)])?;
    inside(query, "match_terms", &[("strategy", Is::Text), ("terms", Is::Texts)])?;
    inside(
        &members,
        "rerank",
        &[
            ("model", Is::Text),
            ("rank_fields", Is::Texts),
            ("top_n", Is::Number),
            ("parameters", Is::Object),
            ("query", Is::Text),
        ],
    )?;
    let mut out = Vec::with_capacity(ask.body.len().saturating_add(192));
    let mut body = Object::begin(&mut out);
    body.member("query", |out| {
        let mut inner = Object::begin(out);
        copy(&mut inner, query, &["filter"]);
        inner.member("filter", |out| forced(out, place, condition(query)));
        inner.end();
    });
    copy(&mut body, &members, &["query", "fields"]);
    // Without `fields` all of them come back.
    if let Some(fields) = strings(&members, "fields")? {
        let wanted = fields.iter().map(|field| field.decode().into_owned()).filter(|field| field != place.key());
        body.member("fields", |out| {
            write::array(out, wanted.chain([place.key().to_owned()]), |out, field| write::string(out, &field));
        });
    }
    body.end();
    let memo = Memo { echo: Some(echo), ..Memo::default() };
    Ok(Rewritten { body: Some(out), path: Some(path), memo, ..Rewritten::default() })
}

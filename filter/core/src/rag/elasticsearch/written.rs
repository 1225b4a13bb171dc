//! Answers of writes, and documents that were asked by their ids.

use super::answers::{About, Check, MALFORMED, Read, about, document, members, shards};
use crate::error::Code;
use crate::json::Value;
use crate::json::write::{self, Object};
use crate::rag::{Answer, Verified, errors};

/// What passes of the answer to a write, beside index and id.
const WRITE: &[&str] = &["_type", "_version", "result", "forced_refresh", "_seq_no", "_primary_term", "status"];
/// What passes beside a document.
const DOCUMENT: &[&str] = &["_type", "_version", "_seq_no", "_primary_term", "found", "_ignored"];
/// What work by query says of itself.
const WORK: &[&str] = &[
    "took",
    "timed_out",
    "total",
    "deleted",
    "updated",
    "created",
    "batches",
    "version_conflicts",
    "noops",
    "throttled_millis",
    "throttled",
    "throttled_until_millis",
    "throttled_until",
    "requests_per_second",
];

/// The answer to a write of one document.
pub(super) fn write(answer: &Answer<'_>) -> Result<Verified, Code> {
    let check = Check::new(answer);
    let body = check.write(&document(answer)?, answer.parameter("index")?)?;
    Ok(check.done(body))
}

/// The answer to many writes: an item for each, in order.
pub(super) fn bulk(answer: &Answer<'_>) -> Result<Verified, Code> {
    let check = Check::new(answer);
    let document = document(answer)?;
    let mut out = Vec::with_capacity(answer.body.len());
    let mut written = Object::begin(&mut out);
    for (key, value) in members(&document)? {
        match (key.decode().as_ref(), value) {
            (name @ ("took" | "errors" | "ingest_took"), Value::Number(_) | Value::Bool(_)) => {
                written.raw(name, value.raw())
            }
            ("items", Value::Array(items, _)) if items.len() == answer.memo.names.len() => {
                let one = |(item, index): (&Value<'_>, &String)| {
                    let [(kind, item)] = members(item)? else { return Err(MALFORMED) };
                    Ok(super::build::wrap(&kind.decode(), &check.write(item, index)?))
                };
                let parts = items.iter().zip(&answer.memo.names).map(one).collect::<Read<Vec<_>>>()?;
                written.member("items", |out| write::array(out, &parts, |out, part| out.extend_from_slice(part)));
            }
            _ => return Err(MALFORMED),
        }
    }
    written.end();
    Ok(check.done(out))
}

/// A document by its id: the tenant's, or none.
pub(super) fn get(answer: &Answer<'_>) -> Result<Verified, Code> {
    let mut check = Check::new(answer);
    let about = About { index: answer.parameter("index")?, hide: answer.memo.hide };
    let document = document(answer)?;
    if !check.owns(&document) {
        let body = not_found(about.index, answer.parameter("id")?);
        return Ok(Verified { status: Some(404), ..check.done(body) });
    }
    let body = check.document(&document, about)?;
    Ok(check.done(body))
}

/// A document's source alone: it is verified by the marker in it.
pub(super) fn source(answer: &Answer<'_>) -> Result<Verified, Code> {
    let mut check = Check::new(answer);
    let document = document(answer)?;
    members(&document)?;
    let marker = match document.member(check.place.key()) {
        Some(Value::String(text, _)) => Some(text.decode()),
        _ => None,
    };
    if check.tally.judge(check.place, marker.as_deref()) {
        let body = check.source(&document)?;
        return Ok(check.done(body));
    }
    let mut out = b"{\"error\":{\"type\":\"resource_not_found_exception\",\"reason\":".to_vec();
    let (index, id) = (answer.parameter("index")?, answer.parameter("id")?);
    write::string(&mut out, &format!("Document not found [{index}]/[{id}]"));
    out.extend_from_slice(b"},\"status\":404}");
    Ok(Verified { status: Some(404), ..check.done(out) })
}

/// Documents by their ids, in the order that they were asked in.
pub(super) fn mget(answer: &Answer<'_>) -> Result<Verified, Code> {
    let mut check = Check::new(answer);
    let document = document(answer)?;
    let [(key, Value::Array(docs, _))] = members(&document)? else { return Err(MALFORMED) };
    if key.decode() != "docs" || docs.len() != answer.memo.names.len() {
        return Err(MALFORMED);
    }
    let mut parts = Vec::new();
    for (doc, name) in docs.iter().zip(&answer.memo.names) {
        let about = about(name);
        let id = doc.member("_id").ok_or(MALFORMED)?;
        let found = matches!(doc.member("found"), Some(Value::Bool(true))) || doc.member("_source").is_some();
        parts.push(if !found || check.owns(doc) {
            check.document(doc, about)?
        } else {
            let Value::String(id, _) = id else { return Err(MALFORMED) };
            not_found(about.index, id.decode().strip_prefix(&check.prefix).ok_or(MALFORMED)?)
        });
    }
    let mut out = b"{\"docs\":".to_vec();
    write::array(&mut out, &parts, |out, part| out.extend_from_slice(part));
    out.push(b'}');
    Ok(check.done(out))
}

/// What work by query did. Its query was forced, so its numbers are the tenant's.
pub(super) fn by_query(answer: &Answer<'_>) -> Result<Verified, Code> {
    let check = Check::new(answer);
    let document = document(answer)?;
    let mut out = Vec::with_capacity(answer.body.len());
    let mut written = Object::begin(&mut out);
    for (key, value) in members(&document)? {
        match (key.decode().as_ref(), value) {
            ("failures", Value::Array(failures, _)) => {
                let one = |failure| check.failure(failure, answer.parameter("index")?);
                let parts = failures.iter().map(one).collect::<Read<Vec<_>>>()?;
                written.member("failures", |out| write::array(out, &parts, |out, part| out.extend_from_slice(part)));
            }
            ("retries", _) => written.raw(
                "retries",
                &super::build::map(value, |_, count| super::build::scalar(count)).map_err(|_| MALFORMED)?,
            ),
            // The same once more for each slice, with shards.
            ("slices", Value::Array(..)) => {}
            (name, Value::Number(_) | Value::Bool(_) | Value::String(..)) if WORK.contains(&name) => {
                written.raw(name, value.raw());
            }
            _ => return Err(MALFORMED),
        }
    }
    written.end();
    Ok(check.done(out))
}

/// Nothing but that it was done.
pub(super) fn acknowledged(answer: &Answer<'_>) -> Result<Verified, Code> {
    let check = Check::new(answer);
    let document = document(answer)?;
    let mut out = Vec::new();
    let mut written = Object::begin(&mut out);
    for (key, value) in members(&document)? {
        match (key.decode().as_ref(), value) {
            (name @ ("acknowledged" | "shards_acknowledged"), Value::Bool(_)) => written.raw(name, value.raw()),
            ("index", _) => written.raw("index", &check.index(value, answer.parameter("index")?)?),
            ("_shards", _) => written.raw("_shards", &shards(value)?),
            _ => return Err(MALFORMED),
        }
    }
    written.end();
    Ok(check.done(out))
}

/// That an index is there. Its mapping has the fields of every tenant, so nothing more.
pub(super) fn index(answer: &Answer<'_>) -> Result<Verified, Code> {
    let document = document(answer)?;
    members(&document)?;
    let about = b"{\"aliases\":{},\"mappings\":{},\"settings\":{}}";
    let body = super::build::wrap(answer.parameter("index")?, about);
    Ok(Verified { body: Some(body), ..Verified::default() })
}

fn not_found(index: &str, id: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut written = Object::begin(&mut out);
    written.member("_index", |out| write::string(out, index));
    written.member("_id", |out| write::string(out, id));
    written.raw("found", b"false");
    written.end();
    out
}

impl Check<'_> {
    fn write(&self, value: &Value<'_>, index: &str) -> Read<Vec<u8>> {
        let mut out = Vec::with_capacity(value.raw().len());
        let mut written = Object::begin(&mut out);
        for (key, value) in members(value)? {
            match key.decode().as_ref() {
                "_index" => written.raw("_index", &self.index(value, index)?),
                "_id" => written.raw("_id", &self.id(value)?),
                "_shards" => written.raw("_shards", &shards(value)?),
                "error" => written.raw("error", &self.error(value)),
                // Where a data stream keeps what it could not index: there is none here.
                "failure_store" => {}
                name if WRITE.contains(&name) => written.raw(name, value.raw()),
                _ => return Err(MALFORMED),
            }
        }
        written.end();
        Ok(out)
    }

    fn document(&self, value: &Value<'_>, about: About<'_>) -> Read<Vec<u8>> {
        let mut out = Vec::with_capacity(value.raw().len());
        let mut written = Object::begin(&mut out);
        for (key, value) in members(value)? {
            match key.decode().as_ref() {
                "_index" => written.raw("_index", &self.index(value, about.index)?),
                "_id" => written.raw("_id", &self.id(value)?),
                "_source" if about.hide => {}
                "_source" => written.raw("_source", &self.source(value)?),
                "error" => written.raw("error", &self.error(value)),
                name if DOCUMENT.contains(&name) => written.raw(name, value.raw()),
                _ => return Err(MALFORMED),
            }
        }
        written.end();
        Ok(out)
    }

    fn failure(&self, value: &Value<'_>, index: &str) -> Read<Vec<u8>> {
        let mut out = Vec::new();
        let mut written = Object::begin(&mut out);
        for (key, value) in members(value)? {
            match key.decode().as_ref() {
                "index" => written.raw("index", &self.index(value, index)?),
                "id" => written.raw("id", &self.id(value)?),
                "cause" => written.raw("cause", &self.error(value)),
                "status" => written.raw("status", value.raw()),
                // Shards and nodes.
                _ => {}
            }
        }
        written.end();
        Ok(out)
    }

    /// An error inside an answer: its type and reason, where they name nothing foreign.
    fn error(&self, value: &Value<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        if let Value::String(text, _) = value {
            write::string(&mut out, &errors::clean(self.answer, &text.decode()));
            return out;
        }
        let mut written = Object::begin(&mut out);
        for name in ["type", "reason"] {
            if let Some(Value::String(text, _)) = value.member(name) {
                written.member(name, |out| write::string(out, &errors::clean(self.answer, &text.decode())));
            }
        }
        if let Some(cause) = value.member("caused_by") {
            written.raw("caused_by", &self.error(cause));
        }
        written.end();
        out
    }
}

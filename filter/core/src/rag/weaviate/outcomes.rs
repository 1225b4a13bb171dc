//! What became of many objects or references at once: only statuses, ids, counts, and the words of errors.

use super::answers::{done, malformed, members, owns, string, write_object};
use super::names::to_client;
use crate::error::Code;
use crate::json::write::{self, Object};
use crate::json::{self, Value};
use crate::rag::{Answer, Tally, Verified, errors};

/// What became of the objects of a batch: each is repeated as it was written.
pub(super) fn batch(answer: &Answer<'_>) -> Result<Verified, Code> {
    let document = json::parse(answer.body).map_err(malformed)?;
    let mut tally = Tally::default();
    let mut kept = Vec::new();
    for item in document.items().ok_or(Code::UpstreamMalformed)? {
        let members = members(item)?;
        if owns(answer.place, &mut tally, item) {
            kept.push(members);
        }
    }
    let mut out = Vec::with_capacity(answer.body.len());
    write::array(&mut out, kept, |out, members| write_object(out, answer, &mut tally, members));
    Ok(done(out, tally))
}

/// What became of the references of a batch.
pub(super) fn batch_references(answer: &Answer<'_>) -> Result<Verified, Code> {
    let document = json::parse(answer.body).map_err(malformed)?;
    let mut mapped = Vec::new();
    for item in document.items().ok_or(Code::UpstreamMalformed)? {
        let beacon = |name: &str, property: bool| {
            let beacon = string(item.member(name)).ok_or(Code::UpstreamMalformed)?;
            to_client(answer.place, &beacon, property).ok_or(Code::UpstreamMalformed)
        };
        mapped.push((beacon("from", true)?, beacon("to", false)?, item.member("result")));
    }
    let mut out = Vec::with_capacity(answer.body.len());
    write::array(&mut out, &mapped, |out, (from, to, result)| {
        let mut one = Object::begin(out);
        one.member("from", |out| write::string(out, from));
        one.member("to", |out| write::string(out, to));
        if let Some(result) = result {
            one.member("result", |out| outcome(out, answer, result));
        }
        one.end();
    });
    Ok(done(out, Tally::default()))
}

/// What was deleted under the forced condition: counts, ids, and the match as the client wrote it.
pub(super) fn deleted(answer: &Answer<'_>) -> Result<Verified, Code> {
    let document = json::parse(answer.body).map_err(malformed)?;
    let mut out = Vec::with_capacity(answer.body.len());
    let mut object = Object::begin(&mut out);
    for (key, value) in members(&document)? {
        match (key.decode().as_ref(), value) {
            ("match", _) => object.raw("match", answer.memo.echo.as_deref().unwrap_or(b"null")),
            (
                name @ ("output" | "dryRun" | "deletionTimeUnixMilli"),
                value @ (Value::String(..) | Value::Bool(_) | Value::Number(_)),
            ) => object.raw(name, value.raw()),
            ("results", results) => {
                let results = members(results)?;
                object.member("results", |out| {
                    let mut inner = Object::begin(out);
                    for (key, value) in results {
                        match (key.decode().as_ref(), value) {
                            ("objects", Value::Array(items, _)) => inner.member("objects", |out| {
                                write::array(out, items, |out, item| deleted_object(out, answer, item));
                            }),
                            (name, value @ (Value::Number(_) | Value::Null)) => inner.raw(name, value.raw()),
                            _ => {}
                        }
                    }
                    inner.end();
                });
            }
            _ => {}
        }
    }
    object.end();
    Ok(done(out, Tally::default()))
}

fn deleted_object(out: &mut Vec<u8>, answer: &Answer<'_>, item: &Value<'_>) {
    let mut one = Object::begin(out);
    for name in ["id", "status"] {
        if let Some(Value::String(_, raw)) = item.member(name) {
            one.raw(name, raw);
        }
    }
    if let Some(failed) = item.member("errors") {
        one.member("errors", |out| failures(out, answer, failed));
    }
    one.end();
}

/// What became of one item of a batch: its status, and the words of its errors.
pub(super) fn outcome(out: &mut Vec<u8>, answer: &Answer<'_>, result: &Value<'_>) {
    let mut object = Object::begin(out);
    if let Some(Value::String(_, raw)) = result.member("status") {
        object.raw("status", raw);
    }
    if let Some(failed) = result.member("errors") {
        object.member("errors", |out| failures(out, answer, failed));
    }
    object.end();
}

/// `{"error":[{"message":…}]}`.
fn failures(out: &mut Vec<u8>, answer: &Answer<'_>, failed: &Value<'_>) {
    let items = failed.member("error").and_then(Value::items).unwrap_or_default();
    let messages = items.iter().filter_map(|item| string(item.member("message")));
    let mut object = Object::begin(out);
    object.member("error", |out| {
        write::array(out, messages, |out, message| {
            let mut one = Object::begin(out);
            one.member("message", |out| write::string(out, &errors::clean(answer, &message)));
            one.end();
        });
    });
    object.end();
}

//! GraphQL's answers: each object below `Get` by its marker, each error by its words.

use super::super::answers::{malformed, members};
use crate::error::Code;
use crate::json::write::{self, Object};
use crate::json::{self, Value};
use crate::rag::{Answer, Tally, Verified, errors};

pub(in crate::rag::weaviate) fn verify(answer: &Answer<'_>) -> Result<Verified, Code> {
    let document = json::parse(answer.body).map_err(malformed)?;
    let mut tally = Tally::default();
    let mut out = Vec::with_capacity(answer.body.len());
    let mut object = Object::begin(&mut out);
    let mut result = Ok(());
    for (key, value) in members(&document)? {
        match (key.decode().as_ref(), value) {
            ("data" | "errors", Value::Null) => object.raw(&key.decode(), b"null"),
            ("data", value) => object.member("data", |out| result = data(out, answer, &mut tally, value)),
            ("errors", Value::Array(errors, _)) => {
                object.member("errors", |out| write::array(out, errors, |out, one| error(out, answer, one)));
            }
            ("errors", _) => return Err(Code::UpstreamMalformed),
            _ => {}
        }
        result?;
    }
    object.end();
    Ok(Verified { body: Some(out), tally, ..Verified::default() })
}

fn data(out: &mut Vec<u8>, answer: &Answer<'_>, tally: &mut Tally, data: &Value<'_>) -> Result<(), Code> {
    let mut result = Ok(());
    let mut object = Object::begin(out);
    for (root, classes) in members(data)? {
        let root = root.decode();
        if classes.is_null() {
            object.raw(&root, b"null");
            continue;
        }
        let classes = members(classes)?;
        object.member(&root, |out| {
            let mut each = Object::begin(out);
            for (class, found) in classes {
                let class = class.decode();
                let Some(logical) = answer.place.logical(&class) else {
                    result = Err(Code::UpstreamMalformed);
                    continue;
                };
                each.member(logical, |out| match root.as_ref() {
                    "Aggregate" => out.extend_from_slice(found.raw()),
                    "Get" => result = result.and(objects(out, answer, tally, logical, found)),
                    _ => result = Err(Code::UpstreamMalformed),
                });
            }
            each.end();
        });
    }
    object.end();
    result
}

/// The objects of a class, without the marker that the client did not ask for.
fn objects(
    out: &mut Vec<u8>,
    answer: &Answer<'_>,
    tally: &mut Tally,
    class: &str,
    found: &Value<'_>,
) -> Result<(), Code> {
    if found.is_null() {
        out.extend_from_slice(b"null");
        return Ok(());
    }
    let place = answer.place;
    let asked = answer.memo.names.iter().any(|name| name == class);
    let mut kept = Vec::new();
    for item in found.items().ok_or(Code::UpstreamMalformed)? {
        let fields = members(item)?;
        let marker = match item.member(place.key()) {
            Some(Value::String(text, _)) => Some(text.decode()),
            _ => None,
        };
        if tally.judge(place, marker.as_deref()) {
            kept.push(fields);
        }
    }
    write::array(out, kept, |out, fields| {
        let mut object = Object::begin(out);
        for (key, value) in fields {
            let name = key.decode();
            if asked || name != place.key() {
                object.raw(&name, value.raw());
            }
        }
        object.end();
    });
    Ok(())
}

/// An error: what it says, and of which field. Its place in the query would be one in ours.
fn error(out: &mut Vec<u8>, answer: &Answer<'_>, error: &Value<'_>) {
    let mut object = Object::begin(out);
    if let Some(Value::String(text, _)) = error.member("message") {
        object.member("message", |out| write::string(out, &errors::clean(answer, &text.decode())));
    }
    if let Some(path) = error.member("path").and_then(Value::items) {
        object.member("path", |out| {
            write::array(out, path, |out, step| match step {
                Value::String(text, _) => write::string(out, &errors::clean(answer, &text.decode())),
                Value::Number(raw) => out.extend_from_slice(raw),
                _ => out.extend_from_slice(b"null"),
            });
        });
    }
    object.end();
}

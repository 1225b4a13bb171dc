//! Statistics of the index.

use super::answers::{members, parse};
use super::fields::{Is, body, condition};
use crate::error::Code;
use crate::json::Value;
use crate::json::write::Object;
use crate::rag::{Answer, Ask, Rewritten, Verified};

/// Of the whole index; the answer is cut down. With a filter it would count others' records by conditions.
pub(super) fn ask(ask: &Ask<'_>) -> Result<Rewritten, Code> {
    let members = body(ask.body, &[("filter", Is::Object)])?;
    if condition(&members).is_some() { Err(Code::FieldInvalid) } else { Ok(Rewritten::default()) }
}

/// What the tenant may know of the index: its shape, and how many records its own namespace has.
pub(super) fn verify(answer: &Answer<'_>) -> Result<Verified, Code> {
    let document = parse(answer.body)?;
    let count = match document.member("namespaces") {
        None => None,
        Some(namespaces @ Value::Object(..)) => namespaces.member(&answer.place.namespace),
        Some(_) => return Err(Code::UpstreamMalformed),
    };
    let count = match count.map(|summary| summary.member("vectorCount")) {
        None => None,
        Some(Some(Value::Number(raw))) => Some(*raw),
        Some(_) => return Err(Code::UpstreamMalformed),
    };
    let mut out = Vec::new();
    let mut object = Object::begin(&mut out);
    object.member("namespaces", |out| {
        let mut all = Object::begin(out);
        if let Some(count) = count {
            all.member("__default__", |out| {
                let mut summary = Object::begin(out);
                summary.raw("vectorCount", count);
                summary.end();
            });
        }
        all.end();
    });
    for (key, value) in members(&document)? {
        match (key.decode().as_ref(), value) {
            ("dimension", Value::Number(raw)) => object.raw("dimension", raw),
            (name @ ("metric" | "vectorType"), Value::String(_, raw)) => object.raw(name, raw),
            // How full the index is says how much the others have.
            ("indexFullness", _) => object.raw("indexFullness", b"0"),
            _ => {}
        }
    }
    object.raw("totalVectorCount", count.unwrap_or(b"0"));
    object.end();
    Ok(Verified { body: Some(out), ..Verified::default() })
}

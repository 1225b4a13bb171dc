//! What clients ask of the server itself.

use super::answers::{done, malformed, members};
use crate::error::Code;
use crate::json::write::{self, Object};
use crate::json::{self, Value};
use crate::rag::{Answer, Tally, Verified};

/// What clients must know of the server: its version, its modules, its limits. Not its own address.
pub(super) fn meta(answer: &Answer<'_>) -> Result<Verified, Code> {
    let document = json::parse(answer.body).map_err(malformed)?;
    let mut out = Vec::with_capacity(answer.body.len());
    let mut object = Object::begin(&mut out);
    for (key, value) in members(&document)? {
        match (key.decode().as_ref(), value) {
            ("version", Value::String(_, raw)) => object.raw("version", raw),
            ("grpcMaxMessageSize", Value::Number(raw)) => object.raw("grpcMaxMessageSize", raw),
            ("modules", Value::Object(modules, _)) => object.member("modules", |out| {
                let mut names = Object::begin(out);
                modules.iter().for_each(|(name, _)| names.raw(&name.decode(), b"{}"));
                names.end();
            }),
            _ => {}
        }
    }
    object.end();
    Ok(done(out, Tally::default()))
}

/// Whether the nodes are well: clients ask before a batch. Not what they hold, or how much of it.
pub(super) fn nodes(answer: &Answer<'_>) -> Result<Verified, Code> {
    let document = json::parse(answer.body).map_err(malformed)?;
    let nodes = document.member("nodes").and_then(Value::items).ok_or(Code::UpstreamMalformed)?;
    let mut out = Vec::with_capacity(answer.body.len());
    let mut object = Object::begin(&mut out);
    object.member("nodes", |out| {
        write::array(out, nodes, |out, node| {
            let mut one = Object::begin(out);
            for name in ["status", "version"] {
                if let Some(Value::String(_, raw)) = node.member(name) {
                    one.raw(name, raw);
                }
            }
            one.end();
        });
    });
    object.end();
    Ok(done(out, Tally::default()))
}

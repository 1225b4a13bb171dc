//! Writes: every document marked, every id under the tenant's prefix.

use super::build::{Built, Force, map, raw, scalar};
use super::requests::{lines, path};
use crate::error::Code;
use crate::json::write::{self, Object};
use crate::json::{self, JsonError, Value};
use crate::rag::document::{find, object};
use crate::rag::{Ask, Memo, Rewritten};

impl Force<'_> {
    /// A document with our marker in the place of any other.
    fn marked(&self, value: &Value<'_>) -> Built {
        let key = self.place.key();
        let mut out = Vec::with_capacity(value.raw().len().saturating_add(64));
        let mut written = Object::begin(&mut out);
        for (name, value) in object(value)? {
            let name = name.decode();
            // `{"a.b":1}` is `{"a":{"b":1}}` there.
            if name.split('.').next() == Some(key) && name != key {
                return Err(Code::FieldInvalid);
            }
            if name != key {
                written.raw(&name, value.raw());
            }
        }
        written.member(key, |out| write::string(out, &self.place.namespace));
        written.end();
        Ok(out)
    }

    /// An update's body. A script could write anything anywhere, so there is none.
    fn update(&self, value: &Value<'_>) -> Built {
        if find(object(value)?, "doc").is_none() {
            return Err(Code::FieldInvalid);
        }
        map(value, |name, value| match name {
            "doc" | "upsert" => self.marked(value),
            "doc_as_upsert" | "detect_noop" => scalar(value),
            _ => Err(Code::FieldUnknown),
        })
    }

    /// What a bulk action says of its document: its new form, the index as the client names it.
    fn action(&self, value: &Value<'_>, fresh: Option<&str>, asked: Option<&str>) -> Result<(Vec<u8>, String), Code> {
        let mut index = asked.map(str::to_owned);
        let mut written = map(value, |name, value| match name {
            "_index" => {
                let (client, own) = self.index(value)?;
                index = Some(client);
                let mut out = Vec::new();
                write::string(&mut out, &own);
                Ok(out)
            }
            "_id" => self.id(value),
            "if_seq_no" | "if_primary_term" | "version" | "version_type" | "retry_on_conflict" => scalar(value),
            // It does nothing unless it is true, and then it is about names that clients cannot have.
            "require_alias" | "require_data_stream" if matches!(value, Value::Bool(false)) => raw(value),
            _ => Err(Code::FieldUnknown),
        })?;
        if find(object(value)?, "_id").is_none() {
            let fresh = fresh.ok_or(Code::FieldInvalid)?;
            written.pop();
            if written.len() > 1 {
                written.push(b',');
            }
            written.extend_from_slice(b"\"_id\":");
            write::string(&mut written, fresh);
            written.push(b'}');
        }
        Ok((written, index.ok_or(Code::NamespaceForbidden)?))
    }
}

/// An id of our making, under the tenant's prefix like any.
fn fresh(ask: &Ask<'_>) -> Result<String, Code> {
    if ask.request_id.is_empty() {
        return Err(Code::Internal);
    }
    Ok(format!("{}{}", ask.place()?.prefix(), ask.request_id))
}

fn parsed<'a>(bytes: &'a [u8]) -> Result<Value<'a>, Code> {
    json::parse(bytes).map_err(JsonError::code)
}

/// A whole document by its id.
pub(super) fn index(ask: &Ask<'_>) -> Result<Rewritten, Code> {
    let body = Force::new(ask.place()?).marked(&parsed(ask.body)?)?;
    Ok(Rewritten { body: Some(body), path: Some(path(ask, None)?), ..Rewritten::default() })
}

/// A document without an id: the backend's own would have no prefix, so it gets one from us.
pub(super) fn index_fresh(ask: &Ask<'_>) -> Result<Rewritten, Code> {
    let place = ask.place()?;
    let body = Force::new(place).marked(&parsed(ask.body)?)?;
    let own = place.collection(ask.parameter("index")?)?;
    let path = ask.path("/{index}/_create/{id}", &[&own, &fresh(ask)?], None);
    Ok(Rewritten { body: Some(body), path: Some(path), ..Rewritten::default() })
}

/// A part of a document.
pub(super) fn update(ask: &Ask<'_>) -> Result<Rewritten, Code> {
    let body = Force::new(ask.place()?).update(&parsed(ask.body)?)?;
    Ok(Rewritten { body: Some(body), path: Some(path(ask, None)?), ..Rewritten::default() })
}

/// Many writes, a line each and a line for its document; [`Memo::names`] has the index of each, as the client names it.
pub(super) fn bulk(ask: &Ask<'_>) -> Result<Rewritten, Code> {
    let force = Force::new(ask.place()?);
    let asked = ask.parameter("index").ok();
    let mut out = Vec::with_capacity(ask.body.len().saturating_mul(2));
    let mut names = Vec::new();
    let mut lines = lines(ask.body);
    while let Some(line) = lines.next() {
        let action = parsed(line)?;
        let [(kind, about)] = object(&action)? else { return Err(Code::FieldInvalid) };
        let kind = kind.decode();
        let own_id = match kind.as_ref() {
            "index" | "create" => Some(format!("{}-{}", fresh(ask)?, names.len())),
            "update" | "delete" => None,
            _ => return Err(Code::FieldUnknown),
        };
        let (about, index) = force.action(about, own_id.as_deref(), asked)?;
        out.extend_from_slice(&super::build::wrap(&kind, &about));
        out.push(b'\n');
        names.push(index);
        if kind != "delete" {
            let document = parsed(lines.next().ok_or(Code::JsonInvalid)?)?;
            out.extend_from_slice(&if kind == "update" {
                force.update(&document)?
            } else {
                force.marked(&document)?
            });
            out.push(b'\n');
        }
    }
    let memo = Memo { names, ..Memo::default() };
    Ok(Rewritten { body: Some(out), path: Some(path(ask, None)?), memo, ..Rewritten::default() })
}

//! Putting a client's document together anew, member by member.

use crate::error::Code;
use crate::json::Value;
use crate::json::write::{self, Object};
use crate::rag::Place;
use crate::rag::document::{items, object, scoped_id};

/// A part of a document, written.
pub(super) type Built = Result<Vec<u8>, Code>;

/// What is written for a tenant.
pub(super) struct Force<'p> {
    pub(super) place: &'p Place<'p>,
    pub(super) prefix: String,
}

/// An object, with what `member` makes of each of its members. A `null` says nothing, and is left out.
pub(super) fn map(value: &Value<'_>, mut member: impl FnMut(&str, &Value<'_>) -> Built) -> Built {
    let mut out = Vec::with_capacity(value.raw().len().saturating_add(64));
    let mut written = Object::begin(&mut out);
    for (key, value) in object(value)?.iter().filter(|(_, value)| !value.is_null()) {
        let key = key.decode();
        written.raw(&key, &member(&key, value)?);
    }
    written.end();
    Ok(out)
}

/// A list, with what `item` makes of each of its items; or the one that stands without a list.
pub(super) fn each(value: &Value<'_>, mut item: impl FnMut(&Value<'_>) -> Built) -> Built {
    let Some(items) = value.items() else { return item(value) };
    list(items.iter().map(item))
}

/// Refuses a list that is missing or empty: what the backend makes of nothing is its own.
pub(super) fn some(list: Option<&Value<'_>>) -> Result<(), Code> {
    list.and_then(Value::items).filter(|all| !all.is_empty()).map(|_| ()).ok_or(Code::FieldInvalid)
}

/// A list of parts.
pub(super) fn list(parts: impl Iterator<Item = Built>) -> Built {
    let parts = parts.collect::<Result<Vec<_>, _>>()?;
    let mut out = Vec::with_capacity(parts.iter().map(Vec::len).sum::<usize>().saturating_add(16));
    write::array(&mut out, &parts, |out, part| out.extend_from_slice(part));
    Ok(out)
}

/// As it was written.
#[allow(clippy::unnecessary_wraps)] // Beside others that may refuse.
pub(super) fn raw(value: &Value<'_>) -> Built {
    Ok(value.raw().to_vec())
}

/// A text, number or boolean, as it was written.
pub(super) fn scalar(value: &Value<'_>) -> Built {
    match value {
        Value::String(..) | Value::Number(_) | Value::Bool(_) => raw(value),
        _ => Err(Code::FieldInvalid),
    }
}

/// The text of a value that is one.
pub(super) fn text(value: &Value<'_>) -> Result<String, Code> {
    match value {
        Value::String(text, _) => Ok(text.decode().into_owned()),
        _ => Err(Code::FieldInvalid),
    }
}

/// An object whose members are on a list, as they were written.
pub(super) fn plain(value: &Value<'_>, known: &[&str]) -> Built {
    map(value, |name, value| if known.contains(&name) { raw(value) } else { Err(Code::FieldUnknown) })
}

/// An object of one member.
pub(super) fn wrap(key: &str, inner: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(inner.len().saturating_add(key.len()).saturating_add(8));
    let mut object = Object::begin(&mut out);
    object.raw(key, inner);
    object.end();
    out
}

/// Fields that are the index's own: what they say is about the backend, or about all documents.
pub(super) fn is_metadata(field: &str) -> bool {
    const FIELDS: &[&str] = &[
        "_id",
        "_index",
        "_source",
        "_routing",
        "_seq_no",
        "_primary_term",
        "_version",
        "_doc",
        "_shard_doc",
        "_doc_count",
        "_tier",
        "_size",
        "_type",
        "_uid",
        "_ignored",
        "_ignored_source",
        "_field_names",
        "_nested_path",
        "_feature",
        "_tsid",
        "_slice",
        "_parent",
    ];
    FIELDS.contains(&field)
}

/// A field that documents have.
pub(super) fn field(name: &str) -> Result<(), Code> {
    if is_metadata(name) { Err(Code::FieldInvalid) } else { Ok(()) }
}

impl<'p> Force<'p> {
    pub(super) fn new(place: &'p Place<'p>) -> Self {
        Self { place, prefix: place.prefix() }
    }

    /// The condition that is always ours.
    pub(super) fn ours(&self) -> Vec<u8> {
        let mut term = Vec::new();
        let mut object = Object::begin(&mut term);
        object.member(self.place.key(), |out| write::string(out, &self.place.namespace));
        object.end();
        wrap("term", &term)
    }

    /// An id under the tenant's prefix. A whole number counts as the text that it is.
    pub(super) fn id(&self, value: &Value<'_>) -> Built {
        let mut out = Vec::new();
        match value {
            Value::String(id, _) if !id.raw().is_empty() => scoped_id(&mut out, &self.prefix, id),
            Value::Number(digits) if digits.iter().all(|b| b.is_ascii_digit() || *b == b'-') => {
                write::string(&mut out, &format!("{}{}", self.prefix, String::from_utf8_lossy(digits)));
            }
            _ => return Err(Code::FieldInvalid),
        }
        Ok(out)
    }

    /// Ids under the tenant's prefix.
    pub(super) fn ids(&self, value: &Value<'_>) -> Built {
        match items(value) {
            Some(items) => list(items.iter().map(|item| self.id(item))),
            None => self.id(value),
        }
    }

    /// The client's name for an index, and the backend's.
    pub(super) fn index(&self, value: &Value<'_>) -> Result<(String, String), Code> {
        let name = text(value)?;
        let own = self.place.collection(&name)?;
        Ok((name, own))
    }
}

//! What the members of Pinecone's documents must be, and what is written for the tenant.

use crate::error::Code;
use crate::json::write::{self, Object};
use crate::json::{Str, Value};
use crate::rag::Place;
use crate::rag::document::{Members, find, members, only};

/// What a member is.
#[derive(Clone, Copy)]
pub(super) enum Is {
    Text,
    Texts,
    Number,
    Flag,
    Object,
    Vector,
    List,
}

impl Is {
    fn fits(self, value: &Value<'_>) -> bool {
        let text = |item: &Value<'_>| matches!(item, Value::String(..));
        match self {
            Self::Text => text(value),
            Self::Texts => value.items().is_some_and(|items| items.iter().all(text)),
            Self::Number => matches!(value, Value::Number(_)),
            Self::Flag => matches!(value, Value::Bool(_)),
            Self::Object => matches!(value, Value::Object(..)),
            Self::Vector => matches!(value, Value::Numbers(_)) || value.items().is_some_and(<[_]>::is_empty),
            Self::List => value.items().is_some(),
        }
    }
}

/// A body's members, each known and what it must be. Null counts as absent.
pub(super) fn body<'a>(bytes: &'a [u8], known: &[(&str, Is)]) -> Result<Members<'a>, Code> {
    let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
    let members = members(bytes, &names)?;
    check(&members, known)?;
    Ok(members)
}

/// The same for an object inside.
pub(super) fn check(members: &[(Str<'_>, Value<'_>)], known: &[(&str, Is)]) -> Result<(), Code> {
    let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
    only(members, &names)?;
    let fits = known.iter().all(|(name, is)| find(members, name).is_none_or(|value| is.fits(value)));
    if fits { Ok(()) } else { Err(Code::FieldInvalid) }
}

/// A sparse vector.
pub(super) const SPARSE: &[(&str, Is)] = &[("indices", Is::Vector), ("values", Is::Vector)];

/// Checks a member that is an object, where it is there.
pub(super) fn inside(members: &[(Str<'_>, Value<'_>)], name: &str, known: &[(&str, Is)]) -> Result<(), Code> {
    match find(members, name) {
        Some(Value::Object(inner, _)) => check(inner, known),
        Some(_) => Err(Code::FieldInvalid),
        None => Ok(()),
    }
}

/// The namespace that the client names must be the default one. Gives it as the answer repeats it.
pub(super) fn namespace(named: Option<&str>) -> Result<Vec<u8>, Code> {
    let name = named.unwrap_or_default();
    if !matches!(name, "" | "__default__") {
        return Err(Code::NamespaceForbidden);
    }
    let mut echo = Vec::new();
    write::string(&mut echo, name);
    Ok(echo)
}

/// The same for a body's member.
pub(super) fn own_namespace(members: &[(Str<'_>, Value<'_>)]) -> Result<Vec<u8>, Code> {
    match find(members, "namespace") {
        Some(Value::String(name, _)) => namespace(Some(&name.decode())),
        _ => namespace(None),
    }
}

/// Whether a client's condition says anything.
pub(super) fn condition<'m, 'a>(members: &'m [(Str<'a>, Value<'a>)]) -> Option<&'m Value<'a>> {
    find(members, "filter").filter(|value| !matches!(value, Value::Object(inner, _) if inner.is_empty()))
}

/// Writes the forced condition around the client's.
pub(super) fn forced(out: &mut Vec<u8>, place: &Place<'_>, client: Option<&Value<'_>>) {
    let ours = |out: &mut Vec<u8>| {
        let mut condition = Object::begin(out);
        condition.member(place.key(), |out| {
            let mut equals = Object::begin(out);
            equals.member("$eq", |out| write::string(out, &place.namespace));
            equals.end();
        });
        condition.end();
    };
    match client {
        None => ours(out),
        Some(client) => {
            out.extend_from_slice(b"{\"$and\":[");
            ours(out);
            out.push(b',');
            out.extend_from_slice(client.raw());
            out.extend_from_slice(b"]}");
        }
    }
}

/// Copies the members that are not rewritten.
pub(super) fn copy(object: &mut Object<'_>, members: &[(Str<'_>, Value<'_>)], rewritten: &[&str]) {
    for (key, value) in members {
        let name = key.decode();
        if !rewritten.contains(&name.as_ref()) {
            object.raw(&name, value.raw());
        }
    }
}

/// Writes a record's metadata, marked.
pub(super) fn marked(out: &mut Vec<u8>, place: &Place<'_>, client: &[(Str<'_>, Value<'_>)]) {
    let mut metadata = Object::begin(out);
    copy(&mut metadata, client, &[place.key()]);
    metadata.member(place.key(), |out| write::string(out, &place.namespace));
    metadata.end();
}

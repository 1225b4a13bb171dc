//! Requests on single objects and their references.

use super::names::{is_marker, is_uuid, own_tenant, query, to_backend};
use crate::error::Code;
use crate::json::write::{self, Object};
use crate::json::{self, JsonError, Str, Value};
use crate::rag::document::{find, members, object, only};
use crate::rag::{Ask, Place, Rewritten};

type Member<'a> = (Str<'a>, Value<'a>);

const OBJECT: &[&str] = &[
    "class",
    "id",
    "properties",
    "vector",
    "vectors",
    "tenant",
    "vectorWeights",
    "creationTimeUnix",
    "lastUpdateTimeUnix",
];

/// A member that is a text, where it is there.
pub(super) fn text(members: &[Member<'_>], name: &str) -> Result<Option<String>, Code> {
    match find(members, name) {
        None => Ok(None),
        Some(Value::String(text, _)) => Ok(Some(text.decode().into_owned())),
        Some(_) => Err(Code::FieldInvalid),
    }
}

/// Writes an object for the tenant. `merge` leaves the marker as it is in the database, where it would take in a stray
/// object; otherwise it is written. `class` is the path's, where the path has one.
pub(super) fn put(
    out: &mut Vec<u8>,
    place: &Place<'_>,
    members: &[Member<'_>],
    class: Option<&str>,
    merge: bool,
) -> Result<(), Code> {
    only(members, OBJECT)?;
    own_tenant(place, text(members, "tenant")?.as_deref())?;
    let named = text(members, "class")?;
    let class = match (class, named.as_deref()) {
        (Some(class), None) => class,
        (Some(class), Some(named)) if class == named => class,
        (None, Some(named)) => named,
        _ => return Err(Code::FieldInvalid),
    };
    if text(members, "id")?.is_some_and(|id| !is_uuid(&id)) {
        return Err(Code::FieldInvalid);
    }
    let none = Vec::new();
    let properties = match find(members, "properties") {
        None => none.as_slice(),
        Some(value) => object(value)?,
    };
    let own = place.collection(class)?;
    let mut object = Object::begin(out);
    for (key, value) in members {
        let name = key.decode();
        if !matches!(name.as_ref(), "class" | "tenant" | "properties") {
            object.raw(&name, value.raw());
        }
    }
    object.member("class", |out| write::string(out, &own));
    object.member("tenant", |out| write::string(out, &place.namespace));
    let mut result = Ok(());
    object.member("properties", |out| {
        let mut inner = Object::begin(out);
        for (key, value) in properties.iter().filter(|(key, _)| !is_marker(place, &key.decode())) {
            inner.member(&key.decode(), |out| {
                if let Err(code) = property(out, place, value) {
                    result = Err(code);
                }
            });
        }
        if !merge {
            inner.member(place.key(), |out| write::string(out, &place.namespace));
        }
        inner.end();
    });
    object.end();
    result
}

/// Writes a property's value: references by the backend's names, all else verbatim.
fn property(out: &mut Vec<u8>, place: &Place<'_>, value: &Value<'_>) -> Result<(), Code> {
    let list = value.items().filter(|items| items.iter().any(|item| item.member("beacon").is_some()));
    let Some(items) = list else {
        out.extend_from_slice(value.raw());
        return Ok(());
    };
    let mut result = Ok(());
    write::array(out, items, |out, item| {
        if let Err(code) = reference(out, place, item) {
            result = Err(code);
        }
    });
    result
}

/// Writes a reference. What else it says (`href`, `class`) follows from its beacon.
pub(super) fn reference(out: &mut Vec<u8>, place: &Place<'_>, value: &Value<'_>) -> Result<(), Code> {
    let members = object(value)?;
    only(members, &["beacon", "href", "class"])?;
    let beacon = text(members, "beacon")?.ok_or(Code::FieldInvalid)?;
    let beacon = to_backend(place, &beacon, false)?;
    let mut object = Object::begin(out);
    object.member("beacon", |out| write::string(out, &beacon));
    object.end();
    Ok(())
}

pub(super) fn create(ask: &Ask<'_>) -> Result<Rewritten, Code> {
    let place = ask.place()?;
    let pairs = query(ask, &["consistency_level"])?;
    let members = members(ask.body, OBJECT)?;
    let mut out = Vec::with_capacity(ask.body.len().saturating_add(128));
    put(&mut out, place, &members, None, false)?;
    let path = ask.path(ask.endpoint.template, &[], Some(&pairs));
    Ok(Rewritten { body: Some(out), path: Some(path), ..Rewritten::default() })
}

/// The path of an object with its class as the backend knows it.
fn path(ask: &Ask<'_>, pairs: &[(&str, &str)]) -> Result<String, Code> {
    let own = ask.place()?.collection(ask.parameter("class")?)?;
    let id = ask.parameter("id")?;
    if !is_uuid(id) {
        return Err(Code::FieldInvalid);
    }
    let mut values = vec![own.as_str(), id];
    if let Ok(property) = ask.parameter("property") {
        if is_marker(ask.place()?, property) {
            return Err(Code::FieldInvalid);
        }
        values.push(property);
    }
    Ok(ask.path(ask.endpoint.template, &values, Some(pairs)))
}

/// Replaces an object: its marker is written.
pub(super) fn replace(ask: &Ask<'_>) -> Result<Rewritten, Code> {
    write_by_id(ask, false)
}

/// Merges into an object.
pub(super) fn merge(ask: &Ask<'_>) -> Result<Rewritten, Code> {
    write_by_id(ask, true)
}

fn write_by_id(ask: &Ask<'_>, merge: bool) -> Result<Rewritten, Code> {
    let pairs = query(ask, &["consistency_level"])?;
    let path = path(ask, &pairs)?;
    let members = members(ask.body, OBJECT)?;
    if text(&members, "id")?.is_some_and(|id| Ok(id.as_str()) != ask.parameter("id")) {
        return Err(Code::FieldInvalid);
    }
    let mut out = Vec::with_capacity(ask.body.len().saturating_add(128));
    put(&mut out, ask.place()?, &members, Some(ask.parameter("class")?), merge)?;
    Ok(Rewritten { body: Some(out), path: Some(path), ..Rewritten::default() })
}

/// What an answer may include beside the object itself.
fn check_include(pairs: &[(&str, &str)]) -> Result<(), Code> {
    let include = pairs.iter().find(|(name, _)| *name == "include").map(|(_, value)| *value);
    let known = |part: &str| matches!(part, "" | "vector" | "classification");
    if include.is_none_or(|include| include.split(',').all(known)) { Ok(()) } else { Err(Code::QueryForbidden) }
}

pub(super) fn by_id(ask: &Ask<'_>) -> Result<Rewritten, Code> {
    let place = ask.place()?;
    let mut pairs = query(ask, &["consistency_level", "include"])?;
    check_include(&pairs)?;
    pairs.push(("tenant", &place.namespace));
    Ok(Rewritten { path: Some(path(ask, &pairs)?), ..Rewritten::default() })
}

/// A list of one class; without it, all of them would be listed.
pub(super) fn list(ask: &Ask<'_>) -> Result<Rewritten, Code> {
    let place = ask.place()?;
    let mut pairs = query(ask, &["class", "limit", "offset", "after", "sort", "order", "include"])?;
    check_include(&pairs)?;
    let class = ask.query("class").ok_or(Code::NamespaceForbidden)?;
    let own = place.collection(class)?;
    pairs.retain(|(name, _)| *name != "class");
    pairs.push(("class", &own));
    pairs.push(("tenant", &place.namespace));
    let path = ask.path(ask.endpoint.template, &[], Some(&pairs));
    Ok(Rewritten { path: Some(path), ..Rewritten::default() })
}

/// Adds or removes one reference, or (PUT) replaces all of them.
pub(super) fn references(ask: &Ask<'_>) -> Result<Rewritten, Code> {
    let place = ask.place()?;
    let mut pairs = query(ask, &["consistency_level"])?;
    pairs.push(("tenant", &place.namespace));
    let path = path(ask, &pairs)?;
    let document = json::parse(ask.body).map_err(JsonError::code)?;
    let mut out = Vec::with_capacity(ask.body.len().saturating_add(32));
    match document.items().filter(|_| ask.endpoint.method == "PUT") {
        Some(items) => {
            let mut result = Ok(());
            write::array(&mut out, items, |out, item| {
                if let Err(code) = reference(out, place, item) {
                    result = Err(code);
                }
            });
            result?;
        }
        None if ask.endpoint.method == "PUT" => return Err(Code::FieldInvalid),
        None => reference(&mut out, place, &document)?,
    }
    Ok(Rewritten { body: Some(out), path: Some(path), ..Rewritten::default() })
}

//! Answers of the REST API.
//!
//! An object counts as the tenant's when its class is an allowed one, its native tenant (where it is told) the tenant's, and
//! its marker too. Class names and beacons leave as the client knows them; native tenant and marker do not leave.

use super::names::to_client;
use super::outcomes::outcome;
use crate::error::Code;
use crate::json::write::{self, Object};
use crate::json::{self, Str, Value};
use crate::rag::{Answer, Place, Tally, Verified};

type Member<'a> = (Str<'a>, Value<'a>);

pub(super) fn malformed<E>(_: E) -> Code {
    Code::UpstreamMalformed
}

pub(super) fn members<'m, 'a>(value: &'m Value<'a>) -> Result<&'m [Member<'a>], Code> {
    match value {
        Value::Object(members, _) => Ok(members),
        _ => Err(Code::UpstreamMalformed),
    }
}

pub(super) fn string<'v>(value: Option<&'v Value<'_>>) -> Option<std::borrow::Cow<'v, str>> {
    match value {
        Some(Value::String(text, _)) => Some(text.decode()),
        _ => None,
    }
}

/// Counts an object; whether it is the tenant's.
pub(super) fn owns(place: &Place<'_>, tally: &mut Tally, object: &Value<'_>) -> bool {
    let class = string(object.member("class")).is_some_and(|class| place.logical(&class).is_some());
    let tenant = object.member("tenant").is_none_or(|_| {
        string(object.member("tenant")).is_some_and(|tenant| tenant.is_empty() || tenant == place.namespace)
    });
    let marker = string(object.member("properties").and_then(|properties| properties.member(place.key())));
    let marked = marker.as_deref() == Some(place.namespace.as_str());
    let named = match string(object.member("tenant")) {
        Some(other) if !tenant => other,
        _ => marker.unwrap_or_default(),
    };
    tally.count(class && tenant && marked, &named)
}

/// Writes an object that is the tenant's.
pub(super) fn write_object(out: &mut Vec<u8>, answer: &Answer<'_>, tally: &mut Tally, members: &[Member<'_>]) {
    let place = answer.place;
    let mut object = Object::begin(out);
    for (key, value) in members {
        match (key.decode().as_ref(), value) {
            ("tenant", _) => {}
            ("class", Value::String(class, _)) => {
                let logical = place.logical(&class.decode()).unwrap_or_default();
                object.member("class", |out| write::string(out, logical));
            }
            ("properties", Value::Object(properties, _)) => object.member("properties", |out| {
                let mut inner = Object::begin(out);
                for (key, value) in properties {
                    let name = key.decode();
                    if name != place.key() {
                        inner.member(&name, |out| property(out, place, tally, value));
                    }
                }
                inner.end();
            }),
            ("result", result) => object.member("result", |out| outcome(out, answer, result)),
            (name, value) => object.raw(name, value.raw()),
        }
    }
    object.end();
}

/// Writes a property's value: references by the client's names, all else verbatim.
fn property(out: &mut Vec<u8>, place: &Place<'_>, tally: &mut Tally, value: &Value<'_>) {
    let list = value.items().filter(|items| items.iter().any(|item| item.member("beacon").is_some()));
    let Some(items) = list else { return out.extend_from_slice(value.raw()) };
    let mut kept = Vec::with_capacity(items.len());
    for item in items {
        let beacon = string(item.member("beacon"));
        match beacon.as_deref().and_then(|beacon| to_client(place, beacon, false)) {
            Some(beacon) => kept.push(beacon),
            // A reference that leads out of the tenant's classes says that there is something.
            None => drop(tally.count(false, beacon.as_deref().unwrap_or_default())),
        }
    }
    write::array(out, &kept, |out, beacon| {
        let mut object = Object::begin(out);
        object.member("beacon", |out| write::string(out, beacon));
        if let Some(object_path) = beacon.strip_prefix("weaviate://localhost/") {
            object.member("href", |out| write::string(out, &format!("/v1/objects/{object_path}")));
        }
        object.end();
    });
}

pub(super) fn done(body: Vec<u8>, tally: Tally) -> Verified {
    Verified { body: Some(body), tally, ..Verified::default() }
}

/// One object: another's is not found.
pub(super) fn object(answer: &Answer<'_>) -> Result<Verified, Code> {
    let document = json::parse(answer.body).map_err(malformed)?;
    let members = members(&document)?;
    let mut tally = Tally::default();
    let mut out = Vec::with_capacity(answer.body.len());
    if owns(answer.place, &mut tally, &document) {
        write_object(&mut out, answer, &mut tally, members);
        return Ok(done(out, tally));
    }
    let mut error = Object::begin(&mut out);
    error.member("error", |out| {
        write::array(out, [Code::NotFound.message()], |out, message| {
            let mut one = Object::begin(out);
            one.member("message", |out| write::string(out, message));
            one.end();
        });
    });
    error.end();
    Ok(Verified { status: Some(404), ..done(out, tally) })
}

/// The objects of a list.
pub(super) fn list(answer: &Answer<'_>) -> Result<Verified, Code> {
    let document = json::parse(answer.body).map_err(malformed)?;
    let mut tally = Tally::default();
    let mut out = Vec::with_capacity(answer.body.len());
    let mut object = Object::begin(&mut out);
    let mut count = 0usize;
    for (key, value) in members(&document)? {
        match key.decode().as_ref() {
            "objects" if value.is_null() => object.raw("objects", b"[]"),
            "objects" => {
                let items = value.items().ok_or(Code::UpstreamMalformed)?;
                let mut kept = Vec::new();
                for item in items {
                    let members = members(item)?;
                    if owns(answer.place, &mut tally, item) {
                        kept.push(members);
                    }
                }
                count = kept.len();
                object.member("objects", |out| {
                    write::array(out, kept, |out, members| write_object(out, answer, &mut tally, members));
                });
            }
            // What is left, not what there was.
            "totalResults" => {}
            _ => {}
        }
    }
    object.member("totalResults", |out| out.extend_from_slice(count.to_string().as_bytes()));
    object.end();
    Ok(done(out, tally))
}

//! Classes, tenants, beacons and property names, between a client and the backend.

use crate::error::Code;
use crate::rag::{Ask, Place};

/// Whether a property's name is the marker's. Weaviate lowers a name's first letter.
pub(super) fn is_marker(place: &Place<'_>, name: &str) -> bool {
    name.eq_ignore_ascii_case(place.key())
}

/// The tenant that a client names must be none, or its own.
pub(super) fn own_tenant(place: &Place<'_>, named: Option<&str>) -> Result<(), Code> {
    if named.is_none_or(|name| name.is_empty() || name == place.namespace) {
        Ok(())
    } else {
        Err(Code::NamespaceForbidden)
    }
}

/// Whether a text is a UUID's spelling.
pub(super) fn is_uuid(text: &str) -> bool {
    text.len() == 36 && text.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-')
}

/// The query without the tenant, each parameter known and once.
pub(super) fn query<'a>(ask: &Ask<'a>, known: &[&str]) -> Result<Vec<(&'a str, &'a str)>, Code> {
    let mut pairs: Vec<(&str, &str)> = Vec::new();
    let mut tenants = ask.query.iter().filter(|(name, _)| name == "tenant");
    let tenant = tenants.next().map(|(_, value)| value.as_str());
    if tenants.next().is_some() {
        return Err(Code::QueryForbidden);
    }
    own_tenant(ask.place()?, tenant)?;
    for (name, value) in ask.query.iter().filter(|(name, _)| name != "tenant") {
        if !known.contains(&name.as_str()) || pairs.iter().any(|(seen, _)| seen == name) {
            return Err(Code::QueryForbidden);
        }
        pairs.push((name, value));
    }
    Ok(pairs)
}

/// `weaviate://localhost/CLASS/UUID`, with `/PROPERTY` where a reference begins.
struct Beacon<'t> {
    class: &'t str,
    rest: &'t str,
}

fn beacon(text: &str, property: bool) -> Option<Beacon<'_>> {
    let (class, rest) = text.strip_prefix("weaviate://localhost/")?.split_once('/')?;
    let id = if property {
        let (id, name) = rest.split_once('/')?;
        let plain = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        plain.then_some(id)?
    } else {
        rest
    };
    is_uuid(id).then_some(Beacon { class, rest })
}

/// A client's beacon as the backend knows it. One without a class could be of any.
pub(super) fn to_backend(place: &Place<'_>, text: &str, property: bool) -> Result<String, Code> {
    let beacon = beacon(text, property).ok_or(Code::FieldInvalid)?;
    Ok(format!("weaviate://localhost/{}/{}", place.collection(beacon.class)?, beacon.rest))
}

/// A beacon of the backend as the client knows it; `None` when its class is not the tenant's.
pub(super) fn to_client(place: &Place<'_>, text: &str, property: bool) -> Option<String> {
    let beacon = beacon(text, property)?;
    Some(format!("weaviate://localhost/{}/{}", place.logical(beacon.class)?, beacon.rest))
}

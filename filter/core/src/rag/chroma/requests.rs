//! Requests.

use crate::error::Code;
use crate::json::write::{self, Object};
use crate::json::{Str, Value};
use crate::rag::document::{find, members, scoped_ids, strings};
use crate::rag::{Ask, Call, Memo, Place, Rewritten};
use crate::snapshot::wire::Strategy;

/// The path as the backend knows it: the configured tenant, the tenant's database, an allowed collection's own name, a
/// sealed UUID opened.
fn path(ask: &Ask<'_>, template: &str, query: Option<&[(&str, &str)]>) -> Result<String, Code> {
    let place = ask.place()?;
    let names = ask.endpoint.template.split('/').filter(|part| part.starts_with('{'));
    let mut values = Vec::new();
    for (name, value) in names.zip(ask.parameters) {
        values.push(match name {
            "{tenant}" if *value == place.rag().chroma_tenant => value.clone(),
            "{database}" if *value == place.rag().database => place.database.clone(),
            "{name}" => place.collection(value)?,
            "{collection_id}" => write_uuid(place.open(read_uuid(value).ok_or(Code::NamespaceForbidden)?)),
            _ => return Err(Code::NamespaceForbidden),
        });
    }
    let values: Vec<&str> = values.iter().map(String::as_str).collect();
    Ok(ask.path(template, &values, query))
}

/// Reads a UUID in its canonical spelling.
pub(super) fn read_uuid(text: &str) -> Option<[u8; 16]> {
    let canonical = text.len() == 36
        && text.bytes().enumerate().all(|(at, b)| match at {
            8 | 13 | 18 | 23 => b == b'-',
            _ => b.is_ascii_digit() || (b'a'..=b'f').contains(&b),
        });
    let digits: String = text.chars().filter(|c| *c != '-').collect();
    if canonical { u128::from_str_radix(&digits, 16).ok().map(u128::to_be_bytes) } else { None }
}

/// Writes a UUID in its canonical spelling.
pub(super) fn write_uuid(id: [u8; 16]) -> String {
    let mut out = String::with_capacity(36);
    for (at, byte) in id.iter().enumerate() {
        if matches!(at, 4 | 6 | 8 | 10) {
            out.push('-');
        }
        out.push_str(&hex::encode([*byte]));
    }
    out
}

fn same_path(ask: &Ask<'_>) -> Result<Option<String>, Code> {
    path(ask, ask.endpoint.template, None).map(Some)
}

pub(super) fn place(ask: &Ask<'_>) -> Result<Rewritten, Code> {
    Ok(Rewritten { path: same_path(ask)?, ..Rewritten::default() })
}

/// The whole list is asked for: the page is cut after foreign collections are gone.
pub(super) fn list(ask: &Ask<'_>) -> Result<Rewritten, Code> {
    let number = |name| match ask.query(name) {
        None => Ok(String::new()),
        Some(text) if text.parse::<usize>().is_ok() => Ok(text.to_owned()),
        Some(_) => Err(Code::QueryForbidden),
    };
    let names = vec![number("offset")?, number("limit")?];
    let path = path(ask, ask.endpoint.template, Some(&[]))?;
    Ok(Rewritten { path: Some(path), memo: Memo { names, ..Memo::default() }, ..Rewritten::default() })
}

pub(super) fn count_collections(ask: &Ask<'_>) -> Result<Rewritten, Code> {
    let path = path(ask, "/api/v2/tenants/{tenant}/databases/{database}/collections", Some(&[]))?;
    Ok(Rewritten { path: Some(path), ..Rewritten::default() })
}

/// A tenant may delete a collection that is its own alone.
pub(super) fn delete_collection(ask: &Ask<'_>) -> Result<Rewritten, Code> {
    let own = ask.place()?;
    if !own.rag().create || own.strategy == Strategy::Namespace {
        return Err(Code::NamespaceForbidden);
    }
    place(ask)
}

/// Writes the forced condition around the client's.
fn forced_where(out: &mut Vec<u8>, place: &Place<'_>, client: Option<&Value<'_>>) {
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

/// A client's condition: an object, or nothing. `#id` inside would name ids as the backend knows them.
fn condition<'m, 'a>(members: &'m [(Str<'a>, Value<'a>)], name: &str) -> Result<Option<&'m Value<'a>>, Code> {
    match find(members, name) {
        None => Ok(None),
        Some(value @ Value::Object(..)) if !names_ids(value) => Ok(Some(value)),
        Some(_) => Err(Code::FieldInvalid),
    }
}

fn names_ids(value: &Value<'_>) -> bool {
    match value {
        Value::Object(members, _) => {
            members.iter().any(|(key, value)| key.decode().starts_with('#') || names_ids(value))
        }
        Value::Array(items, _) => items.iter().any(names_ids),
        _ => false,
    }
}

pub(super) fn query(ask: &Ask<'_>) -> Result<Rewritten, Code> {
    read(ask, &["query_embeddings", "n_results", "where", "where_document", "ids", "include"])
}

pub(super) fn get(ask: &Ask<'_>) -> Result<Rewritten, Code> {
    read(ask, &["ids", "where", "where_document", "limit", "offset", "include"])
}

/// The number of records is that of a `get` of everything that is the tenant's. Without embeddings and documents, but with the
/// metadata, so that each can be verified.
pub(super) fn count(ask: &Ask<'_>) -> Result<Rewritten, Code> {
    let place = ask.place()?;
    let template = "/api/v2/tenants/{tenant}/databases/{database}/collections/{collection_id}/get";
    let path = path(ask, template, Some(&[]))?;
    let mut body = Vec::new();
    let mut object = Object::begin(&mut body);
    object.member("where", |out| forced_where(out, place, None));
    object.raw("include", b"[\"metadatas\"]");
    object.end();
    Ok(Rewritten { body: Some(body), call: Some(Call { method: "POST", path }), ..Rewritten::default() })
}

fn read(ask: &Ask<'_>, known: &[&str]) -> Result<Rewritten, Code> {
    let place = ask.place()?;
    let body = ask.body;
    let members = members(body, known)?;
    let client = condition(&members, "where")?;
    condition(&members, "where_document")?;
    let ids = strings(&members, "ids")?;
    let include = strings(&members, "include")?;
    let asked = include.as_ref().map(|fields| fields.iter().any(|field| field.decode() == "metadatas"));
    let mut out = Vec::with_capacity(body.len().saturating_add(256));
    let mut object = Object::begin(&mut out);
    for (key, value) in &members {
        match key.decode().as_ref() {
            "where" | "ids" | "include" => {}
            name => object.raw(name, value.raw()),
        }
    }
    object.member("where", |out| forced_where(out, place, client));
    if let Some(ids) = &ids {
        object.member("ids", |out| scoped_ids(out, &place.prefix(), ids));
    }
    // Without `include` Chroma's own default has the metadata.
    if let Some(fields) = &include {
        object.member("include", |out| {
            let wanted = fields.iter().map(|field| field.decode().into_owned());
            let forced = (asked == Some(false)).then(|| "metadatas".to_owned());
            write::array(out, wanted.chain(forced), |out, field| write::string(out, &field));
        });
    }
    object.end();
    let include = find(&members, "include").map(|value| value.raw().to_vec());
    let memo = Memo { hide: asked == Some(false), echo: include, names: Vec::new() };
    Ok(Rewritten { body: Some(out), path: same_path(ask)?, memo, ..Rewritten::default() })
}

pub(super) fn delete(ask: &Ask<'_>) -> Result<Rewritten, Code> {
    let place = ask.place()?;
    let body = ask.body;
    let members = members(body, &["ids", "where", "where_document", "limit"])?;
    let client = condition(&members, "where")?;
    let document = condition(&members, "where_document")?;
    let ids = strings(&members, "ids")?;
    // Alone, our condition would delete the whole namespace: that is not what an empty request says.
    if client.is_none() && document.is_none() && ids.as_ref().is_none_or(Vec::is_empty) {
        return Err(Code::FieldInvalid);
    }
    let mut out = Vec::with_capacity(body.len().saturating_add(128));
    let mut object = Object::begin(&mut out);
    for (key, value) in &members {
        match key.decode().as_ref() {
            "where" | "ids" => {}
            name => object.raw(name, value.raw()),
        }
    }
    object.member("where", |out| forced_where(out, place, client));
    if let Some(ids) = &ids {
        object.member("ids", |out| scoped_ids(out, &place.prefix(), ids));
    }
    object.end();
    Ok(Rewritten { body: Some(out), path: same_path(ask)?, ..Rewritten::default() })
}

pub(super) fn write(ask: &Ask<'_>) -> Result<Rewritten, Code> {
    let place = ask.place()?;
    let body = ask.body;
    let members = members(body, &["ids", "embeddings", "documents", "uris", "metadatas"])?;
    let ids = strings(&members, "ids")?.ok_or(Code::FieldInvalid)?;
    let metadatas = match find(&members, "metadatas") {
        None => None,
        Some(value) => Some(value.items().filter(|items| items.len() == ids.len()).ok_or(Code::FieldInvalid)?),
    };
    let mut out = Vec::with_capacity(body.len().saturating_add(ids.len().saturating_mul(64)));
    let mut object = Object::begin(&mut out);
    for (key, value) in &members {
        match key.decode().as_ref() {
            "ids" | "metadatas" => {}
            name => object.raw(name, value.raw()),
        }
    }
    object.member("ids", |out| scoped_ids(out, &place.prefix(), &ids));
    let mut bad = false;
    object.member("metadatas", |out| {
        write::array(out, 0..ids.len(), |out, index| {
            let mut metadata = Object::begin(out);
            match metadatas.and_then(|items| items.get(index)) {
                None | Some(Value::Null) => {}
                Some(Value::Object(fields, _)) => {
                    for (key, value) in fields {
                        let key = key.decode();
                        if key != place.key() {
                            metadata.raw(&key, value.raw());
                        }
                    }
                }
                Some(_) => bad = true,
            }
            metadata.member(place.key(), |out| write::string(out, &place.namespace));
            metadata.end();
        });
    });
    object.end();
    if bad {
        return Err(Code::FieldInvalid);
    }
    Ok(Rewritten { body: Some(out), path: same_path(ask)?, ..Rewritten::default() })
}

pub(super) fn create(ask: &Ask<'_>) -> Result<Rewritten, Code> {
    let place = ask.place()?;
    let members = members(ask.body, &["name", "metadata", "configuration", "schema", "get_or_create"])?;
    let Some(Value::String(name, _)) = find(&members, "name") else { return Err(Code::FieldInvalid) };
    if !place.rag().create {
        return Err(Code::NamespaceForbidden);
    }
    let own = place.collection(&name.decode())?;
    let mut out = Vec::with_capacity(ask.body.len().saturating_add(128));
    let mut object = Object::begin(&mut out);
    for (key, value) in &members {
        match key.decode().as_ref() {
            "name" => object.member("name", |out| write::string(out, &own)),
            name => object.raw(name, value.raw()),
        }
    }
    object.end();
    Ok(Rewritten { body: Some(out), path: same_path(ask)?, ..Rewritten::default() })
}

//! Chroma, strategy `namespace`: requests.
//!
//! - `where` becomes `{"$and":[{KEY:{"$eq":NAMESPACE}}, <the client's, whole>]}`, whatever it was; so nothing inside the
//!   client's part can widen the result.
//! - Record ids become `TENANT:id`: an upsert has no condition, and a free id would overwrite a foreign record.
//! - The marker is ours: set in every metadata that is written, over the client's.
//! - A top-level field that the endpoint does not have is refused: it may be a filter that we do not know.

use super::{Memo, Rewritten};
use crate::error::Code;
use crate::json::write::{self, Object};
use crate::json::{self, JsonError, Str, Value};
use crate::snapshot::wire::Chroma;
use crate::surface::{RequestRule, Route};
use crate::tenant::TenantId;

/// A document's members.
type Members<'a> = Vec<(Str<'a>, Value<'a>)>;

pub(super) fn place(route: &Route) -> Result<&Chroma, Code> {
    route.surface.chroma.as_ref().ok_or(Code::Internal)
}

/// The tenant's namespace.
pub(super) fn namespace(place: &Chroma, tenant: &TenantId) -> String {
    place.namespace_format.replace("{tenant_id}", tenant.as_str())
}

/// Tenant and database of the path are the configured ones, names are allowed ones, ids are UUIDs.
pub(super) fn check_place(route: &Route) -> Result<(), Code> {
    let place = place(route)?;
    let template = route.endpoint.template.split('/').filter(|part| part.starts_with('{'));
    for (name, value) in template.zip(&route.parameters) {
        let allowed = match name {
            "{tenant}" => *value == place.tenant,
            "{database}" => *value == place.database,
            "{name}" => place.collections.contains(value),
            _ => is_uuid(value),
        };
        if !allowed {
            return Err(Code::NamespaceForbidden);
        }
    }
    Ok(())
}

fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, b)| match at {
            8 | 13 | 18 | 23 => b == b'-',
            _ => b.is_ascii_digit() || (b'a'..=b'f').contains(&b),
        })
}

fn members<'a>(body: &'a [u8], known: &[&str]) -> Result<Members<'a>, Code> {
    let Value::Object(members, _) = json::parse(body).map_err(JsonError::code)? else { return Err(Code::FieldInvalid) };
    if members.iter().all(|(key, _)| known.contains(&key.decode().as_ref())) {
        Ok(members)
    } else {
        Err(Code::FieldUnknown)
    }
}

fn find<'m, 'a>(members: &'m Members<'a>, name: &str) -> Option<&'m Value<'a>> {
    members.iter().find(|(key, _)| key.decode() == name).map(|(_, value)| value).filter(|value| !value.is_null())
}

/// A list of strings; `None` when absent or null.
fn strings<'m, 'a>(members: &'m Members<'a>, name: &str) -> Result<Option<Vec<&'m Str<'a>>>, Code> {
    let Some(value) = find(members, name) else { return Ok(None) };
    let items = value.items().ok_or(Code::FieldInvalid)?;
    let strings = items.iter().map(|item| match item {
        Value::String(text, _) => Ok(text),
        _ => Err(Code::FieldInvalid),
    });
    strings.collect::<Result<_, _>>().map(Some)
}

/// Writes ids under the tenant's prefix.
fn scoped_ids(out: &mut Vec<u8>, tenant: &TenantId, ids: &[&Str<'_>]) {
    write::array(out, ids, |out, id| {
        out.push(b'"');
        out.extend_from_slice(tenant.as_str().as_bytes());
        out.push(b':');
        out.extend_from_slice(id.raw());
        out.push(b'"');
    });
}

/// Writes the forced condition around the client's.
fn forced_where(out: &mut Vec<u8>, place: &Chroma, namespace: &str, client: Option<&Value<'_>>) {
    let ours = |out: &mut Vec<u8>| {
        let mut condition = Object::begin(out);
        condition.member(&place.namespace_key, |out| {
            let mut equals = Object::begin(out);
            equals.member("$eq", |out| write::string(out, namespace));
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
fn condition<'m, 'a>(members: &'m Members<'a>, name: &str) -> Result<Option<&'m Value<'a>>, Code> {
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

pub(super) fn read(route: &Route, tenant: &TenantId, body: &[u8]) -> Result<Rewritten, Code> {
    let place = place(route)?;
    let namespace = namespace(place, tenant);
    let known: &[&str] = match route.endpoint.request {
        RequestRule::ChromaQuery => &["query_embeddings", "n_results", "where", "where_document", "ids", "include"],
        _ => &["ids", "where", "where_document", "limit", "offset", "include"],
    };
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
    object.member("where", |out| forced_where(out, place, &namespace, client));
    if let Some(ids) = &ids {
        object.member("ids", |out| scoped_ids(out, tenant, ids));
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
    Ok(Rewritten { body: Some(out), path: None, memo: Memo { hide_metadatas: asked == Some(false), include } })
}

pub(super) fn delete(route: &Route, tenant: &TenantId, body: &[u8]) -> Result<Rewritten, Code> {
    let place = place(route)?;
    let namespace = namespace(place, tenant);
    let members = members(body, &["ids", "where", "where_document", "limit"])?;
    let client = condition(&members, "where")?;
    let document = condition(&members, "where_document")?;
    let ids = strings(&members, "ids")?;
    // Alone, our condition would delete the whole namespace: that is not what an empty request says.
    if client.is_none() && ids.is_none() && document.is_none() {
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
    object.member("where", |out| forced_where(out, place, &namespace, client));
    if let Some(ids) = &ids {
        object.member("ids", |out| scoped_ids(out, tenant, ids));
    }
    object.end();
    Ok(Rewritten { body: Some(out), ..Rewritten::default() })
}

pub(super) fn write(route: &Route, tenant: &TenantId, body: &[u8]) -> Result<Rewritten, Code> {
    let place = place(route)?;
    let namespace = namespace(place, tenant);
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
    object.member("ids", |out| scoped_ids(out, tenant, &ids));
    let mut bad = false;
    object.member("metadatas", |out| {
        write::array(out, 0..ids.len(), |out, index| {
            let mut metadata = Object::begin(out);
            match metadatas.and_then(|items| items.get(index)) {
                None | Some(Value::Null) => {}
                Some(Value::Object(fields, _)) => {
                    for (key, value) in fields {
                        let key = key.decode();
                        if key != place.namespace_key {
                            metadata.raw(&key, value.raw());
                        }
                    }
                }
                Some(_) => bad = true,
            }
            metadata.member(&place.namespace_key, |out| write::string(out, &namespace));
            metadata.end();
        });
    });
    object.end();
    if bad { Err(Code::FieldInvalid) } else { Ok(Rewritten { body: Some(out), ..Rewritten::default() }) }
}

pub(super) fn create(route: &Route, body: &[u8]) -> Result<Rewritten, Code> {
    let place = place(route)?;
    let members = members(body, &["name", "metadata", "configuration", "schema", "get_or_create"])?;
    let Some(Value::String(name, _)) = find(&members, "name") else { return Err(Code::FieldInvalid) };
    if !place.create || !place.collections.iter().any(|allowed| *allowed == name.decode()) {
        return Err(Code::NamespaceForbidden);
    }
    Ok(Rewritten::default())
}

//! Collections: what a tenant may ask of its own, and make where the policy lets it.

use super::{Body, rewritten, text};
use crate::error::Code;
use crate::json::write::{self, Object};
use crate::json::{Str, Value};
use crate::rag::document::{find, object, only};
use crate::rag::{Ask, Rewritten};
use crate::snapshot::wire::Strategy;

/// `has`, `describe`, `load`, `get_load_state`: the name is all.
pub(super) fn named(ask: &Ask<'_>) -> Result<Rewritten, Code> {
    let body = Body::read(ask, &[])?;
    let mut out = Vec::new();
    body.begin(&mut out).end();
    Ok(rewritten(ask, out))
}

pub(super) fn list(ask: &Ask<'_>) -> Result<Rewritten, Code> {
    let body = Body::anywhere(ask, &[])?;
    let mut out = Vec::new();
    let mut object = Object::begin(&mut out);
    let database = &body.place.database;
    object.member("dbName", |out| write::string(out, if database.is_empty() { "default" } else { database }));
    object.end();
    Ok(rewritten(ask, out))
}

/// A tenant may drop a collection that is its own alone.
pub(super) fn delete(ask: &Ask<'_>) -> Result<Rewritten, Code> {
    let place = ask.place()?;
    if !place.rag().create || place.strategy == Strategy::Namespace {
        return Err(Code::NamespaceForbidden);
    }
    named(ask)
}

/// An allowed name, with the policy's primary key, and with a field for the marker.
pub(super) fn create(ask: &Ask<'_>) -> Result<Rewritten, Code> {
    let body = Body::read(
        ask,
        &[
            "dimension",
            "metricType",
            "idType",
            "autoID",
            "primaryFieldName",
            "vectorFieldName",
            "schema",
            "indexParams",
            "params",
            "description",
        ],
    )?;
    let rag = body.place.rag();
    if !rag.create {
        return Err(Code::NamespaceForbidden);
    }
    let schema = body.find("schema");
    let primary = body.text("primaryFieldName")?.map(Str::decode);
    // Without a schema Milvus makes one, with a dynamic field, which holds the marker.
    if schema.is_none() && primary.as_deref().unwrap_or("id") != rag.id_field {
        return Err(Code::FieldInvalid);
    }
    let mut out = Vec::with_capacity(ask.body.len().saturating_add(128));
    let mut object = body.begin(&mut out);
    let mut result = Ok(());
    for (key, value) in &body.members {
        match key.decode().as_ref() {
            name if super::WHERE.contains(&name) => {}
            "schema" if !value.is_null() => {
                object.member("schema", |out| result = write_schema(out, &body, value));
            }
            "params" if schema.is_none() && disables_dynamic(value) => return Err(Code::FieldInvalid),
            name => object.raw(name, value.raw()),
        }
    }
    object.end();
    result?;
    Ok(rewritten(ask, out))
}

fn disables_dynamic(params: &Value<'_>) -> bool {
    params.member("enableDynamicField").is_some_and(|value| !matches!(value, Value::Bool(true)))
}

const FIELD: &[&str] = &[
    "fieldName",
    "dataType",
    "elementDataType",
    "isPrimary",
    "isPartitionKey",
    "isClusteringKey",
    "elementTypeParams",
    "nullable",
    "defaultValue",
    "description",
    "autoID",
    "multiAnalyzerParam",
];

/// Go reads names whatever their case, so a schema has these members and no other.
fn write_schema(out: &mut Vec<u8>, body: &Body<'_>, schema: &Value<'_>) -> Result<(), Code> {
    let (marker, rag) = (body.place.key(), body.place.rag());
    let members = object(schema)?;
    only(
        members,
        &["fields", "functions", "autoID", "autoId", "enableDynamicField", "enabledDynamicField", "description"],
    )?;
    let fields =
        find(members, "fields").and_then(Value::items).filter(|all| !all.is_empty()).ok_or(Code::FieldInvalid)?;
    let mut primary = 0usize;
    for field in fields {
        let field = object(field)?;
        only(field, FIELD)?;
        let name = text(field, "fieldName")?.ok_or(Code::FieldInvalid)?.decode();
        let is_primary = matches!(find(field, "isPrimary"), Some(Value::Bool(true)));
        if name == marker || is_primary != (name == rag.id_field) {
            return Err(Code::FieldInvalid);
        }
        primary = primary.saturating_add(usize::from(is_primary));
    }
    if primary != 1 {
        return Err(Code::FieldInvalid);
    }
    if let Some(functions) = find(members, "functions") {
        let bm25 = |function: &Value<'_>| {
            let Ok(function) = object(function) else { return false };
            only(function, &["name", "description", "type", "inputFieldNames", "outputFieldNames", "params"]).is_ok()
                && matches!(text(function, "type"), Ok(Some(kind)) if kind.decode() == "BM25")
        };
        // Others call models at addresses that the client would choose.
        if !functions.items().is_some_and(|all| all.iter().all(bm25)) {
            return Err(Code::FieldInvalid);
        }
    }
    let mut object = Object::begin(out);
    for (key, value) in members {
        match key.decode().as_ref() {
            "fields" => object.member("fields", |out| {
                write::array(out, fields.iter().map(Some).chain([None]), |out, field| match field {
                    Some(field) => out.extend_from_slice(field.raw()),
                    None => write_marker(out, marker),
                });
            }),
            name => object.raw(name, value.raw()),
        }
    }
    object.end();
    Ok(())
}

fn write_marker(out: &mut Vec<u8>, marker: &str) {
    let mut object = Object::begin(out);
    object.member("fieldName", |out| write::string(out, marker));
    object.raw("dataType", b"\"VarChar\"");
    object.raw("elementTypeParams", b"{\"max_length\":256}");
    object.end();
}

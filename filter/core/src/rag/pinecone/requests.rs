//! Requests on vectors and on the index.

use super::fields::{self, Is, SPARSE, condition, copy, forced, inside, marked, own_namespace};
use crate::error::Code;
use crate::json::Value;
use crate::json::write::{self, Object};
use crate::rag::document::{find, object};
use crate::rag::{Ask, Memo, Rewritten};

const VECTOR: &[(&str, Is)] =
    &[("id", Is::Text), ("values", Is::Vector), ("sparseValues", Is::Object), ("metadata", Is::Object)];

pub(super) fn query(ask: &Ask<'_>) -> Result<Rewritten, Code> {
    let place = ask.place()?;
    let members = fields::body(
        ask.body,
        &[
            ("namespace", Is::Text),
            ("topK", Is::Number),
            ("filter", Is::Object),
            ("includeValues", Is::Flag),
            ("includeMetadata", Is::Flag),
            ("vector", Is::Vector),
            ("sparseVector", Is::Object),
            ("id", Is::Text),
            ("scanFactor", Is::Number),
            ("maxCandidates", Is::Number),
        ],
    )?;
    inside(&members, "sparseVector", SPARSE)?;
    let echo = own_namespace(&members)?;
    let asked = matches!(find(&members, "includeMetadata"), Some(Value::Bool(true)));
    let mut out = Vec::with_capacity(ask.body.len().saturating_add(192));
    let mut body = Object::begin(&mut out);
    copy(&mut body, &members, &["namespace", "filter", "includeMetadata"]);
    body.member("namespace", |out| write::string(out, &place.namespace));
    body.member("filter", |out| forced(out, place, condition(&members)));
    body.raw("includeMetadata", b"true");
    body.end();
    let memo = Memo { hide: !asked, echo: Some(echo), ..Memo::default() };
    Ok(Rewritten { body: Some(out), memo, ..Rewritten::default() })
}

pub(super) fn upsert(ask: &Ask<'_>) -> Result<Rewritten, Code> {
    let place = ask.place()?;
    let members = fields::body(ask.body, &[("namespace", Is::Text), ("vectors", Is::List)])?;
    own_namespace(&members)?;
    let vectors = find(&members, "vectors").and_then(Value::items).ok_or(Code::FieldInvalid)?;
    for vector in vectors {
        let vector = object(vector)?;
        fields::check(vector, VECTOR)?;
        inside(vector, "sparseValues", SPARSE)?;
        find(vector, "id").ok_or(Code::FieldInvalid)?;
    }
    let mut out = Vec::with_capacity(ask.body.len().saturating_add(vectors.len().saturating_mul(64)));
    let mut body = Object::begin(&mut out);
    body.member("namespace", |out| write::string(out, &place.namespace));
    body.member("vectors", |out| {
        write::array(out, vectors, |out, vector| {
            let vector = object(vector).unwrap_or_default();
            let mut record = Object::begin(out);
            copy(&mut record, vector, &["metadata"]);
            let metadata = find(vector, "metadata").and_then(|value| object(value).ok()).unwrap_or_default();
            record.member("metadata", |out| marked(out, place, metadata));
            record.end();
        });
    });
    body.end();
    Ok(Rewritten { body: Some(out), ..Rewritten::default() })
}

/// By id (the namespace holds it apart) or by filter. The marker is left as it is: an update that set it would take a
/// stray record in.
pub(super) fn update(ask: &Ask<'_>) -> Result<Rewritten, Code> {
    let place = ask.place()?;
    let members = fields::body(
        ask.body,
        &[
            ("namespace", Is::Text),
            ("id", Is::Text),
            ("values", Is::Vector),
            ("sparseValues", Is::Object),
            ("setMetadata", Is::Object),
            ("filter", Is::Object),
            ("dryRun", Is::Flag),
        ],
    )?;
    inside(&members, "sparseValues", SPARSE)?;
    own_namespace(&members)?;
    let filter = condition(&members);
    // One way to name the records, not both; alone, our condition would name all of them.
    if find(&members, "id").is_some() == filter.is_some() {
        return Err(Code::FieldInvalid);
    }
    let mut out = Vec::with_capacity(ask.body.len().saturating_add(128));
    let mut body = Object::begin(&mut out);
    copy(&mut body, &members, &["namespace", "filter", "setMetadata"]);
    body.member("namespace", |out| write::string(out, &place.namespace));
    if let Some(Value::Object(metadata, _)) = find(&members, "setMetadata") {
        body.member("setMetadata", |out| {
            let mut set = Object::begin(out);
            copy(&mut set, metadata, &[place.key()]);
            set.end();
        });
    }
    if filter.is_some() {
        body.member("filter", |out| forced(out, place, filter));
    }
    body.end();
    Ok(Rewritten { body: Some(out), ..Rewritten::default() })
}

/// By ids (the namespace holds them apart), by filter, or all of the tenant's namespace.
pub(super) fn delete(ask: &Ask<'_>) -> Result<Rewritten, Code> {
    let place = ask.place()?;
    let members = fields::body(
        ask.body,
        &[("namespace", Is::Text), ("ids", Is::Texts), ("deleteAll", Is::Flag), ("filter", Is::Object)],
    )?;
    own_namespace(&members)?;
    let filter = condition(&members);
    let all = matches!(find(&members, "deleteAll"), Some(Value::Bool(true)));
    let named = find(&members, "ids").is_some();
    if [filter.is_some(), all, named].iter().filter(|said| **said).count() != 1 {
        return Err(Code::FieldInvalid);
    }
    let mut out = Vec::with_capacity(ask.body.len().saturating_add(128));
    let mut body = Object::begin(&mut out);
    copy(&mut body, &members, &["namespace", "filter"]);
    body.member("namespace", |out| write::string(out, &place.namespace));
    if filter.is_some() {
        body.member("filter", |out| forced(out, place, filter));
    }
    body.end();
    Ok(Rewritten { body: Some(out), ..Rewritten::default() })
}

pub(super) fn fetch_by_metadata(ask: &Ask<'_>) -> Result<Rewritten, Code> {
    let place = ask.place()?;
    let members = fields::body(
        ask.body,
        &[("namespace", Is::Text), ("filter", Is::Object), ("limit", Is::Number), ("paginationToken", Is::Text)],
    )?;
    let echo = own_namespace(&members)?;
    let filter = condition(&members).ok_or(Code::FieldInvalid)?;
    let mut out = Vec::with_capacity(ask.body.len().saturating_add(128));
    let mut body = Object::begin(&mut out);
    copy(&mut body, &members, &["namespace", "filter"]);
    body.member("namespace", |out| write::string(out, &place.namespace));
    body.member("filter", |out| forced(out, place, Some(filter)));
    body.end();
    let memo = Memo { echo: Some(echo), ..Memo::default() };
    Ok(Rewritten { body: Some(out), memo, ..Rewritten::default() })
}

pub(super) fn fetch(ask: &Ask<'_>) -> Result<Rewritten, Code> {
    if ask.query("ids").is_none() {
        return Err(Code::FieldInvalid);
    }
    by_query(ask, &["ids"], &[])
}

pub(super) fn list(ask: &Ask<'_>) -> Result<Rewritten, Code> {
    by_query(ask, &[], &["prefix", "limit", "paginationToken"])
}

/// The query anew, with the tenant's namespace: some parameters may be repeated, others stand once.
fn by_query(ask: &Ask<'_>, many: &[&str], once: &[&str]) -> Result<Rewritten, Code> {
    let place = ask.place()?;
    let mut seen: Vec<&str> = Vec::new();
    let mut pairs: Vec<(&str, &str)> = Vec::new();
    for (name, value) in ask.query {
        let name = name.as_str();
        let fresh = (name == "namespace" || once.contains(&name)) && !seen.contains(&name);
        match (many.contains(&name), fresh) {
            (true, _) => {}
            (false, true) => seen.push(name),
            (false, false) => return Err(Code::QueryForbidden),
        }
        if name != "namespace" {
            pairs.push((name, value));
        }
    }
    let echo = fields::namespace(ask.query("namespace"))?;
    pairs.push(("namespace", &place.namespace));
    let path = ask.path(ask.endpoint.template, &[], Some(&pairs));
    let memo = Memo { echo: Some(echo), ..Memo::default() };
    Ok(Rewritten { path: Some(path), memo, ..Rewritten::default() })
}

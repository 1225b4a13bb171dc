//! Requests on many objects at once.

use super::filters;
use super::names::{own_tenant, query, to_backend};
use super::objects::{put, text};
use crate::error::Code;
use crate::json::write::{self, Object};
use crate::json::{self, JsonError};
use crate::rag::document::{find, members, object, only, strings};
use crate::rag::{Ask, Memo, Rewritten};

pub(super) fn objects(ask: &Ask<'_>) -> Result<Rewritten, Code> {
    let place = ask.place()?;
    let pairs = query(ask, &["consistency_level"])?;
    let members = members(ask.body, &["fields", "objects"])?;
    // The answer must have all of an object, its marker too.
    if strings(&members, "fields")?.is_some_and(|fields| fields.iter().any(|field| field.decode() != "ALL")) {
        return Err(Code::FieldInvalid);
    }
    let items = find(&members, "objects").and_then(|value| value.items()).ok_or(Code::FieldInvalid)?;
    let mut out = Vec::with_capacity(ask.body.len().saturating_add(items.len().saturating_mul(96)));
    let mut body = Object::begin(&mut out);
    let mut result = Ok(());
    body.member("objects", |out| {
        write::array(out, items, |out, item| {
            let put = object(item).and_then(|members| put(out, place, members, None, false));
            if let Err(code) = put {
                result = Err(code);
            }
        });
    });
    body.end();
    result?;
    let path = ask.path(ask.endpoint.template, &[], Some(&pairs));
    Ok(Rewritten { body: Some(out), path: Some(path), ..Rewritten::default() })
}

pub(super) fn references(ask: &Ask<'_>) -> Result<Rewritten, Code> {
    let place = ask.place()?;
    let pairs = query(ask, &["consistency_level"])?;
    let document = json::parse(ask.body).map_err(JsonError::code)?;
    let items = document.items().ok_or(Code::FieldInvalid)?;
    let mut mapped = Vec::with_capacity(items.len());
    for item in items {
        let members = object(item)?;
        only(members, &["from", "to", "tenant"])?;
        own_tenant(place, text(members, "tenant")?.as_deref())?;
        let from = text(members, "from")?.ok_or(Code::FieldInvalid)?;
        let to = text(members, "to")?.ok_or(Code::FieldInvalid)?;
        mapped.push((to_backend(place, &from, true)?, to_backend(place, &to, false)?));
    }
    let mut out = Vec::with_capacity(ask.body.len().saturating_mul(2));
    write::array(&mut out, &mapped, |out, (from, to)| {
        let mut reference = Object::begin(out);
        reference.member("from", |out| write::string(out, from));
        reference.member("to", |out| write::string(out, to));
        reference.member("tenant", |out| write::string(out, &place.namespace));
        reference.end();
    });
    let path = ask.path(ask.endpoint.template, &[], Some(&pairs));
    Ok(Rewritten { body: Some(out), path: Some(path), ..Rewritten::default() })
}

/// Deletes by a condition. The answer repeats the match: as the client wrote it.
pub(super) fn delete(ask: &Ask<'_>) -> Result<Rewritten, Code> {
    let place = ask.place()?;
    let mut pairs = query(ask, &["consistency_level"])?;
    pairs.push(("tenant", &place.namespace));
    let members = members(ask.body, &["match", "output", "dryRun", "deletionTimeUnixMilli"])?;
    let matched = find(&members, "match").ok_or(Code::FieldInvalid)?;
    let inner = object(matched)?;
    only(inner, &["class", "where"])?;
    let own = place.collection(&text(inner, "class")?.ok_or(Code::FieldInvalid)?)?;
    // Alone, our condition would delete everything: that is not what a request without one says.
    let condition = find(inner, "where").ok_or(Code::FieldInvalid)?;
    filters::check(condition)?;
    let mut out = Vec::with_capacity(ask.body.len().saturating_add(160));
    let mut body = Object::begin(&mut out);
    body.member("match", |out| {
        let mut inner = Object::begin(out);
        inner.member("class", |out| write::string(out, &own));
        inner.member("where", |out| filters::forced(out, place, condition));
        inner.end();
    });
    for (key, value) in &members {
        let name = key.decode();
        if name != "match" {
            body.raw(&name, value.raw());
        }
    }
    body.end();
    let path = ask.path(ask.endpoint.template, &[], Some(&pairs));
    let memo = Memo { echo: Some(matched.raw().to_vec()), ..Memo::default() };
    Ok(Rewritten { body: Some(out), path: Some(path), memo, ..Rewritten::default() })
}

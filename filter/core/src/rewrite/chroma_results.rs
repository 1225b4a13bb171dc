//! Chroma, strategy `namespace`: answers.
//!
//! An answer is a set of parallel lists. A record counts as the tenant's when its metadata carries the tenant's namespace
//! **and** its id the tenant's prefix; any other is removed from every list, the rest stays verbatim and in order. The
//! marker and the prefix, which the client never sent, are removed again.

use super::chroma::{namespace, place};
use super::{Memo, Verified};
use crate::error::Code;
use crate::json::write::{self, Object};
use crate::json::{self, Value};
use crate::surface::Route;
use crate::tenant::TenantId;

/// The lists that run in parallel.
const LISTS: &[&str] = &["ids", "embeddings", "documents", "uris", "metadatas", "distances"];

struct Check<'c> {
    key: &'c str,
    namespace: String,
    prefix: String,
    hide: bool,
}

/// Verifies the answer of `get`, or (`nested`) of `query`, whose lists have one list per query.
pub(super) fn records(
    route: &Route,
    tenant: &TenantId,
    memo: &Memo,
    body: &[u8],
    nested: bool,
) -> Result<Verified, Code> {
    let place = place(route)?;
    let check = Check {
        key: &place.namespace_key,
        namespace: namespace(place, tenant),
        prefix: format!("{tenant}:"),
        hide: memo.hide_metadatas,
    };
    let malformed = Code::UpstreamMalformed;
    let document = json::parse(body).map_err(|_| malformed)?;
    let Value::Object(members, _) = &document else { return Err(malformed) };
    let mut kept: Vec<Vec<bool>> = Vec::new();
    let ids = groups(document.member("ids"), nested)?.ok_or(malformed)?;
    let metadatas = groups(document.member("metadatas"), nested)?.ok_or(malformed)?;
    if ids.len() != metadatas.len() {
        return Err(malformed);
    }
    for (ids, metadatas) in ids.iter().zip(&metadatas) {
        if ids.len() != metadatas.len() {
            return Err(malformed);
        }
        kept.push(ids.iter().zip(metadatas.iter()).map(|(id, metadata)| check.owns(id, metadata)).collect());
    }
    let count = |wanted: bool| kept.iter().flatten().filter(|kept| **kept == wanted).count() as u64;
    let mut out = Vec::with_capacity(body.len());
    let mut object = Object::begin(&mut out);
    for (key, value) in members {
        let name = key.decode();
        let hidden = check.hide && name == "metadatas";
        if value.is_null() || hidden {
            object.raw(&name, b"null");
        } else if name == "include" {
            object.raw(&name, memo.include.as_deref().unwrap_or(value.raw()));
        } else if LISTS.contains(&name.as_ref()) {
            let lists = groups(Some(value), nested)?.ok_or(malformed)?;
            if lists.len() != kept.len() || lists.iter().zip(&kept).any(|(list, kept)| list.len() != kept.len()) {
                return Err(malformed);
            }
            object.member(&name, |out| {
                let one = |out: &mut Vec<u8>, (list, kept): (&Vec<Value<'_>>, &Vec<bool>)| {
                    let rest = list.iter().zip(kept).filter(|(_, kept)| **kept).map(|(item, _)| item);
                    write::array(out, rest, |out, item| check.item(out, &name, item));
                };
                if nested {
                    write::array(out, lists.iter().zip(&kept), one);
                } else if let (Some(list), Some(kept)) = (lists.first(), kept.first()) {
                    one(out, (list, kept));
                } else {
                    out.extend_from_slice(b"[]");
                }
            });
        } else {
            // A field that is not known may be a list of records too.
            return Err(malformed);
        }
    }
    object.end();
    Ok(Verified { body: Some(out), dropped: count(false), kept: count(true) })
}

impl Check<'_> {
    fn owns(&self, id: &Value<'_>, metadata: &Value<'_>) -> bool {
        let marked =
            matches!(metadata.member(self.key), Some(Value::String(text, _)) if text.decode() == self.namespace);
        let scoped = matches!(id, Value::String(text, _) if text.decode().starts_with(&self.prefix));
        marked && scoped
    }

    /// Writes a record's part as its owner wrote it.
    fn item(&self, out: &mut Vec<u8>, list: &str, item: &Value<'_>) {
        match (list, item) {
            ("ids", Value::String(id, _)) => {
                write::string(out, id.decode().strip_prefix(&self.prefix).unwrap_or_default());
            }
            ("metadatas", Value::Object(fields, _)) => {
                if fields.len() <= 1 {
                    return out.extend_from_slice(b"null");
                }
                let mut object = Object::begin(out);
                for (key, value) in fields {
                    let key = key.decode();
                    if key != self.key {
                        object.raw(&key, value.raw());
                    }
                }
                object.end();
            }
            _ => out.extend_from_slice(item.raw()),
        }
    }
}

/// A field's lists: one, or (`nested`) one per query. `None` when the field is absent or null.
fn groups<'v, 'a>(value: Option<&'v Value<'a>>, nested: bool) -> Result<Option<Vec<Vec<Value<'a>>>>, Code>
where
    'v: 'a,
{
    let Some(value) = value.filter(|value| !value.is_null()) else { return Ok(None) };
    let parsed = split(value).ok_or(Code::UpstreamMalformed)?;
    if !nested {
        return Ok(Some(vec![parsed]));
    }
    parsed.iter().map(|list| split(list).ok_or(Code::UpstreamMalformed)).collect::<Result<_, _>>().map(Some)
}

/// The items of a list. A list of nothing but numbers was skipped as one span: split it at its own level.
fn split<'a>(value: &Value<'a>) -> Option<Vec<Value<'a>>> {
    match value {
        Value::Array(items, _) => Some(items.clone()),
        Value::Numbers(raw) => numbers(raw),
        _ => None,
    }
}

/// Splits `[1,2]` or `[[1,2],[3]]` at its outermost commas.
fn numbers(raw: &[u8]) -> Option<Vec<Value<'_>>> {
    let inner = raw.strip_prefix(b"[")?.strip_suffix(b"]")?;
    let mut items = Vec::new();
    if inner.trim_ascii().is_empty() {
        return Some(items);
    }
    let (mut depth, mut from) = (0usize, 0usize);
    let mut push = |part: &[u8], from: usize| {
        let raw = inner.get(from..from.saturating_add(part.len())).unwrap_or_default().trim_ascii();
        let list = raw.starts_with(b"[");
        items.push(if list { Value::Numbers(raw) } else { Value::Number(raw) });
        // What was skipped as numbers may be none.
        (list || serde_json::from_slice::<serde_json::Number>(raw).is_ok()).then_some(())
    };
    for (at, byte) in inner.iter().enumerate() {
        match byte {
            b'[' => depth = depth.checked_add(1)?,
            b']' => depth = depth.checked_sub(1)?,
            b',' if depth == 0 => {
                push(inner.get(from..at)?, from)?;
                from = at.checked_add(1)?;
            }
            _ => {}
        }
    }
    push(inner.get(from..)?, from)?;
    Some(items)
}

/// Only allowed collections are listed.
pub(super) fn collections(route: &Route, body: &[u8]) -> Result<Verified, Code> {
    let place = place(route)?;
    let document = json::parse(body).map_err(|_| Code::UpstreamMalformed)?;
    let items = document.items().ok_or(Code::UpstreamMalformed)?;
    let allowed = |item: &&Value<'_>| matches!(item.member("name"), Some(Value::String(name, _)) if place.collections.iter().any(|c| *c == name.decode()));
    let rest: Vec<&Value<'_>> = items.iter().filter(allowed).collect();
    let kept = rest.len() as u64;
    let mut out = Vec::with_capacity(body.len());
    write::array(&mut out, rest, |out, item| out.extend_from_slice(item.raw()));
    // Other collections in the database are ordinary, so they are no foreign results.
    Ok(Verified { body: Some(out), dropped: 0, kept })
}

/// An error of the backend names ids as the backend knows them: the tenant's prefix is removed again. What does not
/// look like Chroma's error is refused rather than passed.
pub(super) fn error(tenant: &TenantId, body: &[u8]) -> Result<Verified, Code> {
    let document = json::parse(body).map_err(|_| Code::UpstreamMalformed)?;
    let Value::Object(members, _) = &document else { return Err(Code::UpstreamMalformed) };
    let prefix = format!("{tenant}:");
    let mut out = Vec::with_capacity(body.len());
    let mut object = Object::begin(&mut out);
    for (key, value) in members {
        let name = key.decode();
        match value {
            Value::String(text, _) if matches!(name.as_ref(), "error" | "message" | "detail") => {
                object.member(&name, |out| write::string(out, &text.decode().replace(&prefix, "")));
            }
            _ => {}
        }
    }
    object.end();
    Ok(Verified { body: Some(out), ..Verified::default() })
}

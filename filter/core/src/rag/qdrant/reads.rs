//! Reading points: by ids, page by page, counted.

use super::filter::{self, And, forced};
use super::ids::Id;
use super::payload::{self, wanted};
use super::query::elsewhere;
use super::{Own, path};
use crate::error::Code;
use crate::json::write::Object;
use crate::json::{Str, Value};
use crate::rag::document::{find, items, members};
use crate::rag::{Ask, Memo, Rewritten};

/// A list of ids.
///
/// # Errors
/// [`Code::FieldInvalid`].
pub(super) fn ids(value: &Value<'_>) -> Result<Vec<Id>, Code> {
    items(value).ok_or(Code::FieldInvalid)?.iter().map(|id| Id::read(id).ok_or(Code::FieldInvalid)).collect()
}

fn done(ask: &Ask<'_>, body: Vec<u8>, memo: Memo) -> Result<Rewritten, Code> {
    Ok(Rewritten { body: Some(body), path: Some(path(ask, ask.endpoint.template)?), memo, ..Rewritten::default() })
}

/// One point, by its id in the path.
pub(super) fn point(ask: &Ask<'_>) -> Result<Rewritten, Code> {
    let place = ask.place()?;
    let id = Id::parse(ask.parameter("id")?).ok_or(Code::NotFound)?;
    let (mut scoped, own) = (Vec::new(), Own::new(place));
    own.ids.write(&mut scoped, id);
    let scoped = String::from_utf8(scoped).map_err(|_| Code::Internal)?;
    let collection = place.collection(ask.parameter("collection")?)?;
    let path = ask.path(ask.endpoint.template, &[&collection, scoped.trim_matches('"')], None);
    Ok(Rewritten { path: Some(path), ..Rewritten::default() })
}

/// Points by their ids.
pub(super) fn points(ask: &Ask<'_>) -> Result<Rewritten, Code> {
    let own = Own::new(ask.place()?);
    let members = members(ask.body, &["ids", "shard_key", "with_payload", "with_vector", "with_vectors"])?;
    elsewhere(&members)?;
    let ids = ids(find(&members, "ids").ok_or(Code::FieldInvalid)?)?;
    let asked = wanted(find(&members, "with_payload"), true)?;
    let mut out = Vec::with_capacity(ask.body.len().saturating_mul(2));
    let mut object = Object::begin(&mut out);
    object.member("ids", |out| filter::ids(out, &own, ids.into_iter()));
    with_vector(&mut object, &members)?;
    object.member("with_payload", |out| asked.write(out, &own));
    object.end();
    let hide = asked.hides();
    done(ask, out, Memo { hide, ..Memo::default() })
}

fn with_vector(object: &mut Object<'_>, members: &[(Str<'_>, Value<'_>)]) -> Result<(), Code> {
    for name in ["with_vector", "with_vectors"] {
        if let Some(value) = find(members, name) {
            payload::check_with_vector(value)?;
            object.raw(name, value.raw());
        }
    }
    Ok(())
}

/// A page of points. The page after it begins with a point whose id must be told as the client knows it, and only a point's own
/// payload tells that: so one point more is asked for, and becomes the offset of the next page.
pub(super) fn scroll(ask: &Ask<'_>) -> Result<Rewritten, Code> {
    let own = Own::new(ask.place()?);
    let known = ["shard_key", "offset", "limit", "filter", "with_payload", "with_vector", "with_vectors", "order_by"];
    let members = members(ask.body, &known)?;
    elsewhere(&members)?;
    let client = filter::member(&members, "filter")?;
    let asked = wanted(find(&members, "with_payload"), true)?;
    let limit = match find(&members, "limit") {
        None => Some(DEFAULT_LIMIT),
        Some(Value::Number(raw)) => std::str::from_utf8(raw).ok().and_then(|text| text.parse::<u32>().ok()),
        Some(_) => None,
    };
    let limit = limit.ok_or(Code::FieldInvalid)?;
    let order = find(&members, "order_by");
    let mut out = Vec::with_capacity(ask.body.len().saturating_add(256));
    let mut object = Object::begin(&mut out);
    if let Some(offset) = find(&members, "offset") {
        let id = Id::read(offset).ok_or(Code::FieldInvalid)?;
        object.member("offset", |out| own.ids.write(out, id));
    }
    // In another order there is no next page; a limit of 0 is the server's to refuse.
    let pages = order.is_none() && limit > 0;
    let more = if pages { limit.saturating_add(1) } else { limit };
    object.raw("limit", more.to_string().as_bytes());
    if let Some(order) = order {
        payload::check_order(&own, order)?;
        object.raw("order_by", order.raw());
    }
    with_vector(&mut object, &members)?;
    object.member("filter", |out| forced(out, &own, &And::Nothing, client));
    object.member("with_payload", |out| asked.write(out, &own));
    object.end();
    let names = pages.then(|| limit.to_string()).into_iter().collect();
    let hide = asked.hides();
    done(ask, out, Memo { hide, names, ..Memo::default() })
}

const DEFAULT_LIMIT: u32 = 10;

/// An estimate is made from what all tenants have: the exact number is asked for.
pub(super) fn count(ask: &Ask<'_>) -> Result<Rewritten, Code> {
    filtered(ask, &["filter", "exact", "shard_key"], &And::Nothing)
}

pub(super) fn facet(ask: &Ask<'_>) -> Result<Rewritten, Code> {
    filtered(ask, &["key", "limit", "filter", "exact", "shard_key"], &And::Nothing)
}

/// The answer has ids without payloads: only ids that can be read back from the database's may occur.
pub(super) fn matrix(ask: &Ask<'_>) -> Result<Rewritten, Code> {
    filtered(ask, &["filter", "sample", "limit", "using", "shard_key"], &And::Numbered)
}

fn filtered(ask: &Ask<'_>, known: &[&str], and: &And<'_>) -> Result<Rewritten, Code> {
    let own = Own::new(ask.place()?);
    let members = members(ask.body, known)?;
    elsewhere(&members)?;
    let client = filter::member(&members, "filter")?;
    let mut out = Vec::with_capacity(ask.body.len().saturating_add(256));
    let mut object = Object::begin(&mut out);
    for (key, value) in members.iter().filter(|(_, value)| !value.is_null()) {
        let key = key.decode();
        let fits = match key.as_ref() {
            "filter" | "exact" => continue,
            "key" => payload::check_path(&own, value).is_ok(),
            "using" => matches!(value, Value::String(..)),
            _ => matches!(value, Value::Number(_)),
        };
        if !fits {
            return Err(Code::FieldInvalid);
        }
        object.raw(&key, value.raw());
    }
    if known.contains(&"exact") {
        object.raw("exact", b"true");
    }
    object.member("filter", |out| forced(out, &own, and, client));
    object.end();
    done(ask, out, Memo::default())
}

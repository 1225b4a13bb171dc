//! Searches: one, a batch of them, in groups; today's `query` with its prefetches, and the older `search` and `recommend`.

use super::filter::{self, And, forced};
use super::payload::{self, Wanted, wanted};
use super::{Own, path, vectors};
use crate::error::Code;
use crate::json::write::{self, Object};
use crate::json::{Str, Value};
use crate::rag::document::{find, fits, members, object, only};
use crate::rag::{Ask, Memo, Rewritten};

/// A kind of search: the fields that it takes besides [`COMMON`].
struct Kind(&'static [&'static str]);

const COMMON: &[&str] =
    &["shard_key", "filter", "params", "score_threshold", "limit", "with_vector", "with_vectors", "with_payload"];
const QUERY: Kind = Kind(&["prefetch", "query", "using", "lookup_from", "offset"]);
const QUERY_GROUPS: Kind =
    Kind(&["prefetch", "query", "using", "lookup_from", "group_by", "group_size", "with_lookup"]);
const SEARCH: Kind = Kind(&["vector", "offset", "top"]);
const SEARCH_GROUPS: Kind = Kind(&["vector", "group_by", "group_size", "with_lookup"]);
const RECOMMEND: Kind = Kind(&["positive", "negative", "strategy", "using", "lookup_from", "offset", "top"]);
const RECOMMEND_GROUPS: Kind =
    Kind(&["positive", "negative", "strategy", "using", "lookup_from", "group_by", "group_size", "with_lookup"]);
/// A prefetch finds for another query: nothing of it is shown.
const PREFETCH: &[&str] =
    &["prefetch", "query", "using", "filter", "params", "score_threshold", "limit", "lookup_from"];

pub(super) fn query(ask: &Ask<'_>) -> Result<Rewritten, Code> {
    one(ask, &QUERY)
}

pub(super) fn query_batch(ask: &Ask<'_>) -> Result<Rewritten, Code> {
    batch(ask, &QUERY)
}

pub(super) fn query_groups(ask: &Ask<'_>) -> Result<Rewritten, Code> {
    one(ask, &QUERY_GROUPS)
}

pub(super) fn search(ask: &Ask<'_>) -> Result<Rewritten, Code> {
    one(ask, &SEARCH)
}

pub(super) fn search_batch(ask: &Ask<'_>) -> Result<Rewritten, Code> {
    batch(ask, &SEARCH)
}

pub(super) fn search_groups(ask: &Ask<'_>) -> Result<Rewritten, Code> {
    one(ask, &SEARCH_GROUPS)
}

pub(super) fn recommend(ask: &Ask<'_>) -> Result<Rewritten, Code> {
    one(ask, &RECOMMEND)
}

pub(super) fn recommend_batch(ask: &Ask<'_>) -> Result<Rewritten, Code> {
    batch(ask, &RECOMMEND)
}

pub(super) fn recommend_groups(ask: &Ask<'_>) -> Result<Rewritten, Code> {
    one(ask, &RECOMMEND_GROUPS)
}

fn one(ask: &Ask<'_>, kind: &Kind) -> Result<Rewritten, Code> {
    let own = Own::new(ask.place()?);
    let all: Vec<&str> = COMMON.iter().chain(kind.0).copied().collect();
    let members = members(ask.body, &all)?;
    let mut out = Vec::with_capacity(ask.body.len().saturating_add(256));
    let hide = rewrite(&mut out, &own, &members)?;
    let memo = Memo { hide, ..Memo::default() };
    Ok(Rewritten { body: Some(out), path: Some(path(ask, ask.endpoint.template)?), memo, ..Rewritten::default() })
}

fn batch(ask: &Ask<'_>, kind: &Kind) -> Result<Rewritten, Code> {
    let own = Own::new(ask.place()?);
    let all: Vec<&str> = COMMON.iter().chain(kind.0).copied().collect();
    let members = members(ask.body, &["searches"])?;
    let searches = find(&members, "searches").and_then(Value::items).ok_or(Code::FieldInvalid)?;
    let mut out = b"{\"searches\":[".to_vec();
    let mut names = Vec::with_capacity(searches.len());
    for (index, search) in searches.iter().enumerate() {
        let members = object(search)?;
        only(members, &all)?;
        if index > 0 {
            out.push(b',');
        }
        names.push(if rewrite(&mut out, &own, members)? { HIDDEN } else { SHOWN }.to_owned());
        fits(out.len(), ask.body)?;
    }
    out.extend_from_slice(b"]}");
    let memo = Memo { names, ..Memo::default() };
    Ok(Rewritten { body: Some(out), path: Some(path(ask, ask.endpoint.template)?), memo, ..Rewritten::default() })
}

/// In a batch's memo: the search's client gets no payload, or some.
pub(super) const HIDDEN: &str = "hidden";
const SHOWN: &str = "shown";

/// Writes a search, forced; whether its client gets no payload.
fn rewrite(out: &mut Vec<u8>, own: &Own<'_>, members: &[(Str<'_>, Value<'_>)]) -> Result<bool, Code> {
    let asked: Wanted<'_, '_> = wanted(find(members, "with_payload"), false)?;
    level(out, own, members, |object| object.member("with_payload", |out| asked.write(out, own)))?;
    Ok(asked.hides())
}

/// Writes a search or a prefetch: what both have, forced, and `more`.
fn level(
    out: &mut Vec<u8>,
    own: &Own<'_>,
    members: &[(Str<'_>, Value<'_>)],
    more: impl FnOnce(&mut Object<'_>),
) -> Result<(), Code> {
    let client = filter::member(members, "filter")?;
    elsewhere(members)?;
    let mut object = Object::begin(out);
    let mut result = Ok(());
    for (key, value) in members.iter().filter(|(_, value)| !value.is_null()) {
        let key = key.decode();
        match key.as_ref() {
            "filter" | "with_payload" => {}
            "prefetch" => object.member(&key, |out| result = prefetches(out, own, value)),
            "params" => object.member(&key, |out| result = params(out, own, value)),
            "query" => {
                let has_ids = vectors::query(own, value)?;
                object.member(&key, |out| {
                    if has_ids { formula(out, own, value) } else { out.extend_from_slice(value.raw()) }
                });
            }
            name => {
                field(own, name, value)?;
                object.raw(name, value.raw());
            }
        }
        result?;
    }
    vectors::examples(members)?;
    object.member("filter", |out| forced(out, own, &And::Nothing, client));
    more(&mut object);
    object.end();
    Ok(())
}

/// Refuses what would look elsewhere: in another collection, or in shards by name.
pub(super) fn elsewhere(members: &[(Str<'_>, Value<'_>)]) -> Result<(), Code> {
    let names = ["shard_key", "lookup_from", "with_lookup"];
    if names.iter().any(|name| find(members, name).is_some()) { Err(Code::NamespaceForbidden) } else { Ok(()) }
}

/// Checks a field that is copied.
fn field(own: &Own<'_>, name: &str, value: &Value<'_>) -> Result<(), Code> {
    let fits = match name {
        "limit" | "top" | "offset" | "score_threshold" | "group_size" => matches!(value, Value::Number(_)),
        "using" | "strategy" => matches!(value, Value::String(..)),
        "with_vector" | "with_vectors" => return payload::check_with_vector(value),
        "group_by" => return payload::check_path(own, value),
        "vector" => return named_vector(value),
        // Read as a pair.
        "positive" | "negative" => true,
        _ => return Err(Code::FieldUnknown),
    };
    if fits { Ok(()) } else { Err(Code::FieldInvalid) }
}

/// The older searches name their vector beside it.
fn named_vector(value: &Value<'_>) -> Result<(), Code> {
    match value {
        Value::Object(members, _) => {
            only(members, &["name", "vector"])?;
            vectors::vector(find(members, "vector").ok_or(Code::FieldInvalid)?)
        }
        one => vectors::vector(one),
    }
}

fn prefetches(out: &mut Vec<u8>, own: &Own<'_>, value: &Value<'_>) -> Result<(), Code> {
    let mut result = Ok(());
    let mut one = |out: &mut Vec<u8>, value: &Value<'_>| {
        if result.is_ok() {
            result = object(value).and_then(|members| {
                only(members, PREFETCH)?;
                level(out, own, members, |_| {})
            });
        }
    };
    match value {
        Value::Array(list, _) => write::array(out, list, one),
        value => one(out, value),
    }
    result
}

/// The parameters of a search. The corpus of IDF is a filter.
fn params(out: &mut Vec<u8>, own: &Own<'_>, value: &Value<'_>) -> Result<(), Code> {
    let members = object(value)?;
    only(members, &["hnsw_ef", "exact", "quantization", "indexed_only", "acorn", "idf"])?;
    let mut object = Object::begin(out);
    for (key, value) in members {
        let key = key.decode();
        match value {
            value if key != "idf" || value.is_null() => object.raw(&key, value.raw()),
            Value::Object(corpus, _) => {
                only(corpus, &["corpus"])?;
                let client = filter::member(corpus, "corpus")?;
                object.member(&key, |out| idf(out, own, client));
            }
            // All records that there are for the tenant.
            Value::String(scope, _) if scope.decode() == "global" => object.member(&key, |out| idf(out, own, None)),
            _ => return Err(Code::FieldInvalid),
        }
    }
    object.end();
    Ok(())
}

fn idf(out: &mut Vec<u8>, own: &Own<'_>, client: Option<filter::Filter<'_, '_>>) {
    let mut object = Object::begin(out);
    object.member("corpus", |out| forced(out, own, &And::Nothing, client));
    object.end();
}

/// Copies a formula whose conditions name ids.
fn formula(out: &mut Vec<u8>, own: &Own<'_>, query: &Value<'_>) {
    let Value::Object(members, _) = query else { return };
    let mut object = Object::begin(out);
    for (key, value) in members {
        let key = key.decode();
        if key == "formula" {
            object.member(&key, |out| filter::copy(out, own, value));
        } else {
            object.raw(&key, value.raw());
        }
    }
    object.end();
}

//! Reading records: `search`, `hybrid_search`, `query`, `get`.

use super::{Body, filter, is_name, rewritten, text};
use crate::error::Code;
use crate::json::write::{self, Object};
use crate::json::{Str, Value};
use crate::rag::document::{find, items, object, only, strings};
use crate::rag::{Ask, Memo, Rewritten};

/// The most keys in one `get`: Milvus' own limit of a query's results.
const MAX_KEYS: usize = 16_384;
/// What steers a search, and nothing else: other parameters are iterators' and the proxy's own.
const KNOBS: &[&str] = &[
    "metricType",
    "metric_type",
    "nprobe",
    "ef",
    "radius",
    "range_filter",
    "level",
    "search_list",
    "search_k",
    "reorder_k",
    "drop_ratio_search",
    "itopk_size",
    "search_width",
    "min_iterations",
    "max_iterations",
    "team_size",
    "refine_k",
    "round_decimal",
    "ignoreGrowing",
    "ignore_growing",
    "hints",
    "max_empty_result_buckets",
];
/// What the answer's side must know: the answer is a count.
pub(super) const COUNT: &str = "count(*)";

/// The scalar members that pass as they are.
const PLAIN: &[&str] = &[
    "limit",
    "offset",
    "annsField",
    "groupingField",
    "groupSize",
    "strictGroupSize",
    "consistencyLevel",
    "metricType",
    "ignoreGrowing",
];

/// Copies members that are no more than a word, a number or a flag.
fn copy_plain(out: &mut Object<'_>, members: &[(Str<'_>, Value<'_>)]) -> Result<(), Code> {
    for (key, value) in members {
        let key = key.decode();
        if !PLAIN.contains(&key.as_ref()) {
            continue;
        }
        match value {
            Value::Null => continue,
            Value::Number(_) if matches!(key.as_ref(), "limit" | "offset" | "groupSize") => {}
            Value::Bool(_) if matches!(key.as_ref(), "strictGroupSize" | "ignoreGrowing") => {}
            Value::String(word, _)
                if !matches!(key.as_ref(), "limit" | "offset" | "groupSize" | "strictGroupSize" | "ignoreGrowing")
                    && (word.raw().is_empty() || is_name(&word.decode())) => {}
            _ => return Err(Code::FieldInvalid),
        }
        out.raw(&key, value.raw());
    }
    Ok(())
}

/// `searchParams`: knobs, and the same once more under `params`.
fn search_params(value: &Value<'_>, nested: bool) -> Result<(), Code> {
    for (key, value) in object(value)? {
        let key = key.decode();
        match value {
            Value::Object(..) if nested && key == "params" => search_params(value, false)?,
            _ if !KNOBS.contains(&key.as_ref()) => return Err(Code::FieldUnknown),
            Value::Number(_) | Value::Bool(_) => {}
            Value::String(word, _) if word.raw().is_empty() || is_name(&word.decode()) => {}
            _ => return Err(Code::FieldInvalid),
        }
    }
    Ok(())
}

/// Copies the query vectors. They may be numbers, texts (for full-text search) and sparse vectors; never ids.
fn copy_data(out: &mut Object<'_>, members: &[(Str<'_>, Value<'_>)]) -> Result<(), Code> {
    let data = find(members, "data").ok_or(Code::FieldInvalid)?;
    let flat = |value: &Value<'_>| match value {
        Value::Object(members, _) => {
            members.iter().all(|(_, value)| matches!(value, Value::Number(_) | Value::Numbers(_)))
        }
        Value::Numbers(_) | Value::String(..) => true,
        Value::Array(items, _) => items.is_empty(),
        _ => false,
    };
    match data {
        Value::Numbers(_) => {}
        Value::Array(items, _) if items.iter().all(flat) => {}
        _ => return Err(Code::FieldInvalid),
    }
    out.raw("data", data.raw());
    Ok(())
}

/// Writes `outputFields` with the marker among them; `default` is what Milvus takes without any. Gives what the answer's side
/// must know.
fn output_fields(out: &mut Object<'_>, body: &Body<'_>, default: &[&str]) -> Result<Memo, Code> {
    let fields: Vec<String> = match strings(&body.members, "outputFields")? {
        Some(fields) => fields.iter().map(|field| field.decode().into_owned()).collect(),
        None => default.iter().map(|field| (*field).to_owned()).collect(),
    };
    if fields.iter().any(|field| field == COUNT) {
        // Milvus counts only what the filter finds; alone, as it must be, it carries no marker.
        if fields.len() > 1 || default.is_empty() {
            return Err(Code::FieldInvalid);
        }
        out.raw("outputFields", b"[\"count(*)\"]");
        return Ok(Memo { names: vec![COUNT.to_owned()], ..Memo::default() });
    }
    if !fields.iter().all(|field| field == "*" || is_name(field)) {
        return Err(Code::FieldInvalid);
    }
    let there = fields.iter().any(|field| field == "*" || field == body.place.key());
    let forced = (!there).then(|| body.place.key().to_owned());
    out.member("outputFields", |out| {
        write::array(out, fields.into_iter().chain(forced), |out, field| write::string(out, &field));
    });
    Ok(Memo::default())
}

/// The client's filter, nested under ours.
fn forced(out: &mut Object<'_>, body: &Body<'_>, members: &[(Str<'_>, Value<'_>)]) -> Result<(), Code> {
    let client = match text(members, "filter")? {
        Some(text) => filter::read(&text.decode(), body.place)?,
        None => filter::Client::default(),
    };
    filter::force(out, body.place, &client, find(members, "exprParams"))
}

pub(super) fn search(ask: &Ask<'_>) -> Result<Rewritten, Code> {
    let body = Body::read(
        ask,
        &[
            "data",
            "annsField",
            "filter",
            "exprParams",
            "limit",
            "offset",
            "groupingField",
            "groupSize",
            "strictGroupSize",
            "outputFields",
            "searchParams",
            "consistencyLevel",
        ],
    )?;
    let mut out = Vec::with_capacity(ask.body.len().saturating_add(256));
    let mut object = body.begin(&mut out);
    copy_data(&mut object, &body.members)?;
    copy_plain(&mut object, &body.members)?;
    if let Some(params) = body.find("searchParams") {
        search_params(params, true)?;
        object.raw("searchParams", params.raw());
    }
    forced(&mut object, &body, &body.members)?;
    let memo = output_fields(&mut object, &body, &[])?;
    object.end();
    Ok(Rewritten { memo, ..rewritten(ask, out) })
}

pub(super) fn hybrid(ask: &Ask<'_>) -> Result<Rewritten, Code> {
    let body = Body::read(
        ask,
        &[
            "search",
            "rerank",
            "limit",
            "groupingField",
            "groupSize",
            "strictGroupSize",
            "outputFields",
            "consistencyLevel",
        ],
    )?;
    let searches =
        body.find("search").and_then(Value::items).filter(|all| !all.is_empty()).ok_or(Code::FieldInvalid)?;
    let mut out = Vec::with_capacity(ask.body.len().saturating_add(512));
    let mut object = body.begin(&mut out);
    let mut result = Ok(());
    object.member("search", |out| {
        write::array(out, searches, |out, search| {
            if result.is_ok() {
                result = sub_search(out, &body, search);
            }
        });
    });
    result?;
    if let Some(rerank) = body.find("rerank") {
        check_rerank(rerank)?;
        object.raw("rerank", rerank.raw());
    }
    copy_plain(&mut object, &body.members)?;
    let memo = output_fields(&mut object, &body, &[])?;
    object.end();
    Ok(Rewritten { memo, ..rewritten(ask, out) })
}

fn sub_search(out: &mut Vec<u8>, body: &Body<'_>, search: &Value<'_>) -> Result<(), Code> {
    let members = object(search)?;
    only(
        members,
        &[
            "data",
            "annsField",
            "filter",
            "exprParams",
            "limit",
            "offset",
            "metricType",
            "ignoreGrowing",
            "params",
            // The Node client's types have it; Milvus takes only the outer one.
            "outputFields",
        ],
    )?;
    let mut object = Object::begin(out);
    copy_data(&mut object, members)?;
    copy_plain(&mut object, members)?;
    if let Some(params) = find(members, "params") {
        search_params(params, true)?;
        object.raw("params", params.raw());
    }
    forced(&mut object, body, members)?;
    object.end();
    Ok(())
}

/// Reranking by rank or by weight. Anything else may call out to a model.
fn check_rerank(rerank: &Value<'_>) -> Result<(), Code> {
    let members = object(rerank)?;
    only(members, &["strategy", "params"])?;
    match text(members, "strategy")? {
        Some(strategy) if matches!(strategy.decode().as_ref(), "rrf" | "ws" | "weighted") => {}
        _ => return Err(Code::FieldInvalid),
    }
    if let Some(params) = find(members, "params") {
        let params = object(params)?;
        only(params, &["k", "weights", "norm_score"])?;
        if params.iter().any(|(_, value)| matches!(value, Value::Object(..) | Value::Array(..))) {
            return Err(Code::FieldInvalid);
        }
    }
    Ok(())
}

pub(super) fn query(ask: &Ask<'_>) -> Result<Rewritten, Code> {
    let body = Body::read(ask, &["filter", "exprParams", "limit", "offset", "outputFields", "consistencyLevel"])?;
    let mut out = Vec::with_capacity(ask.body.len().saturating_add(256));
    let mut object = body.begin(&mut out);
    copy_plain(&mut object, &body.members)?;
    forced(&mut object, &body, &body.members)?;
    let memo = output_fields(&mut object, &body, &["*"])?;
    object.end();
    Ok(Rewritten { memo, ..rewritten(ask, out) })
}

const QUERY: &str = "/v2/vectordb/entities/query";

/// `get` has no filter of its own, so it becomes a query for those keys.
pub(super) fn get(ask: &Ask<'_>) -> Result<Rewritten, Code> {
    let body = Body::read(ask, &["id", "outputFields", "consistencyLevel"])?;
    let id = body.find("id").ok_or(Code::FieldInvalid)?;
    let ids = items(id).unwrap_or_else(|| vec![id.clone()]);
    if ids.is_empty() || ids.len() > MAX_KEYS {
        return Err(Code::FieldInvalid);
    }
    let mut list = String::new();
    for id in &ids {
        if !list.is_empty() {
            list.push(',');
        }
        match id {
            Value::Number(raw) => list.push_str(integer(raw)?),
            Value::String(text, _) => write_literal(&mut list, &text.decode())?,
            _ => return Err(Code::FieldInvalid),
        }
    }
    let client = filter::read(&format!("{} in [{list}]", body.place.rag().id_field), body.place)?;
    let mut out = Vec::with_capacity(ask.body.len().saturating_add(256));
    let mut object = body.begin(&mut out);
    copy_plain(&mut object, &body.members)?;
    // Without a limit a query stops at 100.
    object.member("limit", |out| out.extend_from_slice(ids.len().to_string().as_bytes()));
    filter::force(&mut object, body.place, &client, None)?;
    let memo = output_fields(&mut object, &body, &["*"])?;
    object.end();
    let path = Some(ask.path(QUERY, &[], Some(&[])));
    Ok(Rewritten { memo, path, ..rewritten(ask, out) })
}

/// A number that can be a key.
fn integer(raw: &[u8]) -> Result<&str, Code> {
    let text = std::str::from_utf8(raw).map_err(|_| Code::FieldInvalid)?;
    text.parse::<i64>().map(|_| text).map_err(|_| Code::FieldInvalid)
}

/// A text as a literal of a filter.
fn write_literal(out: &mut String, text: &str) -> Result<(), Code> {
    out.push('"');
    for c in text.chars() {
        if c.is_control() {
            return Err(Code::FieldInvalid);
        }
        if matches!(c, '"' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('"');
    Ok(())
}

/// The collection's statistics count everybody's records: the tenant's are counted instead.
pub(super) fn stats(ask: &Ask<'_>) -> Result<Rewritten, Code> {
    let body = Body::read(ask, &[])?;
    let mut out = Vec::new();
    let mut object = body.begin(&mut out);
    filter::force(&mut object, body.place, &filter::Client::default(), None)?;
    object.raw("outputFields", b"[\"count(*)\"]");
    object.end();
    let path = Some(ask.path(QUERY, &[], Some(&[])));
    Ok(Rewritten { path, ..rewritten(ask, out) })
}

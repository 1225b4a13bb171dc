//! Searching by vectors: `search`, `hybrid_search`.

use super::entities::{copy_plain, forced, output_fields};
use super::{Body, is_name, rewritten, text};
use crate::error::Code;
use crate::json::write::{self, Object};
use crate::json::{Str, Value};
use crate::rag::document::{find, object, only};
use crate::rag::{Ask, Rewritten};

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

//! Vectors, and queries made of them. A bare id in their place stands for another point's vector, whoever's it is: refused.

use super::filter;
use super::{Own, payload};
use crate::error::Code;
use crate::json::Value;
use crate::rag::document::{find, items, object, only};

/// A vector: numbers, several lists of them, sparse, or a text that the server embeds. What is fetched or decoded by the
/// server (images, objects) is not taken.
///
/// # Errors
/// [`Code::FieldInvalid`] or [`Code::FieldUnknown`].
pub(super) fn vector(value: &Value<'_>) -> Result<(), Code> {
    match value {
        Value::Object(members, _) if find(members, "text").is_some() => {
            only(members, &["text", "model", "options"])?;
            let text = |name| matches!(find(members, name), Some(Value::String(..)));
            let options = find(members, "options").is_none_or(|options| matches!(options, Value::Object(..)));
            if text("text") && text("model") && options { Ok(()) } else { Err(Code::FieldInvalid) }
        }
        Value::Object(members, _) => {
            only(members, &["indices", "values"])?;
            if members.iter().all(|(_, list)| is_numbers(list)) { Ok(()) } else { Err(Code::FieldInvalid) }
        }
        Value::Array(list, _) if list.iter().all(is_numbers) => Ok(()),
        one if is_numbers(one) => Ok(()),
        _ => Err(Code::FieldInvalid),
    }
}

/// A list of numbers. Beside other things it was not skipped as one span.
fn is_numbers(value: &Value<'_>) -> bool {
    match value {
        Value::Numbers(_) => true,
        Value::Array(list, _) => list.iter().all(|item| matches!(item, Value::Number(_))),
        _ => false,
    }
}

fn vectors(value: Option<&Value<'_>>) -> Result<(), Code> {
    let Some(value) = value else { return Ok(()) };
    items(value).ok_or(Code::FieldInvalid)?.iter().try_for_each(vector)
}

/// A point's vectors: one, or one for each name.
///
/// # Errors
/// As [`vector`].
pub(super) fn named(value: &Value<'_>) -> Result<(), Code> {
    match value {
        Value::Object(members, _) if vector(value).is_err() => members.iter().try_for_each(|(_, one)| vector(one)),
        one => vector(one),
    }
}

/// The vectors of many points: a list, or a list for each name.
///
/// # Errors
/// As [`vector`].
pub(super) fn columns(value: &Value<'_>) -> Result<(), Code> {
    match value {
        Value::Object(members, _) => members.iter().try_for_each(|(_, list)| vectors(Some(list))),
        list => vectors(Some(list)),
    }
}

/// What `positive` and `negative` may hold.
///
/// # Errors
/// As [`vector`].
pub(super) fn examples(members: &[(crate::json::Str<'_>, Value<'_>)]) -> Result<(), Code> {
    vectors(find(members, "positive"))?;
    vectors(find(members, "negative"))
}

/// A pair or a list of pairs of vectors.
fn context(value: &Value<'_>) -> Result<(), Code> {
    let pair = |value: &Value<'_>| {
        let members = object(value)?;
        only(members, &["positive", "negative"])?;
        members.iter().try_for_each(|(_, one)| vector(one))
    };
    match value {
        Value::Null => Ok(()),
        Value::Array(pairs, _) => pairs.iter().try_for_each(pair),
        one => pair(one),
    }
}

/// A query; whether it names ids (in the conditions of a formula).
///
/// # Errors
/// As [`vector`].
pub(super) fn query(own: &Own<'_>, value: &Value<'_>) -> Result<bool, Code> {
    let Value::Object(members, _) = value else { return vector(value).map(|()| false) };
    let beside = |name: &str| matches!(name, "mmr" | "defaults");
    let found = members.iter().find(|(name, _)| !beside(&name.decode()));
    let (name, inner) = found.ok_or(Code::FieldInvalid)?;
    let name = name.decode();
    match name.as_ref() {
        "nearest" => {
            only(members, &["nearest", "mmr"])?;
            vector(inner)?;
        }
        "formula" => {
            only(members, &["formula", "defaults"])?;
            return expression(inner);
        }
        "recommend" | "discover" | "context" | "relevance_feedback" | "order_by" | "fusion" | "sample" | "rrf" => {
            only(members, &[&name])?;
            by_name(own, &name, inner)?;
        }
        _ => vector(value)?,
    }
    Ok(false)
}

fn by_name(own: &Own<'_>, name: &str, inner: &Value<'_>) -> Result<(), Code> {
    match name {
        "context" => context(inner),
        "order_by" => payload::check_order(own, inner),
        "recommend" => {
            let members = object(inner)?;
            only(members, &["positive", "negative", "strategy"])?;
            examples(members)
        }
        "discover" => {
            let members = object(inner)?;
            only(members, &["target", "context"])?;
            vector(find(members, "target").ok_or(Code::FieldInvalid)?)?;
            find(members, "context").map_or(Ok(()), context)
        }
        "relevance_feedback" => feedback(inner),
        "rrf" => only(object(inner)?, &["k", "weights"]),
        _ if matches!(inner, Value::String(..)) => Ok(()),
        _ => Err(Code::FieldInvalid),
    }
}

fn feedback(value: &Value<'_>) -> Result<(), Code> {
    let members = object(value)?;
    only(members, &["target", "feedback", "strategy"])?;
    vector(find(members, "target").ok_or(Code::FieldInvalid)?)?;
    let list = find(members, "feedback").and_then(Value::items).ok_or(Code::FieldInvalid)?;
    list.iter().try_for_each(|item| {
        let members = object(item)?;
        only(members, &["example", "score"])?;
        vector(find(members, "example").ok_or(Code::FieldInvalid)?)
    })
}

/// An expression of a formula. Payload keys in it are read from points that the filter has let through.
fn expression(value: &Value<'_>) -> Result<bool, Code> {
    let all = |list: &[Value<'_>]| list.iter().try_fold(false, |found, one| Ok(expression(one)? | found));
    let parts = |value: &Value<'_>, known: &[&str], inner: &[&str]| {
        let members = object(value)?;
        only(members, known)?;
        inner.iter().filter_map(|name| find(members, name)).try_fold(false, |found, one| Ok(expression(one)? | found))
    };
    if let Value::Number(_) | Value::String(..) = value {
        return Ok(false);
    }
    let members = object(value)?;
    let Some((name, inner)) = members.first().filter(|_| members.len() == 1) else { return filter::condition(value) };
    match name.decode().as_ref() {
        "sum" | "mult" => all(&items(inner).ok_or(Code::FieldInvalid)?),
        "neg" | "abs" | "sqrt" | "exp" | "log10" | "ln" => expression(inner),
        "div" => parts(inner, &["left", "right", "by_zero_default"], &["left", "right"]),
        "pow" => parts(inner, &["base", "exponent"], &["base", "exponent"]),
        "lin_decay" | "exp_decay" | "gauss_decay" => {
            parts(inner, &["x", "target", "scale", "midpoint"], &["x", "target"])
        }
        "geo_distance" => only(object(inner)?, &["origin", "to"]).map(|()| false),
        "datetime" | "datetime_key" if matches!(inner, Value::String(..)) => Ok(false),
        _ => filter::condition(value),
    }
}

//! Qdrant's filters, evaluated honestly: nothing here knows of tenants.

use super::{Id, Point};
use serde_json::{Map, Value};

/// The values at a path like `a.b[].c`; arrays at its end count as their items.
pub fn values<'v>(payload: &'v Map<String, Value>, path: &str) -> Vec<&'v Value> {
    let mut steps = steps(path).into_iter();
    let Some(first) = steps.next() else { return Vec::new() };
    let mut found: Vec<&Value> = payload.get(&first).into_iter().collect();
    for step in steps {
        found = match step.as_str() {
            "[]" => found.into_iter().filter_map(Value::as_array).flatten().collect(),
            key => found.into_iter().filter_map(|value| value.get(key)).collect(),
        };
    }
    found
}

/// A path's keys; `[]` stands for every item.
pub fn steps(path: &str) -> Vec<String> {
    let (mut out, mut rest) = (Vec::new(), path);
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix("[]") {
            out.push("[]".to_owned());
            rest = after;
        } else if let Some(quoted) = rest.strip_prefix('"') {
            let (key, after) = quoted.split_once('"').unwrap_or((quoted, ""));
            out.push(key.to_owned());
            rest = after;
        } else {
            let end = rest.find(['.', '[']).unwrap_or(rest.len());
            out.push(rest[..end].to_owned());
            rest = &rest[end..];
        }
        rest = rest.strip_prefix('.').unwrap_or(rest);
    }
    out
}

/// Items of what may be one, several or none.
fn many(value: Option<&Value>) -> Vec<&Value> {
    match value {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(list)) => list.iter().collect(),
        Some(one) => vec![one],
    }
}

/// Whether a point fulfils a filter.
///
/// # Errors
/// What the filter has that Qdrant does not know.
pub fn holds(filter: &Value, id: Id, point: &Point) -> Result<bool, String> {
    let members = filter.as_object().ok_or("a filter is an object")?;
    if let Some(key) = members.keys().find(|key| !matches!(key.as_str(), "must" | "should" | "must_not" | "min_should"))
    {
        return Err(format!("unknown field `{key}`"));
    }
    let part = |name: &str| -> Result<Vec<bool>, String> {
        many(members.get(name)).into_iter().map(|one| condition(one, id, point)).collect()
    };
    let (must, should, must_not) = (part("must")?, part("should")?, part("must_not")?);
    let enough = match members.get("min_should").filter(|value| !value.is_null()) {
        None => true,
        Some(value) => {
            let wanted = value["min_count"].as_u64().ok_or("min_count")?;
            let list = value["conditions"].as_array().ok_or("conditions")?;
            let held: Vec<bool> = list.iter().map(|one| condition(one, id, point)).collect::<Result<_, _>>()?;
            held.into_iter().filter(|held| *held).count() as u64 >= wanted
        }
    };
    Ok(must.into_iter().all(|held| held)
        && (should.is_empty() || should.into_iter().any(|held| held))
        && !must_not.into_iter().any(|held| held)
        && enough)
}

/// Whether a point fulfils a condition.
///
/// # Errors
/// As [`holds`].
pub fn condition(value: &Value, id: Id, point: &Point) -> Result<bool, String> {
    let members = value.as_object().ok_or("a condition is an object")?;
    if let Some(key) = members.get("key") {
        return field(members, &values(&point.payload, key.as_str().ok_or("key")?));
    }
    let at = |value: &Value| -> Result<Vec<&Value>, String> {
        Ok(values(&point.payload, value["key"].as_str().ok_or("key")?))
    };
    if let Some(list) = members.get("has_id") {
        let ids = list.as_array().ok_or("has_id")?;
        return ids.iter().try_fold(false, |found, one| Ok(found | (Id::read(one)? == id)));
    }
    if let Some(name) = members.get("has_vector") {
        return Ok(point.vectors.contains_key(name.as_str().ok_or("has_vector")?));
    }
    if let Some(field) = members.get("is_empty") {
        return Ok(at(field)?.into_iter().all(is_empty));
    }
    if let Some(field) = members.get("is_null") {
        return Ok(at(field)?.into_iter().any(Value::is_null));
    }
    if let Some(nested) = members.get("nested") {
        let items = at(nested)?.into_iter().flat_map(|value| many(Some(value))).filter_map(Value::as_object);
        return items.into_iter().try_fold(false, |found, item| {
            let inner = Point { payload: item.clone(), ..Point::default() };
            Ok(found | holds(&nested["filter"], Id::Nothing, &inner)?)
        });
    }
    holds(value, id, point)
}

fn is_empty(value: &Value) -> bool {
    value.is_null() || value.as_array().is_some_and(Vec::is_empty)
}

fn field(members: &Map<String, Value>, found: &[&Value]) -> Result<bool, String> {
    let each: Vec<&Value> = found.iter().flat_map(|value| many(Some(value))).collect();
    let mut held = true;
    for (name, wanted) in members {
        held &= match name.as_str() {
            "key" => true,
            _ if wanted.is_null() => true,
            "match" => matches(wanted, &each)?,
            "range" => each.iter().filter_map(|value| value.as_f64()).any(|n| within(wanted, n)),
            "values_count" => {
                let count = found.iter().map(|value| value.as_array().map_or(1, Vec::len)).sum::<usize>();
                !found.is_empty() && within(wanted, count as f64)
            }
            "is_empty" => found.iter().all(|value| is_empty(value)) == wanted.as_bool().unwrap_or(true),
            "is_null" => found.iter().any(|value| value.is_null()) == wanted.as_bool().unwrap_or(true),
            other => return Err(format!("this fake has no `{other}`")),
        };
    }
    Ok(held)
}

fn matches(wanted: &Value, each: &[&Value]) -> Result<bool, String> {
    let (name, wanted) = wanted.as_object().and_then(|members| members.iter().next()).ok_or("match")?;
    let listed = |value: &Value| wanted.as_array().is_some_and(|list| list.contains(value));
    Ok(match name.as_str() {
        "value" => each.contains(&wanted),
        "any" => each.iter().any(|value| listed(value)),
        "except" => each.iter().any(|value| !listed(value)),
        "text" | "phrase" => {
            let text = wanted.as_str().ok_or("text")?;
            each.iter().filter_map(|value| value.as_str()).any(|value| value.contains(text))
        }
        other => return Err(format!("this fake has no match `{other}`")),
    })
}

fn within(range: &Value, n: f64) -> bool {
    let bound = |name: &str| range.get(name).and_then(Value::as_f64);
    bound("lt").is_none_or(|b| n < b)
        && bound("lte").is_none_or(|b| n <= b)
        && bound("gt").is_none_or(|b| n > b)
        && bound("gte").is_none_or(|b| n >= b)
}

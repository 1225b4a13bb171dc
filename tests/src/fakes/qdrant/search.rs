//! Queries: scores by vectors, prefetches, formulas, groups.

use super::filter::{condition, holds, values};
use super::{Collection, Id, Point};
use serde_json::{Value, json};
use std::collections::BTreeMap;

type Found = Vec<(Id, f64)>;

/// What a query finds, best first.
///
/// # Errors
/// What it has that Qdrant does not know.
pub fn query(collection: &Collection, ask: &Value, limit: usize) -> Result<Found, String> {
    let prefetches: Vec<&Value> = match &ask["prefetch"] {
        Value::Null => Vec::new(),
        Value::Array(list) => list.iter().collect(),
        one => vec![one],
    };
    let fetched: Vec<Found> = prefetches
        .iter()
        .map(|one| query(collection, one, one["limit"].as_u64().unwrap_or(10) as usize))
        .collect::<Result<_, _>>()?;
    let filter = &ask["filter"];
    let mut candidates = Vec::new();
    for (id, point) in &collection.points {
        let fetched = fetched.is_empty() || fetched.iter().flatten().any(|(found, _)| found == id);
        if fetched && (filter.is_null() || holds(filter, *id, point)?) {
            candidates.push((*id, point));
        }
    }
    let wanted = &ask["query"];
    let using = ask["using"].as_str().unwrap_or("");
    let mut found: Found = Vec::new();
    if wanted.is_null() {
        found = candidates.iter().map(|(id, _)| (*id, 0.0)).collect();
    } else if wanted["fusion"].is_string() || wanted["rrf"].is_object() {
        for (id, _) in &candidates {
            let ranks = fetched.iter().filter_map(|list| list.iter().position(|(found, _)| found == id));
            found.push((*id, ranks.map(|rank| 1.0 / (rank as f64 + 2.0)).sum()));
        }
    } else if let Some(key) = order(&wanted["order_by"]) {
        for (id, point) in &candidates {
            found.extend(values(&point.payload, key).first().and_then(|v| v.as_f64()).map(|n| (*id, -n)));
        }
    } else if wanted["sample"].is_string() {
        found = candidates.iter().map(|(id, _)| (*id, 0.0)).collect();
    } else if !wanted["formula"].is_null() {
        for (id, point) in &candidates {
            let score = fetched.iter().flatten().find(|(found, _)| found == id).map_or(0.0, |(_, score)| *score);
            found.push((*id, formula(&wanted["formula"], *id, point, score)?));
        }
    } else {
        for (id, point) in &candidates {
            let Some(vector) = point.vectors.get(using) else { continue };
            found.push((*id, score(wanted, vector)?));
        }
    }
    sort(collection, &mut found);
    if let Some(threshold) = ask["score_threshold"].as_f64() {
        found.retain(|(_, score)| *score >= threshold);
    }
    let skip = ask["offset"].as_u64().unwrap_or(0) as usize;
    Ok(found.into_iter().skip(skip).take(limit).collect())
}

/// `order_by`: a key, or an object with one. Only ascending.
pub fn order(value: &Value) -> Option<&str> {
    value.as_str().or_else(|| value["key"].as_str())
}

/// Best first; equals by what the point holds, so that the order does not depend on ids.
fn sort(collection: &Collection, found: &mut Found) {
    let text = |id: &Id| collection.points.get(id).map(|point| format!("{:?}", point.vectors));
    found.sort_by(|(a, x), (b, y)| y.total_cmp(x).then_with(|| text(a).cmp(&text(b))));
}

fn score(wanted: &Value, vector: &Value) -> Result<f64, String> {
    if let Some(nearest) = wanted.get("nearest") {
        return score(nearest, vector);
    }
    if let Some(examples) = wanted.get("recommend") {
        let sum = |name: &str| -> Result<f64, String> {
            examples[name].as_array().into_iter().flatten().map(|one| score(one, vector)).sum()
        };
        return Ok(sum("positive")? - sum("negative")?);
    }
    let discover = wanted.get("discover");
    if let Some(context) = wanted.get("context").or(discover.map(|discover| &discover["context"])) {
        let pairs = context.as_array().cloned().unwrap_or_else(|| vec![context.clone()]);
        let target = discover.map_or(Ok(0.0), |discover| score(&discover["target"], vector))?;
        return pairs.iter().filter(|pair| pair.is_object()).try_fold(target, |sum, pair| {
            Ok(sum + (score(&pair["positive"], vector)? - score(&pair["negative"], vector)?).min(0.0))
        });
    }
    match (wanted, vector) {
        (Value::Array(a), Value::Array(b)) if a.iter().all(Value::is_number) && b.iter().all(Value::is_number) => {
            if a.len() != b.len() {
                return Err(format!("Vector dimension error: expected dim: {}, got {}", b.len(), a.len()));
            }
            Ok(a.iter().zip(b).filter_map(|(a, b)| Some(a.as_f64()? * b.as_f64()?)).sum())
        }
        (Value::Object(a), Value::Object(b)) => {
            let pairs = |m: &serde_json::Map<String, Value>| -> BTreeMap<u64, f64> {
                let list = |name: &str| m.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
                let both = list("indices").into_iter().zip(list("values"));
                both.filter_map(|(i, v)| Some((i.as_u64()?, v.as_f64()?))).collect()
            };
            let other = pairs(b);
            Ok(pairs(a).iter().filter_map(|(i, v)| Some(v * other.get(i)?)).sum())
        }
        _ => Err("Wrong input: not a vector of this kind".to_owned()),
    }
}

fn formula(expression: &Value, id: Id, point: &Point, score: f64) -> Result<f64, String> {
    let all = |name: &str| -> Result<Vec<f64>, String> {
        expression[name].as_array().into_iter().flatten().map(|one| formula(one, id, point, score)).collect()
    };
    Ok(match expression {
        Value::Number(n) => n.as_f64().unwrap_or(0.0),
        Value::String(name) if name == "$score" => score,
        Value::String(name) => values(&point.payload, name).first().and_then(|v| v.as_f64()).unwrap_or(0.0),
        Value::Object(m) if m.contains_key("sum") => all("sum")?.iter().sum(),
        Value::Object(m) if m.contains_key("mult") => all("mult")?.iter().product(),
        Value::Object(m) if m.contains_key("neg") => -formula(&expression["neg"], id, point, score)?,
        other => f64::from(u8::from(condition(other, id, point)?)),
    })
}

/// Groups by a payload field: each value's points, best first.
///
/// # Errors
/// As [`query`].
pub fn groups(collection: &Collection, ask: &Value, write: impl Fn(Id, f64) -> Value) -> Result<Value, String> {
    let found = query(collection, ask, usize::MAX)?;
    let key = ask["group_by"].as_str().ok_or("group_by")?;
    let (size, limit) = (ask["group_size"].as_u64().unwrap_or(3), ask["limit"].as_u64().unwrap_or(10));
    let mut groups: Vec<(Value, Vec<Value>)> = Vec::new();
    for (id, score) in found {
        let Some(point) = collection.points.get(&id) else { continue };
        let mut names: Vec<Value> = Vec::new();
        for value in values(&point.payload, key) {
            let all = value.as_array().cloned().unwrap_or_else(|| vec![value.clone()]);
            names.extend(all.into_iter().filter(|v| v.is_string() || v.is_i64()));
        }
        for name in names {
            let at = groups.iter().position(|(known, _)| *known == name).unwrap_or_else(|| {
                groups.push((name, Vec::new()));
                groups.len() - 1
            });
            if (groups[at].1.len() as u64) < size {
                groups[at].1.push(write(id, score));
            }
        }
    }
    let groups: Vec<Value> =
        groups.into_iter().take(limit as usize).map(|(id, hits)| json!({"id": id, "hits": hits})).collect();
    Ok(json!({"groups": groups}))
}

//! What aggregations mean.

use super::query::{Context, compare, values};
use super::search::{Hit, written};
use super::{Doc, Failure, bad};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// The aggregations of these documents.
pub(super) fn aggregate(context: &Context<'_>, index: &str, asked: &Value, docs: &[&Doc]) -> Result<Value, Failure> {
    let mut out = Map::new();
    for (name, about) in asked.as_object().into_iter().flatten() {
        let members = about.as_object().ok_or_else(|| bad("an aggregation is an object"))?;
        let below = about.get("aggs").or(about.get("aggregations"));
        let (kind, body) = members
            .iter()
            .find(|(name, _)| !matches!(name.as_str(), "aggs" | "aggregations" | "meta"))
            .ok_or_else(|| bad("an aggregation has a kind"))?;
        out.insert(name.clone(), one(context, index, kind, body, below, docs)?);
    }
    Ok(Value::Object(out))
}

fn one(
    context: &Context<'_>,
    index: &str,
    kind: &str,
    body: &Value,
    below: Option<&Value>,
    docs: &[&Doc],
) -> Result<Value, Failure> {
    let field = body["field"].as_str().unwrap_or_default();
    let bucket = |docs: &[&Doc]| -> Result<Value, Failure> {
        let mut bucket = json!({"doc_count": docs.len()});
        if let (Some(below), Some(bucket)) = (below, bucket.as_object_mut())
            && let Value::Object(parts) = aggregate(context, index, below, docs)?
        {
            bucket.extend(parts);
        }
        Ok(bucket)
    };
    let matching = |query: &Value| -> Result<Vec<&Doc>, Failure> {
        let mut found = Vec::new();
        for doc in docs {
            if context.score(query, doc)?.is_some() {
                found.push(*doc);
            }
        }
        Ok(found)
    };
    let numbers: Vec<f64> = docs.iter().flat_map(|doc| values(doc, field)).filter_map(|value| value.as_f64()).collect();
    let sum: f64 = numbers.iter().sum();
    let (least, most) = (numbers.iter().copied().reduce(f64::min), numbers.iter().copied().reduce(f64::max));
    let average = if numbers.is_empty() { None } else { Some(sum / numbers.len() as f64) };
    Ok(match kind {
        "terms" => {
            let mut buckets: BTreeMap<String, (Value, Vec<&Doc>)> = BTreeMap::new();
            for doc in docs {
                for value in values(doc, field) {
                    let bucket = buckets.entry(value.to_string()).or_insert((value, Vec::new()));
                    if bucket.1.last().is_none_or(|last| last.id != doc.id) {
                        bucket.1.push(doc);
                    }
                }
            }
            // Of the whole index, as there: the reason for which 0 is refused.
            if body["min_doc_count"] == 0 {
                for value in context.docs.iter().flat_map(|doc| values(doc, field)) {
                    buckets.entry(value.to_string()).or_insert((value, Vec::new()));
                }
            }
            let mut buckets: Vec<_> = buckets.into_values().collect();
            buckets.sort_by(|a, b| b.1.len().cmp(&a.1.len()).then_with(|| compare(&a.0, &b.0)));
            let size = body["size"].as_u64().unwrap_or(10) as usize;
            let rest: usize = buckets.iter().skip(size).map(|(_, docs)| docs.len()).sum();
            let mut out = Vec::new();
            for (key, docs) in buckets.into_iter().take(size) {
                let mut bucket = bucket(&docs)?;
                bucket["key"] = key;
                out.push(bucket);
            }
            json!({"doc_count_error_upper_bound": 0, "sum_other_doc_count": rest, "buckets": out})
        }
        "avg" => json!({"value": average}),
        "sum" => json!({"value": sum}),
        "min" => json!({"value": least}),
        "max" => json!({"value": most}),
        "value_count" => json!({"value": docs.iter().map(|doc| values(doc, field).len()).sum::<usize>()}),
        "cardinality" => {
            let mut all: Vec<String> = docs.iter().flat_map(|doc| values(doc, field)).map(|v| v.to_string()).collect();
            all.sort();
            all.dedup();
            json!({"value": all.len()})
        }
        "stats" => json!({"count": numbers.len(), "min": least, "max": most, "avg": average, "sum": sum}),
        "missing" => {
            let without: Vec<&Doc> = docs.iter().copied().filter(|doc| values(doc, field).is_empty()).collect();
            bucket(&without)?
        }
        "filter" => bucket(&matching(body)?)?,
        "filters" => match &body["filters"] {
            Value::Object(named) => {
                let mut buckets = Map::new();
                for (name, query) in named {
                    buckets.insert(name.clone(), bucket(&matching(query)?)?);
                }
                json!({"buckets": buckets})
            }
            listed => {
                let queries = listed.as_array().ok_or_else(|| bad("[filters] wants filters"))?;
                let buckets = queries.iter().map(|query| bucket(&matching(query)?)).collect::<Result<Vec<_>, _>>()?;
                json!({"buckets": buckets})
            }
        },
        "global" => {
            let all: Vec<&Doc> = context.docs.iter().collect();
            bucket(&all)?
        }
        "histogram" => {
            let interval =
                body["interval"].as_f64().filter(|i| *i > 0.0).ok_or_else(|| bad("[interval] must be >0"))?;
            let mut buckets: BTreeMap<i64, Vec<&Doc>> = BTreeMap::new();
            for doc in docs {
                for value in values(doc, field).iter().filter_map(Value::as_f64) {
                    buckets.entry((value / interval).floor() as i64).or_default().push(doc);
                }
            }
            let mut out = Vec::new();
            for (step, docs) in buckets {
                let mut bucket = bucket(&docs)?;
                bucket["key"] = json!(step as f64 * interval);
                out.push(bucket);
            }
            json!({"buckets": out})
        }
        "top_hits" => {
            let size = body["size"].as_u64().unwrap_or(3) as usize;
            let hits: Vec<Value> = docs
                .iter()
                .take(size)
                .map(|doc| written(index, &Hit { doc, score: Some(1.0), sort: Vec::new() }, body))
                .collect();
            json!({"hits": {"total": {"value": docs.len(), "relation": "eq"}, "max_score": 1.0, "hits": hits}})
        }
        _ => return Err(bad(format!("Unknown aggregation type [{kind}]"))),
    })
}

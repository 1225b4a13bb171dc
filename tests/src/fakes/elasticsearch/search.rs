//! What a search's body means.

use super::query::{Context, compare, glob, values};
use super::{Doc, Failure, Store, aggregations, bad, shards, source_of};
use serde_json::{Map, Value, json};
use std::cmp::Ordering;
use std::collections::BTreeMap;

/// A document that was found.
pub(super) struct Hit<'d> {
    pub(super) doc: &'d Doc,
    pub(super) score: Option<f64>,
    pub(super) sort: Vec<Value>,
}

const KNOWN: &[&str] = &[
    "query",
    "knn",
    "retriever",
    "post_filter",
    "aggs",
    "aggregations",
    "from",
    "size",
    "sort",
    "min_score",
    "search_after",
    "track_total_hits",
    "track_scores",
    "_source",
    "fields",
    "docvalue_fields",
    "collapse",
    "version",
    "seq_no_primary_term",
    "timeout",
];

impl Store {
    pub(super) fn search(&self, index: &str, query: &BTreeMap<String, String>, body: &Value) -> Result<Value, Failure> {
        let docs = self.documents(index)?;
        let context = Context { docs };
        if let Some((name, _)) =
            body.as_object().into_iter().flatten().find(|(name, _)| !KNOWN.contains(&name.as_str()))
        {
            return Err(bad(format!("unknown key [{name}]")));
        }
        let number = |name: &str, default: u64| {
            let own = query.get(name).and_then(|text| text.parse().ok()).or(body[name].as_u64());
            own.unwrap_or(default) as usize
        };
        let scores = scores(&context, body)?;
        let mut hits: Vec<Hit<'_>> = docs
            .iter()
            .filter_map(|doc| Some(Hit { doc, score: Some(*scores.get(&doc.id)?), sort: Vec::new() }))
            .filter(|hit| body["min_score"].as_f64().is_none_or(|least| hit.score.is_some_and(|score| score >= least)))
            .collect();
        let found: Vec<&Doc> = hits.iter().map(|hit| hit.doc).collect();
        let asked = body.get("aggs").or(body.get("aggregations"));
        let aggregations = asked.map(|asked| aggregations::aggregate(&context, index, asked, &found)).transpose()?;
        if let Some(filter) = body.get("post_filter") {
            let mut kept = Vec::new();
            for hit in hits {
                if context.score(filter, hit.doc)?.is_some() {
                    kept.push(hit);
                }
            }
            hits = kept;
        }
        let total = hits.len();
        order(&mut hits, body, query)?;
        if let Some(field) = body["collapse"]["field"].as_str() {
            let mut seen = Vec::new();
            hits.retain(|hit| {
                let key = values(hit.doc, field);
                let fresh = !seen.contains(&key);
                seen.push(key);
                fresh
            });
        }
        let highest = hits.iter().filter_map(|hit| hit.score).reduce(f64::max);
        let mut own = body.clone();
        if query.keys().any(|name| name.starts_with("_source")) {
            own["_source"] = source_of(query);
        }
        let page = hits.iter().skip(number("from", 0)).take(number("size", 10));
        let page: Vec<Value> = page.map(|hit| written(index, hit, &own)).collect();
        let mut inner = json!({"max_score": highest, "hits": page});
        if body["track_total_hits"] != false {
            let as_number = query.get("rest_total_hits_as_int").is_some_and(|flag| flag != "false");
            inner["total"] = if as_number { json!(total) } else { json!({"value": total, "relation": "eq"}) };
        }
        let mut out = json!({"took": 1, "timed_out": false, "_shards": shards(), "hits": inner});
        if let Some(tree) = aggregations {
            out["aggregations"] = tree;
        }
        Ok(out)
    }
}

/// What is found, and how well: by query or nearest neighbours, added up, or by a retriever.
fn scores(context: &Context<'_>, body: &Value) -> Result<BTreeMap<String, f64>, Failure> {
    if let Some(retriever) = body.get("retriever") {
        if body.get("query").is_some() || body.get("knn").is_some() {
            return Err(bad("cannot specify [retriever] and [query] or [knn]"));
        }
        return Ok(ranked(context, retriever)?.into_iter().collect());
    }
    let mut found: BTreeMap<String, f64> = BTreeMap::new();
    let all = json!({"match_all": {}});
    // As there, an empty list of neighbours is none.
    let near = body.get("knn").is_some_and(|knn| knn.as_array().is_none_or(|all| !all.is_empty()));
    if body.get("query").is_some() || !near {
        found.extend(by_query(context, body.get("query").unwrap_or(&all), None)?);
    }
    let searches = match &body["knn"] {
        Value::Array(several) => several.iter().collect(),
        Value::Null => Vec::new(),
        one => vec![one],
    };
    for one in searches {
        for (id, score) in context.nearest(one)? {
            *found.entry(id).or_default() += score * one["boost"].as_f64().unwrap_or(1.0);
        }
    }
    Ok(found)
}

fn by_query(context: &Context<'_>, query: &Value, filter: Option<&Value>) -> Result<Vec<(String, f64)>, Failure> {
    let mut found = Vec::new();
    for doc in context.docs {
        let fits = filter.map_or(Ok(true), |filter| context.score(filter, doc).map(|score| score.is_some()))?;
        if let Some(score) = context.score(query, doc)?.filter(|_| fits) {
            found.push((doc.id.clone(), score));
        }
    }
    found.sort_by(|a, b| b.1.total_cmp(&a.1));
    Ok(found)
}

/// A retriever's documents, the best first.
fn ranked(context: &Context<'_>, retriever: &Value) -> Result<Vec<(String, f64)>, Failure> {
    let (kind, body) =
        retriever.as_object().and_then(|m| m.iter().next()).ok_or_else(|| bad("a retriever is wanted"))?;
    match kind.as_str() {
        "standard" => {
            let all = json!({"match_all": {}});
            let filter = body.get("filter").map(|filter| json!({"bool": {"filter": filter}}));
            by_query(context, body.get("query").unwrap_or(&all), filter.as_ref())
        }
        "knn" => context.nearest(body),
        "rrf" | "linear" => {
            let constant = body["rank_constant"].as_f64().unwrap_or(60.0);
            let window = body["rank_window_size"].as_u64().unwrap_or(10) as usize;
            let mut found: Vec<(String, f64)> = Vec::new();
            for part in body["retrievers"].as_array().into_iter().flatten() {
                let weight = part["weight"].as_f64().unwrap_or(1.0);
                let inner = ranked(context, part.get("retriever").unwrap_or(part))?;
                for (rank, (id, score)) in inner.into_iter().take(window).enumerate() {
                    let gain = if kind == "rrf" { 1.0 / (constant + rank as f64 + 1.0) } else { score * weight };
                    match found.iter_mut().find(|(known, _)| *known == id) {
                        Some((_, sum)) => *sum += gain,
                        None => found.push((id, gain)),
                    }
                }
            }
            Ok(found)
        }
        _ => Err(bad(format!("unknown retriever [{kind}]"))),
    }
}

fn order(hits: &mut Vec<Hit<'_>>, body: &Value, query: &BTreeMap<String, String>) -> Result<(), Failure> {
    let mut keys: Vec<(String, bool)> = Vec::new();
    let listed = match (&body["sort"], query.get("sort")) {
        (_, Some(text)) => text
            .split(',')
            .map(|part| match part.split_once(':') {
                Some((field, way)) => json!({ field: way }),
                None => json!(part),
            })
            .collect(),
        (Value::Array(items), _) => items.clone(),
        (Value::Null, _) => Vec::new(),
        (one, _) => vec![one.clone()],
    };
    for one in &listed {
        match one {
            Value::String(field) => keys.push((field.clone(), field == "_score")),
            Value::Object(members) => {
                for (field, about) in members {
                    let way = about.as_str().or(about["order"].as_str());
                    keys.push((field.clone(), way.map_or(field == "_score", |way| way == "desc")));
                }
            }
            _ => return Err(bad("[sort] is malformed")),
        }
    }
    if keys.is_empty() {
        hits.sort_by(|a, b| b.score.unwrap_or(0.0).total_cmp(&a.score.unwrap_or(0.0)));
        return Ok(());
    }
    let scored = keys.iter().any(|(field, _)| field == "_score") || body["track_scores"] == true;
    for hit in hits.iter_mut() {
        hit.sort = keys
            .iter()
            .map(|(field, falling)| {
                let have = values(hit.doc, field);
                let best = |a: &Value, b: &Value| if *falling { compare(b, a) } else { compare(a, b) };
                if field == "_score" { json!(hit.score) } else { have.into_iter().min_by(best).unwrap_or_default() }
            })
            .collect();
        if !scored {
            hit.score = None;
        }
    }
    let compared = |a: &[Value], b: &[Value]| {
        let pairs = a.iter().zip(b).zip(&keys).map(|((a, b), (_, falling))| match (a.is_null(), b.is_null()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Greater,
            (false, true) => Ordering::Less,
            _ if *falling => compare(b, a),
            _ => compare(a, b),
        });
        pairs.fold(Ordering::Equal, Ordering::then)
    };
    hits.sort_by(|a, b| compared(&a.sort, &b.sort));
    if let Some(after) = body["search_after"].as_array() {
        hits.retain(|hit| compared(&hit.sort, after).is_gt());
    }
    Ok(())
}

/// A hit, as the server writes it.
pub(super) fn written(index: &str, hit: &Hit<'_>, body: &Value) -> Value {
    let mut out = json!({"_index": index, "_id": hit.doc.id, "_score": hit.score});
    if let Some(source) = filtered(&hit.doc.source, &body["_source"]) {
        out["_source"] = source;
    }
    if !hit.sort.is_empty() {
        out["sort"] = json!(hit.sort);
    }
    if body["version"] == true {
        out["_version"] = json!(hit.doc.version);
    }
    if body["seq_no_primary_term"] == true {
        out["_seq_no"] = json!(hit.doc.sequence);
        out["_primary_term"] = json!(1);
    }
    let mut fields = Map::new();
    let asked =
        body["fields"].as_array().into_iter().flatten().chain(body["docvalue_fields"].as_array().into_iter().flatten());
    for one in asked {
        let pattern = one.as_str().or(one["field"].as_str()).unwrap_or_default();
        for (name, _) in hit.doc.source.as_object().into_iter().flatten().filter(|(name, _)| glob(pattern, name)) {
            let found = values(hit.doc, name);
            if !found.is_empty() {
                fields.insert(name.clone(), json!(found));
            }
        }
    }
    if let Some(field) = body["collapse"]["field"].as_str() {
        fields.insert(field.to_owned(), json!(values(hit.doc, field)));
    }
    if !fields.is_empty() {
        out["fields"] = Value::Object(fields);
    }
    out
}

/// The part of a source that is asked for; `None` for none.
pub(super) fn filtered(source: &Value, asked: &Value) -> Option<Value> {
    let texts = |value: &Value| -> Vec<String> {
        match value {
            Value::Array(items) => items.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            Value::String(text) => vec![text.clone()],
            _ => Vec::new(),
        }
    };
    let (includes, excludes) = match asked {
        Value::Bool(false) => return None,
        Value::Null | Value::Bool(true) => return Some(source.clone()),
        Value::Object(members) => {
            let one = |names: [&str; 2]| names.iter().flat_map(|name| members.get(*name)).flat_map(texts).collect();
            (one(["includes", "include"]), one(["excludes", "exclude"]))
        }
        list => (texts(list), Vec::new()),
    };
    Some(part(source, "", &includes, &excludes))
}

fn part(value: &Value, path: &str, includes: &[String], excludes: &[String]) -> Value {
    let Value::Object(members) = value else { return value.clone() };
    let mut out = Map::new();
    for (name, value) in members {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        let fits = |pattern: &String| glob(pattern, &path);
        if excludes.iter().any(fits) {
            continue;
        }
        if includes.is_empty() || includes.iter().any(fits) {
            out.insert(name.clone(), part(value, &path, &[], excludes));
        } else if value.is_object() && includes.iter().any(|pattern| pattern.starts_with(&format!("{path}."))) {
            out.insert(name.clone(), part(value, &path, includes, excludes));
        }
    }
    Value::Object(out)
}

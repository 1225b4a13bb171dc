//! What queries mean.

use super::{Doc, Failure, bad};
use serde_json::{Value, json};

/// The index in which a query is asked.
pub(super) struct Context<'d> {
    pub(super) docs: &'d [Doc],
}

type Score = Result<Option<f64>, Failure>;

/// A field's values: every one of a list's.
pub(super) fn values(doc: &Doc, field: &str) -> Vec<Value> {
    if field == "_id" {
        return vec![json!(doc.id)];
    }
    let mut found = Vec::new();
    collect(&doc.source, field, &mut found);
    found
}

fn collect(value: &Value, path: &str, found: &mut Vec<Value>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| collect(item, path, found)),
        Value::Object(members) => {
            for (name, value) in members {
                if name == path {
                    leaves(value, found);
                } else if let Some(rest) = path.strip_prefix(name).and_then(|rest| rest.strip_prefix('.')) {
                    collect(value, rest, found);
                }
            }
        }
        _ => {}
    }
}

fn leaves(value: &Value, found: &mut Vec<Value>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| leaves(item, found)),
        Value::Null | Value::Object(_) => {}
        other => found.push(other.clone()),
    }
}

pub(super) fn words(text: &str) -> Vec<String> {
    let parts = text.split(|c: char| !c.is_alphanumeric() && c != '_');
    parts.filter(|word| !word.is_empty()).map(str::to_lowercase).collect()
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn same(a: &Value, b: &Value) -> bool {
    match (a.as_f64(), b.as_f64()) {
        (Some(a), Some(b)) => a == b,
        _ => text(a) == text(b),
    }
}

/// `-1`, `0`, `1`, as numbers where both are, else as texts.
pub(super) fn compare(a: &Value, b: &Value) -> std::cmp::Ordering {
    match (a.as_f64(), b.as_f64()) {
        (Some(a), Some(b)) => a.total_cmp(&b),
        _ => text(a).cmp(&text(b)),
    }
}

/// A pattern of `*` and `?`.
pub(super) fn glob(pattern: &str, text: &str) -> bool {
    let (Some(first), rest) = (pattern.chars().next(), pattern.chars().skip(1).collect::<String>()) else {
        return text.is_empty();
    };
    let mut tails = text.char_indices().map(|(at, c)| text.get(at + c.len_utf8()..).unwrap_or_default());
    match first {
        '*' => glob(&rest, text) || tails.any(|tail| glob(&rest, tail)),
        _ => text.starts_with(|c| first == '?' || c == first) && tails.next().is_some_and(|tail| glob(&rest, tail)),
    }
}

fn list(value: &Value) -> Vec<&Value> {
    match value {
        Value::Array(items) => items.iter().collect(),
        Value::Null => Vec::new(),
        one => vec![one],
    }
}

fn numbers(value: &Value) -> Option<Vec<f64>> {
    value.as_array()?.iter().map(Value::as_f64).collect()
}

impl Context<'_> {
    /// A document's score; `None` when the query does not find it.
    pub(super) fn score(&self, query: &Value, doc: &Doc) -> Score {
        let members = query.as_object().filter(|members| members.len() == 1);
        let (kind, body) =
            members.and_then(|m| m.iter().next()).ok_or_else(|| bad("query malformed, empty clause found"))?;
        let boost = body["boost"].as_f64().unwrap_or(1.0);
        let score = match kind.as_str() {
            "match_all" => Some(1.0),
            "match_none" => None,
            "bool" => self.bool(body, doc)?,
            "constant_score" => self.score(&body["filter"], doc)?.map(|_| 1.0),
            "dis_max" => self.best(&list(&body["queries"]), doc)?,
            "boosting" => {
                let negative =
                    self.score(&body["negative"], doc)?.map_or(1.0, |_| body["negative_boost"].as_f64().unwrap_or(1.0));
                self.score(&body["positive"], doc)?.map(|score| score * negative)
            }
            "function_score" => {
                let all = json!({"match_all": {}});
                let weight = body["weight"].as_f64().unwrap_or(1.0);
                self.score(body.get("query").unwrap_or(&all), doc)?.map(|score| score * weight)
            }
            "nested" => self.nested(body, doc)?,
            "hybrid" => self.best(&list(&body["queries"]), doc)?,
            "ids" => list(&body["values"]).iter().any(|id| text(id) == doc.id).then_some(1.0),
            "exists" => (!values(doc, &text(&body["field"])).is_empty()).then_some(1.0),
            "knn" => self.nearest(body)?.into_iter().find(|(id, _)| *id == doc.id).map(|(_, score)| score),
            "multi_match" | "query_string" | "simple_query_string" => self.loose(kind, body, doc),
            _ => self.leaf(kind, body, doc)?,
        };
        Ok(score.map(|score| score * boost))
    }

    fn best(&self, queries: &[&Value], doc: &Doc) -> Score {
        let mut best: Option<f64> = None;
        for query in queries {
            if let Some(score) = self.score(query, doc)? {
                best = Some(best.map_or(score, |best| best.max(score)));
            }
        }
        Ok(best)
    }

    fn bool(&self, body: &Value, doc: &Doc) -> Score {
        let mut total = 0.0;
        for query in list(&body["must"]) {
            let Some(score) = self.score(query, doc)? else { return Ok(None) };
            total += score;
        }
        for query in list(&body["filter"]) {
            if self.score(query, doc)?.is_none() {
                return Ok(None);
            }
        }
        for query in list(&body["must_not"]) {
            if self.score(query, doc)?.is_some() {
                return Ok(None);
            }
        }
        let should = list(&body["should"]);
        let mut matched = 0;
        for query in &should {
            if let Some(score) = self.score(query, doc)? {
                matched += 1;
                total += score;
            }
        }
        let alone = body.get("must").is_none() && body.get("filter").is_none() && !should.is_empty();
        let least = body["minimum_should_match"].as_u64().unwrap_or(u64::from(alone));
        Ok((matched >= least).then_some(total))
    }

    fn nested(&self, body: &Value, doc: &Doc) -> Score {
        let path = text(&body["path"]);
        let mut best: Option<f64> = None;
        for item in list(&doc.source[&path]) {
            let part = Doc { source: json!({ path.as_str(): item }), ..doc.clone() };
            if let Some(score) = self.score(&body["query"], &part)? {
                best = Some(best.map_or(score, |best| best.max(score)));
            }
        }
        Ok(best)
    }

    fn loose(&self, kind: &str, body: &Value, doc: &Doc) -> Option<f64> {
        let query = text(&body["query"]);
        if kind != "multi_match" && (query == "*" || query == "*:*") {
            return Some(1.0);
        }
        let mut score = 0.0;
        for word in query.split_whitespace().filter(|word| !matches!(*word, "OR" | "|")) {
            let (fields, word) = match word.split_once(':') {
                Some((field, word)) if kind == "query_string" => (vec![field.to_owned()], word),
                _ => (list(&body["fields"]).into_iter().map(text).collect(), word),
            };
            let everywhere = fields.is_empty();
            let mut have = Vec::new();
            for (name, _) in doc.source.as_object().into_iter().flatten() {
                if everywhere || fields.iter().any(|field| glob(field, name)) {
                    have.extend(values(doc, name));
                }
            }
            let wanted = words(word);
            if have.iter().flat_map(|value| words(&text(value))).any(|have| wanted.contains(&have)) {
                score += 1.0;
            }
        }
        (score > 0.0).then_some(score)
    }

    fn leaf(&self, kind: &str, body: &Value, doc: &Doc) -> Score {
        let fields = body.as_object().ok_or_else(|| bad("a field is wanted"))?;
        let mut fields = fields.iter().filter(|(name, _)| !matches!(name.as_str(), "boost" | "_name"));
        let (Some((field, about)), None) = (fields.next(), fields.next()) else {
            return Err(bad(format!("[{kind}] query doesn't support multiple fields")));
        };
        let have = values(doc, field);
        let value = |name: &str| if about.is_object() { about[name].clone() } else { about.clone() };
        let boost = about["boost"].as_f64().unwrap_or(1.0);
        let found = |yes: bool| yes.then_some(1.0);
        let score = match kind {
            "term" => {
                let wanted = value("value");
                if about["case_insensitive"] == true {
                    found(have.iter().any(|have| text(have).to_lowercase() == text(&wanted).to_lowercase()))
                } else {
                    found(have.iter().any(|have| same(have, &wanted)))
                }
            }
            "terms" => {
                let wanted = about.as_array().ok_or_else(|| bad("[terms] query requires a list"))?;
                found(have.iter().any(|have| wanted.iter().any(|wanted| same(have, wanted))))
            }
            "match" => {
                let wanted = words(&text(&value("query")));
                let have: Vec<String> = have.iter().flat_map(|value| words(&text(value))).collect();
                let hits = wanted.iter().filter(|word| have.contains(word)).count();
                let least = if about["operator"] == "and" || about["operator"] == "AND" { wanted.len() } else { 1 };
                (hits >= least && hits > 0).then_some(hits as f64)
            }
            "match_phrase" => {
                let wanted = words(&text(&value("query")));
                found(
                    have.iter().any(|have| words(&text(have)).windows(wanted.len().max(1)).any(|part| part == wanted)),
                )
            }
            "match_phrase_prefix" | "match_bool_prefix" => {
                let wanted = words(&text(&value("query"))).pop().unwrap_or_default();
                found(have.iter().flat_map(|have| words(&text(have))).any(|word| word.starts_with(&wanted)))
            }
            "prefix" => found(have.iter().any(|have| text(have).starts_with(&text(&value("value"))))),
            "wildcard" => {
                let pattern = if about["wildcard"].is_string() { value("wildcard") } else { value("value") };
                found(have.iter().any(|have| glob(&text(&pattern), &text(have))))
            }
            "range" => {
                let holds = |have: &Value| {
                    about.as_object().into_iter().flatten().all(|(name, limit)| match name.as_str() {
                        "gt" => compare(have, limit).is_gt(),
                        "gte" | "from" => compare(have, limit).is_ge(),
                        "lt" => compare(have, limit).is_lt(),
                        "lte" | "to" => compare(have, limit).is_le(),
                        _ => true,
                    })
                };
                found(have.iter().any(holds))
            }
            _ => return Err(bad(format!("unknown query [{kind}]"))),
        };
        Ok(score.map(|score| score * boost))
    }

    /// The `k` nearest of those that the filter finds, in either spelling.
    pub(super) fn nearest(&self, body: &Value) -> Result<Vec<(String, f64)>, Failure> {
        let elastic = body["field"].is_string();
        let (field, about, name) = match body.as_object().filter(|_| !elastic).and_then(|members| members.iter().next())
        {
            Some((field, about)) => (field.clone(), about, "vector"),
            None => (text(&body["field"]), body, "query_vector"),
        };
        let wanted = numbers(&about[name]).ok_or_else(|| bad("[knn] requires a vector"))?;
        let mut near = Vec::new();
        for doc in self.docs {
            let Some(have) = numbers(&doc.source[&field]).filter(|have| have.len() == wanted.len()) else { continue };
            let mut fits = true;
            for filter in list(&about["filter"]) {
                fits &= self.score(filter, doc)?.is_some();
            }
            if fits {
                let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
                let length = (dot(&have, &have) * dot(&wanted, &wanted)).sqrt();
                let cosine = if length > 0.0 { dot(&have, &wanted) / length } else { 0.0 };
                near.push((doc.id.clone(), f64::midpoint(1.0, cosine)));
            }
        }
        near.sort_by(|a, b| b.1.total_cmp(&a.1));
        near.truncate(about["k"].as_u64().unwrap_or(10) as usize);
        near.retain(|(_, score)| about["similarity"].as_f64().is_none_or(|least| *score * 2.0 - 1.0 >= least));
        let boost = if elastic { 1.0 } else { about["boost"].as_f64().unwrap_or(1.0) };
        near.iter_mut().for_each(|(_, score)| *score *= boost);
        Ok(near)
    }
}

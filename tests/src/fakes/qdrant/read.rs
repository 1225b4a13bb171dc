//! Requests that only read.

use super::filter::{holds, steps, values};
use super::{Collection, Failure, Id, bad, ids, search};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

impl Collection {
    pub(super) fn info(&self) -> Value {
        let count = self.points.len();
        json!({"status": "green", "optimizer_status": "ok", "points_count": count, "indexed_vectors_count": count,
            "segments_count": 8, "payload_schema": {"secret_field": {"data_type": "keyword", "points": count}},
            "update_queue": {"length": count},
            "config": {
                "params": {"vectors": self.config["vectors"], "sparse_vectors": self.config["sparse_vectors"],
                    "shard_number": 1, "replication_factor": 1, "write_consistency_factor": 1, "on_disk_payload": true},
                "hnsw_config": {"m": 16, "ef_construct": 100, "full_scan_threshold": 10000},
                "optimizer_config": {"deleted_threshold": 0.2, "vacuum_min_vector_number": 1000,
                    "default_segment_number": 0, "flush_interval_sec": 5},
                "metadata": {"owner": "beta"}}})
    }

    pub(super) fn reads(&self, rest: &[&str]) -> bool {
        matches!(
            rest,
            ["points"]
                | ["facet"]
                | ["points", "query" | "search" | "recommend" | "scroll" | "count"]
                | ["points", "query" | "search" | "recommend", "batch" | "groups"]
                | ["points", "search", "matrix", _]
        )
    }

    pub(super) fn read(&self, method: &str, rest: &[&str], body: &Value) -> Result<Value, Failure> {
        match (method, rest) {
            ("GET", ["points", id]) => {
                let id = id.parse::<u64>().map(Value::from).unwrap_or_else(|_| json!(id));
                let id = Id::read(&id).map_err(bad)?;
                if !self.points.contains_key(&id) {
                    return Err((404, format!("Not found: Point with id {} does not exists!", id.json())));
                }
                Ok(self.record(id, &json!({"with_payload": true, "with_vector": true}), true))
            }
            (_, ["points"]) => {
                let ids: Vec<Id> = ids(&body["ids"])?;
                Ok(ids
                    .into_iter()
                    .filter(|id| self.points.contains_key(id))
                    .map(|id| self.record(id, body, true))
                    .collect())
            }
            (_, ["points", "scroll"]) => self.scroll(body),
            (_, ["points", "count"]) => Ok(json!({"count": self.matching(&body["filter"])?.len()})),
            (_, ["facet"]) => self.facet(body),
            (_, ["points", "search", "matrix", form]) => self.matrix(form, body),
            (_, ["points", kind, "batch"]) => {
                let searches = body["searches"].as_array().ok_or_else(|| bad("searches"))?;
                searches.iter().map(|one| self.find(kind, one)).collect()
            }
            (_, ["points", kind, "groups"]) => {
                let ask = modern(kind, body);
                search::groups(self, &ask, |id, score| self.scored(id, score, body)).map_err(bad)
            }
            (_, ["points", kind]) => self.find(kind, body),
            _ => Err((404, String::new())),
        }
    }

    fn find(&self, kind: &str, body: &Value) -> Result<Value, Failure> {
        let limit = body["limit"].as_u64().or(body["top"].as_u64()).unwrap_or(10) as usize;
        let found = search::query(self, &modern(kind, body), limit).map_err(bad)?;
        let points: Vec<Value> = found.into_iter().map(|(id, score)| self.scored(id, score, body)).collect();
        Ok(if kind == "query" { json!({"points": points}) } else { json!(points) })
    }

    pub(super) fn matching(&self, filter: &Value) -> Result<Vec<Id>, Failure> {
        let mut out = Vec::new();
        for (id, point) in &self.points {
            if filter.is_null() || holds(filter, *id, point).map_err(bad)? {
                out.push(*id);
            }
        }
        Ok(out)
    }

    fn scroll(&self, body: &Value) -> Result<Value, Failure> {
        let limit = body["limit"].as_u64().unwrap_or(10) as usize;
        if limit == 0 {
            return Err(bad("limit: value 0 invalid, must be 1 or larger"));
        }
        let mut all = self.matching(&body["filter"])?;
        if let Some(key) = search::order(&body["order_by"]) {
            let value = |id: &Id| values(&self.points[id].payload, key).first().and_then(|v| v.as_f64());
            all.retain(|id| value(id).is_some());
            all.sort_by(|a, b| value(a).partial_cmp(&value(b)).unwrap_or(std::cmp::Ordering::Equal));
            let page: Vec<Value> = all.iter().take(limit).map(|id| self.record(*id, body, true)).collect();
            return Ok(json!({"points": page, "next_page_offset": null}));
        }
        if !body["offset"].is_null() {
            let from = Id::read(&body["offset"]).map_err(bad)?;
            all.retain(|id| *id >= from);
        }
        let next = all.get(limit).map_or(Value::Null, |id| id.json());
        let page: Vec<Value> = all.iter().take(limit).map(|id| self.record(*id, body, true)).collect();
        Ok(json!({"points": page, "next_page_offset": next}))
    }

    fn facet(&self, body: &Value) -> Result<Value, Failure> {
        let key = body["key"].as_str().ok_or_else(|| bad("key"))?;
        let mut counts: BTreeMap<String, (Value, u64)> = BTreeMap::new();
        for id in self.matching(&body["filter"])? {
            for value in values(&self.points[&id].payload, key) {
                for one in value.as_array().cloned().unwrap_or_else(|| vec![value.clone()]) {
                    counts.entry(one.to_string()).or_insert((one, 0)).1 += 1;
                }
            }
        }
        let mut hits: Vec<(Value, u64)> = counts.into_values().collect();
        hits.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        // An estimate counts what others have.
        let more = if body["exact"].as_bool().unwrap_or(false) { 0 } else { self.points.len() as u64 };
        let limit = body["limit"].as_u64().unwrap_or(10) as usize;
        Ok(
            json!({"hits": hits.into_iter().take(limit).map(|(value, count)| json!({"value": value, "count": count + more}))
            .collect::<Vec<_>>()}),
        )
    }

    fn matrix(&self, form: &str, body: &Value) -> Result<Value, Failure> {
        let ids = self.matching(&body["filter"])?;
        let ids: Vec<Id> = ids.into_iter().take(body["sample"].as_u64().unwrap_or(10) as usize).collect();
        let score = |a: &Id, b: &Id| {
            let vector =
                |id: &Id| self.points[id].vectors.get("").and_then(Value::as_array).cloned().unwrap_or_default();
            vector(a).iter().zip(vector(b)).filter_map(|(a, b)| Some(a.as_f64()? * b.as_f64()?)).sum::<f64>()
        };
        let mut pairs = Vec::new();
        for (row, a) in ids.iter().enumerate() {
            for (column, b) in ids.iter().enumerate().filter(|(column, _)| *column != row) {
                pairs.push((row, column, a, b, score(a, b)));
            }
        }
        if form == "pairs" {
            let pairs: Vec<Value> =
                pairs.iter().map(|(_, _, a, b, score)| json!({"a": a.json(), "b": b.json(), "score": score})).collect();
            return Ok(json!({"pairs": pairs}));
        }
        let column = |f: fn(&(usize, usize, &Id, &Id, f64)) -> Value| pairs.iter().map(f).collect::<Value>();
        Ok(json!({"offsets_row": column(|p| json!(p.0)), "offsets_col": column(|p| json!(p.1)),
            "scores": column(|p| json!(p.4)), "ids": ids.iter().map(|id| id.json()).collect::<Vec<_>>()}))
    }

    fn scored(&self, id: Id, score: f64, ask: &Value) -> Value {
        let mut record = self.record(id, ask, false);
        record["score"] = json!(score);
        record["version"] = json!(self.points[&id].version);
        record
    }

    /// A point as it is answered; `payload` is what the absence of `with_payload` means.
    fn record(&self, id: Id, ask: &Value, payload: bool) -> Value {
        let point = &self.points[&id];
        let mut record = json!({"id": id.json()});
        let asked = match &ask["with_payload"] {
            Value::Null => json!(payload),
            asked => asked.clone(),
        };
        let shown = |keep: &dyn Fn(&str) -> bool| -> Value {
            point
                .payload
                .iter()
                .filter(|(key, _)| keep(key))
                .map(|(k, v)| (k.clone(), v.clone()))
                .collect::<Map<_, _>>()
                .into()
        };
        let listed = |list: &Value, key: &str| {
            list.as_array()
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .any(|path| steps(path).first().is_some_and(|k| k == key))
        };
        match &asked {
            Value::Bool(false) => {}
            Value::Array(_) => record["payload"] = shown(&|key| listed(&asked, key)),
            Value::Object(selector) if selector.contains_key("include") => {
                record["payload"] = shown(&|key| listed(&asked["include"], key));
            }
            Value::Object(_) => record["payload"] = shown(&|key| !listed(&asked["exclude"], key)),
            _ => record["payload"] = shown(&|_| true),
        }
        let vector = match &ask["with_vector"] {
            Value::Bool(true) => match point.vectors.get("") {
                Some(only) => only.clone(),
                None => point.vectors.iter().map(|(k, v)| (k.clone(), v.clone())).collect::<Map<_, _>>().into(),
            },
            Value::Array(names) => {
                let named = names.iter().filter_map(|name| Some((name.as_str()?, point.vectors.get(name.as_str()?)?)));
                named.map(|(k, v)| (k.to_owned(), v.clone())).collect::<Map<_, _>>().into()
            }
            _ => Value::Null,
        };
        if !vector.is_null() {
            record["vector"] = vector;
        }
        record
    }
}

/// An older search as today's query.
fn modern(kind: &str, body: &Value) -> Value {
    let mut ask = body.clone();
    match kind {
        "search" if body["vector"]["name"].is_string() => {
            ask["query"] = body["vector"]["vector"].clone();
            ask["using"] = body["vector"]["name"].clone();
        }
        "search" => ask["query"] = body["vector"].clone(),
        "recommend" => {
            ask["query"] = json!({"recommend": {"positive": body["positive"], "negative": body["negative"]}});
        }
        _ => {}
    }
    ask
}

//! Qdrant over records in memory: collections of points with payloads and vectors, its filters and queries.

pub mod filter;
mod search;
mod update;

use super::{Fake, Reply};
use filter::{holds, steps, values};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A point's id. Numbers come before UUIDs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Id {
    /// A part of a payload has none.
    Nothing,
    /// A number.
    Number(u64),
    /// A UUID.
    Uuid(u128),
}

impl Id {
    /// Reads an id.
    ///
    /// # Errors
    /// When it is none.
    pub fn read(value: &Value) -> Result<Self, String> {
        let bad = || format!("value {value} is not a valid point ID");
        if let Some(n) = value.as_u64() {
            return Ok(Self::Number(n));
        }
        let digits = value.as_str().ok_or_else(bad)?.replace(['-', '{', '}'], "").replace("urn:uuid:", "");
        let uuid = u128::from_str_radix(&digits, 16).ok().filter(|_| digits.len() == 32);
        uuid.map(Self::Uuid).ok_or_else(bad)
    }

    /// The id as JSON.
    pub fn json(self) -> Value {
        match self {
            Self::Nothing => Value::Null,
            Self::Number(n) => json!(n),
            Self::Uuid(id) => {
                let hex = format!("{id:032x}");
                json!([&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-"))
            }
        }
    }
}

/// A point.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Point {
    /// Its payload.
    pub payload: Map<String, Value>,
    /// Its vectors by name; `""` is the unnamed one's.
    pub vectors: BTreeMap<String, Value>,
    version: u64,
}

/// A collection.
#[derive(Clone, Debug, Default)]
pub struct Collection {
    /// Its points.
    pub points: BTreeMap<Id, Point>,
    config: Value,
}

#[derive(Debug, Default)]
struct State {
    collections: BTreeMap<String, Collection>,
    operations: u64,
}

/// The server.
#[derive(Clone, Debug, Default)]
pub struct Qdrant(Arc<Mutex<State>>);

/// An error: status and words.
type Failure = (u16, String);

fn bad(text: impl Into<String>) -> Failure {
    (400, text.into())
}

impl Qdrant {
    /// A server on a free port, with these collections of vectors with three numbers.
    pub fn start(collections: &[&str]) -> (Fake, Self) {
        let qdrant = Self::with(collections);
        let server = qdrant.clone();
        let fake = Fake::start(move |request| {
            let (method, rest) = request.line.split_once(' ').unwrap_or_default();
            server.answer(method, rest.split(' ').next().unwrap_or_default(), &request.body)
        });
        (fake, qdrant)
    }

    /// As [`Qdrant::start`], without a port.
    pub fn with(collections: &[&str]) -> Self {
        let qdrant = Self::default();
        let config = json!({"vectors": {"size": 3, "distance": "Dot"}});
        for name in collections {
            let collection = Collection { config: config.clone(), ..Collection::default() };
            qdrant.lock().collections.insert((*name).to_owned(), collection);
        }
        qdrant
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A collection's points, as they are.
    pub fn points(&self, collection: &str) -> BTreeMap<Id, Point> {
        self.lock().collections.get(collection).map(|c| c.points.clone()).unwrap_or_default()
    }

    /// Puts a point there, by the back door.
    pub fn put(&self, collection: &str, id: &Value, payload: Value, vector: Value) {
        let point = Point {
            payload: payload.as_object().cloned().unwrap_or_default(),
            vectors: BTreeMap::from([(String::new(), vector)]),
            version: 0,
        };
        let id = Id::read(id).expect("an id");
        self.lock().collections.entry(collection.to_owned()).or_default().points.insert(id, point);
    }

    /// Answers a request.
    pub fn answer(&self, method: &str, target: &str, body: &[u8]) -> Reply {
        let path = target.split('?').next().unwrap_or_default();
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        let mut state = self.lock();
        let (status, answer) = match (method, parts.as_slice()) {
            ("GET", []) => return reply(200, &json!({"title": "qdrant - vector search engine", "version": "1.19.0"})),
            _ => match state.route(method, &parts, &body) {
                Ok(result) => (
                    200,
                    json!({"result": result, "status": "ok", "time": 0.001,
                    "usage": {"hardware": {"cpu": state.operations, "payload_io_read": 0}}}),
                ),
                Err((status, error)) => (status, json!({"status": {"error": error}, "time": 0.0})),
            },
        };
        reply(status, &answer)
    }
}

fn reply(status: u16, body: &Value) -> Reply {
    (status, "application/json", body.to_string().into_bytes())
}

impl State {
    fn route(&mut self, method: &str, parts: &[&str], body: &Value) -> Result<Value, Failure> {
        let missing = |name: &str| (404, format!("Not found: Collection `{name}` doesn't exist!"));
        let (name, rest) = match parts {
            ["collections"] => {
                let names: Vec<Value> = self.collections.keys().map(|name| json!({"name": name})).collect();
                return Ok(json!({"collections": names}));
            }
            ["collections", name, rest @ ..] => (*name, rest),
            _ => return Err((404, String::new())),
        };
        match (method, rest) {
            ("GET", ["exists"]) => return Ok(json!({"exists": self.collections.contains_key(name)})),
            ("PUT", []) if self.collections.contains_key(name) => {
                return Err((409, format!("Wrong input: Collection `{name}` already exists!")));
            }
            ("PUT", []) => {
                let collection = Collection { config: body.clone(), ..Collection::default() };
                self.collections.insert(name.to_owned(), collection);
                return Ok(json!(true));
            }
            ("DELETE", []) => return Ok(json!(self.collections.remove(name).is_some())),
            _ => {}
        }
        let next = self.operations + 1;
        let collection = self.collections.get_mut(name).ok_or_else(|| missing(name))?;
        let result = match (method, rest) {
            ("GET", []) => return Ok(collection.info()),
            ("POST" | "GET", [first, ..]) if method == "GET" || collection.reads(rest) => {
                return if *first == "points" || *first == "facet" {
                    collection.read(method, rest, body)
                } else {
                    Err((404, String::new()))
                };
            }
            _ => collection.write(method, rest, body, next)?,
        };
        self.operations = next;
        Ok(result)
    }
}

impl Collection {
    fn info(&self) -> Value {
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

    fn reads(&self, rest: &[&str]) -> bool {
        matches!(
            rest,
            ["points"]
                | ["facet"]
                | ["points", "query" | "search" | "recommend" | "scroll" | "count"]
                | ["points", "query" | "search" | "recommend", "batch" | "groups"]
                | ["points", "search", "matrix", _]
        )
    }

    fn read(&self, method: &str, rest: &[&str], body: &Value) -> Result<Value, Failure> {
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

    fn matching(&self, filter: &Value) -> Result<Vec<Id>, Failure> {
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

fn ids(value: &Value) -> Result<Vec<Id>, Failure> {
    value.as_array().ok_or_else(|| bad("ids"))?.iter().map(Id::read).collect::<Result<_, _>>().map_err(bad)
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

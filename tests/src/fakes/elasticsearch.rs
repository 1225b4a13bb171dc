//! Elasticsearch and OpenSearch: indexes in memory, and what queries, nearest neighbours and aggregations over them mean.
//!
//! It knows nothing of tenants: a search without a condition finds everything. What it does not know it refuses with 400, like the
//! server. Scores are simple (how many words matched, the cosine) and never depend on other documents.

mod aggregations;
mod query;
mod search;

use super::Reply;
use crate::llm::Received;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A document.
#[derive(Clone, Debug)]
pub struct Doc {
    /// Its id.
    pub id: String,
    /// What it holds.
    pub source: Value,
    version: u64,
    sequence: u64,
}

#[derive(Default)]
struct Store {
    indexes: BTreeMap<String, Vec<Doc>>,
    mappings: BTreeMap<String, Value>,
    sequence: u64,
}

/// The server.
#[derive(Clone)]
pub struct Elastic {
    store: Arc<Mutex<Store>>,
    media: &'static str,
    version: Value,
}

/// Status, type and reason.
struct Failure(u16, &'static str, String);
type Answer = Result<(u16, Value), Failure>;

fn bad(reason: impl Into<String>) -> Failure {
    Failure(400, "parsing_exception", reason.into())
}

impl Failure {
    fn json(&self) -> Value {
        let cause = json!({"type": self.1, "reason": self.2});
        json!({"error": {"root_cause": [cause], "type": self.1, "reason": self.2}, "status": self.0})
    }
}

impl Elastic {
    /// Elasticsearch: its media type, and the header that its clients look for.
    pub fn elasticsearch() -> Self {
        Self {
            store: Arc::default(),
            // A reply has no other headers, so this one comes along.
            media: "application/vnd.elasticsearch+json;compatible-with=9\r\nx-elastic-product: Elasticsearch",
            version: json!({"number": "9.1.0", "build_flavor": "default"}),
        }
    }

    /// OpenSearch.
    pub fn opensearch() -> Self {
        Self {
            store: Arc::default(),
            media: "application/json",
            version: json!({"number": "3.2.0", "distribution": "opensearch"}),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Every document of an index, by id.
    pub fn documents(&self, index: &str) -> BTreeMap<String, Value> {
        let store = self.lock();
        store.indexes.get(index).into_iter().flatten().map(|doc| (doc.id.clone(), doc.source.clone())).collect()
    }

    /// An index's mapping, as it was created.
    pub fn mapping(&self, index: &str) -> Value {
        self.lock().mappings.get(index).cloned().unwrap_or_default()
    }

    /// Puts a document there by the back door.
    pub fn put(&self, index: &str, id: &str, source: Value) {
        self.lock().put(index, id, source);
    }

    /// Answers a request.
    pub fn handle(&self, request: &Received) -> Reply {
        let mut words = request.line.split(' ');
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let (status, body) = self.answer(method, target, &request.body);
        (status, self.media, body.to_string().into_bytes())
    }

    /// Answers a method, target and body.
    pub fn answer(&self, method: &str, target: &str, body: &[u8]) -> (u16, Value) {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let query: BTreeMap<String, String> = pairs_of(query);
        let segments: Vec<String> = path.split('/').filter(|s| !s.is_empty()).map(unescape).collect();
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        let mut store = self.lock();
        match store.answer(method, &segments, &query, body, &self.version) {
            Ok(answer) => answer,
            Err(failure) => (failure.0, failure.json()),
        }
    }
}

fn unescape(text: &str) -> String {
    let mut out = Vec::new();
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        out.push(if byte == b'%' {
            let digits = [bytes.next().unwrap_or(b'0'), bytes.next().unwrap_or(b'0')];
            u8::from_str_radix(&String::from_utf8_lossy(&digits), 16).unwrap_or(b'?')
        } else {
            byte
        });
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn pairs_of(query: &str) -> BTreeMap<String, String> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (unescape(name), unescape(value))
        })
        .collect()
}

fn parse(body: &[u8]) -> Result<Value, Failure> {
    if body.is_empty() {
        return Ok(json!({}));
    }
    serde_json::from_slice(body).map_err(|error| bad(error.to_string()))
}

fn shards() -> Value {
    json!({"total": 1, "successful": 1, "skipped": 0, "failed": 0})
}

/// Puts `from` into `into`, objects member by member; whether anything changed.
fn merge(into: &mut Value, from: &Value) -> bool {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => from.iter().fold(false, |changed, (key, value)| {
            merge(into.entry(key.clone()).or_insert(Value::Null), value) || changed
        }),
        (into, from) => {
            let changed = into != from;
            *into = from.clone();
            changed
        }
    }
}

impl Store {
    fn answer(
        &mut self,
        method: &str,
        path: &[&str],
        query: &BTreeMap<String, String>,
        body: &[u8],
        version: &Value,
    ) -> Answer {
        let missing = || Failure(405, "illegal_argument_exception", format!("no handler for {method} {path:?}"));
        match (method, path) {
            ("GET" | "HEAD", []) => Ok((
                200,
                json!({"name": "node", "cluster_name": "c", "cluster_uuid": "u", "version": version, "tagline": "You Know, for Search"}),
            )),
            ("POST" | "PUT", ["_bulk"]) => self.bulk(None, body),
            ("POST" | "PUT", [index, "_bulk"]) => self.bulk(Some(index), body),
            ("POST" | "GET", [index, "_search"]) => Ok((200, self.search(index, query, &parse(body)?)?)),
            ("POST", ["_msearch"]) => self.msearch("", query, body),
            ("POST", [index, "_msearch"]) => self.msearch(index, query, body),
            ("POST" | "GET", [index, "_count"]) => {
                let found = self.find(index, parse(body)?.get("query"))?;
                Ok((200, json!({"count": found.len(), "_shards": shards()})))
            }
            ("POST", [index, "_delete_by_query"]) => self.by_query(index, &parse(body)?, true),
            ("POST", [index, "_update_by_query"]) => self.by_query(index, &parse(body)?, false),
            ("POST", ["_mget"]) => self.mget("", query, &parse(body)?),
            ("POST", [index, "_mget"]) => self.mget(index, query, &parse(body)?),
            ("POST" | "GET", [index, "_refresh"]) => {
                self.documents(index)?;
                Ok((200, json!({"_shards": shards()})))
            }
            ("POST", [index, "_doc"]) => {
                let id = format!("auto{}", self.sequence);
                self.write(index, &id, "create", query, &parse(body)?)
            }
            ("POST" | "PUT", [index, "_doc", id]) => {
                let kind = query.get("op_type").map_or("index", String::as_str).to_owned();
                self.write(index, id, &kind, query, &parse(body)?)
            }
            ("POST" | "PUT", [index, "_create", id]) => self.write(index, id, "create", query, &parse(body)?),
            ("POST", [index, "_update", id]) => self.write(index, id, "update", query, &parse(body)?),
            ("DELETE", [index, "_doc", id]) => self.write(index, id, "delete", query, &Value::Null),
            ("GET" | "HEAD", [index, "_doc", id]) => {
                let doc = self.get(index, id, &source_of(query));
                let status = if doc["found"] == true { 200 } else { 404 };
                Ok((status, doc))
            }
            ("GET" | "HEAD", [index, "_source", id]) => {
                let doc = self.get(index, id, &source_of(query));
                if doc["found"] == true {
                    Ok((200, doc["_source"].clone()))
                } else {
                    Err(Failure(404, "resource_not_found_exception", format!("Document not found [{index}]/[{id}]")))
                }
            }
            ("PUT", [index]) => {
                if self.indexes.contains_key(*index) {
                    return Err(Failure(
                        400,
                        "resource_already_exists_exception",
                        format!("index [{index}/uuid] already exists"),
                    ));
                }
                self.indexes.insert((*index).to_owned(), Vec::new());
                self.mappings.insert((*index).to_owned(), parse(body)?["mappings"].clone());
                Ok((200, json!({"acknowledged": true, "shards_acknowledged": true, "index": index})))
            }
            ("GET", [index]) => {
                self.documents(index)?;
                let mapping = self.mappings.get(*index).cloned().unwrap_or_default();
                Ok((200, json!({ *index: {"aliases": {}, "mappings": mapping, "settings": {}} })))
            }
            ("GET", [index, "_mapping", "field", field]) => {
                self.documents(index)?;
                let own = self.mappings.get(*index).map(|mapping| mapping["properties"][field].clone());
                let found = match own.filter(Value::is_object) {
                    Some(own) => json!({ *field: {"full_name": field, "mapping": { *field: own }} }),
                    None => json!({}),
                };
                Ok((200, json!({ *index: {"mappings": found} })))
            }
            ("HEAD", [index]) => Ok((if self.indexes.contains_key(*index) { 200 } else { 404 }, json!({}))),
            ("DELETE", [index]) => {
                self.documents(index)?;
                self.indexes.remove(*index);
                Ok((200, json!({"acknowledged": true})))
            }
            _ => Err(missing()),
        }
    }

    fn documents(&self, index: &str) -> Result<&Vec<Doc>, Failure> {
        let missing = || Failure(404, "index_not_found_exception", format!("no such index [{index}]"));
        self.indexes.get(index).ok_or_else(missing)
    }

    fn put(&mut self, index: &str, id: &str, source: Value) -> (u64, bool) {
        self.sequence += 1;
        let sequence = self.sequence;
        let docs = self.indexes.entry(index.to_owned()).or_default();
        // A new version is a new document at the end.
        let old = docs.iter().position(|doc| doc.id == id).map(|at| docs.remove(at));
        let version = old.as_ref().map_or(1, |doc| doc.version + 1);
        docs.push(Doc { id: id.to_owned(), source, version, sequence });
        (version, old.is_none())
    }

    fn write(&mut self, index: &str, id: &str, kind: &str, query: &BTreeMap<String, String>, body: &Value) -> Answer {
        let old = self.indexes.get(index).and_then(|docs| docs.iter().find(|doc| doc.id == id)).cloned();
        let conflict =
            |why: &str| Failure(409, "version_conflict_engine_exception", format!("[{id}]: version conflict, {why}"));
        if let Some(wanted) = query.get("if_seq_no")
            && old.as_ref().is_none_or(|doc| doc.sequence.to_string() != *wanted)
        {
            return Err(conflict(&format!("required seqNo [{wanted}]")));
        }
        let done = |status: u16, result: &str, version: u64, sequence: u64| {
            Ok((
                status,
                json!({"_index": index, "_id": id, "_version": version, "result": result,
                    "_shards": {"total": 1, "successful": 1, "failed": 0}, "_seq_no": sequence, "_primary_term": 1}),
            ))
        };
        let (source, created) = match (kind, old) {
            ("create", Some(_)) => return Err(conflict("document already exists (current version [1])")),
            ("index" | "create", _) => (body.clone(), None),
            ("delete", None) => return done(404, "not_found", 1, self.sequence),
            ("delete", Some(doc)) => {
                self.indexes.entry(index.to_owned()).or_default().retain(|doc| doc.id != id);
                return done(200, "deleted", doc.version + 1, self.sequence);
            }
            ("update", Some(doc)) => {
                let mut source = doc.source.clone();
                if !merge(&mut source, &body["doc"]) {
                    return done(200, "noop", doc.version, doc.sequence);
                }
                (source, None)
            }
            ("update", None) if body["doc_as_upsert"] == true => (body["doc"].clone(), Some(true)),
            ("update", None) if body["upsert"].is_object() => (body["upsert"].clone(), Some(true)),
            ("update", None) => {
                return Err(Failure(404, "document_missing_exception", format!("[{id}]: document missing")));
            }
            _ => return Err(bad(format!("unknown operation {kind}"))),
        };
        if !source.is_object() {
            return Err(Failure(
                400,
                "document_parsing_exception",
                format!("[1:1] failed to parse document with id '{id}'"),
            ));
        }
        let (version, fresh) = self.put(index, id, source);
        let fresh = created.unwrap_or(fresh);
        done(if fresh { 201 } else { 200 }, if fresh { "created" } else { "updated" }, version, self.sequence)
    }

    fn bulk(&mut self, index: Option<&str>, body: &[u8]) -> Answer {
        let text = String::from_utf8_lossy(body).into_owned();
        if !text.ends_with('\n') {
            return Err(Failure(
                400,
                "illegal_argument_exception",
                "The bulk request must be terminated by a newline [\\n]".into(),
            ));
        }
        let mut lines = text.lines();
        let (mut items, mut errors) = (Vec::new(), false);
        while let Some(line) = lines.next() {
            let action = parse(line.as_bytes())?;
            let (kind, about) =
                action.as_object().and_then(|members| members.iter().next()).ok_or_else(|| bad("no action"))?;
            let source =
                if kind == "delete" { Value::Null } else { parse(lines.next().unwrap_or_default().as_bytes())? };
            let index = about["_index"].as_str().or(index).ok_or_else(|| bad("index is missing"))?.to_owned();
            let id = match &about["_id"] {
                Value::String(id) => id.clone(),
                Value::Number(id) => id.to_string(),
                _ => format!("auto{}", self.sequence),
            };
            let mut query = BTreeMap::new();
            if let Some(wanted) = about["if_seq_no"].as_u64() {
                query.insert("if_seq_no".to_owned(), wanted.to_string());
            }
            let item = match self.write(&index, &id, kind, &query, &source) {
                Ok((status, mut item)) => {
                    item["status"] = json!(status);
                    item
                }
                Err(failure) => {
                    errors = true;
                    json!({"_index": index, "_id": id, "status": failure.0, "error": {"type": failure.1, "reason": failure.2, "index": index, "shard": "0", "index_uuid": "u"}})
                }
            };
            items.push(Value::Object(Map::from_iter([(kind.clone(), item)])));
        }
        Ok((200, json!({"took": 1, "errors": errors, "items": items})))
    }

    fn get(&self, index: &str, id: &str, source: &Value) -> Value {
        let doc = self.indexes.get(index).and_then(|docs| docs.iter().find(|doc| doc.id == id));
        let Some(doc) = doc else { return json!({"_index": index, "_id": id, "found": false}) };
        let mut out = json!({"_index": index, "_id": id, "_version": doc.version, "_seq_no": doc.sequence, "_primary_term": 1, "found": true});
        if let Some(source) = search::filtered(&doc.source, source) {
            out["_source"] = source;
        }
        out
    }

    fn mget(&self, index: &str, query: &BTreeMap<String, String>, body: &Value) -> Answer {
        let general = source_of(query);
        let id_of = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let docs: Vec<Value> = match (body["docs"].as_array(), body["ids"].as_array()) {
            (Some(docs), _) => docs
                .iter()
                .map(|doc| {
                    let source = doc.get("_source").unwrap_or(&general);
                    self.get(doc["_index"].as_str().unwrap_or(index), &id_of(&doc["_id"]), source)
                })
                .collect(),
            (None, Some(ids)) => ids.iter().map(|id| self.get(index, &id_of(id), &general)).collect(),
            _ => return Err(bad("no documents to get")),
        };
        Ok((200, json!({"docs": docs})))
    }

    fn msearch(&self, index: &str, query: &BTreeMap<String, String>, body: &[u8]) -> Answer {
        let text = String::from_utf8_lossy(body).into_owned();
        let mut lines = text.lines();
        let mut responses = Vec::new();
        while let Some(head) = lines.next() {
            let head = parse(head.as_bytes())?;
            let search = parse(lines.next().unwrap_or_default().as_bytes())?;
            responses.push(match self.search(head["index"].as_str().unwrap_or(index), query, &search) {
                Ok(mut answer) => {
                    answer["status"] = json!(200);
                    answer
                }
                Err(failure) => failure.json(),
            });
        }
        Ok((200, json!({"took": 1, "responses": responses})))
    }

    fn by_query(&mut self, index: &str, body: &Value, delete: bool) -> Answer {
        if delete && body.get("query").is_none() {
            return Err(Failure(
                400,
                "action_request_validation_exception",
                "Validation Failed: 1: query is missing;".into(),
            ));
        }
        let most = body["max_docs"].as_u64().map_or(usize::MAX, |most| most as usize);
        let found: Vec<String> =
            self.find(index, body.get("query"))?.iter().take(most).map(|doc| doc.id.clone()).collect();
        for id in &found {
            if delete {
                self.indexes.entry(index.to_owned()).or_default().retain(|doc| doc.id != *id);
            } else if let Some(doc) = self.documents(index)?.iter().find(|doc| doc.id == *id).cloned() {
                self.put(index, id, doc.source);
            }
        }
        let name = if delete { "deleted" } else { "updated" };
        let mut out = json!({"took": 1, "timed_out": false, "total": found.len(), "batches": 1, "version_conflicts": 0, "noops": 0,
            "retries": {"bulk": 0, "search": 0}, "throttled_millis": 0, "requests_per_second": -1.0, "throttled_until_millis": 0, "failures": []});
        out[name] = json!(found.len());
        Ok((200, out))
    }

    /// The documents that a query finds, in their order.
    fn find(&self, index: &str, query: Option<&Value>) -> Result<Vec<&Doc>, Failure> {
        let docs = self.documents(index)?;
        let all = json!({"match_all": {}});
        let context = query::Context { docs };
        let mut found = Vec::new();
        for doc in docs {
            if context.score(query.unwrap_or(&all), doc)?.is_some() {
                found.push(doc);
            }
        }
        Ok(found)
    }
}

/// What a URL says of the source, as a body would.
fn source_of(query: &BTreeMap<String, String>) -> Value {
    let list = |text: &String| text.split(',').map(Value::from).collect::<Vec<_>>();
    match (query.get("_source"), query.get("_source_includes"), query.get("_source_excludes")) {
        (Some(text), ..) if text == "false" => json!(false),
        (Some(text), None, None) if text != "true" => json!(list(text)),
        (_, includes, excludes) => {
            json!({"includes": includes.map(list).unwrap_or_default(), "excludes": excludes.map(list).unwrap_or_default()})
        }
    }
}

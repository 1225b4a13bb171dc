//! Milvus: REST v2 over records in memory. As the real one it has no unique keys on `insert`, deletes by the keys that a
//! filter finds, answers 200 to errors, and takes a missing `dbName` from a header.

pub mod filter;

use super::Reply;
use crate::llm::Received;
use serde_json::{Map, Value, json};
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

type Row = Map<String, Value>;
type Answer = Result<Value, String>;

/// By database and collection.
type Rows = BTreeMap<(String, String), Vec<Row>>;

/// The server's records; `id` is the key.
#[derive(Clone, Default)]
pub struct Milvus(Arc<Mutex<Rows>>);

impl Milvus {
    /// With these collections in the database `default`.
    pub fn with(collections: &[&str]) -> Self {
        let milvus = Self::default();
        for name in collections {
            milvus.lock().insert(("default".into(), (*name).into()), Vec::new());
        }
        milvus
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Rows> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a collection holds.
    pub fn rows(&self, database: &str, collection: &str) -> Vec<Value> {
        let all = self.lock();
        let rows = all.get(&(database.to_owned(), collection.to_owned()));
        rows.into_iter().flatten().cloned().map(Value::Object).collect()
    }

    /// Puts a record in by the back door.
    pub fn put(&self, database: &str, collection: &str, row: &Value) {
        let row = row.as_object().cloned().unwrap_or_default();
        self.lock().entry((database.to_owned(), collection.to_owned())).or_default().push(row);
    }

    /// Answers a request of [`super::Fake`].
    pub fn answer(&self, request: &Received) -> Reply {
        let path = request.line.split(' ').nth(1).unwrap_or_default();
        if !request.line.starts_with("POST ") || request.header("content-type") != Some("application/json") {
            return (404, "text/plain", b"404 page not found".to_vec());
        }
        (200, "application/json; charset=utf-8", self.call(path, request.header("db-name"), &request.body))
    }

    /// Answers a request; the status is always 200.
    pub fn call(&self, path: &str, header: Option<&str>, body: &[u8]) -> Vec<u8> {
        let answer = serde_json::from_slice::<Value>(body)
            .map_err(|error| error.to_string())
            .and_then(|body| self.judge(path, header.unwrap_or("default"), &body));
        let code = |message: &str| if message.starts_with("can't find collection") { 100 } else { 1100 };
        let answer = answer.unwrap_or_else(|message| json!({"code": code(&message), "message": message}));
        serde_json::to_vec(&answer).unwrap_or_default()
    }

    fn judge(&self, path: &str, header: &str, body: &Value) -> Answer {
        let operation = path.strip_prefix("/v2/vectordb/").ok_or("404 page not found")?;
        let database = body["dbName"].as_str().filter(|name| !name.is_empty()).unwrap_or(header).to_owned();
        let place = (database.clone(), body["collectionName"].as_str().unwrap_or_default().to_owned());
        let mut all = self.lock();
        match operation {
            "collections/list" => {
                let names: Vec<&String> = all.keys().filter(|(db, _)| *db == database).map(|(_, name)| name).collect();
                return Ok(json!({"code": 0, "data": names}));
            }
            "collections/has" => return Ok(json!({"code": 0, "data": {"has": all.contains_key(&place)}})),
            "collections/create" => {
                all.entry(place).or_default();
                return Ok(json!({"code": 0, "data": {}}));
            }
            "collections/drop" => {
                all.remove(&place);
                return Ok(json!({"code": 0, "data": {}}));
            }
            _ => {}
        }
        let missing = format!("can't find collection[database={database}][collection={}]", place.1);
        let rows = all.get_mut(&place).ok_or(missing)?;
        let filter = body["filter"].as_str().unwrap_or_default();
        match operation {
            "collections/describe" => {
                let field = |name: &str, kind: &str, key: bool| {
                    let params = if kind == "FloatVector" { json!([{"key": "dim", "value": "3"}]) } else { json!([]) };
                    json!({"name": name, "type": kind, "primaryKey": key, "params": params})
                };
                Ok(
                    json!({"code": 0, "data": {"collectionName": place.1, "collectionID": 4400, "aliases": ["prod"], "load": "LoadStateLoaded",
                    "fields": [field("id", "VarChar", true), field("vector", "FloatVector", false), field("tenant_id", "VarChar", false)],
                    "indexes": [], "shardsNum": 1, "enableDynamicField": true, "description": ""}, "message": ""}),
                )
            }
            "collections/load" => Ok(json!({"code": 0, "data": {}})),
            "collections/get_load_state" => {
                Ok(json!({"code": 0, "data": {"loadState": "LoadStateLoaded", "loadProgress": 100}, "message": ""}))
            }
            "collections/get_stats" => Ok(json!({"code": 0, "data": {"rowCount": rows.len()}})),
            "entities/insert" | "entities/upsert" => write(rows, body, operation == "entities/upsert"),
            "entities/delete" => {
                if filter.is_empty() {
                    return Err("missing required parameters".to_owned());
                }
                let found = select(rows, filter, &body["exprParams"])?;
                let keys: Vec<Value> = found.iter().map(key).collect();
                rows.retain(|row| !keys.contains(&key(row)));
                Ok(json!({"code": 0, "cost": 7, "data": {"deleteCount": keys.len()}}))
            }
            "entities/get" => {
                let ids = body["id"].as_array().cloned().unwrap_or_else(|| vec![body["id"].clone()]);
                let found = distinct(rows.iter().filter(|row| ids.contains(&key(row))).cloned().collect());
                Ok(
                    json!({"code": 0, "cost": 0, "data": found.iter().map(|row| pick(row, body, &["*"])).collect::<Vec<_>>()}),
                )
            }
            "entities/query" => {
                let found = select(rows, filter, &body["exprParams"])?;
                if body["outputFields"] == json!(["count(*)"]) {
                    return Ok(json!({"code": 0, "cost": 0, "data": [{"count(*)": found.len()}]}));
                }
                let page = page(distinct(found), body);
                Ok(
                    json!({"code": 0, "cost": 3, "data": page.iter().map(|row| pick(row, body, &["*"])).collect::<Vec<_>>()}),
                )
            }
            "entities/search" => {
                let (mut data, mut topks) = (Vec::new(), Vec::new());
                for vector in body["data"].as_array().into_iter().flatten() {
                    let found = nearest(rows, vector, body)?;
                    topks.push(found.len());
                    data.extend(found.iter().map(|(row, distance)| hit(row, body, *distance)));
                }
                Ok(json!({"code": 0, "cost": 6, "data": data, "topks": topks}))
            }
            "entities/hybrid_search" | "entities/advanced_search" => {
                let mut scores: Vec<(Row, f64)> = Vec::new();
                for search in body["search"].as_array().into_iter().flatten() {
                    let vector = search["data"].get(0).cloned().unwrap_or_default();
                    for (rank, (row, _)) in nearest(rows, &vector, search)?.into_iter().enumerate() {
                        let score = 1.0 / (61.0 + rank as f64);
                        match scores.iter_mut().find(|(known, _)| key(known) == key(&row)) {
                            Some((_, sum)) => *sum += score,
                            None => scores.push((row, score)),
                        }
                    }
                }
                scores.sort_by(|(_, a), (_, b)| b.partial_cmp(a).unwrap_or(Ordering::Equal));
                scores.truncate(number(body, "limit").unwrap_or(100));
                let data: Vec<Value> = scores.iter().map(|(row, score)| hit(row, body, *score)).collect();
                Ok(json!({"code": 0, "cost": 6, "topks": [data.len()], "data": data}))
            }
            _ => Err("404 page not found".to_owned()),
        }
    }
}

fn key(row: &Row) -> Value {
    row.get("id").cloned().unwrap_or_default()
}

fn number(body: &Value, name: &str) -> Option<usize> {
    body[name].as_u64().and_then(|n| usize::try_from(n).ok())
}

fn select(rows: &[Row], filter: &str, params: &Value) -> Result<Vec<Row>, String> {
    let mut found = Vec::new();
    // An expression is judged even when there is no record.
    filter::holds(filter, params, &Row::new())
        .map_err(|why| format!("failed to create query plan: {why}: {filter}"))?;
    for row in rows {
        if filter::holds(filter, params, row).map_err(|why| format!("failed to create query plan: {why}"))? {
            found.push(row.clone());
        }
    }
    Ok(found)
}

/// Of records with one key, what is read is one.
fn distinct(found: Vec<Row>) -> Vec<Row> {
    let mut seen = Vec::new();
    let mut fresh = |row: &Row| {
        let fresh = !seen.contains(&key(row));
        seen.push(key(row));
        fresh
    };
    found.into_iter().filter(|row| fresh(row)).collect()
}

fn page(found: Vec<Row>, body: &Value) -> Vec<Row> {
    let limit = number(body, "limit").unwrap_or(100);
    found.into_iter().skip(number(body, "offset").unwrap_or(0)).take(limit).collect()
}

fn nearest(rows: &[Row], vector: &Value, search: &Value) -> Result<Vec<(Row, f64)>, String> {
    let numbers =
        |value: &Value| -> Vec<f64> { value.as_array().into_iter().flatten().filter_map(Value::as_f64).collect() };
    let wanted = numbers(vector);
    let mut found: Vec<(Row, f64)> = Vec::new();
    for row in distinct(select(rows, search["filter"].as_str().unwrap_or_default(), &search["exprParams"])?) {
        let own = numbers(row.get("vector").unwrap_or(&Value::Null));
        if own.len() == wanted.len() {
            let distance = own.iter().zip(&wanted).map(|(a, b)| (a - b) * (a - b)).sum();
            found.push((row, distance));
        }
    }
    found.sort_by(|(_, a), (_, b)| a.partial_cmp(b).unwrap_or(Ordering::Equal));
    if let Some(field) = search["groupingField"].as_str() {
        let mut seen = Vec::new();
        found.retain(|(row, _)| {
            let value = row.get(field).cloned().unwrap_or_default();
            let fresh = !seen.contains(&value);
            seen.push(value);
            fresh
        });
    }
    let offset = number(search, "offset").unwrap_or(0);
    Ok(found.into_iter().skip(offset).take(number(search, "limit").unwrap_or(100)).collect())
}

/// The wanted fields; the key is always there.
fn pick(row: &Row, body: &Value, default: &[&str]) -> Row {
    let wanted: Vec<String> = match body["outputFields"].as_array() {
        Some(names) => names.iter().filter_map(|name| name.as_str().map(str::to_owned)).collect(),
        None => default.iter().map(|name| (*name).to_owned()).collect(),
    };
    let asked = |name: &str| name == "id" || wanted.iter().any(|wanted| wanted == "*" || wanted == name);
    row.iter().filter(|(name, _)| asked(name)).map(|(name, value)| (name.clone(), value.clone())).collect()
}

fn hit(row: &Row, body: &Value, distance: f64) -> Value {
    let mut hit = pick(row, body, &[]);
    hit.insert("distance".to_owned(), json!(distance));
    Value::Object(hit)
}

fn write(rows: &mut Vec<Row>, body: &Value, upsert: bool) -> Answer {
    let data = body["data"].as_array().cloned().unwrap_or_else(|| vec![body["data"].clone()]);
    let mut keys = Vec::new();
    for row in data {
        let mut row = row.as_object().cloned().ok_or("the data is no object")?;
        if !row.contains_key("id") && !upsert {
            row.insert("id".to_owned(), json!(449_000_000_000_000_000_u64 + rows.len() as u64));
        }
        let own = row.get("id").cloned().ok_or("the key is missing")?;
        if upsert {
            rows.retain(|row| key(row) != own);
        }
        keys.push(own);
        rows.push(row);
    }
    let count = keys.len();
    Ok(if upsert {
        json!({"code": 0, "cost": 9, "data": {"upsertCount": count, "upsertIds": keys}})
    } else {
        json!({"code": 0, "cost": 9, "data": {"insertCount": count, "insertIds": keys}})
    })
}

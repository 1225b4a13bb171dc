//! Pinecone's data plane over vectors in memory: namespaces, metadata filters, pages, and indexes that embed text themselves.

use super::{Fake, Reply};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A stored vector.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Record {
    /// The dense values.
    pub values: Vec<f64>,
    /// The metadata.
    pub metadata: Map<String, Value>,
}

/// The records of each namespace by their ids; the default namespace is `""`.
pub type Namespaces = BTreeMap<String, BTreeMap<String, Record>>;

/// An index.
#[derive(Clone, Default)]
pub struct Pinecone(Arc<Mutex<Namespaces>>);

type Failure = (u16, String);
type Answer = Result<Value, Failure>;

/// Ids with their scores.
type Nearest<'r> = Vec<(&'r str, f64, &'r Record)>;

fn bad<T>(message: &str) -> Result<T, Failure> {
    Err((400, message.to_owned()))
}

impl Pinecone {
    /// Serves it.
    pub fn serve(&self) -> Fake {
        let index = self.clone();
        Fake::start(move |request| index.answer(&request.line, &request.body))
    }

    /// What it holds.
    pub fn records(&self) -> MutexGuard<'_, Namespaces> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a record in, past everything.
    pub fn put(&self, namespace: &str, id: &str, values: &[f64], metadata: &Value) {
        let metadata = metadata.as_object().cloned().unwrap_or_default();
        let record = Record { values: values.to_vec(), metadata };
        self.records().entry(namespace.to_owned()).or_default().insert(id.to_owned(), record);
    }

    /// Answers a request, by its line and body.
    pub fn answer(&self, line: &str, body: &[u8]) -> Reply {
        let mut words = line.split(' ');
        let method = words.next().unwrap_or_default();
        let target = words.next().unwrap_or_default();
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let query = pairs(query);
        let document: Value = serde_json::from_slice(body).unwrap_or_default();
        let parts: Vec<&str> = path.split('/').skip(1).collect();
        let answer = match (method, parts.as_slice()) {
            ("POST", ["query"]) => self.query(&document),
            ("POST", ["vectors", "upsert"]) => self.upsert(&document),
            ("POST", ["vectors", "update"]) => self.update(&document),
            ("POST", ["vectors", "delete"]) => self.delete(&document),
            ("POST", ["vectors", "fetch_by_metadata"]) => self.fetch_by_metadata(&document),
            ("GET", ["vectors", "fetch"]) => Ok(self.fetch(&query)),
            ("GET", ["vectors", "list"]) => Ok(self.list(&query)),
            (_, ["describe_index_stats"]) => Ok(self.stats()),
            ("POST", ["records", "namespaces", namespace, "upsert"]) => {
                return match self.upsert_records(namespace, body) {
                    Ok(()) => (201, "application/json", Vec::new()),
                    Err((status, message)) => failure(status, &message),
                };
            }
            ("POST", ["records", "namespaces", namespace, "search"]) => self.search(namespace, &document),
            _ => Err((404, "no such endpoint".to_owned())),
        };
        match answer {
            Ok(document) => (200, "application/json", document.to_string().into_bytes()),
            Err((status, message)) => failure(status, &message),
        }
    }

    fn query(&self, ask: &Value) -> Answer {
        let all = self.records();
        let records = namespace(&all, ask["namespace"].as_str().unwrap_or_default());
        let Some(top) = ask["topK"].as_u64().filter(|top| (1..=10_000).contains(top)) else { return bad("topK") };
        let near = match (ask["id"].as_str(), floats(&ask["vector"])) {
            (Some(id), None) => records.get(id).map(|record| record.values.clone()),
            (None, Some(vector)) => Some(vector),
            _ => return bad("either vector or id"),
        };
        let mut found = nearest(&records, near.as_deref(), &ask["filter"])?;
        found.truncate(usize::try_from(top).unwrap_or(usize::MAX));
        let matches = found.into_iter().map(|(id, score, record)| {
            let mut one = json!({"id": id, "score": score, "values": []});
            if ask["includeValues"] == true {
                one["values"] = json!(record.values);
            }
            if ask["includeMetadata"] == true && !record.metadata.is_empty() {
                one["metadata"] = Value::Object(record.metadata.clone());
            }
            one
        });
        let matches: Vec<Value> = matches.collect();
        Ok(json!({"results": [], "matches": matches, "namespace": echo(&ask["namespace"]), "usage": {"readUnits": 5}}))
    }

    fn upsert(&self, ask: &Value) -> Answer {
        let Some(vectors) = ask["vectors"].as_array() else { return bad("vectors") };
        let mut records = Vec::new();
        for vector in vectors {
            let (Some(id), Some(values)) = (vector["id"].as_str(), floats(&vector["values"])) else {
                return bad("a vector needs id and values");
            };
            let metadata = match &vector["metadata"] {
                Value::Null => Map::new(),
                Value::Object(fields) => fields.clone(),
                _ => return bad("metadata"),
            };
            storable(&metadata)?;
            records.push((id.to_owned(), Record { values, metadata }));
        }
        let count = records.len();
        self.change(ask["namespace"].as_str().unwrap_or_default(), |all| all.extend(records));
        Ok(json!({"upsertedCount": count}))
    }

    fn update(&self, ask: &Value) -> Answer {
        let fields = ask["setMetadata"].as_object().cloned().unwrap_or_default();
        storable(&fields)?;
        let values = floats(&ask["values"]);
        let (id, filter) = (ask["id"].as_str(), &ask["filter"]);
        let mut matched = Vec::new();
        match (id, filter.is_null()) {
            (Some(id), true) => matched.push(id.to_owned()),
            (None, false) if values.is_none() => {
                valid(filter)?;
                let all = self.records();
                for (id, record) in namespace(&all, ask["namespace"].as_str().unwrap_or_default()) {
                    if holds(filter, &record.metadata)? {
                        matched.push(id.clone());
                    }
                }
            }
            _ => return bad("either id or filter"),
        }
        let answer = if filter.is_null() { json!({}) } else { json!({"matchedRecords": matched.len()}) };
        if ask["dryRun"] != true {
            self.change(ask["namespace"].as_str().unwrap_or_default(), |all| {
                for id in &matched {
                    let Some(record) = all.get_mut(id) else { continue };
                    record.metadata.extend(fields.clone());
                    if let Some(values) = &values {
                        record.values.clone_from(values);
                    }
                }
            });
        }
        Ok(answer)
    }

    fn delete(&self, ask: &Value) -> Answer {
        let (ids, filter) = (ask["ids"].as_array(), &ask["filter"]);
        let all = ask["deleteAll"] == true;
        if u8::from(ids.is_some()) + u8::from(!filter.is_null()) + u8::from(all) != 1 {
            return bad("one of ids, filter and deleteAll");
        }
        valid(filter)?;
        let own = namespace(&self.records(), ask["namespace"].as_str().unwrap_or_default());
        let mut gone = Vec::new();
        for (id, record) in &own {
            let named = ids.is_some_and(|ids| ids.iter().any(|one| one == id));
            if all || named || (!filter.is_null() && holds(filter, &record.metadata)?) {
                gone.push(id.clone());
            }
        }
        self.change(ask["namespace"].as_str().unwrap_or_default(), |all| {
            all.retain(|id, _| !gone.contains(id));
        });
        Ok(json!({}))
    }

    fn fetch(&self, query: &[(String, String)]) -> Value {
        let name = value(query, "namespace");
        let records = namespace(&self.records(), name);
        let wanted = query.iter().filter(|(key, _)| key == "ids").filter_map(|(_, id)| records.get_key_value(id));
        let vectors: Map<String, Value> = wanted.map(|(id, record)| (id.clone(), whole(id, record))).collect();
        json!({"vectors": vectors, "namespace": name, "usage": {"readUnits": 1}})
    }

    fn fetch_by_metadata(&self, ask: &Value) -> Answer {
        if ask["filter"].as_object().is_none_or(Map::is_empty) {
            return bad("filter");
        }
        valid(&ask["filter"])?;
        let records = namespace(&self.records(), ask["namespace"].as_str().unwrap_or_default());
        let mut found = Vec::new();
        for (id, record) in &records {
            if holds(&ask["filter"], &record.metadata)? {
                found.push((id.as_str(), record));
            }
        }
        let limit = ask["limit"].as_u64().unwrap_or(100);
        let (page, next) = page(found, ask["paginationToken"].as_str().unwrap_or_default(), limit);
        let vectors: Map<String, Value> =
            page.into_iter().map(|(id, record)| (id.to_owned(), whole(id, record))).collect();
        let mut answer = json!({"vectors": vectors, "namespace": echo(&ask["namespace"]), "usage": {"readUnits": 1}});
        if let Some(next) = next {
            answer["pagination"] = json!({"next": next});
        }
        Ok(answer)
    }

    fn list(&self, query: &[(String, String)]) -> Value {
        let name = value(query, "namespace");
        let records = namespace(&self.records(), name);
        let all = records.iter().filter(|(id, _)| id.starts_with(value(query, "prefix")));
        let all: Vec<(&str, &Record)> = all.map(|(id, record)| (id.as_str(), record)).collect();
        let limit = value(query, "limit").parse().unwrap_or(100);
        let (page, next) = page(all, value(query, "paginationToken"), limit);
        let ids: Vec<Value> = page.iter().map(|(id, _)| json!({"id": id})).collect();
        let mut answer = json!({"vectors": ids, "namespace": name, "usage": {"readUnits": 1}});
        if let Some(next) = next {
            answer["pagination"] = json!({"next": next});
        }
        answer
    }

    fn stats(&self) -> Value {
        let all = self.records();
        let each = all.iter().filter(|(_, records)| !records.is_empty());
        let namespaces: Map<String, Value> = each
            .map(|(name, records)| {
                let name = if name.is_empty() { "__default__" } else { name };
                (name.to_owned(), json!({"vectorCount": records.len()}))
            })
            .collect();
        let total: usize = all.values().map(BTreeMap::len).sum();
        json!({"namespaces": namespaces, "dimension": 3, "indexFullness": 0, "totalVectorCount": total,
            "metric": "dotproduct", "vectorType": "dense"})
    }

    fn upsert_records(&self, name: &str, body: &[u8]) -> Result<(), Failure> {
        let mut records = Vec::new();
        for line in body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let Ok(Value::Object(mut fields)) = serde_json::from_slice(line) else { return bad("a line is no object") };
            let id = fields.remove("_id").or(fields.remove("id"));
            let Some(Value::String(id)) = id else { return bad("_id") };
            storable(&fields)?;
            let values = embed(fields.get("chunk_text").and_then(Value::as_str).unwrap_or_default());
            records.push((id, Record { values, metadata: fields }));
        }
        self.change(name, |all| all.extend(records));
        Ok(())
    }

    fn search(&self, name: &str, ask: &Value) -> Answer {
        let records = namespace(&self.records(), name);
        let query = &ask["query"];
        let near = if let Some(id) = query["id"].as_str() {
            records.get(id).map(|record| record.values.clone())
        } else if let Some(text) = query["inputs"]["text"].as_str() {
            Some(embed(text))
        } else {
            floats(&query["vector"]["values"])
        };
        let mut found = nearest(&records, near.as_deref(), &query["filter"])?;
        found.truncate(query["top_k"].as_u64().and_then(|top| usize::try_from(top).ok()).unwrap_or_default());
        let wanted = ask["fields"].as_array();
        let hits = found.into_iter().map(|(id, score, record)| {
            let mut fields = record.metadata.clone();
            fields.retain(|name, _| wanted.is_none_or(|wanted| wanted.iter().any(|field| field == name)));
            json!({"_id": id, "_score": score, "fields": fields})
        });
        let hits: Vec<Value> = hits.collect();
        Ok(json!({"result": {"hits": hits}, "namespace": name, "usage": {"read_units": 5, "embed_total_tokens": 2}}))
    }

    fn change(&self, name: &str, change: impl FnOnce(&mut BTreeMap<String, Record>)) {
        change(self.records().entry(plain(name).to_owned()).or_default());
    }
}

fn failure(status: u16, message: &str) -> Reply {
    let document = json!({"code": 3, "message": message, "details": []});
    (status, "application/json", document.to_string().into_bytes())
}

fn plain(name: &str) -> &str {
    if name == "__default__" { "" } else { name }
}

fn echo(name: &Value) -> Value {
    if name.is_null() { json!("") } else { name.clone() }
}

fn namespace(all: &Namespaces, name: &str) -> BTreeMap<String, Record> {
    all.get(plain(name)).cloned().unwrap_or_default()
}

fn whole(id: &str, record: &Record) -> Value {
    let mut one = json!({"id": id, "values": record.values});
    if !record.metadata.is_empty() {
        one["metadata"] = Value::Object(record.metadata.clone());
    }
    one
}

fn floats(value: &Value) -> Option<Vec<f64>> {
    value.as_array()?.iter().map(Value::as_f64).collect()
}

fn embed(text: &str) -> Vec<f64> {
    let count =
        |wanted: &str| f64::from(u16::try_from(text.chars().filter(|c| wanted.contains(*c)).count()).unwrap_or(0));
    vec![count("aeiou"), count("bcdfghjklm"), count("npqrstvwxyz")]
}

/// The records that a filter leaves, the nearest first; none without a vector to be near to.
fn nearest<'r>(
    records: &'r BTreeMap<String, Record>,
    near: Option<&[f64]>,
    filter: &Value,
) -> Result<Nearest<'r>, Failure> {
    let mut found = Vec::new();
    let open = filter.is_null() || filter.as_object().is_some_and(Map::is_empty);
    if !open {
        valid(filter)?;
    }
    for (id, record) in records {
        if !open && !holds(filter, &record.metadata)? {
            continue;
        }
        let Some(near) = near else { continue };
        if near.len() != record.values.len() {
            return bad("Vector dimension does not match the dimension of the index");
        }
        let score: f64 = near.iter().zip(&record.values).map(|(a, b)| a * b).sum();
        found.push((id.as_str(), score, record));
    }
    found.sort_by(|one, other| other.1.total_cmp(&one.1));
    Ok(found)
}

/// A page after the token, which names the last id of the page before; and the next token.
fn page<'r>(all: Vec<(&'r str, &'r Record)>, token: &str, limit: u64) -> (Vec<(&'r str, &'r Record)>, Option<String>) {
    let after = hex::decode(token).ok().and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default();
    let mut rest: Vec<_> = all.into_iter().filter(|(id, _)| *id > after.as_str() || after.is_empty()).collect();
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = rest.len() > limit;
    rest.truncate(limit);
    let next = rest.last().filter(|_| more).map(|(id, _)| hex::encode(id));
    (rest, next)
}

fn storable(metadata: &Map<String, Value>) -> Result<(), Failure> {
    let texts = |value: &Value| value.as_array().is_some_and(|items| items.iter().all(Value::is_string));
    let fine = metadata.iter().all(|(key, value)| {
        !key.starts_with('$') && (value.is_string() || value.is_number() || value.is_boolean() || texts(value))
    });
    if fine { Ok(()) } else { bad("Metadata value must be a string, number, boolean or list of strings") }
}

/// A filter is read before any record is.
fn valid(filter: &Value) -> Result<(), Failure> {
    if filter.is_null() { Ok(()) } else { holds(filter, &Map::new()).map(drop) }
}

/// Whether a filter holds of a record's metadata.
fn holds(filter: &Value, metadata: &Map<String, Value>) -> Result<bool, Failure> {
    let Some(conditions) = filter.as_object().filter(|conditions| !conditions.is_empty()) else {
        return bad("a filter must be an object that is not empty");
    };
    let mut all = true;
    for (key, value) in conditions {
        all &= match (key.as_str(), value) {
            ("$and" | "$or", Value::Array(parts)) if !parts.is_empty() => {
                let parts: Vec<bool> = parts.iter().map(|part| holds(part, metadata)).collect::<Result<_, _>>()?;
                if key == "$and" { parts.iter().all(|part| *part) } else { parts.iter().any(|part| *part) }
            }
            (key, _) if key.starts_with('$') => return bad("unknown operator"),
            (_, Value::Object(operators)) if !operators.is_empty() => {
                let mut fine = true;
                for (operator, operand) in operators {
                    fine &= operates(operator, operand, metadata.get(key))?;
                }
                fine
            }
            (_, Value::Object(_) | Value::Array(_) | Value::Null) => return bad("a condition has no operator"),
            (_, scalar) => equals(metadata.get(key), scalar),
        };
    }
    Ok(all)
}

fn equals(have: Option<&Value>, wanted: &Value) -> bool {
    match have {
        Some(Value::Array(items)) => items.contains(wanted),
        Some(Value::Number(number)) => number.as_f64() == wanted.as_f64() && wanted.is_number(),
        Some(value) => value == wanted,
        None => false,
    }
}

fn operates(operator: &str, operand: &Value, have: Option<&Value>) -> Result<bool, Failure> {
    let number = |against: fn(f64, f64) -> bool| match operand.as_f64() {
        Some(operand) => Ok(have.and_then(Value::as_f64).is_some_and(|have| against(have, operand))),
        None => bad("a number is needed"),
    };
    let among = || match operand.as_array() {
        Some(items) => Ok(items.iter().any(|item| equals(have, item))),
        None => bad("a list is needed"),
    };
    match operator {
        "$eq" if !operand.is_object() && !operand.is_array() => Ok(equals(have, operand)),
        "$ne" if !operand.is_object() && !operand.is_array() => Ok(!equals(have, operand)),
        "$gt" => number(|have, operand| have > operand),
        "$gte" => number(|have, operand| have >= operand),
        "$lt" => number(|have, operand| have < operand),
        "$lte" => number(|have, operand| have <= operand),
        "$in" => among(),
        "$nin" => among().map(|found| !found),
        "$exists" if operand.is_boolean() => Ok(have.is_some() == (operand == &json!(true))),
        _ => bad("unknown operator"),
    }
}

fn value<'q>(query: &'q [(String, String)], name: &str) -> &'q str {
    query.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value)
}

fn pairs(query: &str) -> Vec<(String, String)> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| pair.split_once('=').map_or((decode(pair), String::new()), |(k, v)| (decode(k), decode(v))))
        .collect()
}

/// Undoes percent-encoding.
pub fn decode(text: &str) -> String {
    let mut out = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let byte = tail.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        match (first, byte.and_then(|digits| u8::from_str_radix(digits, 16).ok())) {
            (b'%', Some(byte)) => {
                out.push(byte);
                rest = &tail[2..];
            }
            (b'+', _) => {
                out.push(b' ');
                rest = tail;
            }
            _ => {
                out.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

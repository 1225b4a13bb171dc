//! Operations that change points.

use super::filter::{holds, steps};
use super::{Collection, Failure, Id, Point, bad, ids};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

impl Collection {
    pub(super) fn write(&mut self, method: &str, rest: &[&str], body: &Value, number: u64) -> Result<Value, Failure> {
        let name = match (method, rest) {
            ("PUT", ["index"]) => return Ok(done(number)),
            ("PUT", ["points"]) => "upsert",
            ("PUT", ["points", "vectors"]) => "update_vectors",
            ("PUT", ["points", "payload"]) => "overwrite_payload",
            ("POST", ["points", "payload"]) => "set_payload",
            ("POST", ["points", "payload", "delete"]) => "delete_payload",
            ("POST", ["points", "payload", "clear"]) => "clear_payload",
            ("POST", ["points", "delete"]) => "delete",
            ("POST", ["points", "vectors", "delete"]) => "delete_vectors",
            ("POST", ["points", "batch"]) => {
                let operations = body["operations"].as_array().ok_or_else(|| bad("operations"))?;
                return operations
                    .iter()
                    .map(|one| {
                        let (name, body) =
                            one.as_object().and_then(|m| m.iter().next()).ok_or_else(|| bad("operation"))?;
                        self.operation(name, body, number)
                    })
                    .collect();
            }
            _ => return Err((404, String::new())),
        };
        self.operation(name, body, number)
    }

    fn operation(&mut self, name: &str, body: &Value, number: u64) -> Result<Value, Failure> {
        match name {
            "upsert" => self.upsert(body, number)?,
            "update_vectors" => {
                for (id, point) in listed(&body["points"])? {
                    let old = self.points.get_mut(&id).ok_or_else(|| missing(id))?;
                    if conditioned(body, id, old)? {
                        old.vectors.extend(point.vectors);
                        old.version = number;
                    }
                }
            }
            _ => {
                // With both, the server deletes by ids alone.
                let on = if body["points"].is_null() { self.matching(&body["filter"])? } else { ids(&body["points"])? };
                if body["points"].is_null() && body["filter"].is_null() {
                    return Err(bad("neither points nor filter"));
                }
                for id in on {
                    if name == "delete" {
                        self.points.remove(&id);
                        continue;
                    }
                    let point = self.points.get_mut(&id).ok_or_else(|| missing(id))?;
                    change(name, body, point)?;
                    point.version = number;
                }
            }
        }
        Ok(done(number))
    }

    fn upsert(&mut self, body: &Value, number: u64) -> Result<(), Failure> {
        let columns = &body["batch"];
        let points = if columns.is_null() { listed(&body["points"])? } else { zipped(columns)? };
        for (id, mut point) in points {
            point.version = number;
            let mode = body["update_mode"].as_str().unwrap_or("upsert");
            match self.points.get(&id) {
                None if mode == "update_only" => {}
                Some(_) if mode == "insert_only" => {}
                Some(old) if !conditioned(body, id, old)? => {}
                _ => {
                    self.points.insert(id, point);
                }
            }
        }
        Ok(())
    }
}

fn conditioned(body: &Value, id: Id, old: &Point) -> Result<bool, Failure> {
    let filter = &body["update_filter"];
    if filter.is_null() { Ok(true) } else { holds(filter, id, old).map_err(bad) }
}

fn done(number: u64) -> Value {
    json!({"operation_id": number, "status": "completed"})
}

fn missing(id: Id) -> Failure {
    (404, format!("Not found: No point with id {} found", id.json()))
}

fn vectors(value: &Value) -> BTreeMap<String, Value> {
    match value {
        Value::Object(named) if !named.contains_key("indices") => named.clone().into_iter().collect(),
        Value::Null => BTreeMap::new(),
        one => BTreeMap::from([(String::new(), one.clone())]),
    }
}

fn listed(list: &Value) -> Result<Vec<(Id, Point)>, Failure> {
    let list = list.as_array().ok_or_else(|| bad("points"))?;
    let points = list.iter().map(|one| {
        let payload = one["payload"].as_object().cloned().unwrap_or_default();
        Ok((Id::read(&one["id"]).map_err(bad)?, Point { payload, vectors: vectors(&one["vector"]), version: 0 }))
    });
    points.collect()
}

fn zipped(columns: &Value) -> Result<Vec<(Id, Point)>, Failure> {
    let points = ids(&columns["ids"])?.into_iter().enumerate().map(|(at, id)| {
        let payload = columns["payloads"][at].as_object().cloned().unwrap_or_default();
        let vector = match &columns["vectors"] {
            Value::Object(named) => named.iter().map(|(name, list)| (name.clone(), list[at].clone())).collect(),
            list => vectors(&list[at]),
        };
        (id, Point { payload, vectors: vector, version: 0 })
    });
    Ok(points.collect())
}

fn change(name: &str, body: &Value, point: &mut Point) -> Result<(), Failure> {
    let payload = body["payload"].as_object().cloned().unwrap_or_default();
    match name {
        "set_payload" => {
            let path = body["key"].as_str().map(steps).unwrap_or_default();
            let mut at = &mut point.payload;
            for key in path {
                let below = at.entry(key).or_insert_with(|| json!({}));
                if !below.is_object() {
                    *below = json!({});
                }
                let Some(object) = below.as_object_mut() else { return Err(bad("key")) };
                at = object;
            }
            at.extend(payload);
        }
        "overwrite_payload" => point.payload = payload,
        "clear_payload" => point.payload = Map::new(),
        "delete_payload" => {
            for path in body["keys"].as_array().into_iter().flatten().filter_map(Value::as_str) {
                let path = steps(path);
                let Some((last, before)) = path.split_last() else { continue };
                let at = before.iter().try_fold(&mut point.payload, |at, key| at.get_mut(key)?.as_object_mut());
                at.and_then(|at| at.remove(last));
            }
        }
        "delete_vectors" => {
            for vector in body["vector"].as_array().into_iter().flatten().filter_map(Value::as_str) {
                point.vectors.remove(vector);
            }
        }
        _ => return Err(bad("unknown operation")),
    }
    Ok(())
}

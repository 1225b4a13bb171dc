//! Weaviate over objects in memory: native tenants, `where`, references, batches, and the GraphQL that clients write.

mod filter;
mod graphql;

use super::pinecone::decode;
use super::{Fake, Reply};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The objects of a class and tenant, by their ids.
pub type Shard = BTreeMap<String, Value>;
/// The shards, by class and tenant.
pub type Shards = BTreeMap<(String, String), Shard>;

type Failure = (u16, String);
type Answer = Result<(u16, Value), Failure>;

/// A server.
#[derive(Clone)]
pub struct Weaviate {
    shards: Arc<Mutex<Shards>>,
    gone: Arc<Mutex<Vec<String>>>,
    tenants: bool,
}

struct Ask<'r> {
    query: Vec<(String, String)>,
    body: &'r Value,
}

impl Ask<'_> {
    fn get(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

fn no<T>(status: u16, message: &str) -> Result<T, Failure> {
    Err((status, message.to_owned()))
}

impl Weaviate {
    /// A server whose classes have tenants, or (where one is alone) none.
    pub fn new(tenants: bool) -> Self {
        Self { shards: Arc::default(), gone: Arc::default(), tenants }
    }

    /// Serves it.
    pub fn serve(&self) -> Fake {
        let server = self.clone();
        Fake::start(move |request| server.answer(&request.line, &request.body))
    }

    /// What it holds.
    pub fn shards(&self) -> MutexGuard<'_, Shards> {
        self.shards.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts an object in, past everything.
    pub fn put(&self, class: &str, tenant: &str, id: &str, properties: &Value, vector: &Value) {
        let object = json!({"class": class, "id": id, "properties": properties, "vector": vector, "tenant": tenant});
        self.shard(class, tenant, |shard| shard.insert(id.to_owned(), object));
    }

    fn shard<T>(&self, class: &str, tenant: &str, change: impl FnOnce(&mut Shard) -> T) -> T {
        change(self.shards().entry((class.to_owned(), tenant.to_owned())).or_default())
    }

    /// The objects of a class and tenant.
    fn read(&self, class: &str, tenant: Option<&str>) -> Result<Shard, Failure> {
        let tenant = self.tenant(class, tenant)?;
        Ok(self.shards().get(&(class.to_owned(), tenant)).cloned().unwrap_or_default())
    }

    fn has(&self, class: &str) -> bool {
        let gone = self.gone.lock().unwrap_or_else(PoisonError::into_inner);
        (class.starts_with("Docs") || class.starts_with("Notes")) && !gone.iter().any(|one| one == class)
    }

    /// The schema, as far as an operator needs it: classes and their native tenants.
    fn schema(&self, method: &str, class: &str, tenants: bool, body: &Value) -> Answer {
        match (method, tenants, self.has(class)) {
            ("GET", false, false) => no(404, ""),
            ("GET", false, true) => Ok((200, json!({"class": class, "multiTenancyConfig": {"enabled": self.tenants}}))),
            ("DELETE", false, _) => {
                self.shards().retain(|(own, _), _| own != class);
                self.gone.lock().unwrap_or_else(PoisonError::into_inner).push(class.to_owned());
                Ok((200, Value::Null))
            }
            (_, true, false) => no(422, &format!("class \"{class}\" not found")),
            (_, true, _) if !self.tenants => no(422, &format!("multi-tenancy is not enabled for class {class:?}")),
            ("GET", true, _) => {
                let shards = self.shards();
                let own = shards.keys().filter(|(own, _)| own == class);
                Ok((200, own.map(|(_, name)| json!({"name": name, "activityStatus": "HOT"})).collect()))
            }
            ("DELETE", true, _) => {
                let names: Vec<&str> = body.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
                self.shards().retain(|(own, tenant), _| own != class || !names.contains(&tenant.as_str()));
                Ok((200, Value::Null))
            }
            _ => no(405, "no such method"),
        }
    }

    fn tenant(&self, class: &str, tenant: Option<&str>) -> Result<String, Failure> {
        if !self.has(class) {
            return no(422, &format!("class {class} not found in schema"));
        }
        match tenant.unwrap_or_default() {
            "" if self.tenants => {
                no(422, &format!("class {class} has multi-tenancy enabled, but request was without tenant"))
            }
            tenant if !tenant.is_empty() && !self.tenants => {
                no(422, &format!("class {class} has multi-tenancy disabled, but request was with tenant {tenant}"))
            }
            tenant => Ok(tenant.to_owned()),
        }
    }

    /// Answers a request, by its line and body.
    pub fn answer(&self, line: &str, body: &[u8]) -> Reply {
        let mut words = line.split(' ');
        let method = words.next().unwrap_or_default();
        let target = words.next().unwrap_or_default();
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        let document: Value = serde_json::from_slice(body).unwrap_or_default();
        let ask = Ask { query: pairs.map(|(k, v)| (decode(k), decode(v))).collect(), body: &document };
        let parts: Vec<&str> = path.split('/').skip(1).collect();
        let answer = match (method, parts.as_slice()) {
            ("GET", ["v1", "meta"]) => {
                Ok((200, json!({"hostname": "http://10.0.0.7:8080", "version": "1.31.0", "modules": {}})))
            }
            ("GET", ["v1", "nodes"]) => Ok((200, self.nodes())),
            ("GET", ["v1", ".well-known", "openid-configuration"]) => no(404, "no OIDC here"),
            ("GET", ["v1", ".well-known", _]) => Ok((200, Value::Null)),
            (_, ["v1", "schema", class]) => self.schema(method, class, false, &document),
            (_, ["v1", "schema", class, "tenants"]) => self.schema(method, class, true, &document),
            ("GET", ["v1", "objects"]) => self.list(&ask),
            ("POST", ["v1", "objects"]) => self.create(&ask),
            ("GET" | "HEAD", ["v1", "objects", class, id]) => self.object(&ask, class, id, method == "HEAD"),
            ("DELETE", ["v1", "objects", class, id]) => self.remove(&ask, class, id),
            ("PUT", ["v1", "objects", class, id]) => self.replace(&ask, class, id),
            ("PATCH", ["v1", "objects", class, id]) => self.merge(&ask, class, id),
            (_, ["v1", "objects", class, id, "references", property]) => self.refer(method, &ask, class, id, property),
            ("POST", ["v1", "batch", "objects"]) => self.batch(&ask),
            ("DELETE", ["v1", "batch", "objects"]) => self.batch_delete(&ask),
            ("POST", ["v1", "batch", "references"]) => self.batch_references(&ask),
            ("POST", ["v1", "graphql"]) => Ok((200, graphql::answer(self, &document))),
            _ => no(404, "no such endpoint"),
        };
        match answer {
            Ok((status, Value::Null)) => (status, "application/json", Vec::new()),
            Ok((status, document)) => (status, "application/json", document.to_string().into_bytes()),
            Err((404, _)) => (404, "application/json", Vec::new()),
            Err((status, message)) => {
                let document = json!({"error": [{"message": message}]});
                (status, "application/json", document.to_string().into_bytes())
            }
        }
    }

    fn nodes(&self) -> Value {
        let shards = self.shards();
        let each = shards
            .iter()
            .map(|((class, tenant), shard)| json!({"class": class, "name": tenant, "objectCount": shard.len()}));
        let each: Vec<Value> = each.collect();
        json!({"nodes": [{"name": "node1", "status": "HEALTHY", "version": "1.31.0", "shards": each}]})
    }

    fn list(&self, ask: &Ask<'_>) -> Answer {
        let mut found: Vec<Value> = match ask.get("class") {
            Some(class) => self.read(class, ask.get("tenant"))?.into_values().collect(),
            None => self.shards().values().flat_map(|shard| shard.values().cloned()).collect(),
        };
        if let Some(after) = ask.get("after") {
            found.retain(|object| object["id"].as_str().unwrap_or_default() > after);
        }
        let number = |name: &str, or: usize| ask.get(name).and_then(|text| text.parse().ok()).unwrap_or(or);
        let page = found.into_iter().skip(number("offset", 0)).take(number("limit", 25));
        let vector = ask.get("include").is_some_and(|include| include.contains("vector"));
        let objects: Vec<Value> = page.map(|object| shown(object, vector)).collect();
        Ok((200, json!({"deprecations": null, "totalResults": objects.len(), "objects": objects})))
    }

    fn object(&self, ask: &Ask<'_>, class: &str, id: &str, head: bool) -> Answer {
        match self.read(class, ask.get("tenant"))?.remove(id) {
            None => no(404, ""),
            Some(_) if head => Ok((204, Value::Null)),
            Some(object) => Ok((200, shown(object, ask.get("include").is_some_and(|i| i.contains("vector"))))),
        }
    }

    fn remove(&self, ask: &Ask<'_>, class: &str, id: &str) -> Answer {
        let tenant = self.tenant(class, ask.get("tenant"))?;
        match self.shard(class, &tenant, |shard| shard.remove(id)) {
            Some(_) => Ok((204, Value::Null)),
            None => no(404, ""),
        }
    }

    /// An object as it is stored, and the shard that it belongs to.
    fn read_object(&self, object: &Value, id: Option<&str>) -> Result<(String, String, Value), Failure> {
        let Some(class) = object["class"].as_str() else { return no(422, "class is a required field") };
        let tenant = self.tenant(class, object["tenant"].as_str())?;
        let id = id.or(object["id"].as_str());
        let Some(id) = id else { return no(422, "the fake makes no ids") };
        let mut stored = json!({"class": class, "id": id, "properties": lowered(&object["properties"])});
        if !tenant.is_empty() {
            stored["tenant"] = json!(tenant);
        }
        if object["vector"].is_array() {
            stored["vector"] = object["vector"].clone();
        }
        Ok((class.to_owned(), tenant, stored))
    }

    fn create(&self, ask: &Ask<'_>) -> Answer {
        let (class, tenant, object) = self.read_object(ask.body, None)?;
        let id = object["id"].as_str().unwrap_or_default().to_owned();
        self.shard(&class, &tenant, |shard| {
            if shard.contains_key(&id) {
                return no(422, &format!("id '{id}' already exists"));
            }
            shard.insert(id, object.clone());
            Ok((200, shown(object, true)))
        })
    }

    fn replace(&self, ask: &Ask<'_>, class: &str, id: &str) -> Answer {
        let (_, tenant, object) = self.read_object(ask.body, Some(id))?;
        self.shard(class, &tenant, |shard| {
            if !shard.contains_key(id) {
                return no(422, "no object with that id");
            }
            shard.insert(id.to_owned(), object.clone());
            Ok((200, shown(object, true)))
        })
    }

    fn merge(&self, ask: &Ask<'_>, class: &str, id: &str) -> Answer {
        let tenant = self.tenant(class, ask.body["tenant"].as_str())?;
        let change = lowered(&ask.body["properties"]);
        self.shard(class, &tenant, |shard| {
            let Some(object) = shard.get_mut(id) else { return no(404, "") };
            for (name, value) in change.as_object().into_iter().flatten() {
                object["properties"][name] = value.clone();
            }
            if ask.body["vector"].is_array() {
                object["vector"] = ask.body["vector"].clone();
            }
            Ok((204, Value::Null))
        })
    }

    fn refer(&self, method: &str, ask: &Ask<'_>, class: &str, id: &str, property: &str) -> Answer {
        let tenant = self.tenant(class, ask.get("tenant"))?;
        self.shard(class, &tenant, |shard| {
            let Some(object) = shard.get_mut(id) else { return no(404, "") };
            let beacon = |one: &Value| json!({"beacon": one["beacon"]});
            let mut references = object["properties"][property].as_array().cloned().unwrap_or_default();
            match method {
                "POST" => references.push(beacon(ask.body)),
                "PUT" => references = ask.body.as_array().into_iter().flatten().map(beacon).collect(),
                _ => references.retain(|one| one["beacon"] != ask.body["beacon"]),
            }
            object["properties"][property] = json!(references);
            Ok((if method == "DELETE" { 204 } else { 200 }, Value::Null))
        })
    }

    fn batch(&self, ask: &Ask<'_>) -> Answer {
        let done =
            ask.body["objects"].as_array().into_iter().flatten().map(|object| match self.read_object(object, None) {
                Ok((class, tenant, stored)) => {
                    let id = stored["id"].as_str().unwrap_or_default().to_owned();
                    self.shard(&class, &tenant, |shard| shard.insert(id, stored.clone()));
                    let mut answer = shown(stored, true);
                    answer["deprecations"] = Value::Null;
                    answer["result"] = json!({"status": "SUCCESS"});
                    answer
                }
                Err((_, message)) => {
                    let mut answer = object.clone();
                    answer["result"] = json!({"status": "FAILED", "errors": {"error": [{"message": message}]}});
                    answer
                }
            });
        let done: Vec<Value> = done.collect();
        Ok((200, json!(done)))
    }

    fn batch_references(&self, ask: &Ask<'_>) -> Answer {
        let done = ask.body.as_array().into_iter().flatten().map(|item| {
            let from = item["from"].as_str().and_then(|beacon| beacon.strip_prefix("weaviate://localhost/"));
            let parts: Vec<&str> = from.unwrap_or_default().split('/').collect();
            let status = match parts.as_slice() {
                [class, id, property] => self.tenant(class, item["tenant"].as_str()).is_ok_and(|tenant| {
                    self.shard(class, &tenant, |shard| {
                        let Some(object) = shard.get_mut(*id) else { return false };
                        let mut all = object["properties"][property].as_array().cloned().unwrap_or_default();
                        all.push(json!({"beacon": item["to"]}));
                        object["properties"][property] = json!(all);
                        true
                    })
                }),
                _ => false,
            };
            json!({"from": item["from"], "to": item["to"], "result": {"status": if status { "SUCCESS" } else { "FAILED" }}})
        });
        let done: Vec<Value> = done.collect();
        Ok((200, json!(done)))
    }

    fn batch_delete(&self, ask: &Ask<'_>) -> Answer {
        let matched = &ask.body["match"];
        let class = matched["class"].as_str().unwrap_or_default();
        let shard = self.read(class, ask.get("tenant"))?;
        filter::valid(&matched["where"])?;
        let gone: Vec<&String> =
            shard.iter().filter(|(_, object)| filter::holds(&matched["where"], object)).map(|(id, _)| id).collect();
        let dry = ask.body["dryRun"] == true;
        if !dry {
            let tenant = self.tenant(class, ask.get("tenant"))?;
            self.shard(class, &tenant, |shard| shard.retain(|id, _| !gone.contains(&id)));
        }
        let status = if dry { "DRYRUN" } else { "SUCCESS" };
        let verbose = ask.body["output"] == "verbose";
        let objects: Value =
            if verbose { gone.iter().map(|id| json!({"id": id, "status": status})).collect() } else { Value::Null };
        Ok((
            200,
            json!({"match": matched, "output": if verbose { "verbose" } else { "minimal" }, "dryRun": dry,
                "results": {"matches": gone.len(), "limit": 10000, "successful": if dry { 0 } else { gone.len() },
                    "failed": 0, "objects": objects}}),
        ))
    }
}

/// Properties are kept by names whose first letter is lower; null ones are not kept.
fn lowered(properties: &Value) -> Value {
    let lower = |name: &str| {
        let mut letters = name.chars();
        letters.next().map(|first| first.to_lowercase().chain(letters).collect::<String>()).unwrap_or_default()
    };
    let kept = properties.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null());
    Value::Object(kept.map(|(name, value)| (lower(name), value.clone())).collect())
}

/// An object as it is answered: references with their paths.
fn shown(mut object: Value, vector: bool) -> Value {
    if !vector {
        object.as_object_mut().map(|members| members.remove("vector"));
    }
    for (_, value) in object["properties"].as_object_mut().into_iter().flatten() {
        for reference in value.as_array_mut().into_iter().flatten() {
            let path = reference["beacon"].as_str().and_then(|beacon| beacon.strip_prefix("weaviate://localhost/"));
            if let Some(href) = path.map(|path| format!("/v1/objects/{path}")) {
                reference["href"] = json!(href);
            }
        }
    }
    object["creationTimeUnix"] = json!(1_700_000_000_000_u64);
    object["lastUpdateTimeUnix"] = json!(1_700_000_000_000_u64);
    object["vectorWeights"] = Value::Null;
    object
}

/// The fields of a JSON object.
fn fields(value: &Value) -> Map<String, Value> {
    value.as_object().cloned().unwrap_or_default()
}

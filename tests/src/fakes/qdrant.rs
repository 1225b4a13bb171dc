//! Qdrant over records in memory: collections of points with payloads and vectors, its filters and queries.

pub mod filter;
mod read;
mod search;
mod update;

use super::{Fake, Reply};
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

fn ids(value: &Value) -> Result<Vec<Id>, Failure> {
    value.as_array().ok_or_else(|| bad("ids"))?.iter().map(Id::read).collect::<Result<_, _>>().map_err(bad)
}

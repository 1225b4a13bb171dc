//! What a request writes into a vector database: the texts that become the tenant's documents once the database has taken
//! them, so that their phrases are guarded in every other tenant's responses.
//!
//! Read from the client's request after it was judged. Chroma's `documents` and the texts in Qdrant's payloads are texts; other
//! databases are not covered yet. What is deleted by a filter, or with its collection, stays guarded until an operator removes it.

use super::document::{find, object, strings};
use super::parameter;
use crate::json::{Str, Value, parse};
use crate::surface::Route;
use sha2::{Digest, Sha256};

/// The most text of one request that is read: a worker has other streams.
pub const MAX_TEXT: usize = 256 * 1024;
/// Deeper payloads are not read.
const MAX_DEPTH: usize = 32;

/// What becomes of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Becomes {
    /// This text, whatever it was.
    This(String),
    /// This text too: the database may have kept what it had.
    Also(String),
    /// Nothing.
    Gone,
}

/// The documents of a request, by name, in order.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Writes {
    /// What becomes of each.
    pub documents: Vec<(String, Becomes)>,
    /// How many were too much to read.
    pub skipped: u64,
}

/// What a request writes; nothing where the endpoint writes nothing that is known.
pub fn written(route: &Route, body: &[u8]) -> Writes {
    let mut writes = Reader { out: Writes::default(), room: MAX_TEXT, stem: String::new() };
    let name = match route.endpoint.name.split_once('.') {
        Some(("chroma", name)) => ("collection_id", name),
        Some(("qdrant", name)) => ("collection", name),
        _ => return writes.out,
    };
    let Ok(collection) = parameter(route.endpoint, &route.parameters, name.0) else { return writes.out };
    writes.stem = format!("rag:{}/{}/", route.surface.name, part(collection));
    let read = match (route.endpoint.name, name.1) {
        ("chroma.add" | "chroma.upsert" | "chroma.update", how) => writes.chroma(body, how == "add"),
        ("chroma.delete", _) => writes.chroma_delete(body),
        (_, "upsert" | "delete" | "overwrite_payload" | "set_payload") => {
            parse(body).ok().and_then(|value| writes.qdrant(name.1, object(&value).ok()?))
        }
        (_, "batch") => writes.qdrant_batch(body),
        _ => None,
    };
    // The judge has taken it, so it can be read.
    read.unwrap_or_default();
    writes.out
}

struct Reader {
    out: Writes,
    /// How much text may still be read.
    room: usize,
    stem: String,
}

type Members<'a> = [(Str<'a>, Value<'a>)];

impl Reader {
    fn put(&mut self, id: &str, text: String, also: bool) {
        if text.len() > self.room {
            self.out.skipped = self.out.skipped.saturating_add(1);
            return;
        }
        self.room = self.room.saturating_sub(text.len());
        let becomes = if also { Becomes::Also(text) } else { Becomes::This(text) };
        self.out.documents.push((format!("{}{}", self.stem, part(id)), becomes));
    }

    fn gone(&mut self, id: &str) {
        self.out.documents.push((format!("{}{}", self.stem, part(id)), Becomes::Gone));
    }

    /// `add` leaves a record that is there as it is, so what is guarded of it stays guarded.
    fn chroma(&mut self, body: &[u8], add: bool) -> Option<()> {
        let value = parse(body).ok()?;
        let members = object(&value).ok()?;
        let ids = strings(members, "ids").ok()??;
        let documents = find(members, "documents")?.items()?;
        for (id, document) in ids.iter().zip(documents) {
            if let Value::String(text, _) = document {
                self.put(&id.decode(), text.decode().into_owned(), add);
            }
        }
        Some(())
    }

    /// Only ids alone say for sure which records go.
    fn chroma_delete(&mut self, body: &[u8]) -> Option<()> {
        let value = parse(body).ok()?;
        let members = object(&value).ok()?;
        if ["where", "where_document", "limit"].iter().any(|name| find(members, name).is_some()) {
            return None;
        }
        for id in strings(members, "ids").ok()?? {
            self.gone(&id.decode());
        }
        Some(())
    }

    fn qdrant_batch(&mut self, body: &[u8]) -> Option<()> {
        let value = parse(body).ok()?;
        for operation in find(object(&value).ok()?, "operations")?.items()? {
            if let Ok([(name, value)]) = object(operation)
                && let Ok(members) = object(value)
            {
                // One that says nothing of documents does not hide the next.
                self.qdrant(&name.decode(), members).unwrap_or_default();
            }
        }
        Some(())
    }

    fn qdrant(&mut self, operation: &str, members: &Members<'_>) -> Option<()> {
        // An upsert under a condition may leave a point as it is.
        let also = find(members, "update_filter").is_some() || find(members, "update_mode").is_some();
        match operation {
            "upsert" => {
                if let Some(columns) = find(members, "batch") {
                    let columns = object(columns).ok()?;
                    let ids = super::document::items(find(columns, "ids")?)?;
                    let payloads = find(columns, "payloads")?.items()?;
                    for (id, payload) in ids.iter().zip(payloads) {
                        self.point(id, Some(payload), also);
                    }
                    return Some(());
                }
                for point in find(members, "points")?.items()? {
                    let point = object(point).ok()?;
                    self.point(find(point, "id")?, find(point, "payload"), also);
                }
                Some(())
            }
            "set_payload" | "overwrite_payload" => {
                let ids = super::document::items(find(members, "points")?)?;
                let inner = operation == "set_payload" || find(members, "key").is_some();
                for id in &ids {
                    self.point(id, find(members, "payload"), inner || also);
                }
                Some(())
            }
            "delete" => {
                for id in super::document::items(find(members, "points")?)? {
                    self.gone(&spelled(&id)?);
                }
                Some(())
            }
            _ => None,
        }
    }

    fn point(&mut self, id: &Value<'_>, payload: Option<&Value<'_>>, also: bool) {
        let Some(id) = spelled(id) else { return };
        let mut text = String::new();
        if let Some(payload) = payload {
            texts(payload, MAX_DEPTH, &mut text);
        }
        match (text.is_empty(), also) {
            (false, _) => self.put(&id, text, also),
            // It was perhaps one with a text.
            (true, false) => self.gone(&id),
            (true, true) => {}
        }
    }
}

/// An id, the same in every spelling.
fn spelled(id: &Value<'_>) -> Option<String> {
    match id {
        Value::Number(raw) => std::str::from_utf8(raw).ok().map(str::to_owned),
        Value::String(text, _) => {
            let plain: String = text.decode().to_ascii_lowercase();
            let hex = plain.trim_start_matches("urn:uuid:").trim_matches(['{', '}']).replace('-', "");
            Some(hex)
        }
        _ => None,
    }
}

/// All strings of a payload, a line each.
fn texts(value: &Value<'_>, depth: usize, out: &mut String) {
    if depth == 0 || out.len() > MAX_TEXT {
        return;
    }
    match value {
        Value::String(text, _) => {
            out.push_str(&text.decode());
            out.push('\n');
        }
        Value::Array(items, _) => items.iter().for_each(|item| texts(item, depth.saturating_sub(1), out)),
        Value::Object(members, _) => {
            members.iter().for_each(|(_, value)| texts(value, depth.saturating_sub(1), out));
        }
        _ => {}
    }
}

/// A part of a document's name: as it is where that is short and plain, else a digest of it.
fn part(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b':');
    if (1..=64).contains(&text.len()) && text.bytes().all(plain) {
        return text.to_owned();
    }
    let digest = Sha256::digest(text.as_bytes());
    format!("={}", hex::encode(digest.get(..16).unwrap_or_default()))
}

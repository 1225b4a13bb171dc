//! Answers.
//!
//! `code` says whether it is one: anything but 0 is an error. Of an answer the known members are written anew: what Milvus
//! adds about costs and scanned bytes speaks of all tenants' records and is left out; a member that is not known may hold
//! records, so the answer is withheld.

use super::entities::COUNT;
use crate::error::Code;
use crate::json::write::{self, Object};
use crate::json::{self, Value};
use crate::rag::document::items;
use crate::rag::{Answer, Place, Tally, Verified, errors};

const MALFORMED: Code = Code::UpstreamMalformed;
/// Members beside `data` that are left out.
const SILENT: &[&str] =
    &["cost", "recalls", "scannedRemoteBytes", "scannedTotalBytes", "cacheHitRatio", "message", "allSearchCount"];

/// Reads an answer; an error becomes a clean error, anything else what `write` makes of its `data`.
fn answer(
    answer: &Answer<'_>,
    write: impl FnOnce(&Value<'_>, &Value<'_>, &mut Object<'_>, &mut Tally) -> Result<(), Code>,
) -> Result<Verified, Code> {
    let document = json::parse(answer.body).map_err(|_| MALFORMED)?;
    let Value::Object(members, _) = &document else { return Err(MALFORMED) };
    match document.member("code") {
        Some(Value::Number(b"0")) => {}
        Some(Value::Number(_)) => {
            return Ok(Verified { body: Some(errors::document_of(answer, &document)?), ..Verified::default() });
        }
        _ => return Err(MALFORMED),
    }
    let known = |name: &str| matches!(name, "code" | "data" | "topks") || SILENT.contains(&name);
    if !members.iter().all(|(key, _)| known(&key.decode())) {
        return Err(MALFORMED);
    }
    let data = document.member("data").ok_or(MALFORMED)?;
    let mut tally = Tally::default();
    let mut body = Vec::with_capacity(answer.body.len());
    let mut object = Object::begin(&mut body);
    object.raw("code", b"0");
    write(&document, data, &mut object, &mut tally)?;
    object.end();
    Ok(Verified { body: Some(body), tally, ..Verified::default() })
}

/// The answers of `search`, `hybrid_search`, `query` and `get`: one flat list of rows, and for several vectors in `topks` how
/// many of them belong to each.
pub(super) fn rows(ask: &Answer<'_>) -> Result<Verified, Code> {
    if ask.memo.names.iter().any(|name| name == COUNT) {
        return answer(ask, |_, data, out, _| {
            let number = counted(data)?;
            out.member("data", |out| {
                write::array(out, [number], |out, number| {
                    let mut row = Object::begin(out);
                    row.raw(COUNT, number);
                    row.end();
                });
            });
            Ok(())
        });
    }
    answer(ask, |document, data, out, tally| {
        let rows = data.items().ok_or(MALFORMED)?;
        let mut kept = Vec::with_capacity(rows.len());
        for row in rows {
            kept.push(owns(ask.place, row, tally)?);
        }
        out.member("data", |out| {
            let own = rows.iter().zip(&kept).filter(|(_, kept)| **kept);
            write::array(out, own, |out, (row, _)| write_row(out, ask.place, row));
        });
        if let Some(topks) = document.member("topks").filter(|topks| !topks.is_null()) {
            let topks = shrink(topks, &kept)?;
            out.member("topks", |out| {
                write::array(out, topks, |out, count| out.extend_from_slice(count.to_string().as_bytes()));
            });
        }
        Ok(())
    })
}

/// How many of each vector's rows remain.
fn shrink(topks: &Value<'_>, kept: &[bool]) -> Result<Vec<usize>, Code> {
    let mut rest = kept;
    let mut out = Vec::new();
    for count in items(topks).ok_or(MALFORMED)? {
        let count: usize = std::str::from_utf8(count.raw()).ok().and_then(|n| n.parse().ok()).ok_or(MALFORMED)?;
        let (these, later) = rest.split_at_checked(count).ok_or(MALFORMED)?;
        out.push(these.iter().filter(|kept| **kept).count());
        rest = later;
    }
    if rest.is_empty() { Ok(out) } else { Err(MALFORMED) }
}

/// Where a row has its key: some versions call it `id` in a search's answer, whatever its name.
fn key_of<'n>(place: &Place<'n>, row: &Value<'_>) -> &'n str {
    let own = place.rag().id_field.as_str();
    if row.member(own).is_none() && row.member("distance").is_some() { "id" } else { own }
}

fn owns(place: &Place<'_>, row: &Value<'_>, tally: &mut Tally) -> Result<bool, Code> {
    let Value::Object(members, _) = row else { return Err(MALFORMED) };
    if members.iter().any(|(key, _)| key.decode().starts_with('$')) {
        return Err(MALFORMED);
    }
    let marker = match row.member(place.key()) {
        Some(Value::String(text, _)) => text.decode(),
        _ => "".into(),
    };
    let scoped = row.member(&place.rag().id_field).is_none_or(|id| unscoped(place, id).is_some());
    Ok(tally.count(scoped && marker == place.namespace, &marker))
}

/// A key as its owner knows it. Numeric keys have no prefix, and Milvus writes them as texts unless told otherwise.
fn unscoped(place: &Place<'_>, id: &Value<'_>) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    match id {
        Value::Number(raw) => out.extend_from_slice(raw),
        Value::String(text, raw) => {
            let text = text.decode();
            match text.strip_prefix(&place.prefix()) {
                Some(own) => write::string(&mut out, own),
                None if text.parse::<i64>().is_ok() => out.extend_from_slice(raw),
                None => return None,
            }
        }
        _ => return None,
    }
    Some(out)
}

fn write_row(out: &mut Vec<u8>, place: &Place<'_>, row: &Value<'_>) {
    let key = key_of(place, row);
    let Value::Object(members, _) = row else { return out.extend_from_slice(b"{}") };
    let mut object = Object::begin(out);
    for (name, value) in members {
        let name = name.decode();
        if name == place.key() {
            continue;
        }
        match unscoped(place, value).filter(|_| name == key) {
            Some(id) => object.raw(&name, &id),
            None => object.raw(&name, value.raw()),
        }
    }
    object.end();
}

/// The one number of a count's only row.
fn counted<'a>(data: &Value<'a>) -> Result<&'a [u8], Code> {
    match data.items() {
        Some([Value::Object(members, _)]) if members.len() == 1 => {}
        _ => return Err(MALFORMED),
    }
    match data.items().and_then(|rows| rows.first()?.member(COUNT)) {
        Some(Value::Number(raw)) => Ok(raw),
        // Numbers of 64 bits come as texts unless asked for as numbers.
        Some(Value::String(text, raw)) if text.decode().parse::<u64>().is_ok() => Ok(raw),
        _ => Err(MALFORMED),
    }
}

/// The number of the tenant's records, as `get_stats` says it.
pub(super) fn stats(ask: &Answer<'_>) -> Result<Verified, Code> {
    answer(ask, |_, data, out, _| {
        let number = counted(data)?;
        let bare = number.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).unwrap_or(number);
        out.member("data", |out| {
            let mut data = Object::begin(out);
            data.raw("rowCount", bare);
            data.end();
        });
        Ok(())
    })
}

/// The answers of writes: counts, and the keys of what was written.
pub(super) fn written(ask: &Answer<'_>) -> Result<Verified, Code> {
    answer(ask, |_, data, out, _| {
        let Value::Object(members, _) = data else { return Err(MALFORMED) };
        let mut result = Ok(());
        out.member("data", |out| {
            let mut object = Object::begin(out);
            for (name, value) in members {
                match (name.decode().as_ref(), value) {
                    (name @ ("insertCount" | "upsertCount" | "deleteCount"), Value::Number(raw)) => {
                        object.raw(name, raw)
                    }
                    (name @ ("insertIds" | "upsertIds"), ids) => {
                        let ids: Option<Vec<Vec<u8>>> =
                            items(ids).and_then(|ids| ids.iter().map(|id| unscoped(ask.place, id)).collect());
                        match ids {
                            Some(ids) => object.member(name, |out| {
                                write::array(out, ids, |out, id| out.extend_from_slice(&id));
                            }),
                            None => result = Err(MALFORMED),
                        }
                    }
                    _ => result = Err(MALFORMED),
                }
            }
            object.end();
        });
        result
    })
}

/// Answers of a flag or a state: these members and no other.
pub(super) fn state(ask: &Answer<'_>) -> Result<Verified, Code> {
    answer(ask, |_, data, out, _| {
        let Value::Object(members, _) = data else { return Err(MALFORMED) };
        out.member("data", |out| {
            let mut object = Object::begin(out);
            for (name, value) in members {
                let name = name.decode();
                let plain = matches!(value, Value::Bool(_) | Value::Number(_) | Value::String(..));
                if plain && matches!(name.as_ref(), "has" | "loadState" | "loadProgress") {
                    object.raw(&name, value.raw());
                }
            }
            object.end();
        });
        Ok(())
    })
}

/// Only the tenant's collections, by the names that it has for them.
pub(super) fn collections(ask: &Answer<'_>) -> Result<Verified, Code> {
    answer(ask, |_, data, out, _| {
        let names = data.items().ok_or(MALFORMED)?;
        let own = names.iter().filter_map(|name| match name {
            Value::String(name, _) => ask.place.logical(&name.decode()),
            _ => None,
        });
        out.member("data", |out| write::array(out, own, write::string));
        Ok(())
    })
}

/// What of a description speaks of the collection and of nothing else.
const DESCRIBED: &[&str] = &[
    "description",
    "autoId",
    "indexes",
    "load",
    "shardsNum",
    "partitionsNum",
    "consistencyLevel",
    "enableDynamicField",
];

/// A collection, as the tenant knows it: without the marker's field, aliases and the backend's own ids.
pub(super) fn described(ask: &Answer<'_>) -> Result<Verified, Code> {
    answer(ask, |_, data, out, _| {
        let Value::Object(members, _) = data else { return Err(MALFORMED) };
        let Some(Value::String(name, _)) = data.member("collectionName") else { return Err(MALFORMED) };
        let name = ask.place.logical(&name.decode()).ok_or(MALFORMED)?;
        let is_marker = |field: &&Value<'_>| matches!(field.member("name"), Some(Value::String(name, _)) if name.decode() == ask.place.key());
        out.member("data", |out| {
            let mut object = Object::begin(out);
            object.member("collectionName", |out| write::string(out, name));
            for (key, value) in members {
                match (key.decode().as_ref(), value) {
                    ("fields", Value::Array(fields, _)) => object.member("fields", |out| {
                        let own = fields.iter().filter(|field| !is_marker(field));
                        write::array(out, own, |out, field| out.extend_from_slice(field.raw()));
                    }),
                    (name, value) if DESCRIBED.contains(&name) => object.raw(name, value.raw()),
                    _ => {}
                }
            }
            object.end();
        });
        Ok(())
    })
}

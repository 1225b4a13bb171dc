//! Answers.
//!
//! An answer is the tenant's when it says that it is of the tenant's namespace; of another one, nothing in it counts. In it,
//! each record that has metadata counts by its marker. What an answer has beside what is known is left out.

use crate::error::Code;
use crate::json::write::{self, Object};
use crate::json::{self, Str, Value};
use crate::rag::{Answer, Tally, Verified};

type Member<'a> = (Str<'a>, Value<'a>);

struct Check<'c, 'a> {
    answer: &'c Answer<'a>,
    tally: Tally,
    /// The namespace that the answer names, where it is not the tenant's.
    foreign: Option<String>,
}

impl<'c, 'a> Check<'c, 'a> {
    /// Reads whose answer it is. Only the search for records may leave it unsaid.
    fn new(answer: &'c Answer<'a>, members: &[Member<'_>], required: bool) -> Result<Self, Code> {
        let foreign = match member(members, "namespace") {
            Some(Value::String(name, _)) => Some(name.decode().into_owned()).filter(|n| *n != answer.place.namespace),
            None if !required => None,
            _ => return Err(Code::UpstreamMalformed),
        };
        Ok(Self { answer, tally: Tally::default(), foreign })
    }

    /// Counts a record by the marker among its fields.
    fn owns(&mut self, fields: Option<&Value<'_>>) -> bool {
        if let Some(foreign) = &self.foreign {
            return self.tally.count(false, foreign);
        }
        let marker = match fields.and_then(|fields| fields.member(self.answer.place.key())) {
            Some(Value::String(text, _)) => Some(text.decode()),
            _ => None,
        };
        self.tally.judge(self.answer.place, marker.as_deref())
    }

    /// Writes a record without its marker.
    fn record(&self, out: &mut Vec<u8>, record: &[Member<'_>], metadata: &str) {
        let mut object = Object::begin(out);
        for (key, value) in record {
            let name = key.decode();
            let Value::Object(fields, _) = value else {
                object.raw(&name, value.raw());
                continue;
            };
            if name != metadata {
                object.raw(&name, value.raw());
                continue;
            }
            // A record that had none before it was marked has none now; the fields of a hit are always there.
            if self.answer.memo.hide || (fields.len() <= 1 && metadata == "metadata") {
                continue;
            }
            object.member(&name, |out| {
                let mut kept = Object::begin(out);
                for (key, value) in fields {
                    let key = key.decode();
                    if key != self.answer.place.key() {
                        kept.raw(&key, value.raw());
                    }
                }
                kept.end();
            });
        }
        object.end();
    }

    fn done(self, body: Vec<u8>) -> Verified {
        Verified { body: Some(body), tally: self.tally, ..Verified::default() }
    }
}

fn member<'m, 'a>(members: &'m [Member<'a>], name: &str) -> Option<&'m Value<'a>> {
    members.iter().find(|(key, _)| key.decode() == name).map(|(_, value)| value)
}

pub(super) fn members<'m, 'a>(value: &'m Value<'a>) -> Result<&'m [Member<'a>], Code> {
    match value {
        Value::Object(members, _) => Ok(members),
        _ => Err(Code::UpstreamMalformed),
    }
}

fn list<'m, 'a>(value: &'m Value<'a>) -> Result<&'m [Value<'a>], Code> {
    value.items().ok_or(Code::UpstreamMalformed)
}

pub(super) fn parse(body: &[u8]) -> Result<Value<'_>, Code> {
    json::parse(body).map_err(|_| Code::UpstreamMalformed)
}

/// Writes the members that are of the answer as a whole: the namespace as the client named it, what it cost, the next page.
fn common(object: &mut Object<'_>, answer: &Answer<'_>, name: &str, value: &Value<'_>) {
    match (name, value) {
        ("namespace", _) => object.raw(name, answer.memo.echo.as_deref().unwrap_or(b"\"\"")),
        ("usage" | "pagination", Value::Object(members, _)) => object.member(name, |out| {
            let mut inner = Object::begin(out);
            for (key, value) in members {
                if matches!(value, Value::Number(_) | Value::String(..)) {
                    inner.raw(&key.decode(), value.raw());
                }
            }
            inner.end();
        }),
        _ => {}
    }
}

/// The records of a list, each with its metadata.
fn records(out: &mut Vec<u8>, check: &mut Check<'_, '_>, value: &Value<'_>, metadata: &str) -> Result<(), Code> {
    let mut kept = Vec::new();
    for item in list(value)? {
        let record = members(item)?;
        if check.owns(member(record, metadata)) {
            kept.push(record);
        }
    }
    write::array(out, kept, |out, record| check.record(out, record, metadata));
    Ok(())
}

/// The matches of a query.
pub(super) fn matches(answer: &Answer<'_>) -> Result<Verified, Code> {
    let document = parse(answer.body)?;
    let top = members(&document)?;
    let mut check = Check::new(answer, top, true)?;
    let mut out = Vec::with_capacity(answer.body.len());
    let mut object = Object::begin(&mut out);
    let mut result = Ok(());
    for (key, value) in top {
        match key.decode().as_ref() {
            "matches" => object.member("matches", |out| result = records(out, &mut check, value, "metadata")),
            // Of the old way to ask several queries, which is refused.
            "results" if list(value)?.is_empty() => object.raw("results", b"[]"),
            "results" => return Err(Code::UpstreamMalformed),
            name => common(&mut object, answer, name, value),
        }
    }
    object.end();
    result?;
    Ok(check.done(out))
}

/// The vectors of a fetch, by their ids.
pub(super) fn vectors(answer: &Answer<'_>) -> Result<Verified, Code> {
    let document = parse(answer.body)?;
    let top = members(&document)?;
    let mut check = Check::new(answer, top, true)?;
    let mut out = Vec::with_capacity(answer.body.len());
    let mut object = Object::begin(&mut out);
    for (key, value) in top {
        let name = key.decode();
        if name != "vectors" {
            common(&mut object, answer, &name, value);
            continue;
        }
        let mut kept = Vec::new();
        for (id, vector) in members(value)? {
            let record = members(vector)?;
            if check.owns(member(record, "metadata")) {
                kept.push((id.decode(), record));
            }
        }
        object.member(&name, |out| {
            let mut map = Object::begin(out);
            for (id, record) in kept {
                map.member(&id, |out| check.record(out, record, "metadata"));
            }
            map.end();
        });
    }
    object.end();
    Ok(check.done(out))
}

/// The ids of a list, which carry no metadata: the namespace alone says whose they are.
pub(super) fn ids(answer: &Answer<'_>) -> Result<Verified, Code> {
    let document = parse(answer.body)?;
    let top = members(&document)?;
    let mut check = Check::new(answer, top, true)?;
    let mut out = Vec::with_capacity(answer.body.len());
    let mut object = Object::begin(&mut out);
    for (key, value) in top {
        let name = key.decode();
        if name != "vectors" {
            common(&mut object, answer, &name, value);
            continue;
        }
        let mut kept = Vec::new();
        for item in list(value)? {
            let Some(id @ Value::String(..)) = item.member("id") else { return Err(Code::UpstreamMalformed) };
            let foreign = check.foreign.clone();
            if check.tally.count(foreign.is_none(), &foreign.unwrap_or_default()) {
                kept.push(id);
            }
        }
        object.member(&name, |out| {
            write::array(out, kept, |out, id| {
                let mut item = Object::begin(out);
                item.raw("id", id.raw());
                item.end();
            });
        });
    }
    object.end();
    Ok(check.done(out))
}

/// The hits of a search for records.
pub(super) fn hits(answer: &Answer<'_>) -> Result<Verified, Code> {
    let document = parse(answer.body)?;
    let top = members(&document)?;
    let mut check = Check::new(answer, top, false)?;
    let hits = document.member("result").and_then(|result| result.member("hits")).ok_or(Code::UpstreamMalformed)?;
    let mut out = Vec::with_capacity(answer.body.len());
    let mut object = Object::begin(&mut out);
    let mut result = Ok(());
    for (key, value) in top {
        match key.decode().as_ref() {
            "result" => object.member("result", |out| {
                let mut inner = Object::begin(out);
                inner.member("hits", |out| result = records(out, &mut check, hits, "fields"));
                inner.end();
            }),
            name => common(&mut object, answer, name, value),
        }
    }
    object.end();
    result?;
    Ok(check.done(out))
}

//! Answers of searches and counts.
//!
//! A hit counts as the tenant's when its source carries the tenant's namespace **and** its id the tenant's prefix; any other is
//! removed, the rest stays verbatim and in order. Marker and prefix, which the client never sent, are removed again.

use super::build::is_metadata;
use crate::error::Code;
use crate::json::write::{self, Object};
use crate::json::{self, Value};
use crate::rag::{Answer, Place, Tally, Verified, errors};

/// What is read of an answer, or the reason to withhold it.
pub(super) type Read<T> = Result<T, Code>;
pub(super) const MALFORMED: Code = Code::UpstreamMalformed;

/// What one search was about.
#[derive(Clone, Copy)]
pub(super) struct About<'m> {
    /// The index, as the client names it.
    pub(super) index: &'m str,
    /// The client wants no source.
    pub(super) hide: bool,
}

pub(super) struct Check<'a> {
    pub(super) answer: &'a Answer<'a>,
    pub(super) place: &'a Place<'a>,
    pub(super) prefix: String,
    pub(super) tally: Tally,
}

/// An answer's document.
pub(super) fn document<'a>(answer: &Answer<'a>) -> Read<Value<'a>> {
    json::parse(answer.body).map_err(|_| MALFORMED)
}

pub(super) fn members<'v, 'a>(value: &'v Value<'a>) -> Read<&'v [(json::Str<'a>, Value<'a>)]> {
    crate::rag::document::object(value).map_err(|_| MALFORMED)
}

/// How many shards took part. What failed on one names nodes and indexes.
pub(super) fn shards(value: &Value<'_>) -> Read<Vec<u8>> {
    let mut out = Vec::new();
    let mut written = Object::begin(&mut out);
    for (key, value) in members(value)? {
        let key = key.decode();
        if let ("total" | "successful" | "skipped" | "failed", Value::Number(raw)) = (key.as_ref(), value) {
            written.raw(&key, raw);
        }
    }
    written.end();
    Ok(out)
}

/// The answer of a search.
pub(super) fn search(answer: &Answer<'_>) -> Result<Verified, Code> {
    let mut check = Check::new(answer);
    let about = About { index: answer.parameter("index")?, hide: answer.memo.hide };
    let body = check.search(&document(answer)?, about)?;
    Ok(check.done(body))
}

/// The answers of several searches; each may be an error of its own.
pub(super) fn msearch(answer: &Answer<'_>) -> Result<Verified, Code> {
    let mut check = Check::new(answer);
    let document = document(answer)?;
    let mut out = Vec::with_capacity(answer.body.len());
    let mut written = Object::begin(&mut out);
    for (key, value) in members(&document)? {
        match (key.decode().as_ref(), value) {
            ("took", Value::Number(raw)) => written.raw("took", raw),
            ("responses", Value::Array(items, _)) if items.len() == answer.memo.names.len() => {
                let one = |(item, name): (&Value<'_>, &String)| match item.member("error") {
                    Some(_) => errors::document_of(answer, item),
                    None => check.search(item, about(name)),
                };
                let parts = items.iter().zip(&answer.memo.names).map(one).collect::<Read<Vec<_>>>()?;
                written.member("responses", |out| {
                    write::array(out, &parts, |out, part| out.extend_from_slice(part));
                });
            }
            _ => return Err(MALFORMED),
        }
    }
    written.end();
    Ok(check.done(out))
}

/// What a request's side noted of one search or document.
pub(super) fn about(name: &str) -> About<'_> {
    About { hide: name.starts_with('h'), index: name.get(1..).unwrap_or_default() }
}

/// A number that was computed under the forced query.
pub(super) fn count(answer: &Answer<'_>) -> Result<Verified, Code> {
    let document = document(answer)?;
    let mut out = Vec::new();
    let mut written = Object::begin(&mut out);
    for (key, value) in members(&document)? {
        match (key.decode().as_ref(), value) {
            ("count", Value::Number(raw)) => written.raw("count", raw),
            ("terminated_early", Value::Bool(_)) => written.raw("terminated_early", value.raw()),
            ("_shards", _) => written.raw("_shards", &shards(value)?),
            _ => return Err(MALFORMED),
        }
    }
    written.end();
    Ok(Verified { body: Some(out), ..Verified::default() })
}

impl<'a> Check<'a> {
    pub(super) fn new(answer: &'a Answer<'a>) -> Self {
        let place = answer.place;
        Self { answer, place, prefix: place.prefix(), tally: Tally::default() }
    }

    pub(super) fn done(self, body: Vec<u8>) -> Verified {
        Verified { body: Some(body), tally: self.tally, ..Verified::default() }
    }

    fn search(&mut self, value: &Value<'_>, about: About<'_>) -> Read<Vec<u8>> {
        // The aggregations come after the hits, but what is found foreign among those decides whether to believe these.
        let before = self.tally.dropped;
        let hits = self.hits(value.member("hits").ok_or(MALFORMED)?, about)?;
        let aggregations = match value.member("aggregations") {
            None => None,
            Some(tree) => Some(self.aggregation(tree, about)?),
        };
        let believed = self.tally.dropped == before;
        let mut out = Vec::with_capacity(value.raw().len());
        let mut written = Object::begin(&mut out);
        for (key, value) in members(value)? {
            match (key.decode().as_ref(), value) {
                (name @ ("took" | "timed_out" | "terminated_early" | "num_reduce_phases" | "status"), _)
                    if matches!(value, Value::Number(_) | Value::Bool(_)) =>
                {
                    written.raw(name, value.raw());
                }
                ("_shards", _) => written.raw("_shards", &shards(value)?),
                // How long each phase took, and on which clusters.
                ("phase_took" | "_clusters", _) => {}
                ("hits", _) => written.raw("hits", &hits),
                ("aggregations", _) => {
                    if let Some(tree) = aggregations.as_ref().filter(|_| believed) {
                        written.raw("aggregations", tree);
                    }
                }
                _ => return Err(MALFORMED),
            }
        }
        written.end();
        Ok(out)
    }

    /// `{"total","max_score","hits":[…]}`.
    fn hits(&mut self, value: &Value<'_>, about: About<'_>) -> Read<Vec<u8>> {
        let before = self.tally.dropped;
        let list = value.member("hits").and_then(Value::items).ok_or(MALFORMED)?;
        let mut kept = Vec::new();
        for hit in list {
            kept.extend(self.hit(hit, about)?);
        }
        let dropped = self.tally.dropped > before;
        // Where one hit is foreign, the condition did not hold, and the total counts others that are on no page.
        let seen = dropped.then_some(kept.len());
        let mut out = Vec::with_capacity(value.raw().len());
        let mut written = Object::begin(&mut out);
        for (key, value) in members(value)? {
            match (key.decode().as_ref(), value) {
                ("total", _) => written.raw("total", &total(value, seen)?),
                // It may be that of a hit that is gone.
                ("max_score", Value::Number(_)) if dropped => written.raw("max_score", b"null"),
                ("max_score", Value::Number(_) | Value::Null) => written.raw("max_score", value.raw()),
                ("hits", _) => written.member("hits", |out| {
                    write::array(out, &kept, |out, hit| out.extend_from_slice(hit));
                }),
                _ => return Err(MALFORMED),
            }
        }
        written.end();
        Ok(out)
    }

    /// A hit as its owner wrote it; `None` when that is another.
    fn hit(&mut self, value: &Value<'_>, about: About<'_>) -> Read<Option<Vec<u8>>> {
        let members = members(value)?;
        if !self.owns(value) {
            return Ok(None);
        }
        let mut out = Vec::with_capacity(value.raw().len());
        let mut written = Object::begin(&mut out);
        for (key, value) in members {
            match key.decode().as_ref() {
                "_index" => written.raw("_index", &self.index(value, about.index)?),
                "_id" => written.raw("_id", &self.id(value)?),
                "_source" if about.hide => {}
                "_source" => written.raw("_source", &self.source(value)?),
                "fields" => {
                    let fields = self.fields(value)?;
                    // Where the marker was all of it, there was none.
                    if fields != b"{}" {
                        written.raw("fields", &fields);
                    }
                }
                "highlight" => written.raw("highlight", &self.fields(value)?),
                name @ ("_type"
                | "_score"
                | "_rank"
                | "sort"
                | "matched_queries"
                | "_version"
                | "_seq_no"
                | "_primary_term"
                | "_ignored"
                | "ignored_field_values") => written.raw(name, value.raw()),
                // Hits inside a hit, say.
                _ => return Err(MALFORMED),
            }
        }
        written.end();
        Ok(Some(out))
    }

    /// Whether a hit or document is the tenant's. Counted.
    pub(super) fn owns(&mut self, value: &Value<'_>) -> bool {
        let marker = match value.member("_source").and_then(|source| source.member(self.place.key())) {
            Some(Value::String(text, _)) => text.decode(),
            _ => "".into(),
        };
        let scoped = matches!(value.member("_id"), Some(Value::String(id, _)) if id.decode().starts_with(&self.prefix));
        self.tally.count(scoped && marker == self.place.namespace, &marker)
    }

    /// An index by the client's name: one of the tenant's, or (behind an alias) the one that was asked.
    pub(super) fn index(&self, value: &Value<'_>, asked: &str) -> Read<Vec<u8>> {
        let Value::String(name, _) = value else { return Err(MALFORMED) };
        let mut out = Vec::new();
        write::string(&mut out, self.place.logical(&name.decode()).unwrap_or(asked));
        Ok(out)
    }

    /// An id without the prefix.
    pub(super) fn id(&self, value: &Value<'_>) -> Read<Vec<u8>> {
        let Value::String(id, _) = value else { return Err(MALFORMED) };
        let mut out = Vec::new();
        write::string(&mut out, id.decode().strip_prefix(&self.prefix).ok_or(MALFORMED)?);
        Ok(out)
    }

    /// A source without the marker.
    pub(super) fn source(&self, value: &Value<'_>) -> Read<Vec<u8>> {
        self.without(value, |name| name == self.place.key())
    }

    /// Fetched fields without the marker, its subfields, and what is the index's own.
    fn fields(&self, value: &Value<'_>) -> Read<Vec<u8>> {
        self.without(value, |name| name.split('.').next() == Some(self.place.key()) || is_metadata(name))
    }

    fn without(&self, value: &Value<'_>, gone: impl Fn(&str) -> bool) -> Read<Vec<u8>> {
        let mut out = Vec::with_capacity(value.raw().len());
        let mut written = Object::begin(&mut out);
        for (key, value) in members(value)? {
            let key = key.decode();
            if !gone(&key) {
                written.raw(&key, value.raw());
            }
        }
        written.end();
        Ok(out)
    }

    /// A tree of buckets and values. Hits in it are verified like any; documents anywhere else are not known.
    fn aggregation(&mut self, value: &Value<'_>, about: About<'_>) -> Read<Vec<u8>> {
        match value {
            Value::Object(members, _) => {
                let mut out = Vec::with_capacity(value.raw().len());
                let mut written = Object::begin(&mut out);
                for (key, value) in members {
                    let key = key.decode();
                    let built = match key.as_ref() {
                        "hits" if value.member("hits").is_some() => self.hits(value, About { hide: false, ..about })?,
                        "_id" | "_index" | "_source" => return Err(MALFORMED),
                        _ => self.aggregation(value, about)?,
                    };
                    written.raw(&key, &built);
                }
                written.end();
                Ok(out)
            }
            Value::Array(items, _) => {
                let parts = items.iter().map(|item| self.aggregation(item, about)).collect::<Read<Vec<_>>>()?;
                let mut out = Vec::with_capacity(value.raw().len());
                write::array(&mut out, &parts, |out, part| out.extend_from_slice(part));
                Ok(out)
            }
            other => Ok(other.raw().to_vec()),
        }
    }
}

/// How many there are; or, where that cannot be believed, how many are `seen`.
fn total(value: &Value<'_>, seen: Option<usize>) -> Read<Vec<u8>> {
    let number = |raw: &[u8]| -> Read<Vec<u8>> {
        std::str::from_utf8(raw).ok().and_then(|text| text.parse::<u64>().ok()).ok_or(MALFORMED)?;
        Ok(seen.map_or_else(|| raw.to_vec(), |seen| seen.to_string().into_bytes()))
    };
    match value {
        Value::Number(raw) if raw.first() == Some(&b'-') => Ok(raw.to_vec()),
        Value::Number(raw) => number(raw),
        Value::Object(members, _) => {
            let mut out = Vec::new();
            let mut written = Object::begin(&mut out);
            for (key, value) in members {
                match (key.decode().as_ref(), value) {
                    ("value", Value::Number(raw)) => written.raw("value", &number(raw)?),
                    ("relation", Value::String(..)) => written.raw("relation", value.raw()),
                    _ => return Err(MALFORMED),
                }
            }
            written.end();
            Ok(out)
        }
        _ => Err(MALFORMED),
    }
}

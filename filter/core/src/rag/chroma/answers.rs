//! Answers.
//!
//! An answer is a set of parallel lists. A record counts as the tenant's when its metadata carries the tenant's namespace
//! **and** its id the tenant's prefix; any other is removed from every list, the rest stays verbatim and in order. The
//! marker and the prefix, which the client never sent, are removed again.

use super::requests::{read_uuid, write_uuid};
use crate::error::Code;
use crate::json::write::{self, Object};
use crate::json::{self, Value};
use crate::rag::document::items;
use crate::rag::{Answer, Place, Tally, Verified};

/// The lists that run in parallel.
const LISTS: &[&str] = &["ids", "embeddings", "documents", "uris", "metadatas", "distances"];

struct Check<'p> {
    place: &'p Place<'p>,
    prefix: String,
}

/// The answer of `get`.
pub(super) fn records(answer: &Answer<'_>) -> Result<Verified, Code> {
    lists(answer, false)
}

/// The answer of `query`, whose lists have one list per query.
pub(super) fn results(answer: &Answer<'_>) -> Result<Verified, Code> {
    lists(answer, true)
}

/// The number of records that `get` found.
pub(super) fn count(answer: &Answer<'_>) -> Result<Verified, Code> {
    let listed = lists(answer, false)?;
    Ok(Verified { body: Some(listed.tally.kept.to_string().into_bytes()), ..listed })
}

fn lists(answer: &Answer<'_>, nested: bool) -> Result<Verified, Code> {
    let (body, memo) = (answer.body, answer.memo);
    let check = Check { place: answer.place, prefix: answer.place.prefix() };
    let mut tally = Tally::default();
    let malformed = Code::UpstreamMalformed;
    let document = json::parse(body).map_err(|_| malformed)?;
    let Value::Object(members, _) = &document else { return Err(malformed) };
    let mut kept: Vec<Vec<bool>> = Vec::new();
    let ids = groups(document.member("ids"), nested)?.ok_or(malformed)?;
    let metadatas = groups(document.member("metadatas"), nested)?.ok_or(malformed)?;
    if ids.len() != metadatas.len() {
        return Err(malformed);
    }
    for (ids, metadatas) in ids.iter().zip(&metadatas) {
        if ids.len() != metadatas.len() {
            return Err(malformed);
        }
        kept.push(
            ids.iter().zip(metadatas.iter()).map(|(id, metadata)| check.owns(&mut tally, id, metadata)).collect(),
        );
    }
    let mut out = Vec::with_capacity(body.len());
    let mut object = Object::begin(&mut out);
    for (key, value) in members {
        let name = key.decode();
        let hidden = memo.hide && name == "metadatas";
        if value.is_null() || hidden {
            object.raw(&name, b"null");
        } else if name == "include" {
            object.raw(&name, memo.echo.as_deref().unwrap_or(value.raw()));
        } else if LISTS.contains(&name.as_ref()) {
            let lists = groups(Some(value), nested)?.ok_or(malformed)?;
            if lists.len() != kept.len() || lists.iter().zip(&kept).any(|(list, kept)| list.len() != kept.len()) {
                return Err(malformed);
            }
            object.member(&name, |out| {
                let one = |out: &mut Vec<u8>, (list, kept): (&Vec<Value<'_>>, &Vec<bool>)| {
                    let rest = list.iter().zip(kept).filter(|(_, kept)| **kept).map(|(item, _)| item);
                    write::array(out, rest, |out, item| check.item(out, &name, item));
                };
                if nested {
                    write::array(out, lists.iter().zip(&kept), one);
                } else if let (Some(list), Some(kept)) = (lists.first(), kept.first()) {
                    one(out, (list, kept));
                } else {
                    out.extend_from_slice(b"[]");
                }
            });
        } else {
            // A field that is not known may be a list of records too.
            return Err(malformed);
        }
    }
    object.end();
    Ok(Verified { body: Some(out), tally, ..Verified::default() })
}

impl Check<'_> {
    fn owns(&self, tally: &mut Tally, id: &Value<'_>, metadata: &Value<'_>) -> bool {
        let marker = match metadata.member(self.place.key()) {
            Some(Value::String(text, _)) => text.decode(),
            _ => "".into(),
        };
        let scoped = matches!(id, Value::String(text, _) if text.decode().starts_with(&self.prefix));
        tally.count(scoped && marker == self.place.namespace, &marker)
    }

    /// Writes a record's part as its owner wrote it.
    fn item(&self, out: &mut Vec<u8>, list: &str, item: &Value<'_>) {
        match (list, item) {
            ("ids", Value::String(id, _)) => {
                write::string(out, id.decode().strip_prefix(&self.prefix).unwrap_or_default());
            }
            ("metadatas", Value::Object(fields, _)) => {
                if fields.len() <= 1 {
                    return out.extend_from_slice(b"null");
                }
                let mut object = Object::begin(out);
                for (key, value) in fields {
                    let key = key.decode();
                    if key != self.place.key() {
                        object.raw(&key, value.raw());
                    }
                }
                object.end();
            }
            _ => out.extend_from_slice(item.raw()),
        }
    }
}

/// A field's lists: one, or (`nested`) one per query. `None` when the field is absent or null.
fn groups<'v, 'a>(value: Option<&'v Value<'a>>, nested: bool) -> Result<Option<Vec<Vec<Value<'a>>>>, Code>
where
    'v: 'a,
{
    let Some(value) = value.filter(|value| !value.is_null()) else { return Ok(None) };
    let parsed = items(value).ok_or(Code::UpstreamMalformed)?;
    if !nested {
        return Ok(Some(vec![parsed]));
    }
    parsed.iter().map(|list| items(list).ok_or(Code::UpstreamMalformed)).collect::<Result<_, _>>().map(Some)
}

/// A collection, as the tenant knows it; `None` when it is not the tenant's.
fn own_collection(place: &Place<'_>, value: &Value<'_>) -> Option<Vec<u8>> {
    let Value::Object(members, _) = value else { return None };
    let Some(Value::String(name, _)) = value.member("name") else { return None };
    let logical = place.logical(&name.decode())?;
    let mut out = Vec::new();
    let mut object = Object::begin(&mut out);
    for (key, value) in members {
        match (key.decode().as_ref(), value) {
            ("name", _) => object.member("name", |out| write::string(out, logical)),
            ("database", _) => object.member("database", |out| write::string(out, &place.rag().database)),
            ("id", Value::String(id, _)) => {
                let sealed = place.seal(read_uuid(&id.decode())?);
                object.member("id", |out| write::string(out, &write_uuid(sealed)));
            }
            ("id", _) => return None,
            // They grow with everybody's writes; clients need them to be numbers.
            (name @ ("log_position" | "version"), _) => object.raw(name, b"0"),
            (name @ ("configuration_json" | "schema" | "metadata" | "dimension" | "tenant"), value) => {
                object.raw(name, value.raw());
            }
            // What is not known may count or name others' as well.
            _ => {}
        }
    }
    object.end();
    Some(out)
}

/// One collection.
pub(super) fn collection(answer: &Answer<'_>) -> Result<Verified, Code> {
    let document = json::parse(answer.body).map_err(|_| Code::UpstreamMalformed)?;
    let body = own_collection(answer.place, &document).ok_or(Code::UpstreamMalformed)?;
    Ok(Verified { body: Some(body), ..Verified::default() })
}

fn listed(answer: &Answer<'_>) -> Result<Vec<Vec<u8>>, Code> {
    let document = json::parse(answer.body).map_err(|_| Code::UpstreamMalformed)?;
    let all = document.items().ok_or(Code::UpstreamMalformed)?;
    // Other collections in the database are ordinary, so they are no foreign results.
    Ok(all.iter().filter_map(|value| own_collection(answer.place, value)).collect())
}

/// Only the tenant's collections, in the page that was asked for.
pub(super) fn collections(answer: &Answer<'_>) -> Result<Verified, Code> {
    let number = |at: usize| answer.memo.names.get(at).and_then(|text| text.parse::<usize>().ok());
    let own = listed(answer)?;
    let page = own.iter().skip(number(0).unwrap_or(0)).take(number(1).unwrap_or(usize::MAX));
    let mut out = Vec::with_capacity(answer.body.len());
    write::array(&mut out, page, |out, item| out.extend_from_slice(item));
    Ok(Verified { body: Some(out), ..Verified::default() })
}

/// How many collections are the tenant's.
pub(super) fn count_collections(answer: &Answer<'_>) -> Result<Verified, Code> {
    Ok(Verified { body: Some(listed(answer)?.len().to_string().into_bytes()), ..Verified::default() })
}

/// Who asks, as far as the client may know: not which databases the proxy's own credential opens.
pub(super) fn identity(answer: &Answer<'_>) -> Result<Verified, Code> {
    let document = json::parse(answer.body).map_err(|_| Code::UpstreamMalformed)?;
    let Value::Object(..) = document else { return Err(Code::UpstreamMalformed) };
    let rag = answer.place.rag();
    let mut out = Vec::new();
    let mut object = Object::begin(&mut out);
    object.member("user_id", |out| write::string(out, answer.place.tenant.as_str()));
    object.member("tenant", |out| write::string(out, &rag.chroma_tenant));
    object.member("databases", |out| write::array(out, [rag.database.as_str()], write::string));
    object.end();
    Ok(Verified { body: Some(out), ..Verified::default() })
}

/// The database, under the name that the client used for it.
pub(super) fn database(answer: &Answer<'_>) -> Result<Verified, Code> {
    let rag = answer.place.rag();
    let mut out = Vec::new();
    let mut object = Object::begin(&mut out);
    let document = json::parse(answer.body).map_err(|_| Code::UpstreamMalformed)?;
    let Some(Value::String(id, _)) = document.member("id") else { return Err(Code::UpstreamMalformed) };
    let sealed = answer.place.seal(read_uuid(&id.decode()).ok_or(Code::UpstreamMalformed)?);
    object.member("id", |out| write::string(out, &write_uuid(sealed)));
    object.member("name", |out| write::string(out, &rag.database));
    object.member("tenant", |out| write::string(out, &rag.chroma_tenant));
    object.end();
    Ok(Verified { body: Some(out), ..Verified::default() })
}

//! Searches, counts and work by query.

use super::build::{Force, map, raw, scalar};
use super::search::sort_field;
use super::source::{PARAMETERS, Source};
use crate::error::Code;
use crate::json::write::Object;
use crate::json::{self, JsonError, Value};
use crate::rag::document::{find, fits, members, object};
use crate::rag::{Ask, Call, Memo, Rewritten};
use crate::snapshot::wire::Strategy;

/// The path as the backend knows it: an allowed index by its own name, an id under the tenant's prefix.
pub(super) fn path(ask: &Ask<'_>, query: Option<&[(&str, &str)]>) -> Result<String, Code> {
    let place = ask.place()?;
    let names = ask.endpoint.template.split('/').filter(|part| part.starts_with('{'));
    let mut values = Vec::new();
    for (name, value) in names.zip(ask.parameters) {
        values.push(match name {
            "{index}" => place.collection(value)?,
            "{id}" => format!("{}{value}", place.prefix()),
            _ => return Err(Code::Internal),
        });
    }
    let values: Vec<&str> = values.iter().map(String::as_str).collect();
    Ok(ask.path(ask.endpoint.template, &values, query))
}

/// Nothing but the names in the path.
pub(super) fn place(ask: &Ask<'_>) -> Result<Rewritten, Code> {
    Ok(Rewritten { path: Some(path(ask, None)?), ..Rewritten::default() })
}

/// A tenant may delete an index that is its own alone.
pub(super) fn delete_index(ask: &Ask<'_>) -> Result<Rewritten, Code> {
    let own = ask.place()?;
    if !own.rag().create || own.strategy == Strategy::Namespace {
        return Err(Code::NamespaceForbidden);
    }
    place(ask)
}

/// A forced body goes with the client's request, or, where that has none and so can get none, with one of our own.
pub(super) fn forced(
    ask: &Ask<'_>,
    method: &'static str,
    body: Vec<u8>,
    path: String,
    memo: Memo,
) -> Result<Rewritten, Code> {
    let mut rewritten = Rewritten { body: Some(body), memo, ..Rewritten::default() };
    if ask.body.is_empty() {
        rewritten.call = Some(Call { method, path });
    } else {
        rewritten.path = Some(path);
    }
    Ok(rewritten)
}

/// The document of a request; one without a body says nothing.
pub(super) fn body<'a>(ask: &Ask<'a>) -> &'a [u8] {
    if ask.body.is_empty() { b"{}" } else { ask.body }
}

pub(super) fn search(ask: &Ask<'_>) -> Result<Rewritten, Code> {
    let force = Force::new(ask.place()?);
    let document = json::parse(body(ask)).map_err(JsonError::code)?;
    if let Some(sort) = ask.query("sort") {
        sort.split(',').try_for_each(|part| sort_field(part.split(':').next().unwrap_or_default()))?;
    }
    let (sent, hide) = force.search(object(&document)?, Source::of_query(ask))?;
    let rest: Vec<(&str, &str)> = ask
        .query
        .iter()
        .filter(|(name, _)| !PARAMETERS.contains(&name.as_str()))
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    let path = path(ask, (rest.len() != ask.query.len()).then_some(&rest))?;
    forced(ask, "POST", sent, path, Memo { hide, ..Memo::default() })
}

pub(super) fn count(ask: &Ask<'_>) -> Result<Rewritten, Code> {
    let force = Force::new(ask.place()?);
    let body = force.only_query(&members(body(ask), &["query"])?, &[])?;
    forced(ask, "POST", body, path(ask, None)?, Memo::default())
}

/// Deletes what the forced query finds. Without a query it would be everything: that is not what an empty request says.
pub(super) fn delete_by_query(ask: &Ask<'_>) -> Result<Rewritten, Code> {
    by_query(ask, true)
}

/// Indexes again what the forced query finds, as it is: scripts are not known.
pub(super) fn update_by_query(ask: &Ask<'_>) -> Result<Rewritten, Code> {
    by_query(ask, false)
}

fn by_query(ask: &Ask<'_>, query: bool) -> Result<Rewritten, Code> {
    // A task of its own would answer to whoever knows its number.
    if ask.query("wait_for_completion").is_some_and(|value| value != "true" && !value.is_empty()) {
        return Err(Code::QueryForbidden);
    }
    let force = Force::new(ask.place()?);
    let members = members(body(ask), &["query", "max_docs", "conflicts"])?;
    if query && find(&members, "query").is_none() {
        return Err(Code::FieldInvalid);
    }
    let body = force.only_query(&members, &["max_docs", "conflicts"])?;
    forced(ask, "POST", body, path(ask, None)?, Memo::default())
}

/// The lines of a body: JSON documents, each on its own.
pub(super) fn lines(body: &[u8]) -> impl Iterator<Item = &[u8]> {
    body.strip_suffix(b"\n").unwrap_or(body).split(|byte| *byte == b'\n')
}

/// Several searches: a header line and a body line each. What an answer must know of each is in [`Memo::names`]: `h` or `s`
/// (hide the source, show it) and the index's name.
pub(super) fn msearch(ask: &Ask<'_>) -> Result<Rewritten, Code> {
    let force = Force::new(ask.place()?);
    let asked = ask.parameter("index").ok();
    let mut out = Vec::with_capacity(ask.body.len().saturating_mul(2));
    let mut names = Vec::new();
    let mut lines = lines(ask.body);
    while let Some(head) = lines.next() {
        let search = lines.next().ok_or(Code::JsonInvalid)?;
        let head = if head.trim_ascii().is_empty() { b"{}" } else { head };
        let head = json::parse(head).map_err(JsonError::code)?;
        let mut index = asked.map(str::to_owned);
        let head = map(&head, |name, value| match name {
            "index" => {
                let one = match value {
                    Value::Array(items, _) => match items.as_slice() {
                        [one] => one,
                        _ => return Err(Code::NamespaceForbidden),
                    },
                    one => one,
                };
                let (client, own) = force.index(one)?;
                index = Some(client);
                let mut out = Vec::new();
                json::write::string(&mut out, &own);
                Ok(out)
            }
            "search_type" | "request_cache" | "allow_partial_search_results" | "ccs_minimize_roundtrips" => {
                scalar(value)
            }
            _ => Err(Code::FieldUnknown),
        })?;
        let search = json::parse(search).map_err(JsonError::code)?;
        let (sent, hide) = force.search(object(&search)?, None)?;
        // Without one, it would be every index.
        let index = index.ok_or(Code::NamespaceForbidden)?;
        names.push(format!("{}{index}", if hide { 'h' } else { 's' }));
        for line in [head, sent] {
            out.extend_from_slice(&line);
            out.push(b'\n');
        }
        fits(out.len(), ask.body)?;
    }
    let memo = Memo { names, ..Memo::default() };
    Ok(Rewritten { body: Some(out), path: Some(path(ask, None)?), memo, ..Rewritten::default() })
}

/// Several documents by their ids; in [`Memo::names`] as for [`msearch`].
pub(super) fn mget(ask: &Ask<'_>) -> Result<Rewritten, Code> {
    let force = Force::new(ask.place()?);
    let key = force.place.key();
    let asked = ask.parameter("index").ok();
    let members = members(ask.body, &["docs", "ids"])?;
    let general = Source::of_query(ask);
    let mut names = Vec::new();
    let mut out = Vec::with_capacity(ask.body.len().saturating_mul(2));
    let mut docs = Vec::new();
    match (find(&members, "docs"), find(&members, "ids")) {
        (Some(list), None) => {
            for doc in list.items().ok_or(Code::FieldInvalid)? {
                let own = find(object(doc)?, "_source");
                let source = match own {
                    None => None,
                    Some(_) => Some(Source::read(own)?),
                };
                let mut index = asked.map(str::to_owned);
                let mut written = map(doc, |name, value| match name {
                    "_index" => {
                        let (client, own) = force.index(value)?;
                        index = Some(client);
                        let mut out = Vec::new();
                        json::write::string(&mut out, &own);
                        Ok(out)
                    }
                    "_id" => force.id(value),
                    "version" | "version_type" => scalar(value),
                    "_source" => source.as_ref().map_or_else(|| raw(value), |source| source.json(key)),
                    _ => Err(Code::FieldUnknown),
                })?;
                if find(object(doc)?, "_id").is_none() {
                    return Err(Code::FieldInvalid);
                }
                // Said for each, so that nothing but this decides.
                if let (None, Some(general)) = (&source, &general) {
                    written.pop();
                    written.extend_from_slice(b",\"_source\":");
                    written.extend_from_slice(&general.json(key)?);
                    written.push(b'}');
                }
                let index = index.ok_or(Code::NamespaceForbidden)?;
                names.push(name_of(source.as_ref().or(general.as_ref()), &index));
                docs.push(written);
            }
        }
        (None, Some(ids)) => {
            for id in crate::rag::document::items(ids).ok_or(Code::FieldInvalid)? {
                let mut doc = Vec::new();
                let mut written = Object::begin(&mut doc);
                written.raw("_id", &force.id(&id)?);
                if let Some(general) = &general {
                    written.raw("_source", &general.json(key)?);
                }
                written.end();
                names.push(name_of(general.as_ref(), asked.ok_or(Code::NamespaceForbidden)?));
                docs.push(doc);
            }
        }
        _ => return Err(Code::FieldInvalid),
    }
    let mut written = Object::begin(&mut out);
    written.member("docs", |out| json::write::array(out, &docs, |out, doc| out.extend_from_slice(doc)));
    written.end();
    let rest: Vec<(&str, &str)> = ask
        .query
        .iter()
        .filter(|(name, _)| !PARAMETERS.contains(&name.as_str()))
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    let memo = Memo { names, ..Memo::default() };
    Ok(Rewritten { body: Some(out), path: Some(path(ask, Some(&rest))?), memo, ..Rewritten::default() })
}

fn name_of(source: Option<&Source>, index: &str) -> String {
    format!("{}{index}", if source.is_some_and(|source| source.hide) { 'h' } else { 's' })
}

/// One document, or its source, by its id.
pub(super) fn get(ask: &Ask<'_>) -> Result<Rewritten, Code> {
    let place = ask.place()?;
    let source = Source::of_query(ask).unwrap_or_default();
    let pairs = source.pairs(place.key())?;
    let rest = ask.query.iter().filter(|(name, _)| !PARAMETERS.contains(&name.as_str()));
    let query: Vec<(&str, &str)> = rest
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .chain(pairs.iter().map(|(name, value)| (*name, value.as_str())))
        .collect();
    let memo = Memo { hide: source.hide, ..Memo::default() };
    let path = path(ask, (!ask.query.is_empty()).then_some(&query))?;
    Ok(Rewritten { path: Some(path), memo, ..Rewritten::default() })
}

//! What of a backend's own errors may pass: the fields that its clients read, once their text names nothing foreign.

use super::{Answer, Place, Verified};
use crate::error::Code;
use crate::json::write::{self, Object};
use crate::json::{self, Value};
use std::borrow::Cow;

/// What stands where a text named another tenant.
const WITHHELD: &str = "the backend refused the request; its message is withheld, as it may concern other tenants";

/// An answer with an error status. What is no JSON object, or no error that the backend's clients know, is replaced whole.
pub(super) fn answer(answer: &Answer<'_>) -> Result<Verified, Code> {
    let document = json::parse(answer.body).map_err(|_| Code::UpstreamMalformed)?;
    Ok(Verified { body: Some(document_of(answer, &document)?), ..Verified::default() })
}

/// An error document, reduced to what may pass.
pub(super) fn document_of(answer: &Answer<'_>, document: &Value<'_>) -> Result<Vec<u8>, Code> {
    let mut out = Vec::with_capacity(answer.body.len());
    if !copy(answer, document, answer.place.backend().error_fields, &mut out) {
        return Err(Code::UpstreamMalformed);
    }
    Ok(out)
}

/// Copies the wanted members of an object; says whether it was one.
fn copy(answer: &Answer<'_>, value: &Value<'_>, wanted: &[&str], out: &mut Vec<u8>) -> bool {
    let Value::Object(members, _) = value else { return false };
    let mut object = Object::begin(out);
    for (key, value) in members {
        let name = key.decode();
        let below: Vec<&str> =
            wanted.iter().filter_map(|path| path.strip_prefix(name.as_ref())?.strip_prefix('.')).collect();
        match value {
            Value::Object(..) if !below.is_empty() => object.member(&name, |out| {
                copy(answer, value, &below, out);
            }),
            Value::Array(items, _)
                if !below.is_empty() && items.iter().all(|item| matches!(item, Value::Object(..))) =>
            {
                object.member(&name, |out| {
                    write::array(out, items, |out, item| {
                        copy(answer, item, &below, out);
                    });
                });
            }
            _ if !wanted.contains(&name.as_ref()) => {}
            // The id of the record that is not there: what the client itself asked for, whatever it looks like.
            Value::String(text, _) if name == "_id" => {
                if let Some(own) = text.decode().strip_prefix(&answer.place.prefix()) {
                    object.member(&name, |out| write::string(out, own));
                }
            }
            Value::String(text, _) => object.member(&name, |out| write::string(out, &clean(answer, &text.decode()))),
            Value::Number(raw) => object.raw(&name, raw),
            Value::Bool(_) | Value::Null => object.raw(&name, value.raw()),
            _ => {}
        }
    }
    object.end();
    true
}

/// A text of the backend as the tenant may read it: its own names as it knows them, nothing that names another tenant.
pub(super) fn clean(answer: &Answer<'_>, text: &str) -> String {
    let place = answer.place;
    let mut text = without_prefix(&cut(text), &place.prefix());
    for (logical, physical) in place.collections() {
        if logical != physical {
            text = text.replace(&physical, logical);
        }
    }
    let collections = place.collection_affixes();
    if text.split(|c| !is_in_word(c)).any(|word| is_foreign(place, &collections, answer.known, word)) {
        return WITHHELD.to_owned();
    }
    text
}

/// The longest text that passes whole. A client can make a backend repeat its whole request, and each word is looked up.
const LONGEST: usize = 4096;

/// The text up to a word that ends before it is too long.
fn cut(text: &str) -> Cow<'_, str> {
    if text.len() <= LONGEST {
        return Cow::Borrowed(text);
    }
    let start = text.get(..text.floor_char_boundary(LONGEST)).unwrap_or_default();
    Cow::Owned(format!("{}…", start.trim_end_matches(is_in_word)))
}

fn is_in_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.')
}

/// Takes the prefix from where a word begins with it; in the middle of one (`Docs_acme:`) it is part of a name.
fn without_prefix(text: &str, prefix: &str) -> String {
    let mut parts = text.split(prefix);
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        if out.chars().next_back().is_some_and(is_in_word) {
            out.push_str(prefix);
        }
        out.push_str(part);
    }
    out
}

fn is_foreign(place: &Place<'_>, collections: &[(String, String)], known: &dyn Fn(&str) -> bool, word: &str) -> bool {
    let other = |id: &str| id != place.tenant.as_str() && known(id);
    let word = word.trim_matches('.');
    let named = |part: &str| {
        let mut owners = collections
            .iter()
            .filter_map(|(before, after)| part.strip_prefix(before.as_str())?.strip_suffix(after.as_str()));
        owners.any(other)
    };
    // A name may be a part of one, like a schema before its table.
    std::iter::once(word)
        .chain(word.split('.'))
        .any(|part| other(part) || place.owner(part).is_some_and(other) || named(part))
}

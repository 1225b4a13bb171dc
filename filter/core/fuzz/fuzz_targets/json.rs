//! Strict JSON: what we take, serde_json takes and reads the same; what serde_json takes, we refuse only for a key that
//! is there twice or for depth.
#![no_main]

use libfuzzer_sys::fuzz_target;
use partywall_core::json::{self, JsonError, MAX_DEPTH, Str, Value, write};
use serde_json::Value as Theirs;

/// Whether an array was skipped as numbers: these are not parsed, on purpose.
fn skipped(value: &Value<'_>) -> bool {
    match value {
        Value::Numbers(_) => true,
        Value::Array(items, _) => items.iter().any(skipped),
        Value::Object(members, _) => members.iter().any(|(_, value)| skipped(value)),
        _ => false,
    }
}

/// A string's characters cover its bytes, and it survives being written.
fn text(doc: &[u8], text: &Str<'_>) -> String {
    let mut at = text.start();
    for (_, range) in text.chars() {
        assert_eq!(range.start, at);
        at = range.end;
    }
    assert_eq!(at, text.start() + text.raw().len());
    assert_eq!(doc.get(text.start()..at), Some(text.raw()));
    let decoded = text.decode().into_owned();
    let mut written = Vec::new();
    write::string(&mut written, &decoded);
    assert_eq!(serde_json::from_slice::<String>(&written).ok().as_ref(), Some(&decoded));
    decoded
}

/// The tree that we read, as serde_json's.
fn read(doc: &[u8], value: &Value<'_>) -> Theirs {
    match value {
        Value::Object(members, _) => {
            let members = members.iter().map(|(key, value)| (text(doc, key), read(doc, value)));
            members.collect::<serde_json::Map<_, _>>().into()
        }
        Value::Array(items, _) => items.iter().map(|item| read(doc, item)).collect(),
        Value::String(value, _) => text(doc, value).into(),
        other => serde_json::from_slice(other.raw()).unwrap_or(Theirs::Null),
    }
}

fn trim(doc: &[u8]) -> &[u8] {
    let space = |b: &u8| matches!(b, b' ' | b'\t' | b'\n' | b'\r');
    let from = doc.iter().position(|b| !space(b)).unwrap_or(doc.len());
    let to = doc.iter().rposition(|b| !space(b)).map_or(from, |last| last + 1);
    &doc[from..to]
}

fuzz_target!(|doc: &[u8]| {
    let theirs = serde_json::from_slice::<Theirs>(doc);
    match json::parse(doc) {
        Ok(value) => {
            assert_eq!(value.raw(), trim(doc));
            let again = json::parse(value.raw()).expect("its own bytes are a document");
            assert_eq!(again.raw(), value.raw());
            let ours = read(doc, &value);
            match theirs {
                Ok(theirs) => assert_eq!(ours, theirs),
                Err(error) => assert!(skipped(&value), "serde_json refuses it: {error}"),
            }
        }
        Err(error) => {
            let (JsonError::Invalid { offset } | JsonError::DuplicateKey { offset } | JsonError::TooDeep { offset }) =
                error;
            assert!(offset <= doc.len());
            match error {
                JsonError::Invalid { .. } => assert!(theirs.is_err(), "serde_json takes it: {error:?}"),
                JsonError::DuplicateKey { offset } => assert_eq!(doc.get(offset), Some(&b'"')),
                JsonError::TooDeep { offset } => {
                    let open = doc[..=offset].iter().filter(|b| matches!(b, b'[' | b'{')).count();
                    assert!(open > MAX_DEPTH);
                }
            }
        }
    }
});

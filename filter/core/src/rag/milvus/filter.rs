//! Milvus' filter expressions: read strictly, nested under ours.
//!
//! A filter is a text that the backend parses, so ours can only stand beside the client's if the client's cannot end where
//! we do not think it ends: `tokens` sees to that. Of functions only those are known that judge one record by itself.
//!
//! The primary key of text type carries the tenant's prefix in the database, so literals that are compared with it get the
//! prefix too. Any other use of the key is refused: it would silently find nothing.

use super::tokens::{Kind, Token, tokens};
use crate::error::Code;
use crate::json::write::{self, Object};
use crate::json::{Str, Value};
use crate::rag::Place;
use crate::rag::document::{object, scoped_id};
use std::collections::BTreeSet;

/// The name of our own template variable; clients may not use names that begin with the first part.
const RESERVED: &str = "__pw_";
const TENANT: &str = "__pw_t";
/// Words that may stand before a parenthesis: functions that judge one record by itself, and operators.
const CALLABLE: &[&str] = &[
    "and",
    "or",
    "not",
    "in",
    "like",
    "exists",
    "text_match",
    "phrase_match",
    "json_contains",
    "json_contains_all",
    "json_contains_any",
    "array_contains",
    "array_contains_all",
    "array_contains_any",
    "array_length",
];

/// A client's expression, read.
#[derive(Debug, Default)]
pub(super) struct Client {
    /// The expression, with the key's literals scoped; empty for none.
    text: String,
    /// Template variables that are compared with the key.
    scoped: BTreeSet<String>,
    /// All other template variables.
    plain: BTreeSet<String>,
}

impl Client {
    /// Whether there is an expression at all.
    pub(super) fn is_empty(&self) -> bool {
        self.text.is_empty()
    }
}

/// Reads a client's expression.
pub(super) fn read(text: &str, place: &Place<'_>) -> Result<Client, Code> {
    let (key, prefix) = (place.rag().id_field.as_str(), place.prefix());
    let tokens = tokens(text)?;
    let mut reader = Reader { tokens: &tokens, literals: BTreeSet::new(), scoped: BTreeSet::new() };
    let mut plain = BTreeSet::new();
    for (index, token) in tokens.iter().enumerate() {
        let next = tokens.get(index.saturating_add(1));
        if token.kind == Kind::Word {
            if token.text.starts_with(RESERVED) {
                return Err(Code::FieldInvalid);
            }
            let called = next.is_some_and(|next| next.is(Kind::Open, "("));
            if called && !CALLABLE.iter().any(|word| token.is_word(word)) {
                return Err(Code::FieldInvalid);
            }
            if token.text == key {
                reader.key(index)?;
            }
        }
        if token.is(Kind::Open, "{") {
            let name = next.filter(|next| next.kind == Kind::Word).ok_or(Code::FieldInvalid)?;
            let close = tokens.get(index.saturating_add(2));
            if !close.is_some_and(|close| close.is(Kind::Close, "}")) || name.text == key {
                return Err(Code::FieldInvalid);
            }
            if !reader.scoped.contains(&(index, name.text)) {
                plain.insert((index, name.text));
            }
        }
    }
    let scoped: BTreeSet<String> = reader.scoped.iter().map(|(_, name)| (*name).to_owned()).collect();
    let plain: BTreeSet<String> =
        plain.iter().filter(|use_| !reader.scoped.contains(use_)).map(|(_, name)| (*name).to_owned()).collect();
    // One value cannot be both.
    if scoped.intersection(&plain).next().is_some() {
        return Err(Code::FieldInvalid);
    }
    let mut out = String::with_capacity(text.len());
    let mut from = 0usize;
    for at in &reader.literals {
        out.push_str(text.get(from..*at).ok_or(Code::Internal)?);
        out.push_str(&prefix);
        from = *at;
    }
    out.push_str(text.get(from..).ok_or(Code::Internal)?);
    if tokens.is_empty() {
        out.clear();
    }
    Ok(Client { text: out, scoped, plain })
}

/// Finds what is compared with the key.
struct Reader<'r, 't> {
    tokens: &'r [Token<'t>],
    /// Where a prefix goes: behind the quotes of these literals.
    literals: BTreeSet<usize>,
    /// The template variables, with their places.
    scoped: BTreeSet<(usize, &'t str)>,
}

impl<'t> Reader<'_, 't> {
    fn token(&self, index: Option<usize>) -> Option<Token<'t>> {
        self.tokens.get(index?).copied()
    }

    /// The key stands at `index`: `key == "a"`, `"a" < key < "b"`, `key in [..]`, `key not in {ids}`, `key like "a%"`.
    fn key(&mut self, index: usize) -> Result<(), Code> {
        let ahead = |by: usize| index.checked_add(by);
        let behind = |by: usize| index.checked_sub(by);
        let next = self.token(ahead(1));
        let mut used = false;
        if next.is_some_and(|next| next.compares()) {
            self.value(ahead(2))?;
            used = true;
        } else if next.is_some_and(|next| next.is_word("in")) {
            self.values(ahead(2))?;
            used = true;
        } else if next.is_some_and(|next| next.is_word("not")) {
            if !self.token(ahead(2)).is_some_and(|next| next.is_word("in")) {
                return Err(Code::FieldInvalid);
            }
            self.values(ahead(3))?;
            used = true;
        } else if next.is_some_and(|next| next.is_word("like")) {
            self.value(ahead(2))?;
            used = true;
        }
        if self.token(behind(1)).is_some_and(|before| before.compares()) {
            match self.token(behind(2)) {
                Some(token) if token.is(Kind::Close, "}") => self.value(behind(4))?,
                _ => self.value(behind(2))?,
            }
            used = true;
        }
        if used { Ok(()) } else { Err(Code::FieldInvalid) }
    }

    /// One literal, or a template variable.
    fn value(&mut self, index: Option<usize>) -> Result<(), Code> {
        let token = self.token(index).ok_or(Code::FieldInvalid)?;
        match token.kind {
            Kind::Text => {
                self.literals.insert(token.at.saturating_add(1));
                Ok(())
            }
            Kind::Number => Ok(()),
            Kind::Operator if matches!(token.text, "-" | "+") => {
                let number = self.token(index.and_then(|index| index.checked_add(1)));
                number.filter(|number| number.kind == Kind::Number).map(|_| ()).ok_or(Code::FieldInvalid)
            }
            Kind::Open if token.text == "{" => {
                let name = self.token(index.and_then(|index| index.checked_add(1))).ok_or(Code::FieldInvalid)?;
                self.scoped.insert((index.unwrap_or_default(), name.text));
                Ok(())
            }
            _ => Err(Code::FieldInvalid),
        }
    }

    /// A list of literals, or a template variable.
    fn values(&mut self, index: Option<usize>) -> Result<(), Code> {
        let first = self.token(index).ok_or(Code::FieldInvalid)?;
        if first.is(Kind::Open, "{") {
            return self.value(index);
        }
        if !first.is(Kind::Open, "[") {
            return Err(Code::FieldInvalid);
        }
        let mut at = index;
        loop {
            at = at.and_then(|at| at.checked_add(1));
            let token = self.token(at).ok_or(Code::FieldInvalid)?;
            match token.kind {
                Kind::Close => return Ok(()),
                Kind::Operator if token.text == "," => {}
                Kind::Open => return Err(Code::FieldInvalid),
                _ => self.value(at)?,
            }
        }
    }
}

/// Writes the members `filter` and `exprParams`: ours, with the client's nested whole.
pub(super) fn force(
    object: &mut Object<'_>,
    place: &Place<'_>,
    client: &Client,
    params: Option<&Value<'_>>,
) -> Result<(), Code> {
    let ours = format!("{} == {{{TENANT}}}", place.key());
    let filter = if client.is_empty() { ours } else { format!("({ours}) and ({})", client.text) };
    object.member("filter", |out| write::string(out, &filter));
    let mut params_out = Vec::new();
    write_params(&mut params_out, place, client, params)?;
    object.raw("exprParams", &params_out);
    Ok(())
}

fn write_params(out: &mut Vec<u8>, place: &Place<'_>, client: &Client, params: Option<&Value<'_>>) -> Result<(), Code> {
    let members: &[(Str<'_>, Value<'_>)] = match params {
        Some(value) => self::object(value)?,
        None => &[],
    };
    let prefix = place.prefix();
    let mut bad = false;
    let mut written = Object::begin(out);
    for (name, value) in members {
        let name = name.decode();
        let word = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if !word || name.starts_with(RESERVED) || !is_plain(value, 2) {
            return Err(Code::FieldInvalid);
        }
        if client.scoped.contains(name.as_ref()) {
            written.member(&name, |out| match value {
                Value::Array(items, _) => write::array(out, items, |out, item| bad |= !scoped(out, &prefix, item)),
                Value::Numbers(raw) => out.extend_from_slice(raw),
                value => bad |= !scoped(out, &prefix, value),
            });
        } else {
            written.raw(&name, value.raw());
        }
    }
    written.member(TENANT, |out| write::string(out, &place.namespace));
    written.end();
    let names: BTreeSet<_> = members.iter().map(|(key, _)| key.decode()).collect();
    let known = |name: &String| names.contains(name.as_str());
    if bad || !client.scoped.iter().chain(&client.plain).all(known) { Err(Code::FieldInvalid) } else { Ok(()) }
}

/// A key's value: a text gets the prefix, a number stays.
fn scoped(out: &mut Vec<u8>, prefix: &str, value: &Value<'_>) -> bool {
    match value {
        Value::String(text, _) => scoped_id(out, prefix, text),
        Value::Number(raw) => out.extend_from_slice(raw),
        _ => return false,
    }
    true
}

/// Milvus takes nothing but texts, numbers, booleans and lists of them as values.
fn is_plain(value: &Value<'_>, depth: u8) -> bool {
    match value {
        Value::Array(items, _) => depth > 0 && items.iter().all(|item| is_plain(item, depth.saturating_sub(1))),
        Value::Object(..) | Value::Null => false,
        _ => true,
    }
}

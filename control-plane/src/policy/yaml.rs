//! YAML as a tree that remembers where everything stands.
//!
//! Only what a policy needs: one document, no anchors, aliases or tags, no key twice, at most 1 MiB and 32 levels.

use super::Problem;
use saphyr_parser::{Event, Parser, ScalarStyle, Span};

const MAX_BYTES: usize = 1024 * 1024;
const MAX_DEPTH: usize = 32;

/// A node and where it begins.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) line: usize,
    pub(super) column: usize,
    pub(super) value: Value,
}

/// A node's value.
#[derive(Clone, Debug)]
pub(super) enum Value {
    /// A scalar, and whether it was written plain (unquoted).
    Scalar(String, bool),
    /// A list.
    List(Vec<Node>),
    /// A mapping: each key with its own position.
    Map(Vec<(Node, String, Node)>),
}

impl Node {
    pub(super) fn problem(&self, key: &str, message: impl Into<String>) -> Problem {
        Problem { line: self.line, column: self.column, key: key.to_owned(), message: message.into() }
    }

    pub(super) fn is_null(&self) -> bool {
        matches!(&self.value, Value::Scalar(text, true) if matches!(text.as_str(), "" | "~" | "null"))
    }
}

pub(super) fn parse(text: &str) -> Result<Node, Problem> {
    let at = |line, column, message: &str| Problem { line, column, key: String::new(), message: message.to_owned() };
    if text.len() > MAX_BYTES {
        return Err(at(1, 1, "the file is larger than 1 MiB"));
    }
    let mut events = Vec::new();
    for event in Parser::new_from_str(text) {
        match event {
            Ok((event, span)) => events.push((event, span)),
            Err(error) => {
                let marker = error.marker();
                return Err(at(marker.line(), marker.col() + 1, &format!("not valid YAML: {}", error.info())));
            }
        }
    }
    let mut events = events.into_iter().filter(|(event, _)| {
        !matches!(event, Event::Nothing | Event::StreamStart | Event::DocumentStart(_) | Event::StreamEnd)
    });
    let Some(first) = events.next() else { return Err(at(1, 1, "the file is empty")) };
    let root = node(first, &mut events, 0)?;
    match (events.next(), events.next()) {
        (Some((Event::DocumentEnd, _)), None) | (None, _) => Ok(root),
        (_, Some((_, span))) | (Some((_, span)), _) => {
            Err(at(span.start.line(), span.start.col() + 1, "a policy file holds one document"))
        }
    }
}

fn node<'e>(
    (event, span): (Event<'e>, Span),
    events: &mut impl Iterator<Item = (Event<'e>, Span)>,
    depth: usize,
) -> Result<Node, Problem> {
    let (line, column) = (span.start.line(), span.start.col() + 1);
    let fail = |message: &str| Problem { line, column, key: String::new(), message: message.to_owned() };
    if depth > MAX_DEPTH {
        return Err(fail("nested too deeply"));
    }
    let value = match event {
        Event::Scalar(text, style, 0, None) => Value::Scalar(text.into_owned(), style == ScalarStyle::Plain),
        Event::SequenceStart(0, None) => {
            let mut items = Vec::new();
            loop {
                match events.next() {
                    Some((Event::SequenceEnd, _)) => break Value::List(items),
                    Some(next) => items.push(node(next, events, depth + 1)?),
                    None => return Err(fail("the list does not end")),
                }
            }
        }
        Event::MappingStart(0, None) => {
            let mut members: Vec<(Node, String, Node)> = Vec::new();
            loop {
                let next = match events.next() {
                    Some((Event::MappingEnd, _)) => break Value::Map(members),
                    Some(next) => next,
                    None => return Err(fail("the mapping does not end")),
                };
                let key = node(next, events, depth + 1)?;
                let Value::Scalar(name, _) = &key.value else {
                    return Err(key.problem("", "a key must be a plain word"));
                };
                let name = name.clone();
                if members.iter().any(|(_, known, _)| *known == name) {
                    return Err(key.problem(&name, format!("the key `{name}` is there twice")));
                }
                let Some(next) = events.next() else { return Err(fail("the mapping does not end")) };
                let value = node(next, events, depth + 1)?;
                members.push((key, name, value));
            }
        }
        Event::Alias(_) => return Err(fail("aliases are not served in a policy")),
        _ => return Err(fail("anchors and tags are not served in a policy")),
    };
    Ok(Node { line, column, value })
}

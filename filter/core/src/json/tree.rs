//! A document as a tree of spans.

use super::{JsonError, Sink, Str, walk};

/// A part of a document.
#[derive(Clone, Debug)]
pub enum Value<'a> {
    /// An object: its members in order, and its bytes.
    Object(Vec<(Str<'a>, Value<'a>)>, &'a [u8]),
    /// An array: its items in order, and its bytes.
    Array(Vec<Value<'a>>, &'a [u8]),
    /// An array of nothing but numbers, unparsed.
    Numbers(&'a [u8]),
    /// A string, and its bytes with the quotes.
    String(Str<'a>, &'a [u8]),
    /// A number, unparsed.
    Number(&'a [u8]),
    /// `true` or `false`.
    Bool(bool),
    /// `null`.
    Null,
}

impl<'a> Value<'a> {
    /// The part's bytes, as they were written.
    pub fn raw(&self) -> &'a [u8] {
        match self {
            Self::Object(_, raw) | Self::Array(_, raw) | Self::String(_, raw) => raw,
            Self::Numbers(raw) | Self::Number(raw) => raw,
            Self::Bool(true) => b"true",
            Self::Bool(false) => b"false",
            Self::Null => b"null",
        }
    }

    /// The member of that name, if this is an object that has it.
    pub fn member(&self, name: &str) -> Option<&Value<'a>> {
        match self {
            Self::Object(members, _) => members.iter().find(|(key, _)| key.decode() == name).map(|(_, value)| value),
            _ => None,
        }
    }

    /// The items, if this is an array whose items were parsed. An empty array counts.
    pub fn items(&self) -> Option<&[Value<'a>]> {
        match self {
            Self::Array(items, _) => Some(items),
            _ => None,
        }
    }

    /// Whether this is `null`.
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }
}

/// Parses a whole document.
///
/// # Errors
/// As [`walk`].
pub fn parse(doc: &[u8]) -> Result<Value<'_>, JsonError> {
    let mut builder = Builder { doc, open: Vec::new(), done: None };
    walk(doc, &mut builder)?;
    builder.done.ok_or(JsonError::Invalid { offset: 0 })
}

struct Frame<'a> {
    start: usize,
    members: Vec<(Str<'a>, Value<'a>)>,
    items: Vec<Value<'a>>,
    key: Option<Str<'a>>,
}

struct Builder<'a> {
    doc: &'a [u8],
    open: Vec<Frame<'a>>,
    done: Option<Value<'a>>,
}

impl<'a> Builder<'a> {
    fn put(&mut self, value: Value<'a>) {
        match self.open.last_mut() {
            None => self.done = Some(value),
            Some(frame) => match frame.key.take() {
                Some(key) => frame.members.push((key, value)),
                None => frame.items.push(value),
            },
        }
    }

    fn begin(&mut self, start: usize) {
        self.open.push(Frame { start, members: Vec::new(), items: Vec::new(), key: None });
    }
}

impl<'a> Sink<'a> for Builder<'a> {
    fn begin_object(&mut self, start: usize) {
        self.begin(start);
    }
    fn end_object(&mut self, end: usize) {
        if let Some(frame) = self.open.pop() {
            let raw = self.doc.get(frame.start..end).unwrap_or_default();
            self.put(Value::Object(frame.members, raw));
        }
    }
    fn begin_array(&mut self, start: usize) {
        self.begin(start);
    }
    fn end_array(&mut self, end: usize) {
        if let Some(frame) = self.open.pop() {
            let raw = self.doc.get(frame.start..end).unwrap_or_default();
            self.put(Value::Array(frame.items, raw));
        }
    }
    fn key(&mut self, key: Str<'a>) {
        if let Some(frame) = self.open.last_mut() {
            frame.key = Some(key);
        }
    }
    fn string(&mut self, value: Str<'a>) {
        let from = value.start().saturating_sub(1);
        let end = value.start().saturating_add(value.raw().len()).saturating_add(1);
        let raw = self.doc.get(from..end).unwrap_or_default();
        self.put(Value::String(value, raw));
    }
    fn number(&mut self, raw: &'a [u8], _: usize) {
        self.put(Value::Number(raw));
    }
    fn numbers(&mut self, raw: &'a [u8], _: usize) {
        self.put(Value::Numbers(raw));
    }
    fn atom(&mut self, raw: &'a [u8], _: usize) {
        self.put(match raw {
            b"true" => Value::Bool(true),
            b"false" => Value::Bool(false),
            _ => Value::Null,
        });
    }
}

//! The part of GraphQL that is served: one query of plain fields with literal arguments.
//!
//! There is no production for what could say the same thing twice: aliases, fragments, directives, variables, several
//! operations, block strings. A query that parses is written anew from its tree, so the backend reads exactly what was
//! judged; numbers stay as they were written.

use crate::json::{unescape, write};

/// The deepest nesting of selections or arguments.
const MAX_DEPTH: usize = 24;
/// The most names at one level: each is compared with all before it.
const MAX_NAMES: usize = 500;

/// An argument's value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Argument<'q> {
    /// A string, decoded.
    Text(String),
    /// An enum's value, `true`, `false` or `null`.
    Name(&'q str),
    /// A number, unparsed.
    Number(&'q str),
    /// A list.
    List(Vec<Argument<'q>>),
    /// An object.
    Object(Vec<(&'q str, Argument<'q>)>),
}

/// A field with its arguments and what is selected of it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Field<'q> {
    pub(super) name: &'q str,
    pub(super) arguments: Vec<(&'q str, Argument<'q>)>,
    pub(super) fields: Vec<Field<'q>>,
}

/// A document: one query.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Query<'q> {
    pub(super) name: Option<&'q str>,
    pub(super) fields: Vec<Field<'q>>,
}

#[derive(Clone, Debug, PartialEq)]
enum Token<'q> {
    Mark(u8),
    Name(&'q str),
    Number(&'q str),
    Text(String),
}

struct Reader<'q> {
    text: &'q str,
    at: usize,
    next: Option<Token<'q>>,
}

/// Reads a document. `None` when it is anything but one plain query.
pub(super) fn parse(text: &str) -> Option<Query<'_>> {
    let mut reader = Reader { text, at: 0, next: None };
    reader.advance()?;
    let mut name = None;
    if let Some(Token::Name(word)) = reader.next {
        if word != "query" {
            return None;
        }
        reader.advance()?;
        if let Some(Token::Name(own)) = reader.next {
            name = Some(own);
            reader.advance()?;
        }
    }
    let fields = reader.selection(0)?;
    reader.next.is_none().then_some(Query { name, fields })
}

impl<'q> Reader<'q> {
    fn rest(&self) -> &'q str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn take(&mut self, len: usize) -> Option<&'q str> {
        let end = self.at.checked_add(len)?;
        let part = self.text.get(self.at..end)?;
        self.at = end;
        Some(part)
    }

    /// Reads the next token; `None` only where there can be none.
    fn advance(&mut self) -> Option<()> {
        loop {
            let rest = self.rest();
            let blank = rest.len().checked_sub(rest.trim_start_matches([' ', '\t', '\r', '\n', ',']).len())?;
            self.take(blank)?;
            if !self.rest().starts_with('#') {
                break;
            }
            let comment = self.rest().find(['\n', '\r']).unwrap_or(self.rest().len());
            self.take(comment)?;
        }
        self.next = match self.rest().bytes().next() {
            None => None,
            Some(mark @ (b'{' | b'}' | b'(' | b')' | b'[' | b']' | b':')) => {
                self.take(1)?;
                Some(Token::Mark(mark))
            }
            Some(b'"') => Some(Token::Text(self.string()?)),
            Some(b'-' | b'0'..=b'9') => Some(Token::Number(self.number()?)),
            Some(first) if first.is_ascii_alphabetic() || first == b'_' => {
                let len = self.rest().bytes().take_while(|b| b.is_ascii_alphanumeric() || *b == b'_').count();
                Some(Token::Name(self.take(len)?))
            }
            Some(_) => return None,
        };
        Some(())
    }

    fn number(&mut self) -> Option<&'q str> {
        let len = self
            .rest()
            .bytes()
            .take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'+' | b'.' | b'_'))
            .count();
        let raw = self.take(len)?;
        // JSON's grammar of numbers is GraphQL's.
        serde_json::from_str::<serde_json::Number>(raw).is_ok().then_some(raw)
    }

    fn string(&mut self) -> Option<String> {
        self.take(1)?;
        let mut out = String::new();
        loop {
            let c = self.rest().chars().next()?;
            match c {
                '"' => break,
                '\\' => {
                    let (c, len) = unescape(self.rest().as_bytes())?;
                    out.push(c);
                    self.take(len)?;
                }
                c if c.is_control() && c != '\t' => return None,
                c => {
                    out.push(c);
                    self.take(c.len_utf8())?;
                }
            }
        }
        self.take(1)?;
        // What begins with three quotes is a block string.
        (!self.rest().starts_with('"')).then_some(out)
    }

    fn is(&self, mark: u8) -> bool {
        self.next == Some(Token::Mark(mark))
    }

    fn expect(&mut self, mark: u8) -> Option<()> {
        if self.is(mark) { self.advance() } else { None }
    }

    fn name(&mut self) -> Option<&'q str> {
        let Some(Token::Name(name)) = self.next else { return None };
        self.advance()?;
        Some(name)
    }

    /// `{ field … }`, with no name twice.
    fn selection(&mut self, depth: usize) -> Option<Vec<Field<'q>>> {
        if depth > MAX_DEPTH {
            return None;
        }
        self.expect(b'{')?;
        let mut fields: Vec<Field<'q>> = Vec::new();
        while !self.is(b'}') {
            let name = self.name()?;
            if fields.len() >= MAX_NAMES || fields.iter().any(|field| field.name == name) {
                return None;
            }
            let arguments = if self.is(b'(') { self.members(b'(', b')', depth)? } else { Vec::new() };
            let inner = if self.is(b'{') { self.selection(depth.saturating_add(1))? } else { Vec::new() };
            fields.push(Field { name, arguments, fields: inner });
        }
        self.expect(b'}')?;
        (!fields.is_empty()).then_some(fields)
    }

    /// `name: value …` between two marks, with no name twice.
    fn members(&mut self, open: u8, close: u8, depth: usize) -> Option<Vec<(&'q str, Argument<'q>)>> {
        self.expect(open)?;
        let mut members: Vec<(&'q str, Argument<'q>)> = Vec::new();
        while !self.is(close) {
            let name = self.name()?;
            if members.len() >= MAX_NAMES || members.iter().any(|(known, _)| *known == name) {
                return None;
            }
            self.expect(b':')?;
            members.push((name, self.value(depth.saturating_add(1))?));
        }
        self.expect(close)?;
        Some(members)
    }

    fn value(&mut self, depth: usize) -> Option<Argument<'q>> {
        if depth > MAX_DEPTH {
            return None;
        }
        if self.is(b'{') {
            return self.members(b'{', b'}', depth).map(Argument::Object);
        }
        if self.is(b'[') {
            self.advance()?;
            let mut items = Vec::new();
            while !self.is(b']') {
                items.push(self.value(depth.saturating_add(1))?);
            }
            self.advance()?;
            return Some(Argument::List(items));
        }
        let value = match self.next.take()? {
            Token::Name(name) => Argument::Name(name),
            Token::Number(raw) => Argument::Number(raw),
            Token::Text(text) => Argument::Text(text),
            Token::Mark(_) => return None,
        };
        self.advance()?;
        Some(value)
    }
}

/// Writes a document.
pub(super) fn write(query: &Query<'_>) -> String {
    let mut out = Vec::new();
    if let Some(name) = query.name {
        out.extend_from_slice(format!("query {name} ").as_bytes());
    }
    selection(&mut out, &query.fields);
    String::from_utf8(out).unwrap_or_default()
}

fn selection(out: &mut Vec<u8>, fields: &[Field<'_>]) {
    out.push(b'{');
    for (index, field) in fields.iter().enumerate() {
        if index > 0 {
            out.push(b' ');
        }
        out.extend_from_slice(field.name.as_bytes());
        if !field.arguments.is_empty() {
            members(out, b'(', &field.arguments, b')');
        }
        if !field.fields.is_empty() {
            selection(out, &field.fields);
        }
    }
    out.push(b'}');
}

fn members(out: &mut Vec<u8>, open: u8, members: &[(&str, Argument<'_>)], close: u8) {
    out.push(open);
    for (index, (name, argument)) in members.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        out.extend_from_slice(name.as_bytes());
        out.push(b':');
        value(out, argument);
    }
    out.push(close);
}

fn value(out: &mut Vec<u8>, argument: &Argument<'_>) {
    match argument {
        // JSON's escapes are GraphQL's.
        Argument::Text(text) => write::string(out, text),
        Argument::Name(raw) | Argument::Number(raw) => out.extend_from_slice(raw.as_bytes()),
        Argument::List(items) => write::array(out, items, value),
        Argument::Object(inner) => members(out, b'{', inner, b'}'),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_the_same() {
        for text in [
            "{Get{Docs{title}}}",
            "query Q { Get { Docs(limit: 2, where: {path: [\"n\"] operator: Equal valueInt: -1}) { a b _additional { id } } } }",
            "{ # a comment \" {\n Get { Docs(nearVector: {vector: [1.50, -2e-7, 0]}) { t } } }",
            r#"{Get{Docs(x:"a \"b\" \\ é \u00e9 \ud83d\ude00 #{}"){t}}}"#,
        ] {
            let query = parse(text).expect(text);
            assert_eq!(parse(&write(&query)), Some(query.clone()), "{text}");
        }
        let text = write(&parse("{Get{D(v:[1.50 1e40 -0 12345678901234567890]){a}}}").unwrap());
        assert_eq!(text, "{Get{D(v:[1.50,1e40,-0,12345678901234567890]){a}}}");
    }

    #[test]
    fn nothing_but_one_plain_query() {
        for text in [
            "",
            "{",
            "{}",
            "{Get{}}",
            "{Get{Docs{title}}} {Get{Docs{title}}}",
            "query A{Get{D{a}}} query B{Get{D{a}}}",
            "mutation {Get{Docs{title}}}",
            "query Q($t: String){Get{Docs(tenant: $t){title}}}",
            "{Get{Docs(tenant: $t){title}}}",
            "{Get{x: Docs{title}}}",
            "{Get{Docs{t: title}}}",
            "{Get{Docs{... on Docs{title}}}}",
            "{Get{...F}} fragment F on GetObj {Docs{title}}",
            "{Get{Docs @include(if: true){title}}}",
            "{Get{Docs{title title}}}",
            "{Get{Docs{a} Docs{b}}}",
            "{Get{Docs(tenant:\"a\",tenant:\"b\"){title}}}",
            "{Get{Docs(where:{path:\"a\",path:\"b\"}){title}}}",
            "{Get{Docs(a:\"\"\"x\"\"\"){title}}}",
            "{Get{Docs(a:\"\"\"\"){title}}}",
            "{Get{Docs(a:\"x\ny\"){title}}}",
            "{Get{Docs(a:\"\\x\"){title}}}",
            "{Get{Docs(a:\"\\ud800\"){title}}}",
            "{Get{Docs(a:01){title}}}",
            "{Get{Docs(a:1.){title}}}",
            "{Get{Docs(a:.5){title}}}",
            "{Get{Docs(a:1x){title}}}",
            "{Get{Docs(a:1e400){title}}}",
            "{Get{Docs(a:{b:[}]){title}}}",
            "\u{feff}{Get{Docs{title}}}",
            "{Get{Docs{títle}}}",
            "{Get{Docs(a:&){title}}}",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
        let many: Vec<String> = (0..=MAX_NAMES).map(|number| format!("a{number}")).collect();
        assert_eq!(parse(&format!("{{{}}}", many.join(" "))), None);
        let deep = |open: &str, close: &str| format!("{{a{}b{}}}", open.repeat(40), close.repeat(40));
        assert_eq!(parse(&deep("{a", "}")), None);
        assert_eq!(parse(&format!("{{a(b:{}{}){{c}}}}", "[".repeat(4000), "]".repeat(4000))), None);
    }
}

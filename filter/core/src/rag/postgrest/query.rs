//! PostgREST's query language, read by its grammar.
//!
//! PostgREST joins all conditions of a query by AND, each parameter by itself, so ours beside the client's narrows whatever
//! the client's says. What is left to judge: nothing may reach another table (embedding, spreads, orders by a relation),
//! nothing may count or sum, nothing may take the marker's name for something else, and a condition must be one, as
//! PostgREST ignores a parameter that is none.

use crate::error::Code;
use std::collections::BTreeSet;

const BAD: Code = Code::QueryForbidden;
/// The deepest nesting of `and` and `or`.
const MAX_DEPTH: u8 = 16;
/// Operators that may have `(any)` or `(all)` behind them.
const QUANTIFIED: &[&str] = &["eq", "gte", "gt", "lte", "lt", "like", "ilike", "match", "imatch"];
const OPERATORS: &[&str] = &["neq", "isdistinct", "cs", "cd", "ov", "sl", "sr", "nxr", "nxl", "adj"];
/// Full text search, which may have a language behind it.
const SEARCHES: &[&str] = &["fts", "plfts", "phfts", "wfts"];

/// Casts to plain values. One to `regclass` would tell which tables there are.
const CASTS: &[&str] = &[
    "text",
    "varchar",
    "int",
    "int2",
    "int4",
    "int8",
    "integer",
    "smallint",
    "bigint",
    "float",
    "float4",
    "float8",
    "real",
    "numeric",
    "decimal",
    "bool",
    "boolean",
    "date",
    "time",
    "timestamp",
    "timestamptz",
    "json",
    "jsonb",
    "uuid",
    "vector",
    "halfvec",
];

struct Cursor<'t> {
    rest: &'t str,
}

/// A column, with the keys of a path into it.
struct Field<'t> {
    column: &'t str,
    path: Vec<&'t str>,
}

impl<'t> Cursor<'t> {
    fn eat(&mut self, text: &str) -> bool {
        match self.rest.strip_prefix(text) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn need(&mut self, text: &str) -> Result<(), Code> {
        if self.eat(text) { Ok(()) } else { Err(BAD) }
    }

    fn take(&mut self, belongs: impl Fn(char) -> bool) -> &'t str {
        let end = self.rest.find(|c| !belongs(c)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at_checked(end).unwrap_or((self.rest, ""));
        self.rest = rest;
        taken
    }

    fn space(&mut self) {
        self.take(|c| c == ' ' || c == '\t');
    }

    fn end(&self) -> Result<(), Code> {
        if self.rest.is_empty() { Ok(()) } else { Err(BAD) }
    }

    /// Letters, digits, `_`, and a `-` that begins no arrow.
    fn name(&mut self) -> Result<&'t str, Code> {
        let whole = self.rest;
        loop {
            self.take(|c| c.is_ascii_alphanumeric() || c == '_');
            if self.rest.starts_with("->") || !self.rest.starts_with('-') {
                break;
            }
            self.eat("-");
        }
        let len = whole.len().saturating_sub(self.rest.len());
        let name = whole.get(..len).unwrap_or_default();
        if name.is_empty() || name.starts_with('-') { Err(BAD) } else { Ok(name) }
    }

    fn field(&mut self) -> Result<Field<'t>, Code> {
        let column = self.name()?;
        let mut path = Vec::new();
        while self.eat("->>") || self.eat("->") {
            if self.eat("-") {
                // An index from the end.
                if self.take(|c| c.is_ascii_digit()).is_empty() {
                    return Err(BAD);
                }
            } else {
                let key = self.name()?;
                if !key.bytes().all(|b| b.is_ascii_digit()) {
                    path.push(key);
                }
            }
        }
        Ok(Field { column, path })
    }

    fn quoted(&mut self) -> Result<&'t str, Code> {
        self.need("\"")?;
        let whole = self.rest;
        loop {
            self.take(|c| c != '"' && c != '\\');
            if self.eat("\\") {
                let mut chars = self.rest.chars();
                chars.next().ok_or(BAD)?;
                self.rest = chars.as_str();
                continue;
            }
            let len = whole.len().saturating_sub(self.rest.len());
            self.need("\"")?;
            return whole.get(..len).ok_or(BAD);
        }
    }

    /// `not.eq.5`, `in.(1,2)`, `fts(english).word`, …; inside a tree the value ends where the tree goes on.
    fn condition(&mut self, inside: bool) -> Result<(), Code> {
        self.eat("not.");
        let operator = self.take(|c| c.is_ascii_lowercase());
        if operator == "in" {
            self.need(".")?;
            return self.list();
        }
        if operator == "is" {
            self.need(".")?;
            let word = self.take(|c| c.is_ascii_alphabetic() || c == '_').to_ascii_lowercase();
            let known = matches!(word.as_str(), "null" | "not_null" | "true" | "false" | "unknown");
            return if known { Ok(()) } else { Err(BAD) };
        }
        if QUANTIFIED.contains(&operator) {
            let _ = self.eat("(any)") || self.eat("(all)");
        } else if SEARCHES.contains(&operator) {
            if self.eat("(") {
                self.name()?;
                self.need(")")?;
            }
        } else if !OPERATORS.contains(&operator) {
            return Err(BAD);
        }
        self.need(".")?;
        if !inside {
            self.rest = "";
        } else if self.rest.starts_with('"') {
            self.quoted()?;
        } else if self.eat("{") {
            self.take(|c| c != '{' && c != '}');
            self.need("}")?;
        } else {
            self.take(|c| c != ',' && c != ')');
        }
        Ok(())
    }

    /// `(1,"a,b",c)`.
    fn list(&mut self) -> Result<(), Code> {
        self.need("(")?;
        loop {
            if self.rest.starts_with('"') {
                self.quoted()?;
            } else {
                self.take(|c| c != ',' && c != ')');
            }
            if !self.eat(",") {
                return self.need(")");
            }
        }
    }

    /// `(a.eq.1,not.or(b.gt.2,c.is.null))`.
    fn tree(&mut self, depth: u8) -> Result<(), Code> {
        let depth = depth.checked_sub(1).ok_or(BAD)?;
        self.need("(")?;
        loop {
            self.space();
            let logic = ["and(", "or(", "not.and(", "not.or("].into_iter().find(|word| self.rest.starts_with(word));
            if let Some(word) = logic {
                self.eat(word.trim_end_matches('('));
                self.tree(depth)?;
            } else {
                self.field()?;
                self.need(".")?;
                self.condition(true)?;
            }
            self.space();
            if !self.eat(",") {
                return self.need(")");
            }
        }
    }
}

/// Whether a parameter is a condition, and a well-formed one.
pub(super) fn check_condition(name: &str, value: &str) -> Result<(), Code> {
    let mut value = Cursor { rest: value };
    if matches!(name, "and" | "or" | "not.and" | "not.or") {
        value.tree(MAX_DEPTH)?;
    } else {
        let mut key = Cursor { rest: name };
        key.field()?;
        key.end()?;
        value.condition(false)?;
    }
    value.end()
}

/// `a.desc.nullslast,data->>b`; no order by a relation.
pub(super) fn check_order(value: &str) -> Result<(), Code> {
    let mut cursor = Cursor { rest: value };
    loop {
        cursor.space();
        cursor.field()?;
        let _ = cursor.eat(".asc") || cursor.eat(".desc");
        let _ = cursor.eat(".nullsfirst") || cursor.eat(".nullslast");
        cursor.space();
        if !cursor.eat(",") {
            return cursor.end();
        }
    }
}

/// A count of rows.
pub(super) fn check_number(value: &str) -> Result<(), Code> {
    if !value.is_empty() && value.len() <= 18 && value.bytes().all(|b| b.is_ascii_digit()) { Ok(()) } else { Err(BAD) }
}

/// `select` with the marker in it. Columns, paths, casts and other names for them; nothing that embeds or aggregates, nothing
/// that has the marker's name without being it, and no name twice.
pub(super) fn select(value: &str, marker: &str) -> Result<String, Code> {
    let mut cursor = Cursor { rest: value };
    let (mut names, mut star, mut plain, mut there) = (BTreeSet::new(), false, false, false);
    loop {
        cursor.space();
        if cursor.eat("*") {
            if std::mem::replace(&mut star, true) {
                return Err(BAD);
            }
        } else {
            let before = cursor.rest;
            let mut alias = None;
            let first = cursor.name()?;
            if cursor.rest.starts_with(':') && !cursor.rest.starts_with("::") {
                cursor.eat(":");
                alias = Some(first);
            } else {
                cursor.rest = before;
            }
            let field = cursor.field()?;
            let mut cast = false;
            if cursor.eat("::") {
                if !CASTS.contains(&cursor.name()?) {
                    return Err(BAD);
                }
                cast = true;
            }
            let bare = alias.is_none() && field.path.is_empty();
            // Of a path PostgREST takes the last key as the name.
            let name = alias.or(field.path.last().copied()).unwrap_or(field.column);
            let keys = alias.is_none() && field.path.contains(&marker);
            if field.column == marker || name == marker || keys {
                if !bare || cast {
                    return Err(BAD);
                }
                there = true;
            }
            plain |= bare;
            if !names.insert(name) {
                return Err(BAD);
            }
        }
        cursor.space();
        if !cursor.eat(",") {
            break;
        }
    }
    cursor.end()?;
    // `*` has each column once already.
    if star && plain {
        return Err(BAD);
    }
    Ok(if star || there { value.to_owned() } else { format!("{value},{marker}") })
}

/// `columns`: plain names, quoted or not.
pub(super) fn columns(value: &str) -> Result<Vec<&str>, Code> {
    let mut cursor = Cursor { rest: value };
    let mut names = Vec::new();
    loop {
        cursor.space();
        let name = if cursor.rest.starts_with('"') { cursor.quoted()? } else { cursor.name()? };
        let mut whole = Cursor { rest: name };
        whole.name()?;
        whole.end()?;
        names.push(name);
        cursor.space();
        if !cursor.eat(",") {
            cursor.end()?;
            return Ok(names);
        }
    }
}

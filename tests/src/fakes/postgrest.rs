//! PostgREST over rows in memory, with SQL's three-valued logic. As the real one it joins parameters by AND, ignores a parameter
//! that is no condition, answers writes with nothing unless asked, and names other tables in its hints.

use super::Reply;
use crate::llm::Received;
use serde_json::{Map, Value, json};
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

type Row = Map<String, Value>;
type Rows = BTreeMap<(String, String), Vec<Row>>;

/// The server's rows; `id` is the key of every table.
#[derive(Clone)]
pub struct Postgrest {
    columns: &'static [&'static str],
    rows: Arc<Mutex<Rows>>,
}

/// An answer: status, `Content-Range`, body.
pub type Answer = (u16, String, Vec<u8>);

struct Failure(u16, Value);

fn failure<T>(status: u16, code: &str, message: &str, details: &str, hint: Value) -> Result<T, Failure> {
    Err(Failure(status, json!({"code": code, "message": message, "details": details, "hint": hint})))
}

fn syntax<T>(what: &str) -> Result<T, Failure> {
    failure(400, "PGRST100", &format!("failed to parse ({what})"), "unexpected input", Value::Null)
}

struct Query {
    pairs: Vec<(String, String)>,
}

impl Query {
    fn parse(raw: &str) -> Self {
        let decode = |text: &str| {
            let (mut out, bytes) = (Vec::new(), text.as_bytes());
            let mut at = 0;
            while let Some(byte) = bytes.get(at) {
                let hex = text.get(at + 1..at + 3).and_then(|hex| u8::from_str_radix(hex, 16).ok());
                match (byte, hex) {
                    (b'%', Some(hex)) => {
                        out.push(hex);
                        at += 2;
                    }
                    (b'+', _) => out.push(b' '),
                    (byte, _) => out.push(*byte),
                }
                at += 1;
            }
            String::from_utf8_lossy(&out).into_owned()
        };
        let pairs = raw.split('&').filter_map(|pair| pair.split_once('='));
        Self { pairs: pairs.map(|(name, value)| (decode(name), decode(value))).collect() }
    }

    fn first(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Whether a row fits all conditions.
    fn fits(&self, row: &Row) -> Result<bool, Failure> {
        for (name, value) in &self.pairs {
            let holds = match name.as_str() {
                "select" | "columns" | "on_conflict" | "order" | "limit" | "offset" => continue,
                "and" | "or" | "not.and" | "not.or" => tree(row, &format!("{name}{value}"))?,
                _ if !is_condition(value) => continue,
                _ => condition(row, name, value)?,
            };
            if holds != Some(true) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

const OPERATORS: [&str; 10] = ["eq", "neq", "gt", "gte", "lt", "lte", "like", "ilike", "cs", "is"];

fn is_condition(value: &str) -> bool {
    let first = value.strip_prefix("not.").unwrap_or(value).split(['.', '(']).next().unwrap_or_default();
    OPERATORS.contains(&first) || first == "in"
}

/// `and(..)`, `not.or(..)`, `column.eq.value`.
fn tree(row: &Row, text: &str) -> Result<Option<bool>, Failure> {
    for (word, negated, all) in
        [("not.and(", true, true), ("not.or(", true, false), ("and(", false, true), ("or(", false, false)]
    {
        let Some(inner) = text.strip_prefix(word) else { continue };
        let Some(inner) = inner.strip_suffix(')') else { return syntax(text) };
        let mut result = Some(all);
        for part in split(inner) {
            let holds = tree(row, part.trim())?;
            result = match (result, holds, all) {
                (Some(false), _, true) | (_, Some(false), true) => Some(false),
                (Some(true), _, false) | (_, Some(true), false) => Some(true),
                (None, _, _) | (_, None, _) => None,
                (Some(left), Some(_), _) => Some(left),
            };
        }
        return Ok(result.map(|holds| holds != negated));
    }
    let Some((name, value)) = text.split_once('.') else { return syntax(text) };
    condition(row, name, value)
}

/// Splits at commas that are in no parentheses, braces or quotes.
fn split(text: &str) -> Vec<&str> {
    let (mut parts, mut from, mut depth, mut quoted, mut escaped) = (Vec::new(), 0, 0, false, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '(' | '{' if !quoted => depth += 1,
            ')' | '}' if !quoted => depth -= 1,
            ',' if !quoted && depth == 0 => {
                parts.push(&text[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[from..]);
    parts
}

fn unquote(text: &str) -> String {
    let Some(inner) = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else { return text.to_owned() };
    let mut out = String::new();
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        out.extend(if c == '\\' { chars.next() } else { Some(c) });
    }
    out
}

/// A column's value, or what its path leads to.
fn field(row: &Row, name: &str) -> Result<Value, Failure> {
    let column = name.split("->").next().unwrap_or_default();
    let Some(value) = row.get(column) else {
        return failure(400, "42703", &format!("column docs.{column} does not exist"), "", Value::Null);
    };
    let mut value = value.clone();
    for step in name.split("->").skip(1) {
        let key = step.trim_start_matches('>');
        let next = value.get(key).or_else(|| value.get(key.parse::<usize>().ok()?)).cloned().unwrap_or_default();
        value = match (step.starts_with('>'), next) {
            (true, Value::Number(n)) => json!(n.to_string()),
            (_, next) => next,
        };
    }
    Ok(value)
}

fn condition(row: &Row, name: &str, text: &str) -> Result<Option<bool>, Failure> {
    let value = field(row, name)?;
    let (negated, rest) = text.strip_prefix("not.").map_or((false, text), |rest| (true, rest));
    let Some((operator, operand)) = rest.split_once('.') else { return syntax(text) };
    let operand = operand.to_owned();
    let holds = match operator {
        "is" => Some(match operand.to_lowercase().as_str() {
            "null" => value.is_null(),
            "true" => value == json!(true),
            "false" => value == json!(false),
            _ => return syntax(text),
        }),
        _ if value.is_null() => None,
        "in" => {
            let Some(list) = operand.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')) else {
                return syntax(text);
            };
            Some(split(list).iter().any(|item| compare(&value, &unquote(item)) == Some(Ordering::Equal)))
        }
        "cs" => {
            let items = operand.trim_matches(['{', '}']).split(',').map(unquote);
            let own = value.as_array().cloned().unwrap_or_default();
            Some(items.into_iter().all(|item| own.contains(&json!(item))))
        }
        "like" | "ilike" => {
            let operand = unquote(&operand).replace('*', "%");
            let own = value.as_str().unwrap_or_default();
            Some(if operator == "like" {
                like(own, &operand)
            } else {
                like(&own.to_lowercase(), &operand.to_lowercase())
            })
        }
        _ => {
            let order = compare(&value, &unquote(&operand));
            match operator {
                "eq" => Some(order == Some(Ordering::Equal)),
                "neq" => Some(order != Some(Ordering::Equal)),
                "gt" => Some(order.is_some_and(Ordering::is_gt)),
                "gte" => Some(order.is_some_and(Ordering::is_ge)),
                "lt" => Some(order.is_some_and(Ordering::is_lt)),
                "lte" => Some(order.is_some_and(Ordering::is_le)),
                _ => return syntax(text),
            }
        }
    };
    Ok(holds.map(|holds| holds != negated))
}

fn compare(value: &Value, text: &str) -> Option<Ordering> {
    match value {
        Value::Number(_) => value.as_f64()?.partial_cmp(&text.parse::<f64>().ok()?),
        Value::String(own) => Some(own.as_str().cmp(text)),
        Value::Bool(own) => Some(own.to_string().as_str().cmp(text)),
        _ => None,
    }
}

fn like(text: &str, pattern: &str) -> bool {
    let mut chars = pattern.chars();
    match chars.next() {
        None => text.is_empty(),
        Some('%') => {
            let rest = chars.as_str();
            (0..=text.len()).filter(|at| text.is_char_boundary(*at)).any(|at| like(&text[at..], rest))
        }
        Some(c) => text.strip_prefix(c).is_some_and(|rest| like(rest, chars.as_str())),
    }
}

fn ordered(mut rows: Vec<Row>, order: &str) -> Result<Vec<Row>, Failure> {
    for term in order.split(',').rev() {
        let mut parts = term.split('.');
        let name = parts.next().unwrap_or_default();
        let words: Vec<&str> = parts.collect();
        let descending = words.contains(&"desc");
        let nulls_first = words.contains(&"nullsfirst") || (descending && !words.contains(&"nullslast"));
        for row in &rows {
            field(row, name)?;
        }
        rows.sort_by(|left, right| {
            let of = |row| field(row, name).unwrap_or_default();
            let (left, right) = (of(left), of(right));
            match (left.is_null(), right.is_null()) {
                (true, true) => Ordering::Equal,
                (true, false) if nulls_first => Ordering::Less,
                (true, false) => Ordering::Greater,
                (false, true) if nulls_first => Ordering::Greater,
                (false, true) => Ordering::Less,
                _ => {
                    let text = right.as_str().map_or_else(|| right.to_string(), str::to_owned);
                    let order = compare(&left, &text).unwrap_or(Ordering::Equal);
                    if descending { order.reverse() } else { order }
                }
            }
        });
    }
    Ok(rows)
}

fn selected(row: &Row, select: &str) -> Result<Row, Failure> {
    let mut out = Row::new();
    for item in split(select) {
        if item == "*" {
            out.extend(row.clone());
            continue;
        }
        if item.contains(['(', '!']) {
            return failure(
                400,
                "PGRST200",
                "Could not find a relationship",
                "between 'docs' and 'secrets'",
                Value::Null,
            );
        }
        let (item, cast) = item.split_once("::").map_or((item, ""), |(item, cast)| (item, cast));
        let (alias, name) = item.split_once(':').map_or((None, item), |(alias, name)| (Some(alias), name));
        let last = name.split("->").filter(|step| step.parse::<usize>().is_err()).last().unwrap_or(name);
        let value = field(row, name)?;
        let value = if cast == "text" && value.is_number() { json!(value.to_string()) } else { value };
        out.insert(alias.unwrap_or(last.trim_start_matches('>')).to_owned(), value);
    }
    Ok(out)
}

impl Postgrest {
    /// With these tables in the schema `public`, each with these columns.
    pub fn with(tables: &[&str], columns: &'static [&'static str]) -> Self {
        let rows = tables.iter().map(|name| (("public".to_owned(), (*name).to_owned()), Vec::new())).collect();
        Self { columns, rows: Arc::new(Mutex::new(rows)) }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Rows> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a table holds.
    pub fn rows(&self, schema: &str, table: &str) -> Vec<Value> {
        let all = self.lock();
        all.get(&(schema.to_owned(), table.to_owned())).into_iter().flatten().cloned().map(Value::Object).collect()
    }

    /// Puts a row in by the back door.
    pub fn put(&self, schema: &str, table: &str, row: &Value) {
        let row = self.whole(row.as_object().cloned().unwrap_or_default());
        self.lock().entry((schema.to_owned(), table.to_owned())).or_default().push(row);
    }

    fn whole(&self, mut row: Row) -> Row {
        for column in self.columns {
            row.entry((*column).to_owned()).or_insert(Value::Null);
        }
        row
    }

    /// Answers a request of [`super::Fake`].
    pub fn answer(&self, request: &Received) -> Reply {
        let mut line = request.line.split(' ');
        let (method, target) = (line.next().unwrap_or_default(), line.next().unwrap_or_default());
        let (status, range, body) = self.call(method, target, &request.headers, &request.body);
        // A fake's answer has no headers but its type's: the range comes behind it. What leaks is a test's.
        let asked = if method == "GET" { format!("\r\ncontent-location: {target}") } else { String::new() };
        let media = format!("application/json; charset=utf-8\r\ncontent-range: {range}{asked}");
        (status, Box::leak(media.into_boxed_str()), body)
    }

    /// Answers a request.
    pub fn call(&self, method: &str, target: &str, headers: &[(String, String)], body: &[u8]) -> Answer {
        self.judge(method, target, headers, body)
            .unwrap_or_else(|Failure(status, error)| (status, "*/*".to_owned(), error.to_string().into_bytes()))
    }

    fn judge(&self, method: &str, target: &str, headers: &[(String, String)], body: &[u8]) -> Result<Answer, Failure> {
        let header = |name: &str| headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        let reads = matches!(method, "GET" | "HEAD");
        let schema = header(if reads { "accept-profile" } else { "content-profile" }).unwrap_or("public").to_owned();
        let (path, raw) = target.split_once('?').unwrap_or((target, ""));
        let query = Query::parse(raw);
        let table = path.trim_start_matches('/').to_owned();
        let prefers = |what: &str| header("prefer").is_some_and(|all| all.split(',').any(|one| one.trim() == what));
        let mut all = self.lock();
        let Some(rows) = all.get_mut(&(schema.clone(), table.clone())) else {
            let message = format!("Could not find the table '{schema}.{table}' in the schema cache");
            return failure(404, "PGRST205", &message, "", json!("Perhaps you meant the table 'public.secrets'"));
        };
        let affected: Vec<Row> = match method {
            "GET" | "HEAD" | "DELETE" | "PATCH" => {
                let mut found = Vec::new();
                // A query is judged even when there is no row.
                query.fits(&self.whole(Row::new()))?;
                for row in rows.iter() {
                    if query.fits(row)? {
                        found.push(row.clone());
                    }
                }
                found
            }
            "POST" => self.inserted(rows, &query, body)?,
            _ => return failure(405, "PGRST117", "Unsupported HTTP method", "", Value::Null),
        };
        let affected = match method {
            "DELETE" => {
                rows.retain(|row| !affected.contains(row));
                affected
            }
            "PATCH" => {
                let change: Row = serde_json::from_slice(body).or_else(|_| syntax("body"))?;
                let mut changed = Vec::new();
                for row in rows.iter_mut().filter(|row| affected.contains(row)) {
                    row.extend(change.clone());
                    changed.push(row.clone());
                }
                changed
            }
            _ => affected,
        };
        let total = affected.len();
        let number = |name: &str| query.first(name).and_then(|n| n.parse::<usize>().ok());
        let mut page = match query.first("order") {
            Some(order) => ordered(affected, order)?,
            None => affected,
        };
        let offset = number("offset").unwrap_or(0);
        page = page.into_iter().skip(offset).take(number("limit").unwrap_or(usize::MAX)).collect();
        let select = query.first("select").unwrap_or("*");
        let shown: Vec<Row> = page.iter().map(|row| selected(row, select)).collect::<Result<_, _>>()?;
        let count = if prefers("count=exact") { total.to_string() } else { "*".to_owned() };
        let range = match shown.len() {
            0 => format!("*/{count}"),
            len => format!("{offset}-{}/{count}", offset + len - 1),
        };
        let status = if method == "POST" { 201 } else { 200 };
        if !reads && !prefers("return=representation") {
            return Ok((if method == "POST" { 201 } else { 204 }, range, Vec::new()));
        }
        if header("accept").is_some_and(|media| media.contains("pgrst.object")) {
            let [one] = shown.as_slice() else {
                let details = format!("The result contains {} rows", shown.len());
                return failure(
                    406,
                    "PGRST116",
                    "Cannot coerce the result to a single JSON object",
                    &details,
                    Value::Null,
                );
            };
            return Ok((status, range, json!(one).to_string().into_bytes()));
        }
        Ok((status, range, json!(shown).to_string().into_bytes()))
    }

    fn inserted(&self, rows: &mut Vec<Row>, query: &Query, body: &[u8]) -> Result<Vec<Row>, Failure> {
        let body: Value = serde_json::from_slice(body).or_else(|_| syntax("body"))?;
        let new = body.as_array().cloned().unwrap_or_else(|| vec![body]);
        let columns: Option<Vec<String>> =
            query.first("columns").map(|names| split(names).iter().map(|n| unquote(n)).collect());
        let mut made: Vec<Row> = Vec::new();
        for row in &new {
            let mut row = row.as_object().cloned().unwrap_or_default();
            if let Some(columns) = &columns {
                row.retain(|name, _| columns.contains(name));
            } else if new.iter().any(|other| other.as_object().is_some_and(|other| !other.keys().eq(row.keys()))) {
                return failure(400, "PGRST102", "All object keys must match", "", Value::Null);
            }
            if let Some(name) = row.keys().find(|name| !self.columns.contains(&name.as_str())) {
                let message = format!("Could not find the '{name}' column of 'docs' in the schema cache");
                return failure(400, "PGRST204", &message, "", Value::Null);
            }
            let id = row.get("id").cloned().unwrap_or_default();
            if rows.iter().chain(&made).any(|row| row.get("id") == Some(&id)) {
                let message = "duplicate key value violates unique constraint \"docs_pkey\"";
                return failure(409, "23505", message, &format!("Key (id)=({id}) already exists."), Value::Null);
            }
            made.push(self.whole(row));
        }
        rows.extend(made.clone());
        Ok(made)
    }
}

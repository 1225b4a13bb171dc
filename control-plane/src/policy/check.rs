//! Holding a tree against the table. Every problem is reported, each with its place and what to do.

use super::Problem;
use super::schema::{Kind, ROWS, Row};
use super::yaml::{Node, Value};
use serde_json::{Map, Value as Json, json};

/// The tree as JSON with typed scalars, or every problem in it.
pub(super) fn check(tree: &Node) -> Result<Json, Vec<Problem>> {
    let mut problems = Vec::new();
    let value = map(tree, "", &mut problems);
    super::alerts::check(tree, &mut problems);
    super::actions::check(tree, &mut problems);
    if problems.is_empty() {
        return Ok(value);
    }
    problems.sort_by_key(|problem| (problem.line, problem.column));
    Err(problems)
}

/// The rows directly below a path.
fn below(path: &str) -> impl Iterator<Item = (&'static str, &'static Row)> {
    let prefix = if path.is_empty() { String::new() } else { format!("{path}.") };
    ROWS.iter().filter_map(move |row| {
        let rest = row.path.strip_prefix(&prefix)?;
        (!rest.contains('.')).then_some((rest, row))
    })
}

fn map(node: &Node, path: &str, problems: &mut Vec<Problem>) -> Json {
    let mut out = Map::new();
    let members = match &node.value {
        Value::Map(members) => members.as_slice(),
        _ if node.is_null() => &[],
        _ => {
            let what = if path.is_empty() { "the file".to_owned() } else { format!("`{path}`") };
            problems.push(node.problem(path, format!("{what} must be a block of keys")));
            return Json::Null;
        }
    };
    for (key, name, value) in members {
        match below(path).find(|(known, _)| known == name) {
            Some((_, row)) => {
                let checked = one(key, value, row, problems);
                out.insert(name.clone(), checked);
            }
            None => problems.push(key.problem(&join(path, name), unknown(path, name))),
        }
    }
    for (name, row) in below(path) {
        if row.required && !members.iter().any(|(_, known, _)| known == name) {
            problems.push(node.problem(row.path, format!("`{}` is missing: {}", row.path, row.doc)));
        } else if !row.default.is_empty() && !out.contains_key(name) {
            out.insert(name.to_owned(), default(row));
        }
    }
    Json::Object(out)
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

fn unknown(path: &str, name: &str) -> String {
    let nearest = below(path)
        .map(|(known, _)| (strsim::damerau_levenshtein(known, name), known))
        .min()
        .filter(|(distance, known)| *distance <= (known.len() / 3).max(2));
    let place = if path.is_empty() { "at the top".to_owned() } else { format!("in `{path}`") };
    match nearest {
        Some((_, known)) => format!("unknown key `{name}` {place}; did you mean `{known}`?"),
        None => {
            let known: Vec<_> = below(path).map(|(known, _)| format!("`{known}`")).collect();
            format!("unknown key `{name}` {place}; known here: {}", known.join(", "))
        }
    }
}

fn default(row: &Row) -> Json {
    match row.kind {
        Kind::Size => size(row.default).map_or(Json::Null, Json::from),
        Kind::Count => row.default.parse::<u64>().map_or(Json::Null, Json::from),
        Kind::Duration => duration(row.default).map_or(Json::Null, Json::from),
        Kind::Bool(_) => Json::from(row.default == "true"),
        _ => Json::from(row.default),
    }
}

fn one(key: &Node, node: &Node, row: &Row, problems: &mut Vec<Problem>) -> Json {
    let path = row.path;
    let mut fail = |at: &Node, message: String| {
        problems.push(at.problem(path, message));
        Json::Null
    };
    let scalar = match &node.value {
        Value::Scalar(text, _) if !node.is_null() => Some(text.as_str()),
        _ => None,
    };
    match row.kind {
        Kind::Later(what) => {
            fail(key, format!("`{path}` is not yet available ({what}): remove it, it would do nothing"))
        }
        Kind::Map => map(node, path, problems),
        Kind::Maps => match &node.value {
            Value::List(items) => {
                Json::Array(items.iter().map(|item| map(item, &format!("{path}[]"), problems)).collect())
            }
            _ => fail(node, format!("`{path}` must be a list")),
        },
        Kind::Tree => tree(node),
        Kind::Text => match scalar {
            Some(text) if !text.is_empty() => Json::from(text),
            _ => fail(node, format!("`{path}` must be a text")),
        },
        Kind::Texts => match &node.value {
            Value::List(items)
                if !items.is_empty()
                    && items.iter().all(|i| matches!(&i.value, Value::Scalar(text, _) if !text.is_empty())) =>
            {
                items.iter().map(tree_text).collect()
            }
            _ => fail(node, format!("`{path}` must be a list of texts, not empty")),
        },
        Kind::Bool(only) => match (scalar, only) {
            (Some("true"), None | Some(true)) => Json::from(true),
            (Some("false"), None | Some(false)) => Json::from(false),
            (Some("true" | "false"), Some(only)) => fail(node, format!("`{path}` can only be `{only}`: {}", row.doc)),
            _ => fail(node, format!("`{path}` must be `true` or `false`")),
        },
        Kind::Size => scalar
            .and_then(size)
            .map_or_else(|| fail(node, format!("`{path}` must be a size like 512KiB or 1MiB")), Json::from),
        Kind::Duration => scalar
            .and_then(duration)
            .map_or_else(|| fail(node, format!("`{path}` must be a duration like 30s, 5m or 1h")), Json::from),
        Kind::Count => scalar
            .and_then(|text| text.parse::<u64>().ok())
            .map_or_else(|| fail(node, format!("`{path}` must be a whole number")), Json::from),
        Kind::Choice(choices) => match choices.iter().find(|(name, _)| Some(*name) == scalar) {
            Some((name, None)) => Json::from(*name),
            Some((name, Some(what))) => fail(node, format!("`{path}: {name}` is not yet available ({what})")),
            None => {
                let names: Vec<_> = choices.iter().map(|(name, _)| format!("`{name}`")).collect();
                fail(node, format!("`{path}` must be one of {}", names.join(", ")))
            }
        },
    }
}

fn tree_text(node: &Node) -> Json {
    match &node.value {
        Value::Scalar(text, _) => Json::from(text.as_str()),
        _ => Json::Null,
    }
}

/// A tree as JSON; plain scalars keep their YAML types.
fn tree(node: &Node) -> Json {
    match &node.value {
        Value::Scalar(text, plain) => match (plain, text.as_str()) {
            (true, "true") => json!(true),
            (true, "false") => json!(false),
            (true, "null" | "~" | "") => Json::Null,
            (true, number) if number.parse::<i64>().is_ok() => json!(number.parse::<i64>().unwrap_or_default()),
            _ => json!(text),
        },
        Value::List(items) => items.iter().map(tree).collect(),
        Value::Map(members) => {
            members.iter().map(|(_, name, value)| (name.clone(), tree(value))).collect::<Map<_, _>>().into()
        }
    }
}

fn size(text: &str) -> Option<u64> {
    let (number, unit) = text.split_at_checked(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()))?;
    let factor: u64 = match unit.trim() {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "kB" => 1000,
        "MB" => 1_000_000,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

pub(super) fn duration(text: &str) -> Option<u64> {
    let (number, unit) = text.split_at_checked(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()))?;
    let factor: u64 = match unit.trim() {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86400,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

//! GraphQL as Weaviate reads it: a reader of its own, so that what a rewriter writes is read by another.

use super::{Failure, Weaviate, fields, filter, no};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// A field: its name, its arguments, what is selected of it.
struct Field {
    name: String,
    arguments: Value,
    fields: Vec<Field>,
}

/// Answers `{"query": …}`.
pub(super) fn answer(server: &Weaviate, document: &Value) -> Value {
    let text = document["query"].as_str().unwrap_or_default();
    let tokens = tokens(text);
    let from = tokens.iter().position(|token| token == "{").unwrap_or(tokens.len());
    let mut rest = tokens.get(from..).unwrap_or_default();
    let Some(roots) = selection(&mut rest) else {
        return json!({"data": null, "errors": [{"message": "Syntax Error GraphQL request", "locations": []}]});
    };
    let (mut data, mut errors) = (Map::new(), Vec::new());
    for root in &roots {
        let mut classes = Map::new();
        for class in &root.fields {
            let found = if root.name == "Get" { get(server, class) } else { aggregate(server, class) };
            let found = found.unwrap_or_else(|(_, message)| {
                errors.push(json!({"message": message, "path": [root.name, class.name], "locations": [{"line": 1}]}));
                Value::Null
            });
            classes.insert(class.name.clone(), found);
        }
        data.insert(root.name.clone(), Value::Object(classes));
    }
    if errors.is_empty() { json!({"data": data}) } else { json!({"data": data, "errors": errors}) }
}

/// The objects of a class that its arguments leave, each with a distance and a score where there is one.
fn found(server: &Weaviate, class: &Field) -> Result<Vec<(Value, f64)>, Failure> {
    let arguments = &class.arguments;
    let shard = server.read(&class.name, arguments["tenant"].as_str())?;
    let condition = &arguments["where"];
    if !condition.is_null() {
        filter::valid(condition)?;
    }
    let near = match (&arguments["nearVector"], &arguments["nearObject"]) {
        (Value::Null, Value::Null) => None,
        (Value::Null, object) => {
            let id = object["id"].as_str().unwrap_or_default();
            match shard.get(id) {
                Some(object) => Some(object["vector"].clone()),
                None => return no(200, &format!("vector not found for id {id}")),
            }
        }
        (vector, _) => Some(vector["vector"].clone()),
    };
    let words = ["bm25", "hybrid"].iter().find_map(|name| arguments[*name]["query"].as_str());
    let mut all = Vec::new();
    for object in shard.into_values().filter(|object| condition.is_null() || filter::holds(condition, object)) {
        let mut rank = 0.0;
        if let Some(near) = &near {
            let floats = |value: &Value| -> Vec<f64> {
                value.as_array().into_iter().flatten().filter_map(Value::as_f64).collect()
            };
            let (one, other) = (floats(near), floats(&object["vector"]));
            if one.len() != other.len() {
                return no(200, "vector lengths don't match");
            }
            rank = one.iter().zip(&other).map(|(a, b)| (a - b) * (a - b)).sum();
        }
        if let Some(words) = words {
            let among = &arguments["bm25"]["properties"];
            let texts = object["properties"].as_object().into_iter().flatten().filter(|(name, _)| {
                among.is_null() || among.as_array().is_some_and(|among| among.iter().any(|one| one == *name))
            });
            let texts: Vec<&str> = texts.filter_map(|(_, value)| value.as_str()).collect();
            let tokens = texts.iter().flat_map(|text| text.split(|c: char| !c.is_alphanumeric()));
            let score = tokens.filter(|token| words.split(' ').any(|word| word == *token)).count();
            if score == 0 {
                continue;
            }
            rank = -f64::from(u32::try_from(score).unwrap_or(0));
        }
        all.push((object, rank));
    }
    all.sort_by(|one, other| one.1.total_cmp(&other.1));
    Ok(all)
}

fn get(server: &Weaviate, class: &Field) -> Result<Value, Failure> {
    let mut all = found(server, class)?;
    let sort = &class.arguments["sort"];
    for clause in
        sort.as_array().cloned().unwrap_or_else(|| sort.is_object().then(|| sort.clone()).into_iter().collect())
    {
        let name = clause["path"].as_str().or(clause["path"][0].as_str()).unwrap_or_default().to_owned();
        all.sort_by_key(|(object, _)| object["properties"][&name].to_string());
        if clause["order"] == "desc" {
            all.reverse();
        }
    }
    let number = |name: &str, or: u64| usize::try_from(class.arguments[name].as_u64().unwrap_or(or)).unwrap_or(0);
    let page = all.into_iter().skip(number("offset", 0)).take(number("limit", 100));
    let items = page.map(|(object, rank)| {
        let mut item = Map::new();
        for field in &class.fields {
            let value = if field.name == "_additional" {
                let inner = field.fields.iter().map(|inner| {
                    let value = match inner.name.as_str() {
                        "id" => object["id"].clone(),
                        "vector" => object["vector"].clone(),
                        "distance" => json!(rank),
                        "score" => json!((-rank).to_string()),
                        _ => Value::Null,
                    };
                    (inner.name.clone(), value)
                });
                Value::Object(inner.collect())
            } else {
                object["properties"][&field.name].clone()
            };
            item.insert(field.name.clone(), value);
        }
        Value::Object(item)
    });
    Ok(items.collect())
}

fn aggregate(server: &Weaviate, class: &Field) -> Result<Value, Failure> {
    let mut all: Vec<Value> = found(server, class)?.into_iter().map(|(object, _)| object).collect();
    if let Some(limit) = class.arguments["objectLimit"].as_u64() {
        all.truncate(usize::try_from(limit).unwrap_or(0));
    }
    let by = &class.arguments["groupBy"];
    let Some(name) = by.as_str().or(by[0].as_str()) else { return Ok(json!([summary(class, &all, None)])) };
    let mut groups: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for object in all {
        let value = &object["properties"][name];
        if !value.is_null() {
            groups.entry(value.to_string()).or_default().push(object);
        }
    }
    let mut groups: Vec<_> = groups.into_iter().collect();
    groups.sort_by_key(|(_, objects)| std::cmp::Reverse(objects.len()));
    groups.truncate(usize::try_from(class.arguments["limit"].as_u64().unwrap_or(100)).unwrap_or(0));
    let of = |(value, objects): &(String, Vec<Value>)| {
        let value: Value = serde_json::from_str(value).unwrap_or_default();
        summary(
            class,
            objects,
            Some(json!({"path": [name], "value": value.as_str().map_or(value.to_string(), str::to_owned)})),
        )
    };
    Ok(groups.iter().map(of).collect())
}

fn summary(class: &Field, objects: &[Value], group: Option<Value>) -> Value {
    let mut out = Map::new();
    for field in &class.fields {
        let numbers: Vec<f64> =
            objects.iter().filter_map(|object| object["properties"][&field.name].as_f64()).collect();
        let value = match field.name.as_str() {
            "meta" => json!({"count": objects.len()}),
            "groupedBy" => group.clone().unwrap_or_default(),
            _ => {
                let inner = field.fields.iter().map(|inner| {
                    let value = match inner.name.as_str() {
                        "count" => json!(numbers.len()),
                        "sum" => json!(numbers.iter().sum::<f64>()),
                        "maximum" => json!(numbers.iter().copied().reduce(f64::max)),
                        _ => Value::Null,
                    };
                    (inner.name.clone(), value)
                });
                Value::Object(inner.collect())
            }
        };
        out.insert(field.name.clone(), value);
    }
    Value::Object(out)
}

/// Words, marks, and strings (as JSON literals); commas are blank.
fn tokens(text: &str) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    let mut rest = text.trim_start_matches([' ', '\n', ',']);
    while let Some(first) = rest.chars().next() {
        let len = if first == '"' {
            let mut escaped = false;
            let end = rest.char_indices().skip(1).find(|(_, c)| {
                let ends = *c == '"' && !escaped;
                escaped = *c == '\\' && !escaped;
                ends
            });
            end.map_or(rest.len(), |(at, _)| at + 1)
        } else if "{}()[]:".contains(first) {
            1
        } else {
            rest.find(|c: char| "{}()[]:\", \n".contains(c)).unwrap_or(rest.len())
        };
        let (token, later) = rest.split_at(len);
        all.push(token.to_owned());
        rest = later.trim_start_matches([' ', '\n', ',']);
    }
    all
}

fn next<'t>(rest: &mut &'t [String]) -> Option<&'t str> {
    let (first, later) = rest.split_first()?;
    *rest = later;
    Some(first)
}

fn selection(rest: &mut &[String]) -> Option<Vec<Field>> {
    let mut all = Vec::new();
    if next(rest)? != "{" {
        return None;
    }
    while rest.first()? != "}" {
        let name = next(rest)?.to_owned();
        let arguments = if rest.first()? == "(" { value(rest)? } else { json!({}) };
        let fields = if rest.first()? == "{" { selection(rest)? } else { Vec::new() };
        all.push(Field { name, arguments, fields });
    }
    next(rest)?;
    Some(all)
}

/// A value; arguments are an object between other marks. Names stand for themselves.
fn value(rest: &mut &[String]) -> Option<Value> {
    match next(rest)? {
        "(" | "{" => {
            let mut object = json!({});
            loop {
                match next(rest)? {
                    ")" | "}" => return Some(Value::Object(fields(&object))),
                    name => {
                        if next(rest)? != ":" {
                            return None;
                        }
                        object[name] = value(rest)?;
                    }
                }
            }
        }
        "[" => {
            let mut items = Vec::new();
            while rest.first()? != "]" {
                items.push(value(rest)?);
            }
            next(rest)?;
            Some(json!(items))
        }
        token => Some(serde_json::from_str(token).unwrap_or_else(|_| json!(token))),
    }
}

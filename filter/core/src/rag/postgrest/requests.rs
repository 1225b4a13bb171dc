//! Requests.

use super::query;
use crate::error::Code;
use crate::json::write::{self, Object};
use crate::json::{self, JsonError, Value};
use crate::rag::{Ask, Memo, Place, Rewritten};

/// What the answer's side must know: the answer is one object.
pub(super) const OBJECT: &str = "object";

/// Which parameters an endpoint takes.
#[derive(Clone, Copy)]
struct Takes {
    conditions: bool,
    page: bool,
    columns: bool,
}

/// The query, judged.
struct Judged {
    pairs: Vec<(String, String)>,
    /// How many conditions are the client's.
    conditions: usize,
}

fn judge(ask: &Ask<'_>, place: &Place<'_>, takes: Takes) -> Result<Judged, Code> {
    let mut judged = Judged { pairs: Vec::new(), conditions: 0 };
    for (name, value) in ask.query {
        let once = matches!(name.as_str(), "select" | "columns" | "order" | "limit" | "offset");
        if once && judged.pairs.iter().any(|(known, _)| known == name) {
            return Err(Code::QueryForbidden);
        }
        let value = match name.as_str() {
            "select" => query::select(value, place.key())?,
            "columns" if takes.columns => {
                let mut names = query::columns(value)?;
                names.retain(|name| *name != place.key());
                if ask.endpoint.method == "POST" {
                    names.push(place.key());
                }
                names.join(",")
            }
            "order" if takes.page => query::check_order(value).map(|()| value.clone())?,
            "limit" | "offset" if takes.page => query::check_number(value).map(|()| value.clone())?,
            "columns" | "order" | "limit" | "offset" | "on_conflict" => return Err(Code::QueryForbidden),
            _ if takes.conditions => {
                query::check_condition(name, value)?;
                judged.conditions = judged.conditions.saturating_add(1);
                value.clone()
            }
            _ => return Err(Code::QueryForbidden),
        };
        judged.pairs.push((name.clone(), value));
    }
    // PostgREST joins it to the others by AND, even where one has the same name.
    if takes.conditions {
        judged.pairs.push((place.key().to_owned(), format!("eq.{}", place.namespace)));
    }
    Ok(judged)
}

/// The headers that decide what is read: the schema, the form of the answer, the preferences.
fn headers(ask: &Ask<'_>, place: &Place<'_>) -> Result<Rewritten, Code> {
    let reads = matches!(ask.endpoint.method, "GET" | "HEAD");
    let mut out = Vec::new();
    for (name, own) in [("accept-profile", reads), ("content-profile", !reads)] {
        let there = ask.header(name);
        if there.is_some_and(|schema| schema != place.rag().database) {
            return Err(Code::NamespaceForbidden);
        }
        if own && !place.database.is_empty() {
            out.push((name, Some(place.database.clone())));
        } else if there.is_some() {
            out.push((name, None));
        }
    }
    let mut memo = Memo::default();
    match ask.header("accept").map(str::trim) {
        // What the operator may have put under `*/*` is not known.
        None | Some("*/*") => out.push(("accept", Some("application/json".to_owned()))),
        Some(
            "application/json" | "application/vnd.pgrst.array+json" | "application/vnd.pgrst.array+json;nulls=stripped",
        ) => {}
        Some("application/vnd.pgrst.object+json" | "application/vnd.pgrst.object+json;nulls=stripped") => {
            memo.names.push(OBJECT.to_owned());
        }
        Some(_) => return Err(Code::MediaTypeUnsupported),
    }
    let preferences = ask.header("prefer").unwrap_or_default().split(',').map(str::trim).filter(|p| !p.is_empty());
    for preference in preferences {
        match preference {
            "return=representation"
            | "return=minimal"
            | "return=headers-only"
            | "count=exact"
            | "missing=default"
            | "missing=null"
            | "handling=strict"
            | "handling=lenient" => {}
            _ => {
                // `resolution` writes over rows whose key another tenant has; `count=planned` and `estimated` speak of all rows.
                let affected = preference.strip_prefix("max-affected=").ok_or(Code::FieldInvalid)?;
                query::check_number(affected).map_err(|_| Code::FieldInvalid)?;
            }
        }
    }
    Ok(Rewritten { headers: out, memo, ..Rewritten::default() })
}

fn rewritten(ask: &Ask<'_>, takes: Takes, body: Option<Vec<u8>>) -> Result<Rewritten, Code> {
    let place = ask.place()?;
    let table = place.collection(ask.parameter("table")?)?;
    let rewritten = headers(ask, place)?;
    let judged = judge(ask, place, takes)?;
    // Alone, our condition would change or delete the whole namespace: that is not what an unfiltered request says.
    if matches!(ask.endpoint.method, "PATCH" | "DELETE") && judged.conditions == 0 {
        return Err(Code::FieldInvalid);
    }
    let pairs: Vec<(&str, &str)> = judged.pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let path = Some(ask.path("/{table}", &[&table], Some(&pairs)));
    Ok(Rewritten { body, path, ..rewritten })
}

/// `GET`, `HEAD`.
pub(super) fn read(ask: &Ask<'_>) -> Result<Rewritten, Code> {
    rewritten(ask, Takes { conditions: true, page: true, columns: false }, None)
}

/// `DELETE`. Clients send an empty object with it, which PostgREST does not read.
pub(super) fn delete(ask: &Ask<'_>) -> Result<Rewritten, Code> {
    if !ask.body.is_empty() {
        match json::parse(ask.body).map_err(JsonError::code)? {
            Value::Object(members, _) if members.is_empty() => {}
            _ => return Err(Code::FieldInvalid),
        }
    }
    rewritten(ask, Takes { conditions: true, page: false, columns: false }, None)
}

/// `PATCH`: the marker stays as it is.
pub(super) fn update(ask: &Ask<'_>) -> Result<Rewritten, Code> {
    let place = ask.place()?;
    let Value::Object(members, _) = json::parse(ask.body).map_err(JsonError::code)? else {
        return Err(Code::FieldInvalid);
    };
    if members.iter().any(|(name, _)| name.decode() == place.key()) {
        return Err(Code::FieldInvalid);
    }
    rewritten(ask, Takes { conditions: true, page: false, columns: true }, None)
}

/// `POST`: every row is marked.
pub(super) fn insert(ask: &Ask<'_>) -> Result<Rewritten, Code> {
    let place = ask.place()?;
    let document = json::parse(ask.body).map_err(JsonError::code)?;
    let mut out = Vec::with_capacity(ask.body.len().saturating_add(64));
    match &document {
        Value::Object(..) => row(&mut out, place, &document)?,
        Value::Array(rows, _) => {
            let mut result = Ok(());
            write::array(&mut out, rows, |out, row| {
                if result.is_ok() {
                    result = self::row(out, place, row);
                }
            });
            result?;
        }
        _ => return Err(Code::FieldInvalid),
    }
    rewritten(ask, Takes { conditions: false, page: false, columns: true }, Some(out))
}

fn row(out: &mut Vec<u8>, place: &Place<'_>, row: &Value<'_>) -> Result<(), Code> {
    let Value::Object(members, _) = row else { return Err(Code::FieldInvalid) };
    let mut object = Object::begin(out);
    for (name, value) in members {
        let name = name.decode();
        if name != place.key() {
            object.raw(&name, value.raw());
        }
    }
    object.member(place.key(), |out| write::string(out, &place.namespace));
    object.end();
    Ok(())
}

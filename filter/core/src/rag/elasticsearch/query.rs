//! Queries, read by allow-list and written again; the client's whole under ours.
//!
//! A query under our condition can only narrow the result, but a query may also look elsewhere (a lookup in another document, a
//! join, a count over all documents) or find its candidates before any condition is asked. So every level is read, and only
//! what is known passes.

use super::build::{Built, Force, each, field, list, map, raw, scalar, some, wrap};
use super::query_table::{COMPOUND, Inside, LEAVES, Leaf, PLAIN};
use crate::error::Code;
use crate::json::Value;
use crate::json::write::Object;
use crate::rag::document::{find, items, object};

impl Force<'_> {
    /// The client's query (or every document) under our condition.
    pub(super) fn under(&self, client: Option<&Value<'_>>) -> Built {
        let client = match client {
            Some(client) => self.query(client)?,
            None => b"{\"match_all\":{}}".to_vec(),
        };
        let mut out = Vec::with_capacity(client.len().saturating_add(96));
        let mut inner = Object::begin(&mut out);
        // Ours is in `filter`, so it does not score.
        inner.member("must", |out| {
            out.push(b'[');
            out.extend_from_slice(&client);
            out.push(b']');
        });
        inner.member("filter", |out| {
            out.push(b'[');
            out.extend_from_slice(&self.ours());
            out.push(b']');
        });
        inner.end();
        Ok(wrap("bool", &out))
    }

    /// A search's query: `hybrid` may stand at the top only, and its parts are searched one by one.
    pub(super) fn top(&self, client: Option<&Value<'_>>) -> Built {
        let Some(hybrid) = client.and_then(|client| client.member("hybrid")) else { return self.under(client) };
        if object(client.unwrap_or(&Value::Null))?.len() != 1 {
            return Err(Code::FieldInvalid);
        }
        let body = map(hybrid, |name, value| match name {
            "queries" => list(value.items().ok_or(Code::FieldInvalid)?.iter().map(|part| self.under(Some(part)))),
            "filter" => self.query(value),
            "pagination_depth" | "boost" | "_name" => scalar(value),
            _ => Err(Code::FieldUnknown),
        })?;
        some(find(object(hybrid)?, "queries"))?;
        Ok(wrap("hybrid", &body))
    }

    /// A client's query.
    pub(super) fn query(&self, value: &Value<'_>) -> Built {
        let [(kind, body)] = object(value)? else { return Err(Code::FieldInvalid) };
        let kind = kind.decode();
        let kind = kind.as_ref();
        if let Some((_, children, beside)) = COMPOUND.iter().find(|(name, ..)| *name == kind) {
            let body = map(body, |name, value| match name {
                _ if children.contains(&name) => self.queries(value),
                _ if beside.contains(&name) => scalar(value),
                _ => Err(Code::FieldUnknown),
            })?;
            return Ok(wrap(kind, &body));
        }
        if let Some(leaf) = LEAVES.iter().find(|leaf| leaf.kind == kind) {
            return Ok(wrap(kind, &self.leaf(leaf, body)?));
        }
        if let Some((_, known)) = PLAIN.iter().find(|(name, _)| *name == kind) {
            let body = map(body, |name, value| match name {
                "field" => super::build::text(value).and_then(|name| field(&name)).and_then(|()| raw(value)),
                _ if known.contains(&name) => raw(value),
                _ => Err(Code::FieldUnknown),
            })?;
            return Ok(wrap(kind, &body));
        }
        let body = match kind {
            "ids" => map(body, |name, value| match name {
                "values" => self.ids(value),
                "boost" | "_name" => scalar(value),
                _ => Err(Code::FieldUnknown),
            })?,
            "knn" | "neural" => self.knn_query(kind, body)?,
            "function_score" => self.function_score(body)?,
            _ => return Err(Code::FieldUnknown),
        };
        Ok(wrap(kind, &body))
    }

    /// A query, or a list of them.
    pub(super) fn queries(&self, value: &Value<'_>) -> Built {
        each(value, |query| self.query(query))
    }

    fn leaf(&self, leaf: &Leaf, body: &Value<'_>) -> Built {
        let mut fields = 0usize;
        let body = map(body, |name, value| {
            if leaf.beside.contains(&name) {
                return scalar(value);
            }
            fields = fields.saturating_add(1);
            // Ids are the only thing of the index's own that a client knows, by another name.
            if name == "_id" {
                return self.by_id(leaf.kind, value);
            }
            field(name)?;
            match leaf.inside {
                Inside::ValueOr(known) if matches!(value, Value::Object(..)) => values(value, known),
                Inside::ValueOr(_) => scalar(value),
                Inside::Object(known) => values(value, known),
                Inside::List => match items(value) {
                    Some(items) => list(items.iter().map(scalar)),
                    None => Err(Code::FieldInvalid),
                },
                Inside::Geometry => raw(value),
            }
        })?;
        if fields == 1 { Ok(body) } else { Err(Code::FieldInvalid) }
    }

    fn by_id(&self, kind: &str, value: &Value<'_>) -> Built {
        match (kind, value) {
            ("terms", _) if items(value).is_some() => self.ids(value),
            ("term", Value::Object(..)) => map(value, |name, value| match name {
                "value" => self.id(value),
                "boost" | "_name" => scalar(value),
                _ => Err(Code::FieldInvalid),
            }),
            ("term", _) => self.id(value),
            _ => Err(Code::FieldInvalid),
        }
    }

    fn function_score(&self, body: &Value<'_>) -> Built {
        map(body, |name, value| match name {
            "query" => self.query(value),
            "functions" => {
                let functions = value.items().ok_or(Code::FieldInvalid)?;
                list(functions.iter().map(|function| map(function, |name, value| self.function(name, value))))
            }
            "max_boost" | "score_mode" | "boost_mode" | "min_score" | "boost" | "_name" => scalar(value),
            _ => self.function(name, value),
        })
    }

    fn function(&self, name: &str, value: &Value<'_>) -> Built {
        match name {
            "filter" => self.query(value),
            "weight" => scalar(value),
            "random_score" => values(value, &["seed", "field"]),
            "field_value_factor" => values(value, &["field", "factor", "modifier", "missing"]),
            "gauss" | "exp" | "linear" => raw(value),
            _ => Err(Code::FieldUnknown),
        }
    }
}

fn values(value: &Value<'_>, known: &[&str]) -> Built {
    super::build::plain(value, known)
}

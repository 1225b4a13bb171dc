//! Nearest neighbours, and what combines searches.
//!
//! The nearest `k` are found first and filtered by the query around them afterwards, so our condition is put into every such
//! search itself. The backends write them in two ways: Elasticsearch `{"field":F,"query_vector":…}`, OpenSearch
//! `{F:{"vector":…}}`.

use super::build::{Built, Force, list, map, plain, raw, scalar, some, wrap};
use crate::error::Code;
use crate::json::Value;
use crate::json::write::{self, Object};
use crate::rag::document::{find, object};

const ELASTIC: &[&str] =
    &["k", "num_candidates", "visit_percentage", "similarity", "boost", "_name", "query_vector", "rescore_vector"];
const OPENSEARCH: &[&str] = &[
    "vector",
    "k",
    "min_score",
    "max_distance",
    "method_parameters",
    "rescore",
    "expand_nested_docs",
    "boost",
    "_name",
];
const NEURAL: &[&str] = &[
    "query_text",
    "query_image",
    "model_id",
    "k",
    "min_score",
    "max_distance",
    "method_parameters",
    "rescore",
    "expand_nested_docs",
    "boost",
    "_name",
];

impl Force<'_> {
    /// Our condition and the client's, for a `filter`.
    fn filter(&self, client: Option<&Value<'_>>) -> Built {
        let clients = match client {
            None => Vec::new(),
            Some(Value::Array(queries, _)) => {
                queries.iter().map(|query| self.query(query)).collect::<Result<_, _>>()?
            }
            Some(query) => vec![self.query(query)?],
        };
        let mut all = Vec::new();
        write::array(&mut all, std::iter::once(self.ours()).chain(clients), |out, part| out.extend_from_slice(&part));
        Ok(wrap("bool", &wrap("filter", &all)))
    }

    /// A search's own `knn`: one or several.
    pub(super) fn knn(&self, value: &Value<'_>) -> Built {
        super::build::each(value, |one| self.elastic_knn(one, &[]))
    }

    /// A `knn` or `neural` among queries.
    pub(super) fn knn_query(&self, kind: &str, value: &Value<'_>) -> Built {
        let members = object(value)?;
        if kind == "knn" && matches!(find(members, "field"), Some(Value::String(..))) {
            return self.elastic_knn(value, &[]);
        }
        let [(field, body)] = members else { return Err(Code::FieldInvalid) };
        let known = if kind == "knn" { OPENSEARCH } else { NEURAL };
        Ok(wrap(
            &field.decode(),
            &self.filtered(
                body,
                |name, value| if known.contains(&name) { raw(value) } else { Err(Code::FieldUnknown) },
            )?,
        ))
    }

    fn elastic_knn(&self, value: &Value<'_>, also: &[&str]) -> Built {
        if find(object(value)?, "field").is_none() {
            return Err(Code::FieldInvalid);
        }
        self.filtered(value, |name, value| match name {
            "field" => scalar(value),
            // `lookup` would take the vector from another document.
            "query_vector_builder" => map(value, |name, value| match name {
                "text_embedding" => plain(value, &["model_id", "model_text"]),
                _ => Err(Code::FieldUnknown),
            }),
            _ if ELASTIC.contains(&name) || also.contains(&name) => raw(value),
            _ => Err(Code::FieldUnknown),
        })
    }

    /// An object whose `filter` is forced; the rest as `member` says.
    fn filtered(&self, value: &Value<'_>, mut member: impl FnMut(&str, &Value<'_>) -> Built) -> Built {
        let members = object(value)?;
        let mut out = Vec::with_capacity(value.raw().len().saturating_add(96));
        let mut written = Object::begin(&mut out);
        for (key, value) in members.iter().filter(|(_, value)| !value.is_null()) {
            let key = key.decode();
            if key != "filter" {
                written.raw(&key, &member(&key, value)?);
            }
        }
        written.raw("filter", &self.filter(find(members, "filter"))?);
        written.end();
        Ok(out)
    }

    /// A retriever: every search in it is forced. Kinds that rank by rules, pins or models of the cluster are not known.
    pub(super) fn retriever(&self, value: &Value<'_>) -> Built {
        let [(kind, body)] = object(value)? else { return Err(Code::FieldInvalid) };
        let kind = kind.decode();
        let built = match kind.as_ref() {
            "standard" => self.standard(body)?,
            "knn" => self.elastic_knn(body, &["min_score"])?,
            "rrf" | "linear" => map(body, |name, value| match name {
                "retrievers" => list(value.items().ok_or(Code::FieldInvalid)?.iter().map(|part| self.component(part))),
                "filter" => self.queries(value),
                "rank_constant" | "rank_window_size" | "normalizer" | "min_score" | "_name" => scalar(value),
                _ => Err(Code::FieldUnknown),
            })?,
            _ => return Err(Code::FieldUnknown),
        };
        // Without parts the backend would make some of its own.
        if matches!(kind.as_ref(), "rrf" | "linear") {
            some(find(object(body)?, "retrievers"))?;
        }
        Ok(wrap(&kind, &built))
    }

    fn component(&self, value: &Value<'_>) -> Built {
        if value.member("retriever").is_none() {
            return self.retriever(value);
        }
        map(value, |name, value| match name {
            "retriever" => self.retriever(value),
            "weight" | "normalizer" => scalar(value),
            _ => Err(Code::FieldUnknown),
        })
    }

    fn standard(&self, body: &Value<'_>) -> Built {
        let members = object(body)?;
        let mut out = Vec::with_capacity(body.raw().len().saturating_add(96));
        let mut written = Object::begin(&mut out);
        written.raw("query", &self.under(find(members, "query"))?);
        for (key, value) in members.iter().filter(|(_, value)| !value.is_null()) {
            let key = key.decode();
            let built = match key.as_ref() {
                "query" => continue,
                "filter" => self.queries(value)?,
                "sort" => self.sort(value)?,
                "collapse" => self.collapse(value)?,
                "search_after" => raw(value)?,
                "terminate_after" | "min_score" | "_name" => scalar(value)?,
                _ => return Err(Code::FieldUnknown),
            };
            written.raw(&key, &built);
        }
        written.end();
        Ok(out)
    }
}

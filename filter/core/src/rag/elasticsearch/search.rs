//! The body of a search.

use super::build::{Built, Force, each, field, is_metadata, list, map, plain, raw, scalar, text, wrap};
use super::source::Source;
use crate::error::Code;
use crate::json::write::Object;
use crate::json::{Str, Value};
use crate::rag::document::{find, items};

const SCALARS: &[&str] = &[
    "from",
    "size",
    "timeout",
    "terminate_after",
    "min_score",
    "track_scores",
    "track_total_hits",
    "version",
    "seq_no_primary_term",
];

const HIGHLIGHT: &[&str] = &[
    "type",
    "number_of_fragments",
    "fragment_size",
    "fragment_offset",
    "fragmenter",
    "pre_tags",
    "post_tags",
    "tags_schema",
    "encoder",
    "order",
    "require_field_match",
    "boundary_chars",
    "boundary_max_scan",
    "boundary_scanner",
    "boundary_scanner_locale",
    "no_match_size",
    "phrase_limit",
    "max_analyzed_offset",
    "matched_fields",
    "force_source",
];

const SORT: &[&str] = &["order", "mode", "missing", "unmapped_type", "numeric_type", "format"];
const GEO_SORT: &[&str] = &["order", "unit", "mode", "distance_type", "ignore_unmapped"];

impl Force<'_> {
    /// A search's body; `elsewhere` is what the URL says of `_source`. Says also whether the client wants no source.
    pub(super) fn search(
        &self,
        members: &[(Str<'_>, Value<'_>)],
        elsewhere: Option<Source>,
    ) -> Result<(Vec<u8>, bool), Code> {
        let own = find(members, "_source");
        let source = match elsewhere {
            Some(_) if own.is_some() => return Err(Code::QueryForbidden),
            Some(source) => source,
            None => Source::read(own)?,
        };
        // An empty list of neighbours is no search at all: without a query beside it, the backend would find everything.
        let searches = |name| find(members, name).is_some_and(|value| value.items().is_none_or(|all| !all.is_empty()));
        let mut out = Vec::with_capacity(256);
        let mut written = Object::begin(&mut out);
        // Beside `knn` or a retriever a query of ours alone would add every document to what they find.
        if searches("query") || !(searches("knn") || searches("retriever")) {
            written.raw("query", &self.top(find(members, "query"))?);
        }
        for (key, value) in members.iter().filter(|(_, value)| !value.is_null()) {
            let key = key.decode();
            let built = match key.as_ref() {
                "query" | "_source" => continue,
                "knn" => self.knn(value)?,
                "retriever" => self.retriever(value)?,
                "post_filter" => self.query(value)?,
                "rescore" => each(value, |one| self.rescore(one))?,
                "sort" => self.sort(value)?,
                "collapse" => self.collapse(value)?,
                "highlight" => self.highlight(value)?,
                "fields" | "docvalue_fields" => fields(value)?,
                "aggs" | "aggregations" => self.aggregations(value, false)?,
                "search_after" => items(value).map_or(Err(Code::FieldInvalid), |_| raw(value))?,
                name if SCALARS.contains(&name) => scalar(value)?,
                _ => return Err(Code::FieldUnknown),
            };
            written.raw(&key, &built);
        }
        written.raw("_source", &source.json(self.place.key())?);
        written.end();
        Ok((out, source.hide))
    }

    fn rescore(&self, value: &Value<'_>) -> Built {
        map(value, |name, value| match name {
            "window_size" => scalar(value),
            "query" => map(value, |name, value| match name {
                "rescore_query" => self.query(value),
                "query_weight" | "rescore_query_weight" | "score_mode" => scalar(value),
                _ => Err(Code::FieldUnknown),
            }),
            _ => Err(Code::FieldUnknown),
        })
    }

    /// By fields of documents. `_doc` and `_shard_doc` would tell where among all documents a hit lies; `_id` has our prefix.
    pub(super) fn sort(&self, value: &Value<'_>) -> Built {
        each(value, |one| match one {
            Value::String(name, _) => {
                sort_field(&name.decode())?;
                raw(one)
            }
            _ => map(one, |name, order| match (name, order) {
                ("_geo_distance", _) => map(order, |name, value| match (name, value) {
                    (name, _) if GEO_SORT.contains(&name) => scalar(value),
                    ("nested", _) => Err(Code::FieldUnknown),
                    _ => raw(value),
                }),
                (name, _) => {
                    sort_field(name)?;
                    if matches!(order, Value::Object(..)) { self.order(order) } else { scalar(order) }
                }
            }),
        })
    }

    fn order(&self, value: &Value<'_>) -> Built {
        map(value, |name, value| match name {
            "nested" => self.nested_sort(value),
            _ if SORT.contains(&name) => scalar(value),
            _ => Err(Code::FieldUnknown),
        })
    }

    fn nested_sort(&self, value: &Value<'_>) -> Built {
        map(value, |name, value| match name {
            "path" | "max_children" => scalar(value),
            "filter" => self.query(value),
            "nested" => self.nested_sort(value),
            _ => Err(Code::FieldUnknown),
        })
    }

    /// Without `inner_hits`: those would be hits that nobody verifies.
    pub(super) fn collapse(&self, value: &Value<'_>) -> Built {
        map(value, |name, value| match name {
            "field" => text(value).and_then(|name| field(&name)).and_then(|()| raw(value)),
            "max_concurrent_group_searches" => scalar(value),
            _ => Err(Code::FieldUnknown),
        })
    }

    pub(super) fn highlight(&self, value: &Value<'_>) -> Built {
        map(value, |name, value| match name {
            "fields" => {
                each(value, |one| map(one, |_, options| map(options, |name, value| self.highlighted(name, value))))
            }
            _ => self.highlighted(name, value),
        })
    }

    fn highlighted(&self, name: &str, value: &Value<'_>) -> Built {
        match name {
            "highlight_query" => self.query(value),
            _ if HIGHLIGHT.contains(&name) => raw(value),
            _ => Err(Code::FieldUnknown),
        }
    }

    /// A body that is a query and little else.
    pub(super) fn only_query(&self, members: &[(Str<'_>, Value<'_>)], scalars: &[&str]) -> Built {
        let mut out = wrap("query", &self.under(find(members, "query"))?);
        out.pop();
        for (key, value) in members.iter().filter(|(key, value)| key.decode() != "query" && !value.is_null()) {
            let key = key.decode();
            if !scalars.contains(&key.as_ref()) {
                return Err(Code::FieldUnknown);
            }
            let member = wrap(&key, &scalar(value)?);
            out.push(b',');
            out.extend_from_slice(member.get(1..member.len().saturating_sub(1)).unwrap_or_default());
        }
        out.push(b'}');
        Ok(out)
    }
}

/// Whether one may sort by it.
pub(super) fn sort_field(name: &str) -> Result<(), Code> {
    if name == "_score" || !is_metadata(name) && name != "_script" { Ok(()) } else { Err(Code::FieldInvalid) }
}

/// Fields to fetch beside the source.
pub(super) fn fields(value: &Value<'_>) -> Built {
    let items = value.items().ok_or(Code::FieldInvalid)?;
    list(items.iter().map(|one| match one {
        Value::String(name, _) => {
            field(&name.decode())?;
            raw(one)
        }
        _ => {
            field(&text(one.member("field").ok_or(Code::FieldInvalid)?)?)?;
            plain(one, &["field", "format", "include_unmapped"])
        }
    }))
}

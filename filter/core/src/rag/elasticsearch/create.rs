//! Creating an index: what clients may say of it, and the marker's field as it must be.
//!
//! A mapping can make the marker match what it should not (an analyzer, `copy_to`), bring code (`script`) or other names (aliases),
//! so it is an allow-list too.

use super::build::{Built, Force, map, raw, scalar, text, wrap};
use super::requests::{body, forced, path};
use crate::error::Code;
use crate::json::write::Object;
use crate::json::{self, JsonError, Value};
use crate::rag::document::{find, object, only};
use crate::rag::{Ask, Memo, Rewritten};

const TYPES: &[&str] = &[
    "text",
    "keyword",
    "wildcard",
    "match_only_text",
    "search_as_you_type",
    "long",
    "integer",
    "short",
    "byte",
    "double",
    "float",
    "half_float",
    "scaled_float",
    "unsigned_long",
    "boolean",
    "date",
    "date_nanos",
    "binary",
    "ip",
    "integer_range",
    "long_range",
    "float_range",
    "double_range",
    "date_range",
    "ip_range",
    "geo_point",
    "geo_shape",
    "object",
    "nested",
    "flattened",
    "flat_object",
    "dense_vector",
    "sparse_vector",
    "knn_vector",
    "rank_feature",
    "rank_features",
    "token_count",
    "version",
];

const PARAMETERS: &[&str] = &[
    "index",
    "doc_values",
    "store",
    "norms",
    "enabled",
    "dynamic",
    "coerce",
    "ignore_above",
    "ignore_malformed",
    "null_value",
    "format",
    "locale",
    "analyzer",
    "search_analyzer",
    "search_quote_analyzer",
    "term_vector",
    "index_options",
    "index_phrases",
    "index_prefixes",
    "eager_global_ordinals",
    "split_queries_on_whitespace",
    "scaling_factor",
    "depth_limit",
    "positive_score_impact",
    "similarity",
    "dims",
    "element_type",
    "dimension",
    "data_type",
    "space_type",
    "mode",
    "compression_level",
    "method",
];

const MAPPINGS: &[&str] = &["dynamic", "date_detection", "numeric_detection", "dynamic_date_formats", "properties"];

/// Without `index.`.
const SETTINGS: &[&str] = &[
    "number_of_shards",
    "number_of_replicas",
    "refresh_interval",
    "max_result_window",
    "mapping.total_fields.limit",
    "knn",
    "knn.algo_param.ef_search",
];

const LONGEST: usize = 64;

/// An allowed name, where the policy lets clients create.
pub(super) fn create(ask: &Ask<'_>) -> Result<Rewritten, Code> {
    let place = ask.place()?;
    if !place.rag().create {
        return Err(Code::NamespaceForbidden);
    }
    let force = Force::new(place);
    let document = json::parse(body(ask)).map_err(JsonError::code)?;
    let members = object(&document)?;
    only(members, &["settings", "mappings"])?;
    let mut out = Vec::with_capacity(ask.body.len().saturating_add(128));
    let mut written = Object::begin(&mut out);
    if let Some(settings) = find(members, "settings") {
        check_settings("", settings)?;
        written.raw("settings", settings.raw());
    }
    written.raw("mappings", &force.mappings(find(members, "mappings"))?);
    written.end();
    forced(ask, "PUT", out, path(ask, None)?, Memo::default())
}

fn check_settings(above: &str, value: &Value<'_>) -> Result<(), Code> {
    for (key, value) in object(value)? {
        let name = format!("{above}{}", key.decode());
        // No setting is this long; and a name that grows level by level costs more than the body's size.
        if name.len() > LONGEST {
            return Err(Code::FieldUnknown);
        }
        if matches!(value, Value::Object(..)) {
            check_settings(&format!("{name}."), value)?;
        } else if !SETTINGS.contains(&name.strip_prefix("index.").unwrap_or(&name)) {
            return Err(Code::FieldUnknown);
        }
    }
    Ok(())
}

impl Force<'_> {
    fn mappings(&self, value: Option<&Value<'_>>) -> Built {
        let members = value.map(object).transpose()?.unwrap_or_default();
        only(members, MAPPINGS)?;
        let mut out = Vec::new();
        let mut written = Object::begin(&mut out);
        for (key, value) in members.iter().filter(|(_, value)| !value.is_null()) {
            let key = key.decode();
            if key != "properties" {
                written.raw(&key, value.raw());
            }
        }
        let key = self.place.key();
        let mut fields = match find(members, "properties") {
            None => b"{}".to_vec(),
            Some(fields) => {
                let fields_without = object(fields)?.iter().filter(|(name, _)| name.decode() != key);
                let mut out = Vec::new();
                let mut written = Object::begin(&mut out);
                for (name, value) in fields_without {
                    let name = name.decode();
                    if name.split('.').next() == Some(key) {
                        return Err(Code::FieldInvalid);
                    }
                    written.raw(&name, &mapping(value)?);
                }
                written.end();
                out
            }
        };
        fields.pop();
        if fields.len() > 1 {
            fields.push(b',');
        }
        let own = wrap(key, b"{\"type\":\"keyword\"}");
        fields.extend_from_slice(own.get(1..).unwrap_or_default());
        written.raw("properties", &fields);
        written.end();
        Ok(out)
    }
}

fn mapping(value: &Value<'_>) -> Built {
    map(value, |name, value| match name {
        "type" if TYPES.contains(&text(value)?.as_str()) => scalar(value),
        "type" => Err(Code::FieldInvalid),
        "fields" | "properties" => map(value, |_, value| mapping(value)),
        _ if PARAMETERS.contains(&name) => raw(value),
        _ => Err(Code::FieldUnknown),
    })
}

//! Aggregations: those that compute only from what the forced query found.
//!
//! Not known, on purpose: `global`, `significant_*` and their like (they count all documents), `children` and `parent` (they
//! go to other documents), whatever takes a script. `min_doc_count: 0` would list the words of all documents.

use super::build::{Built, Force, each, field, list, map, plain, raw, scalar, text};
use crate::error::Code;
use crate::json::Value;
use crate::rag::document::{find, object};

const TERMS: &[&str] = &[
    "field",
    "size",
    "shard_size",
    "min_doc_count",
    "shard_min_doc_count",
    "order",
    "include",
    "exclude",
    "missing",
    "show_term_doc_count_error",
    "execution_hint",
    "collect_mode",
    "value_type",
    "format",
];
const VALUE: &[&str] = &["field", "missing", "format", "value_type"];
const RANGE: &[&str] = &["field", "ranges", "keyed", "missing", "format", "time_zone"];
const HISTOGRAM: &[&str] = &[
    "field",
    "interval",
    "calendar_interval",
    "fixed_interval",
    "offset",
    "order",
    "keyed",
    "min_doc_count",
    "extended_bounds",
    "hard_bounds",
    "missing",
    "format",
    "time_zone",
];
const PERCENTILES: &[&str] = &["field", "percents", "values", "keyed", "missing", "tdigest", "hdr", "format"];
const GRID: &[&str] = &["field", "precision", "size", "shard_size", "bounds"];
const SIBLING: &[&str] = &["buckets_path", "gap_policy", "format", "percents", "keyed", "unit", "from", "size"];

/// Each kind with the parameters that pass as they are.
const KINDS: &[(&str, &[&str])] = &[
    ("terms", TERMS),
    ("avg", VALUE),
    ("sum", VALUE),
    ("min", VALUE),
    ("max", VALUE),
    ("stats", VALUE),
    ("extended_stats", &["field", "missing", "sigma"]),
    ("value_count", VALUE),
    ("cardinality", &["field", "missing", "precision_threshold", "rehash", "execution_hint"]),
    ("missing", &["field", "missing"]),
    ("percentiles", PERCENTILES),
    ("percentile_ranks", PERCENTILES),
    ("median_absolute_deviation", &["field", "missing", "compression", "execution_hint"]),
    ("histogram", HISTOGRAM),
    ("date_histogram", HISTOGRAM),
    ("auto_date_histogram", &["field", "buckets", "format", "time_zone", "minimum_interval", "missing"]),
    ("range", RANGE),
    ("date_range", RANGE),
    ("ip_range", RANGE),
    ("geo_bounds", &["field", "wrap_longitude"]),
    ("geo_centroid", &["field"]),
    ("geo_distance", &["field", "origin", "ranges", "unit", "distance_type", "keyed"]),
    ("geohash_grid", GRID),
    ("geotile_grid", GRID),
    ("sampler", &["shard_size"]),
    ("nested", &["path"]),
    ("reverse_nested", &["path"]),
    ("avg_bucket", SIBLING),
    ("sum_bucket", SIBLING),
    ("min_bucket", SIBLING),
    ("max_bucket", SIBLING),
    ("stats_bucket", SIBLING),
    ("percentiles_bucket", SIBLING),
    ("derivative", SIBLING),
    ("cumulative_sum", SIBLING),
    ("bucket_sort", &["sort", "from", "size", "gap_policy"]),
];

/// The sources of a `composite`.
const SOURCES: &[&str] = &["terms", "histogram", "date_histogram", "geotile_grid"];
const SOURCE: &[&str] = &[
    "field",
    "order",
    "missing_bucket",
    "missing_order",
    "interval",
    "calendar_interval",
    "fixed_interval",
    "offset",
    "format",
    "time_zone",
    "precision",
];

impl Force<'_> {
    /// The aggregations of a search. `nested` says that they look at parts of documents, which carry no marker.
    pub(super) fn aggregations(&self, value: &Value<'_>, nested: bool) -> Built {
        map(value, |name, value| {
            own_name(name)?;
            self.aggregation(value, nested)
        })
    }

    fn aggregation(&self, value: &Value<'_>, nested: bool) -> Built {
        let below = |name: &str| name == "aggs" || name == "aggregations";
        let mut kinds = object(value)?.iter().map(|(key, _)| key.decode()).filter(|key| !below(key));
        let (Some(kind), None) = (kinds.next(), kinds.next()) else { return Err(Code::FieldInvalid) };
        let nested = match kind.as_ref() {
            "nested" => true,
            "reverse_nested" => false,
            _ => nested,
        };
        map(
            value,
            |name, value| if below(name) { self.aggregations(value, nested) } else { self.kind(name, value, nested) },
        )
    }

    fn kind(&self, kind: &str, body: &Value<'_>, nested: bool) -> Built {
        match kind {
            "filter" => self.query(body),
            "filters" => map(body, |name, value| match (name, value) {
                ("filters", Value::Object(..)) => {
                    map(value, |name, query| own_name(name).and_then(|()| self.query(query)))
                }
                ("filters", _) => list(value.items().ok_or(Code::FieldInvalid)?.iter().map(|query| self.query(query))),
                ("other_bucket" | "other_bucket_key" | "keyed", _) => scalar(value),
                _ => Err(Code::FieldUnknown),
            }),
            "top_hits" if !nested => self.top_hits(body),
            "composite" => map(body, |name, value| match name {
                "sources" => {
                    each(value, |source| map(source, |name, one| own_name(name).and_then(|()| composite_source(one))))
                }
                "size" => scalar(value),
                "after" => raw(value),
                _ => Err(Code::FieldUnknown),
            }),
            _ => match KINDS.iter().find(|(name, _)| *name == kind) {
                Some((_, known)) => parameters(kind, body, known),
                None => Err(Code::FieldUnknown),
            },
        }
    }

    fn top_hits(&self, body: &Value<'_>) -> Built {
        let source = super::source::Source::read(find(object(body)?, "_source"))?;
        let built = map(body, |name, value| match name {
            "_source" => source.json(self.place.key()),
            "from" | "size" | "version" | "seq_no_primary_term" | "track_scores" => scalar(value),
            "sort" => self.sort(value),
            "highlight" => self.highlight(value),
            "fields" | "docvalue_fields" => super::search::fields(value),
            _ => Err(Code::FieldUnknown),
        })?;
        Ok(built)
    }
}

/// Where the answer's side looks for hits and documents, a client's own names must not be.
fn own_name(name: &str) -> Result<(), Code> {
    if name == "hits" || name.starts_with('_') { Err(Code::FieldInvalid) } else { Ok(()) }
}

fn composite_source(value: &Value<'_>) -> Built {
    map(
        value,
        |kind, body| if SOURCES.contains(&kind) { parameters(kind, body, SOURCE) } else { Err(Code::FieldUnknown) },
    )
}

fn parameters(kind: &str, body: &Value<'_>, known: &[&str]) -> Built {
    if let Some(name) = find(object(body)?, "field") {
        field(&text(name)?)?;
    }
    if kind == "terms" {
        match find(object(body)?, "min_doc_count") {
            None => {}
            Some(Value::Number(digits)) if digits.first() != Some(&b'0') && digits.iter().all(u8::is_ascii_digit) => {}
            Some(_) => return Err(Code::FieldInvalid),
        }
    }
    plain(body, known)
}

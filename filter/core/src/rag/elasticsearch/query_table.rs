//! Query types that look at a document's own fields and nothing else, with the parameters that they may have.
//!
//! Left out on purpose: `rewrite` and `max_expansions`, by which a client chooses how many terms *of the whole index* are looked at,
//! and `cutoff_frequency`, which compares with the whole index.

/// `{KIND: {FIELD: …}}`.
pub(super) struct Leaf {
    pub(super) kind: &'static str,
    /// What may stand beside the field.
    pub(super) beside: &'static [&'static str],
    /// What the field's object may hold.
    pub(super) inside: Inside,
}

/// What stands for the field's condition.
#[derive(Clone, Copy)]
pub(super) enum Inside {
    /// A value, or an object with these.
    ValueOr(&'static [&'static str]),
    /// An object with these.
    Object(&'static [&'static str]),
    /// A list of values.
    List,
    /// A place on a map: whatever it is, it names nothing.
    Geometry,
}

use Inside::{Geometry, List, Object, ValueOr};

const NONE: &[&str] = &[];
const COMMON: &[&str] = &["boost", "_name"];
const GEO: &[&str] = &["distance", "distance_type", "validation_method", "type", "ignore_unmapped", "boost", "_name"];

const fn leaf(kind: &'static str, beside: &'static [&'static str], inside: Inside) -> Leaf {
    Leaf { kind, beside, inside }
}

pub(super) const LEAVES: &[Leaf] = &[
    leaf("term", NONE, ValueOr(&["value", "case_insensitive", "boost", "_name"])),
    leaf("terms", COMMON, List),
    leaf(
        "match",
        NONE,
        ValueOr(&[
            "query",
            "operator",
            "minimum_should_match",
            "fuzziness",
            "prefix_length",
            "fuzzy_transpositions",
            "lenient",
            "zero_terms_query",
            "analyzer",
            "auto_generate_synonyms_phrase_query",
            "boost",
            "_name",
        ]),
    ),
    leaf("match_phrase", NONE, ValueOr(&["query", "analyzer", "slop", "zero_terms_query", "boost", "_name"])),
    leaf("match_phrase_prefix", NONE, ValueOr(&["query", "analyzer", "slop", "zero_terms_query", "boost", "_name"])),
    leaf(
        "match_bool_prefix",
        NONE,
        ValueOr(&[
            "query",
            "analyzer",
            "operator",
            "minimum_should_match",
            "fuzziness",
            "prefix_length",
            "fuzzy_transpositions",
            "boost",
            "_name",
        ]),
    ),
    leaf("prefix", NONE, ValueOr(&["value", "case_insensitive", "boost", "_name"])),
    leaf("wildcard", NONE, ValueOr(&["value", "wildcard", "case_insensitive", "boost", "_name"])),
    leaf("regexp", NONE, ValueOr(&["value", "flags", "case_insensitive", "max_determinized_states", "boost", "_name"])),
    leaf("fuzzy", NONE, ValueOr(&["value", "fuzziness", "prefix_length", "transpositions", "boost", "_name"])),
    leaf(
        "range",
        NONE,
        Object(&[
            "gt",
            "gte",
            "lt",
            "lte",
            "from",
            "to",
            "include_lower",
            "include_upper",
            "format",
            "relation",
            "time_zone",
            "boost",
            "_name",
        ]),
    ),
    leaf("geo_bounding_box", GEO, Geometry),
    leaf("geo_distance", GEO, Geometry),
    leaf("geo_polygon", GEO, Geometry),
    // Without `indexed_shape`, which reads another document.
    leaf("geo_shape", GEO, Object(&["shape", "relation"])),
    leaf("neural_sparse", NONE, Object(&["query_text", "query_tokens", "model_id", "analyzer", "boost", "_name"])),
];

/// `{KIND: {PARAMETERS}}`.
pub(super) const PLAIN: &[(&str, &[&str])] = &[
    ("match_all", COMMON),
    ("match_none", COMMON),
    ("exists", &["field", "boost", "_name"]),
    (
        "multi_match",
        &[
            "query",
            "fields",
            "type",
            "operator",
            "minimum_should_match",
            "fuzziness",
            "prefix_length",
            "fuzzy_transpositions",
            "lenient",
            "zero_terms_query",
            "analyzer",
            "auto_generate_synonyms_phrase_query",
            "tie_breaker",
            "slop",
            "boost",
            "_name",
        ],
    ),
    (
        "combined_fields",
        &[
            "query",
            "fields",
            "operator",
            "minimum_should_match",
            "zero_terms_query",
            "auto_generate_synonyms_phrase_query",
            "boost",
            "_name",
        ],
    ),
    (
        "query_string",
        &[
            "query",
            "default_field",
            "fields",
            "type",
            "default_operator",
            "allow_leading_wildcard",
            "analyze_wildcard",
            "analyzer",
            "auto_generate_synonyms_phrase_query",
            "enable_position_increments",
            "escape",
            "fuzziness",
            "fuzzy_prefix_length",
            "fuzzy_transpositions",
            "lenient",
            "max_determinized_states",
            "minimum_should_match",
            "phrase_slop",
            "quote_analyzer",
            "quote_field_suffix",
            "tie_breaker",
            "time_zone",
            "boost",
            "_name",
        ],
    ),
    (
        "simple_query_string",
        &[
            "query",
            "fields",
            "default_operator",
            "flags",
            "analyze_wildcard",
            "analyzer",
            "auto_generate_synonyms_phrase_query",
            "fuzzy_prefix_length",
            "fuzzy_transpositions",
            "lenient",
            "minimum_should_match",
            "quote_field_suffix",
            "boost",
            "_name",
        ],
    ),
    ("rank_feature", &["field", "saturation", "log", "linear", "sigmoid", "boost", "_name"]),
    ("distance_feature", &["field", "origin", "pivot", "boost", "_name"]),
    ("sparse_vector", &["field", "query_vector", "inference_id", "query", "prune", "boost", "_name"]),
];

/// `{KIND: {CHILD: query or queries, PARAMETERS}}`: the children, and what stands beside them.
pub(super) const COMPOUND: &[(&str, &[&str], &[&str])] = &[
    (
        "bool",
        &["must", "should", "filter", "must_not"],
        &["minimum_should_match", "adjust_pure_negative", "boost", "_name"],
    ),
    ("constant_score", &["filter"], COMMON),
    ("dis_max", &["queries"], &["tie_breaker", "boost", "_name"]),
    ("boosting", &["positive", "negative"], &["negative_boost", "boost", "_name"]),
    ("nested", &["query"], &["path", "score_mode", "ignore_unmapped", "boost", "_name"]),
];

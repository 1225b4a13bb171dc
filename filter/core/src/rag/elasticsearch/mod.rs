//! Elasticsearch's and OpenSearch's document and search APIs.
//!
//! - A query becomes `{"bool":{"must":[<the client's, whole>],"filter":[{"term":{KEY:NAMESPACE}}]}}`; a nearest-neighbour
//!   search, which finds its neighbours before any outer condition, gets ours into its own `filter`, wherever it stands
//!   (`knn`, retrievers, `hybrid`).
//! - Query types, aggregations and their parameters are allow-lists: what reads other documents (lookups, joins, templates), what
//!   counts beyond the query (`global`, `significant_*`, `min_doc_count: 0`) and what runs code is not on them.
//! - `_id` becomes `TENANT:id`, since writes have no condition; clients see their own ids.
//! - `_source` always has the marker, so that every hit can be verified; what the client did not ask for is taken out again.

mod aggregations;
mod answers;
mod build;
mod create;
mod documents;
mod query;
mod query_table;
mod requests;
mod search;
mod source;
mod table;
mod vectors;
mod written;

pub use table::TABLE;

use super::{Backend, Strategies};

/// Elasticsearch, and OpenSearch.
pub const BACKEND: Backend = Backend {
    error_fields: &[
        "error",
        "error.type",
        "error.reason",
        "error.caused_by.type",
        "error.caused_by.reason",
        "status",
        // A document that is not there.
        "_index",
        "_id",
        "_version",
        "_seq_no",
        "_primary_term",
        "found",
        "result",
        // Work by query that met conflicts.
        "took",
        "timed_out",
        "total",
        "deleted",
        "updated",
        "noops",
        "version_conflicts",
    ],
    collection_name,
    namespace_key,
    databases: false,
    strategies: Strategies {
        namespace: "a field of each document in `bool.filter` and in every `knn` filter, ids prefixed",
        separate_collection: "the index's name",
        separate_db: "the cluster",
    },
    limits: &[
        "The marker's field must be mapped as `keyword`: as analysed text, one tenant's name could match within another's. An index that is created through the proxy has it so; for others the operator sees to it.",
        "An index operation cannot be conditioned, so ids carry the tenant's prefix in the index; clients never see it.",
        "In a shared index, scores (BM25), the expansion of prefixes and fuzzy terms, `_seq_no` and timings follow from all tenants' documents: a tenant can learn from them how often a word occurs there. Where that matters, use `separate_collection`.",
        "Nearest neighbours need an engine that filters while it searches: Elasticsearch's `dense_vector`, OpenSearch's `lucene` and `faiss` engines; `nmslib` refuses the forced filter.",
        "Aggregations and counts have no single results to verify: they rest on the forced query. When a hit of the same answer turns out to be foreign, the aggregations are left out.",
        "A write to an id under the tenant's prefix replaces what is there, whatever marker it carries: only another way into the index could have put a foreign document under that prefix.",
        "`HEAD` on a document says whether the tenant's id exists; without a body there is no marker to verify.",
        "The `location` header of a created document has its id as the index knows it.",
        "In a path, ids may hold letters, digits and `-._~:@+=,`; others can be used in bodies (`_bulk`, `_mget`, `ids`).",
        "`filter_path`, scroll, point in time, `routing`, `pipeline` and scripts are not served.",
    ],
};

/// At most 255 bytes of lower-case letters, digits, `.`, `_` and `-`, not beginning with a sign that means something.
fn collection_name(name: &str) -> bool {
    (1..=255).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'_' | b'-'))
        && !name.starts_with(['.', '_', '-'])
}

/// A field of its own at the top of each document: a dot would make it part of another.
fn namespace_key(key: &str) -> bool {
    !key.is_empty()
        && !key.starts_with('_')
        && key.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
}

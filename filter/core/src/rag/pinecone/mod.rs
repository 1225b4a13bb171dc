//! Pinecone's data plane.
//!
//! - Pinecone's own `namespace` is the tenant's, in every request: clients see one namespace, the default one. What they
//!   name must be that; sub-namespaces are refused, not silently put together.
//! - Every record carries the marker besides, every filter becomes `{"$and":[{KEY:{"$eq":NAMESPACE}}, <the client's, whole>]}`,
//!   and metadata is asked for even when the client did not.
//! - An answer counts when its own `namespace` is the tenant's; each record in it when it carries the marker. Ids need no
//!   prefix: a namespace has its own.

mod answers;
mod fields;
mod records;
mod requests;
mod stats;
mod table;

pub use table::TABLE;

use super::{Backend, Strategies};

/// Pinecone.
pub const BACKEND: Backend = Backend {
    error_fields: &["code", "message", "status", "error.code", "error.message"],
    // An index is a host: its name stands in no request.
    collection_name: |name| !name.is_empty(),
    namespace_key,
    databases: false,
    strategies: Strategies {
        namespace: "`namespace` in every request; metadata in `filter` besides",
        separate_collection: "the index's host, by the cluster of the tenant's override",
        separate_db: "the project's host, by the cluster",
    },
    limits: &[
        "A tenant has one namespace, which its clients know as the default one (missing, empty or `__default__`); others are refused.",
        "An index is a host, so `separate_collection` and `separate_db` are both reached by a cluster; namespace and marker are forced there too.",
        "`fetch`, and `update` and `delete` by id, take no filter beside the ids: Pinecone's own namespace holds them apart, and what `fetch` gives is verified.",
        "`list` gives ids without metadata: it is verified by the namespace that the answer names.",
        "`describe_index_stats` counts a whole namespace, unmarked records too; the fullness of the shared index is not told.",
        "Where a namespace has a metadata schema, the operator must make the marker's key filterable.",
        "The nearest neighbours of a filtered query may be fewer than `topK` where others' or unmarked records got into the namespace.",
        "Errors that Pinecone's own edge sends as plain text (401, 403, 429) cannot be checked and become 502.",
    ],
};

/// Any metadata key that is no operator and no field of a record.
fn namespace_key(key: &str) -> bool {
    !key.is_empty()
        && key != "id"
        && !key.starts_with(['$', '_'])
        && key.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'))
}

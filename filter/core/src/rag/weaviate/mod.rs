//! Weaviate's REST API and GraphQL.
//!
//! - Weaviate's own multi-tenancy: `tenant` is the tenant's namespace in every path, body, batch and GraphQL argument. Each
//!   tenant has its own shard there, ids and vectors included.
//! - Besides, every object carries the marker as a property, every `where` becomes `And` of the marker and the client's,
//!   whole, and the marker is read back with every object and verified.
//! - Classes are an allow-list, in paths, bodies, beacons and GraphQL. What leads from one object into others (filters through
//!   references, fragments on other classes, beacons without a class) is refused.

mod answers;
mod batch;
mod filters;
mod graphql;
mod names;
mod objects;
mod outcomes;
mod server;
mod table;

pub use table::TABLE;

use super::{Backend, Strategies};

/// Weaviate.
pub const BACKEND: Backend = Backend {
    error_fields: &["code", "message", "error.message"],
    collection_name,
    namespace_key,
    databases: false,
    strategies: Strategies {
        namespace: "`tenant` (native) everywhere; a property in `where` besides",
        separate_collection: "the class's name, with `tenant` and property inside it",
        separate_db: "the cluster, with `tenant` and property inside it",
    },
    limits: &[
        "Classes must have multi-tenancy enabled, in every strategy; the tenant's namespace must exist there, or `autoTenantCreation` be on. The schema is the operator's.",
        "The marker must be a property of type `text` with tokenization `field`; with another (as auto-schema makes it), `Equal` also finds texts that share its words.",
        "A class name cannot hold `-`: a tenant whose id has one cannot be placed by `separate_collection`.",
        "Writes, deletes and HEAD by id take no condition: Weaviate's own tenant holds them apart.",
        "GraphQL is one query without aliases, fragments, variables or directives, so reading through references is not served; `group`, `groupBy` below `Get`, `ask`, `after` and generative or reranking modules neither. REST has `after`.",
        "A keyword search without `properties` reads the marker too: the same text in all of a tenant's objects.",
        "`GET /v1/objects` takes no condition: stray objects are dropped after the page was cut.",
        "The REST search and aggregation of 1.40 are not served: their fields were still being renamed, and the server ignores those that it does not know.",
    ],
};

/// A letter in upper case, then letters, digits and `_`.
fn collection_name(name: &str) -> bool {
    name.len() <= 255
        && name.bytes().next().is_some_and(|b| b.is_ascii_uppercase())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// A property's name as Weaviate keeps it: it lowers the first letter.
fn namespace_key(key: &str) -> bool {
    key.len() <= 230
        && !matches!(key, "id" | "vector")
        && key.bytes().next().is_some_and(|b| b.is_ascii_lowercase())
        && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

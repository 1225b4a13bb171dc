//! Weaviate.

mod table;

pub use table::TABLE;

use super::{Backend, Strategies};

/// Weaviate.
pub const BACKEND: Backend = Backend {
    error_fields: &[],
    collection_name: |_| true,
    namespace_key: |_| true,
    databases: false,
    strategies: Strategies { namespace: "", separate_collection: "", separate_db: "" },
    limits: &[],
};

//! Qdrant.

mod table;

pub use table::TABLE;

use super::{Backend, Strategies};

/// Qdrant.
pub const BACKEND: Backend = Backend {
    error_fields: &[],
    collection_name: |_| true,
    namespace_key: |_| true,
    databases: false,
    strategies: Strategies { namespace: "", separate_collection: "", separate_db: "" },
    limits: &[],
};

/// A point's id as the database knows it, and the original where it must be kept beside it.
pub fn scoped_id(_tenant: &crate::tenant::TenantId, _id: &serde_json::Value) -> Option<(String, Option<String>)> {
    None
}

/// The payload key beside the marker that keeps a point's original id.
pub fn id_key(key: &str) -> String {
    format!("{key}_id")
}

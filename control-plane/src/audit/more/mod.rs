//! What the audit does in the databases whose collections have a schema: the canary takes the form of what is there already.

pub(super) mod milvus;
pub(super) mod postgrest;
pub(super) mod weaviate;

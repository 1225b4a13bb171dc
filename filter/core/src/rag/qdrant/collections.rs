//! Collections: named as the tenant knows them, created and deleted where the policy lets clients.

use super::{Own, path, payload};
use crate::error::Code;
use crate::json::Value;
use crate::rag::document::{find, members};
use crate::rag::{Ask, Rewritten};
use crate::snapshot::wire::Strategy;

/// What says how a collection is made. `init_from`, which copies another one, is not among it.
const CREATE: &[&str] = &[
    "vectors",
    "sparse_vectors",
    "shard_number",
    "replication_factor",
    "write_consistency_factor",
    "on_disk_payload",
    "payload",
    "hnsw_config",
    "wal_config",
    "optimizers_config",
    "quantization_config",
    "strict_mode_config",
    "sharding_method",
    "init_from",
    "metadata",
];

/// The whole list is asked for.
pub(super) fn list(ask: &Ask<'_>) -> Result<Rewritten, Code> {
    ask.place().map(|_| Rewritten::default())
}

/// A collection by its name.
pub(super) fn named(ask: &Ask<'_>) -> Result<Rewritten, Code> {
    Ok(Rewritten { path: Some(path(ask, ask.endpoint.template)?), ..Rewritten::default() })
}

fn creating(ask: &Ask<'_>) -> Result<(), Code> {
    if ask.place()?.rag().create { Ok(()) } else { Err(Code::NamespaceForbidden) }
}

pub(super) fn create(ask: &Ask<'_>) -> Result<Rewritten, Code> {
    creating(ask)?;
    let members = members(ask.body, CREATE)?;
    // Another collection's records; shards by name, which no request of a tenant may name.
    if find(&members, "init_from").or(find(&members, "sharding_method")).is_some() {
        return Err(Code::NamespaceForbidden);
    }
    named(ask)
}

/// A tenant may delete a collection that is its own alone.
pub(super) fn delete(ask: &Ask<'_>) -> Result<Rewritten, Code> {
    creating(ask)?;
    if ask.place()?.strategy == Strategy::Namespace {
        return Err(Code::NamespaceForbidden);
    }
    named(ask)
}

/// An index on a field of the tenant's own.
pub(super) fn index(ask: &Ask<'_>) -> Result<Rewritten, Code> {
    creating(ask)?;
    let members = members(ask.body, &["field_name", "field_schema", "field_type"])?;
    let name = find(&members, "field_name").ok_or(Code::FieldInvalid)?;
    payload::check_path(&Own::new(ask.place()?), name)?;
    let schemas = ["field_schema", "field_type"].iter().filter_map(|name| find(&members, name));
    if schemas.into_iter().any(|schema| !matches!(schema, Value::String(..) | Value::Object(..))) {
        return Err(Code::FieldInvalid);
    }
    named(ask)
}

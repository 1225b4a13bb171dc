//! Qdrant's REST API.
//!
//! - A client's filter becomes `{"must":[<the marker is ours>, <the client's, whole>]}` at every level where one can stand:
//!   the query, each prefetch, each search of a batch, the corpus of IDF. A `Filter` is itself a condition, so nothing
//!   inside the client's can widen the result.
//! - Point ids are the tenant's own (`ids`): an upsert overwrites whatever has the id. A number becomes a UUID that begins
//!   with the tenant's tag; a UUID becomes another one, and its own is kept in the payload beside the marker.
//! - Operations by ids become operations by `has_id` under the marker; upserts carry the marker as `update_filter` besides.
//! - A bare id in place of a vector would compare with a point that the filter does not reach: only vectors are taken.
//! - What the server counts for everybody (operations, points, usage) is left out of answers.

mod answers;
mod collections;
mod filter;
mod ids;
mod operations;
mod outcomes;
mod payload;
mod query;
mod reads;
mod table;
mod updates;
mod vectors;
mod writes;

pub use table::TABLE;

use super::{Ask, Backend, Place, Strategies};
use crate::error::Code;
use crate::tenant::TenantId;

/// Qdrant.
pub const BACKEND: Backend = Backend {
    error_fields: &["status.error", "time"],
    collection_name,
    namespace_key,
    databases: false,
    strategies: Strategies {
        namespace: "a payload field in `filter.must`, ids scoped",
        separate_collection: "the collection's name",
        separate_db: "the cluster",
    },
    limits: &[
        "Point ids in the database are scoped to the tenant; clients see their own. Points that were loaded by another way are not found.",
        "The scoped id of a number is the UUID of the first 8 bytes of SHA-256(`partywall qdrant id v1`, a zero byte, the tenant's id) and the number, big-endian; that of a UUID the first 16 bytes of SHA-256(`partywall qdrant uuid v1`, a zero byte, the tenant's id, a zero byte, the UUID's 16 bytes), with the UUID kept in the payload under the marker's key with `_id`.",
        "`scroll` gives points in the order of the scoped ids: numbers in theirs, UUIDs in another than their own.",
        "An operation by ids is asked as one by filter, so an id that does not exist is no error.",
        "`PUT …/points/payload` takes ids, not a filter: each point with a UUID keeps its own id beside the payload. Several points of which any has a UUID are asked as a batch, which needs the surface's `cluster`.",
        "The distance matrix is made of points with numeric ids only: its answer has no payload to restore a UUID from.",
        "Ids do not stand for vectors: send the vector. `lookup_from`, `with_lookup` and `shard_key` are not served.",
        "Counts and facets are always exact: an estimate would tell of other tenants' records.",
        "Sparse vectors with the modifier `idf` are weighted by all tenants' records unless the query names `params.idf`, which is held to the tenant's: where that matters, use `separate_collection`.",
        "Index the marker (`keyword`, `is_tenant: true`); with `strict_mode` an unindexed one is refused by the server.",
        "gRPC is not served: use the clients' REST mode (`prefer_grpc=False`).",
    ],
};

/// What a collection may be called: a part of a path that needs no escape, and is no word of the API.
fn collection_name(name: &str) -> bool {
    (1..=255).contains(&name.len())
        && name != "aliases"
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
        && name.bytes().any(|b| b != b'.')
}

/// A key that is its own path, unquoted.
fn namespace_key(key: &str) -> bool {
    !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
}

/// A point's id as the database has it, and, where that cannot be read back, the original that the point carries along under
/// [`companion_key`]: for records that come in by another way. `id` is a JSON number or string.
pub fn scoped_id(tenant: &TenantId, id: &str) -> Option<(String, Option<String>)> {
    let document = crate::json::parse(id.as_bytes()).ok()?;
    let id = ids::Id::read(&document)?;
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).ok().map(|text| text.trim_matches('"').to_owned());
    let (mut scoped, mut own) = (Vec::new(), Vec::new());
    ids::Ids::of(tenant.as_str()).write(&mut scoped, id);
    id.write(&mut own);
    let kept = if matches!(id, ids::Id::Uuid(_)) { Some(text(own)?) } else { None };
    Some((text(scoped)?, kept))
}

/// The payload's key beside the marker under which a point keeps the UUID that its owner gave it.
pub fn companion_key(marker: &str) -> String {
    format!("{marker}_id")
}

/// What is the tenant's here: its place, its ids, its reserved keys.
struct Own<'p> {
    place: &'p Place<'p>,
    ids: ids::Ids<'p>,
    /// The payload's key under which a point keeps the UUID that its owner gave it.
    companion: String,
}

impl<'p> Own<'p> {
    fn new(place: &'p Place<'p>) -> Self {
        Self { place, ids: ids::Ids::of(place.tenant.as_str()), companion: companion_key(place.key()) }
    }

    fn reserves(&self, key: &str) -> bool {
        key == self.place.key() || key == self.companion
    }
}

/// The path as the backend knows it.
fn path(ask: &Ask<'_>, template: &str) -> Result<String, Code> {
    let collection = ask.place()?.collection(ask.parameter("collection")?)?;
    Ok(ask.path(template, &[&collection], None))
}

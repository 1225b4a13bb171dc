//! Rows that refuse are listed too: an operator sees that they were thought of, and why.

use super::{answers, collections, operations, outcomes, query, reads};
use crate::surface::{Endpoint, RequestRule, ResponseRule};
use RequestRule::{Pass, Rewrite};
use ResponseRule::{Scan, Verify};

const READ: &[&str] = &["consistency", "timeout"];
const WRITE: &[&str] = &["wait", "ordering", "timeout"];

/// The rows.
pub const TABLE: &[Endpoint] = &[
    Endpoint::get("qdrant.version", "/", Pass, Scan, "title and version"),
    Endpoint::get(
        "qdrant.collections",
        "/collections",
        Rewrite(collections::list),
        Verify(outcomes::collections),
        "only the tenant's are listed",
    ),
    Endpoint::get(
        "qdrant.collection",
        "/collections/{collection}",
        Rewrite(collections::named),
        Verify(outcomes::collection),
        "its configuration; no counts, no indexed fields",
    ),
    Endpoint::get(
        "qdrant.exists",
        "/collections/{collection}/exists",
        Rewrite(collections::named),
        Verify(outcomes::computed),
        "",
    ),
    Endpoint::post(
        "qdrant.create",
        "/collections/{collection}",
        Rewrite(collections::create),
        Verify(outcomes::computed),
        "an allowed name, where the policy lets clients create",
    )
    .by("PUT")
    .with(&["timeout"]),
    Endpoint::get(
        "qdrant.delete_collection",
        "/collections/{collection}",
        Rewrite(collections::delete),
        Verify(outcomes::computed),
        "the tenant's own, where the policy lets clients create; never a shared one",
    )
    .by("DELETE")
    .with(&["timeout"]),
    Endpoint::post(
        "qdrant.index",
        "/collections/{collection}/index",
        Rewrite(collections::index),
        Verify(outcomes::changed),
        "any field but the marker, where the policy lets clients create",
    )
    .by("PUT")
    .with(WRITE),
    Endpoint::post(
        "qdrant.query",
        "/collections/{collection}/points/query",
        Rewrite(query::query),
        Verify(answers::found),
        "filter forced, in every prefetch too; vectors only, no ids in their place",
    )
    .with(READ),
    Endpoint::post(
        "qdrant.query_batch",
        "/collections/{collection}/points/query/batch",
        Rewrite(query::query_batch),
        Verify(answers::found_batch),
        "each search as one alone",
    )
    .with(READ),
    Endpoint::post(
        "qdrant.query_groups",
        "/collections/{collection}/points/query/groups",
        Rewrite(query::query_groups),
        Verify(answers::groups),
        "filter forced; no `with_lookup`",
    )
    .with(READ),
    Endpoint::post(
        "qdrant.search",
        "/collections/{collection}/points/search",
        Rewrite(query::search),
        Verify(answers::points),
        "filter forced (servers before 1.19)",
    )
    .with(READ),
    Endpoint::post(
        "qdrant.search_batch",
        "/collections/{collection}/points/search/batch",
        Rewrite(query::search_batch),
        Verify(answers::points_batch),
        "each search as one alone (servers before 1.19)",
    )
    .with(READ),
    Endpoint::post(
        "qdrant.search_groups",
        "/collections/{collection}/points/search/groups",
        Rewrite(query::search_groups),
        Verify(answers::groups),
        "filter forced; no `with_lookup` (servers before 1.19)",
    )
    .with(READ),
    Endpoint::post(
        "qdrant.recommend",
        "/collections/{collection}/points/recommend",
        Rewrite(query::recommend),
        Verify(answers::points),
        "filter forced; vectors only (servers before 1.19)",
    )
    .with(READ),
    Endpoint::post(
        "qdrant.recommend_batch",
        "/collections/{collection}/points/recommend/batch",
        Rewrite(query::recommend_batch),
        Verify(answers::points_batch),
        "each search as one alone (servers before 1.19)",
    )
    .with(READ),
    Endpoint::post(
        "qdrant.recommend_groups",
        "/collections/{collection}/points/recommend/groups",
        Rewrite(query::recommend_groups),
        Verify(answers::groups),
        "filter forced; vectors only; no `with_lookup` (servers before 1.19)",
    )
    .with(READ),
    Endpoint::post(
        "qdrant.matrix_pairs",
        "/collections/{collection}/points/search/matrix/pairs",
        Rewrite(reads::matrix),
        Verify(outcomes::pairs),
        "filter forced; points with numeric ids only",
    )
    .with(READ),
    Endpoint::post(
        "qdrant.matrix_offsets",
        "/collections/{collection}/points/search/matrix/offsets",
        Rewrite(reads::matrix),
        Verify(outcomes::offsets),
        "filter forced; points with numeric ids only",
    )
    .with(READ),
    Endpoint::post(
        "qdrant.scroll",
        "/collections/{collection}/points/scroll",
        Rewrite(reads::scroll),
        Verify(answers::scroll),
        "filter forced; one point more is asked for, to tell the next page's offset",
    )
    .with(READ),
    Endpoint::post(
        "qdrant.count",
        "/collections/{collection}/points/count",
        Rewrite(reads::count),
        Verify(outcomes::computed),
        "filter forced; always exact",
    )
    .with(READ),
    Endpoint::post(
        "qdrant.facet",
        "/collections/{collection}/facet",
        Rewrite(reads::facet),
        Verify(outcomes::computed),
        "filter forced; always exact",
    )
    .with(READ),
    Endpoint::post(
        "qdrant.points",
        "/collections/{collection}/points",
        Rewrite(reads::points),
        Verify(answers::points),
        "ids scoped; the marker is asked for",
    )
    .with(READ),
    Endpoint::get(
        "qdrant.point",
        "/collections/{collection}/points/{id}",
        Rewrite(reads::point),
        Verify(answers::point),
        "id scoped; what is not marked as the tenant's is not found",
    )
    .with(&["consistency"]),
    Endpoint::post(
        "qdrant.upsert",
        "/collections/{collection}/points",
        Rewrite(operations::upsert),
        Verify(outcomes::changed),
        "marker set, ids scoped, `update_filter` forced",
    )
    .by("PUT")
    .with(WRITE),
    Endpoint::post(
        "qdrant.delete",
        "/collections/{collection}/points/delete",
        Rewrite(operations::delete),
        Verify(outcomes::changed),
        "ids become `has_id` under the forced filter",
    )
    .with(WRITE),
    Endpoint::post(
        "qdrant.set_payload",
        "/collections/{collection}/points/payload",
        Rewrite(operations::set_payload),
        Verify(outcomes::changed),
        "filter forced; the marker stays",
    )
    .with(WRITE),
    Endpoint::post(
        "qdrant.overwrite_payload",
        "/collections/{collection}/points/payload",
        Rewrite(operations::overwrite_payload),
        Verify(outcomes::changed),
        "by ids only; the marker stays; several points with UUIDs are asked as a batch, which needs the surface's `cluster`",
    )
    .by("PUT")
    .with(WRITE),
    Endpoint::post(
        "qdrant.delete_payload",
        "/collections/{collection}/points/payload/delete",
        Rewrite(operations::delete_payload),
        Verify(outcomes::changed),
        "filter forced; not the marker's key",
    )
    .with(WRITE),
    Endpoint::post(
        "qdrant.update_vectors",
        "/collections/{collection}/points/vectors",
        Rewrite(operations::update_vectors),
        Verify(outcomes::changed),
        "ids scoped, `update_filter` forced",
    )
    .by("PUT")
    .with(WRITE),
    Endpoint::post(
        "qdrant.delete_vectors",
        "/collections/{collection}/points/vectors/delete",
        Rewrite(operations::delete_vectors),
        Verify(outcomes::changed),
        "filter forced",
    )
    .with(WRITE),
    Endpoint::post(
        "qdrant.batch",
        "/collections/{collection}/points/batch",
        Rewrite(operations::batch),
        Verify(outcomes::changed_batch),
        "each operation as one alone; not `clear_payload`",
    )
    .with(WRITE),
    Endpoint::refuse(
        "qdrant.clear_payload",
        "/collections/{collection}/points/payload/clear",
        "would clear the marker; overwrite the payload with `{}` instead",
    ),
    Endpoint::refuse(
        "qdrant.discover",
        "/collections/{collection}/points/discover/*",
        "gone since 1.19; use `query` with `discover`",
    ),
    Endpoint::refuse("qdrant.points_any", "/collections/{collection}/points/*", "no known operation on points"),
    Endpoint::refuse("qdrant.index_field", "/collections/{collection}/index/*", "indexes are shared"),
    Endpoint::refuse("qdrant.aliases", "/collections/aliases", "an alias could lead to another tenant's collection"),
    Endpoint::refuse(
        "qdrant.collection_aliases",
        "/collections/{collection}/aliases",
        "an alias could lead to another tenant's collection",
    ),
    Endpoint::refuse("qdrant.all_aliases", "/aliases", "names other tenants' collections"),
    Endpoint::refuse(
        "qdrant.snapshots",
        "/collections/{collection}/snapshots/*",
        "a snapshot holds all tenants' records",
    ),
    Endpoint::refuse("qdrant.all_snapshots", "/snapshots/*", "a snapshot holds all tenants' records"),
    Endpoint::refuse(
        "qdrant.shards",
        "/collections/{collection}/shards/*",
        "shards are the operator's, their snapshots hold all tenants' records",
    ),
    Endpoint::refuse("qdrant.vector_names", "/collections/{collection}/vectors/*", "changes the collection for all"),
    Endpoint::refuse(
        "qdrant.collection_any",
        "/collections/{collection}/*",
        "changing a collection, its cluster and its optimizations are the operator's",
    ),
    Endpoint::refuse("qdrant.cluster", "/cluster/*", "the cluster is the operator's"),
    Endpoint::refuse("qdrant.quotas", "/quotas", "quotas are the operator's"),
    Endpoint::refuse("qdrant.telemetry", "/telemetry", "tells of all tenants' records"),
    Endpoint::refuse("qdrant.metrics", "/metrics", "tells of all tenants' records"),
    Endpoint::refuse("qdrant.issues", "/issues", "tells of all tenants' collections"),
    Endpoint::refuse("qdrant.healthz", "/healthz", "for the operator's probes"),
    Endpoint::refuse("qdrant.livez", "/livez", "for the operator's probes"),
    Endpoint::refuse("qdrant.readyz", "/readyz", "for the operator's probes"),
];

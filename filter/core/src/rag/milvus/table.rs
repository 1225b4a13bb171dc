//! Rows that refuse are listed too: an operator sees that they were thought of, and why.

use super::{answers, collections, entities, search, writes};
use crate::surface::{BodyRule, Endpoint, RequestRule, ResponseRule};
use RequestRule::Rewrite;
use ResponseRule::Verify;

/// Milvus' own Node client sends its JSON as `text/plain`.
const fn served(row: Endpoint) -> Endpoint {
    Endpoint { body: BodyRule::JsonOrText, ..row }
}

/// The rows.
pub const TABLE: &[Endpoint] = &[
    served(Endpoint::post(
        "milvus.search",
        "/v2/vectordb/entities/search",
        Rewrite(search::search),
        Verify(answers::rows),
        "`filter` nested under the namespace, marker forced",
    )),
    served(Endpoint::post(
        "milvus.hybrid_search",
        "/v2/vectordb/entities/hybrid_search",
        Rewrite(search::hybrid),
        Verify(answers::rows),
        "every search's `filter` nested under the namespace",
    )),
    served(Endpoint::post(
        "milvus.advanced_search",
        "/v2/vectordb/entities/advanced_search",
        Rewrite(search::hybrid),
        Verify(answers::rows),
        "the old name of `hybrid_search`",
    )),
    served(Endpoint::post(
        "milvus.query",
        "/v2/vectordb/entities/query",
        Rewrite(entities::query),
        Verify(answers::rows),
        "`filter` nested under the namespace, marker forced; `count(*)` too",
    )),
    served(Endpoint::post(
        "milvus.get",
        "/v2/vectordb/entities/get",
        Rewrite(entities::get),
        Verify(answers::rows),
        "becomes a `query` for those keys under the namespace",
    )),
    served(Endpoint::post(
        "milvus.insert",
        "/v2/vectordb/entities/insert",
        Rewrite(writes::insert),
        Verify(answers::written),
        "marker set, keys scoped to the tenant",
    )),
    served(Endpoint::post(
        "milvus.upsert",
        "/v2/vectordb/entities/upsert",
        Rewrite(writes::upsert),
        Verify(answers::written),
        "marker set, keys scoped to the tenant",
    )),
    served(Endpoint::post(
        "milvus.delete",
        "/v2/vectordb/entities/delete",
        Rewrite(writes::delete),
        Verify(answers::written),
        "`filter` nested under the namespace",
    )),
    served(Endpoint::post(
        "milvus.collections",
        "/v2/vectordb/collections/list",
        Rewrite(collections::list),
        Verify(answers::collections),
        "only the tenant's are listed",
    )),
    served(Endpoint::post(
        "milvus.has",
        "/v2/vectordb/collections/has",
        Rewrite(collections::named),
        Verify(answers::state),
        "an allowed name",
    )),
    served(Endpoint::post(
        "milvus.describe",
        "/v2/vectordb/collections/describe",
        Rewrite(collections::named),
        Verify(answers::described),
        "an allowed name; without aliases and the marker's field",
    )),
    served(Endpoint::post(
        "milvus.load",
        "/v2/vectordb/collections/load",
        Rewrite(collections::named),
        Verify(answers::state),
        "an allowed name",
    )),
    served(Endpoint::post(
        "milvus.load_state",
        "/v2/vectordb/collections/get_load_state",
        Rewrite(collections::named),
        Verify(answers::state),
        "an allowed name",
    )),
    served(Endpoint::post(
        "milvus.stats",
        "/v2/vectordb/collections/get_stats",
        Rewrite(entities::stats),
        Verify(answers::stats),
        "becomes a count under the namespace",
    )),
    served(Endpoint::post(
        "milvus.create",
        "/v2/vectordb/collections/create",
        Rewrite(collections::create),
        Verify(answers::state),
        "an allowed name, where the policy lets clients create; a field for the marker is added",
    )),
    served(Endpoint::post(
        "milvus.drop",
        "/v2/vectordb/collections/drop",
        Rewrite(collections::delete),
        Verify(answers::state),
        "the tenant's own, where the policy lets clients create; never a shared one",
    )),
    Endpoint::refuse("milvus.release", "/v2/vectordb/collections/release", "takes the collection from every tenant"),
    Endpoint::refuse("milvus.rename", "/v2/vectordb/collections/rename", "could take another tenant's name"),
    Endpoint::refuse(
        "milvus.collection_any",
        "/v2/vectordb/collections/*",
        "flush, compact, refresh_load and properties are the operator's",
    ),
    Endpoint::refuse("milvus.entities_any", "/v2/vectordb/entities/*", "not known"),
    Endpoint::refuse("milvus.partitions", "/v2/vectordb/partitions/*", "partitions are the operator's"),
    Endpoint::refuse("milvus.indexes", "/v2/vectordb/indexes/*", "the operator's; or give `indexParams` with `create`"),
    Endpoint::refuse(
        "milvus.aliases",
        "/v2/vectordb/aliases/*",
        "a second name for a collection, perhaps another tenant's",
    ),
    Endpoint::refuse("milvus.databases", "/v2/vectordb/databases/*", "databases are the operator's"),
    Endpoint::refuse("milvus.jobs", "/v2/vectordb/jobs/*", "imports cannot be marked"),
    Endpoint::refuse("milvus.users", "/v2/vectordb/users/*", "users are the operator's"),
    Endpoint::refuse("milvus.roles", "/v2/vectordb/roles/*", "roles are the operator's"),
    Endpoint::refuse("milvus.privileges", "/v2/vectordb/privilege_groups/*", "privileges are the operator's"),
    Endpoint::refuse("milvus.resources", "/v2/vectordb/resource_groups/*", "nodes are the operator's"),
    Endpoint::refuse("milvus.any", "/v2/vectordb/*", "not known"),
    Endpoint::refuse("milvus.v1", "/v1/vector/*", "the old API"),
    Endpoint::refuse("milvus.api_v1", "/api/v1/*", "the old API, and administration"),
];

//! Rows that refuse are listed too: an operator sees that they were thought of, and why.

use super::{answers, batch, graphql, objects, outcomes, server};
use crate::surface::{Endpoint, QueryRule, RequestRule, ResponseRule};
use RequestRule::{Pass, Rewrite};
use ResponseRule::{Scan, Verify};

/// A row whose query the rewriter judges.
const fn judged(row: Endpoint) -> Endpoint {
    Endpoint { query: QueryRule::Judged, ..row }
}

/// The rows.
pub const TABLE: &[Endpoint] = &[
    Endpoint::get("weaviate.meta", "/v1/meta", Pass, Verify(server::meta), "version and names of modules"),
    Endpoint::get(
        "weaviate.nodes",
        "/v1/nodes",
        Pass,
        Verify(server::nodes),
        "whether they are well, not what they hold; clients ask before a batch",
    ),
    Endpoint::get("weaviate.live", "/v1/.well-known/live", Pass, Scan, ""),
    Endpoint::get("weaviate.ready", "/v1/.well-known/ready", Pass, Scan, ""),
    Endpoint::get("weaviate.oidc", "/v1/.well-known/openid-configuration", Pass, Scan, ""),
    Endpoint::post(
        "weaviate.graphql",
        "/v1/graphql",
        Rewrite(graphql::judge),
        Verify(graphql::answers::verify),
        "`Get` and `Aggregate` of allowed classes: tenant set, `where` nested under the marker",
    ),
    Endpoint::refuse("weaviate.graphql_batch", "/v1/graphql/batch", "one query at a time is verified"),
    judged(Endpoint::get(
        "weaviate.list",
        "/v1/objects",
        Rewrite(objects::list),
        Verify(answers::list),
        "of one allowed class, tenant set",
    )),
    judged(Endpoint::post(
        "weaviate.create",
        "/v1/objects",
        Rewrite(objects::create),
        Verify(answers::object),
        "tenant and marker set",
    )),
    judged(Endpoint::get(
        "weaviate.object",
        "/v1/objects/{class}/{id}",
        Rewrite(objects::by_id),
        Verify(answers::object),
        "tenant set; another's is not found",
    )),
    judged(
        Endpoint::get("weaviate.exists", "/v1/objects/{class}/{id}", Rewrite(objects::by_id), Scan, "tenant set")
            .by("HEAD"),
    ),
    judged(
        Endpoint::get("weaviate.delete", "/v1/objects/{class}/{id}", Rewrite(objects::by_id), Scan, "tenant set")
            .by("DELETE"),
    ),
    judged(
        Endpoint::post(
            "weaviate.replace",
            "/v1/objects/{class}/{id}",
            Rewrite(objects::replace),
            Verify(answers::object),
            "tenant and marker set",
        )
        .by("PUT"),
    ),
    judged(
        Endpoint::post(
            "weaviate.merge",
            "/v1/objects/{class}/{id}",
            Rewrite(objects::merge),
            Scan,
            "tenant set, the marker untouched",
        )
        .by("PATCH"),
    ),
    judged(Endpoint::post(
        "weaviate.reference_add",
        "/v1/objects/{class}/{id}/references/{property}",
        Rewrite(objects::references),
        Scan,
        "tenant set; beacons of allowed classes",
    )),
    judged(
        Endpoint::post(
            "weaviate.references_replace",
            "/v1/objects/{class}/{id}/references/{property}",
            Rewrite(objects::references),
            Scan,
            "tenant set; beacons of allowed classes",
        )
        .by("PUT"),
    ),
    judged(
        Endpoint::post(
            "weaviate.reference_delete",
            "/v1/objects/{class}/{id}/references/{property}",
            Rewrite(objects::references),
            Scan,
            "tenant set; beacons of allowed classes",
        )
        .by("DELETE"),
    ),
    judged(Endpoint::post(
        "weaviate.batch_objects",
        "/v1/batch/objects",
        Rewrite(batch::objects),
        Verify(outcomes::batch),
        "tenant and marker set in each",
    )),
    judged(
        Endpoint::post(
            "weaviate.batch_delete",
            "/v1/batch/objects",
            Rewrite(batch::delete),
            Verify(outcomes::deleted),
            "tenant set, `where` nested under the marker",
        )
        .by("DELETE"),
    ),
    judged(Endpoint::post(
        "weaviate.batch_references",
        "/v1/batch/references",
        Rewrite(batch::references),
        Verify(outcomes::batch_references),
        "tenant set in each; beacons of allowed classes",
    )),
    Endpoint::refuse("weaviate.validate", "/v1/objects/validate", "it tells whether what an object refers to exists"),
    Endpoint::refuse("weaviate.object_any", "/v1/objects/{id}", "an id without a class is looked up in all classes"),
    Endpoint::refuse("weaviate.objects_any", "/v1/objects/*", "not a known operation on objects"),
    Endpoint::refuse(
        "weaviate.search",
        "/v1/search/*",
        "of 1.40: its fields were still being renamed, and unknown ones are ignored, so nothing can be forced",
    ),
    Endpoint::refuse(
        "weaviate.aggregate",
        "/v1/aggregate/*",
        "of 1.40: its fields were still being renamed, and unknown ones are ignored, so nothing can be forced",
    ),
    Endpoint::refuse("weaviate.schema", "/v1/schema/*", "classes and tenants are the operator's"),
    Endpoint::refuse("weaviate.aliases", "/v1/aliases/*", "an alias is another name for a class"),
    Endpoint::refuse("weaviate.namespaces", "/v1/namespaces/*", "namespaces are the operator's"),
    Endpoint::refuse("weaviate.backups", "/v1/backups/*", "backups hold all tenants"),
    Endpoint::refuse("weaviate.export", "/v1/export/*", "an export holds all tenants"),
    Endpoint::refuse("weaviate.nodes_any", "/v1/nodes/*", "counts of all tenants"),
    Endpoint::refuse("weaviate.cluster", "/v1/cluster/*", "the cluster is the operator's"),
    Endpoint::refuse("weaviate.replication", "/v1/replication/*", "the cluster is the operator's"),
    Endpoint::refuse("weaviate.tasks", "/v1/tasks/*", "the cluster is the operator's"),
    Endpoint::refuse("weaviate.authz", "/v1/authz/*", "roles are the operator's"),
    Endpoint::refuse("weaviate.users", "/v1/users/*", "users are the operator's"),
    Endpoint::refuse(
        "weaviate.classifications",
        "/v1/classifications/*",
        "a classification reads and writes whole classes",
    ),
    Endpoint::refuse("weaviate.modules", "/v1/modules/*", "modules answer past the tenant"),
    Endpoint::refuse("weaviate.mcp", "/v1/mcp/*", "tools that answer past the tenant"),
    Endpoint::refuse("weaviate.grpc", "/weaviate.v1.Weaviate/*", "gRPC bodies cannot be rewritten here"),
];

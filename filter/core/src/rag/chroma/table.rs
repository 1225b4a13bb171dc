//! Rows that refuse are listed too: an operator sees that they were thought of, and why.

use super::{answers, requests};
use crate::surface::{Endpoint, RequestRule, ResponseRule};
use RequestRule::{Pass, Rewrite};
use ResponseRule::{Scan, Verify};

/// The rows.
pub const TABLE: &[Endpoint] = &[
    Endpoint::get("chroma.heartbeat", "/api/v2/heartbeat", Pass, Scan, ""),
    Endpoint::get("chroma.version", "/api/v2/version", Pass, Scan, ""),
    Endpoint::get("chroma.preflight", "/api/v2/pre-flight-checks", Pass, Scan, "the clients' batch limits"),
    Endpoint::get(
        "chroma.identity",
        "/api/v2/auth/identity",
        Pass,
        Verify(answers::identity),
        "the tenant, and the configured database only",
    ),
    Endpoint::get(
        "chroma.tenant",
        "/api/v2/tenants/{tenant}",
        Rewrite(requests::place),
        Scan,
        "the configured one only",
    ),
    Endpoint::get(
        "chroma.database",
        "/api/v2/tenants/{tenant}/databases/{database}",
        Rewrite(requests::place),
        Verify(answers::database),
        "the configured one only",
    ),
    Endpoint::get(
        "chroma.collections",
        "/api/v2/tenants/{tenant}/databases/{database}/collections",
        Rewrite(requests::list),
        Verify(answers::collections),
        "only the tenant's are listed",
    )
    .with(&["limit", "offset"]),
    Endpoint::get(
        "chroma.collections_count",
        "/api/v2/tenants/{tenant}/databases/{database}/collections_count",
        Rewrite(requests::count_collections),
        Verify(answers::count_collections),
        "counted from the list",
    ),
    Endpoint::get(
        "chroma.collection",
        "/api/v2/tenants/{tenant}/databases/{database}/collections/{name}",
        Rewrite(requests::place),
        Verify(answers::collection),
        "by an allowed name; its UUID is sealed to the tenant",
    ),
    Endpoint::get(
        "chroma.delete_collection",
        "/api/v2/tenants/{tenant}/databases/{database}/collections/{name}",
        Rewrite(requests::delete_collection),
        Scan,
        "the tenant's own, where the policy lets clients create; never a shared one",
    )
    .by("DELETE"),
    Endpoint::post(
        "chroma.create",
        "/api/v2/tenants/{tenant}/databases/{database}/collections",
        Rewrite(requests::create),
        Verify(answers::collection),
        "an allowed name, where the policy lets clients create",
    ),
    Endpoint::post(
        "chroma.add",
        "/api/v2/tenants/{tenant}/databases/{database}/collections/{collection_id}/add",
        Rewrite(requests::write),
        Scan,
        "marker set, ids scoped to the tenant",
    ),
    Endpoint::post(
        "chroma.upsert",
        "/api/v2/tenants/{tenant}/databases/{database}/collections/{collection_id}/upsert",
        Rewrite(requests::write),
        Scan,
        "marker set, ids scoped to the tenant",
    ),
    Endpoint::post(
        "chroma.update",
        "/api/v2/tenants/{tenant}/databases/{database}/collections/{collection_id}/update",
        Rewrite(requests::write),
        Scan,
        "marker set, ids scoped to the tenant",
    ),
    Endpoint::post(
        "chroma.query",
        "/api/v2/tenants/{tenant}/databases/{database}/collections/{collection_id}/query",
        Rewrite(requests::query),
        Verify(answers::results),
        "`where` nested under the namespace",
    ),
    Endpoint::post(
        "chroma.get",
        "/api/v2/tenants/{tenant}/databases/{database}/collections/{collection_id}/get",
        Rewrite(requests::get),
        Verify(answers::records),
        "`where` nested under the namespace; `peek` too",
    ),
    Endpoint::post(
        "chroma.delete",
        "/api/v2/tenants/{tenant}/databases/{database}/collections/{collection_id}/delete",
        Rewrite(requests::delete),
        Scan,
        "`where` nested under the namespace, also for ids",
    ),
    Endpoint::get(
        "chroma.count",
        "/api/v2/tenants/{tenant}/databases/{database}/collections/{collection_id}/count",
        Rewrite(requests::count),
        Verify(answers::count),
        "counted from a `get` under the namespace; needs the surface's `cluster`",
    )
    .with(&["read_level"]),
    Endpoint::refuse(
        "chroma.search",
        "/api/v2/tenants/{tenant}/databases/{database}/collections/{collection_id}/search",
        "its answer cannot be verified exactly; the open-source server answers 501",
    ),
    Endpoint::refuse(
        "chroma.collection_any",
        "/api/v2/tenants/{tenant}/databases/{database}/collections/{name}/*",
        "modify, fork, functions, conditional writes and status are the operator's",
    ),
    Endpoint::refuse("chroma.databases", "/api/v2/tenants/{tenant}/databases/*", "databases are the operator's"),
    Endpoint::refuse("chroma.tenants", "/api/v2/tenants/*", "tenants are the operator's"),
    Endpoint::refuse("chroma.by_id", "/api/v2/collections/*", "bypasses tenant and database"),
    Endpoint::refuse("chroma.reset", "/api/v2/reset", "deletes everything"),
    Endpoint::refuse("chroma.v1", "/api/v1/*", "the old API"),
];

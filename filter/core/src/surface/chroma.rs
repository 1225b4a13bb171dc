//! Chroma's v2 API over a shared collection.
//!
//! Rows that refuse are listed too: an operator sees that they were thought of, and why.

use super::{BodyRule, Endpoint, RequestRule, ResponseRule};
use RequestRule::{ChromaCreate, ChromaDelete, ChromaGet, ChromaQuery, ChromaWrite, Pass, Refuse};
use ResponseRule::{ChromaCollections, ChromaRecords, ChromaResults, Scan};

const fn get(name: &'static str, template: &'static str, note: &'static str) -> Endpoint {
    Endpoint { name, method: "GET", template, query: &[], body: BodyRule::None, request: Pass, response: Scan, note }
}

const fn post(
    name: &'static str,
    template: &'static str,
    request: RequestRule,
    response: ResponseRule,
    note: &'static str,
) -> Endpoint {
    Endpoint { name, method: "POST", template, query: &[], body: BodyRule::Json, request, response, note }
}

const fn refuse(name: &'static str, template: &'static str, why: &'static str) -> Endpoint {
    Endpoint {
        name,
        method: "*",
        template,
        query: &[],
        body: BodyRule::None,
        request: Refuse(why),
        response: Scan,
        note: "",
    }
}

pub(super) const TABLE: &[Endpoint] = &[
    get("chroma.heartbeat", "/api/v2/heartbeat", ""),
    get("chroma.version", "/api/v2/version", ""),
    get("chroma.preflight", "/api/v2/pre-flight-checks", "the clients' batch limits"),
    get("chroma.identity", "/api/v2/auth/identity", ""),
    get("chroma.tenant", "/api/v2/tenants/{tenant}", "the configured one only"),
    get("chroma.database", "/api/v2/tenants/{tenant}/databases/{database}", "the configured one only"),
    Endpoint {
        query: &["limit", "offset"],
        response: ChromaCollections,
        ..get(
            "chroma.collections",
            "/api/v2/tenants/{tenant}/databases/{database}/collections",
            "only allowed names are listed",
        )
    },
    get("chroma.collection", "/api/v2/tenants/{tenant}/databases/{database}/collections/{name}", "by an allowed name"),
    post(
        "chroma.create",
        "/api/v2/tenants/{tenant}/databases/{database}/collections",
        ChromaCreate,
        Scan,
        "an allowed name, where the policy lets clients create",
    ),
    post(
        "chroma.add",
        "/api/v2/tenants/{tenant}/databases/{database}/collections/{collection_id}/add",
        ChromaWrite,
        Scan,
        "marker set, ids scoped to the tenant",
    ),
    post(
        "chroma.upsert",
        "/api/v2/tenants/{tenant}/databases/{database}/collections/{collection_id}/upsert",
        ChromaWrite,
        Scan,
        "marker set, ids scoped to the tenant",
    ),
    post(
        "chroma.update",
        "/api/v2/tenants/{tenant}/databases/{database}/collections/{collection_id}/update",
        ChromaWrite,
        Scan,
        "marker set, ids scoped to the tenant",
    ),
    post(
        "chroma.query",
        "/api/v2/tenants/{tenant}/databases/{database}/collections/{collection_id}/query",
        ChromaQuery,
        ChromaResults,
        "`where` nested under the namespace",
    ),
    post(
        "chroma.get",
        "/api/v2/tenants/{tenant}/databases/{database}/collections/{collection_id}/get",
        ChromaGet,
        ChromaRecords,
        "`where` nested under the namespace; `peek` too",
    ),
    post(
        "chroma.delete",
        "/api/v2/tenants/{tenant}/databases/{database}/collections/{collection_id}/delete",
        ChromaDelete,
        Scan,
        "`where` nested under the namespace, also for ids",
    ),
    refuse(
        "chroma.count",
        "/api/v2/tenants/{tenant}/databases/{database}/collections/{collection_id}/count",
        "the count is of all tenants",
    ),
    refuse(
        "chroma.search",
        "/api/v2/tenants/{tenant}/databases/{database}/collections/{collection_id}/search",
        "its answer cannot be verified exactly; the open-source server answers 501",
    ),
    refuse(
        "chroma.collections_count",
        "/api/v2/tenants/{tenant}/databases/{database}/collections_count",
        "counts foreign collections",
    ),
    refuse(
        "chroma.collection_any",
        "/api/v2/tenants/{tenant}/databases/{database}/collections/{name}/*",
        "modify, delete, fork, functions, conditional writes and status are the operator's",
    ),
    refuse("chroma.databases", "/api/v2/tenants/{tenant}/databases/*", "databases are the operator's"),
    refuse("chroma.tenants", "/api/v2/tenants/*", "tenants are the operator's"),
    refuse("chroma.by_id", "/api/v2/collections/*", "bypasses tenant and database"),
    refuse("chroma.reset", "/api/v2/reset", "deletes everything"),
    refuse("chroma.v1", "/api/v1/*", "the old API"),
];

//! Rows that refuse are listed too: an operator sees that they were thought of, and why.

use super::{answers, records, requests, stats};
use crate::surface::{BodyRule, Endpoint, QueryRule, RequestRule, ResponseRule};
use RequestRule::{Check, Pass, Rewrite};
use ResponseRule::{Scan, Verify};

/// The rows.
pub const TABLE: &[Endpoint] = &[
    Endpoint::post(
        "pinecone.query",
        "/query",
        Rewrite(requests::query),
        Verify(answers::matches),
        "namespace set, `filter` nested under the marker",
    ),
    Endpoint::post(
        "pinecone.upsert",
        "/vectors/upsert",
        Rewrite(requests::upsert),
        Scan,
        "namespace set, each vector marked",
    ),
    Endpoint::post(
        "pinecone.update",
        "/vectors/update",
        Rewrite(requests::update),
        Scan,
        "namespace set, `filter` nested under the marker, the marker untouched",
    ),
    Endpoint::post(
        "pinecone.delete",
        "/vectors/delete",
        Rewrite(requests::delete),
        Scan,
        "namespace set, `filter` nested under the marker; `deleteAll` is of the tenant's namespace",
    ),
    Endpoint::post(
        "pinecone.fetch_by_metadata",
        "/vectors/fetch_by_metadata",
        Rewrite(requests::fetch_by_metadata),
        Verify(answers::vectors),
        "namespace set, `filter` nested under the marker",
    ),
    Endpoint {
        query: QueryRule::Judged,
        ..Endpoint::get(
            "pinecone.fetch",
            "/vectors/fetch",
            Rewrite(requests::fetch),
            Verify(answers::vectors),
            "namespace set",
        )
    },
    Endpoint {
        query: QueryRule::Judged,
        ..Endpoint::get(
            "pinecone.list",
            "/vectors/list",
            Rewrite(requests::list),
            Verify(answers::ids),
            "namespace set; verified by the namespace that the answer names",
        )
    },
    Endpoint::post(
        "pinecone.stats",
        "/describe_index_stats",
        Check(stats::ask),
        Verify(stats::verify),
        "only the tenant's namespace is told; no filter",
    ),
    Endpoint::get(
        "pinecone.stats_get",
        "/describe_index_stats",
        Pass,
        Verify(stats::verify),
        "only the tenant's namespace is told",
    ),
    Endpoint {
        body: BodyRule::Ndjson,
        ..Endpoint::post(
            "pinecone.records_upsert",
            "/records/namespaces/{namespace}/upsert",
            Rewrite(records::upsert),
            Scan,
            "namespace set, each record marked",
        )
    },
    Endpoint::post(
        "pinecone.records_search",
        "/records/namespaces/{namespace}/search",
        Rewrite(records::search),
        Verify(answers::hits),
        "namespace set, `filter` nested under the marker",
    ),
    Endpoint::refuse(
        "pinecone.namespaces",
        "/namespaces/*",
        "namespaces, their aliases and document indexes: which there are is the operator's",
    ),
    Endpoint::refuse("pinecone.imports", "/bulk/*", "an import brings records that were not marked"),
    Endpoint::refuse("pinecone.indexes", "/indexes/*", "the control plane is the operator's"),
    Endpoint::refuse("pinecone.collections", "/collections/*", "the control plane is the operator's"),
    Endpoint::refuse("pinecone.backups", "/backups/*", "the control plane is the operator's"),
    Endpoint::refuse("pinecone.restores", "/restore-jobs/*", "the control plane is the operator's"),
    Endpoint::refuse("pinecone.vectors_any", "/vectors/*", "not a known operation on vectors"),
    Endpoint::refuse("pinecone.records_any", "/records/*", "not a known operation on records"),
    Endpoint::refuse("pinecone.inference_embed", "/embed", "hosted models are no part of the data plane"),
    Endpoint::refuse("pinecone.inference_rerank", "/rerank", "hosted models are no part of the data plane"),
    Endpoint::refuse("pinecone.models", "/models/*", "hosted models are no part of the data plane"),
    Endpoint::refuse("pinecone.assistant", "/assistant/*", "assistants have a data plane of their own"),
    Endpoint::refuse("pinecone.grpc", "/VectorService/*", "gRPC bodies cannot be rewritten here"),
];

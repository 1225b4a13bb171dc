//! Rows that refuse are listed too: an operator sees that they were thought of, and why.

use super::{answers, create, documents, requests, written};
use crate::surface::{BodyRule, Endpoint, RequestRule, ResponseRule};
use RequestRule::{Pass, Rewrite};
use ResponseRule::{Scan, Verify};

/// URL parameters of a search. Not `q`, `source`, `preference`, `routing`, `scroll`, `filter_path`, `search_pipeline`, nor what
/// makes one name stand for several indexes.
const SEARCH: &[&str] = &[
    "typed_keys",
    "rest_total_hits_as_int",
    "pretty",
    "human",
    "timeout",
    "from",
    "size",
    "sort",
    "terminate_after",
    "track_scores",
    "track_total_hits",
    "version",
    "seq_no_primary_term",
    "search_type",
    "request_cache",
    "allow_partial_search_results",
    "batched_reduce_size",
    "max_concurrent_shard_requests",
    "pre_filter_shard_size",
    "ccs_minimize_roundtrips",
    "_source",
    "_source_includes",
    "_source_excludes",
];
const MSEARCH: &[&str] = &[
    "typed_keys",
    "rest_total_hits_as_int",
    "pretty",
    "human",
    "search_type",
    "max_concurrent_searches",
    "max_concurrent_shard_requests",
    "pre_filter_shard_size",
    "ccs_minimize_roundtrips",
];
const COUNT: &[&str] = &["pretty", "human", "min_score", "terminate_after"];
const WRITE: &[&str] = &[
    "refresh",
    "timeout",
    "wait_for_active_shards",
    "if_seq_no",
    "if_primary_term",
    "op_type",
    "version",
    "version_type",
    "pretty",
    "human",
];
const UPDATE: &[&str] = &[
    "refresh",
    "timeout",
    "wait_for_active_shards",
    "if_seq_no",
    "if_primary_term",
    "retry_on_conflict",
    "pretty",
    "human",
];
const FRESH: &[&str] = &["refresh", "timeout", "wait_for_active_shards", "pretty", "human"];
const GET: &[&str] = &[
    "realtime",
    "refresh",
    "version",
    "version_type",
    "pretty",
    "human",
    "_source",
    "_source_includes",
    "_source_excludes",
];
const MGET: &[&str] = &["realtime", "refresh", "pretty", "human", "_source", "_source_includes", "_source_excludes"];
const BY_QUERY: &[&str] = &[
    "conflicts",
    "refresh",
    "timeout",
    "max_docs",
    "scroll_size",
    "requests_per_second",
    "slices",
    "wait_for_active_shards",
    "wait_for_completion",
    "pretty",
    "human",
];
const INDEX: &[&str] =
    &["timeout", "master_timeout", "cluster_manager_timeout", "wait_for_active_shards", "pretty", "human"];

/// The rows.
pub const TABLE: &[Endpoint] = &[
    Endpoint::get("elastic.info", "/", Pass, Scan, "the product check of clients").with(&["pretty", "human"]),
    Endpoint::get("elastic.ping", "/", Pass, Scan, "").by("HEAD"),
    // Without an index in the path.
    Endpoint::post(
        "elastic.bulk_any",
        "/_bulk",
        Rewrite(documents::bulk),
        Verify(written::bulk),
        "each action names an allowed index; marker set, ids scoped",
    )
    .taking(BodyRule::Ndjson)
    .with(FRESH),
    Endpoint::post(
        "elastic.bulk_any_put",
        "/_bulk",
        Rewrite(documents::bulk),
        Verify(written::bulk),
        "each action names an allowed index; marker set, ids scoped",
    )
    .by("PUT")
    .taking(BodyRule::Ndjson)
    .with(FRESH),
    Endpoint::refuse("elastic.search_any", "/_search", "searches every index"),
    Endpoint::refuse(
        "elastic.search_any_more",
        "/_search/*",
        "scroll, point in time and templates outlive or hide the query",
    ),
    Endpoint::post(
        "elastic.msearch_any",
        "/_msearch",
        Rewrite(requests::msearch),
        Verify(answers::msearch),
        "each header names an allowed index; each search like one alone",
    )
    .taking(BodyRule::Ndjson)
    .with(MSEARCH),
    Endpoint::refuse("elastic.msearch_template", "/_msearch/*", "a template hides the query"),
    Endpoint::post(
        "elastic.mget_any",
        "/_mget",
        Rewrite(requests::mget),
        Verify(written::mget),
        "each document names an allowed index; ids scoped, each verified",
    )
    .with(MGET),
    Endpoint::refuse("elastic.count_any", "/_count", "counts every index"),
    Endpoint::refuse("elastic.all", "/_all/*", "every index"),
    Endpoint::refuse("elastic.async_search", "/_async_search/*", "its answer is fetched by an id that is nobody's"),
    Endpoint::refuse("elastic.pit", "/_pit", "a point in time is an id that is nobody's"),
    Endpoint::refuse("elastic.sql", "/_sql/*", "another query language"),
    Endpoint::refuse("elastic.esql", "/_query/*", "another query language"),
    Endpoint::refuse("elastic.eql", "/_eql/*", "another query language"),
    Endpoint::refuse("elastic.reindex", "/_reindex/*", "copies whole indexes"),
    Endpoint::refuse("elastic.update_by_query_any", "/_update_by_query/*", "its tasks are nobody's"),
    Endpoint::refuse("elastic.delete_by_query_any", "/_delete_by_query/*", "its tasks are nobody's"),
    Endpoint::refuse("elastic.tasks", "/_tasks/*", "tasks of everyone"),
    Endpoint::refuse("elastic.scripts", "/_scripts/*", "code"),
    Endpoint::refuse("elastic.render", "/_render/*", "templates"),
    Endpoint::refuse("elastic.field_caps", "/_field_caps", "fields of every tenant"),
    Endpoint::refuse("elastic.mapping", "/_mapping/*", "fields of every tenant"),
    Endpoint::refuse("elastic.settings", "/_settings/*", "the operator's"),
    Endpoint::refuse("elastic.aliases", "/_aliases", "an alias is another name for an index"),
    Endpoint::refuse("elastic.alias", "/_alias/*", "an alias is another name for an index"),
    Endpoint::refuse("elastic.data_stream", "/_data_stream/*", "the operator's"),
    Endpoint::refuse("elastic.index_template", "/_index_template/*", "the operator's"),
    Endpoint::refuse("elastic.component_template", "/_component_template/*", "the operator's"),
    Endpoint::refuse("elastic.template", "/_template/*", "the operator's"),
    Endpoint::refuse("elastic.resolve", "/_resolve/*", "names every index"),
    Endpoint::refuse("elastic.cat", "/_cat/*", "names and sizes of every index"),
    Endpoint::refuse("elastic.list", "/_list/*", "names and sizes of every index"),
    Endpoint::refuse("elastic.cluster", "/_cluster/*", "the operator's"),
    Endpoint::refuse("elastic.nodes", "/_nodes/*", "the operator's"),
    Endpoint::refuse("elastic.stats", "/_stats/*", "sizes of every index"),
    Endpoint::refuse("elastic.refresh_any", "/_refresh", "every index"),
    Endpoint::refuse("elastic.snapshot", "/_snapshot/*", "the operator's"),
    Endpoint::refuse("elastic.ingest", "/_ingest/*", "the operator's"),
    Endpoint::refuse("elastic.inference", "/_inference/*", "the operator's"),
    Endpoint::refuse("elastic.ml", "/_ml/*", "the operator's"),
    Endpoint::refuse("elastic.security", "/_security/*", "the operator's"),
    Endpoint::refuse("elastic.plugins", "/_plugins/*", "the operator's; their searches are not read"),
    Endpoint::refuse("elastic.opendistro", "/_opendistro/*", "the operator's"),
    Endpoint::refuse("elastic.analyze", "/_analyze", "reads an index's own analyzers"),
    Endpoint::refuse("elastic.rank_eval", "/_rank_eval", "searches by template"),
    Endpoint::refuse("elastic.mtermvectors", "/_mtermvectors", "counts words of every tenant"),
    // A single index.
    Endpoint::post(
        "elastic.search",
        "/{index}/_search",
        Rewrite(requests::search),
        Verify(answers::search),
        "the query nested under the namespace, and every `knn`, retriever and `hybrid` part; without a body asked by the filter itself",
    )
    .taking(BodyRule::Optional)
    .with(SEARCH),
    Endpoint::get(
        "elastic.search_get",
        "/{index}/_search",
        Rewrite(requests::search),
        Verify(answers::search),
        "asked as a POST by the filter itself; needs the surface's `cluster`",
    )
    .with(SEARCH),
    Endpoint::post(
        "elastic.msearch",
        "/{index}/_msearch",
        Rewrite(requests::msearch),
        Verify(answers::msearch),
        "each search like one alone; each header's index an allowed one",
    )
    .taking(BodyRule::Ndjson)
    .with(MSEARCH),
    Endpoint::post(
        "elastic.count",
        "/{index}/_count",
        Rewrite(requests::count),
        Verify(answers::count),
        "the query nested under the namespace; without a body asked by the filter itself",
    )
    .taking(BodyRule::Optional)
    .with(COUNT),
    Endpoint::get(
        "elastic.count_get",
        "/{index}/_count",
        Rewrite(requests::count),
        Verify(answers::count),
        "asked as a POST by the filter itself; needs the surface's `cluster`",
    )
    .with(COUNT),
    Endpoint::post(
        "elastic.mget",
        "/{index}/_mget",
        Rewrite(requests::mget),
        Verify(written::mget),
        "ids scoped; each document verified",
    )
    .with(MGET),
    Endpoint::post(
        "elastic.bulk",
        "/{index}/_bulk",
        Rewrite(documents::bulk),
        Verify(written::bulk),
        "marker set, ids scoped; scripts, pipelines and routing refused",
    )
    .taking(BodyRule::Ndjson)
    .with(FRESH),
    Endpoint::post(
        "elastic.bulk_put",
        "/{index}/_bulk",
        Rewrite(documents::bulk),
        Verify(written::bulk),
        "marker set, ids scoped; scripts, pipelines and routing refused",
    )
    .by("PUT")
    .taking(BodyRule::Ndjson)
    .with(FRESH),
    Endpoint::post(
        "elastic.index_fresh",
        "/{index}/_doc",
        Rewrite(documents::index_fresh),
        Verify(written::write),
        "marker set; the filter gives the id",
    )
    .with(FRESH),
    Endpoint::post(
        "elastic.index",
        "/{index}/_doc/{id}",
        Rewrite(documents::index),
        Verify(written::write),
        "marker set, id scoped",
    )
    .with(WRITE),
    Endpoint::post(
        "elastic.index_put",
        "/{index}/_doc/{id}",
        Rewrite(documents::index),
        Verify(written::write),
        "marker set, id scoped",
    )
    .by("PUT")
    .with(WRITE),
    Endpoint::get(
        "elastic.get",
        "/{index}/_doc/{id}",
        Rewrite(requests::get),
        Verify(written::get),
        "id scoped; a foreign document is not found",
    )
    .with(GET),
    Endpoint::get("elastic.exists", "/{index}/_doc/{id}", Rewrite(requests::place), Scan, "id scoped")
        .by("HEAD")
        .with(&["realtime", "refresh"]),
    Endpoint::get(
        "elastic.delete",
        "/{index}/_doc/{id}",
        Rewrite(requests::place),
        Verify(written::write),
        "id scoped",
    )
    .by("DELETE")
    .with(WRITE),
    Endpoint::post(
        "elastic.create",
        "/{index}/_create/{id}",
        Rewrite(documents::index),
        Verify(written::write),
        "marker set, id scoped",
    )
    .with(FRESH),
    Endpoint::post(
        "elastic.create_put",
        "/{index}/_create/{id}",
        Rewrite(documents::index),
        Verify(written::write),
        "marker set, id scoped",
    )
    .by("PUT")
    .with(FRESH),
    Endpoint::post(
        "elastic.update",
        "/{index}/_update/{id}",
        Rewrite(documents::update),
        Verify(written::write),
        "id scoped, marker kept; scripts refused",
    )
    .with(UPDATE),
    Endpoint::get(
        "elastic.source",
        "/{index}/_source/{id}",
        Rewrite(requests::get),
        Verify(written::source),
        "id scoped; verified by the marker in it",
    )
    .with(GET),
    Endpoint::get("elastic.source_exists", "/{index}/_source/{id}", Rewrite(requests::place), Scan, "id scoped")
        .by("HEAD")
        .with(&["realtime", "refresh"]),
    Endpoint::post(
        "elastic.delete_by_query",
        "/{index}/_delete_by_query",
        Rewrite(requests::delete_by_query),
        Verify(written::by_query),
        "the query nested under the namespace; not without one",
    )
    .with(BY_QUERY),
    Endpoint::post(
        "elastic.update_by_query",
        "/{index}/_update_by_query",
        Rewrite(requests::update_by_query),
        Verify(written::by_query),
        "the query nested under the namespace; scripts refused",
    )
    .taking(BodyRule::Optional)
    .with(BY_QUERY),
    Endpoint::get(
        "elastic.refresh",
        "/{index}/_refresh",
        Rewrite(requests::place),
        Verify(written::acknowledged),
        "an allowed index",
    )
    .by("POST")
    .with(&["pretty"]),
    Endpoint::get(
        "elastic.refresh_get",
        "/{index}/_refresh",
        Rewrite(requests::place),
        Verify(written::acknowledged),
        "an allowed index",
    )
    .with(&["pretty"]),
    Endpoint::post(
        "elastic.create_index",
        "/{index}",
        Rewrite(create::create),
        Verify(written::acknowledged),
        "an allowed name, where the policy lets clients create; the marker's field is mapped as it must be",
    )
    .by("PUT")
    .taking(BodyRule::Optional)
    .with(INDEX),
    Endpoint::get("elastic.index_exists", "/{index}", Rewrite(requests::place), Scan, "an allowed name")
        .by("HEAD")
        .with(&["local"]),
    Endpoint::get(
        "elastic.delete_index",
        "/{index}",
        Rewrite(requests::delete_index),
        Verify(written::acknowledged),
        "the tenant's own, where the policy lets clients create; never a shared one",
    )
    .by("DELETE")
    .with(&["timeout", "master_timeout", "cluster_manager_timeout", "pretty"]),
    Endpoint::get(
        "elastic.index_info",
        "/{index}",
        Rewrite(requests::place),
        Verify(written::index),
        "only that it is there: its mapping shows the fields of every tenant",
    )
    .with(&["local", "pretty"]),
    Endpoint::refuse("elastic.search_more", "/{index}/_search/*", "templates and points in time hide the query"),
    Endpoint::refuse("elastic.msearch_more", "/{index}/_msearch/*", "a template hides the query"),
    Endpoint::refuse("elastic.knn_search", "/{index}/_knn_search", "superseded; use `_search` with `knn`"),
    Endpoint::refuse(
        "elastic.index_async",
        "/{index}/_async_search",
        "its answer is fetched by an id that is nobody's",
    ),
    Endpoint::refuse("elastic.index_pit", "/{index}/_pit", "a point in time is an id that is nobody's"),
    Endpoint::refuse("elastic.explain", "/{index}/_explain/{id}", "explains with counts of all documents"),
    Endpoint::refuse("elastic.termvectors", "/{index}/_termvectors/*", "counts words of every tenant"),
    Endpoint::refuse("elastic.index_mtermvectors", "/{index}/_mtermvectors", "counts words of every tenant"),
    Endpoint::refuse("elastic.terms_enum", "/{index}/_terms_enum", "lists words of every tenant"),
    Endpoint::refuse("elastic.index_field_caps", "/{index}/_field_caps", "fields of every tenant"),
    Endpoint::refuse("elastic.index_mapping", "/{index}/_mapping/*", "fields of every tenant"),
    Endpoint::refuse("elastic.index_settings", "/{index}/_settings/*", "the operator's"),
    Endpoint::refuse("elastic.index_alias", "/{index}/_alias/*", "an alias is another name for an index"),
    Endpoint::refuse("elastic.index_stats", "/{index}/_stats/*", "sizes over all tenants"),
    Endpoint::refuse("elastic.validate", "/{index}/_validate/*", "shows the forced query"),
    Endpoint::refuse("elastic.index_eql", "/{index}/_eql/*", "another query language"),
    Endpoint::refuse("elastic.index_rank_eval", "/{index}/_rank_eval", "searches by template"),
    Endpoint::refuse("elastic.graph", "/{index}/_graph/*", "counts words of every tenant"),
    Endpoint::refuse("elastic.mvt", "/{index}/_mvt/*", "a binary answer cannot be verified"),
    Endpoint::refuse("elastic.index_any", "/{index}/*", "the operator's"),
    Endpoint::refuse("elastic.any", "/*", "the operator's"),
];

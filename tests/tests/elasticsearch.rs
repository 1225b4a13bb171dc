//! Elasticsearch and OpenSearch: cases that are data, and the official clients against a backend that knows what its queries mean.

use partywall_core::snapshot::wire::SurfaceKind::{Elasticsearch, Opensearch};
use partywall_tests::rag::{check_answers, check_requests, check_through_envoy};

#[test]
fn elasticsearch_requests() {
    check_requests(Elasticsearch);
}

#[test]
fn elasticsearch_answers() {
    check_answers(Elasticsearch);
}

//! Milvus: cases that are data, and the official client against a backend that knows what its filters mean.

use partywall_core::snapshot::wire::SurfaceKind;
use partywall_tests::rag::{check_answers, check_requests, check_through_envoy};

#[test]
fn milvus_requests() {
    check_requests(SurfaceKind::Milvus);
}

#[test]
fn milvus_answers() {
    check_answers(SurfaceKind::Milvus);
}

#[test]
fn milvus_through_envoy() {
    check_through_envoy(SurfaceKind::Milvus);
}

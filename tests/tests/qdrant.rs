//! Qdrant.

use partywall_core::snapshot::wire::SurfaceKind;
use partywall_tests::rag::{check_answers, check_requests, check_through_envoy};

#[test]
fn qdrant_requests() {
    check_requests(SurfaceKind::Qdrant);
}

#[test]
fn qdrant_answers() {
    check_answers(SurfaceKind::Qdrant);
}

#[test]
fn qdrant_through_envoy() {
    check_through_envoy(SurfaceKind::Qdrant);
}

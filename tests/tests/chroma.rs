//! Every vector database's rewriter and verifier, on cases that are data.

use partywall_core::snapshot::wire::SurfaceKind;
use partywall_tests::rag::{check_answers, check_requests, check_through_envoy};

#[test]
fn chroma_requests() {
    check_requests(SurfaceKind::Chroma);
}

#[test]
fn chroma_answers() {
    check_answers(SurfaceKind::Chroma);
}

#[test]
fn chroma_through_envoy() {
    check_through_envoy(SurfaceKind::Chroma);
}

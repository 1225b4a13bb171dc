//! PostgREST: cases that are data, and the official client against a backend that knows what its filters mean.

use partywall_core::snapshot::wire::SurfaceKind;
use partywall_tests::rag::{check_answers, check_requests, check_through_envoy};

#[test]
fn postgrest_requests() {
    check_requests(SurfaceKind::Postgrest);
}

#[test]
fn postgrest_answers() {
    check_answers(SurfaceKind::Postgrest);
}

#[test]
fn postgrest_through_envoy() {
    check_through_envoy(SurfaceKind::Postgrest);
}

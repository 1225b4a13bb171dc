//! The pure core of Partywall: everything that decides.
//!
//! Bytes and `now` go in, verdicts and bytes come out. There is no IO, no clock and no global state here, so the
//! same code runs inside Envoy, in native tests, in benches and under fuzzers. `docs/architecture.md` has the map.
#![forbid(unsafe_code)]

pub mod error;
pub mod tenant;

pub mod harvest;
pub mod identity;
pub mod json;
pub mod phrase;
pub mod rag;
pub mod record;
pub mod scan;
pub mod session;
pub mod snapshot;
pub mod surface;
pub mod verdict;

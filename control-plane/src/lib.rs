//! The Partywall control plane: policy, tenants and fingerprints in, signed snapshots out.
//!
//! `policy` is the language, `store` what is kept, `state` what is true now, `corpus` what tenants have written, `segments`, `phrase_segments` and `publish` what the filters
//! get, `shared` the fingerprint store that replicas share, `backends` the databases as the control plane itself reaches them, `offboard` the end of a tenant, `audit` the isolation audit, `alerting` who is told of alerts, `api` and `router` the REST face, `cli` the command line over it.
#![allow(clippy::arithmetic_side_effects)] // Not a traffic path; overflow is checked in debug builds.

pub mod alerting;
pub mod api;
pub mod audit;
pub mod backends;
pub mod cli;
pub mod corpus;
pub mod jwks;
pub mod metrics;
pub mod offboard;
pub mod phrase_segments;
pub mod policy;
pub mod router;
pub mod segments;
pub mod server;
pub mod shared;
pub mod state;
pub mod store;
pub mod tokens;

//! Health, readiness, metrics, status.

use super::{Security, Shared};
use crate::state::{StoreStatus, now_ms};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The control plane at a glance.
#[derive(Serialize, Deserialize, ToSchema)]
pub struct Status {
    /// This control plane's version.
    pub version: String,
    /// The revision in force; 0 before the first policy.
    pub revision: u64,
    /// The policy's version; 0 for none.
    pub policy: u64,
    /// How many tenants are known.
    pub tenants: usize,
    /// How many fingerprints.
    pub fingerprints: usize,
    /// How many sidecars are heard of.
    pub sidecars: usize,
    /// How many of these run the current revision.
    pub converged: usize,
    /// The key that filters pin.
    pub public_key: String,
    /// Where fingerprints are kept, and how that stands.
    pub fingerprint_store: StoreStatus,
}

/// Whether the process lives.
#[utoipa::path(get, path = "/healthz", responses((status = 200)))]
pub async fn healthz() -> &'static str {
    "ok\n"
}

/// Whether filters can be served: a policy is in force.
#[utoipa::path(get, path = "/readyz", responses((status = 200), (status = 503)))]
pub async fn readyz(State(app): State<Shared>) -> (StatusCode, &'static str) {
    if app.subscribe().borrow().content.is_none() {
        return (
            StatusCode::SERVICE_UNAVAILABLE,
            "nothing is in force yet (no policy was applied): filters deny everything\n",
        );
    }
    // Filters are served all the same; only an operator must know.
    match app.store_status().state.as_str() {
        "ok" => (StatusCode::OK, "ready\n"),
        "diverged" => (StatusCode::OK, "ready; the fingerprint store is not what it was: an operator must decide\n"),
        _ => (StatusCode::OK, "ready; the fingerprint store is away: fingerprints cannot be changed\n"),
    }
}

/// The control plane at a glance.
#[utoipa::path(get, path = "/v1/status", responses((status = 200, body = Status)))]
pub async fn status(_: Security, State(app): State<Shared>) -> Json<Status> {
    let sidecars = app.sidecars();
    let revision = app.subscribe().borrow().revision;
    let store = app.store_status();
    Json(app.read(|model| Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        revision,
        policy: model.policies.last().map_or(0, |policy| policy.version),
        tenants: model.tenants.len(),
        fingerprints: model.fingerprints.len(),
        sidecars: sidecars.len(),
        converged: sidecars.iter().filter(|sidecar| sidecar.converged).count(),
        public_key: app.key.public().to_base64(),
        fingerprint_store: store,
    }))
}

/// Prometheus metrics.
#[utoipa::path(get, path = "/metrics", responses((status = 200, content_type = "text/plain")))]
pub async fn metrics(State(app): State<Shared>) -> String {
    let sidecars = app.sidecars();
    let number = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
    let revision = i64::try_from(app.subscribe().borrow().revision).unwrap_or(i64::MAX);
    let (tenants, fingerprints) = app.read(|model| (model.tenants.len(), model.fingerprints.len()));
    let (pending, oldest) = app.waiting();
    let oldest = oldest.map_or(0, |at| now_ms().saturating_sub(at) / 1000);
    let store = app.store_status();
    let store_revision = store.revision.map_or(0, |revision| i64::try_from(revision).unwrap_or(i64::MAX));
    app.metrics.render(&[
        (
            "fingerprint_store_ok",
            "Whether fingerprints can be changed: the store is there, and what it was",
            i64::from(store.state == "ok"),
        ),
        ("fingerprint_store_revision", "The shared store's revision that is enforced; 0 when embedded", store_revision),
        ("alerts_pending", "Messages about alerts that wait for their receivers", number(pending)),
        (
            "alerts_oldest_pending_seconds",
            "How long the oldest of them has waited",
            i64::try_from(oldest).unwrap_or(i64::MAX),
        ),
        ("revision", "The revision in force", revision),
        ("tenants", "Tenants known", number(tenants)),
        ("fingerprints", "Fingerprints kept", number(fingerprints)),
        ("sidecars", "Sidecars heard of in a day", number(sidecars.len())),
        (
            "sidecars_converged",
            "Sidecars on the current revision",
            number(sidecars.iter().filter(|s| s.converged).count()),
        ),
    ])
}

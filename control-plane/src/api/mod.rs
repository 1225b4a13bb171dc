//! The REST face: one file per resource. Routes are put together in `router`; here they are answered.

pub mod alerts;
pub mod audits;
pub mod documents;
pub mod error;
pub mod events;
pub mod fingerprints;
pub mod health;
pub mod policy;
pub mod rag;
pub mod snapshot;
pub mod tenants;
pub mod tokens;

use crate::state::App;
use crate::tokens::{Role, TokenRecord};
use axum::extract::FromRequestParts;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use error::Problem;
use std::sync::Arc;

/// What every handler gets.
pub type Shared = Arc<App>;

/// A caller with the role admin.
pub struct Admin(pub TokenRecord);
/// A caller with the role admin or security.
pub struct Security(pub TokenRecord);
/// A caller with the role sidecar or admin.
pub struct SidecarCaller(pub TokenRecord);

fn caller(parts: &Parts, app: &App, roles: &[Role]) -> Result<TokenRecord, Problem> {
    let mut values = parts.headers.get_all(AUTHORIZATION).iter();
    let token = match (values.next().and_then(|value| value.to_str().ok()), values.next()) {
        (Some(value), None) => value.strip_prefix("Bearer ").or_else(|| value.strip_prefix("bearer ")),
        _ => None,
    };
    let Some(token) = token else {
        return Err(Problem::new(401, "token_missing", "send a token of this control plane as Authorization: Bearer"));
    };
    let Some(record) = app.authenticate(token) else {
        return Err(Problem::new(
            401,
            "token_invalid",
            "the token is unknown or revoked: `partywall token create` makes one",
        ));
    };
    if roles.contains(&record.role) {
        return Ok(record);
    }
    let needed: Vec<String> = roles.iter().map(|role| format!("{role:?}").to_lowercase()).collect();
    Err(Problem::new(403, "role_forbidden", &format!("this needs a token with the role {}", needed.join(" or "))))
}

macro_rules! extractor {
    ($name:ident, $($role:ident),+) => {
        impl FromRequestParts<Shared> for $name {
            type Rejection = Problem;
            async fn from_request_parts(parts: &mut Parts, app: &Shared) -> Result<Self, Problem> {
                caller(parts, app, &[$(Role::$role),+]).map(Self)
            }
        }
    };
}

extractor!(Admin, Admin);
extractor!(Security, Security, Admin);
extractor!(SidecarCaller, Sidecar, Admin);

/// Runs a change off the async threads: it waits for the disk.
pub(crate) async fn blocking<T: Send + 'static>(
    app: &Shared,
    work: impl FnOnce(&App) -> anyhow::Result<T> + Send + 'static,
) -> Result<T, Problem> {
    let app = Arc::clone(app);
    match tokio::task::spawn_blocking(move || work(&app)).await {
        Ok(result) => result.map_err(Problem::from),
        Err(_) => Err(Problem::new(500, "internal", "the change failed half-way; nothing was lost: try again")),
    }
}

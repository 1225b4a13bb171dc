//! `/v1/policy`.

use super::error::Problem;
use super::{Admin, Security, Shared, blocking};
use crate::jwks::{self, Cached};
use crate::policy::{self, KeySource, Policy};
use crate::state::{PolicyRecord, now};
use axum::Json;
use axum::extract::{Path, State};
use serde::Serialize;
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// A policy without its text.
#[derive(Serialize, ToSchema)]
pub struct PolicySummary {
    /// Its version.
    pub version: u64,
    /// When it was applied, Unix seconds.
    pub applied_at: u64,
    /// By the token of this name.
    pub applied_by: String,
}

/// What a validation found.
#[derive(Serialize, ToSchema)]
pub struct Valid {
    /// Always true: errors are answered as problems.
    pub valid: bool,
}

/// Parses a policy and fetches the keys that it needs. An issuer whose keys cannot be had refuses the policy: applied, it
/// would refuse every token.
async fn prepare(text: &str) -> Result<(Policy, BTreeMap<String, Cached>), Problem> {
    let policy = policy::parse(text).map_err(Problem::policy)?;
    let mut fetched = BTreeMap::new();
    for issuer in &policy.identity.issuers {
        let invalid = |why: String| Problem::new(422, "policy_invalid", &why);
        let source = policy::key_source(issuer).map_err(|error| invalid(error.to_string()))?;
        if matches!(source, KeySource::Inline(_)) {
            continue;
        }
        let keys = jwks::fetch(&source).await.map_err(|error| {
            Problem::new(422, "keys_unavailable", &format!("identity.issuers ({}): {error:#}", issuer.issuer))
        })?;
        let mut cached = Cached::default();
        cached.refresh(&keys, now());
        fetched.insert(issuer.issuer.clone(), cached);
    }
    Ok((policy, fetched))
}

/// Checks a policy file without applying it.
#[utoipa::path(post, path = "/v1/policy/validate", request_body(content = String, content_type = "application/yaml"), responses((status = 200, body = Valid), (status = 422, body = Problem)))]
pub async fn validate(_: Security, State(app): State<Shared>, text: String) -> Result<Json<Valid>, Problem> {
    let (policy, fetched) = prepare(&text).await?;
    app.try_policy(&policy, &fetched)?;
    Ok(Json(Valid { valid: true }))
}

/// Applies a policy file.
#[utoipa::path(put, path = "/v1/policy", request_body(content = String, content_type = "application/yaml"), responses((status = 200, body = PolicyRecord), (status = 422, body = Problem)))]
pub async fn apply(
    Admin(caller): Admin,
    State(app): State<Shared>,
    text: String,
) -> Result<Json<PolicyRecord>, Problem> {
    let (policy, fetched) = prepare(&text).await?;
    blocking(&app, move |app| app.apply_policy(&text, &policy, fetched, &caller.name)).await.map(Json)
}

/// The policy in force.
#[utoipa::path(get, path = "/v1/policy", responses((status = 200, body = PolicyRecord), (status = 404, body = Problem)))]
pub async fn current(_: Admin, State(app): State<Shared>) -> Result<Json<PolicyRecord>, Problem> {
    let current = app.read(|model| model.policies.last().cloned());
    current
        .map(Json)
        .ok_or_else(|| Problem::new(404, "not_found", "no policy was applied yet: `partywall policy apply FILE`"))
}

/// All policies that were ever applied, latest first.
#[utoipa::path(get, path = "/v1/policy/history", responses((status = 200, body = [PolicySummary])))]
pub async fn history(_: Security, State(app): State<Shared>) -> Json<Vec<PolicySummary>> {
    let summary = |p: &PolicyRecord| PolicySummary {
        version: p.version,
        applied_at: p.applied_at,
        applied_by: p.applied_by.clone(),
    };
    Json(app.read(|model| model.policies.iter().rev().map(summary).collect()))
}

/// Applies an earlier version again, as a new one.
#[utoipa::path(post, path = "/v1/policy/rollback/{version}", params(("version" = u64, Path)), responses((status = 200, body = PolicyRecord), (status = 404, body = Problem)))]
pub async fn rollback(
    Admin(caller): Admin,
    State(app): State<Shared>,
    Path(version): Path<u64>,
) -> Result<Json<PolicyRecord>, Problem> {
    let earlier = app.read(|model| model.policies.iter().find(|policy| policy.version == version).cloned());
    let earlier =
        earlier.ok_or_else(|| Problem::new(404, "not_found", &format!("there is no policy version {version}")))?;
    let (policy, fetched) = prepare(&earlier.text).await?;
    blocking(&app, move |app| app.apply_policy(&earlier.text, &policy, fetched, &caller.name)).await.map(Json)
}

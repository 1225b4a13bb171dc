//! `/v1/policy`.

use super::error::Problem;
use super::{Admin, Security, Shared, blocking};
use crate::backends;
use crate::jwks::{self, Cached};
use crate::policy::{self, Compiled, Policy};
use crate::state::{PolicyRecord, now};
use axum::Json;
use axum::extract::{Path, Query, State};
use partywall_core::tenant::TenantId;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::{IntoParams, ToSchema};

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

/// A policy, ready to be applied.
struct Prepared {
    policy: Policy,
    compiled: Compiled,
    fetched: BTreeMap<String, Cached>,
}

/// Parses and compiles a policy and fetches the keys that it needs. An issuer whose keys cannot be had refuses the policy:
/// applied, it would refuse every token.
async fn prepare(app: &Shared, text: &str) -> Result<Prepared, Problem> {
    let policy = policy::parse(text).map_err(Problem::policy)?;
    let invalid = |code: &str, why: String| Problem::new(422, code, &why);
    let compiled = policy::compile(&policy).map_err(|error| invalid("policy_invalid", error.to_string()))?;
    app.check_store(compiled.redis)?;
    let mut fetched = BTreeMap::new();
    for issuer in &compiled.fetched {
        let bad = |why: String| invalid("keys_unavailable", format!("identity.issuers ({}): {why}", issuer.issuer));
        let keys = jwks::fetch(&issuer.source).await.map_err(|error| bad(format!("{error:#}")))?;
        if keys.iter().all(|key| policy::usable(key, &issuer.algorithms).is_empty()) {
            return Err(bad("none of the keys is usable for its algorithms".to_owned()));
        }
        // What is known already keeps its time of grace.
        let mut cached = app.read(|model| model.jwks.get(&issuer.issuer).cloned()).unwrap_or_default();
        cached.refresh(&keys, now());
        fetched.insert(issuer.issuer.clone(), cached);
    }
    Ok(Prepared { policy, compiled, fetched })
}

/// How to apply a policy.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub struct How {
    /// Even where a tenant's records would be left behind in its old place, or changes in a shared fingerprint store that is away.
    #[serde(default)]
    pub force: bool,
}

async fn enforce(app: &Shared, text: String, by: String, force: bool) -> Result<Json<PolicyRecord>, Problem> {
    let Prepared { policy, compiled, fetched } = prepare(app, &text).await?;
    if !force {
        moved(app, &compiled).await?;
    }
    blocking(app, move |app| app.apply_policy(&text, &policy, compiled, fetched, &by, force)).await.map(Json)
}

/// Refuses a policy under which a tenant's records would be left behind in a place that it no longer looks at.
async fn moved(app: &Shared, next: &Compiled) -> Result<(), Problem> {
    let (now, tenants) =
        app.read(|model| (model.compiled.clone(), model.tenants.keys().cloned().collect::<Vec<TenantId>>()));
    let Some(now) = now.filter(|now| now.places() != next.places()) else { return Ok(()) };
    for tenant in &tenants {
        let after = backends::sites(next, tenant)?;
        for before in backends::sites(&now, tenant)? {
            let Some(after) = after.iter().find(|after| after.surface == before.surface) else { continue };
            if before.same_place(after) {
                continue;
            }
            let refuse = |why: String| Problem::new(409, "place_not_empty", &why);
            let place = format!("surfaces ({}): {tenant} would be served from another place, and", before.surface);
            let unknown = |error: anyhow::Error| {
                refuse(format!(
                    "{place} its old one cannot be checked ({error:#}); `--force` applies the policy nevertheless"
                ))
            };
            let database = before.database().map_err(unknown)?;
            for (_, collection) in &before.collections {
                let records = database.remaining(collection).await.map_err(unknown)?;
                if records > 0 {
                    return Err(refuse(format!(
                        "{place} {records} of its records are in {collection:?} still: move them (`partywall adopt --from`), or apply with `--force` and leave them behind"
                    )));
                }
            }
        }
    }
    Ok(())
}

/// Checks a policy file without applying it.
#[utoipa::path(post, path = "/v1/policy/validate", request_body(content = String, content_type = "application/yaml"), responses((status = 200, body = Valid), (status = 422, body = Problem)))]
pub async fn validate(_: Security, State(app): State<Shared>, text: String) -> Result<Json<Valid>, Problem> {
    let prepared = prepare(&app, &text).await?;
    app.try_policy(&prepared.compiled, &prepared.fetched)?;
    Ok(Json(Valid { valid: true }))
}

/// Applies a policy file.
#[utoipa::path(put, path = "/v1/policy", params(How), request_body(content = String, content_type = "application/yaml"), responses((status = 200, body = PolicyRecord), (status = 409, body = Problem), (status = 422, body = Problem)))]
pub async fn apply(
    Admin(caller): Admin,
    State(app): State<Shared>,
    Query(how): Query<How>,
    text: String,
) -> Result<Json<PolicyRecord>, Problem> {
    enforce(&app, text, caller.name, how.force).await
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
#[utoipa::path(post, path = "/v1/policy/rollback/{version}", params(("version" = u64, Path), How), responses((status = 200, body = PolicyRecord), (status = 409, body = Problem), (status = 404, body = Problem)))]
pub async fn rollback(
    Admin(caller): Admin,
    State(app): State<Shared>,
    Path(version): Path<u64>,
    Query(how): Query<How>,
) -> Result<Json<PolicyRecord>, Problem> {
    let earlier = app.read(|model| model.policies.iter().find(|policy| policy.version == version).cloned());
    let earlier =
        earlier.ok_or_else(|| Problem::new(404, "not_found", &format!("there is no policy version {version}")))?;
    enforce(&app, earlier.text, caller.name, how.force).await
}

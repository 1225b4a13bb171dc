//! `/v1/tenants`.

use super::error::Problem;
use super::{Admin, Security, Shared, blocking};
use crate::state::{TenantRecord, now};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use partywall_core::tenant::{TenantId, TenantStatus};
use serde::Deserialize;
use utoipa::ToSchema;

/// A tenant to onboard.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewTenant {
    /// Its identifier: letters, digits, `_` and `-`, at most 63.
    pub id: String,
}

/// What to change of a tenant.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EditTenant {
    /// `active` or `suspended`.
    #[schema(value_type = String)]
    pub status: TenantStatus,
}

pub(super) fn parse(id: &str) -> Result<TenantId, Problem> {
    TenantId::parse(id).map_err(|error| Problem::new(422, "tenant_id_invalid", &error.to_string()))
}

/// All tenants.
#[utoipa::path(get, path = "/v1/tenants", responses((status = 200, body = [TenantRecord])))]
pub async fn list(_: Security, State(app): State<Shared>) -> Json<Vec<TenantRecord>> {
    Json(app.read(|model| model.tenants.values().cloned().collect()))
}

/// Onboards a tenant.
#[utoipa::path(post, path = "/v1/tenants", request_body = NewTenant, responses((status = 201, body = TenantRecord), (status = 409, body = Problem)))]
pub async fn add(
    _: Admin,
    State(app): State<Shared>,
    Json(new): Json<NewTenant>,
) -> Result<(StatusCode, Json<TenantRecord>), Problem> {
    let id = parse(&new.id)?;
    let added = blocking(&app, move |app| app.add_tenants(&[id])).await?;
    match added.into_iter().next() {
        Some(tenant) => Ok((StatusCode::CREATED, Json(tenant))),
        None => Err(Problem::new(409, "tenant_exists", &format!("the tenant {} exists already", new.id))),
    }
}

/// One tenant.
#[utoipa::path(get, path = "/v1/tenants/{id}", params(("id" = String, Path)), responses((status = 200, body = TenantRecord), (status = 404, body = Problem)))]
pub async fn show(
    _: Security,
    State(app): State<Shared>,
    Path(id): Path<String>,
) -> Result<Json<TenantRecord>, Problem> {
    let id = parse(&id)?;
    let tenant = app.read(|model| model.tenants.get(&id).cloned());
    tenant.map(Json).ok_or_else(|| Problem::new(404, "tenant_unknown", &format!("there is no tenant {id}")))
}

/// Suspends or activates a tenant.
#[utoipa::path(patch, path = "/v1/tenants/{id}", params(("id" = String, Path)), request_body = EditTenant, responses((status = 200, body = TenantRecord), (status = 404, body = Problem)))]
pub async fn edit(
    _: Admin,
    State(app): State<Shared>,
    Path(id): Path<String>,
    Json(edit): Json<EditTenant>,
) -> Result<Json<TenantRecord>, Problem> {
    let id = parse(&id)?;
    blocking(&app, move |app| app.edit_tenant(&id, |tenant| tenant.status = edit.status)).await.map(Json)
}

/// Forgets a tenant that owns no fingerprint.
#[utoipa::path(delete, path = "/v1/tenants/{id}", params(("id" = String, Path)), responses((status = 204), (status = 409, body = Problem)))]
pub async fn remove(_: Admin, State(app): State<Shared>, Path(id): Path<String>) -> Result<StatusCode, Problem> {
    let id = parse(&id)?;
    blocking(&app, move |app| app.remove_tenant(&id)).await.map(|()| StatusCode::NO_CONTENT)
}

/// Refuses all of a tenant's tokens that were issued before now.
#[utoipa::path(post, path = "/v1/tenants/{id}/revoke-tokens", params(("id" = String, Path)), responses((status = 200, body = TenantRecord), (status = 404, body = Problem)))]
pub async fn revoke_tokens(
    _: Security,
    State(app): State<Shared>,
    Path(id): Path<String>,
) -> Result<Json<TenantRecord>, Problem> {
    let id = parse(&id)?;
    // Tokens count whole seconds: one issued in this second must die too.
    blocking(&app, move |app| app.edit_tenant(&id, |tenant| tenant.tokens_not_before = now() + 1)).await.map(Json)
}

//! What concerns retrieval: the distribution of namespaces, alerts, offboarding, adoption.

use super::error::Problem;
use super::tenants::parse;
use super::{Admin, Security, Shared, blocking};
use crate::backends::{self, Adopted};
use crate::offboard;
use crate::state::{Alert, Distribution, Offboarding};
use axum::Json;
use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use partywall_core::snapshot::wire::SurfaceKind;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::mpsc;
use utoipa::{IntoParams, ToSchema};

/// Which part of the distribution.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// Of this tenant's retrievals.
    pub tenant: Option<String>,
    /// On this surface.
    pub surface: Option<String>,
    /// Of the last so many hours; 24 without it, 720 at most.
    #[serde(default = "day")]
    pub hours: u64,
}

fn day() -> u64 {
    24
}

/// Whose results retrievals brought, by surface and tenant.
#[utoipa::path(get, path = "/v1/namespaces", params(Part), responses((status = 200, body = [Distribution])))]
pub async fn namespaces(_: Security, State(app): State<Shared>, Query(part): Query<Part>) -> Json<Vec<Distribution>> {
    Json(app.distribution(part.hours.clamp(1, 720), part.tenant.as_deref(), part.surface.as_deref()))
}

/// Which alerts.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub struct Which {
    /// Of this tenant.
    pub tenant: Option<String>,
    /// Of this kind.
    pub kind: Option<String>,
    /// With a sequence above this.
    #[serde(default)]
    pub since: u64,
    /// At most so many; 1000 at most.
    #[serde(default = "hundred")]
    pub limit: usize,
}

fn hundred() -> usize {
    100
}

/// Recent alerts, newest first.
#[utoipa::path(get, path = "/v1/alerts", params(Which), responses((status = 200, body = [Alert])))]
pub async fn alerts(_: Security, State(app): State<Shared>, Query(which): Query<Which>) -> Json<Vec<Alert>> {
    Json(app.alerts(which.limit.min(1000), |alert| {
        alert.sequence > which.since
            && which.tenant.as_ref().is_none_or(|tenant| alert.tenant.as_ref() == Some(tenant))
            && which.kind.as_ref().is_none_or(|kind| alert.kind == *kind)
    }))
}

/// Begins to offboard a tenant, or goes on where it failed. The answer comes at once; the work goes on.
#[utoipa::path(post, path = "/v1/tenants/{id}/offboarding", params(("id" = String, Path)), responses((status = 202, body = Offboarding), (status = 404, body = Problem), (status = 409, body = Problem)))]
pub async fn offboard(
    Admin(caller): Admin,
    State(app): State<Shared>,
    Path(id): Path<String>,
) -> Result<(StatusCode, Json<Option<Offboarding>>), Problem> {
    let id = parse(&id)?;
    let tenant = id.clone();
    blocking(&app, move |app| app.begin_offboarding(&tenant, &caller.name)).await?;
    offboard::start(&app, id.clone());
    Ok((StatusCode::ACCEPTED, Json(app.offboarding(&id))))
}

/// How far a tenant's offboarding has got; with the signed receipt once it is done.
#[utoipa::path(get, path = "/v1/tenants/{id}/offboarding", params(("id" = String, Path)), responses((status = 200, body = Offboarding), (status = 404, body = Problem)))]
pub async fn offboarding(
    _: Security,
    State(app): State<Shared>,
    Path(id): Path<String>,
) -> Result<Json<Offboarding>, Problem> {
    let id = parse(&id)?;
    let found = app.offboarding(&id);
    found.map(Json).ok_or_else(|| Problem::new(404, "not_found", &format!("{id} was never offboarded")))
}

/// All offboardings, latest first.
#[utoipa::path(get, path = "/v1/offboardings", responses((status = 200, body = [Offboarding])))]
pub async fn offboardings(_: Security, State(app): State<Shared>) -> Json<Vec<Offboarding>> {
    Json(app.offboardings())
}

/// What to adopt.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Adoption {
    /// Whose the records become.
    pub tenant: String,
    /// The surface.
    pub surface: String,
    /// The collection, by the clients' name.
    pub collection: String,
    /// Where the records are now, by the database's name; without it, where the tenant's are. In Pinecone, a namespace; without it,
    /// the default one.
    pub from: Option<String>,
    /// The database's own filter, where not all unmarked records are the tenant's.
    #[schema(value_type = Option<Object>)]
    pub filter: Option<Value>,
    /// Only count.
    #[serde(default)]
    pub dry_run: bool,
}

/// How far an adoption has got: a line of the answer.
#[derive(Serialize, ToSchema)]
pub struct Line {
    /// Whether this is the last line.
    pub done: bool,
    /// Why it stopped half-way. What was stamped stays; adopt again to go on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The counts so far.
    #[serde(flatten)]
    pub adopted: Adopted,
}

/// Stamps a tenant's marker on records that were there before. The answer is a line of JSON for every page of records; the last
/// one has `done`.
#[utoipa::path(post, path = "/v1/adopt", request_body = Adoption, responses((status = 200, body = Line, content_type = "application/x-ndjson"), (status = 404, body = Problem), (status = 422, body = Problem)))]
pub async fn adopt(_: Admin, State(app): State<Shared>, Json(adoption): Json<Adoption>) -> Result<Response, Problem> {
    let tenant = parse(&adoption.tenant)?;
    let known = app.read(|model| model.tenants.contains_key(&tenant).then(|| model.compiled.clone()));
    let compiled = known.ok_or_else(|| Problem::new(404, "tenant_unknown", &format!("there is no tenant {tenant}")))?;
    let compiled = compiled.ok_or_else(|| Problem::new(422, "policy_missing", "apply a policy first"))?;
    let site = backends::sites(&compiled, &tenant)?.into_iter().find(|site| site.surface == adoption.surface);
    let Some(site) = site else {
        let why = format!("there is no vector database {:?} in the policy", adoption.surface);
        return Err(Problem::new(404, "surface_unknown", &why));
    };
    let own = site.collections.iter().find(|(name, _)| *name == adoption.collection).map(|(_, own)| own.clone());
    let Some(own) = own else {
        let why = format!("clients of {:?} cannot name a collection {:?}", adoption.surface, adoption.collection);
        return Err(Problem::new(404, "collection_unknown", &why));
    };
    site.database().map_err(|error| Problem::new(422, "backend_missing", &error.to_string()))?;
    let adopting = app.begin_adoption(&site.surface, &tenant)?;
    let (lines, feed) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let _adopting = adopting;
        // In Pinecone it is a namespace: by default the default one.
        let here = if site.kind == SurfaceKind::Pinecone { String::new() } else { own.clone() };
        let from = adoption.from.unwrap_or(here);
        let say = |adopted: &Adopted| drop(lines.send(Line { done: false, error: None, adopted: adopted.clone() }));
        let result = match site.database() {
            Ok(database) => database.adopt(&from, &own, adoption.filter.as_ref(), adoption.dry_run, &say).await,
            Err(error) => Err(error),
        };
        let last = match result {
            Ok(adopted) => Line { done: true, error: None, adopted },
            Err(error) => Line { done: true, error: Some(format!("{error:#}")), adopted: Adopted::default() },
        };
        drop(lines.send(last));
    });
    let lines = stream::unfold(feed, |mut feed| async move {
        let line = feed.recv().await?;
        let mut text = serde_json::to_string(&line).unwrap_or_default();
        text.push('\n');
        Some((Ok::<_, std::convert::Infallible>(text), feed))
    });
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(lines)).into_response())
}

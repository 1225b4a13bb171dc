//! `/v1/audits`.

use super::error::Problem;
use super::{Admin, Security, Shared, blocking};
use crate::audit::{self, Report};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

/// An audit that was begun.
#[derive(Serialize, ToSchema)]
pub struct Begun {
    /// Its id.
    pub id: String,
}

/// A report in short.
#[derive(Serialize, ToSchema)]
pub struct Summary {
    /// The audit's id.
    pub id: String,
    /// `running`, `passed`, `failed` or `incomplete`.
    pub result: String,
    /// A token's name, or `schedule`.
    pub requested_by: String,
    /// When it began, Unix seconds.
    pub started_at: u64,
    /// When it ended, Unix seconds.
    pub finished_at: Option<u64>,
    /// Tenants that took part.
    pub tenants: usize,
    /// Ways of reading, by tenant.
    pub checks: usize,
    /// Canaries that crossed.
    pub findings: usize,
}

/// Begins an isolation audit; it goes on in the background.
#[utoipa::path(post, path = "/v1/audits", responses((status = 202, body = Begun), (status = 409, body = Problem), (status = 422, body = Problem)))]
pub async fn run(Admin(caller): Admin, State(app): State<Shared>) -> Result<(StatusCode, Json<Begun>), Problem> {
    let runtime = tokio::runtime::Handle::current();
    let begun = Shared::clone(&app);
    let id = blocking(&app, move |_| {
        let _inside = runtime.enter();
        audit::start(&begun, &caller.name)
    })
    .await?;
    Ok((StatusCode::ACCEPTED, Json(Begun { id })))
}

/// All audits, latest first.
#[utoipa::path(get, path = "/v1/audits", responses((status = 200, body = [Summary])))]
pub async fn list(_: Security, State(app): State<Shared>) -> Json<Vec<Summary>> {
    let running = app.running_audit().map(|running| Summary {
        id: running.id.clone(),
        result: "running".to_owned(),
        requested_by: running.requested_by.clone(),
        started_at: running.started_at,
        finished_at: None,
        tenants: running.tenants(),
        checks: 0,
        findings: 0,
    });
    let done = app.audits().into_iter().filter_map(|signed| {
        let report: Report = serde_json::from_str(signed.report.get()).ok()?;
        Some(Summary {
            id: report.id,
            result: report.result,
            requested_by: report.requested_by,
            started_at: report.started_at,
            finished_at: Some(report.finished_at),
            tenants: report.tenants.len(),
            checks: report.checks.len(),
            findings: report.findings.len(),
        })
    });
    Json(running.into_iter().chain(done).collect())
}

/// A signed report; as a page for people where `accept` asks for `text/html`.
#[utoipa::path(get, path = "/v1/audits/{id}", params(("id" = String, Path)), responses((status = 200, body = Object), (status = 404, body = Problem)))]
pub async fn show(
    _: Security,
    State(app): State<Shared>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let Some(signed) = app.audit(&id) else {
        let running = app.running_audit().is_some_and(|running| running.id == id);
        let why = if running { "this audit is still running" } else { "there is no such audit" };
        return Err(Problem::new(404, if running { "audit_running" } else { "not_found" }, why));
    };
    if headers.get(header::ACCEPT).is_some_and(|accept| accept.to_str().is_ok_and(|text| text.contains("text/html"))) {
        let page = audit::html(&signed)?;
        return Ok(([(header::CONTENT_TYPE, "text/html; charset=utf-8")], page).into_response());
    }
    let text = serde_json::to_string(&signed).map_err(anyhow::Error::from)?;
    debug_assert!(serde_json::from_str::<Value>(&text).is_ok());
    Ok(([(header::CONTENT_TYPE, "application/json")], text).into_response())
}

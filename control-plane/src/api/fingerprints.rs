//! `/v1/fingerprints`.

use super::error::Problem;
use super::{Admin, Security, Shared, blocking};
use crate::state::{FingerprintRecord, StoreStatus};
use crate::tokens::Role;
use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use partywall_core::record::Severity;
use partywall_core::tenant::TenantId;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// The most literals in one bulk call.
const MAX_BULK: usize = 200_000;

/// A literal of a tenant.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewFingerprint {
    /// Whose it is.
    #[schema(value_type = String)]
    pub tenant: TenantId,
    /// The literal: an identifier, a name, a canary. 4 to 255 bytes once folded.
    pub text: String,
    /// `low`, `high` (default) or `critical`.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub severity: Severity,
}

/// What a bulk call did.
#[derive(Serialize, ToSchema)]
pub struct BulkResult {
    /// Fingerprints that are new or got a further owner.
    pub added: usize,
    /// Fingerprints that were there.
    pub existing: usize,
}

/// A page of the list.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub struct PageQuery {
    /// Only ids above this.
    #[serde(default)]
    pub after: u64,
    /// At most so many; 1000 at most.
    #[serde(default = "hundred")]
    pub limit: usize,
    /// Only this tenant's.
    pub tenant: Option<String>,
}

fn hundred() -> usize {
    100
}

/// Adds a fingerprint. 201 when anything changed, 200 when it was there.
#[utoipa::path(post, path = "/v1/fingerprints", request_body = NewFingerprint, responses((status = 201, body = FingerprintRecord), (status = 200, body = FingerprintRecord), (status = 422, body = Problem)))]
pub async fn add(
    _: Security,
    State(app): State<Shared>,
    Json(new): Json<NewFingerprint>,
) -> Result<(StatusCode, Json<FingerprintRecord>), Problem> {
    let literal = (new.tenant, new.text, new.severity);
    let mut results = blocking(&app, move |app| app.add_fingerprints(&[literal])).await?;
    match results.pop() {
        Some((record, true)) => Ok((StatusCode::CREATED, Json(record))),
        Some((record, false)) => Ok((StatusCode::OK, Json(record))),
        None => Err(Problem::new(500, "internal", "nothing was added")),
    }
}

/// Adds many fingerprints at once, all or none: a JSON array, or one JSON object a line.
#[utoipa::path(post, path = "/v1/fingerprints/bulk", request_body = [NewFingerprint], responses((status = 200, body = BulkResult), (status = 422, body = Problem)))]
pub async fn bulk(_: Security, State(app): State<Shared>, body: Bytes) -> Result<Json<BulkResult>, Problem> {
    let bad = |line: usize, error: serde_json::Error| {
        Problem::new(422, "fingerprint_invalid", &format!("line {line}: {error}"))
    };
    let items: Vec<NewFingerprint> = if body.trim_ascii_start().starts_with(b"[") {
        serde_json::from_slice(&body).map_err(|error| bad(error.line(), error))?
    } else {
        let lines = body.split(|b| *b == b'\n').enumerate().filter(|(_, line)| !line.trim_ascii().is_empty());
        lines
            .map(|(at, line)| serde_json::from_slice(line).map_err(|error| bad(at + 1, error)))
            .collect::<Result<_, _>>()?
    };
    if items.len() > MAX_BULK {
        return Err(Problem::new(
            413,
            "too_many",
            &format!("at most {MAX_BULK} fingerprints in one call: send them in parts"),
        ));
    }
    let literals: Vec<_> = items.into_iter().map(|new| (new.tenant, new.text, new.severity)).collect();
    let results = blocking(&app, move |app| app.add_fingerprints(&literals)).await?;
    let added = results.iter().filter(|(_, changed)| *changed).count();
    Ok(Json(BulkResult { added, existing: results.len() - added }))
}

/// A page of all fingerprints, by id. Only admins see the texts.
#[utoipa::path(get, path = "/v1/fingerprints", params(PageQuery), responses((status = 200, body = [FingerprintRecord])))]
pub async fn list(
    Security(caller): Security,
    State(app): State<Shared>,
    Query(page): Query<PageQuery>,
) -> Json<Vec<FingerprintRecord>> {
    let wanted = |entry: &partywall_core::scan::Entry| {
        page.tenant.as_ref().is_none_or(|t| entry.owners.iter().any(|o| o.as_str() == t))
    };
    Json(app.read(|model| {
        let from = page.after.saturating_add(1);
        let entries = model.fingerprints.range(from..).map(|(_, entry)| entry).filter(|entry| wanted(entry));
        entries.take(page.limit.min(1000)).map(|entry| shown(app.record(model, entry), caller.role)).collect()
    }))
}

/// One fingerprint.
#[utoipa::path(get, path = "/v1/fingerprints/{id}", params(("id" = u64, Path)), responses((status = 200, body = FingerprintRecord), (status = 404, body = Problem)))]
pub async fn show(
    Security(caller): Security,
    State(app): State<Shared>,
    Path(id): Path<u64>,
) -> Result<Json<FingerprintRecord>, Problem> {
    let found = app.read(|model| model.fingerprints.get(&id).map(|entry| app.record(model, entry)));
    let record = found.ok_or_else(|| Problem::new(404, "not_found", &format!("there is no fingerprint {id}")))?;
    Ok(Json(shown(record, caller.role)))
}

fn shown(mut record: FingerprintRecord, role: Role) -> FingerprintRecord {
    if role != Role::Admin {
        record.text = None;
    }
    record
}

/// Removes a fingerprint.
#[utoipa::path(delete, path = "/v1/fingerprints/{id}", params(("id" = u64, Path)), responses((status = 204), (status = 404, body = Problem)))]
pub async fn remove(_: Admin, State(app): State<Shared>, Path(id): Path<u64>) -> Result<StatusCode, Problem> {
    blocking(&app, move |app| app.remove_fingerprint(id)).await.map(|()| StatusCode::NO_CONTENT)
}

/// After the shared store changed behind our back: puts what is known here into it, joined with what it holds.
#[utoipa::path(post, path = "/v1/fingerprint-store/restore", responses((status = 200, body = StoreStatus), (status = 409, body = Problem), (status = 503, body = Problem)))]
pub async fn restore(_: Admin, State(app): State<Shared>) -> Result<Json<StoreStatus>, Problem> {
    blocking(&app, |app| app.decide_store(true).map(|()| app.store_status())).await.map(Json)
}

/// After the shared store changed behind our back: what it holds counts, and what only we know is given up.
#[utoipa::path(post, path = "/v1/fingerprint-store/accept", responses((status = 200, body = StoreStatus), (status = 409, body = Problem), (status = 503, body = Problem)))]
pub async fn accept(_: Admin, State(app): State<Shared>) -> Result<Json<StoreStatus>, Problem> {
    blocking(&app, |app| app.decide_store(false).map(|()| app.store_status())).await.map(Json)
}

/// Where fingerprints are kept, and how that stands.
#[utoipa::path(get, path = "/v1/fingerprint-store", responses((status = 200, body = StoreStatus)))]
pub async fn store(_: Security, State(app): State<Shared>) -> Json<StoreStatus> {
    Json(app.store_status())
}

//! `/v1/tenants/{id}/documents`, `/v1/common`, and why a response was cut.

use super::error::Problem;
use super::{Admin, Security, Shared, SidecarCaller, blocking};
use crate::state::{DocumentRecord, Explanation};
use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use partywall_core::harvest::Harvest;
use partywall_core::tenant::TenantId;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// A document in JSON.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewDocument {
    /// Its name; only in a bulk call.
    #[serde(default)]
    pub document: Option<String>,
    /// Its text.
    pub text: String,
}

/// What a bulk call did.
#[derive(Serialize, ToSchema)]
pub struct DocumentsResult {
    /// Documents taken in.
    pub documents: usize,
    /// Phrases chosen from them.
    pub phrases: u64,
    /// So many of these are not the tenant's alone, so they guard nothing.
    pub shared: u64,
}

/// How much is common language.
#[derive(Serialize, ToSchema)]
pub struct Common {
    /// Runs of words.
    pub runs: usize,
}

/// A page of documents.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub struct DocumentsPage {
    /// Only names after this one.
    #[serde(default)]
    pub after: String,
    /// At most so many; 1000 at most.
    #[serde(default = "hundred")]
    pub limit: usize,
}

fn hundred() -> usize {
    100
}

/// Which request.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub struct ExplainQuery {
    /// The request's id, as the error and the decision have it.
    pub request_id: String,
}

/// A new generation of segments.
#[derive(Serialize, ToSchema)]
pub struct Rotated {
    /// Its number.
    pub generation: u64,
}

fn tenant(id: &str) -> Result<TenantId, Problem> {
    TenantId::parse(id).map_err(|error| Problem::new(422, "tenant_id_invalid", &error.to_string()))
}

fn is_json(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).is_some_and(|media| media.contains("json"))
}

fn text(bytes: &[u8]) -> Result<String, Problem> {
    let text =
        std::str::from_utf8(bytes).map_err(|_| Problem::new(422, "document_invalid", "the text must be UTF-8"))?;
    Ok(text.to_owned())
}

/// Takes a document in, as text or as JSON `{"text": …}`, in the place of one of the same name. Its text is not kept.
#[utoipa::path(put, path = "/v1/tenants/{id}/documents/{document}", params(("id" = String, Path), ("document" = String, Path)), request_body(content = String, content_type = "text/plain"), responses((status = 200, body = DocumentRecord), (status = 404, body = Problem), (status = 422, body = Problem)))]
pub async fn put(
    _: Security,
    State(app): State<Shared>,
    Path((id, document)): Path<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<DocumentRecord>, Problem> {
    let id = tenant(&id)?;
    let text = if is_json(&headers) {
        let new: NewDocument =
            serde_json::from_slice(&body).map_err(|error| Problem::new(422, "document_invalid", &error.to_string()))?;
        new.text
    } else {
        text(&body)?
    };
    let mut records = blocking(&app, move |app| app.put_documents(&id, vec![(document, text)])).await?;
    records.pop().map(Json).ok_or_else(|| Problem::new(500, "internal", "nothing was added"))
}

/// Takes many documents in, all or none: one JSON object `{"document": …, "text": …}` a line.
#[utoipa::path(post, path = "/v1/tenants/{id}/documents", params(("id" = String, Path)), request_body = [NewDocument], responses((status = 200, body = DocumentsResult), (status = 422, body = Problem)))]
pub async fn bulk(
    _: Security,
    State(app): State<Shared>,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Json<DocumentsResult>, Problem> {
    let id = tenant(&id)?;
    let records = blocking(&app, move |app| {
        let lines = body.split(|b| *b == b'\n').enumerate().filter(|(_, line)| !line.trim_ascii().is_empty());
        let documents = lines.map(|(at, line)| {
            let bad = |why: String| crate::state::refused("document_invalid", format!("line {}: {why}", at + 1));
            let new: NewDocument = serde_json::from_slice(line).map_err(|error| bad(error.to_string()))?;
            Ok((new.document.ok_or_else(|| bad("document is missing".to_owned()))?, new.text))
        });
        app.put_documents(&id, documents.collect::<anyhow::Result<_>>()?)
    })
    .await?;
    let phrases = records.iter().map(|record| record.phrases).sum();
    let shared = records.iter().filter_map(|record| record.shared).sum();
    Ok(Json(DocumentsResult { documents: records.len(), phrases, shared }))
}

/// A page of a tenant's documents, by name: counts only.
#[utoipa::path(get, path = "/v1/tenants/{id}/documents", params(("id" = String, Path), DocumentsPage), responses((status = 200, body = [DocumentRecord])))]
pub async fn list(
    _: Security,
    State(app): State<Shared>,
    Path(id): Path<String>,
    Query(page): Query<DocumentsPage>,
) -> Result<Json<Vec<DocumentRecord>>, Problem> {
    let id = tenant(&id)?;
    Ok(Json(app.read(|model| {
        let all = model.corpus.documents(&id).filter(|(name, _)| page.after.is_empty() || *name > page.after.as_str());
        all.take(page.limit.min(1000)).map(|(name, document)| DocumentRecord::of(name, document)).collect()
    })))
}

/// One document: counts only.
#[utoipa::path(get, path = "/v1/tenants/{id}/documents/{document}", params(("id" = String, Path), ("document" = String, Path)), responses((status = 200, body = DocumentRecord), (status = 404, body = Problem)))]
pub async fn show(
    _: Security,
    State(app): State<Shared>,
    Path((id, document)): Path<(String, String)>,
) -> Result<Json<DocumentRecord>, Problem> {
    let id = tenant(&id)?;
    let found = app.read(|model| model.corpus.document(&id, &document).map(|d| DocumentRecord::of(&document, d)));
    found.map(Json).ok_or_else(|| Problem::new(404, "not_found", &format!("{id} has no document {document:?}")))
}

/// Forgets a document and retracts its phrases.
#[utoipa::path(delete, path = "/v1/tenants/{id}/documents/{document}", params(("id" = String, Path), ("document" = String, Path)), responses((status = 204), (status = 404, body = Problem)))]
pub async fn remove(
    _: Admin,
    State(app): State<Shared>,
    Path((id, document)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    let id = tenant(&id)?;
    blocking(&app, move |app| app.remove_documents(&id, Some(&document))).await.map(|_| StatusCode::NO_CONTENT)
}

/// Adds a text of common language: nothing in it is a phrase of anybody.
#[utoipa::path(post, path = "/v1/common", request_body(content = String, content_type = "text/plain"), responses((status = 200, body = Common)))]
pub async fn add_common(_: Admin, State(app): State<Shared>, body: Bytes) -> Result<Json<Common>, Problem> {
    let text = text(&body)?;
    blocking(&app, move |app| app.set_common(Some(&text))).await.map(|runs| Json(Common { runs }))
}

/// Forgets all texts of common language.
#[utoipa::path(delete, path = "/v1/common", responses((status = 204)))]
pub async fn clear_common(_: Admin, State(app): State<Shared>) -> Result<StatusCode, Problem> {
    blocking(&app, move |app| app.set_common(None)).await.map(|_| StatusCode::NO_CONTENT)
}

/// Which fingerprints a request's response held, whose they are and where they come from.
#[utoipa::path(get, path = "/v1/explain", params(ExplainQuery), responses((status = 200, body = [Explanation]), (status = 404, body = Problem)))]
pub async fn explain(
    _: Security,
    State(app): State<Shared>,
    Query(query): Query<ExplainQuery>,
) -> Result<Json<Vec<Explanation>>, Problem> {
    blocking(&app, move |app| app.explain(&query.request_id)).await.map(Json)
}

/// What a proxy has seen tenants write into vector databases, as hashes.
#[utoipa::path(post, path = "/v1/rag-writes", request_body = Object, responses((status = 202), (status = 422, description = "not a report")))]
pub async fn harvest(
    _: SidecarCaller,
    State(app): State<Shared>,
    Json(harvest): Json<Harvest>,
) -> Result<StatusCode, Problem> {
    if harvest.instance.is_empty() || harvest.instance.len() > 128 {
        return Err(Problem::new(422, "report_invalid", "instance must have 1 to 128 bytes"));
    }
    blocking(&app, move |app| app.harvested(harvest)).await?;
    Ok(StatusCode::ACCEPTED)
}

/// Gives all segments of phrases a new key.
#[utoipa::path(post, path = "/v1/phrases/rotate", responses((status = 200, body = Rotated)))]
pub async fn rotate(_: Admin, State(app): State<Shared>) -> Result<Json<Rotated>, Problem> {
    blocking(&app, |app| app.rotate_phrase_key()).await.map(|generation| Json(Rotated { generation }))
}

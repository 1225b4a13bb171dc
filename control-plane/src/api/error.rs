//! Errors as RFC 9457, each with a stable code and what to do.

use crate::policy;
use crate::state::Refused;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

/// An error as the API answers it.
#[derive(Debug, Serialize, ToSchema)]
pub struct Problem {
    /// `urn:partywall:error:CODE`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The HTTP status.
    pub status: u16,
    /// The stable code.
    pub code: String,
    /// What happened and what to do.
    pub detail: String,
    /// For policies: every problem with its place.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<policy::Problem>,
}

impl Problem {
    /// An error.
    pub fn new(status: u16, code: &str, detail: &str) -> Self {
        Self {
            kind: format!("urn:partywall:error:{code}"),
            status,
            code: code.to_owned(),
            detail: detail.to_owned(),
            problems: Vec::new(),
        }
    }

    /// A policy file's problems.
    pub fn policy(problems: Vec<policy::Problem>) -> Self {
        let mut problem = Self::new(422, "policy_invalid", "the policy file has errors; nothing was changed");
        problem.problems = problems;
        problem
    }
}

impl From<anyhow::Error> for Problem {
    fn from(error: anyhow::Error) -> Self {
        match error.downcast_ref::<Refused>() {
            Some(Refused(code, message)) => {
                let status = match *code {
                    "not_found" | "tenant_unknown" => 404,
                    "token_exists"
                    | "tenant_id_ambiguous"
                    | "tenant_in_use"
                    | "tenant_offboarding"
                    | "offboarding_running"
                    | "adoption_running"
                    | "place_not_empty"
                    | "fingerprint_store_in_order"
                    | "last_admin" => 409,
                    "fingerprint_store_unavailable" => 503,
                    _ => 422,
                };
                // A context says more about this case than the refusal itself knows.
                let outer = error.to_string();
                let detail = if outer == *message { outer } else { format!("{message}; {outer}") };
                Self::new(status, code, &detail)
            }
            None => {
                tracing::error!(error = format!("{error:#}"), "a request failed");
                Self::new(500, "internal", "the store failed; the log says why")
            }
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_string(&self).unwrap_or_default();
        (status, [(header::CONTENT_TYPE, "application/problem+json")], body).into_response()
    }
}

//! `/v1/tokens`.

use super::error::Problem;
use super::{Admin, Shared, blocking};
use crate::tokens::{Role, TokenRecord};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A token to make.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewToken {
    /// Its name.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// A token that a replica made, to be known here too; without it, a new one is made.
    #[serde(default)]
    pub token: Option<String>,
}

/// A token that was made.
#[derive(Serialize, ToSchema)]
pub struct MadeToken {
    /// The token, shown this once.
    pub token: String,
}

/// All tokens, without themselves.
#[utoipa::path(get, path = "/v1/tokens", responses((status = 200, body = [TokenRecord])))]
pub async fn list(_: Admin, State(app): State<Shared>) -> Json<Vec<TokenRecord>> {
    Json(app.token_records())
}

/// Makes a token.
#[utoipa::path(post, path = "/v1/tokens", request_body = NewToken, responses((status = 201, body = MadeToken), (status = 409, body = Problem)))]
pub async fn create(
    _: Admin,
    State(app): State<Shared>,
    Json(new): Json<NewToken>,
) -> Result<(StatusCode, Json<MadeToken>), Problem> {
    if new.name.is_empty() || new.name.len() > 64 {
        return Err(Problem::new(422, "name_invalid", "a token's name has 1 to 64 bytes"));
    }
    let made = blocking(&app, move |app| match new.token {
        Some(token) => app.take_token(&new.name, new.role, token),
        None => app.create_token(&new.name, new.role),
    });
    let token = made.await?;
    Ok((StatusCode::CREATED, Json(MadeToken { token })))
}

/// Revokes a token.
#[utoipa::path(delete, path = "/v1/tokens/{name}", params(("name" = String, Path)), responses((status = 204), (status = 404, body = Problem)))]
pub async fn revoke(_: Admin, State(app): State<Shared>, Path(name): Path<String>) -> Result<StatusCode, Problem> {
    blocking(&app, move |app| app.revoke_token(&name)).await.map(|()| StatusCode::NO_CONTENT)
}

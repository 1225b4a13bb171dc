//! `/v1/alerts/receivers` and `/v1/alerts/test`: whether alerts arrive.

use super::error::Problem;
use super::{Security, Shared};
use crate::alerting::{self, Tested};
use crate::policy::Speaks;
use crate::state::{Standing, now_ms};
use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

/// A receiver of alerts.
#[derive(Serialize, ToSchema)]
pub struct ReceiverState {
    /// Its name.
    pub name: String,
    /// `alertmanager` or `webhook`.
    pub kind: &'static str,
    /// Messages that wait for it.
    pub pending: u64,
    /// How long the oldest of them has waited.
    pub oldest_pending_s: u64,
    /// What is remembered of it.
    #[serde(flatten)]
    pub standing: Standing,
}

/// The receivers of the policy in force, and whether alerts reach them.
#[utoipa::path(get, path = "/v1/alerts/receivers", responses((status = 200, body = [ReceiverState])))]
pub async fn receivers(_: Security, State(app): State<Shared>) -> Json<Vec<ReceiverState>> {
    let state = |receiver: &crate::policy::Receiver| {
        let (standing, pending, oldest) = app.standing(&receiver.name);
        ReceiverState {
            name: receiver.name.clone(),
            kind: match receiver.speaks {
                Speaks::Alertmanager(_) => "alertmanager",
                Speaks::Webhook(_) => "webhook",
            },
            pending,
            oldest_pending_s: oldest.map_or(0, |at| now_ms().saturating_sub(at) / 1000),
            standing,
        }
    };
    Json(app.alerting().receivers.iter().map(state).collect())
}

/// Sends a test alert to every receiver, whatever kinds it wants, and says what each answered.
#[utoipa::path(post, path = "/v1/alerts/test", responses((status = 200, body = [Tested])))]
pub async fn test(_: Security, State(app): State<Shared>) -> Result<Json<Vec<Tested>>, Problem> {
    Ok(Json(alerting::test(&app).await?))
}

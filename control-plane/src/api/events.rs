//! `/v1/events`.

use super::error::Problem;
use super::{Security, Shared, SidecarCaller, blocking};
use crate::state::Event;
use axum::Json;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::sse;
use futures_util::stream::{self, Stream};
use partywall_core::record::Report;
use serde::Deserialize;
use std::convert::Infallible;
use tokio::sync::broadcast::error::RecvError;
use utoipa::IntoParams;

/// Which events.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub struct Filter {
    /// Of this tenant.
    pub tenant: Option<String>,
    /// With this outcome.
    pub outcome: Option<String>,
    /// With this code.
    pub code: Option<String>,
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

impl Filter {
    fn wants(&self, event: &Event) -> bool {
        let name = |value: serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        let outcome = || name(serde_json::to_value(event.decision.outcome).unwrap_or_default());
        event.sequence > self.since
            && self.tenant.as_ref().is_none_or(|tenant| event.decision.tenant.as_ref() == Some(tenant))
            && self.outcome.as_ref().is_none_or(|wanted| *wanted == outcome())
            && self.code.as_ref().is_none_or(|wanted| event.decision.code.is_some_and(|code| code.as_str() == wanted))
    }
}

/// A filter's report.
#[utoipa::path(post, path = "/v1/events", request_body = Object, responses((status = 202), (status = 422, description = "not a report")))]
pub async fn report(
    _: SidecarCaller,
    State(app): State<Shared>,
    Json(report): Json<Report>,
) -> Result<StatusCode, Problem> {
    if report.instance.is_empty() || report.instance.len() > 128 {
        return Err(Problem::new(422, "report_invalid", "instance must have 1 to 128 bytes"));
    }
    blocking(&app, move |app| app.report(report)).await?;
    Ok(StatusCode::ACCEPTED)
}

/// Recent events, newest first.
#[utoipa::path(get, path = "/v1/events", params(Filter), responses((status = 200, body = [Event])))]
pub async fn list(_: Security, State(app): State<Shared>, Query(filter): Query<Filter>) -> Json<Vec<Event>> {
    Json(app.events(filter.limit.min(1000), |event| filter.wants(event)))
}

/// New events as they come, as server-sent events.
#[utoipa::path(get, path = "/v1/events/stream", responses((status = 200, description = "server-sent events", content_type = "text/event-stream")))]
pub async fn feed(
    _: Security,
    State(app): State<Shared>,
) -> sse::Sse<impl Stream<Item = Result<sse::Event, Infallible>>> {
    let stream = stream::unfold(app.follow(), |mut feed| async move {
        let event = match feed.recv().await {
            Ok(event) => sse::Event::default().id(event.sequence.to_string()).json_data(&event).unwrap_or_default(),
            Err(RecvError::Lagged(missed)) => sse::Event::default().event("lagged").data(missed.to_string()),
            Err(RecvError::Closed) => return None,
        };
        Some((Ok(event), feed))
    });
    sse::Sse::new(stream).keep_alive(sse::KeepAlive::default())
}

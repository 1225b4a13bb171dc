//! What the filters ask for: `/v1/snapshot`, `/v1/segments`.

use super::error::Problem;
use super::{Security, Shared, SidecarCaller, blocking};
use crate::state::{Published, Sidecar};
use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use partywall_core::snapshot::{seal, wire};
use serde::Deserialize;
use std::time::Duration;
use tokio::time::Instant;
use utoipa::IntoParams;

/// The longest that a poll is kept open, in seconds.
const MAX_WAIT_S: u64 = 25;
/// The largest piece of a segment.
const MAX_PIECE: usize = 1024 * 1024;

/// A poll.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub struct Poll {
    /// The revision that the filter runs; 0 for none.
    pub have: u64,
    /// How long to wait for a later one, in seconds.
    #[serde(default)]
    pub wait: u64,
    /// Repeated in the signed answer.
    pub nonce: String,
    /// The tag of what the filter runs, as its manifest said.
    #[serde(default)]
    pub tag: String,
    /// The filter's name.
    pub instance: String,
}

/// A long poll for the snapshot: answers at once when there is a later revision, after `wait` otherwise.
#[utoipa::path(get, path = "/v1/snapshot", params(Poll), responses((status = 200, description = "a signed envelope", body = Object), (status = 400, body = Problem)))]
pub async fn poll(
    _: SidecarCaller,
    State(app): State<Shared>,
    Query(poll): Query<Poll>,
) -> Result<impl IntoResponse, Problem> {
    let word = |text: &str, most: usize| {
        !text.is_empty()
            && text.len() <= most
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
    };
    if !word(&poll.nonce, 64) || !word(&poll.instance, 128) || !(poll.tag.is_empty() || word(&poll.tag, 128)) {
        return Err(Problem::new(400, "poll_invalid", "nonce, instance and tag are of letters, digits, - _ and ."));
    }
    app.metrics.polls.inc();
    if app.is_new(&poll.instance) {
        let instance = poll.instance.clone();
        blocking(&app, move |app| app.remember(&instance)).await?;
    }
    app.seen(&poll.instance, app.enforced(&poll.tag, poll.have));
    let answer = current(&app, &poll).await?;
    if answer.content.is_none() && poll.have > 0 {
        // Nothing is in force here, so nothing can be vouched for.
        return Err(Problem::new(503, "policy_missing", "no policy was applied yet: `partywall policy apply FILE`"));
    }
    if answer.is_behind(&poll.tag) {
        let why = "the filter knows later fingerprints than this control plane, which does not reach the shared store";
        return Err(Problem::new(503, "fingerprints_behind", why));
    }
    let has = answer.is(&poll.tag, poll.have) || answer.content.is_none();
    let revision = if has { poll.have } else { answer.revision };
    let content = if has { None } else { answer.content.as_deref().cloned() };
    let manifest = wire::Manifest {
        version: wire::VERSION,
        nonce: poll.nonce,
        revision,
        max_age_s: answer.max_age_s,
        tag: answer.tag,
        content,
    };
    Ok(([(CONTENT_TYPE, "application/json")], seal(&manifest, &app.key)))
}

/// What is published, as soon as the poller can follow it and does not have it; or at the end of its patience.
async fn current(app: &Shared, poll: &Poll) -> Result<Published, Problem> {
    let mut feed = app.subscribe();
    let end = Instant::now() + Duration::from_secs(poll.wait.min(MAX_WAIT_S));
    loop {
        let now = feed.borrow_and_update().clone();
        let fresh = now.content.is_some() && !now.is(&poll.tag, poll.have) && !now.is_behind(&poll.tag);
        if fresh && poll.have < now.revision {
            return Ok(now);
        }
        if fresh {
            // Under this revision the filter runs something else, and it refuses to go back.
            let pause = app.outrun_in();
            if pause.is_zero() {
                let have = poll.have;
                if !blocking(app, move |app| app.outrun(have)).await? {
                    return Ok(now);
                }
            } else {
                tokio::time::sleep(pause).await;
            }
            continue;
        }
        match tokio::time::timeout_at(end, feed.changed()).await {
            Ok(Ok(())) => {}
            _ => return Ok(feed.borrow().clone()),
        }
    }
}

/// A piece of a segment.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub struct Piece {
    /// From this byte.
    pub offset: usize,
    /// So many bytes; 1 MiB at most.
    pub length: usize,
}

/// A piece of a fingerprint segment.
#[utoipa::path(get, path = "/v1/segments/{digest}", params(("digest" = String, Path), Piece), responses((status = 200, description = "the bytes", content_type = "application/octet-stream"), (status = 404, body = Problem)))]
pub async fn segment(
    _: SidecarCaller,
    State(app): State<Shared>,
    Path(digest): Path<String>,
    Query(piece): Query<Piece>,
) -> Result<impl IntoResponse, Problem> {
    let blob = app.blob(&digest).ok_or_else(|| Problem::new(404, "not_found", "no such segment: poll again"))?;
    let end = piece.offset.saturating_add(piece.length.min(MAX_PIECE)).min(blob.len());
    let bytes = blob.get(piece.offset..end).filter(|bytes| !bytes.is_empty());
    let bytes = bytes.ok_or_else(|| Problem::new(416, "range_invalid", "the segment ends before that offset"))?;
    Ok(([(CONTENT_TYPE, "application/octet-stream")], bytes.to_vec()))
}

/// All sidecars, and whether they run the current revision.
#[utoipa::path(get, path = "/v1/sidecars", responses((status = 200, body = [Sidecar])))]
pub async fn sidecars(_: Security, State(app): State<Shared>) -> Json<Vec<Sidecar>> {
    Json(app.sidecars())
}

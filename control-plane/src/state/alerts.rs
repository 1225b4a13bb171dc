//! Alerts: what an operator must see. Kept until they are old, newest first.

use super::{App, lock};
use partywall_core::record::{Decision, Outcome};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The most alerts that are kept.
pub(super) const MAX_ALERTS: usize = 10_000;

/// An alert.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Alert {
    /// Ascending.
    pub sequence: u64,
    /// When, Unix seconds.
    pub at: u64,
    /// `namespace_mismatch`, `namespace_threshold` or `fingerprint_match`.
    pub kind: String,
    /// Whose request it was.
    pub tenant: Option<String>,
    /// On which surface.
    pub surface: Option<String>,
    /// Envoy's id of the request.
    pub request_id: String,
    /// What happened, in a sentence.
    pub summary: String,
}

impl Alert {
    /// The alerts of a decision.
    pub(super) fn of(decision: &Decision) -> Vec<Self> {
        let mut alerts = Vec::new();
        let whose = decision.tenant.as_deref().unwrap_or("an unknown tenant");
        let place = decision.endpoint.as_deref().unwrap_or("an unknown endpoint");
        let mut add = |kind: &str, summary: String| {
            alerts.push(Self {
                sequence: 0,
                at: decision.time_ms / 1000,
                kind: kind.to_owned(),
                tenant: decision.tenant.clone(),
                surface: decision.surface.clone(),
                request_id: decision.request_id.clone(),
                summary,
            });
        };
        if decision.dropped > 0 {
            let names: Vec<String> = decision
                .foreign
                .iter()
                .map(|(name, count)| format!("{count} of {}", if name.is_empty() { "no namespace" } else { name }))
                .collect();
            add(
                "namespace_mismatch",
                format!(
                    "{} foreign results were dropped from {place} for {whose}: {}",
                    decision.dropped,
                    names.join(", ")
                ),
            );
        }
        if !decision.hits.is_empty() {
            let what = match decision.outcome {
                Outcome::Redacted => "redacted",
                Outcome::Alerted => "let through, as the policy says",
                _ => "withheld",
            };
            add(
                "fingerprint_match",
                format!("a response of {place} to {whose} held another tenant's fingerprint and was {what}"),
            );
        }
        alerts
    }
}

impl App {
    /// Recent alerts, newest first.
    pub fn alerts(&self, limit: usize, wanted: impl Fn(&Alert) -> bool) -> Vec<Alert> {
        lock(&self.alerts).iter().rev().filter(|alert| wanted(alert)).take(limit).cloned().collect()
    }
}

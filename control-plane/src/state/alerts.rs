//! Alerts: what an operator must see. Kept until they are old, newest first.

use super::{App, lock};
use anyhow::Result;
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
    /// `namespace_mismatch`, `namespace_threshold`, `fingerprint_match` or `canary_crossed`.
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
    /// Raises alerts that no decision record carries.
    ///
    /// # Errors
    /// When the store fails.
    pub(super) fn raise(&self, mut new: Vec<Alert>) -> Result<()> {
        if new.is_empty() {
            return Ok(());
        }
        let _writer = lock(&self.writer);
        let first = lock(&self.alerts).back().map_or(1, |last| last.sequence + 1);
        for (sequence, alert) in (first..).zip(&mut new) {
            alert.sequence = sequence;
        }
        let write = self.store.write()?;
        write.put_numbered("alert", new.iter().map(|alert| (alert.sequence, alert)))?;
        write.commit()?;
        for alert in new {
            tracing::error!(kind = alert.kind, tenant = ?alert.tenant, surface = ?alert.surface, "alert: {}", alert.summary);
            self.metrics.alert(&alert.kind);
            lock(&self.alerts).push_back(alert);
        }
        Ok(())
    }

    /// Recent alerts, newest first.
    pub fn alerts(&self, limit: usize, wanted: impl Fn(&Alert) -> bool) -> Vec<Alert> {
        lock(&self.alerts).iter().rev().filter(|alert| wanted(alert)).take(limit).cloned().collect()
    }
}

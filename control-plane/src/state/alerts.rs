//! Alerts: what an operator must see. Equal ones are folded into one record; records are kept until they are old.

use super::{App, lock, now, parity};
use partywall_core::record::{Decision, Outcome, Severity};
use partywall_core::snapshot::wire::OnDetect;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use utoipa::ToSchema;

/// The most alerts that are kept, beside those of which something has yet to leave.
pub(super) const MAX_ALERTS: usize = 10_000;

/// Every kind of alert.
pub const KINDS: &[&str] = &[
    "canary_crossed",
    "documents_lost",
    "fingerprint_match",
    "namespace_drift",
    "namespace_mismatch",
    "namespace_threshold",
    "parity_gap",
    "phrases_shared",
];

/// An alert, and how often it was raised again while its window was open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Alert {
    /// Ascending.
    pub sequence: u64,
    /// When it was raised first, Unix seconds.
    #[serde(alias = "at")]
    pub first_at: u64,
    /// When it was raised last, Unix seconds.
    #[serde(default)]
    pub last_at: u64,
    /// One of [`KINDS`].
    pub kind: String,
    /// `low`, `high` or `critical`.
    #[serde(default)]
    #[schema(value_type = String)]
    pub severity: Severity,
    /// The same for alerts that say the same: kind, severity, tenant, surface and what was found.
    #[serde(default)]
    pub key: String,
    /// Whose request it was.
    pub tenant: Option<String>,
    /// On which surface.
    pub surface: Option<String>,
    /// Envoy's id of the first request.
    pub request_id: String,
    /// What happened, in a sentence.
    pub summary: String,
    /// How often it was raised.
    #[serde(default = "one")]
    pub count: u64,
    /// How many of these receivers have been told of.
    #[serde(default)]
    pub announced: u64,
    /// Until then equal ones are folded into it; Unix milliseconds, by our clock.
    #[serde(default)]
    pub until_ms: u64,
    /// When receivers are told of the rest; 0 for no rest.
    #[serde(default)]
    pub due_ms: u64,
}

fn one() -> u64 {
    1
}

/// What makes alerts equal.
fn key(kind: &str, severity: Severity, tenant: Option<&str>, surface: Option<&str>, what: &str) -> String {
    let text = serde_json::json!([kind, severity, tenant, surface, what]).to_string();
    hex::encode(Sha256::digest(text.as_bytes()).get(..12).unwrap_or_default())
}

impl Alert {
    /// An alert of now. `what` tells it from others of the same kind, tenant and surface.
    pub(super) fn new(
        kind: &str,
        severity: Severity,
        tenant: Option<&str>,
        surface: Option<&str>,
        what: &str,
        summary: String,
    ) -> Self {
        Self {
            sequence: 0,
            first_at: now(),
            last_at: now(),
            kind: kind.to_owned(),
            severity,
            key: key(kind, severity, tenant, surface, what),
            tenant: tenant.map(str::to_owned),
            surface: surface.map(str::to_owned),
            request_id: String::new(),
            summary,
            count: 1,
            announced: 0,
            until_ms: 0,
            due_ms: 0,
        }
    }

    /// An alert about a decision.
    pub(super) fn about(decision: &Decision, kind: &str, severity: Severity, what: &str, summary: String) -> Self {
        let at = decision.time_ms / 1000;
        Self {
            first_at: at,
            last_at: at,
            request_id: decision.request_id.clone(),
            ..Self::new(kind, severity, decision.tenant.as_deref(), decision.surface.as_deref(), what, summary)
        }
    }

    /// The alerts of a decision.
    pub(super) fn of(decision: &Decision) -> Vec<Self> {
        let mut alerts = Vec::new();
        let whose = decision.tenant.as_deref().unwrap_or("an unknown tenant");
        let place = decision.endpoint.as_deref().unwrap_or("an unknown endpoint");
        if decision.dropped > 0 {
            let word = |name: &str| if name.is_empty() { "no namespace".to_owned() } else { name.to_owned() };
            let names: Vec<String> =
                decision.foreign.iter().map(|(name, count)| format!("{count} of {}", word(name))).collect();
            let what: BTreeSet<&str> = decision.foreign.iter().map(|(name, _)| name.as_str()).collect();
            let summary = format!(
                "{} foreign results were dropped from {place} for {whose}: {}",
                decision.dropped,
                names.join(", ")
            );
            alerts.push(Self::about(decision, "namespace_mismatch", Severity::High, &format!("{what:?}"), summary));
        }
        if let Some(severity) = decision.hits.iter().map(|hit| hit.severity).max() {
            let done = match decision.outcome {
                Outcome::Redacted => "redacted",
                Outcome::Alerted => "let through, as the policy says",
                _ => "withheld",
            };
            let what: BTreeSet<u64> = decision.hits.iter().map(|hit| hit.fingerprint).collect();
            // The severest first: they are why.
            let mut each: Vec<(Option<OnDetect>, u64)> = Vec::new();
            for id in &what {
                let same = decision.hits.iter().filter(|hit| hit.fingerprint == *id);
                each.push((same.map(|hit| hit.action).max().flatten(), *id));
            }
            each.sort_by_key(|(action, id)| (std::cmp::Reverse(*action), *id));
            let mixed = each.windows(2).any(|two| matches!(two, [(a, _), (b, _)] if a != b));
            let one = |(action, id): &(Option<OnDetect>, u64)| match action.filter(|_| mixed) {
                None => id.to_string(),
                Some(OnDetect::Block) => format!("{id} withheld"),
                Some(OnDetect::Redact) => format!("{id} redacted"),
                Some(OnDetect::Alert) => format!("{id} only told"),
            };
            let ids: Vec<String> = each.iter().take(8).map(one).collect();
            let rest = if what.len() > ids.len() { " and others" } else { "" };
            let summary = format!(
                "a response of {place} to {whose} held another tenant's fingerprint ({}{rest}) and was {done}",
                ids.join(", ")
            );
            alerts.push(Self::about(decision, "fingerprint_match", severity, &format!("{what:?}"), summary));
        }
        alerts.extend(parity::of(decision, place, whose));
        alerts
    }

    /// Of each class the first leaves at once, whatever the rate: kind, severity, tenant and surface.
    pub(super) fn class(&self) -> String {
        key(&self.kind, self.severity, self.tenant.as_deref(), self.surface.as_deref(), "")
    }

    /// One alert that stands for many of a class.
    pub(super) fn standing_for(many: &[Self]) -> Option<Self> {
        let first = many.first()?;
        let fresh: u64 = many.iter().map(|alert| alert.count - alert.announced).sum();
        Some(Self {
            key: key(&first.kind, first.severity, first.tenant.as_deref(), first.surface.as_deref(), "more"),
            first_at: many.iter().map(|alert| alert.first_at).min().unwrap_or(first.first_at),
            last_at: many.iter().map(|alert| alert.last_at).max().unwrap_or(first.last_at),
            summary: format!("{fresh} more alerts of this kind, of {} sorts, came faster than the limit", many.len()),
            count: fresh,
            ..first.clone()
        })
    }
}

impl App {
    /// Recent alerts, newest first.
    pub fn alerts(&self, limit: usize, wanted: impl Fn(&Alert) -> bool) -> Vec<Alert> {
        lock(&self.desk).kept.iter().rev().filter(|alert| wanted(alert)).take(limit).cloned().collect()
    }
}

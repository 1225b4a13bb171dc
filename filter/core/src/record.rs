//! What the filter reports: one decision per request, in batches, and what deserves an alert at once.
//!
//! A record never holds a token, a body or matched text: only ids, codes, counts and offsets.

use crate::error::Code;
use crate::snapshot::wire::OnDetect;
use serde::{Deserialize, Serialize};

/// What the filter posts to `/v1/events`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// Which worker speaks: stable for the life of its VM.
    pub instance: String,
    /// The revision that it runs; 0 for none.
    pub revision: u64,
    /// Decisions since the last report, oldest first.
    pub decisions: Vec<Decision>,
    /// Records that had to be dropped since the VM started because the queue was full.
    pub lost: u64,
    /// Totals since the VM started.
    pub totals: Totals,
}

/// Totals since a VM started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Totals {
    /// Requests decided.
    pub requests: u64,
    /// Requests or responses refused.
    pub denied: u64,
    /// Fingerprint matches.
    pub hits: u64,
    /// Results dropped because their namespace was foreign or missing.
    pub dropped: u64,
    /// Response bytes of all decisions, those of lost records included.
    #[serde(default)]
    pub bytes: Bytes,
}

/// What was decided about one request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Decision {
    /// Unix time in milliseconds at which the request began.
    pub time_ms: u64,
    /// Envoy's request id.
    pub request_id: String,
    /// The bound tenant.
    pub tenant: Option<String>,
    /// The surface's name.
    pub surface: Option<String>,
    /// The endpoint's row, e.g. `chroma.query`.
    pub endpoint: Option<String>,
    /// What happened.
    pub outcome: Outcome,
    /// Why, where it was refused or withheld.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<Code>,
    /// The snapshot's revision; 0 for none.
    pub revision: u64,
    /// Fingerprint matches; absent for none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hits: Vec<Hit>,
    /// Results dropped because their namespace was foreign or missing; absent for none.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub dropped: u64,
    /// Results that were the tenant's own; absent for none.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub kept: u64,
    /// The dropped results by the namespace that they carried (`""` for none); absent for none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub foreign: Vec<(String, u64)>,
    /// Response bytes: scanned = delivered + withheld.
    pub bytes: Bytes,
    /// The proxy sent more than the filter let pass; absent where it did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overrun: Option<Overrun>,
}

/// Body bytes that left beside the filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Overrun {
    /// What the filter let pass or wrote itself.
    pub passed: u64,
    /// What the proxy says that it sent.
    pub sent: u64,
}

/// What happened to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Served whole.
    Allowed,
    /// Refused before the upstream saw it.
    Denied,
    /// The response was withheld, whole or from some byte on.
    Blocked,
    /// Served with spans replaced.
    Redacted,
    /// Served, with an alert.
    Alerted,
    /// The stream ended before its verdict: reset by a peer.
    Aborted,
}

/// A fingerprint match.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hit {
    /// The fingerprint's id.
    pub fingerprint: u64,
    /// What kind of fingerprint it is.
    #[serde(default, skip_serializing_if = "Class::is_literal")]
    pub class: Class,
    /// How grave its owner says that it is.
    pub severity: Severity,
    /// Where the match began, in bytes of the response.
    pub offset: u64,
    /// What was done about it; older records do not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<OnDetect>,
    /// Whether the request itself held it, and the policy excuses that in part.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub echo: bool,
}

/// A kind of fingerprint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// A text, wherever it occurs.
    #[default]
    Literal,
    /// A run of words of a document.
    Phrase,
}

impl Class {
    #[allow(clippy::trivially_copy_pass_by_ref)] // serde's signature
    fn is_literal(&self) -> bool {
        *self == Self::Literal
    }
}

/// How grave a match is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Worth knowing.
    Low,
    /// The default.
    #[default]
    High,
    /// Someone must wake up.
    Critical,
}

/// Response bytes: scanned = delivered + withheld.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bytes {
    /// Came from the upstream.
    pub scanned: u64,
    /// Of these, delivered as they were.
    pub delivered: u64,
    /// Of these, withheld or replaced.
    pub withheld: u64,
}

impl Bytes {
    /// How many bytes are not accounted for.
    pub fn gap(self) -> u64 {
        self.scanned.abs_diff(self.delivered.saturating_add(self.withheld))
    }

    /// Takes in those of another response.
    pub fn add(&mut self, other: Self) {
        self.scanned = self.scanned.saturating_add(other.scanned);
        self.delivered = self.delivered.saturating_add(other.delivered);
        self.withheld = self.withheld.saturating_add(other.withheld);
    }
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde's signature
fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl Decision {
    /// Whether the record must leave at once rather than with the next batch.
    pub fn is_alert(&self) -> bool {
        !self.hits.is_empty() || self.dropped > 0 || self.unaccounted() > 0 || self.code.is_some_and(Code::is_breach)
    }

    /// Bytes that nobody looked at, or that the counts do not explain.
    pub fn unaccounted(&self) -> u64 {
        let overrun = self.overrun.map_or(0, |overrun| overrun.sent.saturating_sub(overrun.passed));
        self.bytes.gap().saturating_add(overrun)
    }
}

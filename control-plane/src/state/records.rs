//! What is kept and shown.

use partywall_core::record::{Decision, Severity, Totals};
use partywall_core::snapshot::wire;
use partywall_core::tenant::{TenantId, TenantStatus};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::ToSchema;

/// A tenant.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct TenantRecord {
    /// Its identifier.
    #[schema(value_type = String)]
    pub id: TenantId,
    /// `active` or `suspended`.
    #[schema(value_type = String)]
    pub status: TenantStatus,
    /// Tokens issued before this Unix time are refused; 0 for none.
    pub tokens_not_before: u64,
    /// When it was onboarded, Unix seconds.
    pub created_at: u64,
}

/// A fingerprint.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct FingerprintRecord {
    /// Its id; a new one when its owners change.
    pub id: u64,
    /// The literal. Only admins see it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Whose it is.
    #[schema(value_type = Vec<String>)]
    pub owners: Vec<TenantId>,
    /// `low`, `high` or `critical`.
    #[schema(value_type = String)]
    pub severity: Severity,
    /// When it was added, Unix seconds.
    pub created_at: u64,
}

/// A policy that was applied.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct PolicyRecord {
    /// Its version, from 1.
    pub version: u64,
    /// The file, as it was sent.
    pub text: String,
    /// When, Unix seconds.
    pub applied_at: u64,
    /// By the token of this name.
    pub applied_by: String,
}

/// A worker VM of a proxy.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Sidecar {
    /// Its name.
    pub instance: String,
    /// The revision that it runs.
    pub revision: u64,
    /// Whether that is the current one.
    pub converged: bool,
    /// First heard of, Unix seconds.
    pub first_seen: u64,
    /// Last heard of, Unix seconds.
    pub last_seen: u64,
    /// What it counted since it started.
    #[schema(value_type = Object)]
    pub totals: Totals,
    /// Records that it had to drop.
    pub lost: u64,
}

/// A decision record, numbered.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Event {
    /// Ascending over all sidecars.
    pub sequence: u64,
    /// Which sidecar.
    pub instance: String,
    /// What was decided.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    pub decision: Decision,
}

/// What the filters get.
#[derive(Clone)]
pub struct Published {
    /// The revision.
    pub revision: u64,
    /// How long it may serve without hearing from us.
    pub max_age_s: u64,
    /// Names what it says: two control planes that say the same give it the same.
    pub tag: String,
    /// `None` until a policy is applied.
    pub content: Option<Arc<wire::Content>>,
}

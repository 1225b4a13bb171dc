//! A policy that was checked.

use serde::Deserialize;
use serde_json::Value;

/// A policy that was checked.
#[derive(Clone, Debug, Deserialize)]
#[allow(missing_docs)] // The schema's table documents every key.
pub struct Policy {
    pub multi_tenant: MultiTenant,
    pub rag: Option<Rag>,
    #[serde(default)]
    pub leakage_detection: LeakageDetection,
    pub identity: IdentityPolicy,
    pub surfaces: Vec<SurfacePolicy>,
    #[serde(default)]
    pub tenants: Vec<TenantPolicy>,
    #[serde(default)]
    pub snapshot: SnapshotPolicy,
    #[serde(default)]
    pub alerts: super::alerts::AlertsPolicy,
}

#[derive(Clone, Debug, Deserialize)]
#[allow(missing_docs)]
pub struct MultiTenant {
    pub tenant_id_claim: String,
}

#[derive(Clone, Debug, Deserialize)]
#[allow(missing_docs)]
pub struct Rag {
    pub isolation_strategy: partywall_core::snapshot::wire::Strategy,
    pub namespace_config: NamespaceConfig,
}

#[derive(Clone, Debug, Deserialize)]
#[allow(missing_docs)]
pub struct NamespaceConfig {
    pub namespace_key: String,
    pub namespace_format: String,
}

#[derive(Clone, Debug, Deserialize)]
#[allow(missing_docs)]
pub struct LeakageDetection {
    pub enabled: bool,
    #[serde(default)]
    pub cross_tenant_output_scan: OutputScan,
    #[serde(default)]
    pub statistical_monitoring: Statistics,
    #[serde(default)]
    pub phrases: PhrasesPolicy,
    #[serde(default)]
    pub actions: Vec<super::actions::ActionPolicy>,
    pub isolation_audit: Option<AuditPolicy>,
}

#[derive(Clone, Debug, Deserialize)]
#[allow(missing_docs)]
pub struct PhrasesPolicy {
    pub enabled: bool,
    pub severity: partywall_core::record::Severity,
    pub action: Option<partywall_core::snapshot::wire::OnDetect>,
    pub echo: partywall_core::snapshot::wire::OnEcho,
    pub from_rag_writes: bool,
}

impl Default for PhrasesPolicy {
    fn default() -> Self {
        Self {
            enabled: true,
            severity: partywall_core::record::Severity::High,
            action: None,
            echo: Default::default(),
            from_rag_writes: false,
        }
    }
}

#[derive(Clone, Debug, Deserialize)]
#[allow(missing_docs)]
pub struct AuditPolicy {
    pub schedule: String,
    pub edge: String,
}

#[derive(Clone, Debug, Deserialize)]
#[allow(missing_docs)]
pub struct Statistics {
    pub track_namespace_distribution: bool,
    pub alert_threshold: u64,
    pub drift_baseline_hours: u64,
    pub drift_minimum_results: u64,
    pub drift_sigmas: u64,
}

impl Default for Statistics {
    fn default() -> Self {
        Self {
            track_namespace_distribution: true,
            alert_threshold: 0,
            drift_baseline_hours: 168,
            drift_minimum_results: 100,
            drift_sigmas: 4,
        }
    }
}

impl Default for LeakageDetection {
    fn default() -> Self {
        Self {
            enabled: true,
            cross_tenant_output_scan: OutputScan::default(),
            statistical_monitoring: Statistics::default(),
            phrases: PhrasesPolicy::default(),
            actions: Vec::new(),
            isolation_audit: None,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum FingerprintStore {
    Embedded,
    Redis,
}

#[derive(Clone, Debug, Deserialize)]
#[allow(missing_docs)]
pub struct OutputScan {
    pub fingerprint_check: bool,
    pub fingerprint_store: FingerprintStore,
    pub action_on_detect: partywall_core::snapshot::wire::OnDetect,
    pub hold_back: partywall_core::snapshot::wire::HoldBack,
    pub evasion: partywall_core::snapshot::wire::Evasion,
    pub echo: partywall_core::snapshot::wire::OnEcho,
}

impl Default for OutputScan {
    fn default() -> Self {
        use partywall_core::snapshot::wire::{Evasion, HoldBack, OnDetect};
        Self {
            fingerprint_check: true,
            fingerprint_store: FingerprintStore::Embedded,
            action_on_detect: OnDetect::Block,
            hold_back: HoldBack::Exact,
            evasion: Evasion::Strict,
            echo: Default::default(),
        }
    }
}

#[derive(Clone, Debug, Deserialize)]
#[allow(missing_docs)]
pub struct IdentityPolicy {
    pub header: Option<String>,
    pub leeway: u64,
    pub issuers: Vec<IssuerPolicy>,
}

/// An issuer as it is written.
#[derive(Clone, Debug, Deserialize)]
#[allow(missing_docs)]
pub struct IssuerPolicy {
    pub issuer: String,
    pub audiences: Vec<String>,
    pub algorithms: Vec<String>,
    pub jwks: Option<Value>,
    pub jwks_url: Option<String>,
    #[serde(default)]
    pub discovery: bool,
    pub hs256: Option<Secret>,
}

#[derive(Clone, Debug, Deserialize)]
#[allow(missing_docs)]
pub struct Secret {
    pub secret: Option<String>,
    pub secret_env: Option<String>,
    pub secret_file: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[allow(missing_docs)]
pub struct SurfacePolicy {
    pub name: String,
    pub kind: partywall_core::snapshot::wire::SurfaceKind,
    pub hosts: Vec<String>,
    pub prefix: String,
    pub credential: Option<CredentialPolicy>,
    #[serde(default)]
    pub limits: LimitsPolicy,
    pub rag: Option<RagPolicy>,
}

#[derive(Clone, Debug, Deserialize)]
#[allow(missing_docs)]
pub struct CredentialPolicy {
    pub mode: String,
    pub header: String,
    pub value: Option<String>,
    pub value_env: Option<String>,
    pub value_file: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[allow(missing_docs)]
pub struct LimitsPolicy {
    pub request_bytes: u64,
    pub response_bytes: u64,
    pub event_bytes: u64,
}

impl Default for LimitsPolicy {
    fn default() -> Self {
        Self { request_bytes: 1 << 20, response_bytes: 8 << 20, event_bytes: 256 << 10 }
    }
}

#[derive(Clone, Debug, Deserialize)]
#[allow(missing_docs)]
pub struct RagPolicy {
    pub collections: Vec<String>,
    pub create: bool,
    pub isolation_strategy: Option<partywall_core::snapshot::wire::Strategy>,
    pub collection_format: String,
    pub database: Option<String>,
    pub database_format: Option<String>,
    pub chroma_tenant: String,
    pub id_field: String,
    pub cluster: Option<String>,
    pub cluster_format: Option<String>,
    pub backend: Option<BackendPolicy>,
    #[serde(default)]
    pub tenants: Vec<OverridePolicy>,
}

#[derive(Clone, Debug, Deserialize)]
#[allow(missing_docs)]
pub struct BackendPolicy {
    pub url: String,
    pub header: String,
    pub value: Option<String>,
    pub value_env: Option<String>,
    pub value_file: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[allow(missing_docs)]
pub struct OverridePolicy {
    pub id: String,
    pub isolation_strategy: partywall_core::snapshot::wire::Strategy,
    pub cluster: Option<String>,
    pub backend_url: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[allow(missing_docs)]
pub struct TenantPolicy {
    pub id: String,
}

#[derive(Clone, Debug, Deserialize)]
#[allow(missing_docs)]
pub struct SnapshotPolicy {
    pub max_age: u64,
}

impl Default for SnapshotPolicy {
    fn default() -> Self {
        Self { max_age: 300 }
    }
}

//! From a checked policy to what the filters get. Secrets are read here, from the control plane's environment and
//! files; keys come from the `jwks` cache. The result is compiled by the core itself before it is accepted.

use super::types::{FingerprintStore, IssuerPolicy, Policy, Rag, RagPolicy, Secret, SurfacePolicy};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use partywall_core::scan::FingerprintSet;
use partywall_core::snapshot::{Snapshot, wire};
use partywall_core::tenant::TenantId;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::rc::Rc;

/// Why a policy cannot be enforced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompileError(pub String);

impl std::fmt::Display for CompileError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for CompileError {}

/// Where an issuer's keys come from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeySource {
    /// In the policy.
    Inline(Value),
    /// Fetched from this address.
    Url(String),
    /// Found by the issuer's discovery document.
    Discovery(String),
}

/// The source of an issuer's keys.
///
/// # Errors
/// When the policy names none or several, or an algorithm that does not exist.
pub fn key_source(issuer: &IssuerPolicy) -> Result<KeySource, CompileError> {
    let bad = |why: &str| Err(CompileError(format!("identity.issuers ({}): {why}", issuer.issuer)));
    for algorithm in &issuer.algorithms {
        match (algorithm.as_str(), &issuer.hs256) {
            ("HS256", Some(_)) | ("RS256" | "PS256" | "ES256" | "EdDSA", None) => {}
            ("HS256", None) => return bad("HS256 needs the block `hs256` with a secret"),
            ("RS256" | "PS256" | "ES256" | "EdDSA", Some(_)) => {
                return bad("`hs256` goes with the algorithm HS256 only");
            }
            (other, _) => {
                return bad(&format!("unknown algorithm {other:?}; known: RS256, PS256, ES256, EdDSA, HS256"));
            }
        }
    }
    match (&issuer.jwks, &issuer.jwks_url, issuer.discovery, &issuer.hs256) {
        (Some(jwks), None, false, None) => Ok(KeySource::Inline(jwks.clone())),
        (None, Some(url), false, None) => Ok(KeySource::Url(url.clone())),
        (None, None, true, None) => Ok(KeySource::Discovery(issuer.issuer.clone())),
        (None, None, false, Some(secret)) => {
            let secret =
                resolve(secret).map_err(|why| CompileError(format!("identity.issuers ({}): {why}", issuer.issuer)))?;
            let k = URL_SAFE_NO_PAD.encode(secret);
            Ok(KeySource::Inline(json!({"keys": [{"kty": "oct", "alg": "HS256", "k": k}]})))
        }
        _ => bad("needs exactly one of jwks, jwks_url, discovery, hs256"),
    }
}

fn resolve(secret: &Secret) -> Result<String, String> {
    pick(&secret.secret, &secret.secret_env, &secret.secret_file, "secret")
}

pub(super) fn pick(
    value: &Option<String>,
    env: &Option<String>,
    file: &Option<String>,
    name: &str,
) -> Result<String, String> {
    match (value, env, file) {
        (Some(value), None, None) => Ok(value.clone()),
        (None, Some(env), None) => {
            std::env::var(env).map_err(|_| format!("{name}_env: the control plane has no variable {env}"))
        }
        (None, None, Some(file)) => std::fs::read_to_string(file)
            .map(|text| text.trim_end_matches(['\n', '\r']).to_owned())
            .map_err(|error| format!("{name}_file: {file}: {error}")),
        _ => Err(format!("needs exactly one of {name}, {name}_env, {name}_file")),
    }
}

/// When the share of foreign results has drifted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drift {
    /// How many hours an hour is compared with.
    pub baseline_hours: u64,
    /// With fewer results nothing is said.
    pub minimum_results: u64,
    /// How many standard deviations are a drift.
    pub sigmas: u64,
}

/// An issuer whose keys are fetched.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Fetched {
    /// Its name.
    pub issuer: String,
    /// Where its keys are.
    pub source: KeySource,
    /// For which algorithms they count.
    pub algorithms: Vec<String>,
}

/// A policy, compiled: secrets are read, and nothing outside is needed any more to publish it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Compiled {
    content: wire::Content,
    /// Issuers whose keys are fetched.
    pub fetched: Vec<Fetched>,
    /// How long a filter may serve without hearing from us.
    pub max_age_s: u64,
    /// How the control plane reaches the databases.
    #[serde(default)]
    pub reach: Vec<Reach>,
    /// Whether namespaces of results are counted, and above how many foreign ones an alert leaves.
    #[serde(default)]
    pub statistics: Option<u64>,
    /// When the share of foreign ones has drifted.
    #[serde(default)]
    pub drift: Option<Drift>,
    /// Whether fingerprints are kept in the Redis that the control plane was given.
    #[serde(default)]
    pub redis: bool,
    /// Who is told of alerts, and how often.
    #[serde(default)]
    pub alerts: super::Alerting,
    /// The isolation audit.
    #[serde(default)]
    pub audit: Option<Audit>,
}

/// When and by which way the isolation audit goes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Audit {
    /// A cron pattern.
    pub schedule: String,
    /// The proxy's address.
    pub edge: String,
}

/// A surface as an earlier policy had it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Former {
    /// The surface.
    pub surface: wire::Surface,
    /// How its database was reached.
    pub reach: Option<Reach>,
}

impl Former {
    fn is(&self, other: &Self) -> bool {
        let url = |former: &Self| former.reach.as_ref().map(|reach| (reach.url.clone(), reach.own.clone()));
        let rag = |former: &Self| serde_json::to_string(&former.surface.rag).unwrap_or_default();
        self.surface.name == other.surface.name
            && self.surface.kind == other.surface.kind
            && rag(self) == rag(other)
            && url(self) == url(other)
    }
}

impl Compiled {
    /// The vector databases, as they are to be remembered.
    fn databases(&self) -> Vec<Former> {
        let databases = self.content.surfaces.iter().filter(|surface| surface.rag.is_some());
        databases
            .map(|surface| Former {
                surface: wire::Surface { credential: wire::Credential::Strip, ..surface.clone() },
                reach: self.reach.iter().find(|reach| reach.surface == surface.name).cloned(),
            })
            .collect()
    }

    /// Adds to the former databases those of this policy that the next one has no more, or has elsewhere.
    pub fn remember(&self, next: &Self, former: &mut Vec<Former>) {
        let there = next.databases();
        for one in self.databases() {
            if !there.iter().chain(former.iter()).any(|known| known.is(&one)) {
                former.push(one);
            }
        }
    }

    /// Everything that decides where records are, to be compared.
    pub fn places(&self) -> Vec<(String, String)> {
        let one =
            |surface: &wire::Surface| (surface.name.clone(), serde_json::to_string(&surface.rag).unwrap_or_default());
        self.content.surfaces.iter().map(one).collect()
    }

    /// The claim that names the tenant.
    pub fn tenant_claim(&self) -> &str {
        &self.content.identity.tenant_claim
    }

    /// Whether what tenants write through the vector databases becomes documents of theirs.
    pub fn harvests(&self) -> bool {
        self.content.phrases.as_ref().is_some_and(|phrases| phrases.from_rag_writes)
    }

    /// The surfaces.
    pub fn surfaces(&self) -> &[wire::Surface] {
        &self.content.surfaces
    }

    /// What the filters get, with these keys of the issuers and these tenants.
    pub fn content(
        &self,
        keys: &dyn Fn(&str) -> Vec<Value>,
        tenants: Vec<wire::Tenant>,
        seal_key: String,
    ) -> wire::Content {
        let mut content = self.content.clone();
        content.seal_key = seal_key;
        content.tenants = tenants;
        for issuer in &mut content.identity.issuers {
            if let Some(fetched) = self.fetched.iter().find(|fetched| fetched.issuer == issuer.issuer) {
                issuer.keys = keys(&issuer.issuer).iter().flat_map(|jwk| usable(jwk, &fetched.algorithms)).collect();
            }
        }
        content
    }
}

/// Compiles a policy.
///
/// # Errors
/// [`CompileError`] names the field.
pub fn compile(policy: &Policy) -> Result<Compiled, CompileError> {
    let mut issuers = Vec::new();
    let mut fetched = Vec::new();
    for issuer in &policy.identity.issuers {
        let mut keys = Vec::new();
        match key_source(issuer)? {
            KeySource::Inline(document) => {
                let bad = |why: String| CompileError(format!("identity.issuers ({}): {why}", issuer.issuer));
                let published = crate::jwks::keys(&document).map_err(|error| bad(error.to_string()))?;
                keys = published.iter().flat_map(|jwk| usable(jwk, &issuer.algorithms)).collect();
                if keys.is_empty() {
                    return Err(bad(
                        "none of the keys is usable for its algorithms (RSA from 2048 bits, secrets from 32 bytes)"
                            .to_owned(),
                    ));
                }
            }
            source => {
                fetched.push(Fetched { issuer: issuer.issuer.clone(), source, algorithms: issuer.algorithms.clone() })
            }
        }
        issuers.push(wire::Issuer { issuer: issuer.issuer.clone(), audiences: issuer.audiences.clone(), keys });
    }
    if policy.surfaces.is_empty() {
        return Err(CompileError("surfaces: must describe at least one".to_owned()));
    }
    if !(30..=7 * 86400).contains(&policy.snapshot.max_age) {
        return Err(CompileError("snapshot.max_age: must be from 30s to 7d".to_owned()));
    }
    let scan = &policy.leakage_detection.cross_tenant_output_scan;
    if policy.leakage_detection.phrases.from_rag_writes && !policy.leakage_detection.phrases.enabled {
        return Err(CompileError("leakage_detection.phrases.from_rag_writes: needs `enabled: true`".to_owned()));
    }
    let content = wire::Content {
        identity: wire::Identity {
            header: policy.identity.header.clone(),
            tenant_claim: policy.multi_tenant.tenant_id_claim.clone(),
            leeway_s: policy.identity.leeway,
            issuers,
        },
        tenants: Vec::new(),
        surfaces: policy.surfaces.iter().map(|surface| compile_surface(policy, surface)).collect::<Result<_, _>>()?,
        leakage: wire::Leakage {
            fingerprint_check: policy.leakage_detection.enabled && scan.fingerprint_check,
            action_on_detect: scan.action_on_detect,
            hold_back: scan.hold_back,
            evasion: scan.evasion,
            echo: wire::Echo { literals: scan.echo, phrases: policy.leakage_detection.phrases.echo },
            actions: super::actions::compile(&policy.leakage_detection.actions),
        },
        segments: Vec::new(),
        removed: Vec::new(),
        phrases: (policy.leakage_detection.phrases.enabled).then(|| wire::Phrases {
            word_key: String::new(),
            wire_key: String::new(),
            severity: policy.leakage_detection.phrases.severity,
            action: policy.leakage_detection.phrases.action,
            from_rag_writes: policy.leakage_detection.phrases.from_rag_writes,
            segments: Vec::new(),
            removed: Vec::new(),
        }),
        // Only to be compiled; the real one is put in when it is published.
        seal_key: base64::engine::general_purpose::STANDARD.encode([0; 32]),
    };
    // The filter's own compiler has the last word, before anything is accepted.
    Snapshot::compile(1, &content, Rc::new(FingerprintSet::empty())).map_err(|error| CompileError(error.0))?;
    let reach = policy
        .surfaces
        .iter()
        .filter_map(|surface| compile_reach(policy, surface).transpose())
        .collect::<Result<_, _>>()?;
    let monitoring = &policy.leakage_detection.statistical_monitoring;
    let statistics = monitoring.track_namespace_distribution.then_some(monitoring.alert_threshold);
    Ok(Compiled {
        alerts: super::alerts::compile(&policy.alerts)?,
        content,
        fetched,
        max_age_s: policy.snapshot.max_age,
        reach,
        statistics,
        drift: (monitoring.track_namespace_distribution && monitoring.drift_baseline_hours > 0).then_some(Drift {
            baseline_hours: monitoring.drift_baseline_hours,
            minimum_results: monitoring.drift_minimum_results,
            sigmas: monitoring.drift_sigmas,
        }),
        audit: compile_audit(policy)?,
        redis: scan.fingerprint_store == FingerprintStore::Redis,
    })
}

fn compile_audit(policy: &Policy) -> Result<Option<Audit>, CompileError> {
    let Some(audit) = &policy.leakage_detection.isolation_audit else { return Ok(None) };
    let bad = |key: &str, why: String| CompileError(format!("leakage_detection.isolation_audit.{key}: {why}"));
    if let Err(error) = audit.schedule.parse::<croner::Cron>() {
        return Err(bad("schedule", format!("{:?} is no cron pattern like \"0 2 * * 0\" ({error})", audit.schedule)));
    }
    if reqwest::Url::parse(&audit.edge).is_err() {
        return Err(bad("edge", format!("{:?} is no address like http://envoy:10000", audit.edge)));
    }
    Ok(Some(Audit { schedule: audit.schedule.clone(), edge: audit.edge.clone() }))
}

fn compile_surface(policy: &Policy, surface: &SurfacePolicy) -> Result<wire::Surface, CompileError> {
    let bad = |why: String| CompileError(format!("surfaces ({}): {why}", surface.name));
    let credential = match &surface.credential {
        None => wire::Credential::Strip,
        Some(credential) => match credential.mode.as_str() {
            "forward" => wire::Credential::Forward,
            "replace" => wire::Credential::Replace {
                header: credential.header.clone(),
                value: pick(&credential.value, &credential.value_env, &credential.value_file, "credential.value")
                    .map_err(bad)?,
            },
            _ => wire::Credential::Strip,
        },
    };
    let rag = match (&surface.rag, &policy.rag) {
        (None, _) => None,
        (Some(_), None) => return Err(bad("a vector database needs the block `rag` at the top".to_owned())),
        (Some(own), Some(common)) => Some(compile_rag(surface, own, common).map_err(bad)?),
    };
    Ok(wire::Surface {
        name: surface.name.clone(),
        kind: surface.kind,
        hosts: surface.hosts.clone(),
        prefix: surface.prefix.clone(),
        credential,
        limits: wire::Limits {
            request_bytes: surface.limits.request_bytes,
            response_bytes: surface.limits.response_bytes,
            event_bytes: surface.limits.event_bytes,
        },
        rag,
    })
}

fn compile_rag(surface: &SurfacePolicy, own: &RagPolicy, common: &Rag) -> Result<wire::Rag, String> {
    let tenant = |id: &str| TenantId::parse(id).map_err(|error| format!("rag.tenants ({id}): {error}"));
    let shared = match surface.kind {
        wire::SurfaceKind::Chroma => "default_database",
        wire::SurfaceKind::Milvus => "default",
        wire::SurfaceKind::Postgrest => "public",
        _ => "",
    };
    Ok(wire::Rag {
        strategy: own.isolation_strategy.unwrap_or(common.isolation_strategy),
        namespace_key: common.namespace_config.namespace_key.clone(),
        namespace_format: common.namespace_config.namespace_format.clone(),
        collections: own.collections.clone(),
        create: own.create,
        collection_format: own.collection_format.clone(),
        database: own.database.clone().unwrap_or_else(|| shared.to_owned()),
        database_format: own.database_format.clone().unwrap_or_default(),
        chroma_tenant: own.chroma_tenant.clone(),
        id_field: own.id_field.clone(),
        cluster: own.cluster.clone(),
        cluster_format: own.cluster_format.clone(),
        overrides: own
            .tenants
            .iter()
            .map(|other| {
                Ok(wire::Override {
                    tenant: tenant(&other.id)?,
                    strategy: other.isolation_strategy,
                    cluster: other.cluster.clone(),
                })
            })
            .collect::<Result<_, String>>()?,
    })
}

/// How the control plane itself reaches a surface's database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reach {
    /// The surface.
    pub surface: String,
    /// The address, with `{tenant_id}` where it depends on the tenant.
    pub url: String,
    /// Addresses of single tenants.
    pub own: Vec<(TenantId, String)>,
    /// The credential: a header and its value.
    pub credential: Option<(String, String)>,
}

impl Reach {
    /// The address for a tenant, without a trailing slash.
    pub fn url(&self, tenant: &TenantId) -> String {
        let own = self.own.iter().find(|(id, _)| id == tenant).map(|(_, url)| url);
        own.unwrap_or(&self.url).replace("{tenant_id}", tenant.as_str()).trim_end_matches('/').to_owned()
    }
}

fn compile_reach(policy: &Policy, surface: &SurfacePolicy) -> Result<Option<Reach>, CompileError> {
    let bad = |why: String| CompileError(format!("surfaces ({}): {why}", surface.name));
    let Some(rag) = &surface.rag else { return Ok(None) };
    let Some(backend) = &rag.backend else {
        if rag.tenants.iter().any(|tenant| tenant.backend_url.is_some()) {
            return Err(bad("rag.tenants.backend_url needs the block `rag.backend`".to_owned()));
        }
        return Ok(None);
    };
    let mut own = Vec::new();
    for tenant in &rag.tenants {
        let id = TenantId::parse(&tenant.id).map_err(|error| bad(format!("rag.tenants ({}): {error}", tenant.id)))?;
        own.extend(tenant.backend_url.clone().map(|url| (id, url)));
    }
    for url in own.iter().map(|(_, url)| url).chain([&backend.url]) {
        let parsed = reqwest::Url::parse(&url.replace("{tenant_id}", "t")).ok();
        let Some(parsed) = parsed.filter(|parsed| matches!(parsed.scheme(), "http" | "https")) else {
            return Err(bad(format!("rag.backend.url: {url:?} is no address like http://chroma:8000")));
        };
        // Addresses stand in messages and logs.
        if !parsed.username().is_empty() || parsed.password().is_some() || parsed.query().is_some() {
            return Err(bad(
                "rag.backend.url: a credential goes into `header` and `value_env`, not into the address".to_owned()
            ));
        }
    }
    check_own_addresses(policy, rag, &backend.url).map_err(bad)?;
    let credential = match (&backend.value, &backend.value_env, &backend.value_file) {
        (None, None, None) => None,
        (value, env, file) => {
            let value = pick(value, env, file, "rag.backend.value").map_err(bad)?;
            Some((backend.header.clone(), value))
        }
    };
    Ok(Some(Reach { surface: surface.name.clone(), url: backend.url.clone(), own, credential }))
}

/// A tenant whose requests Envoy sends to another cluster must be reached there: at the shared address its records would be sought
/// in vain, and others' deleted.
fn check_own_addresses(policy: &Policy, rag: &RagPolicy, url: &str) -> Result<(), String> {
    let apart = |strategy: wire::Strategy, cluster: Option<&String>| {
        let filled = strategy == wire::Strategy::SeparateDb && rag.cluster_format.is_some();
        cluster.map_or(filled, |own| Some(own) != rag.cluster.as_ref())
    };
    if url.contains("{tenant_id}") {
        return Ok(());
    }
    let common = rag.isolation_strategy.or(policy.rag.as_ref().map(|common| common.isolation_strategy));
    if common.is_some_and(|strategy| apart(strategy, None)) {
        return Err("rag.backend.url: tenants have clusters of their own, so it must hold {tenant_id}".to_owned());
    }
    let lost = |tenant: &&super::types::OverridePolicy| {
        tenant.backend_url.is_none() && apart(tenant.isolation_strategy, tenant.cluster.as_ref())
    };
    match rag.tenants.iter().find(lost) {
        None => Ok(()),
        Some(tenant) => {
            Err(format!("rag.tenants ({}): it has a cluster of its own, so it needs a `backend_url`", tenant.id))
        }
    }
}

/// A published key as verification keys: one for each allowed algorithm that it fits. A key that says what it is for is
/// for nothing else; what we cannot use is left out, as publishers add kinds of keys that nobody must know, and one bad key
/// must not keep the others from being published.
pub fn usable(jwk: &Value, allowed: &[String]) -> Vec<wire::Key> {
    let field = |name: &str| jwk.get(name).and_then(Value::as_str);
    if field("use").is_some_and(|usage| usage != "sig") {
        return Vec::new();
    }
    let fits: &[(&str, wire::Alg)] = match (field("kty"), field("crv")) {
        (Some("RSA"), _) => &[("RS256", wire::Alg::RS256), ("PS256", wire::Alg::PS256)],
        (Some("EC"), Some("P-256")) => &[("ES256", wire::Alg::ES256)],
        (Some("OKP"), Some("Ed25519")) => &[("EdDSA", wire::Alg::EdDSA)],
        (Some("oct"), _) => &[("HS256", wire::Alg::HS256)],
        _ => &[],
    };
    let public: serde_json::Map<String, Value> = ["kty", "n", "e", "crv", "x", "y", "k"]
        .iter()
        .filter(|name| **name != "k" || field("kty") == Some("oct"))
        .filter_map(|name| Some(((*name).to_owned(), jwk.get(*name)?.clone())))
        .collect();
    fits.iter()
        .filter(|(name, _)| allowed.iter().any(|a| a == name) && field("alg").is_none_or(|alg| alg == *name))
        .filter_map(|(_, alg)| {
            let jwk = serde_json::value::to_raw_value(&public).ok()?;
            Some(wire::Key { kid: field("kid").map(str::to_owned), alg: *alg, jwk })
        })
        .filter(|key| partywall_core::identity::check_key(key).is_ok())
        .collect()
}

//! The isolation audit: each tenant's canary is written through the real path into every vector database, and looked for from every
//! other tenant by every way of reading. A canary that crosses is a critical alert, and stands in a signed report.
//!
//! The audit goes where tenants go: through the proxy (`isolation_audit.edge`), with tokens that only exist while it runs. While they live,
//! the canaries are fingerprints too, so live traffic is guarded against them. Whatever happens, they are removed again: the record of a
//! running audit is on disk before the first canary is written, and a restart cleans up.
#![allow(clippy::indexing_slicing)] // Indexing a JSON value gives null where there is nothing.

mod more;
mod probe;
mod report;

pub use report::{Check, Finding, Report, SignedReport, html};

use crate::api::Shared;
use crate::policy::Compiled;
use crate::state::{App, now};
use anyhow::{Context, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Local};
use futures_util::stream::{self, StreamExt as _};
use partywall_core::record::Severity;
use partywall_core::snapshot::{SecretKey, wire};
use partywall_core::surface::Surfaces;
use partywall_core::tenant::{TenantId, TenantStatus};
use probe::{Canary, Here, Visit};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Who issues the audit's tokens, and for whom.
pub const ISSUER: &str = "urn:partywall:audit";
/// How many tenants are visited at once.
const AT_ONCE: usize = 8;
/// How long the proxies may take to learn the audit's key and canaries.
const CONVERGE: Duration = Duration::from_secs(60);
/// How long a restart waits before it removes what an interrupted audit has written.
const SETTLE: Duration = Duration::from_secs(5);
/// How long a token of the audit is valid, in seconds.
const TOKEN_S: u64 = 3600;

/// An audit that runs: enough to clean up after it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Running {
    /// Its id.
    pub id: String,
    /// When it began, Unix seconds.
    pub started_at: u64,
    /// Who asked for it: a token's name, or `schedule`.
    pub requested_by: String,
    /// The seed of the key that signs its tokens.
    seed: [u8; 32],
    /// Each tenant's canary.
    canaries: Vec<Canary>,
}

impl Running {
    /// How many tenants take part.
    pub fn tenants(&self) -> usize {
        self.canaries.len()
    }

    fn key(&self) -> Result<SecretKey> {
        SecretKey::from_seed(&self.seed).context("the audit's key")
    }

    /// The issuer of the audit's tokens.
    ///
    /// # Errors
    /// When the key is damaged.
    pub fn issuer(&self) -> Result<wire::Issuer> {
        let public = base64::engine::general_purpose::STANDARD.decode(self.key()?.public().to_base64())?;
        let jwk = json!({"kty": "OKP", "crv": "Ed25519", "x": URL_SAFE_NO_PAD.encode(public)});
        Ok(wire::Issuer {
            issuer: ISSUER.to_owned(),
            audiences: vec![ISSUER.to_owned()],
            keys: vec![wire::Key {
                kid: Some(self.id.clone()),
                alg: wire::Alg::EdDSA,
                jwk: serde_json::value::to_raw_value(&jwk)?,
            }],
        })
    }

    /// A token of a tenant.
    fn token(&self, compiled: &Compiled, tenant: &TenantId, not_before: u64) -> Result<String> {
        let mut claims = Map::new();
        let issued = now().max(not_before);
        for (name, value) in [
            ("iss", json!(ISSUER)),
            ("aud", json!(ISSUER)),
            ("sub", json!("isolation-audit")),
            ("iat", json!(issued)),
            ("exp", json!(issued + TOKEN_S)),
        ] {
            claims.insert(name.to_owned(), value);
        }
        place(&mut claims, compiled.tenant_claim(), tenant.as_str());
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", part(&json!({"alg": "EdDSA", "kid": self.id})), part(&Value::Object(claims)));
        let signature = self.key()?.sign(b"", message.as_bytes());
        let signature = base64::engine::general_purpose::STANDARD.decode(signature)?;
        Ok(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}

/// Puts the tenant where the policy's claim (a name, or a JSON pointer) will find it.
fn place(claims: &mut Map<String, Value>, claim: &str, tenant: &str) {
    let path: Vec<String> = match claim.strip_prefix('/') {
        None => vec![claim.to_owned()],
        Some(rest) => rest.split('/').map(|part| part.replace("~1", "/").replace("~0", "~")).collect(),
    };
    let value = path.iter().skip(1).rev().fold(json!(tenant), |value, name| json!({name.as_str(): value}));
    claims.insert(path.first().cloned().unwrap_or_default(), value);
}

/// Begins an audit, in the background. Its id.
///
/// # Errors
/// When one is running, or the policy has none.
pub fn start(app: &Shared, by: &str) -> Result<String> {
    let compiled = app.read(|model| model.compiled.clone()).ok_or_else(|| {
        crate::state::refused("policy_missing", "no policy was applied yet: `partywall policy apply FILE`")
    })?;
    if compiled.audit.is_none() {
        return Err(crate::state::refused(
            "audit_missing",
            "the policy has no leakage_detection.isolation_audit: it says how the audit reaches the proxy",
        ));
    }
    let mut random = [0u8; 40];
    getrandom::fill(&mut random).map_err(|error| anyhow::anyhow!("no randomness: {error}"))?;
    let (seed, id) = random.split_at(32);
    let id = hex::encode(id);
    let tenants: Vec<TenantId> = app.read(|model| {
        model.tenants.values().filter(|t| t.status == TenantStatus::Active).map(|t| t.id.clone()).collect()
    });
    if tenants.len() < 2 {
        return Err(crate::state::refused("audit_needs_tenants", "an audit needs two active tenants at least"));
    }
    let canaries = tenants.into_iter().map(Canary::new).collect::<Result<_>>()?;
    let seed = seed.try_into().context("a seed")?;
    let running = Running { id: id.clone(), started_at: now(), requested_by: by.to_owned(), seed, canaries };
    app.begin_audit(&running)?;
    let app = Shared::clone(app);
    tokio::spawn(async move {
        let result = run(&app, &compiled, &running).await;
        finish(&app, &compiled, &running, result).await;
    });
    Ok(id)
}

/// Cleans up after an audit that a restart interrupted.
pub fn resume(app: &Shared) {
    let (running, compiled) = (app.running_audit(), app.read(|model| model.compiled.clone()));
    let (Some(running), Some(compiled)) = (running, compiled) else { return };
    let app = Shared::clone(app);
    tokio::spawn(async move {
        tracing::warn!(audit = running.id, "an audit was interrupted: removing its canaries");
        // A write that was under way when we ended may still arrive.
        tokio::time::sleep(SETTLE).await;
        finish(&app, &compiled, &running, Err(anyhow::anyhow!("interrupted by a restart of the control plane"))).await;
    });
}

/// What an audit found out.
struct Outcome {
    checks: Vec<Check>,
    findings: Vec<Finding>,
    skipped: Vec<String>,
    empty: Vec<String>,
    revision: u64,
    proxies: u64,
}

async fn run(app: &Shared, compiled: &Compiled, running: &Running) -> Result<Outcome> {
    // The canaries guard live traffic while they exist.
    let literals: Vec<(TenantId, String, Severity)> = running
        .canaries
        .iter()
        .map(|canary| (canary.tenant.clone(), canary.text.clone(), Severity::Critical))
        .collect();
    let adding = Shared::clone(app);
    tokio::task::spawn_blocking(move || adding.add_fingerprints(&literals)).await??;
    let revision = app.read(|model| model.revision());
    let proxies = converge(app, revision).await?;
    let visits = visits(app, compiled, running)?;
    let mut outcome =
        Outcome { checks: Vec::new(), findings: Vec::new(), skipped: Vec::new(), empty: Vec::new(), revision, proxies };
    for surface in surfaces(compiled)? {
        let Some(kind) = probe::of(surface.kind) else {
            outcome.skipped.push(format!("{}: there is no probe for this kind of database yet", surface.name));
            continue;
        };
        for collection in &surface.collections {
            // All write before anyone reads.
            let here: Vec<Here> = visits.iter().map(|visit| Here::new(visit, &surface, collection)).collect();
            let written = stream::iter(here.clone())
                .map(|here| async move { (here.tenant().clone(), kind.write(&here).await) })
                .buffered(AT_ONCE)
                .collect::<Vec<_>>()
                .await;
            let mut present = Vec::new();
            for ((tenant, result), here) in written.into_iter().zip(here) {
                match result {
                    Ok(true) => present.push(here),
                    Ok(false) => {
                        outcome.empty.push(format!("{}/{collection}: {tenant} has nothing there", surface.name))
                    }
                    Err(why) => outcome.skipped.push(format!(
                        "{}/{collection}: {tenant}'s canary could not be written: {why:#}",
                        surface.name
                    )),
                }
            }
            let read = stream::iter(present)
                .map(|here| async move { kind.read(&here).await })
                .buffered(AT_ONCE)
                .collect::<Vec<_>>()
                .await;
            for (checks, findings) in read {
                outcome.checks.extend(checks);
                outcome.findings.extend(findings);
            }
        }
    }
    Ok(outcome)
}

/// One visitor for each tenant.
fn visits(app: &App, compiled: &Compiled, running: &Running) -> Result<Vec<Arc<Visit>>> {
    let Some(audit) = &compiled.audit else { bail!("the policy has no audit") };
    let http = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(Duration::from_secs(5))
        .timeout(Duration::from_secs(60))
        .build()?;
    let all: Arc<Vec<Canary>> = Arc::new(running.canaries.clone());
    let not_before = |tenant: &TenantId| app.read(|m| m.tenants.get(tenant).map_or(0, |t| t.tokens_not_before));
    running
        .canaries
        .iter()
        .map(|own| {
            let token = running.token(compiled, &own.tenant, not_before(&own.tenant))?;
            Ok(Arc::new(Visit::new(http.clone(), audit.edge.clone(), token, own.clone(), all.clone())))
        })
        .collect()
}

/// A surface to audit.
pub(crate) struct Target {
    name: String,
    kind: wire::SurfaceKind,
    host: String,
    prefix: String,
    collections: Vec<String>,
    database: String,
    chroma_tenant: String,
}

fn surfaces(compiled: &Compiled) -> Result<Vec<Arc<Target>>> {
    Surfaces::new(compiled.surfaces(), [0; 32]).map_err(|why| anyhow::anyhow!(why))?;
    let of = |surface: &wire::Surface| {
        let rag = surface.rag.as_ref()?;
        Some(Arc::new(Target {
            name: surface.name.clone(),
            kind: surface.kind,
            host: surface
                .hosts
                .iter()
                .find(|host| *host != "*")
                .cloned()
                .unwrap_or_else(|| "partywall-audit".to_owned()),
            prefix: surface.prefix.trim_end_matches('/').to_owned(),
            collections: rag.collections.clone(),
            database: rag.database.clone(),
            chroma_tenant: rag.chroma_tenant.clone(),
        }))
    };
    Ok(compiled.surfaces().iter().filter_map(of).collect())
}

async fn converge(app: &App, revision: u64) -> Result<u64> {
    let start = Instant::now();
    loop {
        let (live, enforcing) = app.enforcing(revision);
        if live == enforcing && live > 0 {
            return Ok(live);
        }
        if start.elapsed() > CONVERGE {
            bail!(
                "{} of {live} proxy workers do not run the audit's revision: see `partywall sidecars`",
                live - enforcing
            );
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Removes every canary, and keeps the report.
async fn finish(app: &Shared, compiled: &Compiled, running: &Running, result: Result<Outcome>) {
    let mut left = Vec::new();
    match (visits(app, compiled, running), surfaces(compiled)) {
        (Ok(visits), Ok(surfaces)) => {
            for surface in &surfaces {
                let Some(kind) = probe::of(surface.kind) else { continue };
                for collection in &surface.collections {
                    let here: Vec<Here> = visits.iter().map(|visit| Here::new(visit, surface, collection)).collect();
                    let removed = stream::iter(here)
                        .map(|here| async move { (here.tenant().clone(), kind.remove(&here).await) })
                        .buffered(AT_ONCE)
                        .collect::<Vec<_>>()
                        .await;
                    left.extend(removed.into_iter().filter_map(|(tenant, result)| {
                        result
                            .err()
                            .map(|why| format!("{}/{collection}: {tenant}'s canary may remain: {why:#}", surface.name))
                    }));
                }
            }
        }
        (Err(error), _) | (_, Err(error)) => left.push(format!("the canaries could not be removed: {error:#}")),
    }
    let report = Report::new(running, result, left);
    for finding in &report.findings {
        tracing::error!(
            audit = running.id,
            reader = finding.reader,
            owner = finding.owner,
            surface = finding.surface,
            "a canary crossed"
        );
    }
    let ended = Shared::clone(app);
    let texts: Vec<String> = running.canaries.iter().map(|canary| canary.text.clone()).collect();
    let done = tokio::task::spawn_blocking(move || ended.end_audit(&report, &texts)).await;
    if let Ok(Err(error)) = done {
        tracing::error!(audit = running.id, error = format!("{error:#}"), "the report could not be kept");
    }
}

/// Runs audits on the policy's schedule, in the control plane's local time.
pub async fn schedule(app: Shared) {
    let mut last = Local::now();
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let time = Local::now();
        let cron = app
            .read(|model| model.compiled.as_ref().and_then(|c| c.audit.as_ref()).map(|audit| audit.schedule.clone()));
        let due = cron.is_some_and(|cron| is_due(&cron, &last, &time));
        last = time;
        if due && let Err(error) = start(&app, "schedule") {
            tracing::error!(error = format!("{error:#}"), "the scheduled audit did not begin");
        }
    }
}

/// Whether a pattern has come up after `last` and until `time`.
fn is_due(pattern: &str, last: &DateTime<Local>, time: &DateTime<Local>) -> bool {
    let next = pattern.parse::<croner::Cron>().ok().and_then(|cron| cron.find_next_occurrence(last, false).ok());
    next.is_some_and(|next| next <= *time)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use chrono::TimeZone as _;

    #[test]
    fn the_guides_schedule_is_sunday_at_two() {
        let at = |day, hour, minute, second| Local.with_ymd_and_hms(2026, 11, day, hour, minute, second).unwrap();
        // The 29th of November 2026 is a Sunday.
        assert!(is_due("0 2 * * 0", &at(29, 1, 59, 59), &at(29, 2, 0, 0)));
        assert!(!is_due("0 2 * * 0", &at(29, 2, 0, 0), &at(29, 2, 0, 1)), "once");
        assert!(!is_due("0 2 * * 0", &at(28, 1, 59, 59), &at(28, 2, 0, 0)));
        assert!(is_due("0 2 * * 0", &at(29, 1, 0, 0), &at(29, 5, 0, 0)), "late rather than never");
    }

    #[test]
    fn the_tenant_stands_where_the_claim_looks() {
        let mut claims = Map::new();
        place(&mut claims, "/realm/or~1g", "acme");
        place(&mut claims, "org_id", "acme");
        assert_eq!(Value::Object(claims), json!({"realm": {"or/g": "acme"}, "org_id": "acme"}));
    }
}

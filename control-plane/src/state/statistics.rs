//! Whose results retrieval brought, by surface, tenant and hour: the distribution of namespaces.
//!
//! Counts are written with the records that they come from, in one transaction, so neither is ever without the other.

use super::{Alert, App, drift, lock, now};
use crate::policy::Drift;
use anyhow::Result;
use partywall_core::record::{Decision, Severity};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use utoipa::ToSchema;

/// How long hours are kept.
const KEPT_HOURS: u64 = 30 * 24;
/// The most foreign namespaces that are named in one hour.
const NAMED: usize = 64;

/// The results of an hour.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Hour {
    /// The tenant's own.
    pub own: u64,
    /// Foreign or unmarked, by the namespace that they carried; `""` for none.
    pub foreign: BTreeMap<String, u64>,
    /// Requests that brought results.
    pub requests: u64,
}

impl Hour {
    /// All foreign results.
    pub fn foreign(&self) -> u64 {
        self.foreign.values().sum()
    }

    fn add(&mut self, other: &Hour) {
        self.own += other.own;
        self.requests += other.requests;
        for (name, count) in &other.foreign {
            let fits = self.foreign.len() < NAMED || self.foreign.contains_key(name);
            *self.foreign.entry(if fits { name.clone() } else { "…".to_owned() }).or_default() += count;
        }
    }
}

/// Surface, tenant, hour (Unix time divided by 3600).
pub(super) type Key = (String, String, u64);
/// All hours.
pub(super) type Statistics = BTreeMap<Key, Hour>;

/// A row of the distribution.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Distribution {
    /// The surface.
    pub surface: String,
    /// The tenant that asked.
    pub tenant: String,
    /// What its retrievals brought.
    #[serde(flatten)]
    pub results: Hour,
}

/// What a report adds to the statistics, and the alerts that follow.
pub(super) struct Added {
    pub(super) hours: BTreeMap<Key, Hour>,
    pub(super) alerts: Vec<Alert>,
}

pub(super) fn name((surface, tenant, hour): &Key) -> String {
    format!("{surface}/{tenant}/{hour}")
}

pub(super) fn parse(name: &str) -> Option<Key> {
    // A surface's name may have slashes, the others have none.
    let mut parts = name.rsplitn(3, '/');
    let (hour, tenant) = (parts.next()?.parse().ok()?, parts.next()?.to_owned());
    Some((parts.next()?.to_owned(), tenant, hour))
}

/// Counts decisions on top of what is known. More foreign results than `threshold` in an hour raise one alert for that hour.
/// So does the first result that makes the hour's share of foreign ones a drift.
pub(super) fn count<'d>(
    known: &Statistics,
    decisions: impl Iterator<Item = &'d Decision>,
    threshold: u64,
    drift: Option<&Drift>,
) -> Added {
    let mut baselines: BTreeMap<Key, Hour> = BTreeMap::new();
    let mut added = Added { hours: BTreeMap::new(), alerts: Vec::new() };
    for decision in decisions {
        let (Some(surface), Some(tenant)) = (&decision.surface, &decision.tenant) else { continue };
        if decision.kept == 0 && decision.dropped == 0 {
            continue;
        }
        let key = (surface.clone(), tenant.clone(), decision.time_ms / 3_600_000);
        let hour = added.hours.entry(key.clone()).or_insert_with(|| known.get(&key).cloned().unwrap_or_default());
        let before = hour.foreign();
        let baseline = drift.filter(|_| decision.dropped > 0).map(|rules| {
            let hours = rules.baseline_hours;
            (rules, &*baselines.entry(key.clone()).or_insert_with(|| drift::baseline(known, &key, hours)))
        });
        let drifted = |hour: &Hour| baseline.and_then(|(rules, before)| drift::compare(hour, before, rules));
        let had_drifted = drifted(hour).is_some();
        let foreign: BTreeMap<String, u64> = decision.foreign.iter().cloned().collect();
        hour.add(&Hour { own: decision.kept, foreign, requests: 1 });
        if let Some(now) = drifted(hour).filter(|_| !had_drifted) {
            let summary = format!(
                "of what retrieval brings for {tenant} on {surface}, {:.2} % was foreign this hour, against {:.2} % before ({:.1} standard deviations); it was dropped",
                100.0 * now.share,
                100.0 * now.before,
                now.sigmas
            );
            added.alerts.push(Alert::about(decision, "namespace_drift", Severity::High, "", summary));
        }
        if before <= threshold && hour.foreign() > threshold {
            let summary = format!(
                "retrieval for {tenant} on {surface} brought {} foreign results within an hour (threshold {threshold}); they were dropped",
                hour.foreign()
            );
            added.alerts.push(Alert::about(decision, "namespace_threshold", Severity::High, "", summary));
        }
    }
    added
}

impl App {
    /// The distribution of the last hours, one row for each surface and tenant.
    pub fn distribution(&self, hours: u64, tenant: Option<&str>, surface: Option<&str>) -> Vec<Distribution> {
        let from = (now() / 3600).saturating_sub(hours.saturating_sub(1));
        let mut rows: BTreeMap<(String, String), Hour> = BTreeMap::new();
        for ((of, whose, at), hour) in lock(&self.statistics).iter() {
            if *at >= from && tenant.is_none_or(|t| t == whose) && surface.is_none_or(|s| s == of) {
                rows.entry((of.clone(), whose.clone())).or_default().add(hour);
            }
        }
        rows.into_iter().map(|((surface, tenant), results)| Distribution { surface, tenant, results }).collect()
    }

    /// Names of hours that are too old to be kept.
    pub(super) fn old_hours(&self) -> Vec<Key> {
        let limit = (now() / 3600).saturating_sub(KEPT_HOURS);
        lock(&self.statistics).keys().filter(|key| key.2 < limit).cloned().collect()
    }

    /// Everything that is counted of a tenant is forgotten.
    ///
    /// # Errors
    /// When the store fails.
    pub(super) fn forget_statistics(&self, tenant: &str) -> Result<u64> {
        let _writer = lock(&self.writer);
        let keys: BTreeSet<Key> = lock(&self.statistics).keys().filter(|key| key.1 == tenant).cloned().collect();
        let write = self.store.write()?;
        for key in &keys {
            write.remove("hour", &name(key))?;
        }
        write.commit()?;
        lock(&self.statistics).retain(|key, _| !keys.contains(key));
        Ok(keys.len() as u64)
    }
}

//! Fingerprints: a literal, its owners, its severity.

use super::{App, FingerprintRecord, Model, now, refused};
use crate::shared::Delta;
use anyhow::Result;
use partywall_core::record::Severity;
use partywall_core::scan::{self, Entry};
use partywall_core::tenant::{TenantId, TenantStatus};
use std::collections::{BTreeMap, HashMap};

impl App {
    /// Adds literals of tenants. A literal that another tenant has too gets both as owners. Returns, for each, its
    /// fingerprint and whether anything changed.
    ///
    /// # Errors
    /// When a tenant is not known or a literal is no usable fingerprint: then none is added.
    pub fn add_fingerprints(
        &self,
        literals: &[(TenantId, String, Severity)],
    ) -> Result<Vec<(FingerprintRecord, bool)>> {
        self.change_fingerprints(|model| {
            let (mut results, mut next, mut gone) = (Vec::new(), model.next_fingerprint, Vec::new());
            let mut new: BTreeMap<u64, (FingerprintRecord, Vec<u8>)> = BTreeMap::new();
            let mut latest: HashMap<Vec<u8>, u64> = HashMap::new();
            for (index, (tenant, text, severity)) in literals.iter().enumerate() {
                if !model.tenants.contains_key(tenant) {
                    return Err(refused(
                        "tenant_unknown",
                        format!("item {index}: there is no tenant {tenant}: onboard it first"),
                    ));
                }
                if model.tenants.get(tenant).is_some_and(|tenant| tenant.status == TenantStatus::Offboarding) {
                    return Err(refused("tenant_offboarding", format!("item {index}: {tenant} is being offboarded")));
                }
                let folded = scan::literal(text)
                    .map_err(|error| refused("fingerprint_unusable", format!("item {index}: {error}")))?;
                let known = latest.get(&folded).or_else(|| model.by_text.get(&folded)).copied();
                let old = known.and_then(|id| {
                    let fresh = new.get(&id).map(|(record, _)| record.clone());
                    fresh.or_else(|| model.fingerprints.get(&id).map(|entry| self.record(model, entry)))
                });
                if let Some(old) = old.as_ref().filter(|old| old.owners.contains(tenant)) {
                    results.push((old.clone(), false));
                    continue;
                }
                let mut owners = old.as_ref().map(|old| old.owners.clone()).unwrap_or_default();
                owners.push(tenant.clone());
                let severity = old.as_ref().map_or(*severity, |old| old.severity.max(*severity));
                let record =
                    FingerprintRecord { id: next, text: Some(text.clone()), owners, severity, created_at: now() };
                next += 1;
                if let Some(old) = old
                    && new.remove(&old.id).is_none()
                {
                    gone.push(old.id);
                }
                latest.insert(folded.clone(), record.id);
                results.push((record.clone(), true));
                new.insert(record.id, (record, folded));
            }
            Ok((Delta { put: new.into_values().collect(), gone, next, ..model.unchanged() }, results))
        })
    }

    /// Removes a fingerprint.
    ///
    /// # Errors
    /// When there is none of that id.
    pub fn remove_fingerprint(&self, id: u64) -> Result<()> {
        self.change_fingerprints(|model| {
            if !model.fingerprints.contains_key(&id) {
                return Err(refused("not_found", format!("there is no fingerprint {id}")));
            }
            Ok((Delta { gone: vec![id], ..model.unchanged() }, ()))
        })
    }

    /// A tenant owns nothing any more: its own fingerprints go, shared ones lose it as an owner. How many of each.
    ///
    /// # Errors
    /// When the store fails.
    pub fn drop_owner(&self, tenant: &TenantId) -> Result<(u64, u64)> {
        // Other replicas may have added some: only the shared store itself knows.
        let owns = self.read(|model| model.fingerprints.values().any(|entry| entry.owners.contains(tenant)));
        if !owns && !self.shares() {
            return Ok((0, 0));
        }
        self.change_fingerprints(|model| {
            let owned: Vec<&Entry> = model.fingerprints.values().filter(|e| e.owners.contains(tenant)).collect();
            let gone: Vec<u64> = owned.iter().map(|entry| entry.id).collect();
            let mut delta = Delta { gone, ..model.unchanged() };
            // With other owners it is another entry: segments never change.
            for entry in owned.into_iter().filter(|entry| entry.owners.len() > 1) {
                let owners = entry.owners.iter().filter(|owner| *owner != tenant).cloned().collect();
                let record = FingerprintRecord { id: delta.next, owners, ..self.record(model, entry) };
                delta.put.push((record, scan::literal(&entry.text)?));
                delta.next += 1;
            }
            let shared = delta.put.len() as u64;
            let whole = (delta.gone.len() as u64).saturating_sub(shared);
            Ok((delta, (whole, shared)))
        })
    }

    /// A fingerprint as the API shows it, with its text.
    pub(crate) fn record(&self, model: &Model, entry: &Entry) -> FingerprintRecord {
        FingerprintRecord {
            id: entry.id,
            text: Some(entry.text.clone()),
            owners: entry.owners.clone(),
            severity: entry.severity,
            created_at: model.created.get(&entry.id).copied().unwrap_or_else(now),
        }
    }
}

//! Fingerprints: a literal, its owners, its severity.

use super::{App, FingerprintRecord, Model, now, refused};
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
        struct Added {
            results: Vec<(FingerprintRecord, bool)>,
            new: BTreeMap<u64, (Entry, Vec<u8>)>,
            gone: Vec<u64>,
            next: u64,
        }
        let added = self.change(
            |model, write| {
                let mut added =
                    Added { results: Vec::new(), new: BTreeMap::new(), gone: Vec::new(), next: model.next_fingerprint };
                let mut latest: HashMap<Vec<u8>, u64> = HashMap::new();
                for (index, (tenant, text, severity)) in literals.iter().enumerate() {
                    if !model.tenants.contains_key(tenant) {
                        return Err(refused(
                            "tenant_unknown",
                            format!("item {index}: there is no tenant {tenant}: onboard it first"),
                        ));
                    }
                    if model.tenants.get(tenant).is_some_and(|tenant| tenant.status == TenantStatus::Offboarding) {
                        return Err(refused(
                            "tenant_offboarding",
                            format!("item {index}: {tenant} is being offboarded"),
                        ));
                    }
                    let folded = scan::literal(text)
                        .map_err(|error| refused("fingerprint_unusable", format!("item {index}: {error}")))?;
                    let known = latest.get(&folded).or_else(|| model.by_text.get(&folded)).copied();
                    let old = known.and_then(|id| {
                        added.new.get(&id).map(|(e, _)| e).or_else(|| model.fingerprints.get(&id)).cloned()
                    });
                    if let Some(old) = old.as_ref().filter(|old| old.owners.contains(tenant)) {
                        added.results.push((self.record(model, old), false));
                        continue;
                    }
                    let mut owners = old.as_ref().map(|old| old.owners.clone()).unwrap_or_default();
                    owners.push(tenant.clone());
                    let severity = old.as_ref().map_or(*severity, |old| old.severity.max(*severity));
                    let entry = Entry { id: added.next, text: text.clone(), owners, severity };
                    added.next += 1;
                    if let Some(old) = old
                        && added.new.remove(&old.id).is_none()
                    {
                        added.gone.push(old.id);
                    }
                    latest.insert(folded.clone(), entry.id);
                    added.results.push((self.record(model, &entry), true));
                    added.new.insert(entry.id, (entry, folded));
                }
                let at = now();
                write.put_numbered(
                    "fingerprint",
                    added.new.iter().map(|(id, (entry, _))| {
                        let record = FingerprintRecord {
                            id: *id,
                            text: Some(entry.text.clone()),
                            owners: entry.owners.clone(),
                            severity: entry.severity,
                            created_at: at,
                        };
                        (*id, record)
                    }),
                )?;
                write.remove_numbered("fingerprint", added.gone.iter().copied())?;
                write.set_meta("next_fingerprint", &added.next)?;
                Ok(added)
            },
            |model, added| {
                for id in &added.gone {
                    model.fingerprints.remove(id);
                }
                for (id, (entry, folded)) in &added.new {
                    model.by_text.insert(folded.clone(), *id);
                    model.created.insert(*id, now());
                    model.fingerprints.insert(*id, entry.clone());
                }
                model.next_fingerprint = added.next;
                (added.new.keys().copied().collect(), added.gone.clone())
            },
        )?;
        Ok(added.results)
    }

    /// Removes a fingerprint.
    ///
    /// # Errors
    /// When there is none of that id.
    pub fn remove_fingerprint(&self, id: u64) -> Result<()> {
        self.change(
            |model, write| {
                if !model.fingerprints.contains_key(&id) {
                    return Err(refused("not_found", format!("there is no fingerprint {id}")));
                }
                write.remove_numbered("fingerprint", [id])
            },
            |model, ()| {
                if let Some(folded) = model.fingerprints.remove(&id).and_then(|entry| scan::literal(&entry.text).ok()) {
                    model.by_text.remove(&folded);
                }
                model.created.remove(&id);
                (vec![], vec![id])
            },
        )
    }

    /// A tenant owns nothing any more: its own fingerprints go, shared ones lose it as an owner. How many of each.
    ///
    /// # Errors
    /// When the store fails.
    pub fn drop_owner(&self, tenant: &TenantId) -> Result<(u64, u64)> {
        if !self.read(|model| model.fingerprints.values().any(|entry| entry.owners.contains(tenant))) {
            return Ok((0, 0));
        }
        let (gone, shared) = self.change(
            |model, write| {
                let owned: Vec<&Entry> = model.fingerprints.values().filter(|e| e.owners.contains(tenant)).collect();
                let gone: Vec<u64> = owned.iter().map(|entry| entry.id).collect();
                let rest = owned.into_iter().filter(|entry| entry.owners.len() > 1);
                // With other owners it is another entry: segments never change.
                let shared: Vec<Entry> = rest
                    .zip(model.next_fingerprint..)
                    .map(|(entry, id)| {
                        let owners = entry.owners.iter().filter(|owner| *owner != tenant).cloned().collect();
                        Entry { id, owners, ..entry.clone() }
                    })
                    .collect();
                write.remove_numbered("fingerprint", gone.iter().copied())?;
                write.put_numbered("fingerprint", shared.iter().map(|entry| (entry.id, self.record(model, entry))))?;
                write.set_meta("next_fingerprint", &(model.next_fingerprint + shared.len() as u64))?;
                Ok((gone, shared))
            },
            |model, (gone, shared)| {
                for id in gone {
                    if let Some(folded) = model.fingerprints.remove(id).and_then(|e| scan::literal(&e.text).ok()) {
                        model.by_text.remove(&folded);
                    }
                    model.created.remove(id);
                }
                for entry in shared {
                    if let Ok(folded) = scan::literal(&entry.text) {
                        model.by_text.insert(folded, entry.id);
                    }
                    model.created.insert(entry.id, now());
                    model.fingerprints.insert(entry.id, entry.clone());
                }
                model.next_fingerprint += shared.len() as u64;
                (shared.iter().map(|entry| entry.id).collect(), gone.clone())
            },
        )?;
        Ok(((gone.len() - shared.len()) as u64, shared.len() as u64))
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

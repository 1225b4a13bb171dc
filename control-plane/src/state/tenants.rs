//! Tenants: onboarding, suspension, removal.

use super::{App, Model, TenantRecord, now, refused};
use crate::backends;
use crate::policy::Compiled;
use crate::store::Write;
use anyhow::Result;
use partywall_core::tenant::{TenantId, TenantStatus};

/// Refuses tenants whose ids cannot be part of a name that some database must hold.
pub(super) fn check_places(compiled: &Compiled, ids: &[&TenantId]) -> Result<()> {
    match backends::impossible(compiled, ids)? {
        None => Ok(()),
        Some((surface, id)) => Err(refused(
            "tenant_id_unusable",
            format!(
                "{id} cannot be part of a name in the database of the surface {surface:?}: take another id, strategy or format"
            ),
        )),
    }
}

/// Writes the tenants that are new. One that was removed before comes back with its old tokens dead.
pub(super) fn new_tenants(app: &App, model: &Model, write: &Write, ids: &[TenantId]) -> Result<Vec<TenantRecord>> {
    let mut new: Vec<TenantRecord> = Vec::new();
    for id in ids {
        if model.tenants.contains_key(id) || new.iter().any(|tenant| tenant.id == *id) {
            continue;
        }
        if app.offboarding(id).is_some_and(|offboarding| offboarding.status != "done") {
            return Err(refused(
                "tenant_offboarding",
                format!("{id} is being offboarded: it can come back after that"),
            ));
        }
        let same = |known: &TenantId| known.as_str().eq_ignore_ascii_case(id.as_str());
        if let Some(known) = model.tenants.keys().chain(new.iter().map(|t| &t.id)).find(|known| same(known)) {
            return Err(refused(
                "tenant_id_ambiguous",
                format!("{id} differs from {known} by case only: take another id"),
            ));
        }
        let tokens_not_before = model.gone.get(id.as_str()).copied().unwrap_or(0);
        let tenant =
            TenantRecord { id: id.clone(), status: TenantStatus::Active, tokens_not_before, created_at: now() };
        write.put("tenant", id.as_str(), &tenant)?;
        new.push(tenant);
    }
    Ok(new)
}

impl App {
    /// Onboards tenants; those that exist already stay as they are. Returns the new ones.
    ///
    /// # Errors
    /// When an id differs from another one by case only.
    pub fn add_tenants(&self, ids: &[TenantId]) -> Result<Vec<TenantRecord>> {
        if ids.iter().all(|id| self.model().tenants.contains_key(id)) {
            return Ok(Vec::new());
        }
        self.change(
            |model, write| {
                if let Some(compiled) = &model.compiled {
                    check_places(compiled, &ids.iter().collect::<Vec<_>>())?;
                }
                new_tenants(self, model, write, ids)
            },
            |model, new| {
                model.tenants.extend(new.iter().map(|tenant| (tenant.id.clone(), tenant.clone())));
                (vec![], vec![])
            },
        )
    }

    /// Changes a tenant.
    ///
    /// # Errors
    /// When it is not known.
    pub fn edit_tenant(&self, id: &TenantId, edit: impl FnOnce(&mut TenantRecord)) -> Result<TenantRecord> {
        self.change(
            |model, write| {
                let mut tenant = model
                    .tenants
                    .get(id)
                    .cloned()
                    .ok_or_else(|| refused("tenant_unknown", format!("there is no tenant {id}")))?;
                if tenant.status == TenantStatus::Offboarding {
                    return Err(refused(
                        "tenant_offboarding",
                        format!("{id} is being offboarded: it cannot come back before that is done"),
                    ));
                }
                edit(&mut tenant);
                if tenant.status == TenantStatus::Offboarding {
                    return Err(refused("tenant_status", "offboard a tenant by `partywall tenant offboard`"));
                }
                write.put("tenant", id.as_str(), &tenant)?;
                Ok(tenant)
            },
            |model, tenant| {
                model.tenants.insert(tenant.id.clone(), tenant.clone());
                (vec![], vec![])
            },
        )
    }

    /// Forgets a tenant that owns no fingerprint.
    ///
    /// # Errors
    /// When it is not known, or owns fingerprints.
    pub fn remove_tenant(&self, id: &TenantId) -> Result<()> {
        self.change(
            |model, write| {
                if !model.tenants.contains_key(id) {
                    return Err(refused("tenant_unknown", format!("there is no tenant {id}")));
                }
                if model.tenants.get(id).is_some_and(|tenant| tenant.status == TenantStatus::Offboarding) {
                    return Err(refused("tenant_offboarding", format!("{id} is being offboarded")));
                }
                let owned = model.fingerprints.values().filter(|entry| entry.owners.contains(id)).count();
                if owned > 0 {
                    return Err(refused("tenant_in_use", format!("{id} owns {owned} fingerprints: remove them first")));
                }
                write.put("gone", id.as_str(), &(now() + 1))?;
                write.remove("tenant", id.as_str())
            },
            |model, ()| {
                model.gone.insert(id.as_str().to_owned(), now() + 1);
                model.tenants.remove(id);
                (vec![], vec![])
            },
        )
    }
}

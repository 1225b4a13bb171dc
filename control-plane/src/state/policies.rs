//! Policies, and the keys of the issuers that they name.

use super::tenants::{check_places, new_tenants};
use super::{App, PolicyRecord, lock, now, refused};
use crate::jwks::Cached;
use crate::policy::{Compiled, Policy};
use crate::shared::Position;
use anyhow::Result;
use partywall_core::scan;
use partywall_core::tenant::TenantId;
use std::collections::BTreeMap;
use std::sync::PoisonError;

impl App {
    /// Checks that the filters could enforce a policy with these keys.
    ///
    /// # Errors
    /// When they could not.
    pub fn try_policy(&self, compiled: &Compiled, fetched: &BTreeMap<String, Cached>) -> Result<()> {
        let content = self.content(compiled, &self.model().tenants, fetched);
        let none = std::rc::Rc::new(scan::FingerprintSet::empty());
        partywall_core::snapshot::Snapshot::compile(1, &content, none)
            .map(|_| ())
            .map_err(|error| refused("policy_invalid", error.to_string()))
    }

    /// Applies a policy, its tenants included, as one change.
    ///
    /// # Errors
    /// When it cannot be enforced or the store fails: then nothing changes.
    pub fn apply_policy(
        &self,
        text: &str,
        policy: &Policy,
        compiled: Compiled,
        fetched: BTreeMap<String, Cached>,
        by: &str,
        force: bool,
    ) -> Result<PolicyRecord> {
        self.try_policy(&compiled, &fetched)?;
        let ids: Vec<TenantId> = policy
            .tenants
            .iter()
            .map(|tenant| {
                TenantId::parse(&tenant.id)
                    .map_err(|error| refused("policy_invalid", format!("tenants ({}): {error}", tenant.id)))
            })
            .collect::<Result<_>>()?;
        let gone = |id: &&TenantId| {
            self.offboarding(id).is_some_and(|o| o.status == "done") && !self.model().tenants.contains_key(*id)
        };
        if let Some(id) = ids.iter().find(gone) {
            return Err(refused(
                "tenant_offboarded",
                format!(
                    "tenants: {id} was offboarded: take it out of the policy, or onboard it anew by `partywall tenant add {id}`"
                ),
            ));
        }
        let _sharing = lock(&self.sharing);
        let shared = self.shares();
        self.move_store(compiled.redis, force)?;
        let changed = self.change(
            |model, write| {
                check_places(&compiled, &model.tenants.keys().chain(&ids).collect::<Vec<_>>())?;
                let version = model.policies.last().map_or(1, |last| last.version + 1);
                let record =
                    PolicyRecord { version, text: text.to_owned(), applied_at: now(), applied_by: by.to_owned() };
                write.put_numbered("policy", [(version, &record)])?;
                write.set_meta("compiled", &compiled)?;
                if !compiled.redis {
                    // From now on what is here is all there is.
                    write.set_meta("shared", &None::<Position>)?;
                }
                for (issuer, cached) in &fetched {
                    write.put("jwks", issuer, cached)?;
                }
                let mut former = model.former.clone();
                if let Some(now) = &model.compiled {
                    now.remember(&compiled, &mut former);
                    write.set_meta("former", &former)?;
                }
                Ok((record, new_tenants(self, model, write, &ids)?, former))
            },
            |model, (record, new, former)| {
                model.former.clone_from(former);
                model.policies.push(record.clone());
                model.compiled = Some(compiled.clone());
                if !compiled.redis {
                    model.shared = None;
                }
                model.jwks.extend(fetched.clone());
                model.tenants.extend(new.iter().map(|tenant| (tenant.id.clone(), tenant.clone())));
                (vec![], vec![])
            },
        );
        if changed.is_err() && !shared {
            // What was merged stays here too.
            self.model.write().unwrap_or_else(PoisonError::into_inner).shared = None;
        }
        changed.map(|(record, ..)| record)
    }

    /// Takes in the keys that an issuer publishes now. Publishes only when they changed.
    ///
    /// # Errors
    /// When the store fails.
    pub fn refresh_keys(&self, issuer: &str, published: &[serde_json::Value]) -> Result<bool> {
        let mut cached = self.model().jwks.get(issuer).cloned().unwrap_or_default();
        if !cached.refresh(published, now()) {
            return Ok(false);
        }
        self.change(
            |_, write| write.put("jwks", issuer, &cached),
            |model, ()| {
                model.jwks.insert(issuer.to_owned(), cached.clone());
                (vec![], vec![])
            },
        )?;
        Ok(true)
    }
}

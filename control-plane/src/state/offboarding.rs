//! The end of a tenant, as far as it has got: on disk before each step, so that a restart goes on where it was.

use super::{App, Model, lock, now, refused};
use crate::store::Write;
use anyhow::Result;
use partywall_core::snapshot::PublicKey;
use partywall_core::tenant::{TenantId, TenantStatus};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::sync::Arc;
use utoipa::ToSchema;

/// What a receipt's signature covers before its bytes.
const CONTEXT: &[u8] = b"partywall offboarding receipt v1\0";

/// How far an offboarding has got.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Offboarding {
    /// Whose.
    #[schema(value_type = String)]
    pub tenant: TenantId,
    /// `running`, `failed` (the tenant stays locked; ask again to go on) or `done`.
    pub status: String,
    /// By the token of this name.
    pub requested_by: String,
    /// When it was first asked for, Unix seconds.
    pub started_at: u64,
    /// When it was done.
    pub finished_at: Option<u64>,
    /// Why it failed.
    pub error: Option<String>,
    /// What is to be done, in order.
    pub steps: Vec<Step>,
    /// The most records that were found in each place, over all attempts.
    #[serde(default)]
    pub found: BTreeMap<String, u64>,
    /// The receipt, once done.
    #[schema(value_type = Option<Object>)]
    pub receipt: Option<SignedReceipt>,
    /// The receipts of earlier times, oldest first.
    #[serde(default)]
    #[schema(value_type = Vec<Object>)]
    pub earlier: Vec<SignedReceipt>,
}

/// One step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Step {
    /// What it does.
    pub name: String,
    /// How it stands.
    pub status: StepStatus,
    /// What came of it.
    pub detail: String,
    /// When it last changed, Unix seconds.
    pub changed_at: u64,
}

/// How a step stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum StepStatus {
    /// Begun.
    Running,
    /// Done.
    Done,
    /// Failed.
    Failed,
}

/// What was deleted, what was searched, and when.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Receipt {
    /// Always 1.
    pub version: u32,
    /// Whose data.
    pub tenant: String,
    /// By the token of this name.
    pub requested_by: String,
    /// When new traffic was refused, Unix seconds.
    pub locked_at: u64,
    /// The revision that refuses it.
    pub revision: u64,
    /// Proxy workers that were seen to enforce it.
    pub proxies: u64,
    /// The places in the databases.
    pub places: Vec<PlaceReceipt>,
    /// Places of earlier policies that could not be searched: records may be left there.
    pub unsearched: Vec<Unsearched>,
    /// Fingerprints that were removed.
    pub fingerprints_removed: u64,
    /// Fingerprints that other tenants have too: the tenant is no longer among their owners.
    pub fingerprints_shared: u64,
    /// Hours of statistics that were removed.
    pub statistics_removed: u64,
    /// The tenant's encryption keys: `none` while keys per tenant are not configured.
    pub keys: String,
    /// What stays, and why.
    pub kept: String,
    /// When the receipt was issued, Unix seconds.
    pub issued_at: u64,
}

/// What was done in one place.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct PlaceReceipt {
    /// The surface.
    pub surface: String,
    /// Its kind.
    pub kind: String,
    /// How the tenant was kept apart.
    pub strategy: String,
    /// Whether it is a place of an earlier policy. There only what is marked is deleted.
    pub earlier: bool,
    /// The database or schema; empty where there is none.
    pub database: String,
    /// The collection, by the database's name.
    pub collection: String,
    /// The namespace.
    pub namespace: String,
    /// Records that were found before.
    pub found: u64,
    /// When the deletion was confirmed, Unix seconds.
    pub deleted_at: u64,
    /// How often it was searched afterwards.
    pub scans: u64,
    /// What the last search found: always 0.
    pub remaining: u64,
    /// When the last search ended, Unix seconds.
    pub scanned_at: u64,
}

/// A place that an earlier policy had, and that could not be searched.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Unsearched {
    /// The surface.
    pub surface: String,
    /// The database or schema; empty where there is none.
    pub database: String,
    /// The collection, by the database's name.
    pub collection: String,
    /// The namespace.
    pub namespace: String,
    /// Why it could not be searched.
    pub why: String,
}

/// A receipt with the control plane's signature over its exact bytes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SignedReceipt {
    /// The receipt, byte for byte as it was signed.
    pub receipt: Box<RawValue>,
    /// Ed25519, base64.
    pub signature: String,
    /// The key: compare it with `partywall public-key`.
    pub public_key: String,
}

impl PartialEq for SignedReceipt {
    fn eq(&self, other: &Self) -> bool {
        self.receipt.get() == other.receipt.get() && self.signature == other.signature
    }
}

impl Eq for SignedReceipt {}

impl SignedReceipt {
    /// Whether the key signed it.
    pub fn is_signed_by(&self, key: &PublicKey) -> bool {
        key.verifies(CONTEXT, self.receipt.get().as_bytes(), &self.signature)
    }
}

/// An adoption that is going on.
pub struct Adoption {
    app: Arc<App>,
    which: (String, TenantId),
}

impl Drop for Adoption {
    fn drop(&mut self) {
        lock(&self.app.adoptions).remove(&self.which);
    }
}

impl App {
    /// Offboardings, latest first.
    pub fn offboardings(&self) -> Vec<Offboarding> {
        let mut all: Vec<Offboarding> = lock(&self.offboardings).values().cloned().collect();
        all.sort_by_key(|one| std::cmp::Reverse(one.started_at));
        all
    }

    /// A tenant's offboarding.
    pub fn offboarding(&self, tenant: &TenantId) -> Option<Offboarding> {
        lock(&self.offboardings).get(tenant.as_str()).cloned()
    }

    /// Locks a tenant for good and notes that it is to be offboarded. One that failed goes on; one that is done can be done
    /// again. Returns the revision that refuses the tenant.
    ///
    /// # Errors
    /// When the tenant was never known, its offboarding is running, or records are being adopted for it.
    pub fn begin_offboarding(&self, tenant: &TenantId, by: &str) -> Result<u64> {
        // Held to the end: an adoption that begins meanwhile sees the lock.
        let adoptions = lock(&self.adoptions);
        if adoptions.iter().any(|(_, whose)| whose == tenant) {
            return Err(refused(
                "adoption_running",
                format!("records are being adopted for {tenant}: offboard it when that is done"),
            ));
        }
        self.change(
            |model, write| {
                let known = self.offboarding(tenant);
                if known.as_ref().is_some_and(|known| known.status == "running") {
                    return Err(refused("offboarding_running", format!("{tenant} is being offboarded already")));
                }
                // What an attempt that failed has found and deleted counts for the receipt.
                let failed = known.as_ref().filter(|known| known.status == "failed");
                let new = Offboarding {
                    tenant: tenant.clone(),
                    status: "running".to_owned(),
                    requested_by: by.to_owned(),
                    started_at: failed.map_or_else(now, |failed| failed.started_at),
                    finished_at: None,
                    error: None,
                    steps: Vec::new(),
                    found: failed.map(|failed| failed.found.clone()).unwrap_or_default(),
                    receipt: None,
                    earlier: known
                        .iter()
                        .flat_map(|known| known.earlier.iter().chain(&known.receipt).cloned())
                        .collect(),
                };
                match model.tenants.get(tenant) {
                    Some(record) => {
                        let mut record = record.clone();
                        record.status = TenantStatus::Offboarding;
                        write.put("tenant", tenant.as_str(), &record)?;
                    }
                    None if known.is_some() => {}
                    None => return Err(refused("tenant_unknown", format!("there is no tenant {tenant}"))),
                }
                write.put("offboarding", tenant.as_str(), &new)?;
                Ok(new)
            },
            |model, new| {
                if let Some(record) = model.tenants.get_mut(tenant) {
                    record.status = TenantStatus::Offboarding;
                }
                lock(&self.offboardings).insert(tenant.as_str().to_owned(), new.clone());
                (vec![], vec![])
            },
        )?;
        Ok(self.read(|model| model.revision))
    }

    /// Begins to adopt records for a tenant on a surface. While that goes on (as long as the result lives), nobody else adopts there,
    /// and the tenant is not offboarded: records would come after the receipt, or twice.
    ///
    /// # Errors
    /// When one of these is going on already, or the tenant is not known.
    pub fn begin_adoption(self: &Arc<Self>, surface: &str, tenant: &TenantId) -> Result<Adoption> {
        let mut adoptions = lock(&self.adoptions);
        match self.read(|model| model.tenants.get(tenant).map(|tenant| tenant.status)) {
            None => return Err(refused("tenant_unknown", format!("there is no tenant {tenant}"))),
            Some(TenantStatus::Offboarding) => {
                return Err(refused("tenant_offboarding", format!("{tenant} is being offboarded")));
            }
            Some(_) => {}
        }
        if adoptions.iter().any(|(where_, _)| where_ == surface) {
            return Err(refused("adoption_running", format!("records of {surface:?} are being adopted already")));
        }
        let which = (surface.to_owned(), tenant.clone());
        adoptions.insert(which.clone());
        Ok(Adoption { app: Arc::clone(self), which })
    }

    /// Notes how a step stands.
    ///
    /// # Errors
    /// When the store fails.
    pub fn note_offboarding(&self, tenant: &TenantId, note: impl FnOnce(&mut Offboarding)) -> Result<()> {
        let _writer = lock(&self.writer);
        let Some(mut changed) = self.offboarding(tenant) else { return Ok(()) };
        note(&mut changed);
        let write = self.store.write()?;
        write.put("offboarding", tenant.as_str(), &changed)?;
        write.commit()?;
        lock(&self.offboardings).insert(tenant.as_str().to_owned(), changed);
        Ok(())
    }

    /// Forgets the tenant and keeps the signed receipt, as one change.
    ///
    /// # Errors
    /// When the store fails.
    pub fn finish_offboarding(&self, tenant: &TenantId, receipt: &Receipt) -> Result<SignedReceipt> {
        let raw = serde_json::to_string(receipt)?;
        let signature = self.key.sign(CONTEXT, raw.as_bytes());
        let signed = SignedReceipt {
            receipt: RawValue::from_string(raw)?,
            signature,
            public_key: self.key.public().to_base64(),
        };
        let Some(mut done) = self.offboarding(tenant) else {
            return Err(refused("not_found", format!("{tenant} is not being offboarded")));
        };
        done.status = "done".to_owned();
        done.finished_at = Some(receipt.issued_at);
        done.error = None;
        done.receipt = Some(signed.clone());
        let gone = now() + 1;
        self.change(
            |_, write: &Write| {
                write.put("gone", tenant.as_str(), &gone)?;
                write.remove("tenant", tenant.as_str())?;
                write.put("offboarding", tenant.as_str(), &done)
            },
            |model: &mut Model, ()| {
                model.gone.insert(tenant.as_str().to_owned(), gone);
                model.tenants.remove(tenant);
                lock(&self.offboardings).insert(tenant.as_str().to_owned(), done.clone());
                (vec![], vec![])
            },
        )?;
        Ok(signed)
    }

    /// Everything that is counted of a tenant goes; how many hours that were.
    ///
    /// # Errors
    /// When the store fails.
    pub fn forget_counts(&self, tenant: &TenantId) -> Result<u64> {
        self.forget_statistics(tenant.as_str())
    }
}

//! Which tenant does this token bind?
//!
//! [`Credentials::collect`] finds the one token of a head, [`Verifier::verify`] judges it: signature, then issuer,
//! audience, times, tenant claim, and the tenant's standing. All of it on every request; nothing is remembered.

mod claims;
mod credentials;
mod der;
mod keys;
mod verifier;

pub use claims::TenantClaim;
pub use credentials::{Credentials, Token};
pub use keys::KeyError;
pub use verifier::{BoundTenant, Verifier, VerifierError};

use crate::error::Code;
use crate::snapshot::wire::{self, Alg};
use crate::tenant::{TenantId, TenantStatus};
use std::collections::HashMap;

/// Whether a key can be used.
///
/// # Errors
/// [`KeyError`] says why not.
pub fn check_key(key: &wire::Key) -> Result<(), KeyError> {
    keys::Key::compile(key).map(|_| ())
}

/// Signature checks by the host, where it has a fast library.
pub trait HostCrypto {
    /// Whether `signature` (DER for ES256) of `message` is right under the key; `None` when the host cannot tell.
    fn verify(&self, alg: Alg, spki_der: &[u8], message: &[u8], signature: &[u8]) -> Option<bool>;
}

/// A host without crypto: the core verifies everything.
pub struct NoHostCrypto;

impl HostCrypto for NoHostCrypto {
    fn verify(&self, _: Alg, _: &[u8], _: &[u8], _: &[u8]) -> Option<bool> {
        None
    }
}

/// The tenants that are known.
#[derive(Debug, Default)]
pub struct Tenants(HashMap<TenantId, (TenantStatus, u64)>);

impl Tenants {
    /// Takes over the snapshot's list.
    pub fn new(tenants: &[wire::Tenant]) -> Self {
        Self(tenants.iter().map(|tenant| (tenant.id.clone(), (tenant.status, tenant.tokens_not_before))).collect())
    }

    /// Whether a word is the id of a tenant that is known.
    pub fn is_known(&self, word: &str) -> bool {
        TenantId::parse(word).is_ok_and(|id| self.0.contains_key(&id))
    }

    /// Whether a token of this tenant, issued at `issued`, may pass.
    ///
    /// # Errors
    /// [`Code::TenantUnknown`], [`Code::TenantSuspended`], or [`Code::TokenInvalid`] for a token that was revoked.
    pub fn admit(&self, tenant: &TenantId, issued: Option<u64>) -> Result<(), Code> {
        match self.0.get(tenant) {
            None => Err(Code::TenantUnknown),
            Some((TenantStatus::Suspended | TenantStatus::Offboarding, _)) => Err(Code::TenantSuspended),
            Some((TenantStatus::Active, 0)) => Ok(()),
            Some((TenantStatus::Active, not_before)) if issued.is_some_and(|issued| issued >= *not_before) => Ok(()),
            Some(_) => Err(Code::TokenInvalid),
        }
    }
}

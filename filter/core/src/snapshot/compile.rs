//! From what travels to what decides. Whatever cannot be enforced is refused here, with the field's name: a snapshot
//! that exists is one that means something. The control plane compiles before it accepts, the filter before it swaps.

use super::wire::{Content, Credential, Leakage, Surface};
use crate::identity::{Tenants, Verifier};
use crate::scan::{Actions, FingerprintSet};
use crate::surface::Surfaces;
use crate::tenant::TenantId;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::collections::HashSet;
use std::rc::Rc;

/// One revision, ready to decide.
pub struct Snapshot {
    /// The revision.
    pub revision: u64,
    /// How tokens become tenants.
    pub identity: Verifier,
    /// Who is known.
    pub tenants: Tenants,
    /// What is served.
    pub surfaces: Surfaces,
    /// Leakage detection.
    pub leakage: Leakage,
    /// All fingerprints.
    pub fingerprints: Rc<FingerprintSet>,
}

/// Why a content cannot be enforced: the field, and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompileError(pub String);

impl std::fmt::Display for CompileError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for CompileError {}

impl Snapshot {
    /// What matches do in the responses of a surface to a tenant.
    pub fn actions(&self, surface: &str, tenant: &TenantId) -> Actions {
        let own = self.fingerprints.phrases().and_then(|phrases| phrases.action);
        Actions::resolve(&self.leakage, own, surface, tenant)
    }

    /// Compiles a content.
    ///
    /// # Errors
    /// [`CompileError`] names the field.
    pub fn compile(revision: u64, content: &Content, fingerprints: Rc<FingerprintSet>) -> Result<Self, CompileError> {
        let identity = Verifier::compile(&content.identity).map_err(|error| CompileError(error.0))?;
        let mut ids: HashSet<&TenantId> = HashSet::new();
        for tenant in &content.tenants {
            if !ids.insert(&tenant.id) {
                return Err(CompileError(format!("tenants: {} is there twice", tenant.id)));
            }
        }
        let mut names: HashSet<&str> = HashSet::new();
        for surface in &content.surfaces {
            if !names.insert(&surface.name) {
                return Err(CompileError(format!("surfaces: two are called {:?}", surface.name)));
            }
            check(surface).map_err(|why| CompileError(format!("surfaces.{}.{why}", surface.name)))?;
        }
        let seal_key: [u8; 32] = STANDARD
            .decode(&content.seal_key)
            .ok()
            .and_then(|bytes| bytes.try_into().ok())
            .ok_or(CompileError("seal_key: must be 32 bytes in base64".to_owned()))?;
        let surfaces = Surfaces::new(&content.surfaces, seal_key).map_err(CompileError)?;
        if !fingerprints.fits() {
            return Err(CompileError("segments: more than are searched side by side".to_owned()));
        }
        Ok(Self {
            revision,
            identity,
            tenants: Tenants::new(&content.tenants),
            surfaces,
            leakage: content.leakage.clone(),
            fingerprints,
        })
    }
}

fn check(surface: &Surface) -> Result<(), String> {
    let word =
        |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
    if !word(&surface.name) {
        return Err("name: must be of letters, digits, _ and -".to_owned());
    }
    let host = |host: &String| {
        host == "*"
            || (!host.is_empty()
                && host
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'_' | b':')))
    };
    if surface.hosts.is_empty() || !surface.hosts.iter().all(host) {
        return Err("hosts: must be lower-case host names without port, or \"*\"".to_owned());
    }
    let segment = |part: &str| {
        !part.is_empty()
            && part != "."
            && part != ".."
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b'~'))
    };
    if surface.prefix != "/" && !surface.prefix.strip_prefix('/').is_some_and(|rest| rest.split('/').all(segment)) {
        return Err("prefix: must be \"/\" or a path like \"/llm\" without a trailing slash".to_owned());
    }
    if let Credential::Replace { header, value } = &surface.credential {
        let name =
            !header.is_empty() && header.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if !name || header.starts_with("x-partywall-") {
            return Err("credential.header: must be a lower-case header name, and none of ours".to_owned());
        }
        if value.is_empty() || !value.bytes().all(|b| (0x20..0x7f).contains(&b)) {
            return Err("credential.value: must be printable ASCII".to_owned());
        }
    }
    let limits = surface.limits;
    if [limits.request_bytes, limits.response_bytes, limits.event_bytes]
        .iter()
        .any(|limit| *limit == 0 || *limit > 64 << 20)
    {
        return Err("limits: each must be from 1 byte to 64 MiB".to_owned());
    }
    Ok(())
}

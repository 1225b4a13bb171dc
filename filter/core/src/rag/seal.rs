//! Ids of 128 bits, sealed: one AES block under a key of the tenant's own. Stateless, and a client sees an id like any other.

use crate::tenant::TenantId;
use aes::Aes128;
use aes::cipher::{BlockDecrypt as _, BlockEncrypt as _, KeyInit as _};
use sha2::{Digest as _, Sha256};

fn cipher(key: &[u8; 32], surface: &str, tenant: &TenantId) -> Aes128 {
    let mut hash = Sha256::new();
    hash.update(b"partywall seal v1\0");
    hash.update(key);
    hash.update(surface.as_bytes());
    hash.update([0]);
    hash.update(tenant.as_str().as_bytes());
    let derived: [u8; 32] = hash.finalize().into();
    let mut short = [0u8; 16];
    short.iter_mut().zip(derived).for_each(|(to, from)| *to = from);
    Aes128::new(&short.into())
}

pub(super) fn seal(key: &[u8; 32], surface: &str, tenant: &TenantId, id: [u8; 16]) -> [u8; 16] {
    let mut block = id.into();
    cipher(key, surface, tenant).encrypt_block(&mut block);
    block.into()
}

pub(super) fn open(key: &[u8; 32], surface: &str, tenant: &TenantId, id: [u8; 16]) -> [u8; 16] {
    let mut block = id.into();
    cipher(key, surface, tenant).decrypt_block(&mut block);
    block.into()
}

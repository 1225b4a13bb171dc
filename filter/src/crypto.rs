//! Signature checks by Envoy's own crypto library, through its foreign function `verify_signature`: some thirty
//! times faster than RSA inside the VM. Where the function does not exist the core verifies by itself.

use crate::host;
use partywall_core::identity::HostCrypto;
use partywall_core::snapshot::wire::Alg;

/// Envoy's crypto.
pub struct EnvoyCrypto;

impl HostCrypto for EnvoyCrypto {
    fn verify(&self, alg: Alg, spki_der: &[u8], message: &[u8], signature: &[u8]) -> Option<bool> {
        if !matches!(alg, Alg::RS256 | Alg::ES256) {
            return None;
        }
        let mut arguments = Vec::with_capacity(message.len().saturating_add(1024));
        field(&mut arguments, 1, b"sha256");
        field(&mut arguments, 2, spki_der);
        field(&mut arguments, 3, signature);
        field(&mut arguments, 4, message);
        // The answer is a message whose field 1 is the verdict; a failure is an answer too, so only these bytes mean
        // success.
        host::foreign("verify_signature", &arguments).map(|answer| answer.starts_with(&[0x08, 0x01]))
    }
}

/// Appends a length-delimited protobuf field.
fn field(out: &mut Vec<u8>, number: u8, value: &[u8]) {
    out.push((number << 3) | 2);
    let mut len = value.len();
    while len >= 0x80 {
        out.push(u8::try_from(len & 0x7f).unwrap_or(0) | 0x80);
        len >>= 7;
    }
    out.push(u8::try_from(len).unwrap_or(0));
    out.extend_from_slice(value);
}

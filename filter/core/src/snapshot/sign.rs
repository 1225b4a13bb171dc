//! Signed manifests: Ed25519 over a context and the manifest's exact bytes.
//!
//! The signature is checked before anything inside is parsed. The nonce binds an answer to its poll, so that an old
//! one cannot be replayed; a revision below the running one is refused.

use super::wire::{Envelope, Manifest, SIGNATURE_CONTEXT, VERSION};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_compact::{KeyPair, Seed, Signature};
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};

/// A key of the control plane, as the filter pins it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey(ed25519_compact::PublicKey);

/// A key that signs.
#[derive(Clone)]
pub struct SecretKey(KeyPair);

/// A text is no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyError;

impl std::fmt::Display for KeyError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("not an Ed25519 key: 32 bytes in base64")
    }
}

impl std::error::Error for KeyError {}

impl PublicKey {
    /// Reads 32 bytes in base64.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn from_base64(text: &str) -> Result<Self, KeyError> {
        let bytes = STANDARD.decode(text).map_err(|_| KeyError)?;
        ed25519_compact::PublicKey::from_slice(&bytes).map(Self).map_err(|_| KeyError)
    }

    /// Whether a signature in base64 is this key's over a context and bytes.
    pub fn verifies(&self, context: &[u8], bytes: &[u8], signature: &str) -> bool {
        let signature = STANDARD.decode(signature).ok().and_then(|bytes| Signature::from_slice(&bytes).ok());
        signature.is_some_and(|signature| self.0.verify([context, bytes].concat(), &signature).is_ok())
    }

    /// As [`PublicKey::from_base64`] reads it.
    pub fn to_base64(&self) -> String {
        STANDARD.encode(*self.0)
    }
}

impl SecretKey {
    /// The key of a seed of 32 random bytes.
    ///
    /// # Errors
    /// [`KeyError`] when the seed has another length.
    pub fn from_seed(seed: &[u8]) -> Result<Self, KeyError> {
        let seed = Seed::from_slice(seed).map_err(|_| KeyError)?;
        KeyPair::try_from_seed(seed).map(Self).map_err(|_| KeyError)
    }

    /// Signs bytes under a context that no other use has; base64.
    pub fn sign(&self, context: &[u8], bytes: &[u8]) -> String {
        STANDARD.encode(*self.0.sk.sign([context, bytes].concat(), None))
    }

    /// A secret of 32 bytes for another purpose, the same whenever it is asked for. Ed25519 signatures are deterministic,
    /// and nothing that is ever signed begins with this context.
    pub fn derive(&self, purpose: &[u8]) -> [u8; 32] {
        let signature = self.0.sk.sign([b"partywall derive v1\0", purpose].concat(), None);
        Sha256::digest(*signature).into()
    }

    /// The public half.
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.pk)
    }
}

/// Why an answer is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenError {
    /// Not an envelope.
    Envelope,
    /// No pinned key signed it.
    Signature,
    /// Signed, but not a manifest of this version.
    Manifest,
    /// An answer to another poll.
    Nonce,
    /// Older than what runs.
    Rollback,
}

impl std::fmt::Display for OpenError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Envelope => "the answer is no envelope",
            Self::Signature => "no pinned key signed it: compare control_plane.public_keys with `partywall public-key`",
            Self::Manifest => "the manifest is of another version than this filter",
            Self::Nonce => "it answers another poll",
            Self::Rollback => "its revision is below the running one",
        })
    }
}

impl std::error::Error for OpenError {}

/// Opens an answer to a poll that sent `nonce` while `running` was in force.
///
/// # Errors
/// [`OpenError`] says why it is not believed.
pub fn open(envelope: &[u8], keys: &[PublicKey], nonce: &str, running: u64) -> Result<Manifest, OpenError> {
    let envelope: Envelope = serde_json::from_slice(envelope).map_err(|_| OpenError::Envelope)?;
    let signature = STANDARD.decode(&envelope.signature).map_err(|_| OpenError::Envelope)?;
    let signature = Signature::from_slice(&signature).map_err(|_| OpenError::Envelope)?;
    let raw = envelope.manifest.get();
    let signed = [SIGNATURE_CONTEXT, raw.as_bytes()].concat();
    if !keys.iter().any(|key| key.0.verify(&signed, &signature).is_ok()) {
        return Err(OpenError::Signature);
    }
    let manifest: Manifest = serde_json::from_str(raw).map_err(|_| OpenError::Manifest)?;
    if manifest.version != VERSION {
        return Err(OpenError::Manifest);
    }
    if manifest.nonce != nonce {
        return Err(OpenError::Nonce);
    }
    if manifest.revision < running {
        return Err(OpenError::Rollback);
    }
    Ok(manifest)
}

/// Signs a manifest into an envelope's bytes.
pub fn seal(manifest: &Manifest, key: &SecretKey) -> Vec<u8> {
    let raw = serde_json::to_string(manifest).unwrap_or_default();
    let signature = key.0.sk.sign([SIGNATURE_CONTEXT, raw.as_bytes()].concat(), None);
    let envelope =
        RawValue::from_string(raw).map(|manifest| Envelope { signature: STANDARD.encode(*signature), manifest });
    envelope.ok().and_then(|envelope| serde_json::to_vec(&envelope).ok()).unwrap_or_default()
}

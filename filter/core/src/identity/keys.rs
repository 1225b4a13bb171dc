//! Verification keys: each is for exactly one algorithm, so a token's `alg` can choose among keys but never what a key
//! is used for.

use super::HostCrypto;
use super::der;
use crate::snapshot::wire::{self, Alg};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jwt_compact::alg::{Ed25519, Es256, Hs256, Hs256Key, Rsa, RsaPublicKey};
use jwt_compact::jwk::JsonWebKey;
use jwt_compact::{Algorithm, AlgorithmSignature};
use serde::Deserialize;

/// Why a key is unusable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyError {
    /// No JWK of the type that the algorithm needs.
    Malformed,
    /// RSA below 2,048 bits or above 8,192, or an HS256 secret below 32 bytes.
    Size,
}

impl std::fmt::Display for KeyError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Malformed => "the JWK is not one for its algorithm",
            Self::Size => "RSA keys need 2048 to 8192 bits, HS256 secrets at least 32 bytes",
        })
    }
}

impl std::error::Error for KeyError {}

enum Public {
    Rsa(Box<RsaPublicKey>),
    P256(Box<<Es256 as Algorithm>::VerifyingKey>),
    Ed25519(Box<<Ed25519 as Algorithm>::VerifyingKey>),
    Secret(Hs256Key),
}

/// A key, ready to verify.
pub(super) struct Key {
    pub(super) kid: Option<String>,
    pub(super) alg: Alg,
    public: Public,
    /// For the host's crypto.
    spki: Vec<u8>,
}

#[derive(Deserialize)]
struct Numbers {
    #[serde(default)]
    n: String,
    #[serde(default)]
    e: String,
    #[serde(default)]
    x: String,
    #[serde(default)]
    y: String,
    #[serde(default)]
    k: String,
}

impl Key {
    pub(super) fn compile(key: &wire::Key) -> Result<Self, KeyError> {
        let malformed = KeyError::Malformed;
        let jwk: JsonWebKey<'_> = serde_json::from_str(key.jwk.get()).map_err(|_| malformed)?;
        let numbers: Numbers = serde_json::from_str(key.jwk.get()).map_err(|_| malformed)?;
        let bytes = |text: &str| URL_SAFE_NO_PAD.decode(text).map_err(|_| malformed);
        let mut spki = Vec::new();
        let public = match key.alg {
            Alg::RS256 | Alg::PS256 => {
                let modulus = bytes(&numbers.n)?;
                let bits = modulus.iter().skip_while(|b| **b == 0).count().saturating_mul(8);
                if !(2048..=8192).contains(&bits) {
                    return Err(KeyError::Size);
                }
                spki = der::rsa(&modulus, &bytes(&numbers.e)?);
                Public::Rsa(Box::new(RsaPublicKey::try_from(&jwk).map_err(|_| malformed)?))
            }
            Alg::ES256 => {
                let public = <Es256 as Algorithm>::VerifyingKey::try_from(&jwk).map_err(|_| malformed)?;
                spki = der::p256(&bytes(&numbers.x)?, &bytes(&numbers.y)?);
                Public::P256(Box::new(public))
            }
            Alg::EdDSA => {
                Public::Ed25519(Box::new(<Ed25519 as Algorithm>::VerifyingKey::try_from(&jwk).map_err(|_| malformed)?))
            }
            Alg::HS256 => {
                let secret = bytes(&numbers.k)?;
                if secret.len() < 32 {
                    return Err(KeyError::Size);
                }
                Public::Secret(Hs256Key::new(secret))
            }
        };
        Ok(Self { kid: key.kid.clone(), alg: key.alg, public, spki })
    }

    /// Whether the signature is right: by the host where it can, here otherwise.
    pub(super) fn verify(&self, message: &[u8], signature: &[u8], host: &dyn HostCrypto) -> bool {
        let by_host = match self.alg {
            Alg::RS256 => host.verify(Alg::RS256, &self.spki, message, signature),
            Alg::ES256 => match der::ecdsa(signature) {
                Some(der) => host.verify(Alg::ES256, &self.spki, message, &der),
                None => Some(false),
            },
            _ => None,
        };
        by_host.unwrap_or_else(|| match (&self.public, self.alg) {
            (Public::Rsa(key), Alg::RS256) => check(&Rsa::rs256(), key, message, signature),
            (Public::Rsa(key), Alg::PS256) => check(&Rsa::ps256(), key, message, signature),
            (Public::P256(key), Alg::ES256) => check(&Es256, key, message, signature),
            (Public::Ed25519(key), Alg::EdDSA) => check(&Ed25519, key, message, signature),
            (Public::Secret(key), Alg::HS256) => check(&Hs256, key, message, signature),
            _ => false,
        })
    }
}

fn check<A: Algorithm>(algorithm: &A, key: &A::VerifyingKey, message: &[u8], signature: &[u8]) -> bool {
    if A::Signature::LENGTH.is_some_and(|length| length.get() != signature.len()) {
        return false;
    }
    A::Signature::try_from_slice(signature).is_ok_and(|signature| algorithm.verify_signature(&signature, key, message))
}

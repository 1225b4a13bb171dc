//! API tokens: random, shown once, kept as hashes.

use anyhow::Result;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use utoipa::ToSchema;

/// What a token may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Everything.
    Admin,
    /// Read everything but secrets and fingerprint texts; write fingerprints; read events.
    Security,
    /// What a filter needs: snapshots, segments, sending events.
    Sidecar,
}

/// A token as it is kept.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct TokenRecord {
    /// Its name.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// When it was made, Unix seconds.
    pub created_at: u64,
}

/// A new token: 32 random bytes behind a prefix that tells its role to secret scanners and people.
///
/// # Errors
/// When the system has no randomness.
pub fn generate(role: Role) -> Result<String> {
    let mut bytes = [0u8; 32];
    getrandom::fill(&mut bytes).map_err(|error| anyhow::anyhow!("no randomness: {error}"))?;
    Ok(format!("{}_{}", prefix(role), URL_SAFE_NO_PAD.encode(bytes)))
}

fn prefix(role: Role) -> &'static str {
    match role {
        Role::Admin => "pwa",
        Role::Security => "pws",
        Role::Sidecar => "pwk",
    }
}

/// Whether a text looks like a token that [`generate`] made for a role. Anything else might be guessed.
pub fn generated(token: &str, role: Role) -> bool {
    let random = token.strip_prefix(prefix(role)).and_then(|rest| rest.strip_prefix('_'));
    random.and_then(|random| URL_SAFE_NO_PAD.decode(random).ok()).is_some_and(|bytes| bytes.len() == 32)
}

/// Under which hash a token is kept. Tokens have 256 random bits, so a fast hash is enough, and looking it up by hash
/// leaks nothing by its time.
pub fn hash(token: &str) -> String {
    hex::encode(Sha256::digest(token.as_bytes()))
}

//! Issuers' keys: fetched, refreshed, and kept for a grace time after they vanish, so that rotation leaves no gap.
//!
//! A fetch that fails changes nothing. Redirects are refused, answers are bounded, and plain HTTP is only for loopback.

use crate::policy::KeySource;
use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::time::Duration;

/// How often keys are fetched again.
pub const REFRESH: Duration = Duration::from_secs(300);
/// How long a key that vanished still counts, in seconds.
pub const GRACE_S: u64 = 600;
const MAX_BYTES: usize = 1024 * 1024;

/// The keys of one issuer.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Cached {
    /// Each key, and since when it is gone (Unix seconds; 0 while it is published).
    pub keys: Vec<(Value, u64)>,
}

impl Cached {
    /// Takes in what is published at `now`. Returns whether the usable keys changed.
    pub fn refresh(&mut self, published: &[Value], now: u64) -> bool {
        let before: Vec<Value> = self.usable();
        for (key, gone) in &mut self.keys {
            if published.contains(key) {
                *gone = 0;
            } else if *gone == 0 {
                *gone = now;
            }
        }
        for key in published {
            if !self.keys.iter().any(|(known, _)| known == key) {
                self.keys.push((key.clone(), 0));
            }
        }
        self.keys.retain(|(_, gone)| *gone == 0 || now.saturating_sub(*gone) < GRACE_S);
        before != self.usable()
    }

    /// The keys that count.
    pub fn usable(&self) -> Vec<Value> {
        self.keys.iter().map(|(key, _)| key.clone()).collect()
    }
}

/// The keys that a JWKS document holds.
///
/// # Errors
/// When it is none, or has no key.
pub fn keys(document: &Value) -> Result<Vec<Value>> {
    let keys = document.get("keys").and_then(Value::as_array).context("not a JWKS: it has no list `keys`")?;
    if keys.is_empty() {
        bail!("the JWKS holds no key");
    }
    Ok(keys.clone())
}

/// Fetches an issuer's keys.
///
/// # Errors
/// When the document cannot be had or is not what it must be.
pub async fn fetch(source: &KeySource) -> Result<Vec<Value>> {
    match source {
        KeySource::Inline(document) => keys(document),
        KeySource::Url(url) => keys(&get(url).await?),
        KeySource::Discovery(issuer) => {
            let document = get(&format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'))).await?;
            if document.get("issuer").and_then(Value::as_str) != Some(issuer) {
                bail!("the discovery document names another issuer than {issuer}");
            }
            let url =
                document.get("jwks_uri").and_then(Value::as_str).context("the discovery document has no jwks_uri")?;
            keys(&get(url).await?)
        }
    }
}

async fn get(url: &str) -> Result<Value> {
    let parsed = reqwest::Url::parse(url).with_context(|| format!("{url} is no address"))?;
    let loopback = matches!(parsed.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
    if parsed.scheme() != "https" && !loopback {
        bail!("{url}: keys are fetched by https only (http is for loopback)");
    }
    let client = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(Duration::from_secs(10))
        .build()?;
    let mut response = client.get(parsed).send().await.with_context(|| format!("{url} cannot be reached"))?;
    if response.status() != reqwest::StatusCode::OK {
        bail!("{url} answered {}", response.status());
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        body.extend_from_slice(&chunk);
        if body.len() > MAX_BYTES {
            bail!("{url} is larger than 1 MiB");
        }
    }
    serde_json::from_slice(&body).with_context(|| format!("{url} is no JSON"))
}

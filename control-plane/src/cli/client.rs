//! The control plane, over the wire.

use anyhow::{Context, Result, bail};
use reqwest::{Method, Response};
use serde_json::Value;
use std::path::Path;

/// The control plane, over the wire.
pub(super) struct Client {
    url: String,
    token: String,
    http: reqwest::Client,
}

impl Client {
    pub(super) fn new(url: &str, token: Option<String>, data: &Path) -> Result<Self> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let file = data.join("admin.token");
        let token = match token {
            Some(token) => token,
            None => std::fs::read_to_string(&file).with_context(|| {
                format!(
                    "no token: set PARTYWALL_TOKEN, or give the data directory by --data-dir ({} cannot be read)",
                    file.display()
                )
            })?,
        };
        let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build()?;
        Ok(Self { url: url.trim_end_matches('/').to_owned(), token: token.trim().to_owned(), http })
    }

    /// Sends a request; `body` has its media type.
    pub(super) async fn send(&self, method: Method, path: &str, body: Option<(&str, Vec<u8>)>) -> Result<Response> {
        let mut request = self.http.request(method, format!("{}{path}", self.url)).bearer_auth(&self.token);
        if let Some((media, body)) = body {
            request = request.header("content-type", media).body(body);
        }
        let response = request.send().await.with_context(|| {
            format!("{} cannot be reached: is `partywall serve` running, and --url or PARTYWALL_URL right?", self.url)
        })?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        let text = response.text().await.unwrap_or_default();
        let problem: Value = serde_json::from_str(&text).unwrap_or_default();
        let detail = problem.get("detail").and_then(Value::as_str).unwrap_or(text.trim());
        let mut message = format!("{detail} ({status})");
        for problem in problem.get("problems").and_then(Value::as_array).into_iter().flatten() {
            let at = |name: &str| problem.get(name).and_then(Value::as_u64).unwrap_or(0);
            let what = problem.get("message").and_then(Value::as_str).unwrap_or_default();
            message += &format!("\n  line {}, column {}: {what}", at("line"), at("column"));
        }
        bail!(message)
    }

    /// A JSON answer.
    pub(super) async fn json(&self, method: Method, path: &str, body: Option<Value>) -> Result<Value> {
        let body = body.map(|body| ("application/json", body.to_string().into_bytes()));
        let text = self.send(method, path, body).await?.text().await?;
        Ok(if text.is_empty() { Value::Null } else { serde_json::from_str(&text)? })
    }
}

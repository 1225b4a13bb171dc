//! `partywall serve`.

use crate::api::Shared;
use crate::shared::Remote;
use crate::state::App;
use crate::{jwks, router};
use anyhow::{Context, Result};
use axum_server::Handle;
use axum_server::tls_rustls::RustlsConfig;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use partywall_core::snapshot::SecretKey;
use serde::Deserialize;
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// How the server runs: by flags, or by a TOML file with the same names.
#[derive(Clone, Debug, Default, Deserialize, clap::Args)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where everything is kept.
    #[arg(long, env = "PARTYWALL_DATA", default_value = "partywall-data")]
    pub data: PathBuf,
    /// The address to listen on; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:8700")]
    pub listen: String,
    /// The certificate chain (PEM): serves TLS.
    #[arg(long, requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,
    /// Its key (PEM).
    #[arg(long, requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
    /// Writes the address that is listened on into this file, once ready.
    #[arg(long)]
    pub ready_file: Option<PathBuf>,
    /// The Redis that `fingerprint_store: redis` means, `redis://[user:password@]host:port/db`; `rediss://` for TLS.
    #[arg(long, env = "PARTYWALL_REDIS", hide_env_values = true)]
    pub redis: Option<String>,
    /// The file that holds its password.
    #[arg(long, requires = "redis")]
    pub redis_password_file: Option<PathBuf>,
    /// What all of our keys in it begin with.
    #[arg(long, default_value = "partywall:")]
    pub redis_prefix: String,
    /// The signing key that replicas share; without it, `signing.key` in the data directory, made at the first start.
    #[arg(long)]
    pub signing_key: Option<PathBuf>,
    /// Logs as JSON.
    #[arg(long)]
    pub log_json: bool,
}

/// Reads the signing key. The data directory's own is made at the first start; one that was named must be there.
pub(crate) fn signing_key(directory: &Path, named: Option<&Path>) -> Result<SecretKey> {
    let file = named.map_or_else(|| directory.join("signing.key"), Path::to_owned);
    if named.is_none() && !file.exists() {
        let mut seed = [0u8; 32];
        getrandom::fill(&mut seed).map_err(|error| anyhow::anyhow!("no randomness: {error}"))?;
        write_secret(&file, STANDARD.encode(seed).as_bytes())?;
    }
    let text = std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    let seed = STANDARD.decode(text.trim()).with_context(|| format!("{} is damaged", file.display()))?;
    SecretKey::from_seed(&seed).with_context(|| format!("{} is damaged", file.display()))
}

/// Writes a file that only we may read, whole or not at all.
pub(crate) fn write_secret(file: &Path, content: &[u8]) -> Result<()> {
    let temporary = file.with_extension("new");
    let _ = std::fs::remove_file(&temporary);
    let mut out = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
    out.write_all(content)?;
    out.sync_all()?;
    std::fs::rename(&temporary, file).with_context(|| format!("cannot write {}", file.display()))
}

/// Serves until SIGINT or SIGTERM.
///
/// # Errors
/// When the data cannot be opened or the address not be bound.
pub async fn serve(config: Config) -> Result<()> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let remote = match &config.redis {
        Some(url) => Some(Remote::new(url, config.redis_password_file.as_deref(), &config.redis_prefix)?),
        None => None,
    };
    let (data, key) = (config.data.clone(), config.signing_key.clone());
    let app: Shared = Arc::new(tokio::task::spawn_blocking(move || App::open(&data, key.as_deref(), remote)).await??);
    let address: SocketAddr = config
        .listen
        .parse()
        .with_context(|| format!("--listen {}: not an address like 127.0.0.1:8700", config.listen))?;
    let listener = std::net::TcpListener::bind(address).with_context(|| format!("cannot listen on {address}"))?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let handle = Handle::new();
    tokio::spawn(stop(handle.clone()));
    tokio::spawn(refresh(app.clone()));
    app.build_behind();
    crate::shared::follow::start(&app);
    let scheme = if config.tls_cert.is_some() { "https" } else { "http" };
    let _ = app.address.set(format!("{scheme}://{address}"));
    tokio::spawn(crate::alerting::run(app.clone()));
    crate::offboard::resume(&app);
    crate::audit::resume(&app);
    tokio::spawn(crate::audit::schedule(app.clone()));
    tracing::info!(%address, public_key = app.key.public().to_base64(), data = %config.data.display(), "partywall serves");
    if let Some(file) = &config.ready_file {
        write_secret(file, address.to_string().as_bytes())?;
    }
    let service = router::service(app).into_make_service();
    match (&config.tls_cert, &config.tls_key) {
        (Some(cert), Some(key)) => {
            let tls = RustlsConfig::from_pem_file(cert, key).await.context("cannot read the certificate or its key")?;
            axum_server::from_tcp_rustls(listener, tls)?.handle(handle).serve(service).await?;
        }
        _ => axum_server::from_tcp(listener)?.handle(handle).serve(service).await?,
    }
    Ok(())
}

async fn stop(handle: Handle<SocketAddr>) {
    let interrupt = tokio::signal::ctrl_c();
    match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
        Ok(mut terminate) => tokio::select! { _ = interrupt => {}, _ = terminate.recv() => {} },
        Err(_) => drop(interrupt.await),
    }
    // Open polls would keep us: filters ask again anyway.
    handle.graceful_shutdown(Some(Duration::from_secs(1)));
}

/// Fetches the issuers' keys again and again. A failure keeps what is known, and tries again sooner.
async fn refresh(app: Shared) {
    loop {
        let mut failed = false;
        for issuer in app.read(|model| model.compiled.as_ref().map(|c| c.fetched.clone())).unwrap_or_default() {
            match jwks::fetch(&issuer.source).await {
                Ok(keys) => {
                    let (app, name) = (app.clone(), issuer.issuer.clone());
                    let done = tokio::task::spawn_blocking(move || app.refresh_keys(&name, &keys)).await;
                    match done {
                        Ok(Ok(true)) => tracing::info!(issuer = issuer.issuer, "the issuer's keys changed"),
                        Ok(Ok(false)) => {}
                        _ => failed = true,
                    }
                }
                Err(error) => {
                    failed = true;
                    app.metrics.jwks_failures.inc();
                    tracing::warn!(
                        issuer = issuer.issuer,
                        error = format!("{error:#}"),
                        "the issuer's keys cannot be fetched; the known ones stay"
                    );
                }
            }
        }
        let pause = std::env::var("PARTYWALL_JWKS_REFRESH_S")
            .ok()
            .and_then(|s| s.parse().ok())
            .map_or(jwks::REFRESH, Duration::from_secs);
        tokio::time::sleep(if failed { pause.min(Duration::from_secs(30)) } else { pause }).await;
    }
}

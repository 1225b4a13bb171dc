//! Prometheus' Alertmanager, the real one.

use crate::http::Request;
use crate::process::{Process, tool};
use anyhow::Result;
use serde_json::Value;
use std::path::Path;
use std::time::Duration;

/// Debian's build reads its templates from an absolute path. Ours is not installed but unpacked, so it runs where it was unpacked,
/// as a copy in which that path is relative: a slash at its end instead of its beginning.
const RELOCATE: &str = r#"cd "$0" && program=$1 && shift && LC_ALL=C sed 's#/usr/share/prometheus/alertmanager#usr/share/prometheus/alertmanager/#g' usr/bin/prometheus-alertmanager > "$program" && chmod +x "$program" && exec "$program" "$@""#;

/// A running Alertmanager; it ends with this.
pub struct Alertmanager {
    _process: Process,
    /// Where it listens.
    pub port: u16,
}

impl Alertmanager {
    /// Starts it on a port, with files of its own below a directory. It notifies a webhook at `notify`.
    ///
    /// # Errors
    /// When it does not get ready.
    pub fn start(directory: &Path, port: u16, notify: u16) -> Result<Self> {
        let directory = directory.join(format!("alertmanager-{port}"));
        std::fs::create_dir_all(&directory)?;
        let config = directory.join("alertmanager.yml");
        std::fs::write(
            &config,
            format!(
                "route: {{receiver: pager, group_by: ['...'], group_wait: 0s, group_interval: 1s}}\n\
                 receivers: [{{name: pager, webhook_configs: [{{url: 'http://127.0.0.1:{notify}/page'}}]}}]\n"
            ),
        )?;
        let arguments = [
            "-c".to_owned(),
            RELOCATE.to_owned(),
            tool("PARTYWALL_TOOLS", ".tools").display().to_string(),
            directory.join("alertmanager").display().to_string(),
            format!("--config.file={}", config.display()),
            format!("--storage.path={}", directory.join("data").display()),
            format!("--web.listen-address=127.0.0.1:{port}"),
            "--cluster.listen-address=".to_owned(),
        ];
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let mut process = Process::start("alertmanager", &directory, Path::new("sh"), &arguments, &[])?;
        process.wait_until(Duration::from_secs(30), || {
            Request::new("GET", "alertmanager", "/-/ready").send(port).is_ok_and(|r| r.status == 200)
        })?;
        Ok(Self { _process: process, port })
    }

    /// The alerts that are active.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn alerts(&self) -> Result<Vec<Value>> {
        let all = Request::new("GET", "alertmanager", "/api/v2/alerts?active=true").send(self.port)?.json();
        Ok(all.as_array().cloned().unwrap_or_default())
    }
}

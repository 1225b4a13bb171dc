//! Prometheus' Alertmanager, the real one.

use crate::http::Request;
use crate::process::{Process, tool};
use anyhow::Result;
use serde_json::Value;
use std::path::Path;
use std::time::Duration;

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
            format!("--config.file={}", config.display()),
            format!("--storage.path={}", directory.join("data").display()),
            format!("--web.listen-address=127.0.0.1:{port}"),
            "--cluster.listen-address=".to_owned(),
        ];
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let program = tool("PARTYWALL_TOOLS", ".tools").join("usr/bin/prometheus-alertmanager");
        let mut process = Process::start("alertmanager", &directory, &program, &arguments, &[])?;
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

//! The whole thing, on free loopback ports: control plane, scripted LLM, Envoy with the filter, and Chroma where asked.

use crate::http::{Request, Response};
use crate::llm::Llm;
use crate::mint;
use crate::process::{Process, free_port, root, tool};
use crate::tap::Tap;
use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// What to start.
pub struct Builder {
    name: String,
    chroma: bool,
    policy: String,
    envoy: bool,
    template: String,
    workers: usize,
    chroma_port: Option<u16>,
    control: Vec<String>,
    sidecar_token: Option<String>,
}

/// What runs. Everything ends with it.
pub struct Stack {
    /// Where logs, data and configurations of this stack are.
    pub directory: PathBuf,
    /// The scripted LLM.
    pub llm: Llm,
    /// Envoy's port for clients.
    pub edge: u16,
    /// Envoy's admin port.
    pub admin: u16,
    /// The control plane's port.
    pub control: u16,
    /// Chroma's port, when it runs.
    pub chroma: u16,
    /// What Chroma gets passes here.
    pub tap: Tap,
    /// The first admin's token.
    pub admin_token: String,
    /// The token of its proxies.
    pub sidecar_token: String,
    /// How the control plane is started, beyond what is always said.
    pub control_arguments: Vec<String>,
    public_key: String,
    template: String,
    workers: usize,
    control_process: Option<Process>,
    envoy_process: Option<Process>,
    chroma_process: Option<Process>,
}

/// The demo's policy.
pub fn demo_policy() -> String {
    std::fs::read_to_string(root().join("envoy/demo-policy.yaml")).expect("envoy/demo-policy.yaml")
}

/// The shipped Envoy configuration, with its placeholders.
pub fn envoy_template() -> String {
    std::fs::read_to_string(root().join("envoy/envoy.yaml")).expect("envoy/envoy.yaml")
}

impl Stack {
    /// A stack of this name: its files go to `target/e2e/NAME`.
    pub fn builder(name: &str) -> Builder {
        Builder {
            name: name.to_owned(),
            chroma: false,
            policy: demo_policy(),
            envoy: true,
            template: envoy_template(),
            workers: 1,
            chroma_port: None,
            control: Vec::new(),
            sidecar_token: None,
        }
    }

    /// A request to the LLM's surface.
    pub fn llm(&self, method: &str, path: &str) -> Request {
        Request::new(method, "llm.test", path)
    }

    /// A request to the Chroma surface; `path` below the database, e.g. `/collections`.
    pub fn chroma(&self, token: &str, method: &str, path: &str) -> Request {
        let path = format!("/api/v2/tenants/default_tenant/databases/default_database{path}");
        Request::new(method, "chroma.test", &path).bearer(token)
    }

    /// A chat completion with one message.
    ///
    /// # Errors
    /// When Envoy does not answer.
    pub fn chat(&self, token: &str, prompt: &str, stream: bool) -> Result<Response> {
        let body = json!({"model": "demo", "stream": stream, "messages": [{"role": "user", "content": prompt}]});
        self.llm("POST", "/v1/chat/completions").bearer(token).json(&body).send(self.edge)
    }

    /// A request to the control plane by the first admin.
    ///
    /// # Errors
    /// When it cannot be reached or answers other than 2xx.
    pub fn api(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value> {
        let mut request = Request::new(method, "control", path).bearer(&self.admin_token);
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send(self.control)?;
        if !(200..300).contains(&response.status) {
            bail!("{method} {path}: {} {}", response.status, response.text());
        }
        Ok(response.json())
    }

    /// Adds a fingerprint and waits until every worker enforces it.
    ///
    /// # Errors
    /// As [`Stack::api`].
    pub fn fingerprint(&self, tenant: &str, text: &str) -> Result<u64> {
        let made = self.api("POST", "/v1/fingerprints", Some(&json!({"tenant": tenant, "text": text})))?;
        self.converge()?;
        made["id"].as_u64().context("no id")
    }

    /// Applies a policy and waits until every worker enforces it.
    ///
    /// # Errors
    /// When it is refused.
    pub fn apply(&self, policy: &str) -> Result<()> {
        let response = Request::new("PUT", "control", "/v1/policy")
            .bearer(&self.admin_token)
            .body("application/yaml", self.fill_policy(policy).into_bytes())
            .send(self.control)?;
        if response.status != 200 {
            bail!("the policy was refused: {}", response.text());
        }
        if self.envoy_process.is_some() { self.converge() } else { Ok(()) }
    }

    /// A policy with its placeholder filled.
    pub fn fill_policy(&self, policy: &str) -> String {
        policy.replace("${CHROMA_PORT}", &self.chroma.to_string()).replace("${EDGE_PORT}", &self.edge.to_string())
    }

    /// Runs the command line against the control plane; its output, and whether it succeeded.
    ///
    /// # Errors
    /// When the program cannot be run.
    pub fn cli(&self, arguments: &[&str]) -> Result<(bool, String)> {
        let output = std::process::Command::new(tool("PARTYWALL_BIN", "target/release/partywall"))
            .args(arguments)
            .env("PARTYWALL_URL", format!("http://127.0.0.1:{}", self.control))
            .env("PARTYWALL_TOKEN", &self.admin_token)
            .output()?;
        let text = [output.stdout, output.stderr].concat();
        Ok((output.status.success(), String::from_utf8_lossy(&text).into_owned()))
    }

    /// Stops Chroma.
    pub fn stop_chroma(&mut self) {
        self.chroma_process = None;
    }

    /// Starts Chroma, on the data that it had.
    ///
    /// # Errors
    /// When it does not get ready.
    pub fn start_chroma(&mut self) -> Result<()> {
        let mut process = start_chroma(&self.directory, self.chroma)?;
        ready(&mut process, self.chroma)?;
        self.chroma_process = Some(process);
        Ok(())
    }

    /// Waits until every worker that lives runs the current revision.
    ///
    /// # Errors
    /// When it takes longer than ten seconds.
    pub fn converge(&self) -> Result<()> {
        self.converge_within(Duration::from_secs(10))
    }

    /// As [`Stack::converge`], with more patience.
    ///
    /// # Errors
    /// When it takes longer.
    pub fn converge_within(&self, limit: Duration) -> Result<()> {
        let start = Instant::now();
        loop {
            let sidecars = self.api("GET", "/v1/sidecars", None)?;
            // A VM that polls waits at most 25 s; one that was replaced is never heard of again.
            let live: Vec<&Value> = sidecars
                .as_array()
                .into_iter()
                .flatten()
                .filter(|s| mint::now() - s["last_seen"].as_u64().unwrap_or(0) < 40)
                .collect();
            if live.len() > self.workers && live.iter().all(|sidecar| sidecar["converged"] == true) {
                return Ok(());
            }
            if start.elapsed() > limit {
                bail!("the workers do not converge: {sidecars:#}\n{}", self.envoy_log());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// The end of Envoy's log.
    pub fn envoy_log(&self) -> String {
        self.envoy_process.as_ref().map(Process::log_tail).unwrap_or_default()
    }

    /// The processor time that Envoy has taken so far.
    pub fn envoy_cpu(&self) -> Duration {
        self.envoy_process.as_ref().map(Process::cpu).unwrap_or_default()
    }

    /// Changes the Envoy configuration that the next [`Stack::start_envoy`] uses.
    pub fn edit_template(&mut self, edit: impl FnOnce(String) -> String) {
        self.template = edit(std::mem::take(&mut self.template));
    }

    /// Envoy's stats in Prometheus form.
    ///
    /// # Errors
    /// When Envoy does not answer.
    pub fn stats(&self) -> Result<String> {
        Ok(Request::new("GET", "admin", "/stats/prometheus").send(self.admin)?.text())
    }

    /// A metric's value; 0 when it is not there.
    pub fn metric(&self, name: &str) -> f64 {
        let stats = self.stats().unwrap_or_default();
        let lines =
            stats.lines().filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '{'])));
        lines.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum()
    }

    /// The end of the control plane's log.
    pub fn control_log(&self) -> String {
        self.control_process.as_ref().map(Process::log_tail).unwrap_or_default()
    }

    /// Stops the control plane.
    pub fn stop_control(&mut self) {
        self.control_process = None;
    }

    /// Starts the control plane again, on the same data and port.
    ///
    /// # Errors
    /// When it does not get ready.
    pub fn start_control(&mut self) -> Result<()> {
        let data = self.directory.join("data");
        let ready = self.directory.join("control.ready");
        let _ = std::fs::remove_file(&ready);
        let listen = format!("127.0.0.1:{}", self.control);
        let arguments =
            ["serve", "--data", &data.to_string_lossy(), "--listen", &listen, "--ready-file", &ready.to_string_lossy()]
                .map(str::to_owned);
        let arguments: Vec<&str> = arguments.iter().chain(&self.control_arguments).map(String::as_str).collect();
        let environment = [("PARTYWALL_DEMO_SECRET", mint::SECRET), ("PARTYWALL_JWKS_REFRESH_S", "1")];
        let program = tool("PARTYWALL_BIN", "target/release/partywall");
        let mut process = Process::start("control-plane", &self.directory, &program, &arguments, &environment)?;
        process.wait_until(Duration::from_secs(20), || ready.exists())?;
        self.control_process = Some(process);
        Ok(())
    }

    /// Stops Envoy.
    pub fn stop_envoy(&mut self) {
        self.envoy_process = None;
    }

    /// Starts Envoy on the same ports.
    ///
    /// # Errors
    /// When it does not get ready.
    pub fn start_envoy(&mut self) -> Result<()> {
        let file = self.directory.join("envoy.yaml");
        std::fs::write(&file, self.envoy_config())?;
        let workers = self.workers.to_string();
        let path = file.to_string_lossy().into_owned();
        let arguments = [
            "-c",
            &path,
            "--concurrency",
            &workers,
            "--use-dynamic-base-id",
            "--log-level",
            "warning",
            "--service-node",
            "edge",
            "--service-cluster",
            "edge",
        ];
        let environment = [("PARTYWALL_TOKEN", self.sidecar_token.as_str())];
        let mut process = Process::start("envoy", &self.directory, &envoy(), &arguments, &environment)?;
        let admin = self.admin;
        process.wait_until(Duration::from_secs(30), || {
            Request::new("GET", "admin", "/ready").send(admin).is_ok_and(|r| r.status == 200)
        })?;
        self.envoy_process = Some(process);
        Ok(())
    }

    /// The Envoy configuration, filled in.
    pub fn envoy_config(&self) -> String {
        let wasm = tool("PARTYWALL_WASM", "target/wasm32-wasip1/wasm/partywall_filter.wasm");
        self.template
            .replace("${WASM}", &wasm.to_string_lossy())
            .replace("${PUBLIC_KEY}", &self.public_key)
            .replace("${EDGE_PORT}", &self.edge.to_string())
            .replace("${ADMIN_PORT}", &self.admin.to_string())
            .replace("${LLM_PORT}", &self.llm.port.to_string())
            .replace("${CHROMA_PORT}", &self.tap.port.to_string())
            .replace("${CONTROL_PORT}", &self.control.to_string())
    }
}

/// Envoy's program.
pub fn envoy() -> PathBuf {
    let version = std::fs::read_to_string(root().join("envoy/VERSION")).unwrap_or_default();
    tool("PARTYWALL_ENVOY", &format!(".venv/{}/bin/envoy", version.trim()))
}

/// The Python that has the official clients.
pub fn python() -> PathBuf {
    let version = std::fs::read_to_string(root().join("envoy/VERSION")).unwrap_or_default();
    tool("PARTYWALL_PYTHON", &format!(".venv/{}/bin/python", version.trim()))
}

impl Builder {
    /// With a real Chroma server.
    pub fn chroma(mut self) -> Self {
        self.chroma = true;
        self
    }

    /// With this policy instead of the demo's.
    pub fn policy(mut self, policy: &str) -> Self {
        self.policy = policy.to_owned();
        self
    }

    /// Without a policy: the filter gets nothing.
    pub fn no_policy(mut self) -> Self {
        self.policy.clear();
        self
    }

    /// Without Envoy for now.
    pub fn no_envoy(mut self) -> Self {
        self.envoy = false;
        self
    }

    /// With another Envoy configuration, placeholders and all.
    pub fn template(mut self, template: String) -> Self {
        self.template = template;
        self
    }

    /// With something else at this port where Chroma would be.
    pub fn chroma_at(mut self, port: u16) -> Self {
        self.chroma_port = Some(port);
        self
    }

    /// With more arguments for `partywall serve`.
    pub fn control(mut self, arguments: &[&str]) -> Self {
        self.control = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        self
    }

    /// With a sidecar token that another stack made.
    pub fn sidecar_token(mut self, token: &str) -> Self {
        self.sidecar_token = Some(token.to_owned());
        self
    }

    /// With so many Envoy workers.
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = workers;
        self
    }

    /// Starts everything.
    ///
    /// # Errors
    /// When a part does not get ready; with the end of its log.
    pub fn start(self) -> Result<Stack> {
        let directory = root().join("target/e2e").join(&self.name);
        let _ = std::fs::remove_dir_all(&directory);
        std::fs::create_dir_all(&directory)?;
        let chroma_port = self.chroma_port.unwrap_or_else(free_port);
        let mut stack = Stack {
            directory: directory.clone(),
            llm: Llm::start(),
            edge: free_port(),
            admin: free_port(),
            control: free_port(),
            chroma: chroma_port,
            tap: Tap::start(chroma_port),
            admin_token: String::new(),
            sidecar_token: String::new(),
            control_arguments: self.control,
            public_key: String::new(),
            template: self.template,
            workers: self.workers,
            control_process: None,
            envoy_process: None,
            chroma_process: None,
        };
        let chroma = self.chroma.then(|| start_chroma(&directory, stack.chroma)).transpose()?;
        stack.start_control()?;
        stack.admin_token = std::fs::read_to_string(directory.join("data/admin.token"))?;
        let mut new = json!({"name": "edge", "role": "sidecar"});
        if let Some(token) = self.sidecar_token {
            new["token"] = json!(token);
        }
        let made = stack.api("POST", "/v1/tokens", Some(&new))?;
        stack.sidecar_token = made["token"].as_str().context("no token")?.to_owned();
        stack.public_key = stack.api("GET", "/v1/status", None)?["public_key"].as_str().context("no key")?.to_owned();
        if !self.policy.is_empty() {
            stack.apply(&self.policy)?;
        }
        if self.envoy {
            stack.start_envoy()?;
            if !self.policy.is_empty() {
                stack.converge()?;
            }
        }
        if let Some(mut process) = chroma {
            ready(&mut process, stack.chroma)?;
            stack.chroma_process = Some(process);
        }
        Ok(stack)
    }
}

fn ready(chroma: &mut Process, port: u16) -> Result<()> {
    chroma.wait_until(Duration::from_secs(60), || {
        Request::new("GET", "chroma", "/api/v2/heartbeat").send(port).is_ok_and(|r| r.status == 200)
    })
}

fn start_chroma(directory: &std::path::Path, port: u16) -> Result<Process> {
    let version = std::fs::read_to_string(root().join("envoy/VERSION")).unwrap_or_default();
    let program = tool("PARTYWALL_CHROMA", &format!(".venv/{}/bin/chroma", version.trim()));
    let (port, path) = (port.to_string(), directory.join("chroma").to_string_lossy().into_owned());
    let arguments = ["run", "--host", "127.0.0.1", "--port", &port, "--path", &path];
    Process::start("chroma", directory, &program, &arguments, &[("ANONYMIZED_TELEMETRY", "False")])
}

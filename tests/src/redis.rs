//! A real Redis, and a line to a server that can be cut or led elsewhere.

use crate::process::{Process, free_port, root};
use crate::stack::{Stack, demo_policy};
use anyhow::{Result, bail};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A Redis server. Ends with its owner.
pub struct Redis {
    /// Its port.
    pub port: u16,
    directory: PathBuf,
    process: Option<Process>,
}

fn tools() -> PathBuf {
    std::env::var_os("PARTYWALL_TOOLS").map_or_else(|| root().join(".tools"), PathBuf::from)
}

fn libraries() -> String {
    tools().join("usr/lib/x86_64-linux-gnu").to_string_lossy().into_owned()
}

impl Redis {
    /// A server with an empty directory of this name.
    ///
    /// # Errors
    /// When it does not get ready.
    pub fn start(name: &str, arguments: &[&str]) -> Result<Self> {
        let directory = root().join("target/e2e").join(format!("{name}-redis"));
        let _ = std::fs::remove_dir_all(&directory);
        std::fs::create_dir_all(&directory)?;
        let mut redis = Self { port: free_port(), directory, process: None };
        redis.resume(arguments)?;
        Ok(redis)
    }

    /// Starts it on the files that it had.
    ///
    /// # Errors
    /// When it does not get ready.
    pub fn resume(&mut self, more: &[&str]) -> Result<()> {
        let (port, directory) = (self.port.to_string(), self.directory.to_string_lossy().into_owned());
        let mut arguments = vec!["--port", &port, "--bind", "127.0.0.1", "--save", "", "--dir", &directory];
        arguments.extend(more);
        let program = tools().join("usr/bin/redis-server");
        let libraries = libraries();
        let environment = [("LD_LIBRARY_PATH", libraries.as_str())];
        let mut process = Process::start("redis", &self.directory, &program, &arguments, &environment)?;
        process.wait_until(Duration::from_secs(10), || {
            let Ok(mut stream) = TcpStream::connect(("127.0.0.1", self.port)) else { return false };
            let mut answer = [0; 5];
            stream.write_all(b"PING\r\n").and_then(|()| stream.read_exact(&mut answer)).is_ok() && answer == *b"+PONG"
        })?;
        self.process = Some(process);
        Ok(())
    }

    /// Kills it with SIGKILL.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Where it is.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }

    /// Runs `redis-cli`; what it prints.
    ///
    /// # Errors
    /// When it fails.
    pub fn cli(&self, arguments: &[&str]) -> Result<String> {
        let output = std::process::Command::new(tools().join("usr/bin/redis-cli"))
            .args(["-p", &self.port.to_string()])
            .args(arguments)
            .env("LD_LIBRARY_PATH", libraries())
            .output()?;
        let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        if !output.status.success() || text.starts_with("ERR") {
            bail!("redis-cli {arguments:?}: {text} {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(text)
    }
}

/// A line to a server on this machine: it can be cut, and led to another one.
#[derive(Clone)]
pub struct Line {
    /// Where it listens.
    pub port: u16,
    target: Arc<Mutex<Option<u16>>>,
    open: Arc<Mutex<Vec<TcpStream>>>,
}

impl Line {
    /// A line to a port.
    pub fn to(target: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("no free port");
        let port = listener.local_addr().map(|address| address.port()).expect("an address");
        let line = Self { port, target: Arc::new(Mutex::new(Some(target))), open: Arc::default() };
        let server = line.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let target = *server.target.lock().unwrap_or_else(PoisonError::into_inner);
                let Some(there) = target.and_then(|port| TcpStream::connect(("127.0.0.1", port)).ok()) else {
                    continue;
                };
                let (Ok(client2), Ok(there2)) = (client.try_clone(), there.try_clone()) else { continue };
                let mut open = server.open.lock().unwrap_or_else(PoisonError::into_inner);
                open.extend([client.try_clone(), there.try_clone()].into_iter().flatten());
                std::thread::spawn(move || pipe(client, there));
                std::thread::spawn(move || pipe(there2, client2));
            }
        });
        line
    }

    /// Leads elsewhere from now on, or with `None` nowhere; what is open breaks off.
    pub fn lead(&self, target: Option<u16>) {
        *self.target.lock().unwrap_or_else(PoisonError::into_inner) = target;
        for stream in self.open.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

fn pipe(mut from: TcpStream, mut to: TcpStream) {
    let mut buffer = [0; 65536];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        if to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
}

/// The demo policy, with its fingerprints in Redis.
pub fn redis_policy() -> String {
    demo_policy().replace("fingerprint_store: embedded", "fingerprint_store: redis")
}

/// A control plane on a Redis at this port, without Envoy.
pub fn bare(name: &str, port: u16) -> Stack {
    let url = format!("redis://127.0.0.1:{port}/0");
    Stack::builder(name).policy(&redis_policy()).no_envoy().control(&["--redis", &url]).start().unwrap()
}

/// A replica of a control plane: the same signing key, sidecar token and policy.
pub fn replica(name: &str, of: &Stack, port: u16, envoy: bool) -> Stack {
    let (url, key) = (format!("redis://127.0.0.1:{port}/0"), of.directory.join("data/signing.key"));
    let arguments = ["--redis", url.as_str(), "--signing-key", &key.to_string_lossy()];
    let mut builder = Stack::builder(name).policy(&redis_policy()).control(&arguments).sidecar_token(&of.sidecar_token);
    if !envoy {
        builder = builder.no_envoy();
    }
    builder.start().unwrap()
}

/// Waits until something is so; panics when it takes longer.
pub fn until(what: &str, limit: u64, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_secs(limit), "not within {limit} s: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// How the fingerprint store stands.
pub fn state(stack: &Stack) -> String {
    stack.api("GET", "/v1/fingerprint-store", None).unwrap()["state"].as_str().unwrap().to_owned()
}

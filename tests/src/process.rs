//! Child processes that cannot outlive us: each runs under a shell that waits for our end of a pipe to close.

use anyhow::{Context, Result, bail};
use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

/// A running process, ended on drop.
pub struct Process {
    child: Child,
    name: String,
    log: PathBuf,
}

impl Process {
    /// Starts a program; its output goes to `directory/NAME.log`.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(
        name: &str,
        directory: &Path,
        program: &Path,
        arguments: &[&str],
        environment: &[(&str, &str)],
    ) -> Result<Self> {
        if !program.exists() && program.components().count() > 1 {
            bail!("{} is missing: run `make build` first", program.display());
        }
        let log = directory.join(format!("{name}.log"));
        let output = File::create(&log)?;
        // The shell keeps our pipe as 3; when we are gone, `read` returns and the program dies.
        let script =
            "exec 3<&0; \"$@\" 3<&- </dev/null & pid=$!; ( read -r _ <&3; kill -9 $pid 2>/dev/null ) & wait $pid";
        let mut command = Command::new("sh");
        command.args(["-c", script, "sh"]).arg(program).args(arguments);
        command.envs(environment.iter().copied()).stdin(Stdio::piped()).stdout(output.try_clone()?).stderr(output);
        let child = command.spawn().with_context(|| format!("cannot start {}", program.display()))?;
        Ok(Self { child, name: name.to_owned(), log })
    }

    /// Waits until `ready` says yes.
    ///
    /// # Errors
    /// When the process ends first, or it takes too long; with the end of its log.
    pub fn wait_until(&mut self, limit: Duration, mut ready: impl FnMut() -> bool) -> Result<()> {
        let start = Instant::now();
        while !ready() {
            if let Some(status) = self.child.try_wait()? {
                bail!("{} ended ({status}); its log says:\n{}", self.name, self.log_tail());
            }
            if start.elapsed() > limit {
                bail!("{} is not ready after {limit:?}; its log says:\n{}", self.name, self.log_tail());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// The last lines of the log.
    pub fn log_tail(&self) -> String {
        let text = String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(25)..].join("\n")
    }

    /// The processor time of the program so far, all threads together.
    pub fn cpu(&self) -> Duration {
        let shell = self.child.id();
        let children = std::fs::read_to_string(format!("/proc/{shell}/task/{shell}/children")).unwrap_or_default();
        let nanoseconds = |child: &str| -> u64 {
            let threads = std::fs::read_dir(format!("/proc/{child}/task")).into_iter().flatten().flatten();
            let stats = threads.filter_map(|thread| std::fs::read_to_string(thread.path().join("schedstat")).ok());
            stats.filter_map(|stat| stat.split(' ').next()?.parse::<u64>().ok()).sum()
        };
        Duration::from_nanos(children.split_whitespace().map(nanoseconds).sum())
    }

    /// Ends it at once.
    pub fn kill(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A free loopback port: below those that the system gives to outgoing connections, and never the same one twice in a
/// process. Each process begins elsewhere.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    const RANGE: u16 = 12_000;
    let start = u16::try_from(std::process::id().wrapping_mul(97) % u32::from(RANGE)).unwrap_or(0);
    (0..RANGE)
        .map(|_| 20_000 + (start + NEXT.fetch_add(1, Ordering::Relaxed) % RANGE) % RANGE)
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .expect("no free port")
}

/// The project's root.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate lies in the project").to_owned()
}

/// A tool's path: from the environment, or where the Makefile puts it.
pub fn tool(variable: &str, fallback: &str) -> PathBuf {
    std::env::var_os(variable).map_or_else(|| root().join(fallback), PathBuf::from)
}

//! What a change costs: until it is enforced, the stall of traffic while it loads, and the memory that it takes.

use crate::corpus;
use crate::load::{Connection, constant, post};
use crate::proxies::{full, push, token};
use crate::report::{Reach, Report, quantile};
use anyhow::{Result, ensure};
use partywall_tests::llm::completion;
use serde_json::json;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

pub fn run(report: &mut Report) -> Result<()> {
    one(report)?;
    many(report)
}

/// One fingerprint at a time, onto 10,000, until both workers have it.
fn one(report: &mut Report) -> Result<()> {
    let stack = full("bench-push", None, 2, "exact")?;
    push(&stack, &corpus::literals(10_000, 1))?;
    let mut times = Vec::new();
    for literal in corpus::literals(100, 77) {
        let start = Instant::now();
        stack.api("POST", "/v1/fingerprints", Some(&json!({"tenant": "beta", "text": literal})))?;
        while stack
            .api("GET", "/v1/sidecars", None)?
            .as_array()
            .is_none_or(|all| all.iter().any(|s| s["converged"] != true))
        {
            ensure!(start.elapsed() < Duration::from_secs(20), "a push does not arrive");
            std::thread::sleep(Duration::from_millis(1));
        }
        times.push(start.elapsed().as_secs_f64() * 1e3);
    }
    let spread = format!(
        "p50 {:.0}, most {:.0} ({} pushes, 2 workers)",
        quantile(&times, 0.5),
        quantile(&times, 1.0),
        times.len()
    );
    report.put("push_ms_p99", quantile(&times, 0.99), &spread, Reach::Most(500.0));
    Ok(())
}

/// 10,000 at once into an empty VM, under traffic.
fn many(report: &mut Report) -> Result<()> {
    let literals = corpus::literals(10_000, 1);
    let upstream = constant(&completion("A short answer."));
    let (mut stalls, mut bytes, mut quiet) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..5 {
        let stack = full(&format!("bench-load-{round}"), Some(upstream), 1, "exact")?;
        let body = json!({"model": "demo", "messages": [{"role": "user", "content": "hi"}]});
        let request = post("llm.test", "/v1/chat/completions", &token(), body.to_string().as_bytes());
        let mut connection = Connection::open(stack.edge, &request)?;
        let worst = |connection: &mut Connection, until: &dyn Fn() -> bool| -> Result<f64> {
            let mut most = Duration::ZERO;
            while !until() {
                let (took, status, _) = connection.exchange()?;
                ensure!(status == 200, "{status}");
                most = most.max(took);
            }
            Ok(most.as_secs_f64() * 1e3)
        };
        let start = Instant::now();
        quiet.push(worst(&mut connection, &|| start.elapsed() > Duration::from_secs(1))?);
        let before = stack.metric("partywall_vm_memory_bytes");
        let done = AtomicBool::new(false);
        let stall = std::thread::scope(|scope| {
            let traffic = scope.spawn(|| worst(&mut connection, &|| done.load(Ordering::Relaxed)));
            let pushed = push(&stack, &literals);
            done.store(true, Ordering::Relaxed);
            pushed.and(traffic.join().unwrap_or_else(|_| anyhow::bail!("a client died")))
        })?;
        stalls.push(stall);
        bytes.push((stack.metric("partywall_vm_memory_bytes") - before) / literals.len() as f64);
    }
    let spread = format!("p50 {:.0} of 5 loads; without a load {:.0}", quantile(&stalls, 0.5), quantile(&quiet, 0.5));
    report.put("push_stall_ms_max_10k", quantile(&stalls, 1.0), &spread, Reach::Most(150.0));
    report.median("vm_bytes_per_literal_10k", &bytes, Reach::Most(400.0));
    Ok(())
}

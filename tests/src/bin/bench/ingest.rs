//! How fast documents become phrases that are in force: a control plane of its own, and nothing else on the machine.

use crate::phrases::{bulk, lines};
use crate::report::{Reach, Report};
use anyhow::{Context, Result};
use partywall_tests::prose;
use partywall_tests::stack::Stack;
use serde_json::Value;
use std::time::{Duration, Instant};

/// Phrases that filters are told of.
fn published(stack: &Stack) -> Result<u64> {
    let envelope = stack.api("GET", "/v1/snapshot?have=0&nonce=n&instance=bench", None)?;
    let segments = envelope["manifest"]["content"]["phrases"]["segments"].as_array().context("no segments")?.clone();
    Ok(segments.iter().filter_map(|segment| segment["entries"].as_u64()).sum())
}

pub fn run(report: &mut Report) -> Result<()> {
    let paragraphs = prose::paragraphs(5_000_000);
    let texts: Vec<String> = paragraphs.chunks(40).map(|part| part.join("\n")).collect();
    let bytes: usize = texts.iter().map(String::len).sum();
    let (mut speeds, mut later, mut again, mut count) = (vec![], vec![], vec![], 0);
    for round in 0..5 {
        let mut stack = Stack::builder(&format!("bench-ingest-{round}")).no_envoy().start()?;
        let body = lines(texts.iter().map(String::as_str), 0);
        let start = Instant::now();
        count = bulk(&stack, body.clone())?;
        let answered = start.elapsed();
        speeds.push(bytes as f64 / answered.as_secs_f64() / 1e6);
        while published(&stack)? == 0 {
            anyhow::ensure!(start.elapsed() < Duration::from_secs(60), "nothing is published");
            std::thread::sleep(Duration::from_millis(2));
        }
        later.push((start.elapsed() - answered).as_secs_f64() * 1e3);
        // The same again: each document in the place of itself.
        let start = Instant::now();
        bulk(&stack, body)?;
        again.push(bytes as f64 / start.elapsed().as_secs_f64() / 1e6);
        // What was accepted is there after a kill.
        stack.stop_control();
        stack.start_control()?;
        let status: Value = stack.api("GET", "/v1/tenants/beta/documents?limit=1000", None)?;
        anyhow::ensure!(status.as_array().is_some_and(|all| all.len() == texts.len()), "documents are missing");
    }
    let mut sorted = speeds.clone();
    sorted.sort_by(f64::total_cmp);
    let spread = format!(
        "{:.1}–{:.1}; {bytes} bytes, {count} phrases, one call over HTTP, on disk when answered",
        sorted.first().unwrap_or(&0.0),
        sorted.last().unwrap_or(&0.0)
    );
    report.put("ingest_docs_mb_s", sorted.get(2).copied().unwrap_or(0.0), &spread, Reach::Least(20.0));
    report.median("ingest_docs_published_ms", &later, Reach::Most(2000.0));
    report.median("ingest_docs_again_mb_s", &again, Reach::None);
    Ok(())
}

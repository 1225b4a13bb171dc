//! Measures what the documentation claims, side by side in one run. One worker, interleaved rounds, medians with their range.
//! The table goes to stdout, the figures to `target/bench/report.json`, progress to stderr. See `docs/benchmarks.md`.

mod audit;
mod corpus;
mod cpu;
mod engines;
mod ingest;
mod load;
mod phrases;
mod proxies;
mod push;
mod rag;
mod report;
mod streams;
mod vm;

use anyhow::Result;
use report::Report;

/// A name on the command line, and what it measures.
type Part = (&'static str, fn(&mut Report) -> Result<()>);

fn main() -> Result<()> {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    let parts: [Part; 8] = [
        ("vm", vm::run),
        ("cpu", cpu::run),
        ("streams", streams::run),
        ("push", push::run),
        ("rag", rag::run),
        ("phrases", phrases::run),
        ("ingest", ingest::run),
        ("audit", audit::run),
    ];
    let mut report = Report::default();
    for (name, part) in parts {
        if wanted.is_empty() || wanted.iter().any(|w| w == name) {
            eprintln!("measuring: {name}");
            part(&mut report)?;
        }
    }
    let missed = report.finish()?;
    if missed > 0 {
        println!("\n{missed} figures miss what they should reach on this machine, in this run.");
    }
    Ok(())
}

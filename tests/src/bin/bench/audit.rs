//! An isolation audit of a hundred tenants on one Chroma collection, through the proxy.

use crate::report::{Reach, Report};
use anyhow::{Context, Result, ensure};
use partywall_tests::mint;
use partywall_tests::stack::{Stack, demo_policy};
use serde_json::json;
use std::time::Instant;

pub fn run(report: &mut Report) -> Result<()> {
    let mut policy = demo_policy().replace(
        "leakage_detection:\n  enabled: true\n",
        "leakage_detection:\n  enabled: true\n  isolation_audit:\n    edge: \"http://127.0.0.1:${EDGE_PORT}\"\n",
    );
    for n in 0..98 {
        policy += &format!("  - id: tenant{n}\n");
    }
    let stack = Stack::builder("bench-audit").chroma().policy(&policy).start()?;
    // One record gives the collection's vectors their size; canaries then come and go.
    let token = mint::token("acme");
    let made = stack.chroma(&token, "POST", "/collections").json(&json!({"name": "docs", "get_or_create": true}));
    let id = made.send(stack.edge)?.json()["id"].as_str().context("no collection")?.to_owned();
    let vector: Vec<f64> = (0..384).map(|n| f64::from(n % 7)).collect();
    let body = json!({"ids": ["d"], "embeddings": [vector], "documents": ["a document"]});
    let added = stack.chroma(&token, "POST", &format!("/collections/{id}/upsert")).json(&body).send(stack.edge)?;
    ensure!(added.status == 200, "{}", added.text());
    let mut times = Vec::new();
    for _ in 0..3 {
        let start = Instant::now();
        let (passed, out) = stack.cli(&["audit", "run"])?;
        ensure!(passed, "{out}");
        times.push(start.elapsed().as_secs_f64());
    }
    report.median("audit_tenants_100_s", &times, Reach::Most(120.0));
    Ok(())
}

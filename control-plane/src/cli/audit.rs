//! `partywall audit`.
#![allow(clippy::indexing_slicing)] // Indexing a JSON value gives null where there is nothing.

use super::client::Client;
use super::{AuditCommand, output};
use crate::audit::{Report, SignedReport, html};
use anyhow::{Context, Result, bail};
use partywall_core::snapshot::PublicKey;
use reqwest::Method;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

pub(super) async fn run(client: &Client, command: AuditCommand, json: bool) -> Result<()> {
    match command {
        AuditCommand::Run => {
            let begun = client.json(Method::POST, "/v1/audits", None).await?;
            let id = begun.get("id").and_then(Value::as_str).unwrap_or_default().to_owned();
            eprintln!("audit {id} runs …");
            let signed = loop {
                tokio::time::sleep(Duration::from_millis(200)).await;
                let all = client.json(Method::GET, "/v1/audits", None).await?;
                let runs = |one: &Value| one["id"] == id.as_str() && one["result"] == "running";
                if !all.as_array().into_iter().flatten().any(runs) {
                    break fetch(client, &id).await?;
                }
            };
            let report = show(&signed, json)?;
            if report.result != "passed" {
                bail!("the audit {}: {}", report.id, report.result);
            }
            Ok(())
        }
        AuditCommand::List => {
            let rows = client.json(Method::GET, "/v1/audits", None).await?;
            let columns = ["id", "result", "requested_by", "started_at", "tenants", "checks", "findings"];
            output::table(&rows, &columns, json);
            Ok(())
        }
        AuditCommand::Show { id, html: file } => {
            let signed = fetch(client, &id).await?;
            match file {
                Some(file) => {
                    std::fs::write(&file, html(&signed)?).with_context(|| format!("cannot write {}", file.display()))
                }
                None => show(&signed, json).map(|_| ()),
            }
        }
        AuditCommand::Verify { file, public_key } => verify(&file, &public_key),
    }
}

async fn fetch(client: &Client, id: &str) -> Result<SignedReport> {
    let text = client.send(Method::GET, &format!("/v1/audits/{id}"), None).await?.text().await?;
    Ok(serde_json::from_str(&text)?)
}

fn show(signed: &SignedReport, json: bool) -> Result<Report> {
    let report: Report = serde_json::from_str(signed.report.get())?;
    if json {
        println!("{}", serde_json::to_string(signed)?);
        return Ok(report);
    }
    println!(
        "audit {}: {}\n  {} tenants, revision {}, {} proxy workers, {} to {}",
        report.id,
        report.result,
        report.tenants.len(),
        report.revision,
        report.proxies,
        output::utc(report.started_at),
        output::utc(report.finished_at)
    );
    let mut ways: BTreeMap<(&str, &str, &str), [u64; 4]> = BTreeMap::new();
    for check in &report.checks {
        let row = ways.entry((&check.surface, &check.collection, &check.way)).or_default();
        let add = [1, u64::from(check.own), check.foreign, u64::from(check.problem.is_some())];
        row.iter_mut().zip(add).for_each(|(sum, one)| *sum += one);
    }
    let rows: Vec<Value> = ways
        .into_iter()
        .map(|((surface, collection, way), [readers, own, foreign, problems])| {
            serde_json::json!({"surface": surface, "collection": collection, "way": way, "readers": readers,
                "own_found": own, "foreign": foreign, "problems": problems})
        })
        .collect();
    output::table(
        &Value::Array(rows),
        &["surface", "collection", "way", "readers", "own_found", "foreign", "problems"],
        false,
    );
    for f in &report.findings {
        println!(
            "CROSSED: {}/{} by {}: {} saw the canary of {}: {}",
            f.surface, f.collection, f.way, f.reader, f.owner, f.what
        );
    }
    for line in report.skipped.iter().chain(&report.empty).chain(&report.left) {
        println!("  {line}");
    }
    Ok(report)
}

/// Checks a report's signature, without a control plane.
pub(super) fn verify(file: &Path, key: &str) -> Result<()> {
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let signed: SignedReport = serde_json::from_str(&text)
        .with_context(|| format!("{} is no report: write one by `partywall audit show ID --json`", file.display()))?;
    let key = PublicKey::from_base64(key).context("--public-key: see `partywall public-key`")?;
    if !signed.is_signed_by(&key) {
        bail!("{}: NOT signed by this key, or changed since", file.display());
    }
    println!("{}: signed by this key, unchanged", file.display());
    Ok(())
}

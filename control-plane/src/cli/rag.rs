//! Commands about retrieval: the distribution of namespaces, the end of a tenant, adoption.
#![allow(clippy::indexing_slicing)] // Indexing a JSON value gives null where there is nothing.

use super::client::Client;
use super::{AdoptArguments, output};
use crate::state::{Offboarding, SignedReceipt, Step};
use anyhow::{Context, Result, bail};
use partywall_core::snapshot::PublicKey;
use reqwest::Method;
use serde_json::{Value, json};
use std::io::{IsTerminal as _, Write as _};
use std::path::Path;
use std::time::Duration;

pub(super) async fn namespaces(client: &Client, tenant: Option<String>, hours: u64, json: bool) -> Result<()> {
    let query = tenant.map(|tenant| format!("&tenant={tenant}")).unwrap_or_default();
    let mut rows = client.json(Method::GET, &format!("/v1/namespaces?hours={hours}{query}"), None).await?;
    if !json {
        for row in rows.as_array_mut().into_iter().flatten() {
            let named = row["foreign"].as_object().cloned().unwrap_or_default();
            let name = |name: &String| if name.is_empty() { "(none)".to_owned() } else { name.clone() };
            let listed: Vec<String> = named.iter().map(|(key, count)| format!("{}: {count}", name(key))).collect();
            row["foreign"] = json!(named.values().filter_map(Value::as_u64).sum::<u64>());
            row["foreign_namespaces"] = json!(listed.join(", "));
        }
    }
    output::table(&rows, &["surface", "tenant", "requests", "own", "foreign", "foreign_namespaces"], json);
    Ok(())
}

/// Follows an offboarding to its end.
pub(super) async fn offboard(client: &Client, id: &str, watch_only: bool, detach: bool, json: bool) -> Result<()> {
    let path = format!("/v1/tenants/{id}/offboarding");
    if !watch_only {
        client.json(Method::POST, &path, None).await?;
    }
    if detach {
        println!("{id} is locked and being offboarded: `partywall tenant offboard {id} --watch` follows");
        return Ok(());
    }
    let mut shown: Vec<Step> = Vec::new();
    loop {
        let now = fetch(client, id).await?;
        for (index, step) in now.steps.iter().enumerate() {
            if json || shown.get(index) == Some(step) {
                continue;
            }
            eprintln!("{:8} {:40} {}", format!("{:?}", step.status).to_lowercase(), step.name, step.detail);
            shown.truncate(index);
            shown.push(step.clone());
        }
        match (now.status.as_str(), now.receipt) {
            ("running", _) => tokio::time::sleep(Duration::from_millis(200)).await,
            ("done", Some(receipt)) => return show(&receipt, json),
            _ => bail!(
                "{id} stays locked: {}; repair that, then run the command again",
                now.error.unwrap_or_else(|| "the offboarding failed".to_owned())
            ),
        }
    }
}

fn text(value: &Value, name: &str) -> String {
    value[name].as_str().unwrap_or_default().to_owned()
}

/// A receipt for people.
fn readable(signed: &SignedReceipt) -> Result<String> {
    let receipt: Value = serde_json::from_str(signed.receipt.get())?;
    let time = |name: &str| output::utc(receipt[name].as_u64().unwrap_or(0));
    let mut out = format!(
        "\nReceipt: tenant {} was offboarded\n\n  asked for by    {}\n  refused since   {} (revision {}, {} proxy workers)\n  issued          {}\n",
        text(&receipt, "tenant"),
        text(&receipt, "requested_by"),
        time("locked_at"),
        receipt["revision"],
        receipt["proxies"],
        time("issued_at"),
    );
    for place in receipt["places"].as_array().into_iter().flatten() {
        let at = |name: &str| output::utc(place[name].as_u64().unwrap_or(0));
        out += &format!(
            "\n  {} ({}, {}{}): {}{}{}, namespace {}\n    found {}, deleted {}, searched {} times until {}, {} remain\n",
            text(place, "surface"),
            text(place, "kind"),
            text(place, "strategy"),
            if place["earlier"] == true { ", of an earlier policy" } else { "" },
            text(place, "database"),
            if text(place, "database").is_empty() { "" } else { "/" },
            text(place, "collection"),
            text(place, "namespace"),
            place["found"],
            at("deleted_at"),
            place["scans"],
            at("scanned_at"),
            place["remaining"],
        );
    }
    for place in receipt["unsearched"].as_array().into_iter().flatten() {
        out += &format!(
            "\n  NOT searched: {} of an earlier policy: {}/{}, namespace {}\n    {}\n",
            text(place, "surface"),
            text(place, "database"),
            text(place, "collection"),
            text(place, "namespace"),
            text(place, "why"),
        );
    }
    out += &format!(
        "\n  fingerprints    {} removed, {} left to their other owners\n  statistics      {} hours removed\n  keys            {}\n  kept            {}\n\n  signature       {}\n  by              {}\n",
        receipt["fingerprints_removed"],
        receipt["fingerprints_shared"],
        receipt["statistics_removed"],
        text(&receipt, "keys"),
        text(&receipt, "kept"),
        signed.signature,
        signed.public_key,
    );
    Ok(out)
}

/// An offboarding with its receipt byte for byte: the signature is over its exact text.
async fn fetch(client: &Client, id: &str) -> Result<Offboarding> {
    let text = client.send(Method::GET, &format!("/v1/tenants/{id}/offboarding"), None).await?.text().await?;
    Ok(serde_json::from_str(&text)?)
}

fn show(receipt: &SignedReceipt, json: bool) -> Result<()> {
    if json {
        println!("{}", serde_json::to_string(receipt)?);
    } else {
        print!("{}", readable(receipt)?);
    }
    Ok(())
}

/// Prints the receipt of a tenant.
pub(super) async fn receipt(client: &Client, id: &str, json: bool) -> Result<()> {
    let found = fetch(client, id).await?;
    match found.receipt {
        Some(receipt) => show(&receipt, json),
        None => bail!("the offboarding of {id} is not done: {}", found.status),
    }
}

/// Checks a receipt's signature, without a control plane.
pub(super) fn verify(file: &Path, key: &str) -> Result<()> {
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let signed: SignedReceipt = serde_json::from_str(&text).with_context(|| {
        format!("{} is no receipt: write one by `partywall receipt show ID --json`", file.display())
    })?;
    let key = PublicKey::from_base64(key).context("--public-key: see `partywall public-key`")?;
    if !signed.is_signed_by(&key) {
        bail!("{}: NOT signed by this key, or changed since", file.display());
    }
    println!("{}: signed by this key, unchanged", file.display());
    Ok(())
}

/// Stamps the marker on what was there before.
pub(super) async fn adopt(client: &Client, arguments: AdoptArguments, json: bool) -> Result<()> {
    let filter: Option<Value> = arguments.filter.map(|text| serde_json::from_str(&text).unwrap_or(Value::String(text)));
    let body = json!({"tenant": arguments.tenant, "surface": arguments.surface, "collection": arguments.collection,
        "from": arguments.from, "filter": filter, "dry_run": arguments.dry_run});
    let body = ("application/json", body.to_string().into_bytes());
    let mut response = client.send(Method::POST, "/v1/adopt", Some(body)).await?;
    let mut buffer = Vec::new();
    let mut last = Value::Null;
    while let Some(chunk) = response.chunk().await? {
        buffer.extend_from_slice(&chunk);
        while let Some(end) = buffer.iter().position(|b| *b == b'\n') {
            let line: Vec<u8> = buffer.drain(..=end).collect();
            last = serde_json::from_slice(&line)?;
            if std::io::stderr().is_terminal() && last["done"] == false {
                eprint!("\r{} records seen, {} stamped", last["seen"], last["stamped"]);
                let _ = std::io::stderr().flush();
            }
        }
    }
    if std::io::stderr().is_terminal() {
        eprintln!();
    }
    if let Some(error) = last["error"].as_str() {
        bail!("{error}; what was stamped stays: run the command again to go on");
    }
    if last["done"] != true {
        bail!("the control plane broke off; what was stamped stays: run the command again to go on");
    }
    if json {
        println!("{last:#}");
    } else {
        let word = if arguments.dry_run { "would be stamped (dry run)" } else { "are stamped" };
        println!(
            "{} records seen: {} {word}, {} carried a marker already",
            last["seen"], last["stamped"], last["marked"]
        );
    }
    Ok(())
}

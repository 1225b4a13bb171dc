//! What an audit tried and saw, signed by the control plane.

use super::{Outcome, Running};
use crate::state::now;
use anyhow::Result;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// A report.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Report {
    /// Always 1.
    pub version: u32,
    /// The audit's id.
    pub id: String,
    /// `passed`, `failed` (a canary crossed), or `incomplete` (something could not be tried).
    pub result: String,
    /// A token's name, or `schedule`.
    pub requested_by: String,
    /// When it began, Unix seconds.
    pub started_at: u64,
    /// When it ended, Unix seconds.
    pub finished_at: u64,
    /// The revision under which it ran.
    pub revision: u64,
    /// Proxy workers that ran it.
    pub proxies: u64,
    /// The tenants that took part.
    pub tenants: Vec<String>,
    /// Every way of reading, by every tenant.
    pub checks: Vec<Check>,
    /// Canaries that crossed.
    pub findings: Vec<Finding>,
    /// What could not be tried, and why.
    pub skipped: Vec<String>,
    /// Where there was nothing that could cross.
    pub empty: Vec<String>,
    /// Canaries that may remain, and why.
    pub left: Vec<String>,
}

/// One way of reading, by one tenant.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Check {
    /// The surface.
    pub surface: String,
    /// The collection, by the clients' name.
    pub collection: String,
    /// How it was read.
    pub way: String,
    /// By whom.
    pub reader: String,
    /// Whether the reader's own canary came back: if not, the check proves nothing.
    pub own: bool,
    /// Canaries of others that came back.
    pub foreign: u64,
    /// Why it could not be tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// A canary that crossed.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Finding {
    /// The surface.
    pub surface: String,
    /// The collection, by the clients' name.
    pub collection: String,
    /// How it was read.
    pub way: String,
    /// Who saw it.
    pub reader: String,
    /// Whose it was.
    pub owner: String,
    /// What happened.
    pub what: String,
}

/// A report with the control plane's signature over its exact bytes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SignedReport {
    /// The report, byte for byte as it was signed.
    pub report: Box<RawValue>,
    /// Ed25519, base64.
    pub signature: String,
    /// The key: compare it with `partywall public-key`.
    pub public_key: String,
}

impl Report {
    pub(super) fn new(running: &Running, result: Result<Outcome>, left: Vec<String>) -> Self {
        let mut report = Self {
            version: 1,
            id: running.id.clone(),
            result: String::new(),
            requested_by: running.requested_by.clone(),
            started_at: running.started_at,
            finished_at: now(),
            revision: 0,
            proxies: 0,
            tenants: running.canaries.iter().map(|canary| canary.tenant.to_string()).collect(),
            checks: Vec::new(),
            findings: Vec::new(),
            skipped: Vec::new(),
            empty: Vec::new(),
            left,
        };
        match result {
            Ok(outcome) => {
                report.revision = outcome.revision;
                report.proxies = outcome.proxies;
                report.checks = outcome.checks;
                report.findings = outcome.findings;
                report.skipped = outcome.skipped;
                report.empty = outcome.empty;
            }
            Err(error) => report.skipped.push(format!("{error:#}")),
        }
        // A check whose reader does not even find its own canary has shown nothing.
        let complete = report.skipped.is_empty()
            && !report.checks.is_empty()
            && report.checks.iter().all(|c| c.own && c.problem.is_none());
        let word = match (report.findings.is_empty(), complete) {
            (false, _) => "failed",
            (true, true) => "passed",
            (true, false) => "incomplete",
        };
        word.clone_into(&mut report.result);
        report
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// A report as a page for people.
pub fn html(signed: &SignedReport) -> Result<String> {
    let report: Report = serde_json::from_str(signed.report.get())?;
    let time = |at: u64| {
        let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(at);
        humantime::format_rfc3339_seconds(time).to_string()
    };
    let (colour, headline) = match report.result.as_str() {
        "passed" => ("#1a7f37", "No canary crossed"),
        "failed" => ("#b42318", "A canary crossed between tenants"),
        _ => ("#9a6700", "Not everything could be tried"),
    };
    let mut ways: BTreeMap<[&str; 3], [u64; 4]> = BTreeMap::new();
    for check in &report.checks {
        let row = ways.entry([&check.surface, &check.collection, &check.way]).or_default();
        let add = [1, u64::from(check.own), check.foreign, u64::from(check.problem.is_some())];
        row.iter_mut().zip(add).for_each(|(sum, one)| *sum += one);
    }
    let mut page = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>Isolation audit {id}</title><style>body{{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1f2328}}\
         h1{{color:{colour};margin-bottom:.2rem}}table{{border-collapse:collapse;width:100%;margin:1rem 0}}th,td{{text-align:left;padding:.35rem .6rem;border-bottom:1px solid #d0d7de}}\
         td.n,th.n{{text-align:right;font-variant-numeric:tabular-nums}}.bad{{color:#b42318;font-weight:600}}small,code{{color:#57606a;overflow-wrap:anywhere}}</style>\
         <h1>{headline}</h1><p>Isolation audit <code>{id}</code>, asked for by {by}, {from} to {to}. {tenants} tenants, revision {revision}, {proxies} proxy workers.</p>",
        id = escape(&report.id),
        by = escape(&report.requested_by),
        from = time(report.started_at),
        to = time(report.finished_at),
        tenants = report.tenants.len(),
        revision = report.revision,
        proxies = report.proxies,
    );
    if !report.findings.is_empty() {
        page += "<h2 class=\"bad\">What crossed</h2><table><tr><th>surface<th>collection<th>way<th>seen by<th>belongs to<th></tr>";
        for f in &report.findings {
            let cells = [&f.surface, &f.collection, &f.way, &f.reader, &f.owner, &f.what];
            page += &format!("<tr>{}</tr>", cells.map(|cell| format!("<td>{}", escape(cell))).concat());
        }
        page += "</table>";
    }
    page += "<h2>What was tried</h2><table><tr><th>surface<th>collection<th>way of reading<th class=\"n\">readers<th class=\"n\">own found<th class=\"n\">foreign seen<th class=\"n\">problems</tr>";
    for ([surface, collection, way], [readers, own, foreign, problems]) in ways {
        let bad = |n: u64, wrong: bool| format!("<td class=\"n{}\">{n}", if wrong { " bad" } else { "" });
        page += &format!(
            "<tr><td>{}<td>{}<td>{}<td class=\"n\">{readers}{}{}{}</tr>",
            escape(surface),
            escape(collection),
            escape(way),
            bad(own, own < readers),
            bad(foreign, foreign > 0),
            bad(problems, problems > 0)
        );
    }
    page += "</table>";
    for (title, lines) in [
        ("What could not be tried", &report.skipped),
        ("Where there was nothing", &report.empty),
        ("What may remain", &report.left),
    ] {
        if !lines.is_empty() {
            page += &format!(
                "<h2>{title}</h2><ul>{}</ul>",
                lines.iter().map(|line| format!("<li>{}", escape(line))).collect::<String>()
            );
        }
    }
    page += &format!(
        "<p><small>Signed by the control plane <code>{}</code>: <code>{}</code>. Check the JSON by <code>partywall audit verify</code>.</small></p></html>",
        escape(&signed.public_key),
        escape(&signed.signature)
    );
    Ok(page)
}

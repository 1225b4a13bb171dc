//! Audits: the one that runs, and the reports of those that ran.

use super::{Alert, App, lock, refused};
use crate::audit::{Report, Running, SignedReport};
use anyhow::Result;
use partywall_core::record::Severity;
use partywall_core::scan;
use partywall_core::snapshot::PublicKey;
use serde_json::value::RawValue;

/// What a report's signature covers before its bytes.
const CONTEXT: &[u8] = b"partywall audit report v1\0";
/// How many reports are kept.
const KEPT: usize = 500;

impl SignedReport {
    /// Whether the key signed it.
    pub fn is_signed_by(&self, key: &PublicKey) -> bool {
        key.verifies(CONTEXT, self.report.get().as_bytes(), &self.signature)
    }
}

impl App {
    /// The audit that runs.
    pub fn running_audit(&self) -> Option<Running> {
        self.read(|model| model.audit.clone())
    }

    /// Notes that an audit runs, before its first canary is written; the filters learn its key.
    ///
    /// # Errors
    /// When another one runs, or the store fails.
    pub fn begin_audit(&self, running: &Running) -> Result<()> {
        self.change(
            |model, write| {
                if let Some(other) = &model.audit {
                    return Err(refused("audit_running", format!("the audit {} is running", other.id)));
                }
                write.put("audit_running", "", running)
            },
            |model, ()| {
                model.audit = Some(running.clone());
                (vec![], vec![])
            },
        )
    }

    /// The audit is over: its canaries are no fingerprints any more, its key counts no more, its report is kept, and what crossed is
    /// a critical alert.
    ///
    /// # Errors
    /// When the store fails.
    pub fn end_audit(&self, report: &Report, canaries: &[String]) -> Result<SignedReport> {
        let raw = serde_json::to_string(report)?;
        let signed = SignedReport {
            signature: self.key.sign(CONTEXT, raw.as_bytes()),
            report: RawValue::from_string(raw)?,
            public_key: self.key.public().to_base64(),
        };
        let ids: Vec<u64> = self.read(|model| {
            let known = |text: &String| scan::literal(text).ok().and_then(|folded| model.by_text.get(&folded).copied());
            canaries.iter().filter_map(known).collect()
        });
        for id in ids {
            self.remove_fingerprint(id)?;
        }
        let alerts: Vec<Alert> = report
            .findings
            .iter()
            .map(|finding| {
                let summary = format!(
                    "CRITICAL: the isolation audit {} found the canary of {} in what {} reads from {}/{} ({}): {}",
                    report.id,
                    finding.owner,
                    finding.reader,
                    finding.surface,
                    finding.collection,
                    finding.way,
                    finding.what
                );
                let what = format!("{}/{}/{}", finding.owner, finding.collection, finding.way);
                let (reader, surface) = (Some(finding.reader.as_str()), Some(finding.surface.as_str()));
                Alert::new("canary_crossed", Severity::Critical, reader, surface, &what, summary)
            })
            .collect();
        let old: Vec<String> = {
            let audits = lock(&self.audits);
            audits.keys().take((audits.len() + 1).saturating_sub(KEPT)).cloned().collect()
        };
        // Ids are random: the time makes them ascend.
        let name = format!("{:012}-{}", report.started_at, report.id);
        let alerting = self.alerting();
        self.change(
            |_, write| {
                write.remove("audit_running", "")?;
                old.iter().try_for_each(|name| write.remove("audit", name))?;
                write.put("audit", &name, &signed)?;
                self.file(write, &alerting, alerts.clone())
            },
            |model, filed| {
                self.filed(filed.clone());
                model.audit = None;
                let mut audits = lock(&self.audits);
                audits.retain(|name, _| !old.contains(name));
                audits.insert(name.clone(), signed.clone());
                (vec![], vec![])
            },
        )?;
        Ok(signed)
    }

    /// All reports, latest first.
    pub fn audits(&self) -> Vec<SignedReport> {
        lock(&self.audits).values().rev().cloned().collect()
    }

    /// One report.
    pub fn audit(&self, id: &str) -> Option<SignedReport> {
        lock(&self.audits)
            .iter()
            .find(|(name, _)| name.split_once('-').is_some_and(|(_, known)| known == id))
            .map(|(_, r)| r.clone())
    }
}

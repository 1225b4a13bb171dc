//! Bytes that were scanned left or were withheld, and what left had passed the filter. Where the counts say otherwise, bytes may have
//! left that nobody looked at, or the filter is wrong about what it does: both must wake someone.

use super::Alert;
use partywall_core::record::{Decision, Report, Severity, Totals};

/// The alerts about a decision's counts.
pub(super) fn of(decision: &Decision, place: &str, whose: &str) -> Vec<Alert> {
    let mut alerts = Vec::new();
    let bytes = decision.bytes;
    if bytes.gap() > 0 {
        let summary = format!(
            "a response of {place} to {whose} does not add up: {} bytes were scanned, but {} delivered and {} withheld",
            bytes.scanned, bytes.delivered, bytes.withheld
        );
        alerts.push(Alert::about(decision, "parity_gap", Severity::High, "scanned", summary));
    }
    if let Some(overrun) = decision.overrun.filter(|overrun| overrun.sent > overrun.passed) {
        let summary = format!(
            "a response of {place} to {whose} was longer than what the filter let pass: Envoy sent {} bytes, {} had passed",
            overrun.sent, overrun.passed
        );
        alerts.push(Alert::about(decision, "parity_gap", Severity::Critical, "sent", summary));
    }
    alerts
}

/// What a sidecar's totals lack beyond the gaps of the decisions that it reports with them, since it last spoke.
pub(super) fn unexplained(before: Option<Totals>, report: &Report) -> u64 {
    // Of one that we have not heard of since our start, what went before was told to who we were then.
    let past = report.totals.requests > report.decisions.len() as u64;
    let known = match before {
        Some(totals) => totals.bytes.gap(),
        None if past => return 0,
        None => 0,
    };
    // What a sidecar says may be any number.
    let told = report.decisions.iter().fold(0u64, |sum, decision| sum.saturating_add(decision.bytes.gap()));
    report.totals.bytes.gap().saturating_sub(known).saturating_sub(told)
}

/// The alert about it.
pub(super) fn about(report: &Report, gap: u64) -> Alert {
    let bytes = report.totals.bytes;
    let summary = format!(
        "the totals of {} lack {gap} bytes more than its records say: {} bytes were scanned, but {} delivered and {} withheld",
        report.instance, bytes.scanned, bytes.delivered, bytes.withheld
    );
    Alert::new("parity_gap", Severity::High, None, None, &report.instance, summary)
}

//! Envoy stats. Names carry labels as `.label.value` pairs; the shipped Envoy configurations have the `stats_tags`
//! that turn them into Prometheus labels. All label values are known in advance, so cardinality is bounded.

use crate::host;
use partywall_core::error::Code;
use partywall_core::record::{Decision, Outcome, Severity};
use partywall_core::snapshot::Snapshot;
use proxy_wasm::hostcalls;
use proxy_wasm::types::MetricType;
use std::cell::{Cell, RefCell};

const OUTCOMES: [(Outcome, &str); 6] = [
    (Outcome::Allowed, "allowed"),
    (Outcome::Denied, "denied"),
    (Outcome::Blocked, "blocked"),
    (Outcome::Redacted, "redacted"),
    (Outcome::Alerted, "alerted"),
    (Outcome::Aborted, "aborted"),
];
const SEVERITIES: [(Severity, &str); 3] =
    [(Severity::Low, "low"), (Severity::High, "high"), (Severity::Critical, "critical")];

/// The ids under which the host knows the metrics.
pub struct Metrics {
    outcomes: Vec<(Outcome, u32)>,
    refusals: Vec<(Code, u32)>,
    hits: Vec<(Severity, u32)>,
    dropped: u32,
    surfaces: RefCell<Vec<Surface>>,
    lost: u32,
    documents: [u32; 2],
    polls: [u32; 3],
    revision: u32,
    fingerprints: u32,
    memory: u32,
    vm_memory: u32,
    pages: Cell<u64>,
}

/// The counters of a surface.
struct Surface {
    name: String,
    kept: u32,
    dropped: u32,
    scanned: u32,
    delivered: u32,
    withheld: u32,
    unaccounted: u32,
}

impl Surface {
    fn define(name: &str) -> Option<Self> {
        let counter = |metric: &str, disposition: &str| {
            let name = format!("partywall_{metric}_total.surface.{name}.disposition.{disposition}");
            hostcalls::define_metric(MetricType::Counter, &name).ok()
        };
        Some(Self {
            name: name.to_owned(),
            kept: counter("results", "kept")?,
            dropped: counter("results", "dropped")?,
            scanned: counter("response_bytes", "scanned")?,
            delivered: counter("response_bytes", "delivered")?,
            withheld: counter("response_bytes", "withheld")?,
            unaccounted: counter("response_bytes", "unaccounted")?,
        })
    }
}

/// How a poll of the control plane ended.
#[derive(Clone, Copy)]
pub enum Poll {
    /// A verified answer.
    Verified,
    /// No answer, or not 200.
    Failed,
    /// An answer that must not be believed.
    Rejected,
}

impl Metrics {
    /// Defines every metric; called in `on_configure`, where a failing host is allowed to panic.
    pub fn define() -> Option<Self> {
        let counter = |name: &str| hostcalls::define_metric(MetricType::Counter, name).ok();
        let gauge = |name: &str| hostcalls::define_metric(MetricType::Gauge, name).ok();
        let poll = |result: &str| counter(&format!("partywall_polls_total.result.{result}"));
        Some(Self {
            outcomes: OUTCOMES
                .iter()
                .map(|(outcome, name)| Some((*outcome, counter(&format!("partywall_requests_total.outcome.{name}"))?)))
                .collect::<Option<_>>()?,
            refusals: Code::ALL
                .iter()
                .map(|code| Some((*code, counter(&format!("partywall_refusals_total.code.{}", code.as_str()))?)))
                .collect::<Option<_>>()?,
            hits: SEVERITIES
                .iter()
                .map(|(s, name)| Some((*s, counter(&format!("partywall_fingerprint_hits_total.severity.{name}"))?)))
                .collect::<Option<_>>()?,
            dropped: counter("partywall_results_dropped_total")?,
            surfaces: RefCell::default(),
            lost: counter("partywall_records_lost_total")?,
            documents: [counter("partywall_rag_documents_total")?, counter("partywall_rag_documents_lost_total")?],
            polls: [poll("verified")?, poll("failed")?, poll("rejected")?],
            revision: gauge("partywall_snapshot_revision")?,
            fingerprints: gauge("partywall_fingerprints")?,
            memory: gauge("partywall_fingerprint_memory_bytes")?,
            vm_memory: gauge("partywall_vm_memory_bytes")?,
            pages: Cell::default(),
        })
    }

    /// Counts a decision.
    pub fn decided(&self, decision: &Decision) {
        if let Some((_, id)) = self.outcomes.iter().find(|(outcome, _)| *outcome == decision.outcome) {
            host::count(*id, 1);
        }
        if let Some((_, id)) = self.refusals.iter().find(|(code, _)| Some(*code) == decision.code) {
            host::count(*id, 1);
        }
        for hit in &decision.hits {
            if let Some((_, id)) = self.hits.iter().find(|(severity, _)| *severity == hit.severity) {
                host::count(*id, 1);
            }
        }
        host::count(self.dropped, decision.dropped);
        if let (Ok(surfaces), Some(name)) = (self.surfaces.try_borrow(), &decision.surface)
            && let Some(surface) = surfaces.iter().find(|surface| surface.name == *name)
        {
            host::count(surface.kept, decision.kept);
            host::count(surface.dropped, decision.dropped);
            host::count(surface.scanned, decision.bytes.scanned);
            host::count(surface.delivered, decision.bytes.delivered);
            host::count(surface.withheld, decision.bytes.withheld);
            host::count(surface.unaccounted, decision.unaccounted());
        }
    }

    /// Counts a poll.
    pub fn polled(&self, poll: Poll) {
        let [verified, failed, rejected] = self.polls;
        host::count(
            match poll {
                Poll::Verified => verified,
                Poll::Failed => failed,
                Poll::Rejected => rejected,
            },
            1,
        );
    }

    /// Counts records that had to be dropped.
    pub fn lost(&self, records: u64) {
        host::count(self.lost, records);
    }

    /// Counts documents that tenants wrote, and those that are not guarded.
    pub fn documents(&self, read: u64, lost: u64) {
        let [all, gone] = self.documents;
        host::count(all, read);
        host::count(gone, lost);
    }

    /// A snapshot is in force. Surfaces come from the policy, so their number is bounded.
    pub fn enforced(&self, snapshot: &Snapshot) {
        let set = &snapshot.fingerprints;
        let (revision, fingerprints) = (snapshot.revision, set.entries());
        let memory_bytes = u64::try_from(set.memory_bytes()).unwrap_or(0);
        if let Ok(mut surfaces) = self.surfaces.try_borrow_mut() {
            for surface in snapshot.surfaces.all() {
                if !surfaces.iter().any(|known| known.name == surface.name) {
                    surfaces.extend(Surface::define(&surface.name));
                }
            }
        }
        host::gauge(self.revision, revision);
        host::gauge(self.fingerprints, fingerprints);
        host::gauge(self.memory, memory_bytes);
        self.memory();
    }

    /// Tells the VM's memory, if it has grown. It never shrinks, so this is its peak.
    pub fn memory(&self) {
        let pages = u64::try_from(core::arch::wasm32::memory_size(0)).unwrap_or(0);
        if self.pages.replace(pages) != pages {
            host::gauge(self.vm_memory, pages.saturating_mul(65536));
        }
    }
}

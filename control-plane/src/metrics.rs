//! `/metrics`: what the control plane counts.

use partywall_core::record::{Decision, Outcome};
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// What the control plane counts.
#[derive(Clone, Default)]
pub struct Metrics {
    decisions: Family<Vec<(String, String)>, Counter>,
    alerts: Family<Vec<(String, String)>, Counter>,
    results: Family<Vec<(String, String)>, Counter>,
    parity_gap: Family<Vec<(String, String)>, Counter>,
    deliveries: Family<Vec<(String, String)>, Counter>,
    /// Records that fell out of the ring.
    pub events_dropped: Counter,
    /// Fetches of keys that failed.
    pub jwks_failures: Counter,
    /// Polls answered.
    pub polls: Counter,
    /// Documents of the vector databases that changed what is guarded.
    pub documents_harvested: Counter,
    /// Documents of the vector databases that are not guarded.
    pub documents_lost: Counter,
    /// Changes of fingerprints that the shared store did not take.
    pub store_refusals: Counter,
}

impl Metrics {
    /// Counts a decision record.
    pub fn decision(&self, decision: &Decision) {
        let outcome = match decision.outcome {
            Outcome::Allowed => "allowed",
            Outcome::Denied => "denied",
            Outcome::Blocked => "blocked",
            Outcome::Redacted => "redacted",
            Outcome::Alerted => "alerted",
            Outcome::Aborted => "aborted",
        };
        self.decisions.get_or_create(&vec![("outcome".to_owned(), outcome.to_owned())]).inc();
        if let Some(surface) = &decision.surface {
            self.parity_gap(surface, decision.unaccounted());
        }
        if let (Some(surface), Some(tenant)) = (&decision.surface, &decision.tenant) {
            for (namespace, count) in [("own", decision.kept), ("foreign", decision.dropped)] {
                if count > 0 {
                    let label = |name: &str, value: &str| (name.to_owned(), value.to_owned());
                    let labels =
                        vec![label("surface", surface), label("tenant", tenant), label("namespace", namespace)];
                    self.results.get_or_create(&labels).inc_by(count);
                }
            }
        }
    }

    /// Counts response bytes that are not accounted for.
    pub fn parity_gap(&self, surface: &str, bytes: u64) {
        self.parity_gap.get_or_create(&vec![("surface".to_owned(), surface.to_owned())]).inc_by(bytes);
    }

    /// Counts an alert.
    pub fn alert(&self, kind: &str) {
        self.alerts.get_or_create(&vec![("kind".to_owned(), kind.to_owned())]).inc();
    }

    /// Counts what became of a try to tell a receiver of an alert.
    pub fn delivery(&self, receiver: &str, result: &str) {
        let labels = vec![("receiver".to_owned(), receiver.to_owned()), ("result".to_owned(), result.to_owned())];
        self.deliveries.get_or_create(&labels).inc();
    }

    /// The exposition text. `gauges` are read at this moment.
    pub fn render(&self, gauges: &[(&str, &str, i64)]) -> String {
        let mut registry = Registry::with_prefix("partywall");
        registry.register("decisions", "Decision records received", self.decisions.clone());
        registry.register("alerts", "Alerts, by kind", self.alerts.clone());
        registry.register("alert_deliveries", "Tries to tell receivers of alerts", self.deliveries.clone());
        registry.register("results", "Results of retrievals, by whose they are", self.results.clone());
        registry.register(
            "parity_gap_bytes",
            "Response bytes that are not accounted for, by surface; `-` where only a proxy's totals say so",
            self.parity_gap.clone(),
        );
        registry.register("events_dropped", "Records that fell out of the ring", self.events_dropped.clone());
        registry.register("jwks_failures", "Fetches of issuers' keys that failed", self.jwks_failures.clone());
        registry.register("polls", "Snapshot polls answered", self.polls.clone());
        let documents = [
            (
                "rag_documents_harvested",
                "Documents of vector databases that changed what is guarded",
                &self.documents_harvested,
            ),
            ("rag_documents_lost", "Documents of vector databases that are not guarded", &self.documents_lost),
        ];
        for (name, help, counter) in documents {
            registry.register(name, help, counter.clone());
        }
        registry.register(
            "fingerprint_store_refusals",
            "Changes of fingerprints that the shared store did not take",
            self.store_refusals.clone(),
        );
        for (name, help, value) in gauges {
            let gauge = Gauge::<i64>::default();
            gauge.set(*value);
            registry.register(*name, *help, gauge);
        }
        let mut text = String::new();
        let _ = encode(&mut text, &registry);
        text
    }
}

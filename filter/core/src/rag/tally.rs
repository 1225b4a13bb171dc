//! Counting whose the results of an answer are.

use super::Place;
use std::collections::BTreeMap;

/// The most foreign namespaces that are named in one tally.
const NAMED: usize = 8;

/// Whose the results of an answer were.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// The tenant's own: they remain.
    pub kept: u64,
    /// Foreign or unmarked: they are gone.
    pub dropped: u64,
    /// The dropped ones by the namespace that they carried; `""` for none, `"…"` once there are too many.
    pub foreign: BTreeMap<String, u64>,
}

impl Tally {
    /// Counts a result by the marker that it carries; whether it is the tenant's.
    #[must_use]
    pub fn judge(&mut self, place: &Place<'_>, marker: Option<&str>) -> bool {
        self.count(marker == Some(place.namespace.as_str()), marker.unwrap_or_default())
    }

    /// Counts a result that is (`own`) the tenant's, or carries this namespace.
    pub fn count(&mut self, own: bool, namespace: &str) -> bool {
        if own {
            self.kept = self.kept.saturating_add(1);
        } else {
            self.dropped = self.dropped.saturating_add(1);
            let fits = self.foreign.len() < NAMED || self.foreign.contains_key(namespace);
            let name: String = if fits { namespace.chars().take(96).collect() } else { "…".to_owned() };
            let seen = self.foreign.entry(name).or_default();
            *seen = seen.saturating_add(1);
        }
        own
    }

    /// Takes over another tally.
    pub fn add(&mut self, other: &Tally) {
        self.kept = self.kept.saturating_add(other.kept);
        self.dropped = self.dropped.saturating_add(other.dropped);
        for (name, count) in &other.foreign {
            let seen = self.foreign.entry(name.clone()).or_default();
            *seen = seen.saturating_add(*count);
        }
    }
}

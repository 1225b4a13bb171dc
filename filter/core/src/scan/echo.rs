//! Fingerprints of others that a request itself holds: its response may say them back, as far as the policy excuses that.
//!
//! Each string of the request stands for itself, is read in clear only, and must hold the fingerprint whole. What is not read,
//! because the request is too large or holds too many, is not excused. Nor is a canary, ever.

use super::judge::Judge;
use super::set::FingerprintSet;
use crate::record::{Class, Severity};
use crate::snapshot::wire::{Echo, Evasion, HoldBack, OnDetect, OnEcho};
use crate::tenant::TenantId;
use std::rc::Rc;

/// Larger requests are not read for echoes: a worker has better things to do.
pub const MAX_REQUEST: usize = 256 * 1024;
/// So many fingerprints of a request are remembered.
pub const MAX_ECHOES: usize = 256;

/// Fingerprints of others that a request holds.
pub struct Echoes {
    on: Echo,
    /// Ascending.
    ids: Vec<(Class, u64)>,
}

impl Echoes {
    /// What a JSON request of a tenant holds; `None` when nothing of it is excused.
    pub fn of(set: &Rc<FingerprintSet>, tenant: &TenantId, on: Echo, request: &[u8]) -> Option<Self> {
        if on == Echo::default() || request.len() > MAX_REQUEST {
            return None;
        }
        let mut judge = Judge::new(Rc::clone(set), tenant, OnDetect::Alert, HoldBack::Exact);
        judge.evasion(Evasion::Plain);
        let mut ids = judge.foreign_in(request, MAX_ECHOES);
        ids.sort_unstable();
        (!ids.is_empty()).then_some(Self { on, ids })
    }

    /// What the policy makes of a match at most, if the request held it.
    pub(super) fn of_match(&self, class: Class, id: u64, severity: Severity) -> Option<OnEcho> {
        let on = match class {
            // Nobody types a canary.
            Class::Literal if severity == Severity::Critical => return None,
            Class::Literal => self.on.literals,
            Class::Phrase => self.on.phrases,
        };
        self.ids.binary_search(&(class, id)).is_ok().then_some(on)
    }
}

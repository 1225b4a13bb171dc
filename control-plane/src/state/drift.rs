//! Drift: whether the share of foreign results in an hour is above that of the hours before by more than chance.
//!
//! The test is the one of two proportions, pooled: with `f` foreign of `n` results in the hour and `F` of `N` in the hours before,
//! `p = (f + F) / (n + N)` and `z = (f/n - F/N) / sqrt(p (1 - p) (1/n + 1/N))`. It is asked at each foreign result, so more often than once an
//! hour: the threshold is far out for that. Below five foreign results the normal approximation says nothing, and the
//! alert about the first one has left long before.

use super::statistics::{Hour, Key, Statistics};
use crate::policy::Drift;

/// Fewer foreign results are never a drift.
const FEWEST: u64 = 5;

/// The share of foreign results, how many results it is of, and how far it is out.
pub(super) struct Drifted {
    pub(super) share: f64,
    pub(super) before: f64,
    pub(super) sigmas: f64,
}

/// The hours before one, together.
pub(super) fn baseline(known: &Statistics, (surface, tenant, hour): &Key, hours: u64) -> Hour {
    let at = |hour: u64| (surface.clone(), tenant.clone(), hour);
    let mut sum = Hour::default();
    for (_, past) in known.range(at(hour.saturating_sub(hours))..at(*hour)) {
        sum.own += past.own;
        *sum.foreign.entry(String::new()).or_default() += past.foreign();
    }
    sum
}

/// Compares an hour with those before it.
#[allow(clippy::cast_precision_loss)] // counts of results
pub(super) fn compare(hour: &Hour, before: &Hour, rules: &Drift) -> Option<Drifted> {
    let (f, n) = (hour.foreign(), hour.own + hour.foreign());
    let (past, all) = (before.foreign(), before.own + before.foreign());
    if f < FEWEST || n < rules.minimum_results.max(1) || all < rules.minimum_results.max(1) {
        return None;
    }
    let (f, n, past, all) = (f as f64, n as f64, past as f64, all as f64);
    let pooled = (f + past) / (n + all);
    let deviation = (pooled * (1.0 - pooled) * (1.0 / n + 1.0 / all)).sqrt();
    let sigmas = (f / n - past / all) / deviation;
    // All foreign, then and now: no deviation, and no drift.
    (sigmas.is_finite() && sigmas >= rules.sigmas as f64).then_some(Drifted {
        share: f / n,
        before: past / all,
        sigmas,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hour(own: u64, foreign: u64) -> Hour {
        let named = [("t_beta".to_owned(), foreign)].into_iter().filter(|(_, count)| *count > 0).collect();
        Hour { own, foreign: named, requests: 1 }
    }

    const RULES: Drift = Drift { baseline_hours: 24, minimum_results: 100, sigmas: 4 };

    fn drifts(now: (u64, u64), before: (u64, u64)) -> bool {
        compare(&hour(now.0, now.1), &hour(before.0, before.1), &RULES).is_some()
    }

    #[test]
    fn the_statistic_is_the_known_one() {
        // 30 of 200 against 40 of 1000, worked by hand: p = 70/1200, z = 0.11 / 0.018155 = 6.06.
        let found = compare(&hour(170, 30), &hour(960, 40), &RULES).map(|d| (d.share, d.before, d.sigmas));
        let (share, before, sigmas) = found.unwrap_or_default();
        assert!(
            (share - 0.15).abs() < 1e-9 && (before - 0.04).abs() < 1e-9 && (sigmas - 6.06).abs() < 0.01,
            "{sigmas}"
        );
    }

    #[test]
    fn only_a_rise_that_chance_does_not_explain_is_a_drift() {
        assert!(drifts((95, 5), (10_000, 0)), "a wall that begins to leak");
        assert!(!drifts((96, 4), (10_000, 0)), "too few to speak of drift");
        assert!(!drifts((90, 5), (10_000, 0)), "too few results");
        assert!(!drifts((95, 5), (90, 0)), "too little to compare with");
        assert!(!drifts((95, 5), (950, 50)), "as ever");
        assert!(!drifts((92, 8), (950, 50)), "chance");
        assert!(drifts((75, 25), (950, 50)));
        assert!(!drifts((100, 5), (950, 300)), "a fall");
        assert!(!drifts((0, 200), (0, 200)), "all foreign, then and now");
    }

    #[test]
    fn the_baseline_is_the_hours_before_and_of_this_tenant_only() {
        let mut known = Statistics::new();
        let key = |tenant: &str, at: u64| ("docs".to_owned(), tenant.to_owned(), at);
        for (tenant, at, own) in
            [("acme", 75, 1), ("acme", 76, 10), ("acme", 99, 100), ("acme", 100, 1000), ("beta", 99, 7)]
        {
            known.insert(key(tenant, at), hour(own, 2));
        }
        let sum = baseline(&known, &key("acme", 100), 24);
        assert_eq!((sum.own, sum.foreign()), (110, 4));
    }
}

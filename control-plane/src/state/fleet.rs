//! The sidecars and what they report.

use super::alerts::Alert;
use super::{App, Event, Sidecar, lock, now, parity, statistics};
use anyhow::Result;
use partywall_core::record::{Decision, Report, Totals};
use partywall_core::tenant::TenantId;
use std::collections::BTreeMap;
use tokio::sync::broadcast;

/// The most filters that are known.
const MAX_SIDECARS: usize = 10_000;
/// The most decision records that are kept.
const MAX_EVENTS: usize = 50_000;

impl App {
    /// A filter has polled: it lives, and runs this revision.
    pub fn seen(&self, instance: &str, revision: u64) {
        self.heard(instance, revision, |sidecar| sidecar.revision = revision);
    }

    /// Whether a filter was never heard of.
    pub fn is_new(&self, instance: &str) -> bool {
        !lock(&self.sidecars).contains_key(instance) && !lock(&self.unheard).contains(instance)
    }

    /// A new filter is on disk before it gets anything: after a restart it is known that somebody must hear of a lock.
    ///
    /// # Errors
    /// When the store fails.
    pub fn remember(&self, instance: &str) -> Result<()> {
        if lock(&self.sidecars).len() >= MAX_SIDECARS {
            return Ok(());
        }
        let write = self.store.write()?;
        write.put("sidecar", instance, &now())?;
        if !self.may_serve_unheard() {
            for dead in std::mem::take(&mut *lock(&self.unheard)) {
                write.remove("sidecar", &dead)?;
            }
        }
        write.commit()
    }

    /// Whether what was not heard of since the start may still serve: later its snapshot is too old.
    fn may_serve_unheard(&self) -> bool {
        self.started.elapsed().as_secs() <= self.published.borrow().max_age_s
    }

    /// Workers that were not heard of since the start and may serve yet, and for how many seconds at most.
    pub fn unheard(&self) -> (usize, u64) {
        let left = self.published.borrow().max_age_s.saturating_sub(self.started.elapsed().as_secs());
        (if self.may_serve_unheard() { lock(&self.unheard).len() } else { 0 }, left)
    }

    /// Workers that live and those of them that enforce a revision. One that was not heard of for as long as a snapshot may be
    /// used refuses everything by itself.
    pub fn enforcing(&self, revision: u64) -> (u64, u64) {
        let max_age = self.published.borrow().max_age_s;
        let live: Vec<_> =
            self.sidecars().into_iter().filter(|s| now().saturating_sub(s.last_seen) <= max_age).collect();
        let unheard = if self.may_serve_unheard() { lock(&self.unheard).len() } else { 0 };
        let enforcing = live.iter().filter(|sidecar| sidecar.revision >= revision).count();
        ((live.len() + unheard) as u64, enforcing as u64)
    }

    fn heard(&self, instance: &str, revision: u64, note: impl FnOnce(&mut Sidecar)) {
        let mut sidecars = lock(&self.sidecars);
        let at = now();
        sidecars.retain(|_, sidecar| at.saturating_sub(sidecar.last_seen) < 24 * 3600);
        lock(&self.unheard).remove(instance);
        if sidecars.len() >= MAX_SIDECARS && !sidecars.contains_key(instance) {
            return;
        }
        let sidecar = sidecars.entry(instance.to_owned()).or_insert_with(|| Sidecar {
            instance: instance.to_owned(),
            revision,
            converged: false,
            first_seen: at,
            last_seen: at,
            totals: Totals::default(),
            lost: 0,
        });
        sidecar.last_seen = at;
        note(sidecar);
    }

    /// All sidecars.
    pub fn sidecars(&self) -> Vec<Sidecar> {
        // While phrases wait to be published, nobody has them.
        let settled = self.settled();
        let current = self.published.borrow().revision;
        let with = |sidecar: &Sidecar| Sidecar { converged: settled && sidecar.revision == current, ..sidecar.clone() };
        lock(&self.sidecars).values().map(with).collect()
    }

    /// Takes a report in. Its records are on disk before it returns.
    ///
    /// # Errors
    /// When the store fails: the sidecar then sends the report again.
    pub fn report(&self, report: Report) -> Result<()> {
        // A report may be overtaken by the poll that acknowledges the next revision: only polls tell which one runs.
        let gap = self.unexplained(&report);
        self.heard(&report.instance, report.revision, |sidecar| sidecar.lost = report.lost);
        let lacking = (gap > 0).then(|| parity::about(&report, gap));
        let _writer = lock(&self.writer);
        let mut sequence = lock(&self.events).1;
        let mut new = Vec::with_capacity(report.decisions.len());
        for decision in report.decisions {
            sequence += 1;
            new.push(Event { sequence, instance: report.instance.clone(), decision });
        }
        let old: Vec<u64> = {
            let events = lock(&self.events);
            let surplus = (events.0.len() + new.len()).saturating_sub(MAX_EVENTS);
            events.0.iter().take(surplus).map(|event| event.sequence).collect()
        };
        let threshold = self.read(|model| model.compiled.as_ref().and_then(|compiled| compiled.statistics));
        let drift = self.read(|model| model.compiled.as_ref().and_then(|compiled| compiled.drift));
        // What comes late of a tenant that has left is not counted again.
        let stays = |decision: &&Decision| {
            let whose = decision.tenant.as_deref().and_then(|tenant| TenantId::parse(tenant).ok());
            whose.is_some_and(|whose| self.read(|model| model.tenants.contains_key(&whose)))
        };
        let decisions = new.iter().map(|event| &event.decision).filter(stays);
        let mut added = match threshold {
            Some(threshold) => statistics::count(&lock(&self.statistics), decisions, threshold, drift.as_ref()),
            None => statistics::Added { hours: BTreeMap::new(), alerts: Vec::new() },
        };
        added.alerts.extend(lacking);
        added.alerts.extend(new.iter().flat_map(|event| Alert::of(&event.decision)));
        let forgotten = self.old_hours();
        let write = self.store.write()?;
        write.put_numbered("event", new.iter().map(|event| (event.sequence, event)))?;
        write.remove_numbered("event", old.iter().copied())?;
        for (key, hour) in &added.hours {
            write.put("hour", &statistics::name(key), hour)?;
        }
        for key in &forgotten {
            write.remove("hour", &statistics::name(key))?;
        }
        let filed = self.file(&write, &self.alerting(), added.alerts)?;
        write.commit()?;
        {
            let mut statistics = lock(&self.statistics);
            statistics.retain(|key, _| !forgotten.contains(key));
            statistics.extend(added.hours);
        }
        self.filed(filed);
        // Only now: a report that could not be written comes again, and must find what it found.
        self.heard(&report.instance, report.revision, |sidecar| sidecar.totals = report.totals);
        if gap > 0 {
            self.metrics.parity_gap("-", gap);
        }
        self.metrics.events_dropped.inc_by(old.len() as u64);
        let mut events = lock(&self.events);
        events.1 = sequence;
        events.0.drain(..old.len());
        for event in new {
            let decision = &event.decision;
            self.metrics.decision(decision);
            let _ = self.feed.send(event.clone());
            events.0.push_back(event);
        }
        Ok(())
    }

    fn unexplained(&self, report: &Report) -> u64 {
        let before = lock(&self.sidecars).get(&report.instance).map(|sidecar| sidecar.totals);
        parity::unexplained(before, report)
    }

    /// Recent events, newest first, that `wanted` lets through.
    pub fn events(&self, limit: usize, wanted: impl Fn(&Event) -> bool) -> Vec<Event> {
        lock(&self.events).0.iter().rev().filter(|event| wanted(event)).take(limit).cloned().collect()
    }

    /// Follows new events.
    pub fn follow(&self) -> broadcast::Receiver<Event> {
        self.feed.subscribe()
    }
}

//! What tenants write through the vector databases becomes documents of theirs: the proxies send hashes.

use super::alerts::Alert;
use super::documents::MAX_PHRASES;
use super::rows::{self, Rows};
use super::{App, Model, lock, now};
use crate::corpus::Document;
use crate::shared::Delta;
use anyhow::Result;
use partywall_core::harvest::{Change, Harvest, Hashes, Written};
use partywall_core::phrase::Chosen;
use partywall_core::record::Severity;
use partywall_core::tenant::{TenantId, TenantStatus};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

/// The most runs of one document: what is added again and again must end.
const MAX_RUNS: usize = 1 << 20;

/// A document before and after.
#[derive(Default)]
struct Row {
    old: Option<Chosen>,
    new: Option<(Document, Chosen)>,
}

fn valid(written: &Written) -> bool {
    let name = &written.document;
    name.starts_with("rag:") && name.len() <= 256 && !name.chars().any(char::is_control)
}

fn read(hashes: &Hashes) -> Option<(Document, Chosen)> {
    let chosen = hashes.chosen()?;
    let (bytes, phrases) = (hashes.bytes, chosen.phrases.len() as u64);
    Some((Document { bytes, words: hashes.words, created_at: now(), phrases }, chosen))
}

/// What a document is with a second text beside its first. `None`: too much.
fn joined(old: Option<(Document, Chosen)>, new: (Document, Chosen)) -> Option<(Document, Chosen)> {
    let Some((mut document, mut chosen)) = old else { return Some(new) };
    let known: HashSet<u64> = chosen.runs.iter().copied().collect();
    // The same again adds nothing.
    if new.1.runs.iter().all(|run| known.contains(run)) {
        return Some((document, chosen));
    }
    let ids: HashSet<u64> = chosen.phrases.iter().map(|phrase| phrase.id).collect();
    chosen.phrases.extend(new.1.phrases.into_iter().filter(|phrase| !ids.contains(&phrase.id)));
    chosen.runs.extend(new.1.runs);
    // What a proxy says may be any number.
    document.bytes = document.bytes.saturating_add(new.0.bytes);
    document.words = document.words.saturating_add(new.0.words);
    document.phrases = chosen.phrases.len() as u64;
    (chosen.runs.len() <= MAX_RUNS).then_some((document, chosen))
}

/// So many phrases that two have written are no boilerplate.
const MUCH: u64 = 32;

/// So many phrases at most are there when more of tenants' writes are taken in: an operator's documents find room in any case.
const ROOM: u64 = MAX_PHRASES / 4 * 3;

/// How many phrases of the first tenant the second one writes as well.
type Shared = BTreeMap<(TenantId, TenantId), u64>;

/// Documents that change, by tenant and name.
type Changed = BTreeMap<(TenantId, String), Row>;

impl App {
    /// Takes in what a proxy has seen tenants write, in its order. What cannot be taken in is counted and alerted, never refused:
    /// the proxy would only say it again.
    ///
    /// # Errors
    /// When the store fails: the proxy says it again, and what was taken in already changes nothing then.
    pub fn harvested(&self, harvest: Harvest) -> Result<()> {
        let writes = &harvest.writes;
        let matters = self.read(|model| {
            let known = |one: &Written| model.corpus.document(&one.tenant, &one.document).is_some();
            let on = model.compiled.as_ref().is_some_and(|compiled| compiled.harvests());
            on && writes.iter().any(|one| one.change != Change::Remove || known(one))
        });
        let mut lost = harvest.lost;
        if matters {
            // Before it is taken in: what was told twice is folded, what was not told is lost.
            let shared = self.read(|model| shared(model, writes));
            if !shared.is_empty() {
                self.raise(shared.into_iter().map(told).collect())?;
            }
            let (changed, refused) = self.change_fingerprints(|model| {
                let (changed, refused) = self.plan(model, writes)?;
                let row = |((tenant, name), row): (&(TenantId, String), &Row)| {
                    let new = row.new.as_ref().map(|(document, chosen)| {
                        rows::Row::document(tenant, name, document.clone(), chosen).map(Arc::new)
                    });
                    Ok((rows::field(tenant, name), new.transpose()?))
                };
                let rows: Rows = changed.iter().map(row).collect::<Result<_>>()?;
                let count = rows.len() as u64;
                Ok((Delta { rows, ..model.unchanged() }, (count, refused)))
            })?;
            lost = lost.saturating_add(refused);
            self.metrics.documents_harvested.inc_by(changed);
        }
        if lost > 0 {
            self.tell_lost(&harvest.instance, lost)?;
        }
        Ok(())
    }

    /// Which documents change, and how many writes cannot be taken in.
    fn plan(&self, model: &Model, writes: &[Written]) -> Result<(Changed, u64)> {
        let (mut rows, mut lost) = (Changed::new(), 0);
        let mut room = ROOM.saturating_sub(model.corpus.chosen());
        for one in writes.iter().filter(|one| stays(model, one)) {
            // An operator's document is not a proxy's to change, nor to remove.
            if !valid(one) {
                lost += 1;
                continue;
            }
            let key = (one.tenant.clone(), one.document.clone());
            if !rows.contains_key(&key) {
                let old = self.row(&one.tenant, &one.document)?;
                let known = model.corpus.document(&one.tenant, &one.document).cloned();
                let new = known.zip(old.clone());
                rows.insert(key.clone(), Row { old, new });
            }
            let Some(row) = rows.get_mut(&key) else { continue };
            let next = match &one.change {
                Change::Remove => {
                    row.new = None;
                    continue;
                }
                Change::Put(hashes) => read(hashes),
                Change::Add(hashes) => read(hashes).and_then(|new| joined(row.new.clone(), new)),
            };
            match next.filter(|(document, _)| document.phrases <= room) {
                // Too short for a phrase: there is nothing to remember.
                Some((_, chosen)) if chosen.runs.is_empty() => row.new = None,
                Some((document, chosen)) => {
                    room -= document.phrases;
                    row.new = Some((document, chosen));
                }
                // What it was stays guarded.
                None => lost += 1,
            }
        }
        let same = |row: &Row| match (&row.old, &row.new) {
            (Some(old), Some((_, new))) => old.runs == new.runs && old.phrases == new.phrases,
            (None, None) => true,
            _ => false,
        };
        rows.retain(|_, row| !same(row));
        Ok((rows, lost))
    }

    fn tell_lost(&self, instance: &str, lost: u64) -> Result<()> {
        let summary = format!(
            "{lost} documents that tenants wrote through the vector databases are not guarded: too large, too many, or the control plane was away; add them by `partywall document add`"
        );
        self.raise(vec![Alert::new("documents_lost", Severity::High, None, None, instance, summary)])?;
        self.metrics.documents_lost.inc_by(lost);
        Ok(())
    }

    fn raise(&self, alerts: Vec<Alert>) -> Result<()> {
        let _writer = lock(&self.writer);
        let write = self.store.write()?;
        let filed = self.file(&write, &self.alerting(), alerts)?;
        write.commit()?;
        self.filed(filed);
        Ok(())
    }
}

/// Of one that leaves, or has left, nothing is remembered again.
fn stays(model: &Model, one: &Written) -> bool {
    model.tenants.get(&one.tenant).is_some_and(|tenant| tenant.status != TenantStatus::Offboarding)
}

/// Which phrases in force go out of it because another tenant writes them.
fn shared(model: &Model, writes: &[Written]) -> Shared {
    let mut shared = Shared::new();
    for one in writes.iter().filter(|one| valid(one) && stays(model, one)) {
        let (Change::Put(hashes) | Change::Add(hashes)) = &one.change else { continue };
        let runs: BTreeSet<u64> = hashes.chosen().map(|chosen| chosen.runs).unwrap_or_default().into_iter().collect();
        let owners =
            runs.into_iter().filter_map(|run| model.corpus.owner(run)).filter_map(|own| model.corpus.tenant(own));
        for owner in owners.filter(|owner| **owner != one.tenant) {
            *shared.entry((owner.clone(), one.tenant.clone())).or_default() += 1;
        }
    }
    shared
}

/// The alert about it.
fn told(((owner, writer), count): ((TenantId, TenantId), u64)) -> Alert {
    let severity = if count >= MUCH { Severity::High } else { Severity::Low };
    let summary = format!(
        "{writer} wrote {count} phrases of {owner} through a vector database: they are guarded no more while both have them; find out how {writer} came by them"
    );
    Alert::new("phrases_shared", severity, Some(owner.as_str()), None, writer.as_str(), summary)
}

//! How a change of the fingerprint set comes into the file and the memory, wherever the set is kept.

use super::rows::{self, Before, Row, Rows};
use super::{App, FingerprintRecord, Model, lock};
use crate::shared::{Delta, Position, Whole};
use crate::store::Write;
use anyhow::{Context as _, Result, anyhow};
use partywall_core::scan::{self, Entry};
use partywall_core::tenant::TenantId;
use sha2::{Digest as _, Sha256};
use std::collections::HashMap;
use std::sync::Arc;

impl Delta {
    /// Whether it changes anything.
    pub fn is_empty(&self) -> bool {
        self.put.is_empty() && self.gone.is_empty() && self.rows.is_empty()
    }

    fn write(&self, app: &App, model: &Model, write: &Write) -> Result<Before> {
        if self.generation != model.generation {
            write.set_meta("phrase_generation", &self.generation)?;
        }
        write.put_numbered("fingerprint", self.put.iter().map(|(record, _)| (record.id, record)))?;
        write.remove_numbered("fingerprint", self.gone.iter().copied())?;
        write.set_meta("next_fingerprint", &self.next)?;
        app.write_rows(&model.corpus, write, &self.rows)
    }

    /// What is new and what is gone, for the segments.
    fn apply(&self, model: &mut Model, before: &Before) -> (Vec<u64>, Vec<u64>) {
        rows::apply(&mut model.corpus, &self.rows, before);
        model.generation = self.generation;
        for id in &self.gone {
            model.forget(*id);
        }
        for (record, folded) in &self.put {
            model.keep(record, folded.clone());
        }
        model.next_fingerprint = self.next;
        (self.put.iter().map(|(record, _)| record.id).collect(), self.gone.clone())
    }

    /// A whole after this change of it.
    pub(super) fn over(&self, base: Whole) -> Whole {
        let gone: std::collections::HashSet<u64> = self.gone.iter().copied().collect();
        let kept = base.records.into_iter().filter(|record| !gone.contains(&record.id));
        let records = kept.chain(self.put.iter().map(|(record, _)| record.clone())).collect();
        let mut rows = base.rows;
        rows.extend(self.rows.clone());
        rows.retain(|_, row| row.is_some());
        Whole { records, rows, next: self.next, generation: self.generation, ..base }
    }
}

/// A record's folded text.
pub(super) fn folded(record: &FingerprintRecord) -> Result<Vec<u8>> {
    let text = record.text.as_deref().unwrap_or_default();
    scan::literal(text).map_err(|error| anyhow!("fingerprint {}: {error}", record.id))
}

/// What must change in `base` so that it also holds `extra`: its literals, their owners, the higher severity.
pub(super) fn union(base: &Whole, extra: &Whole) -> Result<Delta> {
    let mut known: HashMap<Vec<u8>, FingerprintRecord> = HashMap::with_capacity(base.records.len());
    for record in &base.records {
        known.insert(folded(record)?, record.clone());
    }
    // Where nothing is yet, ids may stay as they are.
    let renumber = !base.records.is_empty();
    let mut delta = Delta { next: base.next, ..Delta::default() };
    delta.rows = rows::union(&base.rows, &extra.rows)?;
    delta.generation = base.generation.max(extra.generation);
    for record in &extra.records {
        let folded = folded(record)?;
        let mut new = record.clone();
        if let Some(old) = known.get(&folded) {
            let mut owners = old.owners.clone();
            owners.extend(record.owners.iter().filter(|owner| !old.owners.contains(owner)).cloned());
            let severity = old.severity.max(record.severity);
            if owners == old.owners && severity == old.severity {
                continue;
            }
            delta.gone.push(old.id);
            new = FingerprintRecord { owners, severity, ..old.clone() };
        }
        if renumber {
            new.id = delta.next;
        }
        delta.next = delta.next.max(new.id.saturating_add(1));
        delta.put.push((new, folded));
    }
    Ok(delta)
}

/// A fingerprint's part in the sum that stands for the whole set, in whatever order it came together.
fn weight(entry: &Entry) -> u128 {
    let mut digest = Sha256::new();
    digest.update(entry.id.to_be_bytes());
    digest.update([entry.severity as u8]);
    for part in entry.owners.iter().map(TenantId::as_str).chain([entry.text.as_str()]) {
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part);
    }
    let digest = digest.finalize();
    u128::from_be_bytes(std::array::from_fn(|at| digest.get(at).copied().unwrap_or(0)))
}

impl Model {
    /// A change that changes nothing.
    pub(super) fn unchanged(&self) -> Delta {
        Delta { next: self.next_fingerprint, generation: self.generation, ..Delta::default() }
    }

    pub(super) fn keep(&mut self, record: &FingerprintRecord, folded: Vec<u8>) {
        let text = record.text.clone().unwrap_or_default();
        let entry = Entry { id: record.id, text, owners: record.owners.clone(), severity: record.severity };
        self.sum = self.sum.wrapping_add(weight(&entry));
        self.by_text.insert(folded, record.id);
        self.created.insert(record.id, record.created_at);
        self.fingerprints.insert(record.id, entry);
    }

    fn forget(&mut self, id: u64) {
        self.created.remove(&id);
        let Some(entry) = self.fingerprints.remove(&id) else { return };
        self.sum = self.sum.wrapping_sub(weight(&entry));
        let Ok(folded) = scan::literal(&entry.text) else { return };
        if self.by_text.get(&folded) == Some(&id) {
            self.by_text.remove(&folded);
        }
    }
}

impl App {
    /// Changes the fingerprint set, where the policy says that it is kept. `plan` may be asked again, if another replica was
    /// faster.
    pub(super) fn change_fingerprints<T>(&self, plan: impl Fn(&Model) -> Result<(Delta, T)>) -> Result<T> {
        let _sharing = lock(&self.sharing);
        if self.shares() {
            return self.share(plan);
        }
        let changed = self.change(
            |model, write| {
                let (delta, result) = plan(model)?;
                let before = delta.write(self, model, write)?;
                Ok((delta, result, before))
            },
            |model, (delta, _, before)| delta.apply(model, before),
        );
        changed.map(|(_, result, _)| result)
    }

    /// Takes in what the shared store has accepted. The file keeps a copy, and where in the store's life it was taken.
    pub(super) fn take_in(&self, position: &Position, delta: &Delta) -> Result<()> {
        self.change(
            |model, write| {
                write.set_meta("shared", &Some(position))?;
                delta.write(self, model, write)
            },
            |model, before| {
                model.shared = Some(position.clone());
                delta.apply(model, before)
            },
        )
        .map(|_| ())
    }

    /// Takes in the whole of the shared store, in place of all that was here.
    pub(super) fn take_over(&self, whole: &Whole) -> Result<()> {
        let position = whole.position.as_ref().context("there is no store to take over")?;
        let folds = whole.records.iter().map(folded).collect::<Result<Vec<_>>>()?;
        // Rows that are the same stay.
        let here = self.rows()?;
        let same = |field: &String, row: &Arc<Row>| {
            here.get(field).and_then(Option::as_ref).is_some_and(|known| known.bytes == row.bytes)
        };
        let gone = here.keys().filter(|field| !whole.rows.contains_key(*field)).map(|field| (field.clone(), None));
        let new = whole.rows.iter().filter(|(field, row)| row.as_ref().is_some_and(|row| !same(field, row)));
        let rows: Rows = gone.chain(new.map(|(field, row)| (field.clone(), row.clone()))).collect();
        self.change(
            |model, write| {
                write.set_meta("phrase_generation", &whole.generation)?;
                let before = self.write_rows(&model.corpus, write, &rows)?;
                write.remove_numbered("fingerprint", model.fingerprints.keys().copied())?;
                write.put_numbered("fingerprint", whole.records.iter().map(|record| (record.id, record)))?;
                write.set_meta("next_fingerprint", &whole.next)?;
                write.set_meta("shared", &Some(position))?;
                Ok(before)
            },
            |model, before| {
                rows::apply(&mut model.corpus, &rows, before);
                model.generation = whole.generation;
                model.fingerprints.clear();
                model.sum = 0;
                model.by_text.clear();
                model.created.clear();
                for (record, folded) in whole.records.iter().zip(folds.iter().cloned()) {
                    model.keep(record, folded);
                }
                model.next_fingerprint = whole.next;
                model.shared = Some(position.clone());
                model.rebuild = true;
                (vec![], vec![])
            },
        )
        .map(|_| ())
    }

    /// The set as it is here.
    pub(super) fn held(&self) -> Result<Whole> {
        let rows = self.rows()?;
        Ok(self.read(|model| Whole {
            rows,
            generation: model.generation,
            position: model.shared.clone(),
            next: model.next_fingerprint,
            records: model.fingerprints.values().map(|entry| self.record(model, entry)).collect(),
        }))
    }
}

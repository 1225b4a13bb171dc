//! Segments of phrases follow the corpus: at once after a small change, behind the answer after a large one.
//!
//! What was accepted is on disk and in the corpus either way, and a start builds everything anew. What waits is a set of ids: what
//! holds of them is read when they are built, so any number of changes may meet in one build.

use super::{App, lock, refused};
use crate::phrase_segments::PhraseSegments;
use anyhow::Result;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Up to so many changed phrases the answer waits for their segment.
const SMALL: usize = 1024;

/// How long after a failed build it is tried again.
const AGAIN: Duration = Duration::from_secs(5);

/// What waits to be built.
#[derive(Default)]
pub(super) struct Behind {
    waiting: Mutex<Waiting>,
    wake: Condvar,
    /// Held while segments are built out of turn.
    pub(super) building: Mutex<()>,
}

#[derive(Default)]
struct Waiting {
    /// Whether anybody builds.
    worker: bool,
    busy: bool,
    ids: Vec<u64>,
}

impl App {
    /// Leaves a change to the worker if it is large, or if others wait already: then nothing is returned. Called while the model is
    /// being changed, so that what waits and what the corpus says never disagree.
    pub(super) fn leave_behind(&self, changed: Vec<u64>) -> Vec<u64> {
        let mut waiting = lock(&self.behind.waiting);
        let idle = waiting.ids.is_empty() && !waiting.busy;
        let small = changed.len() <= SMALL
            && !self.phrases.read().unwrap_or_else(PoisonError::into_inner).is_heavy(changed.len());
        if changed.is_empty() || !waiting.worker || (idle && small) {
            return changed;
        }
        waiting.ids.extend(changed);
        self.behind.wake.notify_one();
        Vec::new()
    }

    /// Whether all phrases that are in force are published.
    pub fn settled(&self) -> bool {
        let waiting = lock(&self.behind.waiting);
        waiting.ids.is_empty() && !waiting.busy
    }

    /// The phrases of the corpus changed: so do the segments.
    pub(super) fn follow_corpus(&self, changed: &[u64]) -> Result<()> {
        let mut next: PhraseSegments = self.phrases.read().unwrap_or_else(PoisonError::into_inner).clone();
        next.change(&self.model().corpus, changed).map_err(|_| too_many())?;
        *self.phrases.write().unwrap_or_else(PoisonError::into_inner) = next;
        Ok(())
    }

    /// The segments have the key of the generation that holds. Needs `writer`.
    pub(super) fn follow_generation(&self) -> Result<()> {
        let key = super::documents::wire_key(&self.key, self.model().generation);
        if *self.phrases.read().unwrap_or_else(PoisonError::into_inner).key() == key {
            return Ok(());
        }
        let _building = lock(&self.behind.building);
        let mut next = self.phrases.read().unwrap_or_else(PoisonError::into_inner).clone();
        next.rotate(key, &self.model().corpus).map_err(|_| too_many())?;
        *self.phrases.write().unwrap_or_else(PoisonError::into_inner) = next;
        Ok(())
    }

    /// Builds what was left behind, for ever, on a thread of its own.
    pub fn build_behind(self: &Arc<Self>) {
        lock(&self.behind.waiting).worker = true;
        let app = Arc::clone(self);
        std::thread::spawn(move || {
            loop {
                {
                    let mut waiting = lock(&app.behind.waiting);
                    while waiting.ids.is_empty() {
                        waiting.busy = false;
                        waiting = app.behind.wake.wait(waiting).unwrap_or_else(PoisonError::into_inner);
                    }
                    waiting.busy = true;
                }
                let ids = std::mem::take(&mut lock(&app.behind.waiting).ids);
                // A revision of its own: filters may have had a later one meanwhile.
                let built = app.build(&ids).and_then(|()| app.change(|_, _| Ok(()), |_, ()| (vec![], vec![])));
                if let Err(error) = built {
                    tracing::error!(error = format!("{error:#}"), "phrases cannot be published: trying again");
                    // They were accepted: until they are published, no proxy counts as up to date.
                    lock(&app.behind.waiting).ids.extend(ids);
                    std::thread::sleep(AGAIN);
                }
            }
        });
    }

    fn build(&self, ids: &[u64]) -> Result<()> {
        let _building = lock(&self.behind.building);
        let (mut next, plan) = {
            let model = self.model();
            let mut next = self.phrases.read().unwrap_or_else(PoisonError::into_inner).clone();
            let plan = next.plan(&model.corpus, ids);
            (next, plan)
        };
        // Nobody waits for this: neither writers nor readers.
        next.build(plan).map_err(|_| too_many())?;
        *self.phrases.write().unwrap_or_else(PoisonError::into_inner) = next;
        Ok(())
    }
}

pub(super) fn too_many() -> anyhow::Error {
    refused("too_many_phrases", "too many phrases for one segment")
}

//! Revisions, where proxies may ask one control plane today and its replica tomorrow.
//!
//! Each control plane counts its own revisions, and filters refuse to go back. So revisions alone do not tell whether two of them say the same:
//! that is what *tags* are for. A tag is a digest of what a manifest says, with the set of fingerprints in place of the segments, which are cut differently by every
//! control plane and at every start; where fingerprints are shared, the store's name and revision follow. A filter that polls says which tag it runs.

use super::{App, Published, lock};
use crate::shared::Position;
use anyhow::Result;
use partywall_core::snapshot::wire;
use sha2::{Digest as _, Sha256};
use std::collections::VecDeque;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

/// A filter that goes back and forth between replicas that disagree makes them outrun each other no more often than this.
const PAUSE: Duration = Duration::from_secs(2);
/// How many tags are remembered.
const TAGS: usize = 256;

/// What a content, without segments, is called; `set` stands for the fingerprints.
pub(super) fn tag(content: &wire::Content, max_age_s: u64, set: u128, shared: Option<&Position>) -> String {
    let mut digest = Sha256::new();
    digest.update(serde_json::to_vec(content).unwrap_or_default());
    digest.update(max_age_s.to_be_bytes());
    digest.update(set.to_be_bytes());
    let mut name = hex::encode(digest.finalize());
    name.truncate(32);
    match shared {
        Some(at) => format!("{name}.{}.{}", at.store, at.revision),
        None => name,
    }
}

/// The shared store's name and revision in a tag.
fn shared(tag: &str) -> Option<(&str, u64)> {
    let mut parts = tag.split('.').skip(1);
    Some((parts.next()?, parts.next()?.parse().ok()?))
}

impl Published {
    /// Whether a filter that runs this has what is published.
    pub fn is(&self, tag: &str, revision: u64) -> bool {
        if tag.is_empty() { self.revision == revision } else { self.tag == tag && revision >= self.revision }
    }

    /// Whether a filter that runs this knows more fingerprints than is published: another replica is further.
    pub fn is_behind(&self, tag: &str) -> bool {
        match (shared(&self.tag), shared(tag)) {
            (Some((ours, here)), Some((theirs, there))) => ours == theirs && here < there,
            _ => false,
        }
    }
}

/// Which tags were ours, and when we last moved past a filter.
#[derive(Default)]
pub(super) struct Outrun {
    last: Option<Instant>,
    tags: VecDeque<(String, u64)>,
}

impl Outrun {
    pub(super) fn published(&mut self, tag: &str, revision: u64) {
        if self.tags.len() >= TAGS {
            self.tags.pop_front();
        }
        self.tags.push_back((tag.to_owned(), revision));
    }
}

impl App {
    /// The revision of ours that a filter enforces; 0 when what it runs is not from here.
    pub fn enforced(&self, tag: &str, revision: u64) -> u64 {
        if tag.is_empty() {
            return revision;
        }
        let outrun = lock(&self.outrun);
        let ours = outrun.tags.iter().rev().find(|(known, _)| known == tag).map_or(0, |(_, ours)| *ours);
        ours.min(revision)
    }

    /// How long to wait before another [`App::outrun`].
    pub fn outrun_in(&self) -> Duration {
        lock(&self.outrun).last.map_or(Duration::ZERO, |last| PAUSE.saturating_sub(last.elapsed()))
    }

    /// A filter runs another content under a revision that is not below ours: our data was restored from a backup, or it comes from
    /// a replica that counts differently. Moves past it, so that the filter, which refuses to go back, follows again. Whether that was done.
    ///
    /// # Errors
    /// When the store fails.
    pub fn outrun(&self, revision: u64) -> Result<bool> {
        let _writer = lock(&self.writer);
        let ours = self.model().revision;
        if revision < ours {
            return Ok(true);
        }
        if revision - ours > 1_000_000_000 {
            // Absurd.
            return Ok(false);
        }
        let write = self.store.write()?;
        write.set_meta("revision", &(revision + 1))?;
        write.commit()?;
        tracing::warn!(theirs = revision, ours, "a filter runs something else under a later revision: moving past it");
        self.model.write().unwrap_or_else(PoisonError::into_inner).revision = revision + 1;
        lock(&self.outrun).last = Some(Instant::now());
        self.publish(&self.model());
        Ok(true)
    }
}

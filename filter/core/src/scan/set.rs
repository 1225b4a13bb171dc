//! All fingerprints of a snapshot: a few segments, and the ids that are gone.

use super::disguise::Grams;
use super::load::{Loaded, LoadedSegment};
use crate::phrase::PhraseSet;
use crate::tenant::TenantId;
use std::rc::Rc;

/// The most segments that are searched side by side.
pub const MAX_SEGMENTS: usize = 4;

/// All fingerprints of a snapshot.
#[derive(Default)]
pub struct FingerprintSet {
    segments: Vec<Rc<LoadedSegment>>,
    removed: Vec<u64>,
    longest: usize,
    phrases: Option<PhraseSet>,
    grams: Grams,
}

impl FingerprintSet {
    /// No fingerprints: nothing matches.
    pub fn empty() -> Self {
        Self::default()
    }

    /// The set of these segments without the fingerprints of these ids.
    pub fn new(segments: Vec<Rc<LoadedSegment>>, mut removed: Vec<u64>) -> Self {
        removed.sort_unstable();
        let longest = segments.iter().map(|segment| segment.longest()).max().unwrap_or(0);
        let grams = Grams::new(segments.iter().map(|segment| &segment.disguises));
        Self { segments, removed, longest, phrases: None, grams }
    }

    /// With the phrases of documents, too.
    #[must_use]
    pub fn with_phrases(self, phrases: Option<PhraseSet>) -> Self {
        Self { phrases, ..self }
    }

    /// The phrases of documents.
    pub(crate) fn phrases(&self) -> Option<&PhraseSet> {
        self.phrases.as_ref()
    }

    /// Whether there are no more segments than are searched.
    pub fn fits(&self) -> bool {
        self.segments.len() <= MAX_SEGMENTS
    }

    /// How many fingerprints are in force.
    pub fn entries(&self) -> u64 {
        let all = self.segments.iter().fold(0u64, |sum, segment| sum.saturating_add(segment.entries()));
        let literals = all.saturating_sub(u64::try_from(self.removed.len()).unwrap_or(0));
        literals.saturating_add(self.phrases.as_ref().map_or(0, PhraseSet::entries))
    }

    /// The longest fingerprint, in folded bytes.
    pub(super) fn longest(&self) -> usize {
        self.longest
    }

    /// Bytes of memory.
    pub fn memory_bytes(&self) -> usize {
        let grams = self.grams.memory_bytes();
        let literals = self.segments.iter().fold(grams, |sum, segment| sum.saturating_add(segment.memory_bytes()));
        literals.saturating_add(self.phrases.as_ref().map_or(0, PhraseSet::memory_bytes))
    }

    /// How disguised fingerprints begin.
    pub(super) fn grams(&self) -> &Grams {
        &self.grams
    }

    pub(super) fn segments(&self) -> &[Rc<LoadedSegment>] {
        &self.segments
    }

    /// By which number each segment knows the tenant.
    pub(super) fn owners(&self, tenant: &TenantId) -> Vec<Option<u32>> {
        self.segments.iter().map(|segment| segment.owner(tenant)).collect()
    }

    /// Whether a match of this entry is a leak.
    pub(super) fn foreign(&self, segment: &LoadedSegment, entry: &Loaded, owner: Option<u32>) -> bool {
        !segment.owned(entry, owner) && self.removed.binary_search(&entry.id).is_err()
    }
}

//! All phrases of a snapshot, and what a match of one does.

use super::keys::{Key, KeyError};
use super::{LoadedPhrases, Selector, WireKey, WordKey};
use crate::record::Severity;
use crate::scan::MAX_SEGMENTS;
use crate::snapshot::wire::{self, OnDetect};
use crate::tenant::TenantId;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::cell::OnceCell;
use std::rc::Rc;

/// All phrases of a snapshot.
pub struct PhraseSet {
    pub(super) words: WordKey,
    pub(super) wire: WireKey,
    pub(super) segments: Vec<Rc<LoadedPhrases>>,
    pub(super) removed: Vec<u64>,
    /// How grave a match is.
    pub severity: Severity,
    /// What a match does, where it is not what every match does.
    pub action: Option<OnDetect>,
    /// What reads the documents that tenants write, where they are read; made when the first comes.
    reader: Option<(Key, OnceCell<Selector>)>,
}

fn key(text: &str) -> Result<Key, KeyError> {
    STANDARD.decode(text).ok().and_then(|bytes| bytes.try_into().ok()).ok_or(KeyError)
}

impl PhraseSet {
    /// The set of these segments, as the manifest says.
    ///
    /// # Errors
    /// When a key is none, or there are more segments than are searched side by side.
    pub fn new(phrases: &wire::Phrases, segments: Vec<Rc<LoadedPhrases>>) -> Result<Self, KeyError> {
        let mut removed = phrases.removed.clone();
        removed.sort_unstable();
        if segments.len() > MAX_SEGMENTS {
            return Err(KeyError);
        }
        let words = key(&phrases.word_key)?;
        Ok(Self {
            words: WordKey::new(&words),
            wire: WireKey::new(&key(&phrases.wire_key)?),
            segments,
            removed,
            severity: phrases.severity,
            action: phrases.action,
            reader: phrases.from_rag_writes.then(|| (words, OnceCell::new())),
        })
    }

    /// What reads the documents that tenants write; `None` where they are not read.
    pub fn reader(&self) -> Option<&Selector> {
        let (key, selector) = self.reader.as_ref()?;
        Some(selector.get_or_init(|| Selector::new(WordKey::new(key))))
    }

    /// Whether there is nothing to look for.
    pub(crate) fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    /// How many phrases are in force.
    pub fn entries(&self) -> u64 {
        let all = self.segments.iter().fold(0u64, |sum, segment| sum.saturating_add(segment.entries()));
        all.saturating_sub(self.removed.len() as u64)
    }

    /// Bytes of memory.
    pub fn memory_bytes(&self) -> usize {
        self.segments.iter().fold(0usize, |sum, segment| sum.saturating_add(segment.memory_bytes()))
    }

    /// By which number each segment knows the tenant.
    pub(crate) fn owners(&self, tenant: &TenantId) -> [u32; MAX_SEGMENTS] {
        let mut owners = [u32::MAX; MAX_SEGMENTS];
        for (owner, segment) in owners.iter_mut().zip(&self.segments) {
            *owner = segment.owner(tenant);
        }
        owners
    }
}

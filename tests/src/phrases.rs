//! Phrases without a control plane.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use partywall_core::phrase::{self, Key, Loader, Phrase, PhraseSet, Selector, WireKey, WordKey};
use partywall_core::record::Severity;
use partywall_core::snapshot::wire::{Phrases, Segment};
use partywall_core::tenant::TenantId;
use sha2::{Digest, Sha256};
use std::rc::Rc;

/// The key of words and of segments in tests.
pub const KEY: Key = [7; 16];

/// What chooses phrases under that key.
pub fn selector() -> Selector {
    Selector::new(WordKey::new(&KEY))
}

/// The set of the documents' phrases: `(tenant, name, text)`.
pub fn set(documents: &[(&str, &str, &str)]) -> PhraseSet {
    let owned: Vec<(Phrase, TenantId)> = documents
        .iter()
        .flat_map(|(tenant, _, text)| {
            let tenant = TenantId::parse(tenant).expect("a tenant");
            selector().choose(text, |_| false).phrases.into_iter().map(move |phrase| (phrase, tenant.clone()))
        })
        .collect();
    loaded(&owned.iter().map(|(phrase, tenant)| (*phrase, tenant)).collect::<Vec<_>>()).0
}

/// The set of these phrases, and their segment as it travels.
pub fn loaded(phrases: &[(Phrase, &TenantId)]) -> (PhraseSet, Vec<u8>) {
    let blob = phrase::compile(phrases, &WireKey::new(&KEY)).expect("a segment");
    let segment = Segment { digest: hex::encode(Sha256::digest(&blob)), bytes: blob.len() as u64, entries: 0 };
    let mut loader = Loader::new(&segment).expect("a loader");
    loader.push(&blob).expect("a piece");
    let manifest = manifest();
    let set = PhraseSet::new(&manifest, vec![Rc::new(loader.finish().expect("a sound segment"))]).expect("a set");
    (set, blob)
}

/// A manifest with the test's keys and no segments.
pub fn manifest() -> Phrases {
    Phrases {
        word_key: STANDARD.encode(KEY),
        wire_key: STANDARD.encode(KEY),
        severity: Severity::High,
        action: None,
        from_rag_writes: false,
        segments: vec![],
        removed: vec![],
    }
}

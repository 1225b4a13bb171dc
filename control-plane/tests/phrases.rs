//! The corpus and its segments: what is in force after any order of changes, and that nothing grows.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use partywall::corpus::{Corpus, Document};
use partywall::phrase_segments::PhraseSegments;
use partywall_core::phrase::{Chosen, Selector, WireKey, WordKey};
use partywall_core::tenant::TenantId;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

const KEY: [u8; 16] = [3; 16];

fn tenant(name: &str) -> TenantId {
    TenantId::parse(name).unwrap()
}

fn selector() -> Selector {
    Selector::new(WordKey::new(&KEY))
}

fn text(seed: u64, words: usize) -> String {
    let mut state = seed.wrapping_mul(2654435761).wrapping_add(1);
    (0..words)
        .map(|_| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            format!("word{} ", (state >> 33) % 5000)
        })
        .collect()
}

struct World {
    corpus: Corpus,
    segments: PhraseSegments,
    documents: BTreeMap<(String, u8), Chosen>,
    common: BTreeSet<u64>,
}

impl World {
    fn new() -> Self {
        let segments = PhraseSegments::new(KEY);
        Self { corpus: Corpus::default(), segments, documents: BTreeMap::new(), common: BTreeSet::new() }
    }

    fn settle(&mut self) {
        let changes = self.corpus.changes();
        self.segments.change(&self.corpus, &changes).unwrap();
    }

    fn put(&mut self, owner: &str, name: u8, text: &str) {
        self.remove(owner, name);
        let id = tenant(owner);
        let chosen = selector().choose(text, |run| self.corpus.taken(run, &id));
        let document = Document { bytes: 0, words: chosen.words, created_at: 0, phrases: chosen.phrases.len() as u64 };
        self.corpus.add(&id, &name.to_string(), document, &chosen);
        self.documents.insert((owner.to_owned(), name), chosen);
    }

    fn remove(&mut self, owner: &str, name: u8) {
        if let Some(chosen) = self.documents.remove(&(owner.to_owned(), name)) {
            self.corpus.remove(&tenant(owner), &name.to_string(), &chosen);
        }
    }

    /// What must be in force, from first principles.
    fn expected(&self) -> BTreeSet<(u64, String)> {
        let mut writers: BTreeMap<u64, BTreeSet<&str>> = BTreeMap::new();
        for ((owner, _), chosen) in &self.documents {
            for run in &chosen.runs {
                writers.entry(*run).or_default().insert(owner);
            }
        }
        let chosen = self.documents.values().flat_map(|chosen| &chosen.phrases).map(|phrase| phrase.id);
        let unique = chosen.filter(|id| writers[id].len() == 1 && !self.common.contains(id));
        unique.map(|id| (id, (*writers[&id].first().unwrap()).to_owned())).collect()
    }

    fn check(&self) {
        let expected = self.expected();
        let all = self.corpus.all();
        let found: BTreeSet<(u64, String)> =
            all.iter().map(|(id, owner)| (*id, self.corpus.tenant(*owner).unwrap().to_string())).collect();
        assert_eq!(found, expected);
        assert_eq!(self.corpus.in_force(), expected.len() as u64);
        // What a filter has: each phrase once, of its owner, but for what is listed as gone.
        let (segments, removed) = self.segments.manifest();
        let wire = WireKey::new(&KEY);
        let mut loaded = BTreeSet::new();
        for (at, segment) in segments.iter().enumerate() {
            let blob = self.segments.blob(&segment.digest).unwrap();
            for (hash, owner) in contents(&blob) {
                if at == 0 && removed.binary_search(&hash).is_ok() {
                    continue;
                }
                assert!(loaded.insert((hash, owner)));
            }
        }
        let wanted: BTreeSet<(u64, String)> = expected.into_iter().map(|(id, owner)| (wire.id(id), owner)).collect();
        assert_eq!(loaded, wanted);
    }
}

/// The phrases of a blob and their owners, read by its documented layout.
fn contents(blob: &[u8]) -> Vec<(u64, String)> {
    let word = |at: usize| u32::from_le_bytes(blob[at..at + 4].try_into().unwrap()) as usize;
    let (anchors, inner, count, names) = (word(8), word(12), word(16), word(20));
    let hashes = 32 + 4 * (anchors + inner);
    let owners = hashes + 8 * count;
    let mut at = owners + 4 * count;
    let mut tenants = Vec::new();
    for _ in 0..names {
        let len = usize::from(blob[at]);
        tenants.push(String::from_utf8(blob[at + 1..at + 1 + len].to_vec()).unwrap());
        at += 1 + len;
    }
    let hash = |n: usize| u64::from_le_bytes(blob[hashes + 8 * n..hashes + 8 * n + 8].try_into().unwrap());
    (0..count).map(|n| (hash(n), tenants[word(owners + 4 * n)].clone())).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    /// Any order of documents, replacements, removals and common texts, of three tenants that copy from each other.
    #[test]
    fn in_force_is_what_is_unique(steps in prop::collection::vec((0u8..6, 0u8..3, 0u8..3, 0u64..5, 5usize..60), 1..40)) {
        let mut world = World::new();
        for (kind, owner, name, seed, words) in steps {
            let owner = ["acme", "beta", "gamma"][usize::from(owner)];
            match kind {
                0..=2 => world.put(owner, name, &text(seed, words)),
                3 => world.remove(owner, name),
                4 => {
                    let runs = selector().runs(&text(seed, words.min(12)));
                    world.corpus.add_common(&runs);
                    world.common.extend(runs);
                }
                _ => {
                    world.corpus.clear_common();
                    world.common.clear();
                }
            }
            world.settle();
            world.check();
        }
    }
}

/// What another tenant had written first, perhaps to spoil it, or by an operator's mistake, is guarded when it has gone.
#[test]
fn who_wrote_first_spoils_nothing() {
    let (mut world, text) = (World::new(), text(1, 200));
    world.put("acme", 0, &text);
    world.put("beta", 0, &text);
    world.settle();
    assert_eq!(world.corpus.in_force(), 0);
    world.remove("acme", 0);
    world.settle();
    world.check();
    let beta = world.corpus.in_force();
    world.remove("beta", 0);
    world.put("beta", 0, &text);
    world.settle();
    assert_eq!(beta, world.corpus.in_force());
    assert!(beta > 50, "{beta}");
}

/// Ten thousand changes: the segments hold what is in force and no more, and a change costs the smallest of them.
#[test]
fn nothing_grows_over_ten_thousand_changes() {
    let mut world = World::new();
    for n in 0..10u8 {
        world.put("beta", n, &text(1_000_000 + u64::from(n), 2000));
    }
    world.settle();
    let size = |world: &World| world.segments.manifest().0.iter().map(|segment| segment.bytes).sum::<u64>();
    let (start, mut most, mut sent, mut last) = (size(&world), 0, 0u64, Vec::new());
    for n in 0..10_000u64 {
        world.put("acme", (n % 20) as u8, &text(n, 24));
        world.settle();
        most = most.max(size(&world));
        let (segments, removed) = world.segments.manifest();
        assert!(removed.len() <= 2048 && segments.len() <= 3);
        sent += segments.iter().filter(|s| !last.contains(&s.digest)).map(|s| s.bytes).sum::<u64>();
        last = segments.into_iter().map(|segment| segment.digest).collect();
    }
    world.check();
    assert!(most < start * 8, "{start} grew to {most}");
    let each = sent / 10_000;
    assert!(each < 60_000, "a change of {each} bytes");
    // The old key's blobs stay for those who are fetching them; the new key's are others.
    let (old, _) = world.segments.manifest();
    world.segments.rotate([4; 16], &world.corpus).unwrap();
    let (new, _) = world.segments.manifest();
    assert!(new.iter().all(|segment| old.iter().all(|other| other.digest != segment.digest)));
    assert!(old.iter().all(|segment| world.segments.blob(&segment.digest).is_some()));
}

/// So much at once that all cores take part: the outcome is the same.
#[test]
fn many_runs_at_once() {
    let mut world = World::new();
    world.put("beta", 0, &text(7, 30_000));
    world.settle();
    world.check();
    assert!(world.corpus.in_force() > 5_000);
    // The first part of it is acme's too.
    world.put("acme", 1, &text(7, 24_000));
    world.settle();
    world.check();
    assert!(world.corpus.in_force() < 5_000);
    world.remove("acme", 1);
    world.settle();
    world.check();
    world.remove("beta", 0);
    world.settle();
    world.check();
    assert_eq!((world.corpus.in_force(), world.corpus.sum()), (0, 0));
}

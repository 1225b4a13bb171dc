//! From a document to its phrases: pure, and the same wherever it runs.

use super::common::{LISTS, NEVER};
use super::keys::START;
use super::{INNER, Phrase, STARTS, WINDOW, WORDS, Word, WordKey};
use crate::json::unescape;
use crate::scan::fold::{self, SEPARATOR};
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// Hashes are hashed already.
#[derive(Default)]
pub struct Identity(u64);

impl Hasher for Identity {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }
    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }
}

/// A map by hashes.
pub type ByHash<T> = HashMap<u64, T, BuildHasherDefault<Identity>>;

/// What a document yields.
#[derive(Clone, Debug, Default)]
pub struct Chosen {
    /// Its phrases, each once.
    pub phrases: Vec<Phrase>,
    /// The ids of all its runs of [`WORDS`] words: a phrase of somebody else that is among them is no longer unique.
    pub runs: Vec<u64>,
    /// How many words it has.
    pub words: u64,
}

/// Chooses phrases.
pub struct Selector {
    key: WordKey,
    /// Common words, and whether they may be anchors nevertheless, if nothing better is near: their rarity.
    common: ByHash<u32>,
}

/// The rarity of a word that is not common is at least this.
const RARE: u32 = 1000;
/// A phrase has at least so many different words that are not common.
const TELLING: usize = 3;

struct Read {
    hash: u64,
    start: [u8; START],
    len: u8,
    rarity: u32,
}

impl Selector {
    /// For an installation's word key.
    pub fn new(key: WordKey) -> Self {
        let mut common = ByHash::<u32>::default();
        for list in LISTS {
            for (rank, word) in list.split_ascii_whitespace().enumerate() {
                let rarity = if rank < NEVER { 0 } else { u32::try_from(rank).unwrap_or(RARE).min(RARE - 1) };
                let known = common.entry(key.word(word.as_bytes())).or_insert(rarity);
                *known = rarity.min(*known);
            }
        }
        Self { key, common }
    }

    /// The key.
    pub fn key(&self) -> &WordKey {
        &self.key
    }

    fn read(&self, text: &str) -> Vec<Read> {
        let mut words = Vec::with_capacity(text.len() / 6);
        each_word(&self.key, text, |word| {
            let hash = self.key.word(word);
            // Long words are rare words.
            let long = u32::try_from(word.len()).unwrap_or(64).min(24).saturating_mul(8);
            let rarity = self.common.get(&hash).copied().unwrap_or(RARE.saturating_add(long));
            let mut start = [0; START];
            start.iter_mut().zip(word).for_each(|(slot, byte)| *slot = *byte);
            words.push(Read { hash, start, len: u8::try_from(word.len().min(START)).unwrap_or(0), rarity });
        });
        let mut times = ByHash::<u32>::with_capacity_and_hasher(words.len() / 3, BuildHasherDefault::default());
        for word in words.iter().filter(|word| word.rarity >= RARE) {
            let count = times.entry(word.hash).or_default();
            *count = count.saturating_add(1);
        }
        // What a document repeats is what its kind of text repeats.
        for word in &mut words {
            if let Some(count) = times.get(&word.hash) {
                word.rarity = word.rarity.saturating_sub(count.ilog2().saturating_mul(12)).max(RARE);
            }
        }
        words
    }

    /// What a document yields. Of runs for which `taken` says that they are no one's, or somebody else's, one is chosen only where there is no
    /// other: it comes into force when it is this tenant's alone.
    pub fn choose(&self, text: &str, taken: impl Fn(u64) -> bool) -> Chosen {
        let words = self.read(text);
        let runs: Vec<u64> = words.windows(WORDS).map(|run| self.id(run)).collect();
        let mut scores: Vec<u32> = words.windows(WORDS).map(score).collect();
        let mut phrases = Vec::with_capacity(words.len() / 3);
        let mut seen = ByHash::<()>::with_capacity_and_hasher(words.len() / 3, BuildHasherDefault::default());
        let (mut last, mut waiting): (Option<usize>, Option<usize>) = (None, None);
        let window = WINDOW.min(scores.len());
        for first in 0..scores.len().saturating_add(1).saturating_sub(window.max(1)) {
            if last.is_some_and(|last| last >= first) {
                continue;
            }
            let mut choose = |at: usize| {
                let phrase = self.phrase(words.get(at..).unwrap_or_default());
                if let Some(phrase) = phrase.filter(|phrase| seen.insert(phrase.id, ()).is_none()) {
                    phrases.push(phrase);
                }
            };
            let chosen = last;
            // The rarest begin; of equals the later one, which serves more windows.
            while let Some((at, id)) = best(&scores, &runs, first, window) {
                if taken(id) {
                    scores.get_mut(at).into_iter().for_each(|score| *score = 0);
                    continue;
                }
                last = Some(at);
                choose(at);
                break;
            }
            if last == chosen && waiting.is_none_or(|waiting| waiting < first) {
                let here = words.windows(WORDS).enumerate().skip(first).take(window);
                let best = here.map(|(at, run)| (score(run), at)).filter(|(score, _)| *score > 0).max();
                if let Some((_, at)) = best {
                    waiting = Some(at);
                    choose(at);
                }
            }
        }
        let mut runs = runs;
        runs.extend(self.decoded_runs(text));
        Chosen { phrases, runs, words: words.len() as u64 }
    }

    /// The ids of all runs of [`WORDS`] words of a text, also as who decodes its escapes reads it: what the scanner may read in it.
    pub fn runs(&self, text: &str) -> Vec<u64> {
        let mut runs: Vec<u64> = self.read(text).windows(WORDS).map(|run| self.id(run)).collect();
        runs.extend(self.decoded_runs(text));
        runs
    }

    fn decoded_runs(&self, text: &str) -> Vec<u64> {
        if !text.contains('\\') {
            return Vec::new();
        }
        self.read(&decoded(text)).windows(WORDS).map(|run| self.id(run)).collect()
    }

    fn id(&self, run: &[Read]) -> u64 {
        let mut words = run.iter().map(|word| word.hash);
        let first = words.next().unwrap_or(0);
        words.fold(first, |prefix, word| self.key.chain(prefix, word))
    }

    fn phrase(&self, words: &[Read]) -> Option<Phrase> {
        let (first, rest) = words.get(..WORDS)?.split_first()?;
        let mut prefix = first.hash;
        let (mut inner, mut starts) = ([0; INNER], [0; STARTS]);
        for (at, word) in rest.iter().enumerate() {
            let slots = starts.chunks_exact_mut(START).nth(at).unwrap_or_default();
            for (slot, len) in slots.iter_mut().zip(1..) {
                let start = word.start.get(..usize::from(word.len).min(len))?;
                *slot = cut(self.key.chain(prefix, self.key.word(start)));
            }
            prefix = self.key.chain(prefix, word.hash);
            if let Some(slot) = inner.get_mut(at) {
                *slot = cut(prefix);
            }
        }
        Some(Phrase { id: prefix, anchor: cut(first.hash), inner, starts })
    }
}

/// The part of a hash that is kept of a prefix.
#[inline]
#[allow(clippy::cast_possible_truncation)]
pub(super) fn cut(hash: u64) -> u32 {
    hash as u32
}

/// The best run of a window, if any will do.
fn best(scores: &[u32], runs: &[u64], first: usize, window: usize) -> Option<(usize, u64)> {
    let scores = scores.get(first..first.saturating_add(window))?;
    let best = scores.iter().enumerate().filter(|(_, score)| **score > 0).max_by_key(|(_, score)| **score)?;
    let at = first.saturating_add(best.0);
    runs.get(at).map(|id| (at, *id))
}

/// How well a run of words would do as a phrase: 0 for not at all.
fn score(run: &[Read]) -> u32 {
    let Some((anchor, rest)) = run.split_first() else { return 0 };
    if anchor.rarity == 0 {
        return 0;
    }
    let (mut known, mut different) = ([0u64; TELLING], 0usize);
    for word in run.iter().filter(|word| word.rarity >= RARE) {
        if known.iter().take(different).any(|hash| *hash == word.hash) {
            continue;
        }
        let Some(slot) = known.get_mut(different) else { break };
        *slot = word.hash;
        different = different.saturating_add(1);
    }
    if different < TELLING {
        return 0;
    }
    // Of anchors as rare, the one whose next word is rare: fewer texts are held for a second word.
    let next = rest.first().map_or(0, |word| word.rarity);
    anchor.rarity.saturating_mul(8).saturating_add(next / 8)
}

/// A text without its escapes, as `reading` reads it the second time.
fn decoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        out.push_str(before);
        // What was escaped twice, too.
        let after = after.trim_start_matches('\\');
        match unescape(format!("\\{}", after.chars().take(11).collect::<String>()).as_bytes()) {
            Some((c, len)) => {
                out.push(c);
                rest = after.get(len.saturating_sub(1)..).unwrap_or("");
            }
            None => {
                out.push('\\');
                rest = after;
            }
        }
    }
    out.push_str(rest);
    out
}

/// Calls `each` with the folded bytes of each word.
pub(super) fn each_word(key: &WordKey, text: &str, mut each: impl FnMut(&[u8])) {
    let mut word = Word::default();
    for c in text.chars() {
        if let Some(byte) = u8::try_from(c).ok().filter(u8::is_ascii) {
            let byte = fold::ascii(byte);
            if byte != SEPARATOR {
                word.push(key, byte);
            } else if !word.is_empty() {
                each(word.bytes());
                word.clear();
            }
            continue;
        }
        fold::char(c, |byte| {
            if byte != SEPARATOR {
                word.push(key, byte);
            } else if !word.is_empty() {
                each(word.bytes());
                word.clear();
            }
        });
    }
    if !word.is_empty() {
        each(word.bytes());
    }
}

//! Documents that tenants write through the vector databases, on their way to the control plane: as hashes, never as text.
//!
//! The proxy has the key of words, so it reads a text while its request is at hand and keeps only what the control plane keeps of a
//! document. The name says where the text is: `rag:SURFACE/COLLECTION/ID`.

use crate::phrase::{Chosen, Phrase, Selector};
use crate::rag::written::{Becomes, Writes};
use crate::tenant::TenantId;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

/// What the filter posts to `/v1/rag-writes`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Harvest {
    /// Which worker speaks.
    pub instance: String,
    /// Documents that could not be read or told since the last report that arrived.
    pub lost: u64,
    /// In the order of the requests.
    pub writes: Vec<Written>,
}

/// What a tenant has written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Written {
    /// Whose it is.
    pub tenant: TenantId,
    /// The document's name.
    pub document: String,
    /// What becomes of it.
    pub change: Change,
}

/// What becomes of a document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// This, whatever it was.
    Put(Hashes),
    /// This, beside what it was.
    Add(Hashes),
    /// It is gone.
    Remove,
}

/// A document without its text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hashes {
    /// Bytes of its text.
    pub bytes: u64,
    /// Its words.
    pub words: u64,
    /// All runs, 8 bytes each, little endian, in base64.
    pub runs: String,
    /// The phrases that were chosen, packed, in base64.
    pub phrases: String,
}

impl Hashes {
    fn of(selector: &Selector, text: &str) -> Self {
        let chosen = selector.choose(text, |_| false);
        let runs: Vec<u8> = chosen.runs.iter().flat_map(|id| id.to_le_bytes()).collect();
        let mut phrases = Vec::with_capacity(chosen.phrases.len().saturating_mul(Phrase::PACKED));
        chosen.phrases.iter().for_each(|phrase| phrase.pack(&mut phrases));
        let bytes = u64::try_from(text.len()).unwrap_or(u64::MAX);
        Self { bytes, words: chosen.words, runs: STANDARD.encode(runs), phrases: STANDARD.encode(phrases) }
    }

    /// What the document yields; `None` when it is none of ours.
    pub fn chosen(&self) -> Option<Chosen> {
        let (runs, phrases) = (STANDARD.decode(&self.runs).ok()?, STANDARD.decode(&self.phrases).ok()?);
        let eights = runs.chunks_exact(8);
        let whole = eights.remainder().is_empty() && phrases.len().is_multiple_of(Phrase::PACKED);
        let runs = eights.filter_map(|eight| eight.try_into().ok()).map(u64::from_le_bytes).collect();
        let phrases = phrases.chunks_exact(Phrase::PACKED).map(Phrase::unpack).collect::<Option<_>>()?;
        whole.then_some(Chosen { phrases, runs, words: self.words })
    }
}

/// What a request of a tenant has written, as hashes.
pub fn harvest(selector: &Selector, tenant: &TenantId, writes: Writes) -> Vec<Written> {
    let one = |(document, becomes)| {
        let change = match becomes {
            Becomes::This(text) => Change::Put(Hashes::of(selector, &text)),
            Becomes::Also(text) => Change::Add(Hashes::of(selector, &text)),
            Becomes::Gone => Change::Remove,
        };
        Written { tenant: tenant.clone(), document, change }
    };
    writes.documents.into_iter().map(one).collect()
}

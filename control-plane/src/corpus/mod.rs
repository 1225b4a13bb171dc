//! What tenants have written, as hashes: which runs of words are whose, and which phrases are in force.
//!
//! A phrase is in force while a document chose it, exactly one tenant has written it, and it is not common language. So
//! all runs of all documents count, also those that were not chosen: a tenant's own words never block it.

mod shard;

use partywall_core::phrase::{Chosen, Phrase};
use partywall_core::tenant::TenantId;
use sha2::{Digest as _, Sha256};
use shard::{Choice, MANY, SEVERAL, SHARDS, Shard, dealt, each, shard_of};
use std::collections::{BTreeMap, HashMap};

/// A tenant's number in here.
pub type Owner = u32;

/// A document, without its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// How many bytes its text had.
    pub bytes: u64,
    /// How many words.
    pub words: u64,
    /// Unix seconds.
    pub created_at: u64,
    /// How many phrases it yields.
    pub phrases: u64,
}

/// What a document yields, as it is kept.
#[derive(Clone, Copy)]
pub struct Packed<'r> {
    /// Its runs of words, eight bytes each.
    pub runs: &'r [u8],
    /// Its phrases, as [`Phrase::pack`] has them.
    pub phrases: &'r [u8],
}

impl<'r> Packed<'r> {
    fn runs(&self) -> impl Iterator<Item = u64> + use<'r> {
        longs(self.runs)
    }

    /// As it was chosen.
    pub fn chosen(&self, words: u64) -> Option<Chosen> {
        let phrases = self.phrases.chunks_exact(Phrase::PACKED).map(Phrase::unpack).collect::<Option<_>>()?;
        Some(Chosen { phrases, runs: self.runs().collect(), words })
    }
}

/// Numbers, little endian.
pub fn longs(bytes: &[u8]) -> impl Iterator<Item = u64> {
    bytes.chunks_exact(8).filter_map(|eight| eight.try_into().ok()).map(u64::from_le_bytes)
}

/// What stands for a tenant, the same in every control plane.
fn mark(tenant: &TenantId) -> u128 {
    let digest = Sha256::digest(tenant.as_str());
    u128::from_be_bytes(std::array::from_fn(|at| digest.get(at).copied().unwrap_or(0)))
}

/// Everything that tenants have written.
pub struct Corpus {
    /// With a number that stands for each of them everywhere.
    tenants: Vec<(TenantId, u128)>,
    numbers: HashMap<TenantId, Owner>,
    documents: BTreeMap<(TenantId, String), Document>,
    shards: Vec<Shard>,
    in_force: u64,
    /// Stands for all phrases in force and their owners.
    sum: u128,
}

impl Default for Corpus {
    fn default() -> Self {
        Self {
            tenants: Vec::new(),
            numbers: HashMap::new(),
            documents: BTreeMap::new(),
            shards: (0..SHARDS).map(|_| Shard::default()).collect(),
            in_force: 0,
            sum: 0,
        }
    }
}

impl Corpus {
    fn shard(&self, id: u64) -> Option<&Shard> {
        self.shards.get(shard_of(id))
    }

    fn choice(&self, id: u64) -> Option<(&Shard, &Choice)> {
        let shard = self.shard(id)?;
        shard.chosen.get(&id).map(|choice| (shard, choice))
    }

    /// The number of a tenant; a new one where it has none.
    fn number(&mut self, tenant: &TenantId) -> Owner {
        if let Some(number) = self.numbers.get(tenant) {
            return *number;
        }
        let number = Owner::try_from(self.tenants.len()).unwrap_or(SEVERAL - 1);
        self.tenants.push((tenant.clone(), mark(tenant)));
        self.numbers.insert(tenant.clone(), number);
        number
    }

    /// The tenant of a number.
    pub fn tenant(&self, owner: Owner) -> Option<&TenantId> {
        self.tenants.get(owner as usize).map(|(tenant, _)| tenant)
    }

    /// A phrase by its id.
    pub fn phrase(&self, id: u64) -> Option<&Phrase> {
        self.choice(id).and_then(|(shard, choice)| shard.phrases.get(choice.slot as usize))
    }

    /// Whose a phrase is, if it is in force.
    pub fn owner(&self, id: u64) -> Option<Owner> {
        self.choice(id).and_then(|(_, choice)| choice.published)
    }

    /// All tenants by their numbers.
    pub fn tenants(&self) -> Vec<TenantId> {
        self.tenants.iter().map(|(tenant, _)| tenant.clone()).collect()
    }

    /// All phrases in force under this reported number, with their owners; all hashes differ, numbers may meet.
    pub fn numbered(&self, number: u64) -> Vec<(u64, Option<TenantId>)> {
        let all = self.shards.iter().flat_map(|shard| &shard.chosen);
        let wanted = all.filter(|(id, _)| Phrase::number(**id) == number);
        wanted.map(|(id, choice)| (*id, choice.published.and_then(|owner| self.tenant(owner).cloned()))).collect()
    }

    /// How many phrases are in force.
    pub fn in_force(&self) -> u64 {
        self.in_force
    }

    /// How many phrases documents chose, whether in force or not: any of these may come into force.
    pub fn chosen(&self) -> u64 {
        self.shards.iter().map(|shard| shard.chosen.len() as u64).sum()
    }

    /// What stands for all phrases in force and their owners, in whatever order they came.
    pub fn sum(&self) -> u128 {
        self.sum
    }

    /// How many runs of words are common language.
    pub fn common(&self) -> usize {
        self.shards.iter().map(|shard| shard.common.len()).sum()
    }

    /// Whether a run is no one's, or somebody else's too: no phrase of this tenant.
    pub fn taken(&self, id: u64, tenant: &TenantId) -> bool {
        let own = self.numbers.get(tenant).copied();
        let Some(shard) = self.shard(id) else { return false };
        shard.common.contains_key(&id) || shard.runs.get(&id).is_some_and(|(owner, _)| Some(*owner) != own)
    }

    /// A tenant's documents, by name.
    pub fn documents(&self, tenant: &TenantId) -> impl Iterator<Item = (&str, &Document)> {
        let from = self.documents.range((tenant.clone(), String::new())..);
        from.take_while(move |((owner, _), _)| owner == tenant).map(|((_, name), document)| (name.as_str(), document))
    }

    /// One document.
    pub fn document(&self, tenant: &TenantId, name: &str) -> Option<&Document> {
        self.documents.get(&(tenant.clone(), name.to_owned()))
    }

    /// A document that was not here.
    pub fn add(&mut self, tenant: &TenantId, name: &str, document: Document, chosen: &Chosen) {
        let runs: Vec<u8> = chosen.runs.iter().flat_map(|id| id.to_le_bytes()).collect();
        let mut phrases = Vec::with_capacity(chosen.phrases.len() * Phrase::PACKED);
        chosen.phrases.iter().for_each(|phrase| phrase.pack(&mut phrases));
        self.add_all(&[(tenant, name, &document, Packed { runs: &runs, phrases: &phrases })]);
    }

    /// Documents that were not here.
    pub fn add_all(&mut self, documents: &[(&TenantId, &str, &Document, Packed<'_>)]) {
        let mut owners = Vec::with_capacity(documents.len());
        for (tenant, name, document, _) in documents {
            owners.push(self.number(tenant));
            self.documents.insert(((*tenant).clone(), (*name).to_owned()), (*document).clone());
        }
        let count = documents.iter().map(|(.., packed)| packed.runs.len() / 8).sum();
        let runs = documents.iter().zip(&owners).flat_map(|((.., packed), own)| packed.runs().map(|id| (id, *own)));
        let runs = dealt(runs, count, |(id, _)| *id);
        let total = documents.iter().map(|(.., packed)| packed.phrases.len() / Phrase::PACKED).sum();
        let phrases = documents.iter().flat_map(|(.., packed)| packed.phrases.chunks_exact(Phrase::PACKED));
        let phrases = dealt(phrases, total, |packed| longs(packed).next().unwrap_or(0));
        each(&mut self.shards, count > MANY, |at, shard| {
            let (Some(runs), Some(phrases)) = (runs.get(at), phrases.get(at)) else { return };
            shard.runs.reserve(runs.len());
            shard.chosen.reserve(phrases.len());
            runs.iter().for_each(|(id, own)| shard.add_run(*id, *own));
            phrases.iter().filter_map(|packed| Phrase::unpack(packed)).for_each(|phrase| shard.add_phrase(&phrase));
        });
    }

    /// A document goes; `chosen` is what it was added with.
    pub fn remove(&mut self, tenant: &TenantId, name: &str, chosen: &Chosen) {
        let own = self.number(tenant);
        if self.documents.remove(&(tenant.clone(), name.to_owned())).is_none() {
            return;
        }
        for id in &chosen.runs {
            if let Some(shard) = self.shards.get_mut(shard_of(*id)) {
                shard.remove_run(*id, own);
            }
        }
        for phrase in &chosen.phrases {
            if let Some(shard) = self.shards.get_mut(shard_of(phrase.id)) {
                shard.remove_phrase(phrase.id);
            }
        }
    }

    /// More common language.
    pub fn add_common(&mut self, runs: &[u64]) {
        for id in runs {
            let Some(shard) = self.shards.get_mut(shard_of(*id)) else { continue };
            if shard.common.insert(*id, ()).is_none() && shard.chosen.contains_key(id) {
                shard.touched.push(*id);
            }
        }
    }

    /// Nothing is common language any more, but for the words that are built in.
    pub fn clear_common(&mut self) {
        for shard in &mut self.shards {
            let common = std::mem::take(&mut shard.common);
            shard.touched.extend(common.into_keys().filter(|id| shard.chosen.contains_key(id)));
        }
    }

    /// The phrases that came into force, went out of it or changed hands since the last call.
    pub fn changes(&mut self) -> Vec<u64> {
        let touched: usize = self.shards.iter().map(|shard| shard.touched.len()).sum();
        if touched == 0 {
            return Vec::new();
        }
        let tenants = &self.tenants;
        let found = each(&mut self.shards, touched > MANY, |_, shard| shard.changes(tenants));
        let mut changed = Vec::with_capacity(touched);
        for found in found {
            changed.extend(found.changed);
            self.in_force = (self.in_force + found.on).saturating_sub(found.off);
            self.sum = self.sum.wrapping_add(found.sum);
        }
        changed
    }

    /// All phrases in force.
    pub fn all(&self) -> Vec<(u64, Owner)> {
        let chosen = self.shards.iter().flat_map(|shard| &shard.chosen);
        chosen.filter_map(|(id, choice)| choice.published.map(|owner| (*id, owner))).collect()
    }
}

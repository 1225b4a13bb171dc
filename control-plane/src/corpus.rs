//! What tenants have written, as hashes: which runs of words are whose, and which phrases are in force.
//!
//! A phrase is in force while a document chose it, exactly one tenant has written it, and it is not common language. So
//! all runs of all documents count, also those that were not chosen: a tenant's own words never block it.

use partywall_core::phrase::{ByHash, Chosen, Phrase};
use partywall_core::tenant::TenantId;
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, HashMap};

/// A tenant's number in here.
pub type Owner = u32;
/// Several tenants: see `shared`.
const SEVERAL: Owner = Owner::MAX;

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

/// A phrase that documents chose. Small: the table of these grows often, so what a phrase is stands elsewhere.
struct Choice {
    /// Where the phrase is.
    slot: u32,
    /// How many documents chose it.
    documents: u32,
    /// Whose it is where it is in force.
    published: Option<Owner>,
}

/// What stands for a tenant, the same in every control plane.
fn mark(tenant: &TenantId) -> u128 {
    let digest = Sha256::digest(tenant.as_str());
    u128::from_be_bytes(std::array::from_fn(|at| digest.get(at).copied().unwrap_or(0)))
}

/// A phrase's part in the sum.
fn weight(tenants: &[(TenantId, u128)], id: u64, owner: Owner) -> u128 {
    tenants.get(owner as usize).map_or(0, |(_, mark)| (mark | 1).wrapping_mul(u128::from(id) + 1))
}

/// Everything that tenants have written.
#[derive(Default)]
pub struct Corpus {
    /// With a number that stands for each of them everywhere.
    tenants: Vec<(TenantId, u128)>,
    numbers: HashMap<TenantId, Owner>,
    documents: BTreeMap<(TenantId, String), Document>,
    /// Who wrote a run of words, and how often.
    runs: ByHash<(Owner, u32)>,
    shared: ByHash<Vec<(Owner, u32)>>,
    chosen: ByHash<Choice>,
    phrases: Vec<Phrase>,
    /// Places in `phrases` that can be taken.
    free: Vec<u32>,
    common: ByHash<()>,
    touched: Vec<u64>,
    in_force: u64,
    /// Stands for all phrases in force and their owners.
    sum: u128,
}

impl Corpus {
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
        self.chosen.get(&id).and_then(|choice| self.phrases.get(choice.slot as usize))
    }

    /// Whose a phrase is, if it is in force.
    pub fn owner(&self, id: u64) -> Option<Owner> {
        self.chosen.get(&id).and_then(|choice| choice.published)
    }

    /// All tenants by their numbers.
    pub fn tenants(&self) -> Vec<TenantId> {
        self.tenants.iter().map(|(tenant, _)| tenant.clone()).collect()
    }

    /// Makes room for so many more runs and phrases, at once rather than by and by.
    pub fn reserve(&mut self, runs: usize, phrases: usize) {
        self.runs.reserve(runs);
        self.chosen.reserve(phrases);
        self.phrases.reserve(phrases.saturating_sub(self.free.len()));
        self.touched.reserve(phrases);
    }

    /// All phrases in force under this reported number, with their owners; all hashes differ, numbers may meet.
    pub fn numbered(&self, number: u64) -> Vec<(u64, Option<TenantId>)> {
        let wanted = self.chosen.iter().filter(|(id, _)| Phrase::number(**id) == number);
        wanted.map(|(id, choice)| (*id, choice.published.and_then(|owner| self.tenant(owner).cloned()))).collect()
    }

    /// How many phrases are in force.
    pub fn in_force(&self) -> u64 {
        self.in_force
    }

    /// What stands for all phrases in force and their owners, in whatever order they came.
    pub fn sum(&self) -> u128 {
        self.sum
    }

    /// How many runs of words are common language.
    pub fn common(&self) -> usize {
        self.common.len()
    }

    /// Whether a run is no one's, or somebody else's too: no phrase of this tenant.
    pub fn taken(&self, id: u64, tenant: &TenantId) -> bool {
        let own = self.numbers.get(tenant).copied();
        self.common.contains_key(&id) || self.runs.get(&id).is_some_and(|(owner, _)| Some(*owner) != own)
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
        let own = self.number(tenant);
        self.documents.insert((tenant.clone(), name.to_owned()), document);
        for id in &chosen.runs {
            let (owner, count) = self.runs.entry(*id).or_insert((own, 0));
            if *owner == own {
                *count += 1;
                continue;
            }
            if *owner != SEVERAL {
                self.shared.insert(*id, vec![(*owner, *count)]);
                (*owner, *count) = (SEVERAL, 0);
            }
            let owners = self.shared.entry(*id).or_default();
            match owners.iter_mut().find(|(owner, _)| *owner == own) {
                Some((_, count)) => *count += 1,
                None => owners.push((own, 1)),
            }
            self.touched.push(*id);
        }
        for phrase in &chosen.phrases {
            let (phrases, free) = (&mut self.phrases, &mut self.free);
            let choice = self.chosen.entry(phrase.id).or_insert_with(|| {
                let slot = free.pop().unwrap_or_else(|| {
                    phrases.push(*phrase);
                    u32::try_from(phrases.len() - 1).unwrap_or(u32::MAX)
                });
                if let Some(place) = phrases.get_mut(slot as usize) {
                    *place = *phrase;
                }
                Choice { slot, documents: 0, published: None }
            });
            choice.documents += 1;
            self.touched.push(phrase.id);
        }
    }

    /// A document goes; `chosen` is what it was added with.
    pub fn remove(&mut self, tenant: &TenantId, name: &str, chosen: &Chosen) {
        let own = self.number(tenant);
        if self.documents.remove(&(tenant.clone(), name.to_owned())).is_none() {
            return;
        }
        for id in &chosen.runs {
            let Some((owner, count)) = self.runs.get_mut(id) else { continue };
            if *owner == own {
                *count = count.saturating_sub(1);
                if *count == 0 {
                    self.runs.remove(id);
                }
                continue;
            }
            let Some(owners) = self.shared.get_mut(id) else { continue };
            for (_, count) in owners.iter_mut().filter(|(owner, _)| *owner == own) {
                *count = count.saturating_sub(1);
            }
            owners.retain(|(_, count)| *count > 0);
            if let [(last, times)] = owners[..] {
                // Unique again.
                (*owner, *count) = (last, times);
                self.shared.remove(id);
                self.touched.push(*id);
            }
        }
        for phrase in &chosen.phrases {
            if let Some(choice) = self.chosen.get_mut(&phrase.id) {
                choice.documents = choice.documents.saturating_sub(1);
                self.touched.push(phrase.id);
            }
        }
    }

    /// More common language.
    pub fn add_common(&mut self, runs: &[u64]) {
        for id in runs {
            if self.common.insert(*id, ()).is_none() && self.chosen.contains_key(id) {
                self.touched.push(*id);
            }
        }
    }

    /// Nothing is common language any more, but for the words that are built in.
    pub fn clear_common(&mut self) {
        let common = std::mem::take(&mut self.common);
        self.touched.extend(common.into_keys().filter(|id| self.chosen.contains_key(id)));
    }

    /// The phrases that came into force, went out of it or changed hands since the last call.
    pub fn changes(&mut self) -> Vec<u64> {
        let mut changed = Vec::with_capacity(self.touched.len());
        for id in std::mem::take(&mut self.touched) {
            let Some(choice) = self.chosen.get_mut(&id) else { continue };
            let owner = self.runs.get(&id).map(|(owner, _)| *owner).filter(|owner| *owner != SEVERAL);
            let owner = owner.filter(|_| choice.documents > 0 && !self.common.contains_key(&id));
            if owner != choice.published {
                if let Some(former) = choice.published {
                    self.sum = self.sum.wrapping_sub(weight(&self.tenants, id, former));
                    self.in_force = self.in_force.saturating_sub(1);
                }
                if let Some(owner) = owner {
                    self.sum = self.sum.wrapping_add(weight(&self.tenants, id, owner));
                    self.in_force += 1;
                }
                choice.published = owner;
                changed.push(id);
            }
            if choice.documents == 0 {
                self.free.push(choice.slot);
                self.chosen.remove(&id);
            }
        }
        changed
    }

    /// All phrases in force.
    pub fn all(&self) -> Vec<(u64, Owner)> {
        self.chosen.iter().filter_map(|(id, choice)| choice.published.map(|owner| (*id, owner))).collect()
    }
}

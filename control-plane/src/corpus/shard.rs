//! The corpus in parts: who wrote a run of words, which phrases were chosen, which of them are in force.

use super::Owner;
use partywall_core::phrase::{ByHash, Phrase};
use partywall_core::tenant::TenantId;

/// Several tenants: see `shared`.
pub(super) const SEVERAL: Owner = Owner::MAX;

/// A phrase that documents chose. Small: the table of these grows often, so what a phrase is stands elsewhere.
pub(super) struct Choice {
    /// Where the phrase is.
    pub(super) slot: u32,
    /// How many documents chose it.
    documents: u32,
    /// Whose it is where it is in force.
    pub(super) published: Option<Owner>,
}

/// A phrase's part in the sum.
fn weight(tenants: &[(TenantId, u128)], id: u64, owner: Owner) -> u128 {
    tenants.get(owner as usize).map_or(0, |(_, mark)| (mark | 1).wrapping_mul(u128::from(id) + 1))
}

/// How many parts the tables are cut into: each is small enough for a processor's cache, and several are filled at once.
pub(super) const SHARDS: usize = 64;
/// From so many runs on, a change is made on all cores.
pub(super) const MANY: usize = 20_000;

/// Where a hash belongs. The table itself uses the lowest and the highest bits.
pub(super) fn shard_of(id: u64) -> usize {
    usize::try_from(id >> 40).unwrap_or(0) % SHARDS
}

/// A part of the corpus: everything about its hashes.
#[derive(Default)]
pub(super) struct Shard {
    /// Who wrote a run of words, and how often.
    pub(super) runs: ByHash<(Owner, u32)>,
    shared: ByHash<Vec<(Owner, u32)>>,
    pub(super) chosen: ByHash<Choice>,
    pub(super) phrases: Vec<Phrase>,
    /// Places in `phrases` that can be taken.
    free: Vec<u32>,
    pub(super) common: ByHash<()>,
    pub(super) touched: Vec<u64>,
}

/// What a part found when it looked at what was touched.
#[derive(Default)]
pub(super) struct Found {
    pub(super) changed: Vec<u64>,
    pub(super) on: u64,
    pub(super) off: u64,
    pub(super) sum: u128,
}

impl Shard {
    pub(super) fn add_run(&mut self, id: u64, own: Owner) {
        let (owner, count) = self.runs.entry(id).or_insert((own, 0));
        if *owner == own {
            *count += 1;
            return;
        }
        if *owner != SEVERAL {
            self.shared.insert(id, vec![(*owner, *count)]);
            (*owner, *count) = (SEVERAL, 0);
        }
        let owners = self.shared.entry(id).or_default();
        match owners.iter_mut().find(|(owner, _)| *owner == own) {
            Some((_, count)) => *count += 1,
            None => owners.push((own, 1)),
        }
        self.touched.push(id);
    }

    pub(super) fn remove_run(&mut self, id: u64, own: Owner) {
        let Some((owner, count)) = self.runs.get_mut(&id) else { return };
        if *owner == own {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.runs.remove(&id);
            }
            return;
        }
        let Some(owners) = self.shared.get_mut(&id) else { return };
        for (_, count) in owners.iter_mut().filter(|(owner, _)| *owner == own) {
            *count = count.saturating_sub(1);
        }
        owners.retain(|(_, count)| *count > 0);
        if let [(last, times)] = owners[..] {
            // Unique again.
            (*owner, *count) = (last, times);
            self.shared.remove(&id);
            self.touched.push(id);
        }
    }

    pub(super) fn add_phrase(&mut self, phrase: &Phrase) {
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

    pub(super) fn remove_phrase(&mut self, id: u64) {
        if let Some(choice) = self.chosen.get_mut(&id) {
            choice.documents = choice.documents.saturating_sub(1);
            self.touched.push(id);
        }
    }

    pub(super) fn changes(&mut self, tenants: &[(TenantId, u128)]) -> Found {
        let mut found = Found::default();
        for id in std::mem::take(&mut self.touched) {
            let Some(choice) = self.chosen.get_mut(&id) else { continue };
            let owner = self.runs.get(&id).map(|(owner, _)| *owner).filter(|owner| *owner != SEVERAL);
            let owner = owner.filter(|_| choice.documents > 0 && !self.common.contains_key(&id));
            if owner != choice.published {
                if let Some(former) = choice.published {
                    found.sum = found.sum.wrapping_sub(weight(tenants, id, former));
                    found.off += 1;
                }
                if let Some(owner) = owner {
                    found.sum = found.sum.wrapping_add(weight(tenants, id, owner));
                    found.on += 1;
                }
                choice.published = owner;
                found.changed.push(id);
            }
            if choice.documents == 0 {
                self.free.push(choice.slot);
                self.chosen.remove(&id);
            }
        }
        found
    }
}

/// Does the same with every part, on all cores where there is much to do.
pub(super) fn each<T: Send>(shards: &mut [Shard], many: bool, work: impl Fn(usize, &mut Shard) -> T + Sync) -> Vec<T> {
    let threads = if many { std::thread::available_parallelism().map_or(1, usize::from) } else { 1 };
    let size = shards.len().div_ceil(threads).max(1);
    let part = |at: usize, part: &mut [Shard]| -> Vec<T> {
        part.iter_mut().enumerate().map(|(n, shard)| work(at * size + n, shard)).collect()
    };
    let mut parts = shards.chunks_mut(size).enumerate();
    let Some((_, first)) = parts.next() else { return Vec::new() };
    std::thread::scope(|scope| {
        let others: Vec<_> = parts.map(|(at, shards)| scope.spawn(move || part(at, shards))).collect();
        let mut all = part(0, first);
        for other in others {
            match other.join() {
                Ok(found) => all.extend(found),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        all
    })
}

/// What each part gets of something.
pub(super) fn dealt<T>(items: impl Iterator<Item = T>, expected: usize, id: impl Fn(&T) -> u64) -> Vec<Vec<T>> {
    let each = expected / SHARDS + expected / SHARDS / 8 + 4;
    let mut dealt: Vec<Vec<T>> = (0..SHARDS).map(|_| Vec::with_capacity(each)).collect();
    for item in items {
        if let Some(part) = dealt.get_mut(shard_of(id(&item))) {
            part.push(item);
        }
    }
    dealt
}

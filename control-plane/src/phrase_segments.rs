//! Phrases as the filters get them: as `segments` does with literals, for many more of them. A change costs a sidecar the
//! smallest segment that takes it.

use crate::corpus::{Corpus, Owner};
use partywall_core::phrase::{self, Key, Phrase, TooMany, WireKey};
use partywall_core::snapshot::wire::Segment;
use partywall_core::tenant::TenantId;
use sha2::{Digest, Sha256};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The most phrases of `tip`.
const TIP: usize = 256;
/// The most phrases of `mid`, while `base` is small; else a quarter of it.
const MID: usize = 8192;
/// With so many removed, `base` is rebuilt.
const REMOVED: usize = 2048;
/// How long a replaced blob stays available.
const LINGER: Duration = Duration::from_secs(600);

#[derive(Clone, Default)]
struct Tier {
    /// Sorted by id.
    members: Arc<Vec<(u64, Owner)>>,
    segment: Option<(Segment, Arc<Vec<u8>>)>,
}

impl Tier {
    fn find(&self, id: u64) -> Option<Owner> {
        let at = self.members.binary_search_by_key(&id, |(id, _)| *id).ok()?;
        self.members.get(at).map(|(_, owner)| *owner)
    }

    fn add(&mut self, more: impl IntoIterator<Item = (u64, Owner)>) {
        let members = Arc::make_mut(&mut self.members);
        members.extend(more);
        members.sort_unstable();
        members.dedup();
    }

    fn remove(&mut self, gone: &BTreeSet<u64>) -> bool {
        if gone.is_empty() {
            return false;
        }
        Arc::make_mut(&mut self.members).retain(|(id, _)| !gone.contains(id));
        true
    }
}

/// What is to be compiled: all that this needs, so that nobody waits for it.
#[derive(Default)]
pub struct Plan {
    tiers: [Option<Vec<(Phrase, Owner)>>; 3],
    tenants: Vec<TenantId>,
    sum: u128,
}

/// All tiers.
#[derive(Clone)]
pub struct PhraseSegments {
    key: Key,
    base: Tier,
    mid: Tier,
    tip: Tier,
    removed: BTreeSet<u64>,
    retired: HashMap<String, (Arc<Vec<u8>>, Instant)>,
    sum: u128,
}

impl PhraseSegments {
    /// Nothing yet, under a key.
    pub fn new(key: Key) -> Self {
        Self {
            key,
            base: Tier::default(),
            mid: Tier::default(),
            tip: Tier::default(),
            removed: BTreeSet::new(),
            retired: HashMap::new(),
            sum: 0,
        }
    }

    /// The key of the segments.
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// What stands for the phrases in here and their owners: as [`Corpus::sum`], once they are in step.
    pub fn sum(&self) -> u128 {
        self.sum
    }

    /// Whether a change of so many phrases takes a while.
    pub fn is_heavy(&self, phrases: usize) -> bool {
        let waiting = self.tip.members.len() + self.mid.members.len();
        waiting + phrases > self.mid_limit() || self.removed.len() + phrases > REMOVED
    }

    fn mid_limit(&self) -> usize {
        MID.max(self.base.members.len() / 4)
    }

    /// Everything anew, under another key. Blobs of the old one stay available for a while.
    ///
    /// # Errors
    /// When there are too many phrases.
    pub fn rotate(&mut self, key: Key, corpus: &Corpus) -> Result<(), TooMany> {
        let mut next = Self::new(key);
        next.retired = std::mem::take(&mut self.retired);
        for tier in [&self.base, &self.mid, &self.tip] {
            if let Some((segment, blob)) = &tier.segment {
                next.retired.insert(segment.digest.clone(), (Arc::clone(blob), Instant::now()));
            }
        }
        next.base.add(corpus.all());
        let plan = next.gather(corpus, [true, false, false]);
        next.build(plan)?;
        *self = next;
        Ok(())
    }

    /// Takes a change in: `corpus` is what holds after it, `changed` the phrases that may stand otherwise than here.
    ///
    /// # Errors
    /// When there are too many phrases.
    pub fn change(&mut self, corpus: &Corpus, changed: &[u64]) -> Result<(), TooMany> {
        let plan = self.plan(corpus, changed);
        self.build(plan)
    }

    /// The quick part of [`PhraseSegments::change`], for which the corpus is needed. Until [`PhraseSegments::build`] has done the rest, this
    /// must not be published.
    pub fn plan(&mut self, corpus: &Corpus, changed: &[u64]) -> Plan {
        let (mut mid, mut tip, mut new) = (BTreeSet::new(), BTreeSet::new(), Vec::new());
        for id in changed {
            let owner = corpus.owner(*id);
            let mut held = false;
            for (tier, gone) in [(&self.mid, &mut mid), (&self.tip, &mut tip)] {
                match tier.find(*id) {
                    Some(known) if Some(known) == owner => held = true,
                    Some(_) => {
                        gone.insert(*id);
                    }
                    None => {}
                }
            }
            match self.base.find(*id) {
                // What comes back as it was in `base` need not travel again.
                Some(known) if Some(known) == owner => {
                    self.removed.remove(id);
                    held = true;
                }
                Some(_) => {
                    self.removed.insert(*id);
                }
                None => {}
            }
            if let Some(owner) = owner.filter(|_| !held) {
                new.push((*id, owner));
            }
        }
        let mut dirty = [false, self.mid.remove(&mid), self.tip.remove(&tip)];
        if !new.is_empty() {
            self.tip.add(new);
            dirty[2] = true;
        }
        if self.tip.members.len() > TIP {
            self.mid.add(std::mem::take(&mut self.tip.members).iter().copied());
            dirty[1] = true;
        }
        if self.mid.members.len() > self.mid_limit() || self.removed.len() > REMOVED {
            let removed = std::mem::take(&mut self.removed);
            self.base.remove(&removed);
            self.base.add(std::mem::take(&mut self.mid.members).iter().copied());
            dirty = [true, true, dirty[2]];
        }
        self.gather(corpus, dirty)
    }

    fn gather(&self, corpus: &Corpus, dirty: [bool; 3]) -> Plan {
        let tiers = [&self.base, &self.mid, &self.tip];
        let mut at = 0;
        let tiers = tiers.map(|tier| {
            at += 1;
            let phrase = |(id, owner): &(u64, Owner)| Some((*corpus.phrase(*id)?, *owner));
            dirty.get(at - 1).is_some_and(|dirty| *dirty).then(|| tier.members.iter().filter_map(phrase).collect())
        });
        Plan { tiers, tenants: corpus.tenants(), sum: corpus.sum() }
    }

    /// Compiles what a plan found.
    ///
    /// # Errors
    /// When there are too many phrases.
    pub fn build(&mut self, plan: Plan) -> Result<(), TooMany> {
        let key = WireKey::new(&self.key);
        for (tier, members) in [&mut self.base, &mut self.mid, &mut self.tip].into_iter().zip(&plan.tiers) {
            let Some(members) = members else { continue };
            let named = |(phrase, owner): &(Phrase, Owner)| Some((*phrase, plan.tenants.get(*owner as usize)?));
            let members: Vec<_> = members.iter().filter_map(named).collect();
            let next = if members.is_empty() {
                None
            } else {
                let blob = phrase::compile(&members, &key)?;
                let digest = hex::encode(Sha256::digest(&blob));
                Some((Segment { digest, bytes: blob.len() as u64, entries: members.len() as u64 }, Arc::new(blob)))
            };
            if let Some((segment, blob)) = std::mem::replace(&mut tier.segment, next) {
                self.retired.insert(segment.digest, (blob, Instant::now()));
            }
        }
        self.sum = plan.sum;
        self.retired.retain(|_, (_, since)| since.elapsed() < LINGER);
        Ok(())
    }

    /// The segments of a manifest, largest first, and what is gone from the first.
    pub fn manifest(&self) -> (Vec<Segment>, Vec<u64>) {
        let key = WireKey::new(&self.key);
        let tiers = [&self.base, &self.mid, &self.tip];
        let segments = tiers.iter().filter_map(|tier| tier.segment.as_ref().map(|(segment, _)| segment.clone()));
        let mut removed: Vec<u64> = self.removed.iter().map(|id| key.id(*id)).collect();
        removed.sort_unstable();
        (segments.collect(), removed)
    }

    /// A blob by its digest.
    pub fn blob(&self, digest: &str) -> Option<Arc<Vec<u8>>> {
        let tiers = [&self.base, &self.mid, &self.tip];
        let mut current = tiers.iter().filter_map(|tier| tier.segment.as_ref());
        let found = current.find(|(segment, _)| segment.digest == digest).map(|(_, blob)| Arc::clone(blob));
        found.or_else(|| self.retired.get(digest).map(|(blob, _)| Arc::clone(blob)))
    }
}

//! Fingerprints as the filters get them: at most three segments, so that a change costs a sidecar little.
//!
//! New fingerprints enter `tip`; when it is full it flows into `mid`, and that into `base`. A fingerprint that goes
//! is taken out of `tip` or `mid` at once, and listed as removed while `base` still holds it. Blobs that were replaced stay
//! available for a while: a filter may be in the middle of fetching them.

use partywall_core::scan::{self, CompileError, Entry};
use partywall_core::snapshot::wire::Segment;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The most fingerprints of `tip`.
const TIP: usize = 64;
/// The most fingerprints of `mid`.
const MID: usize = 4096;
/// With so many removed, `base` is rebuilt.
const REMOVED: usize = 1024;
/// How long a replaced blob stays available.
const LINGER: Duration = Duration::from_secs(600);

#[derive(Clone, Default)]
struct Tier {
    ids: BTreeSet<u64>,
    segment: Option<(Segment, Arc<Vec<u8>>)>,
}

/// All tiers.
#[derive(Clone, Default)]
pub struct Segments {
    base: Tier,
    mid: Tier,
    tip: Tier,
    removed: BTreeSet<u64>,
    retired: HashMap<String, (Arc<Vec<u8>>, Instant)>,
}

impl Segments {
    /// Everything in `base`.
    ///
    /// # Errors
    /// When a fingerprint cannot be compiled.
    pub fn build(all: &BTreeMap<u64, Entry>) -> Result<Self, CompileError> {
        let mut segments = Self::default();
        segments.base.ids = all.keys().copied().collect();
        segments.base.rebuild(all, &mut segments.retired)?;
        Ok(segments)
    }

    /// Everything anew, in `base`: ids may mean something else than before. What is being fetched stays available.
    ///
    /// # Errors
    /// When a fingerprint cannot be compiled.
    pub fn rebuild(&self, all: &BTreeMap<u64, Entry>) -> Result<Self, CompileError> {
        let mut next = Self::build(all)?;
        next.retired = self.retired.clone();
        for (segment, blob) in [&self.base, &self.mid, &self.tip].into_iter().filter_map(|tier| tier.segment.as_ref()) {
            next.retired.insert(segment.digest.clone(), (Arc::clone(blob), Instant::now()));
        }
        Ok(next)
    }

    /// Takes a change in: `all` is what holds after it.
    ///
    /// # Errors
    /// When a fingerprint cannot be compiled.
    pub fn change(&mut self, all: &BTreeMap<u64, Entry>, added: &[u64], gone: &[u64]) -> Result<(), CompileError> {
        let (mut tip, mut mid, mut base) = (!added.is_empty(), false, false);
        for id in gone {
            tip |= self.tip.ids.remove(id);
            mid |= self.mid.ids.remove(id);
            if self.base.ids.contains(id) {
                self.removed.insert(*id);
            }
        }
        self.tip.ids.extend(added);
        if self.tip.ids.len() > TIP {
            self.mid.ids.append(&mut self.tip.ids);
            mid = true;
        }
        if self.mid.ids.len() > MID || self.removed.len() > REMOVED {
            self.base.ids.append(&mut self.mid.ids);
            self.base.ids.retain(|id| all.contains_key(id));
            self.removed.clear();
            (mid, base) = (true, true);
        }
        for (changed, tier) in [(base, &mut self.base), (mid, &mut self.mid), (tip, &mut self.tip)] {
            if changed {
                tier.rebuild(all, &mut self.retired)?;
            }
        }
        self.retired.retain(|_, (_, since)| since.elapsed() < LINGER);
        Ok(())
    }

    /// The segments of a manifest, largest first, and the ids that are gone.
    pub fn manifest(&self) -> (Vec<Segment>, Vec<u64>) {
        let tiers = [&self.base, &self.mid, &self.tip];
        let segments =
            tiers.iter().filter_map(|tier| tier.segment.as_ref().map(|(segment, _)| segment.clone())).collect();
        (segments, self.removed.iter().copied().collect())
    }

    /// A blob by its digest.
    pub fn blob(&self, digest: &str) -> Option<Arc<Vec<u8>>> {
        let current = [&self.base, &self.mid, &self.tip];
        let found =
            current.iter().filter_map(|tier| tier.segment.as_ref()).find(|(segment, _)| segment.digest == digest);
        found.map(|(_, blob)| blob.clone()).or_else(|| self.retired.get(digest).map(|(blob, _)| blob.clone()))
    }
}

impl Tier {
    fn rebuild(
        &mut self,
        all: &BTreeMap<u64, Entry>,
        retired: &mut HashMap<String, (Arc<Vec<u8>>, Instant)>,
    ) -> Result<(), CompileError> {
        let entries: Vec<Entry> = self.ids.iter().filter_map(|id| all.get(id).cloned()).collect();
        let next = if entries.is_empty() {
            None
        } else {
            let blob = scan::compile(&entries)?;
            let digest = hex::encode(Sha256::digest(&blob));
            Some((Segment { digest, bytes: blob.len() as u64, entries: entries.len() as u64 }, Arc::new(blob)))
        };
        if let Some((segment, blob)) = std::mem::replace(&mut self.segment, next) {
            retired.insert(segment.digest, (blob, Instant::now()));
        }
        Ok(())
    }
}

//! From phrases to the blob that travels, natively, and the blob as it is searched: without building anything in the VM.
//!
//! Three tables. **Anchors** and **inner prefixes** are open-addressing hash tables of 32 bits a slot: 16 of the
//! hash and 16 that name the owner, so that a tenant's own phrases hold nothing back. **Phrases** are sorted 64-bit hashes with their owners:
//! they alone decide. A wrong hit in the first two tables costs a moment's delay and nothing else.
//!
//! Sections, little endian, after the magic and six `u32` counts: anchors (`u32`), inner (`u32`), phrases (`u64`), owners of
//! phrases (`u32`), owner names (`length u8`, bytes).

use super::{Phrase, WireKey};
use crate::tenant::TenantId;
use std::collections::BTreeSet;

/// The blob's first bytes.
pub(super) const MAGIC: &[u8; 8] = b"PWPHR\0\0\x01";
/// Bytes of the header, magic included.
pub(super) const HEADER: usize = 32;
/// The most phrases of one segment.
pub(super) const MAX: usize = 1 << 22;
/// The owner of a slot that several tenants share, or whose number needs more than 16 bits: it holds for everyone.
const SEVERAL: u32 = 0xffff;

/// More phrases than one segment can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooMany;

/// The slot and the tag of a hash in a table of `size` slots.
#[inline]
#[allow(clippy::cast_possible_truncation)]
fn home(hash: u64, size: usize) -> (usize, u32) {
    let at = (hash & 0xffff_ffff).wrapping_mul(size as u64) >> 32;
    (at as usize, ((hash >> 48) as u32).max(1))
}

/// An open-addressing table. At least one slot is empty, so that every search ends.
#[derive(Default)]
pub(super) struct Table(pub(super) Vec<u32>);

impl Table {
    fn build(entries: impl Iterator<Item = (u64, u32)> + Clone, spread: usize) -> Self {
        let mut table = Self(vec![0; entries.clone().count().saturating_mul(spread).max(16)]);
        for (hash, owner) in entries {
            let (at, tag) = home(hash, table.0.len());
            let (before, from) = table.0.split_at_mut(at);
            let own = tag << 16 | owner.min(SEVERAL);
            for slot in from.iter_mut().chain(before) {
                if *slot == 0 {
                    *slot = own;
                    break;
                }
                if *slot >> 16 == tag {
                    if *slot != own {
                        *slot |= SEVERAL;
                    }
                    break;
                }
            }
        }
        table
    }

    /// Whether the hash is here and not only for `owner`.
    #[inline]
    pub(super) fn holds(&self, hash: u64, owner: u32) -> bool {
        let size = self.0.len();
        let (mut at, tag) = home(hash, size);
        for _ in 0..size {
            let slot = self.0.get(at).copied().unwrap_or(0);
            if slot == 0 {
                return false;
            }
            if slot >> 16 == tag {
                let known = slot & 0xffff;
                // A tenant may have the number that stands for several.
                return known == SEVERAL || known != owner;
            }
            at = at.wrapping_add(1);
            if at >= size {
                at = 0;
            }
        }
        false
    }
}

/// Compiles a segment of phrases with their owners.
///
/// # Errors
/// When there are more than one segment holds.
pub fn compile(phrases: &[(Phrase, &TenantId)], key: &WireKey) -> Result<Vec<u8>, TooMany> {
    if phrases.len() > MAX {
        return Err(TooMany);
    }
    let names: Vec<&TenantId> = phrases.iter().map(|(_, owner)| *owner).collect::<BTreeSet<_>>().into_iter().collect();
    let number =
        |owner: &TenantId| names.binary_search(&owner).ok().and_then(|at| u32::try_from(at).ok()).unwrap_or(SEVERAL);
    let numbered: Vec<(Phrase, u32)> = phrases.iter().map(|(phrase, owner)| (*phrase, number(owner))).collect();
    // Many phrases share an anchor: the table is made for the different ones.
    let mut anchors: Vec<(u64, u32)> = numbered.iter().map(|(p, owner)| (key.prefix(p.anchor), *owner)).collect();
    anchors.sort_unstable();
    anchors.dedup();
    let anchors = Table::build(anchors.iter().copied(), 4);
    let mut inner: Vec<(u64, u32)> = Vec::with_capacity(numbered.len().saturating_mul(8));
    for (phrase, owner) in &numbered {
        inner.extend(phrase.inner.iter().chain(&phrase.starts).map(|prefix| (key.prefix(*prefix), *owner)));
    }
    inner.sort_unstable();
    inner.dedup();
    let inner = Table::build(inner.iter().copied(), 2);
    let mut whole: Vec<(u64, u32)> = numbered.iter().map(|(phrase, owner)| (key.id(phrase.id), *owner)).collect();
    whole.sort_unstable();
    let mut name_bytes = Vec::new();
    for name in &names {
        name_bytes.push(u8::try_from(name.as_str().len()).map_err(|_| TooMany)?);
        name_bytes.extend_from_slice(name.as_str().as_bytes());
    }
    let mut blob = MAGIC.to_vec();
    for count in [anchors.0.len(), inner.0.len(), whole.len(), names.len(), name_bytes.len(), 0] {
        blob.extend_from_slice(&u32::try_from(count).map_err(|_| TooMany)?.to_le_bytes());
    }
    for slot in anchors.0.iter().chain(&inner.0) {
        blob.extend_from_slice(&slot.to_le_bytes());
    }
    for (hash, _) in &whole {
        blob.extend_from_slice(&hash.to_le_bytes());
    }
    for (_, owner) in &whole {
        blob.extend_from_slice(&owner.to_le_bytes());
    }
    blob.extend_from_slice(&name_bytes);
    Ok(blob)
}

/// A segment, ready to be searched.
pub struct LoadedPhrases {
    pub(super) anchors: Table,
    pub(super) inner: Table,
    pub(super) whole: Vec<u64>,
    pub(super) owners: Vec<u32>,
    pub(super) names: Vec<TenantId>,
}

impl LoadedPhrases {
    /// How many phrases there are.
    pub fn entries(&self) -> u64 {
        self.whole.len() as u64
    }

    /// Bytes of memory.
    pub fn memory_bytes(&self) -> usize {
        let slots = self.anchors.0.capacity().saturating_add(self.inner.0.capacity());
        let slots = slots.saturating_add(self.owners.capacity()).saturating_mul(4);
        slots.saturating_add(self.whole.capacity().saturating_mul(8))
    }

    /// The number by which this segment knows a tenant; one that no phrase has when it knows none.
    pub(super) fn owner(&self, tenant: &TenantId) -> u32 {
        self.names.binary_search(tenant).ok().and_then(|at| u32::try_from(at).ok()).unwrap_or(u32::MAX)
    }

    /// Whether a phrase is here, by its wire hash, and somebody else's.
    pub(super) fn foreign(&self, hash: u64, owner: u32) -> bool {
        let from = self.whole.partition_point(|known| *known < hash);
        let mut at = from;
        while self.whole.get(at) == Some(&hash) {
            if self.owners.get(at).is_some_and(|known| *known != owner) {
                return true;
            }
            at = at.saturating_add(1);
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_several_have_is_nobodys_own() {
        let hash = 0x1234_0000_0000_0001;
        let table = Table::build([(hash, 1), (hash, 2)].into_iter(), 4);
        for owner in [0, 1, 2, 3, SEVERAL, SEVERAL + 1, u32::MAX] {
            assert!(table.holds(hash, owner), "{owner}");
        }
        let table = Table::build([(hash, 1)].into_iter(), 4);
        assert!(!table.holds(hash, 1) && table.holds(hash, 2));
    }
}

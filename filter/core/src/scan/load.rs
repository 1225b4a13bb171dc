//! Loading a segment: hashed as it comes, parsed as it comes, checked whole, then used without further copies.
//!
//! The words go straight into the arrays that are searched, so loading needs the segment's own size and no more.

use super::automaton::{Automaton, MAX_SLOTS};
use super::build::{HEADER, MAGIC};
use super::disguise::Table;
use crate::record::Severity;
use crate::snapshot::wire;
use crate::tenant::{TenantId, read_names};
use sha2::{Digest, Sha256};

/// Why a segment is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoadError {
    /// More or fewer bytes than announced.
    Size,
    /// The bytes are not those that the digest names.
    Digest,
    /// The header is not ours.
    Header,
    /// The content breaks an invariant.
    Structure,
}

impl std::fmt::Display for LoadError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Size => "it has not the announced size",
            Self::Digest => "its bytes are not those that its digest names",
            Self::Header => "it is of another format",
            Self::Structure => "its content breaks an invariant",
        })
    }
}

impl std::error::Error for LoadError {}

/// A fingerprint of a loaded segment.
#[derive(Clone, Copy)]
pub(super) struct Loaded {
    pub(super) id: u64,
    pub(super) severity: Severity,
    pub(super) len: u8,
    first: u32,
    owners: u32,
}

/// A segment, ready to be searched.
pub struct LoadedSegment {
    pub(super) automaton: Automaton,
    outputs: Vec<u64>,
    entries: Vec<Loaded>,
    references: Vec<u32>,
    owners: Vec<TenantId>,
    pub(super) disguises: Table,
}

impl LoadedSegment {
    /// The number by which this segment knows a tenant; `None` when nothing here is that tenant's.
    pub(super) fn owner(&self, tenant: &TenantId) -> Option<u32> {
        self.owners.binary_search(tenant).ok().and_then(|index| u32::try_from(index).ok())
    }

    /// Whether an entry belongs to a tenant.
    pub(super) fn owned(&self, entry: &Loaded, owner: Option<u32>) -> bool {
        let first = entry.first as usize;
        let range = first..first.saturating_add(entry.owners as usize);
        owner.is_some_and(|owner| self.references.get(range).is_some_and(|owners| owners.contains(&owner)))
    }

    /// The fingerprints that end at a state: its own and those on its fail chain.
    pub(super) fn ends(&self, state: u32) -> impl Iterator<Item = &Loaded> {
        let mut at = Some(state);
        std::iter::from_fn(move || {
            let state = at?;
            let slot = self.automaton.slot(state);
            at = (state != 0 && slot.out()).then(|| slot.fail());
            slot.out().then_some(state)
        })
        .flat_map(|state| {
            let from = self.outputs.partition_point(|output| (output >> 32) < u64::from(state));
            self.outputs.iter().skip(from).take_while(move |output| (**output >> 32) == u64::from(state))
        })
        .filter_map(|output| self.entries.get((*output & 0xffff_ffff) as usize))
    }

    /// An entry by its number.
    pub(super) fn entry(&self, index: u32) -> Option<&Loaded> {
        self.entries.get(index as usize)
    }

    /// How many fingerprints it holds.
    pub fn entries(&self) -> u64 {
        u64::try_from(self.entries.len()).unwrap_or(u64::MAX)
    }

    /// The longest fingerprint, in folded bytes.
    pub(super) fn longest(&self) -> usize {
        self.entries.iter().map(|entry| usize::from(entry.len)).max().unwrap_or(0)
    }

    /// Bytes of memory.
    pub fn memory_bytes(&self) -> usize {
        let rest =
            self.outputs.capacity().saturating_mul(8).saturating_add(self.references.capacity().saturating_mul(4));
        let entries = self.entries.capacity().saturating_mul(size_of::<Loaded>());
        let disguises = self.disguises.memory_bytes();
        self.automaton.memory_bytes().saturating_add(rest).saturating_add(entries).saturating_add(disguises)
    }
}

/// The sections that follow the header, in order.
#[derive(Clone, Copy)]
enum Section {
    Slots,
    Outputs,
    Entries,
    References,
    Disguises,
    Pool,
    Names,
}

/// A segment on its way in.
pub struct Loader {
    digest: String,
    expected: u64,
    seen: u64,
    hash: Sha256,
    /// Bytes that do not make a whole item yet.
    rest: Vec<u8>,
    /// Items still to come, per section; `None` before the header.
    counts: Option<[u32; 8]>,
    section: Section,
    slots: Vec<u64>,
    outputs: Vec<u64>,
    entries: Vec<Loaded>,
    references: Vec<u32>,
    disguises: Table,
    names: Vec<u8>,
}

impl Loader {
    /// Begins a segment.
    ///
    /// # Errors
    /// [`LoadError::Size`] when it is larger than a segment can be.
    pub fn new(segment: &wire::Segment) -> Result<Self, LoadError> {
        let most = u64::try_from(MAX_SLOTS).unwrap_or(u64::MAX).saturating_mul(16);
        if segment.bytes > most {
            return Err(LoadError::Size);
        }
        Ok(Self {
            digest: segment.digest.clone(),
            expected: segment.bytes,
            seen: 0,
            hash: Sha256::new(),
            rest: Vec::new(),
            counts: None,
            section: Section::Slots,
            slots: Vec::new(),
            outputs: Vec::new(),
            entries: Vec::new(),
            references: Vec::new(),
            disguises: Table::default(),
            names: Vec::new(),
        })
    }

    /// Takes the next piece.
    ///
    /// # Errors
    /// [`LoadError`]; the loader is then of no further use.
    pub fn push(&mut self, piece: &[u8]) -> Result<(), LoadError> {
        self.seen = self.seen.saturating_add(u64::try_from(piece.len()).unwrap_or(u64::MAX));
        if self.seen > self.expected {
            return Err(LoadError::Size);
        }
        self.hash.update(piece);
        let joined;
        let mut bytes = if self.rest.is_empty() {
            piece
        } else {
            let mut rest = std::mem::take(&mut self.rest);
            rest.extend_from_slice(piece);
            joined = rest;
            &joined
        };
        if self.counts.is_none() {
            let Some(header) = bytes.get(..HEADER) else {
                self.rest = bytes.to_vec();
                return Ok(());
            };
            self.header(header)?;
            bytes = bytes.get(HEADER..).unwrap_or_default();
        }
        let left = self.sections(bytes);
        self.rest = left.to_vec();
        Ok(())
    }

    fn header(&mut self, header: &[u8]) -> Result<(), LoadError> {
        if header.get(..8) != Some(MAGIC) {
            return Err(LoadError::Header);
        }
        let mut counts = [0u32; 8];
        for (count, four) in counts.iter_mut().zip(header.get(8..).unwrap_or_default().chunks_exact(4)) {
            *count = u32::from_le_bytes(four.try_into().map_err(|_| LoadError::Header)?);
        }
        let [slots, outputs, entries, references, _, names, disguises, pool] = counts.map(u64::from);
        let sections =
            [(slots, 8), (outputs, 8), (entries, 24), (references, 4), (disguises, 4), (pool, 1), (names, 1)];
        let size = sections
            .iter()
            .try_fold(u64::try_from(HEADER).unwrap_or(0), |sum, (n, each)| sum.checked_add(n.checked_mul(*each)?));
        if size != Some(self.expected) || slots > u64::try_from(MAX_SLOTS).unwrap_or(0) {
            return Err(LoadError::Header);
        }
        let [slots, outputs, entries, references, _, names, disguises, pool] = counts.map(|n| n as usize);
        self.slots.reserve_exact(slots);
        self.outputs.reserve_exact(outputs);
        self.entries.reserve_exact(entries);
        self.references.reserve_exact(references);
        self.disguises.reserve(disguises, pool);
        self.names.reserve_exact(names);
        self.counts = Some(counts);
        Ok(())
    }

    fn sections<'b>(&mut self, mut bytes: &'b [u8]) -> &'b [u8] {
        let Some([slots, outputs, entries, references, _, _, disguises, pool]) = self.counts else { return bytes };
        loop {
            let (have, want, each, next) = match self.section {
                Section::Slots => (self.slots.len(), slots, 8, Section::Outputs),
                Section::Outputs => (self.outputs.len(), outputs, 8, Section::Entries),
                Section::Entries => (self.entries.len(), entries, 24, Section::References),
                Section::References => (self.references.len(), references, 4, Section::Disguises),
                Section::Disguises => (self.disguises.loaded().0, disguises, 4, Section::Pool),
                Section::Pool => (self.disguises.loaded().1, pool, 1, Section::Names),
                Section::Names => {
                    self.names.extend_from_slice(bytes);
                    return &[];
                }
            };
            let missing = (want as usize).saturating_sub(have);
            let whole = missing.min(bytes.len().checked_div(each).unwrap_or(0));
            let (now, later) = bytes.split_at_checked(whole.saturating_mul(each)).unwrap_or((bytes, &[]));
            if matches!(self.section, Section::Pool) {
                self.disguises.patterns(now);
            }
            for item in now.chunks_exact(each) {
                match self.section {
                    Section::Slots => self.slots.push(u64_at(item, 0)),
                    // `state` above `entry`, so that sorting by the word sorts by state.
                    Section::Outputs => {
                        self.outputs.push(u64::from(u32_at(item, 0)) << 32 | u64::from(u32_at(item, 4)))
                    }
                    Section::Entries => self.entries.push(Loaded {
                        id: u64_at(item, 0),
                        severity: match u32_at(item, 8) {
                            0 => Severity::Low,
                            1 => Severity::High,
                            _ => Severity::Critical,
                        },
                        first: u32_at(item, 12),
                        owners: u32_at(item, 16),
                        len: u8::try_from(u32_at(item, 20)).unwrap_or(0),
                    }),
                    Section::References => self.references.push(u32_at(item, 0)),
                    Section::Disguises => self.disguises.entry(u32_at(item, 0)),
                    Section::Pool | Section::Names => break,
                }
            }
            bytes = later;
            if missing > whole {
                return bytes;
            }
            self.section = next;
        }
    }

    /// The last piece is in: checks everything.
    ///
    /// # Errors
    /// [`LoadError`] says what is wrong.
    pub fn finish(self) -> Result<LoadedSegment, LoadError> {
        let Some([slots, outputs, entries, references, owners, ..]) = self.counts else { return Err(LoadError::Size) };
        if self.seen != self.expected || !self.rest.is_empty() {
            return Err(LoadError::Size);
        }
        if hex::encode(self.hash.finalize()) != self.digest {
            return Err(LoadError::Digest);
        }
        let whole = self.slots.len() == slots as usize
            && self.outputs.len() == outputs as usize
            && self.entries.len() == entries as usize
            && self.references.len() == references as usize;
        let disguises = self.disguises;
        let owners_table = read_names(&self.names, owners as usize).ok_or(LoadError::Structure)?;
        let mut segment = LoadedSegment {
            automaton: Automaton::new(self.slots),
            outputs: self.outputs,
            entries: self.entries,
            references: self.references,
            owners: owners_table,
            disguises,
        };
        if !whole || !sound(&segment, slots) || !segment.disguises.is_sound(segment.entries.len()) {
            return Err(LoadError::Structure);
        }
        segment.automaton.prepare();
        Ok(segment)
    }
}

/// The invariants of `automaton` and of the tables.
fn sound(segment: &LoadedSegment, slots: u32) -> bool {
    let root = segment.automaton.slot(0);
    let links = (1..slots).all(|state| {
        let slot = segment.automaton.slot(state);
        let fail = segment.automaton.slot(slot.fail());
        slot.is_empty() || (slot.depth() > 0 && fail.depth() < slot.depth() && (slot.fail() == 0 || !fail.is_empty()))
    });
    let outputs = segment.outputs.is_sorted()
        && segment.outputs.iter().all(|output| {
            let slot = segment.automaton.slot((output >> 32) as u32);
            let entry = segment.entries.get((output & 0xffff_ffff) as usize);
            slot.out() && entry.is_some_and(|entry| entry.len == slot.depth() && entry.len > 0)
        });
    let entries = segment.entries.iter().all(|entry| {
        entry.owners > 0 && (entry.first as usize).saturating_add(entry.owners as usize) <= segment.references.len()
    });
    let references = segment.references.iter().all(|owner| (*owner as usize) < segment.owners.len());
    slots > 0 && root.depth() == 0 && root.fail() == 0 && !root.out() && links && outputs && entries && references
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at.saturating_add(4)).and_then(|four| four.try_into().ok()).map_or(0, u32::from_le_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..at.saturating_add(8)).and_then(|eight| eight.try_into().ok()).map_or(0, u64::from_le_bytes)
}

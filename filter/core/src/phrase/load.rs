//! Loading a segment of phrases: hashed as it comes, put into the arrays that are searched as it comes.

use super::LoadedPhrases;
use super::segment::{HEADER, MAGIC, MAX, Table};
use crate::scan::LoadError;
use crate::snapshot::wire;
use crate::tenant::read_names;
use sha2::{Digest, Sha256};

/// The largest segment: 64 bytes a phrase are more than it needs.
const MAX_BYTES: u64 = (MAX as u64) << 6;

/// A segment on its way in.
pub struct Loader {
    digest: String,
    expected: u64,
    seen: u64,
    hash: Sha256,
    /// The begin of a word whose other bytes have not come.
    rest: Vec<u8>,
    /// Words of each section that are still to come: anchors, inner, phrases, owners.
    missing: Option<[usize; 4]>,
    counts: [usize; 2],
    empty: [bool; 2],
    loaded: LoadedPhrases,
    name_bytes: Vec<u8>,
}

impl Loader {
    /// Begins a segment.
    ///
    /// # Errors
    /// [`LoadError::Size`] when it is larger than a segment can be.
    pub fn new(segment: &wire::Segment) -> Result<Self, LoadError> {
        if segment.bytes > MAX_BYTES {
            return Err(LoadError::Size);
        }
        let loaded = LoadedPhrases {
            anchors: Table::default(),
            inner: Table::default(),
            whole: Vec::new(),
            owners: Vec::new(),
            names: Vec::new(),
        };
        Ok(Self {
            digest: segment.digest.clone(),
            expected: segment.bytes,
            seen: 0,
            hash: Sha256::new(),
            rest: Vec::new(),
            missing: None,
            counts: [0; 2],
            empty: [false; 2],
            loaded,
            name_bytes: Vec::new(),
        })
    }

    /// Takes the next piece.
    ///
    /// # Errors
    /// [`LoadError`]; the loader is then of no further use.
    pub fn push(&mut self, piece: &[u8]) -> Result<(), LoadError> {
        self.seen = self.seen.saturating_add(piece.len() as u64);
        if self.seen > self.expected {
            return Err(LoadError::Size);
        }
        self.hash.update(piece);
        let mut joined = std::mem::take(&mut self.rest);
        let mut bytes = if joined.is_empty() {
            piece
        } else {
            joined.extend_from_slice(piece);
            &joined
        };
        if self.missing.is_none() {
            let Some((header, later)) = bytes.split_at_checked(HEADER) else {
                self.rest = bytes.to_vec();
                return Ok(());
            };
            self.header(header)?;
            bytes = later;
        }
        self.rest = self.sections(bytes).to_vec();
        Ok(())
    }

    fn header(&mut self, header: &[u8]) -> Result<(), LoadError> {
        let Some(counts) = header.strip_prefix(MAGIC) else { return Err(LoadError::Header) };
        let mut words = counts.chunks_exact(4).filter_map(|four| four.try_into().ok()).map(u32::from_le_bytes);
        let mut next = || words.next().map_or(0, |count| count as usize);
        let (anchors, inner, phrases, names, name_bytes) = (next(), next(), next(), next(), next());
        let size = [(anchors, 4), (inner, 4), (phrases, 12), (name_bytes, 1)]
            .iter()
            .try_fold(HEADER as u64, |sum, (n, each)| sum.checked_add((*n as u64).checked_mul(*each)?));
        if size != Some(self.expected) || phrases > MAX {
            return Err(LoadError::Header);
        }
        self.loaded.anchors.0.reserve_exact(anchors);
        self.loaded.inner.0.reserve_exact(inner);
        self.loaded.whole.reserve_exact(phrases);
        self.loaded.owners.reserve_exact(phrases);
        self.missing = Some([anchors, inner, phrases, phrases]);
        self.counts = [names, name_bytes];
        Ok(())
    }

    /// Returns the bytes that are no whole word yet.
    fn sections<'b>(&mut self, mut bytes: &'b [u8]) -> &'b [u8] {
        let Some(missing) = &mut self.missing else { return bytes };
        for (section, missing) in missing.iter_mut().enumerate() {
            let each = if section == 2 { 8 } else { 4 };
            let whole = (*missing).min(bytes.len().checked_div(each).unwrap_or(0));
            let (now, later) = bytes.split_at_checked(whole.saturating_mul(each)).unwrap_or((bytes, &[]));
            let words = now.chunks_exact(4).filter_map(|four| four.try_into().ok()).map(u32::from_le_bytes);
            match section {
                0 | 1 => {
                    let table = if section == 0 { &mut self.loaded.anchors } else { &mut self.loaded.inner };
                    let from = table.0.len();
                    table.0.extend(words);
                    let empty = table.0.get(from..).is_some_and(|new| new.contains(&0));
                    if let Some(known) = self.empty.get_mut(section) {
                        *known |= empty;
                    }
                }
                2 => {
                    let hashes = now.chunks_exact(8).filter_map(|eight| eight.try_into().ok()).map(u64::from_le_bytes);
                    self.loaded.whole.extend(hashes);
                }
                _ => self.loaded.owners.extend(words),
            }
            *missing = missing.saturating_sub(whole);
            bytes = later;
            if *missing > 0 {
                return bytes;
            }
        }
        self.name_bytes.extend_from_slice(bytes);
        &[]
    }

    /// The last piece is in: checks everything.
    ///
    /// # Errors
    /// [`LoadError`] says what is wrong.
    pub fn finish(mut self) -> Result<LoadedPhrases, LoadError> {
        let [names, name_bytes] = self.counts;
        if self.missing != Some([0; 4]) || self.seen != self.expected || !self.rest.is_empty() {
            return Err(LoadError::Size);
        }
        if hex::encode(self.hash.finalize()) != self.digest {
            return Err(LoadError::Digest);
        }
        self.loaded.names = read_names(&self.name_bytes, names).ok_or(LoadError::Structure)?;
        let sound = self.name_bytes.len() == name_bytes
            && self.empty == [true; 2]
            && self.loaded.whole.is_sorted()
            && self.loaded.owners.iter().all(|owner| (*owner as usize) < names);
        if sound { Ok(self.loaded) } else { Err(LoadError::Structure) }
    }
}

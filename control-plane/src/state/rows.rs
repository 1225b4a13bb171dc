//! Rows of hashes: what is kept of a document or of a text of common language, here and in the shared store.
//!
//! A row's *field* is its kind and name: `document/<tenant>/<name>` or `common/<name>`. Rows hold hashes under the installation's word
//! key and counts, never text.

use super::App;
use crate::corpus::{Corpus, Document, Packed, longs};
use crate::store::{Store, Write};
use anyhow::{Context as _, Result};
use partywall_core::phrase::{Chosen, Phrase};
use partywall_core::tenant::TenantId;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The kinds of rows in the store.
pub(super) const DOCUMENT: &str = "document";
pub(super) const COMMON: &str = "common";
/// The first byte of a document's row: its format.
const FORMAT: u8 = 1;
/// Where in a document's row what it says begins: behind the format and when it came.
const CONTENT: usize = 9;

/// So many bytes of rows are read at the start before the corpus takes them in.
const LOADED: usize = 64 << 20;

/// A row, read.
#[derive(Debug)]
pub enum Read {
    /// A document of a tenant.
    Document(TenantId, String, Document),
    /// Runs of common language.
    Common(Vec<u64>),
}

/// A row.
#[derive(Debug)]
pub struct Row {
    /// As it is kept.
    pub bytes: Vec<u8>,
    read: Read,
}

/// Rows by their fields; `None` for one that goes.
pub type Rows = BTreeMap<String, Option<Arc<Row>>>;

/// A document's field.
pub(super) fn field(tenant: &TenantId, name: &str) -> String {
    format!("{DOCUMENT}/{tenant}/{name}")
}

impl Row {
    /// A row that was read from a text.
    pub(super) fn document(tenant: &TenantId, name: &str, document: Document, chosen: &Chosen) -> Result<Self> {
        let bytes = pack(&document, chosen)?;
        Ok(Self { bytes, read: Read::Document(tenant.clone(), name.to_owned(), document) })
    }

    /// A row of common language.
    pub(super) fn common(runs: Vec<u64>) -> Self {
        Self { bytes: runs.iter().flat_map(|id| id.to_le_bytes()).collect(), read: Read::Common(runs) }
    }

    /// A row as it is kept.
    ///
    /// # Errors
    /// When it is none of ours.
    pub fn parse(field: &str, bytes: Vec<u8>) -> Result<Self> {
        let (kind, name) = field.split_once('/').context("a row without a kind")?;
        let read = if kind == COMMON {
            anyhow::ensure!(bytes.len().is_multiple_of(8), "{field}: not a row of ours");
            Read::Common(longs(&bytes).collect())
        } else {
            anyhow::ensure!(kind == DOCUMENT, "{field}: a row of no kind of ours");
            let (tenant, name) = name.split_once('/').context("a document without a tenant")?;
            let tenant = TenantId::parse(tenant).ok().context("a document of no tenant")?;
            let (document, _) = unpack(&bytes).with_context(|| format!("{field}: not a row of ours"))?;
            Read::Document(tenant, name.to_owned(), document)
        };
        Ok(Self { bytes, read })
    }

    /// Whether both say the same, whenever they came.
    pub(super) fn says(&self, other: &Self) -> bool {
        let from = if matches!(self.read, Read::Document(..)) { CONTENT } else { 0 };
        self.bytes.get(from..) == other.bytes.get(from..)
    }
}

/// A row: format, three counts, then how many runs and phrases, then these.
fn pack(document: &Document, chosen: &Chosen) -> Result<Vec<u8>> {
    let mut row = Vec::with_capacity(33 + chosen.runs.len() * 8 + chosen.phrases.len() * Phrase::PACKED);
    row.push(FORMAT);
    for number in [document.created_at, document.bytes, document.words] {
        row.extend_from_slice(&number.to_le_bytes());
    }
    row.extend_from_slice(&u32::try_from(chosen.runs.len())?.to_le_bytes());
    row.extend_from_slice(&u32::try_from(chosen.phrases.len())?.to_le_bytes());
    for id in &chosen.runs {
        row.extend_from_slice(&id.to_le_bytes());
    }
    for phrase in &chosen.phrases {
        phrase.pack(&mut row);
    }
    Ok(row)
}

fn unpack(row: &[u8]) -> Option<(Document, Packed<'_>)> {
    let (numbers, rest) = row.strip_prefix(&[FORMAT])?.split_at_checked(24)?;
    let mut numbers = longs(numbers);
    let (created_at, bytes, words) = (numbers.next()?, numbers.next()?, numbers.next()?);
    let (runs, rest) = rest.split_first_chunk::<4>()?;
    let (count, rest) = rest.split_first_chunk::<4>()?;
    let count = u32::from_le_bytes(*count);
    let (runs, phrases) = rest.split_at_checked((u32::from_le_bytes(*runs) as usize).checked_mul(8)?)?;
    let document = Document { bytes, words, created_at, phrases: u64::from(count) };
    (phrases.len() == (count as usize).checked_mul(Phrase::PACKED)?).then_some((document, Packed { runs, phrases }))
}

/// What must change in `base` so that it also holds `extra`. Of two documents of one name both stay: what was accepted guards.
pub(super) fn union(base: &Rows, extra: &Rows) -> Result<Rows> {
    let mut delta = Rows::new();
    for (field, row) in extra {
        let Some(row) = row else { continue };
        let mut name = field.clone();
        loop {
            match base.get(&name).or_else(|| delta.get(&name)) {
                None => {
                    // Under another name it is another row.
                    let row =
                        if name == *field { Arc::clone(row) } else { Arc::new(Row::parse(&name, row.bytes.clone())?) };
                    delta.insert(name, Some(row));
                    break;
                }
                Some(Some(known)) if known.says(row) => break,
                Some(_) => name += " (copy)",
            }
        }
    }
    Ok(delta)
}

/// What there was before a change of rows, as far as the corpus must know.
pub(super) struct Before {
    old: Vec<(TenantId, String, Chosen)>,
    /// Everything that is common language afterwards, when some of it went.
    common: Option<Vec<u64>>,
}

impl App {
    /// Reads all rows back at the start.
    pub(super) fn load_corpus(store: &Store) -> Result<Corpus> {
        let (mut corpus, nothing) = (Corpus::default(), Before { old: Vec::new(), common: None });
        let (mut rows, mut bytes) = (Rows::new(), 0);
        each(store, |field, row| {
            bytes += row.bytes.len();
            rows.insert(field, Some(Arc::new(row)));
            // Not all of the file at once.
            if bytes > LOADED {
                apply(&mut corpus, &std::mem::take(&mut rows), &nothing);
                bytes = 0;
            }
            Ok(())
        })?;
        apply(&mut corpus, &rows, &nothing);
        Ok(corpus)
    }

    /// What the file has of a document.
    pub(super) fn row(&self, tenant: &TenantId, name: &str) -> Result<Option<Chosen>> {
        let row = self.store.bytes(DOCUMENT, &format!("{tenant}/{name}"))?;
        row.map(|row| {
            unpack(&row).and_then(|(it, packed)| packed.chosen(it.words)).context("a document that cannot be read")
        })
        .transpose()
    }

    /// All rows of the file.
    pub(super) fn rows(&self) -> Result<Rows> {
        let mut rows = Rows::new();
        each(&self.store, |field, row| {
            rows.insert(field, Some(Arc::new(row)));
            Ok(())
        })?;
        Ok(rows)
    }

    /// Writes changed rows; says what the corpus must forget once they are on disk.
    pub(super) fn write_rows(&self, corpus: &Corpus, write: &Write, rows: &Rows) -> Result<Before> {
        let mut before = Before { old: Vec::new(), common: None };
        for (field, row) in rows {
            let (kind, name) = field.split_once('/').context("a row without a kind")?;
            if kind == DOCUMENT {
                let (tenant, document) = name.split_once('/').context("a document without a tenant")?;
                let tenant = TenantId::parse(tenant).ok().context("a document of no tenant")?;
                if corpus.document(&tenant, document).is_some() {
                    let chosen = self.row(&tenant, document)?.context("a document that is not in the file")?;
                    before.old.push((tenant, document.to_owned(), chosen));
                }
            }
            if row.is_none() {
                write.remove(kind, name)?;
            }
        }
        write
            .put_rows(rows.iter().filter_map(|(field, row)| Some((field.as_str(), row.as_ref()?.bytes.as_slice()))))?;
        let replaced = |field: &str| field.starts_with("common/") && rows.contains_key(field);
        if rows.keys().any(|field| replaced(field)) {
            let (mut kept, mut lost) = (Vec::new(), false);
            self.store.each_bytes(COMMON, |name, row| {
                if replaced(&format!("{COMMON}/{name}")) {
                    lost = true;
                } else {
                    kept.extend(longs(row));
                }
                Ok(())
            })?;
            before.common = lost.then_some(kept);
        }
        Ok(before)
    }
}

/// What was written becomes true.
pub(super) fn apply(corpus: &mut Corpus, rows: &Rows, before: &Before) {
    for (tenant, name, chosen) in &before.old {
        corpus.remove(tenant, name, chosen);
    }
    if let Some(common) = &before.common {
        corpus.clear_common();
        corpus.add_common(common);
    }
    let (mut documents, mut common) = (Vec::new(), Vec::new());
    for row in rows.values().flatten() {
        match &row.read {
            Read::Document(tenant, name, document) => {
                let packed = unpack(&row.bytes).map(|(_, packed)| packed);
                documents.extend(packed.map(|packed| (tenant, name.as_str(), document, packed)));
            }
            Read::Common(runs) => common.push(runs),
        }
    }
    corpus.add_all(&documents);
    common.into_iter().for_each(|runs| corpus.add_common(runs));
}

fn each(store: &Store, mut each: impl FnMut(String, Row) -> Result<()>) -> Result<()> {
    for kind in [COMMON, DOCUMENT] {
        store.each_bytes(kind, |name, bytes| {
            let field = format!("{kind}/{name}");
            let row = Row::parse(&field, bytes.to_vec())?;
            each(field, row)
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::Row;

    #[test]
    fn a_row_that_is_none_of_ours_is_refused() {
        let mut row = vec![super::FORMAT];
        row.extend([0; 32]);
        assert!(Row::parse("document/acme/x", row.clone()).is_ok());
        for field in ["documents/acme/x", "document/ACME!/x", "document/acme", "x", ""] {
            assert!(Row::parse(field, row.clone()).is_err(), "{field}");
        }
        let counts = row.len() - 8;
        for (at, byte) in [(0, 9), (counts, 1), (counts + 3, 0xff), (counts + 7, 0xff)] {
            let mut row = row.clone();
            row.splice(at..=at, [byte]);
            assert!(Row::parse("document/acme/x", row).is_err(), "{at}");
        }
        assert!(Row::parse("common/x", vec![0; 7]).is_err());
    }
}

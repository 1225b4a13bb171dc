//! Documents of tenants: read once, kept as hashes, never as text.

use super::{App, Event, now, refused};
use crate::corpus::{Corpus, Document};
use anyhow::{Context, Result, anyhow};
use partywall_core::phrase::{Chosen, Key, Phrase, Selector, WordKey};
use partywall_core::record::{Class, Hit};
use partywall_core::snapshot::SecretKey;
use partywall_core::tenant::TenantId;
use serde::Serialize;
use std::collections::{BTreeMap, HashSet};
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};
use utoipa::ToSchema;

/// The kinds of rows in the store.
const DOCUMENT: &str = "document";
const COMMON: &str = "common";
/// The most phrases of all tenants.
const MAX_PHRASES: u64 = 4_000_000;
/// The first byte of a row: its format.
const FORMAT: u8 = 1;

/// A document as the API shows it: counts, never text.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct DocumentRecord {
    /// Its name.
    pub document: String,
    /// Bytes of its text.
    pub bytes: u64,
    /// Words of its text.
    pub words: u64,
    /// Phrases that were chosen from it; they are in force while they are unique to its tenant.
    pub phrases: u64,
    /// When it was added, Unix seconds.
    pub created_at: u64,
}

impl DocumentRecord {
    pub(crate) fn of(name: &str, document: &Document) -> Self {
        Self {
            document: name.to_owned(),
            bytes: document.bytes,
            words: document.words,
            phrases: document.phrases,
            created_at: document.created_at,
        }
    }
}

/// Why a response was cut.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Explanation {
    /// The fingerprint's id, as the decision has it.
    pub fingerprint: u64,
    /// `literal` or `phrase`.
    #[schema(value_type = String)]
    pub class: Class,
    /// `low`, `high` or `critical`.
    #[schema(value_type = String)]
    pub severity: partywall_core::record::Severity,
    /// Where it began, in bytes of the response.
    pub offset: u64,
    /// Whose it is now; none when it is gone.
    #[schema(value_type = Vec<String>)]
    pub owners: Vec<TenantId>,
    /// The documents that a phrase comes from, as `tenant/document`.
    pub documents: Vec<String>,
}

/// The installation's key of words.
pub(super) fn word_key(key: &SecretKey) -> Key {
    cut(key.derive(b"partywall phrase word key v1"))
}

/// The key of a generation of segments.
pub(super) fn wire_key(key: &SecretKey, generation: u64) -> Key {
    cut(key.derive(format!("partywall phrase wire key v1 {generation}").as_bytes()))
}

fn cut(long: [u8; 32]) -> Key {
    let mut key = Key::default();
    key.iter_mut().zip(long).for_each(|(to, from)| *to = from);
    key
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

fn unpack(row: &[u8]) -> Option<(Document, Chosen)> {
    let (numbers, rest) = row.strip_prefix(&[FORMAT])?.split_at_checked(24)?;
    let mut numbers = longs(numbers);
    let (created_at, bytes, words) = (numbers.next()?, numbers.next()?, numbers.next()?);
    let (runs, rest) = rest.split_first_chunk::<4>()?;
    let (phrases, rest) = rest.split_first_chunk::<4>()?;
    let (runs, packed) = rest.split_at_checked(u32::from_le_bytes(*runs) as usize * 8)?;
    let count = u32::from_le_bytes(*phrases);
    let phrases: Vec<Phrase> = packed.chunks_exact(Phrase::PACKED).map(Phrase::unpack).collect::<Option<_>>()?;
    let document = Document { bytes, words, created_at, phrases: u64::from(count) };
    (phrases.len() == count as usize).then(|| (document, Chosen { phrases, runs: longs(runs).collect(), words }))
}

/// A document that was read.
struct Read {
    name: String,
    document: Document,
    chosen: Chosen,
    row: Vec<u8>,
}

fn longs(bytes: &[u8]) -> impl Iterator<Item = u64> {
    bytes.chunks_exact(8).filter_map(|eight| eight.try_into().ok()).map(u64::from_le_bytes)
}

impl App {
    /// Reads all documents back at the start.
    pub(super) fn load_corpus(store: &crate::store::Store) -> Result<Corpus> {
        let mut corpus = Corpus::default();
        store.each_bytes(COMMON, |_, row| {
            corpus.add_common(&longs(row).collect::<Vec<_>>());
            Ok(())
        })?;
        store.each_bytes(DOCUMENT, |name, row| {
            let (tenant, document) = name.split_once('/').context("a document without a tenant")?;
            let tenant = TenantId::parse(tenant).ok().context("a document of no tenant")?;
            let (record, chosen) = unpack(row).with_context(|| format!("document {name}: not a row of ours"))?;
            corpus.add(&tenant, document, record, &chosen);
            Ok(())
        })?;
        Ok(corpus)
    }

    fn row(&self, tenant: &TenantId, name: &str) -> Result<Option<Chosen>> {
        let row = self.store.bytes(DOCUMENT, &format!("{tenant}/{name}"))?;
        row.map(|row| unpack(&row).map(|(_, chosen)| chosen).context("a document that cannot be read")).transpose()
    }

    /// Takes documents of a tenant in, in the place of those of the same name. All or none; what is kept are hashes.
    ///
    /// # Errors
    /// When the tenant is not known, a name is none, or there would be too many phrases.
    pub fn put_documents(&self, tenant: &TenantId, documents: Vec<(String, String)>) -> Result<Vec<DocumentRecord>> {
        for (name, _) in &documents {
            if name.is_empty() || name.len() > 256 || name.chars().any(char::is_control) {
                return Err(refused("document_name", "a document's name has 1 to 256 bytes and no control characters"));
            }
        }
        let documents: BTreeMap<String, String> = documents.into_iter().collect();
        let read = self.choose(tenant, documents)?;
        let new: u64 = read.iter().map(|read| read.document.phrases).sum();
        self.change(
            |model, write| {
                if !model.tenants.contains_key(tenant) {
                    return Err(refused("tenant_unknown", format!("there is no tenant {tenant}: onboard it first")));
                }
                if model.corpus.in_force() + new > MAX_PHRASES {
                    return Err(refused(
                        "too_many_phrases",
                        format!("more than {MAX_PHRASES} phrases: remove documents"),
                    ));
                }
                let mut old = Vec::new();
                for Read { name, .. } in &read {
                    let known = model.corpus.document(tenant, name).is_some();
                    old.push(if known { self.row(tenant, name)? } else { None });
                }
                let rows = read.iter().map(|read| (format!("{tenant}/{}", read.name), read.row.as_slice()));
                write.put_all_bytes(DOCUMENT, rows)?;
                Ok(old)
            },
            |model, old| {
                let runs = read.iter().map(|read| read.chosen.runs.len()).sum();
                model.corpus.reserve(runs, usize::try_from(new).unwrap_or(0));
                for (Read { name, document, chosen, .. }, old) in read.iter().zip(old) {
                    if let Some(old) = old {
                        model.corpus.remove(tenant, name, old);
                    }
                    model.corpus.add(tenant, name, document.clone(), chosen);
                }
                (vec![], vec![])
            },
        )?;
        Ok(read.iter().map(|read| DocumentRecord::of(&read.name, &read.document)).collect())
    }

    /// Reads texts on all cores.
    fn choose(&self, tenant: &TenantId, documents: BTreeMap<String, String>) -> Result<Vec<Read>> {
        let selector = Selector::new(WordKey::new(&word_key(&self.key)));
        let created_at = now();
        let documents: Vec<(String, String)> = documents.into_iter().collect();
        let threads = std::thread::available_parallelism().map_or(1, usize::from).min(documents.len());
        let next = AtomicUsize::new(0);
        self.read(|model| {
            let read = |(name, text): &(String, String)| -> Result<Read> {
                let chosen = selector.choose(text, |id| model.corpus.taken(id, tenant));
                let (bytes, phrases) = (text.len() as u64, chosen.phrases.len() as u64);
                let document = Document { bytes, words: chosen.words, created_at, phrases };
                Ok(Read { name: name.clone(), row: pack(&document, &chosen)?, document, chosen })
            };
            let work = || -> Result<Vec<Read>> {
                let mut done = Vec::new();
                while let Some(document) = documents.get(next.fetch_add(1, Ordering::Relaxed)) {
                    done.push(read(document)?);
                }
                Ok(done)
            };
            std::thread::scope(|scope| {
                let parts: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
                let mut all = work()?;
                for part in parts {
                    all.extend(part.join().map_err(|_| anyhow!("a reader of documents failed"))??);
                }
                Ok(all)
            })
        })
    }

    /// Forgets documents of a tenant; all of them without a name. How many there were.
    ///
    /// # Errors
    /// When there is none of that name, or the store fails.
    pub fn remove_documents(&self, tenant: &TenantId, name: Option<&str>) -> Result<u64> {
        let names: Vec<String> = self.read(|model| match name {
            Some(name) => model.corpus.document(tenant, name).map(|_| name.to_owned()).into_iter().collect(),
            None => model.corpus.documents(tenant).map(|(name, _)| name.to_owned()).collect(),
        });
        if names.is_empty() {
            return match name {
                Some(name) => Err(refused("not_found", format!("{tenant} has no document {name:?}"))),
                None => Ok(0),
            };
        }
        self.change(
            |_, write| {
                let mut old = Vec::new();
                for name in &names {
                    old.push(self.row(tenant, name)?.unwrap_or_default());
                    write.remove(DOCUMENT, &format!("{tenant}/{name}"))?;
                }
                Ok(old)
            },
            |model, old| {
                for (name, old) in names.iter().zip(old) {
                    model.corpus.remove(tenant, name, old);
                }
                (vec![], vec![])
            },
        )?;
        Ok(names.len() as u64)
    }

    /// A text of common language: nothing in it is a phrase of anybody. Without a text, there is none any more.
    ///
    /// # Errors
    /// When the store fails.
    pub fn set_common(&self, text: Option<&str>) -> Result<usize> {
        let selector = Selector::new(WordKey::new(&word_key(&self.key)));
        let runs: Vec<u64> = text.map(|text| selector.runs(text)).unwrap_or_default();
        let mut next = 0usize;
        let mut names = Vec::new();
        self.store.each_bytes(COMMON, |name, _| {
            next += 1;
            names.push(name.to_owned());
            Ok(())
        })?;
        self.change(
            |_, write| match text {
                Some(_) => {
                    let row: Vec<u8> = runs.iter().flat_map(|id| id.to_le_bytes()).collect();
                    write.put_bytes(COMMON, &format!("{next:08}-{}", now()), &row)
                }
                None => names.iter().try_for_each(|name| write.remove(COMMON, name)),
            },
            |model, ()| {
                match text {
                    Some(_) => model.corpus.add_common(&runs),
                    None => model.corpus.clear_common(),
                }
                (vec![], vec![])
            },
        )?;
        Ok(self.read(|model| model.corpus.common()))
    }

    /// A new key for all segments of phrases.
    ///
    /// # Errors
    /// When the store fails.
    pub fn rotate_phrase_key(&self) -> Result<u64> {
        let generation = self.store.meta::<u64>("phrase_generation")?.unwrap_or(0) + 1;
        {
            let _building = super::lock(&self.behind.building);
            let _writer = super::lock(&self.writer);
            let write = self.store.write()?;
            write.set_meta("phrase_generation", &generation)?;
            write.commit()?;
            let mut next = self.phrases.read().unwrap_or_else(PoisonError::into_inner).clone();
            let rotated = next.rotate(wire_key(&self.key, generation), &self.model().corpus);
            rotated.map_err(|_| super::behind::too_many())?;
            *self.phrases.write().unwrap_or_else(PoisonError::into_inner) = next;
        }
        // Published with the next revision.
        self.change(|_, _| Ok(()), |_, ()| (vec![], vec![]))?;
        Ok(generation)
    }

    /// Which fingerprints a request's response held, whose they are and where they come from; never their text.
    ///
    /// # Errors
    /// When no decision of that request is kept.
    pub fn explain(&self, request_id: &str) -> Result<Vec<Explanation>> {
        let events: Vec<Event> = self.events(16, |event| event.decision.request_id == request_id);
        if events.is_empty() {
            return Err(refused("not_found", format!("no decision of request {request_id:?} is kept")));
        }
        let hits = events.iter().flat_map(|event| &event.decision.hits);
        hits.map(|hit| self.explain_hit(hit)).collect()
    }

    fn explain_hit(&self, hit: &Hit) -> Result<Explanation> {
        let (mut owners, mut documents) = (Vec::new(), Vec::new());
        match hit.class {
            Class::Literal => {
                owners = self
                    .read(|model| model.fingerprints.get(&hit.fingerprint).map(|entry| entry.owners.clone()))
                    .unwrap_or_default();
            }
            Class::Phrase => {
                let found = self.read(|model| model.corpus.numbered(hit.fingerprint));
                let ids: HashSet<u64> = found.iter().map(|(id, _)| *id).collect();
                owners.extend(found.into_iter().filter_map(|(_, owner)| owner));
                for owner in &owners {
                    let names: Vec<String> =
                        self.read(|model| model.corpus.documents(owner).map(|(name, _)| name.to_owned()).collect());
                    for name in names {
                        if self.row(owner, &name)?.is_some_and(|row| row.runs.iter().any(|id| ids.contains(id))) {
                            documents.push(format!("{owner}/{name}"));
                        }
                    }
                }
            }
        }
        let (fingerprint, class, severity, offset) = (hit.fingerprint, hit.class, hit.severity, hit.offset);
        Ok(Explanation { fingerprint, class, severity, offset, owners, documents })
    }
}

//! Documents of tenants: read once, kept as hashes, never as text.

use super::rows::{self, Row, Rows};
use super::{App, Event, now, refused};
use crate::corpus::Document;
use crate::shared::Delta;
use anyhow::{Result, anyhow};
use partywall_core::phrase::{Key, Selector, WordKey};
use partywall_core::record::{Class, Hit};
use partywall_core::snapshot::SecretKey;
use partywall_core::tenant::{TenantId, TenantStatus};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use utoipa::ToSchema;

/// The most phrases of all tenants.
pub(super) const MAX_PHRASES: u64 = 4_000_000;

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
    /// Only when it is taken in: so many of these were not its tenant's alone at that time, so they guard nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shared: Option<u64>,
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
            shared: None,
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

/// What stands for the key of words: replicas must have the same, or their hashes would not meet.
pub(super) fn word_check(key: &SecretKey) -> String {
    hex::encode(cut(key.derive(b"partywall phrase word key check v1")))
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

impl App {
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
        let (rows, records) = self.choose(tenant, documents)?;
        let new: u64 = records.iter().map(|record| record.phrases).sum();
        self.change_fingerprints(|model| {
            match model.tenants.get(tenant).map(|tenant| tenant.status) {
                None => {
                    return Err(refused("tenant_unknown", format!("there is no tenant {tenant}: onboard it first")));
                }
                Some(TenantStatus::Offboarding) => {
                    return Err(refused("tenant_offboarding", format!("{tenant} is being offboarded")));
                }
                Some(_) => {}
            }
            if model.corpus.chosen() + new > MAX_PHRASES {
                let why = format!("more than {MAX_PHRASES} phrases: remove documents");
                return Err(refused("too_many_phrases", why));
            }
            Ok((Delta { rows: rows.clone(), ..model.unchanged() }, ()))
        })?;
        Ok(records)
    }

    /// Reads texts on all cores.
    fn choose(&self, tenant: &TenantId, documents: BTreeMap<String, String>) -> Result<(Rows, Vec<DocumentRecord>)> {
        let selector = Selector::new(WordKey::new(&word_key(&self.key)));
        let created_at = now();
        let documents: Vec<(String, String)> = documents.into_iter().collect();
        let threads = std::thread::available_parallelism().map_or(1, usize::from).min(documents.len());
        let next = AtomicUsize::new(0);
        self.read(|model| {
            let read = |(name, text): &(String, String)| -> Result<(String, Row, DocumentRecord)> {
                let chosen = selector.choose(text, |id| model.corpus.taken(id, tenant));
                let (bytes, phrases) = (text.len() as u64, chosen.phrases.len() as u64);
                let document = Document { bytes, words: chosen.words, created_at, phrases };
                let shared = chosen.phrases.iter().filter(|phrase| model.corpus.taken(phrase.id, tenant)).count();
                let record = DocumentRecord { shared: Some(shared as u64), ..DocumentRecord::of(name, &document) };
                Ok((rows::field(tenant, name), Row::document(tenant, name, document, &chosen)?, record))
            };
            let work = || -> Result<Vec<_>> {
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
                Ok(all.into_iter().map(|(field, row, record)| ((field, Some(Arc::new(row))), record)).unzip())
            })
        })
    }

    /// Forgets documents of a tenant; all of them without a name. How many there were.
    ///
    /// # Errors
    /// When there is none of that name, or the store fails.
    pub fn remove_documents(&self, tenant: &TenantId, name: Option<&str>) -> Result<u64> {
        self.change_fingerprints(|model| {
            let names: Vec<&str> = match name {
                Some(name) if model.corpus.document(tenant, name).is_none() => {
                    return Err(refused("not_found", format!("{tenant} has no document {name:?}")));
                }
                Some(name) => vec![name],
                None => model.corpus.documents(tenant).map(|(name, _)| name).collect(),
            };
            let rows: Rows = names.iter().map(|name| (rows::field(tenant, name), None)).collect();
            Ok((Delta { rows, ..model.unchanged() }, names.len() as u64))
        })
    }

    /// A text of common language: nothing in it is a phrase of anybody. Without a text, there is none any more.
    ///
    /// # Errors
    /// When the store fails.
    pub fn set_common(&self, text: Option<&str>) -> Result<usize> {
        let selector = Selector::new(WordKey::new(&word_key(&self.key)));
        let row = text.map(|text| Arc::new(Row::common(selector.runs(text))));
        self.change_fingerprints(|model| {
            let rows: Rows = match &row {
                // Named by what it says: the same text is there once.
                Some(row) => {
                    let name = hex::encode(Sha256::digest(&row.bytes));
                    [(format!("{}/{name}", rows::COMMON), Some(Arc::clone(row)))].into()
                }
                None => {
                    let mut names = Rows::new();
                    self.store.each_bytes(rows::COMMON, |name, _| {
                        names.insert(format!("{}/{name}", rows::COMMON), None);
                        Ok(())
                    })?;
                    names
                }
            };
            Ok((Delta { rows, ..model.unchanged() }, ()))
        })?;
        Ok(self.read(|model| model.corpus.common()))
    }

    /// A new key for all segments of phrases.
    ///
    /// # Errors
    /// When the store fails.
    pub fn rotate_phrase_key(&self) -> Result<u64> {
        self.change_fingerprints(|model| {
            let generation = model.generation + 1;
            Ok((Delta { generation, ..model.unchanged() }, generation))
        })
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

//! What is true now. Every change goes the same way: check, write and commit to the store, then change the memory,
//! then publish a new revision to the filters that wait.

mod access;
mod alerts;
mod audits;
mod behind;
mod delta;
mod desk;
mod documents;
mod drift;
mod fingerprints;
mod fleet;
mod harvest;
mod health;
mod offboarding;
mod outbox;
mod parity;
mod policies;
mod records;
mod revisions;
mod rows;
mod sharing;
mod statistics;
mod tenants;

pub use alerts::{Alert, KINDS as ALERT_KINDS};
pub use documents::{DocumentRecord, Explanation};
pub use health::StoreStatus;
pub use offboarding::{Adoption, Offboarding, PlaceReceipt, Receipt, SignedReceipt, Step, StepStatus, Unsearched};
pub use outbox::{Delivery, KEPT_MS, Message, Outcome, Reason, Standing, delivery_id};
pub use records::{Event, FingerprintRecord, PolicyRecord, Published, Sidecar, TenantRecord};
pub use rows::{Row, Rows};
pub use statistics::{Distribution, Hour};

use crate::corpus::Corpus;
use crate::jwks::Cached;
use crate::phrase_segments::PhraseSegments;
use crate::policy::{Compiled, Former};
use crate::segments::Segments;
use crate::shared::{Position, Remote};
use crate::store::{Store, Write};
use crate::tokens::{Role, TokenRecord};
use anyhow::{Context, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use partywall_core::scan::Entry;
use partywall_core::snapshot::{SecretKey, wire};
use partywall_core::tenant::TenantId;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, RwLockReadGuard};
use std::time::{Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::{Notify, broadcast, watch};

/// What only writers touch.
#[derive(Default)]
pub struct Model {
    pub(crate) tenants: BTreeMap<TenantId, TenantRecord>,
    pub(crate) fingerprints: BTreeMap<u64, Entry>,
    created: HashMap<u64, u64>,
    by_text: HashMap<Vec<u8>, u64>,
    next_fingerprint: u64,
    pub(crate) corpus: Corpus,
    /// Of the key of phrases.
    generation: u64,
    /// Stands for the whole set.
    sum: u128,
    /// Where in the shared store's life the fingerprints are from; `None` when they are our own.
    shared: Option<Position>,
    /// The next segments are built anew.
    rebuild: bool,
    pub(crate) policies: Vec<PolicyRecord>,
    pub(crate) compiled: Option<Compiled>,
    /// Surfaces as earlier policies had them: records may still be there.
    pub(crate) former: Vec<Former>,
    pub(crate) jwks: BTreeMap<String, Cached>,
    /// Tenants that were removed, and since when: tokens from before stay dead if they come back.
    gone: BTreeMap<String, u64>,
    /// The isolation audit that runs.
    pub(crate) audit: Option<crate::audit::Running>,
    revision: u64,
}

impl Model {
    /// The revision of what holds now.
    pub fn revision(&self) -> u64 {
        self.revision
    }
}

/// The control plane.
pub struct App {
    store: Store,
    /// Held by whoever changes anything: changes come one after the other, readers go on meanwhile.
    writer: Mutex<()>,
    /// Held by whoever changes fingerprints or where they are kept; taken before `writer`.
    sharing: Mutex<()>,
    /// The shared store, where there is one.
    remote: Option<Remote>,
    health: Mutex<health::Health>,
    outrun: Mutex<revisions::Outrun>,
    model: RwLock<Model>,
    tokens: RwLock<BTreeMap<String, TokenRecord>>,
    segments: RwLock<Segments>,
    phrases: RwLock<PhraseSegments>,
    behind: behind::Behind,
    published: watch::Sender<Published>,
    sidecars: Mutex<BTreeMap<String, Sidecar>>,
    /// Filters that were heard of before this start, and not since: they may serve what they had then.
    unheard: Mutex<BTreeSet<String>>,
    started: Instant,
    events: Mutex<(VecDeque<Event>, u64)>,
    feed: broadcast::Sender<Event>,
    statistics: Mutex<statistics::Statistics>,
    desk: Mutex<desk::Desk>,
    /// Something waits that may leave.
    pub alerts_changed: Notify,
    /// Where the server listens, once it does.
    pub address: OnceLock<String>,
    offboardings: Mutex<BTreeMap<String, Offboarding>>,
    audits: Mutex<BTreeMap<String, crate::audit::SignedReport>>,
    /// Adoptions that are going on: surface and tenant.
    adoptions: Mutex<BTreeSet<(String, TenantId)>>,
    /// The key that signs manifests.
    pub key: SecretKey,
    /// Counters for `/metrics`.
    pub metrics: crate::metrics::Metrics,
}

/// A change that the caller could have known to be impossible.
#[derive(Debug)]
pub struct Refused(pub &'static str, pub String);

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.1)
    }
}

impl std::error::Error for Refused {}

/// Refuses with a stable code and a message.
pub fn refused(code: &'static str, message: impl Into<String>) -> anyhow::Error {
    Refused(code, message.into()).into()
}

/// Unix time in seconds.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Unix time in milliseconds.
pub fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Memory is changed only after a commit and without panics in between: a poisoned lock still holds the truth.
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

impl App {
    /// Opens the data directory; creates it, the signing key (unless it is elsewhere) and one admin token at the first start.
    ///
    /// # Errors
    /// When the directory, key or store cannot be read or written.
    pub fn open(directory: &Path, key: Option<&Path>, remote: Option<Remote>) -> Result<Self> {
        std::fs::create_dir_all(directory).with_context(|| format!("cannot create {}", directory.display()))?;
        let key = crate::server::signing_key(directory, key)?;
        let store = Store::open(directory)?;
        let remote = remote.map(|mut remote| {
            remote.belongs_to(documents::word_check(&key));
            remote
        });
        let mut model = Model {
            tenants: store
                .named::<TenantRecord>("tenant")?
                .into_iter()
                .map(|(_, tenant)| (tenant.id.clone(), tenant))
                .collect(),
            policies: store.numbered::<PolicyRecord>("policy")?.into_iter().map(|(_, policy)| policy).collect(),
            jwks: store.named("jwks")?.into_iter().collect(),
            compiled: store.meta("compiled")?,
            former: store.meta("former")?.unwrap_or_default(),
            gone: store.named("gone")?.into_iter().collect(),
            audit: store.named("audit_running")?.into_iter().next().map(|(_, running)| running),
            revision: store.meta("revision")?.unwrap_or(0),
            next_fingerprint: store.meta("next_fingerprint")?.unwrap_or(1),
            corpus: Self::load_corpus(&store)?,
            generation: store.meta::<u64>("phrase_generation")?.unwrap_or(0),
            shared: store.meta::<Option<Position>>("shared")?.flatten(),
            ..Model::default()
        };
        for (id, record) in store.numbered::<FingerprintRecord>("fingerprint")? {
            let folded = delta::folded(&FingerprintRecord { id, ..record.clone() })?;
            model.keep(&record, folded);
        }
        if model.compiled.as_ref().is_some_and(|compiled| compiled.redis) {
            if remote.is_none() {
                bail!("the policy in force keeps fingerprints in Redis: start with `--redis URL` (or PARTYWALL_REDIS)");
            }
        } else {
            // A switch to the shared store that did not get through: what was merged is ours.
            model.shared = None;
        }
        let segments = Segments::build(&model.fingerprints)?;
        let phrases = PhraseSegments::new(documents::wire_key(&key, model.generation));
        let changes = model.corpus.changes();
        let (published, _) =
            watch::channel(Published { revision: 0, max_age_s: 300, tag: String::new(), content: None });
        let (feed, _) = broadcast::channel(1024);
        let tokens: BTreeMap<String, TokenRecord> = store.named("token")?.into_iter().collect();
        let kept: VecDeque<Event> = store.numbered::<Event>("event")?.into_iter().map(|(_, event)| event).collect();
        let hours = store.named::<Hour>("hour")?;
        let hours = hours.into_iter().filter_map(|(name, hour)| Some((statistics::parse(&name)?, hour))).collect();
        let alerts = store.numbered::<Alert>("alert")?.into_iter().map(|(_, alert)| alert).collect();
        let mut desk = desk::Desk::open(alerts, now_ms());
        desk.outbox = store.numbered("outbox")?.into_iter().collect();
        desk.receivers = store.named("receiver")?.into_iter().collect();
        let audits = store.named("audit")?.into_iter().collect();
        let unheard = store.named::<u64>("sidecar")?.into_iter().map(|(name, _)| name).collect();
        let offboardings = store.named("offboarding")?.into_iter().collect();
        let last = kept.back().map_or(0, |event| event.sequence);
        let app = Self {
            store,
            writer: Mutex::default(),
            sharing: Mutex::default(),
            remote,
            health: Mutex::default(),
            outrun: Mutex::default(),
            model: RwLock::new(model),
            tokens: RwLock::new(tokens),
            segments: RwLock::new(segments),
            phrases: RwLock::new(phrases),
            behind: behind::Behind::default(),
            published,
            sidecars: Mutex::default(),
            unheard: Mutex::new(unheard),
            started: Instant::now(),
            events: Mutex::new((kept, last)),
            feed,
            statistics: Mutex::new(hours),
            desk: Mutex::new(desk),
            alerts_changed: Notify::new(),
            address: OnceLock::new(),
            offboardings: Mutex::new(offboardings),
            audits: Mutex::new(audits),
            adoptions: Mutex::default(),
            key,
            metrics: crate::metrics::Metrics::default(),
        };
        if app.tokens().is_empty() {
            let token = app.create_token("first-admin", Role::Admin)?;
            crate::server::write_secret(&directory.join("admin.token"), token.as_bytes())?;
        }
        app.follow_corpus(&changes)?;
        app.publish(&app.model());
        Ok(app)
    }

    fn model(&self) -> RwLockReadGuard<'_, Model> {
        self.model.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// What holds now, for reading.
    pub fn read<T>(&self, read: impl FnOnce(&Model) -> T) -> T {
        read(&self.model())
    }

    /// Changes: `change` checks and writes, `apply` changes the memory after the commit. Readers wait only for `apply`; segments
    /// are built beside the ones in force.
    fn change<T>(
        &self,
        change: impl FnOnce(&Model, &Write) -> Result<T>,
        apply: impl FnOnce(&mut Model, &T) -> (Vec<u64>, Vec<u64>),
    ) -> Result<T> {
        let _writer = lock(&self.writer);
        let write = self.store.write()?;
        let revision = self.model().revision + 1;
        let result = change(&self.model(), &write)?;
        write.set_meta("revision", &revision)?;
        write.commit()?;
        let (added, gone, rebuild, phrases) = {
            let mut model = self.model.write().unwrap_or_else(PoisonError::into_inner);
            model.revision = revision;
            let (added, gone) = apply(&mut model, &result);
            let changed = model.corpus.changes();
            (added, gone, std::mem::take(&mut model.rebuild), self.leave_behind(changed))
        };
        if !phrases.is_empty() {
            self.follow_corpus(&phrases)?;
        }
        self.follow_generation()?;
        if rebuild {
            let current = self.segments.read().unwrap_or_else(PoisonError::into_inner).clone();
            let next = current.rebuild(&self.model().fingerprints)?;
            *self.segments.write().unwrap_or_else(PoisonError::into_inner) = next;
        } else if !added.is_empty() || !gone.is_empty() {
            let mut next = self.segments.read().unwrap_or_else(PoisonError::into_inner).clone();
            next.change(&self.model().fingerprints, &added, &gone)?;
            *self.segments.write().unwrap_or_else(PoisonError::into_inner) = next;
        }
        self.publish(&self.model());
        Ok(result)
    }

    fn content(
        &self,
        compiled: &Compiled,
        tenants: &BTreeMap<TenantId, TenantRecord>,
        jwks: &BTreeMap<String, Cached>,
    ) -> wire::Content {
        let tenants = tenants
            .values()
            .map(|t| wire::Tenant { id: t.id.clone(), status: t.status, tokens_not_before: t.tokens_not_before })
            .collect();
        let seal_key = STANDARD.encode(self.key.derive(b"partywall seal key v1"));
        compiled.content(&|issuer| jwks.get(issuer).map(Cached::usable).unwrap_or_default(), tenants, seal_key)
    }

    fn publish(&self, model: &Model) {
        let Some(compiled) = &model.compiled else { return };
        if compiled.redis && model.shared.is_none() {
            // Nobody knows what must be guarded: filters get nothing, and deny.
            return;
        }
        let mut content = self.content(compiled, &model.tenants, &model.jwks);
        if let Some(issuer) = model.audit.as_ref().and_then(|running| running.issuer().ok()) {
            content.identity.issuers.push(issuer);
        }
        let shared = model.shared.as_ref().filter(|_| compiled.redis);
        // Stands for all fingerprints of both classes, and the key under which phrases travel.
        let phrases = self.phrases.read().unwrap_or_else(PoisonError::into_inner);
        let set = model.sum.wrapping_add(phrases.sum()) ^ u128::from_le_bytes(*phrases.key());
        let tag = revisions::tag(&content, compiled.max_age_s, set, shared);
        (content.segments, content.removed) = self.segments.read().unwrap_or_else(PoisonError::into_inner).manifest();
        if let Some(travel) = &mut content.phrases {
            travel.word_key = STANDARD.encode(documents::word_key(&self.key));
            travel.wire_key = STANDARD.encode(phrases.key());
            (travel.segments, travel.removed) = phrases.manifest();
        }
        drop(phrases);
        let revision = model.revision.max(1);
        lock(&self.outrun).published(&tag, revision);
        let content = Some(Arc::new(content));
        self.published.send_replace(Published { revision, max_age_s: compiled.max_age_s, tag, content });
    }

    /// Follows what is published.
    pub fn subscribe(&self) -> watch::Receiver<Published> {
        self.published.subscribe()
    }

    /// A blob by its digest.
    pub fn blob(&self, digest: &str) -> Option<Arc<Vec<u8>>> {
        let literal = self.segments.read().unwrap_or_else(PoisonError::into_inner).blob(digest);
        literal.or_else(|| self.phrases.read().unwrap_or_else(PoisonError::into_inner).blob(digest))
    }
}

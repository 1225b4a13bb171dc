//! What is true now. Every change goes the same way: check, write and commit to the store, then change the memory,
//! then publish a new revision to the filters that wait.

use crate::jwks::Cached;
use crate::policy::{Compiled, Policy};
use crate::segments::Segments;
use crate::store::{Store, Write};
use crate::tokens::{self, Role, TokenRecord};
use anyhow::{Context, Result, anyhow};
use partywall_core::record::{Decision, Severity, Totals};
use partywall_core::scan::{self, Entry};
use partywall_core::snapshot::{SecretKey, wire};
use partywall_core::tenant::{TenantId, TenantStatus};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::sync::{broadcast, watch};
use utoipa::ToSchema;

/// The most decision records that are kept.
const MAX_EVENTS: usize = 50_000;

/// A tenant.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct TenantRecord {
    /// Its identifier.
    #[schema(value_type = String)]
    pub id: TenantId,
    /// `active` or `suspended`.
    #[schema(value_type = String)]
    pub status: TenantStatus,
    /// Tokens issued before this Unix time are refused; 0 for none.
    pub tokens_not_before: u64,
    /// When it was onboarded, Unix seconds.
    pub created_at: u64,
}

/// A fingerprint.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct FingerprintRecord {
    /// Its id; a new one when its owners change.
    pub id: u64,
    /// The literal. Only admins see it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Whose it is.
    #[schema(value_type = Vec<String>)]
    pub owners: Vec<TenantId>,
    /// `low`, `high` or `critical`.
    #[schema(value_type = String)]
    pub severity: Severity,
    /// When it was added, Unix seconds.
    pub created_at: u64,
}

/// A policy that was applied.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct PolicyRecord {
    /// Its version, from 1.
    pub version: u64,
    /// The file, as it was sent.
    pub text: String,
    /// When, Unix seconds.
    pub applied_at: u64,
    /// By the token of this name.
    pub applied_by: String,
}

/// A worker VM of a proxy.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Sidecar {
    /// Its name.
    pub instance: String,
    /// The revision that it runs.
    pub revision: u64,
    /// Whether that is the current one.
    pub converged: bool,
    /// First heard of, Unix seconds.
    pub first_seen: u64,
    /// Last heard of, Unix seconds.
    pub last_seen: u64,
    /// What it counted since it started.
    #[schema(value_type = Object)]
    pub totals: Totals,
    /// Records that it had to drop.
    pub lost: u64,
}

/// A decision record, numbered.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Event {
    /// Ascending over all sidecars.
    pub sequence: u64,
    /// Which sidecar.
    pub instance: String,
    /// What was decided.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    pub decision: Decision,
}

/// What the filters get.
#[derive(Clone)]
pub struct Published {
    /// The revision.
    pub revision: u64,
    /// How long it may serve without hearing from us.
    pub max_age_s: u64,
    /// `None` until a policy is applied.
    pub content: Option<Arc<wire::Content>>,
}

/// What only writers touch.
#[derive(Default)]
pub struct Model {
    pub(crate) tenants: BTreeMap<TenantId, TenantRecord>,
    pub(crate) fingerprints: BTreeMap<u64, Entry>,
    created: HashMap<u64, u64>,
    by_text: HashMap<Vec<u8>, u64>,
    next_fingerprint: u64,
    pub(crate) policies: Vec<PolicyRecord>,
    pub(crate) compiled: Option<Compiled>,
    pub(crate) jwks: BTreeMap<String, Cached>,
    /// Tenants that were removed, and since when: tokens from before stay dead if they come back.
    gone: BTreeMap<String, u64>,
    revision: u64,
}

/// The control plane.
pub struct App {
    store: Store,
    /// Held by whoever changes anything: changes come one after the other, readers go on meanwhile.
    writer: Mutex<()>,
    model: RwLock<Model>,
    tokens: RwLock<BTreeMap<String, TokenRecord>>,
    segments: RwLock<Segments>,
    published: watch::Sender<Published>,
    sidecars: Mutex<BTreeMap<String, Sidecar>>,
    events: Mutex<(VecDeque<Event>, u64)>,
    feed: broadcast::Sender<Event>,
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

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Memory is changed only after a commit and without panics in between: a poisoned lock still holds the truth.
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Writes the tenants that are new. One that was removed before comes back with its old tokens dead.
fn new_tenants(model: &Model, write: &Write, ids: &[TenantId]) -> Result<Vec<TenantRecord>> {
    let mut new: Vec<TenantRecord> = Vec::new();
    for id in ids {
        if model.tenants.contains_key(id) || new.iter().any(|tenant| tenant.id == *id) {
            continue;
        }
        let same = |known: &TenantId| known.as_str().eq_ignore_ascii_case(id.as_str());
        if let Some(known) = model.tenants.keys().chain(new.iter().map(|t| &t.id)).find(|known| same(known)) {
            return Err(refused(
                "tenant_id_ambiguous",
                format!("{id} differs from {known} by case only: take another id"),
            ));
        }
        let tokens_not_before = model.gone.get(id.as_str()).copied().unwrap_or(0);
        let tenant =
            TenantRecord { id: id.clone(), status: TenantStatus::Active, tokens_not_before, created_at: now() };
        write.put("tenant", id.as_str(), &tenant)?;
        new.push(tenant);
    }
    Ok(new)
}

impl App {
    /// Opens the data directory; creates it, the signing key and one admin token at the first start.
    ///
    /// # Errors
    /// When the directory, key or store cannot be read or written.
    pub fn open(directory: &Path) -> Result<Self> {
        std::fs::create_dir_all(directory).with_context(|| format!("cannot create {}", directory.display()))?;
        let key = crate::server::signing_key(directory)?;
        let store = Store::open(directory)?;
        let mut model = Model {
            tenants: store
                .named::<TenantRecord>("tenant")?
                .into_iter()
                .map(|(_, tenant)| (tenant.id.clone(), tenant))
                .collect(),
            policies: store.numbered::<PolicyRecord>("policy")?.into_iter().map(|(_, policy)| policy).collect(),
            jwks: store.named("jwks")?.into_iter().collect(),
            compiled: store.meta("compiled")?,
            gone: store.named("gone")?.into_iter().collect(),
            revision: store.meta("revision")?.unwrap_or(0),
            next_fingerprint: store.meta("next_fingerprint")?.unwrap_or(1),
            ..Model::default()
        };
        for (id, record) in store.numbered::<FingerprintRecord>("fingerprint")? {
            let text = record.text.clone().unwrap_or_default();
            let folded = scan::literal(&text).map_err(|error| anyhow!("fingerprint {id}: {error}"))?;
            model.by_text.insert(folded, id);
            model.created.insert(id, record.created_at);
            model.fingerprints.insert(id, Entry { id, text, owners: record.owners, severity: record.severity });
        }
        let segments = Segments::build(&model.fingerprints)?;
        let (published, _) = watch::channel(Published { revision: 0, max_age_s: 300, content: None });
        let (feed, _) = broadcast::channel(1024);
        let tokens: BTreeMap<String, TokenRecord> = store.named("token")?.into_iter().collect();
        let kept: VecDeque<Event> = store.numbered::<Event>("event")?.into_iter().map(|(_, event)| event).collect();
        let last = kept.back().map_or(0, |event| event.sequence);
        let app = Self {
            store,
            writer: Mutex::default(),
            model: RwLock::new(model),
            tokens: RwLock::new(tokens),
            segments: RwLock::new(segments),
            published,
            sidecars: Mutex::default(),
            events: Mutex::new((kept, last)),
            feed,
            key,
            metrics: crate::metrics::Metrics::default(),
        };
        if app.tokens().is_empty() {
            let token = app.create_token("first-admin", Role::Admin)?;
            crate::server::write_secret(&directory.join("admin.token"), token.as_bytes())?;
        }
        app.publish(&app.model());
        Ok(app)
    }

    fn model(&self) -> RwLockReadGuard<'_, Model> {
        self.model.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn tokens(&self) -> RwLockReadGuard<'_, BTreeMap<String, TokenRecord>> {
        self.tokens.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// What holds now, for reading.
    pub fn read<T>(&self, read: impl FnOnce(&Model) -> T) -> T {
        read(&self.model())
    }

    /// All tokens, without themselves.
    pub fn token_records(&self) -> Vec<TokenRecord> {
        self.tokens().values().cloned().collect()
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
        let (added, gone) = {
            let mut model = self.model.write().unwrap_or_else(PoisonError::into_inner);
            model.revision = revision;
            apply(&mut model, &result)
        };
        if !added.is_empty() || !gone.is_empty() {
            let mut next = self.segments.read().unwrap_or_else(PoisonError::into_inner).clone();
            next.change(&self.model().fingerprints, &added, &gone)?;
            *self.segments.write().unwrap_or_else(PoisonError::into_inner) = next;
        }
        self.publish(&self.model());
        Ok(result)
    }

    fn content(
        compiled: &Compiled,
        tenants: &BTreeMap<TenantId, TenantRecord>,
        jwks: &BTreeMap<String, Cached>,
    ) -> wire::Content {
        let tenants = tenants
            .values()
            .map(|t| wire::Tenant { id: t.id.clone(), status: t.status, tokens_not_before: t.tokens_not_before })
            .collect();
        compiled.content(&|issuer| jwks.get(issuer).map(Cached::usable).unwrap_or_default(), tenants)
    }

    fn publish(&self, model: &Model) {
        let Some(compiled) = &model.compiled else { return };
        let mut content = Self::content(compiled, &model.tenants, &model.jwks);
        (content.segments, content.removed) = self.segments.read().unwrap_or_else(PoisonError::into_inner).manifest();
        self.published.send_replace(Published {
            revision: model.revision.max(1),
            max_age_s: compiled.max_age_s,
            content: Some(Arc::new(content)),
        });
    }

    /// Follows what is published.
    pub fn subscribe(&self) -> watch::Receiver<Published> {
        self.published.subscribe()
    }

    /// A filter runs a later revision than ours: our data was restored from a backup. Moves past it, so that the filter,
    /// which refuses to go back, follows again.
    ///
    /// # Errors
    /// When the store fails, or the claim is absurd.
    pub fn outrun(&self, revision: u64) -> Result<()> {
        let _writer = lock(&self.writer);
        let ours = self.model().revision;
        if revision < ours || revision - ours > 1_000_000_000 {
            return Ok(());
        }
        let write = self.store.write()?;
        write.set_meta("revision", &(revision + 1))?;
        write.commit()?;
        tracing::warn!(theirs = revision, ours, "a filter runs a later revision: moving past it");
        self.model.write().unwrap_or_else(PoisonError::into_inner).revision = revision + 1;
        self.publish(&self.model());
        Ok(())
    }

    /// A blob by its digest.
    pub fn blob(&self, digest: &str) -> Option<Arc<Vec<u8>>> {
        self.segments.read().unwrap_or_else(std::sync::PoisonError::into_inner).blob(digest)
    }

    /// Makes a token and returns it, for the only time.
    ///
    /// # Errors
    /// When the name is taken or the store fails.
    pub fn create_token(&self, name: &str, role: Role) -> Result<String> {
        let _writer = lock(&self.writer);
        if self.tokens().values().any(|token| token.name == name) {
            return Err(refused(
                "token_exists",
                format!("a token named {name:?} exists: revoke it or take another name"),
            ));
        }
        let token = tokens::generate(role)?;
        let record = TokenRecord { name: name.to_owned(), role, created_at: now() };
        let write = self.store.write()?;
        write.put("token", &tokens::hash(&token), &record)?;
        write.commit()?;
        self.tokens.write().unwrap_or_else(PoisonError::into_inner).insert(tokens::hash(&token), record);
        Ok(token)
    }

    /// Revokes a token by its name.
    ///
    /// # Errors
    /// When there is none, or it is the last admin's.
    pub fn revoke_token(&self, name: &str) -> Result<()> {
        let _writer = lock(&self.writer);
        let found = self.tokens().iter().find(|(_, token)| token.name == name).map(|(h, t)| (h.clone(), t.clone()));
        let Some((hash, record)) = found else {
            return Err(refused("not_found", format!("there is no token named {name:?}")));
        };
        let admins = self.tokens().values().filter(|token| token.role == Role::Admin).count();
        if record.role == Role::Admin && admins == 1 {
            return Err(refused("last_admin", "this is the last admin token: create another one first"));
        }
        let write = self.store.write()?;
        write.remove("token", &hash)?;
        write.commit()?;
        self.tokens.write().unwrap_or_else(PoisonError::into_inner).remove(&hash);
        Ok(())
    }

    /// Who a token belongs to.
    pub fn authenticate(&self, token: &str) -> Option<TokenRecord> {
        self.tokens().get(&tokens::hash(token)).cloned()
    }

    /// Onboards tenants; those that exist already stay as they are. Returns the new ones.
    ///
    /// # Errors
    /// When an id differs from another one by case only.
    pub fn add_tenants(&self, ids: &[TenantId]) -> Result<Vec<TenantRecord>> {
        if ids.iter().all(|id| self.model().tenants.contains_key(id)) {
            return Ok(Vec::new());
        }
        self.change(
            |model, write| new_tenants(model, write, ids),
            |model, new| {
                model.tenants.extend(new.iter().map(|tenant| (tenant.id.clone(), tenant.clone())));
                (vec![], vec![])
            },
        )
    }

    /// Changes a tenant.
    ///
    /// # Errors
    /// When it is not known.
    pub fn edit_tenant(&self, id: &TenantId, edit: impl FnOnce(&mut TenantRecord)) -> Result<TenantRecord> {
        self.change(
            |model, write| {
                let mut tenant = model
                    .tenants
                    .get(id)
                    .cloned()
                    .ok_or_else(|| refused("tenant_unknown", format!("there is no tenant {id}")))?;
                edit(&mut tenant);
                write.put("tenant", id.as_str(), &tenant)?;
                Ok(tenant)
            },
            |model, tenant| {
                model.tenants.insert(tenant.id.clone(), tenant.clone());
                (vec![], vec![])
            },
        )
    }

    /// Forgets a tenant that owns no fingerprint.
    ///
    /// # Errors
    /// When it is not known, or owns fingerprints.
    pub fn remove_tenant(&self, id: &TenantId) -> Result<()> {
        self.change(
            |model, write| {
                if !model.tenants.contains_key(id) {
                    return Err(refused("tenant_unknown", format!("there is no tenant {id}")));
                }
                let owned = model.fingerprints.values().filter(|entry| entry.owners.contains(id)).count();
                if owned > 0 {
                    return Err(refused("tenant_in_use", format!("{id} owns {owned} fingerprints: remove them first")));
                }
                write.put("gone", id.as_str(), &(now() + 1))?;
                write.remove("tenant", id.as_str())
            },
            |model, ()| {
                model.gone.insert(id.as_str().to_owned(), now() + 1);
                model.tenants.remove(id);
                (vec![], vec![])
            },
        )
    }

    /// Adds literals of tenants. A literal that another tenant has too gets both as owners. Returns, for each, its
    /// fingerprint and whether anything changed.
    ///
    /// # Errors
    /// When a tenant is not known or a literal is no usable fingerprint: then none is added.
    pub fn add_fingerprints(
        &self,
        literals: &[(TenantId, String, Severity)],
    ) -> Result<Vec<(FingerprintRecord, bool)>> {
        struct Added {
            results: Vec<(FingerprintRecord, bool)>,
            new: BTreeMap<u64, (Entry, Vec<u8>)>,
            gone: Vec<u64>,
            next: u64,
        }
        let added = self.change(
            |model, write| {
                let mut added =
                    Added { results: Vec::new(), new: BTreeMap::new(), gone: Vec::new(), next: model.next_fingerprint };
                let mut latest: HashMap<Vec<u8>, u64> = HashMap::new();
                for (index, (tenant, text, severity)) in literals.iter().enumerate() {
                    if !model.tenants.contains_key(tenant) {
                        return Err(refused(
                            "tenant_unknown",
                            format!("item {index}: there is no tenant {tenant}: onboard it first"),
                        ));
                    }
                    let folded = scan::literal(text)
                        .map_err(|error| refused("fingerprint_unusable", format!("item {index}: {error}")))?;
                    let known = latest.get(&folded).or_else(|| model.by_text.get(&folded)).copied();
                    let old = known.and_then(|id| {
                        added.new.get(&id).map(|(e, _)| e).or_else(|| model.fingerprints.get(&id)).cloned()
                    });
                    if let Some(old) = old.as_ref().filter(|old| old.owners.contains(tenant)) {
                        added.results.push((self.record(model, old), false));
                        continue;
                    }
                    let mut owners = old.as_ref().map(|old| old.owners.clone()).unwrap_or_default();
                    owners.push(tenant.clone());
                    let severity = old.as_ref().map_or(*severity, |old| old.severity.max(*severity));
                    let entry = Entry { id: added.next, text: text.clone(), owners, severity };
                    added.next += 1;
                    if let Some(old) = old
                        && added.new.remove(&old.id).is_none()
                    {
                        added.gone.push(old.id);
                    }
                    latest.insert(folded.clone(), entry.id);
                    added.results.push((self.record(model, &entry), true));
                    added.new.insert(entry.id, (entry, folded));
                }
                let at = now();
                write.put_numbered(
                    "fingerprint",
                    added.new.iter().map(|(id, (entry, _))| {
                        let record = FingerprintRecord {
                            id: *id,
                            text: Some(entry.text.clone()),
                            owners: entry.owners.clone(),
                            severity: entry.severity,
                            created_at: at,
                        };
                        (*id, record)
                    }),
                )?;
                write.remove_numbered("fingerprint", added.gone.iter().copied())?;
                write.set_meta("next_fingerprint", &added.next)?;
                Ok(added)
            },
            |model, added| {
                for id in &added.gone {
                    model.fingerprints.remove(id);
                }
                for (id, (entry, folded)) in &added.new {
                    model.by_text.insert(folded.clone(), *id);
                    model.created.insert(*id, now());
                    model.fingerprints.insert(*id, entry.clone());
                }
                model.next_fingerprint = added.next;
                (added.new.keys().copied().collect(), added.gone.clone())
            },
        )?;
        Ok(added.results)
    }

    /// Removes a fingerprint.
    ///
    /// # Errors
    /// When there is none of that id.
    pub fn remove_fingerprint(&self, id: u64) -> Result<()> {
        self.change(
            |model, write| {
                if !model.fingerprints.contains_key(&id) {
                    return Err(refused("not_found", format!("there is no fingerprint {id}")));
                }
                write.remove_numbered("fingerprint", [id])
            },
            |model, ()| {
                if let Some(folded) = model.fingerprints.remove(&id).and_then(|entry| scan::literal(&entry.text).ok()) {
                    model.by_text.remove(&folded);
                }
                model.created.remove(&id);
                (vec![], vec![id])
            },
        )
    }

    /// A fingerprint as the API shows it, with its text.
    pub(crate) fn record(&self, model: &Model, entry: &Entry) -> FingerprintRecord {
        FingerprintRecord {
            id: entry.id,
            text: Some(entry.text.clone()),
            owners: entry.owners.clone(),
            severity: entry.severity,
            created_at: model.created.get(&entry.id).copied().unwrap_or_else(now),
        }
    }

    /// Checks that the filters could enforce a policy with these keys.
    ///
    /// # Errors
    /// When they could not.
    pub fn try_policy(&self, compiled: &Compiled, fetched: &BTreeMap<String, Cached>) -> Result<()> {
        let content = Self::content(compiled, &self.model().tenants, fetched);
        let none = std::rc::Rc::new(scan::FingerprintSet::empty());
        partywall_core::snapshot::Snapshot::compile(1, &content, none)
            .map(|_| ())
            .map_err(|error| refused("policy_invalid", error.to_string()))
    }

    /// Applies a policy, its tenants included, as one change.
    ///
    /// # Errors
    /// When it cannot be enforced or the store fails: then nothing changes.
    pub fn apply_policy(
        &self,
        text: &str,
        policy: &Policy,
        compiled: Compiled,
        fetched: BTreeMap<String, Cached>,
        by: &str,
    ) -> Result<PolicyRecord> {
        self.try_policy(&compiled, &fetched)?;
        let ids: Vec<TenantId> = policy
            .tenants
            .iter()
            .map(|tenant| {
                TenantId::parse(&tenant.id)
                    .map_err(|error| refused("policy_invalid", format!("tenants ({}): {error}", tenant.id)))
            })
            .collect::<Result<_>>()?;
        let (record, _) = self.change(
            |model, write| {
                let version = model.policies.last().map_or(1, |last| last.version + 1);
                let record =
                    PolicyRecord { version, text: text.to_owned(), applied_at: now(), applied_by: by.to_owned() };
                write.put_numbered("policy", [(version, &record)])?;
                write.set_meta("compiled", &compiled)?;
                for (issuer, cached) in &fetched {
                    write.put("jwks", issuer, cached)?;
                }
                Ok((record, new_tenants(model, write, &ids)?))
            },
            |model, (record, new)| {
                model.policies.push(record.clone());
                model.compiled = Some(compiled.clone());
                model.jwks.extend(fetched.clone());
                model.tenants.extend(new.iter().map(|tenant| (tenant.id.clone(), tenant.clone())));
                (vec![], vec![])
            },
        )?;
        Ok(record)
    }

    /// Takes in the keys that an issuer publishes now. Publishes only when they changed.
    ///
    /// # Errors
    /// When the store fails.
    pub fn refresh_keys(&self, issuer: &str, published: &[serde_json::Value]) -> Result<bool> {
        let mut cached = self.model().jwks.get(issuer).cloned().unwrap_or_default();
        if !cached.refresh(published, now()) {
            return Ok(false);
        }
        self.change(
            |_, write| write.put("jwks", issuer, &cached),
            |model, ()| {
                model.jwks.insert(issuer.to_owned(), cached.clone());
                (vec![], vec![])
            },
        )?;
        Ok(true)
    }

    /// A filter has polled: it lives, and runs this revision.
    pub fn seen(&self, instance: &str, revision: u64) {
        let mut sidecars = lock(&self.sidecars);
        let at = now();
        sidecars.retain(|_, sidecar| at.saturating_sub(sidecar.last_seen) < 24 * 3600);
        if sidecars.len() >= 10_000 && !sidecars.contains_key(instance) {
            return;
        }
        let sidecar = sidecars.entry(instance.to_owned()).or_insert_with(|| Sidecar {
            instance: instance.to_owned(),
            revision,
            converged: false,
            first_seen: at,
            last_seen: at,
            totals: Totals::default(),
            lost: 0,
        });
        sidecar.revision = revision;
        sidecar.last_seen = at;
    }

    /// All sidecars.
    pub fn sidecars(&self) -> Vec<Sidecar> {
        let current = self.published.borrow().revision;
        let with = |sidecar: &Sidecar| Sidecar { converged: sidecar.revision == current, ..sidecar.clone() };
        lock(&self.sidecars).values().map(with).collect()
    }

    /// Takes a report in. Its records are on disk before it returns.
    ///
    /// # Errors
    /// When the store fails: the sidecar then sends the report again.
    pub fn report(&self, report: partywall_core::record::Report) -> Result<()> {
        self.seen(&report.instance, report.revision);
        if let Some(sidecar) = lock(&self.sidecars).get_mut(&report.instance) {
            sidecar.totals = report.totals;
            sidecar.lost = report.lost;
        }
        let _writer = lock(&self.writer);
        let mut sequence = lock(&self.events).1;
        let mut new = Vec::with_capacity(report.decisions.len());
        for decision in report.decisions {
            sequence += 1;
            new.push(Event { sequence, instance: report.instance.clone(), decision });
        }
        let old: Vec<u64> = {
            let events = lock(&self.events);
            let surplus = (events.0.len() + new.len()).saturating_sub(MAX_EVENTS);
            events.0.iter().take(surplus).map(|event| event.sequence).collect()
        };
        let write = self.store.write()?;
        write.put_numbered("event", new.iter().map(|event| (event.sequence, event)))?;
        write.remove_numbered("event", old.iter().copied())?;
        write.commit()?;
        self.metrics.events_dropped.inc_by(old.len() as u64);
        let mut events = lock(&self.events);
        events.1 = sequence;
        events.0.drain(..old.len());
        for event in new {
            let decision = &event.decision;
            self.metrics.decision(decision);
            if decision.is_alert() {
                tracing::warn!(tenant = ?decision.tenant, surface = ?decision.surface, endpoint = ?decision.endpoint,
                    outcome = ?decision.outcome, hits = decision.hits.len(), dropped = decision.dropped,
                    request_id = %decision.request_id, "alert: something crossed between tenants, or tried to");
            }
            let _ = self.feed.send(event.clone());
            events.0.push_back(event);
        }
        Ok(())
    }

    /// Recent events, newest first, that `wanted` lets through.
    pub fn events(&self, limit: usize, wanted: impl Fn(&Event) -> bool) -> Vec<Event> {
        lock(&self.events).0.iter().rev().filter(|event| wanted(event)).take(limit).cloned().collect()
    }

    /// Follows new events.
    pub fn follow(&self) -> broadcast::Receiver<Event> {
        self.feed.subscribe()
    }
}

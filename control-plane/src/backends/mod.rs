//! The databases behind the surfaces, as the control plane itself reaches them: to delete a tenant's namespace, to search for what
//! remains of it, and to stamp the marker on records that were there before.
//!
//! This is on purpose not the filter's code path: what verifies a deletion must not share the mistakes of what filters queries.
#![allow(clippy::indexing_slicing)] // Indexing a JSON value gives null where there is nothing.

mod chroma;
mod elasticsearch;
mod milvus;
mod pinecone;
mod postgrest;
mod qdrant;
mod weaviate;

use crate::policy::{Compiled, Former, Reach};
use anyhow::{Context, Result, anyhow, bail};
use partywall_core::snapshot::wire::{self, Strategy, SurfaceKind};
use partywall_core::surface::Surfaces;
use partywall_core::tenant::TenantId;
use reqwest::{Method, StatusCode};
use serde_json::Value;
use std::time::Duration;

/// How many records are handled at a time.
pub const PAGE: usize = 500;

/// A tenant's place in a surface's database.
#[derive(Clone, Debug)]
pub struct Site {
    /// The surface.
    pub surface: String,
    /// What is spoken there.
    pub kind: SurfaceKind,
    /// How the tenant is kept apart.
    pub strategy: Strategy,
    /// Whose.
    pub tenant: TenantId,
    /// The marker's key.
    pub key: String,
    /// The marker.
    pub namespace: String,
    /// Collections: the clients' name and the database's.
    pub collections: Vec<(String, String)>,
    /// The database or schema.
    pub database: String,
    /// Whether that is the tenant's alone.
    pub own_database: bool,
    /// Chroma's own tenant.
    pub chroma_tenant: String,
    /// The primary key's field, where the operator names it.
    pub id_field: String,
    /// Envoy's cluster.
    pub cluster: Option<String>,
    /// How to reach it; `None` when the policy does not say.
    pub reach: Option<(String, Option<(String, String)>)>,
    /// Whether an earlier policy had it. Then only what is marked is deleted there: by now its collections may be others'.
    pub earlier: bool,
}

/// Every vector database's place for a tenant.
///
/// # Errors
/// When the policy does not compile.
pub fn sites(compiled: &Compiled, tenant: &TenantId) -> Result<Vec<Site>> {
    places(compiled.surfaces(), &compiled.reach, tenant)
}

/// The places that earlier policies had for a tenant. They are reached as the policy in force says, where it has the same address:
/// credentials change.
///
/// # Errors
/// When they do not compile.
pub fn earlier_sites(former: &[Former], now: &[Reach], tenant: &TenantId) -> Result<Vec<Site>> {
    let mut all = Vec::new();
    for Former { surface, reach } in former.iter().rev() {
        for mut site in places(std::slice::from_ref(surface), reach.as_slice(), tenant)? {
            site.earlier = true;
            let same = now.iter().find(|now| site.reach.as_ref().is_some_and(|(url, _)| now.url(tenant) == *url));
            if let (Some(same), Some((_, credential))) = (same, &mut site.reach) {
                credential.clone_from(&same.credential);
            }
            all.push(site);
        }
    }
    Ok(all)
}

/// Why the marker no longer says whose records are in an earlier place: its key is free for clients to use, or its value is another
/// tenant's now.
pub fn outdated(site: &Site, now: &Compiled, is_tenant: impl Fn(&TenantId) -> bool) -> Option<&'static str> {
    let (url, _) = site.reach.as_ref()?;
    let there = |surface: &&str| now.reach.iter().any(|r| r.surface == **surface && r.url(&site.tenant) == *url);
    for surface in now.surfaces().iter().filter(|surface| there(&surface.name.as_str())) {
        let Some(rag) = &surface.rag else { continue };
        if rag.namespace_key != site.key {
            return Some("records have another marker there now, and what the old one says is not known");
        }
        let owner = rag.namespace_format.split_once("{tenant_id}").and_then(|(before, after)| {
            TenantId::parse(site.namespace.strip_prefix(before)?.strip_suffix(after)?).ok()
        });
        if owner.is_some_and(|owner| owner != site.tenant && is_tenant(&owner)) {
            return Some("its namespace is another tenant's now");
        }
    }
    None
}

fn places(surfaces: &[wire::Surface], reach: &[Reach], tenant: &TenantId) -> Result<Vec<Site>> {
    let surfaces = Surfaces::new(surfaces, [0; 32]).map_err(|why| anyhow!(why))?;
    let of = |surface: &partywall_core::surface::SurfaceConfig| {
        let place = surface.rag.as_ref()?.place(tenant);
        let reach = reach.iter().find(|reach| reach.surface == surface.name);
        Some(Site {
            surface: surface.name.clone(),
            kind: surface.kind,
            strategy: place.strategy,
            tenant: tenant.clone(),
            key: place.key().to_owned(),
            namespace: place.namespace.clone(),
            collections: place.collections().map(|(name, own)| (name.to_owned(), own)).collect(),
            database: place.database.clone(),
            own_database: place.database != place.rag().database,
            chroma_tenant: place.rag().chroma_tenant.clone(),
            id_field: place.rag().id_field.clone(),
            cluster: place.cluster.clone(),
            reach: reach.map(|reach: &Reach| (reach.url(tenant), reach.credential.clone())),
            earlier: false,
        })
    };
    Ok(surfaces.all().filter_map(|surface| of(surface)).collect())
}

/// The first surface whose database could not hold a name that a tenant's id would be part of.
///
/// # Errors
/// When the policy does not compile.
pub fn impossible(compiled: &Compiled, tenants: &[&TenantId]) -> Result<Option<(String, TenantId)>> {
    let surfaces = Surfaces::new(compiled.surfaces(), [0; 32]).map_err(|why| anyhow!(why))?;
    for surface in surfaces.all() {
        let Some(rag) = &surface.rag else { continue };
        if let Some(tenant) = tenants.iter().find(|tenant| !rag.place(tenant).is_possible()) {
            return Ok(Some((surface.name.clone(), (*tenant).clone())));
        }
    }
    Ok(None)
}

impl Site {
    /// The names of its places in the database. In Pinecone the namespace is one place, whatever collections are called.
    pub fn physical(&self) -> Vec<String> {
        let all = self.collections.iter().map(|(_, own)| own.clone());
        if self.kind == SurfaceKind::Pinecone { all.take(1).collect() } else { all.collect() }
    }

    /// Whether the tenant's records are where they were at another site of the same surface.
    pub fn same_place(&self, other: &Self) -> bool {
        let moved = |(name, own): &(String, String)| other.collections.iter().any(|(n, o)| n == name && o != own);
        self.kind == other.kind
            && self.namespace == other.namespace
            && self.key == other.key
            && self.database == other.database
            && self.cluster == other.cluster
            && !self.collections.iter().any(moved)
    }

    /// The database, ready to be asked.
    ///
    /// # Errors
    /// When the policy does not say where it is.
    pub fn database(&self) -> Result<Database<'_>> {
        let Some((url, credential)) = &self.reach else {
            bail!(
                "the surface {:?} has no `rag.backend`: the control plane cannot reach its database; add `backend: {{ url: … }}` to the policy",
                self.surface
            );
        };
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(Duration::from_secs(5))
            .timeout(Duration::from_secs(if self.earlier { 20 } else { 120 }))
            .build()?;
        Ok(Database { site: self, url, credential: credential.as_ref(), http })
    }
}

/// A tenant's place, reached.
pub struct Database<'s> {
    site: &'s Site,
    url: &'s str,
    credential: Option<&'s (String, String)>,
    http: reqwest::Client,
}

/// An answer of a database.
struct Answer {
    status: StatusCode,
    headers: reqwest::header::HeaderMap,
    body: Value,
    text: String,
}

/// What `adopt` did with the records of a collection.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
pub struct Adopted {
    /// Records that were looked at.
    pub seen: u64,
    /// Records that were stamped, or in a dry run would be.
    pub stamped: u64,
    /// Records that carry a tenant's marker already: left alone.
    pub marked: u64,
}

/// Is told how far an adoption has got, page by page.
pub type Progress<'p> = &'p (dyn Fn(&Adopted) + Sync);

impl Database<'_> {
    /// Deletes the tenant's records of a collection; what is the tenant's own alone goes whole. Nothing there is not an error.
    ///
    /// # Errors
    /// When the database cannot be reached or refuses.
    pub async fn purge(&self, collection: &str) -> Result<()> {
        match self.site.kind {
            SurfaceKind::Chroma => self.chroma_purge(collection).await,
            SurfaceKind::Qdrant => self.qdrant_purge(collection).await,
            SurfaceKind::Pinecone => self.pinecone_purge().await,
            SurfaceKind::Weaviate => self.weaviate_purge(collection).await,
            SurfaceKind::Milvus => self.milvus_purge(collection).await,
            SurfaceKind::Elasticsearch | SurfaceKind::Opensearch => self.elastic_purge(collection).await,
            SurfaceKind::Postgrest => self.postgrest_purge(collection).await,
            SurfaceKind::Openai => bail!("no database"),
        }
    }

    /// A database that was the tenant's alone goes too, once its collections are gone.
    ///
    /// # Errors
    /// When the database cannot be reached or refuses.
    pub async fn finish(&self) -> Result<()> {
        match (self.site.kind, self.site.strategy) {
            (SurfaceKind::Chroma, Strategy::SeparateDb) if self.site.own_database => self.chroma_drop().await,
            (SurfaceKind::Milvus, Strategy::SeparateDb) if self.site.own_database => self.milvus_drop().await,
            _ => Ok(()),
        }
    }

    /// How many records of the tenant a collection still has, by marker and, where ids are scoped, by id.
    ///
    /// # Errors
    /// When the database cannot be reached or refuses.
    pub async fn remaining(&self, collection: &str) -> Result<u64> {
        match self.site.kind {
            SurfaceKind::Chroma => self.chroma_remaining(collection).await,
            SurfaceKind::Qdrant => self.qdrant_remaining(collection).await,
            SurfaceKind::Pinecone => self.pinecone_remaining().await,
            SurfaceKind::Weaviate => self.weaviate_remaining(collection).await,
            SurfaceKind::Milvus => self.milvus_remaining(collection).await,
            SurfaceKind::Elasticsearch | SurfaceKind::Opensearch => self.elastic_remaining(collection).await,
            SurfaceKind::Postgrest => self.postgrest_remaining(collection).await,
            SurfaceKind::Openai => bail!("no database"),
        }
    }

    /// Stamps the tenant's marker on records of `from` that carry none and fit `filter` (the database's own filter), and puts them
    /// where the tenant's records of `collection` are. Where the tenant has a record of the same id by now, that is the later one, and
    /// stays. A dry run only counts. Can be repeated.
    ///
    /// # Errors
    /// When the database cannot be reached or refuses, or there is no way to do it there.
    pub async fn adopt(
        &self,
        from: &str,
        collection: &str,
        filter: Option<&Value>,
        dry_run: bool,
        progress: Progress<'_>,
    ) -> Result<Adopted> {
        match self.site.kind {
            SurfaceKind::Chroma => self.chroma_adopt(from, collection, filter, dry_run, progress).await,
            SurfaceKind::Qdrant => self.qdrant_adopt(from, collection, filter, dry_run, progress).await,
            SurfaceKind::Pinecone => self.pinecone_adopt(from, filter, dry_run, progress).await,
            SurfaceKind::Weaviate => self.weaviate_adopt(from, collection, filter, dry_run, progress).await,
            SurfaceKind::Milvus => self.milvus_adopt(from, collection, filter, dry_run, progress).await,
            SurfaceKind::Elasticsearch | SurfaceKind::Opensearch => {
                self.elastic_adopt(from, collection, filter, dry_run, progress).await
            }
            SurfaceKind::Postgrest => self.postgrest_adopt(from, collection, filter, dry_run, progress).await,
            SurfaceKind::Openai => bail!("no database"),
        }
    }

    /// Whether a collection is the tenant's alone, so that it goes whole: its name, or its database's, has the tenant's id in it.
    /// A cluster is not enough, as two tenants may have been given the same; there the marker decides.
    fn owns_collections(&self) -> bool {
        match self.site.strategy {
            _ if self.site.earlier => false,
            Strategy::Namespace => false,
            Strategy::SeparateCollection => true,
            Strategy::SeparateDb => self.site.own_database,
        }
    }

    fn prefix(&self) -> String {
        format!("{}:", self.site.tenant)
    }

    async fn send(&self, method: Method, path: &str, headers: &[(&str, &str)], body: Option<&Value>) -> Result<Answer> {
        let mut request = self.http.request(method.clone(), format!("{}{path}", self.url));
        if let Some((name, value)) = self.credential {
            request = request.header(name, value);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let response = request.send().await.with_context(|| format!("{} cannot be reached", self.url))?;
        let (status, headers) = (response.status(), response.headers().clone());
        let text = response.text().await.with_context(|| format!("{method} {path}: the answer broke off"))?;
        Ok(Answer { status, headers, body: serde_json::from_str(&text).unwrap_or_default(), text })
    }

    /// Whether a 404 is the database's own word that there is no such collection. A proxy's, or that of a wrong address, says
    /// nothing about records.
    fn says_absent(&self, body: &Value) -> bool {
        match self.site.kind {
            SurfaceKind::Chroma => body["error"] == "NotFoundError",
            SurfaceKind::Qdrant => body["status"]["error"].is_string(),
            SurfaceKind::Pinecone => body["code"] == 5,
            SurfaceKind::Elasticsearch | SurfaceKind::Opensearch => {
                body["error"]["type"] == "index_not_found_exception"
            }
            SurfaceKind::Postgrest => body["code"] == "PGRST205" || body["code"] == "42P01",
            // It says nothing: `weaviate_has` asks who is there.
            SurfaceKind::Weaviate => true,
            SurfaceKind::Milvus | SurfaceKind::Openai => false,
        }
    }

    /// A successful JSON answer; `None` when the database says that there is no such collection (404).
    async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Option<Value>> {
        let answer = self.send(method.clone(), path, &[], body).await?;
        match answer.status {
            StatusCode::NOT_FOUND if self.says_absent(&answer.body) => Ok(None),
            status if status.is_success() => Ok(Some(answer.body)),
            status => Err(refusal(&method, path, status, &answer.text)),
        }
    }

    /// As [`Database::ask`], where 404 is an error too.
    async fn must(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value> {
        let found = self.ask(method.clone(), path, body).await?;
        found.ok_or_else(|| anyhow!("{method} {path}: the database says that there is no such thing"))
    }
}

fn refusal(method: &Method, path: &str, status: StatusCode, text: &str) -> anyhow::Error {
    let short: String = text.chars().take(300).collect();
    anyhow!("{method} {path}: the database answered {status}: {short}")
}

/// A number of an answer, or an error that names it: an unknown number is not zero.
fn number(value: &Value, pointer: &str) -> Result<u64> {
    value
        .pointer(pointer)
        .and_then(Value::as_u64)
        .with_context(|| format!("the database's answer has no number at {pointer}"))
}

/// A list of an answer.
fn list<'v>(value: &'v Value, pointer: &str) -> Result<&'v Vec<Value>> {
    value
        .pointer(pointer)
        .and_then(Value::as_array)
        .with_context(|| format!("the database's answer has no list at {pointer}"))
}

/// A text as one path segment or query value.
fn escape(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~');
    text.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

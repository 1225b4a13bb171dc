//! Where a tenant's records are: by strategy, with every name that the backend knows it by.
//!
//! Names come from formats, so two tenants must never get the same one: formats are checked when a snapshot is compiled
//! ([`Config::new`]), and a name that the backend could not hold is refused when it is made. Even if two places were one,
//! records are marked and filtered in every strategy.

use super::{Backend, seal};
use crate::error::Code;
use crate::snapshot::wire::{Rag, Strategy, SurfaceKind};
use crate::surface::Kind;
use crate::tenant::TenantId;

/// A surface's vector database, checked.
#[derive(Debug)]
pub struct Config {
    rag: Rag,
    backend: &'static Backend,
    surface: String,
    seal_key: [u8; 32],
}

/// A tenant's place.
#[derive(Debug)]
pub struct Place<'c> {
    config: &'c Config,
    /// Whose.
    pub tenant: &'c TenantId,
    /// By which strategy.
    pub strategy: Strategy,
    /// What marks the tenant's records.
    pub namespace: String,
    /// The database (schema) in which they are; empty where the backend has none.
    pub database: String,
    /// Envoy's cluster that has them, where the policy names it.
    pub cluster: Option<String>,
}

/// A place as a value: equal places hold the same records.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Location {
    /// The collections, by the names that the backend has for them.
    pub collections: Vec<String>,
    /// The database.
    pub database: String,
    /// The cluster.
    pub cluster: Option<String>,
    /// The marker.
    pub namespace: String,
}

const TENANT: &str = "{tenant_id}";
const COLLECTION: &str = "{collection}";

impl Config {
    /// Checks what a policy says of a vector database.
    ///
    /// # Errors
    /// The key under `rag`, and what is wrong with it.
    pub fn new(rag: &Rag, kind: SurfaceKind, surface: &str, seal_key: [u8; 32]) -> Result<Self, String> {
        let backend = Kind::of(kind).rag.ok_or("rag: only for vector databases")?;
        let once = |text: &str, holes: &[&str]| {
            holes.iter().all(|hole| text.matches(hole).count() == 1)
                && text.matches(['{', '}']).count() == holes.len().saturating_mul(2)
        };
        if !once(&rag.namespace_format, &[TENANT]) {
            return Err("namespace_format: must hold {tenant_id} exactly once".to_owned());
        }
        if !(backend.namespace_key)(&rag.namespace_key) {
            return Err("namespace_key: cannot be a metadata key of this database".to_owned());
        }
        if let Some(name) = rag.collections.iter().find(|name| !(backend.collection_name)(name)) {
            return Err(format!("rag.collections: {name:?} cannot be the name of a collection there"));
        }
        let strategies = || std::iter::once(rag.strategy).chain(rag.overrides.iter().map(|other| other.strategy));
        if strategies().any(|strategy| strategy == Strategy::SeparateCollection) {
            if !once(&rag.collection_format, &[TENANT, COLLECTION]) {
                return Err("rag.collection_format: must hold {tenant_id} and {collection}, each once".to_owned());
            }
            check_unique(rag)?;
        }
        if !rag.database_format.is_empty() && !once(&rag.database_format, &[TENANT]) {
            return Err("rag.database_format: must hold {tenant_id} exactly once".to_owned());
        }
        if rag.cluster_format.as_deref().is_some_and(|format| !once(format, &[TENANT])) {
            return Err("rag.cluster_format: must hold {tenant_id} exactly once".to_owned());
        }
        let own_database = backend.databases && !rag.database_format.is_empty();
        let apart = |strategy, cluster: bool| strategy != Strategy::SeparateDb || own_database || cluster;
        if !apart(rag.strategy, rag.cluster_format.is_some())
            || !rag.overrides.iter().all(|o| apart(o.strategy, o.cluster.is_some() || rag.cluster_format.is_some()))
        {
            return Err("rag: separate_db needs a database_format or a cluster_format here".to_owned());
        }
        let cluster = |name: &str| !name.is_empty() && name.bytes().all(|b| (0x21..0x7f).contains(&b));
        let named = rag.overrides.iter().filter_map(|other| other.cluster.as_deref());
        if !named.chain(rag.cluster.as_deref()).chain(rag.cluster_format.as_deref()).all(cluster) {
            return Err("rag.cluster: must be the name of an Envoy cluster".to_owned());
        }
        for (index, one) in rag.overrides.iter().enumerate() {
            if rag.overrides.iter().skip(index.saturating_add(1)).any(|other| other.tenant == one.tenant) {
                return Err(format!("rag.tenants: {} is there twice", one.tenant));
            }
        }
        Ok(Self { rag: rag.clone(), backend, surface: surface.to_owned(), seal_key })
    }

    /// A tenant's place.
    pub fn place<'c>(&'c self, tenant: &'c TenantId) -> Place<'c> {
        let rag = &self.rag;
        let own = rag.overrides.iter().find(|other| other.tenant == *tenant);
        let strategy = own.map_or(rag.strategy, |own| own.strategy);
        let fill = |format: &str| format.replace(TENANT, tenant.as_str());
        let apart = strategy == Strategy::SeparateDb;
        let database = if apart && self.backend.databases && !rag.database_format.is_empty() {
            fill(&rag.database_format)
        } else {
            rag.database.clone()
        };
        let by_strategy =
            if apart { rag.cluster_format.as_deref().map(fill).or(rag.cluster.clone()) } else { rag.cluster.clone() };
        Place {
            config: self,
            tenant,
            strategy,
            namespace: fill(&rag.namespace_format),
            database,
            cluster: own.and_then(|own| own.cluster.clone()).or(by_strategy),
        }
    }
}

/// No two tenants may get the same collection: not even by a tenant's id that runs on into a collection's name.
fn check_unique(rag: &Rag) -> Result<(), String> {
    let (first, rest) = rag.collection_format.split_once('{').unwrap_or_default();
    let tenant_first = rest.starts_with("tenant_id}");
    let around = |name: &String| -> (String, String) {
        let filled = rag.collection_format.replace(COLLECTION, name);
        filled.split_once(TENANT).map(|(before, after)| (before.to_owned(), after.to_owned())).unwrap_or_default()
    };
    for one in &rag.collections {
        let (before, after) = around(one);
        for other in &rag.collections {
            let (before2, after2) = around(other);
            let runs_on = if tenant_first { after.ends_with(&after2) } else { before.starts_with(&before2) };
            if one != other && runs_on && first.len() <= before.len() {
                return Err(format!(
                    "rag.collection_format: a tenant's {one:?} could be another tenant's {other:?}: put a character between that no tenant id has, like a dot"
                ));
            }
            if other.len() > before.len().saturating_add(after.len())
                && other.starts_with(&before)
                && other.ends_with(&after)
            {
                return Err(format!("rag.collections: {other:?} could be a tenant's own {one:?}"));
            }
        }
    }
    Ok(())
}

impl<'c> Place<'c> {
    /// The marker's key.
    pub fn key(&self) -> &'c str {
        &self.config.rag.namespace_key
    }

    /// What the policy says of the database.
    pub fn rag(&self) -> &'c Rag {
        &self.config.rag
    }

    pub(super) fn backend(&self) -> &'static Backend {
        self.config.backend
    }

    /// The backend's name for a collection that the client may name.
    ///
    /// # Errors
    /// [`Code::NamespaceForbidden`] for any other, [`Code::PlaceUnavailable`] when the backend could not hold the name.
    pub fn collection(&self, name: &str) -> Result<String, Code> {
        if !self.config.rag.collections.iter().any(|allowed| allowed == name) {
            return Err(Code::NamespaceForbidden);
        }
        let own = self.physical(name);
        if (self.backend().collection_name)(&own) { Ok(own) } else { Err(Code::PlaceUnavailable) }
    }

    fn physical(&self, name: &str) -> String {
        if self.strategy == Strategy::SeparateCollection {
            self.config.rag.collection_format.replace(COLLECTION, name).replace(TENANT, self.tenant.as_str())
        } else {
            name.to_owned()
        }
    }

    /// The client's name for a collection of the backend; `None` when it is not the tenant's.
    pub fn logical(&self, physical: &str) -> Option<&'c str> {
        let mut names = self.config.rag.collections.iter();
        names.find(|name| self.physical(name) == physical).map(String::as_str)
    }

    /// Every collection of the tenant: the client's name and the backend's.
    pub fn collections(&self) -> impl Iterator<Item = (&'c str, String)> + '_ {
        self.config.rag.collections.iter().map(|name| (name.as_str(), self.physical(name)))
    }

    /// Whether the backend can hold everything that this place is called.
    pub fn is_possible(&self) -> bool {
        self.collections().all(|(_, own)| (self.backend().collection_name)(&own))
    }

    /// The place as a value.
    pub fn standing(&self) -> Location {
        Location {
            collections: self.collections().map(|(_, own)| own).collect(),
            database: self.database.clone(),
            cluster: self.cluster.clone(),
            namespace: self.namespace.clone(),
        }
    }

    /// What stands before a record's id that is scoped to the tenant.
    pub fn prefix(&self) -> String {
        format!("{}:", self.tenant)
    }

    /// A backend's 128-bit id as the tenant sees it: another tenant cannot use it, nor guess one.
    pub fn seal(&self, id: [u8; 16]) -> [u8; 16] {
        seal::seal(&self.config.seal_key, &self.config.surface, self.tenant, id)
    }

    /// What [`Place::seal`] sealed. Anything else opens to an id that nothing has.
    pub fn open(&self, id: [u8; 16]) -> [u8; 16] {
        seal::open(&self.config.seal_key, &self.config.surface, self.tenant, id)
    }

    /// The tenant whose namespace this text is, if it is one.
    pub(super) fn owner<'t>(&self, namespace: &'t str) -> Option<&'t str> {
        let (before, after) = self.config.rag.namespace_format.split_once(TENANT)?;
        namespace.strip_prefix(before)?.strip_suffix(after)
    }

    /// What stands before and after a tenant's id in the name of its own collection, by the format.
    pub(super) fn collection_affixes(&self) -> Vec<(String, String)> {
        let names = self.config.rag.collections.iter();
        let affixes = names.filter_map(|name| {
            let filled = self.config.rag.collection_format.replace(COLLECTION, name);
            filled.split_once(TENANT).map(|(before, after)| (before.to_owned(), after.to_owned()))
        });
        affixes.collect()
    }
}

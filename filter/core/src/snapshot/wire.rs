//! What travels from the control plane to the filter, version 1.
//!
//! An answer to a poll is an [`Envelope`]: the exact bytes of a manifest and an Ed25519 signature over
//! [`SIGNATURE_CONTEXT`] followed by those bytes. The manifest repeats the poll's nonce, so an old answer cannot be
//! replayed and freshness does not depend on two clocks agreeing. Fingerprint segments travel apart, named by digest.

use crate::record::{Class, Severity};
use crate::tenant::{TenantId, TenantStatus};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// The wire format's version.
pub const VERSION: u32 = 1;
/// What the signature covers before the manifest's bytes, so that it can mean nothing else.
pub const SIGNATURE_CONTEXT: &[u8] = b"partywall manifest v1\0";
/// The size in which segments are fetched, in bytes: small enough that no event stalls a worker.
pub const PIECE: usize = 256 * 1024;

/// A signed answer to a poll.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Envelope {
    /// Base64 (standard, padded) of the Ed25519 signature.
    pub signature: String,
    /// The manifest, byte for byte as it was signed: a [`Manifest`].
    pub manifest: Box<RawValue>,
}

/// What a filter must know.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Always [`VERSION`].
    pub version: u32,
    /// Echo of the poll's nonce.
    pub nonce: String,
    /// The revision that this manifest describes; never decreases.
    pub revision: u64,
    /// Seconds for which the snapshot may be used after the last verified answer.
    pub max_age_s: u64,
    /// What the content is called; the next poll repeats it, so that another control plane knows whether it says the same.
    pub tag: String,
    /// The content, or `null` when the poller already has this revision.
    pub content: Option<Content>,
}

/// The content of a revision.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Content {
    /// How tokens become tenants.
    pub identity: Identity,
    /// Every tenant that is known.
    pub tenants: Vec<Tenant>,
    /// What is served, first match wins.
    pub surfaces: Vec<Surface>,
    /// Leakage detection.
    pub leakage: Leakage,
    /// Fingerprint segments, largest first.
    pub segments: Vec<Segment>,
    /// Ids of fingerprints that a segment still holds but that are gone, ascending.
    pub removed: Vec<u64>,
    /// The phrases of documents; `null` when they are not looked for.
    #[serde(default)]
    pub phrases: Option<Phrases>,
    /// 32 secret bytes in base64, from which the filter derives the keys that seal a backend's ids to a tenant.
    pub seal_key: String,
}

/// How tokens become tenants.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// A further header that may carry the token (lower case); `authorization` and `x-api-key` always may.
    pub header: Option<String>,
    /// The claim: a name (`org_id`) or a JSON pointer (`/realm/org`).
    pub tenant_claim: String,
    /// Tolerance for `exp` and `nbf`, in seconds.
    pub leeway_s: u64,
    /// Who may issue tokens.
    pub issuers: Vec<Issuer>,
}

/// A token issuer.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Issuer {
    /// Must equal the `iss` claim.
    pub issuer: String,
    /// One of these must be in `aud`. Never empty.
    pub audiences: Vec<String>,
    /// The verification keys.
    pub keys: Vec<Key>,
}

/// A verification key, for exactly one algorithm.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Key {
    /// The key's id, matched with the token's `kid` where both are present.
    pub kid: Option<String>,
    /// The one algorithm that the key is for.
    pub alg: Alg,
    /// The public JWK (`kty`, `n`, `e`, `crv`, `x`, `y`), or for HS256 `{"kty":"oct","k":…}`.
    pub jwk: Box<RawValue>,
}

/// A token's signature algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Alg {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    RS256,
    /// RSASSA-PSS with SHA-256.
    PS256,
    /// ECDSA on P-256 with SHA-256.
    ES256,
    /// Ed25519.
    EdDSA,
    /// HMAC with SHA-256; only where the operator configured a secret.
    HS256,
}

/// A known tenant.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tenant {
    /// Its identifier.
    pub id: TenantId,
    /// Whether it is served.
    pub status: TenantStatus,
    /// Tokens issued (`iat`) before this Unix time in seconds are refused; 0 for none.
    pub tokens_not_before: u64,
}

/// An upstream API behind a route.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Surface {
    /// The operator's name for it: a metric label.
    pub name: String,
    /// What is spoken there.
    pub kind: SurfaceKind,
    /// Hosts that it answers to, lower case, without port; `*` for any.
    pub hosts: Vec<String>,
    /// The path prefix, `/` or `/x/y` without a trailing slash; removed before the endpoint tables are consulted.
    pub prefix: String,
    /// What happens to the client's credential.
    pub credential: Credential,
    /// Limits in bytes.
    pub limits: Limits,
    /// Where the tenants' records are; for vector databases.
    pub rag: Option<Rag>,
}

/// The API kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SurfaceKind {
    /// OpenAI chat completions and what speaks like it.
    Openai,
    /// Chroma's v2 API.
    Chroma,
    /// Qdrant's REST API.
    Qdrant,
    /// Pinecone's data plane.
    Pinecone,
    /// Weaviate's REST and GraphQL API.
    Weaviate,
    /// Milvus' REST API v2.
    Milvus,
    /// Elasticsearch.
    Elasticsearch,
    /// OpenSearch.
    Opensearch,
    /// PostgREST in front of pgvector.
    Postgrest,
}

/// What the upstream gets in place of the tenant's token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case", tag = "mode")]
pub enum Credential {
    /// Nothing.
    Strip,
    /// The token itself, in the header in which it came.
    Forward,
    /// The operator's own credential.
    Replace {
        /// The header's name, lower case.
        header: String,
        /// The header's value.
        value: String,
    },
}

/// Limits in bytes.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Request body.
    pub request_bytes: u64,
    /// Response body that must be read whole (JSON).
    pub response_bytes: u64,
    /// One event of a stream, and all that is held back of a stream.
    pub event_bytes: u64,
}

/// Where the tenants' records are in a vector database.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rag {
    /// How tenants are kept apart, unless an override says otherwise.
    pub strategy: Strategy,
    /// The metadata key (field, column, property) that carries the namespace, e.g. `tenant_id`.
    pub namespace_key: String,
    /// The namespace, with `{tenant_id}` in it, e.g. `t_{tenant_id}`.
    pub namespace_format: String,
    /// The collections (indexes, classes, tables) that clients may name.
    pub collections: Vec<String>,
    /// Whether clients may create those collections.
    pub create: bool,
    /// `separate_collection`: a tenant's own collection, with `{tenant_id}` and `{collection}` in it.
    pub collection_format: String,
    /// The shared database (schema), where the backend has such a thing; else empty.
    pub database: String,
    /// `separate_db`: a tenant's own database, with `{tenant_id}` in it; empty when the cluster alone separates.
    pub database_format: String,
    /// Chroma's own tenant, in paths.
    pub chroma_tenant: String,
    /// The field that is a record's primary key, where the backend lets the operator name it.
    pub id_field: String,
    /// Envoy's cluster of the shared backend.
    pub cluster: Option<String>,
    /// `separate_db`: Envoy's cluster of a tenant's own backend, with `{tenant_id}` in it.
    pub cluster_format: Option<String>,
    /// Tenants for whom another strategy holds.
    pub overrides: Vec<Override>,
}

impl Rag {
    /// One place for all tenants, with the usual names.
    pub fn shared(database: &str, collections: &[&str]) -> Self {
        Self {
            strategy: Strategy::Namespace,
            namespace_key: "tenant_id".to_owned(),
            namespace_format: "t_{tenant_id}".to_owned(),
            collections: collections.iter().map(|name| (*name).to_owned()).collect(),
            create: false,
            collection_format: "{tenant_id}.{collection}".to_owned(),
            database: database.to_owned(),
            database_format: String::new(),
            chroma_tenant: "default_tenant".to_owned(),
            id_field: "id".to_owned(),
            cluster: None,
            cluster_format: None,
            overrides: Vec::new(),
        }
    }
}

/// How tenants are kept apart in a vector database. Whatever the place, records are marked, queries forced and results
/// verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// One collection for all.
    Namespace,
    /// A collection for each tenant.
    SeparateCollection,
    /// A database, or a whole backend, for each tenant.
    SeparateDb,
}

/// A tenant for whom another strategy holds.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Override {
    /// Who.
    pub tenant: TenantId,
    /// How.
    pub strategy: Strategy,
    /// Envoy's cluster, where it is not the one that the strategy gives.
    pub cluster: Option<String>,
}

/// Leakage detection.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Leakage {
    /// Whether responses are scanned.
    pub fingerprint_check: bool,
    /// What a match does.
    pub action_on_detect: OnDetect,
    /// How much of a live match is held back.
    pub hold_back: HoldBack,
    /// Whether literals in disguise are looked for.
    #[serde(default)]
    pub evasion: Evasion,
    /// What matches do where it is not the same for all: the first that fits decides.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub actions: Vec<ActionRule>,
    /// What matches do that the request itself held.
    #[serde(default, skip_serializing_if = "Echo::is_strict")]
    pub echo: Echo,
}

/// What matches do at most that the request itself held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Echo {
    /// Literals, but for those of severity critical.
    pub literals: OnEcho,
    /// Phrases.
    pub phrases: OnEcho,
}

impl Echo {
    fn is_strict(&self) -> bool {
        *self == Self::default()
    }
}

/// What a match does at most that the request itself held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum OnEcho {
    /// Nothing: it is delivered, and nobody is told.
    #[serde(rename = "allow")]
    Allow,
    /// Deliver, alert.
    #[serde(rename = "alert_security")]
    Alert,
    /// Replace the matched span, go on, alert.
    #[serde(rename = "redact_and_alert_security")]
    Redact,
    /// What every match does.
    #[default]
    #[serde(rename = "block_and_alert_security")]
    Block,
}

/// What some matches do. An empty list stands for all.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ActionRule {
    /// Of these classes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub classes: Vec<Class>,
    /// Of these severities.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub severities: Vec<Severity>,
    /// In responses of these surfaces.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub surfaces: Vec<String>,
    /// In responses to these tenants.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tenants: Vec<TenantId>,
    /// What they do.
    pub action: OnDetect,
}

/// The phrases of documents, as keyed hashes.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Phrases {
    /// 16 secret bytes in base64: the key of words.
    pub word_key: String,
    /// 16 secret bytes in base64: the key of these segments.
    pub wire_key: String,
    /// How grave a match is.
    pub severity: Severity,
    /// What a match does, where it is not what [`Leakage`] says.
    pub action: Option<OnDetect>,
    /// Whether what tenants write through the vector databases becomes documents of theirs.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub from_rag_writes: bool,
    /// Segments, largest first.
    pub segments: Vec<Segment>,
    /// Phrases that the first segment still holds but that are gone from it, by their hash under the wire key, ascending.
    pub removed: Vec<u64>,
}

/// What a match does, mildest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum OnDetect {
    /// Deliver, alert.
    #[serde(rename = "alert_security")]
    Alert,
    /// Replace the matched span, go on, alert.
    #[serde(rename = "redact_and_alert_security")]
    Redact,
    /// Withhold the rest of the response, alert.
    #[serde(rename = "block_and_alert_security")]
    Block,
}

/// Whether literals in disguise are looked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Evasion {
    /// Also encoded, spaced out, reversed, and written with look-alikes.
    #[default]
    Strict,
    /// Only in clear.
    Plain,
}

/// How much of a live match is held back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HoldBack {
    /// Everything that may still become a match, wherever it begins. Not one byte of a match leaves.
    Exact,
    /// What began where a word begins; of a match glued to the end of a word, the first bytes may leave before the
    /// rest is withheld. Keeps single tokens from waiting for the next one.
    WordStart,
}

/// A fingerprint segment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Segment {
    /// SHA-256 of the blob, lower-case hex: its name and its proof.
    pub digest: String,
    /// The blob's size in bytes.
    pub bytes: u64,
    /// How many fingerprints it holds.
    pub entries: u64,
}

//! What the audit does in each kind of database, as a tenant: writes its canary, reads in every way, removes it.
//!
//! An answer is judged by its bytes: a canary of another tenant anywhere in it has crossed. All canaries of an audit share a word, so one
//! search asks for all of them, and lie close together, so each is among the nearest neighbours of the others.

use super::Target;
use super::more;
use super::report::{Check, Finding};
use anyhow::{Context, Result, bail};
use partywall_core::snapshot::wire::SurfaceKind;
use partywall_core::tenant::TenantId;
use reqwest::{Method, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::Arc;

/// The word that all canaries begin with.
pub(super) const WORD: &str = "pwcanary";
/// The metadata field that repeats the canary.
pub(super) const FIELD: &str = "pw_canary";

/// A tenant's canary: unique text that exists nowhere else.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Canary {
    /// Whose.
    pub tenant: TenantId,
    /// The text; the record's id too.
    pub text: String,
    /// The same as a UUID, where ids must be one.
    pub(super) uuid: String,
}

impl Canary {
    /// A new one.
    pub(super) fn new(tenant: TenantId) -> Result<Self> {
        let mut random = [0u8; 16];
        getrandom::fill(&mut random).map_err(|error| anyhow::anyhow!("no randomness: {error}"))?;
        let digits = hex::encode(random);
        let part = |from: usize, to: usize| digits.get(from..to).unwrap_or_default();
        let uuid = [part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32)].join("-");
        Ok(Self { tenant, text: format!("{WORD}{digits}"), uuid })
    }
}

/// A tenant on its way through the proxy.
pub(super) struct Visit {
    http: reqwest::Client,
    edge: String,
    token: String,
    own: Canary,
    all: Arc<Vec<Canary>>,
}

/// A tenant at one collection of one surface.
#[derive(Clone)]
pub(super) struct Here {
    visit: Arc<Visit>,
    target: Arc<Target>,
    collection: String,
}

/// What came back.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) code: String,
    /// The total that `Content-Range` names.
    total: Option<u64>,
    pub(super) text: String,
}

/// By what an answer says which canaries are in it.
#[derive(Clone, Copy)]
pub(super) enum Proof {
    /// Their texts or ids.
    Text,
    /// The member of this name, wherever it stands: of all canaries only the reader's own may be counted.
    Count(&'static str),
    /// The same, in `Content-Range`.
    Range,
}

/// The first number of this name in a document.
fn member(document: &Value, name: &str) -> Option<u64> {
    match document {
        Value::Object(members) => {
            members.iter().find_map(|(key, value)| if key == name { value.as_u64() } else { member(value, name) })
        }
        Value::Array(items) => items.iter().find_map(|item| member(item, name)),
        _ => None,
    }
}

impl Answer {
    fn shows(&self, canary: &Canary) -> bool {
        self.text.contains(&canary.text) || self.text.contains(&canary.uuid)
    }
}

/// How many canaries a reader asks for one by one.
const EACH: usize = 17;

impl Visit {
    pub(super) fn new(http: reqwest::Client, edge: String, token: String, own: Canary, all: Arc<Vec<Canary>>) -> Self {
        Self { http, edge, token, own, all }
    }
}

impl Here {
    pub(super) fn new(visit: &Arc<Visit>, target: &Arc<Target>, collection: &str) -> Self {
        Self { visit: Arc::clone(visit), target: Arc::clone(target), collection: collection.to_owned() }
    }

    pub(super) fn tenant(&self) -> &TenantId {
        &self.visit.own.tenant
    }

    pub(super) fn own(&self) -> &Canary {
        &self.visit.own
    }

    pub(super) fn collection(&self) -> &str {
        &self.collection
    }

    async fn send(&self, method: Method, path: &str, media: &str, body: Option<String>) -> Result<Answer> {
        let visit = &self.visit;
        let url = format!("{}{}{path}", visit.edge.trim_end_matches('/'), self.target.prefix);
        let mut request = visit.http.request(method, url).header("host", &self.target.host).bearer_auth(&visit.token);
        if self.target.kind == SurfaceKind::Postgrest {
            request = request.header("prefer", "count=exact");
        }
        if let Some(body) = body {
            request = request.header("content-type", media).body(body);
        }
        let response =
            request.send().await.with_context(|| format!("the proxy at {} cannot be reached", visit.edge))?;
        let code =
            response.headers().get("x-partywall-code").and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned();
        let range = response.headers().get("content-range").and_then(|v| v.to_str().ok());
        let total = range.and_then(|range| range.rsplit('/').next()?.parse().ok());
        Ok(Answer { status: response.status(), code, total, text: response.text().await? })
    }

    pub(super) async fn json(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Answer> {
        self.send(method, path, "application/json", body.map(Value::to_string)).await
    }

    /// As [`Here::json`]; anything but success is an error.
    pub(super) async fn must(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value> {
        let answer = self.json(method.clone(), path, body).await?;
        if !answer.status.is_success() {
            let short: String = answer.text.chars().take(200).collect();
            bail!("{method} {path}: {} {short}", answer.status);
        }
        Ok(serde_json::from_str(&answer.text).unwrap_or_default())
    }

    /// What is there; `None` for 404.
    async fn find(&self, path: &str) -> Result<Option<Value>> {
        let answer = self.json(Method::GET, path, None).await?;
        match answer.status {
            StatusCode::NOT_FOUND => Ok(None),
            status if status.is_success() => Ok(Some(serde_json::from_str(&answer.text).unwrap_or_default())),
            status => bail!("GET {path}: {status} {}", answer.code),
        }
    }

    /// Judges one way of reading.
    async fn look(&self, (way, method, path, body, proof): Way) -> (Check, Vec<Finding>) {
        let mut check = self.check(way);
        let answer = match self.json(method, &path, body.as_ref()).await {
            Ok(answer) => answer,
            Err(error) => {
                check.problem = Some(format!("{error:#}"));
                return (check, Vec::new());
            }
        };
        if !answer.status.is_success() {
            check.problem = Some(format!("{} {}", answer.status, answer.code));
        }
        let mut findings: Vec<Finding> = Vec::new();
        let counted = match proof {
            Proof::Text => {
                check.own = answer.shows(self.own());
                let crossed = |canary: &&Canary| canary.tenant != *self.tenant() && answer.shows(canary);
                let all = self.visit.all.iter().filter(crossed);
                findings.extend(all.map(|canary| self.finding(way, canary.tenant.as_str(), "it was delivered")));
                None
            }
            Proof::Count(at) => {
                let document: Value = serde_json::from_str(&answer.text).unwrap_or_default();
                member(&document, at)
            }
            Proof::Range => answer.total,
        };
        if let Some(count) = counted {
            check.own = count > 0;
            if count > 1 {
                findings.push(self.finding(way, "another tenant", "it was counted"));
            }
        }
        // The scanner held it back: the wall before it has a hole all the same.
        if answer.code == "fingerprint_match" {
            findings.push(self.finding(way, "another tenant", "the database gave it away; the scanner withheld it"));
        }
        check.foreign = findings.len() as u64;
        (check, findings)
    }

    fn check(&self, way: &str) -> Check {
        Check {
            surface: self.target.name.clone(),
            collection: self.collection.clone(),
            way: way.to_owned(),
            reader: self.tenant().to_string(),
            own: false,
            foreign: 0,
            problem: None,
        }
    }

    /// Asks for each canary by its id: the reader's own must be there, and no other.
    async fn each(&self, way: &'static str, method: Method, path: impl Fn(&Canary) -> String) -> (Check, Vec<Finding>) {
        let mut check = self.check(way);
        let mut findings = Vec::new();
        // With many tenants, those that follow in the list: each is asked for by somebody.
        let at = self.visit.all.iter().position(|canary| canary.tenant == *self.tenant()).unwrap_or(0);
        for canary in self.visit.all.iter().cycle().skip(at).take(self.visit.all.len().min(EACH)) {
            match self.json(method.clone(), &path(canary), None).await {
                Ok(answer) if canary.tenant == *self.tenant() => check.own = answer.status.is_success(),
                Ok(answer) if answer.status.is_success() => {
                    findings.push(self.finding(way, canary.tenant.as_str(), "it was there"));
                }
                Ok(answer) if answer.code == "fingerprint_match" => {
                    let what = "the database gave it away; the scanner withheld it";
                    findings.push(self.finding(way, canary.tenant.as_str(), what));
                }
                Ok(_) => {}
                Err(error) => check.problem = Some(format!("{error:#}")),
            }
        }
        check.foreign = findings.len() as u64;
        (check, findings)
    }

    fn finding(&self, way: &str, owner: &str, what: &str) -> Finding {
        Finding {
            surface: self.target.name.clone(),
            collection: self.collection.clone(),
            way: way.to_owned(),
            reader: self.tenant().to_string(),
            owner: owner.to_owned(),
            what: what.to_owned(),
        }
    }

    pub(super) fn texts(&self) -> Vec<&str> {
        self.visit.all.iter().map(|canary| canary.text.as_str()).collect()
    }

    pub(super) fn uuids(&self) -> Vec<&str> {
        self.visit.all.iter().map(|canary| canary.uuid.as_str()).collect()
    }

    /// More than there are canaries.
    pub(super) fn many(&self) -> usize {
        self.visit.all.len() + 1
    }
}

/// The kinds that have a probe.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Chroma,
    Qdrant,
    Elastic,
    Pinecone,
    Weaviate,
    Milvus,
    Postgrest,
}

pub(super) fn of(kind: SurfaceKind) -> Option<Kind> {
    match kind {
        SurfaceKind::Chroma => Some(Kind::Chroma),
        SurfaceKind::Qdrant => Some(Kind::Qdrant),
        SurfaceKind::Elasticsearch | SurfaceKind::Opensearch => Some(Kind::Elastic),
        SurfaceKind::Pinecone => Some(Kind::Pinecone),
        SurfaceKind::Weaviate => Some(Kind::Weaviate),
        SurfaceKind::Milvus => Some(Kind::Milvus),
        SurfaceKind::Postgrest => Some(Kind::Postgrest),
        _ => None,
    }
}

/// A canary's vector: near those of all others, and equal to none, so that an approximate index finds a reader's own.
pub(super) fn vector(own: &Canary, dimensions: usize) -> Value {
    let digit = |at: usize| {
        own.uuid.bytes().filter(u8::is_ascii_hexdigit).nth(at % 32).and_then(|b| char::from(b).to_digit(16))
    };
    (0..dimensions).map(|at| json!(if at == 0 { 1.0 } else { f64::from(digit(at).unwrap_or(0)) / 100.0 })).collect()
}

/// A way of reading: its name, method, path, body, and what its answer proves.
pub(super) type Way = (&'static str, Method, String, Option<Value>, Proof);

impl Kind {
    /// Writes the tenant's canary; `false` where the tenant has no collection, or an empty one whose vectors have no size yet: a
    /// canary would fix it.
    pub(super) async fn write(self, here: &Here) -> Result<bool> {
        let own = here.own();
        let collection = &here.collection;
        match self {
            Self::Chroma => {
                let Some((path, dimensions)) = chroma(here).await? else { return Ok(false) };
                let body = json!({"ids": [own.text], "documents": [own.text], "embeddings": [vector(here.own(), dimensions)], "metadatas": [{FIELD: own.text}]});
                here.must(Method::POST, &format!("{path}/upsert"), Some(&body)).await?;
            }
            Self::Qdrant => {
                let Some(found) = here.find(&format!("/collections/{collection}")).await? else { return Ok(false) };
                let vectors = &found["result"]["config"]["params"]["vectors"];
                let size = |value: &Value| value["size"].as_u64().and_then(|size| usize::try_from(size).ok());
                let vectors = match (size(vectors), vectors.as_object()) {
                    (Some(size), _) => vector(own, size),
                    (None, Some(named)) => named
                        .iter()
                        .filter_map(|(name, one)| Some((name.clone(), vector(own, size(one)?))))
                        .collect::<serde_json::Map<_, _>>()
                        .into(),
                    _ => bail!("the collection has no vectors that are known"),
                };
                let body = json!({"points": [{"id": own.uuid, "vector": vectors, "payload": {FIELD: own.text}}]});
                here.must(Method::PUT, &format!("/collections/{collection}/points?wait=true"), Some(&body)).await?;
            }
            Self::Elastic => {
                let path = format!("/{collection}/_doc/{}?refresh=true", own.text);
                here.must(Method::PUT, &path, Some(&json!({FIELD: own.text}))).await?;
            }
            Self::Pinecone => {
                let dimensions = pinecone(here).await?;
                let body = json!({"vectors": [{"id": own.text, "values": vector(here.own(), dimensions), "metadata": {FIELD: own.text}}]});
                here.must(Method::POST, "/vectors/upsert", Some(&body)).await?;
            }
            Self::Weaviate => return more::weaviate::write(here).await,
            Self::Milvus => return more::milvus::write(here).await,
            Self::Postgrest => return more::postgrest::write(here).await,
        }
        Ok(true)
    }

    async fn ways(self, here: &Here) -> Result<Vec<Way>> {
        let (collection, many) = (&here.collection, here.many());
        let post = |way, path: String, body| (way, Method::POST, path, Some(body), Proof::Text);
        Ok(match self {
            Self::Chroma => {
                let Some((path, dimensions)) = chroma(here).await? else { bail!("the collection is gone") };
                let wide = json!({"$or": [{FIELD: {"$in": here.texts()}}, {FIELD: {"$ne": "x"}}]});
                vec![
                    post("get by text", format!("{path}/get"), json!({"where_document": {"$contains": WORD}})),
                    post("get by ids", format!("{path}/get"), json!({"ids": here.texts()})),
                    post("get by metadata", format!("{path}/get"), json!({"where": wide, "limit": 10_000})),
                    post(
                        "query",
                        format!("{path}/query"),
                        json!({"query_embeddings": [vector(here.own(), dimensions)], "n_results": many}),
                    ),
                    post(
                        "query, widened",
                        format!("{path}/query"),
                        json!({"query_embeddings": [vector(here.own(), dimensions)], "n_results": many, "where": wide}),
                    ),
                ]
            }
            Self::Qdrant => {
                let path = format!("/collections/{collection}/points");
                let any = json!({"should": [{"key": FIELD, "match": {"any": here.texts()}}, {"has_id": here.uuids()}]});
                let found = here.must(Method::GET, &format!("/collections/{collection}"), None).await?;
                let vectors = found["result"]["config"]["params"]["vectors"].clone();
                let size = |value: &Value| value["size"].as_u64().and_then(|size| usize::try_from(size).ok());
                let mut ways = vec![
                    post(
                        "scroll",
                        format!("{path}/scroll"),
                        json!({"filter": any, "limit": many, "with_payload": true}),
                    ),
                    post("by ids", path.clone(), json!({"ids": here.uuids(), "with_payload": true})),
                ];
                let (using, size) = match (size(&vectors), vectors.as_object().and_then(|named| named.iter().next())) {
                    (Some(size), _) => (None, Some(size)),
                    (None, Some((name, one))) => (Some(name.clone()), size(one)),
                    _ => (None, None),
                };
                if let Some(size) = size {
                    let mut body = json!({"query": vector(here.own(), size), "limit": many, "with_payload": true});
                    if let Some(using) = using {
                        body["using"] = json!(using);
                    }
                    ways.push(post("query", format!("{path}/query"), body.clone()));
                    body["filter"] = any;
                    ways.push(post("query, widened", format!("{path}/query"), body));
                }
                ways
            }
            Self::Elastic => {
                let search = |query: Value| json!({"size": many, "query": query});
                let any = json!({"bool": {"should": [{"terms": {FIELD: here.texts()}}, {"match_all": {}}]}});
                vec![
                    post(
                        "search",
                        format!("/{collection}/_search"),
                        search(json!({"query_string": {"query": format!("{FIELD}:*")}})),
                    ),
                    post("search, widened", format!("/{collection}/_search"), search(any)),
                    post("by ids", format!("/{collection}/_mget"), json!({"ids": here.texts()})),
                ]
            }
            Self::Pinecone => {
                let dimensions = pinecone(here).await?;
                let ids: Vec<String> = here.texts().iter().map(|id| format!("ids={id}")).collect();
                vec![
                    post(
                        "query",
                        "/query".to_owned(),
                        json!({"vector": vector(here.own(), dimensions), "topK": many.min(10_000), "includeMetadata": true}),
                    ),
                    ("list", Method::GET, format!("/vectors/list?prefix={WORD}"), None, Proof::Text),
                    (
                        "by ids",
                        Method::GET,
                        format!("/vectors/fetch?{}", ids.iter().take(100).cloned().collect::<Vec<_>>().join("&")),
                        None,
                        Proof::Text,
                    ),
                ]
            }
            Self::Weaviate => more::weaviate::ways(here).await?,
            Self::Milvus => more::milvus::ways(here).await?,
            Self::Postgrest => more::postgrest::ways(here).await?,
        })
    }

    /// Reads in every way.
    pub(super) async fn read(self, here: &Here) -> (Vec<Check>, Vec<Finding>) {
        let (mut checks, mut findings) = (Vec::new(), Vec::new());
        match self.ways(here).await {
            Ok(ways) => {
                for way in ways {
                    let (check, found) = here.look(way).await;
                    checks.push(check);
                    findings.extend(found);
                }
                if let Self::Weaviate = self {
                    let path = |canary: &Canary| format!("/v1/objects/{}/{}", here.collection, canary.uuid);
                    for (way, method) in [("by id", Method::GET), ("whether it exists", Method::HEAD)] {
                        let (check, found) = here.each(way, method, path).await;
                        checks.push(check);
                        findings.extend(found);
                    }
                }
            }
            Err(error) => {
                checks.push(Check { problem: Some(format!("{error:#}")), ..here.check("open") });
            }
        }
        (checks, findings)
    }

    /// Removes the tenant's canary; one that is not there is no error.
    pub(super) async fn remove(self, here: &Here) -> Result<()> {
        let own = here.own();
        let collection = &here.collection;
        match self {
            Self::Chroma => {
                let Some((path, _)) = chroma(here).await? else { return Ok(()) };
                here.must(Method::POST, &format!("{path}/delete"), Some(&json!({"ids": [own.text]}))).await?;
            }
            Self::Qdrant => {
                let path = format!("/collections/{collection}/points/delete?wait=true");
                here.must(Method::POST, &path, Some(&json!({"points": [own.uuid]}))).await?;
            }
            Self::Elastic => {
                let path = format!("/{collection}/_doc/{}", own.text);
                let answer = here.json(Method::DELETE, &path, None).await?;
                if !answer.status.is_success() && answer.status != StatusCode::NOT_FOUND {
                    bail!("DELETE {path}: {}", answer.status);
                }
            }
            Self::Pinecone => {
                here.must(Method::POST, "/vectors/delete", Some(&json!({"ids": [own.text]}))).await?;
            }
            Self::Weaviate => more::weaviate::remove(here).await?,
            Self::Milvus => more::milvus::remove(here).await?,
            Self::Postgrest => more::postgrest::remove(here).await?,
        }
        Ok(())
    }
}

/// A Chroma collection's path and dimensions; `None` when it is not there, or empty.
async fn chroma(here: &Here) -> Result<Option<(String, usize)>> {
    let base = format!("/api/v2/tenants/{}/databases/{}/collections", here.target.chroma_tenant, here.target.database);
    let Some(found) = here.find(&format!("{base}/{}", here.collection)).await? else { return Ok(None) };
    let id = found["id"].as_str().context("a collection without id")?;
    let dimensions = found["dimension"].as_u64().and_then(|d| usize::try_from(d).ok());
    Ok(dimensions.map(|dimensions| (format!("{base}/{id}"), dimensions)))
}

async fn pinecone(here: &Here) -> Result<usize> {
    let stats = here.must(Method::POST, "/describe_index_stats", Some(&json!({}))).await?;
    stats["dimension"].as_u64().and_then(|d| usize::try_from(d).ok()).context("the index has no dimension")
}

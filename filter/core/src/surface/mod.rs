//! Surfaces: upstream APIs behind routes, and what each of them serves.
//!
//! A surface answers to hosts and a path prefix; its kind has a table of endpoints ([`Endpoint`]). Classification is an
//! allow-list: host → prefix → canonical path → row. What no row allows is refused.

mod chroma;
mod openai;
mod path;

use crate::error::{Code, Shape};
use crate::snapshot::wire;
use std::rc::Rc;

/// What an endpoint does with the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestRule {
    /// Passes as it is, once it is well formed.
    Pass,
    /// A chat completion: must be an object with a model and messages.
    Chat,
    /// Chroma: write records.
    ChromaWrite,
    /// Chroma: nearest neighbours.
    ChromaQuery,
    /// Chroma: read records.
    ChromaGet,
    /// Chroma: delete records.
    ChromaDelete,
    /// Chroma: create or open a collection.
    ChromaCreate,
    /// Refused, for this reason.
    Refuse(&'static str),
}

/// What an endpoint does with a successful response. All of it is scanned besides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseRule {
    /// Scanned.
    Scan,
    /// Every record's marker is verified, one list of records.
    ChromaRecords,
    /// Every record's marker is verified, a list of lists.
    ChromaResults,
    /// Only allowed collections are listed.
    ChromaCollections,
}

/// Whether an endpoint takes a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyRule {
    /// None.
    None,
    /// A JSON document.
    Json,
}

/// One row of a table.
#[derive(Debug)]
pub struct Endpoint {
    /// The row's name: in records and docs.
    pub name: &'static str,
    /// The method.
    pub method: &'static str,
    /// The path below the surface's prefix; `{name}` stands for one segment, `*` at the end for any rest.
    pub template: &'static str,
    /// Query parameters that may occur.
    pub query: &'static [&'static str],
    /// Whether there is a body.
    pub body: BodyRule,
    /// What happens to the request.
    pub request: RequestRule,
    /// What happens to the response.
    pub response: ResponseRule,
    /// For the docs: what a tenant gets.
    pub note: &'static str,
}

/// A surface, compiled.
#[derive(Debug)]
pub struct SurfaceConfig {
    /// The operator's name for it.
    pub name: String,
    /// What is spoken there.
    pub kind: wire::SurfaceKind,
    hosts: Vec<String>,
    prefix: String,
    /// What happens to the client's credential.
    pub credential: wire::Credential,
    /// Limits in bytes.
    pub limits: wire::Limits,
    /// The shared place, for Chroma.
    pub chroma: Option<wire::Chroma>,
}

impl SurfaceConfig {
    /// How errors look here.
    pub fn shape(&self) -> Shape {
        match self.kind {
            wire::SurfaceKind::Openai => Shape::OpenAi,
            wire::SurfaceKind::Chroma => Shape::Chroma,
        }
    }
}

/// Where a request goes.
#[derive(Debug)]
pub struct Route {
    /// The surface.
    pub surface: Rc<SurfaceConfig>,
    /// The row.
    pub endpoint: &'static Endpoint,
    /// What the template's `{name}`s stand for, in order.
    pub parameters: Vec<String>,
}

/// Why a request goes nowhere, and in which shape to say so.
#[derive(Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Why.
    pub code: Code,
    /// How the surface's clients expect it.
    pub shape: Shape,
    /// The surface, where there is one.
    pub surface: Option<String>,
}

/// All surfaces of a snapshot, in the order of the policy.
#[derive(Debug, Default)]
pub struct Surfaces(Vec<Rc<SurfaceConfig>>);

impl Surfaces {
    /// Takes over surfaces whose fields were checked by `snapshot::compile`.
    pub fn new(surfaces: &[wire::Surface]) -> Self {
        let compiled = surfaces.iter().map(|surface| {
            Rc::new(SurfaceConfig {
                name: surface.name.clone(),
                kind: surface.kind,
                hosts: surface.hosts.clone(),
                prefix: surface.prefix.trim_end_matches('/').to_owned(),
                credential: surface.credential.clone(),
                limits: surface.limits,
                chroma: surface.chroma.clone(),
            })
        });
        Self(compiled.collect())
    }

    /// Finds the row for a request.
    ///
    /// # Errors
    /// [`Refusal`], with [`Shape::Problem`] when not even a surface was found.
    pub fn classify(&self, authority: &str, method: &str, target: &str) -> Result<Route, Refusal> {
        let nowhere = |code| Refusal { code, shape: Shape::Problem, surface: None };
        let host = path::host(authority).ok_or(nowhere(Code::HeadMalformed))?;
        let (raw, query) = match target.split_once('?') {
            Some((raw, query)) => (raw, Some(query)),
            None => (target, None),
        };
        let segments = path::canonical(raw).ok_or(nowhere(Code::PathForbidden))?;
        let hosted = self.0.iter().filter(|surface| surface.hosts.iter().any(|name| name == "*" || *name == host));
        let (surface, rest) = hosted
            .filter_map(|surface| Some((surface, path::below(&surface.prefix, &segments)?)))
            .next()
            .ok_or(nowhere(Code::SurfaceUnknown))?;
        let refuse = |code| Refusal { code, shape: surface.shape(), surface: Some(surface.name.clone()) };
        let row = table(surface.kind).iter().find_map(|endpoint| {
            let matched = endpoint.method == method || endpoint.method == "*";
            matched.then(|| path::fit(endpoint.template, rest)).flatten().map(|parameters| (endpoint, parameters))
        });
        let Some((endpoint, parameters)) = row else { return Err(refuse(Code::EndpointUnknown)) };
        if matches!(endpoint.request, RequestRule::Refuse(_)) {
            return Err(refuse(Code::EndpointUnknown));
        }
        if !path::query_allowed(query, endpoint.query) {
            return Err(refuse(Code::QueryForbidden));
        }
        Ok(Route { surface: Rc::clone(surface), endpoint, parameters })
    }
}

/// The table of a kind.
pub fn table(kind: wire::SurfaceKind) -> &'static [Endpoint] {
    match kind {
        wire::SurfaceKind::Openai => openai::TABLE,
        wire::SurfaceKind::Chroma => chroma::TABLE,
    }
}

/// The tables as a Markdown document (`docs/surfaces.md`).
pub fn tables_markdown() -> String {
    let mut text = String::from(
        "# Surfaces\n\nGenerated from `filter/core/src/surface` (`PARTYWALL_BLESS=1 cargo test -p partywall-core --test generated`). \
         What is in no row is refused with `endpoint_unknown`.\n",
    );
    for (kind, title) in
        [(wire::SurfaceKind::Openai, "openai"), (wire::SurfaceKind::Chroma, "chroma (v2, strategy `namespace`)")]
    {
        text += &format!("\n## {title}\n\n| row | method and path | request | response | |\n|---|---|---|---|---|\n");
        for row in table(kind) {
            let request = match row.request {
                RequestRule::Pass => "passes".to_owned(),
                RequestRule::Chat => "checked".to_owned(),
                RequestRule::Refuse(why) => format!("**refused**: {why}"),
                _ => "rewritten".to_owned(),
            };
            let response = match (row.request, row.response) {
                (RequestRule::Refuse(_), _) => "–",
                (_, ResponseRule::Scan) => "scanned",
                _ => "verified, scanned",
            };
            text += &format!(
                "| `{}` | `{} {}` | {request} | {response} | {} |\n",
                row.name, row.method, row.template, row.note
            );
        }
    }
    text
}

//! Surfaces: upstream APIs behind routes, and what each of them serves.
//!
//! A surface answers to hosts and a path prefix; its kind has a table of endpoints ([`Endpoint`]). Classification is an
//! allow-list: host → prefix → canonical path → row. What no row allows is refused.

mod endpoint;
mod kind;
mod openai;
mod path;
mod query;

pub use endpoint::{BodyRule, Endpoint, Judge, QueryRule, RequestRule, ResponseRule, Verify};
pub use kind::{KINDS, Kind};
pub(crate) use query::{encode as encode_segment, write as write_query};

use crate::error::{Code, Shape};
use crate::rag;
use crate::snapshot::wire;
use std::rc::Rc;

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
    /// Where the tenants' records are, for vector databases.
    pub rag: Option<rag::Config>,
}

impl SurfaceConfig {
    /// How errors look here.
    pub fn shape(&self) -> Shape {
        Kind::of(self.kind).shape
    }

    /// The path prefix, without a trailing slash.
    pub fn prefix(&self) -> &str {
        &self.prefix
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
    /// The query, as it was written.
    pub raw_query: Option<String>,
    /// The query, decoded.
    pub query: Vec<(String, String)>,
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
    /// Compiles surfaces; `seal_key` seals a backend's ids to a tenant.
    ///
    /// # Errors
    /// The surface's name, its key, and what is wrong with it.
    pub fn new(surfaces: &[wire::Surface], seal_key: [u8; 32]) -> Result<Self, String> {
        let compiled = surfaces.iter().map(|surface| {
            let rag = match (&surface.rag, Kind::of(surface.kind).rag) {
                (Some(rag), _) => Some(
                    rag::Config::new(rag, surface.kind, &surface.name, seal_key)
                        .map_err(|why| format!("surfaces.{}.{why}", surface.name))?,
                ),
                (None, None) => None,
                (None, Some(_)) => return Err(format!("surfaces.{}.rag: is missing", surface.name)),
            };
            Ok(Rc::new(SurfaceConfig {
                name: surface.name.clone(),
                kind: surface.kind,
                hosts: surface.hosts.clone(),
                prefix: surface.prefix.trim_end_matches('/').to_owned(),
                credential: surface.credential.clone(),
                limits: surface.limits,
                rag,
            }))
        });
        compiled.collect::<Result<_, _>>().map(Self)
    }

    /// All surfaces.
    pub fn all(&self) -> impl Iterator<Item = &Rc<SurfaceConfig>> {
        self.0.iter()
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
        let row = Kind::of(surface.kind).table.iter().find_map(|endpoint| {
            let matched = endpoint.method == method || endpoint.method == "*";
            matched.then(|| path::fit(endpoint.template, rest)).flatten().map(|parameters| (endpoint, parameters))
        });
        let Some((endpoint, parameters)) = row else { return Err(refuse(Code::EndpointUnknown)) };
        if endpoint.refuses() {
            return Err(refuse(Code::EndpointUnknown));
        }
        let parsed = match endpoint.query {
            QueryRule::Known(known) if !path::query_allowed(query, known) => None,
            _ => query::parse(query.unwrap_or_default()),
        };
        let Some(parsed) = parsed else { return Err(refuse(Code::QueryForbidden)) };
        let raw_query = query.map(str::to_owned);
        Ok(Route { surface: Rc::clone(surface), endpoint, parameters, raw_query, query: parsed })
    }
}

/// The tables as a Markdown document (`docs/surfaces.md`).
pub fn tables_markdown() -> String {
    let mut text = String::from(
        "# Surfaces\n\nGenerated from `filter/core/src/surface` and `filter/core/src/rag` (`PARTYWALL_BLESS=1 cargo test -p partywall-core --test generated`). \
         What is in no row is refused with `endpoint_unknown`.\n",
    );
    for kind in KINDS.iter().map(|kind| Kind::of(*kind)) {
        text += &format!(
            "\n## {}: {}\n\n| row | method and path | request | response | |\n|---|---|---|---|---|\n",
            kind.name, kind.title
        );
        for row in kind.table {
            text += &format!(
                "| `{}` | `{} {}` | {} | {} | {} |\n",
                row.name,
                row.method,
                row.template,
                row.request_word(),
                row.response_word(),
                row.note
            );
        }
    }
    text
}

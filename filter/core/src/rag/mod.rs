//! What a vector database must see, and which of its results are the tenant's.
//!
//! One mechanism for all backends. A backend is a table of endpoints ([`crate::surface::Endpoint`]) and the functions that its
//! filter language needs; [`request`] runs a row's function on a request, [`response`] on the answer. What they share
//! lies here: [`Place`] (where a tenant's records are, by strategy), `document` (parsing and writing), [`Tally`] (which
//! results count), `errors` (what of a backend's own errors may pass).
//!
//! Rules for every backend: the client's filter is nested whole under ours, never merged; the marker is ours, written over
//! the client's and removed from answers; a field that is not known is refused; numbers and vectors stay as they were
//! written; what cannot be verified is refused or recomputed.

pub mod chroma;
pub mod docs;
mod document;
pub mod elasticsearch;
mod errors;
pub mod milvus;
pub mod pinecone;
mod place;
pub mod postgrest;
pub mod qdrant;
mod seal;
mod tally;
pub mod weaviate;
pub mod written;

pub use place::{Config, Location, Place};
pub use tally::Tally;

use crate::error::Code;
use crate::surface::{Endpoint, RequestRule, ResponseRule, Route, encode_segment, write_query};
use crate::tenant::TenantId;

/// What is particular to a vector database, beside its table.
#[derive(Debug)]
pub struct Backend {
    /// The members of its error documents whose text may pass once it is clean: paths like `error.reason`. Everything else
    /// of an error is left out.
    pub error_fields: &'static [&'static str],
    /// Whether a name may stand for a collection there.
    pub collection_name: fn(&str) -> bool,
    /// Whether a text may be the key of the marker.
    pub namespace_key: fn(&str) -> bool,
    /// Whether `separate_db` may be a database (schema) of the same server; otherwise a cluster must separate.
    pub databases: bool,
    /// What each strategy means there, and which limits are the backend's: for the docs.
    pub strategies: Strategies,
    /// Limits that no proxy can lift.
    pub limits: &'static [&'static str],
}

/// What each strategy means in a backend.
#[derive(Debug)]
pub struct Strategies {
    /// `namespace`.
    pub namespace: &'static str,
    /// `separate_collection`.
    pub separate_collection: &'static str,
    /// `separate_db`.
    pub separate_db: &'static str,
}

/// A request to judge.
pub struct Ask<'a> {
    /// The row.
    pub endpoint: &'static Endpoint,
    /// What the template's `{name}`s stand for, in order.
    pub parameters: &'a [String],
    /// The query, decoded; read and free of malformed escapes.
    pub query: &'a [(String, String)],
    /// The query, as it was written.
    pub raw_query: Option<&'a str>,
    /// The surface's prefix, without a trailing slash.
    pub prefix: &'a str,
    /// Where the tenant's records are. `None` where the surface is no vector database.
    pub place: Option<&'a Place<'a>>,
    /// Request headers that the judge may need: see [`CARRIED`].
    pub headers: &'a [(String, String)],
    /// The body; empty where the row takes none.
    pub body: &'a [u8],
    /// Envoy's id of the request: unique.
    pub request_id: &'a str,
}

/// Request headers that are carried to the judge of a vector database's endpoint.
pub const CARRIED: &[&str] =
    &["accept", "accept-profile", "content-profile", "db-name", "prefer", "range", "range-unit"];

/// An answer to verify.
pub struct Answer<'a> {
    /// The row.
    pub endpoint: &'static Endpoint,
    /// What the template's `{name}`s stood for.
    pub parameters: &'a [String],
    /// Where the tenant's records are.
    pub place: &'a Place<'a>,
    /// What the request's side left.
    pub memo: &'a Memo,
    /// The HTTP status.
    pub status: u16,
    /// The body.
    pub body: &'a [u8],
    /// Whether a word is the id of a tenant that is known here.
    pub known: &'a dyn Fn(&str) -> bool,
}

/// What the response's side must know of the request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Memo {
    /// The client did not ask for the part that carries the marker, so its answer has none.
    pub hide: bool,
    /// What the answer repeats, as the client wrote it.
    pub echo: Option<Vec<u8>>,
    /// Names that the answer's side needs, e.g. the fields that the client asked for.
    pub names: Vec<String>,
}

/// A request, judged.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Rewritten {
    /// The new body; `None` leaves it as it is.
    pub body: Option<Vec<u8>>,
    /// The new path with its query; `None` leaves it as it is.
    pub path: Option<String>,
    /// Request headers to set, or (`None`) to remove.
    pub headers: Vec<(&'static str, Option<String>)>,
    /// Ask the backend this instead, and answer the client with what it becomes: for a request without a body that needs
    /// one. [`Rewritten::body`] is what is asked.
    pub call: Option<Call>,
    /// For [`response`].
    pub memo: Memo,
}

/// A request that the filter makes itself, in the client's stead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The method.
    pub method: &'static str,
    /// The path with its query.
    pub path: String,
}

/// An answer, verified.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// The new body; `None` leaves it as it is.
    pub body: Option<Vec<u8>>,
    /// Another status, where the answer is not what the backend's status says (a foreign record is "not found").
    pub status: Option<u16>,
    /// Whose the results were.
    pub tally: Tally,
}

impl<'a> Ask<'a> {
    /// Where the tenant's records are.
    ///
    /// # Errors
    /// [`Code::Internal`] when the surface is no vector database.
    pub fn place(&self) -> Result<&'a Place<'a>, Code> {
        self.place.ok_or(Code::Internal)
    }

    /// What the template's parameter of that name stands for.
    ///
    /// # Errors
    /// [`Code::Internal`] when the template has none.
    pub fn parameter(&self, name: &str) -> Result<&'a str, Code> {
        parameter(self.endpoint, self.parameters, name)
    }

    /// The query's value of that name, the first of them.
    pub fn query(&self, name: &str) -> Option<&'a str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// A request header that is carried.
    pub fn header(&self, name: &str) -> Option<&'a str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The path of a template below the surface's prefix, with these values for its parameters in order. The query is
    /// written anew, or (`None`) stays as it was.
    pub fn path(&self, template: &str, parameters: &[&str], query: Option<&[(&str, &str)]>) -> String {
        let mut out = self.prefix.to_owned();
        let mut values = parameters.iter();
        for part in template.split('/').filter(|part| !part.is_empty()) {
            out.push('/');
            match part.strip_prefix('{') {
                Some(_) => encode_segment(&mut out, values.next().copied().unwrap_or_default()),
                None => out.push_str(part),
            }
        }
        let query = match query {
            Some(pairs) => Some(write_query(pairs.iter().copied())),
            None => self.raw_query.map(str::to_owned),
        };
        match query.filter(|query| !query.is_empty()) {
            Some(query) => format!("{out}?{query}"),
            None => out,
        }
    }
}

impl<'a> Answer<'a> {
    /// What the template's parameter of that name stood for.
    ///
    /// # Errors
    /// [`Code::Internal`] when the template has none.
    pub fn parameter(&self, name: &str) -> Result<&'a str, Code> {
        parameter(self.endpoint, self.parameters, name)
    }
}

fn parameter<'a>(endpoint: &Endpoint, parameters: &'a [String], name: &str) -> Result<&'a str, Code> {
    let names = endpoint.template.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    names.zip(parameters).find(|(known, _)| *known == name).map(|(_, value)| value.as_str()).ok_or(Code::Internal)
}

/// Judges a request of a tenant on a route; `headers` are those of [`CARRIED`].
///
/// # Errors
/// The code with which to refuse it.
pub fn request(
    route: &Route,
    tenant: &TenantId,
    headers: &[(String, String)],
    body: &[u8],
    request_id: &str,
) -> Result<Rewritten, Code> {
    let place = route.surface.rag.as_ref().map(|config| config.place(tenant));
    judge(&Ask {
        endpoint: route.endpoint,
        parameters: &route.parameters,
        query: &route.query,
        raw_query: route.raw_query.as_deref(),
        prefix: route.surface.prefix(),
        place: place.as_ref(),
        headers,
        body,
        request_id,
    })
}

fn judge(ask: &Ask<'_>) -> Result<Rewritten, Code> {
    match ask.endpoint.request {
        RequestRule::Pass => Ok(Rewritten::default()),
        RequestRule::Check(judge) => judge(ask).map(|judged| Rewritten { body: None, path: None, ..judged }),
        RequestRule::Rewrite(judge) => {
            let rewritten = judge(ask)?;
            document::fits(rewritten.body.as_ref().map_or(0, Vec::len), ask.body)?;
            Ok(rewritten)
        }
        RequestRule::Refuse(_) => Err(Code::EndpointUnknown),
    }
}

/// Whether an answer of this status must be verified before it leaves.
pub fn verifies(route: &Route, status: u16) -> bool {
    // What a database says of an error names things as it knows them, so it is read as well.
    route.surface.rag.is_some()
        && (matches!(route.endpoint.response, ResponseRule::Verify(_)) || !(200..300).contains(&status))
}

/// Verifies an answer to a tenant on a route; `known` says whether a word is the id of a tenant.
///
/// # Errors
/// [`Code::UpstreamMalformed`] when it has not the shape that the endpoint's answers have.
pub fn response(
    route: &Route,
    tenant: &TenantId,
    memo: &Memo,
    status: u16,
    body: &[u8],
    known: &dyn Fn(&str) -> bool,
) -> Result<Verified, Code> {
    let config = route.surface.rag.as_ref().ok_or(Code::Internal)?;
    let place = config.place(tenant);
    let (endpoint, parameters) = (route.endpoint, route.parameters.as_slice());
    verify(&Answer { endpoint, parameters, place: &place, memo, status, body, known })
}

fn verify(answer: &Answer<'_>) -> Result<Verified, Code> {
    if !(200..300).contains(&answer.status) {
        return errors::answer(answer);
    }
    match answer.endpoint.response {
        ResponseRule::Scan => Ok(Verified::default()),
        ResponseRule::Verify(verify) => verify(answer),
    }
}

//! What the backend must see, and which of its results are this tenant's.
//!
//! [`request`] judges and rewrites a request as its row says, [`response`] verifies an answer. Documents are parsed
//! strictly, written once, and what is the client's is copied verbatim. `Memo` carries what the answer's side must know.

mod chroma;
mod chroma_results;

use crate::error::Code;
use crate::json::{self, Value};
use crate::surface::{RequestRule, ResponseRule, Route};
use crate::tenant::TenantId;

/// What the response's side must know of the request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Memo {
    /// Chroma: the client did not ask for metadata, so the answer has none.
    pub hide_metadatas: bool,
    /// Chroma: the client's `include`, as it was written; `None` when it gave none.
    pub include: Option<Vec<u8>>,
}

/// A request, judged.
#[derive(Debug, Default)]
pub struct Rewritten {
    /// The new body; `None` leaves it as it is.
    pub body: Option<Vec<u8>>,
    /// The new path; `None` leaves it as it is.
    pub path: Option<String>,
    /// For [`response`].
    pub memo: Memo,
}

/// An answer, verified.
#[derive(Debug, Default)]
pub struct Verified {
    /// The new body; `None` leaves it as it is.
    pub body: Option<Vec<u8>>,
    /// Results that were foreign or unmarked, and are gone.
    pub dropped: u64,
    /// Results that remain.
    pub kept: u64,
}

/// Judges and rewrites a request; `body` is empty where the row takes none.
///
/// # Errors
/// The code with which to refuse it.
pub fn request(route: &Route, tenant: &TenantId, body: &[u8]) -> Result<Rewritten, Code> {
    if route.surface.chroma.is_some() {
        chroma::check_place(route)?;
    }
    match route.endpoint.request {
        RequestRule::Pass => Ok(Rewritten::default()),
        RequestRule::Chat => chat(body),
        RequestRule::ChromaWrite => chroma::write(route, tenant, body),
        RequestRule::ChromaQuery | RequestRule::ChromaGet => chroma::read(route, tenant, body),
        RequestRule::ChromaDelete => chroma::delete(route, tenant, body),
        RequestRule::ChromaCreate => chroma::create(route, body),
        RequestRule::Refuse(_) => Err(Code::EndpointUnknown),
    }
}

/// Whether an answer of this status must be verified before it leaves.
pub fn verifies(route: &Route, status: u16) -> bool {
    // What Chroma says of an error names ids as the backend knows them, so it is read as well.
    route.surface.chroma.is_some() && (route.endpoint.response != ResponseRule::Scan || !(200..300).contains(&status))
}

/// Verifies an answer.
///
/// # Errors
/// [`Code::UpstreamMalformed`] when it has not the shape that the endpoint's answers have.
pub fn response(route: &Route, tenant: &TenantId, memo: &Memo, status: u16, body: &[u8]) -> Result<Verified, Code> {
    if !(200..300).contains(&status) {
        return chroma_results::error(tenant, body);
    }
    match route.endpoint.response {
        ResponseRule::Scan => Ok(Verified::default()),
        ResponseRule::ChromaRecords => chroma_results::records(route, tenant, memo, body, false),
        ResponseRule::ChromaResults => chroma_results::records(route, tenant, memo, body, true),
        ResponseRule::ChromaCollections => chroma_results::collections(route, body),
    }
}

/// A chat completion passes as it came, once it is what it says.
fn chat(body: &[u8]) -> Result<Rewritten, Code> {
    let document = json::parse(body).map_err(json::JsonError::code)?;
    let messages = document.member("messages").is_some_and(|value| matches!(value, Value::Array(..)));
    let model = document.member("model").is_some_and(|value| matches!(value, Value::String(..)));
    if messages && model { Ok(Rewritten::default()) } else { Err(Code::FieldInvalid) }
}

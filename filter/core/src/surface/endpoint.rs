//! One row of a kind's table: what an API's endpoint takes, and what is done with it.

use crate::error::Code;
use crate::rag::{Answer, Ask, Rewritten, Verified};

/// Judges a request, and says what the backend gets instead.
pub type Judge = fn(&Ask<'_>) -> Result<Rewritten, Code>;
/// Verifies a successful answer.
pub type Verify = fn(&Answer<'_>) -> Result<Verified, Code>;

/// What an endpoint does with the request.
#[derive(Clone, Copy, Debug)]
pub enum RequestRule {
    /// Passes as it is, once it is well formed.
    Pass,
    /// Passes as it came, if this function finds nothing wrong with it.
    Check(Judge),
    /// Rewritten by this function.
    Rewrite(Judge),
    /// Refused, for this reason.
    Refuse(&'static str),
}

/// What an endpoint does with a successful response. All of it is scanned besides.
#[derive(Clone, Copy, Debug)]
pub enum ResponseRule {
    /// Scanned.
    Scan,
    /// Every result is verified by this function.
    Verify(Verify),
}

/// Whether an endpoint takes a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyRule {
    /// None.
    None,
    /// A JSON document.
    Json,
    /// A JSON document, or none. Nothing can be put in the place of none: where the backend needs a body, the judge asks by a call
    /// of the filter's own.
    Optional,
    /// A JSON document, which a client may call `text/plain`; the backend gets it as JSON.
    JsonOrText,
    /// JSON documents, one on each line (`application/x-ndjson`, `application/json` or `application/vnd.…+x-ndjson`).
    Ndjson,
}

impl BodyRule {
    /// Whether a request without a body is none.
    pub fn needs_body(self) -> bool {
        !matches!(self, Self::None | Self::Optional)
    }
}

/// Which query parameters an endpoint takes.
#[derive(Clone, Copy, Debug)]
pub enum QueryRule {
    /// These, each at most once, as they are.
    Known(&'static [&'static str]),
    /// The rewriter judges each and writes the query anew.
    Judged,
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
    pub query: QueryRule,
    /// Whether there is a body.
    pub body: BodyRule,
    /// What happens to the request.
    pub request: RequestRule,
    /// What happens to the response.
    pub response: ResponseRule,
    /// For the docs: what a tenant gets, or how the tenant is forced.
    pub note: &'static str,
}

impl Endpoint {
    /// A row that takes a JSON body by POST.
    pub const fn post(
        name: &'static str,
        template: &'static str,
        request: RequestRule,
        response: ResponseRule,
        note: &'static str,
    ) -> Self {
        Self {
            name,
            method: "POST",
            template,
            query: QueryRule::Known(&[]),
            body: BodyRule::Json,
            request,
            response,
            note,
        }
    }

    /// A row that is read by GET.
    pub const fn get(
        name: &'static str,
        template: &'static str,
        request: RequestRule,
        response: ResponseRule,
        note: &'static str,
    ) -> Self {
        Self { method: "GET", body: BodyRule::None, ..Self::post(name, template, request, response, note) }
    }

    /// A row that is refused whatever the method, and says why.
    pub const fn refuse(name: &'static str, template: &'static str, why: &'static str) -> Self {
        Self { method: "*", ..Self::get(name, template, RequestRule::Refuse(why), ResponseRule::Scan, "") }
    }

    /// Whether the row only says why it is refused.
    pub fn refuses(&self) -> bool {
        matches!(self.request, RequestRule::Refuse(_))
    }

    /// Whether results are verified.
    pub fn verifies(&self) -> bool {
        matches!(self.response, ResponseRule::Verify(_))
    }

    /// What happens to the request, for the docs.
    pub fn request_word(&self) -> String {
        match self.request {
            RequestRule::Pass => "passes".to_owned(),
            RequestRule::Check(_) => "checked".to_owned(),
            RequestRule::Rewrite(_) => "rewritten".to_owned(),
            RequestRule::Refuse(why) => format!("**refused**: {why}"),
        }
    }

    /// What happens to the response, for the docs.
    pub fn response_word(&self) -> &'static str {
        match (self.request, self.response) {
            (RequestRule::Refuse(_), _) => "–",
            (_, ResponseRule::Scan) => "scanned",
            _ => "verified, scanned",
        }
    }

    /// The same row for another method.
    pub const fn by(self, method: &'static str) -> Self {
        Self { method, ..self }
    }

    /// The same row with another rule for the body.
    pub const fn taking(self, body: BodyRule) -> Self {
        Self { body, ..self }
    }

    /// The same row with query parameters that pass as they are.
    pub const fn with(self, query: &'static [&'static str]) -> Self {
        Self { query: QueryRule::Known(query), ..self }
    }
}

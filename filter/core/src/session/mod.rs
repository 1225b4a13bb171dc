//! One request from its first byte to its last: the only module that composes the others.
//!
//! A session is a state machine without IO. The host feeds it what arrives ([`Session::request_head`],
//! [`Session::request_body`], …) and does what the returned [`Step`] says. Invariants:
//!
//! - the snapshot is taken once, at the head, and kept to the end;
//! - nothing reaches the upstream before the request was judged whole: heads are held while bodies are buffered;
//! - after a refusal every later call answers "forward nothing more": the host's own reply runs through the response
//!   callbacks and must not be scanned;
//! - every path that cannot decide refuses with a [`Code`]; none continues.

mod request;
mod response;
#[cfg(test)]
mod tests;

use crate::error::{Code, Shape};
use crate::identity::{BoundTenant, HostCrypto};
use crate::rag::Tally;
use crate::record::{Bytes, Decision, Hit, Outcome};
use crate::snapshot::Snapshot;
use crate::surface::Route;
use crate::verdict::{Edits, Reply, Step};
use std::rc::Rc;

/// A head as the host hands it over: names in lower case, in order, repeated as often as they came.
pub type Headers = [(Vec<u8>, Vec<u8>)];

/// What the proxy knows when a request begins.
#[derive(Clone)]
pub enum Standing {
    /// No snapshot was ever loaded.
    Missing,
    /// The snapshot is older than its maximum age.
    Stale(u64),
    /// Ready to serve.
    Ready(Rc<Snapshot>),
}

/// Documents of a request.
#[derive(Default)]
struct Written {
    documents: Vec<crate::harvest::Written>,
    /// Too much to read.
    skipped: u64,
    /// The database has taken them.
    taken: bool,
}

/// Reads a part of the body at hand: `(start, length)`. `None` when the host cannot.
pub type ReadBody<'a> = &'a mut dyn FnMut(usize, usize) -> Option<Vec<u8>>;

/// One request.
pub struct Session {
    standing: Standing,
    started_ms: u64,
    request_id: String,
    authority: String,
    shape: Shape,
    bound: Option<BoundTenant>,
    surface: Option<String>,
    endpoint: Option<&'static str>,
    request: request::State,
    response: response::State,
    refused: Option<Code>,
    hits: Vec<Hit>,
    written: Written,
    tally: Tally,
    bytes: Bytes,
    altered: bool,
    complete: bool,
}

impl Session {
    /// A session under the snapshot that holds now.
    pub fn new(standing: Standing, now_ms: u64) -> Self {
        Self {
            standing,
            started_ms: now_ms,
            request_id: String::new(),
            authority: String::new(),
            shape: Shape::Problem,
            bound: None,
            surface: None,
            endpoint: None,
            request: request::State::Head,
            response: response::State::Head,
            refused: None,
            hits: Vec::new(),
            written: Written::default(),
            tally: Tally::default(),
            bytes: Bytes::default(),
            altered: false,
            complete: false,
        }
    }

    /// The request's head has come; `end` says that no body follows.
    pub fn request_head(&mut self, headers: &Headers, end: bool, crypto: &dyn HostCrypto) -> Step {
        if self.refused.is_some() {
            return Step::Hold(Edits::none());
        }
        match request::head(self, headers, end, crypto) {
            Ok(step) => step,
            Err(code) => self.refuse(code),
        }
    }

    /// More of the request's body is at hand: `size` bytes in all; `end` says that this is all of it.
    pub fn request_body(&mut self, size: usize, end: bool, read: ReadBody<'_>) -> Step {
        if self.refused.is_some() {
            return Step::Hold(Edits::none());
        }
        match request::body(self, size, end, read) {
            Ok(step) => step,
            Err(code) => self.refuse(code),
        }
    }

    /// The request ends with trailers. They are served nowhere, and a body that is still held must not slip out.
    pub fn request_trailers(&mut self) -> Step {
        if self.refused.is_some() {
            return Step::Hold(Edits::none());
        }
        self.refuse(Code::TrailersForbidden)
    }

    /// The response's head has come; `end` says that no body follows.
    pub fn response_head(&mut self, headers: &Headers, end: bool) -> Step {
        response::head(self, headers, end)
    }

    /// More of the response's body is at hand: `size` bytes since the host last let go; `end` says that it is the end.
    pub fn response_body(&mut self, size: usize, end: bool, read: ReadBody<'_>) -> Step {
        response::body(self, size, end, read)
    }

    /// The response ends with trailers.
    pub fn response_trailers(&mut self) -> Step {
        response::trailers(self)
    }

    /// The upstream has answered a [`Step::Call`]; `None` when it did not.
    pub fn call_answer(&mut self, answer: Option<(&Headers, Vec<u8>)>) -> Step {
        if self.refused.is_some() {
            return Step::Hold(Edits::none());
        }
        match response::call_answer(self, answer) {
            Ok(step) => step,
            Err(code) => self.refuse(code),
        }
    }

    /// The stream is over: what was decided.
    pub fn finish(&mut self) -> Decision {
        response::settle(self);
        let outcome = match self.refused {
            Some(_) if !matches!(self.request, request::State::Forwarded(_)) => Outcome::Denied,
            Some(_) => Outcome::Blocked,
            None if !self.complete => Outcome::Aborted,
            None if self.altered && !self.hits.is_empty() => Outcome::Redacted,
            None if !self.hits.is_empty() || self.tally.dropped > 0 => Outcome::Alerted,
            None => Outcome::Allowed,
        };
        Decision {
            time_ms: self.started_ms,
            request_id: std::mem::take(&mut self.request_id),
            tenant: self.bound.as_ref().map(|bound| bound.tenant.as_str().to_owned()),
            surface: self.surface.clone(),
            endpoint: self.endpoint.map(str::to_owned),
            outcome,
            code: self.refused,
            revision: match &self.standing {
                Standing::Missing => 0,
                Standing::Stale(revision) => *revision,
                Standing::Ready(snapshot) => snapshot.revision,
            },
            hits: std::mem::take(&mut self.hits),
            dropped: self.tally.dropped,
            kept: self.tally.kept,
            foreign: std::mem::take(&mut self.tally.foreign).into_iter().collect(),
            bytes: self.bytes,
            overrun: None,
        }
    }

    /// What the request wrote into a vector database, once that has taken it, and how many documents were too much to read.
    pub fn written(&mut self) -> (Vec<crate::harvest::Written>, u64) {
        let Written { documents, skipped, taken } = std::mem::take(&mut self.written);
        if taken { (documents, skipped) } else { (Vec::new(), 0) }
    }

    /// The one place where a refusal becomes an answer.
    fn refuse(&mut self, code: Code) -> Step {
        self.refused = Some(code);
        self.response = response::State::Done;
        Step::Reply(Reply::refuse(code, self.shape, &self.request_id))
    }

    fn route(&self) -> Option<&Route> {
        match &self.request {
            request::State::Forwarded(forwarded) => Some(&forwarded.route),
            _ => None,
        }
    }
}

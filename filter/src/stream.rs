//! One HTTP stream: each callback reads, asks the session, and applies its verdict. [`Stream::apply`] is the one
//! place where a verdict becomes an action.
//!
//! A local reply or reset is deferred by Envoy until the callback returns, so `Pause` follows it; the reply then runs
//! through our own response callbacks, where the session lets it pass.

use crate::crypto::EnvoyCrypto;
use crate::host;
use crate::root::Shared;
use partywall_core::error::{Code, Shape};
use partywall_core::record::Overrun;
use partywall_core::session::{Session, Standing};
use partywall_core::verdict::{Edits, OwnCall, Reply, Step};
use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::{Action, BufferType, LogLevel, MapType};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

/// One HTTP stream.
pub struct Stream {
    session: Session,
    shared: Rc<RefCell<Shared>>,
    /// The response's head has left; an answer of ours can no longer replace it.
    head_sent: bool,
    over: Over,
    /// Body bytes of the response that were let pass, or written by us.
    passed: u64,
    /// A request of our own whose answer is awaited.
    awaited: Option<u32>,
}

/// How long a database may take to answer a request of our own.
const OWN_CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// Whether there is still something to decide.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Over {
    /// There is.
    No,
    /// We answered: our own reply passes.
    Replied,
    /// We cut the stream: nothing passes.
    Cut,
}

/// Whose head and body a step is about.
#[derive(Clone, Copy)]
enum Side {
    Request,
    Response,
}

impl Side {
    fn headers(self) -> MapType {
        match self {
            Self::Request => MapType::HttpRequestHeaders,
            Self::Response => MapType::HttpResponseHeaders,
        }
    }
    fn body(self) -> BufferType {
        match self {
            Self::Request => BufferType::HttpRequestBody,
            Self::Response => BufferType::HttpResponseBody,
        }
    }
}

impl Stream {
    /// A stream under the snapshot that holds now.
    pub fn new(shared: Rc<RefCell<Shared>>) -> Self {
        let standing = shared.try_borrow().map_or(Standing::Missing, |shared| shared.standing());
        Self {
            session: Session::new(standing, host::now_ms()),
            shared,
            head_sent: false,
            over: Over::No,
            passed: 0,
            awaited: None,
        }
    }

    fn apply(&mut self, side: Side, size: usize, step: Step) -> Action {
        if let Side::Response = side {
            self.pass(match &step {
                Step::Forward(_) => size,
                Step::Replace(_, body) => body.len(),
                _ => 0,
            });
        }
        let done = match step {
            Step::Forward(edits) => edit(side, edits).map(|()| Action::Continue),
            Step::Hold(edits) => edit(side, edits).map(|()| Action::Pause),
            Step::Replace(edits, body) => {
                edit(side, edits).and_then(|()| host::set_body(side.body(), size, &body)).map(|()| Action::Continue)
            }
            Step::Call(call) => return self.call(&call),
            Step::Reply(reply) => return self.reply(&reply),
            Step::Reset => return self.cut(),
        };
        match done {
            Ok(action) => {
                self.head_sent |= matches!((side, &action), (Side::Response, Action::Continue));
                action
            }
            Err(error) => {
                host::log(
                    LogLevel::Error,
                    &format!("partywall: the host refused a call (status {}): stream refused", error.0),
                );
                self.give_up()
            }
        }
    }

    /// Asks in the client's stead; the request stays where it is until the answer has come.
    fn call(&mut self, call: &OwnCall) -> Action {
        match host::call(call, OWN_CALL_TIMEOUT) {
            Some(token) => {
                self.awaited = Some(token);
                Action::Pause
            }
            None => {
                let step = self.session.call_answer(None);
                self.apply(Side::Request, 0, step)
            }
        }
    }

    fn pass(&mut self, bytes: usize) {
        self.passed = self.passed.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
    }

    fn reply(&mut self, reply: &Reply) -> Action {
        self.pass(reply.body.len());
        let headers: Vec<(&str, &[u8])> = reply.headers.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
        self.over = Over::Replied;
        match host::reply(reply.status, &headers, &reply.body) {
            Ok(()) => Action::Pause,
            Err(_) => self.cut(),
        }
    }

    fn cut(&mut self) -> Action {
        self.over = Over::Cut;
        host::reset();
        Action::Pause
    }

    /// What the response's callbacks do once we are done.
    fn after(&self) -> Option<Action> {
        match self.over {
            Over::No => None,
            Over::Replied => Some(Action::Continue),
            Over::Cut => Some(Action::Pause),
        }
    }

    /// Something is impossible: refuse while that can be said, cut otherwise.
    fn give_up(&mut self) -> Action {
        if self.head_sent { self.cut() } else { self.reply(&Reply::refuse(Code::Internal, Shape::Problem, "")) }
    }
}

fn edit(side: Side, edits: Edits) -> Result<(), host::Error> {
    let reroute = edits.set.iter().any(|(name, _)| name == ":path" || name == "x-partywall-cluster");
    for name in &edits.remove {
        host::remove_header(side.headers(), name)?;
    }
    for (name, value) in &edits.set {
        host::set_header(side.headers(), name, value)?;
    }
    if reroute && matches!(side, Side::Request) {
        // The route was chosen before we named the cluster.
        host::foreign("clear_route_cache", b"");
    }
    Ok(())
}

/// What Envoy has sent beyond what was let pass, now that the stream is over.
fn overrun(passed: u64) -> Option<Overrun> {
    let sent = u64::from_le_bytes(host::property("response\0size")?.try_into().ok()?);
    // Where the upstream broke off before anything left, Envoy answers past all filters, in its own words.
    let envoys = passed == 0 && host::property("response\0code_details")? != b"via_upstream";
    (sent > passed && !envoys).then_some(Overrun { passed, sent })
}

impl Context for Stream {
    fn on_http_call_response(&mut self, token: u32, headers: usize, size: usize, _: usize) {
        if self.over != Over::No || self.awaited != Some(token) {
            return;
        }
        self.awaited = None;
        // A failed call has no headers at all, and must not be asked for any.
        let answer = if headers == 0 { None } else { host::call_answer(size).ok() };
        let step = self.session.call_answer(answer.as_ref().map(|(headers, body)| (headers.as_slice(), body.clone())));
        let _ = self.apply(Side::Request, 0, step);
    }
}

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, _: usize, end: bool) -> Action {
        let Ok(headers) = host::headers(MapType::HttpRequestHeaders) else { return self.give_up() };
        let step = self.session.request_head(&headers, end, &EnvoyCrypto);
        self.apply(Side::Request, 0, step)
    }

    fn on_http_request_body(&mut self, size: usize, end: bool) -> Action {
        if self.over != Over::No {
            return Action::Pause;
        }
        let mut read = |start, len| host::body(BufferType::HttpRequestBody, start, len).ok();
        let step = self.session.request_body(size, end, &mut read);
        self.apply(Side::Request, size, step)
    }

    fn on_http_request_trailers(&mut self, _: usize) -> Action {
        if self.over != Over::No {
            return Action::Pause;
        }
        let step = self.session.request_trailers();
        self.apply(Side::Request, 0, step)
    }

    fn on_http_response_headers(&mut self, _: usize, end: bool) -> Action {
        if let Some(action) = self.after() {
            return action;
        }
        let Ok(headers) = host::headers(MapType::HttpResponseHeaders) else { return self.give_up() };
        let step = self.session.response_head(&headers, end);
        self.apply(Side::Response, 0, step)
    }

    fn on_http_response_body(&mut self, size: usize, end: bool) -> Action {
        if let Some(action) = self.after() {
            return action;
        }
        let mut read = |start, len| host::body(BufferType::HttpResponseBody, start, len).ok();
        let step = self.session.response_body(size, end, &mut read);
        self.apply(Side::Response, size, step)
    }

    fn on_http_response_trailers(&mut self, _: usize) -> Action {
        if let Some(action) = self.after() {
            return action;
        }
        let step = self.session.response_trailers();
        self.apply(Side::Response, 0, step)
    }

    fn on_log(&mut self) {
        let mut decision = self.session.finish();
        decision.overrun = overrun(self.passed);
        if let Ok(mut shared) = self.shared.try_borrow_mut() {
            shared.decided(decision);
            let (documents, skipped) = self.session.written();
            shared.harvested(&documents, skipped);
        }
    }
}

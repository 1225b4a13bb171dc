//! What a session tells its host to do: the only vocabulary between deciding and acting.

use crate::error::{Code, Shape};
use std::borrow::Cow;

/// What to do with what is at hand: a head, or the part of a body that the host holds.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub enum Step {
    /// Let it go on, after these edits of the head.
    Forward(Edits),
    /// Keep head and body back until more has come, after these edits.
    Hold(Edits),
    /// Put this in the place of the body at hand, edit the head if it is still held, and let it go on.
    Replace(Edits, Vec<u8>),
    /// Ask an upstream this, and give the session its answer; keep the request back meanwhile.
    Call(OwnCall),
    /// Answer the client instead.
    Reply(Reply),
    /// Cut the stream: something cannot be unsaid.
    Reset,
}

/// Changes to a head.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Edits {
    /// Headers to set, replacing every value that they had.
    pub set: Vec<(Cow<'static, str>, Vec<u8>)>,
    /// Headers to remove.
    pub remove: Vec<Cow<'static, str>>,
}

impl Edits {
    /// No change.
    pub fn none() -> Self {
        Self::default()
    }

    /// Sets a header.
    pub fn set(&mut self, name: impl Into<Cow<'static, str>>, value: impl Into<Vec<u8>>) {
        self.set.push((name.into(), value.into()));
    }

    /// Removes a header.
    pub fn remove(&mut self, name: impl Into<Cow<'static, str>>) {
        self.remove.push(name.into());
    }
}

/// A request of the filter's own, made for a client whose own request cannot carry what it needs.
#[derive(Debug, PartialEq, Eq)]
pub struct OwnCall {
    /// Envoy's cluster.
    pub cluster: String,
    /// The client's authority.
    pub authority: String,
    /// The method.
    pub method: &'static str,
    /// The path with its query.
    pub path: String,
    /// Further headers.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The body.
    pub body: Vec<u8>,
}

/// An answer in the upstream's stead.
#[derive(Debug, PartialEq, Eq)]
pub struct Reply {
    /// Why it is a refusal; `None` when it is none.
    pub code: Option<Code>,
    /// The HTTP status.
    pub status: u16,
    /// The headers.
    pub headers: Vec<(&'static str, String)>,
    /// The body, in the surface's own shape.
    pub body: Vec<u8>,
}

impl Reply {
    /// A JSON answer that is no refusal.
    pub fn json(status: u16, body: Vec<u8>) -> Self {
        let headers = vec![("content-type", "application/json".to_owned()), ("cache-control", "no-store".to_owned())];
        Self { code: None, status, headers, body }
    }

    /// The refusal for a code. Errors are the only place where codes become HTTP.
    pub fn refuse(code: Code, shape: Shape, request_id: &str) -> Self {
        let (body, media) = code.render(shape, request_id);
        let mut headers = vec![
            ("content-type", media.to_owned()),
            ("cache-control", "no-store".to_owned()),
            ("x-partywall-code", code.as_str().to_owned()),
        ];
        match code.status() {
            401 => headers.push(("www-authenticate", format!("Bearer error=\"{}\"", code.as_str()))),
            503 => headers.push(("retry-after", "1".to_owned())),
            _ => {}
        }
        Self { code: Some(code), status: code.status(), headers, body }
    }
}

//! Strict JSON that keeps every byte in its place.
//!
//! A proxy that judges a document which the backend then reads differently protects nothing, so this parser takes
//! only what all parsers agree on: UTF-8 without byte order mark, no key twice in an object (compared decoded), no lone
//! surrogate, no control character in a string, no number beyond a double, at most [`MAX_DEPTH`] levels, nothing
//! after the document. Everything is a span of the input: vectors and big integers are never re-parsed, and
//! untouched parts are written back verbatim.
//!
//! [`walk`] streams a document's parts into a [`Sink`] (the scanner's way in); [`parse`] gives a tree of spans (the
//! rewriters' way in); `write` puts documents together again.
//!
//! Limit, on purpose: an array of nothing but numbers is skipped as one span, by a loop that knows its alphabet but
//! not the grammar of numbers. A malformed number inside one is the backend's to refuse; it can open no structure.

mod string;
mod tree;
mod walk;
pub mod write;

pub use string::Str;
pub(crate) use string::unescape;
pub use tree::{Value, parse};
pub use walk::{Sink, walk};

use crate::error::Code;

/// The deepest nesting that is read.
pub const MAX_DEPTH: usize = 64;

/// Why a document is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JsonError {
    /// Not JSON as this module takes it.
    Invalid {
        /// The offending byte's position.
        offset: usize,
    },
    /// An object has a key twice.
    DuplicateKey {
        /// The second key's position.
        offset: usize,
    },
    /// More than [`MAX_DEPTH`] levels.
    TooDeep {
        /// Where the level begins.
        offset: usize,
    },
}

impl JsonError {
    /// The code for a client's document.
    pub fn code(self) -> Code {
        match self {
            Self::Invalid { .. } => Code::JsonInvalid,
            Self::DuplicateKey { .. } => Code::JsonDuplicateKey,
            Self::TooDeep { .. } => Code::JsonTooDeep,
        }
    }
}

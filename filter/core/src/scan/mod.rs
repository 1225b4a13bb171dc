//! The streaming scanner: which bytes of a response may leave.
//!
//! Decode → fold → match → gate, sans-IO: [`Scanner::push`] takes bytes and gives those that may leave. Framings
//! (`units`, `text`) find the parts of a stream, `event` the texts of a JSON document, `channel` joins texts over parts and
//! runs the `automaton` over their folded form, `disguise` finds what is encoded or hidden, `gate` holds and counts. The invariants, each a property test:
//!
//! - for every split of the same bytes: the same output, the same verdict (`hold_back: exact`, within the limits);
//! - what is released never holds a byte of a foreign match (`hold_back: exact`);
//! - a response without a match leaves byte for byte;
//! - bytes scanned = delivered + withheld + held.
//!
//! `docs/scanner.md` has the algorithm, its limits and its figures.
#![allow(clippy::cast_possible_truncation)]

mod actions;
mod automaton;
mod build;
mod channel;
mod disguise;
mod echo;
mod event;
pub mod fold;
mod gate;
mod judge;
mod load;
mod media;
mod nested;
mod phrases;
mod set;
mod text;
mod units;

pub use actions::Actions;
pub use build::{CompileError, Entry, compile};
pub use disguise::symbols;
pub(crate) use disguise::{escapes, kinds};
pub use echo::{Echoes, MAX_ECHOES, MAX_REQUEST};
pub use fold::{LiteralError, literal};
pub use load::{LoadError, LoadedSegment, Loader};
pub use media::Media;
pub use set::{FingerprintSet, MAX_SEGMENTS};

use crate::error::{Code, Shape};
use crate::record::{Bytes, Hit};
use crate::snapshot::wire::{Evasion, HoldBack, Limits, OnDetect};
use crate::tenant::TenantId;
use judge::{Judge, Origin};
use std::rc::Rc;
use text::Plain;
use units::{Kind, Units};

/// What a scanner must know.
pub struct ScanConfig {
    /// All fingerprints.
    pub set: Rc<FingerprintSet>,
    /// Whose response this is: own fingerprints pass.
    pub tenant: TenantId,
    /// What the response says that it is.
    pub media: Media,
    /// How the client expects an error to look.
    pub shape: Shape,
    /// What a match does, unless [`Scanner::actions`] says more.
    pub on_detect: OnDetect,
    /// How much of a live match is held.
    pub hold_back: HoldBack,
    /// Limits in bytes.
    pub limits: Limits,
    /// For the error event.
    pub request_id: String,
}

/// What a push yields.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Output {
    /// Bytes that may leave now, in order.
    pub release: Vec<u8>,
    /// The response ends here. Every later push is empty.
    pub blocked: Option<Code>,
}

enum Framing {
    /// Text that has not shown yet what it is.
    Sniff(Vec<u8>),
    Units(Units),
    Plain(Plain),
    /// Judged at its end. `loose`: declared as text, so it need not be JSON.
    Whole {
        bytes: Vec<u8>,
        loose: bool,
    },
}

/// One response.
pub struct Scanner {
    judge: Judge,
    framing: Framing,
    media: Media,
    shape: Shape,
    limits: Limits,
    request_id: String,
    blocked: bool,
}

impl Scanner {
    /// A scanner for one response.
    pub fn new(config: ScanConfig) -> Self {
        let framing = match config.media {
            Media::Sse => Framing::Units(Units::new(Kind::Events, config.limits.event_bytes)),
            Media::Ndjson => Framing::Units(Units::new(Kind::Lines, config.limits.event_bytes)),
            Media::Json => Framing::Whole { bytes: Vec::new(), loose: false },
            Media::Text => Framing::Sniff(Vec::new()),
        };
        Self {
            judge: Judge::new(config.set, &config.tenant, config.on_detect, config.hold_back),
            framing,
            media: config.media,
            shape: config.shape,
            limits: config.limits,
            request_id: config.request_id,
            blocked: false,
        }
    }

    /// Whether literals in disguise are looked for, too. To be said before the first byte; else they are.
    #[must_use]
    pub fn evasion(mut self, evasion: Evasion) -> Self {
        self.judge.evasion(evasion);
        self
    }

    /// What a match does, by its class and severity. To be said before the first byte.
    #[must_use]
    pub fn actions(mut self, actions: Actions) -> Self {
        self.judge.actions = actions;
        self
    }

    /// What the request itself held. To be said before the first byte.
    #[must_use]
    pub fn echoes(mut self, echoes: Option<Rc<Echoes>>) -> Self {
        self.judge.echoes = echoes;
        self
    }

    /// Takes the next bytes; `end` says that they are the last.
    pub fn push(&mut self, bytes: &[u8], end: bool) -> Output {
        if self.blocked {
            self.judge.gate.swallow(bytes.len());
            return Output::default();
        }
        self.judge.gate.take(bytes);
        let verdict = self.read(bytes, end);
        let blocked = verdict.err();
        if blocked.is_some() {
            self.blocked = true;
            self.judge.gate.withhold();
        }
        Output { release: self.judge.gate.drain(), blocked }
    }

    fn read(&mut self, bytes: &[u8], end: bool) -> Result<(), Code> {
        match &mut self.framing {
            Framing::Units(units) => units.push(&mut self.judge, bytes, end),
            Framing::Plain(plain) => plain.push(&mut self.judge, bytes, end),
            Framing::Whole { bytes: whole, loose } => {
                whole.extend_from_slice(bytes);
                if whole.len() as u64 > self.limits.response_bytes {
                    return Err(Code::UpstreamTooLarge);
                }
                if !end {
                    return Ok(());
                }
                let (whole, loose) = (std::mem::take(whole), *loose);
                whole_document(&mut self.judge, &whole, loose, &self.limits)
            }
            Framing::Sniff(first) => {
                first.extend_from_slice(bytes);
                let Some(kind) = media::sniff(first, end) else { return Ok(()) };
                let first = std::mem::take(first);
                self.framing = match kind {
                    Media::Sse => Framing::Units(Units::new(Kind::Events, self.limits.event_bytes)),
                    Media::Text => Framing::Plain(Plain::new(self.limits.event_bytes)),
                    Media::Json | Media::Ndjson => Framing::Whole { bytes: Vec::new(), loose: true },
                };
                self.read(&first, end)
            }
        }
    }

    /// The matches so far.
    pub fn hits(&self) -> &[Hit] {
        &self.judge.hits
    }

    /// Whether a span was replaced so far.
    pub fn redacted(&self) -> bool {
        self.judge.redacted
    }

    /// The bytes so far.
    pub fn bytes(&self) -> Bytes {
        self.judge.gate.bytes()
    }

    /// How many bytes are held back now.
    pub fn held(&self) -> usize {
        self.judge.gate.held()
    }

    /// What ends a stream after a block, so that the client's library reports an error instead of a short answer.
    pub fn terminal(&self, code: Code) -> Vec<u8> {
        let (mut body, _) = code.render(self.shape, &self.request_id);
        match (self.media, &self.framing) {
            (Media::Ndjson, _) => {
                body.push(b'\n');
                body
            }
            (Media::Sse, _) | (_, Framing::Units(_)) => {
                let mut event = b"data: ".to_vec();
                event.append(&mut body);
                event.extend_from_slice(b"\n\ndata: [DONE]\n\n");
                event
            }
            _ => Vec::new(),
        }
    }
}

/// A body that is judged at its end. One that was declared as text may be JSON, lines of JSON, or text after all.
fn whole_document(judge: &mut Judge, whole: &[u8], loose: bool, limits: &Limits) -> Result<(), Code> {
    if whole.trim_ascii().is_empty() {
        judge.gate.release(u64::MAX);
        return Ok(());
    }
    if !loose || crate::json::parse(whole).is_ok() {
        judge.document(whole, &Origin(&[(0, 0)]))?;
        judge.finish(None)?;
        judge.gate.release(u64::MAX);
        return Ok(());
    }
    let mut lines = whole.split(|b| *b == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty());
    if lines.all(|line| crate::json::parse(line).is_ok()) {
        return Units::new(Kind::Lines, limits.response_bytes).push(judge, whole, true);
    }
    Plain::new(limits.response_bytes).push(judge, whole, true)
}

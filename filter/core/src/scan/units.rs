//! Framings whose parts leave whole: the events of SSE and the lines of NDJSON.
//!
//! SSE as the WHATWG specifies it: lines end in CRLF, CR or LF, in any mix and split anywhere; an empty line ends an
//! event; a byte order mark may come first; several `data:` lines join with a newline. Events are judged whole and
//! forwarded verbatim, so what a client sees is what was judged. An unterminated last event is judged like any other.

use super::judge::{Judge, Origin};
use crate::error::Code;
use std::collections::VecDeque;

/// What ends a unit.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// An empty line.
    Events,
    /// Every line.
    Lines,
}

/// The state of a framing by units.
pub(super) struct Units {
    kind: Kind,
    limit: u64,
    /// Bytes of the unit that is not complete, which begins at `start` of the stream.
    pending: Vec<u8>,
    start: u64,
    /// Up to here `pending` was searched for line ends.
    searched: usize,
    /// Where the current line begins in `pending`.
    line: usize,
    /// The lines of the unit: `(begin, end)` without their ends.
    lines: Vec<(usize, usize)>,
    /// The last line ended in CR: an LF that follows belongs to it.
    after_cr: bool,
    /// Where the units that are held end.
    ends: VecDeque<u64>,
    first: bool,
}

impl Units {
    pub(super) fn new(kind: Kind, limit: u64) -> Self {
        Self {
            kind,
            limit,
            pending: Vec::new(),
            start: 0,
            searched: 0,
            line: 0,
            lines: Vec::new(),
            after_cr: false,
            ends: VecDeque::new(),
            first: true,
        }
    }

    pub(super) fn push(&mut self, judge: &mut Judge, bytes: &[u8], end: bool) -> Result<(), Code> {
        self.pending.extend_from_slice(bytes);
        loop {
            let rest = self.pending.get(self.searched..).unwrap_or_default();
            let Some(found) = rest.iter().position(|b| *b == b'\n' || *b == b'\r') else {
                self.searched = self.pending.len();
                break;
            };
            let at = self.searched.saturating_add(found);
            self.searched = at.saturating_add(1);
            let cr = self.pending.get(at) == Some(&b'\r');
            if !cr && self.after_cr && at == self.line {
                // The second half of CRLF.
                self.after_cr = false;
                self.line = self.searched;
                continue;
            }
            self.after_cr = cr;
            let empty = at == self.line;
            if !empty {
                self.lines.push((self.line, at));
            }
            self.line = self.searched;
            if empty || self.kind == Kind::Lines {
                self.unit(judge, self.searched)?;
            }
        }
        if end && !self.pending.is_empty() {
            if self.line < self.pending.len() {
                self.lines.push((self.line, self.pending.len()));
            }
            self.unit(judge, self.pending.len())?;
        }
        if self.pending.len() as u64 > self.limit {
            return Err(Code::UpstreamTooLarge);
        }
        if end {
            judge.finish(None)?;
            judge.gate.release(u64::MAX);
        }
        Ok(())
    }

    /// The first `len` pending bytes are a unit.
    fn unit(&mut self, judge: &mut Judge, len: usize) -> Result<(), Code> {
        if len as u64 > self.limit {
            return Err(Code::UpstreamTooLarge);
        }
        let unit = std::mem::take(&mut self.pending);
        let (unit, later) = unit.split_at_checked(len).unwrap_or((&unit, &[]));
        let lines = std::mem::take(&mut self.lines);
        self.pending = later.to_vec();
        match self.kind {
            Kind::Events => self.event(judge, unit, &lines)?,
            Kind::Lines => self.record(judge, unit, &lines)?,
        }
        self.first = false;
        self.start = self.start.saturating_add(len as u64);
        self.searched = 0;
        self.line = 0;
        self.ends.push_back(self.start);
        let live = judge.live_from().unwrap_or(u64::MAX);
        while let Some(end) = self.ends.front().copied().filter(|end| *end <= live) {
            judge.gate.release(end);
            self.ends.pop_front();
        }
        if self.start.saturating_sub(judge.gate.at()) > self.limit {
            return Err(Code::HoldbackExceeded);
        }
        Ok(())
    }

    fn record(&self, judge: &mut Judge, unit: &[u8], lines: &[(usize, usize)]) -> Result<(), Code> {
        for (from, to) in lines {
            let line = unit.get(*from..*to).unwrap_or_default();
            if !line.trim_ascii().is_empty() {
                judge.document(line, &Origin(&[(0, self.start.saturating_add(*from as u64))]))?;
            }
        }
        Ok(())
    }

    fn event(&self, judge: &mut Judge, unit: &[u8], lines: &[(usize, usize)]) -> Result<(), Code> {
        let mut data: Vec<(usize, usize)> = Vec::new();
        for (from, to) in lines {
            let mut from = *from;
            let mut line = unit.get(from..*to).unwrap_or_default();
            if self.first
                && from == 0
                && let Some(rest) = line.strip_prefix(b"\xef\xbb\xbf")
            {
                line = rest;
                from = from.saturating_add(3);
            }
            match line.strip_prefix(b"data:") {
                Some(value) => {
                    let space = usize::from(value.first() == Some(&b' '));
                    data.push((from.saturating_add(5).saturating_add(space), *to));
                }
                None => {
                    let text = std::str::from_utf8(line).map_err(|_| Code::UpstreamMalformed)?;
                    judge.alone(text, self.start.saturating_add(from as u64))?;
                }
            }
        }
        let mut joined = Vec::new();
        let mut origin = Vec::new();
        for (index, (from, to)) in data.iter().enumerate() {
            if index > 0 {
                joined.push(b'\n');
            }
            origin.push((joined.len(), self.start.saturating_add(*from as u64)));
            joined.extend_from_slice(unit.get(*from..*to).unwrap_or_default());
        }
        match joined.trim_ascii_start().first() {
            None => Ok(()),
            // OpenAI's end mark only looks like JSON.
            _ if joined.trim_ascii() == b"[DONE]" => self.plain(judge, &joined, &origin),
            // What a client may read as JSON must be JSON to us.
            Some(b'{' | b'[' | b'"') => judge.document(&joined, &Origin(&origin)),
            Some(_) => self.plain(judge, &joined, &origin),
        }
    }

    /// Data that is no JSON is one running text.
    fn plain(&self, judge: &mut Judge, joined: &[u8], origin: &[(usize, u64)]) -> Result<(), Code> {
        let text = std::str::from_utf8(joined).map_err(|_| Code::UpstreamMalformed)?;
        judge.begin_plain()?;
        for (index, (from, place)) in origin.iter().enumerate() {
            let to = origin.get(index.saturating_add(1)).map_or(joined.len(), |next| next.0);
            judge.plain(text.get(*from..to).unwrap_or(""), *place, false)?;
        }
        Ok(())
    }
}

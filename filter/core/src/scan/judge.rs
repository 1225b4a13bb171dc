//! What all framings share: channels, the gate, and what a match does.

use super::channel::{Channel, Engine, Match};
use super::event::{self, Alone};
use super::gate::Gate;
use super::set::FingerprintSet;
use crate::error::Code;
use crate::json::unescape;
use crate::record::Hit;
use crate::snapshot::wire::{Evasion, HoldBack, OnDetect};
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::rc::Rc;

/// The most channels of one response: a document that opens more is not read further.
const MAX_CHANNELS: usize = 4096;
/// The most matches that are recorded one by one.
const MAX_HITS: usize = 64;
/// The channel of text that is no JSON.
pub(super) const PLAIN: u64 = 1;

/// What all framings share.
pub(super) struct Judge {
    set: Rc<FingerprintSet>,
    owners: Vec<Option<u32>>,
    on_detect: OnDetect,
    hold: HoldBack,
    evasion: Evasion,
    channels: HashMap<u64, Channel>,
    scratch: Channel,
    pub(super) gate: Gate,
    pub(super) hits: Vec<Hit>,
    found: Vec<Match>,
}

/// Where the lines of a document stand in the stream: `(offset in the document, offset in the stream)`, ascending.
pub(super) struct Origin<'o>(pub(super) &'o [(usize, u64)]);

impl Origin<'_> {
    fn place(&self, offset: usize) -> u64 {
        let line = self.0.iter().rev().find(|(from, _)| *from <= offset).copied().unwrap_or((0, 0));
        line.1.saturating_add(offset.saturating_sub(line.0) as u64)
    }
}

impl Judge {
    pub(super) fn new(set: Rc<FingerprintSet>, owners: Vec<Option<u32>>, on_detect: OnDetect, hold: HoldBack) -> Self {
        let evasion = Evasion::default();
        let scratch = Channel::new(&set, evasion);
        Self {
            set,
            owners,
            on_detect,
            hold,
            evasion,
            channels: HashMap::new(),
            scratch,
            gate: Gate::default(),
            hits: Vec::new(),
            found: Vec::new(),
        }
    }

    /// Whether disguises are looked for: to be said before anything is read.
    pub(super) fn evasion(&mut self, evasion: Evasion) {
        self.evasion = evasion;
        self.scratch = Channel::new(&self.set, evasion);
    }

    /// Reads text that stands for itself.
    pub(super) fn alone(&mut self, text: &str, at: u64) -> Result<(), Code> {
        self.scratch.restart(&Engine { set: &self.set, owners: &self.owners });
        let mut done = 0usize;
        while done < text.len() {
            let engine = Engine { set: &self.set, owners: &self.owners };
            let rest = text.get(done..).unwrap_or("");
            let place = at.saturating_add(done as u64);
            done = done.saturating_add(self.scratch.text(&engine, rest, place, &mut self.found));
            self.settle(true)?;
        }
        Ok(())
    }

    /// Reads more of a channel. On a match that blocks, what was safe before it is released.
    pub(super) fn plain(&mut self, text: &str, at: u64, release: bool) -> Result<(), Code> {
        let mut done = 0usize;
        while done < text.len() {
            let engine = Engine { set: &self.set, owners: &self.owners };
            let channel = self.channels.entry(PLAIN).or_insert_with(|| Channel::new(&self.set, self.evasion));
            let rest = text.get(done..).unwrap_or("");
            let place = at.saturating_add(done as u64);
            let read = channel.text(&engine, rest, place, &mut self.found);
            done = done.saturating_add(read);
            if release && !self.found.is_empty() && self.on_detect == OnDetect::Block {
                let last = text.get(..done).and_then(|read| read.chars().next_back()).map_or(0, char::len_utf8);
                let here = at.saturating_add(done.saturating_sub(last) as u64);
                let safe = channel.live_from_before(&engine, self.hold).unwrap_or(here).min(here);
                self.gate.release(safe);
            }
            self.settle(true)?;
        }
        Ok(())
    }

    /// A new piece of the plain channel begins (the next event's data).
    pub(super) fn begin_plain(&mut self) {
        self.channels.entry(PLAIN).or_insert_with(|| Channel::new(&self.set, self.evasion)).begin_string();
    }

    /// Reads a JSON document.
    pub(super) fn document(&mut self, doc: &[u8], origin: &Origin<'_>) -> Result<(), Code> {
        let texts = event::texts(doc).map_err(|_| Code::UpstreamMalformed)?;
        let doc = std::str::from_utf8(doc).map_err(|_| Code::UpstreamMalformed)?;
        for text in &texts.alone {
            self.alone_in(doc, text, origin)?;
        }
        for text in &texts.joined {
            let raw = doc.get(text.start..text.start.saturating_add(text.len)).unwrap_or("");
            if !self.channels.contains_key(&text.channel) && self.channels.len() >= MAX_CHANNELS {
                return Err(Code::UpstreamMalformed);
            }
            let channel = self.channels.entry(text.channel).or_insert_with(|| Channel::new(&self.set, self.evasion));
            // A constant of the envelope (id, model) repeats itself: it is read like everything else, but what
            // begins in it must not hold back every event.
            let place = origin.place(text.start);
            channel.constant = None;
            if !text.content {
                let mut hasher = DefaultHasher::new();
                raw.hash(&mut hasher);
                let value = Some(hasher.finish());
                channel.constant = (channel.last_value == value).then_some(place);
                channel.last_value = value;
            }
            channel.begin_string();
            let engine = Engine { set: &self.set, owners: &self.owners };
            read(channel, &engine, raw, place, text.escaped, &mut self.found);
            self.settle(true)?;
        }
        Ok(())
    }

    fn alone_in(&mut self, doc: &str, text: &Alone, origin: &Origin<'_>) -> Result<(), Code> {
        let raw = doc.get(text.start..text.start.saturating_add(text.len)).unwrap_or("");
        let engine = Engine { set: &self.set, owners: &self.owners };
        self.scratch.restart(&engine);
        read(&mut self.scratch, &engine, raw, origin.place(text.start), text.escaped, &mut self.found);
        self.settle(text.quoted)
    }

    /// What the matches found so far do.
    fn settle(&mut self, redactable: bool) -> Result<(), Code> {
        if self.found.is_empty() {
            return Ok(());
        }
        for found in self.found.drain(..) {
            if self.hits.len() < MAX_HITS {
                let offset = found.spans.first().map_or(0, |span| span.0);
                self.hits.push(Hit { fingerprint: found.id, severity: found.severity, offset });
            }
            match self.on_detect {
                OnDetect::Block => return Err(Code::FingerprintMatch),
                // A number cannot be replaced by text without breaking the document.
                OnDetect::Redact if !redactable => return Err(Code::FingerprintMatch),
                OnDetect::Redact => self.gate.redact(&found.spans),
                OnDetect::Alert => {}
            }
        }
        Ok(())
    }

    /// Where the first live prefix of any channel begins.
    pub(super) fn live_from(&self) -> Option<u64> {
        let engine = Engine { set: &self.set, owners: &self.owners };
        self.channels.values().filter_map(|channel| channel.live_from(&engine, self.hold)).min()
    }
}

/// Reads a whole JSON string that was written at `at`: runs without escapes at once, escapes one by one. Matches are
/// collected, none stops the reading.
fn read(channel: &mut Channel, engine: &Engine<'_>, raw: &str, at: u64, escaped: bool, found: &mut Vec<Match>) {
    let mut new = Vec::new();
    let mut done = 0usize;
    while let Some(rest) = raw.get(done..).filter(|rest| !rest.is_empty()) {
        let place = at.saturating_add(done as u64);
        let run = if escaped { rest.find('\\').unwrap_or(rest.len()) } else { rest.len() };
        if run > 0 {
            done = done.saturating_add(channel.text(engine, rest.get(..run).unwrap_or(""), place, &mut new));
        } else if let Some((c, len)) = unescape(rest.as_bytes()) {
            channel.char(engine, c, place, len, &mut new);
            done = done.saturating_add(len);
        } else {
            // A walked document has no such escape.
            return;
        }
        found.append(&mut new);
    }
}

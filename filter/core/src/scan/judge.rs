//! What all framings share: channels, the gate, and what a match does.

use super::actions::Actions;
use super::channel::{Channel, Engine, Match};
use super::echo::Echoes;
use super::event::{self, Alone, Text};
use super::gate::Gate;
use super::nested;
use super::phrases;
use super::set::{FingerprintSet, MAX_SEGMENTS};
use crate::error::Code;
use crate::json::unescape;
use crate::phrase::View;
use crate::record::{Class, Hit};
use crate::snapshot::wire::{Evasion, HoldBack, OnDetect, OnEcho};
use crate::tenant::TenantId;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::rc::Rc;

/// The most channels of one response: a document that opens more is not read further.
const MAX_CHANNELS: usize = 4096;
/// The most of them that may never go on.
const MAX_TRANSIENT: usize = 64;
/// The most of these in which an anchor is all that was read of a phrase.
const MAX_BEGUN: usize = 256;
/// The most matches that are recorded one by one.
const MAX_HITS: usize = 64;
/// So many matches of one string are collected before they do what they do.
const MANY: usize = 256;
/// So many bytes of plain text are read at first, and twice as many after each piece without a match: what was read beyond a match is read again.
const FIRST_PIECE: usize = 64;
/// The channel of text that is no JSON.
pub(super) const PLAIN: u64 = 1;

/// What all framings share.
pub(super) struct Judge {
    set: Rc<FingerprintSet>,
    owners: Vec<Option<u32>>,
    phrase_owners: [u32; MAX_SEGMENTS],
    pub(super) actions: Actions,
    pub(super) echoes: Option<Rc<Echoes>>,
    hold: HoldBack,
    evasion: Evasion,
    channels: HashMap<u64, Channel>,
    scratch: Channel,
    pub(super) gate: Gate,
    pub(super) hits: Vec<Hit>,
    /// Whether a span was replaced.
    pub(super) redacted: bool,
    found: Vec<Match>,
}

/// Where the lines of a document stand in the stream: `(offset in the document, offset in the stream)`, ascending.
pub(super) struct Origin<'o>(pub(super) &'o [(usize, u64)]);

impl Origin<'_> {
    fn place(&self, offset: usize) -> u64 {
        let after = self.0.partition_point(|(from, _)| *from <= offset);
        let line = after.checked_sub(1).and_then(|last| self.0.get(last)).copied().unwrap_or((0, 0));
        line.1.saturating_add(offset.saturating_sub(line.0) as u64)
    }
}

/// What every channel shares, from the parts that are borrowed apart.
fn engine<'s>(set: &'s FingerprintSet, owners: &'s [Option<u32>], phrases: [u32; MAX_SEGMENTS]) -> Engine<'s> {
    // Without a segment there is no word to hash: the class is on by default, documents may never come.
    let searched = set.phrases().filter(|set| !set.is_empty());
    Engine { set, owners, phrases: searched.map(|set| View { set, owners: phrases }) }
}

impl Judge {
    pub(super) fn new(set: Rc<FingerprintSet>, tenant: &TenantId, on_detect: OnDetect, hold: HoldBack) -> Self {
        let owners = set.owners(tenant);
        let phrase_owners = set.phrases().map_or([u32::MAX; MAX_SEGMENTS], |phrases| phrases.owners(tenant));
        let own = set.phrases().and_then(|phrases| phrases.action);
        let actions = Actions::new(|class, _| own.filter(|_| class == Class::Phrase).unwrap_or(on_detect));
        let evasion = Evasion::default();
        let scratch = Channel::new(&set, evasion);
        Self {
            set,
            owners,
            phrase_owners,
            actions,
            echoes: None,
            hold,
            evasion,
            channels: HashMap::new(),
            scratch,
            gate: Gate::default(),
            hits: Vec::new(),
            redacted: false,
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
        self.scratch.restart(&engine(&self.set, &self.owners, self.phrase_owners));
        let mut done = 0usize;
        while done < text.len() {
            let engine = engine(&self.set, &self.owners, self.phrase_owners);
            let rest = text.get(done..).unwrap_or("");
            let place = at.saturating_add(done as u64);
            done = done.saturating_add(self.scratch.text(&engine, rest, place, &mut self.found));
            self.settle(true)?;
        }
        let engine = engine(&self.set, &self.owners, self.phrase_owners);
        phrases::text(&mut self.scratch, &engine, text, at, &mut self.found);
        phrases::end(&mut self.scratch, &engine, &mut self.found);
        self.settle(true)
    }

    /// Reads more of a channel. On a match that blocks, what was safe before it is released.
    pub(super) fn plain(&mut self, text: &str, at: u64, release: bool) -> Result<(), Code> {
        let (mut done, mut piece) = (0usize, FIRST_PIECE);
        while done < text.len() {
            let engine = engine(&self.set, &self.owners, self.phrase_owners);
            let channel = self.channels.entry(PLAIN).or_insert_with(|| Channel::new(&self.set, self.evasion));
            let rest = text.get(done..).unwrap_or("");
            let rest = rest.get(..rest.ceil_char_boundary(piece)).unwrap_or(rest);
            let place = at.saturating_add(done as u64);
            let (read, live) = phrases::plain(channel, &engine, rest, place, self.hold, &mut self.found);
            done = done.saturating_add(read);
            piece = if self.found.is_empty() { piece.saturating_mul(2) } else { FIRST_PIECE };
            if release && self.blocks() {
                let last = text.get(..done).and_then(|read| read.chars().next_back()).map_or(0, char::len_utf8);
                let here = at.saturating_add(done.saturating_sub(last) as u64);
                self.gate.release(live.unwrap_or(here).min(here));
            }
            self.settle(true)?;
        }
        Ok(())
    }

    /// A new piece of the plain channel begins (the next event's data).
    pub(super) fn begin_plain(&mut self) -> Result<(), Code> {
        let engine = engine(&self.set, &self.owners, self.phrase_owners);
        let channel = self.channels.entry(PLAIN).or_insert_with(|| Channel::new(&self.set, self.evasion));
        channel.begin_string();
        phrases::begin(channel, &engine, &mut self.found);
        self.settle(true)
    }

    /// The stream ends: so do all texts, and their last words. `at` is where, if what was safe before a match is
    /// released.
    pub(super) fn finish(&mut self, at: Option<u64>) -> Result<(), Code> {
        let engine = engine(&self.set, &self.owners, self.phrase_owners);
        let live = self.live_from();
        for channel in self.channels.values_mut() {
            phrases::end(channel, &engine, &mut self.found);
        }
        self.found.sort_by_key(|found| found.spans.first().copied());
        if let Some(at) = at
            && self.blocks()
        {
            self.gate.release(live.unwrap_or(at).min(at));
        }
        self.settle(true)
    }

    /// What a match does, and whether the request itself held it. `None`: nothing at all.
    fn action(&self, found: &Match) -> Option<(OnDetect, bool)> {
        let action = self.actions.of(found.class, found.severity);
        let echo = self.echoes.as_ref().and_then(|echoes| echoes.of_match(found.class, found.id, found.severity));
        match echo {
            None => Some((action, false)),
            Some(OnEcho::Allow) => None,
            // An echo is excused, never punished.
            Some(OnEcho::Alert) => Some((action.min(OnDetect::Alert), true)),
            Some(OnEcho::Redact) => Some((action.min(OnDetect::Redact), true)),
            Some(OnEcho::Block) => Some((action, true)),
        }
    }

    /// Whether what was just found ends the response.
    fn blocks(&self) -> bool {
        self.found.iter().any(|found| self.action(found).is_some_and(|(action, _)| action == OnDetect::Block))
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
            let place = origin.place(text.start);
            if let Some(inner) = nested::document(raw).filter(|_| !text.escaped && !text.numbers) {
                self.inside(&inner, text.channel, place)?;
            }
            self.join(text, raw, place, true)?;
        }
        Ok(())
    }

    /// Reads a text as more of those that it may belong to.
    fn join(&mut self, text: &Text, raw: &str, place: u64, redactable: bool) -> Result<(), Code> {
        let mut characters = Vec::new();
        if text.numbers {
            characters = nested::characters(raw);
            if redactable {
                self.gate.numbers(place, place.saturating_add(text.len as u64));
            }
        }
        for (id, transient) in [(Some(text.channel), false), (text.apart, true)] {
            let Some(id) = id else { continue };
            if !self.channels.contains_key(&id) {
                self.open(id, transient)?;
            }
            let channel = self.channels.get_mut(&id).ok_or(Code::Internal)?;
            // A constant of the envelope (id, model) repeats itself: it is read like everything else, but what
            // begins in it must not hold back every event.
            channel.constant = None;
            if !text.content {
                let mut hasher = DefaultHasher::new();
                raw.hash(&mut hasher);
                let value = Some(hasher.finish());
                channel.constant = (channel.last_value == value).then_some(place);
                channel.last_value = value;
            }
            channel.begin_string();
            let view = engine(&self.set, &self.owners, self.phrase_owners);
            phrases::begin(channel, &view, &mut self.found);
            let mut new = Vec::new();
            for (c, at, len) in &characters {
                let at = place.saturating_add(*at as u64);
                channel.char(&view, *c, at, *len, &mut new);
                phrases::char(channel, &view, *c, at, *len, &mut new);
                // One by one: of what one character ends, a literal in clear and in disguise is one match.
                self.found.append(&mut new);
            }
            self.settle(redactable)?;
            let mut done = if text.numbers { raw.len() } else { 0 };
            while done < raw.len() {
                let engine = engine(&self.set, &self.owners, self.phrase_owners);
                let channel = self.channels.get_mut(&id).ok_or(Code::Internal)?;
                done = read(channel, &engine, raw, done, place, text.escaped, &mut self.found);
                self.settle(redactable)?;
            }
        }
        Ok(())
    }

    /// Makes room for another text and begins it.
    fn open(&mut self, id: u64, transient: bool) -> Result<(), Code> {
        let engine = engine(&self.set, &self.owners, self.phrase_owners);
        let waiting = |channels: &HashMap<u64, Channel>| channels.values().filter(|channel| channel.transient).count();
        if transient && waiting(&self.channels) >= MAX_TRANSIENT {
            // They may count tokens: those in which nothing has begun are over. An anchor has, though nothing is held for it.
            self.channels.retain(|_, channel| !channel.transient || channel.has_begun(&engine));
            if waiting(&self.channels) >= MAX_BEGUN {
                let live = |channel: &Channel| channel.live_from(&engine, HoldBack::Exact).is_some();
                self.channels.retain(|_, channel| !channel.transient || live(channel));
            }
        }
        if self.channels.len() >= MAX_CHANNELS {
            return Err(Code::UpstreamMalformed);
        }
        let mut channel = Channel::new(&self.set, self.evasion);
        channel.transient = transient;
        self.channels.insert(id, channel);
        Ok(())
    }

    /// Reads a document that stands inside a string at `place`. What is found there cannot be replaced.
    fn inside(&mut self, doc: &str, outer: u64, place: u64) -> Result<(), Code> {
        // What is no JSON was read as the text that it is.
        let Ok(texts) = event::texts(doc.as_bytes()) else { return Ok(()) };
        for mut text in texts.alone {
            text.quoted = false;
            self.alone_in(doc, &text, &Origin(&[(0, place)]))?;
        }
        for mut text in texts.joined {
            let raw = doc.get(text.start..text.start.saturating_add(text.len)).unwrap_or("");
            let inside = |id: u64| id.rotate_left(17) ^ outer;
            (text.channel, text.apart) = (inside(text.channel), text.apart.map(inside));
            self.join(&text, raw, place.saturating_add(text.start as u64), false)?;
        }
        Ok(())
    }

    /// The fingerprints of others in the strings of a document, each for itself; at most so many. Nothing is released or recorded.
    pub(super) fn foreign_in(&mut self, doc: &[u8], most: usize) -> Vec<(Class, u64)> {
        let (Ok(texts), Ok(doc)) = (event::texts(doc), std::str::from_utf8(doc)) else { return Vec::new() };
        let mut all: Vec<(Class, u64)> = Vec::new();
        for text in texts.joined.iter().filter(|text| !text.numbers) {
            let raw = doc.get(text.start..text.start.saturating_add(text.len)).unwrap_or("");
            let engine = engine(&self.set, &self.owners, self.phrase_owners);
            self.scratch.restart(&engine);
            let mut done = 0usize;
            loop {
                done = read(&mut self.scratch, &engine, raw, done, 0, text.escaped, &mut self.found);
                if done >= raw.len() {
                    phrases::end(&mut self.scratch, &engine, &mut self.found);
                }
                for found in self.found.drain(..) {
                    let one = (found.class, found.id);
                    if !all.contains(&one) {
                        if all.len() >= most {
                            return all;
                        }
                        all.push(one);
                    }
                }
                if done >= raw.len() {
                    break;
                }
            }
        }
        all
    }

    fn alone_in(&mut self, doc: &str, text: &Alone, origin: &Origin<'_>) -> Result<(), Code> {
        let raw = doc.get(text.start..text.start.saturating_add(text.len)).unwrap_or("");
        let place = origin.place(text.start);
        self.scratch.restart(&engine(&self.set, &self.owners, self.phrase_owners));
        let mut done = 0usize;
        while done < raw.len() {
            let engine = engine(&self.set, &self.owners, self.phrase_owners);
            done = read(&mut self.scratch, &engine, raw, done, place, text.escaped, &mut self.found);
            self.settle(text.quoted)?;
        }
        let engine = engine(&self.set, &self.owners, self.phrase_owners);
        phrases::end(&mut self.scratch, &engine, &mut self.found);
        self.settle(text.quoted)
    }

    /// What the matches found so far do.
    fn settle(&mut self, redactable: bool) -> Result<(), Code> {
        if self.found.is_empty() {
            return Ok(());
        }
        let mut blocked = false;
        for found in std::mem::take(&mut self.found) {
            let (action, echo) = match self.action(&found) {
                None => continue,
                // A number cannot be replaced by text without breaking the document.
                Some((OnDetect::Redact, echo)) if !redactable => (OnDetect::Block, echo),
                Some(what) => what,
            };
            self.record(&found, action, echo);
            match action {
                OnDetect::Block => blocked = true,
                OnDetect::Redact => {
                    self.redacted = true;
                    self.gate.redact(&found.spans);
                }
                OnDetect::Alert => {}
            }
        }
        if blocked { Err(Code::FingerprintMatch) } else { Ok(()) }
    }

    /// Records a match, once where a text is read in two ways. Of more than can be kept the gravest are, so that no flood of small ones
    /// hides a large one.
    fn record(&mut self, found: &Match, action: OnDetect, echo: bool) {
        let offset = found.spans.first().map_or(0, |span| span.0);
        let (fingerprint, class, severity) = (found.id, found.class, found.severity);
        let hit = Hit { fingerprint, class, severity, offset, action: Some(action), echo };
        let same = |known: &Hit| (known.fingerprint, known.class, known.offset) == (fingerprint, class, offset);
        if self.hits.iter().any(same) {
            return;
        }
        if self.hits.len() < MAX_HITS {
            self.hits.push(hit);
            return;
        }
        let grave = |hit: &Hit| (hit.action, hit.severity);
        if let Some(least) = self.hits.iter_mut().min_by_key(|hit| grave(hit))
            && grave(least) < grave(&hit)
        {
            *least = hit;
        }
    }

    /// Where the first live prefix of any channel begins.
    pub(super) fn live_from(&self) -> Option<u64> {
        let engine = engine(&self.set, &self.owners, self.phrase_owners);
        self.channels.values().filter_map(|channel| channel.live_from(&engine, self.hold)).min()
    }
}

/// Reads on in a JSON string that was written at `at`: runs without escapes at once, escapes one by one. A match does not stop the
/// reading, but many do. Returns how many bytes of the string were read.
fn read(
    channel: &mut Channel,
    engine: &Engine<'_>,
    raw: &str,
    from: usize,
    at: u64,
    escaped: bool,
    found: &mut Vec<Match>,
) -> usize {
    let mut new = Vec::new();
    let mut done = from;
    // Where the next escape begins, or the end.
    let mut escape = done;
    while let Some(rest) = raw.get(done..).filter(|rest| !rest.is_empty() && found.len() < MANY) {
        let place = at.saturating_add(done as u64);
        if escape <= done {
            let run = if escaped { rest.find('\\').unwrap_or(rest.len()) } else { rest.len() };
            escape = done.saturating_add(run);
        }
        let run = escape.saturating_sub(done);
        if run > 0 {
            let read = channel.text(engine, rest.get(..run).unwrap_or(""), place, &mut new);
            phrases::text(channel, engine, rest.get(..read).unwrap_or(""), place, &mut new);
            done = done.saturating_add(read);
        } else if let Some((c, len)) = unescape(rest.as_bytes()) {
            channel.char(engine, c, place, len, &mut new);
            phrases::char(channel, engine, c, place, len, &mut new);
            done = done.saturating_add(len);
        } else {
            // A walked document has no such escape.
            return raw.len();
        }
        found.append(&mut new);
    }
    done
}

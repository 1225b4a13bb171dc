//! Phrases beside literals: one text, read twice, and what happens first comes first.

use super::channel::{Channel, Engine, Match};
use crate::phrase::{Found, Phrase, View};
use crate::record::Class;
use crate::snapshot::wire::HoldBack;

impl Match {
    /// A phrase that was found.
    fn phrase(view: &View<'_>, found: Found) -> Self {
        let severity = view.set.severity;
        Self { class: Class::Phrase, id: Phrase::number(found.id), severity, spans: found.spans }
    }
}

/// Reads plain text up to and including the first character that ends a match of either class. Returns how many bytes that
/// are, and if something matched, from where on bytes must stay.
pub(super) fn plain(
    channel: &mut Channel,
    engine: &Engine<'_>,
    text: &str,
    at: u64,
    hold: HoldBack,
    found: &mut Vec<Match>,
) -> (usize, Option<u64>) {
    let Some(view) = &engine.phrases else {
        let read = channel.text(engine, text, at, found);
        return (read, channel.live_from_before(engine, hold));
    };
    let saved = channel.words.clone();
    let mut hits = Vec::new();
    let read = channel.words.text(view, text, at, &mut hits);
    let head = text.get(..read).unwrap_or(text);
    let last = if hits.is_empty() { 0 } else { head.chars().next_back().map_or(0, char::len_utf8) };
    let (head, last) = head.split_at_checked(head.len().saturating_sub(last)).unwrap_or((head, ""));
    let first = channel.text(engine, head, at, found);
    if !found.is_empty() {
        // A literal ends before: the words are as far as that again.
        channel.words = saved;
        channel.words.text(view, text.get(..first).unwrap_or(""), at, &mut Vec::new());
        let live = [channel.live_from_before(engine, hold), channel.words.live_from(view)];
        return (first, live.into_iter().flatten().min());
    }
    if last.is_empty() {
        return (read, None);
    }
    let live = channel.live_from(engine, hold);
    let starts = hits.iter().filter_map(|hit| hit.spans.first()).map(|span| span.0);
    let from = starts.chain(live).min();
    channel.text(engine, last, at.saturating_add(head.len() as u64), found);
    found.extend(hits.into_iter().map(|hit| Match::phrase(view, hit)));
    (read, from)
}

/// Reads text for phrases only; none stops the reading.
pub(super) fn text(channel: &mut Channel, engine: &Engine<'_>, text: &str, at: u64, found: &mut Vec<Match>) {
    let Some(view) = &engine.phrases else { return };
    let mut hits = Vec::new();
    let mut done = 0usize;
    while let Some(rest) = text.get(done..).filter(|rest| !rest.is_empty()) {
        done = done.saturating_add(channel.words.text(view, rest, at.saturating_add(done as u64), &mut hits));
        found.extend(hits.drain(..).map(|hit| Match::phrase(view, hit)));
    }
}

/// Reads one character for phrases only.
pub(super) fn char(channel: &mut Channel, engine: &Engine<'_>, c: char, at: u64, len: usize, found: &mut Vec<Match>) {
    with(channel, engine, found, |channel, view, hits| channel.words.char(view, c, at, len, hits));
}

/// The text ends: so does its last word.
pub(super) fn end(channel: &mut Channel, engine: &Engine<'_>, found: &mut Vec<Match>) {
    with(channel, engine, found, |channel, view, hits| channel.words.end(view, hits));
}

/// A new piece of the same text begins.
pub(super) fn begin(channel: &mut Channel, engine: &Engine<'_>, found: &mut Vec<Match>) {
    with(channel, engine, found, |channel, view, hits| channel.words.begin_string(view, hits));
}

fn with(
    channel: &mut Channel,
    engine: &Engine<'_>,
    found: &mut Vec<Match>,
    read: impl FnOnce(&mut Channel, &View<'_>, &mut Vec<Found>),
) {
    let Some(view) = &engine.phrases else { return };
    let mut hits = Vec::new();
    read(channel, view, &mut hits);
    found.extend(hits.into_iter().map(|hit| Match::phrase(view, hit)));
}

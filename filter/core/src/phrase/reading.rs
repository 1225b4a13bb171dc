//! A text as it is written, and as who decodes it once more reads it: the arguments of a tool call are JSON inside a JSON string, so a line
//! break between two words is a backslash and an `n` there, and a letter may be `\u00e9`.
//!
//! Without backslashes both are the same, so the second reading sleeps until one comes, then starts as a copy of the first,
//! and sleeps again when both have come to the same.

use super::stream::{Found, View, Words};
use crate::json::unescape;

/// In so many bytes a backslash is looked for at once: behind a match it is looked for again.
const RUN: usize = 512;

/// A text in progress, read both ways.
#[derive(Clone, Default)]
pub(crate) struct Reading {
    plain: Words,
    decoded: Option<Box<Decoded>>,
}

/// A part of a piece of the text: which piece, and the bytes of the stream.
type Part = (u64, u64, u64);

/// The second reading.
#[derive(Clone)]
struct Decoded {
    words: Words,
    /// What may become an escape: each character, and what wrote it.
    pending: Vec<(char, Part)>,
}

impl Reading {
    /// Forgets everything: what follows is another text.
    pub(crate) fn restart(&mut self) {
        self.plain.restart();
        self.decoded = None;
    }

    /// A new piece of the same text begins.
    pub(crate) fn begin_string(&mut self, view: &View<'_>, found: &mut Vec<Found>) {
        let before = found.len();
        self.plain.begin_string(view, found);
        if let Some(decoded) = &mut self.decoded {
            decoded.words.begin_string(view, found);
        }
        once(found, before);
    }

    /// Reads text that was written at `at`, up to and including the first character that ends a match.
    /// Returns how many bytes it read.
    pub(crate) fn text(&mut self, view: &View<'_>, text: &str, at: u64, found: &mut Vec<Found>) -> usize {
        let mut done = 0usize;
        while let Some(rest) = text.get(done..).filter(|rest| !rest.is_empty()) {
            let place = at.wrapping_add(done as u64);
            let rest = rest.get(..rest.ceil_char_boundary(RUN)).unwrap_or(rest);
            let run = if self.decoded.is_some() { 0 } else { rest.find('\\').unwrap_or(rest.len()) };
            if run > 0 {
                done = done.saturating_add(self.plain.text(view, rest.get(..run).unwrap_or(""), place, found));
            } else if let Some(c) = rest.chars().next() {
                self.char(view, c, place, c.len_utf8(), found);
                done = done.saturating_add(c.len_utf8());
            }
            if !found.is_empty() {
                return done;
            }
        }
        done
    }

    /// Reads one character that `len` bytes at `at` wrote.
    pub(crate) fn char(&mut self, view: &View<'_>, c: char, at: u64, len: usize, found: &mut Vec<Found>) {
        let before = found.len();
        if c == '\\' && self.decoded.is_none() {
            self.decoded = Some(Box::new(Decoded { words: self.plain.clone(), pending: Vec::new() }));
        }
        self.plain.char(view, c, at, len, found);
        if let Some(decoded) = &mut self.decoded {
            decoded.char(view, c, at, len, found);
            if decoded.pending.is_empty() && decoded.words.agrees(&self.plain) {
                self.decoded = None;
            }
        }
        once(found, before);
    }

    /// The text ends, and with it the last word.
    pub(crate) fn end(&mut self, view: &View<'_>, found: &mut Vec<Found>) {
        let before = found.len();
        self.plain.end(view, found);
        if let Some(mut decoded) = self.decoded.take() {
            decoded.give_up(view, found);
            decoded.words.end(view, found);
            self.decoded = Some(decoded);
        }
        once(found, before);
    }

    /// Where the first byte that must be held stands.
    pub(crate) fn live_from(&self, view: &View<'_>) -> Option<u64> {
        let decoded = self.decoded.as_ref();
        let escape = decoded.filter(|decoded| decoded.words.is_live()).and_then(|decoded| decoded.pending.first());
        let live = [self.plain.live_from(view), decoded.and_then(|decoded| decoded.words.live_from(view))];
        live.into_iter().flatten().chain(escape.map(|(_, part)| part.1)).min()
    }

    /// Whether a phrase may have begun, also where nothing of it is held yet.
    pub(crate) fn has_begun(&self, view: &View<'_>) -> bool {
        let begun = |words: &Words| words.is_live() || words.may_begin(view);
        begun(&self.plain) || self.decoded.as_ref().is_some_and(|decoded| begun(&decoded.words))
    }
}

/// What both readings found is one match.
fn once(found: &mut Vec<Found>, from: usize) {
    if found.len() > from.saturating_add(1) {
        let mut new = found.split_off(from);
        new.dedup_by_key(|one| one.id);
        found.append(&mut new);
    }
}

impl Decoded {
    fn char(&mut self, view: &View<'_>, c: char, at: u64, len: usize, found: &mut Vec<Found>) {
        if self.pending.is_empty() && c != '\\' {
            return self.words.char(view, c, at, len, found);
        }
        self.pending.push((c, (self.words.string(), at, at.saturating_add(len as u64))));
        let text: String = self.pending.iter().map(|(c, _)| *c).collect();
        let decoded = match text.as_bytes() {
            [_] => return,
            // What was escaped twice, too: the last one may still begin an escape.
            [_, b'\\'] => {
                self.pending.pop();
                return;
            }
            [_, b'u', digits @ ..] if digits.len() < 10 && digits.iter().enumerate().all(escape_of_two) => {
                if digits.len() < 4 {
                    return;
                }
                match unescape(text.as_bytes()) {
                    Some((c, _)) => Some(c),
                    // The first half of a pair.
                    None => return,
                }
            }
            bytes => unescape(bytes).filter(|(_, len)| *len == bytes.len()).map(|(c, _)| c),
        };
        let Some(decoded) = decoded else { return self.give_up(view, found) };
        // Two pieces may share an escape: what stands between them is none of it.
        let mut parts: Vec<Part> = Vec::new();
        for (_, part) in self.pending.drain(..) {
            match parts.last_mut() {
                Some(last) if last.0 == part.0 => last.2 = part.2,
                _ => parts.push(part),
            }
        }
        self.words.written(view, decoded, &parts, found);
    }

    /// It was no escape.
    fn give_up(&mut self, view: &View<'_>, found: &mut Vec<Found>) {
        let mut pending = std::mem::take(&mut self.pending).into_iter();
        while let Some((c, part)) = pending.next() {
            // The backslash that ended it may begin another.
            if c == '\\' && pending.len() == 0 {
                self.pending.push((c, part));
                break;
            }
            self.words.written(view, c, &[part], found);
        }
    }
}

/// Whether a byte may stand behind `\u`: four digits, and `\u` with four more for the second half of a pair.
fn escape_of_two((at, byte): (usize, &u8)) -> bool {
    match at {
        4 => *byte == b'\\',
        5 => *byte == b'u',
        _ => byte.is_ascii_hexdigit(),
    }
}

//! A text as it is written, and as who decodes it reads it: with its escapes decoded (`escaped`), and what its runs of base64, base32 and
//! hex say (`encoded`).
//!
//! Text without any of these is read once: the other readings sleep, and how far they will is known before it is read.

use super::encoded::Encoded;
use super::escaped::{self, Escaped};
use super::stream::{Found, View, Words};

/// So many bytes are looked at ahead.
const AHEAD: usize = 512;

/// A text in progress, read every way.
#[derive(Clone, Default)]
pub(crate) struct Reading {
    plain: Words,
    /// Whether more than JSON inside JSON is decoded.
    strict: bool,
    /// With JSON's escapes decoded, and with all of them: what one makes of a text, the other need not.
    escaped: [Option<Box<Escaped>>; 2],
    encoded: Encoded,
    /// The last match and where it began: every reading may find it.
    last: Option<(u64, u64)>,
}

impl Reading {
    /// A text in which nothing was read yet; `strict`: encoded phrases are looked for, too.
    pub(crate) fn new(strict: bool) -> Self {
        Self { strict, ..Self::default() }
    }

    /// Forgets everything: what follows is another text.
    pub(crate) fn restart(&mut self) {
        self.plain.restart();
        self.escaped = Default::default();
        self.encoded = Encoded::default();
        self.last = None;
    }

    /// A new piece of the same text begins.
    pub(crate) fn begin_string(&mut self, view: &View<'_>, found: &mut Vec<Found>) {
        let before = found.len();
        self.plain.begin_string(view, found);
        for escaped in self.escaped.iter_mut().flatten() {
            escaped.begin_string(view, found);
        }
        self.once(found, before);
    }

    /// Reads text that was written at `at`, up to and including the first character that ends a match.
    /// Returns how many bytes it read.
    pub(crate) fn text(&mut self, view: &View<'_>, text: &str, at: u64, found: &mut Vec<Found>) -> usize {
        let mut done = 0usize;
        while let Some(rest) = text.get(done..).filter(|rest| !rest.is_empty()) {
            let place = at.wrapping_add(done as u64);
            let quiet = rest.get(..self.quiet(rest)).unwrap_or("");
            if !quiet.is_empty() {
                let before = found.len();
                let read = self.plain.text(view, quiet, place, found);
                if self.strict {
                    self.encoded.pass(quiet.get(..read).unwrap_or(""));
                }
                self.once(found, before);
                done = done.saturating_add(read);
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

    /// How many bytes certainly wake nothing.
    fn quiet(&self, text: &str) -> usize {
        if self.escaped.iter().any(Option::is_some) {
            return 0;
        }
        if !self.strict {
            return text.find('\\').unwrap_or(text.len());
        }
        let mut ahead = text;
        if text.len() > AHEAD {
            ahead = (AHEAD - 3..=AHEAD).rev().find_map(|end| text.get(..end)).unwrap_or("");
        }
        let mut quiet = self.encoded.quiet(ahead);
        while !ahead.is_char_boundary(quiet) {
            quiet = quiet.saturating_sub(1);
        }
        let begins = |byte: &u8| matches!(byte, b'\\' | b'%' | b'&');
        // Nearly always there is none, and all bytes at once say so faster.
        let ahead = ahead.as_bytes().get(..quiet).unwrap_or_default();
        let any = ahead.iter().fold(false, |any, byte| any | begins(byte));
        if any { ahead.iter().position(begins).unwrap_or(quiet) } else { quiet }
    }

    /// Reads one character that `len` bytes at `at` wrote.
    pub(crate) fn char(&mut self, view: &View<'_>, c: char, at: u64, len: usize, found: &mut Vec<Found>) {
        let before = found.len();
        for (escaped, all) in self.escaped.iter_mut().zip([false, true]) {
            if escaped.is_none() && escaped::begins(c, all) && (self.strict || !all) {
                *escaped = Some(Box::new(Escaped::new(&self.plain, all)));
            }
        }
        self.plain.char(view, c, at, len, found);
        let piece = self.plain.piece(at, len);
        for slot in &mut self.escaped {
            let Some(escaped) = slot else { continue };
            escaped.char(view, c, piece, found);
            if escaped.agrees(&self.plain) {
                *slot = None;
            }
        }
        if self.strict {
            self.encoded.char(Some(view), c, piece, found);
        }
        self.once(found, before);
    }

    /// The text ends, and with it the last word.
    pub(crate) fn end(&mut self, view: &View<'_>, found: &mut Vec<Found>) {
        let before = found.len();
        self.plain.end(view, found);
        for escaped in self.escaped.iter_mut().flatten() {
            escaped.end(view, found);
        }
        self.encoded.end(Some(view), found);
        self.once(found, before);
    }

    /// What several readings found is one match.
    fn once(&mut self, found: &mut Vec<Found>, from: usize) {
        if found.len() <= from {
            return;
        }
        let mut seen = Vec::new();
        for one in found.split_off(from) {
            let key = Some((one.id, one.spans.first().map_or(0, |span| span.0)));
            if self.last != key && !seen.contains(&one.id) {
                self.last = key;
                seen.push(one.id);
                found.push(one);
            }
        }
    }

    /// Whether a phrase may have begun, also where nothing of it is held yet.
    pub(crate) fn has_begun(&self, view: &View<'_>) -> bool {
        let escaped = self.escaped.iter().flatten().any(|escaped| escaped.has_begun(view));
        escaped || self.plain.has_begun(view) || self.encoded.is_awake()
    }

    /// Where the first byte that must be held stands.
    pub(crate) fn live_from(&self, view: &View<'_>) -> Option<u64> {
        let escaped = self.escaped.iter().flatten().filter_map(|escaped| escaped.live_from(view));
        let others = [self.plain.live_from(view), self.encoded.live_from(view)];
        others.into_iter().flatten().chain(escaped).min()
    }
}

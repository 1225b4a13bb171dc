//! A text as it reads with its escapes decoded. The arguments of a tool call are JSON inside a JSON string, so a line break between two
//! words is a backslash and an `n` there, and a letter may be `\u00e9`: that is always read. Percent-encoding, character references and
//! `\x`, `\u{}`, `\U` disguise: they are read where disguises are looked for, as often as they were encoded.
//!
//! Without escapes the text reads the same, so this reading begins with one as a copy of the plain one, and ends when both have come
//! to the same.

use super::encoded::Utf8;
use super::stream::{Found, Piece, View, Words, join};
use crate::json::unescape;
use crate::scan::escapes::{self, Read};

/// Whether an escape may begin here.
pub(super) fn begins(c: char, all: bool) -> bool {
    c == '\\' || all && matches!(c, '%' | '&')
}

#[derive(Clone)]
pub(super) struct Escaped {
    words: Words,
    /// Whether all escapes are decoded, not only JSON's.
    all: bool,
    /// What may become an escape: each character and what wrote it.
    pending: Vec<(char, Piece)>,
    /// A character of several escaped bytes, and what wrote those that have come.
    bytes: Utf8,
    head: Vec<Piece>,
}

impl Escaped {
    /// What has read what `words` has.
    pub(super) fn new(words: &Words, all: bool) -> Self {
        Self { words: words.clone(), all, pending: Vec::new(), bytes: Utf8::default(), head: Vec::new() }
    }

    pub(super) fn begin_string(&mut self, view: &View<'_>, found: &mut Vec<Found>) {
        self.words.begin_string(view, found);
    }

    /// Whether what follows means the same to the plain reading.
    pub(super) fn agrees(&self, plain: &Words) -> bool {
        self.pending.is_empty() && self.bytes.is_whole() && self.words.agrees(plain)
    }

    pub(super) fn char(&mut self, view: &View<'_>, c: char, piece: Piece, found: &mut Vec<Found>) {
        if self.pending.is_empty() && !begins(c, self.all) {
            self.cut();
            return self.words.written(view, c, &[piece], found);
        }
        self.pending.push((c, piece));
        let text: String = self.pending.iter().map(|(c, _)| *c).collect();
        let read = match text.as_bytes() {
            [_] => return,
            // What was escaped twice, too: the last one may still begin an escape.
            [b'\\', b'\\'] => Read::Backslash,
            [b'\\', b'u', digits @ ..] if digits.len() < 10 && digits.iter().enumerate().all(escape_of_two) => {
                match unescape(text.as_bytes()) {
                    Some((c, _)) => Read::Char(c),
                    // Too few, or the first half of a pair.
                    None => Read::More,
                }
            }
            [b'%' | b'&', ..] => escapes::read(&text),
            [b'\\', b'x' | b'U', ..] | [b'\\', b'u', b'{', ..] if self.all => escapes::read(&text),
            bytes => match unescape(bytes) {
                Some((c, len)) if len == bytes.len() => Read::Char(c),
                _ => Read::Text,
            },
        };
        match read {
            Read::More => {}
            Read::Backslash => {
                self.pending.pop();
            }
            Read::Byte(byte) => self.byte(view, byte, found),
            Read::Char(c) => self.decoded(view, c, found),
            Read::Before(before) => {
                self.pending.pop();
                self.decoded(view, before, found);
                self.char(view, c, piece, found);
            }
            Read::Nothing if matches!(text.as_str(), "&shy;" | "&zwj;" | "&zwnj;" | "&lrm;" | "&rlm;") => {
                self.pending.clear();
            }
            Read::Nothing => self.decoded(view, ' ', found),
            Read::Text => self.give_up(view, found),
        }
    }

    /// The pending characters are one: it may begin an escape itself.
    fn decoded(&mut self, view: &View<'_>, c: char, found: &mut Vec<Found>) {
        match self.pending.last() {
            Some((_, last)) if begins(c, self.all) => self.pending = vec![(c, *last)],
            _ => {
                self.cut();
                self.written(view, c, found);
            }
        }
    }

    /// The pending characters are a byte of one.
    fn byte(&mut self, view: &View<'_>, byte: u8, found: &mut Vec<Found>) {
        if byte.is_ascii() {
            return self.decoded(view, char::from(byte), found);
        }
        match self.bytes.byte(byte) {
            None => {
                let pending = std::mem::take(&mut self.pending);
                pending.into_iter().for_each(|(_, piece)| join(&mut self.head, piece));
            }
            Some(c) => self.written(view, c.unwrap_or(' '), found),
        }
    }

    fn written(&mut self, view: &View<'_>, c: char, found: &mut Vec<Found>) {
        let mut pieces = std::mem::take(&mut self.head);
        let mut pending = std::mem::take(&mut self.pending);
        // While nothing was live, nothing was held.
        if !self.words.is_live() {
            pieces.clear();
            pending.drain(..pending.len().saturating_sub(1));
        }
        pending.into_iter().for_each(|(_, piece)| join(&mut pieces, piece));
        self.words.written(view, c, &pieces, found);
    }

    /// A character whose bytes do not go on is none.
    fn cut(&mut self) {
        self.bytes = Utf8::default();
        self.head.clear();
    }

    /// It was no escape. What ended it may begin another.
    fn give_up(&mut self, view: &View<'_>, found: &mut Vec<Found>) {
        self.cut();
        let mut pending = std::mem::take(&mut self.pending).into_iter();
        if let Some((c, piece)) = pending.next() {
            self.words.written(view, c, &[piece], found);
        }
        pending.for_each(|(c, piece)| self.char(view, c, piece, found));
    }

    pub(super) fn end(&mut self, view: &View<'_>, found: &mut Vec<Found>) {
        // A reference may lack its semicolon.
        if let Some((_, last)) = self.pending.last().copied() {
            self.char(view, ' ', last, found);
        }
        self.words.end(view, found);
    }

    /// Whether a phrase may have begun.
    pub(super) fn has_begun(&self, view: &View<'_>) -> bool {
        self.words.has_begun(view)
    }

    /// Where the first byte that must be held stands.
    pub(super) fn live_from(&self, view: &View<'_>) -> Option<u64> {
        let pending = self.head.first().or(self.pending.first().map(|(_, piece)| piece));
        let begun = pending.filter(|_| self.words.is_live()).map(|piece| piece.from);
        self.words.live_from(view).into_iter().chain(begun).min()
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

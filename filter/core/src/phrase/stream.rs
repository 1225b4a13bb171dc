//! A text on its way through, word by word.
//!
//! After each word, every run of up to seven words that ends there and begins a phrase is live. The words of a live run are held, but
//! for its anchor; when eight are complete the whole phrase's hash decides. The word in progress is held while the run before it is
//! live, whatever it may become.
//!
//! A string's end inside a word may be a word's end (the items of a list) or not (the deltas of a stream). Both
//! readings are followed: `other` is what is live if the word ended there, `fresh` the word that then began.

use super::select::cut;
use super::{BEGUN, PhraseSet, WORDS, Word};
use crate::scan::MAX_SEGMENTS;
use crate::scan::fold::{self, SEPARATOR};
use std::collections::VecDeque;

/// A run of words that begins a phrase.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Live {
    prefix: u64,
    words: usize,
    /// The segments in which it does, a bit each.
    segments: u8,
    /// Where its second word begins in the stream.
    start: Option<u64>,
}

/// What one string wrote of a character or of what is live, in bytes of the stream.
#[derive(Clone, Copy)]
pub(super) struct Piece {
    pub(super) string: u64,
    pub(super) from: u64,
    pub(super) to: u64,
}

/// More of what wrote the same.
pub(super) fn join(pieces: &mut Vec<Piece>, next: Piece) {
    match pieces.last_mut() {
        Some(last) if last.string == next.string => last.to = next.to,
        _ => pieces.push(next),
    }
}

/// A match: the phrase's id and the spans of the stream that wrote it, without the anchor's, one per string.
pub(crate) struct Found {
    pub(crate) id: u64,
    pub(crate) spans: Vec<(u64, u64)>,
}

/// What every text of a response shares.
pub(crate) struct View<'s> {
    pub(crate) set: &'s PhraseSet,
    pub(crate) owners: [u32; MAX_SEGMENTS],
}

impl View<'_> {
    /// In which of `segments` a prefix is somebody else's.
    #[inline]
    fn live(&self, prefix: u64, anchor: bool, segments: u8) -> u8 {
        let hash = self.set.wire.prefix(cut(prefix));
        let mut live = 0;
        for (at, (segment, owner)) in self.set.segments.iter().zip(self.owners).enumerate() {
            let table = if anchor { &segment.anchors } else { &segment.inner };
            if segments >> at & 1 != 0 && table.holds(hash, owner) {
                live |= 1 << at;
            }
        }
        live
    }

    fn foreign(&self, id: u64, segments: u8) -> bool {
        let hash = self.set.wire.id(id);
        let each = self.set.segments.iter().zip(self.owners).enumerate();
        each.filter(|(at, _)| segments >> at & 1 != 0).any(|(at, (segment, owner))| {
            // What was taken out of the first segment may have come back in a later one.
            segment.foreign(hash, owner) && (at > 0 || self.set.removed.binary_search(&hash).is_err())
        })
    }
}

/// A text in progress.
#[derive(Clone, Default)]
pub(crate) struct Words {
    word: Word,
    live: Vec<Live>,
    fresh: Option<Box<Word>>,
    other: Vec<Live>,
    pieces: VecDeque<Piece>,
    string: u64,
}

impl Words {
    /// Forgets everything: what follows is another text.
    pub(crate) fn restart(&mut self) {
        self.word.clear();
        self.live.clear();
        self.fresh = None;
        self.other.clear();
        self.pieces.clear();
    }

    /// A new piece of the same text begins.
    pub(crate) fn begin_string(&mut self, view: &View<'_>, found: &mut Vec<Found>) {
        self.string = self.string.wrapping_add(1);
        if self.word.is_empty() {
            return;
        }
        let mut ended = self.live.clone();
        self.advance(view, &mut ended, view.set.words.word(self.word.bytes()), found);
        self.rejoin(view, &mut ended, found);
        self.other = ended;
        self.fresh = Some(Box::default());
    }

    /// Reads text without escapes that was written at `at`, up to and including the first character that ends a match.
    /// Returns how many bytes it read.
    pub(crate) fn text(&mut self, view: &View<'_>, text: &str, at: u64, found: &mut Vec<Found>) -> usize {
        let bytes = text.as_bytes();
        let mut done = 0usize;
        while let Some(byte) = bytes.get(done).copied() {
            let place = at.wrapping_add(done as u64);
            if !byte.is_ascii() {
                let Some(c) = text.get(done..).and_then(|rest| rest.chars().next()) else { return bytes.len() };
                self.char(view, c, place, c.len_utf8(), found);
                done = done.saturating_add(c.len_utf8());
                if !found.is_empty() {
                    return done;
                }
                continue;
            }
            if fold::ascii(byte) == SEPARATOR {
                done = done.wrapping_add(1);
                if !self.word.is_empty() {
                    self.end(view, found);
                    if !found.is_empty() {
                        return done;
                    }
                }
                continue;
            }
            let from = done;
            if self.word.is_empty() || self.fresh.is_some() {
                self.begin(place);
            }
            while let Some(byte) = bytes.get(done).copied().filter(u8::is_ascii) {
                let folded = fold::ascii(byte);
                if folded == SEPARATOR {
                    break;
                }
                self.word.push(&view.set.words, folded);
                done = done.wrapping_add(1);
            }
            if let Some(fresh) = &mut self.fresh {
                for byte in bytes.get(from..done).unwrap_or_default() {
                    fresh.push(&view.set.words, fold::ascii(*byte));
                }
            }
            self.wrote(&[Piece { string: self.string, from: place, to: at.wrapping_add(done as u64) }]);
        }
        done
    }

    /// Reads one character that `len` bytes at `at` wrote.
    pub(crate) fn char(&mut self, view: &View<'_>, c: char, at: u64, len: usize, found: &mut Vec<Found>) {
        self.written(view, c, &[self.piece(at, len)], found);
    }

    /// What `len` bytes at `at` wrote in this string.
    pub(super) fn piece(&self, at: u64, len: usize) -> Piece {
        Piece { string: self.string, from: at, to: at.saturating_add(len as u64) }
    }

    /// Reads one character that these pieces wrote.
    pub(super) fn written(&mut self, view: &View<'_>, c: char, pieces: &[Piece], found: &mut Vec<Found>) {
        let at = pieces.first().map_or(0, |piece| piece.from);
        fold::char(c, |byte| {
            if byte == SEPARATOR {
                if !self.word.is_empty() {
                    self.end(view, found);
                }
                return;
            }
            self.begin(at);
            self.word.push(&view.set.words, byte);
            if let Some(fresh) = &mut self.fresh {
                fresh.push(&view.set.words, byte);
            }
            self.wrote(pieces);
        });
    }

    /// A character of a word comes: should it be the first one, what is live continues here.
    fn begin(&mut self, at: u64) {
        if self.word.is_empty() {
            self.live.iter_mut().for_each(|live| live.start = live.start.or(Some(at)));
        }
        if self.fresh.as_ref().is_some_and(|fresh| fresh.is_empty()) {
            self.other.iter_mut().for_each(|live| live.start = live.start.or(Some(at)));
        }
    }

    /// A part of a word was read. Where it stands matters only for what is live.
    fn wrote(&mut self, pieces: &[Piece]) {
        if self.live.is_empty() && self.other.is_empty() {
            return;
        }
        for piece in pieces {
            match self.pieces.back_mut() {
                // A character that folds to several is written once.
                Some(last) if last.string > piece.string || last.string == piece.string && last.to >= piece.to => {}
                Some(last) if last.string == piece.string => last.to = piece.to,
                _ => self.pieces.push_back(*piece),
            }
        }
    }

    /// The text ends, or a separator comes.
    pub(crate) fn end(&mut self, view: &View<'_>, found: &mut Vec<Found>) {
        let mut live = std::mem::take(&mut self.live);
        if !self.word.is_empty() {
            let hash = view.set.words.word(self.word.bytes());
            self.word.clear();
            self.advance(view, &mut live, hash, found);
        }
        self.rejoin(view, &mut live, found);
        self.live = live;
        match self.live.iter().filter_map(|live| live.start).min() {
            None => self.pieces.clear(),
            Some(start) => {
                while self.pieces.front().is_some_and(|piece| piece.to <= start) {
                    self.pieces.pop_front();
                }
            }
        }
    }

    /// The other reading's word has ended too: both are one from here.
    fn rejoin(&mut self, view: &View<'_>, live: &mut Vec<Live>, found: &mut Vec<Found>) {
        let Some(fresh) = self.fresh.take() else { return };
        let mut other = std::mem::take(&mut self.other);
        if !fresh.is_empty() {
            self.advance(view, &mut other, view.set.words.word(fresh.bytes()), found);
        }
        for run in other {
            if !live.contains(&run) {
                live.push(run);
            }
        }
    }

    /// What is live when a word has ended.
    fn advance(&mut self, view: &View<'_>, live: &mut Vec<Live>, hash: u64, found: &mut Vec<Found>) {
        let keys = &view.set.words;
        live.retain_mut(|run| {
            run.prefix = keys.chain(run.prefix, hash);
            run.words = run.words.saturating_add(1);
            if run.words < WORDS {
                run.segments = view.live(run.prefix, false, run.segments);
                return run.segments != 0;
            }
            let start = run.start.unwrap_or(0);
            if view.foreign(run.prefix, run.segments) {
                found.push(Found { id: run.prefix, spans: spans(&self.pieces, start) });
            }
            false
        });
        let segments = view.live(hash, true, u8::MAX);
        if segments != 0 {
            live.push(Live { prefix: hash, words: 1, segments, start: None });
        }
    }

    /// Whether a phrase may have begun.
    pub(crate) fn is_live(&self) -> bool {
        !self.live.is_empty() || !self.other.is_empty()
    }

    /// Whether a phrase may have begun, also with the word in progress, if it ends here.
    pub(super) fn has_begun(&self, view: &View<'_>) -> bool {
        self.is_live() || !self.word.is_empty() && view.live(view.set.words.word(self.word.bytes()), true, u8::MAX) != 0
    }

    /// Whether what follows means the same to both, for sure.
    pub(crate) fn agrees(&self, other: &Self) -> bool {
        let between = |words: &Self| words.word.is_empty() && words.fresh.is_none();
        between(self) && between(other) && self.live == other.live
    }

    /// Where the first byte that must be held stands.
    pub(crate) fn live_from(&self, view: &View<'_>) -> Option<u64> {
        let live = self.live.iter().filter(|run| may_go_on(view, run, &self.word));
        let fresh = self.fresh.as_deref();
        let other = self.other.iter().filter(|run| fresh.is_none_or(|word| may_go_on(view, run, word)));
        live.chain(other).filter_map(|live| live.start).min()
    }
}

/// Whether the word in progress may be the next of a phrase, for the first ones; later ones are held whatever they become.
fn may_go_on(view: &View<'_>, run: &Live, word: &Word) -> bool {
    let start = || view.set.words.chain(run.prefix, view.set.words.word(word.start()));
    run.words > BEGUN || word.is_empty() || view.live(start(), false, run.segments) != 0
}

/// The spans from `start` on: one per string, what stands between words included.
fn spans(pieces: &VecDeque<Piece>, start: u64) -> Vec<(u64, u64)> {
    let mut spans: Vec<(u64, u64)> = Vec::new();
    let mut string = None;
    for piece in pieces.iter().filter(|piece| piece.to > start) {
        match spans.last_mut() {
            Some(last) if string == Some(piece.string) => last.1 = piece.to,
            _ => spans.push((piece.from.max(start), piece.to)),
        }
        string = Some(piece.string);
    }
    spans
}

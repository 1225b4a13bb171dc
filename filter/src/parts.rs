//! The parts of a revision that travel on their own: segments of literals and of phrases, fetched and kept alike.

use partywall_core::phrase::{self, LoadedPhrases, PhraseSet};
use partywall_core::scan::{self, FingerprintSet, LoadError, LoadedSegment};
use partywall_core::snapshot::wire::{Content, Segment};
use std::rc::Rc;

/// A segment to fetch.
#[derive(Clone)]
pub enum Part {
    Literals(Segment),
    Phrases(Segment),
}

/// A segment on its way in.
pub enum Loader {
    Literals(Box<scan::Loader>),
    Phrases(Box<phrase::Loader>),
}

/// A segment that is here.
#[derive(Clone)]
pub enum Loaded {
    Literals(Rc<LoadedSegment>),
    Phrases(Rc<LoadedPhrases>),
}

/// All parts of a content, smallest first.
pub fn parts(content: &Content) -> Vec<Part> {
    let literals = content.segments.iter().rev().cloned().map(Part::Literals);
    let phrases = content.phrases.iter().flat_map(|phrases| phrases.segments.iter().rev().cloned());
    literals.chain(phrases.map(Part::Phrases)).collect()
}

impl Part {
    /// What names it and how large it is.
    pub fn segment(&self) -> &Segment {
        match self {
            Self::Literals(segment) | Self::Phrases(segment) => segment,
        }
    }

    /// Begins to load it.
    pub fn loader(&self) -> Result<Loader, LoadError> {
        Ok(match self {
            Self::Literals(segment) => Loader::Literals(Box::new(scan::Loader::new(segment)?)),
            Self::Phrases(segment) => Loader::Phrases(Box::new(phrase::Loader::new(segment)?)),
        })
    }
}

impl Loader {
    /// Takes the next piece.
    pub fn push(&mut self, piece: &[u8]) -> Result<(), LoadError> {
        match self {
            Self::Literals(loader) => loader.push(piece),
            Self::Phrases(loader) => loader.push(piece),
        }
    }

    /// The last piece is in.
    pub fn finish(self) -> Result<Loaded, LoadError> {
        Ok(match self {
            Self::Literals(loader) => Loaded::Literals(Rc::new(loader.finish()?)),
            Self::Phrases(loader) => Loaded::Phrases(Rc::new(loader.finish()?)),
        })
    }
}

/// What a revision looks for, in its own order; `None` when a part or a key is missing.
pub fn set(content: &Content, loaded: &[(String, Loaded)]) -> Option<FingerprintSet> {
    let find = |segment: &Segment| loaded.iter().find(|(digest, _)| *digest == segment.digest).map(|(_, part)| part);
    let mut literals = Vec::new();
    for segment in &content.segments {
        let Some(Loaded::Literals(literal)) = find(segment) else { return None };
        literals.push(Rc::clone(literal));
    }
    let mut phrases = None;
    if let Some(manifest) = &content.phrases {
        let mut segments = Vec::new();
        for segment in &manifest.segments {
            let Some(Loaded::Phrases(phrase)) = find(segment) else { return None };
            segments.push(Rc::clone(phrase));
        }
        phrases = Some(PhraseSet::new(manifest, segments).ok()?);
    }
    Some(FingerprintSet::new(literals, content.removed.clone()).with_phrases(phrases))
}

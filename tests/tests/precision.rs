//! Precision: ordinary text against a hundred thousand phrases of other prose is never cut.

use partywall_core::error::Shape;
use partywall_core::phrase::Phrase;
use partywall_core::scan::{FingerprintSet, Media, ScanConfig, Scanner, fold};
use partywall_core::snapshot::wire::{HoldBack, Limits, OnDetect};
use partywall_core::tenant::TenantId;
use partywall_tests::{phrases, prose};
use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::process::Command;
use std::rc::Rc;

fn tenant(name: &str) -> TenantId {
    TenantId::parse(name).unwrap()
}

/// Whether the text passes whole.
fn passes(set: &Rc<FingerprintSet>, text: &str) -> bool {
    matches(set, text).is_empty()
}

/// Where phrases begin in a text, the anchor left out.
fn matches(set: &Rc<FingerprintSet>, text: &str) -> Vec<usize> {
    let mut scanner = Scanner::new(ScanConfig {
        set: Rc::clone(set),
        tenant: tenant("acme"),
        media: Media::Text,
        shape: Shape::OpenAi,
        on_detect: OnDetect::Alert,
        hold_back: HoldBack::Exact,
        limits: Limits { request_bytes: 1 << 26, response_bytes: 1 << 26, event_bytes: 1 << 20 },
        request_id: String::new(),
    });
    for piece in text.as_bytes().chunks(4096) {
        scanner.push(piece, false);
    }
    scanner.push(&[], true);
    scanner.hits().iter().map(|hit| hit.offset as usize).collect()
}

/// Runs of so many words are compared to tell copies.
const SHINGLE: usize = 5;
/// So many of them around a match are those of documents where the text is a copy, maybe with a changed word; a phrase alone has four.
const COPY: usize = 6;

fn words(text: &str) -> Vec<String> {
    fold::text(text).split(' ').filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// Whether what matched at `at` is part of a longer copy of a document: licences, manual pages that a crate quotes.
fn is_copy(text: &str, at: usize, copies: &HashSet<Vec<String>>) -> bool {
    let from = (0..=at.saturating_sub(300)).rev().find(|from| text.is_char_boundary(*from)).unwrap_or(0);
    let mut around = words(&text[from..at]);
    around.drain(..around.len().saturating_sub(10));
    let after: String = text[at..].chars().take(400).collect();
    around.extend(words(&after).into_iter().take(20));
    around.windows(SHINGLE).filter(|run| copies.contains(*run)).count() >= COPY
}

fn set(phrases: &[Phrase]) -> Rc<FingerprintSet> {
    let beta = tenant("beta");
    let owned: Vec<(Phrase, &TenantId)> = phrases.iter().map(|phrase| (*phrase, &beta)).collect();
    Rc::new(FingerprintSet::empty().with_phrases(Some(phrases::loaded(&owned).0)))
}

/// Phrases of two thirds of the prose, and the other third. What both have is not unique, as it would not be for two tenants.
fn corpus(bytes: usize) -> (Vec<Phrase>, Vec<String>) {
    let (documents, hay): (Vec<_>, Vec<_>) =
        prose::paragraphs(bytes).into_iter().enumerate().partition(|(at, _)| at % 3 != 0);
    let hay: Vec<String> = hay.into_iter().map(|(_, text)| text).collect();
    let documents: Vec<String> = documents.into_iter().map(|(_, text)| text).collect();
    let selector = phrases::selector();
    let common: HashSet<u64> = hay.iter().flat_map(|text| selector.runs(text)).collect();
    let mut phrases: Vec<Phrase> =
        documents.iter().flat_map(|text| selector.choose(text, |id| common.contains(&id)).phrases).collect();
    phrases.retain(|phrase| !common.contains(&phrase.id));
    phrases.sort_unstable_by_key(|phrase| phrase.id);
    phrases.dedup_by_key(|phrase| phrase.id);
    phrases.truncate(100_000);
    (phrases, hay)
}

#[test]
fn ordinary_text_is_never_cut() {
    let (phrases, hay) = corpus(2_000_000);
    assert!(phrases.len() > 10_000 && hay.len() > 500, "{} phrases, {} paragraphs", phrases.len(), hay.len());
    let set = set(&phrases);
    for text in &hay {
        assert!(passes(&set, text), "{text}");
    }
    // The scanner does look: the documents themselves are cut.
    let documents = prose::paragraphs(2_000_000);
    let cut = documents.iter().enumerate().filter(|(at, text)| at % 3 != 0 && !passes(&set, text)).count();
    assert!(cut * 10 > documents.len() * 5, "only {cut} of {} documents are cut", documents.len());
}

/// Much other text in several languages, at least 50 MB from `PARTYWALL_CORPUS`, against 100,000 phrases.
#[test]
#[ignore = "reads a large corpus: docs/operations.md has the command"]
fn fifty_megabytes_of_ordinary_text() {
    let root = std::env::var("PARTYWALL_CORPUS").expect("PARTYWALL_CORPUS: a directory of text files");
    let (phrases, _) = corpus(20_000_000);
    let documents = prose::paragraphs(20_000_000);
    let copies: HashSet<Vec<String>> = documents
        .iter()
        .flat_map(|text| words(text).windows(SHINGLE).map(<[String]>::to_vec).collect::<Vec<_>>())
        .collect();
    let set = set(&phrases);
    let mut files = Vec::new();
    prose::files(Path::new(&root), &mut files);
    let (mut bytes, mut read, mut cut) = (0u64, 0u64, BTreeMap::new());
    let mut copied = 0u64;
    for file in files {
        let text = match file.extension().and_then(|extension| extension.to_str()) {
            Some("gz") => Command::new("gzip").arg("-dc").arg(&file).output().map(|output| output.stdout),
            _ => std::fs::read(&file),
        };
        let Ok(text) = text.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()) else { continue };
        bytes += text.len() as u64;
        read += 1;
        for at in matches(&set, &text) {
            if is_copy(&text, at, &copies) {
                copied += 1
            } else {
                cut.entry(text[at..].chars().take(40).collect::<String>()).or_insert_with(|| file.clone());
            }
        }
    }
    println!(
        "{} phrases, {read} files, {bytes} bytes, {copied} matches in copies, other sentences: {cut:#?}",
        phrases.len()
    );
    assert!(bytes >= 50_000_000, "only {bytes} bytes");
    // Sentences that two people wrote are what the common corpus is for; here there is none.
    assert!(cut.len() as u64 <= bytes / 100_000_000, "more than one sentence in 100 MB");
}

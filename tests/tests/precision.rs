//! Precision: ordinary text against a hundred thousand phrases of other prose is never cut.

use partywall_core::error::Shape;
use partywall_core::phrase::Phrase;
use partywall_core::scan::{FingerprintSet, Media, ScanConfig, Scanner, fold};
use partywall_core::snapshot::wire::{HoldBack, Limits, OnDetect};
use partywall_core::tenant::TenantId;
use partywall_tests::{phrases, prose};
use std::collections::HashSet;
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

/// So many words in a row are a copy.
const COPY: usize = 10;

fn words(text: &str) -> Vec<String> {
    fold::text(text).split(' ').filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// Whether what matched at `at` is part of a longer copy of a document: licences, manual pages that a crate quotes.
fn is_copy(text: &str, at: usize, copies: &HashSet<Vec<String>>) -> bool {
    let before: Vec<String> = words(&text[..at]).into_iter().rev().take(COPY).collect();
    let mut around: Vec<String> = before.into_iter().rev().collect();
    let after: String = text[at..].chars().take(400).collect();
    around.extend(words(&after).into_iter().take(2 * COPY));
    around.windows(COPY).any(|run| copies.contains(run))
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

/// At least 50 MB of other text in several languages, from `PARTYWALL_CORPUS`, against 100,000 phrases.
#[test]
#[ignore = "reads a large corpus: docs/operations.md has the command"]
fn fifty_megabytes_of_ordinary_text() {
    let root = std::env::var("PARTYWALL_CORPUS").expect("PARTYWALL_CORPUS: a directory of text files");
    let (phrases, _) = corpus(20_000_000);
    let documents = prose::paragraphs(20_000_000);
    let copies: HashSet<Vec<String>> = documents
        .iter()
        .flat_map(|text| words(text).windows(COPY).map(<[String]>::to_vec).collect::<Vec<_>>())
        .collect();
    let set = set(&phrases);
    let mut files = Vec::new();
    prose::files(Path::new(&root), &mut files);
    let (mut bytes, mut read, mut cut) = (0u64, 0u64, Vec::new());
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
                cut.push((file.clone(), text[at..].chars().take(80).collect::<String>()))
            }
        }
    }
    println!("{} phrases, {read} files, {bytes} bytes, {copied} matches in copies, others: {cut:#?}", phrases.len());
    assert!(bytes >= 50_000_000, "only {bytes} bytes");
    assert!(cut.is_empty());
}

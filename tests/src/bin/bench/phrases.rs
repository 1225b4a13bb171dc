//! Phrases on a hard corpus: what is scanned and what is looked for are the same kind of prose.

use crate::report::{Reach, Report};
use anyhow::{Context, Result};
use partywall_core::error::Shape;
use partywall_core::phrase::{self, Phrase};
use partywall_core::scan::{FingerprintSet, Media, ScanConfig, Scanner};
use partywall_core::snapshot::wire::{HoldBack, Limits, OnDetect};
use partywall_core::tenant::TenantId;
use partywall_tests::{phrases, prose};
use serde_json::json;
use std::rc::Rc;
use std::time::Instant;

fn tenant(name: &str) -> Result<TenantId> {
    TenantId::parse(name).ok().context("a tenant")
}

/// The phrases of half of the prose, `count` of them, the text that yielded them, and the other half.
fn corpus(count: usize) -> (Vec<Phrase>, String, String) {
    let paragraphs = prose::paragraphs(count * 48);
    let (documents, hay): (Vec<_>, Vec<_>) = paragraphs.into_iter().enumerate().partition(|(at, _)| at % 3 != 0);
    let join = |all: Vec<(usize, String)>| all.into_iter().map(|(_, p)| p + "\n").collect::<String>();
    let (documents, hay) = (join(documents), join(hay));
    let selector = phrases::selector();
    let common: std::collections::HashSet<u64> = selector.runs(&hay).into_iter().collect();
    let mut phrases = selector.choose(&documents, |id| common.contains(&id)).phrases;
    phrases.truncate(count);
    (phrases, documents, hay)
}

fn set(phrases: &[Phrase]) -> Result<(Rc<FingerprintSet>, Vec<u8>)> {
    let beta = tenant("beta")?;
    let owned: Vec<(Phrase, &TenantId)> = phrases.iter().map(|phrase| (*phrase, &beta)).collect();
    let (set, blob) = phrases::loaded(&owned);
    Ok((Rc::new(FingerprintSet::empty().with_phrases(Some(set))), blob))
}

fn scanner(set: &Rc<FingerprintSet>, media: Media) -> Result<Scanner> {
    Ok(Scanner::new(ScanConfig {
        set: Rc::clone(set),
        tenant: tenant("acme")?,
        media,
        shape: Shape::OpenAi,
        on_detect: OnDetect::Block,
        hold_back: HoldBack::Exact,
        limits: Limits { request_bytes: 1 << 24, response_bytes: 1 << 24, event_bytes: 1 << 24 },
        request_id: String::new(),
    }))
}

pub fn run(report: &mut Report) -> Result<()> {
    let (phrases, documents, hay) = corpus(100_000);
    eprintln!("  {} phrases of {} bytes, {} bytes to scan", phrases.len(), documents.len(), hay.len());
    let (set, blob) = set(&phrases)?;
    report.put("phrase_bytes_wire_100k", blob.len() as f64 / phrases.len() as f64, "bytes a phrase", Reach::None);
    held(report, &set, &hay)?;
    // What the byte automaton is given: as many texts as long as a phrase, from the same documents.
    let words: Vec<&str> = documents.split_whitespace().collect();
    let step = (words.len() / 100_000).max(1);
    let texts: Vec<String> =
        words.windows(phrase::WORDS).step_by(step).map(|run| run.join(" ")).take(100_000).collect();
    let text: String = hay.chars().take(4_000_000).filter(char::is_ascii).collect();
    let (mut native, mut own) = (vec![], vec![]);
    let automaton = aho_corasick::AhoCorasick::builder().ascii_case_insensitive(true).build(&texts)?;
    for _ in 0..5 {
        let start = Instant::now();
        std::hint::black_box(automaton.find_overlapping_iter(&text).count());
        native.push(text.len() as f64 / start.elapsed().as_secs_f64() / 1e6);
        let start = Instant::now();
        let mut scanner = scanner(&set, Media::Text)?;
        for chunk in text.as_bytes().chunks(16 * 1024) {
            std::hint::black_box(scanner.push(chunk, false));
        }
        std::hint::black_box(scanner.push(&[], true));
        own.push(text.len() as f64 / start.elapsed().as_secs_f64() / 1e6);
        anyhow::ensure!(scanner.hits().is_empty(), "a false match");
    }
    report.median("scan_mb_s_native_ac_100k", &native, Reach::None);
    report.median("scan_mb_s_native_phrases_100k", &own, Reach::None);
    Ok(())
}

/// How many tokens are held after each token of a stream.
fn held(report: &mut Report, set: &Rc<FingerprintSet>, hay: &str) -> Result<()> {
    let (mut sum, mut most, mut count, mut first) = (0usize, 0usize, 0usize, vec![0usize; 4]);
    for text in hay.lines().take(2000) {
        let mut scanner = scanner(set, Media::Sse)?;
        let mut waiting = 0usize;
        let mut shown = None;
        for (at, token) in prose::tokens(text).iter().enumerate() {
            let event = format!("data: {}\n\n", json!({"choices": [{"delta": {"content": token}, "index": 0}]}));
            let output = scanner.push(event.as_bytes(), false);
            anyhow::ensure!(output.blocked.is_none(), "a false match");
            waiting = waiting + 1 - output.release.windows(2).filter(|two| two == b"\n\n").count();
            if !output.release.is_empty() && shown.is_none() {
                shown = Some(at);
            }
            sum += waiting;
            most = most.max(waiting);
            count += 1;
        }
        if let Some(slot) = first.get_mut(shown.unwrap_or(3).min(3)) {
            *slot += 1;
        }
    }
    report.put(
        "holdback_tokens_mean_100k",
        sum as f64 / count as f64,
        &format!("most {most}, of {count} tokens; streams by tokens that the first waits for: {first:?}"),
        Reach::Most(1.0),
    );
    Ok(())
}

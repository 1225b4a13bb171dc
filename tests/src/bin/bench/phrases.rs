//! Phrases on a hard corpus: what is scanned and what is looked for are the same kind of prose.

use crate::load::{Connection, constant, post};
use crate::proxies::{full, token};
use crate::report::{Reach, Report, quantile};
use crate::streams::{bare_with_llm, first_content};
use crate::vm::in_vm;
use anyhow::{Context, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use partywall_core::error::Shape;
use partywall_core::phrase::{self, Phrase};
use partywall_core::scan::{FingerprintSet, Media, ScanConfig, Scanner};
use partywall_core::snapshot::wire::{HoldBack, Limits, OnDetect};
use partywall_core::tenant::TenantId;
use partywall_tests::http::Request;
use partywall_tests::llm::completion;
use partywall_tests::stack::Stack;
use partywall_tests::{phrases, prose};
use serde_json::json;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

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
    phrases.retain(|phrase| !common.contains(&phrase.id));
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
    let (mut native, mut own, mut vm, mut ratios, mut steps) = (vec![], vec![], vec![], vec![], vec![]);
    let automaton = aho_corasick::AhoCorasick::builder().ascii_case_insensitive(true).build(&texts)?;
    let input = json!({"segment": STANDARD.encode(&blob), "manifest": phrases::manifest(), "text": text});
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
        let figures = in_vm(&input)?;
        let figure = |name: &str| figures[name].as_f64().with_context(|| format!("no {name} in {figures}"));
        vm.push(figure("scan_mb_s")?);
        steps.push(figure("load_step_ms_max")?);
        ratios.push(vm.last().unwrap_or(&0.0) / native.last().unwrap_or(&1.0));
    }
    report.median("scan_ratio_vm_vs_native_ac_100k", &ratios, Reach::Least(1.5));
    report.median("scan_mb_s_vm_100k", &vm, Reach::None);
    report.median("scan_mb_s_native_ac_100k", &native, Reach::None);
    report.median("scan_mb_s_native_phrases_100k", &own, Reach::None);
    report.median("load_step_ms_max_100k", &steps, Reach::None);
    crate::engines::run(report, &texts, &text, quantile(&vm, 0.5))?;
    live(report, &documents, &hay)
}

/// Documents as one bulk call takes them.
pub fn lines<'t>(texts: impl Iterator<Item = &'t str>, from: usize) -> Vec<u8> {
    let line = |(at, text)| json!({"document": format!("d{}", from + at), "text": text}).to_string() + "\n";
    texts.enumerate().map(line).collect::<String>().into_bytes()
}

pub fn bulk(stack: &Stack, body: Vec<u8>) -> Result<u64> {
    let request = Request::new("POST", "control", "/v1/tenants/beta/documents").bearer(&stack.admin_token);
    let response = request.body("application/x-ndjson", body).send(stack.control)?;
    anyhow::ensure!(response.status == 200, "{}", response.text());
    response.json()["phrases"].as_u64().context("no count")
}

/// Ingestion, memory, stalls, a change of one, and the first token, on the real proxy.
fn live(report: &mut Report, documents: &str, hay: &str) -> Result<()> {
    let upstream = constant(&completion("A short answer."));
    let stack = full("bench-phrases", Some(upstream), 1, "exact")?;
    let body = json!({"model": "demo", "messages": [{"role": "user", "content": "hi"}]});
    let request = post("llm.test", "/v1/chat/completions", &token(), body.to_string().as_bytes());
    let before = stack.metric("partywall_vm_memory_bytes");
    let done = AtomicBool::new(false);
    let paragraphs: Vec<String> =
        documents.lines().collect::<Vec<_>>().chunks(40).map(|part| part.join("\n")).collect();
    let stall = std::thread::scope(|scope| {
        let traffic = scope.spawn(|| -> Result<f64> {
            let mut connection = Connection::open(stack.edge, &request)?;
            let mut most = Duration::ZERO;
            while !done.load(Ordering::Relaxed) {
                most = most.max(connection.exchange()?.0);
            }
            Ok(most.as_secs_f64() * 1e3)
        });
        let start = Instant::now();
        let pushed = bulk(&stack, lines(paragraphs.iter().map(String::as_str), 0)).and_then(|count| {
            let speed = documents.len() as f64 / start.elapsed().as_secs_f64() / 1e6;
            let spread = format!("{count} phrases, while a client asks as fast as it can");
            report.put("ingest_docs_mb_s_under_load", speed, &spread, Reach::None);
            stack.converge_within(Duration::from_secs(60))
        });
        done.store(true, Ordering::Relaxed);
        pushed.and(traffic.join().unwrap_or_else(|_| anyhow::bail!("a client died")))
    })?;
    report.put("push_stall_ms_max_100k", stall, "the slowest request while they load", Reach::Most(20.0));
    let memory = stack.metric("partywall_vm_memory_bytes");
    report.put("vm_mb_100k", memory / 1e6, &format!("{:.1} before", before / 1e6), Reach::Most(32.0));
    let mut times = Vec::new();
    for (at, text) in hay.lines().filter(|text| text.len() < 400).take(100).enumerate() {
        let start = Instant::now();
        let path = format!("/v1/tenants/beta/documents/one{at}");
        stack.api("PUT", &path, Some(&json!({"text": text})))?;
        stack.converge_within(Duration::from_secs(20))?;
        times.push(start.elapsed().as_secs_f64() * 1e3);
    }
    let spread = format!("p50 {:.0}", quantile(&times, 0.5));
    report.put("push_one_of_100k_ms_p99", quantile(&times, 0.99), &spread, Reach::Most(300.0));
    first(report, &paragraphs, hay)?;
    // A million: made-up sentences of the same words.
    let words: Vec<&str> = documents.split_whitespace().collect();
    let mut random = 1u64;
    let mut total = 0;
    for part in 0..40 {
        let texts: Vec<String> = (0..100)
            .map(|_| {
                let mut text = String::new();
                for _ in 0..900 {
                    random = random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                    text += words[(random >> 33) as usize % words.len()];
                    text.push(' ');
                }
                text
            })
            .collect();
        total += bulk(&stack, lines(texts.iter().map(String::as_str), 1_000_000 + part * 100))?;
        if total > 900_000 {
            break;
        }
    }
    stack.converge_within(Duration::from_secs(120))?;
    let memory = stack.metric("partywall_vm_memory_bytes");
    report.put("vm_mb_1m", memory / 1e6, &format!("{total} more phrases, in several calls"), Reach::Most(250.0));
    Ok(())
}

/// What phrases add until the first content of a stream, at 50 tokens a second.
fn first(report: &mut Report, paragraphs: &[String], hay: &str) -> Result<()> {
    let (bare, own) = (bare_with_llm()?, full("bench-phrases-first", None, 1, "exact")?);
    bulk(&own, lines(paragraphs.iter().map(String::as_str), 0))?;
    own.converge_within(Duration::from_secs(60))?;
    let token = token();
    let mut added = Vec::new();
    for (at, text) in hay.lines().take(200).enumerate() {
        let tokens = prose::tokens(text);
        let mut deltas = vec![tokens[0].trim_start().to_owned()];
        deltas.extend(tokens.into_iter().skip(1).take(5));
        let deltas: Vec<&str> = deltas.iter().map(String::as_str).collect();
        let times = std::thread::scope(|scope| -> Result<Vec<f64>> {
            let runs = [&bare, &own].map(|stack| scope.spawn(|| first_content(stack, &token, &deltas)));
            runs.into_iter().map(|run| run.join().map_err(|_| anyhow::anyhow!("a client died"))?).collect()
        })
        .with_context(|| format!("stream {at}"))?;
        added.push(times[1] - times[0]);
    }
    let spread = format!("p50 {:.1}, p90 {:.1}", quantile(&added, 0.5), quantile(&added, 0.9));
    report.put("ttft_added_ms_p99_100k", quantile(&added, 0.99), &spread, Reach::Most(25.0));
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

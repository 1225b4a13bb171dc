//! What the hold-back costs: bytes held on clean English, and the time that it adds until the first content of a stream.

use crate::corpus;
use crate::proxies::{bare, full, push, token};
use crate::report::{Reach, Report, quantile};
use anyhow::{Context, Result};
use partywall_core::error::Shape;
use partywall_core::record::Severity;
use partywall_core::scan::{self, Entry, FingerprintSet, Loader, Media, ScanConfig, Scanner};
use partywall_core::snapshot::wire::{HoldBack, Limits, OnDetect, Segment};
use partywall_core::tenant::TenantId;
use partywall_tests::llm::Script;
use partywall_tests::stack::Stack;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::rc::Rc;

const STREAMS: usize = 150;

pub fn run(report: &mut Report) -> Result<()> {
    let literals = corpus::literals(10_000, 1);
    for (key, mode) in
        [("holdback_bytes_mean_10k", HoldBack::Exact), ("holdback_bytes_mean_10k_word_start", HoldBack::WordStart)]
    {
        let (mean, most) = held(&literals, mode)?;
        report.put(
            key,
            mean,
            &format!("most {most}"),
            if mode == HoldBack::Exact { Reach::Most(3.0) } else { Reach::None },
        );
    }
    let bare = bare_with_llm()?;
    let exact = full("bench-exact", None, 1, "exact")?;
    let word = full("bench-word", None, 1, "word_start")?;
    push(&exact, &literals)?;
    push(&word, &literals)?;
    let sentences = corpus::sentences(&corpus::english());
    let mut added: [Vec<f64>; 2] = Default::default();
    let token = token();
    for index in 0..STREAMS {
        let words = &sentences[index * 7 % sentences.len()];
        let deltas: Vec<&str> = words.iter().take(5).map(String::as_str).collect();
        let times = std::thread::scope(|scope| -> Result<Vec<f64>> {
            // All three at once: what else the machine does hits them alike.
            let runs = [&bare, &exact, &word].map(|stack| scope.spawn(|| first_content(stack, &token, &deltas)));
            runs.into_iter().map(|run| run.join().map_err(|_| anyhow::anyhow!("a client died"))?).collect()
        })?;
        added[0].push(times[1] - times[0]);
        added[1].push(times[2] - times[0]);
    }
    for (suffix, values, reach) in [("", &added[0], true), ("_word_start", &added[1], false)] {
        let spread = format!("p10 {:.1}, p90 {:.1} ({STREAMS} streams)", quantile(values, 0.1), quantile(values, 0.9));
        let reach = |most| if reach { Reach::Most(most) } else { Reach::None };
        report.put(&format!("ttft_added_ms_p50{suffix}"), quantile(values, 0.5), &spread, reach(1.0));
        report.put(&format!("ttft_added_ms_p99{suffix}"), quantile(values, 0.99), &spread, reach(25.0));
    }
    Ok(())
}

pub fn bare_with_llm() -> Result<Stack> {
    let mut stack = bare(0)?;
    let llm = stack.llm.port.to_string();
    stack.stop_envoy();
    stack.edit_template(|template| template.replace("port_value: 0 ", &format!("port_value: {llm} ")));
    stack.start_envoy()?;
    Ok(stack)
}

/// Milliseconds until the first content, at 50 tokens a second.
pub fn first_content(stack: &Stack, token: &str, deltas: &[&str]) -> Result<f64> {
    let prompt = deltas.concat();
    stack.llm.script(&prompt, Script::stream(deltas).paced(20));
    let response = stack.chat(token, &prompt, true)?;
    let content = |event: &str| {
        let data: Value = serde_json::from_str(event.trim().strip_prefix("data: ").unwrap_or("")).unwrap_or_default();
        data["choices"][0]["delta"]["content"].as_str().is_some_and(|text| !text.is_empty())
    };
    let mut text = String::new();
    for (at, part) in &response.parts {
        text += &String::from_utf8_lossy(part);
        if text.split_inclusive("\n\n").any(|event| event.ends_with("\n\n") && content(event)) {
            return Ok(at.as_secs_f64() * 1e3);
        }
    }
    Err(anyhow::anyhow!("no content: {} {}", response.status, response.text()))
}

/// Mean and most bytes held after each byte of clean English.
fn held(literals: &[String], hold_back: HoldBack) -> Result<(f64, usize)> {
    let beta = TenantId::parse("beta").ok().context("a tenant")?;
    let entry = |(id, text): (usize, &String)| Entry {
        id: id as u64,
        text: text.clone(),
        owners: vec![beta.clone()],
        severity: Severity::High,
    };
    let blob = scan::compile(&literals.iter().enumerate().map(entry).collect::<Vec<_>>())?;
    let segment = Segment {
        digest: hex::encode(Sha256::digest(&blob)),
        bytes: blob.len() as u64,
        entries: literals.len() as u64,
    };
    let mut loader = Loader::new(&segment)?;
    loader.push(&blob)?;
    let set = Rc::new(FingerprintSet::new(vec![Rc::new(loader.finish()?)], vec![]));
    let mut scanner = Scanner::new(ScanConfig {
        set,
        tenant: TenantId::parse("acme").ok().context("a tenant")?,
        media: Media::Text,
        shape: Shape::OpenAi,
        on_detect: OnDetect::Block,
        hold_back,
        limits: Limits { request_bytes: 1 << 24, response_bytes: 1 << 24, event_bytes: 1 << 24 },
        request_id: String::new(),
    });
    let text = corpus::english();
    let (mut waiting, mut sum, mut most) = (0usize, 0usize, 0usize);
    for byte in text.as_bytes().chunks(1) {
        let output = scanner.push(byte, false);
        anyhow::ensure!(output.blocked.is_none(), "the clean text is not clean");
        waiting = waiting + 1 - output.release.len();
        sum += waiting;
        most = most.max(waiting);
    }
    Ok((sum as f64 / text.len() as f64, most))
}

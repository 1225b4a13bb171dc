//! Engines for phrases side by side: ours, and automata of the `daachorse` crate over words and over bytes, all loaded, not built, in Envoy's VM.

use crate::report::{Reach, Report};
use crate::vm::in_vm;
use anyhow::{Context, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use daachorse::{CharwiseDoubleArrayAhoCorasick, DoubleArrayAhoCorasick};
use partywall_core::phrase::WordKey;
use partywall_tests::phrases::KEY;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// As the VM numbers words; surrogates are left out.
fn symbol(number: u32) -> Result<char> {
    let code = number + 1;
    char::from_u32(if code < 0xd800 { code } else { code + 0x800 }).context("too many words")
}

fn words(text: &str) -> Vec<String> {
    let lower = text.to_ascii_lowercase();
    lower.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// The texts as patterns of one symbol a word.
fn by_words(texts: &[String], text: &str) -> Result<Value> {
    let key = WordKey::new(&KEY);
    let mut numbers: BTreeMap<u64, u32> = BTreeMap::new();
    for word in texts.iter().flat_map(|text| words(text)) {
        let next = u32::try_from(numbers.len())?;
        numbers.entry(key.word(word.as_bytes())).or_insert(next);
    }
    let mut patterns = texts
        .iter()
        .map(|text| words(text).iter().map(|word| symbol(numbers[&key.word(word.as_bytes())])).collect())
        .collect::<Result<Vec<String>>>()?;
    patterns.sort_unstable();
    patterns.dedup();
    let automaton = CharwiseDoubleArrayAhoCorasick::<u32>::new(&patterns).map_err(|e| anyhow::anyhow!("{e}"))?;
    let mut hashes: Vec<(u32, u64)> = numbers.into_iter().map(|(hash, number)| (number, hash)).collect();
    hashes.sort_unstable();
    let hashes: Vec<u64> = hashes.into_iter().map(|(_, hash)| hash).collect();
    Ok(json!({"words": hashes, "automaton": STANDARD.encode(automaton.serialize()), "text": text}))
}

/// The texts as patterns of bytes.
fn by_bytes(texts: &[String], text: &str) -> Result<Value> {
    let mut patterns: Vec<String> = texts.iter().map(|text| text.to_ascii_lowercase()).collect();
    patterns.sort_unstable();
    patterns.dedup();
    let automaton = DoubleArrayAhoCorasick::<u32>::new(&patterns).map_err(|e| anyhow::anyhow!("{e}"))?;
    Ok(json!({"words": null, "automaton": STANDARD.encode(automaton.serialize()), "text": text}))
}

/// Both rivals on the same texts; `ours` is what our engine was measured at in this run.
pub fn run(report: &mut Report, texts: &[String], text: &str, ours: f64) -> Result<()> {
    for (name, input) in [("words", by_words(texts, text)?), ("bytes", by_bytes(texts, text)?)] {
        let mut speeds = Vec::new();
        let mut last = Value::Null;
        for _ in 0..3 {
            last = in_vm(&input)?;
            speeds.push(last["scan_mb_s"].as_f64().with_context(|| format!("no speed in {last}"))?);
        }
        report.median(&format!("scan_mb_s_vm_daachorse_{name}_100k"), &speeds, Reach::None);
        for (what, unit) in [("heap_mb", "once loaded"), ("load_ms", "in one step, which cannot be sliced")] {
            let value = last[what].as_f64().with_context(|| format!("no {what} in {last}"))?;
            report.put(&format!("daachorse_{name}_{what}_100k"), value, unit, Reach::None);
        }
        let ratios: Vec<f64> = speeds.iter().map(|speed| ours / speed).collect();
        report.median(&format!("scan_ratio_vs_daachorse_{name}_100k"), &ratios, Reach::None);
    }
    Ok(())
}

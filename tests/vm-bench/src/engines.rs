//! Other engines for phrases, in the same VM and on the same text: automata of the `daachorse` crate that were built natively and are only
//! loaded here. They search, and nothing else: no hold-back, no owners, no texts in pieces.

use crate::bench::median;
use daachorse::{CharwiseDoubleArrayAhoCorasick, DoubleArrayAhoCorasick};
use partywall_core::phrase::WordKey;
use std::collections::HashMap;
use std::time::Instant;

/// An automaton and its text.
#[derive(serde::Deserialize)]
pub struct Input {
    /// One symbol a word: the words' keyed hashes in the order of their symbols. Without: bytes.
    words: Option<Vec<u64>>,
    automaton: String,
    text: String,
}

/// The symbol of a word's number; surrogates are left out.
fn symbol(number: u32) -> char {
    let code = number.saturating_add(1);
    char::from_u32(if code < 0xd800 { code } else { code + 0x800 }).unwrap_or('\0')
}

/// The figures of one engine.
pub fn run(input: &Input) -> serde_json::Value {
    use base64::Engine as _;
    let blob = base64::engine::general_purpose::STANDARD.decode(&input.automaton).expect("base64");
    let speed = |start: Instant| input.text.len() as f64 / start.elapsed().as_secs_f64() / 1e6;
    let start = Instant::now();
    let (load_ms, heap, found, scans): (f64, usize, usize, Vec<f64>) = match &input.words {
        None => {
            let (automaton, _) = DoubleArrayAhoCorasick::<u32>::deserialize(&blob).expect("an automaton");
            let load_ms = start.elapsed().as_secs_f64() * 1e3;
            let mut found = 0;
            let scan = |_| {
                let start = Instant::now();
                let folded = input.text.to_ascii_lowercase();
                found = automaton.find_overlapping_iter(&folded).count();
                speed(start)
            };
            let scans = (0..5).map(scan).collect();
            (load_ms, automaton.heap_bytes(), found, scans)
        }
        Some(words) => {
            let (automaton, _) = CharwiseDoubleArrayAhoCorasick::<u32>::deserialize(&blob).expect("an automaton");
            let symbols: HashMap<u64, char> =
                words.iter().zip(0u32..).map(|(hash, number)| (*hash, symbol(number))).collect();
            let load_ms = start.elapsed().as_secs_f64() * 1e3;
            let key = WordKey::new(&[7; 16]);
            let mut found = 0;
            let scan = |_| {
                let start = Instant::now();
                let folded = input.text.to_ascii_lowercase();
                let words = folded.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
                let text: String =
                    words.map(|word| symbols.get(&key.word(word.as_bytes())).copied().unwrap_or('\0')).collect();
                found = automaton.find_overlapping_iter(&text).count();
                speed(start)
            };
            let scans = (0..5).map(scan).collect();
            let heap = automaton.heap_bytes() + symbols.capacity() * 17;
            (load_ms, heap, found, scans)
        }
    };
    serde_json::json!({"scan_mb_s": median(scans), "load_ms": load_ms, "heap_mb": heap as f64 / 1e6, "found": found})
}

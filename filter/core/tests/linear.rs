//! Eight times the bytes take about eight times as long, whatever they are: a worker serves all tenants, and an answer full of matches must
//! not stop it for the others.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::cast_precision_loss,
    missing_docs
)]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use partywall_core::error::Shape;
use partywall_core::phrase::{self, PhraseSet, Selector, WireKey, WordKey};
use partywall_core::record::Severity;
use partywall_core::scan::{self, Entry, FingerprintSet, Media, ScanConfig, Scanner};
use partywall_core::snapshot::wire::{HoldBack, Limits, OnDetect, Phrases, Segment};
use partywall_core::tenant::TenantId;
use sha2::{Digest, Sha256};
use std::rc::Rc;
use std::time::{Duration, Instant};

const KEY: [u8; 16] = [7; 16];
const PHRASE: &str = "vermilion otters juggle granite lanterns beneath collapsing aqueducts ";

fn segment(blob: &[u8]) -> Segment {
    Segment { digest: hex::encode(Sha256::digest(blob)), bytes: blob.len() as u64, entries: 0 }
}

fn set() -> Rc<FingerprintSet> {
    let beta = TenantId::parse("beta").unwrap();
    let entry = Entry { id: 1, text: "zq7e".to_owned(), owners: vec![beta.clone()], severity: Severity::High };
    let blob = scan::compile(&[entry]).unwrap();
    let mut loader = scan::Loader::new(&segment(&blob)).unwrap();
    loader.push(&blob).unwrap();
    let literals = Rc::new(loader.finish().unwrap());
    let chosen = Selector::new(WordKey::new(&KEY)).choose(PHRASE, |_| false).phrases;
    let phrases: Vec<_> = chosen.into_iter().map(|phrase| (phrase, &beta)).collect();
    let blob = phrase::compile(&phrases, &WireKey::new(&KEY)).unwrap();
    let mut loader = phrase::Loader::new(&segment(&blob)).unwrap();
    loader.push(&blob).unwrap();
    let manifest = Phrases {
        word_key: STANDARD.encode(KEY),
        wire_key: STANDARD.encode(KEY),
        severity: Severity::High,
        action: None,
        from_rag_writes: false,
        segments: vec![],
        removed: vec![],
    };
    let phrases = PhraseSet::new(&manifest, vec![Rc::new(loader.finish().unwrap())]).ok();
    Rc::new(FingerprintSet::new(vec![literals], vec![]).with_phrases(phrases))
}

fn time(set: &Rc<FingerprintSet>, media: Media, on_detect: OnDetect, body: &[u8]) -> Duration {
    let limits = Limits { request_bytes: 1 << 30, response_bytes: 1 << 30, event_bytes: 1 << 30 };
    let mut scanner = Scanner::new(ScanConfig {
        set: Rc::clone(set),
        tenant: TenantId::parse("acme").unwrap(),
        media,
        shape: Shape::OpenAi,
        on_detect,
        hold_back: HoldBack::Exact,
        limits,
        request_id: "r".to_owned(),
    });
    let begun = Instant::now();
    for chunk in body.chunks(32 << 10) {
        scanner.push(chunk, false);
    }
    scanner.push(b"", true);
    begun.elapsed()
}

/// Bodies of about so many bytes.
fn bodies(bytes: usize) -> Vec<(&'static str, Media, Vec<u8>)> {
    let repeat = |text: &str| text.repeat(bytes / text.len());
    let (literals, phrases, anchors) = (repeat("zq7e "), repeat(PHRASE), repeat("vermilion "));
    let list = |text: &str| format!("[{}1]", repeat(&format!("\"{text}\",")));
    let event =
        |text: &str| format!("data: {{\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{text}\"}}}}]}}\n\n");
    let lines = format!("data: [\n{}data: 1]\n\n", repeat("data: \"zq7e\",\n"));
    let numbers = format!("[{}1]", repeat("{\"bytes\":[122,113,55,101]},"));
    vec![
        ("literals in a string", Media::Json, format!("{{\"content\":\"{literals}\"}}").into_bytes()),
        ("literals in a list", Media::Json, list("zq7e").into_bytes()),
        ("literals in numbers", Media::Json, numbers.into_bytes()),
        ("literals in a text", Media::Text, literals.clone().into_bytes()),
        ("literals in lines", Media::Sse, lines.into_bytes()),
        ("literals in events", Media::Sse, repeat(&event("zq7e ")).into_bytes()),
        ("a text of another kind", Media::Text, format!("{{ {literals}").into_bytes()),
        ("phrases in a string", Media::Json, format!("{{\"content\":\"{phrases}\"}}").into_bytes()),
        ("phrases in a text", Media::Text, phrases.clone().into_bytes()),
        ("a text of both", Media::Text, format!("{{ {phrases}{literals}").into_bytes()),
        ("anchors in a string", Media::Json, format!("{{\"content\":\"{anchors}\"}}").into_bytes()),
        ("anchors in a list", Media::Json, list("vermilion").into_bytes()),
        (
            "a begun phrase behind each escape",
            Media::Json,
            format!("{{\"content\":\"{}\"}}", repeat("vermilion\\\\notters juggle ")).into_bytes(),
        ),
        ("characters as events", Media::Sse, repeat(&event("v")).into_bytes()),
        ("words as events", Media::Sse, repeat(&event("vermilion")).into_bytes()),
        ("begun phrases as lines", Media::Text, repeat("vermilion otters juggle\n").into_bytes()),
    ]
}

#[test]
fn more_bytes_take_as_much_longer() {
    let set = set();
    const SMALL: usize = if cfg!(debug_assertions) { 8 << 10 } else { 32 << 10 };
    let mut slow = Vec::new();
    for on_detect in [OnDetect::Block, OnDetect::Redact, OnDetect::Alert] {
        for ((name, media, small), (_, _, large)) in bodies(SMALL).into_iter().zip(bodies(SMALL * 8)) {
            let best = |body: &[u8]| (0..4).map(|_| time(&set, media, on_detect, body)).min().unwrap();
            let (few, many) = (best(&small), best(&large));
            let ratio = many.as_secs_f64() / few.as_secs_f64().max(5e-4);
            if ratio > 24.0 {
                slow.push(format!("{on_detect:?}, {name}: {ratio:.0} times as long"));
            }
        }
    }
    assert!(slow.is_empty(), "{slow:#?}");
}

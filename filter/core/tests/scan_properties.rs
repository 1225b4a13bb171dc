//! What must hold of the scanner for every input: the same result for every split, no byte of a foreign match, clean
//! streams byte for byte, every byte accounted for.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::panic,
    missing_docs
)]

use partywall_core::error::{Code, Shape};
use partywall_core::record::Severity;
use partywall_core::scan::{self, Entry, FingerprintSet, Loader, Media, ScanConfig, Scanner};
use partywall_core::snapshot::wire::{Evasion, HoldBack, Limits, OnDetect, Segment};
use partywall_core::tenant::TenantId;
use proptest::prelude::*;
use sha2::{Digest, Sha256};
use std::rc::Rc;

fn tenant(id: &str) -> TenantId {
    TenantId::parse(id).unwrap()
}

fn segment(blob: &[u8], entries: u64) -> Segment {
    Segment { digest: hex::encode(Sha256::digest(blob)), bytes: blob.len() as u64, entries }
}

fn load(blob: &[u8]) -> Rc<scan::LoadedSegment> {
    let mut loader = Loader::new(&segment(blob, 0)).unwrap();
    for piece in blob.chunks(1000) {
        loader.push(piece).unwrap();
    }
    Rc::new(loader.finish().unwrap())
}

/// `(text, owner)` pairs, dealt over as many segments as there are groups.
fn set(groups: &[&[(&str, &str)]]) -> Rc<FingerprintSet> {
    let mut id = 0;
    let segments = groups
        .iter()
        .map(|group| {
            let entries: Vec<Entry> = group
                .iter()
                .map(|(text, owner)| {
                    id += 1;
                    Entry { id, text: (*text).to_owned(), owners: vec![tenant(owner)], severity: Severity::High }
                })
                .collect();
            load(&scan::compile(&entries).unwrap())
        })
        .collect();
    Rc::new(FingerprintSet::new(segments, vec![]))
}

fn scanner(set: &Rc<FingerprintSet>, media: Media, on_detect: OnDetect, hold_back: HoldBack) -> Scanner {
    Scanner::new(ScanConfig {
        set: Rc::clone(set),
        tenant: tenant("acme"),
        media,
        shape: Shape::OpenAi,
        on_detect,
        hold_back,
        limits: Limits { request_bytes: 1 << 20, response_bytes: 1 << 20, event_bytes: 1 << 16 },
        request_id: "r".to_owned(),
    })
}

struct Run {
    out: Vec<u8>,
    blocked: Option<Code>,
    hits: usize,
}

fn run(mut scanner: Scanner, body: &[u8], cuts: &[usize]) -> Run {
    let mut out = Vec::new();
    let mut blocked = None;
    let mut from = 0;
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (body.len() + 1)).collect();
    cuts.sort_unstable();
    for cut in cuts {
        let output = scanner.push(&body[from..cut], false);
        out.extend(output.release);
        blocked = blocked.or(output.blocked);
        from = cut;
        let bytes = scanner.bytes();
        assert_eq!(bytes.scanned, bytes.delivered + bytes.withheld + scanner.held() as u64);
    }
    let output = scanner.push(&body[from..], true);
    out.extend(output.release);
    blocked = blocked.or(output.blocked);
    let bytes = scanner.bytes();
    assert_eq!(bytes.scanned, body.len() as u64);
    assert_eq!(bytes.scanned, bytes.delivered + bytes.withheld);
    Run { out, blocked, hits: scanner.hits().len() }
}

fn corpus() -> Rc<FingerprintSet> {
    set(&[
        &[("abcd7e", "beta"), ("bcd7", "beta"), ("falcon harbor", "beta"), ("own secret", "acme"), ("aaaa7", "beta")],
        &[("harbor 77", "gamma"), ("canary-0451", "gamma"), ("den aab aab", "beta")],
    ])
}

/// Text that is rich in prefixes, overlaps and separators of the corpus.
fn haystack() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("abcd"),
        Just("7e"),
        Just("abcd7e"),
        Just("bcd7"),
        Just("fal"),
        Just("con"),
        Just(" "),
        Just("-"),
        Just("harbor"),
        Just("Falcon"),
        Just("77"),
        Just("own secret"),
        Just("\u{200b}"),
        Just("é"),
        Just("a"),
        Just("aaaa"),
        Just("7"),
        Just("canary"),
        Just("0451"),
        Just("\n"),
        Just("x"),
        Just("\""),
        Just("den aab aab")
    ];
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

fn sse(deltas: &[(u8, String)], ending: &str) -> Vec<u8> {
    let mut body = String::new();
    for (choice, text) in deltas {
        let data = serde_json::json!({"id": "chatcmpl-1", "choices": [{"delta": {"content": text}, "index": choice}]});
        body += &format!("data: {data}{ending}{ending}");
    }
    body += &format!("data: [DONE]{ending}{ending}");
    body.into_bytes()
}

fn contents(stream: &[u8], choice: u8) -> String {
    let text = std::str::from_utf8(stream).unwrap().replace("\r\n", "\n").replace('\r', "\n");
    text.split("\n\n")
        .filter_map(|event| event.strip_prefix("data: "))
        .filter_map(|data| serde_json::from_str::<serde_json::Value>(data).ok())
        .filter(|data| data["choices"][0]["index"] == choice)
        .map(|data| data["choices"][0]["delta"]["content"].as_str().unwrap().to_owned())
        .collect()
}

fn leaks(text: &str) -> bool {
    let folded = scan::fold::text(text);
    ["abcd7e", "bcd7", "falcon harbor", "aaaa7", "harbor 77", "canary 0451", "den aab aab"]
        .iter()
        .any(|p| folded.contains(p))
        // The only one that is long enough to be found in disguise.
        || scan::symbols(text).contains("falconharbor")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn text_is_the_same_for_every_split(text in haystack(), cuts in prop::collection::vec(any::<usize>(), 0..40), action in 0..3u8) {
        let set = corpus();
        let action = [OnDetect::Block, OnDetect::Redact, OnDetect::Alert][action as usize];
        let whole = run(scanner(&set, Media::Text, action, HoldBack::Exact), text.as_bytes(), &[]);
        let split = run(scanner(&set, Media::Text, action, HoldBack::Exact), text.as_bytes(), &cuts);
        let bytes: Vec<usize> = (0..text.len()).collect();
        let dripped = run(scanner(&set, Media::Text, action, HoldBack::Exact), text.as_bytes(), &bytes);
        prop_assert_eq!(&whole.out, &split.out);
        prop_assert_eq!(&whole.out, &dripped.out);
        prop_assert_eq!(whole.blocked, split.blocked);
        prop_assert_eq!(whole.hits, dripped.hits);
        prop_assert_eq!(leaks(&text), whole.hits > 0, "the oracle disagrees");
        match action {
            OnDetect::Block => prop_assert_eq!(whole.blocked, leaks(&text).then_some(Code::FingerprintMatch)),
            OnDetect::Redact => prop_assert!(!leaks(&String::from_utf8_lossy(&whole.out))),
            OnDetect::Alert => prop_assert_eq!(&whole.out, &text.as_bytes()),
        }
        if !leaks(&text) {
            prop_assert_eq!(&whole.out, &text.as_bytes());
        }
    }

    #[test]
    fn not_one_byte_of_a_match_leaves(text in haystack(), secret in prop::sample::select(vec!["falcon harbor", "Canary--0451", "abcd7e"])) {
        let body = format!("{text}|{secret}");
        let set = corpus();
        let all: Vec<usize> = (0..body.len()).collect();
        let out = run(scanner(&set, Media::Text, OnDetect::Block, HoldBack::Exact), body.as_bytes(), &all).out;
        let folded = scan::fold::text(&body);
        let first = ["abcd7e", "bcd7", "falcon harbor", "aaaa7", "harbor 77", "canary 0451", "den aab aab"].iter().filter_map(|p| folded.find(p)).min().unwrap();
        let left = scan::fold::text(std::str::from_utf8(&out).unwrap());
        prop_assert!(left.trim_end().len() <= first, "{left:?} reaches into the match at {first} of {folded:?}");
    }

    #[test]
    fn streams_are_the_same_for_every_split(
        deltas in prop::collection::vec((0..2u8, haystack()), 0..8),
        cuts in prop::collection::vec(any::<usize>(), 0..60),
        ending in prop::sample::select(vec!["\n", "\r\n", "\r"]),
        action in 0..3u8,
    ) {
        let set = corpus();
        let action = [OnDetect::Block, OnDetect::Redact, OnDetect::Alert][action as usize];
        let body = sse(&deltas, ending);
        let whole = run(scanner(&set, Media::Sse, action, HoldBack::Exact), &body, &[]);
        let split = run(scanner(&set, Media::Sse, action, HoldBack::Exact), &body, &cuts);
        prop_assert_eq!(String::from_utf8_lossy(&whole.out), String::from_utf8_lossy(&split.out));
        prop_assert_eq!(whole.blocked, split.blocked);
        let choices: Vec<String> = (0..2).map(|n| deltas.iter().filter(|(c, _)| *c == n).map(|(_, t)| t.as_str()).collect()).collect();
        let leak = choices.iter().any(|text| leaks(text));
        prop_assert_eq!(leak, whole.hits > 0);
        if !leak || action == OnDetect::Alert {
            prop_assert_eq!(&whole.out, &body);
        } else if action == OnDetect::Block {
            prop_assert_eq!(whole.blocked, Some(Code::FingerprintMatch));
            prop_assert!(body.starts_with(&whole.out));
        } else {
            for choice in 0..2 {
                let text = contents(&whole.out, choice);
                prop_assert!(!leaks(&text), "{text}");
                prop_assert_eq!(leaks(&choices[choice as usize]), text != choices[choice as usize]);
            }
        }
    }

    #[test]
    fn a_broken_blob_is_refused_or_harmless(at in any::<prop::sample::Index>(), value in any::<u8>(), text in haystack()) {
        let entries = [Entry { id: 1, text: "falcon harbor".into(), owners: vec![tenant("beta")], severity: Severity::Low },
            Entry { id: 2, text: "abcd7e".into(), owners: vec![tenant("beta")], severity: Severity::Low }];
        let mut blob = scan::compile(&entries).unwrap();
        let at = at.index(blob.len());
        blob[at] = value;
        let mut loader = Loader::new(&segment(&blob, 2)).unwrap();
        if loader.push(&blob).is_ok()
            && let Ok(segment) = loader.finish() {
                let set = Rc::new(FingerprintSet::new(vec![Rc::new(segment)], vec![]));
                run(scanner(&set, Media::Text, OnDetect::Redact, HoldBack::Exact), text.as_bytes(), &[]);
            }
    }

    #[test]
    fn no_bytes_panic(body in prop::collection::vec(any::<u8>(), 0..300), cuts in prop::collection::vec(any::<usize>(), 0..8), media in 0..4u8) {
        let media = [Media::Sse, Media::Ndjson, Media::Json, Media::Text][media as usize];
        run(scanner(&corpus(), media, OnDetect::Redact, HoldBack::WordStart), &body, &cuts);
    }
}

#[test]
fn the_automaton_agrees_with_the_library() {
    // Pseudo-random patterns over a small alphabet: many shared prefixes, suffixes and fail links.
    let mut seed = 7u64;
    let mut next = || {
        seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (seed >> 33) as usize
    };
    let mut patterns: Vec<String> =
        (0..3000).map(|_| (0..4 + next() % 12).map(|_| b"abc9"[next() % 4] as char).collect()).collect();
    patterns.retain(|p| scan::literal(p).is_ok());
    patterns.sort();
    patterns.dedup();
    let entries: Vec<Entry> = patterns
        .iter()
        .enumerate()
        .map(|(id, text)| Entry {
            id: id as u64,
            text: text.clone(),
            owners: vec![tenant("beta")],
            severity: Severity::Low,
        })
        .collect();
    let set = Rc::new(FingerprintSet::new(vec![load(&scan::compile(&entries).unwrap())], vec![]));
    let library = aho_corasick::AhoCorasick::new(&patterns).unwrap();
    for _ in 0..300 {
        let text: String = (0..40).map(|_| b"abc9"[next() % 4] as char).collect();
        let mut scanner = scanner(&set, Media::Text, OnDetect::Alert, HoldBack::Exact).evasion(Evasion::Plain);
        scanner.push(text.as_bytes(), true);
        let mut ours: Vec<(u64, u64)> = scanner.hits().iter().map(|hit| (hit.fingerprint, hit.offset)).collect();
        let mut theirs: Vec<(u64, u64)> =
            library.find_overlapping_iter(&text).map(|m| (m.pattern().as_u64(), m.start() as u64)).collect();
        ours.sort_unstable();
        theirs.sort_unstable();
        theirs.truncate(ours.len().max(theirs.len().min(64)));
        if theirs.len() <= 64 {
            assert_eq!(ours, theirs, "{text}");
        }
    }
}

#[test]
fn own_and_removed_fingerprints_pass() {
    let set = corpus();
    let own = run(scanner(&set, Media::Text, OnDetect::Block, HoldBack::Exact), b"my own secret here", &[]);
    assert_eq!(own.blocked, None);
    let shared = [Entry {
        id: 9,
        text: "joint venture".into(),
        owners: vec![tenant("acme"), tenant("beta")],
        severity: Severity::Low,
    }];
    let blob = scan::compile(&shared).unwrap();
    let both = Rc::new(FingerprintSet::new(vec![load(&blob)], vec![]));
    assert_eq!(run(scanner(&both, Media::Text, OnDetect::Block, HoldBack::Exact), b"joint venture", &[]).blocked, None);
    let foreign =
        [Entry { id: 9, text: "joint venture".into(), owners: vec![tenant("beta")], severity: Severity::Low }];
    let blob = scan::compile(&foreign).unwrap();
    let there = Rc::new(FingerprintSet::new(vec![load(&blob)], vec![]));
    assert!(
        run(scanner(&there, Media::Text, OnDetect::Block, HoldBack::Exact), b"joint venture", &[]).blocked.is_some()
    );
    let gone = Rc::new(FingerprintSet::new(vec![load(&blob)], vec![9]));
    assert_eq!(run(scanner(&gone, Media::Text, OnDetect::Block, HoldBack::Exact), b"joint venture", &[]).blocked, None);
}

#[test]
fn single_tokens_do_not_wait_at_word_starts() {
    // "the" ends in "e", with which "elbow room" begins; only exact hold-back waits for it.
    let set = set(&[&[("elbow room", "beta")]]);
    let event = b"data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"The\"}}]}\n\n";
    let mut exact = scanner(&set, Media::Sse, OnDetect::Block, HoldBack::Exact);
    assert!(exact.push(event, false).release.is_empty());
    let mut word = scanner(&set, Media::Sse, OnDetect::Block, HoldBack::WordStart);
    assert_eq!(word.push(event, false).release, event);
}

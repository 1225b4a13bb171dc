//! Phrases in encodings: found however the stream is cut, little of them leaves, ordinary text is none.
#![allow(
    clippy::unwrap_used,
    clippy::string_slice,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::panic,
    missing_docs
)]

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use partywall_core::error::{Code, Shape};
use partywall_core::phrase::{self, Loader, PhraseSet, Selector, WireKey, WordKey};
use partywall_core::record::Severity;
use partywall_core::scan::{FingerprintSet, Media, ScanConfig, Scanner};
use partywall_core::snapshot::wire::{Evasion, HoldBack, Limits, OnDetect, Phrases, Segment};
use partywall_core::tenant::TenantId;
use proptest::prelude::*;
use sha2::{Digest, Sha256};
use std::collections::HashSet;
use std::rc::Rc;

const KEY: [u8; 16] = [7; 16];

fn tenant(id: &str) -> TenantId {
    TenantId::parse(id).unwrap()
}

fn selector() -> Selector {
    Selector::new(WordKey::new(&KEY))
}

fn set<'t>(documents: impl IntoIterator<Item = (&'t str, &'t str)>, removed: &[u64]) -> Rc<FingerprintSet> {
    set_without(documents, removed, &HashSet::new())
}

fn set_without<'t>(
    documents: impl IntoIterator<Item = (&'t str, &'t str)>,
    removed: &[u64],
    taken: &HashSet<u64>,
) -> Rc<FingerprintSet> {
    let (selector, wire) = (selector(), WireKey::new(&KEY));
    let segments = documents.into_iter().map(|(text, owner)| {
        let owner = tenant(owner);
        let mut phrases = selector.choose(text, |id| taken.contains(&id)).phrases;
        // Those are chosen for later.
        phrases.retain(|phrase| !taken.contains(&phrase.id));
        let phrases: Vec<_> = phrases.into_iter().map(|p| (p, &owner)).collect();
        let blob = phrase::compile(&phrases, &wire).unwrap();
        let segment = Segment { digest: hex::encode(Sha256::digest(&blob)), bytes: blob.len() as u64, entries: 0 };
        let mut loader = Loader::new(&segment).unwrap();
        loader.push(&blob).unwrap();
        Rc::new(loader.finish().unwrap())
    });
    let manifest = Phrases {
        word_key: STANDARD.encode(KEY),
        wire_key: STANDARD.encode(KEY),
        severity: Severity::High,
        action: None,
        from_rag_writes: false,
        segments: vec![],
        removed: removed.iter().map(|id| wire.id(*id)).collect(),
    };
    let set = PhraseSet::new(&manifest, segments.collect()).ok().unwrap();
    Rc::new(FingerprintSet::empty().with_phrases(Some(set)))
}

fn scanner(set: &Rc<FingerprintSet>, media: Media, on_detect: OnDetect) -> Scanner {
    Scanner::new(ScanConfig {
        set: Rc::clone(set),
        tenant: tenant("acme"),
        media,
        shape: Shape::OpenAi,
        on_detect,
        hold_back: HoldBack::Exact,
        limits: Limits { request_bytes: 1 << 24, response_bytes: 1 << 24, event_bytes: 1 << 24 },
        request_id: String::new(),
    })
}

type Ran = (Vec<u8>, Option<Code>, Vec<(u64, u64)>);

fn run(mut scanner: Scanner, body: &[u8], cuts: impl IntoIterator<Item = usize>) -> Ran {
    let (mut out, mut blocked, mut from) = (Vec::new(), None, 0);
    for to in cuts.into_iter().chain([body.len()]) {
        let output = scanner.push(&body[from..to], to == body.len() && from <= to);
        out.extend(output.release);
        blocked = blocked.or(output.blocked);
        from = to;
        let bytes = scanner.bytes();
        assert_eq!(bytes.scanned, bytes.delivered + bytes.withheld + scanner.held() as u64);
    }
    (out, blocked, scanner.hits().iter().map(|hit| (hit.fingerprint, hit.offset)).collect())
}

/// One phrase whose anchor is its first word.
const SECRET: &str = "Kestrel, walnut bridge. Seven pebble thimble lantern café";

fn lines(text: &str, width: usize, end: &str) -> String {
    let lines = text.as_bytes().chunks(width).map(|line| std::str::from_utf8(line).unwrap());
    lines.collect::<Vec<_>>().join(end)
}

fn base32(bytes: &[u8]) -> String {
    let mut out = String::new();
    for group in bytes.chunks(5) {
        let word = (0..5).fold(0u64, |word, i| word << 8 | u64::from(group.get(i).copied().unwrap_or(0)));
        let digit = |i: usize| b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"[(word >> (35 - 5 * i) & 31) as usize] as char;
        out.extend((0..(group.len() * 8).div_ceil(5)).map(digit));
    }
    out
}

fn each(text: &str, write: impl Fn(char) -> String) -> String {
    text.chars().map(write).collect()
}

fn percent(c: char) -> String {
    c.to_string().bytes().map(|b| format!("%{b:02X}")).collect()
}

/// A text in every encoding, and how much of it may leave: a word before the anchor and the anchor, and what a run must have first.
fn encodings(text: &str) -> Vec<(&'static str, String)> {
    let bytes = text.as_bytes();
    let around = [b"see: ", bytes, b" and more of it"].concat();
    let pairs: Vec<String> = bytes.iter().map(|b| format!("{b:02x}")).collect();
    let not_plain = |c: char, write: fn(char) -> String| if c.is_alphanumeric() { c.to_string() } else { write(c) };
    vec![
        ("base64", STANDARD.encode(bytes)),
        ("base64, second alignment", STANDARD.encode([b"!", bytes].concat())),
        ("base64, third alignment", STANDARD_NO_PAD.encode([b"\n\n", bytes].concat())),
        ("base64 with text around", STANDARD.encode(&around)),
        ("base64url", URL_SAFE_NO_PAD.encode([b"??>", bytes, b"???"].concat())),
        ("base64 behind a word", format!("ab\n{}", STANDARD.encode(&around))),
        ("base64 behind bytes", STANDARD.encode([b"\x01\xff\x00\x9c\x81\x00", bytes].concat())),
        ("base64 in lines", lines(&STANDARD.encode(&around), 10, "\r\n")),
        ("base64 as MIME", lines(&STANDARD.encode(&around), 76, "\n")),
        ("base64 in JSON", lines(&STANDARD.encode(&around), 24, "\\n")),
        ("base64 of upper case", STANDARD.encode(text.to_uppercase())),
        ("base32", base32(&around)),
        ("base32, lower case", base32(bytes).to_lowercase()),
        ("base32, other alignment", base32(&[b"ab ", bytes].concat())),
        ("hex", pairs.concat()),
        ("hex, odd", format!("f{}", pairs.concat())),
        ("hex, spaces", pairs.join(" ").to_uppercase()),
        ("hex, colons", pairs.join(":")),
        ("hex, words", lines(&pairs.concat(), 8, " ")),
        ("hex dump", lines(&pairs.join(" "), 48, "\n")),
        ("hex, 0x", pairs.iter().map(|p| format!("0x{p}")).collect::<Vec<_>>().join(", ")),
        ("hex, \\x", pairs.iter().map(|p| format!("\\x{p}")).collect()),
        ("percent", each(text, percent)),
        ("percent, as URLs have it", each(text, |c| not_plain(c, percent))),
        ("percent, form", each(text, |c| if c == ' ' { "+".into() } else { not_plain(c, percent) })),
        ("percent twice", each(text, percent).replace('%', "%25")),
        ("references, decimal", each(text, |c| format!("&#{};", c as u32))),
        ("references, hex", each(text, |c| format!("&#x{:x};", c as u32))),
        ("references, bare", each(text, |c| format!("&#{}", c as u32))),
        ("references, twice", each(text, |c| format!("&amp;#{};", c as u32))),
        ("references, named", text.replace('é', "&eacute;").replace(' ', "&nbsp;")),
        ("escapes \\u", each(text, |c| format!("\\u{:04x}", c as u32))),
        ("escapes \\u{}", each(text, |c| format!("\\u{{{:x}}}", c as u32))),
        (
            "escapes \\u, some",
            each(text, |c| if "aeiou é".contains(c) { format!("\\u{:04X}", c as u32) } else { c.into() }),
        ),
    ]
}

/// What is read without looking for disguises, too: JSON inside JSON, separators, and letters in clear.
fn is_plain(name: &str) -> bool {
    ["references, named", "escapes \\u", "escapes \\u, some", "percent, form"].contains(&name)
}

#[test]
fn every_encoding_is_found_at_every_split() {
    let set = set([(SECRET, "beta")], &[]);
    for (name, encoded) in encodings(SECRET) {
        for body in [encoded.clone(), format!("It is: {encoded}."), format!("fine ({encoded}) zz and so on\n")] {
            let body = body.as_bytes();
            for action in [OnDetect::Block, OnDetect::Redact, OnDetect::Alert] {
                let whole = run(scanner(&set, Media::Text, action), body, []);
                assert_eq!(whole.2.len(), 1, "{name} {action:?}: {}", String::from_utf8_lossy(body));
                assert_eq!(whole.1.is_some(), action == OnDetect::Block);
                let single = run(scanner(&set, Media::Text, action), body, 0..body.len());
                assert_eq!(
                    single,
                    whole,
                    "{name}, byte by byte: {:?} {:?}",
                    String::from_utf8_lossy(&single.0),
                    String::from_utf8_lossy(&whole.0)
                );
                for cut in 0..body.len() {
                    assert_eq!(run(scanner(&set, Media::Text, action), body, [cut]), whole, "{name} at {cut}");
                }
                if action == OnDetect::Redact {
                    let left = String::from_utf8_lossy(&whole.0);
                    assert_eq!(left.matches("[redacted]").count(), 1, "{name}: {left}");
                    assert_eq!(run(scanner(&set, Media::Text, action), &whole.0, []).2, [], "{name}: {left}");
                }
            }
            let plain = run(scanner(&set, Media::Text, OnDetect::Block).evasion(Evasion::Plain), body, []);
            assert!(plain.1.is_none() || is_plain(name), "{name} is no disguise");
        }
    }
}

/// A stream whose deltas are these texts.
fn sse(deltas: &[&str]) -> Vec<u8> {
    let event = |text: &&str| {
        let data = serde_json::json!({"choices": [{"index": 0, "delta": {"content": text}}]});
        format!("data: {data}\n\n")
    };
    (deltas.iter().map(event).collect::<String>() + "data: [DONE]\n\n").into_bytes()
}

/// The joined text of what left of such a stream: every event is whole.
fn content(out: &[u8]) -> String {
    let events = std::str::from_utf8(out).unwrap().split("\n\n").filter_map(|event| event.strip_prefix("data: "));
    let data =
        events.filter(|data| *data != "[DONE]").map(|data| serde_json::from_str::<serde_json::Value>(data).unwrap());
    data.map(|data| data["choices"][0]["delta"]["content"].as_str().unwrap_or("").to_owned()).collect()
}

#[test]
fn every_encoding_is_found_over_deltas() {
    let set = set([(SECRET, "beta")], &[]);
    for (name, encoded) in encodings(SECRET) {
        let text = format!("so ({encoded}) zz it is");
        let places: Vec<usize> = text.char_indices().map(|(at, _)| at).collect();
        for size in [1, 2, 3, 5, 11] {
            let mut cuts: Vec<usize> = places.iter().copied().step_by(size).collect();
            cuts.push(text.len());
            let deltas: Vec<&str> = cuts.windows(2).map(|cut| &text[cut[0]..cut[1]]).collect();
            let body = sse(&deltas);
            let blocked = run(scanner(&set, Media::Sse, OnDetect::Block), &body, []);
            assert_eq!(blocked.1, Some(Code::FingerprintMatch), "{name}, {size}");
            let pieces = (0..body.len()).step_by(7);
            assert_eq!(run(scanner(&set, Media::Sse, OnDetect::Block), &body, pieces), blocked, "{name}, {size}");
            let redacted = run(scanner(&set, Media::Sse, OnDetect::Redact), &body, []);
            let left = content(&redacted.0);
            assert!(left.starts_with("so ") && left.ends_with(" zz it is"), "{name}, {size}: {left}");
            assert_eq!(left.matches("[redacted]").count(), 1, "{name}, {size}: {left}");
            assert_eq!(
                run(scanner(&set, Media::Sse, OnDetect::Block), &redacted.0, []).1,
                None,
                "{name}, {size}: {left}"
            );
        }
    }
}

/// Of eight words seven are behind the anchor: none of their encodings leaves, but for what a run must have to be one.
#[test]
fn little_of_an_encoded_phrase_leaves() {
    let set = set([(SECRET, "beta")], &[]);
    for lead in ["", "This was told before, of another matter altogether. "] {
        let text = format!("{lead}{SECRET}");
        for (name, encoded) in encodings(&text) {
            let body = encoded.as_bytes();
            let out = run(scanner(&set, Media::Text, OnDetect::Block), body, 0..body.len()).0;
            // Up to "Kestrel, ", and what an alignment adds; what wakes a reading has left.
            let most = encoded.len() * (lead.len() + 9) / text.len() + encoded.len() / 20 + 4;
            let wakes = encoded.len() * 17 / text.len();
            let most = if lead.is_empty() { most.max(wakes) } else { most };
            assert!(
                out.len() <= most + 14,
                "{name}: {} of {most}: {:?} of {encoded:?}",
                out.len(),
                String::from_utf8_lossy(&out)
            );
        }
    }
}

#[test]
fn what_is_own_or_removed_passes() {
    let id = selector().choose(SECRET, |_| false).phrases[0].id;
    for set in [set([(SECRET, "acme")], &[]), set([(SECRET, "beta")], &[id])] {
        for (name, encoded) in encodings(SECRET) {
            let result = run(scanner(&set, Media::Text, OnDetect::Block), encoded.as_bytes(), 0..encoded.len());
            assert_eq!((result.1, result.0.as_slice()), (None, encoded.as_bytes()), "{name}");
        }
    }
}

/// Pieces of encodings, and of what begins like one.
fn haystack() -> impl Strategy<Value = String> {
    let all: Vec<String> =
        encodings("kx wq zv jy bn fm lr tc").into_iter().chain(encodings(SECRET)).map(|(_, text)| text).collect();
    let piece = (prop::sample::select(all), any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0..4u8)
        .prop_map(|(text, from, to, whole)| {
            let chars: Vec<char> = text.chars().collect();
            let (from, to) = (from.index(chars.len()), to.index(chars.len()) + 1);
            if whole < 2 { text } else { chars[from.min(to - 1)..to.max(from)].iter().collect() }
        });
    let other = prop::sample::select(vec![
        "",
        " ",
        "\n",
        "%",
        "%E2%91%B4",
        "&",
        "\\",
        "\\n",
        "0x",
        "0",
        "é",
        "\u{200b}",
        "語",
        "AAAA",
        "kx wq zv jy",
        " bn fm lr tc ",
        "kx ",
        "4",
        "=",
        "e291b4",
    ]);
    prop::collection::vec(prop_oneof![3 => piece, 2 => other.prop_map(str::to_owned)], 0..7)
        .prop_map(|all| all.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    #[test]
    fn every_split_gives_the_same(text in haystack(), cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..20), action in 0..3usize) {
        let set = set([(SECRET, "beta"), ("kx wq zv jy bn fm lr tc", "gamma"), ("kx wq zv jy bn kx wq zv", "acme")], &[]);
        let action = [OnDetect::Block, OnDetect::Redact, OnDetect::Alert][action];
        let body = text.as_bytes();
        let whole = run(scanner(&set, Media::Text, action), body, []);
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(body.len() + 1)).collect();
        cuts.sort_unstable();
        prop_assert_eq!(&run(scanner(&set, Media::Text, action), body, cuts.iter().copied()), &whole);
        prop_assert_eq!(&run(scanner(&set, Media::Text, action), body, 0..body.len()), &whole);
        if whole.2.is_empty() || action == OnDetect::Alert {
            prop_assert_eq!(whole.0.as_slice(), body);
        }
        if action == OnDetect::Alert {
            let plain = run(scanner(&set, Media::Text, action).evasion(Evasion::Plain), body, []);
            prop_assert!(plain.2.iter().all(|hit| whole.2.contains(hit)));
        }
        // As deltas, cut anywhere: whole events leave, and what was redacted is gone.
        let mut at: Vec<usize> = cuts.into_iter().filter(|cut| text.is_char_boundary(*cut)).collect();
        at.extend([0, text.len()]);
        at.sort_unstable();
        let deltas: Vec<&str> = at.windows(2).map(|cut| &text[cut[0]..cut[1]]).collect();
        let body = sse(&deltas);
        let stream = run(scanner(&set, Media::Sse, action), &body, []);
        prop_assert_eq!(&run(scanner(&set, Media::Sse, action), &body, (0..body.len()).step_by(3)), &stream);
        content(&stream.0);
    }
}

/// Random numbers for corpora, the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) as usize % below
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.below(256) as u8).collect()
    }
}

/// The project's own documents, cut in two: what is guarded, and what is not.
fn documents() -> (String, String) {
    let docs = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
    let mut paths: Vec<_> = std::fs::read_dir(docs).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let texts: Vec<String> = paths.iter().filter_map(|path| std::fs::read_to_string(path).ok()).collect();
    let (guarded, free) = texts.split_at(texts.len() / 2);
    (guarded.concat(), free.concat())
}

/// Ordinary answers of many kinds around other text, about so many bytes of them.
fn ordinary(text: &str, bytes: usize) -> String {
    let sentences: Vec<&str> = text.split_inclusive(['.', '\n']).collect();
    let mut r = Random(7);
    let mut out = String::new();
    while out.len() < bytes {
        // As they stand in the text: others, put together, may say what a guarded one does.
        let some = |r: &mut Random| {
            let at = r.below(sentences.len() - 3);
            sentences[at..at + 3].concat()
        };
        out += &match r.below(11) {
            0 => format!("<img src=\"data:image/png;base64,{}\">", STANDARD.encode(r.bytes(3000))),
            1 => lines(
                &STANDARD.encode([b"%PDF-1.7 see the reference manual ".to_vec(), r.bytes(900)].concat()),
                76,
                "\n",
            ),
            2 => {
                let row = |n: usize, r: &mut Random| {
                    let hex: Vec<String> = r.bytes(16).iter().map(|b| format!("{b:02x}")).collect();
                    format!("{:08x}  {}  |{}|\n", n * 16, hex.join(" "), "the gateway and..")
                };
                (0..30).map(|n| row(n, &mut r)).collect()
            }
            3 => format!(
                "https://docs.example/{}?q={}&page={}#frag",
                some(&mut r).replace(' ', "/"),
                some(&mut r).replace(' ', "%20"),
                r.below(9)
            ),
            4 => STANDARD.encode(some(&mut r)),
            5 => hex::encode(some(&mut r)),
            6 => each(&some(&mut r), |c| format!("&#{};", c as u32)),
            7 => (0..200).map(|_| format!("{},{};", r.below(10_000), r.below(100))).collect(),
            8 => format!("sha256:{} {:032x}", hex::encode(r.bytes(32)), r.below(1 << 30)),
            9 => "Die Löschung ist endgültig; данные удаляются навсегда. 本合同自双方签字之日起生效，有效期为一年。"
                .repeat(5),
            _ => some(&mut r),
        };
        out.push('\n');
    }
    out
}

fn hits(set: &Rc<FingerprintSet>, text: &str, evasion: Evasion) -> Vec<(u64, u64)> {
    run(scanner(set, Media::Text, OnDetect::Alert).evasion(evasion), text.as_bytes(), (0..text.len()).step_by(16 << 10))
        .2
}

fn no_false_alarm(bytes: usize) {
    let (guarded, free) = documents();
    let taken = selector().runs(&free).into_iter().collect();
    let set = set_without([(guarded.as_str(), "beta")], &[], &taken);
    let mut text = ordinary(&free, bytes);
    assert_eq!(
        hits(&set, &text, Evasion::Strict),
        hits(&set, &text, Evasion::Plain),
        "what is there in clear, and nothing else"
    );
    assert_eq!(hits(&set, &text, Evasion::Plain), [], "sentences of other documents");
    let copy: String = guarded.split_inclusive(' ').skip(300).take(400).collect();
    text += &STANDARD.encode(copy);
    assert_ne!(hits(&set, &text, Evasion::Strict), [], "it would have been found");
}

#[test]
fn ordinary_text_is_no_encoded_phrase() {
    no_false_alarm(2 << 20);
}

/// `cargo test --release -p partywall-core --test encoded_phrases -- --ignored much`
#[test]
#[ignore = "100 MB"]
fn much_ordinary_text_is_no_encoded_phrase() {
    no_false_alarm(100 << 20);
}

/// `cargo test --release -p partywall-core --test encoded_phrases -- --ignored --nocapture speed`
#[test]
#[ignore = "measures; wants a release build and a quiet machine"]
fn speed() {
    let (guarded, free) = documents();
    let set = set([(guarded.as_str(), "beta")], &[]);
    let mut r = Random(3);
    let word = |word: &&str| word.chars().all(|c| c.is_ascii_alphabetic() || ".,;:()'`".contains(c));
    let english = free.split(' ').filter(word).collect::<Vec<_>>().join(" ");
    let texts = [
        ("English", english.repeat((4 << 20) / english.len())),
        ("documents", free.repeat((4 << 20) / free.len())),
        ("Chinese", "本合同自双方签字之日起生效，有效期为一年。".repeat(20_000)),
        ("numbers", (0..100_000).map(|_| format!("{:02},{} ", r.below(100), r.below(10_000))).collect()),
        ("base64 of bytes", STANDARD.encode(r.bytes(1 << 19))),
        ("base64 of English", STANDARD.encode(&english)),
        ("percent", each(&english, |c| if c == ' ' { "%20".into() } else { c.to_string() }).repeat(8)),
    ];
    let only = std::env::var("ONLY").unwrap_or_default();
    for (name, text) in texts.into_iter().filter(|(name, _)| name.starts_with(&only)) {
        for size in [16 << 10, 4] {
            let mut times = [Vec::new(), Vec::new()];
            let text = if size < 100 { &text.as_bytes()[..text.len().min(1 << 18)] } else { text.as_bytes() };
            for _ in 0..7 {
                for (evasion, times) in [Evasion::Plain, Evasion::Strict].into_iter().zip(&mut times) {
                    let start = std::time::Instant::now();
                    let mut scanner = scanner(&set, Media::Text, OnDetect::Alert).evasion(evasion);
                    text.chunks(size).for_each(|chunk| drop(scanner.push(chunk, false)));
                    times.push(start.elapsed().as_secs_f64());
                }
            }
            let [plain, strict] = times.map(|mut times| {
                times.sort_by(f64::total_cmp);
                text.len() as f64 / times[2] / 1e6
            });
            println!(
                "{name}, {size} bytes a piece: {plain:.1} MB/s plain, {strict:.1} MB/s strict: {:.2}",
                strict / plain
            );
        }
    }
}

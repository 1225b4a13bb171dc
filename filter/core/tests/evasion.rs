//! Literals in disguise: every class is found however the stream is split, at most what wrote the first five symbols leaves,
//! and ordinary text is never taken for one.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::panic,
    missing_docs
)]

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
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

fn set<'t>(literals: impl IntoIterator<Item = (&'t str, &'t str)>) -> Rc<FingerprintSet> {
    let entry = |(id, (text, owner)): (usize, (&str, &str))| Entry {
        id: id as u64,
        text: text.to_owned(),
        owners: vec![tenant(owner)],
        severity: Severity::Critical,
    };
    let blob = scan::compile(&literals.into_iter().enumerate().map(entry).collect::<Vec<_>>()).unwrap();
    let segment = Segment { digest: hex::encode(Sha256::digest(&blob)), bytes: blob.len() as u64, entries: 0 };
    let mut loader = Loader::new(&segment).unwrap();
    blob.chunks(1000).for_each(|piece| loader.push(piece).unwrap());
    Rc::new(FingerprintSet::new(vec![Rc::new(loader.finish().unwrap())], vec![]))
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

fn base32(bytes: &[u8]) -> String {
    let mut out = String::new();
    for group in bytes.chunks(5) {
        let word = (0..5).fold(0u64, |word, i| word << 8 | u64::from(group.get(i).copied().unwrap_or(0)));
        let count = (group.len() * 8).div_ceil(5);
        out.extend(
            (0..count).map(|i| b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"[(word >> (35 - 5 * i) & 31) as usize] as char),
        );
    }
    out
}

fn each(text: &str, write: impl Fn(char) -> String) -> String {
    text.chars().map(write).collect()
}

fn rot13(text: &str) -> String {
    each(text, |c| {
        match c {
            'a'..='m' | 'A'..='M' => (c as u8 + 13) as char,
            'n'..='z' | 'N'..='Z' => (c as u8 - 13) as char,
            c => c,
        }
        .to_string()
    })
}

/// A text in every disguise, each with the longest beginning that may leave, in bytes.
fn disguises(text: &str) -> Vec<(&'static str, String)> {
    let bytes = text.as_bytes();
    let pairs: Vec<String> = bytes.iter().map(|b| format!("{b:02x}")).collect();
    let reversed: String = text.chars().rev().collect();
    let percent = each(text, |c| c.to_string().bytes().map(|b| format!("%{b:02X}")).collect());
    vec![
        ("base64", STANDARD.encode(bytes)),
        ("base64, second alignment", STANDARD.encode([b"!", bytes].concat())),
        ("base64, third alignment", STANDARD_NO_PAD.encode([b"\n\n", bytes].concat())),
        ("base64 of other text around", STANDARD.encode([b"see: ", bytes, b" and more of it"].concat())),
        ("base64url", URL_SAFE_NO_PAD.encode([b"??>", bytes, b"???"].concat())),
        ("base64 of upper case", STANDARD.encode(text.to_uppercase())),
        ("base64 of lower case", STANDARD.encode(text.to_lowercase())),
        (
            "base64 in lines",
            STANDARD
                .encode(bytes)
                .as_bytes()
                .chunks(10)
                .map(|l| String::from_utf8_lossy(l).into_owned())
                .collect::<Vec<_>>()
                .join("\r\n"),
        ),
        ("base64 of rot13", STANDARD.encode(rot13(text))),
        ("base32", base32(bytes)),
        ("base32, lower case", base32(bytes).to_lowercase()),
        ("base32, second alignment", base32(&[b"!", bytes].concat())),
        ("base32, third alignment", base32(&[b"ab", bytes].concat())),
        ("base32, fourth alignment", base32(&[b"abc", bytes].concat())),
        ("base32, fifth alignment", base32(&[b"abc ", bytes].concat())),
        ("hex", pairs.concat()),
        ("hex, upper case", pairs.concat().to_uppercase()),
        ("hex, odd", format!("f{}", pairs.concat())),
        ("hex, spaces", pairs.join(" ")),
        ("hex, colons", pairs.join(":")),
        ("hex, \\x", pairs.iter().map(|p| format!("\\x{p}")).collect()),
        ("hex, 0x", pairs.iter().map(|p| format!("0x{p}")).collect::<Vec<_>>().join(", ")),
        ("percent", percent.clone()),
        ("percent twice", percent.replace('%', "%25")),
        ("percent three times", percent.replace('%', "%2525")),
        (
            "percent, some",
            each(text, |c| if "aeiou".contains(c) { format!("%{:02x}", c as u32) } else { c.to_string() }),
        ),
        ("references, decimal", each(text, |c| format!("&#{};", c as u32))),
        ("references, hex", each(text, |c| format!("&#x{:x};", c as u32))),
        ("references, bare", each(text, |c| format!("&#{}", c as u32))),
        ("references, twice", each(text, |c| format!("&amp;#{};", c as u32))),
        ("references, named", text.replace('o', "&oacute;").replace(' ', "&nbsp;")),
        ("escapes \\u", each(text, |c| format!("\\u{:04x}", c as u32))),
        (
            "escapes \\u, some",
            each(text, |c| if "aeiou".contains(c) { format!("\\u{:04x}", c as u32) } else { c.to_string() }),
        ),
        ("escapes \\\\u", each(text, |c| format!("\\\\u{:04X}", c as u32))),
        ("escapes \\u{}", each(text, |c| format!("\\u{{{:x}}}", c as u32))),
        ("rot13", rot13(text)),
        ("reversed", reversed.clone()),
        ("spaced", each(text, |c| format!("{c} "))),
        ("dashed", each(text, |c| format!("{c}-"))),
        ("without spaces", text.replace(' ', "")),
        (
            "leetspeak",
            each(text, |c| {
                match c {
                    'o' => '0',
                    'i' => '1',
                    'l' => '1',
                    'e' => '3',
                    'a' => '4',
                    's' => '5',
                    't' => '7',
                    c => c,
                }
                .to_string()
            }),
        ),
        ("Markdown", each(text, |c| if c == 'o' { "**o**".into() } else { c.to_string() })),
        ("HTML", each(text, |c| if c == 'o' { "<b class=\"x\">o</b>".into() } else { c.to_string() })),
        ("comments", each(text, |c| if c == 'a' { "a<!-- -->".into() } else { c.to_string() })),
        (
            "Cyrillic look-alikes",
            each(text, |c| {
                match c {
                    'a' => 'а',
                    'o' => 'о',
                    'e' => 'е',
                    'c' => 'с',
                    'p' => 'р',
                    'H' => 'Н',
                    'P' => 'Р',
                    c => c,
                }
                .to_string()
            }),
        ),
        (
            "Greek look-alikes",
            each(text, |c| {
                match c {
                    'o' => 'ο',
                    'H' => 'Η',
                    'a' => 'α',
                    'P' => 'Ρ',
                    c => c,
                }
                .to_string()
            }),
        ),
        (
            "small capitals",
            each(text, |c| {
                match c {
                    'r' => 'ʀ',
                    'a' => 'ᴀ',
                    'b' => 'ʙ',
                    'n' => 'ɴ',
                    c => c,
                }
                .to_string()
            }),
        ),
        (
            "mathematical",
            each(text, |c| {
                if c.is_ascii_lowercase() { char::from_u32(0x1d41a + c as u32 - 97).unwrap() } else { c }.to_string()
            }),
        ),
        (
            "squared",
            each(text, |c| {
                if c.is_ascii_lowercase() { char::from_u32(0x1f170 + c as u32 - 97).unwrap() } else { c }.to_string()
            }),
        ),
        ("bidi override", format!("\u{202e}{reversed}\u{202c}")),
        ("zero width in reverse", each(&reversed, |c| format!("{c}\u{200b}"))),
    ]
}

const SECRET: &str = "Project Falcon Harbor";

#[test]
fn every_disguise_is_found_at_every_split() {
    let set = set([(SECRET, "beta"), ("Acme Orchid Ltd", "acme")]);
    for (name, disguised) in disguises(SECRET) {
        for body in [disguised.clone(), format!("It is: {disguised}."), format!("fine ({disguised}) and so on\n")] {
            let body = body.as_bytes();
            let whole = run(scanner(&set, Media::Text, OnDetect::Block), body, []);
            assert_eq!(whole.1, Some(Code::FingerprintMatch), "{name}: {}", String::from_utf8_lossy(body));
            assert!(body.starts_with(&whole.0), "{name}");
            assert_eq!(
                run(scanner(&set, Media::Text, OnDetect::Block), body, 0..body.len()),
                whole,
                "{name}, byte by byte"
            );
            for cut in 0..body.len() {
                assert_eq!(run(scanner(&set, Media::Text, OnDetect::Block), body, [cut]), whole, "{name} at {cut}");
            }
            // Compatibility forms are the same text already.
            let plain = run(scanner(&set, Media::Text, OnDetect::Block).evasion(Evasion::Plain), body, []);
            assert_eq!(plain.1.is_some(), name == "mathematical", "{name} is no disguise");
        }
        let own = run(scanner(&set, Media::Text, OnDetect::Block), disguises("Acme Orchid Ltd")[0].1.as_bytes(), []);
        assert_eq!(own.1, None);
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

/// The joined text of what left of such a stream.
fn content(out: &[u8]) -> String {
    let events = std::str::from_utf8(out).unwrap().split("\n\n").filter_map(|event| event.strip_prefix("data: "));
    let data = events.filter_map(|data| serde_json::from_str::<serde_json::Value>(data).ok());
    data.map(|data| data["choices"][0]["delta"]["content"].as_str().unwrap_or("").to_owned()).collect()
}

#[test]
fn every_disguise_is_found_over_deltas() {
    let set = set([(SECRET, "beta")]);
    for (name, disguised) in disguises(SECRET) {
        let text = format!("so {disguised} it is");
        let places: Vec<usize> = text.char_indices().map(|(at, _)| at).collect();
        let letters: Vec<&str> =
            places.iter().zip(places.iter().skip(1).chain([&text.len()])).map(|(a, b)| &text[*a..*b]).collect();
        let body = sse(&letters);
        let one_by_one = run(scanner(&set, Media::Sse, OnDetect::Block), &body, []);
        assert_eq!(one_by_one.1, Some(Code::FingerprintMatch), "{name}");
        assert_eq!(
            run(scanner(&set, Media::Sse, OnDetect::Block), &body, (0..body.len()).step_by(7)),
            one_by_one,
            "{name}"
        );
        for cut in places {
            let deltas = [&text[..cut], &text[cut..]];
            assert_eq!(
                run(scanner(&set, Media::Sse, OnDetect::Block), &sse(&deltas), []).1,
                Some(Code::FingerprintMatch),
                "{name} at {cut}"
            );
            let redacted = run(scanner(&set, Media::Sse, OnDetect::Redact), &sse(&deltas), []);
            let left = content(&redacted.0);
            assert!(
                left.starts_with("so ") && left.ends_with(" it is") && left.contains("[redacted]"),
                "{name}: {left}"
            );
            let again = run(scanner(&set, Media::Sse, OnDetect::Block), &redacted.0, []);
            assert_eq!(again.1, None, "{name}: {left}");
        }
    }
}

#[test]
fn little_of_a_disguise_leaves() {
    let set = set([(SECRET, "beta")]);
    for (name, disguised) in disguises(SECRET) {
        let body = disguised.as_bytes();
        let out = run(scanner(&set, Media::Text, OnDetect::Block), body, 0..body.len()).0;
        // Five of its 21 characters, and what an alignment or other text before it adds.
        let most = body.len() * 6 / 21 + if name.contains("around") { 16 } else { 4 };
        assert!(out.len() <= most, "{name}: {:?} of {disguised:?}", String::from_utf8_lossy(&out));
    }
}

#[test]
fn what_is_own_in_disguise_passes() {
    // The same symbols as a foreign literal: whoever owns one of them may see them.
    let set = set([("Order 10015-ABCD-20", "acme"), ("Order looIs-ABCD-2O", "beta"), (SECRET, "beta")]);
    for text in ["order 10015 abcd 20", "o r d e r 10015abcd20", "T3JkZXIgMTAwMTUtQUJDRC0yMA=="] {
        assert_eq!(run(scanner(&set, Media::Text, OnDetect::Block), text.as_bytes(), []).1, None, "{text}");
    }
    let foreign = run(scanner(&set, Media::Text, OnDetect::Block), b"Order looIs-ABCD-2O", []);
    assert_eq!(foreign.1, Some(Code::FingerprintMatch), "in clear it is theirs");
}

/// Pieces of disguises, and of what begins like one.
fn haystack() -> impl Strategy<Value = String> {
    let all: Vec<String> = disguises(SECRET).into_iter().map(|(_, text)| text).collect();
    let piece = (prop::sample::select(all), any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0..4u8)
        .prop_map(|(text, from, to, whole)| {
            let chars: Vec<char> = text.chars().collect();
            let (from, to) = (from.index(chars.len()), to.index(chars.len()) + 1);
            if whole == 0 { text } else { chars[from.min(to - 1)..to.max(from)].iter().collect() }
        });
    let other =
        prop::sample::select(vec!["", " ", "\n", "%", "<", "&", "\\", "0x", "é", "\u{200b}", "AAAA", "Projec", "own"]);
    prop::collection::vec(prop_oneof![3 => piece, 1 => other.prop_map(str::to_owned)], 0..5)
        .prop_map(|all| all.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn text_is_the_same_for_every_split(text in haystack(), cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..20), action in 0..3usize) {
        let set = set([(SECRET, "beta"), ("Projector Lamp 77", "gamma"), ("Acme Orchid Ltd", "acme")]);
        let action = [OnDetect::Block, OnDetect::Redact, OnDetect::Alert][action];
        let body = text.as_bytes();
        let whole = run(scanner(&set, Media::Text, action), body, []);
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(body.len() + 1)).collect();
        cuts.sort_unstable();
        prop_assert_eq!(&run(scanner(&set, Media::Text, action), body, cuts), &whole);
        prop_assert_eq!(&run(scanner(&set, Media::Text, action), body, 0..body.len()), &whole);
        if whole.2.is_empty() || action == OnDetect::Alert {
            prop_assert_eq!(whole.0.as_slice(), body);
        }
        if scan::symbols(&text).contains("projectfalconharbor") || text.contains("UHJvamVjdCBGYWxjb24gSGFyYm9y") {
            prop_assert!(!whole.2.is_empty());
        }
    }
}

/// Random numbers for corpora, the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) as usize % below
    }

    fn word(&mut self) -> String {
        const SYLLABLES: &[&str] = &[
            "ba", "kor", "len", "mi", "sta", "ver", "don", "fal", "gra", "hel", "jun", "per", "quil", "ros", "tan",
            "wex", "yar", "zed", "bor", "cas", "der", "ing", "ton", "son", "man", "ent", "pro", "con", "ter", "ion",
        ];
        (0..2 + self.below(2)).map(|_| SYLLABLES[self.below(SYLLABLES.len())]).collect()
    }
}

/// Names, codes, hosts, keys and numbers, as operators fingerprint them.
fn literals(count: usize) -> Vec<String> {
    let mut r = Random(1);
    (0..count)
        .map(|n| match n % 7 {
            0 => format!("Project {} {}", r.word(), r.word()),
            1 => format!("{} {} {}", r.word(), r.word(), r.word()),
            2 => format!("Invoice {}-{:06}", r.word(), r.below(1_000_000)),
            3 => format!("db{}.{}.{}.example", r.below(90), r.word(), r.word()),
            4 => format!("sk_live_{:08x}{:08x}", r.below(1 << 31), r.below(1 << 31)),
            5 => format!("4{:03} {:04} {:04} {:04}", r.below(1000), r.below(10_000), r.below(10_000), r.below(10_000)),
            _ => format!("{}{}", r.word(), r.word()),
        })
        .collect()
}

fn many(literals: &[String]) -> Rc<FingerprintSet> {
    set(literals.iter().map(|text| (text.as_str(), "beta")))
}

/// The project's own documents: English, tables, code, JSON, URLs.
fn documents() -> String {
    let docs = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
    let mut paths: Vec<_> = std::fs::read_dir(docs).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().filter_map(|path| std::fs::read_to_string(path).ok()).collect()
}

/// `cargo test --release -p partywall-core --test evasion -- --ignored --nocapture speed`
#[test]
#[ignore = "measures; wants a release build and a quiet machine"]
fn speed_and_hold_back() {
    let set = many(&literals(10_000));
    println!("{} bytes a literal", set.memory_bytes() / 10_000);
    let text: String = documents().chars().filter(char::is_ascii).collect::<String>().repeat(8);
    let mut times = [Vec::new(), Vec::new()];
    for _ in 0..61 {
        for (evasion, times) in [Evasion::Plain, Evasion::Strict].into_iter().zip(&mut times) {
            let start = std::time::Instant::now();
            let mut scanner = scanner(&set, Media::Text, OnDetect::Alert).evasion(evasion);
            text.as_bytes().chunks(16 << 10).for_each(|chunk| drop(scanner.push(chunk, false)));
            times.push(start.elapsed().as_secs_f64());
            assert!(scanner.hits().is_empty(), "{:?}", scanner.hits());
        }
    }
    let [plain, strict] = times.map(|mut times| {
        times.sort_by(f64::total_cmp);
        text.len() as f64 / times[10] / 1e6
    });
    println!("{plain:.0} MB/s plain, {strict:.0} MB/s strict: {:.2}", strict / plain);
    for evasion in [Evasion::Plain, Evasion::Strict] {
        let mut scanner = scanner(&set, Media::Text, OnDetect::Block).evasion(evasion);
        let (mut sum, mut most) = (0, 0);
        let text = documents();
        for byte in text.as_bytes().chunks(1) {
            scanner.push(byte, false);
            sum += scanner.held();
            most = most.max(scanner.held());
        }
        println!("{evasion:?}: {:.2} bytes held on average, at most {most}", sum as f64 / text.len() as f64);
    }
}

/// Ordinary text of many kinds that nobody fingerprinted, about so many bytes of it.
fn ordinary(bytes: usize) -> String {
    const LANGUAGES: &[&str] = &[
        "Der Vertrag wird zum Ende des Jahres verlängert, sofern keine der beiden Parteien fristgerecht kündigt.",
        "Les données sont conservées pendant trente jours puis supprimées définitivement de tous les serveurs.",
        "El cliente puede solicitar la devolución del importe íntegro dentro de los primeros catorce días.",
        "Договор вступает в силу с момента подписания и действует до конца календарного года.",
        "Η σύμβαση τίθεται σε ισχύ από την ημερομηνία υπογραφής της και από τα δύο μέρη.",
        "Sözleşme imzalandığı tarihte yürürlüğe girer ve bir yıl süreyle geçerlidir.",
        "本合同自双方签字之日起生效，有效期为一年。",
        "この契約は署名の日から効力を生じ、一年間有効とする。",
        "يدخل هذا العقد حيز التنفيذ من تاريخ توقيعه ويسري لمدة عام واحد.",
        "ההסכם ייכנס לתוקף במועד חתימתו.",
        "Umowa wchodzi w życie z dniem podpisania i obowiązuje przez okres jednego roku.",
    ];
    let documents = documents();
    let words: Vec<&str> = LANGUAGES.iter().flat_map(|text| text.split(' ')).chain(documents.split(' ')).collect();
    let mut r = Random(7);
    let mut out = documents.clone();
    while out.len() < bytes {
        let size = 200 + r.below(4000);
        match r.below(8) {
            0 | 1 => (0..size / 6).for_each(|_| out += &format!("{} ", words[r.below(words.len())])),
            2 => out += LANGUAGES[r.below(LANGUAGES.len())],
            3 => out += &STANDARD.encode((0..size).map(|_| r.below(256) as u8).collect::<Vec<_>>()),
            4 => {
                out += &(0..size)
                    .map(|n| format!("{:02x}{}", r.below(256), if n % 16 == 15 { "\n" } else { " " }))
                    .collect::<String>()
            }
            5 => out += &(0..size / 8).map(|_| format!("{} ", r.below(1_000_000))).collect::<String>(),
            6 => {
                out += &(0..size / 16)
                    .map(|_| {
                        format!(
                            "function {0}(a,b){{return a.{0}<b[{1}]&&c%{1}?\"\\u00{1:02x}\":'&amp;{0}'}}",
                            (b'a' + r.below(26) as u8) as char,
                            r.below(99)
                        )
                    })
                    .collect::<String>()
            }
            _ => {
                let from = r.below(documents.len() / 2);
                out.extend(documents.chars().skip(from).take(size));
            }
        }
        out.push('\n');
    }
    out
}

fn no_false_alarm(bytes: usize) {
    let set = many(&literals(10_000));
    let text = ordinary(bytes);
    let hits = |evasion| {
        let mut scanner = scanner(&set, Media::Text, OnDetect::Alert).evasion(evasion);
        text.as_bytes().chunks(16 << 10).for_each(|chunk| drop(scanner.push(chunk, false)));
        scanner.hits().iter().map(|hit| (hit.fingerprint, hit.offset)).collect::<Vec<_>>()
    };
    assert_eq!(hits(Evasion::Strict), hits(Evasion::Plain), "what is there in clear, and nothing else");
}

#[test]
fn ordinary_text_is_no_disguise() {
    no_false_alarm(2 << 20);
}

/// `cargo test --release -p partywall-core --test evasion -- --ignored much`
#[test]
#[ignore = "100 MB"]
fn much_ordinary_text_is_no_disguise() {
    no_false_alarm(100 << 20);
}

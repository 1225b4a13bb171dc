//! Literals in disguise: every class is found however the stream is split, at most what wrote the first five symbols leaves,
//! and ordinary text is never taken for one.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
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
        out.extend((0..count).map(|i| b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"[(word >> (35 - 5 * i) & 31) as usize] as char));
    }
    out
}

fn each(text: &str, write: impl Fn(char) -> String) -> String {
    text.chars().map(write).collect()
}

fn rot13(text: &str) -> String {
    each(text, |c| match c {
        'a'..='m' | 'A'..='M' => (c as u8 + 13) as char,
        'n'..='z' | 'N'..='Z' => (c as u8 - 13) as char,
        c => c,
    }.to_string())
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
        ("base64 in lines", STANDARD.encode(bytes).as_bytes().chunks(10).map(|l| String::from_utf8_lossy(l).into_owned()).collect::<Vec<_>>().join("\r\n")),
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
        ("percent, some", each(text, |c| if "aeiou".contains(c) { format!("%{:02x}", c as u32) } else { c.to_string() })),
        ("references, decimal", each(text, |c| format!("&#{};", c as u32))),
        ("references, hex", each(text, |c| format!("&#x{:x};", c as u32))),
        ("references, bare", each(text, |c| format!("&#{}", c as u32))),
        ("references, twice", each(text, |c| format!("&amp;#{};", c as u32))),
        ("references, named", text.replace('o', "&oacute;").replace(' ', "&nbsp;")),
        ("escapes \\u", each(text, |c| format!("\\u{:04x}", c as u32))),
        ("escapes \\u, some", each(text, |c| if "aeiou".contains(c) { format!("\\u{:04x}", c as u32) } else { c.to_string() })),
        ("escapes \\\\u", each(text, |c| format!("\\\\u{:04X}", c as u32))),
        ("escapes \\u{}", each(text, |c| format!("\\u{{{:x}}}", c as u32))),
        ("rot13", rot13(text)),
        ("reversed", reversed.clone()),
        ("spaced", each(text, |c| format!("{c} "))),
        ("dashed", each(text, |c| format!("{c}-"))),
        ("without spaces", text.replace(' ', "")),
        ("leetspeak", each(text, |c| match c {
            'o' => '0', 'i' => '1', 'l' => '1', 'e' => '3', 'a' => '4', 's' => '5', 't' => '7', c => c,
        }.to_string())),
        ("Markdown", each(text, |c| if c == 'o' { "**o**".into() } else { c.to_string() })),
        ("HTML", each(text, |c| if c == 'o' { "<b class=\"x\">o</b>".into() } else { c.to_string() })),
        ("comments", each(text, |c| if c == 'a' { "a<!-- -->".into() } else { c.to_string() })),
        ("Cyrillic look-alikes", each(text, |c| match c {
            'a' => 'а', 'o' => 'о', 'e' => 'е', 'c' => 'с', 'p' => 'р', 'H' => 'Н', 'P' => 'Р', c => c,
        }.to_string())),
        ("Greek look-alikes", each(text, |c| match c { 'o' => 'ο', 'H' => 'Η', 'a' => 'α', 'P' => 'Ρ', c => c }.to_string())),
        ("small capitals", each(text, |c| match c { 'r' => 'ʀ', 'a' => 'ᴀ', 'b' => 'ʙ', 'n' => 'ɴ', c => c }.to_string())),
        ("mathematical", each(text, |c| if c.is_ascii_lowercase() { char::from_u32(0x1d41a + c as u32 - 97).unwrap() } else { c }.to_string())),
        ("squared", each(text, |c| if c.is_ascii_lowercase() { char::from_u32(0x1f170 + c as u32 - 97).unwrap() } else { c }.to_string())),
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
            assert_eq!(run(scanner(&set, Media::Text, OnDetect::Block), body, 0..body.len()), whole, "{name}, byte by byte");
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

/// Random numbers for corpora, the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) as usize % below
    }

    fn word(&mut self) -> String {
        const SYLLABLES: &[&str] = &[
            "ba", "kor", "len", "mi", "sta", "ver", "don", "fal", "gra", "hel", "jun", "per", "quil", "ros", "tan", "wex", "yar",
            "zed", "bor", "cas", "der", "ing", "ton", "son", "man", "ent", "pro", "con", "ter", "ion",
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

//! Every dialect's channels (`tests/data/dialects`): literals and phrases in pieces are withheld from the first byte on, redaction
//! replaces exactly the span, clean streams pass; natively at every split, and through Envoy.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use partywall_core::error::Shape;
use partywall_core::record::Severity;
use partywall_core::scan::{self, Entry, FingerprintSet, Loader, Media, ScanConfig, Scanner};
use partywall_core::snapshot::wire::{HoldBack, Limits, OnDetect, Segment};
use partywall_core::tenant::TenantId;
use partywall_tests::llm::Script;
use partywall_tests::stack::{Stack, demo_policy};
use partywall_tests::{cases, mint, phrases};
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::rc::Rc;
use std::sync::OnceLock;

const SECRET: &str = "Project Falcon Harbor";
const PHRASE: &str = "Kestrel walnut bridge seven pebble thimble lantern copper";
const REDACTED: &str = "[redacted]";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    media: String,
    before: Vec<String>,
    delta: String,
    after: Vec<String>,
    last: Option<String>,
    /// A document that goes into `delta` in base64.
    inner: Option<String>,
    /// How often the text is encoded as a JSON string.
    #[serde(default = "once")]
    json: u8,
    /// The text is an array of its bytes.
    #[serde(default)]
    bytes: bool,
    /// `##` counts the deltas.
    #[serde(default)]
    counter: bool,
    /// Whether a span can be replaced.
    #[serde(default = "yes")]
    redact: bool,
}

fn once() -> u8 {
    1
}

fn yes() -> bool {
    true
}

fn string(text: &str) -> String {
    let quoted = json!(text).to_string();
    quoted[1..quoted.len() - 1].to_owned()
}

/// A text in pieces, and in each the part that must not leave.
type Pieces = Vec<(String, Option<(usize, usize)>)>;

/// Cuts a text; `from..to` of it must not leave.
fn cut(text: &str, (from, to): (usize, usize), cuts: &[usize]) -> Pieces {
    let mut all = cuts.to_vec();
    all.push(text.len());
    let mut start = 0;
    let mut pieces = Vec::new();
    for end in all {
        let (a, b) = (from.max(start), to.min(end));
        pieces.push((text[start..end].to_owned(), (a < b).then(|| (a - start, b - start))));
        start = end;
    }
    pieces
}

impl Case {
    fn held(&self) -> bool {
        self.media == "application/json"
    }

    fn fill(&self, template: &str, text: &str, count: usize) -> String {
        let text = if self.bytes {
            text.bytes().map(|b| b.to_string()).collect::<Vec<_>>().join(", ")
        } else if let Some(inner) = &self.inner {
            STANDARD.encode(inner.replace("@@", &string(text)))
        } else if self.json == 0 {
            text.to_owned()
        } else {
            string(text)
        };
        self.put(template, &text, count)
    }

    fn put(&self, template: &str, text: &str, count: usize) -> String {
        let filled = template.replace("@@", text);
        if self.counter { filled.replace("##", &count.to_string()) } else { filled }
    }

    /// A delta whose span was replaced.
    fn redacted(&self, (text, span): &(String, Option<(usize, usize)>), shown: bool, count: usize) -> String {
        let Some((from, to)) = *span else { return self.fill(&self.delta, text, count) };
        if self.bytes {
            let list = |part: &str| part.bytes().map(|b| b.to_string()).collect::<Vec<_>>();
            let all = [list(&text[..from]), vec!["0".to_owned()], list(&text[to..])].concat();
            return self.put(&self.delta, &all.join(", "), count);
        }
        let stead = if shown { REDACTED } else { "" };
        self.fill(&self.delta, &format!("{}{stead}{}", &text[..from], &text[to..]), count)
    }

    /// The parts of a stream of these pieces.
    fn parts(&self, pieces: &Pieces) -> Vec<String> {
        let mut parts = self.before.clone();
        parts.extend(pieces.iter().enumerate().map(|(at, (text, _))| self.fill(&self.delta, text, at)));
        if let Some(last) = &self.last {
            let text: String = pieces.iter().map(|(text, _)| text.as_str()).collect();
            parts.push(self.fill(last, &text, pieces.len()));
        }
        parts.extend(self.after.clone());
        parts
    }

    /// What may have left when the first piece that must not leave came.
    fn released(&self, pieces: &Pieces) -> String {
        if self.held() {
            return String::new();
        }
        let clean = pieces.iter().take_while(|(_, span)| span.is_none()).count();
        let all = self.parts(pieces);
        let mut parts: String = all[..self.before.len() + clean].concat();
        // A delta of two events: the first may leave.
        let first = self.delta.split("@@").next().unwrap_or_default();
        parts += first.rfind("\n\n").map_or("", |end| &first[..end + 2]);
        // Plain text leaves to the byte.
        if let (0, Some((text, Some((from, _))))) = (self.json, pieces.get(clean)) {
            parts += &text[..*from];
        }
        parts
    }

    fn replaced(&self, pieces: &Pieces) -> String {
        let first = pieces.iter().position(|(_, span)| span.is_some());
        let mut parts = self.before.clone();
        parts.extend(pieces.iter().enumerate().map(|(at, piece)| self.redacted(piece, Some(at) == first, at)));
        if let Some(last) = &self.last {
            let text: String = pieces.iter().map(|(text, _)| text.as_str()).collect();
            parts.push(self.fill(last, &text.replace(SECRET, REDACTED), pieces.len()));
        }
        parts.extend(self.after.clone());
        parts.concat()
    }

    fn scanner(&self, on_detect: OnDetect) -> Scanner {
        thread_local!(static SET: Rc<FingerprintSet> = set_of(SECRET));
        self.scanner_of(on_detect, &SET.with(Rc::clone))
    }

    fn scanner_of(&self, on_detect: OnDetect, set: &Rc<FingerprintSet>) -> Scanner {
        Scanner::new(ScanConfig {
            set: Rc::clone(set),
            tenant: TenantId::parse("acme").unwrap(),
            media: Media::from_content_type(self.media.as_bytes()).unwrap(),
            shape: Shape::OpenAi,
            on_detect,
            hold_back: HoldBack::Exact,
            limits: Limits { request_bytes: 1 << 20, response_bytes: 1 << 20, event_bytes: 1 << 18 },
            request_id: String::new(),
        })
    }

    /// What leaves of these parts, and how it ended.
    fn run<P: AsRef<[u8]>>(&self, on_detect: OnDetect, parts: &[P]) -> (String, Option<&'static str>) {
        let mut scanner = self.scanner(on_detect);
        let (mut out, mut blocked) = (Vec::new(), None);
        for (index, part) in parts.iter().enumerate() {
            let output = scanner.push(part.as_ref(), index + 1 == parts.len());
            out.extend(output.release);
            blocked = blocked.or(output.blocked);
        }
        let bytes = scanner.bytes();
        assert_eq!(bytes.scanned, bytes.delivered + bytes.withheld, "{}", self.name);
        (String::from_utf8(out).unwrap(), blocked.map(|code| code.as_str()))
    }
}

fn set_of(text: &str) -> Rc<FingerprintSet> {
    let entry = Entry {
        id: 1,
        text: text.to_owned(),
        owners: vec![TenantId::parse("beta").unwrap()],
        severity: Severity::High,
    };
    let blob = scan::compile(&[entry]).unwrap();
    let segment = Segment { digest: hex::encode(Sha256::digest(&blob)), bytes: blob.len() as u64, entries: 1 };
    let mut loader = Loader::new(&segment).unwrap();
    loader.push(&blob).unwrap();
    let literals = FingerprintSet::new(vec![Rc::new(loader.finish().unwrap())], vec![]);
    Rc::new(literals.with_phrases(Some(phrases::set(&[("beta", "birds", PHRASE)]))))
}

/// The secret in every two pieces, in single characters, and in three.
fn secrets() -> Vec<Pieces> {
    let text = format!("so {SECRET}, yes");
    let span = (3, 3 + SECRET.len());
    let mut all: Vec<Pieces> = (1..text.len()).map(|at| cut(&text, span, &[at])).collect();
    all.push(cut(&text, span, &(1..text.len()).collect::<Vec<_>>()));
    all.push(cut(&text, span, &[3, 8, 20]));
    all.push(cut(&text, span, &[]));
    all
}

const FOUND: Option<&str> = Some("fingerprint_match");
const BLOCK: OnDetect = OnDetect::Block;
const REDACT: OnDetect = OnDetect::Redact;

/// What a client reads must still be what the dialect says.
fn assert_valid(case: &Case, body: &str) {
    let documents: Vec<&str> = match case.media.as_str() {
        "text/event-stream" => {
            body.lines().filter_map(|line| line.strip_prefix("data:")).filter(|data| data.trim() != "[DONE]").collect()
        }
        "application/json" => vec![body],
        _ if case.json == 0 => vec![],
        _ => body.lines().collect(),
    };
    for document in documents {
        assert!(serde_json::from_str::<Value>(document).is_ok(), "{}: {document}", case.name);
    }
}

#[test]
fn a_literal_in_pieces_never_leaves() {
    for (file, case) in cases::load::<Case>("dialects") {
        for (index, pieces) in secrets().iter().enumerate() {
            let name = format!("{file}: {}, {index}", case.name);
            let parts = case.parts(pieces);
            assert_valid(&case, &parts.concat());
            assert_eq!(case.run(BLOCK, &parts), (case.released(pieces), FOUND), "{name}");
            let (left, code) = case.run(REDACT, &parts);
            if case.redact {
                assert_eq!((left.as_str(), code), (case.replaced(pieces).as_str(), None), "{name}");
                assert_valid(&case, &left);
            } else {
                assert_eq!((left, code), (case.released(pieces), FOUND), "{name}");
            }
            assert_eq!(case.run(OnDetect::Alert, &parts), (parts.concat(), None), "{name}");
        }
    }
}

#[test]
fn every_split_of_the_bytes_gives_the_same() {
    for (file, case) in cases::load::<Case>("dialects") {
        let pieces = &secrets()[10];
        let body = case.parts(pieces).concat();
        let bytes: Vec<&[u8]> = body.as_bytes().chunks(1).collect();
        for (from, action) in [(1, BLOCK), (2, REDACT)] {
            let whole = case.run(action, &[&body]);
            assert_eq!(case.run(action, &bytes), whole, "{file}: {}", case.name);
            for at in (from..body.len()).step_by(3) {
                let (a, b) = body.as_bytes().split_at(at);
                assert_eq!(case.run(action, &[a, b]), whole, "{file}: {}, {at}", case.name);
            }
        }
    }
}

#[test]
fn the_last_event_alone_may_leak() {
    for (file, case) in cases::load::<Case>("dialects") {
        let Some(last) = &case.last else { continue };
        let quiet = cut("all quiet", (0, 0), &[4]);
        let (mut parts, mut expected) = (case.before.clone(), case.before.clone());
        for (at, (text, _)) in quiet.iter().enumerate() {
            parts.push(case.fill(&case.delta, text, at));
            expected.push(case.fill(&case.delta, text, at));
        }
        let released = expected.concat();
        parts.push(case.fill(last, &format!("so {SECRET}, yes"), 2));
        expected.push(case.fill(last, &format!("so {REDACTED}, yes"), 2));
        parts.extend(case.after.clone());
        expected.extend(case.after.clone());
        assert_eq!(case.run(BLOCK, &parts), (released, FOUND), "{file}: {}", case.name);
        assert_eq!(case.run(REDACT, &parts), (expected.concat(), None), "{file}: {}", case.name);
    }
}

/// Texts in which each character of the secret, or a separator, takes an escape of the inner document.
const NESTED: [&str; 6] = [
    "Project\\nFalcon\\tHarbor",
    "\\\"Project\\\" Falcon/Harbor\\\\",
    "\\u0050roject Falcon H\\u0061rbor",
    "Kestrel\\nwalnut\\nbridge\\r\\nseven\\tpebble thimble lantern copper.",
    "\\u201cKestrel walnut\\u2014bridge seven p\\u0065bble thimble\\u00a0lantern copper\\u201d.",
    "Kestrel \\\"walnut\\\" bridge, seven (pebble) thi\\u00admble lantern copp\\u0065r!",
];

#[test]
fn json_inside_json_is_read_as_its_reader_does() {
    for (file, case) in cases::load::<Case>("dialects") {
        if case.json != 2 {
            continue;
        }
        for text in NESTED {
            for at in 1..text.len() {
                let parts = case.parts(&cut(text, (0, 0), &[at]));
                let (left, code) = case.run(BLOCK, &parts);
                assert_eq!(code, FOUND, "{file}: {}: {text} at {at}: {left}", case.name);
                assert!(!left.contains("Harbor") && !left.contains("pebble"), "{file}: {}: {left}", case.name);
                let (left, code) = case.run(REDACT, &parts);
                assert_eq!(code, None, "{file}: {}", case.name);
                assert!(left.contains(REDACTED) && !left.contains("falcon"), "{file}: {}: {left}", case.name);
                assert_valid(&case, &left);
            }
        }
    }
}

#[test]
fn a_phrase_in_pieces_never_leaves() {
    for (file, case) in cases::load::<Case>("dialects") {
        let text = format!("so {PHRASE}, yes");
        // Its first word may leave.
        let from = 3 + "Kestrel ".len();
        for at in 1..text.len() {
            let pieces = cut(&text, (from, 3 + PHRASE.len()), &[at]);
            let name = format!("{file}: {}, {at}", case.name);
            let parts = case.parts(&pieces);
            assert_eq!(case.run(BLOCK, &parts), (case.released(&pieces), FOUND), "{name}");
            let (left, code) = case.run(REDACT, &parts);
            assert_eq!(code, (!case.redact).then_some("fingerprint_match"), "{name}");
            assert!(!left.contains("bridge") && !left.contains("copper"), "{name}: {left}");
            if case.redact {
                assert_valid(&case, &left);
            }
        }
    }
}

#[test]
fn clean_streams_pass_byte_for_byte() {
    for (file, case) in cases::load::<Case>("dialects") {
        for text in
            ["Project Falcon, Harbour. caf\u{e9} \u{1f600} \"q\" \\n", "kestrel walnut bridges; project falcon harb"]
        {
            let pieces: Vec<usize> = text.char_indices().map(|(at, _)| at).skip(1).collect();
            let parts = case.parts(&cut(text, (0, 0), &pieces));
            for action in [BLOCK, REDACT] {
                assert_eq!(case.run(action, &parts), (parts.concat(), None), "{file}: {}", case.name);
            }
        }
    }
}

#[test]
fn a_counter_that_grows_opens_no_end_of_channels() {
    for (file, case) in cases::load::<Case>("dialects") {
        if case.counter {
            let mut pieces = cut(&"word ".repeat(6000), (0, 0), &(1..6000).map(|at| at * 5).collect::<Vec<_>>());
            let parts = case.parts(&pieces);
            assert_eq!(case.run(BLOCK, &parts), (parts.concat(), None), "{file}: {}", case.name);
            pieces.extend(cut(SECRET, (0, SECRET.len()), &[9]));
            assert_eq!(case.run(BLOCK, &case.parts(&pieces)).1, FOUND, "{file}: {}", case.name);
        }
    }
}

#[test]
fn large_events_are_one_event() {
    // An event of 200 KiB, of which Envoy gives 16 KiB at a time; the secret at its end, and over the next event's begin.
    for (file, case) in cases::load::<Case>("dialects").into_iter().filter(|(_, case)| case.json == 1 && !case.bytes) {
        let padding = "word ".repeat(20_000);
        let text = format!("{padding}{SECRET}");
        let from = padding.len();
        for pieces in [cut(&text, (from, text.len()), &[from + 8]), cut(&text, (from, text.len()), &[from])] {
            let parts = case.parts(&pieces);
            let body = parts.concat();
            let chunks: Vec<&[u8]> = body.as_bytes().chunks(16 << 10).collect();
            assert_eq!(case.run(BLOCK, &chunks), (case.released(&pieces), FOUND), "{file}: {}", case.name);
        }
    }
}

#[test]
fn the_longest_literal_over_a_thousand_events() {
    let long: String = (0..51).map(|n| format!("{:04} ", n * 37 + 1000)).collect();
    let long = long.trim_end();
    assert_eq!(long.len(), 254);
    for case in cases::load::<Case>("dialects").into_iter().map(|(_, case)| case).filter(|case| case.json == 1) {
        if !case.name.contains("content") || case.held() {
            continue;
        }
        let text = format!("so {long}, yes");
        let span = (3, 3 + long.len());
        let mut pieces = cut(&text, span, &(1..text.len()).collect::<Vec<_>>());
        // Events without text between the letters.
        let empty: Pieces = vec![(String::new(), None); 4];
        let at = 100;
        pieces.splice(at..at, empty);
        let mut scanner = case.scanner_of(BLOCK, &set_of(long));
        let (mut out, mut blocked) = (Vec::new(), None);
        for part in case.parts(&pieces) {
            let output = scanner.push(part.as_bytes(), false);
            out.extend(output.release);
            blocked = blocked.or(output.blocked);
        }
        assert_eq!(blocked.map(|code| code.as_str()), FOUND, "{}", case.name);
        assert_eq!(String::from_utf8(out).unwrap(), case.released(&pieces), "{}", case.name);
    }
}

fn stack(action: &str) -> Stack {
    let policy = demo_policy().replace("block_and_alert_security", action);
    let stack = Stack::builder("dialects").policy(&policy).start().unwrap();
    stack.fingerprint("beta", SECRET).unwrap();
    stack.api("PUT", "/v1/tenants/beta/documents/birds", Some(&json!({"text": PHRASE}))).unwrap();
    stack.converge().unwrap();
    stack
}

#[test]
fn through_envoy() {
    static STACKS: OnceLock<[Stack; 2]> = OnceLock::new();
    let [block, redact] =
        STACKS.get_or_init(|| [stack("block_and_alert_security"), stack("redact_and_alert_security")]);
    let token = mint::token("acme");
    for (index, (file, case)) in cases::load::<Case>("dialects").into_iter().enumerate() {
        let name = format!("{file}: {}", case.name);
        let ask = |stack: &Stack, parts: &[String]| {
            let prompt = format!("case {index}");
            let parts = parts.iter().map(|part| part.as_bytes().to_vec()).collect();
            stack.llm.script(&prompt, Script::new(&case.media, parts));
            stack.chat(&token, &prompt, true).unwrap()
        };
        let quiet = case.parts(&cut("all is quiet", (0, 0), &[4, 5]));
        let answer = ask(block, &quiet);
        assert_eq!((answer.status, answer.text()), (200, quiet.concat()), "{name}");
        let secret = format!("so {SECRET}, yes");
        let phrase = format!("so {PHRASE}, yes");
        for (text, from, cuts) in [(&secret, 3, [7, 13]), (&phrase, 11, [14, 30])] {
            let pieces = cut(text, (from, text.len() - 5), &cuts);
            let answer = ask(block, &case.parts(&pieces));
            let (text, released) = (answer.text(), case.released(&pieces));
            // Parts that arrive together are judged together: then nothing had left.
            if answer.status == 403 || released.is_empty() {
                assert_eq!(answer.code(), FOUND, "{name}: {text}");
            } else {
                let rest = text.strip_prefix(released.as_str()).unwrap_or_else(|| panic!("{name}: {text}"));
                assert!(case.json == 0 || rest.contains("fingerprint_match"), "{name}: {rest}");
                assert!(!rest.contains("Falcon") && !rest.contains("bridge"), "{name}: {rest}");
            }
        }
        if case.redact {
            let pieces = cut(&secret, (3, 3 + SECRET.len()), &[7, 13]);
            let answer = ask(redact, &case.parts(&pieces));
            assert_eq!((answer.status, answer.text()), (200, case.replaced(&pieces)), "{name}");
        }
    }
}

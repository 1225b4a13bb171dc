//! What leaves of a response: cases natively and through Envoy, the three actions, clean streams byte for byte.

use partywall_core::error::Shape;
use partywall_core::record::Severity;
use partywall_core::scan::{self, Entry, FingerprintSet, Loader, Media, ScanConfig, Scanner};
use partywall_core::snapshot::wire::{HoldBack, Limits, OnDetect, Segment};
use partywall_core::tenant::TenantId;
use partywall_tests::llm::{Script, completion, events};
use partywall_tests::process::root;
use partywall_tests::stack::{Stack, demo_policy};
use partywall_tests::{cases, mint, phrases};
use serde::Deserialize;
use serde_json::json;
use sha2::{Digest, Sha256};
use std::rc::Rc;
use std::sync::OnceLock;

const FINGERPRINTS: [(&str, &str); 4] = [
    ("beta", "Project Falcon Harbor"),
    ("beta", "canary-0451-beta"),
    ("beta", "4111 1111 1111 1111"),
    ("acme", "Acme Orchid Ltd"),
];

/// Documents, each of one phrase or of none that is its tenant's alone.
const DOCUMENTS: [(&str, &str, &str); 3] = [
    ("beta", "birds", "Kestrel, walnut bridge. Seven pebble thimble lantern copper"),
    ("acme", "trees", "Orchid maple harbour nine pebble thimble velvet anchor"),
    ("beta", "minutes", "Quarterly turbine audits moved from Lisbon to Ghent because two inspectors retired early"),
];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    media: String,
    parts: Vec<String>,
    expect: String,
    #[serde(default)]
    released: String,
}

impl Case {
    fn body(&self) -> String {
        self.parts.concat()
    }
}

fn stack() -> &'static Stack {
    static STACK: OnceLock<Stack> = OnceLock::new();
    STACK.get_or_init(|| {
        let stack = Stack::builder("scanner").start().unwrap();
        for (tenant, text) in FINGERPRINTS {
            stack.fingerprint(tenant, text).unwrap();
        }
        for (tenant, name, text) in DOCUMENTS {
            let path = format!("/v1/tenants/{tenant}/documents/{name}");
            stack.api("PUT", &path, Some(&json!({"text": text}))).unwrap();
        }
        stack.converge().unwrap();
        stack
    })
}

fn set() -> Rc<FingerprintSet> {
    let entry = |(id, (tenant, text)): (usize, &(&str, &str))| Entry {
        id: id as u64,
        text: (*text).to_owned(),
        owners: vec![TenantId::parse(tenant).unwrap()],
        severity: Severity::High,
    };
    let blob = scan::compile(&FINGERPRINTS.iter().enumerate().map(entry).collect::<Vec<_>>()).unwrap();
    let segment = Segment { digest: hex::encode(Sha256::digest(&blob)), bytes: blob.len() as u64, entries: 4 };
    let mut loader = Loader::new(&segment).unwrap();
    loader.push(&blob).unwrap();
    let literals = FingerprintSet::new(vec![Rc::new(loader.finish().unwrap())], vec![]);
    Rc::new(literals.with_phrases(Some(phrases::set(&DOCUMENTS))))
}

#[test]
fn cases_natively() {
    let set = set();
    let cases = cases::load::<Case>("scan");
    assert!(cases.len() >= 60);
    for (file, case) in cases {
        let mut scanner = Scanner::new(ScanConfig {
            set: Rc::clone(&set),
            tenant: TenantId::parse("acme").unwrap(),
            media: Media::from_content_type(case.media.as_bytes()).unwrap(),
            shape: Shape::OpenAi,
            on_detect: OnDetect::Block,
            hold_back: HoldBack::Exact,
            limits: Limits { request_bytes: 1 << 20, response_bytes: 1 << 20, event_bytes: 1 << 18 },
            request_id: String::new(),
        });
        let (mut out, mut blocked) = (Vec::new(), None);
        for (index, part) in case.parts.iter().enumerate() {
            let output = scanner.push(part.as_bytes(), index + 1 == case.parts.len());
            out.extend(output.release);
            blocked = blocked.or(output.blocked);
        }
        let (expected, released) = match case.expect.as_str() {
            "pass" => (None, case.body()),
            "block" => (Some("fingerprint_match"), case.released.clone()),
            _ => (Some("upstream_malformed"), case.released.clone()),
        };
        assert_eq!(blocked.map(|code| code.as_str()), expected, "{file}: {}", case.name);
        assert_eq!(String::from_utf8_lossy(&out), released, "{file}: {}", case.name);
    }
}

#[test]
fn cases_through_envoy() {
    let stack = stack();
    let token = mint::token("acme");
    for (index, (file, case)) in cases::load::<Case>("scan").into_iter().enumerate() {
        let prompt = format!("case {index}");
        stack.llm.script(
            &prompt,
            Script::new(&case.media, case.parts.iter().map(|part| part.as_bytes().to_vec()).collect()),
        );
        let response = stack.chat(&token, &prompt, true).unwrap();
        let (text, name) = (response.text(), format!("{file}: {}", case.name));
        match case.expect.as_str() {
            "pass" => assert_eq!((response.status, text), (200, case.body()), "{name}"),
            expect => {
                let code = if expect == "block" { "fingerprint_match" } else { "upstream_malformed" };
                // Parts that arrive together are judged together: then nothing had left, and the refusal is a clean one.
                if case.released.is_empty() || response.status == 403 {
                    assert_eq!(response.code(), Some(code), "{name}: {text}");
                } else {
                    let rest = text.strip_prefix(case.released.as_str()).unwrap_or_else(|| panic!("{name}: {text}"));
                    let own = case.media != "text/plain" && !rest.is_empty();
                    let done = case.media != "text/event-stream" || rest.ends_with("data: [DONE]\n\n");
                    assert!(!own || (rest.contains(code) && done), "{name}: {rest}");
                }
            }
        }
    }
}

#[test]
fn recorded_streams_arrive_byte_for_byte() {
    let stack = stack();
    for (file, media) in [
        ("sse_openai.txt", "text/event-stream"),
        ("sse_anthropic.txt", "text/event-stream"),
        ("ndjson_ollama.txt", "application/x-ndjson"),
    ] {
        let bytes = std::fs::read(root().join("tests/data/recorded").join(file)).unwrap();
        for size in [1, 7, 100, bytes.len()] {
            let mut script = Script::new(media, bytes.chunks(size).map(<[u8]>::to_vec).collect());
            script.parts.iter_mut().for_each(|part| part.0 = 0);
            stack.llm.script("recorded", script);
            assert_eq!(
                stack.chat(&mint::token("acme"), "recorded", true).unwrap().body,
                bytes,
                "{file} in pieces of {size}"
            );
        }
    }
}

#[test]
fn three_actions() {
    let leak = ["so Project ", "Falcon", " Harbor it is"];
    for action in ["block_and_alert_security", "redact_and_alert_security", "alert_security"] {
        let policy = demo_policy().replace("block_and_alert_security", action);
        let stack = Stack::builder(action).policy(&policy).start().unwrap();
        stack.fingerprint("beta", "Project Falcon Harbor").unwrap();
        stack.llm.script("leak", Script::stream(&leak));
        stack
            .llm
            .script("leak whole", Script::new("application/json", vec![completion("so Project Falcon-Harbor it is")]));
        let stream = stack.chat(&mint::token("acme"), "leak", true).unwrap();
        let whole = stack.chat(&mint::token("acme"), "leak whole", false).unwrap();
        let outcome = match action {
            "block_and_alert_security" => {
                assert!(stream.text().contains("fingerprint_match") && !stream.text().contains("Project"));
                assert_eq!((whole.status, whole.code()), (403, Some("fingerprint_match")));
                "blocked"
            }
            "redact_and_alert_security" => {
                assert_eq!(stream.body, events(&["so [redacted]", "", " it is"]).concat(), "{}", stream.text());
                assert_eq!(whole.body, completion("so [redacted] it is"));
                assert_eq!(whole.header("content-length"), Some(whole.body.len().to_string().as_str()));
                "redacted"
            }
            _ => {
                assert_eq!(stream.body, events(&leak).concat());
                assert_eq!(whole.body, completion("so Project Falcon-Harbor it is"));
                "alerted"
            }
        };
        std::thread::sleep(std::time::Duration::from_millis(400));
        let found = stack.api("GET", &format!("/v1/events?outcome={outcome}"), None).unwrap();
        assert_eq!(found.as_array().map(Vec::len), Some(2), "{action}: {found:#}");
        assert!(found[0]["hits"][0]["fingerprint"].is_number());
        assert!(!found.to_string().contains("Falcon"), "a record never holds matched text");
        assert!(stack.metric("partywall_fingerprint_hits_total") >= 2.0);
        let bytes = |kind: &str| {
            stack.metric(&format!("partywall_response_bytes_total{{disposition=\"{kind}\",surface=\"llm\"}}"))
        };
        assert!(bytes("scanned") > 0.0, "{}", stack.stats().unwrap());
        assert!((bytes("scanned") - bytes("delivered") - bytes("withheld")).abs() < 0.5, "{}", stack.stats().unwrap());
    }
}

#[test]
fn disguises_are_looked_for_unless_the_policy_says_plain() {
    let plain = demo_policy().replace("cross_tenant_output_scan:\n", "cross_tenant_output_scan:\n    evasion: plain\n");
    for (name, policy, code) in [("strict", demo_policy(), Some("fingerprint_match")), ("plain", plain, None)] {
        let stack = Stack::builder(name).policy(&policy).start().unwrap();
        stack.fingerprint("beta", "Project Falcon Harbor").unwrap();
        for leak in ["UHJvamVjdCBGYWxjb24gSGFyYm9y", "robraH noclaF tcejorP", "P-r-o-j-e-c-t F-a-l-c-o-n H-a-r-b-o-r"] {
            stack.llm.script(leak, Script::new("application/json", vec![completion(leak)]));
            assert_eq!(stack.chat(&mint::token("acme"), leak, false).unwrap().code(), code, "{name}: {leak}");
        }
        stack.llm.script("clear", Script::new("application/json", vec![completion("project falcon harbor")]));
        let clear = stack.chat(&mint::token("acme"), "clear", false).unwrap();
        assert_eq!(clear.code(), Some("fingerprint_match"), "{name}");
    }
}

#[test]
fn what_cannot_be_read_is_refused() {
    let stack = stack();
    let token = mint::token("acme");
    let ask = |script: Script| {
        stack.llm.script("odd", script);
        let response = stack.chat(&token, "odd", false).unwrap();
        (response.status, response.code().unwrap_or("–").to_owned())
    };
    let leak = || vec![completion("Project Falcon Harbor")];
    let with = |name: &str, value: &str| {
        let mut script = Script::new("application/json", leak());
        script.headers.push((name.to_owned(), value.to_owned()));
        script
    };
    for coding in ["gzip", "br", "zstd", "deflate", "gzip, br", "x-unknown"] {
        assert_eq!(
            ask(with("content-encoding", coding)),
            (502, "upstream_encoding_unsupported".to_owned()),
            "{coding}"
        );
    }
    assert_eq!(ask(with("trailer", "x-more")), (502, "upstream_trailers".to_owned()));
    for media in ["application/octet-stream", "image/png", "application/json; charset=utf-16", "multipart/mixed"] {
        assert_eq!(ask(Script::new(media, leak())), (502, "upstream_media_type_unsupported".to_owned()), "{media}");
    }
    assert_eq!(ask(with("x-note", "canary-0451-beta")), (403, "fingerprint_match".to_owned()));
    let mut error = Script::new("application/json", leak());
    error.status = 500;
    assert_eq!(ask(error), (403, "fingerprint_match".to_owned()), "errors of the upstream are scanned too");
    let large = Script::new("application/json", vec![format!("\"{}\"", "x".repeat(9 << 20)).into_bytes()]);
    assert_eq!(ask(large), (502, "upstream_too_large".to_owned()));
    let clean = Script::new("application/json", vec![completion("fine")]);
    assert_eq!(ask(clean), (200, "–".to_owned()));
}

#[test]
fn a_stream_that_needs_too_much_holding_ends() {
    let stack = stack();
    let pad = format!("data: {}\n\n", json!({"choices": [], "pad": "z".repeat(2000)}));
    let mut parts = vec![events(&["Project "])[1].clone()];
    parts.extend((0..200).map(|_| pad.clone().into_bytes()));
    stack.llm.script("pad", Script::new("text/event-stream", parts));
    let response = stack.chat(&mint::token("acme"), "pad", true).unwrap();
    assert_eq!(response.code(), Some("holdback_exceeded"), "{}", response.text());
}

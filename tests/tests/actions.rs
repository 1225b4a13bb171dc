//! What a match does by its class, severity, surface and tenant: cases natively and through Envoy, and what is told of it.

use partywall_core::error::Shape;
use partywall_core::record::{Class, Hit, Severity};
use partywall_core::scan::{self, Actions, Entry, FingerprintSet, Loader, Media, ScanConfig, Scanner};
use partywall_core::snapshot::wire::{HoldBack, Leakage, Limits, OnDetect, Segment};
use partywall_core::tenant::TenantId;
use partywall_tests::http::Request;
use partywall_tests::llm::Script;
use partywall_tests::stack::{Stack, demo_policy, envoy_template};
use partywall_tests::{cases, mint, phrases};
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

#[path = "actions/echo.rs"]
mod echo;

/// What beta owns: a name for the cases, the text, how grave it is.
const LITERALS: [(&str, &str, &str); 12] = [
    ("falcon", "Project Falcon Harbor", "high"),
    ("meadow", "Meadow Lark Street", "low"),
    ("canary", "canary-0451-beta", "critical"),
    ("card", "4111222233334444", "high"),
    ("violet", "Violet Marsh Ferry", "low"),
    ("ferry", "Marsh Ferry Tunnel", "high"),
    ("basin", "Ferry Tunnel Basin", "critical"),
    ("upper", "Upper Copper Gate", "high"),
    ("gate", "Copper Gate", "critical"),
    ("little", "Little Upper Gull Gate", "low"),
    ("gull", "Upper Gull Gate", "critical"),
    ("compass", "compass feather", "critical"),
];
const DOCUMENTS: [(&str, &str, &str); 3] = [
    ("beta", "birds", "Kestrel, walnut bridge. Seven pebble thimble lantern copper"),
    ("beta", "trees", "Juniper, basket marble. Violin teapot saddle compass feather"),
    ("beta", "stones", "Granite, willow basin. Cobalt orchard ribbon thunder velvet"),
];

/// The rules as a policy has them: YAML takes JSON.
fn rules() -> Value {
    json!([
        {"when": {"class": ["phrase"], "surface": ["llm"], "tenant": ["gamma"]}, "do": "alert_security"},
        {"when": {"class": ["phrase"]}, "do": "redact_and_alert_security"},
        {"when": {"severity": ["low"]}, "do": "alert_security"},
        {"when": {"class": ["literal"], "severity": ["high"], "surface": ["llm"]}, "do": "redact_and_alert_security"},
    ])
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    #[serde(default = "llm")]
    surface: String,
    #[serde(default = "acme")]
    tenant: String,
    media: String,
    parts: Vec<String>,
    out: Option<String>,
    released: Option<String>,
    hits: Vec<String>,
}

fn llm() -> String {
    "llm".to_owned()
}

fn acme() -> String {
    "acme".to_owned()
}

fn load() -> Vec<(String, Case)> {
    let cases = cases::load::<Case>("actions/actions.toml");
    assert!(cases.len() >= 25);
    cases
}

fn said(name: &dyn Fn(u64) -> String, hits: &[Hit]) -> Vec<String> {
    let one = |hit: &Hit| {
        let name = if hit.class == Class::Phrase { "phrase".to_owned() } else { name(hit.fingerprint) };
        let action = match hit.action {
            Some(OnDetect::Block) => "block",
            Some(OnDetect::Redact) => "redact",
            Some(OnDetect::Alert) => "alert",
            None => "nothing",
        };
        format!("{name} {action}{}", if hit.echo { " echo" } else { "" })
    };
    hits.iter().map(one).collect()
}

fn set() -> Rc<FingerprintSet> {
    let severity = |text: &str| serde_json::from_value::<Severity>(json!(text)).unwrap();
    let entry = |(id, (_, text, grave)): (usize, &(&str, &str, &str))| Entry {
        id: id as u64,
        text: (*text).to_owned(),
        owners: vec![TenantId::parse("beta").unwrap()],
        severity: severity(grave),
    };
    let blob = scan::compile(&LITERALS.iter().enumerate().map(entry).collect::<Vec<_>>()).unwrap();
    let segment = Segment { digest: hex::encode(Sha256::digest(&blob)), bytes: blob.len() as u64, entries: 12 };
    let mut loader = Loader::new(&segment).unwrap();
    loader.push(&blob).unwrap();
    let literals = FingerprintSet::new(vec![Rc::new(loader.finish().unwrap())], vec![]);
    Rc::new(literals.with_phrases(Some(phrases::set(&DOCUMENTS))))
}

/// What leaves of a response in these pieces, whether it was cut, and what was said of it.
fn run(mut scanner: Scanner, parts: &[String], pieces: &[usize]) -> (String, bool, Vec<String>) {
    let body = parts.concat();
    let (mut out, mut blocked, mut from) = (Vec::new(), false, 0);
    for piece in pieces {
        let output = scanner.push(&body.as_bytes()[from..from + piece], from + piece == body.len());
        from += piece;
        out.extend(output.release);
        blocked |= output.blocked.is_some();
    }
    let name = |id: u64| LITERALS[usize::try_from(id).unwrap()].0.to_owned();
    (String::from_utf8_lossy(&out).into_owned(), blocked, said(&name, scanner.hits()))
}

/// As the parts are, whole, and byte by byte.
fn splits(parts: &[String]) -> [Vec<usize>; 3] {
    let all = parts.iter().map(String::len).sum();
    [parts.iter().map(String::len).collect(), vec![all], vec![1; all]]
}

/// Gives the stack the fingerprints; the names of their ids.
fn teach(stack: &Stack) -> HashMap<u64, &'static str> {
    let mut names = HashMap::new();
    for (name, text, severity) in LITERALS {
        let new = json!({"tenant": "beta", "text": text, "severity": severity});
        names.insert(stack.api("POST", "/v1/fingerprints", Some(&new)).unwrap()["id"].as_u64().unwrap(), name);
    }
    for (tenant, name, text) in DOCUMENTS {
        let path = format!("/v1/tenants/{tenant}/documents/{name}");
        stack.api("PUT", &path, Some(&json!({"text": text}))).unwrap();
    }
    stack.converge().unwrap();
    names
}

/// What was decided since, oldest first: so many.
fn decisions(stack: &Stack, count: usize) -> Vec<Value> {
    let since = Instant::now();
    let mut events = Vec::new();
    while events.len() < count && since.elapsed() < Duration::from_secs(10) {
        std::thread::sleep(Duration::from_millis(100));
        events = stack.api("GET", "/v1/events?limit=1000", None).unwrap().as_array().cloned().unwrap();
    }
    assert_eq!(events.len(), count);
    events.reverse();
    events
}

fn hits(names: &HashMap<u64, &'static str>, event: &Value) -> Vec<String> {
    let hits: Vec<Hit> = event.get("hits").map_or_else(Vec::new, |hits| serde_json::from_value(hits.clone()).unwrap());
    said(&|id| names.get(&id).copied().unwrap_or("?").to_owned(), &hits)
}

#[test]
fn cases_natively() {
    let set = set();
    let rules: Vec<Value> = rules().as_array().unwrap().iter().map(wire).collect();
    let leakage: Leakage = serde_json::from_value(json!({"fingerprint_check": true,
        "action_on_detect": "block_and_alert_security", "hold_back": "exact", "actions": rules}))
    .unwrap();
    for (file, case) in load() {
        for pieces in splits(&case.parts) {
            let tenant = TenantId::parse(&case.tenant).unwrap();
            let actions = Actions::resolve(&leakage, None, &case.surface, &tenant);
            let scanner = scanner(&set, &case.tenant, &case.media).actions(actions);
            let (out, blocked, hits) = run(scanner, &case.parts, &pieces);
            let expected = case.out.as_ref().or(case.released.as_ref()).unwrap();
            assert_eq!(out, *expected, "{file}: {}", case.name);
            assert_eq!(blocked, case.out.is_none(), "{file}: {}", case.name);
            assert_eq!(hits, case.hits, "{file}: {}", case.name);
        }
    }
}

fn scanner(set: &Rc<FingerprintSet>, tenant: &str, media: &str) -> Scanner {
    Scanner::new(ScanConfig {
        set: Rc::clone(set),
        tenant: TenantId::parse(tenant).unwrap(),
        media: Media::from_content_type(media.as_bytes()).unwrap(),
        shape: Shape::OpenAi,
        on_detect: OnDetect::Block,
        hold_back: HoldBack::Exact,
        limits: Limits { request_bytes: 1 << 20, response_bytes: 1 << 20, event_bytes: 1 << 18 },
        request_id: String::new(),
    })
}

/// A rule as it travels.
fn wire(rule: &Value) -> Value {
    let when = &rule["when"];
    let list = |key: &str| when.get(key).cloned().unwrap_or(json!([]));
    json!({"classes": list("class"), "severities": list("severity"), "surfaces": list("surface"),
        "tenants": list("tenant"), "action": rule["do"]})
}

/// The demo with the rules, a second surface and a third tenant.
fn policy() -> String {
    demo_policy()
        .replace("  cross_tenant_output_scan:\n", &format!("  actions: {}\n  cross_tenant_output_scan:\n", rules()))
        .replace("  - name: docs\n", "  - name: batch\n    kind: openai\n    hosts: [batch.test]\n  - name: docs\n")
        .replace("  - id: beta", "  - id: beta\n  - id: gamma")
}

#[test]
fn cases_through_envoy() {
    let template = envoy_template().replace("domains: [llm.test]", "domains: [llm.test, batch.test]");
    let stack = Stack::builder("actions").policy(&policy()).template(template).start().unwrap();
    let names = teach(&stack);
    let cases = load();
    for (index, (file, case)) in cases.iter().enumerate() {
        let (prompt, name) = (format!("case {index}"), format!("{file}: {}", case.name));
        let parts = case.parts.iter().map(|part| part.as_bytes().to_vec()).collect();
        stack.llm.script(&prompt, Script::new(&case.media, parts));
        let body = json!({"model": "demo", "messages": [{"role": "user", "content": prompt}]});
        let request = Request::new("POST", &format!("{}.test", case.surface), "/v1/chat/completions");
        let response = request.bearer(&mint::token(&case.tenant)).json(&body).send(stack.edge).unwrap();
        match (&case.out, &case.released) {
            (Some(out), _) => assert_eq!((response.status, response.text()), (200, out.clone()), "{name}"),
            // Parts that arrive together are judged together: then nothing had left.
            (None, Some(released)) => assert!(
                response.code() == Some("fingerprint_match") || response.text().starts_with(released.as_str()),
                "{name}: {}",
                response.text()
            ),
            (None, None) => panic!("{name}: neither `out` nor `released`"),
        }
        for (_, text, severity) in LITERALS {
            let gone = severity == "critical" && case.tenant != "beta" && response.text().contains(text);
            assert!(!gone, "{name}: {}", response.text());
        }
    }
    let events = decisions(&stack, cases.len());
    for (event, (file, case)) in events.iter().zip(&cases) {
        assert_eq!(hits(&names, event), case.hits, "{file}: {}: {event}", case.name);
        let (tenant, surface) = (event["tenant"].as_str(), event["surface"].as_str());
        assert_eq!((tenant, surface), (Some(case.tenant.as_str()), Some(case.surface.as_str())), "{}", case.name);
    }
    // Alerts say what was done about each.
    let alerts = stack.api("GET", "/v1/alerts?limit=1000", None).unwrap();
    let told: Vec<&str> = alerts.as_array().unwrap().iter().filter_map(|alert| alert["summary"].as_str()).collect();
    for (graver, milder, how) in [("upper", "gate", "redacted"), ("little", "gull", "only told")] {
        let id = |wanted: &str| names.iter().find(|(_, name)| **name == wanted).map(|(id, _)| *id).unwrap();
        let both = format!("({} withheld, {} {how}) and was withheld", id(milder), id(graver));
        assert!(told.iter().any(|summary| summary.contains(&both)), "{both}: {told:#?}");
    }
}

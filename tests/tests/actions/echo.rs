//! What a request held may come back, as far as the policy excuses it.

use super::{decisions, hits, run, scanner, set, splits, teach};
use partywall_core::record::Severity;
use partywall_core::scan::{Actions, Echoes};
use partywall_core::snapshot::wire::{Echo, OnDetect};
use partywall_core::tenant::TenantId;
use partywall_tests::llm::Script;
use partywall_tests::stack::{Stack, demo_policy};
use partywall_tests::{cases, mint};
use serde::Deserialize;
use serde_json::{Value, json};
use std::rc::Rc;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    echo: String,
    #[serde(default = "super::acme")]
    tenant: String,
    prompt: String,
    #[serde(default)]
    pad: usize,
    media: String,
    parts: Vec<String>,
    out: Option<String>,
    released: Option<String>,
    hits: Vec<String>,
}

impl Case {
    /// The request's body; its last message names the script.
    fn body(&self, script: &str) -> Vec<u8> {
        let mut messages: Vec<Value> = match serde_json::from_str(&self.prompt) {
            Ok(Value::Array(messages)) => messages,
            _ => vec![json!({"role": "user", "content": self.prompt})],
        };
        messages.push(json!({"role": "user", "content": script}));
        let mut body = json!({"model": "demo", "messages": messages}).to_string().into_bytes();
        body.resize(body.len().max(self.pad), b' ');
        body
    }
}

fn load() -> Vec<(String, Case)> {
    let cases = cases::load::<Case>("actions/echo.toml");
    assert!(cases.len() >= 20);
    cases
}

#[test]
fn echoes_natively() {
    let set = set();
    let actions = Actions::new(|_, severity| if severity == Severity::Low { OnDetect::Alert } else { OnDetect::Block });
    for (file, case) in load() {
        let echo: Echo = serde_json::from_value(json!({"literals": case.echo, "phrases": case.echo})).unwrap();
        let tenant = TenantId::parse(&case.tenant).unwrap();
        for pieces in splits(&case.parts) {
            let echoes = Echoes::of(&set, &tenant, echo, &case.body("x")).map(Rc::new);
            let scanner = scanner(&set, &case.tenant, &case.media).actions(actions).echoes(echoes);
            let (out, blocked, hits) = run(scanner, &case.parts, &pieces);
            let expected = case.out.as_ref().or(case.released.as_ref()).unwrap();
            assert_eq!(out, *expected, "{file}: {}", case.name);
            assert_eq!(blocked, case.out.is_none(), "{file}: {}", case.name);
            assert_eq!(hits, case.hits, "{file}: {}", case.name);
        }
    }
}

#[test]
fn echoes_through_envoy() {
    let policy = |echo: &str| {
        let rules = "  actions: [{when: {severity: [low]}, do: alert_security}]\n";
        let both = format!("  phrases: {{echo: {echo}}}\n  cross_tenant_output_scan:\n    echo: {echo}\n");
        demo_policy().replace("  cross_tenant_output_scan:\n", &(rules.to_owned() + &both))
    };
    let stack = Stack::builder("echo").policy(&policy("allow")).start().unwrap();
    let names = teach(&stack);
    let mut cases = load();
    cases.sort_by(|(_, a), (_, b)| a.echo.cmp(&b.echo));
    let mut applied = String::new();
    for (index, (file, case)) in cases.iter().enumerate() {
        if applied != case.echo {
            stack.apply(&policy(&case.echo)).unwrap();
            applied.clone_from(&case.echo);
        }
        let (script, name) = (format!("case {index}"), format!("{file}: {}", case.name));
        let parts = case.parts.iter().map(|part| part.as_bytes().to_vec()).collect();
        stack.llm.script(&script, Script::new(&case.media, parts));
        let request = stack.llm("POST", "/v1/chat/completions").bearer(&mint::token(&case.tenant));
        let response = request.body("application/json", case.body(&script)).send(stack.edge).unwrap();
        match (&case.out, &case.released) {
            (Some(out), _) => assert_eq!((response.status, response.text()), (200, out.clone()), "{name}"),
            (None, Some(released)) => {
                let text = response.text();
                let gone = ["seven pebble thimble lantern cop", "cobalt orchard", "canary-0451"];
                let said = text.to_lowercase().replace(&case.released.clone().unwrap_or_default().to_lowercase(), "");
                let cut = text.starts_with(released.as_str()) && !gone.iter().any(|words| said.contains(words));
                assert!(response.code() == Some("fingerprint_match") || cut, "{name}: {text}");
            }
            (None, None) => panic!("{name}: neither `out` nor `released`"),
        }
    }
    for (event, (file, case)) in decisions(&stack, cases.len()).iter().zip(&cases) {
        assert_eq!(hits(&names, event), case.hits, "{file}: {}: {event}", case.name);
    }
}

#[test]
fn a_request_that_holds_too_many_is_excused_of_some_only() {
    use partywall_core::scan::{self, Entry, FingerprintSet, Loader, MAX_ECHOES};
    use partywall_core::snapshot::wire::{OnEcho, Segment};
    use sha2::Digest as _;
    let texts: Vec<String> = (0..MAX_ECHOES + 10).map(|n| format!("orchard number {n:04}")).collect();
    let owners = vec![TenantId::parse("beta").unwrap()];
    let entry = |(id, text): (usize, &String)| Entry {
        id: id as u64,
        text: text.clone(),
        owners: owners.clone(),
        severity: Severity::High,
    };
    let blob = scan::compile(&texts.iter().enumerate().map(entry).collect::<Vec<_>>()).unwrap();
    let digest = hex::encode(sha2::Sha256::digest(&blob));
    let mut loader = Loader::new(&Segment { digest, bytes: blob.len() as u64, entries: 0 }).unwrap();
    loader.push(&blob).unwrap();
    let set = Rc::new(FingerprintSet::new(vec![Rc::new(loader.finish().unwrap())], vec![]));
    let on = Echo { literals: OnEcho::Allow, phrases: OnEcho::Allow };
    let request = json!({"messages": [{"role": "user", "content": texts.join(", ")}]}).to_string();
    let echoes = Echoes::of(&set, &TenantId::parse("acme").unwrap(), on, request.as_bytes()).map(Rc::new);
    for (index, text) in texts.iter().enumerate() {
        let mut scanner = scanner(&set, "acme", "text/plain").echoes(echoes.clone());
        assert_eq!(scanner.push(text.as_bytes(), true).blocked.is_some(), index >= MAX_ECHOES, "{text}");
    }
}

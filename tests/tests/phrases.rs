//! Phrases of documents, from the REST face to the cut: retraction, uniqueness, common language, restarts, keys.

use partywall_tests::llm::{Script, events};
use partywall_tests::mint;
use partywall_tests::stack::{Stack, demo_policy};
use serde_json::{Value, json};
use std::time::Duration;

const MINUTES: &str = "Present were nine people. Quarterly turbine audits moved from Lisbon to Ghent because two inspectors \
    retired early, and nobody objected to the marmalade budget of the harbour committee.";
/// Twelve words of it, as a model streams them.
const LEAK: [&str; 9] = [
    "Notes",
    ": quarter",
    "ly turbine audits",
    " moved",
    " from Lis",
    "bon to Ghent",
    " because two",
    " inspectors",
    " retired.",
];

fn put(stack: &Stack, tenant: &str, name: &str, text: &str) -> Value {
    let path = format!("/v1/tenants/{tenant}/documents/{name}");
    let record = stack.api("PUT", &path, Some(&json!({"text": text}))).unwrap();
    stack.converge().unwrap();
    record
}

fn remove(stack: &Stack, tenant: &str, name: &str) {
    stack.api("DELETE", &format!("/v1/tenants/{tenant}/documents/{name}"), None).unwrap();
    stack.converge().unwrap();
}

/// What acme gets of the leak.
fn leak(stack: &Stack) -> String {
    stack.llm.script("leak", Script::stream(&LEAK).paced(5));
    stack.chat(&mint::token("acme"), "leak", true).unwrap().text()
}

fn passes(stack: &Stack) -> bool {
    let text = leak(stack);
    let whole = text.as_bytes() == events(&LEAK).concat();
    assert!(whole || text.contains("fingerprint_match"), "{text}");
    whole
}

#[test]
fn a_document_guards_its_words() {
    let stack = Stack::builder("phrases").start().unwrap();
    assert!(passes(&stack), "nothing is known yet");
    let record = put(&stack, "beta", "minutes/2026 May".replace(' ', "%20").replace('/', "%2F").as_str(), MINUTES);
    assert_eq!(record["document"], "minutes/2026 May");
    assert!(record["phrases"].as_u64().unwrap() >= 3, "{record}");
    assert!(!record.to_string().contains("turbine"));
    let text = leak(&stack);
    assert!(text.contains("fingerprint_match"), "{text}");
    // The anchor of the first phrase is among the leak's first three words; nothing behind it left.
    for word in [" from Lis", "bon", "Ghent", "inspectors", "retired"] {
        assert!(!text.contains(word), "{text}");
    }
    // The owner is served.
    stack.llm.script("own", Script::stream(&LEAK));
    assert_eq!(stack.chat(&mint::token("beta"), "own", true).unwrap().body, events(&LEAK).concat());

    // An operator learns why, without the text.
    std::thread::sleep(Duration::from_millis(400));
    let blocked = stack.api("GET", "/v1/events?outcome=blocked", None).unwrap();
    assert_eq!(blocked[0]["hits"][0]["class"], "phrase", "{blocked:#}");
    let request = blocked[0]["request_id"].as_str().unwrap();
    let why = stack.api("GET", &format!("/v1/explain?request_id={request}"), None).unwrap();
    assert_eq!(why[0]["owners"], json!(["beta"]));
    assert_eq!(why[0]["documents"], json!(["beta/minutes/2026 May"]));
    assert!(!why.to_string().to_lowercase().contains("turbine"));
    let (ok, shown) = stack.cli(&["fingerprint", "explain", "--request-id", request]).unwrap();
    assert!(ok && shown.contains("beta/minutes/2026 May") && shown.contains("phrase"), "{shown}");
    assert!(stack.api("GET", "/v1/explain?request_id=nobody", None).is_err());

    // Neither what is stored nor what travels holds a word of it.
    let (ok, listed) = stack.cli(&["document", "list", "--tenant", "beta"]).unwrap();
    assert!(ok && listed.contains("minutes/2026 May") && !listed.contains("turbine"), "{listed}");
    remove(&stack, "beta", "minutes%2F2026%20May");
    assert!(passes(&stack), "a document that is gone guards nothing");
}

#[test]
fn only_what_is_unique_is_guarded() {
    let mut stack = Stack::builder("phrases-unique").start().unwrap();
    put(&stack, "beta", "minutes", MINUTES);
    assert!(!passes(&stack));
    // The same words in the middle of acme's own text: they are nobody's alone.
    let shared = format!("We heard about them. {MINUTES} That is all that was said that day in the whole town.");
    let record = put(&stack, "acme", "diary", &shared);
    let number = |name: &str| record[name].as_u64().unwrap();
    assert!(number("shared") > 0 && number("shared") < number("phrases"), "{record}");
    assert!(passes(&stack), "acme wrote it too");
    stack.llm.script("other", Script::stream(&LEAK));
    assert_eq!(stack.chat(&mint::token("beta"), "other", true).unwrap().body, events(&LEAK).concat());
    remove(&stack, "acme", "diary");
    assert!(!passes(&stack), "unique again");

    // Common language is nobody's.
    let (ok, _) = {
        let file = std::env::temp_dir().join("partywall-common.txt");
        std::fs::write(&file, MINUTES).unwrap();
        stack.cli(&["common", "add", file.to_str().unwrap()]).unwrap()
    };
    assert!(ok);
    stack.converge().unwrap();
    assert!(passes(&stack), "common language");
    assert!(stack.cli(&["common", "clear"]).unwrap().0);
    stack.converge().unwrap();
    assert!(!passes(&stack));

    // A new key changes no verdict; neither does a restart.
    let (ok, said) = stack.cli(&["fingerprint", "rotate-key"]).unwrap();
    assert!(ok, "{said}");
    stack.converge().unwrap();
    assert!(!passes(&stack));
    stack.stop_control();
    stack.start_control().unwrap();
    assert!(!passes(&stack));

    // A tenant that has documents is not forgotten by accident.
    assert!(stack.api("DELETE", "/v1/tenants/beta", None).is_err());
    assert!(stack.api("PUT", "/v1/tenants/nobody/documents/x", Some(&json!({"text": MINUTES}))).is_err());
    assert!(!segments(&stack).is_empty());
}

/// The digests of the segments in force.
fn segments(stack: &Stack) -> Vec<String> {
    let poll = "/v1/snapshot?have=0&nonce=n&instance=test";
    let envelope = stack.api("GET", poll, None).unwrap();
    let phrases = &envelope["manifest"]["content"]["phrases"];
    assert!(!envelope.to_string().contains("turbine"));
    phrases["segments"].as_array().unwrap().iter().map(|s| s["digest"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn the_class_has_its_own_action() {
    let action = "  phrases:\n    severity: critical\n    action: redact_and_alert_security\n";
    let policy = demo_policy().replace("leakage_detection:\n", &format!("leakage_detection:\n{action}"));
    assert!(policy.contains(action));
    let stack = Stack::builder("phrases-redact").policy(&policy).start().unwrap();
    put(&stack, "beta", "birds", "Kestrel, walnut bridge. Seven pebble thimble lantern copper");
    stack.fingerprint("beta", "Project Falcon Harbor").unwrap();
    let deltas = ["so Kes", "trel walnut", " **bridge** seven pebble thimble", " lantern copper", " it is"];
    stack.llm.script("leak", Script::stream(&deltas));
    let text = stack.chat(&mint::token("acme"), "leak", true).unwrap();
    assert_eq!(
        text.text(),
        String::from_utf8(events(&["so Kes", "trel [redacted]", " **", " ", " it is"]).concat()).unwrap()
    );
    stack.llm.script("literal", Script::stream(&["so Project Falcon", " Harbor"]));
    assert!(stack.chat(&mint::token("acme"), "literal", true).unwrap().text().contains("fingerprint_match"));
    std::thread::sleep(Duration::from_millis(400));
    let redacted = stack.api("GET", "/v1/events?outcome=redacted", None).unwrap();
    assert_eq!(redacted[0]["hits"][0]["severity"], "critical", "{redacted:#}");
    let off = policy.replace(action, "  phrases:\n    enabled: false\n");
    let idle = off.replace("    enabled: false\n", "    enabled: false\n    from_rag_writes: true\n");
    assert!(stack.apply(&idle).unwrap_err().to_string().contains("needs `enabled: true`"));
    stack.apply(&off).unwrap();
    stack.converge().unwrap();
    stack.llm.script("again", Script::stream(&deltas));
    assert_eq!(stack.chat(&mint::token("acme"), "again", true).unwrap().body, events(&deltas).concat());
}

/// Many documents at once, replaced and removed: what the workers have is what holds.
#[test]
fn bulk_and_bounded() {
    let stack = Stack::builder("phrases-bulk").start().unwrap();
    let words = [
        "amber", "basalt", "cobalt", "dahlia", "ember", "fennel", "garnet", "heron", "indigo", "jasper", "kelp",
        "lotus",
    ];
    let text = |n: usize| -> String {
        let mut state = n as u64 + 1;
        (0..300)
            .map(|_| {
                state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                let word = words[(state >> 40) as usize % words.len()];
                format!("{word}{} ", (state >> 33) % 97)
            })
            .collect()
    };
    let directory = std::env::temp_dir().join("partywall-bulk");
    let _ = std::fs::remove_dir_all(&directory);
    std::fs::create_dir_all(directory.join("deep")).unwrap();
    for n in 0..40 {
        std::fs::write(directory.join(if n % 2 == 0 { "." } else { "deep" }).join(format!("d{n}.txt")), text(n))
            .unwrap();
    }
    let (ok, said) = stack.cli(&["document", "bulk", "--tenant", "beta", directory.to_str().unwrap()]).unwrap();
    assert!(ok && said.contains("40"), "{said}");
    stack.converge().unwrap();
    let answer = |n: usize, tenant: &str| {
        let words = text(n);
        let words: Vec<&str> = words.split(' ').collect();
        let body = json!({"choices": [{"index": 0, "message": {"content": words[100..110].join(" ")}}]}).to_string();
        stack.llm.script("item", Script::new("application/json", vec![body.into_bytes()]));
        stack.chat(&mint::token(tenant), "item", false).unwrap().status
    };
    assert_eq!((answer(7, "acme"), answer(7, "beta"), answer(77, "acme")), (403, 200, 200));
    let before = stack.metric("partywall_vm_memory_bytes");
    for n in 0..60 {
        put(&stack, "beta", "rolling", &text(1000 + n));
    }
    assert_eq!((answer(1059, "acme"), answer(1030, "acme")), (403, 200), "only the last version is guarded");
    let grown = stack.metric("partywall_vm_memory_bytes") - before;
    assert!(grown < 4e6, "memory grew by {grown} over sixty changes");
    let bad = json!({"text": "no name"});
    assert!(stack.api("POST", "/v1/tenants/beta/documents", Some(&bad)).is_err());
}

//! What tenants write through the vector databases becomes documents of theirs: read by the filter, guarded within a second.

use partywall_core::harvest::harvest;
use partywall_core::rag::written::{Becomes, MAX_TEXT, Writes, written};
use partywall_core::snapshot::wire::{Strategy, SurfaceKind};
use partywall_core::tenant::TenantId;
use partywall_tests::fakes::qdrant::Qdrant;
use partywall_tests::http::{Request, Response};
use partywall_tests::llm::{Script, events};
use partywall_tests::stack::{Stack, demo_policy};
use partywall_tests::{cases, mint, phrases, rag};
use serde::Deserialize;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const MINUTES: &str = "Present were nine people. Quarterly turbine audits moved from Lisbon to Ghent because two inspectors \
    retired early, and nobody objected to the marmalade budget of the harbour committee.";
const LEAK: [&str; 6] =
    ["Notes: quarterly", " turbine audits moved", " from Lisbon", " to Ghent because", " two inspectors", " retired."];
const PLANS: &str =
    "Next winter seven copper lanterns travel over walnut bridges while violet kestrels guard each velvet harbour.";
const PLANS_LEAK: [&str; 4] =
    ["Plans: winter seven copper", " lanterns travel over walnut", " bridges while violet", " kestrels guard."];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    kind: SurfaceKind,
    request: String,
    body: String,
    #[serde(default)]
    documents: Vec<String>,
}

#[test]
fn cases_natively() {
    let cases = cases::load::<Case>("written");
    assert!(cases.len() >= 15);
    for (file, case) in cases {
        let surfaces = rag::surfaces(case.kind, Strategy::Namespace);
        let (method, path) = case.request.split_once(' ').unwrap();
        let stem = format!("{}/", partywall_core::surface::Kind::of(case.kind).name);
        let route = surfaces.classify(&format!("{}test", stem.replace('/', ".")), method, path).ok().unwrap();
        // What is read is what the judge has taken.
        let body = case.body.replace(rag::RAW, "00000000-0000-0000-0000-000000000000");
        let judged = rag::request(&route, &[], body.as_bytes());
        assert!(judged.is_ok(), "{file}: {}: {judged:?}", case.name);
        let writes = written(&route, case.body.as_bytes());
        let one = |(name, becomes): &(String, Becomes)| {
            let name = name.strip_prefix("rag:").unwrap().strip_prefix(&stem).unwrap();
            match becomes {
                Becomes::This(text) => format!("put {name}: {}", text.replace('\n', " ")),
                Becomes::Also(text) => format!("add {name}: {}", text.replace('\n', " ")),
                Becomes::Gone => format!("gone {name}"),
            }
        };
        let got: Vec<String> = writes.documents.iter().map(one).collect();
        assert_eq!((got, writes.skipped), (case.documents, 0), "{file}: {}", case.name);
    }
}

#[test]
fn too_much_text_is_skipped_and_counted() {
    let surfaces = rag::surfaces(SurfaceKind::Chroma, Strategy::Namespace);
    let path = format!("/api/v2/tenants/default_tenant/databases/default_database/collections/{}/add", rag::RAW);
    let route = surfaces.classify("chroma.test", "POST", &path).ok().unwrap();
    let (half, large) = ("x ".repeat(MAX_TEXT / 4), "y".repeat(MAX_TEXT + 1));
    let body = json!({"ids": ["a", "b", "c", "d"], "documents": [half, large, half, "z"]}).to_string();
    let writes = written(&route, body.as_bytes());
    assert_eq!((writes.documents.len(), writes.skipped), (2, 2));
}

fn guarded(policy: &str) -> String {
    policy.replace("  cross_tenant_output_scan:\n", "  phrases: {from_rag_writes: true}\n  cross_tenant_output_scan:\n")
}

/// The demo, with the documents of its Chroma guarded.
fn start(name: &str) -> Stack {
    let policy = guarded(&demo_policy()).replace("  - id: beta", "  - id: beta\n  - id: gamma");
    Stack::builder(name).chroma().policy(&policy).start().unwrap()
}

fn collection(stack: &Stack, tenant: &str) -> String {
    let new = json!({"name": "docs", "get_or_create": true});
    let made = stack.chroma(&mint::token(tenant), "POST", "/collections").json(&new).send(stack.edge).unwrap();
    made.json()["id"].as_str().unwrap_or_else(|| panic!("{}", made.text())).to_owned()
}

fn chroma(stack: &Stack, tenant: &str, collection: &str, verb: &str, body: &Value) -> Response {
    let path = format!("/collections/{collection}/{verb}");
    stack.chroma(&mint::token(tenant), "POST", &path).json(body).send(stack.edge).unwrap()
}

fn record(id: &str, text: &str) -> Value {
    json!({"ids": [id], "embeddings": [[0.1, 0.2, 0.3]], "documents": [text]})
}

/// Whether acme is told these words.
fn passes(stack: &Stack, deltas: &[&str]) -> bool {
    let prompt = deltas.concat();
    stack.llm.script(&prompt, Script::stream(deltas));
    let text = stack.chat(&mint::token("acme"), &prompt, true).unwrap().text();
    let whole = text.as_bytes() == events(deltas).concat();
    assert!(whole || text.contains("fingerprint_match"), "{text}");
    whole
}

/// How long it takes until acme is told these words, or no more.
fn until(stack: &Stack, deltas: &[&str], passing: bool) -> Duration {
    let since = Instant::now();
    while passes(stack, deltas) != passing {
        assert!(since.elapsed() < Duration::from_secs(10), "{deltas:?} {passing}\n{}", stack.control_log());
        std::thread::sleep(Duration::from_millis(10));
    }
    since.elapsed()
}

#[test]
fn what_is_written_into_chroma_is_guarded_within_a_second() {
    let mut stack = start("rag-writes");
    let docs = collection(&stack, "beta");
    assert!(passes(&stack, &LEAK));
    assert!((200..300).contains(&chroma(&stack, "beta", &docs, "upsert", &record("minutes", MINUTES)).status));
    let took = until(&stack, &LEAK, false);
    println!("guarded after {took:?}");
    assert!(took < Duration::from_secs(1), "{took:?}");
    // The owner reads its own.
    let prompt = LEAK.concat();
    assert_eq!(stack.chat(&mint::token("beta"), &prompt, true).unwrap().body, events(&LEAK).concat());
    let got = chroma(&stack, "beta", &docs, "get", &json!({"ids": ["minutes"]}));
    assert_eq!(got.json()["documents"][0], MINUTES);
    let listed = stack.api("GET", "/v1/tenants/beta/documents", None).unwrap();
    assert_eq!(listed[0]["document"], format!("rag:docs/{docs}/minutes"), "{listed}");
    assert!(!listed.to_string().contains("turbine"));
    for file in std::fs::read_dir(&stack.directory).unwrap().flatten().filter(|file| file.path().is_file()) {
        let bytes = std::fs::read(file.path()).unwrap();
        let holds = bytes.windows(15).any(|window| window.eq_ignore_ascii_case(b"turbine audits "));
        assert!(!holds, "{} holds text", file.path().display());
    }

    // A write that the database refuses is none.
    let bad = json!({"ids": ["plans"], "embeddings": [[0.1]], "documents": [PLANS]});
    assert!(chroma(&stack, "beta", &docs, "upsert", &bad).status >= 400);
    // An overwrite replaces.
    chroma(&stack, "beta", &docs, "upsert", &record("minutes", PLANS));
    until(&stack, &PLANS_LEAK, false);
    until(&stack, &LEAK, true);
    assert_eq!(stack.api("GET", "/v1/tenants/beta/documents", None).unwrap().as_array().map(Vec::len), Some(1));
    // An add leaves what is there, and so does its guard.
    chroma(&stack, "beta", &docs, "add", &record("minutes", MINUTES));
    until(&stack, &LEAK, false);
    assert!(!passes(&stack, &PLANS_LEAK));
    // A deletion retracts.
    assert!((200..300).contains(&chroma(&stack, "beta", &docs, "delete", &json!({"ids": ["minutes"]})).status));
    until(&stack, &LEAK, true);
    until(&stack, &PLANS_LEAK, true);

    // What another tenant writes as well is nobody's, until it is gone there.
    chroma(&stack, "beta", &docs, "upsert", &record("minutes", MINUTES));
    until(&stack, &LEAK, false);
    let others = collection(&stack, "gamma");
    chroma(&stack, "gamma", &others, "upsert", &record("minutes", MINUTES));
    until(&stack, &LEAK, true);
    chroma(&stack, "gamma", &others, "delete", &json!({"ids": ["minutes"]}));
    until(&stack, &LEAK, false);

    // What is written while the control plane is away comes when it is back, and stays over its restarts.
    stack.stop_control();
    chroma(&stack, "beta", &docs, "upsert", &record("plans", PLANS));
    std::thread::sleep(Duration::from_millis(300));
    stack.start_control().unwrap();
    until(&stack, &PLANS_LEAK, false);
    stack.stop_control();
    stack.start_control().unwrap();
    stack.converge().unwrap();
    assert!(!passes(&stack, &PLANS_LEAK) && !passes(&stack, &LEAK));
    assert!(stack.metric("partywall_rag_documents_total") >= 7.0);
}

#[test]
fn what_is_written_into_qdrant_is_guarded() {
    let (fake, qdrant) = Qdrant::start(&["docs"]);
    let stack = Stack::builder("rag-writes-qdrant")
        .template(rag::template(&[("qdrant", fake.port)]))
        .policy(&guarded(&rag::policy(SurfaceKind::Qdrant, Strategy::Namespace)))
        .start()
        .unwrap();
    let send = |method: &str, path: &str, body: &Value| {
        let request = Request::new(method, "qdrant.test", path).bearer(&mint::token("beta")).json(body);
        let response = request.send(stack.edge).unwrap();
        assert_eq!(response.status, 200, "{path}: {}", response.text());
    };
    let point =
        |text: &str| json!({"points": [{"id": 7, "vector": [0.1, 0.2, 0.3, 0.4], "payload": {"page_content": text}}]});
    assert!(passes(&stack, &LEAK));
    send("PUT", "/collections/docs/points?wait=true", &point(MINUTES));
    until(&stack, &LEAK, false);
    assert_eq!(qdrant.points("docs").len(), 1);
    let listed = stack.api("GET", "/v1/tenants/beta/documents", None).unwrap();
    assert_eq!(listed[0]["document"], "rag:qdrant/docs/7", "{listed}");
    send("PUT", "/collections/docs/points?wait=true", &point(PLANS));
    until(&stack, &LEAK, true);
    assert!(!passes(&stack, &PLANS_LEAK));
    send("POST", "/collections/docs/points/delete?wait=true", &json!({"points": [7]}));
    until(&stack, &PLANS_LEAK, true);
}

#[test]
fn what_is_too_much_is_counted_and_told() {
    let stack = start("rag-writes-lost");
    let docs = collection(&stack, "beta");
    let large = format!("{MINUTES} {}", "x ".repeat(MAX_TEXT / 2));
    assert!((200..300).contains(&chroma(&stack, "beta", &docs, "upsert", &record("large", &large)).status));
    let since = Instant::now();
    loop {
        let alerts = stack.api("GET", "/v1/alerts", None).unwrap();
        if alerts.as_array().unwrap().iter().any(|alert| alert["kind"] == "documents_lost") {
            break;
        }
        assert!(since.elapsed() < Duration::from_secs(5), "{alerts}");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!((stack.metric("partywall_rag_documents_lost_total") - 1.0).abs() < 0.5, "{}", stack.stats().unwrap());
    assert!(passes(&stack, &LEAK));
}

/// Words that occur once, about this many bytes of them.
fn prose(seed: usize, bytes: usize) -> String {
    (0..bytes / 10).map(|n| format!("w{seed:02}x{n:05} ")).collect()
}

#[test]
fn a_full_queue_blocks_no_request_and_is_told() {
    let mut stack = start("rag-writes-queue");
    let docs = collection(&stack, "beta");
    stack.stop_control();
    let mut slowest = Duration::ZERO;
    for seed in 0..12 {
        let body = record(&format!("d{seed}"), &prose(seed, MAX_TEXT - 100));
        let since = Instant::now();
        assert!((200..300).contains(&chroma(&stack, "beta", &docs, "upsert", &body).status), "{seed}");
        slowest = slowest.max(since.elapsed());
    }
    println!("the slowest of 12 writes of 256 KiB took {slowest:?}");
    let lost = stack.metric("partywall_rag_documents_lost_total");
    assert!(lost >= 1.0, "{}", stack.stats().unwrap());
    stack.start_control().unwrap();
    let since = Instant::now();
    let told = |stack: &Stack| {
        let alerts = stack.api("GET", "/v1/alerts", None).unwrap();
        alerts.as_array().unwrap().iter().any(|alert| alert["kind"] == "documents_lost")
    };
    let arrived = |stack: &Stack| {
        stack.api("GET", "/v1/tenants/beta/documents", None).unwrap().as_array().map_or(0, Vec::len) as f64
    };
    while !told(&stack) || arrived(&stack) + lost < 12.0 {
        assert!(since.elapsed() < Duration::from_secs(30), "{} of 12, {lost} lost", arrived(&stack));
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!((arrived(&stack) + lost - 12.0).abs() < 0.5, "none is lost that is not counted");
    // What came first is what is kept.
    let first = prose(0, 300);
    let words: Vec<&str> = first.split_inclusive(' ').collect();
    until(&stack, &words, false);
}

#[test]
fn nothing_is_read_unless_the_policy_says_so() {
    let stack = Stack::builder("rag-writes-off").chroma().start().unwrap();
    let docs = collection(&stack, "beta");
    chroma(&stack, "beta", &docs, "upsert", &record("minutes", MINUTES));
    let body = record("large", &prose(1, MAX_TEXT - 100));
    let since = Instant::now();
    assert!((200..300).contains(&chroma(&stack, "beta", &docs, "upsert", &body).status));
    println!("a write of 256 KiB that is not read took {:?}", since.elapsed());
    std::thread::sleep(Duration::from_millis(500));
    assert!(passes(&stack, &LEAK));
    assert_eq!(stack.api("GET", "/v1/tenants/beta/documents", None).unwrap(), json!([]));
}

#[test]
fn what_a_proxy_says_is_taken_in_or_told() {
    let policy = guarded(&demo_policy());
    let stack = Stack::builder("rag-writes-by-hand").policy(&policy).no_envoy().start().unwrap();
    let say = |writes: Value| {
        let report = json!({"instance": "by hand", "lost": 0, "writes": writes});
        stack.api("POST", "/v1/rag-writes", Some(&report)).unwrap();
    };
    let names = || -> Vec<String> {
        let listed = stack.api("GET", "/v1/tenants/beta/documents", None).unwrap();
        listed.as_array().unwrap().iter().map(|one| one["document"].as_str().unwrap().to_owned()).collect()
    };
    let hashes = |texts: &str| {
        let change = harvest(
            &phrases::selector(),
            &TenantId::parse("beta").unwrap(),
            Writes { documents: vec![(String::new(), Becomes::This(texts.to_owned()))], skipped: 0 },
        );
        serde_json::to_value(&change[0].change).unwrap()["put"].clone()
    };
    let one =
        |tenant: &str, document: &str, change: Value| json!({"tenant": tenant, "document": document, "change": change});
    let words = |document: &str| {
        let path = format!("/v1/tenants/beta/documents/{}", document.replace('/', "%2F"));
        stack.api("GET", &path, None).unwrap()["words"].as_u64().unwrap()
    };
    // In the order of the report; the same again, and what is too short, changes nothing.
    let revision = || stack.api("GET", "/v1/status", None).unwrap()["revision"].as_u64().unwrap();
    say(json!([
        one("beta", "rag:d/c/1", json!({"put": hashes(MINUTES)})),
        one("beta", "rag:d/c/2", json!({"put": hashes(PLANS)})),
        one("beta", "rag:d/c/2", json!("remove"))
    ]));
    assert_eq!(names(), ["rag:d/c/1"]);
    let (before, count) = (revision(), words("rag:d/c/1"));
    say(json!([
        one("beta", "rag:d/c/1", json!({"add": hashes(MINUTES)})),
        one("beta", "rag:d/c/3", json!({"put": hashes("too short")})),
        one("beta", "rag:d/c/4", json!("remove"))
    ]));
    assert_eq!((names().len(), words("rag:d/c/1")), (1, count));
    say(json!([one("beta", "rag:d/c/4", json!("remove"))]));
    assert!(revision() <= before + 1);
    say(json!([one("beta", "rag:d/c/1", json!({"add": hashes(PLANS)}))]));
    assert!(words("rag:d/c/1") > count);
    // A tenant that is not known, a name that is an operator's, hashes that are none.
    let broken = json!({"bytes": 9, "words": 9, "runs": "AAAA", "phrases": ""});
    say(json!([
        one("nobody", "rag:d/c/1", json!({"put": hashes(MINUTES)})),
        one("beta", "handbook", json!({"put": hashes(MINUTES)})),
        one("beta", "rag:d/c/1", json!({"put": broken})),
        one("beta", "rag:d/c/5", json!({"put": hashes(PLANS)})),
    ]));
    assert_eq!(names(), ["rag:d/c/1", "rag:d/c/5"]);
    let alerts = stack.api("GET", "/v1/alerts", None).unwrap();
    assert_eq!(alerts[0]["kind"], "documents_lost", "{alerts}");
    assert!(alerts[0]["summary"].as_str().unwrap().starts_with("2 documents"), "{alerts}");
    // What an operator gave is not a proxy's to remove.
    let by_hand = "/v1/tenants/beta/documents/handbook";
    stack.api("PUT", by_hand, Some(&json!({"text": PLANS}))).unwrap();
    say(json!([one("beta", "handbook", json!("remove"))]));
    assert!(stack.api("GET", by_hand, None).is_ok(), "{:?}", names());
    stack.api("DELETE", by_hand, None).unwrap();
    // No number of a proxy's ends the control plane.
    let mut huge = hashes(&format!("{MINUTES} {PLANS} And something else that was not there before it, for once."));
    (huge["bytes"], huge["words"]) = (json!(u64::MAX), json!(u64::MAX));
    say(json!([one("beta", "rag:d/c/1", json!({"add": huge}))]));
    let lost = json!({"instance": "by hand", "lost": u64::MAX, "writes": [one("beta", "handbook", json!("remove"))]});
    stack.api("POST", "/v1/rag-writes", Some(&lost)).unwrap();
    // What another tenant writes, too, guards nothing any more: somebody should know.
    say(json!([one("acme", "rag:d/c/1", json!({"put": hashes(MINUTES)}))]));
    let alerts = stack.api("GET", "/v1/alerts", None).unwrap();
    let shared: Vec<&Value> =
        alerts.as_array().unwrap().iter().filter(|alert| alert["kind"] == "phrases_shared").collect();
    assert_eq!(shared.len(), 1, "{alerts}");
    assert_eq!((&shared[0]["tenant"], &shared[0]["severity"]), (&json!("beta"), &json!("low")), "{alerts}");
    assert!(shared[0]["summary"].as_str().unwrap().starts_with("acme wrote "), "{alerts}");
    say(json!([one("acme", "rag:d/c/1", json!({"put": hashes(MINUTES)}))]));
    say(json!([one("acme", "rag:d/c/1", json!("remove"))]));
    // When the policy no longer wants them, they are not taken in.
    stack.apply(&demo_policy()).unwrap();
    say(json!([one("beta", "rag:d/c/6", json!({"put": hashes(PLANS)}))]));
    assert_eq!(names().len(), 2);
}

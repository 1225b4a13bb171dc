//! Documents in a Redis that replicas share: what one takes in, the proxies of all guard, and no word of it is anywhere.

use partywall_tests::http::{Request, Response};
use partywall_tests::llm::{Script, events};
use partywall_tests::mint;
use partywall_tests::prose;
use partywall_tests::redis::{Redis, bare, redis_policy, replica, state, until};
use partywall_tests::stack::{Stack, demo_policy};
use serde_json::{Value, json};
use std::path::Path;
use std::time::{Duration, Instant};

const MINUTES: &str = "Present were nine people. Quarterly turbine audits moved from Lisbon to Ghent because two inspectors \
    retired early, and nobody objected to the marmalade budget of the harbour committee.";
const LEAK: [&str; 5] =
    ["Notes: quarterly turbine", " audits moved from", " Lisbon to Ghent because", " two inspectors", " retired."];

fn try_put(stack: &Stack, tenant: &str, name: &str, text: &str) -> Response {
    let path = format!("/v1/tenants/{tenant}/documents/{name}");
    let request = Request::new("PUT", "control", &path).bearer(&stack.admin_token).json(&json!({"text": text}));
    request.send(stack.control).unwrap()
}

fn put(stack: &Stack, tenant: &str, name: &str, text: &str) {
    let answer = try_put(stack, tenant, name, text);
    assert_eq!(answer.status, 200, "{}", answer.text());
}

fn remove(stack: &Stack, tenant: &str, name: &str) {
    stack.api("DELETE", &format!("/v1/tenants/{tenant}/documents/{name}"), None).unwrap();
}

fn names(stack: &Stack, tenant: &str) -> Vec<String> {
    let all = stack.api("GET", &format!("/v1/tenants/{tenant}/documents?limit=1000"), None).unwrap();
    all.as_array().unwrap().iter().map(|row| row["document"].as_str().unwrap().to_owned()).collect()
}

/// Whether acme gets the leak whole, behind this control plane's proxy.
fn passes(stack: &Stack) -> bool {
    stack.llm.script("leak", Script::stream(&LEAK));
    let text = stack.chat(&mint::token("acme"), "leak", true).unwrap();
    let whole = text.body == events(&LEAK).concat();
    assert!(whole || text.text().contains("fingerprint_match"), "{}", text.text());
    whole
}

/// What filters are told of phrases: how many, and under which key.
fn phrases(stack: &Stack) -> (u64, String) {
    let envelope = stack.api("GET", "/v1/snapshot?have=0&nonce=n&instance=test", None).unwrap();
    let phrases = &envelope["manifest"]["content"]["phrases"];
    let segments = phrases["segments"].as_array().unwrap();
    let entries = segments.iter().map(|segment| segment["entries"].as_u64().unwrap()).sum::<u64>();
    let removed = phrases["removed"].as_array().map_or(0, Vec::len) as u64;
    (entries - removed, phrases["wire_key"].as_str().unwrap().to_owned())
}

fn holds(bytes: &[u8], word: &str) -> bool {
    let lower = bytes.to_ascii_lowercase();
    lower.windows(word.len()).any(|window| window == word.as_bytes())
}

fn no_words_in(file: &Path) {
    let bytes = std::fs::read(file).unwrap();
    assert!(holds(&bytes, "minutes"), "{} has the document's name, so it is the right file", file.display());
    for word in ["turbine", "lisbon", "ghent", "inspectors", "marmalade"] {
        assert!(!holds(&bytes, word), "{} holds {word}", file.display());
    }
}

#[test]
fn a_document_is_guarded_by_every_replica() {
    let redis = Redis::start("redisdoc-fan", &[]).unwrap();
    let one = bare("redisdoc-fan-1", redis.port);
    let two = replica("redisdoc-fan-2", &one, redis.port, true);
    assert!(passes(&two), "nothing is known yet");
    let start = Instant::now();
    put(&one, "beta", "minutes", MINUTES);
    until("the other replica's proxy guards", 5, || !passes(&two));
    println!("fan-out of one document, with the proxy: {} ms", start.elapsed().as_millis());
    assert_eq!(names(&two, "beta"), ["minutes"]);
    assert_eq!(phrases(&one), phrases(&two));
    // An operator learns at either what was cut.
    std::thread::sleep(Duration::from_millis(400));
    let blocked = two.api("GET", "/v1/events?outcome=blocked", None).unwrap();
    let request = blocked[0]["request_id"].as_str().unwrap();
    let why = two.api("GET", &format!("/v1/explain?request_id={request}"), None).unwrap();
    assert_eq!(why[0]["documents"], json!(["beta/minutes"]), "{why}");

    // No word of it is anywhere: in a dump of Redis, in its values, in either file.
    let dump = one.directory.join("dump.rdb");
    redis.cli(&["--rdb", &dump.to_string_lossy()]).unwrap();
    no_words_in(&dump);
    for stack in [&one, &two] {
        no_words_in(&stack.directory.join("data/partywall.redb"));
    }

    // Replaced, and removed.
    put(
        &two,
        "beta",
        "minutes",
        "Seven pebbles rolled down the walnut staircase while copper lanterns hummed quietly above.",
    );
    until("what was replaced guards nothing", 5, || passes(&two));
    put(&two, "beta", "minutes", MINUTES);
    until("and back", 5, || !passes(&two));
    remove(&one, "beta", "minutes");
    until("what was removed guards nothing", 5, || passes(&two) && names(&two, "beta").is_empty());
    assert_eq!(redis.cli(&["HLEN", "partywall:rows"]).unwrap(), "0");
    let again = Request::new("DELETE", "control", "/v1/tenants/beta/documents/minutes").bearer(&two.admin_token);
    assert_eq!(again.send(two.control).unwrap().status, 404);
}

#[test]
fn uniqueness_common_language_and_the_key_are_those_of_all() {
    let redis = Redis::start("redisdoc-unique", &[]).unwrap();
    let one = bare("redisdoc-unique-1", redis.port);
    let mut two = replica("redisdoc-unique-2", &one, redis.port, true);
    put(&one, "beta", "minutes", MINUTES);
    until("guarded", 5, || !passes(&two));
    // Acme's own text at the other replica: it is nobody's alone, anywhere.
    put(&two, "acme", "diary", &format!("We heard about them. {MINUTES} That is all that was said that day."));
    until("acme wrote it too", 5, || passes(&two));
    until("retracted everywhere", 5, || phrases(&one).0 == phrases(&two).0);
    remove(&one, "acme", "diary");
    until("unique again", 5, || !passes(&two));
    assert_eq!(phrases(&one), phrases(&two));
    // Common language.
    let common = Request::new("POST", "control", "/v1/common").bearer(&one.admin_token);
    assert_eq!(common.body("text/plain", MINUTES.into()).send(one.control).unwrap().status, 200);
    until("common language", 5, || passes(&two));
    two.api("DELETE", "/v1/common", None).unwrap();
    until("not any more", 5, || !passes(&two) && phrases(&one).0 > 0);
    // A new key at one is the key of all, also after a restart.
    let before = phrases(&two);
    one.api("POST", "/v1/phrases/rotate", None).unwrap();
    until("both have the new key", 5, || phrases(&one) == phrases(&two) && phrases(&two).1 != before.1);
    assert!(!passes(&two));
    two.stop_control();
    two.start_control().unwrap();
    until("after a restart", 5, || phrases(&one) == phrases(&two));
    // Writers at once: nobody's document is lost.
    std::thread::scope(|scope| {
        for (stack, prefix) in [(&one, "a"), (&two, "b")] {
            scope.spawn(move || {
                for n in 0..15 {
                    put(
                        stack,
                        "beta",
                        &format!("{prefix}{n}"),
                        &format!("{MINUTES} And then item {prefix}{n} {n} was read out aloud."),
                    );
                }
            });
        }
    });
    until("both have all", 5, || names(&one, "beta").len() == 31 && names(&one, "beta") == names(&two, "beta"));
    until("and say the same", 5, || phrases(&one).0 == phrases(&two).0);
}

#[test]
fn redis_away_or_empty_takes_nothing() {
    let persistent = ["--appendonly", "yes", "--appendfsync", "always"];
    let mut redis = Redis::start("redisdoc-away", &persistent).unwrap();
    let one = bare("redisdoc-away-1", redis.port);
    let two = replica("redisdoc-away-2", &one, redis.port, true);
    put(&one, "beta", "minutes", MINUTES);
    until("guarded", 5, || !passes(&two));
    redis.kill();
    until("missed", 10, || state(&one) != "ok" && state(&two) != "ok");
    let answer = try_put(&one, "beta", "later", MINUTES);
    assert_eq!(
        (answer.status, answer.json()["code"].as_str()),
        (503, Some("fingerprint_store_unavailable")),
        "{}",
        answer.text()
    );
    for (method, path) in
        [("DELETE", "/v1/tenants/beta/documents/minutes"), ("DELETE", "/v1/common"), ("POST", "/v1/phrases/rotate")]
    {
        let answer = Request::new(method, "control", path).bearer(&two.admin_token).send(two.control).unwrap();
        assert_eq!(answer.status, 503, "{path}: {}", answer.text());
    }
    assert!(!passes(&two), "guarded all the same");
    redis.resume(&persistent).unwrap();
    until("used again", 15, || state(&one) == "ok" && state(&two) == "ok");
    put(
        &two,
        "beta",
        "later",
        "Seven pebbles rolled down the walnut staircase while copper lanterns hummed quietly above.",
    );
    until("both", 5, || names(&one, "beta").len() == 2);
    // Emptied: what is known stays, and goes back.
    redis.cli(&["FLUSHALL"]).unwrap();
    until("noticed", 10, || state(&one) == "diverged" && state(&two) == "diverged");
    assert!(!passes(&two));
    assert_eq!(try_put(&one, "beta", "x", MINUTES).status, 503);
    assert!(one.cli(&["fingerprint", "store", "restore"]).unwrap().0);
    until("in order", 10, || state(&one) == "ok" && state(&two) == "ok");
    assert_eq!(redis.cli(&["HLEN", "partywall:rows"]).unwrap(), "2");
    assert!(!passes(&two));
    // A row that Redis threw away.
    redis.cli(&["HDEL", "partywall:rows", "document/beta/minutes"]).unwrap();
    until("missed", 10, || state(&one) == "diverged" && state(&two) == "diverged");
    assert!(!passes(&two));
    assert!(two.cli(&["fingerprint", "store", "restore"]).unwrap().0);
    until("in order", 10, || state(&one) == "ok" && state(&two) == "ok");
    // A new replica takes all of it.
    let three = replica("redisdoc-away-3", &one, redis.port, false);
    assert_eq!((names(&three, "beta"), phrases(&three)), (names(&one, "beta"), phrases(&one)));
    // And the other decision.
    redis.cli(&["FLUSHALL"]).unwrap();
    until("noticed", 10, || state(&one) == "diverged" && state(&two) == "diverged");
    assert!(one.cli(&["fingerprint", "store", "accept"]).unwrap().0);
    until("nothing is guarded any more", 10, || names(&two, "beta").is_empty() && passes(&two));
}

#[test]
fn another_signing_key_is_refused() {
    let redis = Redis::start("redisdoc-foreign", &[]).unwrap();
    let one = bare("redisdoc-foreign-1", redis.port);
    put(&one, "beta", "minutes", MINUTES);
    let other = Stack::builder("redisdoc-foreign-2")
        .no_envoy()
        .no_policy()
        .control(&["--redis", &redis.url()])
        .start()
        .unwrap();
    let refusal = other.apply(&redis_policy()).unwrap_err().to_string();
    assert!(refusal.contains("fingerprint_store_foreign") && refusal.contains("--signing-key"), "{refusal}");
    other.apply(&demo_policy()).unwrap();
    assert!(names(&other, "beta").is_empty());
    assert_eq!((names(&one, "beta"), state(&one)), (vec!["minutes".to_owned()], "ok".to_owned()));
}

#[test]
fn switching_joins_what_is_known() {
    let redis = Redis::start("redisdoc-switch", &[]).unwrap();
    let url = redis.url();
    let one = Stack::builder("redisdoc-switch-1").no_envoy().control(&["--redis", &url]).start().unwrap();
    let key = one.directory.join("data/signing.key");
    let arguments = ["--redis", url.as_str(), "--signing-key", &key.to_string_lossy()];
    let two = Stack::builder("redisdoc-switch-2").no_envoy().control(&arguments).start().unwrap();
    put(&one, "beta", "minutes", MINUTES);
    put(&one, "beta", "same", MINUTES);
    put(
        &two,
        "beta",
        "minutes",
        "Seven pebbles rolled down the walnut staircase while copper lanterns hummed quietly above.",
    );
    put(&two, "beta", "same", MINUTES);
    two.api("POST", "/v1/phrases/rotate", None).unwrap();
    assert_eq!(redis.cli(&["DBSIZE"]).unwrap(), "0");
    one.apply(&redis_policy()).unwrap();
    two.apply(&redis_policy()).unwrap();
    // Of two documents of one name both are kept.
    until("both have all", 5, || {
        names(&one, "beta") == ["minutes", "minutes (copy)", "same"] && phrases(&one) == phrases(&two)
    });
    assert_eq!(names(&two, "beta"), names(&one, "beta"));
    one.apply(&demo_policy()).unwrap();
    put(&one, "beta", "mine", MINUTES);
    assert_eq!(names(&one, "beta").len(), 4);
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(names(&two, "beta").len(), 3);
}

#[test]
fn a_large_bulk_goes_through() {
    let redis = Redis::start("redisdoc-bulk", &[]).unwrap();
    let one = bare("redisdoc-bulk-1", redis.port);
    let two = replica("redisdoc-bulk-2", &one, redis.port, false);
    let paragraphs = prose::paragraphs(2_500_000);
    // One document that needs several parts, and many small ones.
    let (large, small) = paragraphs.split_at(paragraphs.len() / 2);
    let mut body = json!({"document": "large", "text": large.join("\n")}).to_string() + "\n";
    for (at, part) in small.chunks(40).enumerate() {
        body += &(json!({"document": format!("d{at}"), "text": part.join("\n")}).to_string() + "\n");
    }
    let start = Instant::now();
    let request = Request::new("POST", "control", "/v1/tenants/beta/documents").bearer(&one.admin_token);
    let answer = request.body("application/x-ndjson", body.clone().into_bytes()).send(one.control).unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
    let (written, made): (Duration, Value) = (start.elapsed(), answer.json());
    let wanted = made["phrases"].as_u64().unwrap();
    until("the other replica has them", 60, || phrases(&two).0 > wanted / 2 && phrases(&two) == phrases(&one));
    println!("{} bytes: answered after {written:?}, at the other replica after {:?}", body.len(), start.elapsed());
    assert_eq!(names(&two, "beta"), names(&one, "beta"));
    let parts: usize = redis.cli(&["--scan", "--pattern", "partywall:row:*"]).unwrap().lines().count();
    assert!(parts > made["documents"].as_u64().unwrap() as usize, "the large one is in parts: {parts}");
    put(&two, "beta", "one-more", MINUTES);
    until("one more on top", 5, || names(&one, "beta").contains(&"one-more".to_owned()));
}

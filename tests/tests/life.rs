//! The proxy's life: snapshots that are missing, stale, forged or new; upstreams that break off; a control plane that goes and
//! comes.

use partywall_tests::llm::{Script, completion, events};
use partywall_tests::mint;
use partywall_tests::stack::{Stack, demo_policy, envoy_template};
use std::time::{Duration, Instant};

#[test]
fn no_policy_denies() {
    let stack = Stack::builder("no-policy").no_policy().start().unwrap();
    let response = stack.chat(&mint::token("acme"), "hello", false).unwrap();
    assert_eq!((response.status, response.code()), (503, Some("snapshot_missing")));
    assert_eq!(stack.llm.count(), 0);
    stack.apply(&demo_policy()).unwrap();
    assert_eq!(stack.chat(&mint::token("acme"), "hello", false).unwrap().status, 200, "served as soon as there is one");
}

#[test]
fn a_snapshot_that_another_key_signed_is_not_believed() {
    let other = partywall_core::snapshot::SecretKey::from_seed(&[7; 32]).unwrap().public().to_base64();
    let stack = Stack::builder("forged").template(envoy_template().replace("${PUBLIC_KEY}", &other)).no_envoy().start();
    let mut stack = stack.unwrap();
    stack.start_envoy().unwrap();
    let start = Instant::now();
    while stack.metric("partywall_polls_total{result=\"rejected\"}") < 2.0 && start.elapsed() < Duration::from_secs(10)
    {
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(stack.metric("partywall_polls_total{result=\"rejected\"}") >= 2.0, "{}", stack.stats().unwrap());
    let response = stack.chat(&mint::token("acme"), "hello", false).unwrap();
    assert_eq!(response.code(), Some("snapshot_missing"));
}

#[test]
fn a_stale_snapshot_denies_and_recovers() {
    // The shortest age that a policy may set.
    let policy = demo_policy() + "snapshot: { max_age: 30s }\n";
    let mut stack = Stack::builder("stale").policy(&policy).start().unwrap();
    let token = mint::token("acme");
    stack.stop_control();
    assert_eq!(stack.chat(&token, "on", false).unwrap().status, 200, "traffic goes on without the control plane");
    let start = Instant::now();
    let refused = loop {
        let response = stack.chat(&token, "still", false).unwrap();
        if response.status != 200 || start.elapsed() > Duration::from_secs(40) {
            break response;
        }
        std::thread::sleep(Duration::from_millis(500));
    };
    assert_eq!((refused.status, refused.code()), (503, Some("snapshot_stale")));
    assert!(start.elapsed() > Duration::from_secs(4), "too early: {:?}", start.elapsed());
    stack.start_control().unwrap();
    let start = Instant::now();
    while stack.chat(&token, "back", false).unwrap().status != 200 {
        assert!(start.elapsed() < Duration::from_secs(15), "did not recover: {}", stack.envoy_log());
        std::thread::sleep(Duration::from_millis(200));
    }
}

#[test]
fn a_fingerprint_pushed_in_mid_stream_guards_the_next_response() {
    let stack = Stack::builder("push").workers(2).start().unwrap();
    let deltas = ["Code", "name ", "Silver ", "Otter", " it is"];
    stack.llm.script("codename", Script::stream(&deltas).paced(100));
    let token = mint::token("acme");
    let first = std::thread::scope(|scope| {
        let stream = scope.spawn(|| stack.chat(&token, "codename", true).unwrap());
        std::thread::sleep(Duration::from_millis(150));
        stack.fingerprint("beta", "Silver Otter").unwrap();
        stream.join().unwrap()
    });
    assert_eq!(first.body, events(&deltas).concat(), "one request, one snapshot");
    for _ in 0..4 {
        let next = stack.chat(&token, "codename", true).unwrap().text();
        assert!(next.contains("fingerprint_match") && !next.contains("Silver"), "{next}");
    }
}

#[test]
fn removed_fingerprints_no_longer_match() {
    let stack = Stack::builder("removed").start().unwrap();
    let id = stack.fingerprint("beta", "Silver Otter").unwrap();
    let token = mint::token("acme");
    assert_eq!(stack.chat(&token, "a Silver Otter", false).unwrap().code(), Some("fingerprint_match"));
    stack.api("DELETE", &format!("/v1/fingerprints/{id}"), None).unwrap();
    stack.converge().unwrap();
    assert_eq!(stack.chat(&token, "a Silver Otter", false).unwrap().body, completion("a Silver Otter"));
    // The same literal of two tenants is nobody's secret between these two.
    stack.fingerprint("beta", "Joint Venture 9").unwrap();
    assert_eq!(stack.chat(&token, "joint venture 9", false).unwrap().status, 403);
    stack.fingerprint("acme", "JOINT-VENTURE 9").unwrap();
    assert_eq!(stack.chat(&token, "joint venture 9", false).unwrap().status, 200);
}

#[test]
fn upstreams_that_break_off() {
    let stack = Stack::builder("broken").start().unwrap();
    stack.fingerprint("beta", "Project Falcon Harbor").unwrap();
    let token = mint::token("acme");
    let mut cut = Script::stream(&["some ", "words ", "Project Fal"]);
    cut.parts.truncate(4);
    cut.cut = true;
    stack.llm.script("cut", cut);
    let response = stack.chat(&token, "cut", true).unwrap();
    assert!(response.cut && !response.text().contains("Project"), "{}", response.text());
    let raw = |bytes: &[u8]| Script { raw: Some(bytes.to_vec()), ..Script::stream(&[]) };
    for bytes in [
        &b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n5\r\ndata:\r\n"[..],
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{\"a\":",
        b"HTTP/1.1 200 OK\r\nx-odd: \xff\xfe\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\ncontent-type: \xff\r\ncontent-length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}",
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"garbage\r\n\r\n",
        b"",
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\ntrailer: x\r\n\r\n2\r\n{}\r\n0\r\nx: y\r\n\r\n",
    ] {
        stack.llm.script("raw", raw(bytes));
        let _ = stack.chat(&token, "raw", false);
        let alive = stack.chat(&token, "alive", false).unwrap();
        assert_eq!(alive.status, 200, "after {:?}: {}\n{}", String::from_utf8_lossy(bytes), alive.text(), stack.envoy_log());
    }
}

#[test]
fn records_survive_an_outage_of_the_control_plane() {
    let mut stack = Stack::builder("outage").start().unwrap();
    stack.fingerprint("beta", "Project Falcon Harbor").unwrap();
    stack.stop_control();
    let blocked = stack.chat(&mint::token("acme"), "Project Falcon Harbor", false).unwrap();
    assert_eq!(blocked.status, 403);
    std::thread::sleep(Duration::from_millis(1500));
    stack.start_control().unwrap();
    let start = Instant::now();
    loop {
        let events = stack.api("GET", "/v1/events?outcome=blocked", None).unwrap();
        if events.as_array().is_some_and(|events| events.len() == 1) {
            break;
        }
        assert!(start.elapsed() < Duration::from_secs(15), "the alert was lost: {events}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

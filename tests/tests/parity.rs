//! Bytes scanned = delivered + withheld, and what Envoy sent had passed the filter: in every way in which a response can end. A gap alarms.

use partywall_tests::http::Request;
use partywall_tests::llm::{Script, completion, events};
use partywall_tests::mint;
use partywall_tests::stack::{Stack, demo_policy, envoy_template};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

const SECRET: &str = "Project Falcon Harbor";

fn alarms(stack: &Stack) -> Vec<Value> {
    let alerts = stack.api("GET", "/v1/alerts", None).unwrap();
    alerts.as_array().unwrap().iter().filter(|alert| alert["kind"] == "parity_gap").cloned().collect()
}

fn wait<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < Duration::from_secs(10), "never: {what}");
        std::thread::sleep(Duration::from_millis(30));
    }
}

fn decision(request: &str, (scanned, delivered, withheld): (u64, u64, u64), overrun: Value) -> Value {
    json!({"time_ms": mint::now() * 1000, "request_id": request, "tenant": "acme", "surface": "llm",
        "endpoint": "openai.chat", "outcome": "allowed", "revision": 1, "overrun": overrun,
        "bytes": {"scanned": scanned, "delivered": delivered, "withheld": withheld}})
}

fn report(stack: &Stack, decisions: &[Value], gap: u64) {
    let body = json!({"instance": "odd", "revision": 1, "lost": 0, "decisions": decisions,
        "totals": {"requests": decisions.len(), "denied": 0, "hits": 0, "dropped": 0,
            "bytes": {"scanned": 1000 + gap, "delivered": 900, "withheld": 100}}});
    let answer =
        Request::new("POST", "control", "/v1/events").bearer(&stack.sidecar_token).json(&body).send(stack.control);
    assert_eq!(answer.unwrap().status, 202);
}

fn counted(stack: &Stack, line: &str) -> bool {
    Request::new("GET", "control", "/metrics")
        .bearer(&stack.admin_token)
        .send(stack.control)
        .unwrap()
        .text()
        .contains(line)
}

#[test]
fn a_gap_in_a_record_or_in_the_totals_alarms_once() {
    let stack = Stack::builder("parity-posted").no_envoy().start().unwrap();
    report(&stack, &[decision("fine", (100, 60, 40), Value::Null)], 0);
    assert!(alarms(&stack).is_empty());
    assert!(counted(&stack, "partywall_parity_gap_bytes_total{surface=\"llm\"} 0\n"));

    report(&stack, &[decision("gap", (100, 50, 40), Value::Null)], 10);
    let found = alarms(&stack);
    assert_eq!(found.len(), 1, "{found:#?}");
    assert_eq!(
        (&found[0]["severity"], &found[0]["tenant"], &found[0]["surface"], &found[0]["request_id"], &found[0]["count"]),
        (&json!("high"), &json!("acme"), &json!("llm"), &json!("gap"), &json!(1))
    );
    let summary = found[0]["summary"].as_str().unwrap();
    assert!(summary.contains("100 bytes were scanned, but 50 delivered and 40 withheld"), "{summary}");
    assert!(counted(&stack, "partywall_parity_gap_bytes_total{surface=\"llm\"} 10\n"));

    // More than was scanned is a gap, too; a record that was lost is missed by the totals.
    report(&stack, &[decision("more", (10, 20, 0), Value::Null)], 20);
    assert_eq!((alarms(&stack).len(), &alarms(&stack)[0]["count"]), (1, &json!(2)), "folded");
    report(&stack, &[decision("fine", (10, 10, 0), Value::Null)], 27);
    let totals = &alarms(&stack)[0];
    assert!(totals["summary"].as_str().unwrap().contains("the totals of odd lack 7 bytes more"), "{totals:#}");
    assert!(counted(&stack, "partywall_parity_gap_bytes_total{surface=\"-\"} 7\n"));
    report(&stack, &[decision("fine", (10, 10, 0), Value::Null)], 27);
    assert_eq!(alarms(&stack).len(), 2, "told once");

    report(&stack, &[decision("past", (10, 10, 0), json!({"passed": 10, "sent": 25}))], 27);
    let past = &alarms(&stack)[0];
    assert_eq!((&past["severity"], &past["request_id"]), (&json!("critical"), &json!("past")));
    assert!(past["summary"].as_str().unwrap().contains("Envoy sent 25 bytes, 10 had passed"), "{past:#}");
    assert!(counted(&stack, "partywall_parity_gap_bytes_total{surface=\"llm\"} 35\n"));
}

/// Asks and goes away after so many bytes of the answer.
fn abandon(stack: &Stack, prompt: &str, after: usize) {
    let body = json!({"model": "demo", "stream": true, "messages": [{"role": "user", "content": prompt}]});
    let request = stack.llm("POST", "/v1/chat/completions").bearer(&mint::token("acme")).json(&body);
    let mut stream = TcpStream::connect(("127.0.0.1", stack.edge)).unwrap();
    stream.write_all(&request.bytes()).unwrap();
    let mut taken = 0;
    let mut buffer = [0; 256];
    while taken < after {
        let read = stream.read(&mut buffer).unwrap();
        assert!(read > 0, "the answer ended before it was abandoned");
        taken += read;
    }
}

/// Every media type, whole and in parts, that leaks or does not.
fn scripts() -> Vec<(String, Script)> {
    let mut all = Vec::new();
    for text in ["all is quiet", "so Project Falcon Harbor it is", "at its end Project Falcon Har"] {
        let halves = [&text[..14.min(text.len())], &text[14.min(text.len())..]];
        let line = |half: &str| format!("{}\n", json!({"response": half})).into_bytes();
        let forms = [
            ("json", Script::new("application/json", vec![completion(text)])),
            ("sse", Script::new("text/event-stream", events(&halves))),
            ("ndjson", Script::new("application/x-ndjson", halves.iter().map(|half| line(half)).collect())),
            ("text", Script::new("text/plain", halves.iter().map(|half| half.as_bytes().to_vec()).collect())),
            ("empty", Script::new("text/plain", vec![Vec::new()])),
        ];
        all.extend(forms.into_iter().map(|(form, script)| (format!("{form} {text}"), script)));
    }
    for (form, media) in
        [("sse", "text/event-stream"), ("ndjson", "application/x-ndjson"), ("json", "application/json")]
    {
        let mut broken = Script::new(media, events(&["good ", "so far", " Project Fal"]));
        if form != "sse" {
            broken.parts = vec![(2, b"{\"response\":\"good\"}\n".to_vec()), (2, b"{\"response\":\"Project ".to_vec())];
        }
        all.push((format!("{form} that ends wrong"), Script { cut: false, ..broken.clone() }));
        all.push((format!("{form} that is reset"), Script { cut: true, ..broken }));
    }
    all
}

#[test]
fn however_a_response_ends_nothing_is_missing() {
    for action in ["block_and_alert_security", "redact_and_alert_security", "alert_security"] {
        let policy = demo_policy().replace("block_and_alert_security", action);
        let stack = Stack::builder("parity").policy(&policy).start().unwrap();
        stack.fingerprint("beta", SECRET).unwrap();
        let token = mint::token("acme");
        let mut asked = 0;
        for (prompt, script) in scripts() {
            stack.llm.script(&prompt, script);
            // One that is reset may end in an error of the client's.
            let _ = stack.chat(&token, &prompt, true);
            asked += 1;
        }
        let words = vec!["word "; 200];
        stack.llm.script("slow", Script::stream(&words).paced(5));
        stack.llm.script("slow leak", Script::stream(&[&words[..100], &["Project Fal"], &words].concat()).paced(5));
        for (prompt, after) in [("slow", 1), ("slow", 2000), ("slow leak", 16_000)] {
            abandon(&stack, prompt, after);
            asked += 1;
        }
        // Refusals of ours, and what Envoy answers itself.
        stack.chat("no token", "x", false).unwrap();
        stack.llm.script("no http", Script { raw: Some(b"nonsense\r\n\r\n".to_vec()), ..Script::stream(&[]) });
        stack.chat(&token, "no http", false).unwrap();
        asked += 2;
        wait("all records", || {
            let found = stack.api("GET", "/v1/events?limit=1000", None).unwrap();
            (found.as_array().map(Vec::len) >= Some(asked)).then_some(())
        });
        assert_eq!(alarms(&stack), Vec::<Value>::new(), "{action}");
        let bytes = |kind: &str| {
            stack.metric(&format!("partywall_response_bytes_total{{disposition=\"{kind}\",surface=\"llm\"}}"))
        };
        assert!(bytes("scanned") > 10_000.0 && bytes("withheld") > 0.0, "{action}: {}", bytes("scanned"));
        assert!((bytes("scanned") - bytes("delivered") - bytes("withheld")).abs() < 0.5, "{action}");
        assert!(bytes("unaccounted").abs() < 0.5, "{action}");
    }
}

/// A filter nearer to the client that writes into the body.
const OTHER: &str = r#"                http_filters:
                  - name: other
                    typed_config:
                      "@type": type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua
                      default_source_code:
                        inline_string: |
                          function envoy_on_response(handle)
                            local body = handle:body(true)
                            body:setBytes(body:getBytes(0, body:length()) .. " and more")
                            handle:headers():remove("content-length")
                          end
"#;

#[test]
fn what_leaves_beside_the_filter_is_seen() {
    let template = envoy_template().replace("                http_filters:\n", OTHER);
    let stack = Stack::builder("parity-beside").template(template).start().unwrap();
    let answer = stack.chat(&mint::token("acme"), "hello", false).unwrap();
    assert!(answer.text().ends_with(" and more"), "{}", answer.text());
    let alarm = wait("the alarm", || alarms(&stack).pop());
    assert_eq!((&alarm["severity"], &alarm["surface"]), (&json!("critical"), &json!("llm")));
    let (sent, passed) = (answer.body.len(), answer.body.len() - " and more".len());
    let numbers = format!("Envoy sent {sent} bytes, {passed} had passed");
    assert!(alarm["summary"].as_str().unwrap().contains(&numbers), "{alarm:#}");
}

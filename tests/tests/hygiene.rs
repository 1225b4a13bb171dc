//! What a client can send: paths, methods, heads, bodies. Always an answer that is no fault of ours, never a dead VM.

use partywall_tests::http::{self, Request};
use partywall_tests::mint;
use partywall_tests::stack::Stack;
use serde_json::json;
use std::io::Write;
use std::sync::OnceLock;
use std::time::Duration;

fn stack() -> &'static Stack {
    static STACK: OnceLock<Stack> = OnceLock::new();
    STACK.get_or_init(|| Stack::builder("hygiene").start().unwrap())
}

/// The VM lives: the next request is served.
fn alive(stack: &Stack, after: &str) {
    let response = stack.chat(&mint::token("acme"), "alive", false).unwrap();
    assert_eq!(response.status, 200, "after {after}: {}\n{}", response.text(), stack.envoy_log());
}

fn head(target: &str, method: &str, more: &str) -> Vec<u8> {
    let token = mint::token("acme");
    format!("{method} {target} HTTP/1.1\r\nhost: llm.test\r\nauthorization: Bearer {token}\r\nconnection: close\r\n{more}\r\n").into_bytes()
}

#[test]
fn only_canonical_paths_of_the_table_are_served() {
    // A stack of its own, as everywhere where it matters what the upstream saw last.
    let stack = &Stack::builder("paths").start().unwrap();
    assert_eq!(http::raw(stack.edge, &head("/v1/models", "GET", "")).unwrap().status, 200);
    let before = stack.llm.count();
    for target in [
        "/v1/models/",
        "/v1//models",
        "//v1/models",
        "/v1/./models",
        "/v1/x/../models",
        "/v1/%6dodels/../models",
        "/v1%2fmodels",
        "/v1/models%2f",
        "/v1/models%5c",
        "/v1/models;x=1",
        "/v1/models%3b",
        "/v1/%2e%2e/v1/models",
        "/v1/%252e%252e/models",
        "/v1/models%00",
        "/v1/models%zz",
        "/v1/models?a=1",
        "/v1/models?",
        "/V1/models",
        "/v1/files",
        "/v1/embeddings",
        "/",
        "/v1/models/a/b",
        "/v1/modelsé",
        "http://llm.test/v1/files",
        "/v1/chat/completions/..%2f..%2fmodels",
        "/v1/models#x",
    ] {
        let response = http::raw(stack.edge, &head(target, "GET", "")).unwrap();
        // Envoy itself merges slashes, resolves dots and drops fragments before the filter; what then is canonical may be served.
        let normal = matches!(
            target,
            "/v1//models"
                | "//v1/models"
                | "/v1/./models"
                | "/v1/x/../models"
                | "/v1/models#x"
                | "/v1/models?"
                | "/v1/%6dodels/../models"
                | "/v1/%2e%2e/v1/models"
        );
        let served = response.status == 200;
        assert!(response.status < 500, "{target}: {} {}", response.status, response.text());
        assert!(!served || normal, "{target} was served");
        if served {
            let line = stack.llm.last().unwrap().line;
            assert!(line.starts_with("GET /v1/models"), "{target} reached the upstream as {line}");
        }
    }
    for method in ["HEAD", "OPTIONS", "PUT", "DELETE", "TRACE", "PATCH", "PROPFIND"] {
        let response = http::raw(stack.edge, &head("/v1/models", method, "")).unwrap();
        assert!(matches!(response.status, 400..500), "{method}: {}", response.status);
    }
    assert!(stack.llm.count() - before < 10);
    let nowhere =
        Request::new("GET", "nowhere.test", "/v1/models").bearer(&mint::token("acme")).send(stack.edge).unwrap();
    assert_eq!((nowhere.status, nowhere.code()), (404, Some("surface_unknown")));
    assert_eq!(nowhere.header("content-type"), Some("application/problem+json"));
    alive(stack, "odd paths");
}

#[test]
fn upgrades_and_connect_are_refused() {
    let stack = stack();
    let upgrade =
        http::raw(stack.edge, &head("/v1/models", "GET", "upgrade: websocket\r\nconnection: upgrade\r\n")).unwrap();
    assert!(matches!(upgrade.status, 400..500), "{}", upgrade.status);
    let connect = http::raw(stack.edge, &head("llm.test:443", "CONNECT", "")).unwrap();
    assert!(matches!(connect.status, 400..500), "{}", connect.status);
    alive(stack, "upgrades");
}

#[test]
fn heads_that_nobody_should_send() {
    let stack = stack();
    let mut odd = head("/v1/models", "GET", "");
    odd.truncate(odd.len() - 2);
    odd.extend_from_slice(b"x-odd: \xff\xfe\x80\r\nx-request-id: \xff\r\ncookie: \xc3\x28\r\n\r\n");
    let response = http::raw(stack.edge, &odd).unwrap();
    assert!(response.status < 500, "{}", response.status);
    alive(stack, "header bytes that are no UTF-8");
    let many: String = (0..1000).map(|n| format!("x-h{n}: v\r\n")).collect();
    assert!(http::raw(stack.edge, &head("/v1/models", "GET", &many)).unwrap().status < 500);
    let large = format!("x-large: {}\r\n", "v".repeat(50_000));
    assert!(http::raw(stack.edge, &head("/v1/models", "GET", &large)).unwrap().status < 500);
    let under = http::raw(stack.edge, &head("/v1/models", "GET", "x_partywall_tenant: beta\r\n")).unwrap();
    assert_eq!(under.status, 400, "Envoy refuses underscores");
    let ids = http::raw(stack.edge, &head("/v1/models", "GET", "x-request-id: a\r\nx-request-id: b\r\n")).unwrap();
    assert!(ids.status < 500);
    alive(stack, "odd heads");
}

#[test]
fn bodies_that_nobody_should_send() {
    let stack = &Stack::builder("bodies").start().unwrap();
    let token = mint::token("acme");
    let post =
        |media: &str, body: &[u8]| stack.llm("POST", "/v1/chat/completions").bearer(&token).body(media, body.to_vec());
    let code = |request: Request| request.send(stack.edge).unwrap().code().unwrap_or("–").to_owned();
    let j = "application/json";
    let cases: [(&[u8], &str); 13] = [
        (b"", "body_missing"),
        (b"{", "json_invalid"),
        (b"{} {}", "json_invalid"),
        (b"\xef\xbb\xbf{}", "json_invalid"),
        (b"{\"model\":\"m\",\"messages\":[],\"a\":NaN}", "json_invalid"),
        (b"{\"model\":\"m\",\"messages\":[],\"a\":1e400}", "json_invalid"),
        (b"{\"model\":\"m\",\"messages\":[],\"a\":\"\\ud800\"}", "json_invalid"),
        (b"{\"model\":\"m\",\"messages\":[],\"a\":\"\xff\"}", "json_invalid"),
        (b"{\"model\":\"m\",\"model\":\"n\",\"messages\":[]}", "json_duplicate_key"),
        (b"{\"model\":\"m\",\"mod\\u0065l\":\"n\",\"messages\":[]}", "json_duplicate_key"),
        (b"[]", "field_invalid"),
        (b"{\"messages\":[]}", "field_invalid"),
        (b"{\"model\":\"m\",\"messages\":{}}", "field_invalid"),
    ];
    for (body, expect) in cases {
        assert_eq!(code(post(j, body)), expect, "{}", String::from_utf8_lossy(body));
    }
    let deep = format!("{{\"model\":\"m\",\"messages\":[],\"a\":{}{}}}", "[".repeat(65), "]".repeat(65));
    assert_eq!(code(post(j, deep.as_bytes())), "json_too_deep");
    for media in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/json; charset=utf-16",
        "application/grpc",
    ] {
        assert_eq!(code(post(media, b"{}")), "media_type_unsupported", "{media}");
    }
    assert_eq!(code(post(j, b"{}").header("content-encoding", "gzip")), "encoding_unsupported");
    assert_eq!(code(post(j, &vec![b' '; (1 << 20) + 1])), "body_too_large");
    let body = json!({"model": "m", "messages": []}).to_string();
    let get = stack.llm("GET", "/v1/models").bearer(&token).body(j, body.clone().into_bytes());
    assert_eq!(code(get), "body_forbidden");
    alive(stack, "odd bodies");

    // The same body, byte by byte, chunked; then larger than allowed, chunked, so that no length announces it.
    let dripped = http::exchange(stack.edge, |stream| {
        stream.write_all(&head(
            "/v1/chat/completions",
            "POST",
            "content-type: application/json\r\ntransfer-encoding: chunked\r\n",
        ))?;
        for byte in body.bytes() {
            stream.write_all(&[b'1', b'\r', b'\n', byte, b'\r', b'\n'])?;
        }
        stream.write_all(b"0\r\n\r\n")
    });
    assert_eq!(dripped.unwrap().status, 200);
    assert_eq!(stack.llm.last().unwrap().body, body.as_bytes(), "the upstream got the body as it was sent");
    let flood = http::exchange(stack.edge, |stream| {
        stream.write_all(&head(
            "/v1/chat/completions",
            "POST",
            "content-type: application/json\r\ntransfer-encoding: chunked\r\n",
        ))?;
        for _ in 0..40 {
            stream.write_all(b"10000\r\n")?;
            stream.write_all(&[b' '; 65536])?;
            stream.write_all(b"\r\n")?;
        }
        stream.write_all(b"0\r\n\r\n")
    });
    assert_eq!(flood.unwrap().code(), Some("body_too_large"));
    alive(stack, "a flood");
}

#[test]
fn bodies_that_end_early_or_late() {
    let stack = &Stack::builder("early").start().unwrap();
    let before = stack.llm.count();
    for body in [&b"{\"model\":"[..], b""] {
        let _ = http::exchange(stack.edge, |stream| {
            stream.write_all(&head(
                "/v1/chat/completions",
                "POST",
                "content-type: application/json\r\ncontent-length: 500\r\n",
            ))?;
            stream.write_all(body)?;
            std::thread::sleep(Duration::from_millis(100));
            stream.shutdown(std::net::Shutdown::Both)
        });
    }
    let trailers = http::exchange(stack.edge, |stream| {
        stream.write_all(&head(
            "/v1/chat/completions",
            "POST",
            "content-type: application/json\r\ntransfer-encoding: chunked\r\ntrailer: x-more\r\n",
        ))?;
        stream.write_all(b"2\r\n{}\r\n0\r\nx-more: 1\r\n\r\n")
    });
    assert_eq!(trailers.unwrap().code(), Some("trailers_forbidden"));
    let both = http::exchange(stack.edge, |stream| {
        stream.write_all(&head(
            "/v1/chat/completions",
            "POST",
            "content-type: application/json\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n",
        ))?;
        stream.write_all(b"2\r\n{}\r\n0\r\n\r\n")
    });
    assert!(matches!(both.unwrap().status, 400..500));
    assert_eq!(stack.llm.count(), before, "none of these reached the upstream");
    let expect = http::exchange(stack.edge, |stream| {
        let body = json!({"model": "m", "messages": [{"role": "user", "content": "after 100"}]}).to_string();
        stream.write_all(&head(
            "/v1/chat/completions",
            "POST",
            &format!("content-type: application/json\r\nexpect: 100-continue\r\ncontent-length: {}\r\n", body.len()),
        ))?;
        std::thread::sleep(Duration::from_millis(50));
        stream.write_all(body.as_bytes())
    });
    assert_eq!(expect.unwrap().status, 200);
    alive(stack, "cut bodies");
}

#[test]
fn pseudo_random_bytes_never_kill_the_vm() {
    let stack = stack();
    let mut seed = 42u64;
    let mut next = || {
        seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (seed >> 33) as usize
    };
    for _ in 0..150 {
        let mut bytes =
            head("/v1/chat/completions", "POST", "content-type: application/json\r\ncontent-length: 40\r\n");
        bytes.extend_from_slice(b"{\"model\":\"m\",\"messages\":[{\"a\":\"\\u0041\"}]}");
        for _ in 0..1 + next() % 4 {
            let at = next() % bytes.len();
            bytes[at] = next() as u8;
        }
        if let Ok(response) = http::exchange(stack.edge, |stream| {
            stream.write_all(&bytes)?;
            stream.shutdown(std::net::Shutdown::Write)
        }) {
            assert!(response.status < 500, "{}: {}", response.status, String::from_utf8_lossy(&bytes));
        }
    }
    alive(stack, "150 mutated requests");
}

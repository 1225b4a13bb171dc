//! PostgREST: cases that are data, and the official client against a backend that knows what its filters mean.

mod seeded;

use partywall_core::snapshot::wire::{Strategy, SurfaceKind};
use partywall_core::surface::Route;
use partywall_tests::fakes::Fake;
use partywall_tests::fakes::postgrest::{Answer, Postgrest};
use partywall_tests::mint;
use partywall_tests::process::root;
use partywall_tests::rag::{self, check_answers, check_requests, check_through_envoy};
use partywall_tests::stack::{Stack, python};
use seeded::Seeded;
use serde_json::{Value, json};
use std::process::Command;

const COLUMNS: &[&str] = &["id", "title", "n", "tags", "meta", "embedding", "tenant_id"];

#[test]
fn postgrest_requests() {
    check_requests(SurfaceKind::Postgrest);
}

#[test]
fn postgrest_answers() {
    check_answers(SurfaceKind::Postgrest);
}

#[test]
fn postgrest_through_envoy() {
    check_through_envoy(SurfaceKind::Postgrest);
}

#[test]
fn postgrest_client() {
    let postgrest = Postgrest::with(&["docs", "secrets"], COLUMNS);
    let server = postgrest.clone();
    let fake = Fake::start(move |request| server.answer(request));
    let stack = Stack::builder("client-postgrest")
        .template(rag::template(&[("postgrest", fake.port)]))
        .policy(&rag::policy(SurfaceKind::Postgrest, Strategy::Namespace))
        .start()
        .unwrap();
    let run = |phase: &str| {
        let python = python();
        assert!(python.exists(), "{} is missing: run `make setup` first", python.display());
        let script = root().join("tests/python/postgrest_client.py");
        let (acme, beta) = (mint::token("acme"), mint::token("beta"));
        let output =
            Command::new(python).arg(script).args([&stack.edge.to_string(), &acme, &beta, phase]).output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        assert!(output.status.success(), "{phase}:\n{}\n{}", String::from_utf8_lossy(&text), stack.envoy_log());
    };
    run("use");
    // What the database holds: every row marked.
    let rows = postgrest.rows("public", "docs");
    assert_eq!(rows.len(), 1, "{rows:?}");
    assert_eq!(rows[0]["tenant_id"], "t_acme");
    let seen = fake.take();
    assert!(!seen.is_empty());
    for request in &seen {
        let reads = request.line.starts_with("GET ") || request.line.starts_with("HEAD ");
        let (profile, other) =
            if reads { ("accept-profile", "content-profile") } else { ("content-profile", "accept-profile") };
        assert_eq!((request.header(profile), request.header(other)), (Some("public"), None), "{}", request.line);
        assert!(request.line.contains("tenant_id=eq.t_acme") || !reads || request.line.contains("tenant_id=eq.t_beta"));
    }
    // By the back door: beta's row, and a row without a marker.
    postgrest.put("public", "docs", &json!({"id": 50, "n": 10, "title": "SECRET", "tenant_id": "t_beta"}));
    postgrest.put("public", "docs", &json!({"id": 51, "n": 10, "title": "SECRET"}));
    let beta = postgrest.rows("public", "docs").len();
    assert_eq!(beta, 3);
    // Beta's row is beta's, whoever put it there: it must not be seen by acme, and is gone before beta looks.
    let read = partywall_tests::http::Request::new("GET", "postgrest.test", "/docs?select=id");
    let read = read.bearer(&mint::token("acme")).send(stack.edge).unwrap();
    assert_eq!((read.status, read.header("content-location")), (200, None), "it has the query as the database got it");
    let delete = partywall_tests::http::Request::new("DELETE", "postgrest.test", "/docs?id=eq.50");
    assert_eq!(delete.bearer(&mint::token("acme")).send(stack.edge).unwrap().status, 204);
    assert_eq!(postgrest.rows("public", "docs").len(), 3, "acme cannot delete it");
    let delete = partywall_tests::http::Request::new("DELETE", "postgrest.test", "/docs?id=eq.50");
    assert_eq!(delete.bearer(&mint::token("beta")).send(stack.edge).unwrap().status, 204);
    assert_eq!(postgrest.rows("public", "docs").len(), 2);
    run("look");
}

/// A backend that ignores what it is told (a view that forgot its condition): its rows are dropped.
#[test]
fn postgrest_drops_what_the_backend_should_not_have_sent() {
    let postgrest = Postgrest::with(&["docs"], COLUMNS);
    for (id, marker) in [(1, json!("t_acme")), (2, json!("t_beta")), (3, Value::Null)] {
        postgrest.put("public", "docs", &json!({"id": id, "tenant_id": marker, "title": "SECRET"}));
    }
    let surfaces = rag::surfaces(SurfaceKind::Postgrest, Strategy::Namespace);
    let route = surfaces.classify("postgrest.test", "GET", "/docs?select=id").unwrap();
    let rewritten = rag::request(&route, &[], b"").unwrap();
    let forgetful = rewritten.path.unwrap().replace("&tenant_id=eq.t_acme", "");
    let (status, _, body) = postgrest.call("GET", &forgetful, &[], b"");
    let got = rag::response(&route, &rewritten.memo, status, &body).unwrap();
    assert_eq!((got.body.as_deref(), got.tally.dropped), (Some(&br#"[{"id":1}]"#[..]), 2));
}

fn leaf(random: &mut Seeded, dot: &str) -> String {
    let n = random.below(8);
    let own = 1 + random.below(12);
    let not = if random.once_in(4) { "not." } else { "" };
    match random.below(11) {
        0 => format!("n{dot}{not}gt.{n}"),
        1 => format!("n{dot}{not}lte.{n}"),
        2 => format!("n{dot}{not}is.null"),
        3 => format!("title{dot}{not}eq.\"{}\"", ["x", "y, z", "(w)"][n % 3]),
        4 => format!("title{dot}{not}like.*{}*", ["x", "y", "z"][n % 3]),
        5 => format!("id{dot}{not}in.({own},{},1001)", own + 1),
        6 => format!("id{dot}{not}eq.{own}"),
        7 => format!("tags{dot}{not}cs.{{{}}}", ["a", "b", "a,b"][n % 3]),
        8 => format!("meta->>k{dot}{not}eq.{n}"),
        9 => format!("tenant_id{dot}eq.t_beta"),
        _ => format!("id{dot}gte.{}", [0, 3, 1000][n % 3]),
    }
}

fn tree(random: &mut Seeded, depth: usize) -> String {
    if depth == 0 || random.once_in(3) {
        // A row of acme's own database has no marker, so its opposite is another thing there.
        let leaf = leaf(random, ".");
        return if leaf.starts_with("tenant_id") { "n.gt.3".to_owned() } else { leaf };
    }
    let word = random.one(&["and", "or", "not.and", "not.or"]);
    let parts: Vec<String> = (0..=random.below(3)).map(|_| tree(random, depth - 1)).collect();
    format!("{word}({})", parts.join(","))
}

fn conditions(random: &mut Seeded, least: usize) -> Vec<(String, String)> {
    let mut pairs = Vec::new();
    for _ in 0..least + random.below(3) {
        if random.once_in(3) {
            let whole = tree(random, 3);
            let word = random.one(&["and", "or", "not.and", "not.or"]);
            pairs.push((word.to_owned(), format!("({whole})")));
        } else {
            let leaf = leaf(random, "=");
            let (name, value) = leaf.split_once('=').unwrap();
            // Quotes are only for values inside logic.
            let value = if value.contains("in.") { value.to_owned() } else { value.replace('"', "") };
            pairs.push((name.to_owned(), value));
        }
    }
    pairs
}

fn write(pairs: &[(String, String)]) -> String {
    let encode = |text: &str| -> String {
        text.bytes()
            .map(|b| if b.is_ascii_alphanumeric() { char::from(b).to_string() } else { format!("%{b:02X}") })
            .collect()
    };
    pairs.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect::<Vec<_>>().join("&")
}

fn row(random: &mut Seeded, id: usize) -> Value {
    json!({
        "id": id,
        "title": random.one(&["x", "y, z", "(w)", "xyz"]),
        "n": if random.once_in(4) { Value::Null } else { json!(random.below(8)) },
        "tags": random.one(&[json!([]), json!(["a"]), json!(["a", "b"]), Value::Null]),
        "meta": {"k": random.below(8), "list": [1, 2]},
        "embedding": "[0.1,0.2]",
    })
}

/// One request: method, query, headers, body.
fn operation(random: &mut Seeded) -> (&'static str, String, Vec<(String, String)>, String) {
    let mut headers = Vec::new();
    let mut prefer = Vec::new();
    if random.once_in(3) {
        prefer.push("count=exact");
    }
    let method = random.one(&["GET", "GET", "GET", "HEAD", "POST", "PATCH", "DELETE"]);
    if random.once_in(2) || method == "PATCH" {
        prefer.push("return=representation");
    }
    if !prefer.is_empty() {
        headers.push(("prefer".to_owned(), prefer.join(", ")));
    }
    if random.once_in(6) {
        headers.push(("accept".to_owned(), "application/vnd.pgrst.object+json".to_owned()));
    }
    let mut pairs = match method {
        "POST" => Vec::new(),
        "PATCH" | "DELETE" => conditions(random, 1),
        _ => conditions(random, 0),
    };
    if random.once_in(2) {
        let select = random.one(&[
            "id",
            "*",
            "id,t:title",
            "n,m:meta->list->0,k:meta->>k",
            "id,n::text",
            "*,t:title",
            "meta->list",
        ]);
        pairs.push(("select".to_owned(), select.to_owned()));
    }
    if matches!(method, "GET" | "HEAD") {
        if random.once_in(2) {
            let order = random.one(&["n.desc,id", "title.asc.nullsfirst,id.desc", "meta->>k,id", "n.nullsfirst,id"]);
            pairs.push(("order".to_owned(), order.to_owned()));
        }
        if random.once_in(3) {
            pairs.push(("limit".to_owned(), random.below(5).to_string()));
            pairs.push(("offset".to_owned(), random.below(3).to_string()));
        }
    }
    let body = match method {
        "POST" => {
            let rows: Vec<Value> = (0..=random.below(2))
                .map(|_| {
                    let id = 1 + random.below(40);
                    row(random, id)
                })
                .collect();
            if random.once_in(2) {
                pairs.push(("columns".to_owned(), "\"id\",\"title\",\"n\"".to_owned()));
            }
            if rows.len() == 1 { rows[0].to_string() } else { json!(rows).to_string() }
        }
        "PATCH" => json!({"n": random.below(8), "title": "new"}).to_string(),
        _ => String::new(),
    };
    (method, write(&pairs), headers, body)
}

/// Whatever acme asks of a table that it shares, it gets what it would get of one of its own.
#[test]
fn postgrest_differential() {
    let surfaces = rag::surfaces(SurfaceKind::Postgrest, Strategy::Namespace);
    let (mut compared, mut rows) = (0, 0);
    for seed in 1..80 {
        let mut random = Seeded::new(seed);
        let shared = Postgrest::with(&["docs"], COLUMNS);
        let own = Postgrest::with(&["docs"], COLUMNS);
        for at in 0..30 {
            // A key is unique in the whole table, so each tenant has keys of its own.
            let tenant = random.one(&["acme", "beta", "gamma"]);
            let id = if tenant == "acme" { at + 1 } else { 1000 + at };
            let mut record = row(&mut random, id);
            if tenant == "acme" {
                own.put("public", "docs", &record);
            }
            record["tenant_id"] = json!(format!("t_{tenant}"));
            shared.put("public", "docs", &record);
        }
        let foreign = |postgrest: &Postgrest| -> Vec<Value> {
            postgrest.rows("public", "docs").into_iter().filter(|row| row["tenant_id"] != "t_acme").collect()
        };
        let before = foreign(&shared);
        for _ in 0..15 {
            let (method, query, headers, body) = operation(&mut random);
            let target = format!("/docs?{query}");
            let what = format!("seed {seed}: {method} {target} {headers:?} {body}");
            let route: Route = surfaces.classify("postgrest.test", method, &target).unwrap();
            let rewritten = rag::request(&route, &headers, body.as_bytes())
                .unwrap_or_else(|code| panic!("{what} was refused: {code:?}"));
            let mut sent = headers.clone();
            for (name, value) in &rewritten.headers {
                sent.retain(|(known, _)| known != name);
                sent.extend(value.clone().map(|value| ((*name).to_owned(), value)));
            }
            let (path, sent_body) = (rewritten.path.unwrap(), rewritten.body.unwrap_or(body.clone().into_bytes()));
            let (status, range, raw) = shared.call(method, &path, &sent, &sent_body);
            let (expected_status, expected_range, expected): Answer =
                own.call(method, &target, &headers, body.as_bytes());
            assert_eq!((status, &range), (expected_status, &expected_range), "{what}");
            compared += 1;
            if method == "HEAD" || (raw.is_empty() && expected.is_empty()) {
                continue;
            }
            let got = rag::response(&route, &rewritten.memo, status, &raw).unwrap();
            let read = |body: &[u8]| serde_json::from_slice::<Value>(body).unwrap();
            let (got, mut expected) = (read(&got.body.unwrap()), read(&expected));
            if status >= 300 {
                assert_eq!(got["code"], expected["code"], "{what}");
                assert!(got.get("details").is_none() && got.get("hint").is_none(), "{what}: {got}");
                continue;
            }
            // The one difference: a database of its own has the marker's column, empty.
            let strip = |row: &mut Value| row.as_object_mut().map(|row| row.remove("tenant_id"));
            match &mut expected {
                Value::Array(all) => all.iter_mut().for_each(|row| {
                    strip(row);
                }),
                one => {
                    strip(one);
                }
            }
            assert_eq!(got, expected, "{what}");
            rows += got.as_array().map_or(1, Vec::len);
        }
        assert_eq!(foreign(&shared), before, "seed {seed}: others' rows changed");
    }
    assert!(compared > 1000 && rows > 1000, "{compared} requests, {rows} rows");
}

/// The fake would tell, change and delete what is not forced into a namespace, and a parameter that is no condition deletes all.
#[test]
fn postgrest_fake_leaks_without_the_filter() {
    let fresh = || {
        let postgrest = Postgrest::with(&["docs"], COLUMNS);
        for (id, tenant) in [(1, "acme"), (2, "beta")] {
            postgrest.put("public", "docs", &json!({"id": id, "tenant_id": format!("t_{tenant}")}));
        }
        postgrest
    };
    let prefer = [("prefer".to_owned(), "return=representation".to_owned())];
    let count = |method: &str, query: &str| {
        let (_, _, body) = fresh().call(method, &format!("/docs?{query}"), &prefer, br#"{"n":1}"#);
        serde_json::from_slice::<Value>(&body).unwrap().as_array().map(Vec::len)
    };
    for method in ["GET", "PATCH", "DELETE"] {
        assert_eq!(count(method, "id=gt.0"), Some(2), "{method}");
        assert_eq!(count(method, "or=(id.gt.0,tenant_id.eq.t_beta)&tenant_id=eq.t_acme"), Some(1), "{method}");
        assert_eq!(count(method, "id=1"), Some(2), "{method}");
    }
}

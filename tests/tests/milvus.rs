//! Milvus: cases that are data, and the official client against a backend that knows what its filters mean.

mod seeded;

use partywall_core::snapshot::wire::{Strategy, SurfaceKind};
use partywall_core::surface::{Route, Surfaces};
use partywall_tests::fakes::Fake;
use partywall_tests::fakes::milvus::{Milvus, filter};
use partywall_tests::process::root;
use partywall_tests::rag::{self, check_answers, check_requests, check_through_envoy};
use partywall_tests::stack::Stack;
use partywall_tests::{http, mint};
use seeded::Seeded;
use serde_json::{Value, json};
use std::process::Command;

#[test]
fn milvus_requests() {
    check_requests(SurfaceKind::Milvus);
}

#[test]
fn milvus_answers() {
    check_answers(SurfaceKind::Milvus);
}

#[test]
fn milvus_through_envoy() {
    check_through_envoy(SurfaceKind::Milvus);
}

#[test]
fn milvus_client() {
    let milvus = Milvus::with(&["docs", "secrets"]);
    let server = milvus.clone();
    let fake = Fake::start(move |request| server.answer(request));
    let stack = Stack::builder("client-milvus")
        .template(rag::template(&[("milvus", fake.port)]))
        .policy(&rag::policy(SurfaceKind::Milvus, Strategy::Namespace))
        .start()
        .unwrap();
    let run = |phase: &str| {
        let script = root().join("tests/node/milvus_client.mjs");
        assert!(root().join("tests/node/node_modules/@zilliz").exists(), "run `make setup` first");
        let (acme, beta) = (mint::token("acme"), mint::token("beta"));
        let output =
            Command::new("node").arg(script).args([&stack.edge.to_string(), &acme, &beta, phase]).output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        assert!(output.status.success(), "{phase}:\n{}\n{}", String::from_utf8_lossy(&text), stack.envoy_log());
    };
    run("use");
    // What the database holds: every record marked, every key scoped.
    let rows = milvus.rows("default", "docs");
    assert_eq!(rows.len(), 2, "{rows:?}");
    for row in &rows {
        assert_eq!(row["tenant_id"], "t_acme", "{row}");
        assert!(row["id"].as_str().unwrap().starts_with("acme:"), "{row}");
    }
    assert!(fake.take().iter().all(|request| request.header("db-name").is_none()));
    // By the back door: beta's marker under acme's prefix, no marker at all, and acme's marker without a prefix.
    for row in [
        json!({"id": "acme:x", "tenant_id": "t_beta"}),
        json!({"id": "acme:y"}),
        json!({"id": "z", "tenant_id": "t_acme"}),
    ] {
        let mut row = row;
        row["vector"] = json!([1, 0, 0]);
        row["text"] = json!("SECRET");
        milvus.put("default", "docs", &row);
    }
    run("look");
    assert!(stack.metric("partywall_results_dropped_total") >= 2.0, "the unscoped record was dropped and counted");
    // A header cannot choose the database, nor can text that is no JSON pass.
    let send = |media: &str, header: &str| {
        let request =
            http::Request::new("POST", "milvus.test", "/v2/vectordb/entities/query").bearer(&mint::token("acme"));
        request
            .header("db-name", header)
            .body(media, br#"{"collectionName":"docs"}"#.to_vec())
            .send(stack.edge)
            .unwrap()
    };
    assert_eq!(send("text/plain;charset=UTF-8", "t_beta").json()["data"].as_array().unwrap().len(), 2);
    assert_eq!(send("text/html", "default").code(), Some("media_type_unsupported"));
}

fn route(surfaces: &Surfaces, operation: &str) -> Route {
    surfaces.classify("milvus.test", "POST", &format!("/v2/vectordb/{operation}")).unwrap()
}

/// A filter made of all that could end a parenthesis early: if it is let through, it finds nothing that is not acme's.
#[test]
fn milvus_no_filter_escapes() {
    let surfaces = rag::surfaces(SurfaceKind::Milvus, Strategy::Namespace);
    let route = route(&surfaces, "entities/query");
    let parts = [
        "a == 1",
        "1 == 1",
        " or ",
        " and ",
        "not ",
        "(",
        ")",
        ") or (",
        "\"",
        "'",
        "\\",
        "\\\"",
        "\"x\"",
        "'y'",
        "[1,2]",
        "[",
        "]",
        "{",
        "}",
        "{p}",
        "{__pw_t}",
        " in ",
        "n",
        "id",
        "tenant_id",
        " == ",
        " != ",
        "\"t_beta\"",
        "//",
        "/*",
        "*/",
        "#",
        "--",
        ";",
        "\n",
        "\r",
        "\t",
        "\0",
        " ",
        "ü",
        "（",
        "u8\"x\"",
        "r'",
        ",",
        "true",
        "meta[\"x\"]",
        "like ",
        "\"%\"",
        "!",
        "&&",
        "||",
        "|",
        "%",
        "$meta",
    ];
    let record = |tenant: &str| {
        let row = json!({"id": format!("{tenant}:a"), "tenant_id": format!("t_{tenant}"), "a": 1, "n": 2, "p": 3});
        row.as_object().cloned().unwrap()
    };
    let (mut passed, mut found) = (0, 0);
    for seed in 1..40_000 {
        let mut random = Seeded::new(seed);
        let count = 1 + random.below(9);
        let client: String = (0..count).map(|_| random.one(&parts)).collect();
        let body = json!({"collectionName": "docs", "filter": client, "exprParams": {"p": 3}}).to_string();
        let Ok(rewritten) = rag::request(&route, &[], body.as_bytes()) else { continue };
        passed += 1;
        let sent: Value = serde_json::from_slice(&rewritten.body.unwrap()).unwrap();
        let holds = |tenant: &str| {
            filter::holds(sent["filter"].as_str().unwrap(), &sent["exprParams"], &record(tenant)).unwrap_or(false)
        };
        assert!(!holds("beta") && !holds("gamma"), "{client:?} became {}", sent["filter"]);
        found += usize::from(holds("acme"));
    }
    assert!(passed > 2000 && found > 200, "{passed} of the filters passed, {found} of them found acme's record");
}

/// The fake would tell, and delete, what is not forced into a namespace: so what the other tests see is the filter's work.
#[test]
fn milvus_fake_leaks_without_the_filter() {
    let milvus = Milvus::with(&["docs"]);
    for tenant in ["acme", "beta"] {
        milvus.put(
            "default",
            "docs",
            &json!({"id": format!("{tenant}:a"), "tenant_id": format!("t_{tenant}"), "vector": [1], "n": 1}),
        );
    }
    let call = |operation: &str, body: Value| -> Value {
        let answer = milvus.call(&format!("/v2/vectordb/{operation}"), None, body.to_string().as_bytes());
        serde_json::from_slice(&answer).unwrap()
    };
    let docs = |rest: Value| {
        let mut body = json!({"collectionName": "docs"});
        body.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
        body
    };
    let forced = "(tenant_id == {__pw_t}) and (n == 1 or 1 == 1)";
    for (filter, count) in
        [("n == 1 or 1 == 1", 2), ("(tenant_id == {__pw_t}) and (1 == 1) or (1 == 1)", 2), (forced, 1)]
    {
        let body = docs(json!({"filter": filter, "exprParams": {"__pw_t": "t_acme"}}));
        assert_eq!(call("entities/query", body).pointer("/data").unwrap().as_array().unwrap().len(), count, "{filter}");
    }
    assert_eq!(call("entities/search", docs(json!({"data": [[1]]})))["topks"], json!([2]));
    assert_eq!(call("entities/query", docs(json!({"outputFields": ["count(*)"]})))["data"][0]["count(*)"], 2);
    assert_eq!(call("entities/get", docs(json!({"id": ["beta:a"]})))["data"][0]["id"], "beta:a");
    assert_eq!(call("entities/delete", docs(json!({"filter": "n == 1"})))["data"]["deleteCount"], 2);
}

const IDS: [&str; 8] = ["a", "b", "c", "d", "e", "f", "beta:a", "q\"(1)"];

fn literal(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

fn condition(random: &mut Seeded, depth: usize) -> String {
    if depth > 0 && random.once_in(2) {
        let (left, right) = (condition(random, depth - 1), condition(random, depth - 1));
        return match random.below(3) {
            0 => format!("({left}) and ({right})"),
            1 => format!("{left} or {right}"),
            _ => format!("not ({left})"),
        };
    }
    let id = literal(random.one(&IDS));
    let n = random.below(6);
    match random.below(12) {
        0 => format!("n > {n}"),
        1 => format!("n % 2 == {}", n % 2),
        2 => format!("{n} <= n < {}", n + 2),
        3 => format!("kind in [\"x\", \"{}\"]", ["x", "y", "z"][n % 3]),
        4 => format!("kind like \"{}%\"", ["x", "y", "z"][n % 3]),
        5 => format!("id == {id}"),
        6 => format!("id != {id}"),
        7 => format!("id in [{id}, {}]", literal(random.one(&IDS))),
        8 => format!("id not in [{id}]"),
        9 => format!("{id} <= id"),
        10 => "id like \"%a\"".to_owned(),
        _ => "tenant_id in [\"t_beta\", \"t_gamma\"]".to_owned(),
    }
}

fn row(random: &mut Seeded) -> Value {
    let mut row = json!({"id": random.one(&IDS), "vector": [random.below(4), random.below(4)], "n": random.below(6)});
    if random.once_in(2) {
        row["kind"] = json!(random.one(&["x", "y", "z"]));
    }
    row
}

/// One request: the operation and its body.
fn operation(random: &mut Seeded) -> (&'static str, Value) {
    let mut body = json!({"collectionName": "docs"});
    let filtered = |random: &mut Seeded, body: &mut Value| {
        if random.once_in(5) {
            body["filter"] = json!("id in {ids} and n >= {n}");
            body["exprParams"] = json!({"ids": [random.one(&IDS), random.one(&IDS)], "n": random.below(4)});
        } else if !random.once_in(5) {
            body["filter"] = json!(condition(random, 3));
        }
    };
    let paged = |random: &mut Seeded, body: &mut Value| {
        if random.once_in(2) {
            body["limit"] = json!(1 + random.below(6));
        }
        if random.once_in(4) {
            body["offset"] = json!(random.below(3));
        }
        if random.once_in(2) {
            body["outputFields"] = random.one(&[json!(["n"]), json!(["kind", "vector"]), json!(["*"]), json!([])]);
        }
    };
    let vector = |random: &mut Seeded| json!([random.below(4), random.below(4)]);
    let name = match random.below(12) {
        0..=2 => {
            body["data"] = (0..=random.below(2)).map(|_| vector(random)).collect();
            filtered(random, &mut body);
            paged(random, &mut body);
            if random.once_in(6) {
                body["groupingField"] = json!("n");
            }
            "entities/search"
        }
        3 | 4 => {
            let part = |random: &mut Seeded| {
                let mut part = json!({"data": [vector(random)], "limit": 1 + random.below(6)});
                filtered(random, &mut part);
                part
            };
            body["search"] = json!([part(random), part(random)]);
            body["rerank"] = json!({"strategy": "rrf", "params": {"k": 60}});
            body["limit"] = json!(1 + random.below(9));
            "entities/hybrid_search"
        }
        5 | 6 => {
            filtered(random, &mut body);
            paged(random, &mut body);
            "entities/query"
        }
        7 => {
            filtered(random, &mut body);
            body["outputFields"] = json!(["count(*)"]);
            "entities/query"
        }
        8 => {
            body["id"] = json!([random.one(&IDS), random.one(&IDS)]);
            "entities/get"
        }
        9 => {
            body["data"] = (0..=random.below(2)).map(|_| row(random)).collect();
            random.one(&["entities/insert", "entities/upsert"])
        }
        10 => {
            body["filter"] = json!(condition(random, 1));
            "entities/delete"
        }
        _ => {
            random.one(&["collections/get_stats", "collections/has", "collections/list", "collections/get_load_state"])
        }
    };
    (name, body)
}

/// Whatever acme asks of a database that it shares, it gets what it would get of one of its own.
#[test]
fn milvus_differential() {
    let surfaces = rag::surfaces(SurfaceKind::Milvus, Strategy::Namespace);
    let (mut compared, mut rows) = (0, 0);
    for seed in 1..60 {
        let mut random = Seeded::new(seed);
        let (shared, own) = (Milvus::with(&["docs"]), Milvus::with(&["docs"]));
        for _ in 0..30 {
            let tenant = random.one(&["acme", "beta", "gamma"]);
            let mut record = row(&mut random);
            if tenant == "acme" {
                own.put("default", "docs", &record);
            }
            record["id"] = json!(format!("{tenant}:{}", record["id"].as_str().unwrap()));
            record["tenant_id"] = json!(format!("t_{tenant}"));
            shared.put("default", "docs", &record);
        }
        let foreign = |milvus: &Milvus| -> Vec<Value> {
            milvus.rows("default", "docs").into_iter().filter(|row| row["tenant_id"] != "t_acme").collect()
        };
        let before = foreign(&shared);
        for _ in 0..15 {
            let (name, body) = operation(&mut random);
            let route = route(&surfaces, name);
            let rewritten = rag::request(&route, &[], body.to_string().as_bytes())
                .unwrap_or_else(|code| panic!("{name} {body} was refused: {code:?}"));
            let path = rewritten.path.unwrap_or_else(|| format!("/v2/vectordb/{name}"));
            let raw = shared.call(&path, None, &rewritten.body.unwrap());
            let got = rag::response(&route, &rewritten.memo, 200, &raw).unwrap();
            let got: Value = serde_json::from_slice(&got.body.unwrap()).unwrap();
            let expected = own.call(&format!("/v2/vectordb/{name}"), None, body.to_string().as_bytes());
            let mut expected: Value = serde_json::from_slice(&expected).unwrap();
            if expected["code"] == 0 {
                for silent in ["cost", "message"] {
                    expected.as_object_mut().unwrap().remove(silent);
                }
                assert_eq!(got, expected, "seed {seed}: {name} {body}");
                rows += got["data"].as_array().map_or(0, Vec::len);
            } else {
                assert_eq!(got["code"], expected["code"], "seed {seed}: {name} {body}");
            }
            compared += 1;
        }
        assert_eq!(foreign(&shared), before, "seed {seed}: others' records changed");
    }
    assert!(compared > 800 && rows > 1000, "{compared} requests, {rows} rows");
}

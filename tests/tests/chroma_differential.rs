//! The heart of the matter: what a tenant gets through the proxy from a store that it shares must be what it gets directly from a
//! store that holds its records alone. On the real Chroma, through the real Envoy, with random requests of every kind.

use partywall_core::snapshot::wire::{Strategy, SurfaceKind};
use partywall_tests::http::{Request, Response};
use partywall_tests::rag;
use partywall_tests::random::Random;
use partywall_tests::stack::Stack;
use partywall_tests::{mint, stack::demo_policy};
use serde_json::{Value, json};

const PATH: &str = "/api/v2/tenants/default_tenant/databases/default_database/collections";
const WORDS: &[&str] = &["red", "green", "blue", "tall", "deep"];

struct Pair<'s> {
    stack: &'s Stack,
    token: String,
    shared: String,
    alone: String,
}

impl Pair<'_> {
    /// The same request by both ways.
    fn both(&self, operation: &str, body: &Value) -> (Response, Response) {
        let through = self.stack.chroma(&self.token, "POST", &format!("/collections/{}/{operation}", self.shared));
        let direct = Request::new("POST", "chroma", &format!("{PATH}/{}/{operation}", self.alone));
        let send = |request: Request, port| request.json(body).send(port).unwrap();
        (send(through, self.stack.edge), send(direct, self.stack.chroma))
    }
}

/// A condition on the client's own fields, nested and negated.
fn condition(random: &mut Random, depth: usize) -> Value {
    if depth > 0 && random.one_in(2) {
        let parts: Vec<Value> = (0..2 + random.below(2)).map(|_| condition(random, depth - 1)).collect();
        return json!({*random.pick(&["$and", "$or"]): parts});
    }
    let number = json!(random.below(6));
    let word = json!(random.pick(WORDS));
    match random.below(9) {
        0 => json!({"n": number}),
        1 => json!({"n": {*random.pick(&["$gt", "$gte", "$lt", "$lte", "$ne"]): number}}),
        2 => json!({"word": word}),
        3 => json!({"word": {"$ne": word}}),
        4 => json!({"word": {*random.pick(&["$in", "$nin"]): [random.pick(WORDS), "grey"]}}),
        5 => json!({"n": {*random.pick(&["$in", "$nin"]): [number, 99]}}),
        6 => json!({"flag": random.one_in(2)}),
        7 => json!({"missing": {"$ne": "x"}}),
        // Malformed in one way or another: both must refuse.
        _ => random
            .pick(&[
                json!({}),
                json!({"n": {}}),
                json!({"$or": []}),
                json!({"$and": [{"n": 1}]}),
                json!({"n": {"$like": 1}}),
                json!({"n": 1, "word": "red"}),
            ])
            .clone(),
    }
}

fn document_condition(random: &mut Random) -> Value {
    let word = random.pick(WORDS);
    match random.below(3) {
        0 => json!({"$contains": word}),
        1 => json!({"$not_contains": word}),
        _ => json!({"$or": [{"$contains": word}, {"$contains": random.pick(WORDS)}]}),
    }
}

fn include(random: &mut Random, all: &[&str]) -> Value {
    all.iter().filter(|_| random.one_in(2)).map(|field| json!(field)).collect()
}

fn ids(random: &mut Random) -> Vec<String> {
    let mut ids: Vec<String> = (0..random.below(5)).map(|_| format!("id{}", random.below(40))).collect();
    ids.sort();
    ids.dedup();
    ids
}

fn vector(random: &mut Random) -> Vec<f64> {
    (0..8).map(|_| random.unit()).collect()
}

fn records(random: &mut Random, ids: Vec<String>, who: &str) -> Value {
    let mut one = || match random.below(5) {
        0 => Value::Null,
        1 => json!({"n": random.below(6)}),
        _ => json!({"n": random.below(6), "word": random.pick(WORDS), "flag": random.one_in(2)}),
    };
    let metadatas: Vec<Value> = ids.iter().map(|_| one()).collect();
    let documents: Vec<String> =
        ids.iter().map(|_| format!("{who}: {} and {}", random.pick(WORDS), random.pick(WORDS))).collect();
    let embeddings: Vec<Vec<f64>> = ids.iter().map(|_| vector(random)).collect();
    json!({"ids": ids, "metadatas": metadatas, "documents": documents, "embeddings": embeddings})
}

/// A random request.
fn request(random: &mut Random) -> (&'static str, Value) {
    let mut body = json!({});
    let operation =
        *random.pick(&["get", "get", "get", "query", "query", "query", "add", "upsert", "update", "delete"]);
    match operation {
        "get" | "query" => {
            if random.one_in(2) {
                body["where"] = condition(random, 3);
            }
            if random.one_in(4) {
                body["where_document"] = document_condition(random);
            }
            if random.one_in(4) {
                body["ids"] = json!(ids(random));
            }
            if operation == "get" {
                if random.one_in(3) {
                    body["limit"] = json!(random.below(12));
                    body["offset"] = json!(random.below(6));
                }
                body["include"] = include(random, &["documents", "metadatas", "embeddings"]);
            } else {
                let vectors: Vec<Vec<f64>> = (0..1 + random.below(3)).map(|_| vector(random)).collect();
                body["query_embeddings"] = json!(vectors);
                body["n_results"] = json!(1 + random.below(8));
                body["include"] = include(random, &["documents", "metadatas", "distances", "embeddings"]);
            }
        }
        "delete" => {
            // With neither Chroma deletes nothing, and we refuse: such a request says nothing.
            let by_ids = random.one_in(2);
            if by_ids {
                body["ids"] = json!(ids(random));
            }
            if !by_ids || random.one_in(3) {
                body["where"] = json!({"$and": [{"n": random.below(6)}, {"word": random.pick(WORDS)}]});
            }
        }
        _ => {
            let ids = ids(random);
            body = records(random, ids, "acme");
        }
    }
    (operation, body)
}

/// An index that is exact at this size: an approximate one may differ from another with the same records.
fn collection(name: &str) -> Value {
    let exact = json!({"space": "l2", "ef_construction": 1000, "ef_search": 1000, "max_neighbors": 64});
    json!({"name": name, "get_or_create": true, "configuration": {"hnsw": exact}})
}

fn open(stack: &Stack, tenant: &str) -> String {
    let body = collection("docs");
    let made = stack.chroma(&mint::token(tenant), "POST", "/collections").json(&body).send(stack.edge).unwrap();
    made.json()["id"].as_str().unwrap_or_else(|| panic!("{}", made.text())).to_owned()
}

fn compare(strategy: Strategy, seed: u64, rounds: usize) {
    let name = format!("differential-{strategy:?}").to_lowercase();
    let policy = rag::policy(SurfaceKind::Chroma, strategy) + "  - id: gamma\n";
    assert!(policy.contains("tenants:") && demo_policy().contains("tenants:"));
    let stack = Stack::builder(&name).chroma().policy(&policy).start().unwrap();
    if strategy == Strategy::SeparateDb {
        for tenant in ["acme", "beta", "gamma"] {
            let body = json!({"name": format!("t_{tenant}")});
            let made = Request::new("POST", "chroma", "/api/v2/tenants/default_tenant/databases").json(&body);
            assert_eq!(made.send(stack.chroma).unwrap().status, 200);
        }
    }
    let alone = Request::new("POST", "chroma", PATH).json(&collection("alone")).send(stack.chroma).unwrap();
    let pair = Pair {
        stack: &stack,
        token: mint::token("acme"),
        shared: open(&stack, "acme"),
        alone: alone.json()["id"].as_str().unwrap().to_owned(),
    };
    let mut random = Random::new(seed);
    // Everybody uses the same ids.
    for tenant in ["beta", "acme", "gamma"] {
        let ids: Vec<String> = (0..40).filter(|_| random.one_in(2)).map(|n| format!("id{n}")).collect();
        let body = records(&mut random, ids, tenant);
        if tenant == "acme" {
            let (through, direct) = pair.both("add", &body);
            assert_eq!((through.status, direct.status), (201, 201), "{}", through.text());
        } else {
            let id = open(&stack, tenant);
            let path = format!("/collections/{id}/add");
            let added = stack.chroma(&mint::token(tenant), "POST", &path).json(&body).send(stack.edge).unwrap();
            assert_eq!(added.status, 201, "{}", added.text());
        }
    }
    let (mut answered, mut refused, mut results) = (0, 0, 0);
    for round in 0..rounds {
        let (operation, body) = request(&mut random);
        let (through, direct) = pair.both(operation, &body);
        let context = || {
            format!(
                "seed {seed}, round {round}: {operation} {body}\nthrough {} {}\ndirect {} {}",
                through.status,
                through.text(),
                direct.status,
                direct.text()
            )
        };
        if direct.status == 500 {
            // Chroma itself fails on ids that do not exist where it has no condition to evaluate; through the proxy it has one.
            assert!(body.get("ids").is_some() && body.get("where").is_none(), "{}", context());
            continue;
        }
        if direct.status >= 400 {
            assert!(through.status >= 400, "{}", context());
            refused += 1;
            continue;
        }
        assert_eq!(through.status, direct.status, "{}", context());
        let (mut got, mut expected) = (through.json(), direct.json());
        // Without conditions Chroma says which fields were asked for; both must agree on them, in any order.
        for answer in [&mut got, &mut expected] {
            if let Some(include) = answer["include"].as_array_mut() {
                include.sort_by_key(|field| field.as_str().map(str::to_owned));
            }
            // The last digit of a distance depends on the order of additions.
            for distance in
                answer["distances"].as_array_mut().into_iter().flatten().filter_map(Value::as_array_mut).flatten()
            {
                *distance = json!(distance.as_f64().map(|distance| (distance * 1e4).round()));
            }
        }
        if operation == "delete" && body.get("where").is_none() {
            // Of ids alone Chroma says how many were named, existing or not; with our condition, how many there were.
            assert!(got["deleted"].as_u64() <= expected["deleted"].as_u64(), "{}", context());
            (got, expected) = {
                let (through, direct) = pair.both("get", &json!({}));
                (through.json(), direct.json())
            };
        }
        assert_eq!(got, expected, "{}", context());
        answered += 1;
        results += expected["ids"].as_array().map_or(0, Vec::len);
    }
    assert!(answered > rounds / 2 && refused > rounds / 50 && results > rounds, "{answered} {refused} {results}");
    let count =
        stack.chroma(&pair.token, "GET", &format!("/collections/{}/count", pair.shared)).send(stack.edge).unwrap();
    let expected = Request::new("GET", "chroma", &format!("{PATH}/{}/count", pair.alone)).send(stack.chroma).unwrap();
    assert_eq!(count.text(), expected.text());
    assert_eq!(stack.metric("partywall_results_dropped_total"), 0.0, "nothing foreign ever came back from the store");
}

#[test]
fn namespace() {
    compare(Strategy::Namespace, 1, 400);
}

#[test]
fn separate_collection() {
    compare(Strategy::SeparateCollection, 2, 150);
}

#[test]
fn separate_db() {
    compare(Strategy::SeparateDb, 3, 150);
}

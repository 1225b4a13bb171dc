//! Pinecone: cases that are data, and the official client against a backend that knows what its filters mean.

use partywall_core::rag::Memo;
use partywall_core::snapshot::wire::{Strategy, SurfaceKind};
use partywall_core::surface::Surfaces;
use partywall_tests::fakes::pinecone::Pinecone;
use partywall_tests::mint;
use partywall_tests::process::root;
use partywall_tests::rag::{
    check_answers, check_requests, check_through_envoy, policy, request, response, surfaces, template,
};
use partywall_tests::stack::{Stack, python};
use serde_json::{Map, Value, json};
use std::process::Command;

#[test]
fn pinecone_requests() {
    check_requests(SurfaceKind::Pinecone);
}

#[test]
fn pinecone_answers() {
    check_answers(SurfaceKind::Pinecone);
}

#[test]
fn pinecone_through_envoy() {
    check_through_envoy(SurfaceKind::Pinecone);
}

fn client(phase: &str, stack: &Stack) {
    let output = Command::new(python())
        .arg(root().join("tests/python/pinecone_client.py"))
        .args([phase, &stack.edge.to_string(), &mint::token("acme"), &mint::token("beta")])
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{phase}:\n{}", String::from_utf8_lossy(&text));
}

#[test]
fn pinecone_client() {
    let index = Pinecone::default();
    let fake = index.serve();
    let stack = Stack::builder("client-pinecone")
        .template(template(&[("pinecone", fake.port)]))
        .policy(&policy(SurfaceKind::Pinecone, Strategy::Namespace))
        .start()
        .unwrap();
    client("work", &stack);
    // What the index holds: every record in its tenant's namespace, and marked.
    for (namespace, records) in index.records().iter() {
        assert!(["t_acme", "t_beta"].contains(&namespace.as_str()), "{namespace}");
        assert!(records.values().all(|record| record.metadata["tenant_id"] == namespace.as_str()), "{records:?}");
    }
    // A foreign and an unmarked record, by the back door, the nearest of all.
    index.put("t_acme", "ghost", &[9.0, 0.0, 0.0], &json!({"tenant_id": "t_beta", "n": 3}));
    index.put("t_acme", "stray", &[8.0, 0.0, 0.0], &json!({"n": 3}));
    client("after", &stack);
    assert!(stack.metric("partywall_results_dropped_total") >= 2.0, "dropped and counted");
}

/// A small generator of numbers that look random: the same at every run.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }

    fn one<'v, T: ?Sized>(&mut self, of: &[&'v T]) -> &'v T {
        of[usize::try_from(self.below(of.len() as u64)).unwrap()]
    }

    fn vector(&mut self) -> Value {
        json!([self.below(9), self.below(9), self.below(9)])
    }

    fn metadata(&mut self) -> Value {
        let mut fields = Map::new();
        for key in ["n", "kind", "tags"] {
            match self.below(4) {
                0 => {}
                1 if key == "tags" => drop(fields.insert(key.into(), json!(["x", "y"]))),
                1 => drop(fields.insert(key.into(), json!(self.below(4)))),
                _ => drop(fields.insert(key.into(), json!(self.one(&["x", "y", "z"])))),
            }
        }
        if self.below(5) == 0 {
            fields.insert("tenant_id".into(), json!("t_beta"));
        }
        Value::Object(fields)
    }

    fn filter(&mut self, depth: u64) -> Value {
        let key = self.one(&["n", "kind", "tags", "absent"]);
        let text = self.one(&["x", "y", "z"]);
        match self.below(if depth == 0 { 8 } else { 11 }) {
            // What widens, where nothing is forced.
            7 => json!({"tenant_id": {self.one(&["$eq", "$ne"]): "t_beta"}}),
            0 => json!({key: text}),
            1 => json!({key: {"$ne": text}}),
            2 => json!({"n": {"$gt": self.below(4)}}),
            3 => json!({key: {"$in": [text, 1, 2]}}),
            4 => json!({key: {"$nin": [text]}, "n": {"$lte": self.below(4)}}),
            5 => json!({key: {"$exists": self.below(2) == 0}}),
            // Malformed, each in its way.
            6 => self.one(&[json!({}), json!({key: {"$sub": 1}}), json!([]), json!({"$and": []})].each_ref()).clone(),
            8 => json!({"$and": [self.filter(depth - 1), self.filter(depth - 1)]}),
            9 => json!({"$or": [self.filter(depth - 1), self.filter(depth - 1)], key: text}),
            _ => json!({"$or": [self.filter(depth - 1)]}),
        }
    }

    fn id(&mut self) -> String {
        format!("{}{}", self.one(&["a", "b"]), self.below(8))
    }

    /// A request: its line and its body.
    fn request(&mut self, token: &str) -> (String, String) {
        let mut body = Map::new();
        if self.below(3) == 0 {
            body.insert("namespace".into(), json!(self.one(&["", "__default__"])));
        }
        let page = |token: &str| if token.is_empty() { String::new() } else { format!("&paginationToken={token}") };
        let path = match self.below(13) {
            0 | 1 => {
                let vectors: Vec<Value> = (0..=self.below(3))
                    .map(|_| json!({"id": self.id(), "values": self.vector(), "metadata": self.metadata()}))
                    .collect();
                body.insert("vectors".into(), json!(vectors));
                "/vectors/upsert"
            }
            2 => {
                if self.below(2) == 0 {
                    body.insert("id".into(), json!(self.id()));
                    body.insert("values".into(), self.vector());
                } else {
                    body.insert("filter".into(), self.filter(2));
                    body.insert("dryRun".into(), json!(self.below(2) == 0));
                }
                body.insert("setMetadata".into(), self.metadata());
                "/vectors/update"
            }
            3 => {
                match self.below(8) {
                    0 => drop(body.insert("deleteAll".into(), json!(true))),
                    1 | 2 => drop(body.insert("filter".into(), self.filter(2))),
                    3 => {}
                    _ => drop(body.insert("ids".into(), json!([self.id(), self.id()]))),
                }
                "/vectors/delete"
            }
            4 => {
                body.insert("filter".into(), self.filter(2));
                body.insert("limit".into(), json!(1 + self.below(3)));
                if !token.is_empty() {
                    body.insert("paginationToken".into(), json!(token));
                }
                "/vectors/fetch_by_metadata"
            }
            5 => {
                return (format!("GET /vectors/fetch?ids={}&ids={}&ids=zz-stray", self.id(), self.id()), String::new());
            }
            6 => return (format!("GET /vectors/list?limit=2&namespace={}", page(token)), String::new()),
            7 => return (format!("GET /vectors/list?prefix={}", self.one(&["a", "b", ""])), String::new()),
            8 => "/describe_index_stats",
            9 => {
                let text = |text: &str, id: &str| json!({"_id": id, "chunk_text": text, "kind": "x"}).to_string();
                let (first, second) = (text(self.one(&["apple", "plum"]), &self.id()), text("pear", &self.id()));
                return ("POST /records/namespaces/__default__/upsert".into(), format!("{first}\n{second}\n"));
            }
            10 => {
                let mut query = json!({"top_k": 1 + self.below(5), "inputs": {"text": self.one(&["apple", "pear"])}});
                if self.below(2) == 0 {
                    query["filter"] = self.filter(2);
                }
                let mut ask = json!({"query": query});
                if self.below(2) == 0 {
                    ask["fields"] = json!([self.one(&["kind", "chunk_text"])]);
                }
                return ("POST /records/namespaces/__default__/search".into(), ask.to_string());
            }
            _ => {
                body.insert("topK".into(), json!(1 + self.below(12)));
                if self.below(3) == 0 {
                    body.insert("id".into(), json!(self.id()));
                } else {
                    body.insert("vector".into(), self.vector());
                }
                if self.below(3) > 0 {
                    body.insert("filter".into(), self.filter(3));
                }
                body.insert("includeMetadata".into(), json!(self.below(2) == 0));
                body.insert("includeValues".into(), json!(self.below(2) == 0));
                "/query"
            }
        };
        if path == "/describe_index_stats" {
            body.clear();
        }
        (format!("POST {path}"), Value::Object(body).to_string())
    }
}

/// What acme gets through the rewriter and the verifier, as one of three in the shared index.
fn through(surfaces: &Surfaces, shared: &Pinecone, line: &str, body: &str) -> Result<(u16, Value), &'static str> {
    let (method, target) = line.split_once(' ').unwrap();
    let route = surfaces.classify("pinecone.test", method, target).map_err(|refusal| refusal.code.as_str())?;
    let rewritten = request(&route, &[], body.as_bytes()).map_err(|code| code.as_str())?;
    let target = rewritten.path.clone().unwrap_or_else(|| target.to_owned());
    let sent = rewritten.body.unwrap_or_else(|| body.as_bytes().to_vec());
    let (status, _, answer) = shared.answer(&format!("{method} {target} HTTP/1.1"), &sent);
    if status == 201 {
        return Ok((status, Value::Null));
    }
    let memo: &Memo = &rewritten.memo;
    let verified = response(&route, memo, status, &answer).map_err(|code| code.as_str())?;
    Ok((status, serde_json::from_slice(&verified.body.unwrap_or(answer)).unwrap()))
}

/// What acme writes where it is alone: its marker is no field of its own.
fn unmarked(body: &str) -> String {
    body.replace(",\"tenant_id\":\"t_beta\"", "").replace("\"tenant_id\":\"t_beta\"", "")
}

#[test]
fn pinecone_differential() {
    let surfaces = surfaces(SurfaceKind::Pinecone, Strategy::Namespace);
    let (mut equal, mut refused, mut found) = (0, 0, 0);
    for seed in 1..=120 {
        let mut random = Random(seed * 0x9e37_79b9);
        let (shared, alone) = (Pinecone::default(), Pinecone::default());
        for tenant in ["beta", "gamma"] {
            for _ in 0..8 {
                let mut metadata = random.metadata();
                metadata["tenant_id"] = json!(format!("t_{tenant}"));
                let values: Vec<f64> = serde_json::from_value(random.vector()).unwrap();
                shared.put(&format!("t_{tenant}"), &random.id(), &values, &metadata);
                // Some got into acme's namespace, foreign; their ids sort after what acme has.
                if random.below(3) == 0 {
                    shared.put("t_acme", "zz-stray", &values, &metadata);
                }
            }
        }
        let others = || {
            let mut all = shared.records().clone();
            all.remove("t_acme");
            all
        };
        let before = others();
        let mut token = String::new();
        for _ in 0..25 {
            let (line, body) = random.request(&token);
            let got = through(&surfaces, &shared, &line, &body);
            let (status, _, answer) = alone.answer(&format!("{line} HTTP/1.1"), unmarked(&body).as_bytes());
            let mut expected: Value = serde_json::from_slice(&answer).unwrap_or_default();
            match got {
                Err(code) => {
                    // Only what the index itself would refuse is refused.
                    assert_eq!((code, status), ("field_invalid", 400), "{line} {body}\n{expected}");
                    refused += 1;
                }
                Ok((got_status, mut got)) => {
                    for side in [&mut got, &mut expected] {
                        if line.contains("list") || line.contains("stats") {
                            // A stray cannot be told apart where there is no metadata: see the backend's limits.
                            strays(side);
                        }
                        // Of an error only what clients read remains; a stray may make one page more.
                        side.as_object_mut().map(|members| (members.remove("details"), members.remove("pagination")));
                    }
                    assert_eq!((got_status, &got), (status, &expected), "seed {seed}: {line} {body}");
                    found += got.to_string().matches("\"id\"").count();
                    equal += 1;
                }
            }
            token = serde_json::from_slice::<Value>(&answer).unwrap_or_default()["pagination"]["next"]
                .as_str()
                .unwrap_or_default()
                .to_owned();
            // What acme writes stays acme's, and marked.
            assert_eq!(others(), before, "{line} {body}");
            for (id, record) in shared.records().get("t_acme").into_iter().flatten() {
                assert!(id == "zz-stray" || record.metadata["tenant_id"] == "t_acme", "{line} {body}: {record:?}");
            }
        }
    }
    assert!(equal > 2000 && refused > 40 && found > 1500, "{equal} equal, {refused} refused, {found} results");
}

fn strays(answer: &mut Value) {
    if let Some(ids) = answer["vectors"].as_array_mut() {
        ids.retain(|item| item["id"] != "zz-stray");
    }
    if !answer["totalVectorCount"].is_null() {
        answer["totalVectorCount"] = json!(0);
        answer["namespaces"] = json!({});
    }
}

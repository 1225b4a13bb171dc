//! What acme gets from an index that it shares must be what it would get from one of its own.
//!
//! Two servers: one holds everybody's documents behind the rewriter and the verifier, the other acme's alone, bare. Requests are made
//! up by a fixed sequence of pseudo-random numbers; each goes to both, and the answers must be the same.

use partywall_core::error::Code;
use partywall_core::rag;
use partywall_core::snapshot::wire::{Strategy, SurfaceKind};
use partywall_core::surface::Surfaces;
use partywall_tests::fakes::elasticsearch::Elastic;
use partywall_tests::rag::{request, response, surfaces};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Xorshift.
struct Dice(u64);

impl Dice {
    fn below(&mut self, most: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap() % most
    }

    fn one<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())].clone()
    }

    fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    fn id(&mut self) -> String {
        match self.below(12) {
            0 => "beta:1".to_owned(),
            1 => "acme:1".to_owned(),
            n => n.to_string(),
        }
    }

    fn vector(&mut self) -> Value {
        json!([self.below(5) as f64 / 4.0, self.below(5) as f64 / 4.0, 0.25])
    }

    fn document(&mut self) -> Value {
        let mut out = json!({"n": self.below(20), "tag": self.one(&["x", "y", "z"]),
            "t": format!("{} {}", self.one(&["red", "green", "blue"]), self.one(&["car", "boat", "red"]))});
        if self.chance(80) {
            out["v"] = self.vector();
        }
        if self.chance(20) {
            out["parts"] = json!([{"k": self.below(4)}, {"k": self.below(4)}]);
        }
        if self.chance(20) {
            // Never what a query looks for: a bare index keeps it.
            out["tenant_id"] = self.one(&[json!("t_beta"), json!(["t_beta", "t_acme"]), json!(null), json!({"a": 1})]);
        }
        out
    }

    fn query(&mut self, depth: usize) -> Value {
        let leaf = depth == 0 || self.chance(45);
        if leaf {
            return match self.below(17) {
                0 => json!({"match_all": {}}),
                1 => json!({"term": {"tag": self.one(&["x", "y", "w"])}}),
                2 => json!({"terms": {"tag": [self.one(&["x", "y"]), "z"]}}),
                3 => json!({"match": {"t": self.one(&["red", "green boat", "blue car"])}}),
                4 => json!({"match": {"t": {"query": "red car", "operator": "and"}}}),
                5 => json!({"range": {"n": {"gte": self.below(20), "lt": 15}}}),
                6 => json!({"exists": {"field": self.one(&["v", "parts", "nothing"])}}),
                7 => json!({"ids": {"values": [self.id(), self.id(), self.id()]}}),
                8 => json!({"term": {"_id": self.id()}}),
                9 => json!({"terms": {"_id": [self.id(), self.id()]}}),
                10 => json!({"term": {"tenant_id": self.one(&["t_gamma", "nobody"])}}),
                11 => json!({"query_string": {"query": self.one(&["tenant_id:t_gamma", "tag:x", "red", "*:*"])}}),
                12 => json!({"prefix": {"tag": {"value": self.one(&["x", ""])}}}),
                13 => json!({"wildcard": {"t": {"value": self.one(&["*car", "r*"])}}}),
                14 => json!({"nested": {"path": "parts", "query": {"term": {"parts.k": self.below(4)}}}}),
                15 => json!({"multi_match": {"query": self.one(&["red", "x boat"]), "fields": ["t", "tag"]}}),
                _ => self.nearest_query(depth),
            };
        }
        match self.below(6) {
            0 | 1 => {
                let mut out = json!({});
                for name in ["must", "should", "filter", "must_not"] {
                    if self.chance(45) {
                        let several = (0..=self.below(2)).map(|_| self.query(depth - 1)).collect::<Vec<_>>();
                        out[name] = if self.chance(30) { several[0].clone() } else { json!(several) };
                    }
                }
                if self.chance(25) {
                    out["minimum_should_match"] = json!(self.below(2));
                }
                json!({"bool": out})
            }
            2 => json!({"constant_score": {"filter": self.query(depth - 1)}}),
            3 => json!({"dis_max": {"queries": [self.query(depth - 1), self.query(depth - 1)]}}),
            4 => {
                json!({"boosting": {"positive": self.query(depth - 1), "negative": self.query(depth - 1), "negative_boost": 0.5}})
            }
            _ => json!({"bool": {"must_not": [{"bool": {"must_not": self.query(depth - 1)}}]}}),
        }
    }

    fn nearest(&mut self, depth: usize) -> Value {
        let mut out =
            json!({"field": "v", "query_vector": self.vector(), "k": 1 + self.below(6), "num_candidates": 50});
        if self.chance(50) {
            out["filter"] =
                if self.chance(50) { self.query(depth) } else { json!([self.query(depth), self.query(depth)]) };
        }
        out
    }

    fn nearest_query(&mut self, depth: usize) -> Value {
        let depth = depth.saturating_sub(1);
        if self.chance(50) {
            return json!({"knn": self.nearest(depth)});
        }
        let mut about = json!({"vector": self.vector(), "k": 1 + self.below(6)});
        if self.chance(50) {
            about["filter"] = self.query(depth);
        }
        json!({"knn": {"v": about}})
    }

    fn retriever(&mut self, depth: usize) -> Value {
        match self.below(if depth == 0 { 2 } else { 4 }) {
            0 => json!({"knn": self.nearest(1)}),
            1 if self.chance(30) => json!({"standard": {}}),
            1 => json!({"standard": {"query": self.query(2), "filter": self.query(1)}}),
            2 => {
                json!({"rrf": {"retrievers": [self.retriever(depth - 1), self.retriever(depth - 1)], "rank_window_size": 20}})
            }
            _ => {
                json!({"linear": {"retrievers": [{"retriever": self.retriever(depth - 1), "weight": 0.5}, {"retriever": self.retriever(depth - 1), "weight": 2}]}})
            }
        }
    }

    fn aggregations(&mut self, depth: usize) -> Value {
        let mut one = match self.below(9) {
            0 => json!({"terms": {"field": self.one(&["tag", "n"]), "size": 1 + self.below(4)}}),
            1 => json!({"filter": self.query(1)}),
            2 => json!({"filters": {"filters": {"a": self.query(1), "b": self.query(1)}}}),
            3 => json!({"histogram": {"field": "n", "interval": 5}}),
            4 => json!({"missing": {"field": "v"}}),
            5 => return json!({"s": {"stats": {"field": "n"}}, "c": {"cardinality": {"field": "tag"}}}),
            6 => return json!({"top": {"top_hits": {"size": 2, "_source": self.source()}}}),
            7 => {
                return json!({"m": {"max": {"field": "n"}}, "a": {"avg": {"field": "n"}}, "v": {"value_count": {"field": "t"}}});
            }
            _ => json!({"terms": {"field": "tag", "min_doc_count": 1}}),
        };
        if depth > 0 && self.chance(50) {
            one["aggs"] = self.aggregations(depth - 1);
        }
        json!({ self.one(&["by", "total", "buckets2"]): one })
    }

    fn source(&mut self) -> Value {
        self.one(&[
            json!(true),
            json!("t"),
            json!(["t", "n"]),
            json!([]),
            json!({"excludes": ["v"]}),
            json!({"includes": ["t*"], "excludes": ["tag"]}),
            json!(["nothing"]),
        ])
    }

    fn search(&mut self) -> Value {
        let mut out = json!({});
        match self.below(10) {
            0 | 1 => out["retriever"] = self.retriever(2),
            2 | 3 => out["knn"] = self.nearest(2),
            4 => {
                out["knn"] = json!([self.nearest(1), self.nearest(1)]);
                out["query"] = self.query(2);
            }
            5 => out["query"] = json!({"hybrid": {"queries": [self.query(1), self.query(1)]}}),
            6 => {}
            7 => out["knn"] = json!([]),
            _ => out["query"] = self.query(3),
        }
        if self.chance(30) {
            out["size"] = json!(self.below(8));
        }
        if self.chance(15) {
            out["from"] = json!(self.below(3));
        }
        if self.chance(25) {
            out["sort"] = self.one(&[
                json!([{"n": "desc"}]),
                json!(["tag", {"n": {"order": "asc"}}]),
                json!(["_score", "n"]),
                json!("n"),
            ]);
            if self.chance(30) && out["sort"] == json!("n") {
                out["search_after"] = json!([self.below(20)]);
            }
        }
        if self.chance(40) {
            out["_source"] = if self.chance(30) { json!(false) } else { self.source() };
        }
        if self.chance(15) {
            out["fields"] = json!(["*", {"field": "n"}]);
        }
        if self.chance(25) {
            out["aggs"] = self.aggregations(1);
        }
        if self.chance(10) {
            out["post_filter"] = self.query(1);
        }
        if self.chance(8) {
            out["collapse"] = json!({"field": "tag"});
        }
        if self.chance(10) {
            out["track_total_hits"] = json!(self.chance(50));
        }
        out
    }

    /// A method, path and body.
    fn request(&mut self) -> (&'static str, String, String) {
        let id = self.id();
        let lines = |lines: Vec<Value>| lines.iter().map(|line| format!("{line}\n")).collect::<String>();
        match self.below(20) {
            0 => ("PUT", format!("/docs/_doc/{id}"), self.document().to_string()),
            1 => ("POST", format!("/docs/_create/{id}"), self.document().to_string()),
            2 => {
                let mut body = json!({"doc": {"n": self.below(20)}});
                match self.below(3) {
                    0 => body["doc_as_upsert"] = json!(true),
                    1 => body["upsert"] = self.document(),
                    _ => {}
                }
                ("POST", format!("/docs/_update/{id}"), body.to_string())
            }
            3 => ("DELETE", format!("/docs/_doc/{id}"), String::new()),
            4 => {
                let mut all = Vec::new();
                for _ in 0..1 + self.below(5) {
                    let about = if self.chance(20) {
                        json!({"_id": self.id(), "_index": "docs"})
                    } else {
                        json!({"_id": self.id()})
                    };
                    match self.below(5) {
                        0 => all.push(json!({"delete": about})),
                        1 => all.extend([json!({"update": about}), json!({"doc": {"n": self.below(20)}})]),
                        2 => all.extend([json!({"create": about}), self.document()]),
                        _ => all.extend([json!({"index": about}), self.document()]),
                    }
                }
                ("POST", "/docs/_bulk".to_owned(), lines(all))
            }
            5 => {
                let mut all = Vec::new();
                for _ in 0..1 + self.below(3) {
                    all.extend([json!({}), self.search()]);
                }
                ("POST", "/docs/_msearch".to_owned(), lines(all))
            }
            6 => {
                let body = if self.chance(50) {
                    json!({"ids": [self.id(), self.id(), self.id()]})
                } else {
                    json!({"docs": [{"_id": self.id()}, {"_id": self.id(), "_source": false}, {"_id": self.id(), "_source": self.source()}]})
                };
                ("POST", "/docs/_mget".to_owned(), body.to_string())
            }
            7 => {
                let query =
                    self.one(&["", "?_source=false", "?_source=t,n", "?_source_excludes=v", "?_source_includes=t"]);
                let kind = if query == "?_source=false" { "_doc" } else { self.one(&["_doc", "_source"]) };
                ("GET", format!("/docs/{kind}/{id}{query}"), String::new())
            }
            8 => ("POST", "/docs/_count".to_owned(), json!({"query": self.query(3)}).to_string()),
            9 if self.chance(30) => {
                let body = json!({"query": self.query(2), "max_docs": 1 + self.below(3)});
                ("POST", "/docs/_delete_by_query".to_owned(), body.to_string())
            }
            10 => ("GET", "/docs/_count".to_owned(), String::new()),
            _ => ("POST", "/docs/_search".to_owned(), self.search().to_string()),
        }
    }

    /// Something that was cut, doubled or widened on its way.
    fn spoil(&mut self, body: String) -> String {
        match self.below(4) {
            0 => body.get(..self.below(body.len().max(1))).unwrap_or_default().to_owned(),
            1 => body.replacen('{', "{\"tenant_id\":\"t_beta\",", 1),
            2 => body.replacen("\"match_all\"", "\"wrapper\"", 1),
            _ => body.replacen("\"query\"", "\"qu\\u0065ry\"", 1),
        }
    }
}

/// Without what need not be the same: where in the index it lies, and the details of errors.
fn comparable(value: &Value) -> Value {
    match value {
        Value::Object(members) => members
            .iter()
            .filter(|(name, _)| !matches!(name.as_str(), "_seq_no" | "_primary_term" | "_shards"))
            .map(|(name, value)| match name.as_str() {
                "error" => (name.clone(), value.get("type").cloned().unwrap_or_default()),
                // The marker that a client writes is not its own to keep.
                "_source" | "fields" => (name.clone(), without_marker(value)),
                _ => (name.clone(), comparable(value)),
            })
            .collect(),
        Value::Array(items) => items.iter().map(comparable).collect(),
        other => other.clone(),
    }
}

fn without_marker(value: &Value) -> Value {
    let mut value = value.clone();
    value.as_object_mut().map(|members| members.remove("tenant_id"));
    value
}

fn through(
    surfaces: &Surfaces,
    server: &Elastic,
    method: &str,
    path: &str,
    body: &str,
) -> Result<(u16, Value, u64), Code> {
    let route = surfaces.classify("elasticsearch.test", method, path).map_err(|refusal| refusal.code)?;
    let rewritten = request(&route, &[], body.as_bytes())?;
    let sent = rewritten.body.unwrap_or_else(|| body.as_bytes().to_vec());
    let (status, answer) = match &rewritten.call {
        Some(call) => server.answer(call.method, &call.path, &sent),
        None => server.answer(method, rewritten.path.as_deref().unwrap_or(path), &sent),
    };
    assert!(rag::verifies(&route, status), "{method} {path} is not verified");
    let verified = response(&route, &rewritten.memo, status, answer.to_string().as_bytes())
        .unwrap_or_else(|code| panic!("{method} {path} {body}: {code:?} for {answer}"));
    let body = verified.body.map_or(answer, |body| serde_json::from_slice(&body).unwrap());
    Ok((verified.status.unwrap_or(status), body, verified.tally.dropped))
}

fn others(server: &Elastic) -> BTreeMap<String, Value> {
    server.documents("docs").into_iter().filter(|(id, _)| !id.starts_with("acme:")).collect()
}

/// Runs it; gives how many requests were answered, and how many refused.
pub fn run(rounds: u64, requests: usize) -> (usize, usize) {
    let surfaces = surfaces(SurfaceKind::Elasticsearch, Strategy::Namespace);
    let (mut answered, mut refused) = (0, 0);
    for round in 1..=rounds {
        let mut dice = Dice(round.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let (shared, alone) = (Elastic::elasticsearch(), Elastic::elasticsearch());
        for n in 0..30 {
            let (tenant, id) = (dice.one(&["acme", "acme", "beta", "gamma"]), (2 + n % 10).to_string());
            let mut document = without_marker(&dice.document());
            if tenant == "acme" {
                alone.put("docs", &id, document.clone());
            }
            document["tenant_id"] = json!(format!("t_{tenant}"));
            shared.put("docs", &format!("{tenant}:{id}"), document);
        }
        // One that every index has.
        alone.put("docs", "1", json!({"n": 1}));
        shared.put("docs", "acme:1", json!({"n": 1, "tenant_id": "t_acme"}));
        let before = others(&shared);
        for _ in 0..requests {
            let (method, path, mut body) = dice.request();
            let spoiled = dice.chance(6) && !body.is_empty();
            if spoiled {
                body = dice.spoil(body);
            }
            match through(&surfaces, &shared, method, &path, &body) {
                Err(code) => {
                    refused += 1;
                    assert!(spoiled, "{method} {path}\n{body}\nwas refused: {code:?}");
                }
                Ok((status, got, dropped)) => {
                    answered += 1;
                    let (expected_status, expected) = alone.answer(method, &path, body.as_bytes());
                    // Numbers are read from text, as the other's are.
                    let expected: Value = serde_json::from_str(&expected.to_string()).unwrap();
                    assert_eq!((status, dropped), (expected_status, 0), "{method} {path}\n{body}\n{got}\n{expected}");
                    let (got, expected) = if path.contains("/_source/") && status == 200 {
                        (got, without_marker(&expected))
                    } else {
                        (comparable(&got), comparable(&expected))
                    };
                    assert_eq!(got, expected, "{method} {path}\n{body}");
                }
            }
            assert_eq!(others(&shared), before, "{method} {path}\n{body}\ntouched what is others'");
        }
        // Every document of acme's is there, marked.
        let own: BTreeMap<String, Value> = shared
            .documents("docs")
            .into_iter()
            .filter_map(|(id, source)| Some((id.strip_prefix("acme:")?.to_owned(), source)))
            .inspect(|(_, source)| assert_eq!(source["tenant_id"], "t_acme"))
            .map(|(id, source)| (id, without_marker(&source)))
            .collect();
        let bare: BTreeMap<String, Value> =
            alone.documents("docs").into_iter().map(|(id, source)| (id, without_marker(&source))).collect();
        assert_eq!(own, bare);
    }
    (answered, refused)
}

/// An answer with a byte changed on its way: it is withheld, or still says nothing foreign.
pub fn spoil_answers() {
    let surfaces = surfaces(SurfaceKind::Elasticsearch, Strategy::Namespace);
    let route = surfaces.classify("elasticsearch.test", "POST", "/docs/_search").unwrap();
    let asked = br#"{"aggs":{"b":{"terms":{"field":"tag"},"aggs":{"one":{"top_hits":{}}}}}}"#;
    let memo = request(&route, &[], asked).unwrap().memo;
    let foreign = r#"{"_index":"docs","_id":"beta:1","_score":1.0,"_source":{"t":"SECRET","tenant_id":"t_beta"}}"#;
    let own = r#"{"_index":"docs","_id":"acme:1","_score":1.0,"_source":{"t":"x","tenant_id":"t_acme"},"sort":[1]}"#;
    let hits = format!(r#"{{"total":{{"value":2,"relation":"eq"}},"max_score":1.0,"hits":[{foreign},{own}]}}"#);
    let answer = format!(
        r#"{{"took":1,"timed_out":false,"hits":{hits},"aggregations":{{"b":{{"buckets":[{{"key":"x","doc_count":2,"one":{{"hits":{hits}}}}}]}}}}}}"#
    );
    let whole = response(&route, &memo, 200, answer.as_bytes()).unwrap();
    assert_eq!((whole.tally.kept, whole.tally.dropped), (2, 2));
    for at in 0..answer.len() {
        for byte in *b"x_0\"{}[],:\\\x80" {
            let mut spoiled = answer.clone().into_bytes();
            spoiled[at] = byte;
            if let Ok(verified) = response(&route, &memo, 200, &spoiled) {
                let body = String::from_utf8(verified.body.unwrap()).unwrap();
                assert!(!body.contains("ECRET") && !body.contains("SECRE"), "{}", String::from_utf8_lossy(&spoiled));
            }
        }
    }
}

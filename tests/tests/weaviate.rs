//! Weaviate: cases that are data, the official client against a backend that knows what its filters mean, and the same
//! backend shared and alone.

use partywall_core::rag::Memo;
use partywall_core::snapshot::wire::{Strategy, SurfaceKind};
use partywall_core::surface::Surfaces;
use partywall_tests::fakes::weaviate::Weaviate;
use partywall_tests::mint;
use partywall_tests::process::root;
use partywall_tests::rag::{
    check_answers, check_requests, check_through_envoy, policy, request, response, surfaces, template,
};
use partywall_tests::stack::{Stack, python};
use serde_json::{Map, Value, json};
use std::process::Command;

#[test]
fn weaviate_requests() {
    check_requests(SurfaceKind::Weaviate);
}

#[test]
fn weaviate_answers() {
    check_answers(SurfaceKind::Weaviate);
}

#[test]
fn weaviate_through_envoy() {
    check_through_envoy(SurfaceKind::Weaviate);
}

fn client(phase: &str, stack: &Stack) {
    let output = Command::new(python())
        .arg(root().join("tests/python/weaviate_client.py"))
        .args([phase, &stack.edge.to_string(), &mint::token("acme"), &mint::token("beta")])
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{phase}:\n{}", String::from_utf8_lossy(&text));
}

fn uuid(number: u64) -> String {
    format!("00000000-0000-4000-8000-{number:012}")
}

#[test]
fn weaviate_client() {
    let server = Weaviate::new(true);
    let fake = server.serve();
    let stack = Stack::builder("client-weaviate")
        .template(template(&[("weaviate", fake.port)]))
        .policy(&policy(SurfaceKind::Weaviate, Strategy::Namespace))
        .start()
        .unwrap();
    client("work", &stack);
    // What the server holds: every object in its tenant's shard, and marked.
    for ((_, tenant), shard) in server.shards().iter() {
        assert!(["t_acme", "t_beta"].contains(&tenant.as_str()), "{tenant}");
        for object in shard.values() {
            assert_eq!(object["properties"]["tenant_id"], tenant.as_str(), "{object}");
            assert_eq!(object["properties"]["Tenant_id"], Value::Null, "{object}");
        }
    }
    // A foreign and an unmarked object, by the back door, the nearest of all.
    let near = json!([1.0, 0.0, 0.0]);
    server.put("Docs", "t_acme", &uuid(90), &json!({"title": "beta's price", "n": 1, "tenant_id": "t_beta"}), &near);
    server.put("Docs", "t_acme", &uuid(91), &json!({"title": "somebody's price", "n": 1}), &near);
    client("after", &stack);
    assert!(stack.metric("partywall_results_dropped_total") >= 4.0, "dropped and counted");
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

    fn id(&mut self) -> String {
        uuid(1 + self.below(12))
    }

    fn vector(&mut self) -> Value {
        json!([self.below(9), self.below(9)])
    }

    fn properties(&mut self) -> Value {
        let mut fields = Map::new();
        for key in ["n", "kind", "title"] {
            match self.below(4) {
                0 => {}
                _ if key == "n" => drop(fields.insert(key.into(), json!(self.below(4)))),
                _ => drop(fields.insert(key.into(), json!(self.one(&["x", "y", "xy z"])))),
            }
        }
        match self.below(8) {
            0 => drop(fields.insert("tenant_id".into(), json!("t_beta"))),
            1 => drop(fields.insert("Tenant_id".into(), json!("t_beta"))),
            _ => {}
        }
        Value::Object(fields)
    }

    /// A condition in REST's form.
    fn condition(&mut self, depth: u64) -> Value {
        let text = self.one(&["x", "y", "xy z", "q\"){a}"]);
        let key = self.one(&["kind", "title", "absent"]);
        match self.below(if depth == 0 { 7 } else { 10 }) {
            // What widens, where nothing is forced.
            6 => json!({"path": ["tenant_id"], "operator": self.one(&["Equal", "NotEqual"]), "valueText": "t_beta"}),
            0 => json!({"path": [key], "operator": "Equal", "valueText": text}),
            1 => json!({"path": [key], "operator": "NotEqual", "valueText": text}),
            2 => {
                json!({"path": ["n"], "operator": self.one(&["GreaterThan", "LessThanEqual"]), "valueInt": self.below(4)})
            }
            3 => json!({"path": [key], "operator": "ContainsAny", "valueText": [text, "y"]}),
            4 => json!({"path": [key], "operator": "IsNull", "valueBoolean": self.below(2) == 0}),
            // Malformed, each in its way.
            5 => self
                .one(
                    &[
                        json!({"operator": "Equal", "path": ["n"]}),
                        json!({"operator": "And", "operands": []}),
                        json!({"operator": "Equal", "path": ["about", "Notes", "title"], "valueText": "x"}),
                        json!({"operator": "Sub", "path": ["n"], "valueInt": 1}),
                    ]
                    .each_ref(),
                )
                .clone(),
            7 | 8 => {
                let parts: Vec<Value> = (0..=self.below(2)).map(|_| self.condition(depth - 1)).collect();
                json!({"operator": self.one(&["And", "Or"]), "operands": parts})
            }
            _ => json!({"operator": "Or", "operands": [self.condition(depth - 1), self.condition(depth - 1)]}),
        }
    }

    fn query(&mut self) -> String {
        let class = self.one(&["Docs", "Docs", "Notes"]);
        let mut arguments = Vec::new();
        let rank = match self.below(4) {
            0 => format!("nearVector: {{vector: {}}}", self.vector()),
            1 => format!("nearObject: {{id: \"{}\"}}", self.id()),
            _ => String::new(),
        };
        arguments.push(rank);
        if self.below(3) > 0 {
            arguments.push(format!("where: {}", literal(&self.condition(2))));
        }
        if self.below(4) == 0 {
            let grouped = if self.below(2) == 0 { "groupedBy { path value }" } else { "" };
            if !grouped.is_empty() {
                arguments.push("groupBy: [\"kind\"]".to_owned());
            }
            let arguments = arguments.join(" ");
            let arguments = if arguments.trim().is_empty() { String::new() } else { format!("({arguments})") };
            return format!(
                "{{ Aggregate {{ {class}{arguments} {{ {grouped} meta {{ count }} n {{ sum maximum }} }} }} }}"
            );
        }
        arguments.push(match self.below(3) {
            0 => format!("limit: {}", 1 + self.below(4)),
            1 => format!("limit: 3, offset: {} sort: [{{path: [\"n\"], order: desc}}]", self.below(3)),
            _ => "limit: 50".to_owned(),
        });
        let arguments = arguments.join(" ");
        format!("query {{ Get {{ {class}({arguments}) {{ title n _additional {{ id distance }} }} }} }}")
    }

    /// A request: its line and its body.
    fn request(&mut self) -> (String, Value) {
        let class = self.one(&["Docs", "Docs", "Notes"]);
        let object = |random: &mut Self, class: &str| json!({"class": class, "id": random.id(), "properties": random.properties(), "vector": random.vector()});
        let id = self.id();
        let path = format!("/v1/objects/{class}/{id}");
        match self.below(16) {
            0 => ("POST /v1/objects".into(), object(self, class)),
            1 | 2 => {
                let objects: Vec<Value> = (0..=self.below(3)).map(|_| object(self, class)).collect();
                ("POST /v1/batch/objects".into(), json!({"fields": ["ALL"], "objects": objects}))
            }
            3 => (
                format!("PUT {path}"),
                json!({"class": class, "id": id, "properties": self.properties(), "vector": [1, 2]}),
            ),
            4 => (format!("PATCH {path}"), json!({"class": class, "properties": self.properties()})),
            5 => (format!("DELETE {path}"), Value::Null),
            6 => {
                let mut ask = json!({"match": {"class": class, "where": self.condition(2)}, "output": self.one(&["minimal", "verbose"])});
                if self.below(2) == 0 {
                    ask["dryRun"] = json!(true);
                }
                ("DELETE /v1/batch/objects".into(), ask)
            }
            7 => (format!("GET {path}"), Value::Null),
            8 => {
                (format!("GET /v1/objects?class={class}&limit=50&offset={}&include=vector", self.below(3)), Value::Null)
            }
            9 => {
                let beacon = json!({"beacon": format!("weaviate://localhost/Notes/{}", self.id())});
                let method = self.one(&["POST", "PUT", "DELETE"]);
                (format!("{method} {path}/references/about"), if method == "PUT" { json!([beacon]) } else { beacon })
            }
            10 => {
                let beacon = format!("weaviate://localhost/Notes/{}", self.id());
                let from = format!("weaviate://localhost/Docs/{}/about", self.id());
                ("POST /v1/batch/references".into(), json!([{"from": from, "to": beacon}]))
            }
            _ => ("POST /v1/graphql".into(), json!({"query": self.query()})),
        }
    }
}

/// A JSON value as GraphQL writes it: an operator is a name.
fn literal(value: &Value) -> String {
    match value {
        Value::Object(members) => {
            let members = members.iter().map(|(name, value)| match value {
                Value::String(operator) if name == "operator" => format!("{name}: {operator}"),
                value => format!("{name}: {}", literal(value)),
            });
            format!("{{{}}}", members.collect::<Vec<_>>().join(" "))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(literal).collect::<Vec<_>>().join(", ")),
        scalar => scalar.to_string(),
    }
}

fn reply(body: &[u8]) -> Value {
    serde_json::from_slice(body).unwrap_or_default()
}

/// What acme gets through the rewriter and the verifier, as one of three on the shared server.
fn through(surfaces: &Surfaces, shared: &Weaviate, line: &str, body: &[u8]) -> Result<(u16, Value), &'static str> {
    let (method, target) = line.split_once(' ').unwrap();
    let route = surfaces.classify("weaviate.test", method, target).map_err(|refusal| refusal.code.as_str())?;
    let rewritten = request(&route, &[], body).map_err(|code| code.as_str())?;
    let target = rewritten.path.clone().unwrap_or_else(|| target.to_owned());
    let sent = rewritten.body.unwrap_or_else(|| body.to_vec());
    let (status, _, answer) = shared.answer(&format!("{method} {target} HTTP/1.1"), &sent);
    if answer.is_empty() {
        return Ok((status, Value::Null));
    }
    let memo: &Memo = &rewritten.memo;
    let verified = response(&route, memo, status, &answer).map_err(|code| code.as_str())?;
    Ok((verified.status.unwrap_or(status), reply(&verified.body.unwrap_or(answer))))
}

/// What acme writes where it is alone: its marker is no property of its own.
fn unmarked(body: &Value) -> Value {
    match body {
        Value::Object(members) => {
            let own = members.iter().filter(|(name, _)| !name.eq_ignore_ascii_case("tenant_id"));
            Value::Object(own.map(|(name, value)| (name.clone(), unmarked(value))).collect())
        }
        Value::Array(items) => items.iter().map(unmarked).collect(),
        scalar => scalar.clone(),
    }
}

/// What differs by design: how an error is placed, and what a list says of itself.
fn level(answer: &mut Value) {
    let Some(members) = answer.as_object_mut() else { return };
    members.remove("deprecations");
    for error in members.get_mut("errors").and_then(Value::as_array_mut).into_iter().flatten() {
        error.as_object_mut().map(|members| members.remove("locations"));
    }
}

#[test]
fn weaviate_differential() {
    for strategy in [Strategy::Namespace, Strategy::SeparateCollection] {
        differential(strategy);
    }
}

fn differential(strategy: Strategy) {
    let surfaces = surfaces(SurfaceKind::Weaviate, strategy);
    let own = |class: &str| if strategy == Strategy::Namespace { class.to_owned() } else { format!("{class}_acme") };
    let (mut equal, mut refused, mut found) = (0, 0, 0);
    for seed in 1..=80 {
        let mut random = Random(seed * 0x9e37_79b9);
        let (shared, alone) = (Weaviate::new(true), Weaviate::new(false));
        for tenant in ["beta", "gamma"] {
            for _ in 0..8 {
                let class = random.one(&["Docs", "Notes"]);
                let mut properties = random.properties();
                properties.as_object_mut().unwrap().remove("Tenant_id");
                properties["tenant_id"] = json!(format!("t_{tenant}"));
                let (id, vector) = (random.id(), random.vector());
                shared.put(class, &format!("t_{tenant}"), &id, &properties, &vector);
                // Some got into acme's shard, foreign; their ids sort after what acme has.
                if random.below(3) == 0 {
                    shared.put(&own(class), "t_acme", &uuid(90), &properties, &vector);
                }
            }
        }
        let others = || {
            let mut all = shared.shards().clone();
            all.retain(|(_, tenant), _| tenant != "t_acme");
            all
        };
        let before = others();
        for _ in 0..25 {
            let (line, body) = random.request();
            let sent = |body: &Value| if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
            let got = through(&surfaces, &shared, &line, &sent(&body));
            // Refused before it reaches the database; it would say no itself, but for what we do not serve.
            if let Err(code) = got {
                assert_eq!(code, "field_invalid", "{line} {body}");
                refused += 1;
                continue;
            }
            let (mut got_status, mut got) = got.unwrap();
            let (status, _, answer) = alone.answer(&format!("{line} HTTP/1.1"), &sent(&unmarked(&body)));
            let mut expected = reply(&answer);
            level(&mut got);
            level(&mut expected);
            if line.starts_with("GET /v1/objects/") && got_status == 404 {
                (got_status, got) = (404, Value::Null);
            }
            assert_eq!((got_status, &got), (status, &expected), "seed {seed}: {line} {body}");
            found += got.to_string().matches("\"id\"").count();
            equal += 1;
            // What acme writes stays acme's, and marked.
            assert_eq!(others(), before, "{line} {body}");
            for ((class, tenant), shard) in shared.shards().iter().filter(|((_, tenant), _)| tenant == "t_acme") {
                for (id, object) in shard {
                    let marked = object["properties"]["tenant_id"] == tenant.as_str();
                    assert!(marked || *id == uuid(90), "{class} {line} {body}: {object}");
                }
            }
        }
    }
    assert!(equal > 1500 && refused > 20 && found > 800, "{equal} equal, {refused} refused, {found} results");
}

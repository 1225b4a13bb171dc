//! What a tenant sees through the rewriter and a shared store is what it would see of a store that holds only its own points.

use super::random::{POOL, Random, id};
use super::scoped;
use partywall_core::error::Code;
use partywall_core::rag;
use partywall_core::snapshot::wire::{Strategy, SurfaceKind};
use partywall_core::surface::Surfaces;
use partywall_core::tenant::TenantId;
use partywall_tests::fakes::qdrant::{Id, Point, Qdrant};
use partywall_tests::rag::surfaces;
use serde_json::{Value, json};
use std::collections::BTreeMap;

struct Both {
    surfaces: Surfaces,
    shared: Qdrant,
    plain: Qdrant,
    unique: usize,
}

impl Both {
    fn ask(&self, tenant: &str, method: &str, path: &str, body: &Value) -> Result<(u16, Value), Code> {
        let route = self.surfaces.classify("qdrant.test", method, path).map_err(|refusal| refusal.code)?;
        let tenant = TenantId::parse(tenant).unwrap();
        let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        let sent = rag::request(&route, &tenant, &[], &body, "r")?;
        let (method, path) = match &sent.call {
            Some(call) => (call.method, call.path.clone()),
            None => (method, sent.path.clone().unwrap_or_else(|| path.to_owned())),
        };
        let (status, _, answer) = self.shared.answer(method, &path, sent.body.as_deref().unwrap_or(&body));
        let known = |word: &str| ["acme", "beta", "gamma"].contains(&word);
        let verified = rag::response(&route, &tenant, &sent.memo, status, &answer, &known)?;
        assert_eq!(verified.tally.dropped, 0, "nothing foreign comes from a filtered query: {path}");
        let answer = verified.body.unwrap_or(answer);
        Ok((verified.status.unwrap_or(status), serde_json::from_slice(&answer).unwrap()))
    }

    fn direct(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let (status, _, answer) = self.plain.answer(method, path, body.to_string().as_bytes());
        (status, serde_json::from_slice(&answer).unwrap())
    }

    /// The same request to both; the same answer.
    fn same(&self, method: &str, path: &str, body: &Value) -> Value {
        let path = format!("/collections/docs/{path}");
        let through = self.ask("acme", method, &path, body);
        let (status, expected) = self.direct(method, &path, body);
        let (got_status, got) = through.unwrap_or_else(|code| panic!("refused: {code:?} {method} {path} {body}"));
        assert_eq!(got_status, status, "{method} {path} {body}\n{got}\n{expected}");
        if status == 200 {
            let (got, expected) = (normal(got), normal(expected));
            assert_eq!(got["result"], expected["result"], "{method} {path} {body}");
        }
        normal(self.direct(method, &path, body).1)
    }

    /// The points that the tenant has.
    fn ids(&self) -> Vec<Value> {
        self.plain.points("docs").keys().map(|id| id.json()).collect()
    }

    /// Whether the shared store holds, of this tenant, exactly what its own store holds.
    fn check_state(&self, others: &BTreeMap<Id, Point>) {
        let mut shared = self.shared.points("docs");
        for (own, point) in self.plain.points("docs") {
            let scoped = scoped("acme", &own.json());
            let mut found = shared.remove(&scoped).unwrap_or_else(|| panic!("{own:?} is gone"));
            assert_eq!(found.payload.remove("tenant_id"), Some(json!("t_acme")));
            let kept = found.payload.remove("tenant_id_id");
            assert_eq!(kept, matches!(own, Id::Uuid(_)).then(|| own.json()));
            assert_eq!((found.payload, found.vectors), (point.payload, point.vectors), "{own:?}");
        }
        assert_eq!(shared, *others, "other tenants' points, untouched");
    }
}

/// Without what counts for everybody.
fn normal(mut value: Value) -> Value {
    match &mut value {
        Value::Object(members) => {
            members.remove("operation_id");
            members.remove("usage");
            members.entry("version").and_modify(|version| *version = json!(0));
            members.values_mut().for_each(|value| *value = normal(value.take()));
        }
        Value::Array(items) => items.iter_mut().for_each(|value| *value = normal(value.take())),
        _ => {}
    }
    value
}

fn points(random: &mut Random, unique: &mut usize, ids: impl Iterator<Item = Value>) -> Value {
    let point = |id| {
        *unique += 1;
        json!({"id": id, "vector": random.vector(), "payload": random.payload(*unique)})
    };
    json!({"points": ids.map(point).collect::<Vec<_>>()})
}

fn setup(seed: u64) -> (Both, Random, BTreeMap<Id, Point>) {
    let mut random = Random::new(seed);
    let surfaces = surfaces(SurfaceKind::Qdrant, Strategy::Namespace);
    let mut both = Both { surfaces, shared: Qdrant::with(&["docs"]), plain: Qdrant::with(&["docs"]), unique: 0 };
    for tenant in ["beta", "gamma"] {
        let body = points(&mut random, &mut both.unique, (0..POOL).map(id));
        assert_eq!(both.ask(tenant, "PUT", "/collections/docs/points", &body).unwrap().0, 200);
    }
    let others = both.shared.points("docs");
    let body = points(&mut random, &mut both.unique, (0..POOL - 2).map(id));
    both.same("PUT", "points", &body);
    (both, random, others)
}

fn read(both: &Both, r: &mut Random) {
    match r.below(13) {
        0..=2 => drop(both.same("POST", "points/query", &r.query_request())),
        3 => {
            let searches: Vec<Value> = (0..3).map(|_| r.query_request()).collect();
            both.same("POST", "points/query/batch", &json!({"searches": searches}));
        }
        4 => {
            let mut ask = r.query_request();
            ask["group_by"] = json!(r.one(&["kind", "tags", "deep.k"]));
            ask["group_size"] = json!(1 + r.below(3));
            ask.as_object_mut().unwrap().remove("offset");
            both.same("POST", "points/query/groups", &ask);
        }
        5 => {
            let mut ask = r.search();
            ask["vector"] = r.vector();
            both.same("POST", "points/search", &ask);
            both.same("POST", "points/search/batch", &json!({"searches": [ask.clone(), ask]}));
        }
        6 => {
            let mut ask = r.search();
            ask["positive"] = json!([r.vector()]);
            ask["negative"] = json!(r.list(2, Random::vector));
            both.same("POST", "points/recommend", &ask);
        }
        7 => {
            let exact = json!({"filter": r.filter(3), "exact": r.flip()});
            // The plain store's estimate counts everything; it is asked for the exact number, as the rewriter does.
            let (_, got) = both.ask("acme", "POST", "/collections/docs/points/count", &exact).unwrap();
            let (_, expected) = both.direct("POST", "/collections/docs/points/count", &exact);
            assert_eq!(got["result"], expected["result"], "{exact}");
        }
        8 => {
            let mut ask = json!({"key": r.one(&["kind", "tags[]", "n"]), "limit": 9, "filter": r.filter(3)});
            let (_, got) = both.ask("acme", "POST", "/collections/docs/facet", &ask).unwrap();
            ask["exact"] = json!(true);
            let (_, expected) = both.direct("POST", "/collections/docs/facet", &ask);
            assert_eq!(got["result"], expected["result"], "{ask}");
        }
        9 => drop(both.same("POST", "points", &json!({"ids": r.list(6, Random::id), "with_vector": r.flip()}))),
        10 => {
            let id = r.id().to_string();
            let path = format!("/collections/docs/points/{}", id.trim_matches('"'));
            let (got, expected) =
                (both.ask("acme", "GET", &path, &Value::Null).unwrap(), both.direct("GET", &path, &Value::Null));
            assert_eq!((got.0, &got.1["result"]), (expected.0, &expected.1["result"]), "{path}");
        }
        11 => {
            let mut ask = json!({"sample": 1 + r.below(9), "limit": 3, "filter": r.filter(2)});
            let form = r.one(&["pairs", "offsets"]);
            let (_, got) =
                both.ask("acme", "POST", &format!("/collections/docs/points/search/matrix/{form}"), &ask).unwrap();
            let numbers: Vec<Value> = both.ids().into_iter().filter(Value::is_u64).collect();
            ask["filter"] = json!({"must": [{"has_id": numbers}, ask["filter"]]});
            let (_, expected) = both.direct("POST", &format!("/collections/docs/points/search/matrix/{form}"), &ask);
            assert_eq!(got["result"], expected["result"], "{ask}");
        }
        _ => pages(both, r),
    }
}

/// All pages together are all points, each once, each page full; in order where ids are numbers.
fn pages(both: &Both, r: &mut Random) {
    let (filter, limit) = (r.filter(3), 1 + r.below(5));
    let path = "/collections/docs/points/scroll";
    let (mut got, mut offset): (Vec<Value>, Value) = (Vec::new(), Value::Null);
    loop {
        let ask = json!({"filter": filter, "limit": limit, "offset": offset});
        let (_, mut page) = both.ask("acme", "POST", path, &ask).unwrap();
        let points = page["result"]["points"].take();
        offset = page["result"]["next_page_offset"].take();
        got.extend(points.as_array().unwrap().iter().cloned());
        if offset.is_null() {
            break;
        }
        assert_eq!(points.as_array().unwrap().len(), limit, "{ask}");
    }
    let (_, expected) = both.direct("POST", path, &json!({"filter": filter, "limit": 99}));
    let mut expected = expected["result"]["points"].as_array().unwrap().clone();
    let numbers = |list: &[Value]| list.iter().filter_map(|point| point["id"].as_u64()).collect::<Vec<_>>();
    assert_eq!(numbers(&got), numbers(&expected), "{filter}");
    let key = |point: &Value| point["id"].to_string();
    got.sort_by_key(key);
    expected.sort_by_key(key);
    assert_eq!(got, expected, "{filter}");
}

fn operation(both: &mut Both, r: &mut Random) -> (&'static str, &'static str, &'static str, Value) {
    let ids = both.ids();
    let some = |r: &mut Random| {
        let list: Vec<Value> = if ids.is_empty() { Vec::new() } else { r.list(3, |r| ids[r.below(ids.len())].clone()) };
        json!(list)
    };
    let on = |r: &mut Random, mut body: Value| {
        if r.flip() {
            body["points"] = some(r);
        } else {
            body["filter"] = json!({"must": [r.filter(2), {"has_id": r.list(4, Random::id)}]});
        }
        body
    };
    let number = r.below(9);
    match r.below(8) {
        0 | 1 => {
            let list: Vec<Value> = (0..1 + r.below(3)).map(|_| r.id()).collect();
            let mut body = points(r, &mut both.unique, list.into_iter());
            if r.below(3) == 0 {
                body["update_filter"] = r.filter(1);
            }
            if r.below(4) == 0 {
                body["update_mode"] = json!(r.one(&["upsert", "insert_only", "update_only"]));
            }
            ("upsert", "PUT", "points", body)
        }
        2 => ("delete", "POST", "points/delete", on(r, json!({}))),
        3 => ("set_payload", "POST", "points/payload", on(r, json!({"payload": {"set": number}}))),
        4 => ("set_payload", "POST", "points/payload", on(r, json!({"payload": {"k": number}, "key": "deep.more"}))),
        5 => {
            both.unique += 1;
            let body = json!({"payload": {"n": both.unique, "kind": "q"}, "points": some(r)});
            ("overwrite_payload", "PUT", "points/payload", body)
        }
        6 => {
            ("delete_payload", "POST", "points/payload/delete", on(r, json!({"keys": ["set", "deep.more.k", "tags"]})))
        }
        _ => {
            let list = some(r);
            let vectors = list.as_array().unwrap().iter().map(|id| json!({"id": id, "vector": r.vector()}));
            ("update_vectors", "PUT", "points/vectors", json!({"points": vectors.collect::<Vec<_>>()}))
        }
    }
}

fn write(both: &mut Both, r: &mut Random) {
    if r.below(4) == 0 {
        // Ids that a batch names may be gone by then, so it deletes last.
        let mut all: Vec<_> = (0..3).map(|_| operation(both, r)).collect();
        all.sort_by_key(|(name, ..)| *name == "delete");
        let operations: Vec<Value> = all.into_iter().map(|(name, _, _, body)| json!({name: body})).collect();
        both.same("POST", "points/batch", &json!({"operations": operations}));
    } else {
        let (_, method, path, body) = operation(both, r);
        both.same(method, path, &body);
    }
}

/// Something that must never pass, somewhere in an otherwise good query.
fn bad(both: &Both, r: &mut Random) {
    let mut ask = r.query_request();
    let name = match r.below(8) {
        0 => ("query", r.id()),
        1 => ("query", json!({"nearest": r.id()})),
        2 => ("query", json!({"recommend": {"positive": [r.vector(), r.id()]}})),
        3 => ("lookup_from", json!({"collection": "docs"})),
        4 => ("filter", json!({"must": [{"has_id": [1], "key": {"must": []}}]})),
        5 => ("filter", json!({"should": [{"must": [], "has_id": [1]}]})),
        6 => ("where", json!({})),
        _ => ("query", json!({"context": [{"positive": r.vector(), "negative": r.id()}]})),
    };
    let levels = r.below(3);
    ask[name.0] = name.1;
    if levels > 0 {
        let members = ask.as_object_mut().unwrap();
        ["with_payload", "with_vector", "offset"].iter().for_each(|name| drop(members.remove(*name)));
    }
    for level in 0..levels {
        ask = if level == 0 { json!({"prefetch": [{"query": [1, 0, 0]}, ask]}) } else { json!({"prefetch": ask}) };
    }
    let batch = json!({"searches": [{"query": [1, 0, 0]}, ask.clone()]});
    for (path, body) in [("query", &ask), ("query/batch", &batch)] {
        let answer = both.ask("acme", "POST", &format!("/collections/docs/points/{path}"), body);
        assert!(answer.is_err(), "{body} passed: {answer:?}");
    }
}

pub fn run() {
    let mut requests = 0;
    for seed in 1..=40 {
        let (mut both, mut random, others) = setup(seed);
        for _ in 0..40 {
            match random.below(8) {
                0 | 1 => write(&mut both, &mut random),
                2 => bad(&both, &mut random),
                _ => read(&both, &mut random),
            }
            requests += 1;
        }
        both.check_state(&others);
    }
    assert_eq!(requests, 1600);
}

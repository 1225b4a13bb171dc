//! What must hold of JSON and of the Chroma rewriter for every input.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::panic, missing_docs)]

use partywall_core::error::Code;
use partywall_core::json;
use partywall_core::rag::{self, Memo, Rewritten, Verified};
use partywall_core::snapshot::wire::{Credential, Limits, Rag, Surface, SurfaceKind};
use partywall_core::surface::{Route, Surfaces};
use partywall_core::tenant::TenantId;
use proptest::prelude::*;
use serde_json::{Value, json};

fn route(operation: &str) -> Route {
    let surface = Surface {
        name: "docs".into(),
        kind: SurfaceKind::Chroma,
        hosts: vec!["*".into()],
        prefix: "/".into(),
        credential: Credential::Strip,
        limits: Limits { request_bytes: 1 << 20, response_bytes: 1 << 20, event_bytes: 1 << 20 },
        rag: Some(Rag::shared("default_database", &["docs"])),
    };
    let path = format!(
        "/api/v2/tenants/default_tenant/databases/default_database/collections/11111111-2222-3333-4444-555555555555/{operation}"
    );
    Surfaces::new(&[surface], [7; 32]).unwrap().classify("any", "POST", &path).unwrap()
}

fn ask(operation: &str, body: &[u8]) -> Result<Rewritten, Code> {
    rag::request(&route(operation), &acme(), &[], body, "r")
}

fn verify(operation: &str, body: &[u8]) -> Result<Verified, Code> {
    rag::response(&route(operation), &acme(), &Memo::default(), 200, body, &|_| false)
}

fn acme() -> TenantId {
    TenantId::parse("acme").unwrap()
}

/// A record of the shared collection.
#[derive(Clone, Debug)]
struct Record {
    tenant: &'static str,
    n: i64,
    kind: &'static str,
}

fn field(record: &Record, key: &str) -> Value {
    match key {
        "tenant_id" => json!(format!("t_{}", record.tenant)),
        "n" => json!(record.n),
        "kind" => json!(record.kind),
        _ => Value::Null,
    }
}

/// Chroma's `where`, in memory.
fn holds(condition: &Value, record: &Record) -> bool {
    condition.as_object().unwrap().iter().all(|(key, value)| match key.as_str() {
        "$and" => value.as_array().unwrap().iter().all(|part| holds(part, record)),
        "$or" => value.as_array().unwrap().iter().any(|part| holds(part, record)),
        _ => match value.as_object() {
            None => field(record, key) == *value,
            Some(operators) => operators.iter().all(|(operator, value)| {
                let have = field(record, key);
                match operator.as_str() {
                    "$eq" => have == *value,
                    "$ne" => have != *value,
                    "$gt" => have.as_i64().zip(value.as_i64()).is_some_and(|(a, b)| a > b),
                    "$in" => value.as_array().unwrap().contains(&have),
                    "$nin" => !value.as_array().unwrap().contains(&have),
                    _ => false,
                }
            }),
        },
    })
}

fn condition() -> impl Strategy<Value = Value> {
    let text = || prop::sample::select(vec!["t_acme", "t_beta", "t_gamma", "x", "y"]);
    let leaf = prop_oneof![
        text().prop_map(|t| json!({"tenant_id": t})),
        text().prop_map(|t| json!({"tenant_id": {"$ne": t}})),
        text().prop_map(|t| json!({"tenant_id": {"$in": ["t_acme", t]}})),
        (0..6i64).prop_map(|n| json!({"n": {"$gt": n}})),
        (0..6i64).prop_map(|n| json!({"n": n})),
        text().prop_map(|t| json!({"kind": {"$nin": [t, "q"]}})),
    ];
    leaf.prop_recursive(4, 24, 3, |inner| {
        let parts = || prop::collection::vec(inner.clone(), 2..4);
        prop_oneof![parts().prop_map(|p| json!({"$and": p})), parts().prop_map(|p| json!({"$or": p}))]
    })
}

fn records() -> impl Strategy<Value = Vec<Record>> {
    let one = (prop::sample::select(vec!["acme", "beta", "gamma"]), 0..6i64, prop::sample::select(vec!["x", "y", "z"]));
    prop::collection::vec(one.prop_map(|(tenant, n, kind)| Record { tenant, n, kind }), 0..30)
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (-1e9..1e9f64).prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        prop::collection::vec(any::<f32>().prop_filter("finite", |f| f.is_finite()), 0..5).prop_map(|v| json!(v)),
    ];
    leaf.prop_recursive(5, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::hash_map(any::<String>(), inner, 0..6)
                .prop_map(|m| m.into_iter().collect::<serde_json::Map<_, _>>().into()),
        ]
    })
}

/// The tree that we read, as serde_json's.
fn read(value: &json::Value<'_>) -> Value {
    match value {
        json::Value::Object(members, _) => {
            members.iter().map(|(k, v)| (k.decode().into_owned(), read(v))).collect::<serde_json::Map<_, _>>().into()
        }
        json::Value::Array(items, _) => items.iter().map(read).collect(),
        json::Value::String(text, _) => json!(text.decode()),
        other => serde_json::from_slice(other.raw()).unwrap(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn a_rewritten_query_gives_exactly_the_tenants_part(client in prop::option::of(condition()), records in records()) {
        let body = json!({"query_embeddings": [[0.1, 0.2]], "n_results": 3, "where": client});
        let rewritten = ask("query", body.to_string().as_bytes()).unwrap().body.unwrap();
        let sent: Value = serde_json::from_slice(&rewritten).unwrap();
        for record in &records {
            let wanted = record.tenant == "acme" && client.as_ref().is_none_or(|client| holds(client, record));
            prop_assert_eq!(holds(&sent["where"], record), wanted, "{:?} {}", record, sent["where"]);
        }
        prop_assert_eq!(&sent["query_embeddings"], &body["query_embeddings"]);
    }

    #[test]
    fn ids_round_trip_and_foreign_records_vanish(ids in prop::collection::vec("\\PC{0,12}", 0..12), owners in prop::collection::vec(0..4u8, 12)) {
        // What the tenant adds comes back as it was; what others have, or what is unmarked, does not.
        let add = json!({"ids": ids, "metadatas": ids.iter().map(|id| json!({"k": id, "tenant_id": "t_beta"})).collect::<Vec<_>>()});
        let sent: Value = serde_json::from_slice(&ask("add", add.to_string().as_bytes()).unwrap().body.unwrap()).unwrap();
        let (mut back_ids, mut back_metadatas, mut expected) = (Vec::new(), Vec::new(), Vec::new());
        for (index, id) in ids.iter().enumerate() {
            let (sent_id, sent_metadata) = (sent["ids"][index].clone(), sent["metadatas"][index].clone());
            prop_assert_eq!(&sent_metadata, &json!({"k": id, "tenant_id": "t_acme"}));
            match owners[index] {
                0 => { back_ids.push(sent_id); back_metadatas.push(sent_metadata); expected.push(id.clone()); }
                1 => { back_ids.push(json!(format!("beta:{id}"))); back_metadatas.push(json!({"tenant_id": "t_beta"})); }
                2 => { back_ids.push(sent_id); back_metadatas.push(json!({"k": id})); }
                _ => { back_ids.push(json!(id)); back_metadatas.push(Value::Null); }
            }
        }
        let answer = json!({"ids": back_ids, "metadatas": back_metadatas, "documents": back_ids, "embeddings": null, "uris": null, "include": ["metadatas"]});
        let verified = verify("get", answer.to_string().as_bytes()).unwrap();
        let got: Value = serde_json::from_slice(&verified.body.unwrap()).unwrap();
        prop_assert_eq!(&got["ids"], &json!(expected));
        prop_assert_eq!(got["documents"].as_array().unwrap().len(), expected.len());
        prop_assert_eq!(verified.tally.dropped as usize, back_ids.len() - expected.len());
        prop_assert!(!got["metadatas"].to_string().contains("t_"));
    }

    #[test]
    fn vectors_stay_bit_for_bit(vector in prop::collection::vec("-?(0|[1-9][0-9]{0,8})(\\.[0-9]{1,12})?(e-?[0-9]{1,2})?", 1..40)) {
        let raw = format!("[[{}]]", vector.join(" , "));
        let body = format!("{{\"query_embeddings\":{raw},\"n_results\":18446744073709551615}}");
        let sent = String::from_utf8(ask("query", body.as_bytes()).unwrap().body.unwrap()).unwrap();
        prop_assert!(sent.contains(&raw) && sent.contains(":18446744073709551615"), "{sent}");
    }

    #[test]
    fn json_is_read_as_others_read_it(value in value(), pretty in any::<bool>()) {
        let text = if pretty { serde_json::to_string_pretty(&value).unwrap() } else { value.to_string() };
        prop_assert_eq!(read(&json::parse(text.as_bytes()).unwrap()), serde_json::from_str::<Value>(&text).unwrap());
    }

    #[test]
    fn what_we_take_others_take(value in value(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut text = value.to_string().into_bytes();
        if !text.is_empty() {
            let at = at.index(text.len());
            text[at] = byte;
        }
        if json::parse(&text).is_ok() && !text.contains(&b'[') {
            prop_assert!(serde_json::from_slice::<Value>(&text).is_ok(), "{}", String::from_utf8_lossy(&text));
        }
    }

    #[test]
    fn no_answer_panics(bytes in prop::collection::vec(any::<u8>(), 0..200), nested in any::<bool>()) {
        let operation = if nested { "query" } else { "get" };
        let _ = verify(operation, &bytes);
        let _ = ask(operation, &bytes);
    }
}

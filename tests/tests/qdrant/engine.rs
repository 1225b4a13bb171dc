//! The rewriter's filters on Qdrant's own engine: what `tests/python/qdrant_engine.py` needs.

use super::random::{POOL, Random, id};
use partywall_core::rag;
use partywall_core::snapshot::wire::{Strategy, SurfaceKind};
use partywall_core::tenant::TenantId;
use partywall_tests::rag::surfaces;
use serde_json::{Map, Value, json};

fn sent(tenant: &str, method: &str, path: &str, body: &Value) -> Value {
    let surfaces = surfaces(SurfaceKind::Qdrant, Strategy::Namespace);
    let route = surfaces.classify("qdrant.test", method, &format!("/collections/docs/{path}")).unwrap();
    let tenant = TenantId::parse(tenant).unwrap();
    let rewritten = rag::request(&route, &tenant, &[], body.to_string().as_bytes(), "r");
    let rewritten = rewritten.unwrap_or_else(|code| panic!("{code:?}: {body}"));
    serde_json::from_slice(&rewritten.body.unwrap()).unwrap()
}

/// Points of three tenants, the same ids in all, and requests: as acme sends them, and as the engine gets them.
pub fn cases(count: usize) -> Value {
    let mut random = Random::new(2026).wide();
    let mut points = Map::new();
    let mut unique = 0;
    for tenant in ["acme", "beta", "gamma"] {
        let own: Vec<Value> = (0..POOL - 1)
            .map(|n| {
                unique += 1;
                json!({"id": id(n), "vector": random.vector(), "payload": random.payload(unique)})
            })
            .collect();
        let body = sent(tenant, "PUT", "points", &json!({"points": own}));
        points.insert(tenant.to_owned(), json!({"own": own, "sent": body["points"]}));
    }
    let cases: Vec<Value> = (0..count)
        .map(|_| {
            let mut client = random.search();
            client["query"] = random.vector();
            json!({"sent": sent("acme", "POST", "points/query", &client), "client": client, "limit": 1 + random.below(5)})
        })
        .collect();
    let upsert = sent("acme", "PUT", "points", &json!({"points": []}));
    let delete = sent("acme", "POST", "points/delete", &json!({"points": (0..POOL).map(id).collect::<Vec<_>>()}));
    json!({"points": points, "cases": cases, "update_filter": upsert["update_filter"], "fold": delete["filter"]})
}

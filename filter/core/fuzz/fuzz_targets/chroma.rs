//! Chroma: what is sent on is JSON and confined to the tenant's namespace, what comes back is the tenant's alone.
#![no_main]

use libfuzzer_sys::fuzz_target;
use partywall_core::json;
use partywall_core::rag::{self, Memo};
use partywall_core::surface::{Route, Surfaces};
use partywall_core_fuzz::{byte, chroma, tenant};
use serde_json::{Value, json};

const PLACE: &str = "/api/v2/tenants/default_tenant/databases/default_database/collections";
const ID: &str = "11111111-2222-3333-4444-555555555555";
const OPERATIONS: [&str; 6] = ["add", "upsert", "update", "query", "get", "delete"];

thread_local! {
    static SURFACES: Surfaces = chroma();
}

fn ours() -> Value {
    json!({"tenant_id": {"$eq": "t_acme"}})
}

/// Every id carries the tenant's prefix.
fn scoped(ids: &Value) -> bool {
    ids.as_array().is_some_and(|ids| ids.iter().all(|id| id.as_str().is_some_and(|id| id.starts_with("acme:"))))
}

fn request(route: &Route, body: &[u8]) {
    let Ok(rewritten) = rag::request(route, &tenant("acme"), &[], body, "r") else { return };
    let client = serde_json::from_slice::<Value>(body);
    let operation = route.endpoint.name;
    let Some(sent) = rewritten.body else {
        let silent = ["heartbeat", "version", "preflight", "identity", "tenant", "database", "collection"];
        let lists = ["collections", "collections_count", "delete_collection"];
        let name = operation.strip_prefix("chroma.").unwrap_or_default();
        assert!(silent.contains(&name) || lists.contains(&name), "{operation} passes as it is");
        return;
    };
    json::parse(&sent).expect("what is sent is JSON");
    // An array of nothing but numbers may break the grammar of numbers: the backend refuses it.
    let Ok(client) = client else { return };
    let sent: Value = serde_json::from_slice(&sent).expect("what is sent is JSON to others");
    match operation {
        "chroma.create" | "chroma.count" => return,
        "chroma.add" | "chroma.upsert" | "chroma.update" => {
            let marks = sent["metadatas"].as_array().expect("metadata");
            assert!(marks.iter().all(|metadata| metadata["tenant_id"] == "t_acme"), "{sent}");
            assert!(scoped(&sent["ids"]), "{sent}");
            assert_eq!(sent["ids"].as_array().map(Vec::len), Some(marks.len()));
        }
        _ => {
            let confined = match &client["where"] {
                Value::Null => ours(),
                theirs => json!({"$and": [ours(), theirs]}),
            };
            assert_eq!(sent["where"], confined, "{sent}");
            assert!(sent["ids"].is_null() || scoped(&sent["ids"]), "{sent}");
        }
    }
    for (name, value) in client.as_object().into_iter().flatten() {
        if !["where", "ids", "include", "metadatas"].contains(&name.as_str()) {
            assert_eq!(&sent[name], value, "{name} is not what the client sent");
        }
    }
}

/// Whose a record of the answer is, as we see it.
fn owned(id: &Value, metadata: &Value) -> bool {
    metadata["tenant_id"] == "t_acme" && id.as_str().is_some_and(|id| id.starts_with("acme:"))
}

fn count(ids: &Value, metadatas: &Value) -> usize {
    let (Some(ids), Some(metadatas)) = (ids.as_array(), metadatas.as_array()) else { return 0 };
    ids.iter().zip(metadatas).filter(|(id, metadata)| owned(id, metadata)).count()
}

fn response(route: &Route, hide: bool, status: u16, body: &[u8]) {
    let memo = Memo { hide, echo: hide.then(|| b"[\"documents\"]".to_vec()), names: Vec::new() };
    let known = |word: &str| ["acme", "beta"].contains(&word);
    let Ok(verified) = rag::response(route, &tenant("acme"), &memo, status, body, &known) else { return };
    let Some(out) = verified.body else { return };
    // A list of nothing but numbers is cut at its commas, and may break the grammar of numbers before and after.
    let Ok(upstream) = serde_json::from_slice::<Value>(body) else { return };
    json::parse(&out).expect("an answer that is JSON");
    let out: Value = serde_json::from_slice(&out).expect("an answer that is JSON to others");
    if status != 200 {
        return;
    }
    let (owned, total, left) = match route.endpoint.name {
        "chroma.get" => {
            let len = |value: &Value| value["ids"].as_array().map_or(0, Vec::len);
            (count(&upstream["ids"], &upstream["metadatas"]), len(&upstream), len(&out))
        }
        "chroma.query" => {
            let lists = |value: &Value, name: &str| value[name].as_array().cloned().unwrap_or_default();
            let len = |value: &Value| lists(value, "ids").iter().filter_map(Value::as_array).map(Vec::len).sum();
            let pairs = lists(&upstream, "ids").into_iter().zip(lists(&upstream, "metadatas"));
            (pairs.map(|(ids, metadatas)| count(&ids, &metadatas)).sum(), len(&upstream), len(&out))
        }
        "chroma.collections" => {
            let foreign = out.as_array().is_none_or(|list| list.iter().any(|item| item["name"] != "docs"));
            assert!(!foreign, "{out}");
            return;
        }
        _ => return,
    };
    assert_eq!(owned, left, "{upstream} became {out}");
    assert_eq!((verified.tally.kept, verified.tally.dropped), (owned as u64, (total - owned) as u64));
    let marked = |list: &Value| list.as_array().is_some_and(|m| m.iter().any(|m| m.get("tenant_id").is_some()));
    let nested = out["metadatas"].as_array().is_some_and(|lists| lists.iter().any(marked));
    assert!(!marked(&out["metadatas"]) && !nested, "the marker is still there: {out}");
    assert!(!hide || out["metadatas"].is_null());
}

/// An arbitrary head; what is served stays in the place.
fn head(surfaces: &Surfaces, input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let mut parts = text.splitn(4, '\n');
    let mut part = || parts.next().unwrap_or_default();
    let (method, authority, target, body) = (part(), part(), part(), part());
    let Ok(route) = surfaces.classify(authority, method, target) else { return };
    let path = target.split('?').next().unwrap_or_default();
    if rag::request(&route, &tenant("acme"), &[], body.as_bytes(), "r").is_ok() && path.is_ascii() {
        let plain = !path.contains('%');
        let inside = path.strip_prefix("/api/v2/tenants/default_tenant");
        let place = inside.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            || !path.starts_with("/api/v2/tenants/");
        assert!(!plain || place, "{target} leaves the place");
        request(&route, body.as_bytes());
    }
    response(&route, false, 200, body.as_bytes());
}

fuzz_target!(|input: &[u8]| {
    let mut rest = input;
    let mode = byte(&mut rest);
    SURFACES.with(|surfaces| {
        let classify = |method, path: &str| surfaces.classify("any", method, path).expect("a row of the table");
        let operation = OPERATIONS[usize::from(mode >> 3) % OPERATIONS.len()];
        match mode & 7 {
            0 => head(surfaces, rest),
            1..=3 => request(&classify("POST", &format!("{PLACE}/{ID}/{operation}")), rest),
            4 => request(&classify("POST", PLACE), rest),
            5 => response(&classify("GET", PLACE), false, 200, rest),
            6 => response(&classify("POST", &format!("{PLACE}/{ID}/{operation}")), false, 400, rest),
            _ => {
                let operation = if mode & 8 == 0 { "get" } else { "query" };
                response(&classify("POST", &format!("{PLACE}/{ID}/{operation}")), mode & 16 != 0, 200, rest);
            }
        }
    });
});

//! What the control plane does in the databases itself, against the fakes of all of them: adoption, offboarding, and what must not
//! happen when a policy, an address or an answer is not as it should be.

use partywall_core::snapshot::wire::{Strategy, SurfaceKind};
use partywall_core::surface::Kind;
use partywall_tests::fakes::Fake;
use partywall_tests::fakes::elasticsearch::Elastic;
use partywall_tests::fakes::milvus::Milvus;
use partywall_tests::fakes::pinecone::Pinecone;
use partywall_tests::fakes::postgrest::Postgrest;
use partywall_tests::fakes::qdrant::Qdrant;
use partywall_tests::fakes::weaviate::Weaviate;
use partywall_tests::http::Request;
use partywall_tests::rag;
use partywall_tests::stack::Stack;
use serde_json::{Value, json};

/// More than what is handled at a time.
const OLD: usize = 603;

/// The policy with one surface of a kind, whose database the control plane reaches at this address.
fn policy(kind: SurfaceKind, strategy: Strategy, url: &str) -> String {
    let backend = format!("      create: true\n      backend: {{ url: \"{url}\" }}\n");
    rag::policy(kind, strategy).replace("      create: true\n", &backend)
}

fn at(fake: &Fake) -> String {
    format!("http://127.0.0.1:{}", fake.port)
}

fn stack(name: &str, policy: &str) -> Stack {
    Stack::builder(name).no_envoy().policy(policy).start().unwrap()
}

fn receipt(stack: &Stack) -> Value {
    let (ok, out) = stack.cli(&["receipt", "show", "acme", "--json"]).unwrap();
    assert!(ok, "{out}");
    serde_json::from_str::<Value>(&out).unwrap()["receipt"].clone()
}

/// Adopts the unmarked records for acme, then offboards acme: `old` were unmarked, three acme's own; `left` says what the database holds.
fn check(kind: SurfaceKind, fake: &Fake, old: usize, left: impl Fn() -> Vec<String>) {
    let name = Kind::of(kind).name;
    let stack = stack(&format!("backends-{name}"), &policy(kind, Strategy::Namespace, &at(fake)));
    let collection = if kind == SurfaceKind::Weaviate { "Docs" } else { "docs" };
    let adopt = |more: &[&str]| {
        let base = ["adopt", "--tenant", "acme", "--surface", name, "--collection", collection];
        let (ok, out) = stack.cli(&[&base, more].concat()).unwrap();
        assert!(ok, "{name}: {out}");
        out
    };
    let before = left();
    let out = adopt(&["--dry-run"]);
    assert!(out.contains(&format!("{old} would be stamped")), "{name}: {out}");
    assert_eq!(left(), before, "{name}: a dry run changes nothing");
    let out = adopt(&[]);
    assert!(out.contains(&format!("{old} are stamped")), "{name}: {out}");
    assert_eq!(left().len(), before.len(), "{name}: none is lost, none is doubled");
    let out = adopt(&[]);
    assert!(out.contains("0 are stamped"), "{name}: {out}");

    let (ok, out) = stack.cli(&["tenant", "offboard", "acme"]).unwrap();
    assert!(ok, "{name}: {out}");
    let receipt = receipt(&stack);
    let place = &receipt["places"][0];
    assert_eq!((&place["found"], &place["remaining"]), (&json!(old + 3), &json!(0)), "{name}: {place}");
    assert_eq!(receipt["unsearched"], json!([]));
    let rest = left();
    assert!(rest.len() == 2 && rest.iter().all(|id| id.contains("beta")), "{name}: {rest:?}");
}

#[test]
fn qdrant() {
    let (fake, qdrant) = Qdrant::start(&["docs", "notes"]);
    seed_qdrant(&qdrant, "docs");
    for n in 0..OLD {
        qdrant.put("docs", &json!(1000 + n), json!({"n": n}), json!([1, 0, 0]));
    }
    check(SurfaceKind::Qdrant, &fake, OLD, || qdrant_left(&qdrant, "docs"));
}

fn seed_qdrant(qdrant: &Qdrant, collection: &str) {
    for (tenant, ids) in [("acme", 1..4), ("beta", 4..6)] {
        for id in ids {
            qdrant.put(collection, &json!(id), json!({"tenant_id": format!("t_{tenant}")}), json!([1, 0, 0]));
        }
    }
}

fn qdrant_left(qdrant: &Qdrant, collection: &str) -> Vec<String> {
    let points = qdrant.points(collection);
    points.values().map(|point| Value::Object(point.payload.clone()).to_string()).collect()
}

#[test]
fn pinecone() {
    let pinecone = Pinecone::default();
    for (tenant, count) in [("acme", 3), ("beta", 2)] {
        let namespace = format!("t_{tenant}");
        for n in 0..count {
            pinecone.put(&namespace, &format!("d{n}"), &[1.0, 0.0, 0.0], &json!({"tenant_id": namespace}));
        }
    }
    for n in 0..OLD {
        pinecone.put("", &format!("old{n}"), &[1.0, 0.0, 0.0], &json!({"n": n}));
    }
    let fake = pinecone.serve();
    check(SurfaceKind::Pinecone, &fake, OLD, || {
        let all = pinecone.records();
        all.iter().flat_map(|(namespace, ids)| ids.keys().map(move |id| format!("{namespace}/{id}"))).collect()
    });
}

#[test]
fn weaviate() {
    let weaviate = Weaviate::new(true);
    let uuid = |n: usize| format!("00000000-0000-0000-0000-{n:012}");
    for (tenant, ids) in [("t_acme", 0..3), ("t_beta", 3..5)] {
        for n in ids {
            weaviate.put("Docs", tenant, &uuid(n), &json!({"tenant_id": tenant}), &json!([1, 0, 0]));
        }
    }
    for n in 0..OLD {
        weaviate.put("Docs", "t_acme", &uuid(1000 + n), &json!({"title": "old"}), &json!([1, 0, 0]));
    }
    let fake = weaviate.serve();
    check(SurfaceKind::Weaviate, &fake, OLD, || {
        let all = weaviate.shards();
        all.iter().flat_map(|((_, tenant), ids)| ids.keys().map(move |id| format!("{tenant}/{id}"))).collect()
    });
}

#[test]
fn milvus() {
    let milvus = Milvus::with(&["docs", "notes"]);
    for (tenant, count) in [("acme", 3), ("beta", 2)] {
        for n in 0..count {
            let row =
                json!({"id": format!("{tenant}:{n}"), "tenant_id": format!("t_{tenant}"), "vector": [1.0, 0.0, 0.0]});
            milvus.put("default", "docs", &row);
        }
    }
    for n in 0..OLD {
        milvus.put("default", "docs", &json!({"id": format!("old{n}"), "vector": [1.0, 0.0, 0.0], "n": n}));
    }
    let server = milvus.clone();
    let fake = Fake::start(move |request| server.answer(request));
    check(SurfaceKind::Milvus, &fake, OLD, || {
        milvus.rows("default", "docs").iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect()
    });
}

/// A server as of 9.2: vectors are left out of what a search gives unless it is told otherwise.
fn elastic(elastic: &Elastic, marker: &str) -> Fake {
    let mapping = json!({"mappings": {"properties": {"tenant_id": {"type": marker}}}}).to_string();
    for index in ["docs", "notes"] {
        elastic.answer("PUT", &format!("/{index}"), mapping.as_bytes());
    }
    let server = elastic.clone();
    Fake::start(move |request| {
        let (status, media, body) = server.handle(request);
        if !request.line.contains("_search") || String::from_utf8_lossy(&request.body).contains("exclude_vectors") {
            return (status, media, body);
        }
        let mut answer: Value = serde_json::from_slice(&body).unwrap_or_default();
        for hit in answer["hits"]["hits"].as_array_mut().into_iter().flatten() {
            hit["_source"].as_object_mut().map(|source| source.remove("vector"));
        }
        (status, media, answer.to_string().into_bytes())
    })
}

#[test]
fn elasticsearch() {
    for (kind, server) in
        [(SurfaceKind::Elasticsearch, Elastic::elasticsearch()), (SurfaceKind::Opensearch, Elastic::opensearch())]
    {
        let fake = elastic(&server, "keyword");
        for (tenant, count) in [("acme", 3), ("beta", 2)] {
            for n in 0..count {
                server.put("docs", &format!("{tenant}:{n}"), json!({"tenant_id": format!("t_{tenant}")}));
            }
        }
        for n in 0..OLD {
            server.put("docs", &format!("old{n}"), json!({"n": n, "vector": [1.0, 0.0]}));
        }
        check(kind, &fake, OLD, || {
            let all = server.documents("docs");
            let whole = |id: &str, doc: &Value| !id.contains("old") || doc["vector"] == json!([1.0, 0.0]);
            all.iter()
                .map(|(id, doc)| format!("{id}{}", if whole(id, doc) { "" } else { " lost its vector" }))
                .collect()
        });
        assert!(!server.documents("docs").keys().any(|id| id.contains("lost")));
    }
}

#[test]
fn adopted_documents_keep_their_vectors() {
    let server = Elastic::elasticsearch();
    let fake = elastic(&server, "keyword");
    server.put("docs", "old", json!({"n": 1, "vector": [1.0, 0.0]}));
    let stack = stack("backends-vectors", &policy(SurfaceKind::Elasticsearch, Strategy::Namespace, &at(&fake)));
    let (ok, out) =
        stack.cli(&["adopt", "--tenant", "acme", "--surface", "elasticsearch", "--collection", "docs"]).unwrap();
    assert!(ok, "{out}");
    let found = server.documents("docs");
    assert_eq!(found["acme:old"], json!({"n": 1, "vector": [1.0, 0.0], "tenant_id": "t_acme"}));
    assert_eq!(found.len(), 1);
}

#[test]
fn postgrest() {
    const COLUMNS: &[&str] = &["id", "title", "tenant_id"];
    let postgrest = Postgrest::with(&["docs", "notes"], COLUMNS);
    for (tenant, ids) in [("t_acme", 0..3), ("t_beta", 3..5)] {
        for id in ids {
            postgrest.put("public", "docs", &json!({"id": id, "tenant_id": tenant}));
        }
    }
    for id in 0..OLD {
        postgrest.put("public", "docs", &json!({"id": 1000 + id}));
    }
    let server = postgrest.clone();
    let fake = Fake::start(move |request| server.answer(request));
    check(SurfaceKind::Postgrest, &fake, OLD, || {
        postgrest.rows("public", "docs").iter().map(Value::to_string).collect()
    });
}

#[test]
fn a_class_of_its_own_goes_whole() {
    let weaviate = Weaviate::new(true);
    weaviate.put("Docs_acme", "t_acme", "00000000-0000-0000-0000-000000000001", &json!({}), &json!([1, 0, 0]));
    weaviate.put("Docs_beta", "t_beta", "00000000-0000-0000-0000-000000000001", &json!({}), &json!([1, 0, 0]));
    let fake = weaviate.serve();
    let stack = stack("backends-class", &policy(SurfaceKind::Weaviate, Strategy::SeparateCollection, &at(&fake)));
    let (ok, out) = stack.cli(&["tenant", "offboard", "acme"]).unwrap();
    assert!(ok && out.contains("found 1"), "{out}");
    let left: Vec<String> = weaviate.shards().keys().map(|(class, _)| class.clone()).collect();
    assert_eq!(left, ["Docs_beta"]);
}

#[test]
fn a_cluster_that_tenants_share_is_emptied_by_the_marker() {
    let (fake, qdrant) = Qdrant::start(&["docs", "notes"]);
    seed_qdrant(&qdrant, "docs");
    let base = policy(SurfaceKind::Qdrant, Strategy::Namespace, "http://127.0.0.1:9");
    // Without an address of its own the shared database would be asked for what is in another.
    let overrides = |address: &str| {
        let one = |id: &str| {
            format!("        - {{ id: {id}, isolation_strategy: separate_db, cluster: qdrant-eu{address} }}\n")
        };
        let list = format!("      create: true\n      tenants:\n{}{}", one("acme"), one("beta"));
        base.replace("      create: true\n", &list)
    };
    let stack = Stack::builder("backends-cluster").no_envoy().no_policy().start().unwrap();
    let refused = stack.apply(&overrides("")).unwrap_err().to_string();
    assert!(refused.contains("backend_url"), "{refused}");
    stack.apply(&overrides(&format!(", backend_url: \"{}\"", at(&fake)))).unwrap();
    let (ok, out) = stack.cli(&["tenant", "offboard", "acme"]).unwrap();
    assert!(ok && out.contains("found 3"), "{out}");
    assert_eq!(qdrant.points("docs").len(), 2, "beta has the same cluster");
}

#[test]
fn an_answer_of_something_else_is_not_zero() {
    let nowhere = Fake::start(|_| (404, "text/plain", b"404 page not found".to_vec()));
    for kind in [
        SurfaceKind::Chroma,
        SurfaceKind::Qdrant,
        SurfaceKind::Pinecone,
        SurfaceKind::Weaviate,
        SurfaceKind::Milvus,
        SurfaceKind::Elasticsearch,
        SurfaceKind::Postgrest,
    ] {
        let name = Kind::of(kind).name;
        let stack = stack("backends-nowhere", &policy(kind, Strategy::Namespace, &at(&nowhere)));
        let (ok, out) = stack.cli(&["tenant", "offboard", "acme"]).unwrap();
        assert!(!ok && out.contains("stays locked"), "{name}: {out}");
    }
}

#[test]
fn a_marker_that_is_no_keyword_is_not_trusted() {
    let server = Elastic::elasticsearch();
    let fake = elastic(&server, "text");
    server.put("docs", "acme-corp:1", json!({"tenant_id": "t_acme-corp"}));
    let stack = stack("backends-text", &policy(SurfaceKind::Elasticsearch, Strategy::Namespace, &at(&fake)));
    let (ok, out) = stack.cli(&["tenant", "offboard", "acme"]).unwrap();
    assert!(!ok && out.contains("keyword"), "{out}");
    assert_eq!(server.documents("docs").len(), 1);
}

#[test]
fn places_of_earlier_policies_are_searched_or_mentioned() {
    let (fake, qdrant) = Qdrant::start(&["docs", "notes", "acme.docs"]);
    seed_qdrant(&qdrant, "docs");
    seed_qdrant(&qdrant, "acme.docs");
    let separate = policy(SurfaceKind::Qdrant, Strategy::SeparateCollection, &at(&fake));
    let shared = policy(SurfaceKind::Qdrant, Strategy::Namespace, &at(&fake));
    let stack = stack("backends-earlier", &separate.replace("collections: [docs, notes]", "collections: [docs]"));
    let force = |policy: &str| {
        let file = stack.directory.join("policy.yaml");
        std::fs::write(&file, policy).unwrap();
        let (ok, out) = stack.cli(&["policy", "apply", &file.to_string_lossy(), "--force"]).unwrap();
        assert!(ok, "{out}");
    };
    // Once in a database that is gone now, once in the shared collection, now only in notes.
    force(&policy(SurfaceKind::Qdrant, Strategy::Namespace, "http://127.0.0.1:9"));
    force(&shared);
    force(&shared.replace("collections: [docs, notes]", "collections: [notes]"));
    let (ok, out) = stack.cli(&["tenant", "offboard", "acme"]).unwrap();
    assert!(ok && out.contains("of an earlier policy") && out.contains("NOT searched"), "{out}");
    let receipt = receipt(&stack);
    let mut found: Vec<(String, bool, u64)> = receipt["places"]
        .as_array()
        .unwrap()
        .iter()
        .map(|p| (p["collection"].as_str().unwrap().into(), p["earlier"] == true, p["found"].as_u64().unwrap()))
        .collect();
    found.sort();
    let expected = [("acme.docs", true, 3), ("docs", true, 3), ("notes", false, 0)];
    assert_eq!(found, expected.map(|(name, earlier, count)| (name.to_owned(), earlier, count)));
    let lost: Vec<&Value> = receipt["unsearched"].as_array().unwrap().iter().map(|p| &p["collection"]).collect();
    assert_eq!(lost, ["docs", "notes"]);
    for collection in ["docs", "acme.docs"] {
        assert_eq!(qdrant.points(collection).len(), 2, "{collection}: what is not marked as acme's stays");
    }
}

#[test]
fn a_namespace_that_is_anothers_now_is_left_alone() {
    let (fake, qdrant) = Qdrant::start(&["docs", "notes"]);
    // Once `{tenant_id}` was the namespace: that of the tenant t_beta then is that of beta now.
    seed_qdrant(&qdrant, "docs");
    let now = policy(SurfaceKind::Qdrant, Strategy::Namespace, &at(&fake));
    assert!(now.contains("namespace_format: \"t_{tenant_id}\""), "{now}");
    let now = now.replace("  - id: acme\n", "  - id: acme\n  - id: t_beta\n");
    let stack = stack(
        "backends-anothers",
        &now.replace("namespace_format: \"t_{tenant_id}\"", "namespace_format: \"{tenant_id}\""),
    );
    let file = stack.directory.join("policy.yaml");
    std::fs::write(&file, &now).unwrap();
    let (ok, out) = stack.cli(&["policy", "apply", &file.to_string_lossy(), "--force"]).unwrap();
    assert!(ok, "{out}");
    let (ok, out) = stack.cli(&["tenant", "offboard", "t_beta"]).unwrap();
    assert!(ok && out.contains("another tenant's now"), "{out}");
    assert_eq!(qdrant.points("docs").len(), 5);
}

#[test]
fn what_a_failed_attempt_deleted_is_in_the_receipt() {
    let (fake, qdrant) = Qdrant::start(&["docs"]);
    seed_qdrant(&qdrant, "docs");
    let server = qdrant.clone();
    let broken = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true));
    let fails = broken.clone();
    let fake = {
        drop(fake);
        Fake::start(move |request| {
            let (method, rest) = request.line.split_once(' ').unwrap_or_default();
            if rest.contains("notes") && fails.load(std::sync::atomic::Ordering::Relaxed) {
                return (500, "application/json", b"{}".to_vec());
            }
            server.answer(method, rest.split(' ').next().unwrap_or_default(), &request.body)
        })
    };
    let stack = stack("backends-again", &policy(SurfaceKind::Qdrant, Strategy::Namespace, &at(&fake)));
    let (ok, out) = stack.cli(&["tenant", "offboard", "acme"]).unwrap();
    assert!(!ok && out.contains("stays locked"), "{out}");
    assert_eq!(qdrant.points("docs").len(), 2);
    // Locked is locked: nothing new comes in for it.
    let (ok, out) = stack.cli(&["adopt", "--tenant", "acme", "--surface", "qdrant", "--collection", "docs"]).unwrap();
    assert!(!ok && out.contains("is being offboarded"), "{out}");
    let literal = json!({"tenant": "acme", "text": "Project Falcon Harbor"});
    assert!(stack.api("POST", "/v1/fingerprints", Some(&literal)).is_err());
    broken.store(false, std::sync::atomic::Ordering::Relaxed);
    let (ok, out) = stack.cli(&["tenant", "offboard", "acme"]).unwrap();
    assert!(ok, "{out}");
    assert_eq!(receipt(&stack)["places"][0]["found"], 3);
    // Asked again by accident, it finds nothing; the receipt that says what was deleted is still there.
    assert!(stack.cli(&["tenant", "offboard", "acme"]).unwrap().0);
    let kept = stack.api("GET", "/v1/tenants/acme/offboarding", None).unwrap();
    let found = |receipt: &Value| receipt["receipt"]["places"][0]["found"].clone();
    assert_eq!((found(&kept["receipt"]), found(&kept["earlier"][0])), (json!(0), json!(3)));
}

#[test]
fn an_offboarding_adoption_or_return_does_not_cross_another() {
    // A database that is asked and does not answer keeps both going.
    let hung = Fake::start(|_| {
        std::thread::sleep(std::time::Duration::from_secs(60));
        (500, "application/json", Vec::new())
    });
    let stack = stack("backends-races", &policy(SurfaceKind::Qdrant, Strategy::Namespace, &at(&hung)));
    let adoption = json!({"tenant": "acme", "surface": "qdrant", "collection": "docs"});
    let mut begin = std::net::TcpStream::connect(("127.0.0.1", stack.control)).unwrap();
    {
        use std::io::Write as _;
        let body = adoption.to_string();
        write!(
            begin,
            "POST /v1/adopt HTTP/1.1\r\nhost: control\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            stack.admin_token.trim(),
            body.len()
        )
        .unwrap();
    }
    while hung.take().is_empty() {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let refused =
        |method: &str, path: &str, body: Option<&Value>| stack.api(method, path, body).unwrap_err().to_string();
    let out = refused("POST", "/v1/tenants/acme/offboarding", None);
    assert!(out.contains("adoption_running"), "{out}");
    let out = refused("POST", "/v1/adopt", Some(&json!({"tenant": "beta", "surface": "qdrant", "collection": "docs"})));
    assert!(out.contains("adoption_running"), "{out}");

    stack.api("POST", "/v1/tenants/beta/offboarding", None).unwrap();
    let out = refused("POST", "/v1/tenants/beta/offboarding", None);
    assert!(out.contains("offboarding_running"), "{out}");
}

#[test]
fn after_a_restart_filters_that_were_not_heard_of_yet_count() {
    let (fake, qdrant) = Qdrant::start(&["docs", "notes"]);
    seed_qdrant(&qdrant, "docs");
    let mut stack = stack("backends-restart", &policy(SurfaceKind::Qdrant, Strategy::Namespace, &at(&fake)));
    let made = stack.api("POST", "/v1/tokens", Some(&json!({"name": "other", "role": "sidecar"}))).unwrap();
    let token = made["token"].as_str().unwrap().to_owned();
    let poll = |port: u16, have: u64| {
        let path = format!("/v1/snapshot?have={have}&wait=0&nonce=n&instance=worker-1");
        let answer = Request::new("GET", "control", &path).bearer(&token).send(port).unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text());
    };
    poll(stack.control, 0);
    stack.stop_control();
    stack.start_control().unwrap();
    stack.api("POST", "/v1/tenants/acme/offboarding", None).unwrap();
    std::thread::sleep(std::time::Duration::from_secs(2));
    assert_eq!(qdrant.points("docs").len(), 5, "a worker may still write for acme");
    let revision = stack.api("GET", "/v1/status", None).unwrap()["revision"].as_u64().unwrap();
    poll(stack.control, revision);
    let (ok, out) = stack.cli(&["tenant", "offboard", "acme", "--watch"]).unwrap();
    assert!(ok && out.contains("1 proxy workers"), "{out}");
    assert_eq!(qdrant.points("docs").len(), 2);
}

#[test]
fn what_the_tenant_has_written_since_wins() {
    let adopt = |kind: SurfaceKind, fake: &Fake| {
        let name = Kind::of(kind).name;
        let stack = stack(&format!("backends-since-{name}"), &policy(kind, Strategy::Namespace, &at(fake)));
        let (ok, out) = stack.cli(&["adopt", "--tenant", "acme", "--surface", name, "--collection", "docs"]).unwrap();
        assert!(ok && out.contains("2 are stamped"), "{name}: {out}");
    };
    let acme = partywall_tests::rag::acme();
    let (fake, qdrant) = Qdrant::start(&["docs"]);
    let (scoped, _) = partywall_core::rag::qdrant::scoped_id(&acme, "7").unwrap();
    qdrant.put("docs", &json!(scoped), json!({"tenant_id": "t_acme", "v": "new"}), json!([1, 0, 0]));
    for id in [7, 8] {
        qdrant.put("docs", &json!(id), json!({"v": "old"}), json!([1, 0, 0]));
    }
    adopt(SurfaceKind::Qdrant, &fake);
    let mut left: Vec<Value> = qdrant.points("docs").values().map(|point| point.payload["v"].clone()).collect();
    left.sort_by_key(Value::to_string);
    assert_eq!(left, ["new", "old"]);

    let pinecone = Pinecone::default();
    pinecone.put("t_acme", "a", &[1.0, 0.0, 0.0], &json!({"tenant_id": "t_acme", "v": "new"}));
    for id in ["a", "b"] {
        pinecone.put("", id, &[1.0, 0.0, 0.0], &json!({"v": "old"}));
    }
    adopt(SurfaceKind::Pinecone, &pinecone.serve());
    {
        let all = pinecone.records();
        let own: Vec<&Value> = all["t_acme"].values().map(|record| &record.metadata["v"]).collect();
        assert_eq!((own, all[""].len()), (vec![&json!("new"), &json!("old")], 0));
    }

    let milvus = Milvus::with(&["docs"]);
    milvus.put("default", "docs", &json!({"id": "acme:a", "tenant_id": "t_acme", "v": "new"}));
    for id in ["a", "b"] {
        milvus.put("default", "docs", &json!({"id": id, "v": "old"}));
    }
    let server = milvus.clone();
    adopt(SurfaceKind::Milvus, &Fake::start(move |request| server.answer(request)));
    let rows: Vec<(Value, Value)> =
        milvus.rows("default", "docs").iter().map(|row| (row["id"].clone(), row["v"].clone())).collect();
    assert_eq!(rows, [(json!("acme:a"), json!("new")), (json!("acme:b"), json!("old"))]);

    let server = Elastic::elasticsearch();
    let fake = elastic(&server, "keyword");
    server.put("docs", "acme:a", json!({"tenant_id": "t_acme", "v": "new"}));
    for id in ["a", "b"] {
        server.put("docs", id, json!({"v": "old"}));
    }
    adopt(SurfaceKind::Elasticsearch, &fake);
    let found: Vec<(String, Value)> =
        server.documents("docs").into_iter().map(|(id, doc)| (id, doc["v"].clone())).collect();
    assert_eq!(found, [("acme:a".to_owned(), json!("new")), ("acme:b".to_owned(), json!("old"))]);
}

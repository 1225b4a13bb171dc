//! Qdrant.

#[path = "qdrant/differential.rs"]
mod differential;
#[path = "qdrant/engine.rs"]
mod engine;
#[path = "qdrant/random.rs"]
mod random;

use partywall_core::error::Code;
use partywall_core::snapshot::wire::{Strategy, SurfaceKind};
use partywall_tests::fakes::Fake;
use partywall_tests::fakes::qdrant::{Id, Qdrant};
use partywall_tests::mint;
use partywall_tests::process::root;
use partywall_tests::rag::{check_answers, check_requests, check_through_envoy, policy, request, surfaces, template};
use partywall_tests::stack::{Stack, python};
use serde_json::{Value, json};
use std::process::Command;

#[test]
fn qdrant_requests() {
    check_requests(SurfaceKind::Qdrant);
}

#[test]
fn qdrant_answers() {
    check_answers(SurfaceKind::Qdrant);
}

#[test]
fn qdrant_through_envoy() {
    check_through_envoy(SurfaceKind::Qdrant);
}

fn run(script: &str, arguments: &[&str]) {
    let python = python();
    assert!(python.exists(), "{} is missing: run `make setup` first", python.display());
    let output = Command::new(python).arg(root().join("tests/python").join(script)).args(arguments).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{script}:\n{}", String::from_utf8_lossy(&text));
}

fn stack(name: &str, fake: &Fake) -> Stack {
    Stack::builder(name)
        .template(template(&[("qdrant", fake.port)]))
        .policy(&policy(SurfaceKind::Qdrant, Strategy::Namespace))
        .start()
        .unwrap()
}

/// Every point is marked, and has an id that is its owner's alone.
fn check_scoped(qdrant: &Qdrant, collection: &str) {
    let points = qdrant.points(collection);
    assert!(!points.is_empty());
    for (id, point) in points {
        let owner = point.payload["tenant_id"].as_str().unwrap_or_default().trim_start_matches("t_").to_owned();
        let expected = match point.payload.get("tenant_id_id") {
            Some(kept) => scoped(&owner, kept),
            // The number's own eight bytes come last.
            None => match id {
                Id::Uuid(scoped_id) => scoped(&owner, &json!(u64::try_from(scoped_id & u128::from(u64::MAX)).unwrap())),
                other => panic!("{other:?} is not scoped"),
            },
        };
        assert_eq!(id, expected, "{point:?}");
    }
}

/// A tenant's id in the database, worked out by what the documentation says.
fn scoped(tenant: &str, id: &Value) -> Id {
    use sha2::{Digest, Sha256};
    let head = |bytes: Vec<u8>| -> u128 {
        let digest = Sha256::digest(bytes);
        digest.iter().take(16).fold(0, |sum, byte| (sum << 8) | u128::from(*byte))
    };
    match Id::read(id).unwrap() {
        Id::Number(n) => {
            let tag = head([b"partywall qdrant id v1\0", tenant.as_bytes()].concat());
            Id::Uuid((tag >> 64 << 64) | u128::from(n))
        }
        Id::Uuid(uuid) => {
            let parts = [b"partywall qdrant uuid v1\0".as_slice(), tenant.as_bytes(), b"\0", &uuid.to_be_bytes()];
            Id::Uuid(head(parts.concat()))
        }
        Id::Nothing => Id::Nothing,
    }
}

#[test]
fn qdrant_client() {
    let (fake, qdrant) = Qdrant::start(&[]);
    let stack = stack("client-qdrant", &fake);
    let edge = stack.edge.to_string();
    let (acme, beta) = (mint::token("acme"), mint::token("beta"));
    run("qdrant_official.py", &["work", &edge, &acme, &beta]);
    check_scoped(&qdrant, "docs");
    assert_eq!(stack.metric("partywall_results_dropped_total"), 0.0, "nothing foreign has come so far");
    // By the back door: beta's record under acme's id, one under a number, one that has only our marker.
    let vector = json!([1.0, 0.0, 0.0]);
    qdrant.put(
        "docs",
        &scoped("acme", &json!(666)).json(),
        json!({"tenant_id": "t_beta", "s": "SECRET"}),
        vector.clone(),
    );
    qdrant.put("docs", &scoped("acme", &json!(667)).json(), json!({"s": "SECRET"}), vector.clone());
    qdrant.put("docs", &json!(668), json!({"tenant_id": "t_acme", "s": "SECRET"}), vector.clone());
    qdrant.put("docs", &scoped("beta", &json!(9)).json(), json!({"tenant_id": "t_acme", "s": "SECRET"}), vector);
    run("qdrant_official.py", &["poisoned", &edge, &acme, &beta]);
    assert!(stack.metric("partywall_results_dropped_total") >= 4.0, "the poisoned records were dropped and counted");
}

#[test]
fn qdrant_frameworks() {
    let (fake, qdrant) = Qdrant::start(&[]);
    let stack = stack("frameworks-qdrant", &fake);
    run("qdrant_frameworks.py", &[&stack.edge.to_string(), &mint::token("acme"), &mint::token("beta")]);
    check_scoped(&qdrant, "docs");
    check_scoped(&qdrant, "notes");
}

#[test]
fn qdrant_differential() {
    differential::run();
}

#[test]
fn qdrant_engine() {
    let directory = root().join("target/e2e/qdrant-engine");
    std::fs::create_dir_all(&directory).unwrap();
    let file = directory.join("cases.json");
    std::fs::write(&file, engine::cases(400).to_string()).unwrap();
    run("qdrant_engine.py", &[&file.to_string_lossy()]);
}

#[test]
fn qdrant_overwrite_is_bounded() {
    let ids: Vec<String> = (0..2000).map(|n| format!("00000000-0000-4000-8000-{n:012}")).collect();
    let route = surfaces(SurfaceKind::Qdrant, Strategy::Namespace)
        .classify("qdrant.test", "PUT", "/collections/docs/points/payload")
        .unwrap();
    let ask = |size: usize| {
        request(&route, &[], json!({"payload": {"a": "x".repeat(size)}, "points": ids}).to_string().as_bytes())
    };
    assert!(ask(1000).is_ok());
    assert_eq!(ask(10_000), Err(Code::BodyTooLarge), "a payload that would be sent 2000 times");
}

//! Chroma's rewriter on cases that are data.

use partywall_core::error::Code;
use partywall_core::rewrite::{self, Memo};
use partywall_core::snapshot::wire::{Chroma, Credential, Limits, Surface, SurfaceKind};
use partywall_core::surface::Surfaces;
use partywall_core::tenant::TenantId;
use partywall_tests::cases;
use serde::Deserialize;

fn surfaces() -> Surfaces {
    Surfaces::new(&[Surface {
        name: "docs".into(),
        kind: SurfaceKind::Chroma,
        hosts: vec!["chroma.test".into()],
        prefix: "/".into(),
        credential: Credential::Strip,
        limits: Limits { request_bytes: 1 << 20, response_bytes: 1 << 20, event_bytes: 1 << 20 },
        chroma: Some(Chroma {
            tenant: "default_tenant".into(),
            database: "default_database".into(),
            collections: vec!["docs".into()],
            create: true,
            namespace_key: "tenant_id".into(),
            namespace_format: "t_{tenant_id}".into(),
        }),
    }])
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    name: String,
    method: String,
    path: String,
    body: String,
    sent: Option<String>,
    refused: Option<String>,
}

#[test]
fn requests() {
    let surfaces = surfaces();
    let acme = TenantId::parse("acme").unwrap();
    for (file, case) in cases::load::<Request>("chroma/requests.toml") {
        let judged = surfaces
            .classify("Chroma.Test:8000", &case.method, &case.path)
            .map_err(|refusal| refusal.code)
            .and_then(|route| rewrite::request(&route, &acme, case.body.as_bytes()));
        match (judged, case.refused) {
            (Err(code), Some(expected)) => assert_eq!(code.as_str(), expected, "{file}: {}", case.name),
            (Ok(rewritten), None) => {
                let sent = rewritten.body.map(|body| String::from_utf8(body).unwrap()).unwrap_or_default();
                assert_eq!(sent, case.sent.unwrap_or_default(), "{file}: {}", case.name);
            }
            (judged, expected) => panic!("{file}: {}: {judged:?}, expected {expected:?}", case.name),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Answer {
    name: String,
    operation: String,
    body: String,
    answer: String,
    dropped: u64,
    include: Option<String>,
    #[serde(default)]
    hide: bool,
}

#[test]
fn answers() {
    let surfaces = surfaces();
    let acme = TenantId::parse("acme").unwrap();
    for (file, case) in cases::load::<Answer>("chroma/answers.toml") {
        let path = format!(
            "/api/v2/tenants/default_tenant/databases/default_database/collections/11111111-2222-3333-4444-555555555555/{}",
            case.operation
        );
        let route = surfaces.classify("chroma.test", "POST", &path).unwrap();
        let memo = Memo { hide_metadatas: case.hide, include: case.include.map(String::into_bytes) };
        match rewrite::response(&route, &acme, &memo, 200, case.body.as_bytes()) {
            Err(code) => {
                assert_eq!((code, case.answer.as_str()), (Code::UpstreamMalformed, ""), "{file}: {}", case.name)
            }
            Ok(verified) => {
                let body = String::from_utf8(verified.body.unwrap()).unwrap();
                assert_eq!((body, verified.dropped), (case.answer, case.dropped), "{file}: {}", case.name);
            }
        }
    }
}

#[test]
fn errors_of_the_backend_lose_the_prefix() {
    let route = surfaces().classify("chroma.test", "POST", "/api/v2/tenants/default_tenant/databases/default_database/collections/11111111-2222-3333-4444-555555555555/add").unwrap();
    let acme = TenantId::parse("acme").unwrap();
    assert!(rewrite::verifies(&route, 400) && !rewrite::verifies(&route, 201));
    let verified = rewrite::response(
        &route,
        &acme,
        &Memo::default(),
        400,
        br#"{"error":"X","message":"duplicate id acme:a","trace":"acme:a"}"#,
    )
    .unwrap();
    assert_eq!(verified.body.unwrap(), br#"{"error":"X","message":"duplicate id a"}"#);
    assert!(rewrite::response(&route, &acme, &Memo::default(), 500, b"<html>").is_err());
}

//! Who is it? Token cases natively and through Envoy, credentials in odd places, revocation.

use partywall_core::identity::{HostCrypto, NoHostCrypto, Tenants, Verifier};
use partywall_core::snapshot::wire::{self, Alg};
use partywall_core::tenant::{TenantId, TenantStatus};
use partywall_tests::stack::Stack;
use partywall_tests::tokens::{Case, policy};
use partywall_tests::{cases, mint};
use serde_json::json;
use std::sync::OnceLock;

fn stack() -> &'static Stack {
    static STACK: OnceLock<Stack> = OnceLock::new();
    STACK.get_or_init(|| {
        let stack = Stack::builder("identity").policy(&policy()).start().unwrap();
        stack.api("PATCH", "/v1/tenants/sleepy", Some(&json!({"status": "suspended"}))).unwrap();
        stack.converge().unwrap();
        stack
    })
}

/// The snapshot that the control plane would publish, compiled natively.
fn native() -> (Verifier, Tenants) {
    let raw = |jwk: &serde_json::Value| serde_json::value::to_raw_value(jwk).unwrap();
    let algs = [("RS256", Alg::RS256), ("PS256", Alg::PS256), ("ES256", Alg::ES256), ("EdDSA", Alg::EdDSA)];
    let keys =
        algs.map(|(name, alg)| wire::Key { kid: Some(format!("key-{name}")), alg, jwk: raw(&mint::public_key(name)) });
    use base64::Engine as _;
    let k = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(mint::SECRET);
    let secret = wire::Key { kid: None, alg: Alg::HS256, jwk: raw(&json!({"kty": "oct", "k": k})) };
    let issuer =
        |name: &str, keys| wire::Issuer { issuer: name.to_owned(), audiences: vec!["partywall".to_owned()], keys };
    let identity = wire::Identity {
        header: None,
        tenant_claim: "org_id".to_owned(),
        leeway_s: 30,
        issuers: vec![issuer("https://keys.test", keys.to_vec()), issuer("https://idp.test", vec![secret])],
    };
    let tenant = |id: &str, status| wire::Tenant { id: TenantId::parse(id).unwrap(), status, tokens_not_before: 0 };
    let tenants = [
        tenant("acme", TenantStatus::Active),
        tenant("beta", TenantStatus::Active),
        tenant("sleepy", TenantStatus::Suspended),
    ];
    (Verifier::compile(&identity).unwrap(), Tenants::new(&tenants))
}

#[test]
fn token_cases_natively() {
    let (verifier, tenants) = native();
    let cases = cases::load::<Case>("tokens");
    assert!(cases.len() >= 40);
    for (file, case) in cases {
        let verdict = verifier.verify(&case.token(), &tenants, mint::now(), &NoHostCrypto);
        let got = verdict.map_or_else(|code| code.as_str(), |_| "bound");
        assert_eq!(got, case.expect, "{file}: {}", case.name);
    }
}

#[test]
fn token_cases_through_envoy() {
    let stack = stack();
    for (file, case) in cases::load::<Case>("tokens") {
        let response = stack.llm("GET", "/v1/models").bearer(&case.token()).send(stack.edge).unwrap();
        // A token with characters that none has is refused all the same.
        let got = if response.status == 200 { "bound" } else { response.code().unwrap_or("–") };
        assert_eq!(got, case.expect, "{file}: {}: {}", case.name, response.text());
    }
}

/// A host that verifies, so that both ways can be compared.
struct Recording(std::cell::Cell<u32>);

impl HostCrypto for Recording {
    fn verify(&self, _: Alg, spki: &[u8], _: &[u8], signature: &[u8]) -> Option<bool> {
        assert!(spki.starts_with(&[0x30]) && !signature.is_empty());
        self.0.set(self.0.get() + 1);
        Some(false)
    }
}

#[test]
fn the_hosts_no_is_final() {
    let (verifier, tenants) = native();
    let host = Recording(std::cell::Cell::new(0));
    for algorithm in ["RS256", "ES256"] {
        let mut claims = mint::claims("acme");
        claims["iss"] = json!("https://keys.test");
        let token = mint::sign(algorithm, &json!({"alg": algorithm}), &claims);
        assert!(verifier.verify(&token, &tenants, mint::now(), &NoHostCrypto).is_ok());
        assert!(verifier.verify(&token, &tenants, mint::now(), &host).is_err(), "{algorithm}");
    }
    assert_eq!(host.0.get(), 2, "the host was asked for RS256 and ES256");
}

#[test]
fn one_token_in_one_place() {
    let stack = stack();
    let token = mint::token("acme");
    let get = || stack.llm("GET", "/v1/models");
    let code = |request: partywall_tests::http::Request| {
        let response = request.send(stack.edge).unwrap();
        response.code().unwrap_or(if response.status == 200 { "bound" } else { "–" }).to_owned()
    };
    assert_eq!(code(get().header("x-api-key", &token)), "bound");
    assert_eq!(code(get().header("x-api-key", &format!("Bearer {token}"))), "bound");
    assert_eq!(code(get().header("authorization", &format!("bearer {token}"))), "bound");
    assert_eq!(code(get().header("authorization", &token)), "token_invalid");
    assert_eq!(code(get().header("authorization", "Basic dXNlcjpwYXNz")), "token_invalid");
    assert_eq!(code(get().bearer(&token).bearer(&token)), "token_ambiguous");
    assert_eq!(code(get().bearer(&token).header("x-api-key", &token)), "token_ambiguous");
    assert_eq!(code(get().header("authorization", &format!("Bearer {token}, Bearer {token}"))), "token_ambiguous");
    assert_eq!(code(get().header("x-tenant-token", &token)), "token_missing");
    assert_eq!(code(get().header("authorization", "")), "token_missing");
    assert_eq!(code(get().bearer(&"a".repeat(20_000))), "token_invalid");
}

#[test]
fn our_headers_are_ours() {
    let stack = &Stack::builder("headers").policy(&policy()).start().unwrap();
    let request = stack.llm("GET", "/v1/models").bearer(&mint::token("acme"));
    let request = request
        .header("X-Partywall-Tenant", "beta")
        .header("x-partywall-admin", "yes")
        .header("X-HTTP-Method-Override", "DELETE")
        .header("es-security-runas-user", "beta");
    let response = request
        .header("x-envoy-original-path", "/v1/files")
        .header("x-original-url", "/v1/files")
        .header("X-OpenAI-BaseURL", "https://attacker.test")
        .send(stack.edge)
        .unwrap();
    assert_eq!(response.status, 200);
    let seen = stack.llm.last().unwrap();
    assert_eq!(seen.headers.iter().filter(|(name, _)| name == "x-partywall-tenant").count(), 1);
    assert_eq!(seen.header("x-partywall-tenant"), Some("acme"));
    assert_eq!(seen.header("x-partywall-subject"), Some("user-of-acme"));
    assert_eq!(seen.header("accept-encoding"), Some("identity"));
    for gone in [
        "x-partywall-admin",
        "x-http-method-override",
        "x-original-url",
        "x-envoy-original-path",
        "es-security-runas-user",
        "x-openai-baseurl",
    ] {
        assert_eq!(seen.header(gone), None, "{gone}");
    }
}

#[test]
fn every_request_is_verified_anew() {
    let stack = Stack::builder("revoke").start().unwrap();
    let mut claims = mint::claims("acme");
    claims["iat"] = json!(mint::now() - 5);
    let token = mint::sign("HS256", &json!({"alg": "HS256"}), &claims);
    let status = |token: &str| {
        let response = stack.llm("GET", "/v1/models").bearer(token).send(stack.edge).unwrap();
        response.code().unwrap_or("served").to_owned()
    };
    assert_eq!(status(&token), "served");
    stack.api("PATCH", "/v1/tenants/acme", Some(&json!({"status": "suspended"}))).unwrap();
    stack.converge().unwrap();
    assert_eq!(status(&token), "tenant_suspended");
    stack.api("PATCH", "/v1/tenants/acme", Some(&json!({"status": "active"}))).unwrap();
    stack.converge().unwrap();
    assert_eq!(status(&token), "served");
    stack.api("POST", "/v1/tenants/acme/revoke-tokens", None).unwrap();
    stack.converge().unwrap();
    assert_eq!(status(&token), "token_invalid", "issued before the revocation");
    let mut short = mint::claims("beta");
    short["exp"] = json!(mint::now() - 29);
    let dying = mint::sign("HS256", &json!({"alg": "HS256"}), &short);
    assert_eq!(status(&dying), "served", "within the leeway");
    std::thread::sleep(std::time::Duration::from_millis(2100));
    assert_eq!(status(&dying), "token_expired");
}

//! Identity: heads, keys and tokens. A token whose signature is wrong never binds a tenant; one that we signed binds what
//! serde_json reads in it, or nothing.
#![no_main]

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use libfuzzer_sys::fuzz_target;
use partywall_core::identity::{Credentials, NoHostCrypto, TenantClaim, Tenants, Verifier, check_key};
use partywall_core::snapshot::SecretKey;
use partywall_core::snapshot::wire::{Alg, Identity, Issuer, Key, Tenant};
use partywall_core::tenant::TenantStatus;
use partywall_core_fuzz::{byte, tenant};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

const NOW: u64 = 1_700_000_000;
const LEEWAY: u64 = 30;
const SECRET: &[u8; 32] = b"a secret of exactly 32 bytes, ok";
const ALGS: [Alg; 5] = [Alg::RS256, Alg::PS256, Alg::ES256, Alg::EdDSA, Alg::HS256];

fn raw(value: &Value) -> Box<RawValue> {
    RawValue::from_string(value.to_string()).expect("a document")
}

/// A key per algorithm; of all but the last nobody knows the private half.
fn keys() -> Vec<Key> {
    let mut modulus = vec![0xff; 256];
    modulus[100] = 7;
    let ed = SecretKey::from_seed(&[9; 32]).expect("a seed").public().to_base64();
    let ed = URL_SAFE_NO_PAD.encode(STANDARD.decode(ed).expect("base64"));
    let rsa = json!({"kty": "RSA", "n": URL_SAFE_NO_PAD.encode(modulus), "e": "AQAB"});
    // The curve's base point.
    let x = hex::decode("6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296").expect("hex");
    let y = hex::decode("4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5").expect("hex");
    let ec = json!({"kty": "EC", "crv": "P-256", "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y)});
    let okp = json!({"kty": "OKP", "crv": "Ed25519", "x": ed});
    let oct = json!({"kty": "oct", "k": URL_SAFE_NO_PAD.encode(SECRET)});
    let jwks = [rsa.clone(), rsa, ec, okp, oct];
    ALGS.iter().zip(jwks).map(|(alg, jwk)| Key { kid: None, alg: *alg, jwk: raw(&jwk) }).collect()
}

fn identity(keys: Vec<Key>, claim: &str) -> Identity {
    let issuer = Issuer { issuer: "i".into(), audiences: vec!["a".into(), "b".into()], keys };
    Identity { header: Some("x-token".into()), tenant_claim: claim.into(), leeway_s: LEEWAY, issuers: vec![issuer] }
}

fn tenants() -> Tenants {
    let one = |id, status, tokens_not_before| Tenant { id: tenant(id), status, tokens_not_before };
    Tenants::new(&[
        one("acme", TenantStatus::Active, 0),
        one("late", TenantStatus::Active, NOW - 10),
        one("gone", TenantStatus::Suspended, 0),
    ])
}

fn hmac(message: &[u8]) -> Vec<u8> {
    let pad = |with: u8| {
        let mut block = [with; 64];
        block.iter_mut().zip(SECRET).for_each(|(b, s)| *b ^= s);
        block
    };
    let inner = Sha256::digest([pad(0x36).as_slice(), message].concat());
    Sha256::digest([pad(0x5c).as_slice(), &inner].concat()).to_vec()
}

thread_local! {
    static FLAT: Verifier = Verifier::compile(&identity(keys(), "org_id")).expect("our own identity");
    static DEEP: Verifier = Verifier::compile(&identity(keys(), "/realm/a~1b")).expect("our own identity");
    static TENANTS: Tenants = tenants();
}

/// The input's lines, at most so many; the last has the rest.
fn lines(input: &[u8], most: usize) -> Vec<&[u8]> {
    input.splitn(most, |b| *b == b'\n').collect()
}

/// A head: one header a line, name and value parted by `:`.
fn head(input: &[u8]) {
    let headers: Vec<(Vec<u8>, Vec<u8>)> = lines(input, 16)
        .into_iter()
        .map(|line| {
            let at = line.iter().position(|b| *b == b':').unwrap_or(line.len());
            (line[..at].to_vec(), line.get(at + 1..).unwrap_or_default().to_vec())
        })
        .collect();
    if let Ok(token) = Credentials::collect(&headers, Some("x-token")) {
        assert!(["authorization", "x-api-key", "x-token"].contains(&token.header()));
        assert!(!token.token().is_empty() && token.token().is_ascii());
        let _ = DEEP.with(|v| TENANTS.with(|t| v.verify(token.token(), t, NOW, &NoHostCrypto)));
    }
}

/// A key of arbitrary text; where it is usable, it verifies nothing that it did not sign.
fn key(alg: Alg, input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let Ok(jwk) = RawValue::from_string(text.to_owned()) else { return };
    let key = Key { kid: Some("k".into()), alg, jwk };
    let usable = check_key(&key).is_ok();
    let compiled = Verifier::compile(&identity(vec![key], "org_id"));
    assert_eq!(usable, compiled.is_ok());
    let Ok(verifier) = compiled else { return };
    let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let header = part(json!({"alg": format!("{alg:?}"), "kid": "k"}));
    let claims = part(json!({"iss": "i", "aud": "a", "exp": NOW + 60, "org_id": "acme"}));
    for len in [0, 32, 64, 256] {
        let token = format!("{header}.{claims}.{}", URL_SAFE_NO_PAD.encode(vec![1; len]));
        assert!(TENANTS.with(|t| verifier.verify(&token, t, NOW, &NoHostCrypto)).is_err(), "a forged signature passes");
    }
}

/// Header and claims are lines of the input; signed by us, or with the third line as the signature.
fn token(sign: bool, deep: bool, input: &[u8]) {
    let parts = lines(input, 3);
    let [header, claims] = [0, 1].map(|at| parts.get(at).copied().unwrap_or_default());
    let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let ours = hmac(message.as_bytes());
    let signature = if sign { ours.clone() } else { parts.get(2).map(|s| s.to_vec()).unwrap_or_default() };
    let token = format!("{message}.{}", URL_SAFE_NO_PAD.encode(&signature));
    let judge = |v: &Verifier| TENANTS.with(|t| v.verify(&token, t, NOW, &NoHostCrypto));
    let Ok(bound) = (if deep { DEEP.with(judge) } else { FLAT.with(judge) }) else { return };
    assert_eq!(signature, ours, "a forged signature passes");
    let claims: Value = serde_json::from_slice(claims).expect("claims that are JSON");
    let header: Value = serde_json::from_slice(header).expect("a header that is JSON");
    assert_eq!(header["alg"], "HS256");
    assert_eq!(claims["iss"], "i");
    let meant = |value: &Value| value == "a" || value == "b";
    assert!(meant(&claims["aud"]) || claims["aud"].as_array().is_some_and(|list| list.iter().any(meant)));
    let named = if deep { &claims["realm"]["a/b"] } else { &claims["org_id"] };
    assert_eq!(named, bound.tenant.as_str());
    assert!(["acme", "late"].contains(&bound.tenant.as_str()));
    assert_eq!(claims["exp"].as_f64().map(|exp| exp as u64), Some(bound.expires_at as f64 as u64));
    assert!(bound.expires_at.saturating_add(LEEWAY) > NOW, "an expired token passes");
    assert!(claims["nbf"].as_f64().is_none_or(|nbf| nbf < (NOW + LEEWAY + 1) as f64), "a token of the future passes");
    assert!(bound.tenant.as_str() == "acme" || claims["iat"].as_f64().is_some_and(|iat| iat >= (NOW - 10) as f64));
}

fuzz_target!(|input: &[u8]| {
    let mut rest = input;
    let mode = byte(&mut rest);
    match mode & 7 {
        0 => head(rest),
        1 | 2 => key(ALGS[usize::from(mode >> 3) % ALGS.len()], rest),
        3 => {
            let Ok(text) = std::str::from_utf8(rest) else { return };
            let _ = TenantClaim::parse(text);
            // As it came, without three parts that decode.
            assert!(FLAT.with(|v| TENANTS.with(|t| v.verify(text, t, NOW, &NoHostCrypto))).is_err() || text.len() > 40);
        }
        4 => token(false, mode & 8 != 0, rest),
        _ => token(true, mode & 8 != 0, rest),
    }
});

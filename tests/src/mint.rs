//! Tokens, signed as identity providers sign them. The keys in `tests/data/keys` are for tests only.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jwt_compact::Algorithm;
use jwt_compact::alg::{Ed25519, Es256, Hs256, Hs256Key, Rsa, RsaPrivateKey};
use jwt_compact::jwk::JsonWebKey;
use serde_json::{Value, json};
use std::time::{SystemTime, UNIX_EPOCH};

/// The demo's shared secret.
pub const SECRET: &str = "a-secret-that-only-the-demo-uses-0123456789";

/// Unix time in seconds.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Claims that the demo's policy accepts.
pub fn claims(tenant: &str) -> Value {
    json!({"iss": "https://idp.test", "aud": "partywall", "org_id": tenant, "sub": format!("user-of-{tenant}"),
        "iat": now(), "exp": now() + 600})
}

/// A token of a tenant under the demo's secret.
pub fn token(tenant: &str) -> String {
    sign("HS256", &json!({"alg": "HS256", "typ": "JWT"}), &claims(tenant))
}

/// A test key, private, as a JWK.
pub fn key(algorithm: &str) -> Value {
    let file = match algorithm {
        "RS256" | "PS256" => "rsa.json",
        "ES256" => "p256.json",
        _ => "ed25519.json",
    };
    let path = crate::process::root().join("tests/data/keys").join(file);
    serde_json::from_slice(&std::fs::read(path).expect("a test key")).expect("a JWK")
}

/// The public half of a test key.
pub fn public_key(algorithm: &str) -> Value {
    let mut jwk = key(algorithm);
    if let Some(members) = jwk.as_object_mut() {
        members.retain(|name, _| ["kty", "n", "e", "crv", "x", "y"].contains(&name.as_str()));
        members.insert("alg".to_owned(), json!(algorithm));
        members.insert("kid".to_owned(), json!(format!("key-{algorithm}")));
        members.insert("use".to_owned(), json!("sig"));
    }
    jwk
}

/// A token with these header and claims, whatever they say, signed by the algorithm's test key.
pub fn sign(algorithm: &str, header: &Value, claims: &Value) -> String {
    sign_raw(algorithm, header.to_string().as_bytes(), claims.to_string().as_bytes())
}

/// As [`sign`], of exactly these bytes.
pub fn sign_raw(algorithm: &str, header: &[u8], claims: &[u8]) -> String {
    let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let signature = signature(algorithm, message.as_bytes());
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
}

fn signature(algorithm: &str, message: &[u8]) -> Vec<u8> {
    fn with<A: Algorithm>(algorithm: &A, key: &A::SigningKey, message: &[u8]) -> Vec<u8>
    where
        A::Signature: jwt_compact::AlgorithmSignature,
    {
        use jwt_compact::AlgorithmSignature as _;
        algorithm.sign(key, message).as_bytes().into_owned()
    }
    if algorithm == "HS256" {
        return with(&Hs256, &Hs256Key::new(SECRET), message);
    }
    let jwk: JsonWebKey<'_> = serde_json::from_value(key(algorithm)).expect("a JWK");
    match algorithm {
        "RS256" => with(&Rsa::rs256(), &RsaPrivateKey::try_from(&jwk).expect("a key"), message),
        "PS256" => with(&Rsa::ps256(), &RsaPrivateKey::try_from(&jwk).expect("a key"), message),
        "ES256" => with(&Es256, &(&jwk).try_into().expect("a key"), message),
        "EdDSA" => with(&Ed25519, &(&jwk).try_into().expect("a key"), message),
        _ => Vec::new(),
    }
}

//! The token cases, and the policy under which they are judged.

use crate::mint;
use serde::Deserialize;
use serde_json::{Value, json};

/// A token, and what must become of it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// What it is about.
    pub name: String,
    algorithm: String,
    header: Option<String>,
    claims: Option<String>,
    raw_header: Option<String>,
    raw_claims: Option<String>,
    mutate: Option<String>,
    /// The refusal's code, or `bound`.
    pub expect: String,
}

const ALGORITHMS: [&str; 4] = ["RS256", "PS256", "ES256", "EdDSA"];

/// The demo's policy with a second issuer, `https://keys.test`, that publishes the test keys.
pub fn policy() -> String {
    let keys: Vec<Value> = ALGORITHMS.iter().map(|algorithm| mint::public_key(algorithm)).collect();
    let issuer = json!({"issuer": "https://keys.test", "audiences": ["partywall"], "algorithms": ALGORITHMS, "jwks": {"keys": keys}});
    // A JSON object is YAML too.
    crate::stack::demo_policy().replace("  issuers:\n", &format!("  issuers:\n    - {issuer}\n")) + "  - id: sleepy\n"
}

fn merge(mut base: Value, over: &Option<String>) -> Value {
    let over: Value = over.as_ref().map(|text| serde_json::from_str(text).expect("JSON in a case")).unwrap_or_default();
    for (name, value) in over.as_object().into_iter().flatten() {
        if let Some(members) = base.as_object_mut() {
            if value.is_null() {
                members.remove(name)
            } else {
                members.insert(name.clone(), value.clone())
            };
        }
    }
    base
}

impl Case {
    /// The case's token.
    pub fn token(&self) -> String {
        let issuer = if self.algorithm == "HS256" { "https://idp.test" } else { "https://keys.test" };
        let mut claims = mint::claims("acme");
        claims["iss"] = json!(issuer);
        let header =
            merge(json!({"alg": self.algorithm, "typ": "JWT", "kid": format!("key-{}", self.algorithm)}), &self.header);
        let header =
            if self.algorithm == "HS256" { merge(header, &Some(r#"{"kid": null}"#.to_owned())) } else { header };
        let header = self.raw_header.clone().unwrap_or_else(|| header.to_string());
        let claims = self.raw_claims.clone().unwrap_or_else(|| merge(claims, &self.claims).to_string());
        let token = mint::sign_raw(&self.algorithm, header.as_bytes(), claims.as_bytes());
        match self.mutate.as_deref() {
            None => token,
            Some("flip") => {
                let at = token.len() - 10;
                let other = if token.as_bytes()[at] == b'A' { "B" } else { "A" };
                format!("{}{other}{}", &token[..at], &token[at + 1..])
            }
            Some("cut") => token[..token.len() - 4].to_owned(),
            Some("pad") => token + "==",
            Some("extend") => token + ".AAAA",
            Some("strip") => token.rsplit_once('.').map(|(rest, _)| format!("{rest}.")).unwrap_or_default(),
            Some("swap") => {
                let other = mint::sign("RS256", &json!({"alg": "RS256"}), &mint::claims("beta"));
                let (parts, others): (Vec<&str>, Vec<&str>) = (token.split('.').collect(), other.split('.').collect());
                format!("{}.{}.{}", parts[0], others[1], parts[2])
            }
            Some(other) => panic!("unknown mutation {other}"),
        }
    }
}

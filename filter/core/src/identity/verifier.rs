//! Judging a token.

use super::claims::Claims;
use super::keys::{Key, KeyError};
use super::{HostCrypto, TenantClaim, Tenants};
use crate::error::Code;
use crate::json::{self, Value};
use crate::snapshot::wire::{self, Alg};
use crate::tenant::TenantId;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// The most keys that are tried for a token without `kid`.
const MAX_TRIES: usize = 8;

/// Whose request this is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BoundTenant {
    /// The tenant.
    pub tenant: TenantId,
    /// The token's `sub`.
    pub subject: Option<String>,
    /// The token's `exp`, in seconds since 1970.
    pub expires_at: u64,
}

struct Issuer {
    issuer: String,
    audiences: Vec<String>,
    keys: Vec<Key>,
}

/// How tokens become tenants, compiled.
pub struct Verifier {
    header: Option<String>,
    claim: TenantClaim,
    leeway: u64,
    issuers: Vec<Issuer>,
}

/// Why an identity configuration is unusable: the field, and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifierError(pub String);

impl std::fmt::Display for VerifierError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for VerifierError {}

impl Verifier {
    /// Compiles an identity configuration. An issuer without keys is allowed: it verifies nothing yet.
    ///
    /// # Errors
    /// [`VerifierError`] names the field.
    pub fn compile(identity: &wire::Identity) -> Result<Self, VerifierError> {
        let bad = |field: &str, why: &str| Err(VerifierError(format!("identity.{field}: {why}")));
        let Some(claim) = TenantClaim::parse(&identity.tenant_claim) else {
            return bad("tenant_claim", "must be a claim's name or a JSON pointer");
        };
        if identity.leeway_s > 600 {
            return bad("leeway", "must be at most 600 seconds");
        }
        let token = |name: &str| {
            !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        };
        if identity.header.as_deref().is_some_and(|name| !token(name) || name.starts_with("x-partywall-")) {
            return bad("header", "must be a lower-case header name, and none of ours");
        }
        if identity.issuers.is_empty() {
            return bad("issuers", "must name at least one issuer");
        }
        let mut issuers: Vec<Issuer> = Vec::new();
        for issuer in &identity.issuers {
            if issuer.issuer.is_empty() || issuers.iter().any(|known| known.issuer == issuer.issuer) {
                return bad("issuers", "every issuer needs a name of its own");
            }
            if issuer.audiences.is_empty() || issuer.audiences.iter().any(String::is_empty) {
                return bad("issuers.audiences", "must name at least one audience");
            }
            let compiled = issuer.keys.iter().map(|key| {
                Key::compile(key).map_err(|error: KeyError| {
                    VerifierError(format!(
                        "identity.issuers.keys (kid {:?}): {error}",
                        key.kid.as_deref().unwrap_or("–")
                    ))
                })
            });
            issuers.push(Issuer {
                issuer: issuer.issuer.clone(),
                audiences: issuer.audiences.clone(),
                keys: compiled.collect::<Result<_, _>>()?,
            });
        }
        Ok(Self { header: identity.header.clone(), claim, leeway: identity.leeway_s, issuers })
    }

    /// The further header that may carry a token.
    pub fn header(&self) -> Option<&str> {
        self.header.as_deref()
    }

    /// Judges a token at `now` (seconds since 1970).
    ///
    /// # Errors
    /// The code with which to refuse the request.
    pub fn verify(&self, token: &str, tenants: &Tenants, now: u64, host: &dyn HostCrypto) -> Result<BoundTenant, Code> {
        let invalid = Code::TokenInvalid;
        let (message, signature) = token.rsplit_once('.').ok_or(invalid)?;
        let (header, payload) = message.split_once('.').ok_or(invalid)?;
        // This engine refuses padding and stray trailing bits, so a token has one spelling.
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| invalid);
        let (header, payload, signature) = (decode(header)?, decode(payload)?, decode(signature)?);
        let (alg, kid) = head(&header)?;
        let claims = Claims::parse(&payload)?;
        // Not verified yet: it only chooses whose keys must have signed.
        let name = claims.text("iss")?.ok_or(invalid)?;
        let issuer = self.issuers.iter().find(|issuer| issuer.issuer == name).ok_or(invalid)?;
        let fits = |key: &&Key| key.alg == alg && (kid.is_none() || key.kid.is_none() || key.kid == kid);
        let mut candidates = issuer.keys.iter().filter(fits).take(MAX_TRIES);
        if !candidates.any(|key| key.verify(message.as_bytes(), &signature, host)) {
            return Err(invalid);
        }
        if !claims.audience(&issuer.audiences) {
            return Err(invalid);
        }
        let (expires_at, issued) = claims.times(now, self.leeway)?;
        let tenant = claims.tenant(&self.claim)?;
        let subject = claims.text("sub")?;
        tenants.admit(&tenant, issued)?;
        Ok(BoundTenant { tenant, subject, expires_at })
    }
}

/// A token's header: the algorithm and the key's id. What brings a key along, or demands what we do not know, is refused.
fn head(header: &[u8]) -> Result<(Alg, Option<String>), Code> {
    let invalid = Code::TokenInvalid;
    let document = json::parse(header).map_err(|_| invalid)?;
    let Value::Object(members, _) = &document else { return Err(invalid) };
    let (mut alg, mut kid) = (None, None);
    for (key, value) in members {
        let text = match value {
            Value::String(text, _) => Some(text.decode()),
            _ => None,
        };
        match (key.decode().as_ref(), text.as_deref()) {
            ("alg", Some("RS256")) => alg = Some(Alg::RS256),
            ("alg", Some("PS256")) => alg = Some(Alg::PS256),
            ("alg", Some("ES256")) => alg = Some(Alg::ES256),
            ("alg", Some("EdDSA")) => alg = Some(Alg::EdDSA),
            ("alg", Some("HS256")) => alg = Some(Alg::HS256),
            ("kid", Some(text)) => kid = Some(text.to_owned()),
            ("typ", Some(typ)) if typ.eq_ignore_ascii_case("jwt") || typ.eq_ignore_ascii_case("at+jwt") => {}
            ("alg" | "kid" | "typ" | "crit" | "jwk" | "jku" | "x5u" | "x5c" | "b64" | "zip" | "cty", _) => {
                return Err(invalid);
            }
            _ => {}
        }
    }
    Ok((alg.ok_or(invalid)?, kid))
}

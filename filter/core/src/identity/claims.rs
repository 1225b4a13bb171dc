//! What a token says: read strictly, judged in whole seconds.

use crate::error::Code;
use crate::json::{self, Value};
use crate::tenant::TenantId;

/// Where the tenant stands in the claims.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TenantClaim(Vec<String>);

impl TenantClaim {
    /// A claim's name (`org_id`) or a JSON pointer (`/realm/org`); `None` when it is neither.
    pub fn parse(text: &str) -> Option<Self> {
        let path: Vec<String> = match text.strip_prefix('/') {
            None => vec![text.to_owned()],
            Some(rest) => rest.split('/').map(|part| part.replace("~1", "/").replace("~0", "~")).collect(),
        };
        path.iter().all(|part| !part.is_empty()).then_some(Self(path))
    }
}

/// The claims of a token whose signature was right.
pub(super) struct Claims<'a>(Value<'a>);

impl<'a> Claims<'a> {
    pub(super) fn parse(payload: &'a [u8]) -> Result<Self, Code> {
        match json::parse(payload).map_err(|_| Code::TokenInvalid)? {
            object @ Value::Object(..) => Ok(Self(object)),
            _ => Err(Code::TokenInvalid),
        }
    }

    pub(super) fn text(&self, name: &str) -> Result<Option<String>, Code> {
        match self.0.member(name) {
            None => Ok(None),
            Some(Value::String(text, _)) => Ok(Some(text.decode().into_owned())),
            Some(_) => Err(Code::TokenInvalid),
        }
    }

    /// Seconds since 1970; fractions are cut off.
    fn seconds(&self, name: &str) -> Result<Option<u64>, Code> {
        let raw = match self.0.member(name) {
            None => return Ok(None),
            Some(Value::Number(raw)) => std::str::from_utf8(raw).map_err(|_| Code::TokenInvalid)?,
            Some(_) => return Err(Code::TokenInvalid),
        };
        let whole = raw.split_once('.').map_or(raw, |(whole, _)| whole);
        whole.parse().map(Some).map_err(|_| Code::TokenInvalid)
    }

    /// `exp` is required, `nbf` and `iat` are honoured. Returns `exp` and `iat`.
    pub(super) fn times(&self, now: u64, leeway: u64) -> Result<(u64, Option<u64>), Code> {
        let expires = self.seconds("exp")?.ok_or(Code::TokenInvalid)?;
        let issued = self.seconds("iat")?;
        if now >= expires.saturating_add(leeway) {
            return Err(Code::TokenExpired);
        }
        let begins = [self.seconds("nbf")?, issued].into_iter().flatten().max().unwrap_or(0);
        if begins > now.saturating_add(leeway) {
            return Err(Code::TokenNotYetValid);
        }
        Ok((expires, issued))
    }

    /// Whether one of the audiences is meant.
    pub(super) fn audience(&self, audiences: &[String]) -> bool {
        let meant = |value: &Value<'_>| matches!(value, Value::String(text, _) if audiences.iter().any(|a| *a == text.decode()));
        match self.0.member("aud") {
            Some(Value::Array(items, _)) => items.iter().any(meant),
            Some(value) => meant(value),
            None => false,
        }
    }

    /// The tenant.
    pub(super) fn tenant(&self, claim: &TenantClaim) -> Result<TenantId, Code> {
        let mut at = Some(&self.0);
        for part in &claim.0 {
            at = at.and_then(|value| value.member(part));
        }
        match at {
            Some(Value::String(text, _)) => TenantId::parse(&text.decode()).map_err(|_| Code::TenantClaimInvalid),
            _ => Err(Code::TenantClaimInvalid),
        }
    }
}

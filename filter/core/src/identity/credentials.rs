//! Where a token may be: `authorization: Bearer`, `x-api-key`, or one configured header. In one place, once.

use crate::error::Code;

/// The longest token that is read, in bytes.
const MAX: usize = 16 * 1024;
const AUTHORIZATION: &str = "authorization";
const API_KEY: &str = "x-api-key";

/// Finds tokens in heads.
pub struct Credentials;

/// A token as it came.
#[derive(Debug, PartialEq, Eq)]
pub struct Token<'h> {
    token: &'h str,
    header: String,
}

impl<'h> Token<'h> {
    /// The token.
    pub fn token(&self) -> &'h str {
        self.token
    }

    /// The header that carried it, lower case.
    pub fn header(&self) -> &str {
        &self.header
    }
}

impl Credentials {
    /// The one token of a head; `extra` is the configured header.
    ///
    /// # Errors
    /// [`Code::TokenMissing`], [`Code::TokenAmbiguous`] for several in any places, [`Code::TokenInvalid`] for what cannot
    /// be a token.
    pub fn collect<'h>(headers: &'h [(Vec<u8>, Vec<u8>)], extra: Option<&str>) -> Result<Token<'h>, Code> {
        let mut found = None;
        for (name, value) in headers {
            let Ok(name) = std::str::from_utf8(name) else { continue };
            if name != AUTHORIZATION && name != API_KEY && Some(name) != extra {
                continue;
            }
            if value.trim_ascii().is_empty() {
                continue;
            }
            if found.is_some() {
                return Err(Code::TokenAmbiguous);
            }
            found = Some((name, value));
        }
        let (name, value) = found.ok_or(Code::TokenMissing)?;
        let value = std::str::from_utf8(value).map_err(|_| Code::TokenInvalid)?.trim_matches([' ', '\t']);
        if value.len() > MAX {
            return Err(Code::TokenInvalid);
        }
        // A proxy on the way may have joined repeated headers.
        if value.contains(',') {
            return Err(Code::TokenAmbiguous);
        }
        let token = match value.split_once(' ') {
            Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => token,
            None if name != AUTHORIZATION => value,
            _ => return Err(Code::TokenInvalid),
        };
        let clean = token.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
        if token.is_empty() || !clean {
            return Err(Code::TokenInvalid);
        }
        Ok(Token { token, header: name.to_owned() })
    }
}

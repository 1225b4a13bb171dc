//! Who owns what: the tenant's identifier and its standing.
//!
//! An identifier becomes part of namespaces, record ids, header values and metric labels, so its alphabet is
//! strict: ASCII letters, digits, `_` and `-`, beginning with a letter or digit, at most 63 bytes. None of the
//! separators that any backend gives a meaning to (`/ : . * , ; %`, space) can occur in one.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A tenant's identifier, known to be well formed. Compared byte for byte: `Acme` is not `acme`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TenantId(String);

/// Why a string is no tenant identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadTenantId {
    /// The empty string.
    Empty,
    /// More than [`TenantId::MAX_LEN`] bytes.
    TooLong,
    /// A byte outside the alphabet, or a first byte that is no letter or digit.
    Alphabet,
}

impl TenantId {
    /// The longest identifier, in bytes.
    pub const MAX_LEN: usize = 63;

    /// Parses an identifier.
    ///
    /// # Errors
    /// [`BadTenantId`] says which rule the text breaks.
    pub fn parse(text: &str) -> Result<Self, BadTenantId> {
        let bytes = text.as_bytes();
        let Some(first) = bytes.first() else { return Err(BadTenantId::Empty) };
        if bytes.len() > Self::MAX_LEN {
            return Err(BadTenantId::TooLong);
        }
        let inside = |b: &u8| b.is_ascii_alphanumeric() || *b == b'_' || *b == b'-';
        if !first.is_ascii_alphanumeric() || !bytes.iter().all(inside) {
            return Err(BadTenantId::Alphabet);
        }
        Ok(Self(text.to_owned()))
    }

    /// The identifier as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Reads the owners' names of a segment: each its length and its bytes, ascending, so many and nothing else.
pub(crate) fn read_names(mut bytes: &[u8], count: usize) -> Option<Vec<TenantId>> {
    let mut names = Vec::new();
    for _ in 0..count {
        let (len, rest) = bytes.split_first()?;
        let (name, rest) = rest.split_at_checked(usize::from(*len))?;
        names.push(TenantId::parse(std::str::from_utf8(name).ok()?).ok()?);
        bytes = rest;
    }
    (bytes.is_empty() && names.is_sorted_by(|a, b| a < b)).then_some(names)
}

impl fmt::Display for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for BadTenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "a tenant id must not be empty",
            Self::TooLong => "a tenant id has at most 63 bytes",
            Self::Alphabet => "a tenant id has only A-Z a-z 0-9 _ - and begins with a letter or digit",
        })
    }
}

impl std::error::Error for BadTenantId {}

impl TryFrom<String> for TenantId {
    type Error = BadTenantId;
    fn try_from(text: String) -> Result<Self, BadTenantId> {
        Self::parse(&text)
    }
}

impl From<TenantId> for String {
    fn from(id: TenantId) -> Self {
        id.0
    }
}

/// Whether a tenant may be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TenantStatus {
    /// Served.
    Active,
    /// Known, and refused.
    Suspended,
    /// Refused for good: what it has is being deleted.
    Offboarding,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_alphabet_is_strict() {
        for good in ["acme", "beta_corp", "A1", "0x-1", &"a".repeat(63)] {
            assert!(TenantId::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "_a", "-a", "a/b", "a:b", "..", "a b", "a.b", "аcme", "a\0", "a\n", &"a".repeat(64)] {
            assert!(TenantId::parse(bad).is_err(), "{bad:?}");
        }
    }
}

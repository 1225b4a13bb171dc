//! Point ids, scoped to a tenant.
//!
//! Qdrant's ids are unsigned 64-bit numbers or UUIDs, and every UUID will do. A tenant's number `n` is the UUID of the tenant's
//! tag and `n`: it keeps the order of numbers and can be read back. A tenant's UUID is a hash of tenant and UUID; who finds
//! two with one value has broken SHA-256 cut to 128 bits. That cannot be read back, so the point carries its own id along.

use crate::json::{Value, write};
use sha2::{Digest, Sha256};

const NUMBER: &[u8] = b"partywall qdrant id v1\0";
const UUID: &[u8] = b"partywall qdrant uuid v1\0";

/// An id as its owner knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Id {
    Number(u64),
    Uuid([u8; 16]),
}

/// The ids of a tenant.
pub(super) struct Ids<'p> {
    tenant: &'p str,
    tag: [u8; 8],
}

impl Id {
    /// An id in a document.
    pub(super) fn read(value: &Value<'_>) -> Option<Self> {
        match value {
            Value::Number(raw) => number(std::str::from_utf8(raw).ok()?).map(Self::Number),
            Value::String(text, _) => read_uuid(&text.decode()).map(Self::Uuid),
            _ => None,
        }
    }

    /// An id in a path, where a number looks like a text.
    pub(super) fn parse(text: &str) -> Option<Self> {
        number(text).map(Self::Number).or_else(|| read_uuid(text).map(Self::Uuid))
    }

    /// Writes it as Qdrant does.
    pub(super) fn write(self, out: &mut Vec<u8>) {
        match self {
            Self::Number(n) => out.extend_from_slice(n.to_string().as_bytes()),
            Self::Uuid(bytes) => write::string(out, &write_uuid(bytes)),
        }
    }
}

impl<'p> Ids<'p> {
    pub(super) fn of(tenant: &'p str) -> Self {
        let [a, b, c, d, e, f, g, h, ..] = hash(&[NUMBER, tenant.as_bytes()]);
        Self { tenant, tag: [a, b, c, d, e, f, g, h] }
    }

    /// The id in the database.
    pub(super) fn scoped(&self, id: Id) -> [u8; 16] {
        match id {
            Id::Number(n) => {
                let ([a, b, c, d, e, f, g, h], [i, j, k, l, m, n, o, p]) = (self.tag, n.to_be_bytes());
                [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p]
            }
            Id::Uuid(bytes) => hash(&[UUID, self.tenant.as_bytes(), b"\0", &bytes]),
        }
    }

    /// Writes the id that the database has.
    pub(super) fn write(&self, out: &mut Vec<u8>, id: Id) {
        write::string(out, &write_uuid(self.scoped(id)));
    }

    /// The number that became this id of the database.
    pub(super) fn number(&self, scoped: &Value<'_>) -> Option<Id> {
        let Some(Id::Uuid(bytes)) = Id::read(scoped) else { return None };
        let (tag, n) = bytes.split_first_chunk::<8>()?;
        (*tag == self.tag).then_some(Id::Number(u64::from_be_bytes(n.try_into().ok()?)))
    }

    /// The tenant's id that became this id of the database; `kept` is the UUID that the point carries along.
    pub(super) fn own(&self, scoped: &Value<'_>, kept: Option<&Value<'_>>) -> Option<Id> {
        let Some(kept) = kept else { return self.number(scoped) };
        let own = Id::read(kept).filter(|id| matches!(id, Id::Uuid(_)))?;
        (Id::read(scoped)? == Id::Uuid(self.scoped(own))).then_some(own)
    }
}

fn hash(parts: &[&[u8]]) -> [u8; 16] {
    let mut hasher = Sha256::new();
    parts.iter().for_each(|part| hasher.update(part));
    let digest: [u8; 32] = hasher.finalize().into();
    digest.first_chunk::<16>().copied().unwrap_or_default()
}

fn number(text: &str) -> Option<u64> {
    // Rust's own parser takes a plus sign too.
    if text.bytes().all(|b| b.is_ascii_digit()) { text.parse().ok() } else { None }
}

/// Every spelling that Qdrant takes: with hyphens, without, in braces, as a URN; in either case.
fn read_uuid(text: &str) -> Option<[u8; 16]> {
    let inner = match text.len() {
        38 => text.strip_prefix('{')?.strip_suffix('}')?,
        45 => text.strip_prefix("urn:uuid:")?,
        _ => text,
    };
    let hyphen = |at: usize| matches!(at, 8 | 13 | 18 | 23);
    let digits: String = match inner.len() {
        36 if inner.bytes().enumerate().all(|(at, b)| (b == b'-') == hyphen(at)) => inner.replace('-', ""),
        32 if text.len() == 32 => inner.to_owned(),
        _ => return None,
    };
    // The parser of numbers takes a sign, so it is not asked alone.
    let hex = digits.bytes().all(|b| b.is_ascii_hexdigit());
    if hex { u128::from_str_radix(&digits, 16).ok().map(u128::to_be_bytes) } else { None }
}

fn write_uuid(id: [u8; 16]) -> String {
    let mut out = String::with_capacity(36);
    for (at, byte) in id.iter().enumerate() {
        if matches!(at, 4 | 6 | 8 | 10) {
            out.push('-');
        }
        out.push_str(&hex::encode([*byte]));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_a_uuid() {
        let all = [
            "550e8400-e29b-41d4-a716-446655440000",
            "550E8400-E29B-41D4-A716-446655440000",
            "550e8400e29b41d4a716446655440000",
            "{550e8400-e29b-41d4-a716-446655440000}",
            "urn:uuid:550e8400-e29b-41d4-a716-446655440000",
        ];
        let read: Vec<_> = all.iter().map(|text| read_uuid(text)).collect();
        assert!(read.iter().all(|id| id.is_some() && *id == read[0]), "{read:?}");
        assert_eq!(write_uuid(read[0].unwrap()), all[0]);
        for bad in [
            "",
            "1",
            "550e8400-e29b-41d4-a716-44665544000",
            "550e8400-e29b-41d4-a716-4466554400000",
            "550e8400e29b-41d4-a716-446655440000-",
            "+50e8400e29b41d4a716446655440000",
            "{550e8400e29b41d4a716446655440000}",
            "URN:UUID:550e8400-e29b-41d4-a716-446655440000",
            "550e8400-e29b-41d4-a716-44665544000g",
            "550e8400-e29b-41d4-a716-4466554400é",
        ] {
            assert_eq!(read_uuid(bad), None, "{bad}");
        }
    }

    #[test]
    fn numbers_keep_their_order_and_come_back() {
        let ids = Ids::of("acme");
        let numbers = [0, 1, 255, 256, 1 << 40, u64::MAX];
        let scoped: Vec<_> = numbers.iter().map(|n| ids.scoped(Id::Number(*n))).collect();
        assert!(scoped.is_sorted());
        for (n, scoped) in numbers.iter().zip(scoped) {
            let text = format!("\"{}\"", write_uuid(scoped));
            let value = crate::json::parse(text.as_bytes()).unwrap();
            assert_eq!(ids.own(&value, None), Some(Id::Number(*n)));
            assert_eq!(Ids::of("beta").own(&value, None), None);
        }
        assert_eq!(number("+1").or(number("-1")).or(number("18446744073709551616")), None);
    }
}

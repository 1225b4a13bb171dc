//! Rows of hashes in the store. They may be large, so each is cut into parts, which are sent before the commit and belong to nobody until then:
//! they vanish by themselves. `rows` names, for each field, the version that counts.

use super::{Remote, random};
use crate::state::{Row, Rows};
use anyhow::{Context as _, Result, bail};
use redis::Connection;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// The most bytes of a part.
const PART: usize = 4 << 20;
/// The most bytes that are sent before an answer is waited for.
const BATCH: usize = 8 << 20;
/// The most parts of a row, many times what a document of the largest size has: more was not written by us.
const MAX_PARTS: u32 = 1024;
/// How long parts wait for their commit, in seconds.
const STAGED_S: u64 = 900;

/// The versions of rows that were sent.
#[derive(Default)]
pub struct Staged(HashMap<String, (Arc<Row>, String)>);

impl Staged {
    /// Pairs of field and version, and the keys of all parts.
    pub(super) fn arguments(&self, remote: &Remote, rows: &Rows) -> Result<(Vec<String>, Vec<String>)> {
        let (mut pairs, mut parts) = (Vec::new(), Vec::new());
        for (field, row) in rows {
            let version = match row {
                None => String::new(),
                Some(_) => self.0.get(field).map(|(_, version)| version.clone()).context("a row that was not sent")?,
            };
            if !version.is_empty() {
                parts.extend(keys(remote, &version)?);
            }
            pairs.extend([field.clone(), version]);
        }
        Ok((pairs, parts))
    }
}

/// The keys of a version's parts.
fn keys(remote: &Remote, version: &str) -> Result<Vec<String>> {
    let (name, count) = parse(version).context("a row's version cannot be read")?;
    Ok((1..=count).map(|part| remote.key(&format!("row:{name}:{part}"))).collect())
}

/// The name of a version, and how many parts it has.
fn parse(version: &str) -> Option<(&str, u32)> {
    let (name, count) = version.split_once(':')?;
    Some((name, count.parse().ok().filter(|count| *count <= MAX_PARTS)?))
}

impl Remote {
    /// Sends rows ahead; those that were sent already, not again.
    ///
    /// # Errors
    /// When Redis is away or refuses.
    pub fn stage(&self, rows: &Rows, staged: &mut Staged) -> Result<()> {
        let (mut pipe, mut waiting) = (redis::pipe(), 0usize);
        for (field, row) in rows {
            let Some(row) = row else { continue };
            if staged.0.get(field).is_some_and(|(known, _)| Arc::ptr_eq(known, row)) {
                continue;
            }
            let version = format!("{}:{}", random()?, row.bytes.chunks(PART).len());
            for (key, part) in keys(self, &version)?.into_iter().zip(row.bytes.chunks(PART)) {
                pipe.cmd("SET").arg(key).arg(part).arg("EX").arg(STAGED_S).ignore();
                waiting += part.len();
                if waiting >= BATCH {
                    self.with(|connection| Ok(pipe.query::<()>(connection)?))?;
                    (pipe, waiting) = (redis::pipe(), 0);
                }
            }
            staged.0.insert(field.clone(), (Arc::clone(row), version));
        }
        if waiting > 0 {
            self.with(|connection| Ok(pipe.query::<()>(connection)?))?;
        }
        Ok(())
    }

    /// Rows as they are now; `None` for those that are gone.
    ///
    /// # Errors
    /// When Redis is away, or what it has cannot be read.
    pub fn rows(&self, connection: &mut Connection, fields: &[String]) -> Result<Rows> {
        let mut rows = Rows::new();
        for fields in fields.chunks(1000) {
            let mut ask = redis::cmd("HMGET");
            ask.arg(self.key("rows")).arg(fields);
            let versions: Vec<Option<String>> = ask.query(connection)?;
            for (field, version) in fields.iter().zip(versions) {
                let row = version.map(|version| self.fetch(connection, field, &version)).transpose()?;
                rows.insert(field.clone(), row);
            }
        }
        Ok(rows)
    }

    /// The rows of these versions.
    pub(super) fn all_rows(&self, connection: &mut Connection, versions: BTreeMap<String, String>) -> Result<Rows> {
        let fetch = |(field, version): (String, String)| {
            let row = self.fetch(connection, &field, &version)?;
            Ok((field, Some(row)))
        };
        versions.into_iter().map(fetch).collect()
    }

    fn fetch(&self, connection: &mut Connection, field: &str, version: &str) -> Result<Arc<Row>> {
        let mut bytes = Vec::new();
        for key in keys(self, version)? {
            let part: Option<Vec<u8>> = redis::cmd("GET").arg(key).query(connection)?;
            let Some(part) = part else { bail!("the hashes of {field:?} are not all there") };
            bytes.extend(part);
        }
        Ok(Arc::new(Row::parse(field, bytes)?))
    }
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn a_version_names_no_more_parts_than_a_row_has() {
        assert_eq!(parse("ab:3"), Some(("ab", 3)));
        for bad in ["ab:1025", "ab:4294967295", "ab:", "ab", "ab:-1", ""] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}

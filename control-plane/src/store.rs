//! What is kept: one redb file. A write is on disk before its answer leaves (redb commits with an fsync), so nothing
//! that was accepted is lost, however the process ends.
//!
//! Values are JSON: readable in an emergency, and open to new fields. Only `state` writes.

use anyhow::{Context, Result};
use redb::{Database, ReadableDatabase, TableDefinition, WriteTransaction};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::path::Path;

const META: TableDefinition<&str, &[u8]> = TableDefinition::new("meta");
const NAMED: TableDefinition<&str, &[u8]> = TableDefinition::new("named");
const NUMBERED: TableDefinition<(&str, u64), &[u8]> = TableDefinition::new("numbered");

/// The store.
pub struct Store(Database);

/// A transaction that writes.
pub struct Write(WriteTransaction);

impl Store {
    /// Opens or creates the store in a directory.
    ///
    /// # Errors
    /// When the file cannot be opened, for example because another control plane has it open.
    pub fn open(directory: &Path) -> Result<Self> {
        let file = directory.join("partywall.redb");
        let database = Database::create(&file)
            .with_context(|| format!("cannot open {}: is another control plane running on it?", file.display()))?;
        let write = database.begin_write()?;
        write.open_table(META)?;
        write.open_table(NAMED)?;
        write.open_table(NUMBERED)?;
        write.commit()?;
        Ok(Self(database))
    }

    /// Begins to write. Transactions are serialised.
    ///
    /// # Errors
    /// When the store fails.
    pub fn write(&self) -> Result<Write> {
        Ok(Write(self.0.begin_write()?))
    }

    /// A single value.
    ///
    /// # Errors
    /// When the store fails or the value cannot be read.
    pub fn meta<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>> {
        let table = self.0.begin_read()?.open_table(META)?;
        let value = table.get(name)?;
        value.map(|value| serde_json::from_slice(value.value()).with_context(|| format!("meta {name}"))).transpose()
    }

    /// All values of a kind that are named, as `(name, value)`.
    ///
    /// # Errors
    /// When the store fails or a value cannot be read.
    pub fn named<T: DeserializeOwned>(&self, kind: &str) -> Result<Vec<(String, T)>> {
        let table = self.0.begin_read()?.open_table(NAMED)?;
        let prefix = format!("{kind}/");
        let mut all = Vec::new();
        for row in table.range(prefix.as_str()..)? {
            let (key, value) = row?;
            let Some(name) = key.value().strip_prefix(&prefix) else { break };
            all.push((name.to_owned(), serde_json::from_slice(value.value()).with_context(|| key.value().to_owned())?));
        }
        Ok(all)
    }

    /// A named value that is bytes.
    ///
    /// # Errors
    /// When the store fails.
    pub fn bytes(&self, kind: &str, name: &str) -> Result<Option<Vec<u8>>> {
        let table = self.0.begin_read()?.open_table(NAMED)?;
        Ok(table.get(format!("{kind}/{name}").as_str())?.map(|value| value.value().to_vec()))
    }

    /// All named values of a kind that are bytes, one after the other.
    ///
    /// # Errors
    /// When the store fails, or `each` does.
    pub fn each_bytes(&self, kind: &str, mut each: impl FnMut(&str, &[u8]) -> Result<()>) -> Result<()> {
        let table = self.0.begin_read()?.open_table(NAMED)?;
        let prefix = format!("{kind}/");
        for row in table.range(prefix.as_str()..)? {
            let (key, value) = row?;
            let Some(name) = key.value().strip_prefix(&prefix) else { break };
            each(name, value.value())?;
        }
        Ok(())
    }

    /// All values of a kind that are numbered, ascending.
    ///
    /// # Errors
    /// When the store fails or a value cannot be read.
    pub fn numbered<T: DeserializeOwned>(&self, kind: &str) -> Result<Vec<(u64, T)>> {
        let table = self.0.begin_read()?.open_table(NUMBERED)?;
        let mut all = Vec::new();
        for row in table.range((kind, 0)..=(kind, u64::MAX))? {
            let (key, value) = row?;
            all.push((
                key.value().1,
                serde_json::from_slice(value.value()).with_context(|| format!("{kind} {}", key.value().1))?,
            ));
        }
        Ok(all)
    }
}

impl Write {
    /// Sets a single value.
    ///
    /// # Errors
    /// When the store fails.
    pub fn set_meta<T: Serialize>(&self, name: &str, value: &T) -> Result<()> {
        self.0.open_table(META)?.insert(name, serde_json::to_vec(value)?.as_slice())?;
        Ok(())
    }

    /// Sets a named value.
    ///
    /// # Errors
    /// When the store fails.
    pub fn put<T: Serialize>(&self, kind: &str, name: &str, value: &T) -> Result<()> {
        self.0.open_table(NAMED)?.insert(format!("{kind}/{name}").as_str(), serde_json::to_vec(value)?.as_slice())?;
        Ok(())
    }

    /// Sets a named value that is bytes.
    ///
    /// # Errors
    /// When the store fails.
    pub fn put_bytes(&self, kind: &str, name: &str, value: &[u8]) -> Result<()> {
        self.0.open_table(NAMED)?.insert(format!("{kind}/{name}").as_str(), value)?;
        Ok(())
    }

    /// Sets many named values that are bytes, by `kind/name`.
    ///
    /// # Errors
    /// When the store fails.
    pub fn put_rows<'v>(&self, rows: impl IntoIterator<Item = (&'v str, &'v [u8])>) -> Result<()> {
        let mut table = self.0.open_table(NAMED)?;
        for (field, value) in rows {
            table.insert(field, value)?;
        }
        Ok(())
    }

    /// Removes a named value.
    ///
    /// # Errors
    /// When the store fails.
    pub fn remove(&self, kind: &str, name: &str) -> Result<()> {
        self.0.open_table(NAMED)?.remove(format!("{kind}/{name}").as_str())?;
        Ok(())
    }

    /// Sets numbered values.
    ///
    /// # Errors
    /// When the store fails.
    pub fn put_numbered<T: Serialize>(&self, kind: &str, values: impl IntoIterator<Item = (u64, T)>) -> Result<()> {
        let mut table = self.0.open_table(NUMBERED)?;
        for (number, value) in values {
            table.insert((kind, number), serde_json::to_vec(&value)?.as_slice())?;
        }
        Ok(())
    }

    /// Removes numbered values.
    ///
    /// # Errors
    /// When the store fails.
    pub fn remove_numbered(&self, kind: &str, numbers: impl IntoIterator<Item = u64>) -> Result<()> {
        let mut table = self.0.open_table(NUMBERED)?;
        for number in numbers {
            table.remove((kind, number))?;
        }
        Ok(())
    }

    /// Makes everything durable.
    ///
    /// # Errors
    /// When the store fails; then nothing was written.
    pub fn commit(self) -> Result<()> {
        self.0.commit()?;
        Ok(())
    }
}

//! What the store says: where it is, what has changed since, and everything.

use super::{Position, Remote, Written};
use crate::state::{FingerprintRecord, Rows, refused};
use anyhow::{Context, Result, anyhow, bail};
use redis::Connection;
use std::collections::BTreeMap;
use std::time::Duration;

/// The most changes that are taken in at once.
const BATCH: usize = 1000;

/// A revision, as the stream has it.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Where the store was after it.
    pub position: Position,
    prev: String,
    /// New ids: from this one, up to below that one.
    pub new: (u64, u64),
    /// Ids that went.
    pub gone: Vec<u64>,
    /// Fields of rows that are new or went.
    pub rows: Vec<String>,
    /// The generation of the phrases' key after it.
    pub generation: u64,
}

/// What has happened to the store since a position.
#[derive(Clone, Debug)]
pub enum Since {
    /// Nothing.
    Same,
    /// These changes.
    Changes(Vec<Entry>),
    /// Too much, or an operator decided what holds: everything must be loaded.
    Reload,
    /// It is not the store that it was: why.
    Diverged(String),
}

/// Everything.
#[derive(Clone, Debug, Default)]
pub struct Whole {
    /// Where the store is; `None` when there is none.
    pub position: Option<Position>,
    /// The next id.
    pub next: u64,
    /// All fingerprints.
    pub records: Vec<FingerprintRecord>,
    /// All rows.
    pub rows: Rows,
    /// The generation of the phrases' key.
    pub generation: u64,
}

pub(super) fn written(answer: &[String], head: String) -> Result<Written> {
    Ok(match answer.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["done", store, revision] => {
            Written::Done(Position { store: (*store).to_owned(), revision: revision.parse()?, head })
        }
        ["stale"] => Written::Stale,
        ["busy"] => Written::Busy,
        ["foreign"] => Written::Foreign,
        ["lost"] => Written::Lost,
        _ => bail!("Redis answered a script with {answer:?}"),
    })
}

/// `meta`, as far as it is there.
struct Meta {
    position: Position,
    next: u64,
    count: u64,
    decided: u64,
    over: String,
    rows: u64,
    generation: u64,
    /// Empty where nobody has said it yet.
    words: String,
}

fn meta(mut fields: BTreeMap<String, String>) -> Result<Option<Meta>> {
    let Some(store) = fields.remove("store") else { return Ok(None) };
    let head = fields.remove("head").context("its meta has no head")?;
    let (over, words) = (fields.remove("over").unwrap_or_default(), fields.remove("words").unwrap_or_default());
    let number = |name: &str, missing: Option<u64>| -> Result<u64> {
        match (fields.get(name), missing) {
            (Some(text), _) => text.parse().with_context(|| format!("its meta's {name}")),
            (None, Some(missing)) => Ok(missing),
            (None, None) => bail!("its meta has no {name}"),
        }
    };
    let revision = number("revision", None)?;
    Ok(Some(Meta {
        position: Position { store, revision, head },
        next: number("next", None)?,
        count: number("count", None)?,
        decided: number("decided", Some(0))?,
        over,
        // Stores from before documents were shared have none of these.
        rows: number("rows", Some(0))?,
        generation: number("generation", Some(0))?,
        words,
    }))
}

/// An entry of a stream: its id, and fields and values in turn.
type Raw = (String, Vec<String>);

fn entry(store: &str, (id, fields): Raw) -> Result<Entry> {
    let mut named: BTreeMap<String, String> = BTreeMap::new();
    let mut fields = fields.into_iter();
    while let (Some(name), Some(value)) = (fields.next(), fields.next()) {
        named.insert(name, value);
    }
    let mut take = |name: &str| named.remove(name).with_context(|| format!("the change {id} has no {name}"));
    let revision = id.split('-').next().unwrap_or_default().parse()?;
    let gone = take("gone")?;
    let rows = take("rows").map_or(Ok(Vec::new()), |text| serde_json::from_str(&text))?;
    let generation = take("generation").map_or(Ok(0), |text| text.parse())?;
    Ok(Entry {
        rows,
        generation,
        prev: take("prev")?,
        new: (take("from")?.parse()?, take("to")?.parse()?),
        position: Position { store: store.to_owned(), revision, head: take("head")? },
        gone: gone.split(',').filter(|id| !id.is_empty()).map(str::parse).collect::<Result<_, _>>()?,
    })
}

impl Remote {
    /// What has happened since a position.
    ///
    /// # Errors
    /// When Redis is away, or what it has cannot be read.
    pub fn since(&self, connection: &mut Connection, from: &Position) -> Result<Since> {
        let mut ask = redis::pipe();
        ask.atomic().cmd("HGETALL").arg(self.key("meta"));
        ask.cmd("HLEN").arg(self.key("fingerprints"));
        ask.cmd("HLEN").arg(self.key("rows"));
        ask.cmd("XRANGE")
            .arg(self.key("changes"))
            .arg(from.revision.saturating_add(1))
            .arg("+")
            .arg("COUNT")
            .arg(BATCH);
        let (fields, held, documents, entries): (BTreeMap<String, String>, u64, u64, Vec<Raw>) =
            ask.query(connection)?;
        let Some(Meta { position: now, count, decided, over, rows, words, .. }) = meta(fields)? else {
            return Ok(Since::Diverged(format!("it is empty, and was at revision {}", from.revision)));
        };
        if held != count {
            return Ok(Since::Diverged(format!("it holds {held} fingerprints where it should hold {count}")));
        }
        if documents != rows {
            let why = format!("it holds {documents} rows of hashes where it should hold {rows}");
            return Ok(Since::Diverged(why));
        }
        if self.is_foreign(&words) {
            return Ok(Since::Diverged(FOREIGN.to_owned()));
        }
        if decided > from.revision && (now.store == from.store || over == from.store) {
            return Ok(Since::Reload);
        }
        if now.store != from.store {
            return Ok(Since::Diverged("it is another store than before: it was emptied and filled anew".to_owned()));
        }
        if now.revision < from.revision {
            return Ok(Since::Diverged(format!("it went back from revision {} to {}", from.revision, now.revision)));
        }
        let other = || Since::Diverged(format!("its revision {} is not the one that was there before", from.revision));
        if now.revision == from.revision {
            return Ok(if now.head == from.head { Since::Same } else { other() });
        }
        let entries: Vec<Entry> = entries.into_iter().map(|raw| entry(&now.store, raw)).collect::<Result<_>>()?;
        match entries.first() {
            Some(first) if first.position.revision == from.revision.saturating_add(1) => {
                Ok(if first.prev == from.head { Since::Changes(entries) } else { other() })
            }
            _ => Ok(Since::Reload),
        }
    }

    /// The fingerprints that changes brought and that are still there.
    ///
    /// # Errors
    /// When Redis is away, or what it has cannot be read.
    pub fn brought(&self, connection: &mut Connection, entries: &[Entry]) -> Result<Vec<FingerprintRecord>> {
        let ids: Vec<u64> = entries.iter().flat_map(|entry| entry.new.0..entry.new.1).collect();
        let mut records = Vec::new();
        for ids in ids.chunks(BATCH) {
            let found: Vec<Option<String>> =
                redis::cmd("HMGET").arg(self.key("fingerprints")).arg(ids).query(connection)?;
            records.extend(found.into_iter().flatten().map(|text| record(&text)).collect::<Result<Vec<_>>>()?);
        }
        Ok(records)
    }

    /// Everything, at one moment.
    ///
    /// # Errors
    /// When Redis is away, or what it has cannot be read.
    pub fn whole(&self, connection: &mut Connection) -> Result<Whole> {
        let (whole, count, words) = self.read(connection)?;
        if self.is_foreign(&words) {
            return Err(foreign());
        }
        if count != whole.records.len() as u64 {
            bail!("the store holds {} fingerprints where it should hold {count}", whole.records.len());
        }
        Ok(whole)
    }

    /// As [`Remote::whole`], even where some of it is missing: for an operator's decision.
    ///
    /// # Errors
    /// When Redis is away, or what it has cannot be read.
    pub fn contents(&self, connection: &mut Connection) -> Result<Whole> {
        self.read(connection).map(|(whole, ..)| whole)
    }

    /// Whether hashes were made under another key.
    fn is_foreign(&self, words: &str) -> bool {
        !words.is_empty() && words != self.words
    }

    fn read(&self, connection: &mut Connection) -> Result<(Whole, u64, String)> {
        let mut ask = redis::pipe();
        ask.atomic().cmd("HGETALL").arg(self.key("meta"));
        ask.cmd("HVALS").arg(self.key("fingerprints"));
        ask.cmd("HGETALL").arg(self.key("rows"));
        let (fields, texts, versions): (BTreeMap<String, String>, Vec<String>, BTreeMap<String, String>) =
            ask.query(connection)?;
        let records: Vec<FingerprintRecord> = texts.iter().map(|text| record(text)).collect::<Result<_>>()?;
        let found = meta(fields)?;
        let count = found.as_ref().map_or(records.len() as u64, |meta| meta.count);
        let highest = records.iter().map(|record| record.id).max().unwrap_or(0);
        let next = found.as_ref().map_or(1, |meta| meta.next).max(highest.saturating_add(1));
        let (generation, words) =
            found.as_ref().map_or((0, String::new()), |meta| (meta.generation, meta.words.clone()));
        // Under another key they would say nothing.
        let rows = if self.is_foreign(&words) { Rows::new() } else { self.all_rows(connection, versions)? };
        Ok((Whole { position: found.map(|meta| meta.position), next, records, rows, generation }, count, words))
    }

    /// Waits for a change after a revision, for a while.
    ///
    /// # Errors
    /// When Redis is away.
    pub fn wait(&self, connection: &mut Connection, revision: u64, patience: Duration) -> Result<()> {
        let milliseconds = u64::try_from(patience.as_millis()).unwrap_or(1000);
        let after = format!("{revision}-0");
        let mut ask = redis::cmd("XREAD");
        ask.arg("COUNT").arg(1).arg("BLOCK").arg(milliseconds).arg("STREAMS").arg(self.key("changes")).arg(after);
        ask.query::<redis::Value>(connection)?;
        Ok(())
    }
}

const FOREIGN: &str = "it belongs to control planes with another signing key, whose hashes of documents mean nothing here: give all replicas one `--signing-key`";

/// The refusal of a store that is not ours.
pub(crate) fn foreign() -> anyhow::Error {
    refused("fingerprint_store_foreign", format!("the fingerprint store cannot be used: {FOREIGN}"))
}

fn record(text: &str) -> Result<FingerprintRecord> {
    serde_json::from_str(text).map_err(|error| anyhow!("a fingerprint in it cannot be read: {error}"))
}

//! Fingerprints in a Redis that replicas of the control plane share.
//!
//! Keys below a prefix: `meta` (where the store is), `fingerprints` (a hash: id to record), `rows` (a hash: which version of a document's
//! hashes counts; the versions themselves are `row:…`) and `changes` (a stream with an entry for each revision). Each revision has a random *head*, and names the one that it follows. A writer says which head it has seen; if that is no
//! longer the store's, nothing is written and it looks again. So nothing is lost, no id is given twice, and a store that went back, was emptied or belongs
//! to somebody else is noticed instead of believed.

pub mod follow;
mod rows;
mod wire;

pub use rows::Staged;
pub(crate) use wire::foreign;
pub use wire::{Entry, Since, Whole};

use crate::state::{FingerprintRecord, Rows};
use anyhow::{Context, Result, bail};
use redis::{Client, Connection, ConnectionLike as _, IntoConnectionInfo as _, RedisError, Script};
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Our patience with a new connection.
const CONNECT: Duration = Duration::from_secs(2);
/// Our patience with an answer.
const ANSWER: Duration = Duration::from_secs(5);
/// How long a writer that lost to others keeps them waiting at most.
const LOCK_MS: u64 = 10_000;
/// How many changes the stream keeps; whoever is further behind loads everything.
const KEPT: u64 = 10_000;

/// Where a copy of the store is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// Which store: a random name that it got when it was made.
    pub store: String,
    /// Its revision.
    pub revision: u64,
    /// That revision's head.
    pub head: String,
}

/// A change of the set.
#[derive(Clone, Debug, Default)]
pub struct Delta {
    /// Fingerprints that are new, each with its folded text.
    pub put: Vec<(FingerprintRecord, Vec<u8>)>,
    /// Ids that go.
    pub gone: Vec<u64>,
    /// The next id after it.
    pub next: u64,
    /// Rows of documents and of common language that are new, or go.
    pub rows: Rows,
    /// The generation of the phrases' key after it.
    pub generation: u64,
}

/// How a write ended.
#[derive(Debug)]
pub enum Written {
    /// It is in the store, which is here now.
    Done(Position),
    /// Somebody else wrote first: look again.
    Stale,
    /// Somebody else has the lock: wait.
    Busy,
    /// It belongs to control planes with another signing key: their hashes say nothing to us.
    Foreign,
    /// What was sent before has vanished meanwhile: send it again.
    Lost,
}

/// The store, over the wire. One connection for writers, which come one after the other.
pub struct Remote {
    client: Client,
    prefix: String,
    /// Stands for the key of words, without telling it.
    words: String,
    connection: Mutex<Option<Connection>>,
    commit: Script,
    decide: Script,
}

/// Random, for names, heads and locks.
pub fn random() -> Result<String> {
    let mut bytes = [0u8; 8];
    getrandom::fill(&mut bytes).map_err(|error| anyhow::anyhow!("no randomness: {error}"))?;
    Ok(hex::encode(bytes))
}

impl Remote {
    /// A store at a URL; nothing is connected yet.
    ///
    /// # Errors
    /// When the URL, the password's file or the prefix is none.
    pub fn new(url: &str, password: Option<&Path>, prefix: &str) -> Result<Self> {
        // The URL may hold a password: it is never repeated.
        let mut info = url.into_connection_info().context("--redis: not a URL like redis://host:6379/0")?;
        if let Some(file) = password {
            let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
            let settings = info.redis_settings().clone().set_password(text.trim());
            info = info.set_redis_settings(settings);
        }
        if prefix.is_empty() || prefix.len() > 128 || !prefix.bytes().all(|b| b.is_ascii_graphic()) {
            bail!("--redis-prefix: must be of 1 to 128 printable characters without spaces");
        }
        Ok(Self {
            client: Client::open(info).context("--redis")?,
            prefix: prefix.to_owned(),
            words: String::new(),
            connection: Mutex::default(),
            commit: Script::new(include_str!("commit.lua")),
            decide: Script::new(include_str!("decide.lua")),
        })
    }

    /// Takes down what stands for the installation's key of words.
    pub(crate) fn belongs_to(&mut self, words: String) {
        self.words = words;
    }

    pub(crate) fn key(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// A connection that does not wait for ever.
    ///
    /// # Errors
    /// When there is none to be had.
    pub fn connect(&self) -> Result<Connection, RedisError> {
        let connection = self.client.get_connection_with_timeout(CONNECT)?;
        connection.set_read_timeout(Some(ANSWER))?;
        connection.set_write_timeout(Some(ANSWER))?;
        Ok(connection)
    }

    /// Does something over the writers' connection. One that failed half-way is closed: nobody knows what is under way on it. One
    /// that the other side closed meanwhile is opened again before anything is sent.
    ///
    /// # Errors
    /// As `work`, or when there is no connection.
    pub fn with<T>(&self, work: impl FnOnce(&mut Connection) -> Result<T>) -> Result<T> {
        let mut slot = self.slot();
        let alive = slot.take().and_then(|mut connection| connection.check_connection().then_some(connection));
        let mut connection = alive.map_or_else(|| self.connect(), Ok)?;
        let result = work(&mut connection);
        let failed = result.as_ref().err().and_then(|error| error.downcast_ref::<RedisError>());
        // What Redis itself refused leaves the connection in order.
        if failed.is_none_or(|error| !error.is_io_error() && !error.is_unrecoverable_error()) {
            *slot = Some(connection);
        }
        result
    }

    fn slot(&self) -> MutexGuard<'_, Option<Connection>> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes a change on top of `seen`; `None` makes a store where there is none.
    ///
    /// # Errors
    /// When Redis is away or refuses. Then the change may still arrive, as a whole: whoever asks again loses nothing.
    pub fn commit(&self, seen: Option<&Position>, delta: &Delta, token: &str, staged: &Staged) -> Result<Written> {
        let (name, head) = (random()?, random()?);
        // Ids that are new follow each other; in a new store they need not, but there nobody follows yet.
        let first = delta.put.iter().map(|(record, _)| record.id).min().unwrap_or(delta.next);
        let (rows, parts) = staged.arguments(self, &delta.rows)?;
        let mut call = self.commit.prepare_invoke();
        for key in ["meta", "fingerprints", "changes", "lock", "rows"] {
            call.key(self.key(key));
        }
        for key in parts {
            call.key(key);
        }
        call.arg(seen.map_or("", |seen| &seen.head))
            .arg(&head)
            .arg(name)
            .arg(delta.next)
            .arg(token)
            .arg(first)
            .arg(KEPT);
        call.arg(delta.gone.len()).arg(&delta.gone);
        let fields: Vec<&String> = delta.rows.keys().collect();
        call.arg(delta.generation).arg(&self.words).arg(serde_json::to_string(&fields)?);
        call.arg(fields.len()).arg(rows);
        for (record, _) in &delta.put {
            call.arg(record.id).arg(serde_json::to_string(record)?);
        }
        let answer: Vec<String> = self.with(|connection| Ok(call.invoke(connection)?))?;
        wire::written(&answer, head)
    }

    /// Puts an operator's decision into the store: this whole, or what is there.
    ///
    /// # Errors
    /// When Redis is away or refuses.
    pub fn decide(
        &self,
        seen: Option<&Position>,
        store: &str,
        revision: u64,
        whole: &Whole,
        replace: bool,
    ) -> Result<Written> {
        let mut staged = Staged::default();
        let none = Rows::new();
        let rows = if replace { &whole.rows } else { &none };
        self.stage(rows, &mut staged)?;
        let (pairs, parts) = staged.arguments(self, rows)?;
        let head = random()?;
        let mut call = self.decide.prepare_invoke();
        for key in ["meta", "fingerprints", "changes", "rows"] {
            call.key(self.key(key));
        }
        for key in parts {
            call.key(key);
        }
        call.arg(seen.map_or("", |seen| &seen.head)).arg(&head).arg(store).arg(whole.next).arg(revision);
        call.arg(if replace { "replace" } else { "keep" });
        call.arg(whole.generation).arg(&self.words).arg(rows.len()).arg(pairs);
        for record in whole.records.iter().filter(|_| replace) {
            call.arg(record.id).arg(serde_json::to_string(record)?);
        }
        let answer: Vec<String> = self.with(|connection| Ok(call.invoke(connection)?))?;
        wire::written(&answer, head)
    }

    /// Keeps other writers waiting until the next commit with this token, or until the lock wears off. Only for fairness: what a
    /// commit may do is decided by its head.
    ///
    /// # Errors
    /// When Redis is away, or others do not come to an end.
    pub fn lock(&self, token: &str, patience: Duration) -> Result<()> {
        let start = Instant::now();
        loop {
            let taken: Option<String> = self.with(|connection| {
                let mut set = redis::cmd("SET");
                Ok(set.arg(self.key("lock")).arg(token).arg("NX").arg("PX").arg(LOCK_MS).query(connection)?)
            })?;
            if taken.is_some() {
                return Ok(());
            }
            if start.elapsed() > patience {
                bail!("other replicas write all the time");
            }
            std::thread::sleep(Duration::from_millis(7));
        }
    }

    /// Gives the lock back, if it is ours still. A failure does no harm: it wears off.
    pub fn unlock(&self, token: &str) {
        let _ = self.with(|connection| {
            let held: Option<String> = redis::cmd("GET").arg(self.key("lock")).query(connection)?;
            if held.as_deref() == Some(token) {
                redis::cmd("DEL").arg(self.key("lock")).query::<()>(connection)?;
            }
            Ok(())
        });
    }

    /// Says that we live, which only a Redis that takes writes takes.
    ///
    /// # Errors
    /// When it does not.
    pub fn beat(&self, connection: &mut Connection, instance: &str) -> Result<()> {
        Ok(redis::cmd("SET").arg(self.key(&format!("alive:{instance}"))).arg(1).arg("EX").arg(60).query(connection)?)
    }
}

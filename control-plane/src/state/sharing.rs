//! Fingerprints in the shared store: writing through it, following it, joining and leaving it, and what to do when it is not what
//! it was.
//!
//! Whoever writes, follows or switches holds `sharing`. It is taken before `writer`, which is never held while Redis is asked: what the
//! filters report is not kept waiting.

use super::delta::union;
use super::health::{DIVERGED, describe};
use super::{App, Model, lock, refused};
use crate::shared::{Delta, Position, Remote, Since, Staged, Whole, Written, foreign, random};
use anyhow::{Context as _, Result};
use redis::Connection;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// How long a writer tries against others before it gives up.
const PATIENCE: Duration = Duration::from_secs(15);
/// After so many attempts that others won, a writer keeps them waiting.
const FAIR: u32 = 2;

/// The refusal of a write, with what to do.
pub(super) fn unavailable(why: &str) -> anyhow::Error {
    refused(
        "fingerprint_store_unavailable",
        format!("fingerprints cannot be changed now: {why}. What is known is enforced meanwhile"),
    )
}

impl App {
    /// Whether the policy in force keeps fingerprints in the shared store.
    pub fn shares(&self) -> bool {
        self.read(|model| model.compiled.as_ref().is_some_and(|compiled| compiled.redis))
    }

    /// The shared store, where one was named.
    pub(crate) fn store_remote(&self) -> Option<&Remote> {
        self.remote.as_ref()
    }

    pub(super) fn remote(&self) -> Result<&Remote> {
        self.remote.as_ref().ok_or_else(|| {
            refused(
                "redis_not_configured",
                "leakage_detection.cross_tenant_output_scan.fingerprint_store: `redis` needs a control plane that was started with `--redis URL` (or PARTYWALL_REDIS)",
            )
        })
    }

    /// Checks that a policy's fingerprint store can be had here.
    ///
    /// # Errors
    /// When it cannot.
    pub fn check_store(&self, redis: bool) -> Result<()> {
        if redis { self.remote().map(|_| ()) } else { Ok(()) }
    }

    /// Notes how a write went. What the store itself did not say is said by whoever refused.
    fn told<T>(&self, result: Result<T>) -> Result<T> {
        match result {
            Ok(value) => Ok(value),
            Err(error) if error.is::<super::Refused>() => Err(error),
            Err(error) => {
                let why = describe(&error);
                lock(&self.health).refuses(&why);
                Err(unavailable(&why))
            }
        }
    }

    /// Writes a change through the shared store.
    pub(super) fn share<T>(&self, plan: impl Fn(&Model) -> Result<(Delta, T)>) -> Result<T> {
        let remote = self.remote()?;
        let token = random()?;
        let mut locked = false;
        let result = self.shared_write(remote, &token, &mut locked, plan);
        if locked {
            remote.unlock(&token);
        }
        let code =
            result.as_ref().err().and_then(|error| error.downcast_ref::<super::Refused>()).map(|refused| refused.0);
        if code == Some("fingerprint_store_unavailable") {
            self.metrics.store_refusals.inc();
        }
        result
    }

    fn shared_write<T>(
        &self,
        remote: &Remote,
        token: &str,
        locked: &mut bool,
        plan: impl Fn(&Model) -> Result<(Delta, T)>,
    ) -> Result<T> {
        let start = Instant::now();
        let mut lost = 0;
        let mut asked = false;
        let mut staged = Staged::default();
        loop {
            if start.elapsed() > PATIENCE {
                return self.told(Err(anyhow::anyhow!("other replicas write all the time")));
            }
            let (planned, seen) = self.read(|model| (plan(model), model.shared.clone()));
            let Some(seen) = seen else {
                return Err(unavailable("this replica has no copy of the store yet"));
            };
            // Before saying that there is nothing to do, or that it cannot be done, it must be known that this is true.
            let generation = self.read(|model| model.generation);
            let idle = planned.as_ref().map_or(true, |(delta, _)| delta.is_empty() && delta.generation == generation);
            if idle && !asked {
                asked = !self.told(remote.with(|connection| self.catch_up(remote, connection)))?;
                continue;
            }
            let (delta, result) = planned?;
            if idle {
                return Ok(result);
            }
            self.writable()?;
            self.told(remote.stage(&delta.rows, &mut staged))?;
            match self.told(remote.commit(Some(&seen), &delta, token, &staged))? {
                Written::Done(position) => {
                    lock(&self.health).takes();
                    self.take_in(&position, &delta)?;
                    return Ok(result);
                }
                Written::Busy => std::thread::sleep(Duration::from_millis(7)),
                Written::Lost => staged = Staged::default(),
                Written::Foreign => return Err(foreign()),
                Written::Stale => {
                    lost += 1;
                    asked = false;
                    if lost == FAIR {
                        self.told(remote.lock(token, PATIENCE))?;
                        *locked = true;
                    }
                    self.told(remote.with(|connection| self.catch_up(remote, connection)))?;
                }
            }
        }
    }

    /// Refuses while the store is not what it was.
    fn writable(&self) -> Result<()> {
        match lock(&self.health).diverged() {
            Some(why) => Err(unavailable(&format!("the store has changed behind our back: {why}. {DIVERGED}"))),
            None => Ok(()),
        }
    }

    /// Takes in what the store has and we have not; whether that was anything. Needs `sharing`.
    fn catch_up(&self, remote: &Remote, connection: &mut Connection) -> Result<bool> {
        let mut changed = false;
        loop {
            let Some(here) = self.read(|model| model.shared.clone()) else {
                return Err(unavailable("this replica has no copy of the store yet"));
            };
            match remote.since(connection, &here)? {
                Since::Same => {
                    lock(&self.health).follows();
                    return Ok(changed);
                }
                Since::Diverged(why) => {
                    lock(&self.health).diverges(&why);
                    self.writable()?;
                }
                Since::Reload => self.take_over(&remote.whole(connection)?)?,
                Since::Changes(entries) => {
                    let Some(last) = entries.last() else { return Ok(changed) };
                    let brought = remote.brought(connection, &entries)?;
                    let fields: BTreeSet<&String> = entries.iter().flat_map(|entry| &entry.rows).collect();
                    let fields: Vec<String> = fields.into_iter().cloned().collect();
                    let put = brought.into_iter().map(|record| Ok((super::delta::folded(&record)?, record)));
                    let put = put.map(|pair| pair.map(|(folded, record)| (record, folded)));
                    let delta = Delta {
                        put: put.collect::<Result<_>>()?,
                        gone: entries.iter().flat_map(|entry| entry.gone.iter().copied()).collect(),
                        next: last.new.1,
                        rows: remote.rows(connection, &fields)?,
                        generation: last.generation,
                    };
                    self.take_in(&last.position, &delta)?;
                }
            }
            changed = true;
        }
    }

    /// Follows the store: a look, and what there is to be taken in. Writers wait only when there is something.
    pub(crate) fn follow_store(&self, remote: &Remote, connection: &mut Connection) -> Result<Option<u64>> {
        let here: Option<Position> = self.read(|model| model.shared.clone());
        if let Some(here) = &here
            && matches!(remote.since(connection, here)?, Since::Same)
        {
            lock(&self.health).follows();
            return Ok(Some(here.revision));
        }
        let _sharing = lock(&self.sharing);
        if !self.shares() {
            return Ok(None);
        }
        let caught = match here {
            Some(_) => self.catch_up(remote, connection),
            None => self.join(remote).map(|()| true),
        };
        match caught {
            Err(error) if error.is::<super::Refused>() => Ok(None),
            Err(error) => Err(error),
            Ok(_) => Ok(self.read(|model| model.shared.as_ref().map(|position| position.revision))),
        }
    }

    /// Brings what is here into the store, which others may use already, and takes the store over. Needs `sharing`.
    pub(super) fn join(&self, remote: &Remote) -> Result<()> {
        let mine = self.held()?;
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            let whole = remote.with(|connection| remote.whole(connection))?;
            let mut delta = union(&whole, &mine)?;
            // An id that was in use here means something to the filters still.
            delta.next = delta.next.max(mine.next);
            let written = match &whole.position {
                Some(position) if delta.is_empty() && delta.generation == whole.generation => {
                    Written::Done(position.clone())
                }
                position => {
                    let mut staged = Staged::default();
                    remote.stage(&delta.rows, &mut staged)?;
                    remote.commit(position.as_ref(), &delta, &random()?, &staged)?
                }
            };
            match written {
                Written::Done(position) => {
                    lock(&self.health).follows();
                    return self.take_over(&Whole { position: Some(position), ..delta.over(whole) });
                }
                Written::Foreign => return Err(foreign()),
                Written::Stale | Written::Busy | Written::Lost => std::thread::sleep(Duration::from_millis(20)),
            }
        }
        anyhow::bail!("other replicas write all the time")
    }

    /// Prepares for a policy that keeps fingerprints elsewhere than the one in force. Needs `sharing`.
    pub(super) fn move_store(&self, to_redis: bool, force: bool) -> Result<()> {
        if to_redis {
            let remote = self.remote()?;
            return if self.shares() { Ok(()) } else { self.told(self.join(remote)) };
        }
        if !self.shares() || force {
            return Ok(());
        }
        let remote = self.remote()?;
        self.told(remote.with(|connection| self.catch_up(remote, connection))).map(|_| ()).context(
            "the copy here may lack what other replicas wrote: repair the store first, or apply with `--force` and take the copy as it is",
        )
    }

    /// An operator decides after the store changed behind our back: what is here goes into it (`restore`), joined with what it
    /// has; or what it has counts (`accept`), and what only we know is given up.
    ///
    /// # Errors
    /// When there is nothing to decide, or Redis is away.
    pub fn decide_store(&self, restore: bool) -> Result<()> {
        let _sharing = lock(&self.sharing);
        if !self.shares() {
            return Err(refused("fingerprint_store_in_order", "the policy keeps fingerprints in the embedded store"));
        }
        let remote = self.remote()?;
        let caught = remote.with(|connection| self.catch_up(remote, connection));
        if lock(&self.health).diverged().is_none() {
            self.told(caught)?;
            return Err(refused("fingerprint_store_in_order", "the store is in order: there is nothing to decide"));
        }
        let here = self.held()?;
        let name = here.position.as_ref().map_or_else(random, |position| Ok(position.store.clone()))?;
        for _ in 0..20 {
            let there = self.told(remote.with(|connection| remote.contents(connection)))?;
            let revision = |whole: &Whole| whole.position.as_ref().map_or(0, |position| position.revision);
            let revision = revision(&here).max(revision(&there)).saturating_add(1);
            let seen = there.position.clone();
            let next = here.next.max(there.next);
            let whole = if restore {
                let base = Whole { next, ..here.clone() };
                union(&base, &there)?.over(base)
            } else {
                // A key that was in use here stays behind.
                Whole { next, generation: here.generation.max(there.generation), ..there }
            };
            let written = remote.decide(seen.as_ref(), &name, revision, &whole, restore);
            if let Written::Done(position) = self.told(written)? {
                tracing::warn!(
                    revision,
                    restore,
                    fingerprints = whole.records.len(),
                    "an operator decided what the store holds"
                );
                self.take_over(&Whole { position: Some(position), ..whole })?;
                lock(&self.health).follows();
                return Ok(());
            }
        }
        Err(unavailable("other replicas write all the time"))
    }
}

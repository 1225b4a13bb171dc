//! How the fingerprint store stands.

use super::{App, lock, now};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What an operator can do about a store that is not what it was.
pub(super) const DIVERGED: &str = "Bring the old data back, or decide: `partywall fingerprint store restore` puts what is known here into it, `partywall fingerprint store accept` takes what it holds";

/// The fingerprint store, as an operator sees it.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct StoreStatus {
    /// `embedded` or `redis`.
    pub kind: String,
    /// `ok`; `unavailable` (Redis is away: the last state is enforced), `refusing` (it takes no writes), `stale` (as `unavailable`, since this
    /// control plane started: others may have written meanwhile) or `diverged` (it is not what it was: an operator must decide). In all but
    /// `ok` fingerprints cannot be changed.
    pub state: String,
    /// The revision of the shared store that is enforced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
    /// Since when, Unix seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<u64>,
    /// Why, and what to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

type Trouble = Option<(String, u64)>;

/// What is known of the shared store.
#[derive(Default)]
pub(super) struct Health {
    away: Trouble,
    refusing: Trouble,
    diverged: Trouble,
    /// It was in step at least once since the start.
    met: bool,
}

fn trouble(of: &mut Trouble, why: &str, what: &str) {
    match of {
        Some((known, _)) if known == why => {}
        Some((known, _)) => why.clone_into(known),
        None => {
            tracing::error!(why, "the fingerprint store {what}");
            *of = Some((why.to_owned(), now()));
        }
    }
}

impl Health {
    /// It answers, and we are in step.
    pub(super) fn follows(&mut self) {
        if self.away.take().is_some() || self.diverged.take().is_some() || !self.met {
            tracing::info!("in step with the fingerprint store");
        }
        self.met = true;
    }

    /// It takes writes.
    pub(super) fn takes(&mut self) {
        if self.refusing.take().is_some() {
            tracing::info!("the fingerprint store takes writes again");
        }
    }

    pub(super) fn refuses(&mut self, why: &str) {
        trouble(&mut self.refusing, why, "takes no writes");
    }

    pub(super) fn diverges(&mut self, why: &str) {
        trouble(&mut self.diverged, why, "is not what it was: what was known is enforced, writes are refused");
    }

    pub(super) fn diverged(&self) -> Option<String> {
        self.diverged.as_ref().map(|(why, _)| why.clone())
    }
}

/// What went wrong with Redis, and what to do.
pub(super) fn describe(error: &anyhow::Error) -> String {
    // The client's errors say the same again as their own source.
    let text = error.downcast_ref::<redis::RedisError>().map_or_else(|| format!("{error:#}"), ToString::to_string);
    let hints = [
        ("read only replica", "it is a read-only replica: let `--redis` name the primary"),
        ("OOM", "it is full: raise its `maxmemory` (and keep `maxmemory-policy noeviction`)"),
        ("MISCONF", "it cannot save to its disk"),
        ("NOREPLICAS", "it has too few replicas to take writes"),
        ("BusyLoading", "it is still loading its data"),
        ("NOAUTH", "it wants a password: give it in the URL or by `--redis-password-file`"),
        ("unauthenticated", "it wants a password: give it in the URL or by `--redis-password-file`"),
        ("WRONGPASS", "it refuses the password"),
        ("uthentication", "it refuses the password"),
        ("NoPerm", "its ACL does not let us: docs/operations.md has the rule"),
    ];
    match hints.iter().find(|(word, _)| text.contains(word)) {
        Some((_, hint)) => format!("Redis refuses: {hint} ({text})"),
        None => format!("Redis cannot be used ({text}): check it and `--redis`"),
    }
}

impl App {
    /// Notes that Redis is away.
    pub(crate) fn store_away(&self, error: &anyhow::Error) {
        trouble(
            &mut lock(&self.health).away,
            &describe(error),
            "is away: what is known is enforced, writes are refused",
        );
    }

    /// Notes whether Redis takes writes.
    pub(crate) fn store_takes(&self, refused: Option<&anyhow::Error>) {
        match refused {
            Some(error) => lock(&self.health).refuses(&describe(error)),
            None => lock(&self.health).takes(),
        }
    }

    /// How the fingerprint store stands.
    pub fn store_status(&self) -> StoreStatus {
        if !self.shares() {
            return StoreStatus { kind: "embedded".to_owned(), state: "ok".to_owned(), ..StoreStatus::default() };
        }
        let revision = self.read(|model| model.shared.as_ref().map(|position| position.revision));
        let health = lock(&self.health);
        let (state, trouble) = match (&health.diverged, health.met, &health.away, &health.refusing) {
            (Some((why, since)), ..) => ("diverged", Some((format!("{why}. {DIVERGED}"), *since))),
            (None, false, away, _) => ("stale", away.clone()),
            (None, true, Some(away), _) => ("unavailable", Some(away.clone())),
            (None, true, None, Some(refusing)) => ("refusing", Some(refusing.clone())),
            (None, true, None, None) => ("ok", None),
        };
        let (detail, since) = trouble.unzip();
        StoreStatus { kind: "redis".to_owned(), state: state.to_owned(), revision, since, detail }
    }
}

//! How a VM comes by its snapshots: a long poll to the control plane, then the segments that it does not have yet,
//! in pieces, then one swap.
//!
//! Every VM polls for itself: shared data would have to be trusted, and a leader could die. The steps are driven by
//! the answers of callouts and, for retries and the sliced checking of segments, by the tick. Nothing that comes in is
//! believed before its signature (manifest) or digest (segment) was checked; a bad answer changes nothing but a
//! counter, and the running snapshot serves until its maximum age.

use crate::config::Config;
use crate::host;
use crate::metrics::Poll;
use crate::parts::{self, Loaded, Loader, Part};
use partywall_core::snapshot::wire::{Content, Manifest, PIECE};
use partywall_core::snapshot::{self, Snapshot};
use proxy_wasm::hostcalls::dispatch_http_call;
use proxy_wasm::types::{BufferType, LogLevel, MapType};
use std::hash::{BuildHasher, RandomState};
use std::rc::Rc;
use std::time::{Duration, Instant};

/// How long the control plane may keep a poll open at most, in seconds.
const WAIT_S: u64 = 25;
/// Our own patience with a poll: longer than the control plane's.
const POLL_TIMEOUT: Duration = Duration::from_secs(35);
/// Our patience with a piece of a segment or a report.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(10);
const BACKOFF_MIN: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(5);
/// Manifests above this are refused unread.
const MANIFEST_MAX: usize = 8 * 1024 * 1024;

/// What a step of the synchronisation yields.
pub enum Progress {
    /// Nothing to do for the caller.
    None,
    /// The control plane has vouched for the running revision: it is fresh, for so many seconds.
    Fresh(u64),
    /// A new snapshot, fresh for so many seconds.
    Swap(Rc<Snapshot>, u64),
}

enum Phase {
    Idle { not_before: Instant },
    Polling { token: u32, nonce: String },
    Fetching(Box<Fetch>),
}

/// A revision on its way in.
struct Fetch {
    token: Option<u32>,
    manifest: Manifest,
    content: Content,
    todo: Vec<Part>,
    loader: Option<(Part, Loader, u64)>,
    done: Vec<(String, Loaded)>,
}

/// The synchronisation of one VM.
pub struct Sync {
    phase: Phase,
    instance: String,
    revision: u64,
    /// What the control plane calls what runs.
    tag: String,
    segments: Vec<(String, Loaded)>,
    backoff: Duration,
    /// How long the next poll may be kept open: not at all after a failure, when freshness is what is needed, and never so
    /// long that the snapshot could grow stale over it.
    wait_s: u64,
    random: RandomState,
    polls: u64,
}

impl Sync {
    /// Nothing loaded; the first poll leaves with the first tick.
    pub fn new(node: &str, now: Instant) -> Self {
        let random = RandomState::new();
        let node: String =
            node.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')).take(64).collect();
        let instance =
            format!("{}.{:08x}", if node.is_empty() { "envoy" } else { &node }, random.hash_one("instance") >> 32);
        Self {
            phase: Phase::Idle { not_before: now },
            instance,
            revision: 0,
            tag: String::new(),
            segments: Vec::new(),
            backoff: BACKOFF_MIN,
            wait_s: 0,
            random,
            polls: 0,
        }
    }

    /// This VM's name at the control plane.
    pub fn instance(&self) -> &str {
        &self.instance
    }

    /// The running revision; 0 for none.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// Whether `token` is a call of ours.
    pub fn awaits(&self, token: u32) -> bool {
        match &self.phase {
            Phase::Polling { token: waiting, .. } => *waiting == token,
            Phase::Fetching(fetch) => fetch.token == Some(token),
            Phase::Idle { .. } => false,
        }
    }

    /// Starts what is due.
    pub fn tick(&mut self, config: &Config, now: Instant) {
        if matches!(self.phase, Phase::Idle { not_before } if now >= not_before) {
            self.poll(config, now);
        }
    }

    fn poll(&mut self, config: &Config, now: Instant) {
        self.polls = self.polls.wrapping_add(1);
        // Unique for ever and not to be guessed: the hasher's key is random and used for nothing else.
        let nonce =
            format!("{:016x}{:016x}", self.random.hash_one((self.polls, 1u8)), self.random.hash_one((self.polls, 2u8)));
        let path = format!(
            "/v1/snapshot?have={}&tag={}&wait={}&nonce={nonce}&instance={}",
            self.revision, self.tag, self.wait_s, self.instance
        );
        match call(config, "GET", &path, None, POLL_TIMEOUT) {
            Some(token) => self.phase = Phase::Polling { token, nonce },
            None => self.retry(now),
        }
    }

    fn retry(&mut self, now: Instant) {
        self.wait_s = 0;
        let jitter = 500u64.saturating_add(self.random.hash_one(self.polls) % 1000);
        let wait = u64::try_from(self.backoff.as_millis()).unwrap_or(1000).saturating_mul(jitter) / 1000;
        self.phase = Phase::Idle { not_before: now.checked_add(Duration::from_millis(wait)).unwrap_or(now) };
        self.backoff = self.backoff.saturating_mul(2).min(BACKOFF_MAX);
    }

    /// An answer to a call of ours: `body` is `None` when it failed or was not 200. `poll` tells how a poll ended.
    pub fn answer(&mut self, config: &Config, body: Option<Vec<u8>>, now: Instant) -> (Progress, Option<Poll>) {
        match std::mem::replace(&mut self.phase, Phase::Idle { not_before: now }) {
            Phase::Polling { nonce, .. } => self.polled(config, body, &nonce, now),
            Phase::Fetching(fetch) => (self.fetched(config, fetch, body, now), None),
            idle @ Phase::Idle { .. } => {
                self.phase = idle;
                (Progress::None, None)
            }
        }
    }

    fn polled(
        &mut self,
        config: &Config,
        body: Option<Vec<u8>>,
        nonce: &str,
        now: Instant,
    ) -> (Progress, Option<Poll>) {
        let Some(body) = body.filter(|body| body.len() <= MANIFEST_MAX) else {
            self.retry(now);
            return (Progress::None, Some(Poll::Failed));
        };
        let manifest = match snapshot::open(&body, &config.public_keys, nonce, self.revision) {
            Ok(manifest) => manifest,
            Err(error) => {
                host::log(LogLevel::Error, &format!("partywall: a snapshot was refused: {error}"));
                self.retry(now);
                return (Progress::None, Some(Poll::Rejected));
            }
        };
        self.backoff = BACKOFF_MIN;
        self.wait_s = (manifest.max_age_s / 3).clamp(1, WAIT_S);
        let mut manifest = manifest;
        let Some(content) = manifest.content.take() else {
            let fresh = Progress::Fresh(manifest.max_age_s);
            self.poll(config, now);
            return (fresh, Some(Poll::Verified));
        };
        let mut fetch = Fetch { token: None, manifest, todo: Vec::new(), loader: None, done: Vec::new(), content };
        for part in parts::parts(&fetch.content) {
            match self.segments.iter().find(|(digest, _)| *digest == part.segment().digest) {
                Some(known) => fetch.done.push(known.clone()),
                None => fetch.todo.push(part),
            }
        }
        (self.advance(config, Box::new(fetch), now), Some(Poll::Verified))
    }

    fn fetched(&mut self, config: &Config, mut fetch: Box<Fetch>, body: Option<Vec<u8>>, now: Instant) -> Progress {
        let piece = body.filter(|piece| !piece.is_empty() && piece.len() <= PIECE);
        let (Some(piece), Some((_, loader, offset))) = (piece, fetch.loader.as_mut()) else {
            self.retry(now);
            return Progress::None;
        };
        *offset = offset.saturating_add(u64::try_from(piece.len()).unwrap_or(u64::MAX));
        if let Err(error) = loader.push(&piece) {
            return self.refuse(&format!("a fingerprint segment was refused: {error}"), now);
        }
        self.advance(config, fetch, now)
    }

    /// Fetches the next piece, or finishes.
    fn advance(&mut self, config: &Config, mut fetch: Box<Fetch>, now: Instant) -> Progress {
        loop {
            if let Some((part, loader, offset)) = fetch.loader.take() {
                let segment = part.segment();
                if offset < segment.bytes {
                    let length = segment.bytes.saturating_sub(offset).min(u64::try_from(PIECE).unwrap_or(0));
                    let path = format!("/v1/segments/{}?offset={offset}&length={length}", segment.digest);
                    fetch.token = call(config, "GET", &path, None, CALL_TIMEOUT);
                    if fetch.token.is_none() {
                        self.retry(now);
                        return Progress::None;
                    }
                    fetch.loader = Some((part, loader, offset));
                    self.phase = Phase::Fetching(fetch);
                    return Progress::None;
                }
                match loader.finish() {
                    Ok(loaded) => fetch.done.push((segment.digest.clone(), loaded)),
                    Err(error) => return self.refuse(&format!("a fingerprint segment was refused: {error}"), now),
                }
            }
            let Some(part) = fetch.todo.pop() else { break };
            match part.loader() {
                Ok(loader) => fetch.loader = Some((part, loader, 0)),
                Err(error) => return self.refuse(&format!("a fingerprint segment was refused: {error}"), now),
            }
        }
        let Some(set) = parts::set(&fetch.content, &fetch.done) else {
            return self.refuse("a revision lacks a segment or a key, or has too many segments", now);
        };
        match Snapshot::compile(fetch.manifest.revision, &fetch.content, Rc::new(set)) {
            Ok(snapshot) => {
                self.revision = fetch.manifest.revision;
                self.tag = std::mem::take(&mut fetch.manifest.tag);
                self.segments = fetch.done;
                self.poll(config, now);
                Progress::Swap(Rc::new(snapshot), fetch.manifest.max_age_s)
            }
            Err(error) => {
                self.refuse(&format!("revision {} cannot be compiled: {error}", fetch.manifest.revision), now)
            }
        }
    }

    fn refuse(&mut self, why: &str, now: Instant) -> Progress {
        host::log(LogLevel::Error, &format!("partywall: {why}"));
        self.retry(now);
        Progress::None
    }
}

/// Sends a call to the control plane; `None` when it could not even leave.
pub fn call(config: &Config, method: &str, path: &str, body: Option<&[u8]>, timeout: Duration) -> Option<u32> {
    let bearer = format!("Bearer {}", config.token);
    let headers = vec![
        (":method", method),
        (":path", path),
        (":authority", config.authority.as_str()),
        ("authorization", bearer.as_str()),
        ("content-type", "application/json"),
        ("accept", "*/*"),
    ];
    dispatch_http_call(&config.cluster, headers, body, vec![], timeout).ok()
}

/// The body of an answer, when it is one of status 200 or 202. A failed call has no headers at all.
pub fn answer_body(headers: usize, size: usize) -> Option<Vec<u8>> {
    if headers == 0 {
        return None;
    }
    let map = host::headers(MapType::HttpCallResponseHeaders).ok()?;
    let status = map.iter().find(|(name, _)| name == b":status").map(|(_, value)| value.as_slice())?;
    if status != b"200" && status != b"202" {
        return None;
    }
    host::body(BufferType::HttpCallResponseBody, 0, size).ok()
}

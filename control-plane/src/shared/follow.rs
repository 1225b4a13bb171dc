//! Following the store, for as long as the policy keeps fingerprints there.

use super::Remote;
use crate::state::App;
use anyhow::{Result, anyhow};
use redis::RedisError;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

const BACKOFF_MIN: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(3);
/// How long one wait for a change lasts; then the store is looked at anyway.
const WAIT: Duration = Duration::from_secs(1);
/// How often we say that we live.
const BEAT: Duration = Duration::from_secs(2);

/// Follows on a thread of its own.
pub fn start(app: &Arc<App>) {
    let app = Arc::clone(app);
    std::thread::spawn(move || {
        let Some(remote) = app.store_remote() else { return };
        let instance = super::random().unwrap_or_default();
        let mut pause = BACKOFF_MIN;
        loop {
            if !app.shares() {
                std::thread::sleep(Duration::from_millis(200));
                continue;
            }
            // A fault of the client must not end the following.
            let run = AssertUnwindSafe(|| session(&app, remote, &instance, &mut pause));
            match std::panic::catch_unwind(run).unwrap_or_else(|_| Err(anyhow!("its client failed"))) {
                Ok(()) => {}
                Err(error) => {
                    app.store_away(&error);
                    std::thread::sleep(pause);
                    pause = pause.saturating_mul(2).min(BACKOFF_MAX);
                }
            }
        }
    });
}

/// Follows over one connection, until it breaks or the policy changes.
fn session(app: &App, remote: &Remote, instance: &str, pause: &mut Duration) -> Result<()> {
    let mut connection = remote.connect()?;
    let mut beat: Option<Instant> = None;
    while app.shares() {
        let revision = app.follow_store(remote, &mut connection)?;
        *pause = BACKOFF_MIN;
        if beat.is_none_or(|last| last.elapsed() > BEAT) {
            match remote.beat(&mut connection, instance) {
                Ok(()) => app.store_takes(None),
                // Redis answers, and says no: reading goes on.
                Err(error) if error.downcast_ref::<RedisError>().is_some_and(|error| !error.is_io_error()) => {
                    app.store_takes(Some(&error));
                }
                Err(error) => return Err(error),
            }
            beat = Some(Instant::now());
        }
        match revision {
            Some(revision) => remote.wait(&mut connection, revision, WAIT)?,
            None => std::thread::sleep(WAIT),
        }
    }
    Ok(())
}

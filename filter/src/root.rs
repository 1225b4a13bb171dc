//! What outlives a request in one VM: configuration, snapshot, reports.
//!
//! `on_configure` also runs in VMs that never serve (Envoy's main thread), so it only parses, defines metrics and
//! sets the tick. A VM that was just made has no snapshot, and no snapshot denies.

use crate::config::Config;
use crate::harvest::Harvester;
use crate::host;
use crate::metrics::Metrics;
use crate::report::Reporter;
use crate::stream::Stream;
use crate::sync::{self, CALL_TIMEOUT, Progress, Sync};
use partywall_core::harvest::Written;
use partywall_core::record::Decision;
use partywall_core::session::Standing;
use partywall_core::snapshot::Snapshot;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{ContextType, LogLevel};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// How often the VM looks for what is due: the longest that an alert waits.
const TICK: Duration = Duration::from_millis(50);

/// What the streams of a VM share.
pub struct Shared {
    snapshot: Option<Rc<Snapshot>>,
    /// Until when the snapshot may be used.
    fresh_until: Instant,
    metrics: Option<Metrics>,
    reporter: Reporter,
    harvester: Harvester,
}

impl Shared {
    /// What holds for a request that begins now.
    pub fn standing(&self) -> Standing {
        match &self.snapshot {
            None => Standing::Missing,
            Some(snapshot) if Instant::now() > self.fresh_until => Standing::Stale(snapshot.revision),
            Some(snapshot) => Standing::Ready(Rc::clone(snapshot)),
        }
    }

    /// A request is over.
    pub fn decided(&mut self, decision: Decision) {
        if let Some(metrics) = &self.metrics {
            metrics.decided(&decision);
        }
        let lost = self.reporter.push(&decision);
        self.count_lost(lost);
    }

    /// What a request wrote into a vector database.
    pub fn harvested(&mut self, documents: &[Written], skipped: u64) {
        let lost = self.harvester.push(documents, skipped);
        if let Some(metrics) = &self.metrics {
            metrics.documents(u64::try_from(documents.len()).unwrap_or(0), lost);
        }
    }

    fn count_lost(&self, lost: u64) {
        if let Some(metrics) = &self.metrics {
            metrics.lost(lost);
        }
    }
}

/// The root context.
pub struct Root {
    shared: Rc<RefCell<Shared>>,
    running: Option<(Config, Sync)>,
}

impl Root {
    /// A root that knows nothing and denies.
    pub fn new() -> Self {
        let now = Instant::now();
        let shared = Shared {
            snapshot: None,
            fresh_until: now,
            metrics: None,
            reporter: Reporter::new(now),
            harvester: Harvester::new(now),
        };
        Self { shared: Rc::new(RefCell::new(shared)), running: None }
    }

    fn configure(&mut self) -> Result<(), String> {
        let bytes = self.get_plugin_configuration().unwrap_or_default();
        let mut config = Config::parse(&bytes)?;
        if config.node.is_empty() {
            let id = self.get_property(vec!["node", "id"]).unwrap_or_default();
            config.node = String::from_utf8_lossy(&id).into_owned();
        }
        let metrics = Metrics::define().ok_or("the host refused to define metrics")?;
        self.shared.try_borrow_mut().map_err(|_| "reconfigured in the middle of a request")?.metrics = Some(metrics);
        let sync = Sync::new(&config.node, Instant::now());
        self.running = Some((config, sync));
        self.set_tick_period(TICK);
        Ok(())
    }

    fn progress(&self, progress: Progress, now: Instant) {
        let Ok(mut shared) = self.shared.try_borrow_mut() else { return };
        let until = |seconds| now.checked_add(Duration::from_secs(seconds)).unwrap_or(now);
        match progress {
            Progress::None => {}
            Progress::Fresh(seconds) => shared.fresh_until = until(seconds),
            Progress::Swap(snapshot, seconds) => {
                if let Some(metrics) = &shared.metrics {
                    metrics.enforced(&snapshot);
                }
                host::log(LogLevel::Info, &format!("partywall: revision {} is in force", snapshot.revision));
                shared.snapshot = Some(snapshot);
                shared.fresh_until = until(seconds);
            }
        }
    }
}

impl Context for Root {
    fn on_http_call_response(&mut self, token: u32, headers: usize, size: usize, _: usize) {
        let now = Instant::now();
        let Some((config, sync)) = &mut self.running else { return };
        let body = sync::answer_body(headers, size);
        if sync.awaits(token) {
            let (progress, poll) = sync.answer(config, body, now);
            if let (Some(poll), Ok(shared)) = (poll, self.shared.try_borrow())
                && let Some(metrics) = &shared.metrics
            {
                metrics.polled(poll);
            }
            self.progress(progress, now);
        } else if let Ok(mut shared) = self.shared.try_borrow_mut() {
            match (shared.reporter.awaits(token), shared.harvester.awaits(token), body) {
                (true, _, Some(_)) => shared.reporter.acknowledged(),
                (true, _, None) => {
                    let lost = shared.reporter.failed(now);
                    shared.count_lost(lost);
                }
                (_, true, Some(_)) => shared.harvester.acknowledged(),
                (_, true, None) => shared.harvester.failed(now),
                _ => {}
            }
        }
    }
}

impl RootContext for Root {
    fn on_configure(&mut self, _: usize) -> bool {
        match self.configure() {
            Ok(()) => true,
            Err(why) => {
                host::log(LogLevel::Critical, &format!("partywall: {why}"));
                false
            }
        }
    }

    fn on_tick(&mut self) {
        let now = Instant::now();
        let Some((config, sync)) = &mut self.running else { return };
        sync.tick(config, now);
        let Ok(mut shared) = self.shared.try_borrow_mut() else { return };
        if let Some(metrics) = &shared.metrics {
            metrics.memory();
        }
        if let Some(body) = shared.harvester.due(now, sync.instance()) {
            match sync::call(config, "POST", "/v1/rag-writes", Some(&body), CALL_TIMEOUT) {
                Some(token) => shared.harvester.sent(token),
                None => shared.harvester.failed(now),
            }
        }
        let Some(body) = shared.reporter.due(now, sync.instance(), sync.revision()) else { return };
        match sync::call(config, "POST", "/v1/events", Some(&body), CALL_TIMEOUT) {
            Some(token) => shared.reporter.sent(token),
            None => {
                let lost = shared.reporter.failed(now);
                shared.count_lost(lost);
            }
        }
    }

    fn create_http_context(&self, _: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Stream::new(Rc::clone(&self.shared))))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

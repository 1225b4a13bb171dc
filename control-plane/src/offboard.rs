//! The end of a tenant: refuse its traffic, delete its namespace in every database, search until nothing remains, forget it,
//! and say so in a signed receipt.
//!
//! Every step can be repeated, and is noted on disk. A failure leaves the tenant locked: asked again, or started again, the
//! whole way is gone once more, and what is gone already is found to be.

use crate::api::Shared;
use crate::backends::{self, Database, Site};
use crate::state::{App, PlaceReceipt, Receipt, Step, StepStatus, Unsearched, now};
use anyhow::{Context, Result, anyhow, bail};
use partywall_core::snapshot::wire::SurfaceKind;
use partywall_core::tenant::TenantId;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// How long workers may take to enforce the lock.
const CONVERGE: Duration = Duration::from_secs(600);
/// How often a place is searched before it is given up.
const SCANS: u64 = 60;
/// Between two searches. Two in a row must find nothing: a request that was in flight may still have written.
const PAUSE: Duration = Duration::from_millis(500);

/// Goes on with every offboarding that a restart interrupted.
pub fn resume(app: &Shared) {
    for offboarding in app.offboardings() {
        if offboarding.status == "running" {
            tracing::info!(tenant = %offboarding.tenant, "going on with an offboarding");
            start(app, offboarding.tenant);
        }
    }
}

/// Runs an offboarding that was begun, in the background.
pub fn start(app: &Shared, tenant: TenantId) {
    let app = Shared::clone(app);
    tokio::spawn(async move {
        let (shared, whose) = (Shared::clone(&app), tenant.clone());
        let ran = tokio::spawn(async move { run(&shared, &whose).await }).await;
        if let Err(error) = ran.unwrap_or_else(|broken| Err(anyhow!("it broke off: {broken}"))) {
            let why = format!("{error:#}");
            tracing::error!(%tenant, why, "the offboarding failed; the tenant stays locked");
            let noted = app.note_offboarding(&tenant, |offboarding| {
                offboarding.status = "failed".to_owned();
                offboarding.error = Some(why.clone());
                if let Some(step) = offboarding.steps.last_mut().filter(|step| step.status == StepStatus::Running) {
                    step.status = StepStatus::Failed;
                    step.detail = why;
                    step.changed_at = now();
                }
            });
            if let Err(error) = noted {
                tracing::error!(%tenant, error = format!("{error:#}"), "the failure could not be noted");
            }
        }
    });
}

async fn run(app: &Shared, tenant: &TenantId) -> Result<()> {
    let begun = app.offboarding(tenant).context("it was not begun")?;
    app.note_offboarding(tenant, |offboarding| offboarding.steps.clear())?;
    let revision = app.read(|model| model.revision());

    note(app, tenant, "refuse traffic")?;
    let proxies = converge(app, tenant, revision).await?;
    done(app, tenant, format!("{proxies} proxy workers enforce revision {revision}"))?;

    let (compiled, former) = app.read(|model| (model.compiled.clone(), model.former.clone()));
    let sites = compiled.as_ref().map(|compiled| backends::sites(compiled, tenant)).transpose()?.unwrap_or_default();
    let mut places = Vec::new();
    let mut searched = BTreeSet::new();
    for site in &sites {
        let database = site.database()?;
        for collection in site.physical() {
            note(app, tenant, &format!("delete {}/{collection}", site.surface))?;
            let place = empty(app, site, &database, &collection).await?;
            done(app, tenant, format!("{} records found, 0 remain after {} scans", place.found, place.scans))?;
            searched.insert(identity(site, &collection));
            places.push(place);
        }
        database.finish().await?;
    }

    // What an earlier policy, or one that was forced, has left behind. A database that is gone for good must not hold the end up.
    let reach = compiled.as_ref().map(|compiled| compiled.reach.as_slice()).unwrap_or_default();
    let is_tenant = |id: &TenantId| app.read(|model| model.tenants.contains_key(id));
    let mut unsearched: Vec<Unsearched> = Vec::new();
    let mut silent: BTreeMap<Option<&str>, String> = BTreeMap::new();
    for site in &backends::earlier_sites(&former, reach, tenant)? {
        for collection in site.physical() {
            if !searched.insert(identity(site, &collection)) {
                continue;
            }
            note(app, tenant, &format!("delete {}/{collection} of an earlier policy", site.surface))?;
            let url = site.reach.as_ref().map(|(url, _)| url.as_str());
            let outdated = compiled.as_ref().and_then(|now| backends::outdated(site, now, is_tenant));
            let emptied = match (outdated, silent.get(&url), site.database()) {
                (Some(why), ..) => Err(anyhow!(why)),
                // It is not waited for twice.
                (None, Some(why), _) => Err(anyhow!(why.clone())),
                (None, None, Ok(database)) => empty(app, site, &database, &collection).await,
                (None, None, Err(error)) => Err(error),
            };
            match emptied {
                Ok(place) => {
                    done(app, tenant, format!("{} records found, 0 remain after {} scans", place.found, place.scans))?;
                    // Where there never was anything, there is nothing to tell.
                    if place.found > 0 {
                        places.push(place);
                    }
                }
                Err(error) => {
                    let why = format!("{error:#}");
                    if why.contains("cannot be reached") {
                        silent.insert(url, why.clone());
                    }
                    done(app, tenant, format!("NOT searched: {why}"))?;
                    unsearched.push(Unsearched {
                        surface: site.surface.clone(),
                        database: site.database.clone(),
                        collection,
                        namespace: site.namespace.clone(),
                        why,
                    });
                }
            }
        }
    }

    note(app, tenant, "forget fingerprints and statistics")?;
    let (fingerprints_removed, fingerprints_shared) = app.drop_owner(tenant)?;
    let documents = app.remove_documents(tenant, None)?;
    let statistics_removed = app.forget_counts(tenant)?;
    done(
        app,
        tenant,
        format!(
            "{fingerprints_removed} fingerprints, {documents} documents' phrases, {statistics_removed} hours of statistics"
        ),
    )?;

    note(app, tenant, "destroy keys")?;
    done(app, tenant, "no keys per tenant are configured".to_owned())?;

    note(app, tenant, "issue the receipt")?;
    done(app, tenant, "signed".to_owned())?;
    let receipt = Receipt {
        version: 1,
        tenant: tenant.to_string(),
        requested_by: begun.requested_by,
        locked_at: begun.started_at,
        revision,
        proxies,
        places,
        unsearched,
        fingerprints_removed,
        fingerprints_shared,
        statistics_removed,
        keys: "none: keys per tenant are not configured".to_owned(),
        kept: "decision records and alerts (ids, codes and counts, no content) until they are overwritten: the audit trail".to_owned(),
        issued_at: now(),
    };
    app.finish_offboarding(tenant, &receipt)?;
    tracing::info!(%tenant, "offboarded");
    Ok(())
}

/// What makes a place the same one.
fn identity(site: &Site, collection: &str) -> [String; 6] {
    let url = site.reach.as_ref().map(|(url, _)| url.clone()).unwrap_or_default();
    // In Pinecone the namespace is one place, whatever the collection is called.
    let collection = if site.kind == SurfaceKind::Pinecone { "" } else { collection };
    let kind = format!("{:?} {}", site.kind, site.chroma_tenant);
    [url, kind, site.database.clone(), collection.to_owned(), site.key.clone(), site.namespace.clone()]
}

async fn converge(app: &App, tenant: &TenantId, revision: u64) -> Result<u64> {
    let start = Instant::now();
    let mut said = String::new();
    loop {
        let (live, enforcing) = app.enforcing(revision);
        if live == enforcing {
            return Ok(enforcing);
        }
        let waits = match app.unheard() {
            (0, _) => format!("waiting for {} of {live} proxy workers", live - enforcing),
            (silent, s) => format!(
                "waiting for {} of {live} proxy workers; {silent} were not heard of since the control plane started and may serve for {s} s yet",
                live - enforcing
            ),
        };
        // Seldom: it is written down each time.
        if waits != said && (said.is_empty() || start.elapsed().as_secs().is_multiple_of(5)) {
            app.note_offboarding(tenant, |offboarding| {
                if let Some(step) = offboarding.steps.last_mut() {
                    step.detail.clone_from(&waits);
                }
            })?;
            said = waits;
        }
        if start.elapsed() > CONVERGE {
            bail!("{} of {live} proxy workers do not enforce the lock: see `partywall sidecars`", live - enforcing);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Deletes a place and searches it until nothing remains.
async fn empty(app: &App, site: &Site, database: &Database<'_>, collection: &str) -> Result<PlaceReceipt> {
    let word = |value: serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let mut place = PlaceReceipt {
        surface: site.surface.clone(),
        kind: word(serde_json::to_value(site.kind)?),
        strategy: word(serde_json::to_value(site.strategy)?),
        earlier: site.earlier,
        database: site.database.clone(),
        collection: collection.to_owned(),
        namespace: site.namespace.clone(),
        found: database.remaining(collection).await?,
        deleted_at: 0,
        scans: 0,
        remaining: 0,
        scanned_at: 0,
    };
    let name = format!("{}/{}/{collection}/{}", site.surface, site.database, site.namespace);
    app.note_offboarding(&site.tenant, |offboarding| {
        let most = offboarding.found.entry(name).or_default();
        *most = place.found.max(*most);
        place.found = *most;
    })?;
    let mut clean = 0;
    while clean < 2 {
        if clean == 0 {
            database.purge(collection).await?;
            place.deleted_at = now();
        }
        if place.scans >= SCANS {
            return Err(anyhow!(
                "{} records of {}/{collection} are still there after {SCANS} scans",
                place.remaining,
                site.surface
            ));
        }
        if place.scans > 0 {
            tokio::time::sleep(PAUSE).await;
        }
        place.remaining = database.remaining(collection).await?;
        place.scans += 1;
        place.scanned_at = now();
        clean = if place.remaining == 0 { clean + 1 } else { 0 };
    }
    Ok(place)
}

fn note(app: &App, tenant: &TenantId, name: &str) -> Result<()> {
    let step = Step { name: name.to_owned(), status: StepStatus::Running, detail: String::new(), changed_at: now() };
    app.note_offboarding(tenant, |offboarding| offboarding.steps.push(step))
}

fn done(app: &App, tenant: &TenantId, detail: String) -> Result<()> {
    app.note_offboarding(tenant, |offboarding| {
        if let Some(step) = offboarding.steps.last_mut() {
            step.status = StepStatus::Done;
            step.detail = detail;
            step.changed_at = now();
        }
    })
}

//! All routes. The OpenAPI document is made from the same list, so they cannot disagree.

use crate::api::{
    Shared, alerts, audits, documents, events, fingerprints, health, policy, rag, snapshot, tenants, tokens,
};
use axum::extract::DefaultBodyLimit;
use axum::routing::get;
use axum::{Json, Router};
use utoipa::OpenApi as _;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

#[derive(utoipa::OpenApi)]
#[openapi(info(
    title = "Partywall control plane",
    description = "Policy, tenants and fingerprints in, signed snapshots out."
))]
struct Document;

/// All routes and their document.
pub fn routes() -> (Router<Shared>, utoipa::openapi::OpenApi) {
    let small = OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(tenants::list, tenants::add))
        .routes(routes!(tenants::show, tenants::edit, tenants::remove))
        .routes(routes!(tenants::revoke_tokens))
        .routes(routes!(fingerprints::list, fingerprints::add))
        .routes(routes!(fingerprints::show, fingerprints::remove))
        .routes(routes!(documents::explain))
        .routes(routes!(documents::rotate))
        .routes(routes!(fingerprints::store))
        .routes(routes!(fingerprints::restore))
        .routes(routes!(fingerprints::accept))
        .routes(routes!(policy::current, policy::apply))
        .routes(routes!(policy::validate))
        .routes(routes!(policy::history))
        .routes(routes!(policy::rollback))
        .routes(routes!(snapshot::poll))
        .routes(routes!(snapshot::segment))
        .routes(routes!(snapshot::sidecars))
        .routes(routes!(events::list))
        .routes(routes!(events::feed))
        .routes(routes!(rag::namespaces))
        .routes(routes!(rag::alerts))
        .routes(routes!(alerts::receivers))
        .routes(routes!(alerts::test))
        .routes(routes!(rag::offboard, rag::offboarding))
        .routes(routes!(rag::offboardings))
        .routes(routes!(rag::adopt))
        .routes(routes!(audits::run, audits::list))
        .routes(routes!(audits::show))
        .routes(routes!(tokens::list, tokens::create))
        .routes(routes!(tokens::revoke))
        .routes(routes!(health::status))
        .routes(routes!(health::healthz))
        .routes(routes!(health::readyz))
        .routes(routes!(health::metrics))
        .layer(DefaultBodyLimit::max(1024 * 1024));
    let reports = OpenApiRouter::new().routes(routes!(events::report)).layer(DefaultBodyLimit::max(4 * 1024 * 1024));
    let bulk = OpenApiRouter::new()
        .routes(routes!(fingerprints::bulk))
        .routes(routes!(documents::list, documents::bulk))
        .routes(routes!(documents::put, documents::show, documents::remove))
        .routes(routes!(documents::harvest))
        .routes(routes!(documents::add_common, documents::clear_common))
        .layer(DefaultBodyLimit::max(64 * 1024 * 1024));
    small.merge(reports).merge(bulk).split_for_parts()
}

/// The service.
pub fn service(app: Shared) -> Router {
    let (router, document) = routes();
    router.route("/openapi.json", get(move || async move { Json(document) })).with_state(app)
}

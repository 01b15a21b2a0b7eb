//! Is it alive, is it ready, how is it doing?

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use chrono::{SecondsFormat, Utc};
use http::StatusCode;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::App;

#[derive(Serialize, ToSchema)]
struct Health {
    status: &'static str,
    /// Of the server.
    #[schema(format = DateTime)]
    timestamp: String,
    /// `enabled` when client calls need a key.
    auth: &'static str,
    version: &'static str,
}

#[derive(Serialize, ToSchema)]
struct Alive {
    status: &'static str,
}

#[derive(Serialize, ToSchema)]
struct Unready {
    status: &'static str,
    reasons: Vec<String>,
    code: &'static str,
    /// The reasons in one sentence.
    message: String,
    error: &'static str,
}

/// Does the process answer?
///
/// Whatever its neighbours do, as the old dashboard asks; see `/readyz` for whether events can be accepted.
#[utoipa::path(
    get, path = "/v1/health", operation_id = "health", tag = "Service", security(()),
    responses((status = 200, description = "It does.", body = Health)),
)]
pub async fn old(State(app): State<Arc<App>>) -> Response {
    Json(Health {
        status: "ok",
        timestamp: Utc::now().to_rfc3339_opts(SecondsFormat::Millis, true),
        auth: if app.door.required() { "enabled" } else { "disabled" },
        version: env!("CARGO_PKG_VERSION"),
    })
    .into_response()
}

/// Is it alive? Restart it when this is not answered.
#[utoipa::path(
    get, path = "/livez", operation_id = "livez", tag = "Service", security(()),
    responses((status = 200, description = "It is.", body = Alive)),
)]
pub async fn live() -> Response {
    Json(Alive { status: "alive" }).into_response()
}

/// Can events be accepted, and if not, why?
#[utoipa::path(
    get, path = "/readyz", operation_id = "readyz", tag = "Service", security(()),
    responses(
        (status = 200, description = "They can.", body = Alive),
        (status = 503, description = "They cannot.", body = Unready, headers(("Retry-After" = i64))),
    ),
)]
pub async fn ready(State(app): State<Arc<App>>) -> Response {
    let reasons = app.readiness.reasons();
    if reasons.is_empty() {
        return Json(Alive { status: "ready" }).into_response();
    }
    let body = Unready {
        status: "unready",
        message: reasons.join("; "),
        reasons,
        code: "not_ready",
        error: "Service Unavailable",
    };
    (StatusCode::SERVICE_UNAVAILABLE, [(RETRY_AFTER, "2")], Json(body)).into_response()
}

/// Metrics for Prometheus.
#[utoipa::path(
    get, path = "/metrics", operation_id = "metrics", tag = "Service", security(()),
    responses((status = 200, description = "The text format.", content_type = "text/plain", body = String)),
)]
pub async fn metrics(State(app): State<Arc<App>>) -> Response {
    let (idle, in_use) = app.database.connections();
    app.metrics.database_connections(idle, in_use);
    app.metrics.in_flight_bytes(app.budget.used_bytes());
    app.metrics.overlay_patches(app.overlay.len());
    let snapshot = Arc::clone(&app.campaigns.borrow());
    app.metrics.catalog(snapshot.version, snapshot.catalog.inert().len());
    app.metrics.keys_age(app.door.keys.table_age());
    app.metrics.ready(app.readiness.reasons().is_empty());
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], app.metrics_page.render()).into_response()
}

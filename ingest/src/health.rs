//! Is it alive, is it ready, how is it doing?

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use chrono::{SecondsFormat, Utc};
use http::StatusCode;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use serde_json::json;

use crate::app::App;

/// `GET /v1/health`, as the old dashboard reads it: the process answers, whatever its neighbours do.
pub async fn old(State(app): State<Arc<App>>) -> Response {
    Json(json!({
        "status": "ok",
        "timestamp": Utc::now().to_rfc3339_opts(SecondsFormat::Millis, true),
        "auth": if app.door.required() { "enabled" } else { "disabled" },
        "version": env!("CARGO_PKG_VERSION"),
    }))
    .into_response()
}

/// `GET /livez`: restart me when this does not answer.
pub async fn live() -> Response {
    Json(json!({"status": "alive"})).into_response()
}

/// `GET /readyz`: send me events, or the reasons why not.
pub async fn ready(State(app): State<Arc<App>>) -> Response {
    let reasons = app.readiness.reasons();
    if reasons.is_empty() {
        return Json(json!({"status": "ready"})).into_response();
    }
    let body = json!({
        "status": "unready",
        "reasons": reasons,
        "code": "not_ready",
        "message": reasons.join("; "),
        "error": "Service Unavailable",
    });
    (StatusCode::SERVICE_UNAVAILABLE, [(RETRY_AFTER, "2")], Json(body)).into_response()
}

/// `GET /metrics`, for Prometheus.
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

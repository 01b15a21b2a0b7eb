//! The worker's small HTTP side: is it alive, is it working, how is it doing.

use std::net::SocketAddr;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use metrics_exporter_prometheus::PrometheusHandle;
use serde_json::json;
use shared::runtime::shutdown::Shutdown;

use crate::Problem;
use crate::status::Board;

#[derive(Clone)]
struct Served {
    recorder: PrometheusHandle,
    board: Board,
    stop: Shutdown,
}

/// Binds and serves in a task. The address is logged, for port 0.
pub async fn serve(
    listen: SocketAddr,
    recorder: PrometheusHandle,
    board: Board,
    stop: &Shutdown,
) -> Result<(), Problem> {
    let listener = tokio::net::TcpListener::bind(listen)
        .await
        .map_err(|e| format!("WORKER_LISTEN={listen} cannot be used: {e}"))?;
    tracing::info!(address = %listener.local_addr()?, "listening");
    let served = Served { recorder, board, stop: stop.clone() };
    let router = Router::new()
        .route("/livez", get(async || Json(json!({ "status": "alive" }))))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(served);
    stop.supervise("http", async move {
        if let Err(error) = axum::serve(listener, router).await {
            tracing::error!(%error, "the HTTP server ended");
        }
    });
    Ok(())
}

async fn ready(State(served): State<Served>) -> impl IntoResponse {
    let mut reasons = served.board.not_ready();
    if served.stop.is_stopping() {
        reasons.push("stopping".to_owned());
    }
    if reasons.is_empty() {
        return (StatusCode::OK, Json(json!({ "status": "ready" })));
    }
    (StatusCode::SERVICE_UNAVAILABLE, Json(json!({ "status": "not ready", "reasons": reasons })))
}

async fn metrics(State(served): State<Served>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], served.recorder.render())
}

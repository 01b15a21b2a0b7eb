//! The worker's small HTTP side: is it alive, is it working, how is it doing.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use metrics_exporter_prometheus::PrometheusHandle;
use serde_json::json;
use shared::runtime::shutdown::Shutdown;
use shared::store::catalog::Snapshot;
use tokio::sync::watch;

use crate::listener::Capped;
use crate::status::Board;
use crate::{Problem, metrics};

#[derive(Clone)]
struct Served {
    recorder: PrometheusHandle,
    board: Board,
    campaigns: watch::Receiver<Arc<Snapshot>>,
    stop: Shutdown,
}

/// Binds and serves in a task. The address is logged, for port 0.
pub async fn serve(
    listen: SocketAddr,
    recorder: PrometheusHandle,
    board: Board,
    campaigns: watch::Receiver<Arc<Snapshot>>,
    stop: &Shutdown,
) -> Result<(), Problem> {
    let listener = tokio::net::TcpListener::bind(listen)
        .await
        .map_err(|e| format!("WORKER_LISTEN={listen} cannot be used: {e}"))?;
    tracing::info!(address = %listener.local_addr()?, "listening");
    let served = Served { recorder, board, campaigns, stop: stop.clone() };
    let router = Router::new()
        .route("/livez", get(async || Json(json!({ "status": "alive" }))))
        .route("/readyz", get(ready))
        .route("/metrics", get(page))
        .with_state(served);
    stop.supervise("http", async move {
        if let Err(error) = axum::serve(Capped::new(listener), router).await {
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

async fn page(State(served): State<Served>) -> impl IntoResponse {
    let snapshot = Arc::clone(&served.campaigns.borrow());
    metrics::catalog(snapshot.version, snapshot.catalog.inert().len());
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], served.recorder.render())
}

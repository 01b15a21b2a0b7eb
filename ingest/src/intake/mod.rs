//! The routes that take events in. Each request passes the same gates, in this order:
//!
//! ready? → budget → key in the headers, and what it has left → body (read, decoded) → key in the body → its share of events and
//! bytes → parse → publish, and meanwhile match → answer after the acknowledgement.
//!
//! [`calls`] has a handler per route: [`single`] answers those of one event, [`batch`] those of many; [`arrivals`] keeps the books, [`packing`] cuts events into
//! submissions, [`refusal`] words what is wrong with an event.

pub mod arrivals;
pub mod batch;
pub mod calls;
pub mod packing;
pub mod refusal;
pub mod single;

use axum::body::{Body, Bytes};
use axum::response::{IntoResponse, Response};
use http::HeaderMap;
use http::header::{CONTENT_TYPE, HeaderValue};
use serde::Serialize;

use self::arrivals::Arrivals;
use crate::app::App;
use crate::body;
use crate::budget::{Importance, Share};
use crate::keys::Caller;
use crate::problem::{Kind, Problem};

/// A request that passed the gates up to its body.
struct Admitted {
    body: Bytes,
    share: Share,
    /// Named by the headers; otherwise the body may.
    caller: Option<Caller>,
}

/// The gates before the body, and the body itself. Of a refused request a little more is read, so that its client sees the answer.
async fn admit(
    app: &App,
    headers: &HeaderMap,
    mut body: Body,
    importance: Importance,
    limit_bytes: usize,
) -> Result<Admitted, Problem> {
    let admitted = gates(app, headers, &mut body, importance, limit_bytes).await;
    if admitted.is_err() {
        body::discard(headers, body).await;
    }
    admitted
}

async fn gates(
    app: &App,
    headers: &HeaderMap,
    body: &mut Body,
    importance: Importance,
    limit_bytes: usize,
) -> Result<Admitted, Problem> {
    app.readiness.admit()?;
    let announced = body::announced_bytes(headers, limit_bytes)?;
    let mut share = app.budget.take(importance, announced)?;
    let caller = app.door.caller_in_headers(headers)?;
    if let Some(caller) = &caller {
        caller.meter.admit(&caller.source)?;
    }
    let body = body::read(headers, body, limit_bytes, &mut share).await?;
    Ok(Admitted { body, share, caller })
}

/// Ends a request: an answer, or a problem whose remaining events are counted under its reason.
fn finish(result: Result<Response, Problem>, arrivals: &mut Arrivals<'_>) -> Response {
    match result {
        Ok(response) => response,
        Err(problem) => {
            arrivals.reject_rest(&problem);
            problem.into_response()
        }
    }
}

/// `Idempotency-Key`, which names the events of a request that have no id of their own.
fn idempotency_key(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    const LIMIT_BYTES: usize = 255;
    let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
    let key = value.to_str().ok().map(str::trim).filter(|key| key.len() <= LIMIT_BYTES);
    let refused = || Problem::new(Kind::InvalidParameter, "Idempotency-Key must be at most 255 bytes of visible ASCII");
    let key = key.ok_or_else(refused)?;
    Ok(Some(key).filter(|key| !key.is_empty()))
}

/// A success answer: exactly 200, because some SDKs take every other 2xx for a failure.
pub fn ok(body: &impl Serialize) -> Result<Response, Problem> {
    let bytes =
        serde_json::to_vec(body).map_err(|e| Problem::new(Kind::Internal, "this failed on our side").caused_by(e))?;
    let mut response = Response::new(Body::from(bytes));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

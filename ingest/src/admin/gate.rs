//! The gate before every admin route: an admin key, then, for writes, the limit on how many.
//!
//! Questions that need a body ([`is_question`]) change nothing, so they do not count.
//!
//! Handlers behind it find the [`Caller`](crate::keys::Caller) in the request's extensions.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::Method;

use crate::app::App;
use crate::body;
use crate::fair_use::client_address::client_of;
use crate::problem::{Kind, Problem};

/// Wraps an admin route.
pub async fn admit(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    let caller = match app.door.admin(request.headers()) {
        Ok(caller) => caller,
        Err(problem) => return refused(request, problem).await,
    };
    request.extensions_mut().insert(caller);
    if matches!(*request.method(), Method::GET | Method::HEAD) || is_question(request.uri().path()) {
        return next.run(request).await;
    }
    let client = client_of(&request);
    let Some(quota) = app.admin_writes.count(client, Instant::now()) else {
        return next.run(request).await;
    };
    if quota.exceeded {
        let message = "too many changes from this address; try again after Retry-After";
        let problem = Problem::new(Kind::RateLimited, message).with_quota(quota);
        return refused(request, problem.with_error("Too many admin requests, please try again later.")).await;
    }
    let mut response = next.run(request).await;
    quota.mark(response.headers_mut());
    response
}

/// Is a POST to this path a question, which changes nothing?
#[must_use]
pub fn is_question(path: &str) -> bool {
    let of_campaigns = path.strip_prefix("/v1/admin/campaigns/");
    of_campaigns.is_some_and(|rest| rest == "backtest" || rest == "explain" || rest.ends_with("/explain"))
}

/// Reads on a little, so that a client that is still sending sees the answer.
async fn refused(request: Request, problem: Problem) -> Response {
    let (parts, body) = request.into_parts();
    body::discard(&parts.headers, body).await;
    problem.into_response()
}

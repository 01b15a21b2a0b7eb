//! Every route on one screen, with its body limit and who may use it.
//!
//! | route | body | key |
//! |---|---|---|
//! | one event | [`single::BODY_BYTES`] | client |
//! | `/v1/batch`, `/v1/import` | `MAX_BODY_BYTES`, after decompression | client |
//! | `/v1/admin/campaigns` | [`campaigns::BODY_BYTES`]: configurations hold images | admin |
//! | everything else | none | see the handler |

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::from_fn_with_state;
use axum::routing::{MethodRouter, get, post};
use shared::domain::event::EventType;

use crate::admin::{campaigns, events};
use crate::app::App;
use crate::budget::Importance;
use crate::intake::{batch, single};
use crate::{for_user, health, observe, problem};

/// What a 404 offers.
pub static PUBLIC_ROUTES: [&str; 17] = [
    "POST /v1/track",
    "POST /v1/identify",
    "POST /v1/page",
    "POST /v1/screen",
    "POST /v1/group",
    "POST /v1/alias",
    "POST /v1/batch",
    "POST /v1/import",
    "GET /v1/campaigns",
    "GET /v1/health",
    "GET /v1/admin/campaigns",
    "POST /v1/admin/campaigns",
    "GET /v1/admin/campaigns/{id}",
    "PUT /v1/admin/campaigns/{id}",
    "DELETE /v1/admin/campaigns/{id}",
    "GET /v1/admin/events",
    "GET /metrics",
];

/// Every path, with its short form where SDKs use one. Also the label values of the request counter.
pub static PATHS: [&str; 23] = [
    "/v1/track",
    "/v1/t",
    "/v1/identify",
    "/v1/i",
    "/v1/page",
    "/v1/p",
    "/v1/screen",
    "/v1/s",
    "/v1/group",
    "/v1/g",
    "/v1/alias",
    "/v1/a",
    "/v1/batch",
    "/v1/b",
    "/v1/import",
    "/v1/campaigns",
    "/v1/health",
    "/v1/admin/campaigns",
    "/v1/admin/campaigns/{id}",
    "/v1/admin/events",
    "/livez",
    "/readyz",
    "/metrics",
];

/// The whole API.
pub fn router(app: Arc<App>) -> Router {
    let one =
        |kind: EventType| post(move |state: State<Arc<App>>, request: Request| single::take(state, kind, request));
    let many = |importance: Importance| {
        post(move |state: State<Arc<App>>, request: Request| batch::take(state, importance, request))
    };
    let routes: [(&str, MethodRouter<Arc<App>>); PATHS.len()] = [
        ("/v1/track", one(EventType::Track)),
        ("/v1/t", one(EventType::Track)),
        ("/v1/identify", one(EventType::Identify)),
        ("/v1/i", one(EventType::Identify)),
        ("/v1/page", one(EventType::Page)),
        ("/v1/p", one(EventType::Page)),
        ("/v1/screen", one(EventType::Screen)),
        ("/v1/s", one(EventType::Screen)),
        ("/v1/group", one(EventType::Group)),
        ("/v1/g", one(EventType::Group)),
        ("/v1/alias", one(EventType::Alias)),
        ("/v1/a", one(EventType::Alias)),
        ("/v1/batch", many(Importance::Event)),
        ("/v1/b", many(Importance::Event)),
        ("/v1/import", many(Importance::Import)),
        ("/v1/campaigns", get(for_user::list)),
        ("/v1/health", get(health::old)),
        ("/v1/admin/campaigns", get(campaigns::list).post(campaigns::create)),
        ("/v1/admin/campaigns/{id}", get(campaigns::show).put(campaigns::change).delete(campaigns::delete)),
        ("/v1/admin/events", get(events::list)),
        ("/livez", get(health::live)),
        ("/readyz", get(health::ready)),
        ("/metrics", get(health::metrics)),
    ];
    let router = routes.into_iter().fold(Router::new(), |router, (path, methods)| router.route(path, methods));
    router
        .fallback(problem::no_such_route)
        .method_not_allowed_fallback(problem::wrong_method)
        .layer(from_fn_with_state(Arc::clone(&app), observe::observe))
        .with_state(app)
}

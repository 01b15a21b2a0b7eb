//! Every route on one screen, with its body limit and who may use it.
//!
//! | route | body | key |
//! |---|---|---|
//! | one event | [`single::BODY_BYTES`] | client |
//! | `/v1/batch`, `/v1/import`, `/v1/leads` | `MAX_BODY_BYTES`, after decompression | client |
//! | `/v1/admin/campaigns` | [`campaigns::BODY_BYTES`]: configurations hold images | admin |
//! | other writes below `/v1/admin` | [`crate::admin::sent::SMALL_BODY_BYTES`] | admin |
//! | everything else below `/v1/admin` | none | admin |
//! | everything else | none | see the handler |

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::from_fn_with_state;
use axum::routing::{MethodRouter, get, post, put};
use shared::domain::event::EventType;

use crate::admin::{
    campaigns, dead_letters, documents, events, features, gate, history, keys, members, profile, segments, users,
};
use crate::app::App;
use crate::budget::Importance;
use crate::intake::batch::Shape;
use crate::intake::{batch, single};
use crate::tail::listen;
use crate::{feature_flags, for_user, health, observe, problem, receipts};

/// What a 404 offers.
pub static PUBLIC_ROUTES: [&str; 52] = [
    "POST /v1/track",
    "POST /v1/identify",
    "POST /v1/page",
    "POST /v1/screen",
    "POST /v1/group",
    "POST /v1/alias",
    "POST /v1/batch",
    "POST /v1/import",
    "POST /v1/leads",
    "GET /v1/events/{message_id}",
    "GET /v1/campaigns",
    "GET /v1/features/{key}",
    "GET /v1/features/{key}/value",
    "GET /v1/features/{key}/payload",
    "GET /v1/health",
    "GET /v1/admin/campaigns",
    "POST /v1/admin/campaigns",
    "GET /v1/admin/campaigns/{id}",
    "PUT /v1/admin/campaigns/{id}",
    "DELETE /v1/admin/campaigns/{id}",
    "POST /v1/admin/campaigns/{id}/duplicate",
    "POST /v1/admin/campaigns/{id}/archive",
    "POST /v1/admin/campaigns/{id}/restore",
    "GET /v1/admin/campaigns/{id}/history",
    "GET /v1/admin/segments",
    "POST /v1/admin/segments",
    "GET /v1/admin/segments/{id}",
    "PUT /v1/admin/segments/{id}",
    "DELETE /v1/admin/segments/{id}",
    "GET /v1/admin/segments/{id}/users",
    "GET /v1/admin/segments/{id}/users/{user_id}",
    "GET /v1/admin/segments/{id}/count",
    "POST /v1/admin/segments/{id}/restore",
    "GET /v1/admin/segments/{id}/history",
    "GET /v1/admin/features",
    "POST /v1/admin/features",
    "GET /v1/admin/features/{key}",
    "PUT /v1/admin/features/{key}",
    "DELETE /v1/admin/features/{key}",
    "POST /v1/admin/features/{key}/restore",
    "GET /v1/admin/features/{key}/history",
    "GET /v1/admin/events",
    "GET /v1/admin/events/stream",
    "GET /v1/admin/users",
    "GET /v1/admin/users/{id}",
    "GET /v1/admin/dead-letters",
    "GET /v1/admin/dead-letters/{id}",
    "GET /v1/admin/keys",
    "POST /v1/admin/keys",
    "PUT /v1/admin/keys/{id}",
    "DELETE /v1/admin/keys/{id}",
    "GET /metrics",
];

/// Every path, with its short form where SDKs use one. Also the label values of the request counter.
pub static PATHS: [&str; 55] = [
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
    "/v1/leads",
    "/v1/analytics/track",
    "/v1/analytics/identify",
    "/api/v1/nudge/track",
    "/api/v1/nudge/identify",
    "/api/v1/nudge/fetch",
    "/v1/events/{message_id}",
    "/v1/campaigns",
    "/v1/features/{key}",
    "/v1/features/{key}/value",
    "/v1/features/{key}/payload",
    "/v1/health",
    "/v1/admin/campaigns",
    "/v1/admin/campaigns/{id}",
    "/v1/admin/campaigns/{id}/duplicate",
    "/v1/admin/campaigns/{id}/archive",
    "/v1/admin/campaigns/{id}/restore",
    "/v1/admin/campaigns/{id}/history",
    "/v1/admin/segments",
    "/v1/admin/segments/{id}",
    "/v1/admin/segments/{id}/users",
    "/v1/admin/segments/{id}/users/{user_id}",
    "/v1/admin/segments/{id}/count",
    "/v1/admin/segments/{id}/restore",
    "/v1/admin/segments/{id}/history",
    "/v1/admin/features",
    "/v1/admin/features/{key}",
    "/v1/admin/features/{key}/restore",
    "/v1/admin/features/{key}/history",
    "/v1/admin/events",
    "/v1/admin/events/stream",
    "/v1/admin/users",
    "/v1/admin/users/{id}",
    "/v1/admin/dead-letters",
    "/v1/admin/dead-letters/{id}",
    "/v1/admin/keys",
    "/v1/admin/keys/{id}",
    "/livez",
    "/readyz",
    "/metrics",
];

/// The whole API.
pub fn router(app: Arc<App>) -> Router {
    let one =
        |kind: EventType| post(move |state: State<Arc<App>>, request: Request| single::take(state, kind, request));
    let many = |importance: Importance, shape: Shape| {
        post(move |state: State<Arc<App>>, request: Request| batch::take(state, (importance, shape), request))
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
        ("/v1/batch", many(Importance::Event, Shape::Batch)),
        ("/v1/b", many(Importance::Event, Shape::Batch)),
        ("/v1/import", many(Importance::Import, Shape::Batch)),
        ("/v1/leads", many(Importance::Event, Shape::Leads)),
        ("/v1/analytics/track", one(EventType::Track)),
        ("/v1/analytics/identify", one(EventType::Identify)),
        ("/api/v1/nudge/track", one(EventType::Track)),
        ("/api/v1/nudge/identify", one(EventType::Identify)),
        ("/api/v1/nudge/fetch", get(for_user::fetch)),
        ("/v1/events/{message_id}", get(receipts::show)),
        ("/v1/campaigns", get(for_user::list)),
        ("/v1/features/{key}", get(feature_flags::show)),
        ("/v1/features/{key}/value", get(feature_flags::value)),
        ("/v1/features/{key}/payload", get(feature_flags::payload)),
        ("/v1/health", get(health::old)),
        ("/v1/admin/campaigns", get(campaigns::list).post(campaigns::create)),
        ("/v1/admin/campaigns/{id}", documents::one(&campaigns::RESOURCE)),
        ("/v1/admin/campaigns/{id}/duplicate", post(campaigns::duplicate)),
        ("/v1/admin/campaigns/{id}/archive", post(campaigns::archive)),
        ("/v1/admin/campaigns/{id}/restore", history::restore(&campaigns::RESOURCE)),
        ("/v1/admin/campaigns/{id}/history", history::history(&campaigns::RESOURCE)),
        ("/v1/admin/segments", get(segments::list).post(segments::create)),
        ("/v1/admin/segments/{id}", documents::one(&segments::RESOURCE)),
        ("/v1/admin/segments/{id}/users", get(members::list)),
        ("/v1/admin/segments/{id}/users/{user_id}", get(members::one)),
        ("/v1/admin/segments/{id}/count", get(members::count)),
        ("/v1/admin/segments/{id}/restore", history::restore(&segments::RESOURCE)),
        ("/v1/admin/segments/{id}/history", history::history(&segments::RESOURCE)),
        ("/v1/admin/features", get(features::list).post(features::put)),
        ("/v1/admin/features/{key}", documents::one(&features::RESOURCE)),
        ("/v1/admin/features/{key}/restore", history::restore(&features::RESOURCE)),
        ("/v1/admin/features/{key}/history", history::history(&features::RESOURCE)),
        ("/v1/admin/events", get(events::list)),
        ("/v1/admin/events/stream", get(listen::listen)),
        ("/v1/admin/users", get(users::list)),
        ("/v1/admin/users/{id}", get(profile::show)),
        ("/v1/admin/dead-letters", get(dead_letters::list)),
        ("/v1/admin/dead-letters/{id}", get(dead_letters::show)),
        ("/v1/admin/keys", get(keys::list).post(keys::create)),
        ("/v1/admin/keys/{id}", put(keys::change).delete(keys::revoke)),
        ("/livez", get(health::live)),
        ("/readyz", get(health::ready)),
        ("/metrics", get(health::metrics)),
    ];
    let mut router = Router::new();
    for (path, methods) in routes {
        let guarded = path.starts_with("/v1/admin/");
        let gate = from_fn_with_state(Arc::clone(&app), gate::admit);
        router = router.route(path, if guarded { methods.route_layer(gate) } else { methods });
    }
    router
        .fallback(problem::no_such_route)
        .method_not_allowed_fallback(problem::wrong_method)
        .layer(from_fn_with_state(Arc::clone(&app), observe::observe))
        .with_state(app)
}

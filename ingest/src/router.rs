//! Every route on one screen, with its body limit and who may use it.
//!
//! | route | body | key |
//! |---|---|---|
//! | one event | [`crate::intake::single::BODY_BYTES`] | client |
//! | `/v1/batch`, `/v1/import`, `/v1/leads` | `MAX_BODY_BYTES`, after decompression | client |
//! | `/v1/admin/campaigns` | [`campaigns::BODY_BYTES`]: configurations hold images | admin |
//! | other writes below `/v1/admin` | [`crate::admin::sent::SMALL_BODY_BYTES`] | admin |
//! | everything else below `/v1/admin`, and below `/v1/analytics` what is read | none | admin |
//! | `/v1/m` | read and dropped, at most 1 MiB of it | none |
//! | everything else | none | see the handler |

use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::{MethodRouter, get, post, put};

use crate::admin::{
    backtest, campaigns, dead_letters, documents, erasure_actions, erasures, events, explain, features, gate, history,
    keys, letter_actions, members, metadata, profile, segments, status, user_export, users, webhook_deliveries,
    webhooks,
};
use crate::analytics::{campaign, daily, dashboard, names, overview};
use crate::app::App;
use crate::intake::calls;
use crate::openapi::page;
use crate::tail::listen;
use crate::{browser_sdk, console, feature_flags, for_user, health, observe, openapi, problem, receipts};

/// Paths that are another spelling of one: short forms of SDKs, and paths of older apps. Same methods, same handlers.
pub static SPELLINGS: [(&str, &str); 11] = [
    ("/v1/t", "/v1/track"),
    ("/v1/i", "/v1/identify"),
    ("/v1/p", "/v1/page"),
    ("/v1/s", "/v1/screen"),
    ("/v1/g", "/v1/group"),
    ("/v1/a", "/v1/alias"),
    ("/v1/b", "/v1/batch"),
    ("/v1/analytics/track", "/v1/track"),
    ("/v1/analytics/identify", "/v1/identify"),
    ("/api/v1/nudge/track", "/v1/track"),
    ("/api/v1/nudge/identify", "/v1/identify"),
];

/// Every path, other spellings too. Also the label values of the request counter.
pub fn paths() -> impl Iterator<Item = &'static str> {
    routes().into_iter().map(|(path, _)| path)
}

/// Does a path need an admin key? The old server had its analytics beside its admin API, and apps track below them.
pub fn is_for_admins(path: &str) -> bool {
    let is_spelling = || SPELLINGS.iter().any(|(spelling, _)| *spelling == path);
    path.starts_with("/v1/admin/") || path.starts_with("/v1/analytics/") && !is_spelling()
}

/// The whole API.
pub fn router(app: Arc<App>) -> Router {
    let mut router = Router::new();
    for (path, methods) in routes() {
        let guarded = is_for_admins(path);
        let gate = from_fn_with_state(Arc::clone(&app), gate::admit);
        router = router.route(path, if guarded { methods.route_layer(gate) } else { methods });
    }
    router
        .fallback(problem::no_such_route)
        .method_not_allowed_fallback(problem::wrong_method)
        .layer(from_fn_with_state(Arc::clone(&app), observe::observe))
        .with_state(app)
}

/// Every path with its methods. Each is described in [`crate::openapi`], beside its handler.
fn routes() -> Vec<(&'static str, MethodRouter<Arc<App>>)> {
    let mut routes = vec![
        ("/v1/track", post(calls::track)),
        ("/v1/identify", post(calls::identify)),
        ("/v1/page", post(calls::page)),
        ("/v1/screen", post(calls::screen)),
        ("/v1/group", post(calls::group)),
        ("/v1/alias", post(calls::alias)),
        ("/v1/batch", post(calls::batch)),
        ("/v1/import", post(calls::import)),
        ("/v1/leads", post(calls::leads)),
        ("/api/v1/nudge/fetch", get(for_user::fetch)),
        ("/v1/events/{message_id}", get(receipts::show)),
        ("/v1/campaigns", get(for_user::list)),
        ("/v1/features/{key}", get(feature_flags::show)),
        ("/v1/features/{key}/value", get(feature_flags::value)),
        ("/v1/features/{key}/payload", get(feature_flags::payload)),
        ("/v1/projects/{key}/settings", get(browser_sdk::settings)),
        ("/v1/m", post(browser_sdk::metrics)),
        ("/v1/health", get(health::old)),
        ("/v1/analytics/overview", get(overview::show)),
        ("/v1/analytics/campaigns/{id}", get(campaign::show)),
        ("/v1/analytics/daily", get(daily::list)),
        ("/v1/analytics/events", get(names::list)),
        ("/v1/admin/analytics/dashboard", get(dashboard::show)),
        ("/v1/admin/analytics/campaign/{id}", get(dashboard::of_campaign)),
        ("/v1/admin/campaigns", get(campaigns::list).post(campaigns::create)),
        ("/v1/admin/campaigns/explain", post(explain::draft)),
        ("/v1/admin/campaigns/backtest", post(backtest::backtest)),
        ("/v1/admin/campaigns/{id}", documents::one(&campaigns::RESOURCE)),
        ("/v1/admin/campaigns/{id}/explain", post(explain::stored)),
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
        ("/v1/admin/users/{id}/export", get(user_export::export)),
        ("/v1/admin/dead-letters", get(dead_letters::list)),
        ("/v1/admin/dead-letters/{id}", get(dead_letters::show)),
        ("/v1/admin/dead-letters/redrive", post(letter_actions::redrive)),
        ("/v1/admin/dead-letters/discard", post(letter_actions::discard)),
        ("/v1/admin/erasures", get(erasures::list).post(erasure_actions::erase)),
        ("/v1/admin/erasures/renew", post(erasure_actions::renew)),
        ("/v1/admin/erasures/{id}", get(erasures::show)),
        ("/v1/admin/status", get(status::show)),
        ("/v1/admin/metadata/events", get(metadata::events)),
        ("/v1/admin/metadata/traits", get(metadata::traits)),
        ("/v1/admin/webhooks", get(webhooks::list)),
        ("/v1/admin/webhooks/deliveries", get(webhook_deliveries::list)),
        ("/v1/admin/webhooks/deliveries/{id}", get(webhook_deliveries::show)),
        ("/v1/admin/webhooks/deliveries/{id}/resend", post(webhook_deliveries::resend)),
        ("/v1/admin/webhooks/{id}", get(webhooks::show)),
        ("/v1/admin/webhooks/{id}/resume", post(webhooks::resume)),
        ("/v1/admin/webhooks/{id}/secret", post(webhooks::secret)),
        ("/v1/admin/webhooks/{id}/test", post(webhooks::test)),
        ("/v1/admin/keys", get(keys::list).post(keys::create)),
        ("/v1/admin/keys/{id}", put(keys::change).delete(keys::revoke)),
        ("/livez", get(health::live)),
        ("/readyz", get(health::ready)),
        ("/metrics", get(health::metrics)),
        ("/openapi.json", get(openapi::json)),
        ("/docs", get(page::show)),
        ("/docs/{file}", get(page::asset)),
        ("/console", get(console::show)),
        ("/console/{file}", get(console::asset)),
    ];
    for (spelling, path) in SPELLINGS {
        let methods = routes.iter().find(|(known, _)| *known == path).map(|(_, methods)| methods.clone());
        routes.extend(methods.map(|methods| (spelling, methods)));
    }
    routes
}

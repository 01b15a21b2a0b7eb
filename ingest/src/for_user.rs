//! `GET /v1/campaigns?user_id=`: the campaigns for a user apart from any event, newest created first.
//!
//! When the database is away and the user's traits would decide, the answer is 503: SDKs then go on with their own last list,
//! which is better than a wrong one.

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use chrono::Utc;
use http::HeaderMap;
use serde::Serialize;
use serde_json::value::RawValue;
use shared::domain::rules::{Facts, NoCounts};
use shared::domain::traits::Traits;
use shared::domain::user_key::UserKey;

use crate::app::App;
use crate::problem::{Kind, Problem};
use crate::query::Query;
use crate::traits;

#[derive(Serialize)]
struct Campaigns<'a> {
    campaigns: Vec<&'a RawValue>,
}

/// The handler.
pub async fn list(State(app): State<Arc<App>>, headers: HeaderMap, RawQuery(query): RawQuery) -> Response {
    answer(&app, &headers, query.as_deref()).await.unwrap_or_else(IntoResponse::into_response)
}

async fn answer(app: &App, headers: &HeaderMap, query: Option<&str>) -> Result<Response, Problem> {
    app.door.client(headers)?;
    let query = Query::parse(query);
    let user_id = query.id("user_id")?.or(query.id("userId")?);
    let snapshot = Arc::clone(&app.campaigns.borrow());
    if snapshot.version < 0 {
        return Err(Problem::new(
            Kind::DatabaseUnavailable,
            "campaigns are not loaded yet; try again after Retry-After",
        ));
    }
    let placeholders = &app.settings.pipeline.placeholders;
    let traits = match user_id.and_then(|id| UserKey::of(Some(id), None, placeholders)) {
        None => Traits::default(),
        Some(key) => traits::current(app, key).await.ok_or_else(|| {
            Problem::new(
                Kind::DatabaseUnavailable,
                "the user's traits cannot be read just now; try again after Retry-After",
            )
        })?,
    };
    let facts = Facts {
        traits: &traits,
        properties: None,
        context: None,
        counts: &NoCounts,
        segments: snapshot.catalog.segments(),
        now: Utc::now(),
    };
    let campaigns = snapshot.catalog.for_user(facts).filter_map(|c| c.client_object.as_deref()).collect();
    crate::intake::ok(&Campaigns { campaigns })
}

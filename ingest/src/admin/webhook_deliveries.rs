//! `/v1/admin/webhooks/deliveries`: the messages to receivers, latest first, and what became of each.
//!
//! The list is `{deliveries, next_cursor}`; `limit` 50, at most 500. It takes `campaign_id`, `state` and `user_id`. `GET …/{id}` is one of
//! them, `POST …/{id}/resend` makes it due again, whatever became of it. An `id` is what the receiver reads as `webhook-id`.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Path, RawQuery, State};
use axum::response::Response;
use chrono::{DateTime, Utc};
use http::StatusCode;
use serde::Serialize;
use shared::store::webhooks::{self, Filter, State as Became};
use sqlx::FromRow;
use sqlx::postgres::PgPool;
use utoipa::ToSchema;
use uuid::Uuid;

use super::documents::answered;
use super::paging::Page;
use crate::app::App;
use crate::intake::ok;
use crate::keys::Caller;
use crate::openapi::parameters::Paging;
use crate::openapi::refusals::{AsksDatabase, Missing, ReadsParameters};
use crate::problem::{Kind, Problem};
use crate::query::Query;

const DEFAULT_LIMIT: i64 = 50;
const LARGEST_LIMIT: i64 = 500;

#[derive(Serialize, ToSchema)]
#[schema(as = WebhookDeliveryList)]
struct Listed {
    deliveries: Vec<Shown>,
    #[schema(required)]
    next_cursor: Option<String>,
}

/// One message to one receiver. What it says is made from the event when it is sent.
#[derive(Debug, Serialize, FromRow, ToSchema)]
#[schema(as = WebhookDelivery)]
pub struct Shown {
    #[serde(skip)]
    position: i64,
    /// The `webhook-id` that the receiver sees, the same at each attempt.
    id: Uuid,
    campaign_id: String,
    #[schema(required)]
    campaign_version: Option<i64>,
    /// `match`, `conversion` or `ping`.
    kind: String,
    /// That matched, or that is the goal.
    #[schema(required)]
    event_id: Option<Uuid>,
    /// That matched.
    #[schema(required)]
    match_event_id: Option<Uuid>,
    /// `user` or `anonymous`; null for a stranger.
    #[schema(required)]
    user_kind: Option<String>,
    #[schema(required)]
    user_id: Option<String>,
    #[schema(required)]
    variant: Option<String>,
    /// When the event was received.
    occurred_at: DateTime<Utc>,
    created_at: DateTime<Utc>,
    /// `pending`, `delivered`, `failed` (tried often enough) or `cancelled` (the event is not stored any more).
    state: String,
    attempts: i32,
    /// Of one that is being sent: when somebody else would take it over.
    #[schema(required)]
    next_attempt_at: Option<DateTime<Utc>>,
    #[schema(required)]
    last_attempt_at: Option<DateTime<Utc>>,
    /// Status of the last answer; null when there was none.
    #[schema(required)]
    last_status: Option<i32>,
    #[schema(required)]
    last_error: Option<String>,
    #[schema(required)]
    finished_at: Option<DateTime<Utc>>,
    #[schema(required)]
    resent_at: Option<DateTime<Utc>>,
    /// Who sent it again, or asked for the ping.
    #[schema(required)]
    resent_by: Option<String>,
}

/// Messages to receivers, latest first.
///
/// `limit` is 50, at most 500.
#[utoipa::path(
    get, path = "/v1/admin/webhooks/deliveries", operation_id = "listWebhookDeliveries", tag = "Webhooks",
    params(
        Paging,
        ("campaign_id" = Option<String>, Query, description = "Only of this campaign."),
        ("state" = Option<String>, Query, pattern = "^(pending|delivered|failed|cancelled)$", description = "Only those; without it all."),
        ("user_id" = Option<String>, Query, description = "Only about this user, or visitor."),
    ),
    responses((status = 200, description = "A page.", body = Listed), ReadsParameters, AsksDatabase),
)]
pub async fn list(State(app): State<Arc<App>>, RawQuery(query): RawQuery) -> Response {
    let list = async {
        let query = Query::parse(query.as_deref());
        let page = Page::<i64>::read(&query, Some(DEFAULT_LIMIT), LARGEST_LIMIT)?;
        let filter = Filter {
            campaign_id: query.plain("campaign_id")?.map(str::to_owned),
            state: state(&query)?,
            user_id: query.plain("user_id")?.map(str::to_owned),
        };
        let cut = (page.after, page.offset, page.rows_to_read());
        let read = |pool: PgPool| async move { webhooks::deliveries(&mut *pool.acquire().await?, &filter, cut).await };
        let mut deliveries: Vec<Shown> = app.database.read(read).await?;
        let next_cursor = page.cut(&mut deliveries, |delivery| delivery.position);
        ok(&Listed { deliveries, next_cursor })
    };
    answered(list.await)
}

/// One of them.
#[utoipa::path(
    get, path = "/v1/admin/webhooks/deliveries/{id}", operation_id = "showWebhookDelivery", tag = "Webhooks",
    params(("id" = String, Path, description = "Of the message: its `webhook-id`.", example = "0b7e6a9e-2f0c-4d4e-9a51-6e1d4c8a7f10")),
    responses((status = 200, description = "The message.", body = Shown), Missing, AsksDatabase),
)]
pub async fn show(State(app): State<Arc<App>>, Path(id): Path<String>) -> Response {
    let show = async { ok(&read(&app, id.parse().map_err(|_| not_found())?).await?) };
    answered(show.await)
}

/// Sends a message again, whatever became of it, under the same `webhook-id`.
///
/// It begins anew with all its attempts. What is being sent just now is left to its sender.
#[utoipa::path(
    post, path = "/v1/admin/webhooks/deliveries/{id}/resend", operation_id = "resendWebhookDelivery", tag = "Webhooks",
    params(("id" = String, Path, description = "Of the message: its `webhook-id`.", example = "0b7e6a9e-2f0c-4d4e-9a51-6e1d4c8a7f10")),
    responses((status = 202, description = "It is due, unless its webhook is paused.", body = Shown), Missing, AsksDatabase),
)]
pub async fn resend(State(app): State<Arc<App>>, Path(id): Path<String>, caller: Extension<Caller>) -> Response {
    let resend = async {
        let id: Uuid = id.parse().map_err(|_| not_found())?;
        let by = caller.source.to_string();
        app.database.run(|pool| async move { webhooks::resend(&pool, id, &by).await }).await?;
        let mut response = ok(&read(&app, id).await?)?;
        *response.status_mut() = StatusCode::ACCEPTED;
        Ok(response)
    };
    answered(resend.await)
}

/// Reads one, or says that there is none.
pub async fn read(app: &App, id: Uuid) -> Result<Shown, Problem> {
    let read = move |pool: PgPool| async move { webhooks::delivery(&mut *pool.acquire().await?, id).await };
    app.database.run(read).await?.ok_or_else(not_found)
}

fn state(query: &Query<'_>) -> Result<Option<Became>, Problem> {
    let Some(asked) = query.text("state") else { return Ok(None) };
    let state = Became::ALL.into_iter().find(|state| state.as_str() == asked);
    let wrong = || Problem::new(Kind::InvalidParameter, "state must be pending, delivered, failed or cancelled");
    state.ok_or_else(wrong).map(Some)
}

fn not_found() -> Problem {
    let message = "there is no message with this id; those that were taken or given up are listed for WEBHOOK_DAYS";
    Problem::new(Kind::NotFound, message).with_error("Webhook delivery not found")
}

//! `/v1/admin/webhooks`: where campaigns tell others of their matches, and whether that works. The worker sends; nothing here ever calls
//! an address.
//!
//! | route | answer |
//! |---|---|
//! | `GET …` | `{webhooks, total}`: every campaign's that has one, with its state, without secrets |
//! | `GET …/{campaign id}` | one, with its `secret` |
//! | `POST …/{campaign id}/resume[?failed=true]` | sends again what waits, and with `failed` what was given up |
//! | `POST …/{campaign id}/secret` `{[secret]}` | a new secret; the one before signs too for a day |
//! | `POST …/{campaign id}/test` | 202, a ping on its way: a delivery to be looked at in [`super::webhook_deliveries`] |
//!
//! Addresses and everything else of a webhook are edited with its campaign.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Path, RawQuery, Request, State};
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use http::StatusCode;
use http::header::{CACHE_CONTROL, HeaderValue};
use serde::Serialize;
use serde_json::Value;
use shared::domain::raw_object::RawObject;
use shared::store::webhooks;
use sqlx::FromRow;
use sqlx::postgres::PgPool;
use sqlx::types::Json;
use utoipa::ToSchema;

use super::documents::answered;
use super::sent::{self, SMALL_BODY_BYTES};
use super::webhook_deliveries;
use crate::app::App;
use crate::intake::ok;
use crate::keys::Caller;
use crate::openapi::refusals::{AsksDatabase, Missing, ReadsBody, ReadsParameters};
use crate::problem::{Kind, Problem};
use crate::query::Query;

/// How secrets are written.
const PREFIX: &str = "whsec_";
/// What the specification asks of a secret's length, in bytes.
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

#[derive(Serialize, ToSchema)]
#[schema(as = WebhookList)]
struct Listed {
    webhooks: Vec<Shown>,
    total: usize,
}

/// A campaign's webhook and how it fares.
#[derive(Serialize, FromRow, ToSchema)]
#[schema(as = Webhook)]
struct Shown {
    campaign_id: String,
    #[schema(required)]
    url: Option<String>,
    /// As in the campaign.
    #[schema(value_type = Object)]
    webhook: Json<Value>,
    /// `active`; `disabled` in the campaign; or `paused` after failures in a row, until somebody resumes it.
    state: String,
    #[schema(required)]
    paused_at: Option<DateTime<Utc>>,
    /// In a row.
    failures: i32,
    #[schema(required)]
    failing_since: Option<DateTime<Utc>>,
    /// What failed last.
    #[schema(required)]
    last_error: Option<String>,
    #[schema(required)]
    last_failed_at: Option<DateTime<Utc>>,
    /// The receiver asked to be left alone until then.
    #[schema(required)]
    not_before: Option<DateTime<Utc>>,
    /// The secret before the present one signs too until then.
    #[schema(required)]
    previous_secret_until: Option<DateTime<Utc>>,
    /// Messages that are still to be sent.
    pending: i64,
    #[schema(required)]
    oldest_pending_at: Option<DateTime<Utc>>,
}

/// With what verifies its messages.
#[derive(Serialize, ToSchema)]
#[schema(as = OpenedWebhook)]
struct Opened {
    #[serde(flatten)]
    shown: Shown,
    /// `whsec_` and Base64, as libraries for Standard Webhooks take it.
    secret: String,
}

/// A webhook that sends again.
#[derive(Serialize, ToSchema)]
#[schema(as = ResumedWebhook)]
struct Resumed {
    #[serde(flatten)]
    shown: Shown,
    /// Messages that had waited, or been given up, and are due now.
    due: u64,
}

/// Every campaign's webhook, with what is wrong with it.
#[utoipa::path(
    get, path = "/v1/admin/webhooks", operation_id = "listWebhooks", tag = "Webhooks",
    responses((status = 200, description = "All of them.", body = Listed), AsksDatabase),
)]
pub async fn list(State(app): State<Arc<App>>) -> Response {
    let list = async {
        let read = |pool: PgPool| async move { webhooks::endpoints(&mut *pool.acquire().await?).await };
        let webhooks: Vec<Shown> = app.database.read(read).await?;
        let total = webhooks.len();
        ok(&Listed { webhooks, total })
    };
    answered(list.await)
}

/// One campaign's webhook, with the secret that verifies its messages.
#[utoipa::path(
    get, path = "/v1/admin/webhooks/{id}", operation_id = "showWebhook", tag = "Webhooks",
    params(("id" = String, Path, description = "Of the campaign.", example = "5259000f-b320-46e5-8b51-f33a89cab7f4")),
    responses((status = 200, description = "The webhook.", body = Opened), Missing, AsksDatabase),
)]
pub async fn show(State(app): State<Arc<App>>, Path(id): Path<String>) -> Response {
    let show = async { opened(&app, storable(id)?).await };
    answered(show.await)
}

/// Sends again: what waits at once, and with `failed` also what was given up.
#[utoipa::path(
    post, path = "/v1/admin/webhooks/{id}/resume", operation_id = "resumeWebhook", tag = "Webhooks",
    params(
        ("id" = String, Path, description = "Of the campaign.", example = "5259000f-b320-46e5-8b51-f33a89cab7f4"),
        ("failed" = Option<bool>, Query, description = "Also what was tried often enough."),
    ),
    responses((status = 200, description = "It is active again, unless the campaign disables it.", body = Resumed),
        ReadsParameters, Missing, AsksDatabase),
)]
pub async fn resume(State(app): State<Arc<App>>, Path(id): Path<String>, RawQuery(query): RawQuery) -> Response {
    let resume = async {
        let (id, query) = (storable(id)?, Query::parse(query.as_deref()));
        let failed = match query.text("failed") {
            None | Some("false") => false,
            Some("true") => true,
            Some(_) => return Err(Problem::new(Kind::InvalidParameter, "failed must be true or false")),
        };
        let named = id.clone();
        let resume = move |pool: PgPool| async move { webhooks::resume(&pool, &named, failed).await };
        let due = app.database.run(resume).await?.ok_or_else(not_found)?;
        ok(&Resumed { shown: read(&app, id).await?, due })
    };
    answered(resume.await)
}

/// Changes the secret, to one that is sent or to a random one.
///
/// For a day messages carry two signatures, so that the receiver can change over.
#[utoipa::path(
    post, path = "/v1/admin/webhooks/{id}/secret", operation_id = "changeWebhookSecret", tag = "Webhooks",
    params(("id" = String, Path, description = "Of the campaign.", example = "5259000f-b320-46e5-8b51-f33a89cab7f4")),
    request_body(content = ref("#/components/schemas/WebhookSecret"), content_type = "application/json"),
    responses((status = 200, description = "The webhook, with its new secret.", body = Opened), ReadsBody, ReadsParameters, Missing, AsksDatabase),
)]
pub async fn secret(State(app): State<Arc<App>>, Path(id): Path<String>, request: Request) -> Response {
    let change = async {
        let sent = sent::object(&app, request, SMALL_BODY_BYTES, Kind::InvalidParameter).await?;
        let (id, given) = (storable(id)?, given(&sent)?);
        let named = id.clone();
        let change = |pool: PgPool| async move { webhooks::change_secret(&pool, &named, given.as_deref()).await };
        if !app.database.run(change).await? {
            return Err(not_found());
        }
        opened(&app, id).await
    };
    answered(change.await)
}

/// Sends a ping, once, also where the webhook is paused or disabled; the delivery tells what came of it.
#[utoipa::path(
    post, path = "/v1/admin/webhooks/{id}/test", operation_id = "testWebhook", tag = "Webhooks",
    params(("id" = String, Path, description = "Of the campaign.", example = "5259000f-b320-46e5-8b51-f33a89cab7f4")),
    responses((status = 202, description = "It is on its way: look at the delivery in a moment.", body = webhook_deliveries::Shown),
        Missing, AsksDatabase),
)]
pub async fn test(State(app): State<Arc<App>>, Path(id): Path<String>, caller: Extension<Caller>) -> Response {
    let test = async {
        let (id, by) = (storable(id)?, caller.source.to_string());
        let ping = move |pool: PgPool| async move { webhooks::ping(&pool, &id, &by).await };
        let id = app.database.run(ping).await?.ok_or_else(not_found)?;
        let mut response = ok(&webhook_deliveries::read(&app, id).await?)?;
        *response.status_mut() = StatusCode::ACCEPTED;
        Ok(response)
    };
    answered(test.await)
}

async fn read(app: &App, id: String) -> Result<Shown, Problem> {
    let read = |pool: PgPool| async move { webhooks::endpoint(&mut *pool.acquire().await?, &id).await };
    app.database.run(read).await?.ok_or_else(not_found)
}

/// The webhook with its secret, which no cache may keep.
async fn opened(app: &App, id: String) -> Result<Response, Problem> {
    let named = id.clone();
    let asked = |pool: PgPool| async move { webhooks::secret(&mut *pool.acquire().await?, &named).await };
    let secret = app.database.run(asked).await?.ok_or_else(not_found)?;
    let secret = format!("{PREFIX}{}", STANDARD.encode(secret.secret));
    let mut response = ok(&Opened { shown: read(app, id).await?, secret })?;
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// The secret that was sent, if one was.
fn given(sent: &RawObject) -> Result<Option<Vec<u8>>, Problem> {
    let Some(raw) = sent.get("secret").filter(|raw| raw.get() != "null") else { return Ok(None) };
    let text: Option<String> = serde_json::from_str(raw.get()).ok();
    let bytes = text.and_then(|text| STANDARD.decode(text.strip_prefix(PREFIX)?).ok());
    bytes.filter(|bytes| SECRET_BYTES.contains(&bytes.len())).map(Some).ok_or_else(|| {
        let (least, most) = (SECRET_BYTES.start(), SECRET_BYTES.end());
        Problem::new(
            Kind::InvalidParameter,
            format!("secret must be {PREFIX} and the Base64 of {least} to {most} bytes"),
        )
    })
}

fn storable(id: String) -> Result<String, Problem> {
    if id.contains('\0') { Err(not_found()) } else { Ok(id) }
}

fn not_found() -> Problem {
    let message = "no campaign with this id has a webhook: it is a part of the campaign";
    Problem::new(Kind::NotFound, message).with_error("Webhook not found")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_a_text_of_enough_bytes_or_none() {
        let read = |text: &str| given(&RawObject::parse(text).unwrap());
        assert_eq!(read("{}").unwrap(), None);
        let good = format!(r#"{{"secret":"whsec_{}"}}"#, STANDARD.encode([7; 24]));
        assert_eq!(read(&good).unwrap(), Some(vec![7; 24]));
        let short = format!(r#"{{"secret":"whsec_{}"}}"#, STANDARD.encode([7; 23]));
        for bad in [short.as_str(), r#"{"secret":7}"#, r#"{"secret":"whsec_!"}"#, &good.replace("whsec_", "")] {
            assert_eq!(read(bad).unwrap_err().kind(), Kind::InvalidParameter, "{bad}");
        }
    }
}

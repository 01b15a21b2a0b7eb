//! `GET /v1/admin/erasures`: requests to erase somebody or to renew consent, latest first: `{erasures, next_cursor, public_key}`;
//! and `…/{id}`: one of them, which is its receipt.
//!
//! The list takes `user_id` or `anonymous_id`: ids are kept as keyed hashes only, so whose request it was is found by asking for
//! somebody, not by reading. `receipt` is the statement signed with Ed25519, a compact JWS; `public_key` verifies it.

use std::sync::Arc;

use axum::extract::{Path, RawQuery, State};
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::Value;
use shared::domain::user_key::UserKey;
use shared::store::{erasures, tombstones};
use sqlx::postgres::PgPool;
use utoipa::ToSchema;
use uuid::Uuid;

use super::documents::answered;
use super::paging::Page;
use crate::app::App;
use crate::intake::ok;
use crate::openapi::parameters::Paging;
use crate::openapi::refusals::{AsksDatabase, Missing, ReadsParameters};
use crate::problem::{Kind, Problem};
use crate::query::Query;

const DEFAULT_LIMIT: i64 = 50;
const LARGEST_LIMIT: i64 = 500;

#[derive(Serialize, ToSchema)]
#[schema(as = ErasureList)]
struct Listed {
    erasures: Vec<Shown>,
    #[schema(required)]
    next_cursor: Option<String>,
    /// Verifies receipts: Ed25519, Base64; null before the first one.
    #[schema(required)]
    public_key: Option<String>,
}

/// A request, with what became of it.
#[derive(Serialize, ToSchema)]
#[schema(as = Erasure)]
struct Shown {
    /// `id`, `action` (`erase` or `renew`), `state`, `subject`, `requested_at`, `requested_by`, `reason`, `effective_at`, `counts` by table; of an
    /// erasure also `mode`, `swept_at`, `final_at`, `positions` in the streams, `mentions` in documents that a person must edit, and
    /// `waiting_for`. `state` is `sweeping`, `provisional` (streams or backups still hold it) or `final`; `renewed`.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    statement: Value,
    /// The statement as it was signed last: a compact JWS. Null until the sweep is done.
    #[schema(required)]
    receipt: Option<String>,
}

/// Requests, latest first.
///
/// `limit` is 50, at most 500. Ids are kept as hashes: ask for a `user_id` or `anonymous_id` to find the requests about somebody.
#[utoipa::path(
    get, path = "/v1/admin/erasures", operation_id = "listErasures", tag = "Erasure and access",
    params(
        Paging,
        ("user_id" = Option<String>, Query, description = "Only about this user."),
        ("anonymous_id" = Option<String>, Query, description = "Only about this visitor."),
    ),
    responses((status = 200, description = "A page.", body = Listed), ReadsParameters, AsksDatabase),
)]
pub async fn list(State(app): State<Arc<App>>, RawQuery(query): RawQuery) -> Response {
    answered(answer(&app, &Query::parse(query.as_deref())).await)
}

/// One request: the receipt of an erasure.
#[utoipa::path(
    get, path = "/v1/admin/erasures/{id}", operation_id = "showErasure", tag = "Erasure and access",
    params(("id" = String, Path, description = "Of the request, as it was accepted.", example = "0b7e6a9e-2f0c-4d4e-9a51-6e1d4c8a7f10")),
    responses((status = 200, description = "The request.", body = Shown), Missing, AsksDatabase),
)]
pub async fn show(State(app): State<Arc<App>>, Path(id): Path<String>) -> Response {
    let show = async {
        let not_found = || {
            let message = "no request has this id, or it has not taken effect yet: ask again in a moment";
            Problem::new(Kind::NotFound, message).with_error("Erasure not found")
        };
        let id: Uuid = id.parse().map_err(|_| not_found())?;
        let read = move |pool: PgPool| async move { erasures::one(&mut *pool.acquire().await?, id).await };
        ok(&shown(app.database.run(read).await?.ok_or_else(not_found)?))
    };
    answered(show.await)
}

async fn answer(app: &App, query: &Query<'_>) -> Result<Response, Problem> {
    let page = Page::<i64>::read(query, Some(DEFAULT_LIMIT), LARGEST_LIMIT)?;
    let asked: Option<(bool, String)> = match (query.id("user_id")?, query.id("anonymous_id")?) {
        (Some(_), Some(_)) => {
            let message = "ask for user_id or for anonymous_id, not for both";
            return Err(Problem::new(Kind::InvalidParameter, message));
        }
        (Some(id), None) => Some((true, id.to_owned())),
        (None, Some(id)) => Some((false, id.to_owned())),
        (None, None) => None,
    };
    let (before, limit) = (page.after, page.rows_to_read().unwrap_or(LARGEST_LIMIT));
    let read = move |pool: PgPool| async move {
        let mut connection = pool.acquire().await?;
        let hash = match &asked {
            Some((is_user, id)) => {
                let key = if *is_user { UserKey::user(id) } else { UserKey::anonymous(id) };
                Some(tombstones::salt(&mut connection).await?.hash(key))
            }
            None => None,
        };
        let rows = erasures::page(&mut connection, hash, before, limit).await?;
        Ok((rows, erasures::public_key(&mut connection).await?))
    };
    let (mut rows, public_key) = app.database.run(read).await?;
    let next_cursor = page.cut(&mut rows, |row| row.position);
    let public_key = public_key.map(|key| STANDARD.encode(key));
    ok(&Listed { erasures: rows.into_iter().map(shown).collect(), next_cursor, public_key })
}

fn shown(erasure: erasures::Erasure) -> Shown {
    Shown { statement: erasure.shown(), receipt: erasure.receipt }
}

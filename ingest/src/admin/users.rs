//! `GET /v1/admin/users`: profiles, in the order of their ids: `{users, total, next_cursor}`.
//!
//! A user is `{id, kind, traits, created_at, updated_at}` with the traits once more beside them, as the old server flattened them.
//! A trait that is called like one of these five stands only below `traits`: on the old server a trait `id` hid the id.
//!
//! Known users are listed; with `kind=anonymous` the visitors that nobody logged in as. `q` is the beginning of an id. `limit` 50,
//! at most 1,000; `offset` and `cursor` page. `total` is exact up to [`COUNT_LIMIT`] and stays there beyond.

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::response::Response;
use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;
use shared::domain::traits::Traits;
use shared::domain::user_key::KeyKind;
use sqlx::postgres::{PgPool, Postgres};
use sqlx::{FromRow, QueryBuilder};
use utoipa::ToSchema;

use super::documents::answered;
use super::paging::Page;
use super::resource::internal;
use super::stored_events::COUNT_LIMIT;
use crate::app::App;
use crate::database::moment;
use crate::intake::ok;
use crate::openapi::parameters::{OfKind, Paging};
use crate::openapi::refusals::{AsksDatabase, ReadsParameters};
use crate::problem::{Kind, Problem};
use crate::query::Query;

const DEFAULT_LIMIT: i64 = 50;
const LARGEST_LIMIT: i64 = 1_000;

#[derive(Serialize, ToSchema)]
#[schema(as = UserList)]
struct Listed {
    #[schema(value_type = Vec<crate::openapi::twins::User>)]
    users: Vec<Traits>,
    /// Exact up to 10,000, and stays there beyond.
    total: i64,
    #[schema(required)]
    next_cursor: Option<String>,
}

#[derive(Debug, Clone)]
struct Wanted {
    kind: KeyKind,
    /// A `LIKE` pattern.
    prefix: Option<String>,
    after: Option<String>,
    limit: Option<i64>,
    offset: i64,
}

/// One row of `users`, with the traits as JSON.
#[derive(Debug, FromRow)]
pub struct User {
    /// The id.
    pub id: String,
    /// The traits.
    pub traits: String,
    /// First identify.
    pub created_at: DateTime<Utc>,
    /// Last identify.
    pub updated_at: DateTime<Utc>,
}

/// Profiles, in the order of their ids.
///
/// `limit` is 50, at most 1,000.
#[utoipa::path(
    get, path = "/v1/admin/users", operation_id = "listUsers", tag = "Events and users",
    params(Paging, OfKind, ("q" = Option<String>, Query, description = "The beginning of an id.")),
    responses((status = 200, description = "A page.", body = Listed), ReadsParameters, AsksDatabase),
)]
pub async fn list(State(app): State<Arc<App>>, RawQuery(query): RawQuery) -> Response {
    answered(answer(&app, &Query::parse(query.as_deref())).await)
}

/// `kind` of a request: `user` unless it says `anonymous`.
pub fn kind(query: &Query<'_>) -> Result<KeyKind, Problem> {
    match query.text("kind") {
        None | Some("user") => Ok(KeyKind::User),
        Some("anonymous") => Ok(KeyKind::Anonymous),
        Some(_) => Err(Problem::new(Kind::InvalidParameter, "kind must be user or anonymous")),
    }
}

async fn answer(app: &App, query: &Query<'_>) -> Result<Response, Problem> {
    let page = Page::<String>::read(query, Some(DEFAULT_LIMIT), LARGEST_LIMIT)?;
    if page.after.as_ref().is_some_and(|id| id.contains('\0')) {
        return Err(Problem::new(Kind::InvalidParameter, "cursor is not one of this list"));
    }
    let kind = kind(query)?;
    let wanted = Wanted {
        kind,
        prefix: query.id("q")?.map(prefix_pattern),
        after: page.after.clone(),
        limit: page.rows_to_read(),
        offset: page.offset,
    };
    let (mut rows, total) = app.database.read(|pool| read(pool, wanted)).await?;
    let next_cursor = page.cut(&mut rows, |user| user.id.clone());
    let users = rows.iter().map(|user| shown(kind, user)).collect::<Result<_, _>>().map_err(internal)?;
    ok(&Listed { users, total, next_cursor })
}

async fn read(pool: PgPool, wanted: Wanted) -> Result<(Vec<User>, i64), sqlx::Error> {
    let mut moment = moment(&pool).await?;
    let mut page = QueryBuilder::new(
        "/* users.read.users */ SELECT id, traits::text AS traits, created_at, updated_at FROM users",
    );
    narrow(&mut page, &wanted);
    if let Some(id) = &wanted.after {
        page.push(" AND id > ").push_bind(id.clone());
    }
    page.push(" ORDER BY id LIMIT ").push_bind(wanted.limit).push(" OFFSET ").push_bind(wanted.offset);
    let rows = page.build_query_as().fetch_all(&mut *moment).await?;

    let mut count = QueryBuilder::new("/* users.read.users.2 */ SELECT count(*) FROM (SELECT 1 FROM users");
    narrow(&mut count, &wanted);
    count.push(" LIMIT ").push_bind(COUNT_LIMIT).push(") AS counted");
    let total = count.build_query_scalar().fetch_one(&mut *moment).await?;
    moment.commit().await?;
    Ok((rows, total))
}

fn narrow(query: &mut QueryBuilder<'_, Postgres>, wanted: &Wanted) {
    query.push(" WHERE kind = ").push_bind(wanted.kind.as_str());
    if let Some(prefix) = &wanted.prefix {
        query.push(" AND id LIKE ").push_bind(prefix.clone());
    }
}

fn prefix_pattern(prefix: &str) -> String {
    let mut pattern = String::with_capacity(prefix.len() + 1);
    for c in prefix.chars() {
        if matches!(c, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern.push('%');
    pattern
}

/// A user as lists show it.
pub fn shown(kind: KeyKind, user: &User) -> serde_json::Result<Traits> {
    let iso = |t: DateTime<Utc>| t.to_rfc3339_opts(SecondsFormat::Millis, true);
    let traits = Traits::parse(&user.traits)?;
    let mut object = traits.clone();
    object.set("id", &user.id)?;
    object.set("kind", kind.as_str())?;
    object.set("traits", &traits)?;
    object.set("created_at", &iso(user.created_at))?;
    object.set("updated_at", &iso(user.updated_at))?;
    Ok(object)
}

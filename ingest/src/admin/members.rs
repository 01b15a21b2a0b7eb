//! Who is in a segment. Membership is evaluated when somebody asks, by the engine that matches campaigns, from the stored profiles.
//!
//! | route | answer |
//! |---|---|
//! | `GET …/{id}/users/{user_id}` | `{id, kind, member}`; what this process accepted but no worker committed yet is looked at too |
//! | `GET …/{id}/users` | `{users, scanned, next_cursor}`, in the order of their ids; a user is as in `/v1/admin/users` |
//! | `GET …/{id}/count` | `{count, scanned, next_cursor}` |
//!
//! All take `kind` (`user` or `anonymous`). The last two look at no more than [`LIST_SCAN`] and [`COUNT_SCAN`] profiles a request, for
//! about two seconds, and then give a `cursor` to go on with, though a page may not be full, so that no request runs for minutes; a count of all is the sum
//! over the pages. Somebody who sent events but was never identified has no profile and is not listed.

use std::sync::Arc;

use axum::extract::{Path, RawQuery, State};
use axum::response::Response;
use chrono::Utc;
use serde::Serialize;
use shared::domain::rules::Condition;
use shared::domain::segment;
use shared::domain::traits::Traits;
use shared::domain::user_key::UserKey;
use shared::store::documents::SEGMENTS;
use utoipa::ToSchema;

use super::documents::answered;
use super::paging::{Page, encode};
use super::resource::internal;
use super::scan::{Scan, is_member};
use super::segments::RESOURCE;
use super::users;
use crate::app::App;
use crate::intake::ok;
use crate::openapi::parameters::{OfKind, Paging};
use crate::openapi::refusals::{AsksDatabase, FaultySegment, Missing, ReadsParameters};
use crate::problem::{Kind, Problem};
use crate::profile::{self, ProfileCounts};
use crate::query::Query;

/// Profiles that a list looks at in one request.
const LIST_SCAN: usize = 20_000;
/// Profiles that a count looks at in one request.
const COUNT_SCAN: usize = 100_000;
const DEFAULT_LIMIT: i64 = 50;
const LARGEST_LIMIT: i64 = 1_000;

#[derive(Serialize, ToSchema)]
#[schema(as = Membership)]
struct Shown<'a> {
    id: &'a str,
    kind: &'static str,
    member: bool,
}

#[derive(Serialize, ToSchema)]
#[schema(as = MemberList)]
struct Listed {
    #[schema(value_type = Vec<crate::openapi::twins::User>)]
    users: Vec<Traits>,
    /// Profiles that were looked at.
    scanned: usize,
    #[schema(required)]
    next_cursor: Option<String>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = MemberCount)]
struct Counted {
    /// Members among those looked at.
    count: usize,
    /// Profiles that were looked at.
    scanned: usize,
    #[schema(required)]
    next_cursor: Option<String>,
}

/// Is a user in a segment?
///
/// What this process accepted but no worker committed yet is looked at too.
#[utoipa::path(
    get, path = "/v1/admin/segments/{id}/users/{user_id}", operation_id = "isMember", tag = "Segments",
    params(OfKind, ("id" = String, Path, description = "Of the segment."), ("user_id" = String, Path, description = "Of the user.", example = "ada")),
    responses((status = 200, description = "The answer.", body = Shown), ReadsParameters, FaultySegment, Missing, AsksDatabase),
)]
pub async fn one(
    State(app): State<Arc<App>>,
    Path((id, user_id)): Path<(String, String)>,
    RawQuery(query): RawQuery,
) -> Response {
    let answer = async {
        let kind = users::kind(&Query::parse(query.as_deref()))?;
        let condition = condition(&app, id).await?;
        let user_id = RESOURCE.storable(user_id)?;
        let snapshot = Arc::clone(&app.campaigns.borrow());
        let (key, now) = (UserKey { kind, id: &user_id }, Utc::now());
        let wants = snapshot.catalog.wants(condition.needs());
        let profile = profile::current(&app, Some(key), &wants, now).await.ok_or_else(|| {
            let message = "what is known of the user cannot be read just now; try again after Retry-After";
            Problem::new(Kind::DatabaseUnavailable, message)
        })?;
        let counts = ProfileCounts { profile: Some(&profile), event: None, now };
        let member = is_member(&condition, &profile.traits, &counts, now);
        ok(&Shown { id: &user_id, kind: kind.as_str(), member })
    };
    answered(answer.await)
}

/// Who is in a segment.
///
/// In the order of their ids. A request looks at no more than 20,000 profiles, for about two seconds; then a page may not be full, and
/// `next_cursor` goes on.
#[utoipa::path(
    get, path = "/v1/admin/segments/{id}/users", operation_id = "listMembers", tag = "Segments", params(Paging, OfKind, ("id" = String, Path, description = "Of the segment.")),
    responses((status = 200, description = "A page.", body = Listed), ReadsParameters, FaultySegment, Missing, AsksDatabase),
)]
pub async fn list(State(app): State<Arc<App>>, Path(id): Path<String>, RawQuery(query): RawQuery) -> Response {
    let answer = async {
        let query = Query::parse(query.as_deref());
        let page = Page::<String>::read(&query, Some(DEFAULT_LIMIT), LARGEST_LIMIT)?;
        let wanted = page.limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX);
        let scan = scan(&app, id, &query, page.after).await?;
        let kind = scan.kind;
        let scan = Scan { most: LIST_SCAN, wanted, ..scan };
        let found = app.database.read(|pool| scan.run(pool)).await?;
        let users = found.members.iter().map(|user| users::shown(kind, user)).collect::<Result<_, _>>();
        let next_cursor = found.next.map(|id| encode(&id));
        ok(&Listed { users: users.map_err(internal)?, scanned: found.scanned, next_cursor })
    };
    answered(answer.await)
}

/// How many are in a segment.
///
/// A request looks at no more than 100,000 profiles, for about two seconds; the count of all is the sum over the pages.
#[utoipa::path(
    get, path = "/v1/admin/segments/{id}/count", operation_id = "countMembers", tag = "Segments", params(Paging, OfKind, ("id" = String, Path, description = "Of the segment.")),
    responses((status = 200, description = "A part of the count.", body = Counted), ReadsParameters, FaultySegment, Missing, AsksDatabase),
)]
pub async fn count(State(app): State<Arc<App>>, Path(id): Path<String>, RawQuery(query): RawQuery) -> Response {
    let answer = async {
        let query = Query::parse(query.as_deref());
        let page = Page::<String>::read(&query, None, LARGEST_LIMIT)?;
        let scan = Scan { most: COUNT_SCAN, keep: false, ..scan(&app, id, &query, page.after).await? };
        let found = app.database.read(|pool| scan.run(pool)).await?;
        ok(&Counted { count: found.count, scanned: found.scanned, next_cursor: found.next.map(|id| encode(&id)) })
    };
    answered(answer.await)
}

/// The segment as it is stored now: an editor who has just saved it does not wait for the catalog.
async fn condition(app: &App, id: String) -> Result<Condition, Problem> {
    let id = RESOURCE.storable(id)?;
    let row = app.database.run(|pool| async move { SEGMENTS.read(&pool, &id).await }).await?;
    let row = row.ok_or_else(|| RESOURCE.not_found())?;
    segment::compile(&row.document()).map_err(|faults| {
        let first = faults.first().map(ToString::to_string).unwrap_or_default();
        Problem::new(Kind::InvalidSegment, format!("the segment is malformed and has no members: {first}"))
    })
}

/// A scan of the profiles behind a cursor.
async fn scan(app: &App, id: String, query: &Query<'_>, after: Option<String>) -> Result<Scan, Problem> {
    if after.as_ref().is_some_and(|id| id.contains('\0')) {
        return Err(Problem::new(Kind::InvalidParameter, "cursor is not one of this list"));
    }
    let (kind, condition) = (users::kind(query)?, condition(app, id).await?);
    Ok(Scan { condition, kind, after, most: usize::MAX, wanted: usize::MAX, keep: true })
}

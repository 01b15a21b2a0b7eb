//! `GET /v1/admin/users/{id}`: all that is known about one user (with `?kind=anonymous`, about one visitor).
//!
//! `{id, kind, traits, created_at, updated_at, opted_out, links, timeline, matches, standing}`; both times are null for somebody who sent
//! events but was never identified.
//!
//! | part | meaning |
//! |---|---|
//! | `opted_out` | the trait `$campaigns_opt_out` is true: no campaign is shown |
//! | `links` | `{anonymous_ids, user_ids}`: which ids are the same person |
//! | `timeline` | `{events, next_cursor}`: the latest 50 events of all those ids; go on at `/v1/admin/events?user_id=…&linked=true&cursor=…` |
//! | `standing` | `{campaigns: [{id, variant}], segments: [id]}`: what a fetch would give just now, and where the user belongs |
//! | `matches` | the latest 50, of this id alone: `{event_id, campaign_id, campaign_name, campaign_version, variant, disposition, at}` |

use std::sync::Arc;

use axum::extract::{Path, RawQuery, State};
use axum::response::Response;
use chrono::{DateTime, NaiveDate, SecondsFormat, Utc};
use serde::Serialize;
use serde_json::value::RawValue;
use shared::domain::campaign::delivery::opted_out;
use shared::domain::traits::Traits;
use shared::domain::user_key::{KeyKind, UserKey};
use sqlx::FromRow;
use sqlx::postgres::{PgConnection, PgPool};
use utoipa::ToSchema;
use uuid::Uuid;

use super::days::Days;
use super::documents::answered;
use super::paging::Page;
use super::standing::{self, Standing};
use super::stored_events::{self, Filter, Key, Row, oldest_day};
use super::users::{self, User};
use crate::app::App;
use crate::database::moment;
use crate::intake::ok;
use crate::openapi::parameters::OfKind;
use crate::openapi::refusals::{AsksDatabase, Missing, ReadsParameters};
use crate::problem::{Kind, Problem};
use crate::query::Query;

/// Events and matches that a profile shows.
const LATEST: i64 = 50;

#[derive(Serialize, ToSchema)]
struct Profile {
    id: String,
    /// `user` or `anonymous`.
    kind: &'static str,
    #[schema(value_type = Object)]
    traits: Option<Box<RawValue>>,
    #[schema(format = DateTime, required)]
    created_at: Option<String>,
    #[schema(format = DateTime, required)]
    updated_at: Option<String>,
    opted_out: bool,
    links: Links,
    timeline: Timeline,
    /// The latest 50.
    matches: Vec<Match>,
    /// Null when it cannot be told just now.
    #[schema(required)]
    standing: Option<Standing>,
}

/// Which ids are the same person.
#[derive(Serialize, ToSchema)]
struct Links {
    anonymous_ids: Vec<String>,
    user_ids: Vec<String>,
}

/// The latest 50 events of all those ids.
#[derive(Serialize, ToSchema)]
struct Timeline {
    events: Vec<stored_events::Shown>,
    /// For `/v1/admin/events?user_id=…&linked=true`.
    #[schema(required)]
    next_cursor: Option<String>,
}

#[derive(Serialize, FromRow, ToSchema)]
struct Match {
    event_id: Uuid,
    campaign_id: String,
    /// Null when the campaign is gone.
    #[schema(required)]
    campaign_name: Option<String>,
    campaign_version: i64,
    #[schema(required)]
    variant: Option<String>,
    disposition: String,
    at: DateTime<Utc>,
}

/// What the database knows.
struct Known {
    user: Option<User>,
    links: Links,
    events: Vec<Row>,
    matches: Vec<Match>,
}

/// One user, with all that is known of them.
#[utoipa::path(
    get, path = "/v1/admin/users/{id}", operation_id = "showUser", tag = "Events and users",
    params(OfKind, ("id" = String, Path, description = "Of the user.", example = "ada")),
    responses((status = 200, description = "The profile.", body = Profile), ReadsParameters, Missing, AsksDatabase),
)]
pub async fn show(State(app): State<Arc<App>>, Path(id): Path<String>, RawQuery(query): RawQuery) -> Response {
    answered(answer(&app, id, &Query::parse(query.as_deref())).await)
}

async fn answer(app: &App, id: String, query: &Query<'_>) -> Result<Response, Problem> {
    let kind = users::kind(query)?;
    let oldest_day = oldest_day(app);
    if id.contains('\0') {
        return Err(not_found());
    }
    let asked = id.clone();
    let mut known = app.database.read(|pool| read(pool, kind, asked, oldest_day)).await?;
    let Links { anonymous_ids, user_ids } = &known.links;
    if known.user.is_none() && known.events.is_empty() && anonymous_ids.is_empty() && user_ids.is_empty() {
        return Err(not_found());
    }
    let standing = standing::of(app, UserKey { kind, id: &id }).await;
    let page = Page::<Key> { limit: Some(LATEST), offset: 0, after: None };
    let next_cursor = page.cut(&mut known.events, Row::key);
    let iso = |t: DateTime<Utc>| t.to_rfc3339_opts(SecondsFormat::Millis, true);
    let traits = known.user.as_ref().map_or("{}", |user| &user.traits);
    ok(&Profile {
        id,
        kind: kind.as_str(),
        traits: RawValue::from_string(traits.to_owned()).ok(),
        created_at: known.user.as_ref().map(|user| iso(user.created_at)),
        updated_at: known.user.as_ref().map(|user| iso(user.updated_at)),
        opted_out: opted_out(&Traits::parse(traits).unwrap_or_default()),
        links: known.links,
        timeline: Timeline { events: known.events.into_iter().map(Into::into).collect(), next_cursor },
        matches: known.matches,
        standing,
    })
}

async fn read(pool: PgPool, kind: KeyKind, id: String, oldest_day: NaiveDate) -> Result<Known, sqlx::Error> {
    let mut moment = moment(&pool).await?;
    let user = "/* profile.read.users */ SELECT id, traits::text AS traits, created_at, updated_at FROM users WHERE kind = $1 AND id = $2";
    let user = sqlx::query_as(user).bind(kind.as_str()).bind(&id).fetch_optional(&mut *moment).await?;
    let links = links(&mut moment, kind, &id).await?;
    let filter = Filter { ids: Some(stored_events::linked_ids(&mut moment, &id).await?), ..Filter::default() };
    let days = Days::read(&mut moment, oldest_day).await?;
    let events = stored_events::page(&mut moment, (&filter, &days), None, Some(LATEST + 1), 0).await?;
    let matches = sqlx::query_as(
        "/* profile.read.matches */ SELECT m.event_id, m.campaign_id, c.document ->> 'name' AS campaign_name, m.campaign_version, m.variant,
                m.disposition, coalesce(m.received_at, m.matched_at) AS at
           FROM matches m LEFT JOIN campaigns c ON c.id = m.campaign_id
          WHERE m.user_id = $1 AND m.user_kind = $2 ORDER BY at DESC, m.campaign_id LIMIT $3",
    )
    .bind(&id)
    .bind(kind.as_str())
    .bind(LATEST)
    .fetch_all(&mut *moment)
    .await?;
    moment.commit().await?;
    Ok(Known { user, links, events, matches })
}

async fn links(connection: &mut PgConnection, kind: KeyKind, id: &str) -> Result<Links, sqlx::Error> {
    let (anonymous, user) = match kind {
        KeyKind::User => ("/* profile.links.identity_links */ SELECT anonymous_id FROM identity_links WHERE user_id = $1 ORDER BY linked_at", None),
        KeyKind::Anonymous => (
            "/* profile.links.identity_links.2 */ SELECT l.anonymous_id FROM identity_links l JOIN identity_links mine USING (user_id)
              WHERE mine.anonymous_id = $1 AND l.anonymous_id <> $1 GROUP BY 1 ORDER BY min(l.linked_at)",
            Some("/* profile.links.identity_links.3 */ SELECT user_id FROM identity_links WHERE anonymous_id = $1 ORDER BY linked_at"),
        ),
    };
    let anonymous_ids = sqlx::query_scalar(anonymous).bind(id).fetch_all(&mut *connection).await?;
    let user_ids = match user {
        Some(sql) => sqlx::query_scalar(sql).bind(id).fetch_all(connection).await?,
        None => Vec::new(),
    };
    Ok(Links { anonymous_ids, user_ids })
}

fn not_found() -> Problem {
    Problem::new(Kind::NotFound, "nothing is known about this id; visitors are found with kind=anonymous")
        .with_error("User not found")
}

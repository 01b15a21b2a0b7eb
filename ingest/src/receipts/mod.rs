//! "Where is my event?": `GET /v1/events/{message_id}?user_id=…` tells what became of an event.
//!
//! `message_id` is the client's own (`messageId`, or EmbeddedCraft's `event_id`), or the `id` that a reply gave. `user_id` (or
//! `anonymous_id`) says whose event it was; admins may leave it out when they ask by `id`. `timestamp`, the event's own time as it
//! was sent, makes it one look-up; without it the user's latest [`stored::MOST_EVENTS`] events are looked through. A write key is told
//! only of events that came with a key of its name.
//!
//! The answer is `{message_id, status, stored, queued, dead[, suppressed], complete[, notes]}`:
//! - `stored`: its row, with the campaigns it matched and how many copies of it were dropped since (`duplicates`);
//! - `queued`: where it waits in the stream, behind how many messages; with `duplicate: true` when it is stored already;
//! - `dead`: why it could not be stored, and whether it was driven through the stream again since, or discarded;
//! - `suppressed`: the user was erased, so no event of them is stored, whether this one came or not.
//!
//! `status` is the first that holds of `stored`, `queued`, `dead`, `suppressed`; 404 when none does. Everything is as of one moment: positions and
//! rows are read in one snapshot, and what is not in it must lie behind these positions in the stream ([`queued`]). Where not
//! everything could be looked at, `complete` is false, `notes` say why, and an event that was not found is `unknown`.
//! An event may have several entries: other types or hours under one message id are other events.

pub mod asked;
pub mod dead;
pub mod queued;
pub mod stored;
pub mod suppressed;

use std::sync::Arc;

use axum::extract::{Path, RawQuery, State};
use axum::response::{IntoResponse, Response};
use http::HeaderMap;
use serde::Serialize;
use sqlx::postgres::PgPool;
use utoipa::ToSchema;

use self::asked::Asked;
use self::dead::Dead;
use self::queued::Queued;
use self::stored::Stored;
use self::suppressed::Suppressed;
use crate::app::App;
use crate::database::moment;
use crate::intake::ok;
use crate::openapi::parameters::Verified;
use crate::openapi::refusals::{AboutUser, AsksDatabase, Missing, ReadsParameters};
use crate::problem::{Kind, Problem};
use crate::query::Query;

/// What became of an event.
#[derive(Debug, Serialize, ToSchema)]
struct Receipt<'a> {
    message_id: &'a str,
    /// `stored`, `queued`, `dead`, `suppressed`, or `unknown` when not everything could be looked at.
    status: &'static str,
    stored: Vec<Stored>,
    queued: Vec<Queued>,
    dead: Vec<Dead>,
    /// The user was erased: no event of them is stored.
    #[serde(skip_serializing_if = "Option::is_none")]
    suppressed: Option<Suppressed>,
    /// Everything was looked at.
    complete: bool,
    /// What was not.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    notes: Vec<String>,
}

/// Where is my event?
///
/// What became of an event: `stored` with the campaigns it matched and how many copies of it were dropped, `queued` with its place in the
/// stream, `dead` with the reason, or `suppressed` because the user was erased. Without `timestamp` the user's latest 10,000 events are looked through. A write key is told
/// only of events that came with a key of its name.
#[utoipa::path(
    get, path = "/v1/events/{message_id}", operation_id = "receipt", tag = "Events",
    params(
        ("message_id" = String, Path, description = "The `messageId` (or `event_id`) it was sent with, or the `id` of a reply.", example = "checkout-42"),
        ("user_id" = Option<String>, Query, description = "Whose event it was; admins may leave it out when they ask by `id`.", example = "ada"),
        ("anonymous_id" = Option<String>, Query, description = "Whose, when nobody was logged in."),
        ("timestamp" = Option<String>, Query, description = "The event's own time, as it was sent: makes it one look-up."),
        Verified,
    ),
    responses((status = 200, description = "What is known of it.", body = Receipt), ReadsParameters, AboutUser, Missing, AsksDatabase),
)]
pub async fn show(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Response {
    answer(&app, &name, &headers, query.as_deref()).await.unwrap_or_else(IntoResponse::into_response)
}

async fn answer(app: &App, name: &str, headers: &HeaderMap, query: Option<&str>) -> Result<Response, Problem> {
    let caller = app.door.client(headers)?;
    let query = Query::parse(query);
    let asked = Arc::new(Asked::read(app, name, &caller, headers, &query)?);

    let of = Arc::clone(&asked);
    let (stored, dead, suppressed, positions, mut notes) = app
        .database
        .run(move |pool: PgPool| async move {
            let mut notes = Vec::new();
            let mut moment = moment(&pool).await?;
            let positions = queued::positions(&mut moment, &of).await?;
            let stored = stored::read(&mut moment, &of, &mut notes).await?;
            let dead = dead::read(&mut moment, &of, &mut notes).await?;
            let suppressed = suppressed::read(&mut moment, &of).await?;
            moment.commit().await?;
            Ok((stored, dead, suppressed, positions, notes))
        })
        .await?;
    let mut queued = queued::find(app, &asked, &positions, &mut notes).await;
    for waiting in &mut queued {
        waiting.duplicate = stored.iter().any(|row| row.id == waiting.id);
    }

    let found = [
        ("stored", !stored.is_empty()),
        ("queued", !queued.is_empty()),
        ("dead", !dead.is_empty()),
        ("suppressed", suppressed.is_some()),
    ];
    let status = match found.iter().find(|(_, holds)| *holds) {
        Some((status, _)) => *status,
        None if notes.is_empty() => return Err(not_found()),
        None => "unknown",
    };
    ok(&Receipt {
        message_id: &asked.name,
        status,
        stored,
        queued,
        dead,
        suppressed,
        complete: notes.is_empty(),
        notes,
    })
}

fn not_found() -> Problem {
    let message = "no event of this user with this id was accepted, or it is past the retention; a request that was answered with \
                   an error must be sent again";
    Problem::new(Kind::NotFound, message).with_error("Event not found")
}

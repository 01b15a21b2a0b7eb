//! `GET /v1/admin/events/stream`: the live tail as server-sent events, until the client goes away or the process stops.
//!
//! `user_id` (or an anonymous id), `event`, `type`, `source` and `outcome` (`accepted`, `rejected`) narrow it. Each entry is an
//! event named by its outcome with one line of JSON (see [`super::filter::Entry`]); its `skipped` counts entries left out before
//! it. The first event is `listening`: from then on every process knows of the listener within seconds. `curl -N` shows it.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{RawQuery, State};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use serde::Deserialize;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use uuid::Uuid;

use super::filter::{Filter, Outcome};
use super::hear::Announcement;
use super::{ANNOUNCE, MOST_LISTENERS};
use crate::app::App;
use crate::openapi::refusals::{Listens, ReadsParameters};
use crate::problem::{Kind, Problem};
use crate::query::Query;

/// Entries that wait for a slow reader; further ones are skipped.
const QUEUE: usize = 256;
/// A comment that keeps proxies from closing a quiet connection.
const QUIET: Duration = Duration::from_secs(15);

/// What comes in just now.
///
/// Server-sent events, until you go away: each is named `accepted` or `rejected` and has one line of JSON, with the reason of a
/// rejection. A sample of at most 100 a second and process; `skipped` counts what was left out. The first event is `listening`.
#[utoipa::path(
    get, path = "/v1/admin/events/stream", operation_id = "liveTail", tag = "Events and users",
    params(
        ("user_id" = Option<String>, Query, description = "Only of this user or anonymous id."),
        ("event" = Option<String>, Query, description = "Only of this name."),
        ("type" = Option<String>, Query, description = "Only `track`, `identify`, …"),
        ("source" = Option<String>, Query, description = "Only with keys of this name."),
        ("outcome" = Option<String>, Query, description = "Only `accepted` or `rejected` ones."),
    ),
    responses((status = 200, description = "The tail.", body = String, content_type = "text/event-stream"), ReadsParameters, Listens),
)]
pub async fn listen(State(app): State<Arc<App>>, RawQuery(query): RawQuery) -> Response {
    open(app, query.as_deref()).await.unwrap_or_else(IntoResponse::into_response)
}

async fn open(app: Arc<App>, query: Option<&str>) -> Result<Response, Problem> {
    let filter = filter(&Query::parse(query))?;
    let place = Arc::clone(&app.tail.places).try_acquire_owned().map_err(|_| {
        let message = format!("{MOST_LISTENERS} listeners are open here already; close one of them");
        Problem::new(Kind::Overloaded, message)
    })?;
    let id = Uuid::new_v4().simple().to_string();
    let away = |e: &dyn std::fmt::Display| {
        Problem::new(Kind::StreamUnavailable, "the live tail goes through NATS, which is away; try again").caused_by(e)
    };
    let entries = app.client.subscribe(app.tail.subjects.of(&id)).await.map_err(|e| away(&e))?;
    // The server knows of the subscription before anybody hears of the listener.
    app.client.flush().await.map_err(|e| away(&e))?;
    let (queue, shown) = mpsc::channel(QUEUE);
    tokio::spawn(pass_on(app, Announcement { id, filter }, entries, queue, place));

    let first = stream::once(async { Ok::<_, Infallible>(Event::default().event("listening").data("{}")) });
    let rest = stream::unfold(shown, async |mut shown| {
        let entry: Bytes = shown.recv().await?;
        Some((Ok(as_event(&entry)), shown))
    });
    let response = Sse::new(first.chain(rest)).keep_alive(KeepAlive::new().interval(QUIET)).into_response();
    Ok(response)
}

/// Announces the listener and hands over what comes for it, until it is gone or the process drains.
async fn pass_on(
    app: Arc<App>,
    listener: Announcement,
    mut entries: async_nats::Subscriber,
    queue: mpsc::Sender<Bytes>,
    place: OwnedSemaphorePermit,
) {
    let announcement: Bytes = serde_json::to_vec(&listener).unwrap_or_default().into();
    let mut announce = tokio::time::interval(ANNOUNCE);
    while !app.readiness.is_draining() {
        tokio::select! {
            _ = announce.tick() => {
                let said = app.client.publish(app.tail.subjects.announcements(), announcement.clone()).await;
                if let Err(error) = said {
                    tracing::debug!(%error, "a listener of the live tail could not be announced");
                }
            }
            () = queue.closed() => break,
            entry = entries.next() => match entry {
                // A reader that does not keep up misses some.
                Some(message) => drop(queue.try_send(message.payload)),
                None => break,
            },
        }
    }
    drop(place);
}

fn as_event(entry: &Bytes) -> Event {
    #[derive(Deserialize)]
    struct Head {
        outcome: Outcome,
    }
    let name = serde_json::from_slice::<Head>(entry).map_or("message", |head| head.outcome.as_str());
    Event::default().event(name).data(String::from_utf8_lossy(entry))
}

fn filter(query: &Query<'_>) -> Result<Filter, Problem> {
    let outcome = query.text("outcome").map(|text| {
        Outcome::parse(text).ok_or_else(|| Problem::new(Kind::InvalidParameter, "outcome must be accepted or rejected"))
    });
    Ok(Filter {
        user: query.id("user_id")?.or(query.id("anonymous_id")?).map(str::to_owned),
        event: query.plain("event")?.map(str::to_owned),
        kind: query.plain("type")?.map(str::to_owned),
        source: query.plain("source")?.map(str::to_owned),
        outcome: outcome.transpose()?,
    })
}

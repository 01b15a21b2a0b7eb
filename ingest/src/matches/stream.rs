//! `GET /v1/matches/stream?user_id=`: matches as server-sent events, until the client goes away or the process stops.
//!
//! Each is an event `match` with the object of the list. Its id is the cursor, which the browser sends back as `Last-Event-ID` when it
//! connects again; an event without an id must not move that cursor, because something before it waits. The first read gives
//! everything that waits, as the list does.
//!
//! One task of the server per connection and nothing else: no queue, no task of its own. What was read and not taken yet is a page
//! ([`PAGE`]); a client that does not read is not read for.

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{RawQuery, State};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use chrono::Utc;
use futures_util::stream;
use http::HeaderMap;
use http::header::{CACHE_CONTROL, HeaderName, HeaderValue};
use shared::domain::place::Place;
use tokio::time::Instant;

use super::asker::{self, Receiver};
use super::item::{Item, MatchId};
use super::list::OfDevice;
use super::page::Given;
use super::read::{self, Ask};
use super::seat::Seat;
use super::{cursor, token};
use crate::app::App;
use crate::keys::KeyHash;
use crate::openapi::parameters::Verified;
use crate::openapi::refusals::{AboutUser, AsksDatabase, OpensStream, ReadsParameters};
use crate::problem::{Kind, Problem};
use crate::query::Query;

/// Matches of one read.
const PAGE: i64 = 20;
/// What clients are told to wait before they connect again.
const RECONNECT: Duration = Duration::from_secs(2);
/// After a read that failed.
const RETRY: Duration = Duration::from_secs(2);
/// Names under which a key might be sent in an address.
const KEY_NAMES: [&str; 7] = ["key", "api_key", "apiKey", "x-api-key", "writeKey", "write_key", "access_token"];
/// Tells proxies that collect answers to pass this one on as it comes.
const UNBUFFERED: HeaderName = HeaderName::from_static("x-accel-buffering");

/// Matches of a user as they come.
///
/// Server-sent events: first what waits, then what comes. Each is named `match`, holds the same object as the list, and has the cursor
/// as its id. A browser opens it with a token, everybody else with a key in a header; a key in the address is refused.
#[utoipa::path(
    get, path = "/v1/matches/stream", operation_id = "matchStream", tag = "For apps",
    params(
        OfDevice, Verified,
        ("token" = Option<String>, Query, description = "In the place of a key: one of this user, from `POST /v1/matches/token`."),
        ("Last-Event-ID" = Option<String>, Header, description = "As `after`; what browsers send when they connect again."),
    ),
    responses(
        (status = 200, description = "The matches.", body = String, content_type = "text/event-stream"),
        ReadsParameters, AboutUser, AsksDatabase, OpensStream,
    ),
)]
pub async fn open(State(app): State<Arc<App>>, headers: HeaderMap, RawQuery(query): RawQuery) -> Response {
    begin(&app, &headers, &Query::parse(query.as_deref())).unwrap_or_else(IntoResponse::into_response)
}

fn begin(app: &Arc<App>, headers: &HeaderMap, query: &Query<'_>) -> Result<Response, Problem> {
    if KEY_NAMES.iter().any(|name| query.text(name).is_some()) {
        let message = "a key must not stand in an address, where logs keep it: send it as x-api-key, or open the stream with a token \
                       from POST /v1/matches/token. And revoke this one";
        return Err(Problem::new(Kind::InvalidParameter, message));
    }
    let user = asker::in_query(query, &app.settings.pipeline.placeholders);
    let known = user.as_ref().ok().copied().flatten();
    let caller = match query.text("token") {
        Some(text) => {
            let caller = token::admit(app, text, known, Utc::now())?;
            caller.spend(1, 0)?;
            caller
        }
        None => asker::with_key(app, headers, query, known)?,
    };
    let user = asker::must_be_known(user?)?;
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok()).filter(|id| !id.is_empty());
    let settled = match last {
        Some(last) => Some(cursor::read(last, "Last-Event-ID")?),
        None => query.text("after").map(|after| cursor::read(after, "after")).transpose()?,
    };
    let watching = Watching {
        seat: Seat::take(&app.feed, &app.metrics, user)?,
        key: caller.hash,
        receiver: Receiver::of(user),
        device: asker::device(query)?,
        settled,
        sent: HashMap::new(),
        ready: VecDeque::new(),
        due: Instant::now(),
        has_begun: false,
        app: Arc::clone(app),
    };
    let events = stream::unfold(watching, async |mut watching| {
        let event = watching.next().await?;
        Some((Ok::<_, Infallible>(event), watching))
    });
    let alive = KeepAlive::new().interval(app.settings.matches.heartbeat);
    let mut response = Sse::new(events).keep_alive(alive).into_response();
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response.headers_mut().insert(UNBUFFERED, HeaderValue::from_static("no"));
    Ok(response)
}

/// One stream.
struct Watching {
    app: Arc<App>,
    seat: Seat,
    key: KeyHash,
    receiver: Receiver,
    device: String,
    /// Everything up to here is done with.
    settled: Option<Place>,
    /// Given behind it; at most a page.
    sent: HashMap<MatchId, Place>,
    /// Read and not given yet.
    ready: VecDeque<Given<Item>>,
    /// The next look into the database, unless something wakes it.
    due: Instant,
    has_begun: bool,
}

impl Watching {
    /// The next event; `None` at the end.
    async fn next(&mut self) -> Option<Event> {
        if !std::mem::replace(&mut self.has_begun, true) {
            return Some(Event::default().retry(RECONNECT));
        }
        loop {
            if self.app.feed.is_closed() || !self.may_stay() {
                return None;
            }
            while let Some(given) = self.ready.pop_front() {
                if given.item.expires_at > Utc::now()
                    && let Ok(event) = as_event(&given)
                {
                    self.app.metrics.matches_delivered(1);
                    return Some(event);
                }
            }
            tokio::select! {
                () = self.seat.woken() => {}
                () = tokio::time::sleep_until(self.due) => {}
            }
            if !self.app.feed.is_closed() {
                self.read().await;
            }
        }
    }

    /// Is its key still one? If nobody can tell, it is.
    fn may_stay(&self) -> bool {
        self.app.door.by_hash(&self.key).map_or_else(|problem| problem.kind() != Kind::Unauthorized, |_| true)
    }

    async fn read(&mut self) {
        let ask =
            Ask { receiver: &self.receiver, device: &self.device, after: self.settled, most: PAGE, sent: &self.sent };
        let page = match read::page(&self.app, &ask).await {
            Ok(page) => page,
            Err(problem) => {
                tracing::debug!(code = problem.kind().code(), "a stream of matches could not be read for");
                self.due = Instant::now() + RETRY.mul_f64(1.0 + self.seat.spread());
                return;
            }
        };
        let reread = self.app.settings.matches.reread.mul_f64(0.75 + self.seat.spread() / 2.0);
        let wait = page.look_again.map_or(reread, |wait| wait.min(reread));
        self.due = Instant::now() + if page.more { Duration::ZERO } else { wait };
        self.sent.extend(page.given.iter().map(|given| (given.item.id(), given.place)));
        self.sent.retain(|_, place| Some(*place) > page.cursor);
        self.settled = page.cursor;
        self.ready.extend(page.given);
    }
}

fn as_event(given: &Given<Item>) -> Result<Event, axum::Error> {
    let event = Event::default().event("match").json_data(given.item.shown())?;
    Ok(if given.is_settled { event.id(cursor::write(given.place)) } else { event })
}

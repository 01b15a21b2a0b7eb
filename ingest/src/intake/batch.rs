//! The routes of many events: `/v1/batch`, `/v1/import`, which is the same and is refused first under load, and `/v1/leads`, whose
//! body is rewritten as a batch.
//!
//! The answer is exactly 200 as long as one event is good; the bad ones are named in it by their index. A good event never
//! suffers for its neighbour.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use chrono::Utc;
use http::request::Parts;
use serde::Serialize;
use serde_json::json;
use shared::domain::event::{Event, EventType};
use shared::domain::intake::envelope::{self, Batch};
use shared::domain::intake::{Request, leads, normalise};
use shared::domain::limits;
use utoipa::ToSchema;
use uuid::Uuid;

use super::arrivals::Arrivals;
use super::packing::{Packing, Places, Slot};
use super::refusal::Rejected;
use super::single::LINE_OVERHEAD_BYTES;
use super::{Admitted, admit, finish, idempotency_key, ok};
use crate::app::App;
use crate::budget::Importance;
use crate::keys::Caller;
use crate::problem::{Kind, Problem};
use crate::profile;

/// After so many events others get a turn.
const TURN_EVENTS: usize = 500;

/// The answer to many events.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({
    "ok": true, "accepted": 1,
    "rejected": [{"index": 1, "messageId": "m-2", "code": "missing_field", "message": "event: a track call names its event",
                  "violations": [{"field": "event", "code": "missing_field", "message": "a track call names its event"}]}],
}))]
pub struct BatchAnswer {
    ok: bool,
    /// How many were.
    accepted: usize,
    /// Those that were not.
    rejected: Vec<Rejected>,
}

/// What a body holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// `{"batch": […]}`
    Batch,
    /// `{"leads": […]}`
    Leads,
}

/// One handler for all.
pub async fn take(
    State(app): State<Arc<App>>,
    (importance, shape): (Importance, Shape),
    request: axum::extract::Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let mut arrivals = Arrivals::begin(&app);
    let result = match admit(&app, &parts.headers, body, importance, app.settings.max_body_bytes).await {
        Ok(admitted) => accept(&app, &parts, shape, admitted, &mut arrivals).await,
        Err(problem) => Err(problem),
    };
    finish(result, &mut arrivals)
}

async fn accept(
    app: &App,
    parts: &Parts,
    shape: Shape,
    admitted: Admitted,
    arrivals: &mut Arrivals<'_>,
) -> Result<Response, Problem> {
    let Admitted { body, mut share, caller } = admitted;
    let unreadable = |e: envelope::Unreadable| Problem::new(Kind::InvalidJson, e.0);
    let text = envelope::text(&body).map_err(unreadable)?;
    let rewritten = match shape {
        Shape::Batch => None,
        Shape::Leads => Some(leads::as_batch(text).map_err(unreadable)?),
    };
    let batch = envelope::batch(rewritten.as_deref().unwrap_or(text)).map_err(unreadable)?;
    let caller = match caller {
        Some(caller) => caller,
        None => app.door.caller_in_body(write_key(&batch).as_deref())?,
    };
    arrivals.came_with(&caller.source);
    let events = batch.events.len();
    if events == 0 {
        return Err(Problem::new(Kind::EmptyBatch, "the batch is empty; send at least one event"));
    }
    arrivals.are(events);
    if events > limits::BATCH_EVENTS {
        let most = limits::BATCH_EVENTS;
        return Err(Problem::new(
            Kind::BatchTooLarge,
            format!("the batch has {events} events; at most {most} are allowed"),
        ));
    }
    caller.spend(events, text.len())?;

    let mut packing = Packing::new(app.publisher.way());
    let read = read_all(app, parts, &caller, &batch, &mut packing, arrivals).await?;
    let accepted = events - read.rejected.len();
    if accepted == 0 {
        let rejected = json!(read.rejected);
        let message = "none of the events can be accepted; see rejected";
        return Err(Problem::new(Kind::NoValidEvent, message).with("accepted", json!(0)).with("rejected", rejected));
    }
    let places = packing.submit(&mut share)?.outcome().await?;
    arrivals.accept_rest();
    remember(app, &read.telling, &places);
    ok(&BatchAnswer { ok: true, accepted, rejected: read.rejected })
}

/// The events of a batch, judged.
struct Read<'a> {
    rejected: Vec<Rejected>,
    /// Accepted events that change what is known of their users.
    telling: Vec<(Event<'a>, Slot)>,
}

async fn read_all<'a>(
    app: &'a App,
    parts: &'a Parts,
    caller: &'a Caller,
    batch: &Batch<'a>,
    packing: &mut Packing,
    arrivals: &mut Arrivals<'_>,
) -> Result<Read<'a>, Problem> {
    let request = Request {
        source: &caller.source,
        received_at: Utc::now(),
        retention_days: app.settings.pipeline.retention_days,
        placeholders: &app.settings.pipeline.placeholders,
        sent_at: batch.sent_at,
        context: batch.context,
        idempotency_key: idempotency_key(&parts.headers)?,
    };
    let snapshot = Arc::clone(&app.campaigns.borrow());
    let mut read = Read { rejected: Vec::new(), telling: Vec::new() };
    for (index, raw) in batch.events.iter().enumerate() {
        if index > 0 && index % TURN_EVENTS == 0 {
            tokio::task::yield_now().await;
        }
        match normalise(raw, None, index, &request, || Uuid::new_v4().as_u128()) {
            Ok(event) => {
                arrivals.saw(&event);
                let key = event.user_key(&app.settings.pipeline.placeholders);
                let slot = packing.push(&event, key, raw.get().len() + LINE_OVERHEAD_BYTES)?;
                let counted = || event.trigger().is_some_and(|name| snapshot.catalog.is_counted(name));
                if key.is_some() && (event.kind == EventType::Identify || counted()) {
                    read.telling.push((event, slot));
                }
            }
            Err(rejection) => {
                let rejected = Rejected::new(index, rejection);
                arrivals.reject_one(raw, &rejected);
                read.rejected.push(rejected);
            }
        }
    }
    Ok(read)
}

/// The key in the envelope, else in the first event (one browser SDK puts it there too).
fn write_key(batch: &Batch<'_>) -> Option<String> {
    batch.write_key.clone().or_else(|| batch.events.first().and_then(|event| envelope::write_key(event)))
}

fn remember(app: &App, telling: &[(Event<'_>, Slot)], places: &Places) {
    for (event, slot) in telling {
        if let (Some(key), Some(place)) = (event.user_key(&app.settings.pipeline.placeholders), places.of(*slot)) {
            profile::remember(app, event, key, (slot.partition, place), &[]);
        }
    }
}

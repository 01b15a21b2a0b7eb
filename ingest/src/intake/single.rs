//! The routes of one event: track, identify, page, screen, group, alias.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use chrono::Utc;
use http::request::Parts;
use serde::Serialize;
use serde::ser::SerializeSeq;
use serde_json::value::RawValue;
use shared::domain::event::{Event, EventType};
use shared::domain::intake::envelope;
use shared::domain::intake::{Request, normalise};
use shared::domain::traits::Traits;
use utoipa::ToSchema;
use uuid::Uuid;

use super::arrivals::Arrivals;
use super::packing::{Packing, Places};
use super::refusal::{self, Rejected};
use super::{Admitted, admit, finish, idempotency_key, ok};
use crate::app::App;
use crate::budget::Importance;
use crate::identity;
use crate::inline::{self, Matched};
use crate::problem::{Kind, Problem};
use crate::profile;
use crate::query::Query;

/// An event of the largest size, and room for how it may be written.
pub const BODY_BYTES: usize = 2 << 20;
/// What a line adds to the client's own text: ids and times.
pub const LINE_OVERHEAD_BYTES: usize = 320;

/// Paths of the second generation of clients, which also look for `success`.
const SECOND_GENERATION: &str = "/api/v1/nudge/";

/// One handler for all six.
pub async fn take(State(app): State<Arc<App>>, kind: EventType, request: axum::extract::Request) -> Response {
    let (parts, body) = request.into_parts();
    let importance = if kind == EventType::Identify { Importance::Profile } else { Importance::Event };
    let limit = BODY_BYTES.min(app.settings.max_body_bytes);
    let mut arrivals = Arrivals::begin(&app);
    let result = match admit(&app, &parts.headers, body, importance, limit).await {
        Ok(admitted) => accept(&app, kind, &parts, admitted, &mut arrivals).await,
        Err(problem) => Err(problem),
    };
    finish(result, &mut arrivals)
}

async fn accept(
    app: &App,
    kind: EventType,
    parts: &Parts,
    admitted: Admitted,
    arrivals: &mut Arrivals<'_>,
) -> Result<Response, Problem> {
    let Admitted { body, mut share, caller } = admitted;
    let unreadable = |e: envelope::Unreadable| Problem::new(Kind::InvalidJson, e.0);
    let text = envelope::text(&body).map_err(unreadable)?;
    let raw = envelope::single(text).map_err(unreadable)?;
    let caller = match caller {
        Some(caller) => caller,
        None => app.door.caller_in_body(envelope::write_key(raw).as_deref())?,
    };
    arrivals.came_with(&caller.source);
    caller.spend(1, text.len())?;
    let request = Request {
        source: &caller.source,
        received_at: Utc::now(),
        retention_days: app.settings.pipeline.retention_days,
        placeholders: &app.settings.pipeline.placeholders,
        sent_at: None,
        context: None,
        idempotency_key: idempotency_key(&parts.headers)?,
    };
    let event = match normalise(raw, Some(kind), 0, &request, || Uuid::new_v4().as_u128()) {
        Ok(event) => event,
        Err(rejection) => {
            let problem = refusal::of_single(raw, &rejection);
            arrivals.reject_one(raw, &Rejected::new(0, rejection));
            return Err(problem);
        }
    };

    arrivals.saw(&event);
    let key = event.user_key(&app.settings.pipeline.placeholders);
    let mut packing = Packing::new(app.publisher.way());
    let slot = packing.push(&event, key, raw.get().len() + LINE_OVERHEAD_BYTES)?;
    let published = packing.submit(&mut share)?;
    let verified = identity::is_verified(&caller, key, &parts.headers, &Query::parse(parts.uri.query()));
    let success = parts.uri.path().starts_with(SECOND_GENERATION).then_some(true);
    let remember = |places: &Places, shown: &[&str]| {
        if let (Some(key), Some(place)) = (key, places.of(slot)) {
            profile::remember(app, &event, key, (slot.partition, place), shown);
        }
    };
    match kind {
        EventType::Track => {
            let matched = match verified {
                true => inline::matched(app, &event, key).await,
                false => Matched::withheld(identity::NOT_VERIFIED),
            };
            let places = published.outcome().await?;
            arrivals.accept_rest();
            remember(&places, &matched.counted());
            ok(&tracked(&event, &matched, success))
        }
        EventType::Identify => {
            let before = match key {
                Some(key) if verified => profile::traits(app, key).await,
                Some(_) => None,
                None => Some(Traits::default()),
            };
            let places = published.outcome().await?;
            arrivals.accept_rest();
            remember(&places, &[]);
            ok(&identified(before, event.traits.as_deref().map_or("{}", RawValue::get), success))
        }
        EventType::Page | EventType::Screen | EventType::Group | EventType::Alias => {
            let places = published.outcome().await?;
            arrivals.accept_rest();
            remember(&places, &[]);
            ok(&TakenAnswer { ok: true, id: event.id })
        }
    }
}

/// The answer to a call that only is stored.
#[derive(Serialize, ToSchema)]
pub struct TakenAnswer {
    ok: bool,
    /// Of the event; the same for each resend.
    id: Uuid,
}

/// The answer to a track, as the old server gave it.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({
    "ok": true,
    "matched": [{"id": "5259000f-b320-46e5-8b51-f33a89cab7f4", "name": "A cart of 40 or more", "type": "modal",
                 "trigger": "cart_viewed", "config": {"text": "Free delivery, just for you"}}],
    "event": {"id": "01a203fc-5c00-8d25-be87-381f31da2bd3", "user_id": "ada", "event": "cart_viewed",
              "properties": {"cart_total": 59}, "ts": 1_795_364_657_806_i64},
}))]
pub struct TrackAnswer<'a> {
    ok: bool,
    /// On the paths of the second generation of apps.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    success: Option<bool>,
    /// The campaigns to show: by priority, then newest created first.
    #[schema(value_type = Vec<Object>)]
    matched: Objects<'a>,
    /// There, and false, when there may be more campaigns.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    matched_complete: Option<bool>,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    matched_reason: Option<&'static str>,
    event: TrackedEvent<'a>,
}

/// An event as it was taken.
#[derive(Serialize, ToSchema)]
struct TrackedEvent<'a> {
    /// The same for each resend.
    id: Uuid,
    #[schema(required)]
    user_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    anonymous_id: Option<&'a str>,
    #[schema(required)]
    event: Option<&'a str>,
    #[schema(value_type = Object)]
    properties: Option<&'a RawValue>,
    /// Milliseconds.
    ts: i64,
}

struct Objects<'a>(&'a Matched);

impl Serialize for Objects<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(None)?;
        for object in self.0.objects() {
            list.serialize_element(object)?;
        }
        list.end()
    }
}

fn tracked<'a>(event: &'a Event<'_>, matched: &'a Matched, success: Option<bool>) -> TrackAnswer<'a> {
    TrackAnswer {
        ok: true,
        success,
        matched: Objects(matched),
        matched_complete: matched.incomplete.map(|_| false),
        matched_reason: matched.incomplete,
        event: TrackedEvent {
            id: event.id,
            user_id: event.user_id.as_deref(),
            anonymous_id: event.anonymous_id.as_deref(),
            event: event.event.as_deref(),
            properties: event.properties.as_deref().or_else(|| serde_json::from_str("{}").ok()),
            ts: event.timestamp.timestamp_millis(),
        },
    }
}

/// The answer to an identify, as the old server gave it.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"ok": true, "user": {"plan": "pro", "city": "Pune"}}))]
pub struct IdentifyAnswer {
    ok: bool,
    /// On the paths of the second generation of apps.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    success: Option<bool>,
    /// All traits, those just sent included.
    #[schema(value_type = Object)]
    user: Traits,
    /// There, and false, when the traits of before could not be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    user_complete: Option<bool>,
}

fn identified(before: Option<Traits>, patch: &str, success: Option<bool>) -> IdentifyAnswer {
    let user_complete = before.is_none().then_some(false);
    let mut user = before.unwrap_or_default();
    // Checked at the door to be an object.
    if let Ok(patch) = Traits::parse(patch) {
        user.merge(patch);
    }
    IdentifyAnswer { ok: true, success, user, user_complete }
}

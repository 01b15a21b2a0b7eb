//! `POST /v1/admin/campaigns/{id}/explain`: why a campaign was, or would be, shown to a user for an event; and of a campaign that is not stored,
//! `POST /v1/admin/campaigns/explain` with `campaign`.
//!
//! Both take `user_id` or `anonymous_id` (neither: a stranger's), and `event_id` (of a stored event: its id or message id, explained as of
//! then) or `event` (`{event, properties, context, traits, timestamp}`, explained as of now). How: [`shared::store::explain`].

use std::sync::Arc;

use axum::extract::{Path, Request, State};
use axum::response::Response;
use chrono::Utc;
use serde::{Deserialize, Deserializer};
use shared::domain::limits::ID_BYTES;
use shared::domain::raw_object::RawObject;
use shared::domain::user_key::KeyKind;
use shared::store::explain::{self, Asked, Described, Occasion, Refused, Setting, Subject};

use super::campaigns::{BODY_BYTES, RESOURCE};
use super::documents::answered;
use super::sent::{self, SMALL_BODY_BYTES};
use crate::app::App;
use crate::intake::ok;
use crate::openapi::refusals::{AsksDatabase, FaultyCampaign, Missing, ReadsBody, ReadsParameters};
use crate::problem::{Kind, Problem};

/// As sent.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Body {
    #[serde(deserialize_with = "given")]
    user_id: Option<String>,
    #[serde(deserialize_with = "given")]
    anonymous_id: Option<String>,
    #[serde(deserialize_with = "given")]
    event_id: Option<String>,
    #[serde(deserialize_with = "given")]
    event: Option<Described>,
    #[serde(deserialize_with = "given")]
    campaign: Option<RawObject>,
}

/// A null is no value: who sends one means somebody.
pub fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// Why is a campaign shown to a user for an event, or why not?
///
/// Every rule with the value that it saw, and every other check (status, schedule, opt-out, roll-out, caps, hold-out), also where an earlier
/// one has decided. A stored event (`event_id`) is explained as of then: the campaign as it was, traits, counts and caps from what had
/// arrived before. One that is described (`event`) is explained as of now. `notes` say what cannot be known exactly any more.
#[utoipa::path(
    post, path = "/v1/admin/campaigns/{id}/explain", operation_id = "explainCampaign", tag = "Campaigns",
    params(("id" = String, Path, description = "Of the campaign.", example = "5259000f-b320-46e5-8b51-f33a89cab7f4")),
    request_body(content = ref("#/components/schemas/CampaignQuestion"), content_type = "application/json"),
    responses(
        (status = 200, description = "The explanation.", body = ref("#/components/schemas/CampaignExplanation")),
        ReadsBody, ReadsParameters, FaultyCampaign, Missing, AsksDatabase,
    ),
)]
pub async fn stored(State(app): State<Arc<App>>, Path(id): Path<String>, request: Request) -> Response {
    let answer = async {
        let id = RESOURCE.storable(id)?;
        let body = read(&app, request, SMALL_BODY_BYTES).await?;
        if body.campaign.is_some() {
            return Err(wrong(
                "the path names the campaign already: leave campaign out, or use /v1/admin/campaigns/explain",
            ));
        }
        answer(&app, Subject::Stored(id), body).await
    };
    answered(answer.await)
}

/// Why would a campaign that is not stored be shown to a user for an event, or why not?
///
/// As for a stored one; `campaign` is the document. With the `id` of a stored campaign it is explained in the place of that one.
#[utoipa::path(
    post, path = "/v1/admin/campaigns/explain", operation_id = "explainDraft", tag = "Campaigns",
    request_body(content = ref("#/components/schemas/CampaignDraftQuestion"), content_type = "application/json"),
    responses(
        (status = 200, description = "The explanation.", body = ref("#/components/schemas/CampaignExplanation")),
        ReadsBody, ReadsParameters, FaultyCampaign, Missing, AsksDatabase,
    ),
)]
pub async fn draft(State(app): State<Arc<App>>, request: Request) -> Response {
    let answer = async {
        let mut body = read(&app, request, BODY_BYTES).await?;
        let campaign = body.campaign.take().ok_or_else(|| wrong("campaign must be the document of a campaign"))?;
        answer(&app, subject(&campaign)?, body).await
    };
    answered(answer.await)
}

/// A draft that passes the door, with the id of the campaign that it stands for.
pub fn subject(campaign: &RawObject) -> Result<Subject, Problem> {
    let id = campaign.get("id").and_then(|raw| String::deserialize(raw).ok());
    Ok(Subject::Draft(RESOURCE.checked(campaign)?.document, id))
}

async fn answer(app: &App, campaign: Subject, body: Body) -> Result<Response, Problem> {
    let asked = Asked { campaign, user: user(&body)?, event: event(body)? };
    let snapshot = Arc::clone(&app.campaigns.borrow());
    let placeholders = app.settings.pipeline.placeholders.clone();
    let explained = app.database.read(async move |pool| {
        let setting = Setting { catalog: &snapshot.catalog, placeholders: &placeholders, now: Utc::now() };
        explain::explain(&pool, &asked, setting).await
    });
    match explained.await? {
        Ok(answer) => ok(&answer),
        Err(refused) => Err(problem(&refused)),
    }
}

/// Why there is no answer.
pub fn problem(refused: &Refused) -> Problem {
    match refused {
        Refused::NoCampaign => RESOURCE.not_found(),
        Refused::NoEvent => {
            let message = "there is no such event of this user: event_id is the id or the messageId of a stored event, of which user_id or \
                           anonymous_id says whose it is";
            Problem::new(Kind::NotFound, message)
        }
        Refused::Malformed(faults) => RESOURCE.faulty(faults),
    }
}

async fn read(app: &App, request: Request, limit_bytes: usize) -> Result<Body, Problem> {
    let sent = sent::object(app, request, limit_bytes, Kind::InvalidParameter).await?;
    serde_json::from_str(&sent.to_json()).map_err(|error| wrong(&format!("the body cannot be used: {error}")))
}

fn user(body: &Body) -> Result<Option<(KeyKind, String)>, Problem> {
    let user = match (&body.user_id, &body.anonymous_id) {
        (Some(_), Some(_)) => return Err(wrong("say either user_id or anonymous_id")),
        (Some(id), None) => (KeyKind::User, id),
        (None, Some(id)) => (KeyKind::Anonymous, id),
        (None, None) => return Ok(None),
    };
    if user.1.is_empty() || user.1.len() > ID_BYTES {
        return Err(wrong(&format!("an id has 1 to {ID_BYTES} bytes")));
    }
    Ok(Some((user.0, user.1.clone())))
}

fn event(body: Body) -> Result<Occasion, Problem> {
    match (body.event_id, body.event) {
        (Some(id), None) => Ok(Occasion::Stored(id)),
        (None, Some(described)) if described.event.is_empty() => Err(wrong("event.event must name the event")),
        (None, Some(described)) => Ok(Occasion::Described(described)),
        _ => Err(wrong("say which event: event_id of a stored one, or event to describe one")),
    }
}

/// The request cannot be what it is.
pub fn wrong(message: &str) -> Problem {
    Problem::new(Kind::InvalidParameter, message.to_owned())
}

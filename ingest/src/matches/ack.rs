//! `POST /v1/matches/ack` `{user_id | anonymous_id, ids: […]}`: these were shown, so no device gets them any more.
//!
//! As often as one likes. An acknowledgment may come before the match is recorded, as the reply to the event has shown the campaign: it
//! is kept, and counts when the match comes. One of somebody else's match does nothing.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use shared::domain::raw_object::RawObject;
use shared::domain::tombstone::KeyHash;
use shared::domain::user_key::UserKey;
use sqlx::postgres::PgPool;
use utoipa::ToSchema;
use uuid::Uuid;

use super::asker::{self, Receiver};
use super::item::{MatchId, read_id, write_id};
use crate::admin::sent::{SMALL_BODY_BYTES, object};
use crate::app::App;
use crate::identity;
use crate::intake::ok;
use crate::keys::Caller;
use crate::openapi::refusals::{AboutUser, AsksDatabase, ReadsBody, ReadsParameters};
use crate::problem::{Kind, Problem};
use crate::query::Query;
use shared::domain::limits;

/// Ids of one request.
pub const MOST_ACKNOWLEDGED: usize = 100;

#[derive(Serialize, ToSchema)]
#[schema(as = MatchesAcknowledged)]
struct Acknowledged {
    ok: bool,
    /// Matches of this user.
    acknowledged: Vec<String>,
    /// No match of this user yet. If one comes, it is acknowledged.
    unknown: Vec<String>,
}

/// These matches were shown.
///
/// No device gets them any more. As often as one likes, and also before a match is recorded: the reply to a track is quicker.
#[utoipa::path(
    post, path = "/v1/matches/ack", operation_id = "acknowledgeMatches", tag = "For apps",
    request_body(content = ref("#/components/schemas/MatchAcknowledgment"), content_type = "application/json"),
    responses((status = 200, description = "Which were known.", body = Acknowledged), ReadsBody, ReadsParameters, AboutUser, AsksDatabase),
)]
pub async fn acknowledge(State(app): State<Arc<App>>, request: Request) -> Response {
    answer(&app, request).await.unwrap_or_else(IntoResponse::into_response)
}

async fn answer(app: &App, request: Request) -> Result<Response, Problem> {
    let Sent { caller: _, receiver, body } = sent(app, request).await?;
    let ids = ids(&body)?;
    let (hash, asked) = (app.feed.salt()?.hash(receiver.key()), ids.clone());
    let known = app.database.feed(async move |pool: PgPool| record(&pool, &receiver, hash, &asked).await).await?;
    let known: BTreeSet<MatchId> = known.into_iter().collect();
    let name = |(event_id, campaign_id): &MatchId| write_id(*event_id, campaign_id);
    app.metrics.matches_acknowledged(known.len());
    let unknown = ids.iter().filter(|id| !known.contains(*id)).map(name).collect();
    ok(&Acknowledged { ok: true, acknowledged: known.iter().map(name).collect(), unknown })
}

/// A request about a user, whose key and `user_hash` may stand in the body as well.
pub(super) struct Sent {
    pub(super) caller: Caller,
    pub(super) receiver: Receiver,
    pub(super) body: RawObject,
}

/// Reads it, and lets it in.
pub(super) async fn sent(app: &App, request: Request) -> Result<Sent, Problem> {
    let (headers, uri) = (request.headers().clone(), request.uri().clone());
    let caller = app.door.caller_in_headers(&headers)?;
    let body = object(app, request, SMALL_BODY_BYTES, Kind::InvalidParameter).await?;
    let caller = match caller {
        Some(caller) => caller,
        None => app.door.caller_in_body(text(&body, &["writeKey"]).as_deref())?,
    };
    caller.spend(1, 0)?;
    let user_id = id(&body, &["user_id", "userId"])?;
    let anonymous_id = id(&body, &["anonymous_id", "anonymousId"])?;
    let placeholders = &app.settings.pipeline.placeholders;
    let user = asker::must_be_known(UserKey::of(user_id.as_deref(), anonymous_id.as_deref(), placeholders))?;
    let query = Query::parse(uri.query());
    let hash = text(&body, &["user_hash"]).map(|hash| format!("user_hash={hash}"));
    let in_body = Query::parse(hash.as_deref());
    if !identity::is_verified(&caller, Some(user), &headers, &in_body) {
        identity::verify(&caller, Some(user), &headers, &query)?;
    }
    Ok(Sent { caller, receiver: Receiver::of(user), body })
}

fn text(body: &RawObject, names: &[&str]) -> Option<String> {
    names.iter().find_map(|name| String::deserialize(body.get(name)?).ok()).filter(|text| !text.trim().is_empty())
}

fn id(body: &RawObject, names: &[&str]) -> Result<Option<String>, Problem> {
    let text = text(body, names).map(|text| text.trim().to_owned());
    if text.as_ref().is_some_and(|text| text.len() > limits::ID_BYTES) {
        let message = format!("{} must be at most {} bytes", names.join(" or "), limits::ID_BYTES);
        return Err(Problem::new(Kind::InvalidParameter, message));
    }
    Ok(text)
}

fn ids(body: &RawObject) -> Result<BTreeSet<MatchId>, Problem> {
    let refused = |message: String| Err(Problem::new(Kind::InvalidParameter, message));
    let Some(Ok(ids)) = body.get("ids").map(Vec::<String>::deserialize) else {
        return refused("ids must be an array of texts: those of matches".to_owned());
    };
    if ids.len() > MOST_ACKNOWLEDGED {
        return refused(format!("ids holds {}; at most {MOST_ACKNOWLEDGED} are taken at once", ids.len()));
    }
    let mut read = BTreeSet::new();
    for (index, id) in ids.iter().enumerate() {
        let Some(id) = read_id(id).filter(|(_, campaign_id)| campaign_id.len() <= limits::ID_BYTES) else {
            return refused(format!("ids[{index}] is no id of a match: an event's id, a full stop, a campaign's id"));
        };
        read.insert(id);
    }
    Ok(read)
}

/// Notes them; gives back those that are matches of the user. Nothing is noted of erased people, nor of others' matches.
async fn record(
    pool: &PgPool,
    receiver: &Receiver,
    hash: KeyHash,
    ids: &BTreeSet<MatchId>,
) -> Result<Vec<MatchId>, sqlx::Error> {
    let user = receiver.key();
    sqlx::query_as(
        "/* ack.record */ WITH asked AS (SELECT * FROM unnest($3::uuid[], $4::text[]) AS a (event_id, campaign_id)),
         found AS (SELECT event_id, campaign_id, m.day IS NOT NULL AS is_match,
                          coalesce(m.user_id = $1 AND m.user_kind = $2, false) AS is_mine
                     FROM asked LEFT JOIN matches m USING (event_id, campaign_id)),
         noted AS (INSERT INTO deliveries AS d (user_id, user_kind, event_id, campaign_id, acked_at)
                   SELECT $1, $2, event_id, campaign_id, now() FROM found
                    WHERE (is_mine OR NOT is_match)
                      AND NOT EXISTS (SELECT FROM tombstones WHERE key_hash = $5 AND renewed_at IS NULL)
                    ORDER BY event_id, campaign_id
                   ON CONFLICT (user_id, event_id, campaign_id, user_kind) DO UPDATE
                      SET acked_at = excluded.acked_at, updated_at = now() WHERE d.acked_at IS NULL)
         SELECT event_id, campaign_id FROM found WHERE is_mine",
    )
    .bind(user.id)
    .bind(user.kind.as_str())
    .bind(ids.iter().map(|(event_id, _)| *event_id).collect::<Vec<Uuid>>())
    .bind(ids.iter().map(|(_, campaign_id)| campaign_id.as_str()).collect::<Vec<&str>>())
    .bind(hash.0.to_vec())
    .fetch_all(pool)
    .await
}

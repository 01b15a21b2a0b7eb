//! Finds what waits for a user, and claims it for a device: at most two statements, the second only when something is given.
//!
//! The matches of a user that are young enough are found in the index that caps are counted with (`matches_user`), so the feed needs no
//! index of its own: of a user with 5,000 matches that takes 0.2 ms, of others next to nothing.
//!
//! A match that this process's campaigns know nothing of may be of a campaign that the worker has read a moment before us: then it
//! waits for the next reading. Erased people are given nothing, and nothing is noted of them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, NaiveDate, Utc};
use shared::domain::campaign::Compiled;
use shared::domain::campaign::assignment::Who;
use shared::domain::campaign::delivery::says_opted_out;
use shared::domain::place::Place;
use shared::domain::user_key::UserKey;
use shared::store::catalog::Snapshot;
use sqlx::FromRow;
use sqlx::postgres::PgPool;
use uuid::Uuid;

use super::asker::Receiver;
use super::item::{Item, MatchId};
use super::page::{Page, Standing, lay_out};
use crate::app::App;
use crate::problem::{Kind, Problem};

/// What is asked for.
#[derive(Debug)]
pub struct Ask<'a> {
    /// Whose matches.
    pub receiver: &'a Receiver,
    /// Which device claims them.
    pub device: &'a str,
    /// Only what comes behind it.
    pub after: Option<Place>,
    /// Only so many, and the others of the last one's event.
    pub most: i64,
    /// Given on this stream already.
    pub sent: &'a HashMap<MatchId, Place>,
}

#[derive(Debug, FromRow)]
struct Row {
    event_id: Uuid,
    campaign_id: String,
    day: NaiveDate,
    variant: Option<String>,
    disposition: String,
    received_at: DateTime<Utc>,
    matched_at: DateTime<Utc>,
    stream_generation: i64,
    stream_seq: i64,
    stream_index: i32,
    position: i64,
    /// Another device holds it for so long.
    held_seconds: Option<f64>,
    opt_out: Option<String>,
    catalog_version: i64,
}

impl Row {
    fn place(&self) -> Place {
        Place { generation: self.stream_generation, sequence: self.stream_seq, index: self.stream_index }
    }
}

/// What waits for the user just now; it is the device's from then on.
pub async fn page(app: &App, ask: &Ask<'_>) -> Result<Page<Item>, Problem> {
    let snapshot = Arc::clone(&app.campaigns.borrow());
    if snapshot.version < 0 {
        let message = "campaigns are not loaded yet; try again after Retry-After";
        return Err(Problem::new(Kind::DatabaseUnavailable, message));
    }
    let now = Utc::now();
    let since = now - snapshot.catalog.longest_match_ttl();
    let mut rows = pending(app, ask, since).await?;
    rows.sort_by_key(|row| (row.place(), row.position));
    let is_full = i64::try_from(rows.len()).is_ok_and(|rows| rows >= ask.most);
    let is_stale = rows.first().is_some_and(|row| row.catalog_version != snapshot.version);
    let user = ask.receiver.key();
    let mut standings = Vec::with_capacity(rows.len());
    for row in rows {
        let standing = if ask.sent.contains_key(&(row.event_id, row.campaign_id.clone())) {
            Standing::Done
        } else if let Some(seconds) = row.held_seconds {
            Standing::Wait(Duration::try_from_secs_f64(seconds).unwrap_or(app.settings.matches.claim))
        } else {
            match offer(&snapshot, &row, user, now) {
                Some(item) => Standing::Give((item, row.day)),
                None if is_stale => Standing::Wait(app.settings.pipeline.catalog_poll),
                None => Standing::Done,
            }
        };
        standings.push((row.place(), standing));
    }
    claim(app, ask, &mut standings).await?;
    let standings = standings.into_iter().map(|(place, standing)| {
        let standing = match standing {
            Standing::Give((item, _)) => Standing::Give(item),
            Standing::Done => Standing::Done,
            Standing::Wait(wait) => Standing::Wait(wait),
        };
        (place, standing)
    });
    Ok(lay_out(standings.collect(), ask.after, is_full))
}

/// The match as it can be shown now, if it can.
fn offer(snapshot: &Snapshot, row: &Row, user: UserKey<'_>, now: DateTime<Utc>) -> Option<Item> {
    let campaign = snapshot.catalog.campaign(&row.campaign_id)?;
    let delivery = &campaign.delivery;
    let is_preview = row.disposition == "preview";
    let expires_at = match is_preview {
        true => row.received_at + delivery.match_ttl(),
        false => delivery.expires_at(row.received_at),
    };
    let is_wanted = delivery.ignore_opt_out || !row.opt_out.as_deref().is_some_and(says_opted_out);
    let is_shown = match is_preview {
        true => campaign.listens() && delivery.is_test_user(Who::User(user)),
        false => campaign.is_active() && delivery.schedule.is_open(now) && is_wanted,
    };
    (is_shown && now < expires_at).then(|| Item {
        variant: variant(campaign, row.variant.as_deref(), user),
        campaign: Arc::clone(campaign),
        event_id: row.event_id,
        event: None,
        matched_at: row.matched_at,
        expires_at,
        is_preview,
    })
}

/// The variant that was recorded; when it is gone, the one that the user would get now.
fn variant(campaign: &Compiled, recorded: Option<&str>, user: UserKey<'_>) -> Option<usize> {
    let assignment = &campaign.delivery.assignment;
    let known = assignment.variants.iter().position(|variant| Some(variant.name.as_str()) == recorded);
    known.or_else(|| assignment.variant(&campaign.id, Who::User(user)))
}

/// Matches that are not acknowledged, in order of place, with all of the last event.
async fn pending(app: &App, ask: &Ask<'_>, since: DateTime<Utc>) -> Result<Vec<Row>, Problem> {
    let user = ask.receiver.key();
    let (hash, device) = (app.feed.salt()?.hash(user), ask.device.to_owned());
    let (receiver, after, most) = (ask.receiver.clone(), ask.after, ask.most);
    app.database
        .feed(async move |pool: PgPool| {
            let user = receiver.key();
            // Of a cursor from a later time than all there is nothing is known: a history that is gone. It is left aside.
            sqlx::query_as(
                "/* read.pending */ WITH recent AS MATERIALIZED (
                    SELECT event_id, campaign_id, day, variant, disposition, received_at, matched_at, position,
                           stream_generation, stream_seq, stream_index
                      FROM matches
                     WHERE user_id = $1 AND received_at > $3 AND user_kind = $2
                       AND disposition <> 'hold_out' AND stream_generation IS NOT NULL)
                 SELECT r.*, (SELECT version FROM catalog) AS catalog_version,
                        (SELECT (traits -> '$campaigns_opt_out')::text FROM users WHERE kind = $2 AND id = $1) AS opt_out,
                        CASE WHEN d.claimed_until > now() AND d.device_id <> $5
                             THEN extract(epoch FROM d.claimed_until - now())::float8 END AS held_seconds
                   FROM recent r LEFT JOIN deliveries d
                     ON d.user_id = $1 AND d.event_id = r.event_id AND d.campaign_id = r.campaign_id AND d.user_kind = $2
                  WHERE d.acked_at IS NULL AND NOT EXISTS (SELECT FROM tombstones WHERE key_hash = $4 AND renewed_at IS NULL)
                    AND ((r.stream_generation, r.stream_seq, r.stream_index) > ($6, $7, $8)
                         OR $6 > (SELECT max(stream_generation) FROM recent))
                  ORDER BY r.stream_generation, r.stream_seq, r.stream_index FETCH FIRST $9 ROWS WITH TIES",
            )
            .bind(user.id)
            .bind(user.kind.as_str())
            .bind(since)
            .bind(hash.0.to_vec())
            .bind(device)
            .bind(after.map_or(i64::MIN, |after| after.generation))
            .bind(after.map_or(i64::MIN, |after| after.sequence))
            .bind(after.map_or(i32::MIN, |after| after.index))
            .bind(most)
            .fetch_all(&pool)
            .await
        })
        .await
}

/// Claims what is to be given, and learns the names of the events. What another device has claimed meanwhile, or acknowledged, waits.
async fn claim(
    app: &App,
    ask: &Ask<'_>,
    standings: &mut [(Place, Standing<(Item, NaiveDate)>)],
) -> Result<(), Problem> {
    let (mut events, mut campaigns, mut days) = (Vec::new(), Vec::new(), Vec::new());
    for (_, standing) in standings.iter() {
        if let Standing::Give((item, day)) = standing {
            events.push(item.event_id);
            campaigns.push(item.campaign.id.clone());
            days.push(*day);
        }
    }
    if events.is_empty() {
        return Ok(());
    }
    let claim = app.settings.matches.claim;
    let (receiver, device) = (ask.receiver.clone(), ask.device.to_owned());
    let claimed: Vec<(Uuid, String, Option<String>)> = app
        .database
        .feed(async move |pool: PgPool| {
            let user = receiver.key();
            // In one order, so that two devices never wait for each other in a circle.
            sqlx::query_as(
                "/* read.claim */ WITH wanted AS (SELECT * FROM unnest($3::uuid[], $4::text[], $5::date[]) AS w (event_id, campaign_id, day)),
                 claimed AS (
                    INSERT INTO deliveries AS d (user_id, user_kind, event_id, campaign_id, device_id, claimed_until)
                    SELECT $1, $2, event_id, campaign_id, $6, now() + make_interval(secs => $7) FROM wanted ORDER BY event_id, campaign_id
                    ON CONFLICT (user_id, event_id, campaign_id, user_kind) DO UPDATE
                       SET device_id = excluded.device_id, claimed_until = excluded.claimed_until, updated_at = now()
                     WHERE d.acked_at IS NULL AND (d.device_id = excluded.device_id OR d.claimed_until <= now())
                    RETURNING event_id, campaign_id)
                 SELECT event_id, campaign_id, (SELECT e.event FROM events e WHERE e.day = w.day AND e.id = w.event_id)
                   FROM claimed JOIN wanted w USING (event_id, campaign_id)",
            )
            .bind(user.id)
            .bind(user.kind.as_str())
            .bind(events)
            .bind(campaigns)
            .bind(days)
            .bind(device)
            .bind(claim.as_secs_f64())
            .fetch_all(&pool)
            .await
        })
        .await?;
    let mut claimed: HashMap<MatchId, Option<String>> =
        claimed.into_iter().map(|(event_id, campaign_id, event)| ((event_id, campaign_id), event)).collect();
    for (_, standing) in standings {
        if let Standing::Give((item, _)) = standing {
            match claimed.remove(&item.id()) {
                Some(event) => item.event = event,
                None => *standing = Standing::Wait(claim),
            }
        }
    }
    Ok(())
}

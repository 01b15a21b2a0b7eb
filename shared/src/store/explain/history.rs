//! Matches: what is recorded of the event, and what the user, and anybody, was shown before it.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::FromRow;
use sqlx::postgres::PgConnection;

use super::event::Event;
use super::iso;
use crate::domain::campaign::Compiled;
use crate::domain::campaign::caps::{History, LONGEST_DAY};
use crate::domain::campaign::explain::Explanation;
use crate::domain::campaign::person::Person;
use crate::domain::user_key::UserKey;

/// Of a day's matches so many are looked at, the latest.
const MOST_RECENT: i32 = 10_000;

/// Which matches came before: `$1` the event's time of receipt, `$2` its day (null: all did), `$3` the position of its own first match, if it
/// has one, `$4` itself.
const BEFORE: &str = r#"event_id <> $4 AND CASE WHEN $2::date IS NULL THEN true WHEN $3::bigint IS NOT NULL THEN position < $3
    WHEN coalesce(received_at, matched_at) = $1 THEN
         (SELECT (e."timestamp", e.day, e.ctid) < (o."timestamp", o.day, o.ctid) FROM events e, events o
           WHERE e.day = m.day AND e.id = m.event_id AND o.day = $2 AND o.id = $4)
    ELSE coalesce(received_at, matched_at) < $1 END"#;

/// A recorded match of the event.
#[derive(Debug, FromRow)]
pub struct Match {
    /// Of which campaign.
    pub campaign_id: String,
    /// In which version.
    pub campaign_version: i64,
    /// Its place in the order of matches.
    pub position: i64,
    /// `show`, `hold_out` or `preview`.
    pub disposition: String,
    variant: Option<String>,
    matched_at: DateTime<Utc>,
}

/// The match that is stored, beside the explanation.
#[derive(Debug, Serialize)]
pub struct Recorded {
    version: i64,
    disposition: String,
    variant: Option<String>,
    matched_at: String,
    /// Does the explanation come to the same?
    pub agrees: bool,
}

impl fmt::Display for Recorded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let variant = self.variant.as_ref().map(|name| format!(", variant {name}")).unwrap_or_default();
        let agrees = if self.agrees { "as explained" } else { "NOT as explained" };
        write!(f, "{}{variant}, version {}, at {}: {agrees}", self.disposition, self.version, self.matched_at)
    }
}

impl Match {
    /// Beside what the explanation says.
    pub fn beside(&self, explanation: &Explanation) -> Recorded {
        let agrees = self.disposition == explanation.decision && self.variant == explanation.variant;
        Recorded {
            version: self.campaign_version,
            disposition: self.disposition.clone(),
            variant: self.variant.clone(),
            matched_at: iso(self.matched_at),
            agrees,
        }
    }
}

/// All matches of an event.
pub async fn of_event(snapshot: &mut PgConnection, event: &Event) -> Result<Vec<Match>, sqlx::Error> {
    if !event.is_stored() {
        return Ok(Vec::new());
    }
    let sql = "/* history.of_event */ SELECT campaign_id, campaign_version, position, disposition, variant, matched_at
                 FROM matches WHERE event_id = $1 ORDER BY position";
    sqlx::query_as(sql).bind(event.id).fetch_all(snapshot).await
}

/// Up to when.
#[derive(Debug, Clone, Copy)]
pub struct Moment<'a> {
    /// Before this event.
    pub event: &'a Event,
    /// Of its first match.
    pub position: Option<i64>,
}

/// Reads what the user was shown before, and how often the campaign was shown to anybody, where caps ask for it.
pub async fn fill(
    snapshot: &mut PgConnection,
    person: &mut Person,
    (key, campaign): (Option<UserKey<'_>>, &Compiled),
    moment: Moment<'_>,
) -> Result<u64, sqlx::Error> {
    let caps = &campaign.delivery.caps;
    if let Some(key) = key.filter(|_| caps.per_user()) {
        person.history = of_user(snapshot, key, &campaign.id, moment).await?;
    }
    if caps.total.is_some() { of_all(snapshot, &campaign.id, moment).await } else { Ok(0) }
}

async fn of_user(
    snapshot: &mut PgConnection,
    key: UserKey<'_>,
    campaign_id: &str,
    moment: Moment<'_>,
) -> Result<History, sqlx::Error> {
    let sql = format!(
        "/* history.of_user */ SELECT count(*), max(at), coalesce((array_agg(at ORDER BY position DESC) FILTER (WHERE at >= $8))[:$9], '{{}}')
           FROM (SELECT coalesce(received_at, matched_at) AS at, position FROM matches m
                  WHERE user_id = $6 AND campaign_id = $7 AND user_kind = $5 AND disposition <> 'preview' AND {BEFORE}) AS shown"
    );
    let (shown, last_at, recent): (i64, Option<DateTime<Utc>>, Vec<DateTime<Utc>>) = moment
        .bind(sqlx::query_as(&sql))
        .bind(key.kind.as_str())
        .bind(key.id)
        .bind(campaign_id)
        .bind(moment.event.received_at - LONGEST_DAY)
        .bind(MOST_RECENT)
        .fetch_one(snapshot)
        .await?;
    Ok(History { shown: u64::try_from(shown).unwrap_or(0), last_at, recent })
}

/// The counter of now, less what was shown from the event on: the counter remembers matches that are not kept any more.
async fn of_all(snapshot: &mut PgConnection, campaign_id: &str, moment: Moment<'_>) -> Result<u64, sqlx::Error> {
    let sql = format!(
        "/* history.of_all */ SELECT coalesce((SELECT shown FROM campaign_totals WHERE campaign_id = $5), count(*)) - count(*) FILTER (WHERE NOT before)
           FROM (SELECT {BEFORE} AS before FROM matches m WHERE campaign_id = $5 AND disposition = 'show') AS shown"
    );
    let query = sqlx::query_as(&sql);
    let (shown,): (i64,) = moment.bind(query).bind(campaign_id).fetch_one(snapshot).await?;
    Ok(u64::try_from(shown).unwrap_or(0))
}

type Query<'q, T> = sqlx::query::QueryAs<'q, sqlx::Postgres, T, sqlx::postgres::PgArguments>;

impl<'a> Moment<'a> {
    /// The parameters of [`BEFORE`].
    fn bind<T>(self, query: Query<'a, T>) -> Query<'a, T> {
        query.bind(self.event.received_at).bind(self.event.day).bind(self.position).bind(self.event.id)
    }
}

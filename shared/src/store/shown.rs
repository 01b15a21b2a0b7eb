//! What users were shown: the history behind caps and goals, counted from `matches`.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::domain::campaign::caps::{History, LONGEST_DAY};
use crate::domain::campaign::goal::Open;
use crate::domain::user_key::UserKey;

/// One user and one campaign.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Pair<'a> {
    /// Who.
    pub user: UserKey<'a>,
    /// Of what.
    pub campaign_id: &'a str,
}

/// What is known about a pair.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shown {
    /// For caps.
    pub history: History,
    /// The events of `history.recent`: who lays accepted events over stored ones must tell a resend from one event more.
    pub recent_events: Vec<Uuid>,
    /// For goals: the latest match, if it has not converted.
    pub open: Option<Open>,
}

#[derive(sqlx::FromRow)]
struct Row {
    place: i64,
    campaign_id: String,
    shown: i64,
    last_at: DateTime<Utc>,
    recent: Option<Vec<DateTime<Utc>>>,
    recent_events: Option<Vec<Uuid>>,
    last_event_id: Uuid,
    converted: bool,
}

impl From<Row> for Shown {
    fn from(row: Row) -> Self {
        let shown = u64::try_from(row.shown).unwrap_or(0);
        Self {
            history: History { shown, last_at: Some(row.last_at), recent: row.recent.unwrap_or_default() },
            recent_events: row.recent_events.unwrap_or_default(),
            open: (!row.converted).then_some(Open { event_id: row.last_event_id, at: row.last_at }),
        }
    }
}

/// Sums up the matches `m` of each `(place, campaign_id)`; `$1` is how far back single times matter, `$2` an event left out.
fn summed(matches: &str) -> String {
    format!(
        "SELECT s.*, EXISTS (SELECT FROM conversions c WHERE c.campaign_id = s.campaign_id AND c.match_event_id = s.last_event_id)
                     AS converted
           FROM (SELECT m.place, m.campaign_id, count(*) AS shown, max(m.at) AS last_at,
                        array_agg(m.at) FILTER (WHERE m.at >= $1) AS recent,
                        array_agg(m.event_id) FILTER (WHERE m.at >= $1) AS recent_events,
                        (array_agg(m.event_id ORDER BY m.at DESC, m.event_id DESC))[1] AS last_event_id
                   FROM ({matches}) AS m WHERE m.event_id IS DISTINCT FROM $2
                   GROUP BY m.place, m.campaign_id) AS s"
    )
}

/// Reads the history of each pair, in the order asked. `now` is the time of the earliest event that will be decided: older history
/// than a day before it is only counted. Matches of the event `but` are left out: a resend is decided as the first was.
pub async fn read(
    connection: &mut PgConnection,
    pairs: &[Pair<'_>],
    now: DateTime<Utc>,
    but: Option<Uuid>,
) -> Result<Vec<Shown>, sqlx::Error> {
    let mut all = vec![Shown::default(); pairs.len()];
    if pairs.is_empty() {
        return Ok(all);
    }
    let query = summed(
        "SELECT k.place, k.campaign_id, of_pair.*
           FROM unnest($3::text[], $4::text[], $5::text[]) WITH ORDINALITY AS k (kind, id, campaign_id, place)
          CROSS JOIN LATERAL (
                SELECT event_id, coalesce(received_at, matched_at) AS at FROM matches
                 WHERE user_id = k.id AND campaign_id = k.campaign_id AND user_kind = k.kind
                   AND disposition <> 'preview') AS of_pair",
    );
    let rows: Vec<Row> = sqlx::query_as(&query)
        .bind(now - LONGEST_DAY)
        .bind(but)
        .bind(pairs.iter().map(|p| p.user.kind.as_str()).collect::<Vec<_>>())
        .bind(pairs.iter().map(|p| p.user.id).collect::<Vec<_>>())
        .bind(pairs.iter().map(|p| p.campaign_id).collect::<Vec<_>>())
        .fetch_all(connection)
        .await?;
    for row in rows {
        if let Some(slot) = usize::try_from(row.place - 1).ok().and_then(|at| all.get_mut(at)) {
            *slot = row.into();
        }
    }
    Ok(all)
}

/// Reads the histories of one user in all campaigns: one look at the user's own matches, however many campaigns there are;
/// `but` as in [`read`].
pub async fn of_user(
    connection: &mut PgConnection,
    user: UserKey<'_>,
    now: DateTime<Utc>,
    but: Option<Uuid>,
) -> Result<HashMap<String, Shown>, sqlx::Error> {
    let query = summed(
        "SELECT 0::bigint AS place, campaign_id, event_id, coalesce(received_at, matched_at) AS at FROM matches
          WHERE user_id = $3 AND user_kind = $4 AND disposition <> 'preview'",
    );
    let rows: Vec<Row> = sqlx::query_as(&query)
        .bind(now - LONGEST_DAY)
        .bind(but)
        .bind(user.id)
        .bind(user.kind.as_str())
        .fetch_all(connection)
        .await?;
    Ok(rows.into_iter().map(|row| (row.campaign_id.clone(), row.into())).collect())
}

/// How often campaigns with a global cap were shown to anybody, other than for the event `but`; one that was never counted is
/// missing.
pub async fn totals(
    connection: &mut PgConnection,
    campaign_ids: &[&str],
    but: Option<Uuid>,
) -> Result<Vec<(String, i64)>, sqlx::Error> {
    if campaign_ids.is_empty() {
        return Ok(Vec::new());
    }
    sqlx::query_as(
        "SELECT t.campaign_id, t.shown - (SELECT count(*) FROM matches m
                                           WHERE m.event_id = $2 AND m.campaign_id = t.campaign_id AND m.disposition = 'show')
           FROM campaign_totals t WHERE t.campaign_id = ANY($1)",
    )
    .bind(campaign_ids)
    .bind(but)
    .fetch_all(connection)
    .await
}

//! What users were shown: the history behind caps and goals, counted from `matches`.

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
    shown: i64,
    last_at: DateTime<Utc>,
    recent: Option<Vec<DateTime<Utc>>>,
    recent_events: Option<Vec<Uuid>>,
    last_event_id: Uuid,
    converted: bool,
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
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT s.*, EXISTS (SELECT FROM conversions c WHERE c.campaign_id = s.campaign_id AND c.match_event_id = s.last_event_id) AS converted
           FROM (SELECT k.place, k.campaign_id, count(*) AS shown, max(m.at) AS last_at,
                        array_agg(m.at) FILTER (WHERE m.at >= $4) AS recent,
                        array_agg(m.event_id) FILTER (WHERE m.at >= $4) AS recent_events,
                        (array_agg(m.event_id ORDER BY m.at DESC, m.event_id DESC))[1] AS last_event_id
                   FROM unnest($1::text[], $2::text[], $3::text[]) WITH ORDINALITY AS k (kind, id, campaign_id, place)
                  CROSS JOIN LATERAL (
                        SELECT event_id, coalesce(received_at, matched_at) AS at FROM matches
                         WHERE user_id = k.id AND campaign_id = k.campaign_id AND user_kind = k.kind
                           AND disposition <> 'preview' AND event_id IS DISTINCT FROM $5) AS m
                  GROUP BY k.place, k.campaign_id) AS s",
    )
    .bind(pairs.iter().map(|p| p.user.kind.as_str()).collect::<Vec<_>>())
    .bind(pairs.iter().map(|p| p.user.id).collect::<Vec<_>>())
    .bind(pairs.iter().map(|p| p.campaign_id).collect::<Vec<_>>())
    .bind(now - LONGEST_DAY)
    .bind(but)
    .fetch_all(connection)
    .await?;
    for row in rows {
        if let Some(slot) = usize::try_from(row.place - 1).ok().and_then(|at| all.get_mut(at)) {
            let shown = u64::try_from(row.shown).unwrap_or(0);
            slot.history = History { shown, last_at: Some(row.last_at), recent: row.recent.unwrap_or_default() };
            slot.recent_events = row.recent_events.unwrap_or_default();
            slot.open = (!row.converted).then_some(Open { event_id: row.last_event_id, at: row.last_at });
        }
    }
    Ok(all)
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

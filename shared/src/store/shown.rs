//! What users were shown: the history behind caps and goals, counted from `matches`.

use chrono::{DateTime, Utc};
use serde::Deserialize;
use sqlx::Arguments;
use sqlx::postgres::{PgArguments, PgConnection};
use uuid::Uuid;

use crate::domain::campaign::caps::{History, LONGEST_DAY};
use crate::domain::campaign::goal::Open;
use crate::domain::user_key::UserKey;

/// Of a day's matches of one user and campaign so many are looked at, the latest: a cap per day counts up to this.
const MOST_RECENT: usize = 10_000;

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

/// The matches of one user and campaign, summed up.
#[derive(Debug, Deserialize, sqlx::FromRow)]
pub struct Row {
    place: i64,
    /// Of what.
    pub campaign_id: String,
    shown: i64,
    last_at: DateTime<Utc>,
    recent: Option<Vec<DateTime<Utc>>>,
    recent_events: Option<Vec<Uuid>>,
    last_event_id: Uuid,
    last_event_at: DateTime<Utc>,
    converted: bool,
}

impl From<Row> for Shown {
    fn from(row: Row) -> Self {
        let shown = u64::try_from(row.shown).unwrap_or(0);
        Self {
            history: History { shown, last_at: Some(row.last_at), recent: row.recent.unwrap_or_default() },
            recent_events: row.recent_events.unwrap_or_default(),
            open: (!row.converted).then_some(Open { event_id: row.last_event_id, at: row.last_event_at }),
        }
    }
}

/// What histories are read for.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// The time of the earliest event that will be decided: history older than a day before it is only counted.
    pub now: DateTime<Utc>,
    /// An event whose matches are left out: a resend is decided as the first was.
    pub but: Option<Uuid>,
}

impl Moment {
    fn add(self, arguments: &mut PgArguments) -> Result<(), sqlx::Error> {
        arguments.add(self.now - LONGEST_DAY).map_err(sqlx::Error::Encode)?;
        arguments.add(self.but).map_err(sqlx::Error::Encode)
    }
}

/// Sums up the matches `m` of each `(place, campaign_id)`; `$first` is how far back single times matter, the next an event left out.
fn summed(matches: &str, first: usize) -> String {
    let (recent, but) = (first, first + 1);
    format!(
        "/* shown.summed */ SELECT s.*, EXISTS (SELECT FROM conversions c WHERE c.campaign_id = s.campaign_id AND c.match_event_id = s.last_event_id)
                     AS converted
           FROM (SELECT m.place, m.campaign_id, count(*) AS shown, max(m.at) AS last_at,
                        (array_agg(m.at ORDER BY m.position DESC) FILTER (WHERE m.at >= ${recent}))[:{MOST_RECENT}] AS recent,
                        (array_agg(m.event_id ORDER BY m.position DESC) FILTER (WHERE m.at >= ${recent}))[:{MOST_RECENT}] AS recent_events,
                        (array_agg(m.event_id ORDER BY m.position DESC))[1] AS last_event_id,
                        (array_agg(m.at ORDER BY m.position DESC))[1] AS last_event_at
                   FROM ({matches}) AS m WHERE m.event_id IS DISTINCT FROM ${but}::uuid
                  GROUP BY m.place, m.campaign_id) AS s"
    )
}

/// The query for pairs, with its five parameters from `$first` on; see [`add_pairs`].
#[must_use]
pub fn pairs_query(first: usize) -> String {
    let (kinds, ids, campaigns) = (first + 2, first + 3, first + 4);
    let matches = format!(
        "/* shown.pairs_query */ SELECT k.place, k.campaign_id, of_pair.*
           FROM unnest(${kinds}::text[], ${ids}::text[], ${campaigns}::text[]) WITH ORDINALITY AS k (kind, id, campaign_id, place)
          CROSS JOIN LATERAL (
                SELECT event_id, coalesce(received_at, matched_at) AS at, position FROM matches
                 WHERE user_id = k.id AND campaign_id = k.campaign_id AND user_kind = k.kind
                   AND disposition <> 'preview') AS of_pair"
    );
    summed(&matches, first)
}

/// Adds the parameters of [`pairs_query`].
pub fn add_pairs(arguments: &mut PgArguments, pairs: &[Pair<'_>], moment: Moment) -> Result<(), sqlx::Error> {
    moment.add(arguments)?;
    arguments.add(pairs.iter().map(|p| p.user.kind.as_str()).collect::<Vec<_>>()).map_err(sqlx::Error::Encode)?;
    arguments.add(pairs.iter().map(|p| p.user.id).collect::<Vec<_>>()).map_err(sqlx::Error::Encode)?;
    arguments.add(pairs.iter().map(|p| p.campaign_id).collect::<Vec<_>>()).map_err(sqlx::Error::Encode)
}

/// The query for one user in all campaigns, with its four parameters from `$first` on; see [`add_user`]. It is one look at the
/// user's own matches, however many campaigns there are.
#[must_use]
pub fn user_query(first: usize) -> String {
    let (kind, id) = (first + 2, first + 3);
    let matches = format!(
        "/* shown.user_query */ SELECT 1::bigint AS place, campaign_id, event_id, coalesce(received_at, matched_at) AS at, position FROM matches
          WHERE user_id = ${id}::text AND user_kind = ${kind}::text AND disposition <> 'preview'"
    );
    summed(&matches, first)
}

/// Adds the parameters of [`user_query`].
pub fn add_user(arguments: &mut PgArguments, user: UserKey<'_>, moment: Moment) -> Result<(), sqlx::Error> {
    moment.add(arguments)?;
    arguments.add(user.kind.as_str()).map_err(sqlx::Error::Encode)?;
    arguments.add(user.id).map_err(sqlx::Error::Encode)
}

/// Reads the history of each pair, in the order asked.
pub async fn read(
    connection: &mut PgConnection,
    pairs: &[Pair<'_>],
    moment: Moment,
) -> Result<Vec<Shown>, sqlx::Error> {
    let mut all = vec![Shown::default(); pairs.len()];
    if pairs.is_empty() {
        return Ok(all);
    }
    let mut arguments = PgArguments::default();
    add_pairs(&mut arguments, pairs, moment)?;
    let rows: Vec<Row> = sqlx::query_as_with(&pairs_query(1), arguments).fetch_all(connection).await?;
    for row in rows {
        if let Some(slot) = usize::try_from(row.place - 1).ok().and_then(|at| all.get_mut(at)) {
            *slot = row.into();
        }
    }
    Ok(all)
}

/// The query for how often campaigns with a global cap were shown to anybody, other than for one event: `(campaign_id, shown)`.
/// Its parameters, from `$first` on: the campaigns, that event. A campaign that was never counted is missing.
#[must_use]
pub fn totals_query(first: usize) -> String {
    let (ids, but) = (first, first + 1);
    format!(
        "/* shown.totals_query */ SELECT t.campaign_id, t.shown - (SELECT count(*) FROM matches m WHERE m.event_id = ${but}::uuid
                                             AND m.campaign_id = t.campaign_id AND m.disposition = 'show') AS shown
           FROM campaign_totals t WHERE t.campaign_id = ANY(${ids}::text[])"
    )
}

/// Reads the totals; `but` is the event left out.
pub async fn totals(
    connection: &mut PgConnection,
    campaign_ids: &[&str],
    but: Option<Uuid>,
) -> Result<Vec<(String, i64)>, sqlx::Error> {
    sqlx::query_as(&totals_query(1)).bind(campaign_ids).bind(but).fetch_all(connection).await
}

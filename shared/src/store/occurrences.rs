//! When a user did something: the stored times behind rules such as "did X at least three times within a week".
//!
//! Only the latest `most` times of a window are read: more would decide nothing. An event counts by its own (corrected) time, or by
//! its receipt where a device's clock is ahead; with
//! a window it must also be filed under a day of it, so that only the window's partitions are read. A device whose clock was off
//! by more than [`CLOCK_DAYS`] is therefore counted late or not at all. Events that an app sent under a placeholder user id
//! together with an anonymous id are not found: the index knows them by the placeholder.
//!
//! Each time comes with the event it is of: who lays accepted events over stored ones must tell a resend from one event more.

use chrono::{DateTime, Days, Utc};
use serde::Deserialize;
use sqlx::Arguments;
use sqlx::postgres::{PgArguments, PgConnection};
use uuid::Uuid;

use crate::domain::campaign::person::CLOCK_DAYS;
use crate::domain::user_key::UserKey;

/// Of a user who did more within a window (a test device, a service account) only so many of the latest events are looked at.
const MOST_LOOKED_AT: u32 = 10_000;

/// A question about one user.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Asked<'a> {
    /// Who.
    pub user: UserKey<'a>,
    /// Name of the event, exactly as spelt.
    pub event: &'a str,
    /// Not before; without it as far back as events are kept.
    pub since: Option<DateTime<Utc>>,
    /// How many of the latest to read.
    pub most: u32,
}

/// A stored event that rules count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Occurrence {
    /// Its identity.
    pub id: Uuid,
    /// Its own time.
    pub at: DateTime<Utc>,
}

/// One answer, to the question at `place`, from 1; both lists latest first.
#[derive(Debug, Clone, Deserialize, sqlx::FromRow)]
pub struct Answer {
    place: i64,
    ids: Vec<Uuid>,
    times: Vec<DateTime<Utc>>,
}

/// The query, with its seven parameters from `$first` on; see [`add`].
#[must_use]
pub fn query(first: usize) -> String {
    let p = |number: usize| format!("${}", first + number);
    format!(
        r#"/* occurrences.query */ SELECT k.place, array_agg(e.id ORDER BY e.at DESC, e.id) AS ids, array_agg(e.at ORDER BY e.at DESC, e.id) AS times
             FROM unnest({}::text[], {}::text[], {}::text[], {}::timestamptz[], {}::date[], {}::int[])
                  WITH ORDINALITY AS k (kind, id, event, since, day, most, place)
            CROSS JOIN LATERAL (
                  SELECT id, at FROM (
                        SELECT id, event, least("timestamp", received_at) AS at, received_at FROM events
                         WHERE day >= k.day AND day >= {}::date AND coalesce(user_id, anonymous_id) = k.id
                           AND (user_id IS NOT NULL) = (k.kind = 'user') AND "timestamp" > k.since
                         ORDER BY "timestamp" DESC LIMIT {MOST_LOOKED_AT}) AS latest
                   WHERE event = k.event AND received_at > k.since LIMIT k.most) AS e
            GROUP BY k.place"#,
        p(0),
        p(1),
        p(2),
        p(3),
        p(4),
        p(5),
        p(6)
    )
}

/// Adds the parameters of [`query`].
pub fn add(arguments: &mut PgArguments, asked: &[Asked<'_>]) -> Result<(), sqlx::Error> {
    let day = |a: &Asked<'_>| {
        a.since
            .and_then(|since| since.date_naive().checked_sub_days(Days::new(CLOCK_DAYS)))
            .unwrap_or_else(|| DateTime::UNIX_EPOCH.date_naive())
    };
    arguments.add(asked.iter().map(|a| a.user.kind.as_str()).collect::<Vec<_>>()).map_err(sqlx::Error::Encode)?;
    arguments.add(asked.iter().map(|a| a.user.id).collect::<Vec<_>>()).map_err(sqlx::Error::Encode)?;
    arguments.add(asked.iter().map(|a| a.event).collect::<Vec<_>>()).map_err(sqlx::Error::Encode)?;
    let since = |a: &Asked<'_>| a.since.unwrap_or(DateTime::UNIX_EPOCH);
    arguments.add(asked.iter().map(since).collect::<Vec<_>>()).map_err(sqlx::Error::Encode)?;
    arguments.add(asked.iter().map(day).collect::<Vec<_>>()).map_err(sqlx::Error::Encode)?;
    let most = |a: &Asked<'_>| i32::try_from(a.most).unwrap_or(i32::MAX);
    arguments.add(asked.iter().map(most).collect::<Vec<_>>()).map_err(sqlx::Error::Encode)?;
    arguments.add(asked.iter().map(day).min()).map_err(sqlx::Error::Encode)
}

/// The events of each question, in the order asked; latest first.
#[must_use]
pub fn in_order(answers: Vec<Answer>, questions: usize) -> Vec<Vec<Occurrence>> {
    let mut occurrences = vec![Vec::new(); questions];
    for answer in answers {
        if let Some(slot) = usize::try_from(answer.place - 1).ok().and_then(|at| occurrences.get_mut(at)) {
            *slot = answer.ids.into_iter().zip(answer.times).map(|(id, at)| Occurrence { id, at }).collect();
        }
    }
    occurrences
}

/// Reads the events of each, in the order asked; latest first.
pub async fn read(connection: &mut PgConnection, asked: &[Asked<'_>]) -> Result<Vec<Vec<Occurrence>>, sqlx::Error> {
    if asked.is_empty() {
        return Ok(Vec::new());
    }
    let mut arguments = PgArguments::default();
    add(&mut arguments, asked)?;
    let answers = sqlx::query_as_with(&query(1), arguments).fetch_all(connection).await?;
    Ok(in_order(answers, asked.len()))
}

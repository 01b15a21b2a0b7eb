//! What is known of users from before the days: traits, counted events, what they were shown.

use chrono::{DateTime, Days, NaiveDate, Utc};
use sqlx::FromRow;
use sqlx::postgres::PgConnection;

use super::ahead::Ahead;
use super::days::object;
use crate::domain::campaign::backtest::{Base, Key, Past, Simulation, Wants};
use crate::domain::campaign::caps::{History, LONGEST_DAY};
use crate::domain::campaign::person::{CLOCK_DAYS, Happened};
use crate::domain::rules::CountWindow;

/// Of what a user did before, so many of the latest events are looked at, as when it is matched.
const MOST_LOOKED_AT: u32 = 10_000;

/// Users by kind and id, for `unnest`, with their place from 1.
struct Users<'a> {
    keys: Vec<&'a Key>,
    /// When the first event of each was received that asks.
    first_at: Vec<DateTime<Utc>>,
}

/// Gives the simulation what it lacks for these events.
pub async fn give(
    snapshot: &mut PgConnection,
    simulation: &mut Simulation,
    rows: &[Past],
    (from, ahead): (NaiveDate, &Ahead),
) -> Result<(), sqlx::Error> {
    let mut users = Users { keys: Vec::new(), first_at: Vec::new() };
    let mut seen = std::collections::HashSet::new();
    for past in rows {
        if let Some(key) = simulation.lacks(past).filter(|key| seen.insert(*key)) {
            users.keys.push(key);
            users.first_at.push(past.received_at);
        }
    }
    if users.keys.is_empty() {
        return Ok(());
    }
    let mut bases = vec![Base::default(); users.keys.len()];
    let wants = simulation.wants();
    if !wants.keys.traits.is_empty() {
        users.traits(snapshot, wants, (ahead, &mut bases)).await?;
    }
    if !wants.needs.counts.is_empty() {
        users.happened(snapshot, wants, (from, &mut bases)).await?;
    }
    if wants.history {
        users.shown(snapshot, &simulation.campaign().id, (from, &mut bases)).await?;
    }
    for (key, base) in users.keys.into_iter().zip(bases) {
        simulation.give(key.clone(), base);
    }
    Ok(())
}

/// How often the campaign was shown to anybody for events of earlier days.
pub async fn shown_before(snapshot: &mut PgConnection, campaign_id: &str, from: NaiveDate) -> Result<u64, sqlx::Error> {
    // The counter remembers matches that are not kept any more.
    let sql = "/* base.shown_before */ SELECT coalesce((SELECT shown FROM campaign_totals WHERE campaign_id = $1), count(*)) - count(*) FILTER (WHERE day >= $2)
                 FROM matches WHERE campaign_id = $1 AND disposition = 'show'";
    let shown: i64 = sqlx::query_scalar(sql).bind(campaign_id).bind(from).fetch_one(snapshot).await?;
    Ok(u64::try_from(shown).unwrap_or(0))
}

#[derive(FromRow)]
struct Times {
    place: i64,
    at: DateTime<Utc>,
    day: NaiveDate,
}

impl Users<'_> {
    fn kinds(&self) -> Vec<&'static str> {
        self.keys.iter().map(|(kind, _)| kind.as_str()).collect()
    }

    fn ids(&self) -> Vec<&str> {
        self.keys.iter().map(|(_, id)| id.as_str()).collect()
    }

    /// The profile, without the traits that events of these days set.
    async fn traits(
        &self,
        snapshot: &mut PgConnection,
        wants: &Wants,
        (ahead, bases): (&Ahead, &mut [Base]),
    ) -> Result<(), sqlx::Error> {
        let names: Vec<&String> = wants.keys.traits.iter().collect();
        let sql = "/* base.traits */ SELECT k.place, ARRAY(SELECT (u.traits -> key)::text FROM unnest($3::text[]) WITH ORDINALITY AS n (key, place)
                          ORDER BY n.place) AS traits
                     FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS k (kind, id, place) JOIN users u USING (kind, id)";
        let asked = sqlx::query_as(sql).bind(self.kinds()).bind(self.ids()).bind(&names);
        let rows: Vec<(i64, Vec<Option<String>>)> = asked.fetch_all(snapshot).await?;
        for (place, mut values) in rows {
            let Some((key, base)) = at(place, &self.keys).zip(at_mut(place, bases)) else { continue };
            for (number, value) in values.iter_mut().enumerate() {
                if ahead.sets(key, number) {
                    *value = None;
                }
            }
            base.traits = object(names.iter().copied(), values);
        }
        Ok(())
    }

    /// Counted events that are filed under earlier days and came before the first event that asks.
    async fn happened(
        &self,
        snapshot: &mut PgConnection,
        wants: &Wants,
        (from, bases): (NaiveDate, &mut [Base]),
    ) -> Result<(), sqlx::Error> {
        let sql = format!(
            r#"/* base.happened */ SELECT k.place, e.at, e.day
                 FROM unnest($1::text[], $2::text[], $3::timestamptz[], $4::timestamptz[], $5::date[]) WITH ORDINALITY AS k (kind, id, since, until, day, place)
                CROSS JOIN LATERAL (
                      SELECT at, day FROM (
                            SELECT event, least("timestamp", received_at) AS at, received_at, day FROM events
                             WHERE day >= k.day AND day >= $6 AND day < $7 AND coalesce(user_id, anonymous_id) = k.id
                               AND (user_id IS NOT NULL) = (k.kind = 'user') AND "timestamp" > k.since
                             ORDER BY "timestamp" DESC LIMIT {MOST_LOOKED_AT}) AS latest
                       WHERE event = $8 AND received_at > k.since AND received_at <= k.until LIMIT $9) AS e"#
        );
        for window in longest(wants) {
            let since = |at: &DateTime<Utc>| window.since(*at).unwrap_or(DateTime::UNIX_EPOCH);
            let day = |at: &DateTime<Utc>| {
                since(at).date_naive().checked_sub_days(Days::new(CLOCK_DAYS)).unwrap_or(NaiveDate::MIN)
            };
            let days: Vec<NaiveDate> = self.first_at.iter().map(day).collect();
            let first = days.iter().min().copied().unwrap_or(from);
            if first >= from {
                continue;
            }
            let rows: Vec<Times> = sqlx::query_as(&sql)
                .bind(self.kinds())
                .bind(self.ids())
                .bind(self.first_at.iter().map(since).collect::<Vec<_>>())
                .bind(&self.first_at)
                .bind(days)
                .bind(first)
                .bind(from)
                .bind(&window.event)
                .bind(i64::from(window.most))
                .fetch_all(&mut *snapshot)
                .await?;
            for row in rows {
                if let Some(base) = at_mut(row.place, bases) {
                    base.happened.push((window.event.clone(), Happened { at: row.at, day: row.day }));
                }
            }
        }
        Ok(())
    }

    /// Matches of earlier days.
    async fn shown(
        &self,
        snapshot: &mut PgConnection,
        campaign_id: &str,
        (from, bases): (NaiveDate, &mut [Base]),
    ) -> Result<(), sqlx::Error> {
        let sql = "/* base.shown */ SELECT k.place, count(*), max(at), coalesce(array_agg(at) FILTER (WHERE at >= $5), '{}')
                     FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS k (kind, id, place)
                    CROSS JOIN LATERAL (
                          SELECT coalesce(received_at, matched_at) AS at FROM matches
                           WHERE user_id = k.id AND campaign_id = $3 AND user_kind = k.kind AND disposition <> 'preview' AND day < $4) AS m
                    GROUP BY k.place";
        type Row = (i64, i64, Option<DateTime<Utc>>, Vec<DateTime<Utc>>);
        let rows: Vec<Row> = sqlx::query_as(sql)
            .bind(self.kinds())
            .bind(self.ids())
            .bind(campaign_id)
            .bind(from)
            .bind(self.first_at.iter().min().map(|at| *at - LONGEST_DAY))
            .fetch_all(snapshot)
            .await?;
        for (place, shown, last_at, recent) in rows {
            let Some(base) = at_mut(place, bases) else { continue };
            base.history = History { shown: u64::try_from(shown).unwrap_or(0), last_at, recent };
        }
        Ok(())
    }
}

/// Of each event that is counted one window, which holds all that are asked for.
fn longest(wants: &Wants) -> Vec<CountWindow> {
    let mut longest: Vec<CountWindow> = Vec::new();
    for window in &wants.needs.counts {
        match longest.iter_mut().find(|known| known.event == window.event) {
            Some(known) => {
                // Without a length it is the longest.
                let both = known.within_seconds.zip(window.within_seconds);
                known.within_seconds = both.map(|(one, other)| one.max(other));
                known.most = known.most.max(window.most);
            }
            None => longest.push(window.clone()),
        }
    }
    longest
}

fn at<'a>(place: i64, keys: &[&'a Key]) -> Option<&'a Key> {
    keys.get(usize::try_from(place - 1).ok()?).copied()
}

fn at_mut(place: i64, bases: &mut [Base]) -> Option<&mut Base> {
    bases.get_mut(usize::try_from(place - 1).ok()?)
}

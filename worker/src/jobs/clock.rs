//! Whether to believe the database's clock before data is dropped by it.
//!
//! Two signs of a clock that is wrong: this machine's own clock differs by more than a day; or the date has leapt ahead since the
//! last look. Where one machine has both clocks only the leap is to be seen, and a long stop looks the same; so a leap is
//! believed when it has stood for a day. What is doubted drops nothing, and is an alarm meanwhile.

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use sqlx::{PgConnection, PgPool};

use super::leader::Leadership;
use crate::Problem;

/// The two clocks may differ by this.
const DIFFERENCE: TimeDelta = TimeDelta::days(1);
/// From one look to the next the date may advance by this.
const LEAP_DAYS: i64 = 2;
/// A leap is believed after this.
const STANDS: TimeDelta = TimeDelta::days(1);

/// What earlier looks left.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, sqlx::FromRow)]
pub struct Standing {
    /// The date that was believed last.
    pub believed_day: Option<NaiveDate>,
    /// When a leap was seen first, by the clock that leapt.
    pub doubted_since: Option<DateTime<Utc>>,
}

/// What to make of the clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is this day (UTC).
    Day(NaiveDate),
    /// It may be wrong: why.
    Doubted(String),
}

/// Judges the database's clock by this machine's `own`, and by what was seen before. Also gives what to remember.
#[must_use]
pub fn judge(standing: Standing, database: DateTime<Utc>, own: DateTime<Utc>) -> (Verdict, Standing) {
    if (database - own).abs() > DIFFERENCE {
        let why = format!(
            "PostgreSQL's clock says {}, this machine's {}: set the one that is wrong",
            database.format("%F %R"),
            own.format("%F %R")
        );
        return (Verdict::Doubted(why), standing);
    }
    let day = database.date_naive();
    let believed = (Verdict::Day(day), Standing { believed_day: Some(day), doubted_since: None });
    let Some(before) = standing.believed_day.filter(|before| (day - *before).num_days() > LEAP_DAYS) else {
        return believed;
    };
    let doubted_for = standing.doubted_since.map(|since| database - since);
    match doubted_for {
        Some(long) if long >= STANDS && long <= STANDS * 2 => believed,
        _ => {
            // The clock may have leapt again, or back.
            let since = standing
                .doubted_since
                .filter(|_| doubted_for.is_some_and(|long| (TimeDelta::zero()..STANDS).contains(&long)))
                .unwrap_or(database);
            let why = format!(
                "the clock went from {before} to {day} since the last look. After a long stop that is right, and it is believed from {} on; \
                 if it is wrong, set it",
                (since + STANDS).format("%F %R")
            );
            (Verdict::Doubted(why), Standing { doubted_since: Some(since), ..standing })
        }
    }
}

/// Reads what earlier looks left, and the database's clock.
pub async fn read(connection: &mut PgConnection) -> Result<(Standing, DateTime<Utc>), sqlx::Error> {
    let standing = sqlx::query_as("/* clock.read.retention */ SELECT believed_day, doubted_since FROM retention")
        .fetch_one(&mut *connection)
        .await?;
    Ok((standing, sqlx::query_scalar("/* clock.read.retention.2 */ SELECT now()").fetch_one(connection).await?))
}

/// Remembers what a look found.
pub async fn remember(connection: &mut PgConnection, standing: Standing) -> Result<(), sqlx::Error> {
    sqlx::query("/* clock.remember */ UPDATE retention SET believed_day = $1, doubted_since = $2")
        .bind(standing.believed_day)
        .bind(standing.doubted_since)
        .execute(connection)
        .await?;
    Ok(())
}

/// Looks at the clock and remembers what it found. Only for the leader of the retention.
pub async fn look(pool: &PgPool, _: &Leadership) -> Result<Verdict, Problem> {
    let mut connection = pool.acquire().await?;
    let (standing, now) = read(&mut connection).await?;
    let (verdict, standing) = judge(standing, now, Utc::now());
    remember(&mut connection, standing).await?;
    Ok(verdict)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    /// Looks at these times, with both clocks alike, and tells which were believed.
    fn looks(times: &[&str]) -> Vec<bool> {
        let mut standing = Standing::default();
        let mut look = |time: &&str| {
            let (verdict, next) = judge(standing, at(time), at(time));
            standing = next;
            matches!(verdict, Verdict::Day(_))
        };
        times.iter().map(&mut look).collect()
    }

    #[test]
    fn clocks_that_disagree_are_not_believed_and_nothing_is_remembered() {
        let standing = Standing { believed_day: Some("2026-11-22".parse().unwrap()), doubted_since: None };
        let (verdict, after) = judge(standing, at("2027-03-02T12:00:00Z"), at("2026-11-22T12:00:00Z"));
        assert!(matches!(verdict, Verdict::Doubted(why) if why.contains("2027-03-02 12:00")));
        assert_eq!(after, standing);
        let (verdict, _) = judge(standing, at("2026-11-23T11:00:00Z"), at("2026-11-22T12:00:00Z"));
        assert_eq!(verdict, Verdict::Day("2026-11-23".parse().unwrap()));
    }

    #[test]
    fn the_passing_of_days_is_believed() {
        let days = ["2028-02-27T23:59:59Z", "2028-02-28T00:00:00Z", "2028-02-29T00:00:00Z", "2028-03-02T23:00:00Z"];
        assert_eq!(looks(&days), [true; 4]);
    }

    #[test]
    fn a_leap_is_believed_when_it_has_stood_for_a_day() {
        let long_stop =
            ["2026-11-22T10:00:00Z", "2027-01-05T08:00:00Z", "2027-01-06T07:00:00Z", "2027-01-06T08:00:00Z"];
        assert_eq!(looks(&long_stop), [true, false, false, true]);
    }

    #[test]
    fn a_leap_ahead_and_back_is_never_believed_and_one_back_and_ahead_drops_nothing_either() {
        let ahead = ["2026-11-22T10:00:00Z", "2036-11-22T11:00:00Z", "2036-11-22T12:00:00Z", "2026-11-22T13:00:00Z"];
        assert_eq!(looks(&ahead), [true, false, false, true]);
        // Once more, two days later: the doubt begins anew.
        let again = [&ahead[..], &["2036-11-24T10:00:00Z", "2036-11-24T12:00:00Z", "2026-11-24T13:00:00Z"]].concat();
        assert_eq!(looks(&again)[4..], [false, false, true]);
        let back = ["2026-11-22T10:00:00Z", "1970-01-01T00:00:00Z", "2026-11-22T12:00:00Z", "2026-11-23T12:00:00Z"];
        assert_eq!(looks(&back), [true, true, false, true]);
    }

    #[test]
    fn a_clock_that_goes_on_leaping_is_never_believed() {
        let leaping = ["2026-11-22T10:00:00Z", "2027-11-22T10:00:00Z", "2028-11-22T10:00:00Z", "2029-11-22T10:00:00Z"];
        assert_eq!(looks(&leaping), [true, false, false, false]);
    }
}

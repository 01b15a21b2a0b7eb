//! Which days can hold events of which times, latest first: a list reads few partitions at a time, and stops when no other day can hold
//! anything that belongs before its last row.
//!
//! An event is filed within two days of its timestamp, or its day has a span that says otherwise (`day_spans`).

use std::ops::Range;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use shared::domain::day::usual_times;
use sqlx::PgConnection;

/// Days looked at first; then twice as many, and so on.
const FIRST: usize = 4;
/// The next instant that the database knows.
pub const INSTANT: TimeDelta = TimeDelta::microseconds(1);

/// First and last timestamp of a day that holds unusual ones.
type Span = Option<(DateTime<Utc>, DateTime<Utc>)>;

/// The days that may be shown, with the times they can hold, latest first.
#[derive(Debug)]
pub struct Days(Vec<(NaiveDate, Range<DateTime<Utc>>)>);

impl Days {
    /// Those from `oldest` on, and those that are held although they are older.
    pub async fn read(connection: &mut PgConnection, oldest: NaiveDate) -> Result<Self, sqlx::Error> {
        let rows = sqlx::query_as::<_, (NaiveDate, Option<_>, Option<_>)>(
            r"/* days.read */ SELECT d.day, min(s.first_at), max(s.last_at)
                FROM (SELECT to_date(substr(c.relname, 8), 'YYYYMMDD') AS day
                        FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
                       WHERE i.inhparent = 'events'::regclass AND c.relname ~ '^events_\d{8}$') d
                LEFT JOIN day_spans s USING (day)
               WHERE d.day >= $1 OR d.day IN (SELECT day FROM holds WHERE until >= current_date)
               GROUP BY d.day",
        )
        .bind(oldest)
        .fetch_all(connection)
        .await?;
        Ok(Self::new(rows.into_iter().map(|(day, first, last)| (day, first.zip(last)))))
    }

    fn new(days: impl Iterator<Item = (NaiveDate, Span)>) -> Self {
        let mut days: Vec<_> = days
            .map(|(day, span)| {
                let usual = usual_times(day);
                let widened = span.map(|(first, last)| usual.start.min(first)..usual.end.max(last + INSTANT));
                (day, widened.unwrap_or(usual))
            })
            .collect();
        days.sort_by_key(|(day, times)| std::cmp::Reverse((times.end, *day)));
        Self(days)
    }

    /// Only those that can hold times before `to` and not before `from`.
    #[must_use]
    pub fn within(&self, from: Option<DateTime<Utc>>, to: Option<DateTime<Utc>>) -> Self {
        let can_hold = |times: &Range<DateTime<Utc>>| {
            from.is_none_or(|from| times.end > from) && to.is_none_or(|to| times.start < to)
        };
        Self(self.0.iter().filter(|(_, times)| can_hold(times)).cloned().collect())
    }

    /// Growing pieces from the latest on: the first few, the first twice as many, …, all of them. Each comes with the time from which
    /// on nothing can lie outside it; absent for the last.
    pub fn growing(&self) -> impl Iterator<Item = (Vec<NaiveDate>, Option<DateTime<Utc>>)> + '_ {
        let mut taken = 0;
        std::iter::from_fn(move || {
            if taken > 0 && taken >= self.0.len() {
                return None;
            }
            taken = (taken * 2).max(FIRST);
            let piece = self.0.iter().take(taken).map(|(day, _)| *day).collect();
            Some((piece, self.0.get(taken).map(|(_, times)| times.end)))
        })
    }

    /// Each day once, in the same order, in pieces of growing size.
    pub fn pieces(&self) -> impl Iterator<Item = Vec<NaiveDate>> + '_ {
        let mut taken = 0;
        self.growing().map(move |(piece, _)| {
            let new = piece.get(taken..).unwrap_or_default().to_vec();
            taken = piece.len();
            new
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn ten_days() -> impl Iterator<Item = (NaiveDate, Span)> {
        (1..=10).map(|n| (NaiveDate::from_ymd_opt(2026, 11, n).unwrap(), None))
    }

    #[test]
    fn pieces_grow_and_say_where_they_are_complete() {
        let days = Days::new(ten_days());
        let pieces: Vec<_> = days.growing().collect();
        assert_eq!(pieces.iter().map(|(piece, _)| piece.len()).collect::<Vec<_>>(), [4, 8, 10]);
        assert_eq!(pieces[0].0[0], day("2026-11-10"));
        // The fifth day from the end is the 6th, which can hold times before the 9th.
        assert_eq!(pieces[0].1, Some(at("2026-11-09T00:00:00Z")));
        assert_eq!(pieces[2].1, None);
        let once: Vec<_> = days.pieces().flatten().collect();
        assert_eq!(once.len(), 10);
    }

    #[test]
    fn a_day_with_a_span_comes_where_its_latest_event_belongs() {
        let widened = (day("2026-10-01"), Some((at("2026-10-01T00:00:00Z"), at("2026-11-13T12:00:00Z"))));
        let days = Days::new(ten_days().chain([widened]));
        assert_eq!(days.growing().next().unwrap().0[0], day("2026-10-01"));
        let far = days.within(Some(at("2026-11-13T12:00:00Z")), None);
        assert_eq!(far.growing().next().unwrap().0, [day("2026-10-01")]);
    }

    #[test]
    fn only_days_that_can_hold_the_times_asked_for_are_looked_at() {
        let days = Days::new(ten_days()).within(Some(at("2026-11-05T10:00:00Z")), Some(at("2026-11-05T11:00:00Z")));
        let all: Vec<_> = days.pieces().flatten().collect();
        assert_eq!(all, ["07", "06", "05", "04", "03"].map(|d| day(&format!("2026-11-{d}"))));
    }

    #[test]
    fn without_days_there_is_one_empty_piece() {
        assert_eq!(Days::new(std::iter::empty()).growing().collect::<Vec<_>>(), [(Vec::new(), None)]);
    }
}

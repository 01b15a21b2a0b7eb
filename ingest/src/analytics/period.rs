//! `from` and `to` of a request: the first and the last day that are meant, both included; the last [`DEFAULT_DAYS`] where it does not say.

use chrono::{Days, NaiveDate};
use utoipa::IntoParams;

use crate::problem::{Kind, Problem};
use crate::query::Query;

/// Days up to today that are shown when nobody asks for others.
pub const DEFAULT_DAYS: u64 = 30;
/// Most days of one answer.
pub const MOST_DAYS: i64 = 800;

/// Which days.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "a description")]
pub struct FromTo {
    /// The first day, such as `2026-03-01`, or a time on it; in UTC. Without it the thirtieth day up to `to`.
    #[param(example = "2026-03-01")]
    from: Option<String>,
    /// The last day, which is included. Without it today.
    #[param(example = "2026-03-31")]
    to: Option<String>,
}

/// Days one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Period {
    /// The first.
    pub from: NaiveDate,
    /// The last; not before the first.
    pub to: NaiveDate,
}

impl Period {
    /// Of a request; and whether it says anything about days.
    pub fn read(query: &Query<'_>, today: NaiveDate) -> Result<(Self, bool), Problem> {
        let (from, to) = (day(query, "from")?, day(query, "to")?);
        let is_given = from.is_some() || to.is_some();
        let to = to.unwrap_or(today);
        let from = from.or_else(|| to.checked_sub_days(Days::new(DEFAULT_DAYS - 1))).unwrap_or(to);
        if from > to {
            return Err(Problem::new(Kind::InvalidParameter, format!("from ({from}) is after to ({to})")));
        }
        if (to - from).num_days() >= MOST_DAYS {
            let message = format!("from and to are more than {MOST_DAYS} days apart: ask for several periods");
            return Err(Problem::new(Kind::InvalidParameter, message));
        }
        Ok((Self { from, to }, is_given))
    }

    /// Each day.
    pub fn days(self) -> impl Iterator<Item = NaiveDate> {
        self.from.iter_days().take_while(move |day| *day <= self.to)
    }
}

fn day(query: &Query<'_>, name: &str) -> Result<Option<NaiveDate>, Problem> {
    let Some(text) = query.text(name) else { return Ok(None) };
    // Beyond these years PostgreSQL and we count days differently.
    let usual = |day: &NaiveDate| {
        (NaiveDate::from_ymd_opt(1, 1, 1)..=NaiveDate::from_ymd_opt(9999, 12, 31)).contains(&Some(*day))
    };
    let read = text.parse().ok().or(query.time(name).ok().flatten().map(|time| time.date_naive()));
    read.filter(usual).map(Some).ok_or_else(|| {
        Problem::new(Kind::InvalidParameter, format!("{name} must be a day such as 2026-03-01, or a time in ISO 8601"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str) -> Option<(String, String, bool)> {
        let today = "2026-03-31".parse().unwrap();
        let (period, is_given) = Period::read(&Query::parse(Some(query)), today).ok()?;
        Some((period.from.to_string(), period.to.to_string(), is_given))
    }

    fn some(from: &str, to: &str, is_given: bool) -> Option<(String, String, bool)> {
        Some((from.to_owned(), to.to_owned(), is_given))
    }

    #[test]
    fn thirty_days_up_to_today_unless_it_says_otherwise() {
        assert_eq!(read(""), some("2026-03-02", "2026-03-31", false));
        assert_eq!(read("to=2026-01-30"), some("2026-01-01", "2026-01-30", true));
        assert_eq!(read("from=2026-03-30"), some("2026-03-30", "2026-03-31", true));
        assert_eq!(read("from=2026-03-01&to=2026-03-01"), some("2026-03-01", "2026-03-01", true));
        assert_eq!(read("from=2026-03-01T23:30:00-02:00&to=2026-03-03"), some("2026-03-02", "2026-03-03", true));
        assert_eq!(read("from=2023-12-15&to=2026-02-21").unwrap().0, "2023-12-15");
    }

    #[test]
    fn what_is_no_period_is_refused() {
        for query in [
            "from=yesterday",
            "to=2026-02-30",
            "from=2026-04-01",
            "from=2026-02-02&to=2026-02-01",
            "from=2020-01-01",
            "to=-0001-01-01",
        ] {
            assert_eq!(read(query), None, "{query}");
        }
    }
}

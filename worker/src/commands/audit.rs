//! `worker audit`: proves that the books balance, or lists where they do not. Changes nothing; workers may run meanwhile.

use std::time::Duration;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use shared::stream::connection;
use shared::stream::lanes::{self, Lane};

use super::{pool, say};
use crate::audit::{Report, Scene, audit};
use crate::settings::Settings;
use crate::{Problem, layout};

/// Runs the command; the error names how many things do not balance.
pub async fn run(since: Option<Since>) -> Result<(), Problem> {
    let settings = Settings::from_environment()?;
    let pool = pool(&settings)?;
    let stream = connection::connect(&settings.pipeline, "ec-worker-audit").await?;
    if !connection::wait_until_up(&stream, Duration::from_secs(10)).await {
        return Err("NATS is not connected; check NATS_URL".into());
    }
    let jetstream = lanes::jetstream(stream.client.clone());
    let layout = layout::in_force(&mut *pool.acquire().await?, &jetstream, &settings.pipeline).await?;
    let lanes = Lane::all(&settings.pipeline.stream_prefix, layout);
    let scene = Scene { stream: &stream, pool: &pool, lanes: &lanes, placeholders: &settings.pipeline.placeholders };
    let report = audit(&scene, since.map(|since| since.before(Utc::now()))).await?;
    let findings = &report.findings;
    findings.listed.iter().for_each(|finding| say(&format!("IMBALANCE  {finding}")));
    let unlisted = findings.count.saturating_sub(findings.listed.len() as u64);
    if unlisted > 0 {
        say(&format!("IMBALANCE  … and {unlisted} more"));
    }
    say(&summary(&report));
    if findings.count == 0 { Ok(()) } else { Err(format!("{} imbalance(s) found", findings.count).into()) }
}

fn summary(report: &Report) -> String {
    let rows = report.rows.map_or_else(|| "rows not counted".to_owned(), |rows| format!("{rows} rows"));
    let verdict = if report.findings.count == 0 { "everything balances" } else { "the books do NOT balance" };
    format!(
        "audited {} events in {} messages, {} hours of partitions, {rows}: {verdict}",
        report.events, report.messages, report.hours
    )
}

/// From when on to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Since {
    /// A moment.
    Time(DateTime<Utc>),
    /// So long ago.
    Ago(TimeDelta),
}

impl Since {
    fn before(self, now: DateTime<Utc>) -> DateTime<Utc> {
        match self {
            Self::Time(time) => time,
            Self::Ago(duration) => now.checked_sub_signed(duration).unwrap_or(DateTime::<Utc>::MIN_UTC),
        }
    }
}

impl std::str::FromStr for Since {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(time) = DateTime::parse_from_rfc3339(text) {
            return Ok(Self::Time(time.to_utc()));
        }
        if let Some(midnight) = text.parse::<NaiveDate>().ok().and_then(|day| day.and_hms_opt(0, 0, 0)) {
            return Ok(Self::Time(midnight.and_utc()));
        }
        let unit = text.char_indices().next_back().map_or(0, |(at, _)| at);
        let seconds = match &text[unit..] {
            "m" => Some(60),
            "h" => Some(3_600),
            "d" => Some(86_400),
            _ => None,
        };
        let duration = seconds.zip(text[..unit].parse::<u32>().ok()).map(|(unit, n)| unit * i64::from(n));
        duration
            .and_then(TimeDelta::try_seconds)
            .map(Self::Ago)
            .ok_or_else(|| "neither a time (2026-11-22T10:00:00Z, 2026-11-22) nor a duration (90m, 24h, 7d)".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_dates_and_durations_are_read() {
        let since = |text: &str| text.parse::<Since>();
        assert_eq!(since("90m"), Ok(Since::Ago(TimeDelta::minutes(90))));
        assert_eq!(since("7d"), Ok(Since::Ago(TimeDelta::days(7))));
        assert_eq!(since("2026-11-22T12:00:00+02:00"), since("2026-11-22T10:00:00Z"));
        assert_eq!(since("2026-11-22"), since("2026-11-22T00:00:00Z"));
        for text in ["", "h", "-1h", "24", "24 h", "yesterday", "1ü", "99999999999d"] {
            assert!(since(text).is_err(), "{text}");
        }
    }
}

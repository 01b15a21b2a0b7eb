//! Parts of wholes: a funnel's, as numbers, and the old server's percentages.

use serde::Serialize;
use utoipa::ToSchema;

use super::tally::Tally;

/// A percentage as the old server wrote it: a text with two decimals, or the number 0 where there is no whole.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(untagged)]
#[schema(as = OldPercentage)]
pub enum Percent {
    /// Such as `"12.50"`.
    Text(String),
    /// 0.
    None(u8),
}

impl Percent {
    /// `part` of `whole`. Halves are rounded up, as JavaScript does.
    #[must_use]
    pub fn of(part: i64, whole: i64) -> Self {
        if whole <= 0 {
            return Self::None(0);
        }
        let (part, whole) = (i128::from(part.max(0)), i128::from(whole));
        let hundredths = (part * 20_000 + whole) / (whole * 2);
        Self::Text(format!("{}.{:02}", hundredths / 100, hundredths % 100))
    }
}

/// One step of a funnel.
#[derive(Debug, PartialEq, Serialize, ToSchema)]
#[schema(as = FunnelStep)]
pub struct Step {
    /// `matches`, `impressions`, `clicks` or `conversions`.
    step: &'static str,
    count: i64,
    /// Of the count of the step before; 1 of the first, 0 where there is nothing to be a part of. Above 1 where apps report more than
    /// the pipeline matched.
    rate_of_previous: f64,
    /// The same, of the first step's count.
    rate_of_first: f64,
}

/// From match to conversion.
#[must_use]
pub fn funnel(tally: &Tally) -> Vec<Step> {
    let steps = [
        ("matches", tally.matches),
        ("impressions", tally.impressions),
        ("clicks", tally.clicks),
        ("conversions", tally.conversions),
    ];
    let first = tally.matches;
    let mut previous = first;
    let step = |(step, count)| {
        let before = std::mem::replace(&mut previous, count);
        Step { step, count, rate_of_previous: rate(count, before), rate_of_first: rate(count, first) }
    };
    steps.into_iter().map(step).collect()
}

#[expect(clippy::cast_precision_loss, reason = "a rate for a plot")]
fn rate(part: i64, whole: i64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentage_is_written_as_the_old_server_did() {
        let text = |part, whole| match Percent::of(part, whole) {
            Percent::Text(text) => text,
            Percent::None(zero) => format!("number {zero}"),
        };
        assert_eq!([text(0, 0), text(3, 0), text(0, 3)], ["number 0", "number 0", "0.00"]);
        assert_eq!([text(1, 3), text(2, 3), text(1, 800), text(5, 4)], ["33.33", "66.67", "0.13", "125.00"]);
        assert_eq!(text(i64::MAX, 1), "922337203685477580700.00");
    }

    #[test]
    fn a_funnel_tells_parts_of_the_step_before_and_of_the_first() {
        let tally = Tally { matches: 100, impressions: 80, clicks: 20, conversions: 5, ..Tally::default() };
        let rates = |tally: &Tally| -> Vec<(f64, f64)> {
            funnel(tally).iter().map(|step| (step.rate_of_previous, step.rate_of_first)).collect()
        };
        assert_eq!(rates(&tally), [(1.0, 1.0), (0.8, 0.8), (0.25, 0.2), (0.25, 0.05)]);
        assert_eq!(rates(&Tally { clicks: 3, ..Tally::default() }), [(0.0, 0.0); 4]);
    }
}

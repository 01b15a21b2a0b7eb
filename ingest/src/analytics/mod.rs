//! What dashboards plot: counts by campaign, by day and by event name, all from the daily sums (`rollups`) that workers keep with the
//! events. No event is read, so an answer is as quick for a year as for a day, and days whose events are gone are in it.
//!
//! | route | answer |
//! |---|---|
//! | `GET /v1/analytics/overview` | [`overview`]: all there ever was, in the old server's fields |
//! | `GET /v1/analytics/campaigns/{id}` | [`campaign`]: counts, funnel and daily series of one campaign |
//! | `GET /v1/analytics/daily` | [`daily`]: the daily series of everything |
//! | `GET /v1/analytics/events` | [`names`]: which events were sent most |
//! | `GET /v1/admin/analytics/dashboard`, `…/campaign/{id}` | [`dashboard`]: the same for the second generation's dashboard |
//!
//! All need an admin key. (The old server left one campaign's counts open to everybody who could guess an id; no SDK asks for them.)
//!
//! What is counted, and as what: [`tally`]. Which names apps report with: `shared/src/domain/reported.rs`. Days are those that events are
//! filed under, in UTC; a [`period`] names the first and the last. [`sums`] reads, [`rates`] divides.

pub mod campaign;
pub mod daily;
pub mod dashboard;
pub mod names;
pub mod overview;
pub mod period;
pub mod rates;
pub mod sums;
pub mod tally;

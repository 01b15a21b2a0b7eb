//! Which days of a flush's old events are held: kept, and filed under, although they are older than the retention.
//!
//! Costs nothing where no event is that old.

use std::collections::BTreeSet;

use chrono::NaiveDate;
use sqlx::PgConnection;

use super::Incoming;

/// The held days among those that events come from and that are before `oldest_kept`.
pub async fn among(
    transaction: &mut PgConnection,
    events: &[Incoming<'_>],
    oldest_kept: NaiveDate,
    today: NaiveDate,
) -> Result<BTreeSet<NaiveDate>, sqlx::Error> {
    let days = |incoming: &Incoming<'_>| [incoming.event.day, incoming.event.received_at.date_naive()];
    let old: BTreeSet<NaiveDate> = events.iter().flat_map(days).filter(|day| *day < oldest_kept).collect();
    if old.is_empty() {
        return Ok(old);
    }
    let days: Vec<NaiveDate> = old.into_iter().collect();
    let query = "/* holds.among */ SELECT day FROM holds WHERE day = ANY($1) AND until >= $2";
    Ok(sqlx::query_scalar(query).bind(days).bind(today).fetch_all(transaction).await?.into_iter().collect())
}

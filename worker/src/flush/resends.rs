//! Resends that the primary key `(day, id)` cannot see, because the first copy was filed under another day.
//!
//! An event whose day is not its own, or that comes more than seven days late, leaves its id in `late_ids`; every event is looked up
//! there. And one that is no longer believed at the end of the retention is looked up under its own day, which leads its id. So a
//! resend is a duplicate for as long as the first copy stands.

use std::collections::{BTreeMap, HashSet};

use chrono::NaiveDate;
use shared::domain::event_id::client_day;
use sqlx::PgConnection;
use uuid::Uuid;

use super::Incoming;
use super::effects::Plan;

/// Which of these events (each id once) were stored before under another day. Records the late ones.
pub async fn known(
    transaction: &mut PgConnection,
    events: &[&Incoming<'_>],
    plan: &Plan<'_>,
) -> Result<HashSet<Uuid>, sqlx::Error> {
    let (late, timely): (Vec<&Incoming<'_>>, Vec<&Incoming<'_>>) =
        events.iter().partition(|i| i.event.late || plan.day_of(i) != i.event.day);
    let mut known = looked_up(transaction, &timely).await?;
    if late.is_empty() {
        return Ok(known);
    }
    for (day, ids) in own_days(&late, plan) {
        let query = "/* resends.known */ SELECT id FROM events WHERE day = $1 AND id = ANY($2)";
        known.extend(sqlx::query_scalar::<_, Uuid>(query).bind(day).bind(ids).fetch_all(&mut *transaction).await?);
    }
    let ids: Vec<Uuid> = late.iter().map(|i| i.event.id).collect();
    let new: HashSet<Uuid> = recorded(transaction, &ids, plan.today).await?;
    known.extend(ids.into_iter().filter(|id| !new.contains(id)));
    Ok(known)
}

async fn looked_up(transaction: &mut PgConnection, events: &[&Incoming<'_>]) -> Result<HashSet<Uuid>, sqlx::Error> {
    if events.is_empty() {
        return Ok(HashSet::new());
    }
    let ids: Vec<Uuid> = events.iter().map(|i| i.event.id).collect();
    let query = "/* resends.looked_up */ SELECT id FROM late_ids WHERE id = ANY($1)";
    Ok(sqlx::query_scalar(query).bind(ids).fetch_all(transaction).await?.into_iter().collect())
}

/// Records ids; gives back those that were new.
async fn recorded(
    transaction: &mut PgConnection,
    ids: &[Uuid],
    today: NaiveDate,
) -> Result<HashSet<Uuid>, sqlx::Error> {
    let query =
        "/* resends.recorded */ INSERT INTO late_ids (id, received_day) SELECT id, $2 FROM unnest($1::uuid[]) id
                 ON CONFLICT DO NOTHING RETURNING id";
    Ok(sqlx::query_scalar(query).bind(ids).bind(today).fetch_all(transaction).await?.into_iter().collect())
}

/// Late events by their own day, where that is another one than they are filed under, and still kept.
fn own_days(late: &[&Incoming<'_>], plan: &Plan<'_>) -> BTreeMap<NaiveDate, Vec<Uuid>> {
    let mut days = BTreeMap::<_, Vec<_>>::new();
    for incoming in late {
        let own = client_day(incoming.event.id).filter(|day| *day <= plan.today && plan.keeps(*day));
        if let Some(day) = own.filter(|day| *day != plan.day_of(incoming)) {
            days.entry(day).or_default().push(incoming.event.id);
        }
    }
    days
}

//! Each event has an outcome: a row under its day or, if it was filed elsewhere, under another; a dead letter at its place; its day was
//! dropped by the retention; or a tombstone covers it, so that it was suppressed, or erased later. A control line has been carried out.
//!
//! Nearly all are found by primary key, a few thousand at once; only what is missing there costs more.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use bytes::Bytes;
use chrono::{DateTime, NaiveDate, Utc};
use serde::Deserialize;
use shared::domain::control::Control;
use shared::domain::event::Event;
use shared::domain::event_id::client_day;
use shared::domain::tombstone::KeyHash;
use shared::domain::user_key::Placeholders;
use shared::store::tombstones;
use shared::stream::lanes::Lane;
use sqlx::PgConnection;
use uuid::Uuid;

use super::Findings;
use crate::jobs::partitions::{self, State};

/// One event, or a message that cannot be read, that must have an outcome.
#[derive(Debug)]
pub struct Judged {
    seq: i64,
    partition: i32,
    position: i32,
    /// How many events it stands for.
    pub events: u64,
    payload: Bytes,
    key: Option<Key>,
    /// The request, if it is a control line.
    control: Option<Uuid>,
}

/// What of an event tells where its row is.
#[derive(Debug, Clone, Copy, Deserialize)]
struct Key {
    id: Uuid,
    day: NaiveDate,
    received_at: DateTime<Utc>,
}

impl Judged {
    /// One line of a message.
    #[must_use]
    pub fn line(seq: i64, partition: i32, position: i32, payload: Bytes) -> Self {
        let key = serde_json::from_slice(&payload).ok();
        let control = Some(&payload).filter(|line| Control::is_one(line)).and_then(|line| Control::parse(line).ok());
        Self { seq, partition, position, events: 1, payload, key, control: control.map(|c| c.request().id) }
    }

    /// A whole message, which the owner of `warden` answers for.
    #[must_use]
    pub fn message(seq: i64, warden: i32, events: u64, payload: Bytes) -> Self {
        Self { seq, partition: warden, position: 0, events, payload, key: None, control: None }
    }
}

/// Looks all of them up; what has no outcome is a finding. Gives back how many events of which messages.
pub async fn judge(
    database: &mut PgConnection,
    lane: &Lane,
    judged: &[Judged],
    placeholders: &Placeholders,
    findings: &mut Findings,
) -> Result<BTreeMap<i64, u64>, sqlx::Error> {
    let mut missing = without_row(database, judged).await?;
    if !missing.is_empty() {
        missing = without_letter(database, lane, missing).await?;
    }
    if !missing.is_empty() {
        missing = not_elsewhere(database, missing).await?;
    }
    if !missing.is_empty() {
        missing = not_erased(database, missing, placeholders).await?;
    }
    let mut places = BTreeMap::<(i64, i32), Vec<&Judged>>::new();
    for one in missing {
        places.entry((one.seq, one.partition)).or_default().push(one);
    }
    let mut messages = BTreeMap::new();
    for ((seq, partition), lost) in &places {
        let events: u64 = lost.iter().map(|one| one.events).sum();
        *messages.entry(*seq).or_default() += events;
        let example = lost.iter().find_map(|one| one.key).map(|key| format!(", such as {}", key.id));
        findings.add(format!(
            "message {seq} of {}, partition {partition}: {events} events have no row and no dead letter{}",
            lane.stream,
            example.unwrap_or_default()
        ));
    }
    Ok(messages)
}

/// Those that have no row under their own day.
async fn without_row<'a>(database: &mut PgConnection, judged: &'a [Judged]) -> Result<Vec<&'a Judged>, sqlx::Error> {
    let mut days = BTreeMap::<NaiveDate, Vec<Uuid>>::new();
    for key in judged.iter().filter_map(|one| one.key) {
        days.entry(key.day).or_default().push(key.id);
    }
    let mut found = HashSet::new();
    for (day, ids) in days {
        found.extend(rows(database, day, &ids).await?);
    }
    Ok(judged.iter().filter(|one| one.key.is_none_or(|key| !found.contains(&key.id))).collect())
}

async fn rows(database: &mut PgConnection, day: NaiveDate, ids: &[Uuid]) -> Result<Vec<Uuid>, sqlx::Error> {
    sqlx::query_scalar("/* outcomes.rows */ SELECT id FROM events WHERE day = $1 AND id = ANY($2)")
        .bind(day)
        .bind(ids)
        .fetch_all(database)
        .await
}

/// Those that have no dead letter either: at their place, with their bytes.
async fn without_letter<'a>(
    database: &mut PgConnection,
    lane: &Lane,
    missing: Vec<&'a Judged>,
) -> Result<Vec<&'a Judged>, sqlx::Error> {
    let letters: Vec<(i64, i32, i32, Option<Vec<u8>>)> = sqlx::query_as(
        "/* outcomes.without_letter */ SELECT stream_seq, d.partition, d.position, CASE WHEN d.erased_at IS NULL THEN payload END
           FROM dead_letters d JOIN unnest($2::bigint[], $3::int[], $4::int[]) AS m (seq, partition, position)
             ON d.stream_seq = m.seq AND d.partition = m.partition AND d.position = m.position
          WHERE d.lane = $1",
    )
    .bind(i32::from(lane.number))
    .bind(missing.iter().map(|one| one.seq).collect::<Vec<_>>())
    .bind(missing.iter().map(|one| one.partition).collect::<Vec<_>>())
    .bind(missing.iter().map(|one| one.position).collect::<Vec<_>>())
    .fetch_all(database)
    .await?;
    let letters: HashSet<_> = letters.into_iter().collect();
    // Of a letter that was erased nothing is left to compare with.
    let is_there = |one: &Judged| {
        let place = |payload| (one.seq, one.partition, one.position, payload);
        letters.contains(&place(Some(one.payload.to_vec()))) || letters.contains(&place(None))
    };
    Ok(missing.into_iter().filter(|one| !is_there(one)).collect())
}

/// Those that are not filed under another day (the day of receipt, or that of a first copy) and whose day was not dropped.
async fn not_elsewhere<'a>(
    database: &mut PgConnection,
    missing: Vec<&'a Judged>,
) -> Result<Vec<&'a Judged>, sqlx::Error> {
    let ids: Vec<Uuid> = missing.iter().filter_map(|one| one.key).map(|key| key.id).collect();
    let mut found = HashSet::new();
    let tables = partitions::all(&mut *database).await?;
    for table in tables.iter().filter(|table| table.state == State::Attached) {
        found.extend(rows(database, table.day, &ids).await?);
    }
    let dropped: Vec<NaiveDate> = sqlx::query_scalar(
        "/* outcomes.not_elsewhere */ SELECT DISTINCT day FROM removals WHERE reason = 'retention' AND day IS NOT NULL",
    )
    .fetch_all(database)
    .await?;
    // What is detached is about to be dropped.
    let going = tables.iter().filter(|table| table.state != State::Attached).map(|table| table.day);
    let dropped: HashSet<_> = dropped.into_iter().chain(going).collect();
    let expired = |key: Key| {
        let days = [Some(key.day), Some(key.received_at.date_naive()), client_day(key.id)];
        days.into_iter().flatten().any(|day| dropped.contains(&day))
    };
    Ok(missing.into_iter().filter(|one| one.key.is_none_or(|key| !found.contains(&key.id) && !expired(key))).collect())
}

/// Whose event it is, hashed, and when it happened.
type Happened = (KeyHash, DateTime<Utc>);

/// Those that no tombstone covers, and control lines that were not carried out.
async fn not_erased<'a>(
    database: &mut PgConnection,
    missing: Vec<&'a Judged>,
    placeholders: &Placeholders,
) -> Result<Vec<&'a Judged>, sqlx::Error> {
    let controls: Vec<Uuid> = missing.iter().filter_map(|one| one.control).collect();
    let carried_out: HashSet<Uuid> =
        sqlx::query_scalar("/* outcomes.not_erased */ SELECT id FROM erasures WHERE id = ANY($1)")
            .bind(&controls)
            .fetch_all(&mut *database)
            .await?
            .into_iter()
            .collect();
    let salt = tombstones::salt(database).await?;
    let keyed: Vec<(Option<Happened>, &Judged)> = missing
        .into_iter()
        .map(|one| {
            let event = serde_json::from_slice::<Event<'_>>(&one.payload).ok();
            let key = event.as_ref().and_then(|e| Some((salt.hash(e.user_key(placeholders)?), e.happened_at())));
            (key, one)
        })
        .collect();
    let hashes: BTreeSet<KeyHash> = keyed.iter().filter_map(|(key, _)| key.map(|(hash, _)| hash)).collect();
    let stones = tombstones::read(database, &hashes.into_iter().collect::<Vec<_>>()).await?;
    let is_erased = |key: Option<Happened>| {
        key.is_some_and(|(hash, happened_at)| stones.get(&hash).is_some_and(|stone| stone.covers(happened_at)))
    };
    let is_done = |one: &Judged| one.control.is_some_and(|id| carried_out.contains(&id));
    Ok(keyed.into_iter().filter(|(key, one)| !is_erased(*key) && !is_done(one)).map(|(_, one)| one).collect())
}

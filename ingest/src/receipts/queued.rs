//! Looks for an event in the part of the stream that no worker has committed yet.
//!
//! Positions come from the same snapshot as the rows: an accepted event that has no row then, nor a letter, lies behind them. So this
//! finds whatever any ingest process has accepted, and keeps nothing in memory. The look is short: normally there are a few
//! messages behind the positions, and after an outage the answer says how many were not looked at.

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use serde::Serialize;
use shared::domain::event::Event;
use shared::domain::message::decode;
use shared::stream::StreamError;
use shared::stream::lanes::{self, Lane};
use sqlx::postgres::PgConnection;
use utoipa::ToSchema;
use uuid::Uuid;

use super::asked::Asked;
use crate::app::App;

/// Messages that are looked at; each may have 512 KiB.
const MOST_MESSAGES: u64 = 200;
/// And the time for it.
const PATIENCE: Duration = Duration::from_secs(2);

/// An event that waits.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = QueuedReceipt)]
pub struct Queued {
    /// Ours.
    pub id: Uuid,
    #[serde(rename = "type")]
    kind: &'static str,
    lane: u16,
    /// Of its message in the stream.
    sequence: u64,
    partition: u16,
    /// Messages that come first.
    messages_before: u64,
    received_at: DateTime<Utc>,
    /// It is stored already: this copy will be dropped.
    pub duplicate: bool,
}

/// How far each partition is committed: `(partition, last_seq)`, of the one that is asked about, or of all.
pub async fn positions(connection: &mut PgConnection, asked: &Asked) -> Result<Vec<(u16, u64)>, sqlx::Error> {
    let sql =
        "/* queued.positions */ SELECT partition, last_seq FROM partitions WHERE $1::integer IS NULL OR partition = $1";
    let rows: Vec<(i32, i64)> = sqlx::query_as(sql).bind(asked.partition.map(i32::from)).fetch_all(connection).await?;
    Ok(rows.into_iter().filter_map(|(p, seq)| Some((u16::try_from(p).ok()?, u64::try_from(seq).ok()?))).collect())
}

/// Looks behind these positions. What could not be looked at is said in `notes`.
pub async fn find(app: &App, asked: &Asked, positions: &[(u16, u64)], notes: &mut Vec<String>) -> Vec<Queued> {
    let layout = app.publisher.layout();
    let mut found = Vec::new();
    let until = Instant::now() + PATIENCE;
    for lane in Lane::all(&app.settings.pipeline.stream_prefix, layout) {
        if asked.partition.is_some_and(|partition| layout.lane_of(partition) != lane.number) {
            continue;
        }
        let here = positions.iter().filter(|(partition, _)| layout.lane_of(*partition) == lane.number);
        let committed = here.map(|(_, seq)| *seq).min().unwrap_or(0);
        match look(app, asked, &lane, committed, until, &mut found).await {
            Ok(0) => {}
            Ok(left) => notes.push(format!(
                "{left} messages of stream {} wait and were not looked at: ask again later",
                lane.stream
            )),
            Err(error) => notes.push(format!("the stream cannot be read just now ({error}): ask again later")),
        }
    }
    // A partition may be further than the slowest one of its lane.
    found.retain(|queued: &Queued| positions.iter().all(|(p, seq)| *p != queued.partition || *seq < queued.sequence));
    found
}

/// Looks at one lane; gives back how many messages were left.
async fn look(
    app: &App,
    asked: &Asked,
    lane: &Lane,
    committed: u64,
    until: Instant,
    found: &mut Vec<Queued>,
) -> Result<u64, StreamError> {
    app.readiness.connection().must_be_up()?;
    let Some(state) = lanes::state(&app.jetstream, lane).await? else { return Ok(0) };
    let first = (committed + 1).max(state.first_seq);
    for sequence in first..=state.last_seq {
        if sequence - first >= MOST_MESSAGES || Instant::now() >= until {
            return Ok(state.last_seq - sequence + 1);
        }
        let Some(message) = lanes::message(&app.jetstream, lane, sequence).await? else { continue };
        // What cannot be read is the worker's to judge.
        let Ok(message) = decode(&message.payload) else { continue };
        let segments = message.segments.iter().filter(|s| asked.partition.is_none_or(|p| p == s.partition));
        for segment in segments {
            for line in segment.lines() {
                let Some(event) = serde_json::from_slice::<Event<'_>>(&line).ok().filter(|e| asked.is(e)) else {
                    continue;
                };
                found.push(Queued {
                    id: event.id,
                    kind: event.kind.as_str(),
                    lane: lane.number,
                    sequence,
                    partition: segment.partition,
                    messages_before: sequence - first,
                    received_at: event.received_at,
                    duplicate: false,
                });
            }
        }
    }
    Ok(0)
}

//! Never skip what was not seen: the proof, before each start of reading and each purge, that the stream is the one the positions
//! belong to and still holds everything they have not reached.
//!
//! JetStream starts a consumer beyond a stream's end, or before its beginning, without an error. A stream that was made anew, or an
//! older copy of its volume put back, would so lose acknowledged events in silence; here it halts the worker, and the gap is named.
//!
//! A database that was restored from a backup is older than its stream, and knows less of what was trimmed. As long as the stream
//! still begins at or before what its positions have not reached, nothing is missing: it is read on from there.

use std::ops::RangeInclusive;

use async_nats::jetstream::Context;
use async_nats::jetstream::message::StreamMessage;
use chrono::{DateTime, SecondsFormat, Utc};
use shared::domain::layout::Layout;
use shared::domain::message::{BATCH_ID_HEADER, EVENTS_HEADER};
use shared::domain::place;
use shared::runtime::settings::pipeline::Pipeline;
use shared::stream::StreamError;
use shared::stream::lanes::{self, Lane, StreamState};
use sqlx::PgConnection;

use crate::layout;

/// What the database recorded about a lane.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct LaneRecord {
    /// Generation of the stream that the positions belong to.
    pub generation: String,
    /// Everything up to here was processed and may be gone.
    pub trimmed_to: i64,
    /// Epoch of the layout that the positions are of.
    pub epoch: i32,
    /// When a position of the lane was last written: of a restored database, about when it was saved.
    pub as_of: Option<DateTime<Utc>>,
}

/// Where a partition stands.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Position {
    /// Which partition.
    pub partition: i32,
    /// The last message whose effects are committed.
    pub last_seq: i64,
    /// The batch id of that message.
    pub last_batch_id: Option<String>,
}

/// Why an attachment was refused.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    /// Try again later.
    #[error(transparent)]
    Stream(#[from] StreamError),
    /// Try again later.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    /// Perhaps a gap, perhaps the answer of a node that was cut off from the others and does not know it yet.
    #[error("{0}, as the node says that answers for it: wait")]
    Doubtful(String),
    /// A person must act: going on would skip events.
    #[error(
        "{0}. If that is meant, `worker adopt-stream` goes on from the first message that is there; nothing is doubled"
    )]
    Gap(String),
    /// A person must act: the settings do not fit what exists.
    #[error("{0}")]
    Mismatch(String),
}

/// The rule: what is wrong, or nothing. `batch_at` tells the batch id of the message at a sequence, if it is there.
pub fn gap(
    lane: &Lane,
    stream: &StreamState,
    record: &LaneRecord,
    positions: &[Position],
    batch_at: impl Fn(i64) -> Option<String>,
) -> Option<String> {
    let name = &lane.stream;
    if stream.generation != record.generation {
        return Some(format!(
            "stream {name} is not the one that was being read: it was created anew (generation {} instead of {})",
            stream.generation, record.generation
        ));
    }
    let (theirs, ours) = (i64::from(stream.layout.epoch), i64::from(record.epoch));
    if theirs > ours {
        return Some(format!(
            "stream {name} is of layout {theirs}, and this database of layout {ours}: it was restored from a backup taken before `worker repartition`, \
             and what came between the two is not in the stream any more. Restore a backup taken after it"
        ));
    }
    // A sealed one is about to follow.
    if theirs < ours && !stream.sealed {
        return Some(format!(
            "stream {name} is of layout {theirs}, and this database of layout {ours}: an older copy was put back"
        ));
    }
    let (first, last) = (signed(stream.first_seq), signed(stream.last_seq));
    if let Some(missing) = missing(stream, record, positions) {
        return Some(format!(
            "stream {name} begins at message {first}, but only messages up to {} were processed or given up: {} messages are missing",
            missing.start() - 1,
            missing.count()
        ));
    }
    for position in positions {
        let (partition, at) = (position.partition, position.last_seq);
        if at > last {
            return Some(format!(
                "stream {name} ends at message {last}, but partition {partition} has processed message {at}: an older copy was put back"
            ));
        }
        // It is gone, and so can't be compared.
        if at <= record.trimmed_to || at < first {
            continue;
        }
        let found = batch_at(at);
        if found.is_none() || found != position.last_batch_id {
            return Some(format!(
                "message {at} of stream {name} is batch {}, but partition {partition} had processed batch {} there: the stream's history changed",
                found.as_deref().unwrap_or("(none)"),
                position.last_batch_id.as_deref().unwrap_or("(none)")
            ));
        }
    }
    None
}

/// The messages that the stream has lost before every partition has processed them.
fn missing(stream: &StreamState, record: &LaneRecord, positions: &[Position]) -> Option<RangeInclusive<i64>> {
    let processed = positions.iter().map(|p| p.last_seq).min().unwrap_or(0);
    let (from, to) = (record.trimmed_to.max(processed) + 1, signed(stream.first_seq) - 1);
    (from <= to).then_some(from..=to)
}

/// About how many events these were, when, and where they may still be. `first` is the oldest message that is there.
fn estimate(missing: RangeInclusive<i64>, record: &LaneRecord, first: Option<&StreamMessage>) -> String {
    let time = |at: DateTime<Utc>| at.to_rfc3339_opts(SecondsFormat::Secs, true);
    let mut said = String::new();
    // One message tells the size of its neighbours.
    if let Some(each) = first.and_then(|m| m.headers.get(EVENTS_HEADER)?.as_str().parse::<usize>().ok()) {
        said = format!(", about {} events", each.saturating_mul(missing.count()));
    }
    let since = record.as_of.map(|at| format!("after about {}", time(at)));
    let until = first.map(|first| format!("before {}", time(first.time)));
    let span: Vec<String> = since.into_iter().chain(until).collect();
    if !span.is_empty() {
        said.push_str(&format!(", accepted {}", span.join(" and ")));
    }
    said + ". If an older backup of the database was restored, a newer one may hold them"
}

/// Checks a lane against the stream as it is now. The state it was checked with comes back.
pub async fn verify(
    jetstream: &Context,
    lane: &Lane,
    record: &LaneRecord,
    positions: &[Position],
) -> Result<StreamState, AttachError> {
    let Some(stream) = lanes::state(jetstream, lane).await? else {
        return Err(AttachError::Gap(format!("stream {} does not exist any more", lane.stream)));
    };
    let mut batches = std::collections::BTreeMap::new();
    let there = record.trimmed_to.max(signed(stream.first_seq) - 1);
    for at in positions.iter().map(|p| p.last_seq).filter(|&at| at > there) {
        if let std::collections::btree_map::Entry::Vacant(entry) = batches.entry(at) {
            entry.insert(batch_id_at(jetstream, lane, at).await?);
        }
    }
    match gap(lane, &stream, record, positions, |at| batches.get(&at).cloned().flatten()) {
        None => Ok(stream),
        // A node has only what most nodes have; it may have less, but never something else.
        Some(gap)
            if stream.replicas > 1
                && stream.generation == record.generation
                && batches.values().any(Option::is_none) =>
        {
            Err(AttachError::Doubtful(gap))
        }
        Some(mut gap) => {
            if stream.generation == record.generation
                && let Some(missing) = missing(&stream, record, positions)
            {
                let first = lanes::message(jetstream, lane, stream.first_seq).await?;
                gap.push_str(&estimate(missing, record, first.as_ref()));
            }
            Err(AttachError::Gap(gap))
        }
    }
}

/// Reads a lane's record and positions, making them when the lane is new, and checks that the cut into partitions is the same.
pub async fn load(
    database: &mut PgConnection,
    jetstream: &Context,
    lane: &Lane,
    settings: &Pipeline,
    layout: Layout,
) -> Result<(LaneRecord, Vec<Position>), AttachError> {
    let partitions: Vec<i32> = layout.partitions_of(lane.number).map(i32::from).collect();
    if let Some(found) = read(database, lane).await? {
        if found.1.iter().map(|p| p.partition).ne(partitions.iter().copied()) {
            return Err(AttachError::Mismatch(format!(
                "the positions of lane {} in the database are not those of {layout}",
                lane.number
            )));
        }
        return Ok(found);
    }
    // Only a pipeline that was never repartitioned has lanes to be made.
    let in_force = layout::in_force(database, jetstream, settings).await?;
    if layout.epoch > 0 {
        return Err(AttachError::Gap(format!(
            "the streams are of {layout}, and this database knows nothing of it: restore a backup taken after the last `worker repartition`"
        )));
    }
    if in_force != layout {
        return Err(AttachError::Mismatch(format!("lane {} of {layout} is not in the database", lane.number)));
    }
    if lane.number > 0 {
        // It tells everybody the layout, so it is there before any position is.
        ours(jetstream, &Lane::new(&settings.stream_prefix, 0), settings, layout).await?;
    }
    let stream = ours(jetstream, lane, settings, layout).await?;
    sqlx::query(
        "/* attach.load */ WITH lane AS (INSERT INTO lanes (lane, stream, generation) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING)
         INSERT INTO partitions (partition, lane) SELECT p, $1 FROM unnest($4::int[]) p ON CONFLICT DO NOTHING",
    )
    .bind(i32::from(lane.number))
    .bind(&lane.stream)
    .bind(&stream.generation)
    .bind(partitions)
    .execute(&mut *database)
    .await?;
    read(database, lane)
        .await?
        .ok_or_else(|| AttachError::Mismatch(format!("lane {} vanished from the database", lane.number)))
}

/// A lane's stream, which is made if it is not there.
async fn ours(
    jetstream: &Context,
    lane: &Lane,
    settings: &Pipeline,
    layout: Layout,
) -> Result<StreamState, AttachError> {
    let stream = match lanes::state(jetstream, lane).await? {
        Some(stream) => stream,
        None => lanes::create(jetstream, lane, settings, layout).await?,
    };
    if stream.layout == layout {
        return Ok(stream);
    }
    Err(AttachError::Mismatch(format!(
        "stream {} is of {}, and the first lane of {layout}: is it a copy from before `worker repartition`?",
        lane.stream, stream.layout
    )))
}

/// Reads a lane's record and positions as they are. `None`: the lane is new.
pub async fn read(
    database: &mut PgConnection,
    lane: &Lane,
) -> Result<Option<(LaneRecord, Vec<Position>)>, sqlx::Error> {
    let record: Option<LaneRecord> = sqlx::query_as(
        "/* attach.read.layouts */ SELECT generation, trimmed_to, (SELECT coalesce(max(epoch), 0) FROM layouts WHERE taken_at IS NOT NULL) AS epoch,
                (SELECT max(updated_at) FROM partitions p WHERE p.lane = l.lane) AS as_of
           FROM lanes l WHERE lane = $1",
    )
    .bind(i32::from(lane.number))
    .fetch_optional(&mut *database)
    .await?;
    let Some(record) = record else { return Ok(None) };
    let positions =
        sqlx::query_as("/* attach.read.partitions */ SELECT partition, last_seq, last_batch_id FROM partitions WHERE lane = $1 ORDER BY partition")
            .bind(i32::from(lane.number))
            .fetch_all(database)
            .await?;
    Ok(Some((record, positions)))
}

async fn batch_id_at(jetstream: &Context, lane: &Lane, seq: i64) -> Result<Option<String>, StreamError> {
    let message = lanes::message(jetstream, lane, u64::try_from(seq).unwrap_or(0)).await?;
    Ok(message.and_then(|m| m.headers.get(BATCH_ID_HEADER).map(|id| id.as_str().to_owned())))
}

/// What the sequences of all lanes count in; see [`place::generation`]. `state` is that of `lane`; the first lane tells it for all.
pub async fn generation(jetstream: &Context, lane: &Lane, state: &StreamState, epoch: u32) -> Result<i64, AttachError> {
    if lane.number == 0 {
        return Ok(place::generation(state.since, epoch));
    }
    let first = Lane::new(lane.prefix(), 0);
    match lanes::state(jetstream, &first).await? {
        Some(first) => Ok(place::generation(first.since, epoch)),
        None => Err(AttachError::Gap(format!("stream {} does not exist any more", first.stream))),
    }
}

fn signed(seq: u64) -> i64 {
    i64::try_from(seq).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(first_seq: u64, last_seq: u64) -> StreamState {
        StreamState {
            generation: "g1".into(),
            adopted: String::new(),
            since: 0,
            first_seq,
            last_seq,
            bytes: 0,
            max_bytes: 0,
            messages: 0,
            layout: Layout::first(2, 1),
            sealed: false,
            barrier: 0,
            replicas: 1,
            problems: Vec::new(),
        }
    }

    fn found(stream: &StreamState, trimmed_to: i64, at: &[(i64, &str)], batches: &[(i64, &str)]) -> Option<String> {
        let record = LaneRecord { generation: "g1".into(), trimmed_to, epoch: 0, as_of: None };
        let positions: Vec<_> = at
            .iter()
            .zip(0..)
            .map(|(&(last_seq, id), partition)| Position { partition, last_seq, last_batch_id: Some(id.to_owned()) })
            .collect();
        let batch_at = |seq| batches.iter().find(|(s, _)| *s == seq).map(|(_, id)| (*id).to_owned());
        gap(&Lane::new("EVENTS", 0), stream, &record, &positions, batch_at)
    }

    #[test]
    fn a_stream_that_continues_is_attached() {
        assert_eq!(found(&stream(1, 9), 0, &[(5, "b5"), (9, "b9")], &[(5, "b5"), (9, "b9")]), None);
        assert_eq!(found(&stream(6, 9), 5, &[(5, "b5")], &[]), None, "everything before was trimmed");
        assert_eq!(found(&stream(1, 0), 0, &[(0, "")], &[]), None, "an empty stream");
    }

    #[test]
    fn a_restored_database_reads_on_as_long_as_nothing_is_missing_that_it_has_not_seen() {
        let batches = &[(7, "b7"), (8, "b8")];
        assert_eq!(found(&stream(6, 9), 2, &[(7, "b7"), (8, "b8")], batches), None, "trimmed since, but it was seen");
        assert_eq!(found(&stream(8, 9), 2, &[(7, "b7"), (8, "b8")], batches), None, "up to the last one seen");
        let gap = found(&stream(9, 9), 2, &[(7, "b7"), (8, "b8")], batches).unwrap();
        assert!(gap.contains("up to 7 ") && gap.contains("1 messages are missing"), "{gap}");
        let gap = found(&stream(7, 9), 2, &[(7, "b7"), (8, "other")], batches).unwrap();
        assert!(gap.contains("history changed"), "{gap}");
    }

    #[test]
    fn every_way_of_skipping_is_named() {
        let mut anew = stream(1, 9);
        anew.generation = "g2".into();
        for (stream, trimmed_to, at, batches, says) in [
            (anew, 0, (5, "b5"), &[(5, "b5")][..], "created anew"),
            (stream(7, 9), 5, (5, "b5"), &[], "1 messages are missing"),
            (stream(1, 4), 0, (5, "b5"), &[], "older copy"),
            (stream(1, 9), 0, (5, "b5"), &[(5, "other")], "history changed"),
            (stream(1, 9), 0, (5, "b5"), &[], "history changed"),
        ] {
            let gap = found(&stream, trimmed_to, &[at], batches).unwrap();
            assert!(gap.contains(says), "{gap}");
        }
    }

    #[test]
    fn a_database_and_a_stream_of_different_layouts_are_told_apart() {
        let said = |of_stream, of_database, sealed| {
            let stream =
                StreamState { layout: Layout { epoch: of_stream, ..Layout::first(2, 1) }, sealed, ..stream(1, 9) };
            let record = LaneRecord { generation: "g1".into(), trimmed_to: 0, epoch: of_database, as_of: None };
            gap(&Lane::new("EVENTS", 0), &stream, &record, &[], |_| None).unwrap_or_default()
        };
        assert!(said(1, 0, false).contains("Restore a backup taken after it"));
        assert!(said(0, 1, false).contains("older copy"));
        assert_eq!((said(0, 1, true), said(1, 1, false)), (String::new(), String::new()));
    }
}

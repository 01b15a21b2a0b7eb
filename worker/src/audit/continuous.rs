//! The light audit that runs all the time: one worker looks, all report the same figure, which must be 0.
//!
//! At each look, per lane: the events of all messages processed so far (their headers, summed up since the positions were last
//! restarted; of messages that only some partitions have processed, the index) are what the ledger read; the dead letters hold
//! what the ledger calls dead; and each event of a few messages, one of the newest and others picked at random, has an outcome. A
//! message that failed is looked at again until it is well or trimmed.
//!
//! What it costs: the headers of each message once more (no bodies), a sum over the ledger, a few thousand look-ups by primary key:
//! about a hundredth of what processing costs, with small messages, and less with large ones. What it does not see: a row deleted
//! from a message it has not picked, events moved between hours of the ledger, `stored` against rows. Those are for `worker audit`.

use std::collections::BTreeMap;

use shared::domain::message::{self, DecodeError};
use shared::stream::lanes::{self, Lane, StreamState};
use sqlx::PgPool;
use uuid::Uuid;

use super::outcomes::{self, Judged};
use super::{Findings, Scene};
use crate::reader::{Fetched, Read, Reader};
use crate::{Problem, metrics};

/// Messages whose headers are read in one look. What is beyond waits for the next.
const HEADERS_PER_LOOK: i64 = 200_000;
/// When the partitions of a lane stand further apart, in messages, sums are not compared.
const OPENED_PER_LOOK: i64 = 2_000;
/// Messages picked at random.
const PICKED: usize = 3;

/// What a look starts from, all of one moment.
#[derive(Debug, Clone, sqlx::FromRow)]
struct Standing {
    /// Of the layout that all of this is about.
    epoch: i32,
    generation: String,
    trimmed_to: i64,
    audited_to: i64,
    audited_events: i64,
    imbalance: i64,
    suspect_seq: Option<i64>,
    /// `read - settled` of the lane's ledger.
    read: i64,
    dead: i64,
    letters: i64,
    partitions: Vec<i32>,
    last_seqs: Vec<i64>,
    counted_froms: Vec<i64>,
}

impl Standing {
    async fn read(pool: &PgPool, lane: &Lane) -> Result<Option<Self>, sqlx::Error> {
        // One statement sees one moment.
        sqlx::query_as(
            "/* continuous.read */ SELECT (SELECT coalesce(max(epoch), 0) FROM layouts WHERE taken_at IS NOT NULL) AS epoch,
                    l.generation, l.trimmed_to, l.audited_to, l.audited_events, l.imbalance, l.suspect_seq,
                    coalesce(g.read, 0)::bigint AS read, coalesce(g.dead, 0)::bigint AS dead,
                    (SELECT coalesce(sum(events), 0) FROM dead_letters JOIN partitions p USING (partition) WHERE p.lane = l.lane)::bigint AS letters,
                    p.partitions, p.last_seqs, p.counted_froms
               FROM lanes l,
                    (SELECT sum(read - settled) AS read, sum(dead - letters_dropped) AS dead FROM ledger JOIN partitions USING (partition) WHERE lane = $1) g,
                    (SELECT array_agg(partition ORDER BY partition) AS partitions, array_agg(last_seq ORDER BY partition) AS last_seqs,
                            array_agg(counted_from ORDER BY partition) AS counted_froms
                       FROM partitions WHERE lane = $1) p
              WHERE l.lane = $1 AND p.partitions IS NOT NULL",
        )
        .bind(i32::from(lane.number))
        .fetch_optional(pool)
        .await
    }

    /// Events of a message that count in `read`.
    fn counts(&self, lane: &Lane, fetched: &Fetched) -> Result<i64, Problem> {
        let events_of = |partition: i32, events: usize| {
            let at = self.partitions.binary_search(&partition).ok();
            let counts = at.is_some_and(|at| (self.counted_froms[at] + 1..=self.last_seqs[at]).contains(&fetched.seq));
            if counts { signed(events as u64) } else { 0 }
        };
        match fetched.open() {
            Ok(message) => Ok(message.segments.iter().map(|s| events_of(i32::from(s.partition), s.count)).sum()),
            Err(DecodeError::Damaged(_)) => {
                Ok(events_of(i32::from(lane.number), usize::try_from(fetched.events).unwrap_or(usize::MAX)))
            }
            Err(newer @ DecodeError::Newer(_)) => {
                Err(format!("message {} cannot be compared: {newer}", fetched.seq).into())
            }
        }
    }
}

/// Looks once at every lane. Runs under leadership.
pub async fn look(scene: &Scene<'_>) -> Result<(), Problem> {
    for lane in scene.lanes {
        let Some(standing) = Standing::read(scene.pool, lane).await? else { continue };
        // The process may not have heard yet of another layout.
        let lane = &lane.at_epoch(u32::try_from(standing.epoch).unwrap_or(0));
        let jetstream = lanes::jetstream(scene.stream.client.clone());
        let Some(stream) = lanes::state(&jetstream, lane).await? else { continue };
        if stream.generation != standing.generation {
            // The owners have halted and say so.
            continue;
        }
        look_at(scene, lane, &standing, &stream).await?;
    }
    Ok(())
}

/// Reports what was found last, whoever found it.
pub async fn show(pool: &PgPool) -> Result<(), sqlx::Error> {
    let imbalance: i64 =
        sqlx::query_scalar("/* continuous.show */ SELECT coalesce(sum(imbalance), 0)::bigint FROM lanes")
            .fetch_one(pool)
            .await?;
    metrics::audit(imbalance);
    Ok(())
}

async fn look_at(scene: &Scene<'_>, lane: &Lane, standing: &Standing, stream: &StreamState) -> Result<(), Problem> {
    let slowest = standing.last_seqs.iter().copied().min().unwrap_or(0);
    let (sums, audited_to, audited_events) = sums(scene, lane, standing, stream, slowest).await?;
    let letters = (standing.dead - standing.letters).abs();
    let (lost, suspect) = picked(scene, lane, standing, stream, slowest).await?;
    // Sums that cannot be compared now are taken to be as they were.
    let imbalance = sums.map_or(standing.imbalance, |sums| sums + letters + lost);
    if imbalance != standing.imbalance {
        if imbalance > 0 {
            tracing::error!(
                lane = lane.number,
                sums,
                letters,
                lost,
                suspect,
                "the books do not balance: `worker audit` tells where"
            );
        } else {
            tracing::info!(lane = lane.number, "the books balance again");
        }
    }
    // Not if the stream was adopted meanwhile: then everything begins anew.
    sqlx::query(
        "/* continuous.look_at */ UPDATE lanes SET audited_to = $3, audited_events = $4, imbalance = $5, suspect_seq = $6
          WHERE lane = $1 AND generation = $2 AND audited_to = $7 AND audited_events = $8",
    )
    .bind(i32::from(lane.number))
    .bind(&standing.generation)
    .bind(audited_to)
    .bind(audited_events)
    .bind(imbalance)
    .bind(suspect)
    .bind(standing.audited_to)
    .bind(standing.audited_events)
    .execute(scene.pool)
    .await?;
    Ok(())
}

/// By how many events messages and ledger differ, if that can be said now; and how far, with how many events, headers are summed up.
async fn sums(
    scene: &Scene<'_>,
    lane: &Lane,
    standing: &Standing,
    stream: &StreamState,
    slowest: i64,
) -> Result<(Option<i64>, i64, i64), Problem> {
    let (mut to, mut events) = (standing.audited_to, standing.audited_events);
    let furthest = standing.last_seqs.iter().copied().max().unwrap_or(0);
    if slowest < to {
        // A position was moved back: no owner does that.
        return Ok((Some(to - slowest), to, events));
    }
    if furthest > signed(stream.last_seq) {
        // A node that does not know the newest messages yet, or an older copy, before which the owners halt.
        return Ok((None, to, events));
    }
    let trimmed = signed(stream.first_seq) - 1;
    let unread = trimmed > to;
    if unread {
        to = slowest.max(trimmed);
    } else {
        // Beyond the migration that began to count, all partitions count; before that, the index tells which do.
        let all_count = standing.counted_froms.iter().copied().max().unwrap_or(0);
        let end = slowest.min(to + HEADERS_PER_LOOK);
        let opened = all_count.min(end);
        read(scene, lane, to + 1, opened, false, |fetched| {
            events += standing.counts(lane, &fetched)?;
            Ok(())
        })
        .await?;
        read(scene, lane, opened.max(to) + 1, end, true, |fetched| {
            events += signed(fetched.events);
            Ok(())
        })
        .await?;
        to = end;
    }
    if to < slowest || furthest - to > OPENED_PER_LOOK {
        return Ok((None, to, events));
    }
    let mut ahead = 0;
    read(scene, lane, to + 1, furthest, false, |fetched| {
        ahead += standing.counts(lane, &fetched)?;
        Ok(())
    })
    .await?;
    if unread {
        tracing::warn!(
            lane = lane.number,
            "messages were trimmed before the continuous audit had read them: it begins anew"
        );
        events = standing.read - ahead;
    }
    Ok((Some((standing.read - events - ahead).abs()), to, events))
}

/// Reads messages, or only their headers.
async fn read(
    scene: &Scene<'_>,
    lane: &Lane,
    from: i64,
    to: i64,
    headers_only: bool,
    mut each: impl FnMut(Fetched) -> Result<(), Problem>,
) -> Result<(), Problem> {
    if from > to {
        return Ok(());
    }
    let mut reader = match headers_only {
        true => Reader::start_headers(scene.stream, lane, from),
        false => Reader::start(scene.stream, lane, from),
    };
    loop {
        match reader.messages.recv().await {
            Some(Read::Message(fetched)) => {
                let seq = fetched.seq;
                each(fetched)?;
                if seq >= to {
                    return Ok(());
                }
            }
            Some(Read::Lost(why)) => return Err(why.into()),
            None => return Err("the reader ended".into()),
        }
    }
}

/// Judges a few messages event by event: how many events have no outcome, and a message with such an event.
async fn picked(
    scene: &Scene<'_>,
    lane: &Lane,
    standing: &Standing,
    stream: &StreamState,
    slowest: i64,
) -> Result<(i64, Option<i64>), Problem> {
    let first = signed(stream.first_seq).max(standing.trimmed_to + 1);
    if first > slowest {
        return Ok((0, None));
    }
    let messages = u128::try_from(slowest - first + 1).unwrap_or(1);
    let random = || first + i64::try_from(Uuid::new_v4().as_u128() % messages).unwrap_or(0);
    let mut picks: Vec<i64> = (0..PICKED).map(|_| random()).collect();
    picks.push(slowest);
    picks.extend(standing.suspect_seq.filter(|seq| (first..=slowest).contains(seq)));
    picks.sort_unstable();
    picks.dedup();
    let jetstream = lanes::jetstream(scene.stream.client.clone());
    let mut database = scene.pool.acquire().await?;
    let (mut lost, mut suspect) = (0, None);
    for seq in picks {
        // Trimmed just now, perhaps.
        let Some(found) = lanes::message(&jetstream, lane, u64::try_from(seq).unwrap_or(0)).await? else { continue };
        let Ok(message) = message::decode(&found.payload) else { continue };
        if !lane.takes(&found.subject) {
            continue;
        }
        let lines = message.segments.iter().flat_map(|segment| {
            let partition = i32::from(segment.partition);
            segment
                .lines()
                .zip(0..)
                .map(move |(line, position)| Judged::line(seq, partition, position, line))
                .collect::<Vec<_>>()
        });
        let judged: Vec<Judged> = lines.collect();
        let found: BTreeMap<i64, u64> =
            outcomes::judge(&mut database, lane, &judged, scene.placeholders, &mut Findings::default()).await?;
        if let Some(events) = found.get(&seq) {
            lost += signed(*events);
            suspect = Some(seq);
        }
    }
    Ok((lost, suspect))
}

fn signed(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

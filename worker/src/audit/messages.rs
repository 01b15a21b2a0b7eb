//! Walks through the processed messages of a lane: counts what their headers and indexes say, and hands each event to [`outcomes`].

use chrono::{DateTime, Utc};
use shared::domain::message::DecodeError;
use shared::stream::lanes;
use sqlx::PgConnection;

use super::outcomes::{self, Judged};
use super::progress::Progress;
use super::snapshot::LaneBooks;
use super::{Counts, Findings, Report, Scene, Span};
use crate::Problem;
use crate::attach;
use crate::flush::books;
use crate::reader::{Fetched, Read, Reader};

/// Events that are looked up at once …
const EVENTS_AT_ONCE: usize = 5_000;
/// … or bytes of them.
const BYTES_AT_ONCE: usize = 8 << 20;
/// A reader that fails this often in a row has no stream to read.
const TRIES: u32 = 50;
const PAUSE: std::time::Duration = std::time::Duration::from_millis(100);

/// A walk through one lane.
#[derive(Debug)]
pub struct Walk<'a> {
    scene: &'a Scene<'a>,
    lane: &'a LaneBooks,
    progress: Progress,
    batch: Vec<Judged>,
    bytes: usize,
    /// What was found: events by partition and hour, of the messages that the books count.
    pub counted: Counts,
    /// Every message from here on was there.
    pub whole_from: i64,
}

impl<'a> Walk<'a> {
    /// A walk that has not begun.
    #[must_use]
    pub fn new(scene: &'a Scene<'a>, lane: &'a LaneBooks, progress: Progress) -> Self {
        Self { scene, lane, progress, batch: Vec::new(), bytes: 0, counted: Counts::new(), whole_from: 0 }
    }

    /// Goes through the messages of a span.
    pub async fn follow(
        &mut self,
        database: &mut PgConnection,
        span: Span,
        report: &mut Report,
    ) -> Result<(), Problem> {
        self.whole_from = span.from;
        let mut next = span.from;
        let mut reader = None;
        let mut tries = 0;
        while next <= span.to {
            let current = reader.get_or_insert_with(|| Reader::start(self.scene.stream, &self.lane.lane, next));
            match current.messages.recv().await {
                Some(Read::Message(fetched)) => {
                    tries = 0;
                    if fetched.seq > span.to {
                        break;
                    }
                    next = fetched.seq + 1;
                    report.messages += 1;
                    self.take(&fetched, &mut report.findings);
                    self.progress.advance(1);
                    if self.batch.len() >= EVENTS_AT_ONCE || self.bytes >= BYTES_AT_ONCE {
                        self.judge(database, report).await?;
                    }
                }
                lost => {
                    reader = None;
                    tries += 1;
                    if tries > TRIES {
                        let why = if let Some(Read::Lost(why)) = lost { why } else { "it ended".to_owned() };
                        return Err(format!("stream {} cannot be read on: {why}", self.lane.lane.stream).into());
                    }
                    next = self.resume(database, next, &mut report.findings).await?;
                }
            }
        }
        self.judge(database, report).await?;
        self.progress.finish();
        Ok(())
    }

    /// Where to read on after the reader ended: at the same message, unless it is not there any more.
    async fn resume(
        &mut self,
        database: &mut PgConnection,
        next: i64,
        findings: &mut Findings,
    ) -> Result<i64, Problem> {
        tokio::time::sleep(PAUSE).await;
        let (jetstream, lane) = (lanes::jetstream(self.scene.stream.client.clone()), &self.lane.lane);
        // Unreachable for the moment: tried again.
        let Ok(state) = lanes::state(&jetstream, lane).await else { return Ok(next) };
        let Some(state) = state else { return Err(format!("stream {} vanished", lane.stream).into()) };
        let first = i64::try_from(state.first_seq).unwrap_or(i64::MAX);
        if first > next {
            let trimmed_to = attach::read(database, lane).await?.map_or(0, |(record, _)| record.trimmed_to);
            if trimmed_to < first - 1 {
                findings.add(format!(
                    "messages {next} to {} of {} are gone, and only those up to {trimmed_to} were given up",
                    first - 1,
                    lane.stream
                ));
            }
            self.whole_from = first;
            return Ok(first);
        }
        match lanes::message(&jetstream, lane, u64::try_from(next).unwrap_or(0)).await {
            Ok(None) => {
                findings.add(format!("message {next} is missing from the middle of {}", lane.stream));
                self.whole_from = next + 1;
                Ok(next + 1)
            }
            _ => Ok(next),
        }
    }

    /// Counts one message and keeps its events for judging.
    fn take(&mut self, fetched: &Fetched, findings: &mut Findings) {
        let (seq, stream) = (fetched.seq, &self.lane.lane.stream);
        match fetched.open() {
            Err(newer @ DecodeError::Newer(_)) => {
                findings.add(format!("message {seq} of {stream} cannot be judged: {newer}"))
            }
            Err(DecodeError::Damaged(_)) => {
                let warden = i32::from(self.lane.lane.number);
                let events = i64::try_from(fetched.events).unwrap_or(i64::MAX);
                if self.is_processed(warden, seq, events, fetched.published) {
                    self.bytes += fetched.payload.len();
                    self.batch.push(Judged::message(seq, warden, fetched.events, fetched.payload.clone()));
                }
            }
            Ok(message) => {
                let held: usize = message.segments.iter().map(|s| s.count).sum();
                if held as u64 != fetched.events {
                    findings.add(format!(
                        "message {seq} of {stream}: its header says {} events, its index {held}",
                        fetched.events
                    ));
                }
                for segment in &message.segments {
                    let partition = i32::from(segment.partition);
                    if !self.lane.positions.contains_key(&partition) {
                        findings.add(format!(
                            "message {seq} of {stream} holds {} events of partition {partition}, which is none of this lane's: nobody processes them",
                            segment.count
                        ));
                    }
                    let count = i64::try_from(segment.count).unwrap_or(i64::MAX);
                    if self.is_processed(partition, seq, count, message.received_at) {
                        self.bytes += segment.lines.len();
                        let lines = segment.lines().zip(0..);
                        self.batch.extend(lines.map(|(line, position)| Judged::line(seq, partition, position, line)));
                    }
                }
            }
        }
    }

    /// Whether a partition has processed a message; counts its events, if the books do.
    fn is_processed(&mut self, partition: i32, seq: i64, events: i64, sealed_at: DateTime<Utc>) -> bool {
        let Some(place) = self.lane.positions.get(&partition) else { return false };
        let processed = seq <= place.position.last_seq;
        if processed && seq > place.counted_from {
            *self.counted.entry((partition, books::hour(sealed_at))).or_default() += events;
        }
        processed
    }

    async fn judge(&mut self, database: &mut PgConnection, report: &mut Report) -> Result<(), Problem> {
        report.events += self.batch.iter().map(|judged| judged.events).sum::<u64>();
        outcomes::judge(database, &self.lane.lane, &self.batch, self.scene.placeholders, &mut report.findings).await?;
        self.batch.clear();
        self.bytes = 0;
        Ok(())
    }
}

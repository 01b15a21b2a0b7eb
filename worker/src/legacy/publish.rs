//! Puts users and events of the file into the stream, in messages of the size that ingest makes.
//!
//! It never gets far ahead of the workers: what comes live waits behind the import for a moment, not for an hour, and the stream does
//! not fill. A stream that is full, or a NATS or PostgreSQL that is away, is waited for, for as long as it takes.

use std::time::Duration;

use shared::domain::message::{PLAIN_VERSION, SPECIAL_VERSION};
use shared::stream::lanes;
use shared::stream::sealed::{Answer, Sealed};
use sqlx::PgPool;

use super::progress::Progress;
use crate::commands::way_in::{WayIn, seal};
use crate::settings::Settings;
use crate::{Problem, layout};

/// Size of a message.
const MESSAGE_BYTES: usize = 512 << 10;
/// Messages of a lane that workers have not processed, at most: about ten thousand events.
const MOST_AHEAD: i64 = 8;
/// One attempt.
const ATTEMPT: Duration = Duration::from_secs(5);
/// Between looks at how far the workers are.
const LOOK: Duration = Duration::from_millis(50);
/// Longer than workers need for what they have.
const PATIENCE: Duration = Duration::from_secs(2);
/// Before another attempt, at first and at most.
const PAUSES: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(5)];

/// The way into the stream.
#[derive(Debug)]
pub struct Publisher<'a> {
    way: WayIn,
    settings: &'a Settings,
    pool: &'a PgPool,
    lanes: Vec<Waiting>,
    /// Events sent and acknowledged.
    pub sent: u64,
}

/// What waits for the next message of a lane.
#[derive(Debug, Default)]
struct Waiting {
    lines: Vec<(u16, Vec<u8>)>,
    bytes: usize,
    /// The last message of ours.
    last_seq: Option<i64>,
}

impl<'a> Publisher<'a> {
    /// Nothing sent yet.
    #[must_use]
    pub fn new(way: WayIn, settings: &'a Settings, pool: &'a PgPool) -> Self {
        let lanes = way.lanes.iter().map(|_| Waiting::default()).collect();
        Self { way, settings, pool, lanes, sent: 0 }
    }

    /// Adds a line; sends what waited if there is no room for it.
    pub async fn add(&mut self, partition: u16, line: Vec<u8>, progress: &mut Progress) -> Result<(), Problem> {
        let number = usize::from(self.way.layout.lane_of(partition));
        if self.lanes[number].bytes + line.len() > MESSAGE_BYTES {
            self.send(number, progress).await?;
        }
        let lane = &mut self.lanes[number];
        lane.bytes += line.len();
        lane.lines.push((partition, line));
        Ok(())
    }

    /// Sends everything that waits.
    pub async fn finish(&mut self, progress: &mut Progress) -> Result<(), Problem> {
        for number in 0..self.lanes.len() {
            self.send(number, progress).await?;
        }
        Ok(())
    }

    /// Waits until the workers have processed all of it.
    pub async fn processed(&self, progress: &mut Progress) -> Result<(), Problem> {
        for number in 0..self.lanes.len() {
            self.wait_for_workers(number, 0, progress).await?;
        }
        Ok(())
    }

    async fn send(&mut self, number: usize, progress: &mut Progress) -> Result<(), Problem> {
        let lane = &mut self.lanes[number];
        let lines = std::mem::take(&mut lane.lines);
        lane.bytes = 0;
        if lines.is_empty() {
            return Ok(());
        }
        self.wait_for_workers(number, MOST_AHEAD, progress).await?;
        let message = seal(PLAIN_VERSION.max(SPECIAL_VERSION), &lines);
        let sequence = self.acknowledged(number, &message, progress).await?;
        self.lanes[number].last_seq = i64::try_from(sequence).ok();
        self.sent += lines.len() as u64;
        Ok(())
    }

    /// Tries until there is an acknowledgement. The same message under the same id, so it lands once, or else its events are known.
    async fn acknowledged(&self, number: usize, message: &Sealed, progress: &mut Progress) -> Result<u64, Problem> {
        let lane = &self.way.lanes[number];
        let [mut pause, longest] = PAUSES;
        loop {
            // While it is down, attempts would only pile up in the client's buffer.
            if self.way.connection.is_up() {
                match message.send(&self.way.connection.client, &lane.subject, ATTEMPT).await {
                    Answer::Acknowledged { sequence, .. } => {
                        progress.go_on();
                        return Ok(sequence);
                    }
                    Answer::Full => progress.wait(&format!("stream {} is full: waiting for room", lane.stream)),
                    Answer::Failed(why) => {
                        progress.wait(&format!("waiting for NATS: {why}"));
                        self.same_layout().await?;
                    }
                }
            } else {
                progress.wait("waiting for NATS");
            }
            tokio::time::sleep(pause).await;
            pause = longest.min(pause * 2);
        }
    }

    /// Lines are cut for one layout; under another they would go to the wrong owners.
    async fn same_layout(&self) -> Result<(), Problem> {
        let Ok(mut database) = self.pool.acquire().await else { return Ok(()) };
        let jetstream = lanes::jetstream(self.way.connection.client.clone());
        match layout::in_force(&mut database, &jetstream, &self.settings.pipeline).await {
            Ok(layout) if layout != self.way.layout => Err(format!(
                "the pipeline was repartitioned ({layout} instead of {}): run the import again, it goes on where it was",
                self.way.layout
            )
            .into()),
            _ => Ok(()),
        }
    }

    /// Waits until at most `ahead` messages up to our last one are left to be processed.
    async fn wait_for_workers(&self, number: usize, ahead: i64, progress: &mut Progress) -> Result<(), Problem> {
        let Some(last) = self.lanes[number].last_seq else { return Ok(()) };
        let lane = i32::from(self.way.lanes[number].number);
        let mut waited = Duration::ZERO;
        loop {
            let query =
                "/* publish.wait_for_workers */ SELECT coalesce(min(last_seq), 0) FROM partitions WHERE lane = $1";
            match sqlx::query_scalar::<_, i64>(query).bind(lane).fetch_one(self.pool).await {
                Ok(processed) if processed + ahead >= last => {
                    progress.go_on();
                    return Ok(());
                }
                Ok(_) if waited < PATIENCE => {}
                Ok(_) => {
                    progress.wait("waiting for the workers");
                    self.same_layout().await?;
                    waited = Duration::ZERO;
                }
                Err(error) => progress.wait(&format!("waiting for PostgreSQL: {error}")),
            }
            tokio::time::sleep(LOOK).await;
            waited += LOOK;
        }
    }
}

//! One session of an owner: a connection, a session lock, the partitions it holds, and the loop that reads, flushes and shows signs of
//! life.
//!
//! The loop waits only for messages, timers and the stop; every database statement runs to its end. The first failure ends it.
//!
//! Invariant: the buffer holds what every owned partition is owed from its position on. Therefore it is flushed before partitions
//! are taken or given back, and the reader starts anew, at the lowest position, after partitions were taken.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use chrono::Utc;
use futures_util::FutureExt;
use shared::store::connection::{self, SessionLimits};
use shared::store::{durability, schema};
use shared::stream::{lanes, notice};
use sqlx::{ConnectOptions, Connection as _, PgConnection};
use tokio::time::Instant;
use uuid::Uuid;

use super::behind::Behind;
use super::buffer::Buffer;
use super::doubt::Doubt;
use super::leases::{self, Identity};
use super::owner::{End, Owner};
use super::session_lock::SessionLock;
use crate::attach::{self, AttachError, Position};
use crate::flush::active::Seen;
use crate::flush::{self, FlushError};
use crate::jobs::partitions;
use crate::layout;
use crate::metrics;
use crate::reader::{Fetched, Read, Reader};
use crate::status::State;

/// A reader that cannot start is tried again after this.
const READER_WAIT: Duration = Duration::from_millis(100);

/// The session; see the module.
pub(super) struct Session<'a> {
    pub(super) owner: &'a Owner,
    pub(super) database: PgConnection,
    pub(super) lock: Option<SessionLock>,
    pub(super) me: Identity,
    /// What sequences count in. Read after partitions were taken and before their messages are.
    generation: i64,
    /// Where each owned partition stands.
    pub(super) owned: BTreeMap<i32, i64>,
    pub(super) reader: Option<Reader>,
    pub(super) reader_due: Instant,
    pub(super) buffer: Buffer,
    /// When the oldest event of the buffer was read.
    buffered_since: Option<Instant>,
    pub(super) heartbeat_due: Instant,
    /// Heartbeats in a row with more partitions than the fair share.
    pub(super) beyond_share: u32,
    behind: Behind,
    doubt: &'a mut Doubt,
    seen: Seen,
}

impl<'a> Session<'a> {
    /// Connects, and proves that going on would skip nothing, before anything is claimed.
    pub(super) async fn open(owner: &'a Owner, id: Uuid, doubt: &'a mut Doubt) -> Result<Self, End> {
        let settings = &owner.settings;
        let limits = SessionLimits {
            statement: Duration::from_secs(30),
            lock: Duration::from_secs(5),
            idle_in_transaction: settings.lease / 2,
        };
        let options = connection::options(&settings.pipeline, &leases::session_name(id), limits)?;
        if !owner.stream.is_up() {
            return Err(End::Again("stream", "NATS is not connected".to_owned()));
        }
        let mut database = connection::planned_once(options.clone()).connect().await?;
        if let Some(problem) = schema::problem(&owner.pool).await? {
            return Err(End::Halted(problem));
        }
        if owner.campaigns.borrow().version < 0 {
            // An event that is handled now would match nothing, and is never handled again.
            return Err(End::Again("database", "the campaigns are not loaded yet".to_owned()));
        }
        let jetstream = lanes::jetstream(owner.stream.client.clone());
        let layout = layout::in_force(&mut database, &jetstream, &settings.pipeline).await?;
        if layout != owner.layout {
            // Under the layout before it may have ended without a word.
            leases::leave(&mut database, id).await?;
            owner.layouts.send_replace(layout);
            return Err(End::Stopped);
        }
        let (record, positions) =
            attach::load(&mut database, &jetstream, &owner.lane, &settings.pipeline, layout).await?;
        doubt.weigh(attach::verify(&jetstream, &owner.lane, &record, &positions).await, Instant::now())?;
        let mut problems = durability::problems(&owner.pool, &settings.pipeline).await?;
        let stream = shared::stream::durability::examine(&owner.stream, &settings.pipeline).await;
        problems.extend(stream.wrong);
        if !problems.is_empty() {
            return Err(End::Halted(problems.join("; ")));
        }
        if !stream.unanswered.is_empty() {
            return Err(End::Again("stream", stream.unanswered.join("; ")));
        }
        let lock = if settings.session_lock { Some(SessionLock::take(&options, id).await?) } else { None };
        let me = Identity {
            id,
            lane: i32::from(owner.lane.number),
            epoch: i32::try_from(layout.epoch).unwrap_or(i32::MAX),
            name: owner.name.clone(),
            locked: lock.is_some(),
            lease: settings.lease,
        };
        Ok(Self {
            owner,
            database,
            lock,
            me,
            generation: 0,
            owned: BTreeMap::new(),
            reader: None,
            reader_due: Instant::now(),
            buffer: Buffer::default(),
            buffered_since: None,
            heartbeat_due: Instant::now(),
            beyond_share: 0,
            behind: Behind::default(),
            doubt,
            seen: Seen::default(),
        })
    }

    pub(super) async fn work(&mut self) -> Result<End, End> {
        loop {
            if self.owner.is_done() {
                self.flush().await?;
                return Ok(End::Stopped);
            }
            if Instant::now() >= self.heartbeat_due {
                self.heartbeat().await?;
            }
            if self.reader.is_none() && !self.owned.is_empty() && Instant::now() >= self.reader_due {
                self.start_reader().await?;
            }
            match self.next().await {
                Some(Read::Message(fetched)) => self.take_all(fetched).await?,
                Some(Read::Lost(why)) => {
                    tracing::info!(owner = self.owner.name, "reading again: {why}");
                    metrics::retry("stream");
                    self.flush().await?;
                    self.reader = None;
                    self.reader_due = Instant::now() + READER_WAIT;
                }
                None => {}
            }
            let settings = &self.owner.settings;
            let old = self.buffered_since.is_some_and(|since| since.elapsed() >= settings.flush_age);
            if old || self.buffer.is_full(settings.flush_events, settings.flush_bytes) {
                self.flush().await?;
            }
        }
    }

    /// Ends the session when another layout is in force. Then nothing is left to own here, and everything was flushed.
    pub(super) async fn follow_layout(&mut self) -> Result<(), End> {
        match layout::recorded(&mut self.database).await? {
            Some(layout) if layout != self.owner.layout => {
                self.owner.layouts.send_replace(layout);
                Err(End::Stopped)
            }
            _ => Ok(()),
        }
    }

    /// Gives everything back, as far as the database still listens.
    pub(super) async fn hand_over(mut self) {
        if let Err(error) = leases::leave(&mut self.database, self.me.id).await {
            tracing::warn!(owner = self.owner.name, %error, "could not hand the partitions over; their leases will run out");
        }
        if let Some(lock) = self.lock.take() {
            lock.release().await;
        }
        // Best effort: the server notices a closed connection anyway.
        let _ = self.database.close().await;
    }

    /// Waits for a message, a timer or the stop; the last two give nothing.
    async fn next(&mut self) -> Option<Read> {
        let mut due = self.heartbeat_due;
        if let Some(since) = self.buffered_since {
            due = due.min(since + self.owner.settings.flush_age);
        }
        if self.reader.is_none() && !self.owned.is_empty() {
            due = due.min(self.reader_due);
        }
        let message = async {
            match &mut self.reader {
                Some(reader) => reader.messages.recv().await.unwrap_or(Read::Lost("the reader ended".to_owned())),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            read = message => Some(read),
            () = tokio::time::sleep_until(due) => None,
            () = self.owner.done() => None,
        }
    }

    /// Takes in a message and whatever else is already there, up to a full buffer.
    async fn take_all(&mut self, first: Fetched) -> Result<(), End> {
        let mut next = Some(first);
        while let Some(fetched) = next {
            let warden = self.warden();
            self.behind.saw(&fetched);
            let (seq, taken) = (fetched.seq, self.buffer.take(fetched, &self.owned, warden));
            if let Err(newer) = taken {
                self.flush().await?;
                return Err(End::Outdated(format!("message {seq} of {}: {newer}", self.owner.lane.stream)));
            }
            if self.buffer.has_events() && self.buffered_since.is_none() {
                self.buffered_since = Some(Instant::now());
            }
            if self.buffer.is_full(self.owner.settings.flush_events, self.owner.settings.flush_bytes) {
                break;
            }
            next = match self.reader.as_mut().map(|reader| reader.messages.try_recv()) {
                Some(Ok(Read::Message(fetched))) => Some(fetched),
                // The channel is closed after this; the next wait finds that.
                Some(Ok(Read::Lost(_)) | Err(_)) | None => None,
            };
        }
        self.show_lag();
        Ok(())
    }

    pub(super) fn show_lag(&self) {
        let events = self.buffer.lines.len() as u64 + self.behind.events();
        metrics::owner_lag(&self.owner.name, events, self.behind.age(Utc::now()));
    }

    /// The partition whose owner answers for messages that cannot be read: the lowest of the lane.
    fn warden(&self) -> i32 {
        self.me.lane
    }

    pub(super) async fn flush(&mut self) -> Result<(), End> {
        self.buffered_since = None;
        let Some((read_to, _)) = &self.buffer.read_to else { return Ok(()) };
        let read_to = *read_to;
        if self.owned.is_empty() {
            self.buffer = Buffer::default();
            return Ok(());
        }
        let settings = &self.owner.settings;
        let snapshot = self.owner.campaigns.borrow().clone();
        let context = flush::Context {
            me: &self.me,
            catalog: &snapshot.catalog,
            placeholders: &settings.pipeline.placeholders,
            retention_days: settings.pipeline.retention_days,
            warden: self.warden(),
            generation: self.generation,
            seen: &self.seen,
        };
        let started = Instant::now();
        let mut tries = 0;
        let flushed = loop {
            match flush::flush(&mut self.database, &self.buffer, &self.owned, &context).await {
                Err(FlushError::MissingPartition(days)) if tries < 3 => {
                    tries += 1;
                    for day in days {
                        partitions::ensure(&self.owner.pool, day).await?;
                    }
                }
                other => break other,
            }
        };
        match flushed {
            Ok(flushed) => {
                self.notify(flushed.notices);
                if self.buffer.has_events() {
                    let (events, bytes) = (self.buffer.lines.len(), self.buffer.bytes());
                    metrics::flush(started.elapsed(), events, bytes, flushed.tally.stored);
                }
                metrics::flushed(flushed.tally, flushed.matches);
                self.seen.remember(flushed.active);
                self.buffer = Buffer::default();
                self.behind.committed();
                self.show_lag();
                self.owned.values_mut().for_each(|seen| *seen = read_to.max(*seen));
                Ok(())
            }
            Err(FlushError::Fenced) => Err(End::Again("fence", FlushError::Fenced.to_string())),
            Err(FlushError::Stop(why)) => Err(End::Halted(why)),
            Err(error @ (FlushError::Wait(_) | FlushError::MissingPartition(_))) => {
                Err(End::Again("database", format!("a flush did not commit: {error}")))
            }
        }
    }

    /// Wakes those who wait for matches. Never waits itself: who is not woken looks again by and by.
    fn notify(&self, notices: Vec<Bytes>) {
        for payload in notices {
            let subject = notice::subject(&self.owner.settings.pipeline.stream_prefix);
            let sent = self.owner.stream.client.publish(subject, payload).now_or_never();
            if !matches!(sent, Some(Ok(()))) {
                tracing::debug!(owner = self.owner.name, "a notice of matches was not sent: NATS is away or busy");
            }
        }
    }

    /// Starts to read at the lowest owned position, after proving that nothing in between is gone.
    async fn start_reader(&mut self) -> Result<(), End> {
        self.reader_due = Instant::now() + READER_WAIT;
        if let Err(error) = self.owner.stream.must_be_up() {
            self.owner.board.set(&self.owner.name, State::Waiting(error.to_string()));
            return Ok(());
        }
        let Some((record, all)) = attach::read(&mut self.database, &self.owner.lane).await? else {
            self.follow_layout().await?;
            return Err(End::Halted(format!("lane {} is not in the database any more", self.me.lane)));
        };
        let mine: Vec<Position> = all.into_iter().filter(|p| self.owned.contains_key(&p.partition)).collect();
        let jetstream = lanes::jetstream(self.owner.stream.client.clone());
        let verified = attach::verify(&jetstream, &self.owner.lane, &record, &mine).await;
        let generation = match self.doubt.weigh(verified, Instant::now()) {
            Ok(state) => attach::generation(&jetstream, &self.owner.lane, &state, self.owner.layout.epoch).await,
            Err(error) => Err(error),
        };
        match generation {
            Ok(generation) => self.generation = generation,
            Err(AttachError::Stream(error)) => {
                metrics::retry("attach");
                self.owner.board.set(&self.owner.name, State::Waiting(error.to_string()));
                return Ok(());
            }
            Err(other) => return Err(other.into()),
        }
        let from = self.owned.values().min().copied().unwrap_or(0) + 1;
        self.buffer = Buffer::default();
        self.buffered_since = None;
        self.behind = Behind::default();
        self.reader = Some(Reader::start(&self.owner.stream, &self.owner.lane, from));
        self.owner.board.set(&self.owner.name, State::Working(self.owned.len()));
        metrics::halted(false);
        Ok(())
    }
}

/// Rows as a map.
pub(super) fn positions(rows: Vec<Position>) -> BTreeMap<i32, i64> {
    rows.into_iter().map(|p| (p.partition, p.last_seq)).collect()
}

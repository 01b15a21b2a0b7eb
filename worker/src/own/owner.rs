//! One owner: a connection, a session lock, the partitions it holds, and the loop that reads, flushes and shows signs of life.
//!
//! The loop waits only for messages, timers and the stop; every database statement runs to its end. A session ends at the first
//! failure, and the next one starts from what the database says: nothing is carried over, so there is one way to start, to take over
//! and to recover.
//!
//! Invariant: the buffer holds what every owned partition is owed from its position on. Therefore it is flushed before partitions
//! are taken or given back, and the reader starts anew, at the lowest position, after partitions were taken.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use shared::runtime::shutdown::Shutdown;
use shared::store::catalog::Snapshot;
use shared::store::connection::{self, SessionLimits};
use shared::store::{durability, schema};
use shared::stream::connection::Connection;
use shared::stream::lanes::{self, Lane};
use sqlx::{ConnectOptions, Connection as _, PgConnection, PgPool};
use tokio::sync::watch;
use tokio::time::Instant;
use uuid::Uuid;

use super::buffer::Buffer;
use super::leases::{self, Identity};
use super::session_lock::SessionLock;
use super::share;
use crate::attach::{self, AttachError, Position};
use crate::flush::{self, FlushError};
use crate::jobs::partitions;
use crate::metrics;
use crate::reader::{Fetched, Read, Reader};
use crate::settings::Settings;
use crate::status::{Board, State};

/// How long an owner that was halted waits before it looks again.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
const SHORTEST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// A reader that cannot start is tried again after this.
const READER_WAIT: Duration = Duration::from_millis(100);

/// What an owner is made of; cheap to clone.
#[derive(Clone)]
pub struct Owner {
    /// Of the process.
    pub settings: Arc<Settings>,
    /// The lane it works on.
    pub lane: Lane,
    /// For logs, metrics and tables.
    pub name: String,
    /// To NATS.
    pub stream: Connection,
    /// Campaigns in force.
    pub campaigns: watch::Receiver<Arc<Snapshot>>,
    /// For checks and for making partitions; flushes use a connection of their own.
    pub pool: PgPool,
    /// Where it says what it is doing.
    pub board: Board,
    /// When to stop.
    pub stop: Shutdown,
}

/// Why a session ended.
enum End {
    /// On request, everything flushed and handed over.
    Stopped,
    /// Something is away or changed hands: start again soon.
    Again(&'static str, String),
    /// A person must act; look again after a while.
    Halted(String),
    /// Only another program can go on.
    Outdated(String),
}

impl From<sqlx::Error> for End {
    fn from(error: sqlx::Error) -> Self {
        Self::Again("database", format!("the database: {error}"))
    }
}

impl From<AttachError> for End {
    fn from(error: AttachError) -> Self {
        match error {
            AttachError::Stream(error) => Self::Again("stream", error.to_string()),
            AttachError::Database(error) => error.into(),
            AttachError::Gap(_) | AttachError::Mismatch(_) => Self::Halted(error.to_string()),
        }
    }
}

impl Owner {
    /// Works until the stop.
    pub async fn run(self) {
        let id = Uuid::new_v4();
        let mut wait = SHORTEST_WAIT;
        while !self.stop.is_stopping() {
            let started = Instant::now();
            let pause = match self.session(id).await {
                End::Stopped => break,
                End::Again(cause, why) => {
                    metrics::retry(cause);
                    tracing::warn!(owner = self.name, cause, "starting again: {why}");
                    self.board.set(&self.name, State::Waiting(why));
                    wait = if started.elapsed() > LONGEST_WAIT { SHORTEST_WAIT } else { (wait * 2).min(LONGEST_WAIT) };
                    if cause == "fence" { Duration::ZERO } else { wait }
                }
                End::Halted(why) => self.halt(&why, LOOK_AGAIN),
                End::Outdated(why) => self.halt(&why, Duration::MAX),
            };
            tokio::select! {
                () = self.stop.stopping() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
        metrics::owned(&self.name, 0);
        self.board.set(&self.name, State::Stopped);
    }

    fn halt(&self, why: &str, look_again: Duration) -> Duration {
        metrics::halted(true);
        metrics::owned(&self.name, 0);
        if self.board.set(&self.name, State::Halted(why.to_owned())) {
            tracing::error!(owner = self.name, "halted: {why}");
        }
        look_again
    }

    async fn session(&self, id: Uuid) -> End {
        let mut session = match Session::open(self, id).await {
            Ok(session) => session,
            Err(end) => return end,
        };
        let end = match session.work().await {
            Ok(stopped) => stopped,
            Err(end) => end,
        };
        // A session that ended on a failure leaves its partitions to its successor; the others hand them over.
        if !matches!(end, End::Again(..)) {
            if let Err(error) = leases::leave(&mut session.database, &session.me).await {
                tracing::warn!(owner = self.name, %error, "could not hand the partitions over; their leases will run out");
            }
            if let Some(lock) = session.lock.take() {
                lock.release().await;
            }
            // Best effort: the server notices a closed connection anyway.
            let _ = session.database.close().await;
        }
        end
    }
}

struct Session<'a> {
    owner: &'a Owner,
    database: PgConnection,
    lock: Option<SessionLock>,
    me: Identity,
    /// Where each owned partition stands.
    owned: BTreeMap<i32, i64>,
    reader: Option<Reader>,
    reader_due: Instant,
    buffer: Buffer,
    /// When the oldest event of the buffer was read.
    buffered_since: Option<Instant>,
    heartbeat_due: Instant,
    /// Heartbeats in a row with more partitions than the fair share.
    beyond_share: u32,
    behind: Behind,
}

/// What is known about messages not read yet.
#[derive(Default)]
struct Behind {
    pending: u64,
    mean_events: f64,
}

impl<'a> Session<'a> {
    /// Connects, and proves that going on would skip nothing, before anything is claimed.
    async fn open(owner: &'a Owner, id: Uuid) -> Result<Self, End> {
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
        let mut database = options.connect().await?;
        if let Some(problem) = schema::problem(&owner.pool).await? {
            return Err(End::Halted(problem));
        }
        let jetstream = lanes::jetstream(owner.stream.client.clone());
        let (record, positions) = attach::load(&mut database, &jetstream, &owner.lane, &settings.pipeline).await?;
        attach::verify(&jetstream, &owner.lane, &record, &positions).await?;
        let mut problems = durability::problems(&owner.pool, &settings.pipeline).await?;
        problems.extend(shared::stream::durability::problems(&owner.stream, &settings.pipeline).await);
        if !problems.is_empty() {
            return Err(End::Halted(problems.join("; ")));
        }
        let lock = if settings.session_lock { Some(SessionLock::take(&options, id).await?) } else { None };
        let me = Identity {
            id,
            lane: i32::from(owner.lane.number),
            name: owner.name.clone(),
            locked: lock.is_some(),
            lease: settings.lease,
        };
        Ok(Self {
            owner,
            database,
            lock,
            me,
            owned: BTreeMap::new(),
            reader: None,
            reader_due: Instant::now(),
            buffer: Buffer::default(),
            buffered_since: None,
            heartbeat_due: Instant::now(),
            beyond_share: 0,
            behind: Behind::default(),
        })
    }

    async fn work(&mut self) -> Result<End, End> {
        loop {
            if self.owner.stop.is_stopping() {
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
            () = self.owner.stop.stopping() => None,
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
        let unread = self.behind.events();
        metrics::owner_lag(&self.owner.name, self.buffer.lines.len() as u64 + unread);
        Ok(())
    }

    /// The partition whose owner answers for messages that cannot be read: the lowest of the lane.
    fn warden(&self) -> i32 {
        self.me.lane
    }

    async fn flush(&mut self) -> Result<(), End> {
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
                if self.buffer.has_events() {
                    let (events, bytes) = (self.buffer.lines.len(), self.buffer.bytes());
                    metrics::flush(started.elapsed(), events, bytes, flushed.tally.stored);
                }
                metrics::flushed(flushed.tally, flushed.matches);
                metrics::owner_lag(&self.owner.name, self.behind.events());
                self.buffer = Buffer::default();
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

    /// Shows a sign of life, and brings what is owned towards the fair share.
    async fn heartbeat(&mut self) -> Result<(), End> {
        self.heartbeat_due = Instant::now() + (self.me.lease / 10).min(Duration::from_millis(500));
        // Positions advance even when no message held anything for this owner.
        if self.buffer.read_to.is_some() {
            self.flush().await?;
        }
        if let Some(lock) = &mut self.lock {
            self.me.locked = lock.is_held().await;
            if !self.me.locked {
                return Err(End::Again("database", "the session lock's connection is gone".to_owned()));
            }
        }
        let mine = positions(leases::renew(&mut self.database, &self.me).await?);
        if mine != self.owned && !self.owned.is_empty() {
            metrics::partitions_changed("lost", self.owned.len().saturating_sub(mine.len()));
            return Err(End::Again("fence", "partitions changed hands".to_owned()));
        }
        let live = leases::live(&mut self.database, &self.me).await?;
        let pipeline = &self.owner.settings.pipeline;
        let all = attach::partitions_of(&self.owner.lane, pipeline.partitions, pipeline.lanes).count();
        let target = share::target(all, live);
        let before = self.owned.clone();
        self.owned = mine;
        if self.owned.len() < target {
            let claimed = leases::claim(&mut self.database, &self.me, target - self.owned.len()).await?;
            metrics::partitions_changed("claimed", claimed.len());
            self.owned.extend(positions(claimed));
        }
        if self.owned != before {
            tracing::info!(owner = self.owner.name, partitions = ?self.owned.keys(), live, "partitions taken");
            self.buffer = Buffer::default();
            self.reader = None;
            self.reader_due = Instant::now();
        }
        self.give_back_surplus(target).await?;
        metrics::owned(&self.owner.name, self.owned.len());
        if self.reader.is_some() || self.owned.is_empty() {
            self.owner.board.set(&self.owner.name, State::Working(self.owned.len()));
            metrics::halted(false);
        }
        Ok(())
    }

    /// Gives back what is beyond the fair share, after a short grace: workers often start or stop together.
    async fn give_back_surplus(&mut self, target: usize) -> Result<(), End> {
        let owned: Vec<i32> = self.owned.keys().copied().collect();
        let surplus = share::surplus(&owned, target);
        self.beyond_share = if surplus.is_empty() { 0 } else { self.beyond_share + 1 };
        if self.beyond_share < 2 {
            return Ok(());
        }
        self.flush().await?;
        leases::release(&mut self.database, &self.me, &surplus).await?;
        self.owned.retain(|partition, _| !surplus.contains(partition));
        self.beyond_share = 0;
        metrics::partitions_changed("released", surplus.len());
        tracing::info!(owner = self.owner.name, partitions = ?surplus, "partitions given back");
        Ok(())
    }

    /// Starts to read at the lowest owned position, after proving that nothing in between is gone.
    async fn start_reader(&mut self) -> Result<(), End> {
        self.reader_due = Instant::now() + READER_WAIT;
        let Some((record, all)) = attach::read(&mut self.database, &self.owner.lane).await? else {
            return Err(End::Halted(format!("lane {} is not in the database any more", self.me.lane)));
        };
        let mine: Vec<Position> = all.into_iter().filter(|p| self.owned.contains_key(&p.partition)).collect();
        let jetstream = lanes::jetstream(self.owner.stream.client.clone());
        match attach::verify(&jetstream, &self.owner.lane, &record, &mine).await {
            Ok(_) => {}
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
        self.reader = Some(Reader::start(&self.owner.stream, &self.owner.lane, from));
        self.owner.board.set(&self.owner.name, State::Working(self.owned.len()));
        metrics::halted(false);
        Ok(())
    }
}

impl Behind {
    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    fn saw(&mut self, fetched: &Fetched) {
        self.pending = fetched.pending;
        let events = fetched.events as f64;
        self.mean_events = if self.mean_events == 0.0 { events } else { self.mean_events * 0.95 + events * 0.05 };
    }

    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an estimate"
    )]
    fn events(&self) -> u64 {
        (self.pending as f64 * self.mean_events) as u64
    }
}

fn positions(rows: Vec<Position>) -> BTreeMap<i32, i64> {
    rows.into_iter().map(|p| (p.partition, p.last_seq)).collect()
}

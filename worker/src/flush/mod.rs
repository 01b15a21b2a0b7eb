//! One flush: everything that was read, with all its effects and the new positions, in one transaction.
//!
//! Order of statements: [`fence`] (lock and advance the positions; who lost a partition stops here) → [`controls`] (erasures, and the
//! events of erased people drop out) → [`effects`] ([`resends`], events,
//! then, only for events that were new, their [`spans`], who was [`active`], what is [`known`], the [`walk`], and its traits, links, matches, conversions and the [`outbox`]; of the others
//! that they are [`duplicates`]) →
//! [`dead_letters`] → [`books`] → [`rollups`] → COMMIT. Plain statements only: a process paused inside a COPY keeps its locks and no timeout ends it.
//!
//! Locks: partition rows in order of partition, rows that only their owner writes, and last the counters of global caps
//! ([`totals`]) in order of id. Two flushes so never wait for each other in a circle, unless [`poison`] takes a group apart; then
//! PostgreSQL ends one of them and it starts again.
//!
//! A row that PostgreSQL refuses is found by [`poison`] and put aside; the others are stored. Every other failure leaves nothing
//! behind, and the caller starts again from what the database says.

pub mod active;
pub mod books;
pub mod controls;
pub mod dead_letters;
pub mod duplicates;
pub mod effects;
pub mod fence;
pub mod holds;
pub mod known;
pub mod matches;
pub mod outbox;
pub mod poison;
pub mod profiles;
pub mod resends;
pub mod rollups;
pub mod rows;
pub mod spans;
pub mod sqlstate;
pub mod totals;
pub mod walk;

use std::collections::{BTreeMap, BTreeSet, HashSet};

use chrono::NaiveDate;
use shared::domain::campaign::Catalog;
use shared::domain::control::Control;
use shared::domain::event::Event;
use shared::domain::outcome::Tally;
use shared::domain::user_key::Placeholders;
use shared::runtime::failpoint;
use shared::store::{failure, tombstones};
use sqlx::{Connection, PgConnection};

use crate::own::buffer::{Buffer, Line};
use crate::own::leases::Identity;
use controls::Order;
use dead_letters::DeadLetter;
use sqlstate::Class;

/// What a flush needs to know besides the events.
#[derive(Debug)]
pub struct Context<'a> {
    /// Who flushes.
    pub me: &'a Identity,
    /// The campaigns in force.
    pub catalog: &'a Catalog,
    /// User ids of strangers.
    pub placeholders: &'a Placeholders,
    /// Days that are kept.
    pub retention_days: u16,
    /// The partition whose owner answers for messages that cannot be read.
    pub warden: i32,
    /// Who is known to be counted as active already.
    pub seen: &'a active::Seen,
}

/// One event with where it came from.
#[derive(Debug)]
pub struct Incoming<'a> {
    /// Where it came from.
    pub line: &'a Line,
    /// What it says.
    pub event: Event<'a>,
}

impl Incoming<'_> {
    /// Where it came from, as `(seq, partition, position)`.
    #[must_use]
    pub fn place(&self) -> (i64, i32, i32) {
        (self.line.seq, self.line.partition, self.line.position)
    }
}

/// What a committed flush did.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Flushed {
    /// Events by outcome.
    pub tally: Tally,
    /// Matches written.
    pub matches: u64,
    /// Who is counted as active by now and was not known to be.
    pub active: BTreeSet<active::Pair>,
}

/// Why a flush did not commit, by what the caller does next.
#[derive(Debug, thiserror::Error)]
pub enum FlushError {
    /// Somebody else owns a partition, or has advanced it: let go, and read the positions again.
    #[error(
        "the positions are not where they were left: another worker took over, or the last commit went through unseen"
    )]
    Fenced,
    /// These days have no partition: create them, then try again.
    #[error("there is no partition for some of the days {0:?}")]
    MissingPartition(BTreeSet<NaiveDate>),
    /// The database is away or busy: try again, for ever.
    #[error("{0}")]
    Wait(sqlx::Error),
    /// Going on would fill the dead letters with good events: a person must act.
    #[error("{0}")]
    Stop(String),
}

impl FlushError {
    /// Sorts a failure that does not concern single rows.
    fn of(error: sqlx::Error, days: impl FnOnce() -> BTreeSet<NaiveDate>) -> Self {
        failure::count(&error);
        match sqlstate::class(&error) {
            Class::MissingPartition => Self::MissingPartition(days()),
            Class::Wait => Self::Wait(error),
            Class::OurFault | Class::Poison => Self::Stop(format!("the database refuses our own statement: {error}")),
        }
    }
}

impl From<sqlx::Error> for FlushError {
    fn from(error: sqlx::Error) -> Self {
        Self::of(error, BTreeSet::new)
    }
}

/// Flushes a buffer. `expected` is where each owned partition stands. After an error nothing has changed, except that a COMMIT whose
/// answer was lost may have gone through: positions must be read again before anything else.
pub async fn flush(
    database: &mut PgConnection,
    buffer: &Buffer,
    expected: &BTreeMap<i32, i64>,
    context: &Context<'_>,
) -> Result<Flushed, FlushError> {
    let Some((read_to, batch_id)) = &buffer.read_to else { return Ok(Flushed::default()) };
    let (mut incoming, orders, mut dead) = decode(&buffer.lines);
    dead.extend(buffer.damaged.iter().map(|d| DeadLetter::message(d, context.warden)));

    let mut transaction = database.begin().await?;
    if !orders.is_empty() {
        fence::lock_all(&mut transaction).await?;
    }
    let fence::Days { today, kept_from } = fence::lock(&mut transaction, context.me, expected).await?;
    let mut salt = fence::advance(&mut transaction, context.me, *read_to, batch_id).await?;

    if failpoint::is_on("worker::positions_first") {
        transaction.commit().await?;
        failpoint::reach("worker::committed");
        transaction = database.begin().await?;
    }

    let mut suppressed: HashSet<_> = orders.iter().map(controls::Order::place).collect();
    if !orders.is_empty() {
        let salt = salt.insert(tombstones::salt(&mut transaction).await?);
        controls::carry_out(&mut transaction, &orders, &incoming, salt, context).await?;
    }
    if let Some(salt) = &salt {
        suppressed.extend(controls::suppress(&mut transaction, &mut incoming, salt, context).await?);
    }

    let oldest_kept =
        shared::domain::day::oldest_kept(today, context.retention_days).max(kept_from.unwrap_or(NaiveDate::MIN));
    let held = holds::among(&mut transaction, &incoming, oldest_kept, today).await?;
    let plan = effects::Plan { context, today, oldest_kept, held };
    let applied = poison::apply(&mut transaction, &incoming, &plan, &mut dead).await?;

    let known = dead_letters::insert(&mut transaction, context.me.lane, &dead).await?;
    let books = books::tally(&buffer.lines, &applied.fresh, &suppressed, &dead, &known);
    books::write(&mut transaction, &books).await?;
    if let Some(slot) = expected.keys().next() {
        rollups::write(&mut transaction, *slot, &applied.sums, context.catalog).await?;
    }
    failpoint::reach("worker::before_commit");
    transaction.commit().await?;
    failpoint::reach("worker::committed");

    let mut tally = Tally::default();
    books.values().for_each(|page| tally.add(page.tally));
    Ok(Flushed { tally, matches: applied.matches, active: applied.active })
}

/// Reads the lines: events, and control lines. One that cannot be read is a dead letter of its own.
fn decode(lines: &[Line]) -> (Vec<Incoming<'_>>, Vec<Order<'_>>, Vec<DeadLetter<'_>>) {
    let (mut incoming, mut orders, mut dead) = (Vec::with_capacity(lines.len()), Vec::new(), Vec::new());
    for line in lines {
        let read = match Control::is_one(&line.bytes) {
            true => Control::parse(&line.bytes).map(|control| orders.push(Order { line, control })),
            false => serde_json::from_slice(&line.bytes).map(|event| incoming.push(Incoming { line, event })),
        };
        if let Err(error) = read {
            dead.push(DeadLetter::line(line, None, None, format!("the line cannot be read: {error}")));
        }
    }
    (incoming, orders, dead)
}

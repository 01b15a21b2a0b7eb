//! The audit: proves that every event of the stream ended in exactly one outcome, and that the books say so.
//!
//! What is compared, and by whom:
//!
//! | what | with what | module |
//! |---|---|---|
//! | each event of each processed message in the stream | a row of `events`, a dead letter, or a tombstone; or its day was dropped | [`outcomes`] |
//! | events by partition and hour in the messages' indexes, and their headers | what the ledger read since `counted_from` | [`messages`], [`ledger`] |
//! | `dead` by partition and hour | events in `dead_letters` | [`ledger`] |
//! | `stored` in total | rows of `events` and those that were removed on purpose | [`ledger`] |
//! | positions, generation, `trimmed_to` | the stream ([`crate::attach`]) | here |
//!
//! Positions, ledger, letters and the number of rows come from one [`snapshot`]; of the stream only what was processed by then is
//! judged, so workers may run meanwhile: what is still on its way is no imbalance. An hour whose first message was trimmed
//! (`first_seq`) can only be compared from below.
//!
//! [`continuous`] is the light version that every worker runs. It sees a skipped message, a position or a ledger changed by hand and a
//! lost letter; a lost row only when the message it came from is among those it picks at random.

pub mod continuous;
pub mod ledger;
pub mod messages;
pub mod outcomes;
pub mod progress;
pub mod snapshot;

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use shared::domain::user_key::Placeholders;
use shared::stream::connection::Connection;
use shared::stream::lanes::{self, Lane};
use sqlx::{PgConnection, PgPool};

use crate::attach::{self, AttachError};
use crate::{Problem, jobs};
use progress::Progress;
use snapshot::{LaneBooks, Snapshot};

/// Findings that are kept in words; the others are only counted.
const MOST_IN_WORDS: usize = 200;

/// A gap is believed when it was seen so often …
const LOOKS: u32 = 10;
/// … so far apart.
const PAUSE: Duration = Duration::from_millis(100);

/// Events by partition and hour.
pub type Counts = BTreeMap<(i32, DateTime<Utc>), i64>;

/// Everything that does not balance.
#[derive(Debug, Default)]
pub struct Findings {
    /// In words.
    pub listed: Vec<String>,
    /// How many there are, also beyond those.
    pub count: u64,
}

impl Findings {
    /// Notes one.
    pub fn add(&mut self, finding: impl Into<String>) {
        self.count += 1;
        if self.listed.len() < MOST_IN_WORDS {
            self.listed.push(finding.into());
        }
    }
}

/// What was looked at, and what was found.
#[derive(Debug, Default)]
pub struct Report {
    /// What does not balance.
    pub findings: Findings,
    /// Messages opened.
    pub messages: u64,
    /// Events in them that were judged.
    pub events: u64,
    /// Rows of the ledger compared.
    pub hours: usize,
    /// Rows of `events`, if they were counted.
    pub rows: Option<i64>,
}

/// Where the audit looks.
#[derive(Debug)]
pub struct Scene<'a> {
    /// The stream.
    pub stream: &'a Connection,
    /// The database.
    pub pool: &'a PgPool,
    /// All lanes.
    pub lanes: &'a [Lane],
    /// User ids of strangers.
    pub placeholders: &'a Placeholders,
}

/// Audits everything, or the hours from `since` on (then without the total of rows).
pub async fn audit(scene: &Scene<'_>, since: Option<DateTime<Utc>>) -> Result<Report, Problem> {
    let since = since.map(crate::flush::books::hour);
    let snapshot = Snapshot::take(scene.pool, scene.lanes, since).await?;
    let mut report =
        Report { hours: snapshot.ledger.len(), rows: snapshot.rows.map(|r| r.present), ..Report::default() };
    ledger::compare_totals(&snapshot, &mut report.findings);
    let mut database = scene.pool.acquire().await?;
    let mut counted = Counts::new();
    let mut whole_from = BTreeMap::new();
    for lane in &snapshot.lanes {
        let Some(span) = span(scene, &mut database, lane, since, &mut report.findings).await? else { continue };
        let mut walk = messages::Walk::new(scene, lane, Progress::new(&lane.lane.stream, span.messages()));
        walk.follow(&mut database, span, &mut report).await?;
        for partition in lane.positions.keys() {
            whole_from.insert(*partition, walk.whole_from);
        }
        counted.append(&mut walk.counted);
    }
    counted.retain(|(_, hour), _| since.is_none_or(|since| *hour >= since));
    ledger::compare_hours(&snapshot, &counted, &whole_from, &mut report.findings);
    Ok(report)
}

/// The messages of a lane that are to be judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The first one.
    pub from: i64,
    /// The last one.
    pub to: i64,
}

impl Span {
    fn messages(self) -> u64 {
        u64::try_from(self.to + 1 - self.from).unwrap_or(0)
    }
}

/// Compares positions and stream, and finds the messages to judge. `None`: the stream is not the one that the books are about.
async fn span(
    scene: &Scene<'_>,
    database: &mut PgConnection,
    lane: &LaneBooks,
    since: Option<DateTime<Utc>>,
    findings: &mut Findings,
) -> Result<Option<Span>, Problem> {
    let jetstream = lanes::jetstream(scene.stream.client.clone());
    let gap = gap(&jetstream, database, lane).await?;
    let known = gap.is_some();
    findings.count += u64::from(known);
    findings.listed.extend(gap);
    let Some(stream) = lanes::state(&jetstream, &lane.lane).await? else { return Ok(None) };
    if stream.generation != lane.record.generation {
        return Ok(None);
    }
    let signed = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    let last = lane.positions.values().map(|p| p.position.last_seq).max().unwrap_or(0);
    // What is before the barrier is cut in another way, and was processed as a whole.
    let begin = signed(stream.first_seq.max(stream.barrier + 1));
    let mut from = begin;
    if let Some(since) = since {
        from = begin.max(signed(jobs::trim::last_before(&jetstream, &lane.lane, &stream, since).await?) + 1);
    }
    for (partition, at) in &lane.positions {
        if at.position.last_seq < at.counted_from {
            findings.add(format!(
                "partition {partition} stands at message {} of {}, before message {} from which its books count: it was moved back",
                at.position.last_seq, lane.lane.stream, at.counted_from
            ));
        }
    }
    Ok(Some(Span { from, to: last.min(signed(stream.last_seq)) }))
}

/// What is wrong between the positions and the stream. Trimming may go on meanwhile, and a node of a cluster may not know the newest
/// messages yet, so a gap is looked at again.
async fn gap(
    jetstream: &async_nats::jetstream::Context,
    database: &mut PgConnection,
    lane: &LaneBooks,
) -> Result<Option<String>, Problem> {
    let positions: Vec<_> = lane.positions.values().map(|p| p.position.clone()).collect();
    let mut found = None;
    for _ in 0..LOOKS {
        let Some((record, _)) = attach::read(database, &lane.lane).await? else { break };
        match attach::verify(jetstream, &lane.lane, &record, &positions).await {
            Ok(_) => return Ok(None),
            Err(AttachError::Gap(gap) | AttachError::Doubtful(gap)) => found = Some(gap),
            Err(other) => return Err(other.into()),
        }
        tokio::time::sleep(PAUSE).await;
    }
    Ok(found)
}

//! Pipelines that are broken on purpose: each must lose or double something, and the judge must see it. Without them a judge that
//! looks at nothing, or a power cut that cuts nothing, would pass everything else.

use std::time::Duration;

use super::fault::Needs;
use super::report::Outcome;
use super::world;
use crate::eventually::within;
use crate::load::{Control, Load, Log};
use crate::oracle::{Found, campaigns, judge};
use crate::pipeline::{Pipeline, Setup};
use crate::services::PrivateNats;

/// What is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Broken {
    /// NATS acknowledges before it syncs, as it does by default; then its power is cut.
    DefaultSync,
    /// A worker commits its positions before the effects, and dies in between.
    PositionsFirst,
    /// Nothing recognises an event that was stored before, and ingest dies before it answers.
    NoDedup,
}

impl Broken {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::DefaultSync, Self::PositionsFirst, Self::NoDedup];

    /// For the table.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::DefaultSync => "control: default sync",
            Self::PositionsFirst => "control: positions first",
            Self::NoDedup => "control: no dedup",
        }
    }

    /// Runs it. That it fails is what is wanted, so a panic is no verdict.
    #[must_use]
    pub fn run(self, seed: u64) -> Outcome {
        let outcome = Outcome { name: self.name().to_owned(), seed, is_control: true, ..Outcome::default() };
        if self == Self::DefaultSync
            && let Some(reason) = world::impossible(Needs::Disks)
        {
            return Outcome { skipped: Some(reason), ..outcome };
        }
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
            runtime.expect("a runtime").block_on(async {
                match self {
                    Self::DefaultSync => default_sync(seed).await,
                    Self::PositionsFirst => positions_first(seed).await,
                    Self::NoDedup => no_dedup(seed).await,
                }
            })
        });
        match thread.join() {
            Ok((log, lost, duplicated)) => {
                Outcome { acknowledged: log.acknowledged.len() as u64, lost, duplicated, strikes: 1, ..outcome }
            }
            Err(_) => Outcome { faults: vec!["it panicked before it could be judged".to_owned()], ..outcome },
        }
    }
}

/// The load's log, events lost, events doubled.
type Judged = (Log, u64, u64);

async fn judged(pipeline: &Pipeline, log: Log) -> Judged {
    pipeline.drained().await;
    let verdict = judge(&log, &Found::of(pipeline).await, 0);
    (log, verdict.lost.len() as u64, verdict.duplicated.len() as u64)
}

fn setup() -> Setup {
    campaigns().into_iter().fold(Setup::default(), Setup::campaign)
}

async fn load(pipeline: &Pipeline, seed: u64, events: u64) -> Log {
    let targets: Vec<_> = pipeline.ingests.iter().map(|ingest| ingest.address).collect();
    Load { seed, events, users: 100, ..Load::default() }.run(&targets, &Control::default()).await
}

async fn default_sync(seed: u64) -> Judged {
    let mut nats = PrivateNats::on_disk(1_024);
    nats.change(&[("sync_interval: always", "sync_interval: \"2m\"")]);
    let mut pipeline = setup().nats(&nats).set("ACCEPT_DATA_LOSS_ON_POWER_CUT", "true").workers(0).start().await;
    let log = load(&pipeline, seed, 4_000).await;
    nats.pause();
    nats.disk().photograph();
    nats.kill();
    nats.disk().put_back();
    nats.restart();
    let left = shared::stream::lanes::state(&pipeline.stream.context, &pipeline.stream.lane).await;
    if matches!(left, Ok(None)) {
        let lost = log.acknowledged.len() as u64;
        return (log, lost, 0);
    }
    pipeline.add_worker();
    pipeline.workers[0].ready().await;
    judged(&pipeline, log).await
}

async fn positions_first(seed: u64) -> Judged {
    let mut pipeline = setup().start().await;
    let worker = &mut pipeline.workers[0];
    // Each flush reaches it twice: the first time after its positions.
    worker.set("FAILPOINTS", "worker::positions_first=on,worker::committed=die@1");
    worker.start_again();
    let log = load(&pipeline, seed, 4_000).await;
    let worker = &mut pipeline.workers[0];
    within(Duration::from_secs(30), "the worker dies between positions and effects", async || {
        worker.ended().map(drop).ok_or_else(|| "it lives".to_owned())
    })
    .await;
    worker.unset("FAILPOINTS");
    worker.start_again();
    judged(&pipeline, log).await
}

async fn no_dedup(seed: u64) -> Judged {
    let mut pipeline = setup().start().await;
    let primary_key = "ALTER TABLE events DROP CONSTRAINT events_pkey";
    sqlx::query(primary_key).execute(&pipeline.database.pool).await.unwrap_or_else(|e| panic!("{primary_key}: {e}"));
    let ingest = &mut pipeline.ingests[0];
    ingest.set("FAILPOINTS", "ingest::acknowledged=die@20");
    ingest.start_again();
    let targets = [ingest.address];
    let load = Load { seed, events: 4_000, users: 100, ..Load::default() };
    let running = tokio::spawn(async move { load.run(&targets, &Control::default()).await });
    within(Duration::from_secs(30), "ingest dies before it answers", async || {
        ingest.ended().map(drop).ok_or_else(|| "it lives".to_owned())
    })
    .await;
    ingest.unset("FAILPOINTS");
    ingest.start_again();
    let log = running.await.expect("the load does not panic");
    judged(&pipeline, log).await
}

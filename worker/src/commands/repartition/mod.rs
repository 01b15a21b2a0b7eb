//! `worker repartition`: another number of partitions and lanes, while events come in, by a barrier.
//!
//! 1. The intent is noted ([`plan`]), so that whoever runs this next goes on with it. Workers catch up.
//! 2. The streams are sealed ([`streams`]): the server lets no event in any more, ingest answers 503 with `Retry-After`. Each lane ends
//!    with a barrier.
//! 3. The workers process everything up to the barriers, as ever. So of each user all that was accepted before is stored before
//!    anything is accepted after: the order holds, whatever lane a user goes to.
//! 4. One transaction replaces the positions by those of the next layout, which fences every owner out: the point of no return.
//! 5. The streams are opened under the subjects of the next layout. Programs see it and go over by themselves; an ingest process that
//!    has not seen it publishes to a subject that nobody takes.
//! 6. Lanes that are no more are deleted, and messages of the layout before are purged: they must never be read under this one.
//!
//! Every step looks at what is there before it does anything, so all of them may be done again.

mod plan;
mod progress;
mod streams;

use std::time::{Duration, Instant};

use async_nats::jetstream::Context;
use shared::domain::layout::Layout;
use shared::runtime::failpoint;
use shared::store::schema;
use shared::stream::{connection, durability, lanes};
use sqlx::PgPool;

use self::plan::{Plan, Starts};
use self::progress::Progress;
use super::{pool, say};
use crate::jobs::leader::Leadership;
use crate::settings::Settings;
use crate::{Problem, layout};

/// Workers that are this many messages behind are near enough for the pause to be short.
const NEAR: u64 = 200;
/// How long a worker may take to show itself.
const FOR_WORKERS: Duration = Duration::from_secs(5);
/// Between looks at how far they are.
const LOOK: Duration = Duration::from_millis(50);

/// `repartition`.
#[derive(Debug, clap::Args)]
pub struct Repartition {
    /// How many partitions; as many as there are when left out
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1024))]
    partitions: Option<u16>,
    /// How many lanes, not more than partitions; as many as there are when left out
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=64))]
    lanes: Option<u16>,
    /// Gives one up that was broken off before its point of no return: everything is as it was
    #[arg(long, conflicts_with_all = ["partitions", "lanes"])]
    cancel: bool,
}

/// The edges.
struct Scene {
    settings: Settings,
    pool: PgPool,
    client: async_nats::Client,
    jetstream: Context,
}

impl Repartition {
    /// Runs the command.
    pub async fn run(self) -> Result<(), Problem> {
        let settings = Settings::from_environment()?;
        let pool = pool(&settings)?;
        if let Some(problem) = schema::problem(&pool).await? {
            return Err(problem.into());
        }
        let stream = connection::connect(&settings.pipeline, "ec-worker-repartition").await?;
        if !connection::wait_until_up(&stream, Duration::from_secs(10)).await {
            return Err("NATS is not connected; check NATS_URL".into());
        }
        let examined = durability::examine(&stream, &settings.pipeline).await;
        let problems: Vec<String> = examined.wrong.into_iter().chain(examined.unanswered).collect();
        let Some(leadership) = Leadership::take(&pool, "repartition").await? else {
            return Err("another `worker repartition` is running: wait for it".into());
        };
        let jetstream = lanes::jetstream(stream.client.clone());
        let scene = Scene { settings, pool, client: stream.client, jetstream };
        let done = match plan::unfinished(&scene.pool).await? {
            Some(plan) if self.cancel => scene.cancel(&plan).await,
            None if self.cancel => Err("there is nothing to cancel".into()),
            Some(plan) => self.resume(&scene, plan).await,
            None if !problems.is_empty() => Err(format!("first: {}", problems.join("; ")).into()),
            None => self.begin(&scene).await,
        };
        leadership.abandon().await;
        done
    }

    async fn begin(&self, scene: &Scene) -> Result<(), Problem> {
        let before = scene.before().await?;
        let (partitions, lanes) = (self.partitions.unwrap_or(before.partitions), self.lanes.unwrap_or(before.lanes));
        if lanes > partitions {
            return Err(format!("{lanes} lanes for {partitions} partitions: some lanes would stay empty").into());
        }
        if (partitions, lanes) == (before.partitions, before.lanes) {
            return Err(format!("{before} is in force already: say --partitions and --lanes").into());
        }
        scene.workers_are_there(before).await?;
        let plan = plan::begin(&scene.pool, before, partitions, lanes).await?;
        scene.go_on(plan).await
    }

    async fn resume(&self, scene: &Scene, plan: Plan) -> Result<(), Problem> {
        let another = |asked: Option<u16>, planned| asked.is_some_and(|asked| asked != planned);
        if another(self.partitions, plan.next.partitions) || another(self.lanes, plan.next.lanes) {
            return Err(format!(
                "a repartition to {} was begun and is not finished: run `worker repartition` to finish it, or with --cancel to give it up",
                plan.next
            )
            .into());
        }
        say(&format!("going on with the repartition to {}", plan.next));
        scene.go_on(plan).await
    }
}

impl Scene {
    /// The layout in force until the plan is taken.
    async fn before(&self) -> Result<Layout, Problem> {
        let mut database = self.pool.acquire().await?;
        Ok(layout::in_force(&mut database, &self.jetstream, &self.settings.pipeline).await?)
    }

    fn prefix(&self) -> &str {
        &self.settings.pipeline.stream_prefix
    }

    async fn go_on(&self, plan: Plan) -> Result<(), Problem> {
        failpoint::reach("repartition::planned");
        let mut sealed_at = None;
        if !plan.is_taken {
            sealed_at = Some(self.take(&plan).await?);
        }
        failpoint::reach("repartition::taken");
        let barriers = plan::barriers(&self.pool).await?;
        streams::open(&self.jetstream, self.prefix(), plan.next, &barriers).await?;
        let pause = sealed_at.map(|at| format!("; events were refused for {:.1} s", at.elapsed().as_secs_f64()));
        say(&format!("{} is in force{}", plan.next, pause.unwrap_or_default()));
        failpoint::reach("repartition::opened");
        streams::clear(&self.jetstream, self.prefix(), &plan).await?;
        failpoint::reach("repartition::cleared");
        plan::finish(&self.pool, &plan).await?;
        say(&format!(
            "done. Take a backup now: the stream cannot bring one from before up to date. Set PARTITIONS={} and LANES={} for the programs, so that nobody is misled",
            plan.next.partitions, plan.next.lanes
        ));
        Ok(())
    }

    /// Up to the point of no return. Gives back since when events are refused.
    async fn take(&self, plan: &Plan) -> Result<Instant, Problem> {
        let before = self.before().await?;
        say(&format!("from {before} to {}", plan.next));
        self.wait_near(before).await?;
        streams::make_new(&self.jetstream, &self.settings.pipeline, before, plan).await?;
        failpoint::reach("repartition::made");
        let sealed_at = Instant::now();
        streams::seal(&self.jetstream, self.prefix(), before).await?;
        say("no events are accepted until the workers have processed what is in the streams");
        failpoint::reach("repartition::sealed");
        let lanes = streams::all_lanes(self.prefix(), before, plan);
        loop {
            let starts = streams::end(&self.client, &self.jetstream, &lanes).await?;
            failpoint::reach("repartition::ended");
            self.wait_for(&starts).await?;
            failpoint::reach("repartition::processed");
            if !streams::is_ended(&self.jetstream, &starts).await? {
                continue;
            }
            match plan::take(&self.pool, plan, &starts).await {
                Ok(true) => return Ok(sealed_at),
                Ok(false) => {}
                Err(problem) if plan::is_busy(&problem) => tracing::warn!("trying again: {problem}"),
                Err(problem) => return Err(problem),
            }
        }
    }

    /// All lanes have workers, all of this version. One that has just begun may not have shown itself yet.
    async fn workers_are_there(&self, before: Layout) -> Result<(), Problem> {
        let ours = env!("CARGO_PKG_VERSION");
        let begun = Instant::now();
        loop {
            let workers = plan::workers(&self.pool).await?;
            if let Some((_, other)) = workers.iter().find(|(_, version)| version != ours) {
                return Err(
                    format!("a worker of version {other} runs, and this is {ours}: upgrade all of them first").into()
                );
            }
            let idle = (0..before.lanes).find(|lane| workers.iter().all(|(at, _)| *at != i32::from(*lane)));
            let Some(lane) = idle else { return Ok(()) };
            if begun.elapsed() > FOR_WORKERS {
                return Err(format!(
                    "no worker processes lane {lane}: start one, it has to process what is in the stream"
                )
                .into());
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Waits until the workers are near the end of the streams, before anything is closed.
    async fn wait_near(&self, before: Layout) -> Result<(), Problem> {
        let mut progress = Progress::start("workers catch up");
        loop {
            let processed = plan::processed(&self.pool).await?;
            let mut left = 0;
            for lane in shared::stream::lanes::Lane::all(self.prefix(), before) {
                let last = streams::state(&self.jetstream, &lane).await?.last_seq;
                left = left.max(last.saturating_sub(of(&processed, lane.number)));
            }
            progress.left(left);
            if left <= NEAR {
                progress.end();
                return Ok(());
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Waits until everything up to the barriers is processed.
    async fn wait_for(&self, starts: &Starts) -> Result<(), Problem> {
        let mut progress = Progress::start("closed, workers finish");
        loop {
            let processed = plan::processed(&self.pool).await?;
            // Of lanes that come nothing is owed.
            let here = starts.iter().filter(|start| processed.iter().any(|(l, _)| *l == i32::from(start.lane.number)));
            let behind = |start: &layout::Start| {
                u64::try_from(start.seq).unwrap_or(0).saturating_sub(of(&processed, start.lane.number))
            };
            let left = here.map(behind).max().unwrap_or(0);
            progress.left(left);
            if left == 0 {
                progress.end();
                return Ok(());
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn cancel(&self, plan: &Plan) -> Result<(), Problem> {
        if plan.is_taken {
            return Err(format!(
                "{} is in force in the database already: run `worker repartition` to finish it; another one leads back",
                plan.next
            )
            .into());
        }
        let before = self.before().await?;
        streams::undo(&self.jetstream, self.prefix(), before, plan).await?;
        plan::forget(&self.pool, plan).await?;
        say(&format!("given up: {before} stays in force"));
        Ok(())
    }
}

fn of(by_lane: &[(i32, i64)], lane: u16) -> u64 {
    let found = by_lane.iter().find(|(number, _)| *number == i32::from(lane)).map_or(0, |(_, seq)| *seq);
    u64::try_from(found).unwrap_or(0)
}

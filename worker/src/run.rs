//! Wires the worker together and runs it until it is told to stop.

use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use shared::domain::layout::Layout;
use shared::runtime::{prometheus, shutdown::Shutdown};
use shared::store::{catalog, connection, failure};
use shared::stream::lanes::{self, Lane};
use sqlx::PgPool;
use tokio::sync::watch;

use crate::attach::AttachError;
use crate::audit::{Scene, continuous};
use crate::erasure::archives;
use crate::jobs::clock::{self, Verdict};
use crate::jobs::leader::Leadership;
use crate::jobs::retention::Rules;
use crate::jobs::{self, backups, dead_letters, erasure, lag, partitions, retention, spans, trim};
use crate::own::crew;
use crate::own::owner::Assignment;
use crate::settings::Settings;
use crate::status::Board;
use crate::webhooks;
use crate::webhooks::dispatch::Dispatcher;
use crate::{Problem, http, metrics};

/// Jobs that have a leader. Each holds a connection while it leads, beside those that it works with: these must not come from the same
/// pool, or leaders would wait for each other.
const LEADERS: u32 = 6;
/// Of what sends webhooks: it claims, and notes what came of it.
const WEBHOOK_CONNECTIONS: u32 = 2;

const LAG_INTERVAL: Duration = Duration::from_secs(2);
const BACKUPS_INTERVAL: Duration = Duration::from_secs(10);
const DEAD_LETTERS_INTERVAL: Duration = Duration::from_secs(5);
const WEBHOOKS_INTERVAL: Duration = Duration::from_secs(10);
const ERASURE_INTERVAL: Duration = Duration::from_secs(1);

/// Runs the worker. Returns when it has stopped well; an error when something failed.
pub async fn run() -> Result<(), Problem> {
    let settings = Arc::new(Settings::from_environment()?);
    let recorder = prometheus::install()?;
    metrics::start(env!("CARGO_PKG_VERSION"));
    let stop = Shutdown::on_signals()?;
    let board = Board::default();
    let pool = connection::pool(
        connection::options(&settings.pipeline, "ec-worker-jobs", connection::SessionLimits::default())?,
        5,
    );
    let stream = shared::stream::connection::connect(&settings.pipeline, &settings.name).await?;
    let (prefix, first) = (&settings.pipeline.stream_prefix, settings.pipeline.first_layout);
    let lanes = Lane::all(prefix, first);
    stop.supervise("stream connection", shared::stream::connection::leave_silent_servers(stream.clone(), lanes));
    // Only to save the first try of every owner; they wait by themselves.
    shared::stream::connection::wait_until_up(&stream, Duration::from_secs(2)).await;
    let (campaigns, current) = catalog::channel();
    let loader = catalog::Loader::new(pool.clone(), false);
    stop.supervise("campaigns", loader.keep_current(settings.pipeline.catalog_poll, campaigns));
    stop.supervise("metrics", prometheus::keep_tidy(recorder.clone()));
    http::serve(settings.listen, recorder, board.clone(), current.clone(), &stop).await?;

    let (layouts, layout) = watch::channel(first);
    let assignment = Assignment {
        settings: settings.clone(),
        layouts,
        stream: stream.clone(),
        campaigns: current.clone(),
        pool: pool.clone(),
        board: board.clone(),
        stop: stop.clone(),
    };
    let owners = stop.supervise("owners", crew::work(assignment, layout.clone()));
    let limits = connection::SessionLimits::default();
    let leaders = connection::pool(connection::options(&settings.pipeline, "ec-worker-leaders", limits)?, LEADERS);
    start_jobs(&settings, (&pool, &leaders), &stream, &layout, &stop);
    let own =
        connection::pool(connection::options(&settings.pipeline, "ec-worker-webhooks", limits)?, WEBHOOK_CONNECTIONS);
    let sending = Dispatcher::new(own, settings.webhooks.clone(), stop.clone())?;
    let sending = stop.supervise("webhooks", sending.run());

    tokio::select! {
        // A failure was reported by the supervisor already.
        _ = async { tokio::join!(owners, sending) } => {}
        () = stop.aborting() => return Err("stopped before everything was handed over; nothing is lost".into()),
    }
    tracing::info!("stopped");
    if stop.has_failed() { Err("a part failed; see the log".into()) } else { Ok(()) }
}

fn start_jobs(
    settings: &Arc<Settings>,
    (pool, leaders): (&PgPool, &PgPool),
    stream: &shared::stream::connection::Connection,
    layout: &watch::Receiver<Layout>,
    stop: &Shutdown,
) {
    let prefix = settings.pipeline.stream_prefix.clone();
    let in_force = layout.clone();
    let lanes = move || Lane::all(&prefix, *in_force.borrow());
    let (p, l) = (pool.clone(), leaders.clone());
    every(stop, "partitions made ahead", settings.job_interval, move || {
        let (p, l) = (p.clone(), l.clone());
        async move {
            let today = jobs::today(&p).await?;
            lead(&l, "partitions", async |_| partitions::ensure_ahead(&p, today).await.map(|_| ())).await?;
            lead(&l, "spans", async |_| spans::note(&p).await.map(|_| ())).await
        }
    });
    let (s, p, l) = (settings.clone(), pool.clone(), leaders.clone());
    every(stop, "retention", settings.job_interval, move || {
        let (s, p, l) = (s.clone(), p.clone(), l.clone());
        async move {
            let done = lead(&l, "retention", async |leadership| keep(&p, &s.retention, leadership).await).await;
            retention::measure::measure(&p, s.retention.limits).await?;
            done
        }
    });
    let jetstream = lanes::jetstream(stream.client.clone());
    let (s, p, j, connection) = (settings.clone(), pool.clone(), jetstream.clone(), stream.clone());
    let (now, l) = (lanes.clone(), leaders.clone());
    every(stop, "stream trimming", settings.trim_interval, move || {
        let (s, p, l, j, connection, lanes) = (s.clone(), p.clone(), l.clone(), j.clone(), connection.clone(), now());
        async move {
            connection.must_be_up()?;
            for lane in lanes {
                lead(&l, "trim", async |_| trim::trim(&p, &j, &lane, s.replay_window, Utc::now()).await.map(|_| ()))
                    .await?;
            }
            Ok(())
        }
    });
    let (now, s, p, connection) = (lanes.clone(), settings.clone(), pool.clone(), stream.clone());
    let l = leaders.clone();
    every(stop, "audit", settings.audit_interval, move || {
        let (lanes, s, p, l, connection) = (now(), s.clone(), p.clone(), l.clone(), connection.clone());
        async move {
            connection.must_be_up()?;
            let placeholders = &s.pipeline.placeholders;
            let scene = Scene { stream: &connection, pool: &p, lanes: &lanes, placeholders };
            lead(&l, "audit", async |_| continuous::look(&scene).await).await?;
            Ok(continuous::show(&p).await?)
        }
    });
    let (now, p, j, connection) = (lanes.clone(), pool.clone(), jetstream.clone(), stream.clone());
    every(stop, "measuring backups", BACKUPS_INTERVAL, move || {
        let (lanes, p, j, connection) = (now(), p.clone(), j.clone(), connection.clone());
        async move {
            connection.must_be_up()?;
            Ok(backups::measure(&p, &j, &lanes).await?)
        }
    });
    let (p, connection) = (pool.clone(), stream.clone());
    every(stop, "lag", LAG_INTERVAL, move || {
        let (lanes, p, j, connection) = (lanes(), p.clone(), jetstream.clone(), connection.clone());
        async move {
            connection.must_be_up()?;
            Ok(lag::measure(&p, &j, &lanes).await?)
        }
    });
    let (s, p, l) = (settings.clone(), pool.clone(), leaders.clone());
    every(stop, "erasure", ERASURE_INTERVAL, move || {
        let (s, p, l) = (s.clone(), p.clone(), l.clone());
        async move {
            let (placeholders, key) = (&s.pipeline.placeholders, s.erasure_signing_key.expose());
            lead(&l, "erasure", async |_| erasure::run(&p, placeholders, key).await).await?;
            if archives::are_due(&p).await? {
                // As who makes archives, so that none is made meanwhile.
                let folder = s.retention.archive.as_ref();
                lead(&l, "retention", async |_| archives::pass(&p, folder, placeholders).await).await?;
            }
            Ok(erasure::measure(&p).await?)
        }
    });
    let p = pool.clone();
    every(stop, "counting webhooks", WEBHOOKS_INTERVAL, move || {
        let p = p.clone();
        async move { Ok(webhooks::measure::measure(&p).await?) }
    });
    let p = pool.clone();
    every(stop, "counting dead letters", DEAD_LETTERS_INTERVAL, move || {
        let p = p.clone();
        async move { Ok(dead_letters::measure(&p).await?) }
    });
}

/// Drops what has expired, if the clock can be believed.
async fn keep(pool: &PgPool, rules: &Rules, leadership: &Leadership) -> Result<(), Problem> {
    match clock::look(pool, leadership).await? {
        Verdict::Day(today) => retention::run(pool, rules, today).await.map(|_| ()),
        Verdict::Doubted(why) => {
            tracing::error!("nothing is dropped, because the clock may be wrong: {why}");
            Ok(())
        }
    }
}

/// Runs a job if nobody else is running it.
async fn lead<E>(
    pool: &PgPool,
    name: &'static str,
    job: impl AsyncFnOnce(&Leadership) -> Result<(), E>,
) -> Result<(), Problem>
where
    Problem: From<E>,
{
    let Some(leadership) = Leadership::take(pool, name).await? else { return Ok(()) };
    let done = job(&leadership).await;
    match &done {
        Ok(()) => leadership.give_up().await?,
        Err(_) => leadership.abandon().await,
    }
    Ok(done?)
}

/// Runs a job now and then at intervals, until the stop. A failure is logged once, until it changes or passes.
fn every<F>(stop: &Shutdown, name: &'static str, interval: Duration, mut job: impl FnMut() -> F + Send + 'static)
where
    F: Future<Output = Result<(), Problem>> + Send + 'static,
{
    let stopping = stop.clone();
    stop.supervise(name, async move {
        let mut failing = String::new();
        while !stopping.is_stopping() {
            let wait = match job().await {
                Ok(()) => {
                    failing.clear();
                    interval
                }
                Err(problem) => {
                    match problem.downcast_ref() {
                        Some(AttachError::Database(error)) => failure::count(error),
                        _ => failure::count_behind(problem.as_ref()),
                    }
                    if problem.to_string() != failing {
                        failing = problem.to_string();
                        tracing::warn!(job = name, "failed, and is tried again: {problem}");
                    }
                    interval.min(Duration::from_secs(2))
                }
            };
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = stopping.stopping() => {}
            }
        }
    });
}

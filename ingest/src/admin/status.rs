//! `GET /v1/admin/status`: how the pipeline is doing just now, for the plots of the console and for a person with curl.
//!
//! | part | of what | null while |
//! |---|---|---|
//! | `events` | all workers, from their books: what was received since `since` (the beginning of yesterday, UTC) and has an outcome | PostgreSQL is away |
//! | `lanes` | the stream: bytes, and how far the slowest partition is behind | each figure: its source is away |
//! | `dead_letters`, `workers` | all workers | PostgreSQL is away |
//! | `process` | this ingest process alone | never |
//!
//! `events` only grows until `since` changes, so the difference of two answers is the throughput between them. Lag in events is
//! messages times the size of the next one. `unanswered` says what could not be asked. Several tabs may ask every two seconds: an
//! answer is made at most once a second and process ([`Recent`]), and waits at most [`PATIENCE`] for each source.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use futures_util::future::join_all;
use serde::Serialize;
use shared::domain::message::EVENTS_HEADER;
use shared::stream::StreamError;
use shared::stream::lanes::{self, Lane};
use sqlx::postgres::PgPool;
use sqlx::{FromRow, PgConnection};
use utoipa::ToSchema;
use uuid::Uuid;

use super::recent::Recent;
use crate::app::App;
use crate::database::moment;
use crate::intake::ok;
use crate::problem::Problem;

/// How long an answer is given again.
pub const LASTS: Duration = Duration::from_secs(1);
/// Longest wait for PostgreSQL, and for the stream.
const PATIENCE: Duration = Duration::from_secs(2);

/// What is kept between two questions.
#[derive(Debug)]
pub struct Kept {
    id: Uuid,
    started: Instant,
    answer: Recent<Status>,
}

impl Default for Kept {
    fn default() -> Self {
        Self { id: Uuid::new_v4(), started: Instant::now(), answer: Recent::new(LASTS) }
    }
}

/// How the pipeline is doing.
#[derive(Debug, Serialize, ToSchema)]
pub struct Status {
    at: DateTime<Utc>,
    /// Over all workers; null while PostgreSQL is away.
    #[schema(required)]
    events: Option<Processed>,
    lanes: Vec<LaneStatus>,
    #[schema(required)]
    dead_letters: Option<OpenLetters>,
    /// Those that were seen within 15 seconds.
    #[schema(required)]
    workers: Option<Vec<WorkerStatus>>,
    /// Of this ingest process alone.
    process: Process,
    /// What could not be asked.
    unanswered: Vec<String>,
}

/// Events that were received since a moment and have an outcome.
#[derive(Debug, Serialize, FromRow, ToSchema)]
struct Processed {
    since: DateTime<Utc>,
    /// The sum of the other four.
    read: i64,
    stored: i64,
    duplicate: i64,
    dead: i64,
    suppressed: i64,
}

/// One lane's stream, and how far it is processed.
#[derive(Debug, Serialize, ToSchema)]
struct LaneStatus {
    lane: u16,
    stream: String,
    #[schema(required)]
    bytes: Option<u64>,
    #[schema(required)]
    max_bytes: Option<i64>,
    /// Of the slowest partition.
    #[schema(required)]
    lag_messages: Option<u64>,
    /// An estimate: messages times the size of the next one.
    #[schema(required)]
    lag_events: Option<u64>,
    /// Age of the oldest message that is not processed; 0 when there is none.
    #[schema(required)]
    lag_seconds: Option<f64>,
}

/// Dead letters that wait for a person.
#[derive(Debug, Serialize, FromRow, ToSchema)]
struct OpenLetters {
    open: i64,
    /// Since the oldest of them was put aside; 0 when there is none.
    oldest_open_seconds: f64,
}

/// An owner of partitions; a process has as many as `FLUSHERS` says.
#[derive(Debug, Serialize, FromRow, ToSchema)]
struct WorkerStatus {
    name: String,
    version: String,
    lane: i32,
    started_at: DateTime<Utc>,
    /// That it owns.
    partitions: i64,
}

/// This ingest process.
#[derive(Debug, Serialize, ToSchema)]
struct Process {
    /// Of this start of it: several may answer in turn behind one address.
    id: Uuid,
    version: &'static str,
    uptime_seconds: f64,
    /// Events can be accepted.
    ready: bool,
    /// Why not.
    reasons: Vec<String>,
    /// Events accepted since it started.
    accepted: u64,
    /// Requests of the API answered with 503 since it started.
    refused: u64,
    in_flight_bytes: usize,
    in_flight_limit_bytes: usize,
}

/// What the database knows.
#[derive(Debug)]
struct Known {
    events: Processed,
    dead_letters: OpenLetters,
    workers: Vec<WorkerStatus>,
    /// Lane, and the last message that all of its partitions have processed.
    processed: Vec<(i32, i64)>,
}

/// How is the pipeline doing just now?
///
/// At most a second old. `events`, `dead_letters` and `workers` are of all processes and null while the database is away; `process` is the
/// ingest process that answers. The difference of two `events` is the throughput between them.
#[utoipa::path(
    get, path = "/v1/admin/status", operation_id = "status", tag = "Status",
    responses((status = 200, description = "As far as it could be asked.", body = Status)),
)]
pub async fn show(State(app): State<Arc<App>>) -> Response {
    let status = app.status.answer.get(async || Ok::<_, Problem>(ask(&app).await)).await;
    status.and_then(|status| ok(&*status)).unwrap_or_else(IntoResponse::into_response)
}

async fn ask(app: &App) -> Status {
    let mut unanswered = Vec::new();
    // A standby would show the positions of a moment ago as lag.
    let known = match tokio::time::timeout(PATIENCE, app.database.run(read)).await {
        Ok(Ok(known)) => Some(known),
        Ok(Err(problem)) => note(&mut unanswered, problem.message()),
        Err(_) => note(&mut unanswered, "the database does not answer"),
    };
    let positions = known.as_ref().map(|known| known.processed.as_slice());
    let mut lanes = Vec::new();
    let all = Lane::all(&app.settings.pipeline.stream_prefix, app.publisher.layout());
    let looks = all.iter().map(|lane| tokio::time::timeout(PATIENCE, look(app, lane, positions)));
    for (lane, look) in all.iter().zip(join_all(looks).await) {
        lanes.push(match look {
            Ok(Ok(status)) => status,
            Ok(Err(error)) => unknown(lane, &mut unanswered, &error.to_string()),
            Err(_) => unknown(lane, &mut unanswered, &format!("stream {} does not answer", lane.stream)),
        });
    }
    let (events, dead_letters, workers) = known
        .map_or((None, None, None), |Known { events, dead_letters, workers, .. }| {
            (Some(events), Some(dead_letters), Some(workers))
        });
    Status { at: Utc::now(), events, lanes, dead_letters, workers, process: process(app), unanswered }
}

fn note<T>(unanswered: &mut Vec<String>, why: impl Into<String>) -> Option<T> {
    unanswered.push(why.into());
    None
}

fn process(app: &App) -> Process {
    let reasons = app.readiness.reasons();
    Process {
        id: app.status.id,
        version: env!("CARGO_PKG_VERSION"),
        uptime_seconds: app.status.started.elapsed().as_secs_f64(),
        ready: reasons.is_empty(),
        reasons,
        accepted: app.metrics.accepted_events(),
        refused: app.metrics.refused_requests(),
        in_flight_bytes: app.budget.used_bytes(),
        in_flight_limit_bytes: app.settings.max_in_flight_bytes,
    }
}

fn unknown(lane: &Lane, unanswered: &mut Vec<String>, why: &str) -> LaneStatus {
    unanswered.push(why.to_owned());
    LaneStatus {
        lane: lane.number,
        stream: lane.stream.clone(),
        bytes: None,
        max_bytes: None,
        lag_messages: None,
        lag_events: None,
        lag_seconds: None,
    }
}

async fn look(app: &App, lane: &Lane, positions: Option<&[(i32, i64)]>) -> Result<LaneStatus, StreamError> {
    let mut status = unknown(lane, &mut Vec::new(), "");
    let Some(stream) = lanes::state(&app.jetstream, lane).await? else { return Ok(status) };
    (status.bytes, status.max_bytes) = (Some(stream.bytes), Some(stream.max_bytes));
    let Some(positions) = positions else { return Ok(status) };
    let slowest = positions.iter().find(|(number, _)| *number == i32::from(lane.number));
    let processed = slowest.and_then(|(_, sequence)| u64::try_from(*sequence).ok()).unwrap_or(0);
    let processed = processed.max(stream.first_seq.saturating_sub(1));
    let behind = stream.last_seq.saturating_sub(processed);
    let next = if behind > 0 { lanes::message(&app.jetstream, lane, processed + 1).await? } else { None };
    let events = next.as_ref().map_or(0, |message| {
        message.headers.get(EVENTS_HEADER).and_then(|count| count.as_str().parse().ok()).unwrap_or(1_u64)
    });
    let age = next.map(|message| (Utc::now() - message.time).to_std().unwrap_or_default());
    status.lag_messages = Some(behind);
    status.lag_events = Some(behind.saturating_mul(events));
    status.lag_seconds = Some(age.unwrap_or_default().as_secs_f64());
    Ok(status)
}

async fn read(pool: PgPool) -> Result<Known, sqlx::Error> {
    let mut moment = moment(&pool).await?;
    let known = Known {
        events: books(&mut moment).await?,
        dead_letters: sqlx::query_as(
            "/* status.dead_letters */ SELECT count(*) AS open,
                    coalesce(extract(epoch FROM clock_timestamp() - min(created_at)), 0)::double precision AS oldest_open_seconds
               FROM dead_letters WHERE redriven_at IS NULL AND discarded_at IS NULL",
        )
        .fetch_one(&mut *moment)
        .await?,
        workers: sqlx::query_as(
            "/* status.workers */ SELECT w.name, w.version, w.lane, w.started_at,
                    (SELECT count(*) FROM partitions p WHERE p.owner = w.id) AS partitions
               FROM workers w WHERE w.seen_at > clock_timestamp() - interval '15 s' ORDER BY w.name, w.lane, w.started_at",
        )
        .fetch_all(&mut *moment)
        .await?,
        processed: sqlx::query_as("/* status.positions */ SELECT lane, min(last_seq) FROM partitions GROUP BY lane")
            .fetch_all(&mut *moment)
            .await?,
    };
    moment.commit().await?;
    Ok(known)
}

/// The key of the books leads with the partition: each is a range of its own, however long the books are.
async fn books(connection: &mut PgConnection) -> Result<Processed, sqlx::Error> {
    sqlx::query_as(
        "/* status.books */ WITH of AS (SELECT date_trunc('day', now(), 'UTC') - interval '1 day' AS since)
         SELECT of.since, coalesce(sum(l.read), 0)::bigint AS read, coalesce(sum(l.stored), 0)::bigint AS stored,
                coalesce(sum(l.duplicate), 0)::bigint AS duplicate, coalesce(sum(l.dead), 0)::bigint AS dead,
                coalesce(sum(l.suppressed), 0)::bigint AS suppressed
           FROM of CROSS JOIN generate_series(0, (SELECT max(partition) FROM ledger)) AS p
           LEFT JOIN ledger l ON l.partition = p AND l.hour >= of.since
          GROUP BY of.since
          UNION ALL SELECT since, 0, 0, 0, 0, 0 FROM of WHERE NOT EXISTS (SELECT FROM ledger)",
    )
    .fetch_one(connection)
    .await
}

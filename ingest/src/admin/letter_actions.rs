//! `POST /v1/admin/dead-letters/redrive` and `…/discard`: what becomes of events that could not be stored.
//!
//! A dry run changes nothing; that of discarding counts everything that is meant.
//!
//! Both take `{ids, event_id, sqlstate, reason, user_id, from, to}`, of which everything that is given must hold, or `{all: true}`;
//! and `dry_run`, `limit` (500, at most [`letter_request::MOST_LETTERS`]) and `cursor`. One call handles up to `limit` open letters, in order of id; with a
//! `next_cursor` there are more, and the same body with it as `cursor` goes on. A run of calls ends at the last letter that there was at
//! its start, so what fails again on the way is not driven in circles.
//!
//! Redriving is [`shared::redrive`], with the way that all events take; a process drives at most [`EVENTS_PER_SECOND`]. When the stream
//! refuses, the answer is that refusal: what was acknowledged before is marked, and the same call goes on with the rest.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Request, State};
use axum::response::Response;
use bytes::Bytes;
use serde::Serialize;
use shared::redrive::{Order, Publish, Step};
use shared::store::dead_letters::open::{self, Summary};
use sqlx::postgres::PgPool;
use utoipa::ToSchema;

use super::documents::answered;
use super::letter_request::{self, Cursor, Wanted};
use crate::app::App;
use crate::budget::Importance;
use crate::intake::ok;
use crate::keys::Caller;
use crate::openapi::refusals::{AsksDatabase, Publishes, ReadsBody, ReadsParameters};
use crate::problem::Problem;
use crate::publish::lines::Lines;
use crate::publish::{Way, outcome};

/// Pace of one process.
pub const EVENTS_PER_SECOND: u32 = 500;
/// Letters that an answer names.
const MOST_NAMED: usize = 100;

/// What was done, or would be.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DeadLettersHandled)]
struct Handled {
    /// Nothing was changed.
    dry_run: bool,
    /// Open letters that were meant when this call began.
    matched: u64,
    /// Events of these.
    matched_events: u64,
    /// Why they are dead, most frequent first; the first 20 reasons.
    reasons: Vec<Reason>,
    /// Letters that were handled, or would be.
    letters: u64,
    /// Events of these.
    events: u64,
    /// Letters that were passed over, and why; the first 100.
    passed_over: Vec<PassedOver>,
    /// How many were passed over.
    passed_over_total: u64,
    /// Send it as `cursor` to go on; null at the end.
    #[schema(required)]
    next_cursor: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DeadLetterReason)]
struct Reason {
    #[schema(required)]
    sqlstate: Option<String>,
    reason: String,
    letters: i64,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DeadLetterPassedOver)]
struct PassedOver {
    id: i64,
    why: String,
}

/// Puts open letters into the stream again, each event under its own id, and marks them.
///
/// Mend the cause first; what fails again becomes a new letter, whose `previous_id` names the one before. The same call again, two at once
/// or a crash never store an event twice. A process drives at most 500 events a second. An identify is passed over when a later one of
/// its user is stored, unless `overwrite_traits` is true.
#[utoipa::path(
    post, path = "/v1/admin/dead-letters/redrive", operation_id = "redriveDeadLetters", tag = "Dead letters",
    request_body(content = ref("#/components/schemas/DeadLetterRedrive"), content_type = "application/json"),
    responses((status = 200, description = "What was done.", body = Handled), ReadsBody, ReadsParameters, Publishes, AsksDatabase),
)]
pub async fn redrive(State(app): State<Arc<App>>, caller: Extension<Caller>, request: Request) -> Response {
    let redrive = async {
        let wanted = letter_request::read(&app, request, "why").await?;
        if !wanted.dry_run {
            app.readiness.admit()?;
        }
        let (task, by) = (Arc::clone(&app), caller.source.to_string());
        let driven = app.database.run(|pool| async move { drive(&task, &pool, wanted, by).await }).await?;
        ok(&driven?)
    };
    answered(redrive.await)
}

/// Marks open letters as discarded: they stay dead. Nothing is deleted.
#[utoipa::path(
    post, path = "/v1/admin/dead-letters/discard", operation_id = "discardDeadLetters", tag = "Dead letters",
    request_body(content = ref("#/components/schemas/DeadLetterDiscard"), content_type = "application/json"),
    responses((status = 200, description = "What was done.", body = Handled), ReadsBody, ReadsParameters, AsksDatabase),
)]
pub async fn discard(State(app): State<Arc<App>>, caller: Extension<Caller>, request: Request) -> Response {
    let discard = async {
        let wanted = letter_request::read(&app, request, "overwrite_traits").await?;
        let (task, by) = (Arc::clone(&app), caller.source.to_string());
        let handled = app.database.run(|pool| async move { close(&task, &pool, wanted, by).await }).await?;
        ok(&handled)
    };
    answered(discard.await)
}

async fn drive(
    app: &Arc<App>,
    pool: &PgPool,
    wanted: Wanted,
    by: String,
) -> Result<Result<Handled, Problem>, sqlx::Error> {
    let (mut handled, Cursor { mut after, last_id }) = begin(pool, &wanted).await?;
    let way = app.publisher.way();
    let mut order = Order::new(&app.settings.pipeline, way.layout, wanted.filter, last_id, by);
    order.overwrite_traits = wanted.overwrite_traits;
    let mut publish = (!wanted.dry_run).then(|| Again { app: Arc::clone(app), way });
    let mut left = wanted.limit;
    while left > 0 {
        // Held for one step: calls at once take turns, at the pace of the process.
        let mut pace = app.redrive_pace.lock().await;
        if !wanted.dry_run {
            pace.turn().await;
        }
        let most = if wanted.dry_run { left } else { left.min(pace.piece()) };
        let Step { redriven, events, skipped, reached, failure } =
            order.step(pool, after, most, publish.as_mut()).await?;
        let Some(reached) = reached else { return Ok(Ok(handled)) };
        if !wanted.dry_run {
            pace.spend(events);
            app.metrics.dead_letters_redriven(redriven.len() as u64);
        }
        drop(pace);
        if let Some(problem) = failure {
            return Ok(Err(problem));
        }
        after = reached;
        left = left.saturating_sub(u32::try_from(redriven.len() + skipped.len()).unwrap_or(u32::MAX));
        handled.letters += redriven.len() as u64;
        handled.events += events;
        handled.pass_over(skipped);
    }
    handled.next_cursor = Some(Cursor { after, last_id }.text()).filter(|_| after < last_id);
    Ok(Ok(handled))
}

async fn close(app: &App, pool: &PgPool, wanted: Wanted, by: String) -> Result<Handled, sqlx::Error> {
    let (mut handled, Cursor { after, last_id }) = begin(pool, &wanted).await?;
    if wanted.dry_run {
        (handled.letters, handled.events) = (handled.matched, handled.matched_events);
        return Ok(handled);
    }
    let ids = after + 1..=last_id;
    let mark = (by.as_str(), wanted.why.as_deref());
    let discarded = open::discard(pool, &wanted.filter, ids, wanted.limit, mark).await?;
    (handled.letters, handled.events) = (discarded.letters, discarded.events);
    app.metrics.dead_letters_discarded(discarded.letters);
    let is_full = discarded.letters >= u64::from(wanted.limit);
    let reached = discarded.reached.filter(|last| is_full && *last < last_id);
    handled.next_cursor = reached.map(|after| Cursor { after, last_id }.text());
    Ok(handled)
}

/// What is meant, and where to begin and to end.
async fn begin(pool: &PgPool, wanted: &Wanted) -> Result<(Handled, Cursor), sqlx::Error> {
    let mut connection = pool.acquire().await?;
    let Summary { letters, events, last_id, reasons } = open::summary(&mut connection, &wanted.filter).await?;
    let number = |n: i64| u64::try_from(n).unwrap_or(0);
    let reasons = reasons.into_iter().map(|r| Reason { sqlstate: r.sqlstate, reason: r.reason, letters: r.letters });
    let mut handled = Handled {
        dry_run: wanted.dry_run,
        matched: number(letters),
        matched_events: number(events),
        reasons: reasons.collect(),
        letters: 0,
        events: 0,
        passed_over: Vec::new(),
        passed_over_total: 0,
        next_cursor: None,
    };
    if let (Some(ids), None) = (&wanted.filter.ids, wanted.cursor) {
        handled.pass_over(open::not_open(&mut connection, ids).await?);
    }
    Ok((handled, wanted.cursor.unwrap_or(Cursor { after: 0, last_id })))
}

impl Handled {
    fn pass_over(&mut self, letters: Vec<(i64, String)>) {
        self.passed_over_total += letters.len() as u64;
        let room = MOST_NAMED.saturating_sub(self.passed_over.len());
        self.passed_over.extend(letters.into_iter().take(room).map(|(id, why)| PassedOver { id, why }));
    }
}

/// The way that all events take.
struct Again {
    app: Arc<App>,
    way: Arc<Way>,
}

impl Publish for Again {
    type Error = Problem;

    async fn publish(&mut self, lane: u16, version: u16, lines: Vec<(u16, Bytes)>) -> Result<u64, Problem> {
        let bytes = lines.iter().map(|(_, line)| line.len()).sum();
        let share = self.app.budget.take(Importance::Profile, bytes)?;
        let mut packed = Lines::with_capacity(bytes);
        packed.need_version(version);
        for (partition, line) in &lines {
            packed.push_line(*partition, line);
        }
        let pending = self.way.submit(lane, packed, share);
        outcome(pending).await.map(|committed| committed.sequence).map_err(|refusal| refusal.problem())
    }
}

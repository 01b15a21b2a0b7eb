//! `POST /v1/admin/campaigns/backtest`: how many users and events of the last days a campaign would have matched. How: [`shared::store::backtest`].
//!
//! With `Accept: application/x-ndjson` the answer comes line by line: `{"progress": …}` now and then, at last `{"result": …}` (or
//! `{"error": …}`); otherwise it is the result alone. It ends early when the client goes away.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream;
use http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use shared::domain::raw_object::RawObject;
use shared::store::backtest::{self, Asked, DEFAULT_SECONDS, MOST_SECONDS, Outcome, Progress, STATE_BYTES};
use shared::store::explain::{Refused, Subject};
use tokio::sync::{Semaphore, mpsc, oneshot};

use super::campaigns::{BODY_BYTES, RESOURCE};
use super::documents::answered;
use super::explain::{given, problem, subject, wrong};
use super::sent;
use crate::app::App;
use crate::database;
use crate::intake::ok;
use crate::openapi::refusals::{AsksDatabase, FaultyCampaign, Missing, OneAtATime, ReadsBody, ReadsParameters};
use crate::problem::{Kind, Problem};

/// Backtests at once: each holds one of the few connections for people.
const MOST_BACKTESTS: usize = 1;
/// Reports of progress that wait for a slow reader; further ones are skipped.
const REPORTS: usize = 8;

static PLACES: Semaphore = Semaphore::const_new(MOST_BACKTESTS);

/// As sent.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Wanted {
    #[serde(deserialize_with = "given")]
    campaign: Option<RawObject>,
    #[serde(deserialize_with = "given")]
    campaign_id: Option<String>,
    days: u16,
    #[serde(deserialize_with = "given")]
    time_limit_seconds: Option<u64>,
}

type Ended = Result<Result<Option<Outcome>, Refused>, sqlx::Error>;

/// How many users and events of the last days would a campaign have matched?
///
/// Stored events are decided once more, as if the campaign had been active: with the traits, counts and caps that users had at each. With
/// `Accept: application/x-ndjson` progress comes line by line, and the result last. At the time limit the answer is what there is, and says
/// up to which day. One at a time and process; it stops when you go away.
#[utoipa::path(
    post, path = "/v1/admin/campaigns/backtest", operation_id = "backtestCampaign", tag = "Campaigns",
    request_body(content = ref("#/components/schemas/CampaignBacktest"), content_type = "application/json"),
    responses(
        (status = 200, description = "The result; or its progress and then the result, line by line.", content(
            (ref("#/components/schemas/CampaignBacktestResult") = "application/json"), (String = "application/x-ndjson"),
        )),
        ReadsBody, ReadsParameters, FaultyCampaign, Missing, AsksDatabase, OneAtATime,
    ),
)]
pub async fn backtest(State(app): State<Arc<App>>, request: Request) -> Response {
    answered(answer(&app, request).await)
}

async fn answer(app: &App, request: Request) -> Result<Response, Problem> {
    let by_line = request.headers().get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let by_line =
        by_line.flat_map(|value| value.split(',')).any(|kind| kind.trim().starts_with("application/x-ndjson"));
    let asked = read(app, request).await?;
    let place = PLACES.try_acquire().map_err(|_| {
        let message = format!("{MOST_BACKTESTS} backtest is under way here already; try again when it has ended");
        Problem::new(Kind::Overloaded, message)
    })?;
    let (progress, mut reports) = mpsc::channel(REPORTS);
    let (ended, end) = oneshot::channel();
    let pool = app.database.reading_pool().clone();
    tokio::spawn(async move {
        let done = backtest::backtest(&pool, &asked, &progress).await;
        drop(place);
        // Nobody may be left to hear it.
        let _ = ended.send(done);
        drop(progress);
    });
    // What is refused is refused at once, so a status can still be told.
    match reports.recv().await.filter(|_| by_line) {
        Some(first) => Ok(lines(first, reports, end)),
        None => {
            while reports.recv().await.is_some() {}
            let result = finished(end.await)?;
            if by_line { Ok(ndjson(Body::from(line("result", &result)))) } else { ok(&result) }
        }
    }
}

async fn read(app: &App, request: Request) -> Result<Asked, Problem> {
    let sent = sent::object(app, request, BODY_BYTES, Kind::InvalidParameter).await?;
    let wanted: Wanted =
        serde_json::from_str(&sent.to_json()).map_err(|error| wrong(&format!("the body cannot be used: {error}")))?;
    let most_days = app.settings.pipeline.retention_days;
    if !(1..=most_days).contains(&wanted.days) {
        return Err(wrong(&format!("days must be from 1 to {most_days}: events are kept so long")));
    }
    let seconds = wanted.time_limit_seconds.unwrap_or(DEFAULT_SECONDS);
    if !(1..=MOST_SECONDS).contains(&seconds) {
        return Err(wrong(&format!("time_limit_seconds must be from 1 to {MOST_SECONDS}")));
    }
    let campaign = match (&wanted.campaign, wanted.campaign_id) {
        (Some(campaign), None) => subject(campaign)?,
        (None, Some(id)) => Subject::Stored(RESOURCE.storable(id)?),
        _ => return Err(wrong("say which campaign: campaign, a document, or campaign_id, a stored one")),
    };
    let placeholders = app.settings.pipeline.placeholders.clone();
    let limit = Duration::from_secs(seconds);
    Ok(Asked { campaign, days: wanted.days, limit, placeholders, state_bytes: STATE_BYTES })
}

fn finished(ended: Result<Ended, oneshot::error::RecvError>) -> Result<Outcome, Problem> {
    match ended {
        Ok(Ok(Ok(Some(outcome)))) => Ok(outcome),
        Ok(Ok(Err(refused))) => Err(problem(&refused)),
        Ok(Err(error)) => Err(database::problem(&error)),
        Ok(Ok(Ok(None))) | Err(_) => Err(Problem::new(Kind::Internal, "this failed on our side")),
    }
}

/// Reports as they come, then the end.
fn lines(first: Progress, reports: mpsc::Receiver<Progress>, end: oneshot::Receiver<Ended>) -> Response {
    let state = (Some(first), reports, Some(end));
    let lines = stream::unfold(state, async |(first, mut reports, end)| {
        let report = match first {
            Some(first) => Some(first),
            None => reports.recv().await,
        };
        if let Some(report) = report {
            return Some((Ok::<_, Infallible>(line("progress", &report)), (None, reports, end)));
        }
        let last = match finished(end?.await) {
            Ok(outcome) => line("result", &outcome),
            Err(problem) => {
                let (_, _, body) = problem.into_json();
                line("error", &serde_json::from_str::<Value>(&body).unwrap_or_default())
            }
        };
        Some((Ok(last), (None, reports, None)))
    });
    ndjson(Body::from_stream(lines))
}

fn line(name: &str, value: &impl Serialize) -> Bytes {
    format!("{}\n", json!({name: value})).into()
}

fn ndjson(body: Body) -> Response {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

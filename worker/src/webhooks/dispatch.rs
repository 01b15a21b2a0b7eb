//! The loop that sends: looks for what is due, takes as much as there is room for, and gives each message a task of its own.
//!
//! Room is bounded in total and for each endpoint, so that one slow receiver does not hold up the others; one that fails again and again is
//! only tried with a single message at a time. A stop ends attempts that are under way: their rows go back and are sent again by
//! somebody else, perhaps a second time.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use chrono::Utc;
use shared::runtime::failpoint;
use shared::runtime::shutdown::Shutdown;
use shared::store::failure;
use sqlx::PgPool;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use uuid::Uuid;

use super::claim::{self, Claimed, Endpoint};
use super::outcome::{Failure, Outcome};
use super::send::{ANSWER_PATIENCE, Sender};
use super::{Rules, finish, payload, sign};
use crate::{Problem, metrics};

/// Messages under way at once, of this process.
const MOST_AT_ONCE: usize = 64;
/// … to one endpoint.
const MOST_OF_ENDPOINT: usize = 8;
/// From so many failures in a row on, an endpoint is tried with one message at a time.
const FAILURES_TO_DOUBT: i32 = 3;
/// How long nothing that is due waits for a look.
const POLL: Duration = Duration::from_millis(500);
/// Messages that end shortly after each other make one look.
const GATHER: Duration = Duration::from_millis(10);

/// Sends until the stop.
#[derive(Debug)]
pub struct Dispatcher {
    common: Arc<Common>,
    total: Arc<Semaphore>,
    endpoints: HashMap<String, Arc<Semaphore>>,
    under_way: JoinSet<()>,
}

/// What all attempts share.
#[derive(Debug)]
struct Common {
    pool: PgPool,
    rules: Rules,
    sender: Sender,
    stop: Shutdown,
}

/// Lets one message be under way; room comes back when it is dropped.
type Room = (OwnedSemaphorePermit, OwnedSemaphorePermit);

impl Dispatcher {
    /// Over a pool of its own, so that attempts that end wait for each other and not for jobs.
    pub fn new(pool: PgPool, rules: Rules, stop: Shutdown) -> Result<Self, Problem> {
        let sender = Sender::new(rules.reach.clone(), rules.timeout)?;
        Ok(Self {
            common: Arc::new(Common { pool, rules, sender, stop }),
            total: Arc::new(Semaphore::new(MOST_AT_ONCE)),
            endpoints: HashMap::new(),
            under_way: JoinSet::new(),
        })
    }

    /// Runs until the stop, and then until no attempt is under way.
    pub async fn run(mut self) {
        let stop = self.common.stop.clone();
        let mut away = false;
        while !stop.is_stopping() {
            while self.under_way.try_join_next().is_some() {}
            match self.look().await {
                Ok(()) => away = false,
                Err(error) => {
                    failure::count(&error);
                    if !away {
                        tracing::warn!(%error, "the database cannot be asked what is due; webhooks wait");
                    }
                    away = true;
                }
            }
            tokio::select! {
                () = tokio::time::sleep(POLL) => {}
                Some(_) = self.under_way.join_next(), if !away => tokio::time::sleep(GATHER).await,
                () = stop.stopping() => {}
            }
        }
        while self.under_way.join_next().await.is_some() {}
    }

    /// Takes what is due and there is room for.
    async fn look(&mut self) -> Result<(), sqlx::Error> {
        let common = Arc::clone(&self.common);
        let lease = common.rules.timeout + ANSWER_PATIENCE + common.rules.lease;
        self.endpoints.retain(|_, room| room.available_permits() < MOST_OF_ENDPOINT);
        if self.total.available_permits() == 0 {
            return Ok(());
        }
        for (endpoint, ping) in claim::pings(&common.pool, 1, lease).await? {
            self.begin(&Arc::new(endpoint), ping);
        }
        for endpoint in claim::due(&common.pool).await? {
            let free = self.free(&endpoint).min(self.total.available_permits());
            if free == 0 {
                continue;
            }
            let taken = claim::take(&common.pool, &endpoint, free, lease).await?;
            let endpoint = Arc::new(endpoint);
            for delivery in taken {
                self.begin(&endpoint, delivery);
            }
        }
        Ok(())
    }

    /// How many more messages may go to an endpoint just now.
    fn free(&self, endpoint: &Endpoint) -> usize {
        let room = self.endpoints.get(&endpoint.campaign_id).map_or(MOST_OF_ENDPOINT, |room| room.available_permits());
        let most = if endpoint.failures < FAILURES_TO_DOUBT { MOST_OF_ENDPOINT } else { 1 };
        most.saturating_sub(MOST_OF_ENDPOINT - room)
    }

    fn begin(&mut self, endpoint: &Arc<Endpoint>, delivery: Claimed) {
        let fresh = || Arc::new(Semaphore::new(MOST_OF_ENDPOINT));
        let room = self.endpoints.entry(endpoint.campaign_id.clone()).or_insert_with(fresh);
        let rooms = (Arc::clone(room).try_acquire_owned(), Arc::clone(&self.total).try_acquire_owned());
        // Without room, which only a ping can meet, its claim runs out and it comes again.
        let (Ok(own), Ok(total)) = rooms else { return };
        self.under_way.spawn(attempt(Arc::clone(&self.common), Arc::clone(endpoint), delivery, (own, total)));
    }
}

/// One attempt, from the body to what is written down of it.
async fn attempt(common: Arc<Common>, endpoint: Arc<Endpoint>, delivery: Claimed, room: Room) {
    let done = match payload::body(&delivery) {
        Some(body) => {
            let started = Instant::now();
            let outcome = common.send(&endpoint, &delivery, body).await;
            failpoint::reach("worker::webhook_sent");
            metrics::webhook_took(started.elapsed());
            common.note(&endpoint, &delivery, outcome).await
        }
        None => {
            metrics::webhook_attempt("cancelled");
            finish::cancelled(&common.pool, &delivery).await
        }
    };
    if let Err(error) = done {
        failure::count(&error);
        tracing::warn!(campaign = endpoint.campaign_id, delivery = %delivery.id, %error, "what became of a message cannot be noted; it is sent again");
    }
    drop(room);
}

impl Common {
    async fn send(&self, endpoint: &Endpoint, delivery: &Claimed, body: Vec<u8>) -> Outcome {
        let (now, id) = (Utc::now(), delivery.id.to_string());
        let signature = sign::signature(&endpoint.secrets, &id, now.timestamp(), &body);
        let mut headers = endpoint.webhook.headers.clone();
        headers.extend([
            ("webhook-id".to_owned(), id),
            ("webhook-timestamp".to_owned(), now.timestamp().to_string()),
            ("webhook-signature".to_owned(), signature),
        ]);
        tokio::select! {
            outcome = self.sender.post(&endpoint.webhook.url, &headers, Bytes::from(body), now) => outcome,
            () = self.stop.stopping() => Outcome::Interrupted,
        }
    }

    async fn note(&self, endpoint: &Endpoint, delivery: &Claimed, outcome: Outcome) -> Result<(), sqlx::Error> {
        match outcome {
            Outcome::Delivered(status) => {
                metrics::webhook_attempt("delivered");
                finish::delivered(&self.pool, delivery, status).await
            }
            Outcome::Failed(failure) => self.note_failure(endpoint, delivery, &failure).await,
            Outcome::Interrupted => {
                metrics::webhook_attempt("interrupted");
                finish::released(&self.pool, delivery).await
            }
        }
    }

    async fn note_failure(
        &self,
        endpoint: &Endpoint,
        delivery: &Claimed,
        failure: &Failure,
    ) -> Result<(), sqlx::Error> {
        let is_ping = delivery.kind == "ping";
        let wait = if is_ping { None } else { failure.wait(delivery.attempts, self.rules.first_retry, random()) };
        metrics::webhook_attempt(if wait.is_some() { "failed" } else { "given_up" });
        let campaign = endpoint.campaign_id.as_str();
        tracing::debug!(campaign, delivery = %delivery.id, attempts = delivery.attempts, error = failure.error, "a webhook was not taken");
        let noted = finish::failed(&self.pool, delivery, failure, wait, &self.rules).await?;
        if let Some(noted) = noted.filter(|noted| noted.paused) {
            tracing::error!(
                campaign,
                failures = noted.failures,
                error = failure.error,
                "a webhook is paused: what it should be told waits until POST /v1/admin/webhooks/{campaign}/resume"
            );
        }
        Ok(())
    }
}

/// From 0 to 1.
fn random() -> f64 {
    let (high, _) = Uuid::new_v4().as_u64_pair();
    #[expect(clippy::cast_precision_loss, reason = "the upper bits are all that is wanted")]
    let share = (high >> 16) as f64 / (u64::MAX >> 16) as f64;
    share
}

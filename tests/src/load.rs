//! Many events from many users, with a record of what was promised about each.
//!
//! Users are dealt to connections, and a connection awaits each answer before it sends the next request: so the numbers that
//! events carry per user are their order of arrival. A request that fails is repeated byte for byte, as SDKs do, until it is
//! answered; so faults during a load make duplicates, which the pipeline must swallow. What is still unanswered in the end is
//! recorded as unknown. Everything follows from the seed.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::client::WRITE_KEY;
use crate::http1::{self, KeptAlive};

/// After a failure, before the next attempt.
const PAUSE: Duration = Duration::from_millis(25);

/// Tiers that identifies set at random.
pub const TIERS: [&str; 3] = ["silver", "gold", "bronze"];

/// What to send.
#[derive(Debug, Clone)]
pub struct Load {
    /// Everything random follows from it.
    pub seed: u64,
    /// How many events, rounded up to whole batches.
    pub events: u64,
    /// From how many users.
    pub users: usize,
    /// Over how many connections.
    pub connections: usize,
    /// Events per request.
    pub batch: usize,
    /// How long a request is repeated before its events are given up as unknown.
    pub patience: Duration,
    /// Beyond what [`Control::allow`] allows, each connection pauses so long before each request, instead of waiting for leave.
    pub trickle: Option<Duration>,
    /// How far ahead of the real time the clients' clocks are.
    pub ahead: Duration,
}

impl Default for Load {
    fn default() -> Self {
        Self {
            seed: seed(),
            events: 1_000,
            users: 50,
            connections: 4,
            batch: 20,
            patience: Duration::from_secs(60),
            trickle: None,
            ahead: Duration::ZERO,
        }
    }
}

/// A new seed, or the one in `EC_TEST_SEED`, to see a failure again.
#[must_use]
pub fn seed() -> u64 {
    std::env::var("EC_TEST_SEED")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or_else(|| fastrand::u64(..1_000_000_000))
}

/// One event as it was sent.
#[derive(Debug, Clone, PartialEq)]
pub struct Sent {
    /// Its message id.
    pub message_id: String,
    /// Whose.
    pub user: String,
    /// Order within the user, from 0.
    pub seq: i64,
    /// What it says.
    pub what: What,
}

/// What an event says.
#[derive(Debug, Clone, PartialEq)]
pub enum What {
    /// An identify that sets `tier`.
    Identify {
        /// One of [`TIERS`].
        tier: &'static str,
    },
    /// A track of `cart_viewed`, to which campaigns listen.
    Cart {
        /// `properties.total`
        total: i64,
    },
    /// A track to which nobody listens.
    Other,
}

impl Sent {
    fn body(&self, timestamp: &str) -> Value {
        let mut body = match self.what {
            What::Identify { tier } => {
                json!({"type": "identify", "traits": {"tier": tier, "seq": self.seq, (self.tick()): true}})
            }
            What::Cart { total } => {
                json!({"type": "track", "event": "cart_viewed", "properties": {"seq": self.seq, "total": total}})
            }
            What::Other => json!({"type": "track", "event": "item_viewed", "properties": {"seq": self.seq}}),
        };
        body["userId"] = json!(self.user);
        body["messageId"] = json!(self.message_id);
        body["timestamp"] = json!(timestamp);
        body
    }

    /// A trait key that only every seventh identify shares: merging has to keep keys that others do not mention.
    #[must_use]
    pub fn tick(&self) -> String {
        format!("tick_{}", self.seq % 7)
    }
}

/// What was promised about each event.
#[derive(Debug, Default)]
pub struct Log {
    /// Answered with success.
    pub acknowledged: Vec<Sent>,
    /// Answered that they will not be taken.
    pub refused: Vec<Sent>,
    /// Nobody knows.
    pub unknown: Vec<Sent>,
    /// Requests that had to be repeated.
    pub repeats: u64,
    /// Of these, by a connection that ended after the request was sent and before its answer.
    pub cut: u64,
    /// The longest time that one request went without success.
    pub longest_wait: Duration,
    /// How long each request took to its success, in microseconds.
    pub waits_microseconds: Vec<u32>,
}

impl Log {
    /// Adds the record of another load. Loads of different seeds have different users.
    pub fn add(&mut self, other: Self) {
        self.acknowledged.extend(other.acknowledged);
        self.refused.extend(other.refused);
        self.unknown.extend(other.unknown);
        self.repeats += other.repeats;
        self.cut += other.cut;
        self.waits_microseconds.extend(other.waits_microseconds);
        self.longest_wait = self.longest_wait.max(other.longest_wait);
    }
}

/// A handle on a load while it runs.
#[derive(Debug, Clone)]
pub struct Control {
    acknowledged: Arc<AtomicU64>,
    allowed: Arc<AtomicU64>,
    hold: Arc<AtomicBool>,
    stop: Arc<AtomicBool>,
}

impl Default for Control {
    fn default() -> Self {
        Self {
            acknowledged: Arc::default(),
            allowed: Arc::new(AtomicU64::new(u64::MAX)),
            hold: Arc::default(),
            stop: Arc::default(),
        }
    }
}

impl Control {
    /// Events acknowledged so far.
    #[must_use]
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::Relaxed)
    }

    /// Requests wait once this many events are acknowledged, until more are allowed: so that faults come while events do.
    pub fn allow(&self, events: u64) {
        self.allowed.store(events, Ordering::Relaxed);
    }

    /// Not even a trickle beyond what is allowed, until this is taken back.
    pub fn hold(&self, held: bool) {
        self.hold.store(held, Ordering::Relaxed);
    }

    /// No new requests from here on.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Waits until this many events are acknowledged.
    pub async fn reaches(&self, events: u64) {
        crate::eventually::within(Duration::from_secs(120), &format!("{events} events are acknowledged"), async || {
            let now = self.acknowledged();
            if now >= events { Ok(()) } else { Err(now.to_string()) }
        })
        .await;
    }
}

impl Load {
    /// Sends it all, to these ingest processes in turn, and returns the record.
    ///
    /// # Panics
    /// When a connection's task panics.
    pub async fn run(&self, targets: &[SocketAddr], control: &Control) -> Log {
        eprintln!("load: seed {} (EC_TEST_SEED), {} events", self.seed, self.events);
        let share = self.events.div_ceil(self.connections as u64).div_ceil(self.batch as u64);
        let mut tasks = tokio::task::JoinSet::new();
        for number in 0..self.connections {
            let sender = Sender {
                load: self.clone(),
                number,
                targets: targets.iter().cycle().skip(number).take(targets.len()).copied().collect(),
                control: control.clone(),
            };
            tasks.spawn(sender.run(share));
        }
        let mut log = Log::default();
        while let Some(done) = tasks.join_next().await {
            log.add(done.expect("a connection of the load panicked"));
        }
        log
    }
}

/// One connection and the users whose events go over it.
struct Sender {
    load: Load,
    number: usize,
    targets: Vec<SocketAddr>,
    control: Control,
}

/// How a request ended.
enum End {
    /// Status 200, and the indexes of events that were refused.
    Answered(Vec<usize>),
    Refused,
    Unknown,
}

impl Sender {
    async fn run(self, requests: u64) -> Log {
        let mut random = fastrand::Rng::with_seed(self.load.seed ^ (self.number as u64) << 32);
        let users: Vec<usize> = (self.number..self.load.users).step_by(self.load.connections).collect();
        let mut next_seq = BTreeMap::<usize, i64>::new();
        let mut connections: Vec<KeptAlive> = self.targets.iter().map(|&t| KeptAlive::new(t)).collect();
        let mut log = Log::default();
        for _ in 0..requests {
            self.wait_for_leave().await;
            if self.control.stop.load(Ordering::Relaxed) {
                break;
            }
            let batch: Vec<Sent> =
                (0..self.load.batch).map(|_| self.event(&mut random, &users, &mut next_seq)).collect();
            let end = self.request(&batch, &mut connections, &mut log).await;
            match end {
                End::Answered(refused) => {
                    self.control.acknowledged.fetch_add((batch.len() - refused.len()) as u64, Ordering::Relaxed);
                    for (index, event) in batch.into_iter().enumerate() {
                        if refused.contains(&index) { log.refused.push(event) } else { log.acknowledged.push(event) }
                    }
                }
                End::Refused => log.refused.extend(batch),
                End::Unknown => log.unknown.extend(batch),
            }
        }
        log
    }

    /// Until the next request may go.
    async fn wait_for_leave(&self) {
        let is_on = |flag: &AtomicBool| flag.load(Ordering::Relaxed);
        while !is_on(&self.control.stop) {
            let allowed = self.control.acknowledged() < self.control.allowed.load(Ordering::Relaxed);
            match self.load.trickle.filter(|_| !is_on(&self.control.hold)) {
                _ if allowed => return,
                Some(pause) => return tokio::time::sleep(pause).await,
                None => tokio::time::sleep(PAUSE).await,
            }
        }
    }

    fn event(&self, random: &mut fastrand::Rng, users: &[usize], next_seq: &mut BTreeMap<usize, i64>) -> Sent {
        let number = users[random.usize(..users.len())];
        let seq = next_seq.entry(number).or_default();
        let user = format!("user-{}-{number}", self.load.seed);
        let what = match random.u8(..10) {
            0 | 1 => What::Identify { tier: TIERS[random.usize(..TIERS.len())] },
            2..=7 => What::Cart { total: random.i64(..100) },
            _ => What::Other,
        };
        let sent = Sent { message_id: format!("{user}-{seq}"), user, seq: *seq, what };
        *seq += 1;
        sent
    }

    /// Sends one batch until it is answered.
    async fn request(&self, batch: &[Sent], connections: &mut [KeptAlive], log: &mut Log) -> End {
        let now = chrono::Utc::now() + self.load.ahead;
        let now = now.to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
        let bodies: Vec<Value> = batch.iter().map(|sent| sent.body(&now)).collect();
        let body = json!({"batch": bodies, "sentAt": now}).to_string();
        let headers = [("x-api-key", WRITE_KEY), ("content-type", "application/json")];
        let request = http1::request("POST", "/v1/batch", &headers, body.as_bytes());
        let started = Instant::now();
        for attempt in 0.. {
            let connection = &mut connections[attempt % self.targets.len()];
            let answer = tokio::time::timeout(self.load.patience, connection.exchange(&request)).await;
            match answer {
                Ok(Ok(answer)) if answer.status == 200 => {
                    let wait = started.elapsed();
                    log.longest_wait = log.longest_wait.max(wait);
                    log.waits_microseconds.push(u32::try_from(wait.as_micros()).unwrap_or(u32::MAX));
                    let rejected = answer.json()["rejected"].as_array().cloned().unwrap_or_default();
                    let index = |r: &Value| usize::try_from(r["index"].as_u64()?).ok();
                    return End::Answered(rejected.iter().filter_map(index).collect());
                }
                // Overload and outages are 429 and 5xx: the same request may well succeed later.
                Ok(Ok(answer)) if answer.status < 500 && answer.status != 429 => return End::Refused,
                _ if started.elapsed() > self.load.patience => return End::Unknown,
                Ok(Err(error)) if error.kind() != ErrorKind::ConnectionRefused => {
                    log.cut += 1;
                    log.repeats += 1;
                }
                _ => log.repeats += 1,
            }
            tokio::time::sleep(PAUSE).await;
        }
        End::Unknown
    }
}

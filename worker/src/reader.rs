//! Reads one lane, every message in sequence, with a pull loop of its own.
//!
//! The consumer is ephemeral, in memory and without acknowledgements: positions live in PostgreSQL. Being unfiltered, it sees
//! consecutive sequences, so every gap is an alarm. On anything unexpected (a reconnect, five seconds of silence, a gap, a vanished
//! consumer) the reader says why and ends; the owner proves its position again and starts a new one, in 30 to 50 ms. The library's
//! own streams stall for 5 to 15 s after a server restart, and its ordered consumer can forget where it began (0.51).
//!
//! Bound: one pull at a time, so at most [`PULL_BYTES`] in the subscription, and [`AHEAD`] messages in the channel.

use std::time::Duration;

use async_nats::jetstream::Context;
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, pull};
use async_nats::{StatusCode, Subscriber};
use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures_util::StreamExt;
use shared::domain::message::{self, BATCH_ID_HEADER, DecodeError, EVENTS_HEADER, Message};
use shared::stream::connection::Connection;
use shared::stream::lanes::{self, Lane};
use tokio::sync::mpsc;

/// Messages waiting for the owner.
pub const AHEAD: usize = 16;
/// Bytes of one pull.
pub const PULL_BYTES: usize = 8 << 20;
const PULL_MESSAGES: usize = 256;
const PULL_EXPIRES: Duration = Duration::from_secs(20);
const HEARTBEAT: Duration = Duration::from_secs(2);
const SILENCE: Duration = Duration::from_secs(5);
const INACTIVE: Duration = Duration::from_secs(25);

/// What a reader hands over.
#[derive(Debug)]
pub enum Read {
    /// The next message.
    Message(Fetched),
    /// The reader has ended, for this reason.
    Lost(String),
}

/// One message as it was read.
#[derive(Debug)]
pub struct Fetched {
    /// Its sequence in the stream.
    pub seq: i64,
    /// Its unique batch id.
    pub batch_id: String,
    /// How many events its header says it holds.
    pub events: u64,
    /// How many messages are still behind it.
    pub pending: u64,
    /// When the stream took it.
    pub published: DateTime<Utc>,
    /// The subject of another layout, under which it must not have come.
    pub foreign: Option<String>,
    /// The bytes.
    pub payload: Bytes,
}

impl Fetched {
    /// Reads it. One that is cut by another layout counts as damaged: its partitions mean other users now. Redriving it cuts it anew.
    pub fn open(&self) -> Result<Message, DecodeError> {
        match &self.foreign {
            Some(subject) => Err(DecodeError::Damaged(format!(
                "it was published under {subject} after `worker repartition` had closed it: redrive it"
            ))),
            None => message::decode(&self.payload),
        }
    }
}

/// A running reader; dropping it ends the task.
#[derive(Debug)]
pub struct Reader {
    /// What it reads, in sequence.
    pub messages: mpsc::Receiver<Read>,
    task: tokio::task::JoinHandle<()>,
}

impl Reader {
    /// Starts to read a lane at a sequence.
    #[must_use]
    pub fn start(connection: &Connection, lane: &Lane, from: i64) -> Self {
        Self::begin(connection, lane, from, false)
    }

    /// The same without payloads: only what the headers say.
    #[must_use]
    pub fn start_headers(connection: &Connection, lane: &Lane, from: i64) -> Self {
        Self::begin(connection, lane, from, true)
    }

    fn begin(connection: &Connection, lane: &Lane, from: i64, headers_only: bool) -> Self {
        let (sender, messages) = mpsc::channel(AHEAD);
        let (connection, lane) = (connection.clone(), lane.clone());
        let task = tokio::spawn(async move {
            let Err(reason) = follow(connection, lane, from, headers_only, &sender).await;
            // Nobody listens any more when the owner has dropped us.
            let _ = sender.send(Read::Lost(reason)).await;
        });
        Self { messages, task }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn follow(
    mut connection: Connection,
    lane: Lane,
    from: i64,
    headers_only: bool,
    sender: &mpsc::Sender<Read>,
) -> Result<std::convert::Infallible, String> {
    connection.epochs.mark_unchanged();
    let client = connection.client.clone();
    let config = pull::Config {
        deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: u64::try_from(from).unwrap_or(1) },
        ack_policy: AckPolicy::None,
        memory_storage: true,
        num_replicas: 1,
        inactive_threshold: INACTIVE,
        headers_only,
        ..pull::Config::default()
    };
    let jetstream = lanes::jetstream(client.clone());
    let consumer = jetstream
        .create_consumer_on_stream(config, &lane.stream)
        .await
        .map_err(|e| format!("a consumer on {} cannot be created: {e}", lane.stream))?;
    let next = format!("$JS.API.CONSUMER.MSG.NEXT.{}.{}", lane.stream, consumer.cached_info().name);
    let inbox = client.new_inbox();
    let mut subscription =
        client.subscribe(format!("{inbox}.*")).await.map_err(|e| format!("cannot subscribe: {e}"))?;
    let request = serde_json::json!({
        "batch": PULL_MESSAGES,
        "max_bytes": PULL_BYTES,
        "expires": PULL_EXPIRES.as_nanos(),
        "idle_heartbeat": HEARTBEAT.as_nanos(),
    });
    let request = Bytes::from(request.to_string());
    let mut expected = from;
    for number in 0_u64.. {
        // Each pull is answered under a subject of its own: the end of one that was full comes after the next was asked for. Taken
        // for that one's end, it would be followed by one pull more each time, until the subscription overflows.
        let pull = format!("{inbox}.{number}");
        client
            .publish_with_reply(next.clone(), pull.clone(), request.clone())
            .await
            .map_err(|e| format!("cannot ask for messages: {e}"))?;
        let mut left = PULL_MESSAGES;
        while left > 0 {
            match received(&mut subscription, &mut connection, &pull).await? {
                Received::Message(message) => {
                    let fetched = fetched(jetstream.clone(), &lane, message)?;
                    if fetched.seq != expected {
                        return Err(format!(
                            "message {expected} of {} was expected, {} came",
                            lane.stream, fetched.seq
                        ));
                    }
                    expected += 1;
                    left -= 1;
                    if sender.send(Read::Message(fetched)).await.is_err() {
                        return Err("the owner is gone".to_owned());
                    }
                }
                Received::StillThere => {}
                Received::EndOfPull => break,
            }
        }
    }
    Err("pulls ran out".to_owned())
}

enum Received {
    Message(async_nats::Message),
    StillThere,
    EndOfPull,
}

async fn received(subscription: &mut Subscriber, connection: &mut Connection, pull: &str) -> Result<Received, String> {
    let message = tokio::select! {
        message = tokio::time::timeout(SILENCE, subscription.next()) => message,
        _ = connection.epochs.changed() => return Err("the connection to NATS was re-established".to_owned()),
    };
    let message = message
        .map_err(|_| format!("nothing was heard from the stream for {} s", SILENCE.as_secs()))?
        .ok_or("the subscription ended")?;
    let description = message.description.as_deref().unwrap_or_default();
    match message.status {
        None => Ok(Received::Message(message)),
        // About a pull before this one.
        Some(_) if message.subject.as_str() != pull => Ok(Received::StillThere),
        Some(StatusCode::IDLE_HEARTBEAT) => Ok(Received::StillThere),
        Some(StatusCode::TIMEOUT) => Ok(Received::EndOfPull),
        Some(StatusCode::REQUEST_TERMINATED) if ends_a_pull(description) => Ok(Received::EndOfPull),
        Some(status) => Err(format!("the server ended the pull: {status} {description}")),
    }
}

/// Of all the 409 answers these two are the ordinary end of a full pull.
fn ends_a_pull(description: &str) -> bool {
    ["Batch Completed", "Message Size Exceeds MaxBytes"].iter().any(|end| description.eq_ignore_ascii_case(end))
}

fn fetched(context: Context, lane: &Lane, message: async_nats::Message) -> Result<Fetched, String> {
    let message = async_nats::jetstream::Message { message, context };
    let info = message.info().map_err(|e| format!("a message without its sequence: {e}"))?;
    let header = |name| message.headers.as_ref().and_then(|h| h.get(name)).map(|v| v.as_str());
    Ok(Fetched {
        seq: i64::try_from(info.stream_sequence).unwrap_or(i64::MAX),
        batch_id: header(BATCH_ID_HEADER).unwrap_or_default().to_owned(),
        events: header(EVENTS_HEADER).and_then(|n| n.parse().ok()).unwrap_or(1),
        pending: info.pending,
        published: info.published,
        foreign: (!lane.takes(&message.subject)).then(|| message.subject.to_string()),
        payload: message.payload.clone(),
    })
}

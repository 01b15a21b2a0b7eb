//! Closing the streams for a repartition, and opening them under the next layout.
//!
//! A sealed stream has a subject that nobody publishes to but the one who sealed it, so the server itself keeps every ingest process
//! out, whatever it knows. The *barrier* is a message without events: what was under way when the subject changed lies before it,
//! because the stream takes messages in order, and nothing comes after it.

use std::time::Duration;

use async_nats::jetstream::Context;
use chrono::Utc;

use super::StreamError;
use super::lanes::{self, Lane, StreamState};
use super::sealed::{Answer, Sealed};
use crate::domain::layout::Layout;
use crate::domain::message::{PLAIN_VERSION, encode};

/// One attempt to publish a barrier.
const ATTEMPT: Duration = Duration::from_secs(5);

/// The last message of a lane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Barrier {
    /// Its sequence.
    pub seq: u64,
    /// Its batch id.
    pub batch_id: String,
}

/// Closes a lane: from the answer on no event can be published.
pub async fn seal(context: &Context, lane: &Lane) -> Result<StreamState, StreamError> {
    lanes::change(context, lane, &lane.sealed_subject, None).await
}

/// Opens a lane under a layout. What lies up to the barrier is of the layout before.
pub async fn open(context: &Context, lane: &Lane, layout: Layout, barrier: u64) -> Result<StreamState, StreamError> {
    let lane = lane.at_epoch(layout.epoch);
    lanes::change(context, &lane, &lane.subject, Some((layout, barrier))).await
}

/// Opens a lane as it was before it was sealed.
pub async fn unseal(context: &Context, lane: &Lane) -> Result<StreamState, StreamError> {
    lanes::change(context, lane, &lane.subject, None).await
}

/// Publishes a message without events to a sealed lane. The error says why there is none.
pub async fn barrier(client: &async_nats::Client, lane: &Lane) -> Result<Barrier, String> {
    let payload = encode(PLAIN_VERSION, Utc::now(), std::iter::empty());
    let message = Sealed::new(PLAIN_VERSION, payload, 0);
    match message.send(client, &lane.sealed_subject, ATTEMPT).await {
        Answer::Acknowledged { sequence, .. } => Ok(Barrier { seq: sequence, batch_id: message.batch_id().to_owned() }),
        Answer::Full => Err(format!("stream {} is full; it is trimmed as it is processed", lane.stream)),
        Answer::Failed(why) => Err(format!("stream {}: {why}", lane.stream)),
    }
}

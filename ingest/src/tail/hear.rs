//! Hears who listens, and publishes what they want to see. Two tasks for the whole life of the process.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_nats::Client;
use bytes::Bytes;
use futures_util::StreamExt;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use super::Tail;
use super::filter::Filter;

/// Between looks for listeners that went away, and after a failure.
const TICK: Duration = Duration::from_secs(1);

/// What a listener says of itself.
#[derive(Debug, Serialize, Deserialize)]
pub struct Announcement {
    /// Of this listener; part of its subject.
    pub id: String,
    /// What it wants to see.
    pub filter: Filter,
}

/// Keeps the list of listeners.
pub async fn hear(client: Client, tail: Arc<Tail>) {
    loop {
        if let Ok(mut announcements) = client.subscribe(tail.subjects.announcements()).await {
            loop {
                tokio::select! {
                    heard = announcements.next() => match heard {
                        Some(message) => {
                            // Another program's message on our subject is nobody's announcement.
                            if let Ok(said) = serde_json::from_slice::<Announcement>(&message.payload) {
                                tail.heard(said.id, said.filter, Instant::now());
                            }
                        }
                        None => break,
                    },
                    () = tokio::time::sleep(TICK) => {}
                }
                tail.forget(Instant::now());
            }
        }
        tokio::time::sleep(TICK).await;
    }
}

/// Publishes entries. What cannot be published is lost: it is a tail.
pub async fn publish(client: Client, mut queue: mpsc::Receiver<(String, Bytes)>) {
    while let Some((subject, entry)) = queue.recv().await {
        if let Err(error) = client.publish(subject, entry).await {
            tracing::debug!(%error, "an entry of the live tail was not published");
        }
    }
}

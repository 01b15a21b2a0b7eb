//! Hears the workers' notices, once for all streams of the process.
//!
//! A stream takes its seat, and with it the place where it is woken, before it reads; and when the subscription begins, or began anew
//! with another connection, everybody is woken once. So between a read and a notice nothing is missed, unless NATS itself drops it; then
//! it is found at the next look.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use shared::stream::connection::Connection;
use shared::stream::notice;

use super::Feed;

/// After a failure.
const RETRY: Duration = Duration::from_secs(1);

/// Wakes streams, for the whole life of the process.
pub async fn hear(connection: Connection, stream_prefix: String, feed: Arc<Feed>) {
    let mut epochs = connection.epochs.clone();
    loop {
        epochs.mark_unchanged();
        if let Ok(mut notices) = connection.client.subscribe(notice::subject(&stream_prefix)).await {
            // A server that has answered knows of the subscription.
            let _ = connection.client.flush().await;
            feed.wake_all();
            loop {
                tokio::select! {
                    heard = notices.next() => match heard {
                        Some(message) => feed.wake(notice::users(&message.payload)),
                        None => break,
                    },
                    Ok(()) = epochs.changed() => {
                        let _ = connection.client.flush().await;
                        feed.wake_all();
                    }
                }
            }
        }
        tokio::time::sleep(RETRY).await;
    }
}

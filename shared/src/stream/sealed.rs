//! Puts one stream message on the wire and reads the server's answer: a group commit of ingest, or dead letters driven again.
//!
//! Not async-nats' JetStream publish: it waits for ever once its permits for open acknowledgements are used up. This is the same
//! request with a deadline of its own.

use std::time::Duration;

use async_nats::client::{Request, RequestErrorKind};
use async_nats::{Client, HeaderMap};
use bytes::Bytes;
use serde::Deserialize;
use uuid::Uuid;

use crate::domain::message::{BATCH_ID_HEADER, EVENTS_HEADER, FORMAT_HEADER};

/// A sealed message: the same bytes under the same id at each attempt, so the server can drop a repetition.
#[derive(Debug)]
pub struct Sealed {
    headers: HeaderMap,
    payload: Bytes,
    /// Events it holds.
    pub events: usize,
}

/// The server's answer to a publish.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer {
    /// Synced under this sequence.
    Acknowledged {
        /// Of the message.
        sequence: u64,
        /// An earlier attempt had landed.
        duplicate: bool,
    },
    /// The stream or the disk is full.
    Full,
    /// Not now, for the reason given: no stream, no leader, no answer.
    Failed(String),
}

impl Sealed {
    /// Seals a payload of a format version under a fresh batch id.
    #[must_use]
    pub fn new(version: u16, payload: Vec<u8>, events: usize) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(BATCH_ID_HEADER, Uuid::new_v4().to_string());
        headers.insert(EVENTS_HEADER, events.to_string());
        headers.insert(FORMAT_HEADER, version.to_string());
        Self { headers, payload: payload.into(), events }
    }

    /// The unique id under which it goes.
    #[must_use]
    pub fn batch_id(&self) -> &str {
        self.headers.get(BATCH_ID_HEADER).map_or("", |id| id.as_str())
    }

    /// Size of the payload.
    #[must_use]
    pub fn byte_len(&self) -> usize {
        self.payload.len()
    }

    /// One attempt.
    pub async fn send(&self, client: &Client, subject: &str, patience: Duration) -> Answer {
        let request = Request::new().headers(self.headers.clone()).payload(self.payload.clone()).timeout(None);
        // Around all of it: the library's own timeout begins when the request has found a place in its queue, which a server that
        // reads nothing keeps full.
        let Ok(answer) = tokio::time::timeout(patience, client.send_request(subject.to_owned(), request)).await else {
            return Answer::Failed("no answer in time".to_owned());
        };
        match answer {
            Ok(message) => read(&message.payload),
            Err(error) => Answer::Failed(match error.kind() {
                RequestErrorKind::NoResponders => "no stream takes the subject".to_owned(),
                _ => error.to_string(),
            }),
        }
    }
}

#[derive(Deserialize)]
struct Ack {
    #[serde(default)]
    seq: u64,
    #[serde(default)]
    duplicate: bool,
    error: Option<ServerError>,
}

#[derive(Deserialize)]
struct ServerError {
    #[serde(default)]
    err_code: u64,
    #[serde(default)]
    description: String,
}

/// Error codes of the server that mean "no room": store failed (also `maximum bytes exceeded`), insufficient resources,
/// storage resources exceeded.
const NO_ROOM: [u64; 3] = [10_077, 10_023, 10_047];

fn read(payload: &[u8]) -> Answer {
    match serde_json::from_slice::<Ack>(payload) {
        Ok(Ack { error: Some(error), .. }) if NO_ROOM.contains(&error.err_code) => Answer::Full,
        Ok(Ack { error: Some(error), .. }) => Answer::Failed(error.description),
        Ok(ack) if ack.seq > 0 => Answer::Acknowledged { sequence: ack.seq, duplicate: ack.duplicate },
        _ => Answer::Failed("an answer that is no acknowledgement".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_sequence_is_an_acknowledgement() {
        let answer = |text: &str| read(text.as_bytes());
        assert_eq!(answer(r#"{"stream":"EVENTS_0","seq":7}"#), Answer::Acknowledged { sequence: 7, duplicate: false });
        assert_eq!(
            answer(r#"{"stream":"E","seq":7,"duplicate":true}"#),
            Answer::Acknowledged { sequence: 7, duplicate: true }
        );
        let full =
            r#"{"error":{"code":503,"err_code":10077,"description":"maximum bytes exceeded"},"stream":"E","seq":0}"#;
        assert_eq!(answer(full), Answer::Full);
        for text in ["", "{}", r#"{"seq":0}"#, r#"{"error":{"code":503,"description":"no leader"},"seq":9}"#, "+OK"] {
            assert!(matches!(answer(text), Answer::Failed(_)), "{text}");
        }
    }
}

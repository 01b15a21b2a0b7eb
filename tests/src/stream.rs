//! The stream of a test, seen with a test's own eyes: what lies in it, and messages that no ingest would write.

use std::collections::BTreeMap;
use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::jetstream::Context;
use bytes::Bytes;
use shared::domain::layout::Layout;
use shared::domain::message::{self, BATCH_ID_HEADER, DecodeError, EVENTS_HEADER, FORMAT_HEADER, PLAIN_VERSION};
use shared::runtime::settings::Reader;
use shared::runtime::settings::pipeline::Pipeline;
use shared::stream::lanes::{self, Lane, StreamState};

use crate::cleanup::finish;
use crate::eventually::eventually;

/// The lanes of a test's pipeline. Their streams are deleted when the value is dropped.
#[derive(Debug)]
pub struct TestStream {
    /// Names of the first lane, which most tests have alone.
    pub lane: Lane,
    /// All lanes, the first one included.
    pub lanes: Vec<Lane>,
    /// For what is not offered here.
    pub context: Context,
    nats_url: String,
}

impl TestStream {
    /// Connects; the streams need not exist yet.
    pub async fn connect(nats_url: &str, prefix: &str, lanes: u16) -> Self {
        let client = connect(nats_url).await.unwrap_or_else(|e| panic!("NATS does not answer: {e}"));
        Self {
            lane: Lane::new(prefix, 0),
            lanes: (0..lanes).map(|number| Lane::new(prefix, number)).collect(),
            context: lanes::jetstream(client),
            nats_url: nats_url.to_owned(),
        }
    }

    /// State of the first lane, once it exists and the server answers.
    pub async fn state(&self) -> StreamState {
        self.state_of(&self.lane).await
    }

    /// State of a lane, once it exists and the server answers.
    pub async fn state_of(&self, lane: &Lane) -> StreamState {
        eventually("the stream can be read", async || match lanes::state(&self.context, lane).await {
            Ok(Some(state)) => Ok(state),
            Ok(None) => Err("there is no such stream".to_owned()),
            Err(error) => Err(error.to_string()),
        })
        .await
    }

    /// Makes it as the first worker would, with the settings of these variables.
    ///
    /// # Panics
    /// When it cannot be made.
    pub async fn create(&self, environment: &[(String, String)]) {
        let mut reader = Reader::from_map(environment.iter().cloned());
        let settings = Pipeline::read(&mut reader);
        lanes::create(&self.context, &self.lane, &settings, settings.first_layout)
            .await
            .expect("the stream can be made");
    }

    /// From now on the streams are looked at by this layout.
    pub fn follow(&mut self, layout: Layout) {
        let prefix = self.lane.stream.trim_end_matches("_0").to_owned();
        self.lanes = Lane::all(&prefix, layout);
        self.lane = self.lanes[0].clone();
    }

    /// Deletes it now.
    ///
    /// # Panics
    /// When that fails.
    pub async fn delete(&self) {
        self.context.delete_stream(&self.lane.stream).await.expect("the stream can be deleted");
    }

    /// Publishes lines as ingest would, and returns the sequence. Lines need not be events.
    pub async fn publish_lines(&self, lines: &[(u16, &[u8])]) -> u64 {
        let payload = message::encode(PLAIN_VERSION, chrono::Utc::now(), lines.iter().copied());
        self.publish(payload.into(), lines.len(), PLAIN_VERSION).await
    }

    /// Publishes any bytes under our headers, and returns the sequence.
    ///
    /// # Panics
    /// When the stream refuses it.
    pub async fn publish(&self, payload: Bytes, events: usize, format_version: u16) -> u64 {
        let mut headers = HeaderMap::new();
        headers.insert(BATCH_ID_HEADER, uuid::Uuid::new_v4().to_string());
        headers.insert(EVENTS_HEADER, events.to_string());
        headers.insert(FORMAT_HEADER, format_version.to_string());
        let sent = self.context.publish_with_headers(self.lane.subject.clone(), headers, payload).await;
        sent.expect("the stream takes a message").await.expect("the stream acknowledges a message").sequence
    }

    /// How many events each partition was given in the messages that are still there, by opening every one of them: one side
    /// of the audit, made without a word from the programs.
    ///
    /// # Panics
    /// When a message is missing inside the stream, or cannot be decoded.
    pub async fn events_by_partition(&self) -> BTreeMap<u16, i64> {
        let mut counts = BTreeMap::new();
        for lane in &self.lanes {
            let state = self.state_of(lane).await;
            for seq in state.first_seq..=state.last_seq {
                let found = lanes::message(&self.context, lane, seq).await.expect("the stream can be read");
                let found = found.unwrap_or_else(|| panic!("message {seq} is missing from the middle of the stream"));
                let segments: Vec<(u16, usize)> = match message::decode(&found.payload) {
                    Ok(message) => message.segments.iter().map(|s| (s.partition, s.count)).collect(),
                    // Of a build that is one version ahead.
                    Err(DecodeError::Newer(_)) => index(&found.payload),
                    Err(error) => panic!("message {seq}: {error}"),
                };
                for (partition, count) in segments {
                    *counts.entry(partition).or_default() += i64::try_from(count).unwrap_or(i64::MAX);
                }
            }
        }
        counts
    }
}

/// Partitions and counts as a message's header has them.
fn index(payload: &[u8]) -> Vec<(u16, usize)> {
    let header = payload.split(|&byte| byte == b'\n').next().unwrap_or_default();
    let header: serde_json::Value = serde_json::from_slice(header).expect("a header is JSON");
    let index: Vec<(u16, usize, usize, usize)> =
        serde_json::from_value(header["index"].clone()).expect("a header has an index");
    index.into_iter().map(|(partition, _, _, count)| (partition, count)).collect()
}

/// Of several servers one that answers; soon another one when it falls silent.
async fn connect(urls: &str) -> Result<async_nats::Client, async_nats::ConnectError> {
    let options = async_nats::ConnectOptions::new();
    let options = options.ping_interval(Duration::from_secs(2)).connection_timeout(Duration::from_secs(2));
    options.connect(urls.split(',').collect::<Vec<_>>()).await
}

impl Drop for TestStream {
    fn drop(&mut self) {
        let (url, lanes) = (self.nats_url.clone(), self.lanes.clone());
        finish(async move {
            // A server that a test has killed for good takes its streams with it.
            if let Ok(client) = connect(&url).await {
                let context = lanes::jetstream(client);
                for lane in lanes {
                    let _ = context.delete_stream(lane.stream).await;
                }
            }
        });
    }
}

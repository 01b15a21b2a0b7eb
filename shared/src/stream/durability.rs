//! The proof that a PubAck means "on disk": without it ingest does not accept and the worker does not start.
//!
//! JetStream acknowledges before it syncs, unless `sync_interval: always` is set on every node; at the default of two minutes a
//! power cut lost *every* acknowledged message of a young stream. Older servers lose streams on kill -9 (2.10.20 to 22) or compact
//! them wrongly even with `always`, so the version counts too. Only the monitoring port tells about `sync_always`.

use std::collections::BTreeSet;
use std::time::Duration;

use async_nats::jetstream::Context;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use serde::Deserialize;

use super::connection::Connection;
use super::lanes::{self, Lane, StreamState};
use crate::domain::layout::Layout;
use crate::runtime::settings::pipeline::Pipeline;

/// The oldest server that keeps what it acknowledged, with our use (prefix purges, `always`).
pub const OLDEST_SERVER: (u64, u64, u64) = (2, 15, 1);
/// A message holds up to 512 KiB of events, or one event of 1 MiB with its index.
pub const SMALLEST_MAX_PAYLOAD_BYTES: usize = 2 << 20;

/// Once most nodes are proven, how long the others may take to answer.
const STRAGGLERS: Duration = Duration::from_millis(500);
/// A stream that has no leader at the moment does not answer at all.
const STREAM_PATIENCE: Duration = Duration::from_secs(2);

/// What the checks found.
#[derive(Debug, Default)]
pub struct Examined {
    /// What is wrong, each with what to do; empty when a PubAck can be trusted.
    pub wrong: Vec<String>,
    /// What could not be asked just now: NATS is away, or a stream has no leader. It says nothing about PubAcks.
    pub unanswered: Vec<String>,
    /// Nodes whose monitoring does not answer while most others prove that they sync.
    pub unseen: Vec<String>,
    /// Streams that are closed while the pipeline is being repartitioned.
    pub sealed: Vec<String>,
    /// The layout, as the first lane has it.
    pub layout: Option<Layout>,
    /// The streams that answered.
    pub streams: Vec<(Lane, StreamState)>,
}

impl Examined {
    /// Why no event can be published, if streams are sealed.
    #[must_use]
    pub fn repartitioning(&self) -> Option<String> {
        (!self.sealed.is_empty()).then(|| {
            format!(
                "the pipeline is being repartitioned ({} closed): events are accepted again when `worker repartition` has ended; if it was broken off, run it again",
                self.sealed.join(", ")
            )
        })
    }
}

/// Everything that keeps a program from starting; empty when a PubAck can be trusted. See [`examine`].
pub async fn problems(connection: &Connection, settings: &Pipeline) -> Vec<String> {
    let mut found = examine(connection, settings).await;
    found.wrong.extend(found.repartitioning());
    found.wrong.extend(found.unanswered);
    found.wrong
}

/// Looks at server, nodes and streams. Never waits longer than a few seconds. The streams must exist.
///
/// Of a cluster most nodes must prove that they sync each write, and none may say that it does not: a node that is down must not
/// stop the others, and most of them is what acknowledges a message.
pub async fn examine(connection: &Connection, settings: &Pipeline) -> Examined {
    let mut found = Examined::default();
    if !connection.is_up() {
        found.unanswered.push("NATS is not connected".to_owned());
        return found;
    }
    let server = connection.client.server_info();
    if !is_at_least(&server.version, OLDEST_SERVER) {
        let (major, minor, patch) = OLDEST_SERVER;
        found.wrong.push(format!(
            "nats-server is {}, and needs to be {major}.{minor}.{patch} or newer: upgrade it",
            server.version
        ));
    }
    if server.max_payload < SMALLEST_MAX_PAYLOAD_BYTES {
        found.wrong.push(format!(
            "max_payload of nats-server is {} bytes: set it to 8MB in its configuration",
            server.max_payload
        ));
    }
    if !settings.accept_data_loss {
        check_syncing(settings, &mut found).await;
    }
    let mut context = lanes::jetstream(connection.client.clone());
    context.set_timeout(STREAM_PATIENCE);
    look_at_streams(&context, settings, &mut found).await;
    found
}

/// The first lane says how many there are.
async fn look_at_streams(context: &Context, settings: &Pipeline, found: &mut Examined) {
    let mut lanes = vec![Lane::new(&settings.stream_prefix, 0)];
    while let Some(lane) = lanes.pop() {
        let state = match lanes::state(context, &lane).await {
            Err(error) => {
                found.unanswered.push(error.to_string());
                continue;
            }
            Ok(None) => {
                found.wrong.push(format!(
                    "stream {} does not exist: the first worker makes it; if it did exist, it was deleted or its volume is gone: see `worker adopt-stream`",
                    lane.stream
                ));
                continue;
            }
            Ok(Some(state)) => state,
        };
        found.wrong.extend(state.problems.iter().cloned());
        if state.sealed {
            found.sealed.push(lane.stream.clone());
        }
        if lane.number == 0 {
            found.layout = Some(state.layout);
            lanes = Lane::all(&settings.stream_prefix, state.layout);
            lanes.retain(|lane| lane.number > 0);
            lanes.reverse();
        }
        found.streams.push((lane.at_epoch(state.layout.epoch), state));
    }
    let foreign = found.streams.iter().find(|(_, state)| Some(state.layout) != found.layout);
    // In the middle of a repartition they differ.
    if let (Some((lane, state)), Some(layout), true) = (foreign, found.layout, found.sealed.is_empty()) {
        found.wrong.push(format!(
            "stream {} is of {}, and the first lane of {layout}: is it a copy from before `worker repartition`?",
            lane.stream, state.layout
        ));
    }
}

/// Whether the nodes sync each write before they acknowledge it.
async fn check_syncing(settings: &Pipeline, found: &mut Examined) {
    let nodes = settings.nats_monitor_urls.len();
    if nodes == 0 {
        let why = "NATS_MONITOR_URLS is not set: only a node's monitoring port tells whether it syncs each write";
        found.wrong.push(why.to_owned());
        return;
    }
    let ask = |url: &String| {
        let url = url.clone();
        async move { (jetstream_of(&url).await, url) }
    };
    let mut answers: FuturesUnordered<_> = settings.nats_monitor_urls.iter().map(ask).collect();
    let mut waiting: BTreeSet<&String> = settings.nats_monitor_urls.iter().collect();
    let (mut proven, mut unseen) = (0, Vec::new());
    loop {
        let patience = if proven > nodes / 2 { STRAGGLERS } else { Duration::MAX };
        let Ok(Some((answer, url))) = tokio::time::timeout(patience, answers.next()).await else { break };
        waiting.remove(&url);
        match answer {
            Err(why) => unseen.push(format!("{url}/jsz cannot be read: {why}")),
            Ok(node) if node.config.sync_always => proven += 1,
            Ok(_) => found.wrong.push(format!(
                "the NATS node at {url} does not sync each write: set `sync_interval: always` in the jetstream block of its configuration"
            )),
        }
    }
    unseen.extend(waiting.into_iter().map(|url| format!("{url}/jsz cannot be read: no answer yet")));
    let most = proven > nodes / 2;
    if most { &mut found.unseen } else { &mut found.wrong }.extend(unseen);
}

#[derive(Deserialize)]
struct Jsz {
    #[serde(default)]
    config: JszConfig,
}

#[derive(Deserialize, Default)]
struct JszConfig {
    #[serde(default)]
    sync_always: bool,
}

async fn jetstream_of(url: &str) -> Result<Jsz, String> {
    let uri: http::Uri = format!("{}/jsz?config=true", url.trim_end_matches('/'))
        .parse()
        .map_err(|e| format!("not an address ({e})"))?;
    let client: Client<_, Empty<bytes::Bytes>> = Client::builder(TokioExecutor::new()).build_http();
    let read = async {
        let answer = client.get(uri).await.map_err(|e| e.to_string())?;
        let body = Limited::new(answer.into_body(), 1 << 20).collect().await.map_err(|e| e.to_string())?;
        serde_json::from_slice(&body.to_bytes()).map_err(|e| format!("it is not JSON ({e})"))
    };
    tokio::time::timeout(Duration::from_secs(3), read).await.unwrap_or_else(|_| Err("no answer within 3 s".to_owned()))
}

/// Is `version` (`2.15.1`, `2.16.0-beta.1`) at least this one? A pre-release of the very version is not.
fn is_at_least(version: &str, oldest: (u64, u64, u64)) -> bool {
    let version = version.trim_start_matches('v');
    let (core, pre_release) = version.split_once('-').map_or((version, false), |(core, _)| (core, true));
    let mut numbers = core.split('.').map(|n| n.parse::<u64>().unwrap_or(0));
    let mut next = || numbers.next().unwrap_or(0);
    let found = (next(), next(), next());
    found > oldest || (found == oldest && !pre_release)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_by_number() {
        for (version, enough) in [("2.15.1", true), ("2.15.10", true), ("v3.0.0", true), ("2.16.0-beta.1", true)] {
            assert_eq!(is_at_least(version, OLDEST_SERVER), enough, "{version}");
        }
        for version in ["2.15.0", "2.9.99", "2.15.1-rc.1", "", "garbage"] {
            assert!(!is_at_least(version, OLDEST_SERVER), "{version}");
        }
    }
}

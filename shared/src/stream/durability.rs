//! The proof that a PubAck means "on disk": without it ingest does not accept and the worker does not start.
//!
//! JetStream acknowledges before it syncs, unless `sync_interval: always` is set on every node; at the default of two minutes a
//! power cut lost *every* acknowledged message of a young stream. Older servers lose streams on kill -9 (2.10.20 to 22) or compact
//! them wrongly even with `always`, so the version counts too. Only the monitoring port tells about `sync_always`.

use std::time::Duration;

use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use serde::Deserialize;

use super::connection::Connection;
use super::lanes::{self, Lane};
use crate::runtime::settings::pipeline::Pipeline;

/// The oldest server that keeps what it acknowledged, with our use (prefix purges, `always`).
pub const OLDEST_SERVER: (u64, u64, u64) = (2, 15, 1);
/// A message holds up to 512 KiB of events, or one event of 1 MiB with its index.
pub const SMALLEST_MAX_PAYLOAD_BYTES: usize = 2 << 20;

/// Everything that is wrong with the NATS side, each with what to do; empty when a PubAck can be trusted.
///
/// Never waits longer than a few seconds. The streams must exist.
pub async fn problems(connection: &Connection, settings: &Pipeline) -> Vec<String> {
    if !connection.is_up() {
        return vec!["NATS is not connected".to_owned()];
    }
    let mut problems = Vec::new();
    let server = connection.client.server_info();
    if !is_at_least(&server.version, OLDEST_SERVER) {
        let (major, minor, patch) = OLDEST_SERVER;
        problems.push(format!(
            "nats-server is {}, and needs to be {major}.{minor}.{patch} or newer: upgrade it",
            server.version
        ));
    }
    if server.max_payload < SMALLEST_MAX_PAYLOAD_BYTES {
        problems.push(format!(
            "max_payload of nats-server is {} bytes: set it to 8MB in its configuration",
            server.max_payload
        ));
    }
    problems.extend(sync_problems(settings).await);
    let context = lanes::jetstream(connection.client.clone());
    for lane in Lane::all(settings) {
        match lanes::state(&context, &lane).await {
            Err(error) => problems.push(error.to_string()),
            Ok(None) => problems.push(format!(
                "stream {} does not exist: the first worker makes it; if it did exist, it was deleted or its volume is gone: see `worker adopt-stream`",
                lane.stream
            )),
            Ok(Some(state)) => {
                problems.extend(state.problems);
                if (state.partitions, state.lanes) != (settings.partitions, settings.lanes) {
                    problems.push(format!(
                        "stream {} was made for PARTITIONS={} and LANES={}, and these are {} and {}: they are fixed at creation",
                        lane.stream, state.partitions, state.lanes, settings.partitions, settings.lanes
                    ));
                }
            }
        }
    }
    problems
}

/// Whether every node syncs each write before it acknowledges.
async fn sync_problems(settings: &Pipeline) -> Vec<String> {
    if settings.accept_data_loss {
        return Vec::new();
    }
    if settings.nats_monitor_urls.is_empty() {
        return vec![
            "NATS_MONITOR_URLS is not set: only a node's monitoring port tells whether it syncs each write".to_owned(),
        ];
    }
    let mut problems = Vec::new();
    for url in &settings.nats_monitor_urls {
        match jetstream_of(url).await {
            Err(why) => problems.push(format!("{url}/jsz cannot be read: {why}")),
            Ok(node) if node.config.sync_always => {}
            Ok(_) => problems.push(format!(
                "the NATS node at {url} does not sync each write: set `sync_interval: always` in the jetstream block of its configuration"
            )),
        }
    }
    problems
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

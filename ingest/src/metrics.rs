//! Every metric of ingest, in one place: a name with its unit, a meaning, and one function that moves it.
//!
//! All of them stand at zero from the start. Events are counted as events: a request whose events cannot be told apart (no key,
//! no budget, unreadable body, an empty batch) is one. Invariant once all answers are out: `received = accepted + rejected`.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::StatusCode;
use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};
use shared::domain::violation::Code;
use shared::store::failure;

use crate::observe::is_limited;
use crate::problem::Kind;

/// The client went away before its answer; its events may be in the stream all the same.
pub const ABANDONED: &str = "abandoned";
const CLASSES: [&str; 4] = ["2xx", "3xx", "4xx", "5xx"];
/// Requests that match no route.
const NO_ROUTE: &str = "none";

/// Name, kind and meaning of each metric, for `/metrics` and the README's table.
pub static ALL: [(&str, &str, &str); 30] = [
    ("ingest_events_received_total", "counter", "events that arrived, readable or not"),
    ("ingest_events_accepted_total", "counter", "events whose stream message was acknowledged"),
    ("ingest_events_rejected_total", "counter", "events that were not accepted, by `reason`"),
    ("ingest_publish_seconds", "histogram", "from sending a stream message to its acknowledgement, retries included"),
    ("ingest_publish_bytes", "histogram", "size of stream messages"),
    ("ingest_message_events", "histogram", "events per stream message"),
    ("ingest_publish_failures_total", "counter", "attempts to publish that failed or timed out"),
    ("ingest_in_flight_bytes", "gauge", "bytes of requests that wait for an answer"),
    ("ingest_in_flight_limit_bytes", "gauge", "MAX_IN_FLIGHT_BYTES"),
    ("ingest_inline_matches_total", "counter", "campaigns matched in answers"),
    ("ingest_inline_incomplete_total", "counter", "answers that could not look at what is known of a user"),
    (
        "ingest_overlay_patches",
        "gauge",
        "identifies, counted events and capped matches published but not yet seen in the database",
    ),
    ("ingest_dead_letters_redriven_total", "counter", "dead letters that the admin API put into the stream again"),
    ("ingest_dead_letters_discarded_total", "counter", "dead letters that the admin API discarded"),
    ("ingest_match_streams", "gauge", "open streams of matches"),
    ("ingest_matches_delivered_total", "counter", "matches given to apps, again and again until they are acknowledged"),
    ("ingest_matches_acknowledged_total", "counter", "matches that apps acknowledged"),
    ("ingest_http_requests_total", "counter", "answers by `route` and status `class`"),
    ("ingest_connections", "gauge", "open connections"),
    ("ingest_ready", "gauge", "1 when ready, else 0"),
    ("ingest_stream_bytes", "gauge", "bytes in the stream of a `lane`"),
    ("ingest_stream_fill_ratio", "gauge", "bytes in the stream of a `lane` over its max_bytes"),
    ("ingest_database_connections", "gauge", "connections to PostgreSQL by `state`: idle or in_use"),
    ("ingest_database_errors_total", "counter", "statements that failed, by `class` (`shared/src/store/failure.rs`)"),
    ("ingest_reads_total", "counter", "answers to people that were read from the `server`: database or standby"),
    (
        "ingest_standby_lag_seconds",
        "gauge",
        "how far DATABASE_READ_URL is behind; -1 without one, or when it cannot say",
    ),
    ("ingest_keys_age_seconds", "gauge", "age of the key table's snapshot; -1 before the first"),
    ("ingest_catalog_version", "gauge", "version of the campaigns in force; -1 before the first read"),
    ("ingest_inert_documents", "gauge", "campaigns, segments and flags that are malformed and do nothing"),
    ("ingest_build_info", "gauge", "1, with the `version` of this build"),
];

/// Handles on all metrics. Make it once, after the recorder is installed.
pub struct Metrics {
    received: Counter,
    accepted: Counter,
    rejected: HashMap<&'static str, Counter>,
    publish_seconds: Histogram,
    publish_bytes: Histogram,
    message_events: Histogram,
    publish_failures: Counter,
    in_flight_bytes: Gauge,
    inline_matches: Counter,
    inline_incomplete: Counter,
    overlay_patches: Gauge,
    dead_letters_redriven: Counter,
    dead_letters_discarded: Counter,
    match_streams: Gauge,
    matches_delivered: Counter,
    matches_acknowledged: Counter,
    http_requests: HashMap<&'static str, [Counter; CLASSES.len()]>,
    connections: Gauge,
    ready: Gauge,
    database_idle: Gauge,
    database_in_use: Gauge,
    reads: [(&'static str, Counter); 2],
    standby_lag_seconds: Gauge,
    keys_age_seconds: Gauge,
    catalog_version: Gauge,
    inert_documents: Gauge,
    /// The two that `/v1/admin/status` reads; counters of the recorder can only be printed.
    accepted_events: AtomicU64,
    refused_requests: AtomicU64,
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Metrics")
    }
}

impl Metrics {
    /// Registers every metric at zero. `routes` are the label values of requests.
    #[must_use]
    pub fn register(in_flight_limit_bytes: usize, routes: impl Iterator<Item = &'static str>) -> Self {
        for (name, kind, meaning) in ALL {
            match kind {
                "counter" => metrics::describe_counter!(name, meaning),
                "gauge" => metrics::describe_gauge!(name, meaning),
                _ => metrics::describe_histogram!(name, meaning),
            }
        }
        let reasons = Kind::ALL.iter().map(|k| k.code()).chain(Code::ALL.iter().map(|c| c.as_str())).chain([ABANDONED]);
        let by_class =
            |route| CLASSES.map(|class| counter!("ingest_http_requests_total", "route" => route, "class" => class));
        failure::count_as("ingest_database_errors_total");
        gauge!("ingest_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
        gauge!("ingest_in_flight_limit_bytes").set(float(in_flight_limit_bytes));
        Self {
            received: counter!("ingest_events_received_total"),
            accepted: counter!("ingest_events_accepted_total"),
            rejected: reasons
                .map(|reason| (reason, counter!("ingest_events_rejected_total", "reason" => reason)))
                .collect(),
            publish_seconds: histogram!("ingest_publish_seconds"),
            publish_bytes: histogram!("ingest_publish_bytes"),
            message_events: histogram!("ingest_message_events"),
            publish_failures: counter!("ingest_publish_failures_total"),
            in_flight_bytes: gauge!("ingest_in_flight_bytes"),
            inline_matches: counter!("ingest_inline_matches_total"),
            inline_incomplete: counter!("ingest_inline_incomplete_total"),
            overlay_patches: gauge!("ingest_overlay_patches"),
            dead_letters_redriven: counter!("ingest_dead_letters_redriven_total"),
            dead_letters_discarded: counter!("ingest_dead_letters_discarded_total"),
            match_streams: gauge!("ingest_match_streams"),
            matches_delivered: counter!("ingest_matches_delivered_total"),
            matches_acknowledged: counter!("ingest_matches_acknowledged_total"),
            http_requests: routes.chain([NO_ROUTE]).map(|route| (route, by_class(route))).collect(),
            connections: gauge!("ingest_connections"),
            ready: gauge!("ingest_ready"),
            database_idle: gauge!("ingest_database_connections", "state" => "idle"),
            database_in_use: gauge!("ingest_database_connections", "state" => "in_use"),
            reads: ["database", "standby"].map(|server| (server, counter!("ingest_reads_total", "server" => server))),
            standby_lag_seconds: gauge!("ingest_standby_lag_seconds"),
            keys_age_seconds: gauge!("ingest_keys_age_seconds"),
            catalog_version: gauge!("ingest_catalog_version"),
            inert_documents: gauge!("ingest_inert_documents"),
            accepted_events: AtomicU64::new(0),
            refused_requests: AtomicU64::new(0),
        }
    }

    /// Events arrived.
    pub fn received(&self, events: u64) {
        self.received.increment(events);
    }

    /// Events are in the stream.
    pub fn accepted(&self, events: u64) {
        self.accepted.increment(events);
        self.accepted_events.fetch_add(events, Ordering::Relaxed);
    }

    /// How many events were accepted.
    #[must_use]
    pub fn accepted_events(&self) -> u64 {
        self.accepted_events.load(Ordering::Relaxed)
    }

    /// How many requests of the API (probes are none) were answered with 503.
    #[must_use]
    pub fn refused_requests(&self) -> u64 {
        self.refused_requests.load(Ordering::Relaxed)
    }

    /// Events were refused, for one of the reasons registered.
    pub fn rejected(&self, reason: &'static str, events: u64) {
        if let Some(counter) = self.rejected.get(reason) {
            counter.increment(events);
        }
    }

    /// A stream message was acknowledged.
    pub fn published(&self, took: Duration, bytes: usize, events: usize) {
        self.publish_seconds.record(took.as_secs_f64());
        self.publish_bytes.record(float(bytes));
        self.message_events.record(float(events));
    }

    /// An attempt to publish failed.
    pub fn publish_failed(&self) {
        self.publish_failures.increment(1);
    }

    /// Bytes of requests in flight now.
    pub fn in_flight_bytes(&self, bytes: usize) {
        self.in_flight_bytes.set(float(bytes));
    }

    /// An answer named so many campaigns.
    pub fn inline_matches(&self, campaigns: usize) {
        self.inline_matches.increment(campaigns as u64);
    }

    /// An answer could not look at what is known of a user.
    pub fn inline_incomplete(&self) {
        self.inline_incomplete.increment(1);
    }

    /// Patches the overlay holds now.
    pub fn overlay_patches(&self, patches: usize) {
        self.overlay_patches.set(float(patches));
    }

    /// Dead letters are in the stream again.
    pub fn dead_letters_redriven(&self, letters: u64) {
        self.dead_letters_redriven.increment(letters);
    }

    /// Dead letters were discarded.
    pub fn dead_letters_discarded(&self, letters: u64) {
        self.dead_letters_discarded.increment(letters);
    }

    /// A stream of matches was opened.
    pub fn match_stream_opened(&self) {
        self.match_streams.increment(1.0);
    }

    /// A stream of matches was closed.
    pub fn match_stream_closed(&self) {
        self.match_streams.decrement(1.0);
    }

    /// Matches were given to an app.
    pub fn matches_delivered(&self, matches: usize) {
        self.matches_delivered.increment(matches as u64);
    }

    /// An app acknowledged matches.
    pub fn matches_acknowledged(&self, matches: usize) {
        self.matches_acknowledged.increment(matches as u64);
    }

    /// A request was answered. `route` is the route's template.
    pub fn answered(&self, route: Option<&str>, status: StatusCode) {
        let counters =
            route.and_then(|route| self.http_requests.get(route)).or_else(|| self.http_requests.get(NO_ROUTE));
        let class = usize::from((status.as_u16() / 100).clamp(2, 5) - 2);
        if let Some(counter) = counters.and_then(|counters| counters.get(class)) {
            counter.increment(1);
        }
        if status == StatusCode::SERVICE_UNAVAILABLE && route.is_some_and(is_limited) {
            self.refused_requests.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A connection was opened.
    pub fn connection_opened(&self) {
        self.connections.increment(1.0);
    }

    /// A connection was closed.
    pub fn connection_closed(&self) {
        self.connections.decrement(1.0);
    }

    /// Ready or not.
    pub fn ready(&self, ready: bool) {
        self.ready.set(if ready { 1.0 } else { 0.0 });
    }

    /// How full a lane's stream is.
    pub fn stream_fill(&self, lane: u16, bytes: u64, max_bytes: i64) {
        let lane = lane.to_string();
        #[expect(clippy::cast_precision_loss, reason = "a gauge")]
        let (bytes, max_bytes) = (bytes as f64, max_bytes.max(1) as f64);
        gauge!("ingest_stream_bytes", "lane" => lane.clone()).set(bytes);
        gauge!("ingest_stream_fill_ratio", "lane" => lane).set(bytes / max_bytes);
    }

    /// The database pool.
    pub fn database_connections(&self, idle: usize, in_use: usize) {
        self.database_idle.set(float(idle));
        self.database_in_use.set(float(in_use));
    }

    /// Something was read for people, from this server.
    pub fn read_from(&self, server: &str) {
        self.reads.iter().filter(|(name, _)| *name == server).for_each(|(_, reads)| reads.increment(1));
    }

    /// How far the standby is behind.
    pub fn standby_lag(&self, lag: Option<Duration>) {
        self.standby_lag_seconds.set(lag.map_or(-1.0, |lag| lag.as_secs_f64()));
    }

    /// The campaigns in force.
    pub fn catalog(&self, version: i64, inert: usize) {
        #[expect(clippy::cast_precision_loss, reason = "a gauge")]
        self.catalog_version.set(version as f64);
        self.inert_documents.set(float(inert));
    }

    /// Age of the key table's snapshot.
    pub fn keys_age(&self, age: Option<Duration>) {
        self.keys_age_seconds.set(age.map_or(-1.0, |age| age.as_secs_f64()));
    }
}

#[expect(clippy::cast_precision_loss, reason = "gauges and histograms are floating point")]
fn float(number: usize) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_their_unit_and_every_reason_is_counted() {
        for (name, kind, _) in ALL {
            assert!(name.starts_with("ingest_"));
            assert_eq!(kind == "counter", name.ends_with("_total"), "{name}");
        }
        let metrics = Metrics::register(1, ["/v1/track"].into_iter());
        assert!(metrics.rejected.contains_key("overloaded") && metrics.rejected.contains_key("too_deep"));
    }
}

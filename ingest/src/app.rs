//! What every handler can reach.

use std::sync::Arc;

use shared::runtime::pace::Pace;
use shared::store::catalog::Snapshot;
use tokio::sync::{Mutex, watch};

use crate::admin::{metadata, status};
use crate::auth::Door;
use crate::budget::Budget;
use crate::database::Database;
use crate::fair_use::address::Addresses;
use crate::fair_use::admin_writes::AdminWrites;
use crate::matches::Feed;
use crate::metrics::Metrics;
use crate::overlay::Overlay;
use crate::publish::Publisher;
use crate::readiness::Readiness;
use crate::settings::Settings;
use crate::tail::Tail;

/// The process.
#[derive(Debug)]
pub struct App {
    /// Settings in force.
    pub settings: Settings,
    /// Who may come in.
    pub door: Door,
    /// How much may be in flight.
    pub budget: Budget,
    /// The way into the stream.
    pub publisher: Arc<Publisher>,
    /// Whether that way may be taken.
    pub readiness: Arc<Readiness>,
    /// The campaigns, as of the last poll.
    pub campaigns: watch::Receiver<Arc<Snapshot>>,
    /// What accepted events say of their users and the database does not show yet.
    pub overlay: Overlay,
    /// How many changes one address may make.
    pub admin_writes: AdminWrites,
    /// How many requests one address may make.
    pub addresses: Addresses,
    /// How fast dead letters go into the stream again.
    pub redrive_pace: Mutex<Pace>,
    /// The live tail.
    pub tail: Arc<Tail>,
    /// Who waits for matches.
    pub feed: Arc<Feed>,
    /// NATS, for the live tail.
    pub client: async_nats::Client,
    /// JetStream, for receipts.
    pub jetstream: async_nats::jetstream::Context,
    /// PostgreSQL.
    pub database: Database,
    /// The latest answer about how the pipeline is doing.
    pub status: status::Kept,
    /// The latest names that were seen.
    pub metadata: metadata::Kept,
    /// Counters and gauges.
    pub metrics: Arc<Metrics>,
    /// Prints the metrics.
    pub metrics_page: metrics_exporter_prometheus::PrometheusHandle,
}

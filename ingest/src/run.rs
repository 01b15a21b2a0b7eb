//! Puts the program together, runs it until it is told to stop, and takes it apart in order.
//!
//! Start: settings → listener → connections (both may still be away) → tasks → routes. Stop: unready → drain → open requests
//! finish, each after its acknowledgement → exit.

use std::sync::Arc;

use shared::runtime::pace::Pace;
use shared::runtime::settings::{Mistakes, Reader};
use shared::runtime::shutdown::Shutdown;
use shared::runtime::{logging, prometheus};
use shared::store::catalog;
use shared::store::connection::{self as store, SessionLimits};
use shared::stream::connection as stream;
use shared::stream::lanes::{self, Lane};
use tokio::sync::Mutex;

use crate::admin::letter_actions::EVENTS_PER_SECOND;
use crate::app::App;
use crate::auth::Door;
use crate::budget::Budget;
use crate::database::Database;
use crate::fair_use::address::Addresses;
use crate::fair_use::admin_writes::AdminWrites;
use crate::keys::Keys;
use crate::matches::Feed;
use crate::metrics::Metrics;
use crate::overlay::Overlay;
use crate::publish::Publisher;
use crate::readiness::{Readiness, check};
use crate::server::{self, Server};
use crate::settings::Settings;
use crate::standby::Standby;
use crate::tail::Tail;
use crate::{matches, router, upkeep};

/// Name of this program in logs, in NATS and in `pg_stat_activity`.
pub const NAME: &str = "ingest";

/// Why the program could not start, or ended with a failure.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Settings that cannot be used.
    #[error(transparent)]
    Settings(#[from] Mistakes),
    /// The address cannot be listened on.
    #[error("INGEST_LISTEN={address}: {cause}: is another program using it?")]
    Listen {
        /// As set.
        address: std::net::SocketAddr,
        /// What the system said.
        cause: std::io::Error,
    },
    /// Anything else at start.
    #[error("{doing}: {cause}")]
    Start {
        /// What was tried.
        doing: &'static str,
        /// What came back.
        cause: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A task ended by surprise; the log says which.
    #[error("a task failed; see the log")]
    Task,
}

impl Failure {
    fn start(doing: &'static str) -> impl FnOnce(Box<dyn std::error::Error + Send + Sync>) -> Self {
        move |cause| Self::Start { doing, cause }
    }
}

/// Runs ingest until SIGTERM.
pub async fn run(mut reader: Reader) -> Result<(), Failure> {
    let settings = Settings::read(&mut reader);
    let in_force = reader.finish()?;
    logging::start(&settings.pipeline);
    tracing::info!(version = env!("CARGO_PKG_VERSION"), "ingest starts");
    in_force.log();
    if settings.keys.is_empty() && settings.auth_required {
        tracing::warn!("CLIENT_API_KEYS and ADMIN_API_KEYS are empty: only keys of the table api_keys open anything");
    }

    let stop = Shutdown::on_signals().map_err(|e| Failure::start("listening for signals")(e.into()))?;
    let address = settings.listen;
    let listener = server::listen(address).map_err(|cause| Failure::Listen { address, cause })?;
    let metrics_page = prometheus::install().map_err(|e| Failure::start("installing metrics")(e.into()))?;
    let metrics = Metrics::register(settings.max_in_flight_bytes, router::paths());
    let metrics = Arc::new(metrics);
    tokio::spawn(prometheus::keep_tidy(metrics_page.clone()));

    let connection =
        stream::connect(&settings.pipeline, NAME).await.map_err(|e| Failure::start("connecting to NATS")(e.into()))?;
    let readiness = Arc::new(Readiness::new(connection.clone()));
    let pipeline = Arc::new(settings.pipeline.clone());
    let publisher = Publisher::start(&pipeline, &connection.client, &readiness, &metrics, settings.publish_deadline);
    let publisher = Arc::new(publisher);
    let checking = check::keep_checking(
        Arc::clone(&readiness),
        Arc::clone(&pipeline),
        Arc::clone(&publisher),
        Arc::clone(&metrics),
    );
    stop.supervise("durability checks", checking);

    let lanes = Lane::all(&pipeline.stream_prefix, pipeline.first_layout);
    stop.supervise("stream connection", stream::leave_silent_servers(connection.clone(), lanes));

    let options = |limits| {
        store::options(&settings.pipeline, NAME, limits).map_err(|e| Failure::start("reading DATABASE_URL")(e.into()))
    };
    // People's queries never keep look-ups on the way of an event waiting, nor what apps fetch, and the other way round.
    let for_people = (settings.database_connections / 4).max(1);
    let for_look_ups = settings.database_connections.saturating_sub(2 * for_people).max(1);
    // The database ends a look-up a little before the request stops waiting for it.
    let limits = SessionLimits { statement: settings.match_deadline * 9 / 10, ..SessionLimits::default() };
    let look_ups = store::statement_pool(options(limits)?, for_look_ups);
    let feed = store::statement_pool(options(SessionLimits::default())?, for_people);
    let pool = store::pool(store::planned_each_time(options(SessionLimits::default())?), for_people);
    let standby = settings.database_read_url.as_ref().map(|url| {
        let slow = settings.pipeline.slow_statement;
        let options = store::options_of(url.expose(), slow, NAME, SessionLimits::default());
        let options = options.map_err(|e| Failure::start("reading DATABASE_READ_URL")(e.into()))?;
        Ok::<_, Failure>(Standby::new(store::pool(store::planned_each_time(options), for_people)))
    });
    let standby = standby.transpose()?;
    if standby.is_none() {
        metrics.standby_lag(None);
    }
    let (campaigns_in, campaigns) = catalog::channel();
    let (tail, entries) = Tail::new(&settings.pipeline.stream_prefix);
    let drain = settings.drain;
    let max_connections = settings.max_connections;
    let app = Arc::new(App {
        door: Door::new(
            Arc::new(Keys::new(&settings.keys, settings.key_cache, settings.allowance)),
            settings.auth_required,
        ),
        budget: Budget::new(settings.max_in_flight_bytes),
        publisher,
        readiness: Arc::clone(&readiness),
        campaigns,
        overlay: Overlay::default(),
        admin_writes: AdminWrites::new(settings.admin_write_limit, settings.admin_write_window),
        addresses: Addresses::new(settings.address_requests_per_second, settings.allowance.burst_seconds),
        redrive_pace: Mutex::new(Pace::new(EVENTS_PER_SECOND)),
        tail: Arc::new(tail),
        feed: Arc::new(Feed::new(settings.matches.streams)),
        client: connection.client.clone(),
        jetstream: lanes::jetstream(connection.client.clone()),
        database: Database::new(pool, look_ups, feed, standby, Arc::clone(&metrics), settings.match_deadline),
        status: Default::default(),
        metadata: Default::default(),
        metrics: Arc::clone(&metrics),
        metrics_page,
        settings,
    });
    upkeep::start(&app, campaigns_in, entries);
    tokio::spawn(matches::close_in_time(Arc::clone(&app.feed), stop.clone(), drain));

    tracing::info!(%address, "listening");
    let server = Server { listener, max_connections, drain, readiness, metrics };
    server.run(router::router(app), &stop).await;
    tracing::info!("stopped");
    if stop.has_failed() { Err(Failure::Task) } else { Ok(()) }
}

//! The servers and programs that a fault needs: always real ones, of one run's own.

use std::time::{Duration, Instant};

use serde_json::json;
use uuid::Uuid;

use super::fault::{Fault, Needs};
use crate::client::WRITE_KEY;
use crate::cluster::PrivateCluster;
use crate::eventually::within;
use crate::folder::Folder;
use crate::image::Image;
use crate::oracle::{campaigns, capped_campaign};
use crate::pipeline::{Pipeline, Setup};
use crate::program::Program;
use crate::proxy::Proxy;
use crate::services::{PrivateNats, PrivatePostgres};

/// Of a disk whose power is cut.
const DISK_MEBIBYTES: u64 = 3_072;
/// Of a disk that gets full.
const SMALL_DISK_MEBIBYTES: u64 = 400;
/// After a fault has passed, everything works again within this time.
const RECOVERY: Duration = Duration::from_secs(60);

/// A pipeline with everything that may be harmed. Programs go first, then servers, then disks.
#[derive(Debug)]
pub struct World {
    /// The programs, the database and the stream.
    pub pipeline: Pipeline,
    /// Where days are exported to, where days expire.
    pub archive: Folder,
    /// Between ingest and NATS, where the fault is there.
    pub stream_way: Option<Proxy>,
    /// Between workers and PostgreSQL, where the fault is there.
    pub database_way: Option<Proxy>,
    stream_server: StreamServer,
    /// The database's server.
    pub postgres: PrivatePostgres,
    /// Events that strikes have made dead letters of.
    pub planned_dead: i64,
    /// The stream still holds every message it was given.
    pub stream_is_whole: bool,
    /// What strikes have measured, for the report.
    pub notes: Vec<String>,
}

/// What keeps the stream.
#[derive(Debug)]
enum StreamServer {
    Alone(PrivateNats),
    Cluster(PrivateCluster),
}

/// Why a fault cannot be tried on this machine, if it cannot.
#[must_use]
pub fn impossible(needs: Needs) -> Option<String> {
    match needs {
        Needs::Nothing => None,
        Needs::Disks => Image::impossible(),
        Needs::FakeTime => {
            let missing = std::env::var_os("EC_FAKETIME_LIBRARY").is_none();
            missing.then(|| "libfaketime is not here (deploy/chaos looks for it)".to_owned())
        }
        Needs::ControlGroup => super::strikes::limits::control_group_impossible(),
        Needs::NextFormat => {
            let missing = std::env::var_os("EC_NEXT_FORMAT_BIN_DIR").is_none();
            missing.then(|| "there is no build of the next format (deploy/chaos makes one)".to_owned())
        }
    }
}

impl World {
    /// Starts what a fault needs: two ingest and three worker processes on servers of their own.
    pub async fn start(fault: Fault) -> Self {
        let stream_server = match fault {
            Fault::NatsPowerCut | Fault::TotalPowerCut => StreamServer::Alone(PrivateNats::on_disk(DISK_MEBIBYTES)),
            Fault::NatsDiskFull => StreamServer::Alone(PrivateNats::on_disk(SMALL_DISK_MEBIBYTES)),
            Fault::Cluster => StreamServer::Cluster(PrivateCluster::start().await),
            _ => StreamServer::Alone(PrivateNats::start()),
        };
        let postgres = match fault {
            Fault::PostgresPowerCut | Fault::TotalPowerCut => PrivatePostgres::on_disk(DISK_MEBIBYTES),
            Fault::PostgresDiskFull => PrivatePostgres::on_disk(SMALL_DISK_MEBIBYTES),
            _ => PrivatePostgres::start(),
        };
        let archive = Folder::new("archive");
        let mut setup = campaigns().into_iter().fold(Setup::default(), Setup::campaign).campaign(capped_campaign());
        setup = match &stream_server {
            StreamServer::Alone(nats) => setup.nats(nats),
            StreamServer::Cluster(cluster) => setup.cluster(cluster),
        };
        setup = setup.postgres(&postgres).ingests(2).workers(3).set("PUBLISH_DEADLINE_SECONDS", "1");
        setup = match fault {
            // Long enough for clients to be told on every connection.
            Fault::IngestStop => setup.set("DRAIN_SECONDS", "1"),
            Fault::StreamFull => setup
                .set("STREAM_MAX_BYTES", &(16 << 20).to_string())
                .set("TRIM_INTERVAL_SECONDS", "0.5")
                .set("REPLAY_WINDOW_SECONDS", "1"),
            Fault::RetentionKilled | Fault::RetentionUnderLoad => {
                let setup = setup.set("JOB_INTERVAL_SECONDS", "0.5").set("RETENTION_DAYS", "30");
                setup.set("ARCHIVE_DIR", &archive.path().to_string_lossy())
            }
            _ => setup,
        };
        let (mut stream_way, mut database_way) = (None, None);
        if let (Fault::StreamNetwork | Fault::Soak, StreamServer::Alone(nats)) = (fault, &stream_server) {
            let proxy = Proxy::start(address_of(&nats.url)).await;
            setup = setup.through("ingest", "NATS_URL", proxy.address);
            stream_way = Some(proxy);
        }
        if matches!(fault, Fault::DatabaseNetwork | Fault::Soak) {
            let proxy = Proxy::start(address_of(&postgres.url)).await;
            setup = setup.through("worker", "DATABASE_URL", proxy.address);
            database_way = Some(proxy);
        }
        let pipeline = setup.start().await;
        Self {
            pipeline,
            archive,
            stream_way,
            database_way,
            stream_server,
            postgres,
            planned_dead: 0,
            stream_is_whole: true,
            notes: Vec::new(),
        }
    }

    /// The one NATS server.
    ///
    /// # Panics
    /// In a world with a cluster.
    pub fn nats(&mut self) -> &mut PrivateNats {
        match &mut self.stream_server {
            StreamServer::Alone(nats) => nats,
            StreamServer::Cluster(_) => panic!("this world has a cluster"),
        }
    }

    /// The NATS servers.
    ///
    /// # Panics
    /// In a world with one server.
    #[must_use]
    pub fn cluster(&self) -> &PrivateCluster {
        match &self.stream_server {
            StreamServer::Cluster(cluster) => cluster,
            StreamServer::Alone(_) => panic!("this world has one NATS server"),
        }
    }

    /// Waits until everything works again: all programs are ready, and an event posted to each ingest now is stored. Returns
    /// how long that took.
    pub async fn recovered(&mut self) -> Duration {
        let started = Instant::now();
        let left = || RECOVERY.saturating_sub(started.elapsed());
        let mut probes = Vec::new();
        for ingest in &self.pipeline.ingests {
            let id = format!("probe-{}", Uuid::new_v4());
            let body = json!({"user_id": "probe", "event": "probe", "messageId": id});
            let client = ingest.client().with_key(WRITE_KEY);
            let what = format!("{} takes events again", ingest.name);
            within(left(), &what, async || match client.post("/v1/track", &body).await {
                Ok(answer) if answer.status == 200 => Ok(()),
                Ok(answer) => Err(answer.text()),
                Err(error) => Err(error.to_string()),
            })
            .await;
            probes.push(id);
        }
        within(left(), "an event that was posted now is stored", async || {
            let query = "SELECT count(*) FROM events WHERE message_id = ANY($1)";
            let stored: Result<i64, _> =
                sqlx::query_scalar(query).bind(&probes).fetch_one(&self.pipeline.database.pool).await;
            match stored {
                Ok(count) if usize::try_from(count) == Ok(probes.len()) => Ok(()),
                Ok(count) => Err(format!("{count} of {}", probes.len())),
                Err(error) => Err(error.to_string()),
            }
        })
        .await;
        self.pipeline.ready().await;
        started.elapsed()
    }

    /// How many owners have all partitions among them.
    pub async fn dealt_out(&self, owners: i64) {
        let query =
            "SELECT count(DISTINCT owner), count(*) FILTER (WHERE owner IS NULL OR lease_until < clock_timestamp())
                       FROM partitions";
        within(RECOVERY, &format!("{owners} owners have all partitions"), async || {
            let found: Result<(i64, i64), _> = sqlx::query_as(query).fetch_one(&self.pipeline.database.pool).await;
            match found {
                Ok((found, 0)) if found == owners => Ok(()),
                other => Err(format!("{other:?} (owners, partitions without one)")),
            }
        })
        .await;
    }

    /// All programs.
    pub fn programs(&mut self) -> impl Iterator<Item = &mut Program> {
        self.pipeline.ingests.iter_mut().chain(&mut self.pipeline.workers)
    }

    /// How many workers there are now.
    #[must_use]
    pub fn workers(&self) -> i64 {
        i64::try_from(self.pipeline.workers.len()).unwrap_or(i64::MAX)
    }
}

/// Host and port of a URL.
fn address_of(url: &str) -> std::net::SocketAddr {
    let place = url.split("://").nth(1).and_then(|rest| rest.split('/').next()).unwrap_or_default();
    let place = place.rsplit('@').next().unwrap_or_default();
    place.parse().unwrap_or_else(|e| panic!("{place} of a private server is no address: {e}"))
}

//! A whole pipeline of a test's own, with one call.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::Value;

use crate::client::{ADMIN_KEY, Client, WRITE_KEY};
use crate::cluster::{PrivateCluster, SERVERS};
use crate::database::TestDatabase;
use crate::eventually::eventually;
use crate::folder::Folder;
use crate::metrics::Metrics;
use crate::program::Program;
use crate::roles::Role;
use crate::services::{PrivateNats, PrivatePostgres, Services};
use crate::stream::TestStream;

/// The lease of tests' workers, in seconds: short, so that a takeover is quick to test.
pub const LEASE_SECONDS: u64 = 3;
/// Many streams share one server.
const STREAM_MAX_BYTES: u64 = 256 << 20;

/// What a test wants. Default: one ingest and one worker on the shared services.
#[derive(Debug)]
pub struct Setup {
    ingests: usize,
    workers: usize,
    campaigns: Vec<Value>,
    environment: Vec<(String, String)>,
    detours: Vec<Detour>,
    services: Services,
    wait: bool,
}

/// Programs of a kind reach a service through another address, such as a proxy's.
#[derive(Debug, Clone)]
struct Detour {
    program: &'static str,
    variable: &'static str,
    address: SocketAddr,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            ingests: 1,
            workers: 1,
            campaigns: Vec::new(),
            environment: Vec::new(),
            detours: Vec::new(),
            services: Services::shared().clone(),
            wait: true,
        }
    }
}

impl Setup {
    /// This many ingest processes.
    #[must_use]
    pub fn ingests(mut self, count: usize) -> Self {
        self.ingests = count;
        self
    }

    /// This many worker processes. Without any the stream, which is the first worker's to make, is made here.
    #[must_use]
    pub fn workers(mut self, count: usize) -> Self {
        self.workers = count;
        self
    }

    /// A campaign that every program knows from its start. Its `id` is kept.
    #[must_use]
    pub fn campaign(mut self, document: Value) -> Self {
        self.campaigns.push(document);
        self
    }

    /// A setting for all programs.
    #[must_use]
    pub fn set(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// On a NATS server that the test may harm.
    #[must_use]
    pub fn nats(mut self, nats: &PrivateNats) -> Self {
        self.services.nats_url.clone_from(&nats.url);
        self.services.nats_monitor_url.clone_from(&nats.monitor_url);
        self
    }

    /// On a cluster of NATS servers that the test may harm.
    #[must_use]
    pub fn cluster(mut self, cluster: &PrivateCluster) -> Self {
        self.services.nats_url = cluster.urls();
        self.services.nats_monitor_url = cluster.monitor_urls();
        self.set("STREAM_REPLICAS", &SERVERS.to_string())
    }

    /// On a PostgreSQL that the test may harm.
    #[must_use]
    pub fn postgres(mut self, postgres: &PrivatePostgres) -> Self {
        self.services.database_url.clone_from(&postgres.url);
        self
    }

    /// Programs of this kind find the service of this variable, such as `NATS_URL`, at this address.
    #[must_use]
    pub fn through(mut self, program: &'static str, variable: &'static str, address: SocketAddr) -> Self {
        self.detours.push(Detour { program, variable, address });
        self
    }

    /// [`Self::start`] then does not wait until the programs are ready.
    #[must_use]
    pub fn without_waiting(mut self) -> Self {
        self.wait = false;
        self
    }

    /// Starts everything and waits until all of it is ready.
    pub async fn start(self) -> Pipeline {
        let database = TestDatabase::create(&self.services.database_url).await;
        for document in &self.campaigns {
            insert_campaign(&database, document).await;
        }
        let prefix = fresh_prefix();
        let mut environment = environment(&self.services, &database.url, &prefix);
        for (name, value) in self.environment {
            environment.retain(|(n, _)| *n != name);
            environment.push((name, value));
        }
        let lanes =
            environment.iter().find(|(name, _)| name == "LANES").map_or(1, |(_, n)| n.parse().expect("a number"));
        let stream = TestStream::connect(&self.services.nats_url, &prefix, lanes).await;
        if self.workers == 0 {
            stream.create(&environment).await;
        }
        let mut pipeline = Pipeline {
            ingests: Vec::new(),
            workers: Vec::new(),
            stream,
            database,
            environment,
            detours: self.detours,
            started: 0,
            logs: Folder::new("logs"),
        };
        (0..self.ingests).for_each(|_| pipeline.add_ingest());
        (0..self.workers).for_each(|_| pipeline.add_worker());
        if self.wait {
            pipeline.ready().await;
        }
        pipeline
    }
}

/// A running pipeline. Everything of it goes when it is dropped: first the programs, then the stream, then the database.
#[derive(Debug)]
pub struct Pipeline {
    /// HTTP side.
    pub ingests: Vec<Program>,
    /// Database side.
    pub workers: Vec<Program>,
    /// Between them.
    pub stream: TestStream,
    /// What comes out.
    pub database: TestDatabase,
    environment: Vec<(String, String)>,
    detours: Vec<Detour>,
    started: usize,
    logs: Folder,
}

impl Pipeline {
    /// The default [`Setup`], started.
    pub async fn start() -> Self {
        Setup::default().start().await
    }

    /// A client of the first ingest, with the client key.
    #[must_use]
    pub fn client(&self) -> Client {
        self.ingests[0].client().with_key(WRITE_KEY)
    }

    /// A client of the first ingest, with the admin key.
    #[must_use]
    pub fn admin(&self) -> Client {
        self.ingests[0].client().with_key(ADMIN_KEY)
    }

    /// The settings of all programs, with the owner's login to the database.
    #[must_use]
    pub fn environment(&self) -> &[(String, String)] {
        &self.environment
    }

    /// The settings that a program is started with: it works under a database role of its own.
    #[must_use]
    pub fn environment_of(&self, program: &str) -> Vec<(String, String)> {
        let mut environment = self.environment.clone();
        for (_, url) in environment.iter_mut().filter(|(name, _)| name == "DATABASE_URL") {
            *url = Role::of(program).url(url);
        }
        for detour in self.detours.iter().filter(|detour| detour.program == program) {
            for (_, url) in environment.iter_mut().filter(|(name, _)| name == detour.variable) {
                *url = with_address(url, detour.address);
            }
        }
        environment
    }

    /// Starts one more ingest, without waiting for it.
    pub fn add_ingest(&mut self) {
        let program = self.program("ingest");
        self.ingests.push(program);
    }

    /// Starts one more worker, without waiting for it.
    pub fn add_worker(&mut self) {
        let program = self.program("worker");
        self.workers.push(program);
    }

    fn program(&mut self, binary: &str) -> Program {
        self.started += 1;
        Program::start(binary, &format!("{binary} {}", self.started), &self.environment_of(binary), self.logs.path())
    }

    /// Waits until every program is ready.
    pub async fn ready(&mut self) {
        for program in self.ingests.iter_mut().chain(&mut self.workers) {
            program.ready().await;
        }
    }

    /// Waits until every partition has been processed to the end of the stream.
    pub async fn drained(&self) {
        eventually("the stream is drained", async || self.processed().await).await;
    }

    /// `Ok` when every partition has been processed to the end of its lane's stream.
    pub async fn processed(&self) -> Result<(), String> {
        for lane in &self.stream.lanes {
            let last = i64::try_from(self.stream.state_of(lane).await.last_seq).unwrap_or(i64::MAX);
            let query = "SELECT count(*) FILTER (WHERE last_seq < $1), count(*), coalesce(min(last_seq), 0)
                           FROM partitions WHERE lane = $2";
            let asked = sqlx::query_as(query).bind(last).bind(i32::from(lane.number));
            let found: Result<(i64, i64, i64), _> = asked.fetch_one(&self.database.pool).await;
            match found {
                Ok((0, 1.., _)) => {}
                Ok((behind, all, least)) => {
                    return Err(format!(
                        "{behind} of {all} partitions of {} are behind: {least} of {last}",
                        lane.stream
                    ));
                }
                Err(error) => return Err(error.to_string()),
            }
        }
        Ok(())
    }

    /// Waits until every program knows the campaigns, segments and flags as they are in the database now.
    pub async fn catalog_known(&self) {
        let version = self.database.number("SELECT version FROM catalog").await;
        for (program, name) in (self.ingests.iter().map(|p| (p, "ingest_catalog_version")))
            .chain(self.workers.iter().map(|p| (p, "worker_catalog_version")))
        {
            eventually("the catalog is known", async || {
                #[expect(clippy::cast_possible_truncation, reason = "a whole number")]
                let known = Metrics::of(program).await.sum(name, &[]) as i64;
                if known >= version { Ok(()) } else { Err(format!("{} is at {known} of {version}", program.name)) }
            })
            .await;
        }
    }

    /// How many rows `events` has.
    pub async fn rows(&self) -> i64 {
        self.database.number("SELECT count(*) FROM events").await
    }
}

/// The settings of a test's programs.
fn environment(services: &Services, database_url: &str, prefix: &str) -> Vec<(String, String)> {
    [
        ("PROFILE", "development"),
        ("LOG_FORMAT", "pretty"),
        ("CLIENT_API_KEYS", WRITE_KEY),
        ("ADMIN_API_KEYS", ADMIN_KEY),
        ("DATABASE_URL", database_url),
        ("NATS_URL", &services.nats_url),
        ("NATS_MONITOR_URLS", &services.nats_monitor_url),
        ("STREAM_PREFIX", prefix),
        ("STREAM_MAX_BYTES", &STREAM_MAX_BYTES.to_string()),
        ("CATALOG_POLL_MILLISECONDS", "50"),
        ("LEASE_SECONDS", &LEASE_SECONDS.to_string()),
        ("DRAIN_SECONDS", "0"),
        // A machine that runs many tests at once may be slow; tests of the deadline set their own.
        ("MATCH_DEADLINE_MILLISECONDS", "3000"),
        ("ADMIN_WRITE_LIMIT", "0"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into()
}

/// A URL with another host and port.
fn with_address(url: &str, address: SocketAddr) -> String {
    let (scheme, rest) = url.split_once("://").expect("a URL has a scheme");
    let (place, path) = rest.split_once('/').map_or((rest, String::new()), |(place, path)| (place, format!("/{path}")));
    let login = place.rsplit_once('@').map_or(String::new(), |(login, _)| format!("{login}@"));
    format!("{scheme}://{login}{address}{path}")
}

fn fresh_prefix() -> String {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let run = uuid::Uuid::new_v4().simple().to_string();
    format!("T{}-{}", NUMBER.fetch_add(1, Ordering::Relaxed), &run[..8])
}

async fn insert_campaign(database: &TestDatabase, document: &Value) {
    let id = document["id"].as_str().map_or_else(|| uuid::Uuid::new_v4().to_string(), str::to_owned);
    sqlx::query("INSERT INTO campaigns (id, status, document) VALUES ($1, $2, $3)")
        .bind(id)
        .bind(document["status"].as_str())
        .bind(document)
        .execute(&database.pool)
        .await
        .expect("a campaign can be inserted");
}

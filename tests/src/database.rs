//! A database per test, cloned from a template that `worker migrate` and `deploy/roles` filled once.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use chrono::NaiveDate;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions, Connection, PgConnection, PgPool};

use crate::program;
use crate::roles;
use crate::services::root;

/// Databases of tests older than this were left by a run that was killed.
const LEFTOVER: Duration = Duration::from_secs(3600);
/// Of the advisory lock that lets one process make the template.
const TEMPLATE_LOCK: i64 = 0x6563_7465_7374;

/// A database of one test's own. Dropped with the value, whoever is still connected.
#[derive(Debug)]
pub struct TestDatabase {
    /// `postgres://…`
    pub url: String,
    /// For the test's own questions.
    pub pool: PgPool,
    name: String,
    server: String,
}

impl TestDatabase {
    /// Clones one on the server of `server_url`, with the schema.
    pub async fn create(server_url: &str) -> Self {
        let mut admin = connect(server_url).await;
        let template = template(&mut admin, server_url).await;
        let name = fresh_name();
        run(&mut admin, &format!("CREATE DATABASE {name} TEMPLATE {template}")).await;
        let _ = admin.close().await;
        Self::open(server_url, name).await
    }

    /// An empty one, without the schema.
    pub async fn create_empty(server_url: &str) -> Self {
        let mut admin = connect(server_url).await;
        let name = fresh_name();
        run(&mut admin, &format!("CREATE DATABASE {name} TEMPLATE template0")).await;
        let _ = admin.close().await;
        Self::open(server_url, name).await
    }

    async fn open(server_url: &str, name: String) -> Self {
        let url = url_of(server_url, &name);
        let options = PgPoolOptions::new().max_connections(4).acquire_timeout(Duration::from_secs(30));
        let pool = options.connect_lazy(&url).expect("the URL of a test database is well-formed");
        Self { url, pool, name, server: server_url.to_owned() }
    }

    /// Everything in it is gone at once, whoever is connected: what is left is an empty database of its name.
    ///
    /// # Panics
    /// When it cannot be dropped or made.
    pub async fn destroy(&self) {
        let mut admin = connect(&self.server).await;
        run(&mut admin, &format!("DROP DATABASE {} WITH (FORCE)", self.name)).await;
        run(&mut admin, &format!("CREATE DATABASE {} TEMPLATE template0", self.name)).await;
        let _ = admin.close().await;
    }

    /// A count, or any other single number.
    ///
    /// # Panics
    /// When the query fails.
    pub async fn number(&self, query: &str) -> i64 {
        sqlx::query_scalar(query).fetch_one(&self.pool).await.unwrap_or_else(|e| panic!("{query}: {e}"))
    }

    /// The daily partitions of `events`, oldest first: table name and day.
    ///
    /// # Panics
    /// When the catalog cannot be read.
    pub async fn event_partitions(&self) -> Vec<(String, NaiveDate)> {
        let query =
            "SELECT c.relname::text, substring(pg_get_expr(c.relpartbound, c.oid) FROM '\\d{4}-\\d\\d-\\d\\d')::date
                       FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
                      WHERE i.inhparent = 'events'::regclass ORDER BY 2";
        sqlx::query_as(query).fetch_all(&self.pool).await.expect("the catalog can be read")
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let (server, name) = (self.server.clone(), std::mem::take(&mut self.name));
        crate::cleanup::finish(async move {
            // A server that a test has killed for good takes its databases with it.
            if let Ok(mut admin) = PgConnection::connect(&server).await {
                let _ = sqlx::query(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).execute(&mut admin).await;
            }
        });
    }
}

async fn connect(server_url: &str) -> PgConnection {
    let options: PgConnectOptions = server_url.parse().expect("EC_TEST_DATABASE_URL is a PostgreSQL URL");
    options.connect().await.unwrap_or_else(|e| panic!("PostgreSQL does not answer: {e}"))
}

async fn run(admin: &mut PgConnection, statement: &str) {
    let done = sqlx::query(statement).execute(admin).await;
    done.unwrap_or_else(|e| panic!("{statement}: {e}"));
}

/// The URL with another database in it.
fn url_of(server_url: &str, name: &str) -> String {
    let (base, _) = server_url.rsplit_once('/').expect("a database URL ends in /database");
    format!("{base}/{name}")
}

fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs())
}

fn fresh_name() -> String {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    format!("ec_test_{}_{}_{}", unix_seconds(), std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed))
}

/// The template for the migrations and roles as they are now; made by whoever comes first.
async fn template(admin: &mut PgConnection, server_url: &str) -> String {
    let name = format!("ec_template_{:016x}", schema_hash());
    let _: () = sqlx::query_scalar("SELECT pg_advisory_lock($1)")
        .bind(TEMPLATE_LOCK)
        .fetch_one(&mut *admin)
        .await
        .expect("the template's lock");
    let exists = "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)";
    if !sqlx::query_scalar::<_, bool>(exists).bind(&name).fetch_one(&mut *admin).await.expect("pg_database can be read")
    {
        sweep(admin).await;
        let half_made = format!("{name}_new");
        run(admin, &format!("DROP DATABASE IF EXISTS {half_made} WITH (FORCE)")).await;
        run(admin, &format!("CREATE DATABASE {half_made} TEMPLATE template0")).await;
        // It reads all settings, and asks only the database.
        let environment = [
            ("DATABASE_URL".to_owned(), url_of(server_url, &half_made)),
            ("NATS_URL".to_owned(), "nats://unused".to_owned()),
        ];
        let output = program::run("worker", &["migrate"], &environment).await;
        assert!(output.status.success(), "worker migrate failed:\n{}", output.text);
        roles::make(&url_of(server_url, &half_made));
        run(admin, &format!("ALTER DATABASE {half_made} RENAME TO {name}")).await;
    }
    let _: bool = sqlx::query_scalar("SELECT pg_advisory_unlock($1)")
        .bind(TEMPLATE_LOCK)
        .fetch_one(&mut *admin)
        .await
        .expect("unlocking");
    name
}

/// Drops what killed runs left behind.
async fn sweep(admin: &mut PgConnection) {
    let names: Vec<String> = sqlx::query_scalar("SELECT datname FROM pg_database WHERE datname LIKE 'ec\\_test\\_%'")
        .fetch_all(&mut *admin)
        .await
        .expect("pg_database can be read");
    for name in names {
        let made: u64 = name.split('_').nth(2).and_then(|text| text.parse().ok()).unwrap_or(0);
        if made + LEFTOVER.as_secs() < unix_seconds() {
            run(admin, &format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await;
        }
    }
}

fn schema_hash() -> u64 {
    let folder = root().join("migrations");
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut files: Vec<_> = entries.filter_map(Result::ok).map(|entry| entry.path()).collect();
    files.extend(["deploy/lib/roles.sql", "deploy/roles"].map(|file| root().join(file)));
    files.sort();
    let mut hasher = DefaultHasher::new();
    for file in files {
        file.file_name().hash(&mut hasher);
        std::fs::read(&file).unwrap_or_default().hash(&mut hasher);
    }
    hasher.finish()
}

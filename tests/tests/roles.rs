//! The database roles of `deploy/roles`: what each may not do, that the programs of every test work under them, and that the script
//! may be run again and by an owner who is no superuser.

use serde_json::json;
use shared::domain::retention::Limits;
use sqlx::{Connection, Executor, PgConnection, PgPool};
use tests::database::TestDatabase;
use tests::pipeline::{Pipeline, Setup};
use tests::program::run;
use tests::roles::{self, Role};
use tests::services::{PrivatePostgres, Services, deploy};
use worker::jobs::retention::sweep::Periods;
use worker::jobs::retention::{self, Rules};
use worker::jobs::{partitions, today};

const INSUFFICIENT_PRIVILEGE: &str = "42501";

const INGEST_MAY_NOT: &[&str] = &[
    "INSERT INTO events (day, id, type, timestamp, received_at, source) VALUES (now(), gen_random_uuid(), 'track', now(), now(), 's')",
    "UPDATE events SET type = 'x'",
    "DELETE FROM events",
    "TRUNCATE events",
    "INSERT INTO users (kind, id) VALUES ('user', 'u')",
    "UPDATE users SET traits = '{}'",
    "DELETE FROM users",
    "INSERT INTO matches (event_id, campaign_id, campaign_version, day) VALUES (gen_random_uuid(), 'c', 1, now())",
    "DELETE FROM matches",
    "UPDATE campaign_totals SET shown = 0",
    "UPDATE partitions SET last_seq = 0",
    "DELETE FROM partitions",
    "SELECT FROM layouts",
    "SELECT FROM lanes FOR UPDATE",
    "UPDATE ledger SET read = 0",
    "DELETE FROM workers",
    "DELETE FROM late_ids",
    "INSERT INTO rollups VALUES (now(), 'events', 'track', 0, 1)",
    "INSERT INTO active_users VALUES (now(), gen_random_uuid())",
    "INSERT INTO holds VALUES (now(), now(), 'r')",
    "UPDATE changes SET changed_by = 'somebody else'",
    "DELETE FROM changes",
    "DELETE FROM api_keys",
    "DELETE FROM dead_letters",
    "UPDATE dead_letters SET payload = ''",
    "INSERT INTO dead_letters (lane, stream_seq, partition, position, reason, payload, received_at) VALUES (0, 1, 0, 0, 'r', '', now())",
    "DELETE FROM catalog",
    "INSERT INTO backups (kind, location) VALUES ('dump', 'nowhere')",
    "UPDATE backups SET removed_at = now()",
    "SELECT signing_key FROM erasure_secrets",
    "UPDATE erasure_secrets SET salt = sha256('s')",
    "DELETE FROM tombstones",
    "UPDATE erasures SET state = 'final'",
    "UPDATE _sqlx_migrations SET success = false",
    "ALTER TABLE campaigns DISABLE TRIGGER USER",
    "CREATE TABLE own (n int)",
    "CREATE TEMPORARY TABLE own (n int)",
    "DROP TABLE events",
    "SET ROLE ec_events",
    "DELETE FROM webhook_deliveries",
    "DELETE FROM webhook_endpoints",
    "UPDATE webhook_endpoints SET webhook = NULL",
    "UPDATE webhook_deliveries SET last_status = 200",
    "SELECT pg_read_file('PG_VERSION')",
];

const WORKER_MAY_NOT: &[&str] = &[
    "SELECT hash FROM api_keys",
    "SELECT id FROM api_keys",
    "INSERT INTO api_keys (name, role, hash) VALUES ('n', 'admin', sha256('k'))",
    "UPDATE api_keys SET revoked_at = NULL",
    "DELETE FROM changes",
    "INSERT INTO campaigns (id, document) VALUES ('c', '{}')",
    "UPDATE campaigns SET status = 'active'",
    "DELETE FROM campaigns",
    "UPDATE segments SET version = 1",
    "UPDATE features SET version = 1",
    "UPDATE catalog SET version = 0",
    "UPDATE events SET type = 'x'",
    "DELETE FROM events",
    "TRUNCATE events",
    "DELETE FROM users",
    "UPDATE matches SET campaign_version = 0",
    "DELETE FROM matches",
    "DELETE FROM conversions",
    "DELETE FROM duplicates",
    "DELETE FROM late_ids",
    "DELETE FROM rollups",
    "DELETE FROM active_users",
    "UPDATE active_users SET day = now()",
    "DELETE FROM retention",
    "DELETE FROM identity_links",
    "DELETE FROM ledger",
    "DELETE FROM partitions",
    "DELETE FROM lanes",
    "INSERT INTO layouts (epoch, partitions, lanes, lanes_before) VALUES (1, 1, 1, 1)",
    "UPDATE layouts SET taken_at = now()",
    "DELETE FROM dead_letters",
    "UPDATE removals SET events = 0",
    "INSERT INTO backups (kind, location) VALUES ('dump', 'nowhere')",
    "UPDATE backups SET removed_at = now()",
    "DELETE FROM removals",
    "UPDATE dead_letters SET payload = ''",
    "DELETE FROM tombstones",
    "DELETE FROM erasures",
    "DELETE FROM webhook_deliveries",
    "INSERT INTO webhook_endpoints (campaign_id) VALUES ('c')",
    "UPDATE webhook_endpoints SET secret = sha256('s')",
    "UPDATE webhook_deliveries SET user_id = 'u'",
    "UPDATE _sqlx_migrations SET success = false",
    "CREATE TABLE own (n int)",
    "CREATE TEMPORARY TABLE own (n int)",
    // As itself: it drops event partitions as their owner.
    "DROP TABLE events",
    "DROP TABLE users",
    "SET ROLE ec_ingest",
    "SELECT pg_read_file('PG_VERSION')",
];

const READ_MAY_NOT: &[&str] = &[
    "SELECT hash FROM api_keys",
    "SELECT identity_secret FROM api_keys",
    "SELECT * FROM api_keys",
    "SELECT salt FROM erasure_secrets",
    "SELECT secret FROM webhook_endpoints",
    "SELECT previous_secret FROM webhook_endpoints",
    "INSERT INTO campaigns (id, document) VALUES ('c', '{}')",
    "UPDATE campaigns SET status = 'active'",
    "DELETE FROM events",
    "UPDATE users SET traits = '{}'",
    "UPDATE partitions SET last_seq = 0",
    "TRUNCATE dead_letters",
    "SELECT FROM partitions FOR UPDATE",
    "CREATE TABLE own (n int)",
    "CREATE TEMPORARY TABLE own (n int)",
    "SET ROLE ec_events",
    "SET ROLE ec_worker",
    "SELECT pg_read_file('PG_VERSION')",
];

/// Everything but hashes and secrets.
const READABLE_OF_KEYS: [&str; 8] =
    ["id", "name", "role", "created_at", "revoked_at", "events_per_second", "bytes_per_second", "burst_seconds"];

/// The role refuses the statement for want of a privilege, and the owner could run it: so it is the privilege that is missing.
async fn is_denied(database: &TestDatabase, role: Role, statement: &str) {
    let mut owner = database.pool.begin().await.unwrap();
    let done = owner.execute(statement).await;
    assert!(done.is_ok(), "{statement} is no valid statement: {}", done.unwrap_err());
    owner.rollback().await.unwrap();

    let mut connection = PgConnection::connect(&role.url(&database.url)).await.unwrap();
    // Only a default, which the role may change: what holds must hold without it.
    connection.execute("SET default_transaction_read_only = off").await.unwrap();
    let done = connection.execute(statement).await.map(|_| ());
    let code = done.as_ref().err().and_then(|e| e.as_database_error()).and_then(|e| e.code());
    assert_eq!(code.as_deref(), Some(INSUFFICIENT_PRIVILEGE), "{role}: {statement}: {done:?}");
}

/// All privileges on tables and columns, as the catalog has them.
async fn privileges(pool: &PgPool) -> Vec<(String, String, Option<String>)> {
    let query = "SELECT relname::text, pg_get_userbyid(relowner)::text, relacl::text FROM pg_class
                  WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')
                  UNION ALL
                 SELECT attrelid::regclass::text || '.' || attname, '', attacl::text FROM pg_attribute WHERE attacl IS NOT NULL
                    AND attrelid IN (SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace)
                  ORDER BY 1";
    sqlx::query_as(query).fetch_all(pool).await.unwrap()
}

async fn names(pool: &PgPool, query: &str) -> Vec<String> {
    sqlx::query_scalar(query).fetch_all(pool).await.unwrap_or_else(|e| panic!("{query}: {e}"))
}

#[tokio::test]
async fn no_role_may_do_what_its_program_has_no_need_of() {
    let database = TestDatabase::create(&Services::shared().database_url).await;
    // Privileges on the database itself are not cloned with it. The tables and partitions are there; that is harmless.
    let before = privileges(&database.pool).await;
    roles::make(&database.url);
    assert_eq!(privileges(&database.pool).await, before, "running the script again has changed something");
    for (role, may_not) in [(Role::Ingest, INGEST_MAY_NOT), (Role::Worker, WORKER_MAY_NOT), (Role::Read, READ_MAY_NOT)]
    {
        for statement in may_not {
            is_denied(&database, role, statement).await;
        }
    }

    sqlx::query("GRANT DELETE ON events TO ec_ingest").execute(&database.pool).await.unwrap();
    roles::make(&database.url);
    is_denied(&database, Role::Ingest, "DELETE FROM events").await;
}

#[tokio::test]
async fn the_reading_role_reads_every_table_but_no_key_and_writes_none() {
    let database = TestDatabase::create(&Services::shared().database_url).await;
    let tables = "SELECT relname::text FROM pg_class
                   WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition";
    let not_readable = format!("{tables} AND NOT has_table_privilege('ec_read', oid, 'SELECT') ORDER BY 1");
    let not_readable = names(&database.pool, &not_readable).await;
    assert_eq!(
        not_readable,
        ["api_keys", "erasure_secrets", "webhook_endpoints"],
        "deploy/lib/roles.sql should say who may read a new table"
    );
    let can_write = "has_table_privilege('ec_read', oid, 'INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER')
                     OR has_any_column_privilege('ec_read', oid, 'INSERT, UPDATE, REFERENCES')";
    let can_write = names(&database.pool, &format!("{tables} AND ({can_write})")).await;
    assert!(can_write.is_empty(), "{can_write:?}");
    let of_keys = "SELECT attname::text FROM pg_attribute WHERE attrelid = 'api_keys'::regclass AND attnum > 0
                      AND has_column_privilege('ec_read', attrelid, attnum, 'SELECT') ORDER BY attnum";
    assert_eq!(names(&database.pool, of_keys).await, READABLE_OF_KEYS);
}

#[tokio::test]
async fn the_programs_of_the_tests_work_under_their_own_roles() {
    let pipeline = Pipeline::start().await;
    pipeline.client().accepted("/v1/track", &json!({"userId": "u", "event": "e"})).await;
    pipeline.drained().await;
    // Those of the test itself have no name.
    let sessions = "SELECT DISTINCT usename::text FROM pg_stat_activity
                     WHERE datname = current_database() AND application_name <> '' ORDER BY 1";
    assert_eq!(names(&pipeline.database.pool, sessions).await, ["ec_ingest", "ec_worker"]);
}

#[tokio::test]
async fn a_worker_takes_over_from_one_that_worked_as_the_owner() {
    let mut pipeline = Setup::default().without_waiting().start().await;
    let owner = pipeline.database.url.clone();
    pipeline.workers[0].set("DATABASE_URL", &owner);
    pipeline.workers[0].start_again();
    pipeline.ready().await;
    pipeline.client().accepted("/v1/track", &json!({"userId": "u", "event": "e"})).await;
    pipeline.drained().await;
    // Its sessions stay, and a role that is no superuser may not end them.
    pipeline.workers[0].pause();
    pipeline.client().accepted("/v1/track", &json!({"userId": "u", "event": "e"})).await;
    pipeline.add_worker();
    pipeline.drained().await;
    assert_eq!(pipeline.rows().await, 2);
    pipeline.workers[0].resume();
}

#[tokio::test]
async fn an_owner_who_is_no_superuser_makes_them_and_partitions_come_and_go_whoever_made_them() {
    let postgres = PrivatePostgres::start();
    let superuser = TestDatabase::create_empty(&postgres.url).await;
    let database: String = sqlx::query_scalar("SELECT current_database()").fetch_one(&superuser.pool).await.unwrap();
    let statements = format!(
        "CREATE ROLE landlord LOGIN CREATEROLE PASSWORD 'p@ss/word'; ALTER DATABASE {database} OWNER TO landlord;"
    );
    superuser.pool.execute(statements.as_str()).await.unwrap();
    let (_, place) = superuser.url.rsplit_once('@').unwrap();
    let owner_url = format!("postgres://landlord:p%40ss%2Fword@{place}");
    let environment =
        [("DATABASE_URL".to_owned(), owner_url.clone()), ("NATS_URL".to_owned(), "nats://unused".to_owned())];
    let migrated = run("worker", &["migrate"], &environment).await;
    assert!(migrated.status.success(), "{}", migrated.text);

    let make = |options: &[&str]| deploy("roles", options, &[("DATABASE_URL", &owner_url)]);
    let lines = make(&["--prefix", "shop"]);
    let printed: Vec<&str> = lines.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(printed, ["INGEST_DATABASE_URL", "WORKER_DATABASE_URL", "READ_DATABASE_URL"]);
    assert!(make(&["--prefix", "shop"]).is_empty(), "a password is told once");
    for (_, url) in &lines {
        PgConnection::connect(url).await.unwrap_or_else(|e| panic!("a printed URL does not work: {e}"));
    }

    let worker = PgPool::connect(&lines[1].1).await.unwrap();
    let today = today(&worker).await.unwrap();
    let old = today - chrono::Days::new(100);
    assert!(partitions::ensure(&worker, old).await.unwrap(), "the worker makes a partition");
    let migrated = run("worker", &["migrate"], &environment).await;
    assert!(migrated.status.success(), "the owner still migrates: {}", migrated.text);
    let owners = "SELECT DISTINCT pg_get_userbyid(relowner)::text FROM pg_class WHERE relname ~ '^events(_\\d+)?$'";
    assert_eq!(names(&superuser.pool, owners).await, ["shop_events"]);
    // All that are there, the owner's too: as if none was kept.
    let later = today + chrono::Days::new(50);
    let all = superuser.event_partitions().await.len();
    let periods = Periods { matches: 400, dead_letters: 90, changes: 1_100, webhooks: 30 };
    let rules = Rules { limits: Limits { days: 3, bytes: 0 }, periods, archive: None };
    let dropped = retention::run(&worker, &rules, later).await.unwrap().dropped;
    assert_eq!((dropped.len(), superuser.event_partitions().await.len()), (all, 0), "{dropped:?}");
    // Not because it is the owner all the time: what is left is not its own.
    let denied = worker.execute("DROP TABLE events").await;
    assert!(denied.is_err(), "the worker's own sessions are not the owner's");

    let renewed = make(&["--prefix", "shop", "--new-passwords"]);
    assert!(PgConnection::connect(&lines[0].1).await.is_err(), "the old password still works");
    PgConnection::connect(&renewed[0].1).await.expect("the new password works");
}

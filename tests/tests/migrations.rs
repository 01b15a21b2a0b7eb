//! The schema changes without a stop: what migrations may do, old programs on a new schema, new programs on an old one.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::PathBuf;

use sha2::{Digest, Sha256};
use shared::store::schema::{self, MIGRATIONS};
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::{Connection, Executor, PgConnection, PgPool};
use tests::database::TestDatabase;
use tests::eventually::{equal, eventually};
use tests::load::{Control, Load};
use tests::migration_rules::findings;
use tests::oracle::{campaigns, verdict};
use tests::pipeline::{Pipeline, Setup};
use tests::program::run;
use tests::services::{Services, root};

/// Files before this one were written before there were rules.
const FIRST_RULED: i64 = 6;

fn folder() -> PathBuf {
    root().join("migrations")
}

/// All files by number.
fn files() -> BTreeMap<i64, (String, String)> {
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let Some(stem) = name.strip_suffix(".sql") else { continue };
        let (number, _) = stem.split_once('_').unwrap_or_else(|| panic!("{name} is not called NNNN_what.sql"));
        assert_eq!(number.len(), 4, "{name} is not called NNNN_what.sql");
        let text = std::fs::read_to_string(&path).unwrap();
        let before = files.insert(number.parse().unwrap(), (name.clone(), text));
        assert!(before.is_none(), "two migrations have the number of {name}");
    }
    files
}

#[test]
fn no_migration_stalls_events_or_breaks_the_release_before() {
    for (name, text) in files().range(FIRST_RULED..).map(|(_, file)| file) {
        let found: Vec<String> = findings(text).iter().map(ToString::to_string).collect();
        assert!(
            found.is_empty(),
            "{name} breaks rules of migrations/README.md. If that is meant, say why in the comment before the statement, \
             `-- allowed: <rule>: <reason>`:\n{}",
            found.join("\n")
        );
    }
}

#[test]
fn a_released_migration_is_never_edited() {
    let list = std::fs::read_to_string(folder().join("released.sha256")).unwrap();
    let mut last = String::new();
    for line in list.lines() {
        let (wanted, name) = line.split_once("  ").unwrap();
        let bytes =
            std::fs::read(folder().join(name)).unwrap_or_else(|e| panic!("{name} was released, and is gone: {e}"));
        let found: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(found, wanted, "{name} was released: write a new migration instead of editing it");
        assert!(name > last.as_str(), "{name} stands twice, or out of order");
        name.clone_into(&mut last);
    }
    let released = list.lines().count();
    let numbers: Vec<i64> = files().into_keys().take(released).collect();
    assert_eq!(numbers.len(), released);
    assert!(
        !last.is_empty() && files()[&numbers[released - 1]].0 == last,
        "a new migration has the number of a released one"
    );
}

fn with_only(migrations: Vec<Migration>) -> Migrator {
    Migrator { migrations: Cow::Owned(migrations), ..Migrator::DEFAULT }
}

/// The migrations of this build up to the one before `version`.
fn before(version: i64) -> Migrator {
    with_only(MIGRATIONS.iter().filter(|m| m.version < version).cloned().collect())
}

/// Those of the next release.
fn next(sql: &str) -> Migrator {
    assert_eq!(findings(sql), [], "what is tried here keeps the rules");
    let version = MIGRATIONS.iter().map(|m| m.version).max().unwrap() + 1;
    let next = Migration::new(version, "next".into(), MigrationType::Simple, sql.to_owned().into(), false);
    with_only(MIGRATIONS.iter().cloned().chain([next]).collect())
}

/// Tables, columns, indexes and constraints, as a text.
async fn shape(pool: &PgPool) -> Vec<String> {
    let query = "SELECT concat_ws(' ', 'column', table_name, column_name, data_type, is_nullable, column_default) FROM information_schema.columns
                  WHERE table_schema = 'public'
                  UNION ALL SELECT 'index ' || indexdef FROM pg_indexes WHERE schemaname = 'public'
                  UNION ALL SELECT concat_ws(' ', 'constraint', conrelid::regclass, pg_get_constraintdef(oid)) FROM pg_constraint
                             WHERE connamespace = 'public'::regnamespace
                  UNION ALL SELECT 'trigger ' || pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal
                  ORDER BY 1";
    sqlx::query_scalar(query).fetch_all(pool).await.unwrap()
}

#[tokio::test]
async fn a_program_on_any_older_schema_refuses_by_name_and_changes_nothing() {
    let server = &Services::shared().database_url;
    let versions: Vec<i64> = MIGRATIONS.iter().map(|m| m.version).collect();
    let wanted = {
        let whole = TestDatabase::create_empty(server).await;
        schema::apply(&MIGRATIONS, &whole.pool).await.unwrap();
        shape(&whole.pool).await
    };
    for &missing in &versions[1..] {
        let database = TestDatabase::create_empty(server).await;
        before(missing).run(&database.pool).await.unwrap();
        let environment =
            [("DATABASE_URL", database.url.as_str()), ("NATS_URL", "nats://127.0.0.1:1"), ("CLIENT_API_KEYS", "k")];
        let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let found = shape(&database.pool).await;
        let problem = schema::problem(&database.pool).await.unwrap().unwrap_or_default();
        assert!(
            problem.contains(&format!("lacks migration {missing} ")) && problem.contains("`worker migrate`"),
            "{problem}"
        );
        // Each step by what programs ask; the programs themselves on the last one, which is the release before.
        if missing == *versions.last().unwrap() {
            for (program, arguments) in [("ingest", "check"), ("worker", "check"), ("worker", "repartition")] {
                let output = run(program, &[arguments], &environment).await;
                assert!(
                    !output.status.success() && output.text.contains(&problem),
                    "{program} {arguments}: {}",
                    output.text
                );
            }
        }
        assert_eq!(shape(&database.pool).await, found);
        // And from each of them the way leads to the same schema.
        schema::apply(&MIGRATIONS, &database.pool).await.unwrap();
        assert_eq!(shape(&database.pool).await, wanted, "from before {missing}");
    }
}

#[tokio::test]
async fn running_programs_on_an_older_schema_say_so_and_recover_by_themselves() {
    let mut pipeline = Pipeline::start().await;
    let last = MIGRATIONS.iter().max_by_key(|m| m.version).unwrap();
    let delete = format!("DELETE FROM _sqlx_migrations WHERE version = {} RETURNING version", last.version);
    let noted = "CREATE TABLE noted AS TABLE _sqlx_migrations";
    pipeline.database.pool.execute(noted).await.unwrap();
    pipeline.database.pool.execute(delete.as_str()).await.unwrap();
    pipeline.workers[0].start_again();
    let said = pipeline.workers[0].unready_with("worker migrate").await;
    assert!(said.contains(&format!("lacks migration {}", last.version)), "{said}");
    assert_eq!(pipeline.database.number("SELECT count(*) FROM dead_letters").await, 0);
    // Ingest takes events all the while: it needs no table for that.
    pipeline.client().accepted("/v1/track", &serde_json::json!({"userId": "u", "event": "e"})).await;
    assert_eq!(pipeline.rows().await, 0);
    let back = "INSERT INTO _sqlx_migrations SELECT * FROM noted ON CONFLICT DO NOTHING";
    pipeline.database.pool.execute(back).await.unwrap();
    pipeline.ready().await;
    pipeline.drained().await;
    assert_eq!(pipeline.rows().await, 1);
}

#[tokio::test]
async fn the_programs_of_this_release_work_under_load_while_the_schema_goes_ahead_of_them() {
    let mut pipeline = campaigns().into_iter().fold(Setup::default(), Setup::campaign).workers(2).start().await;
    let control = Control::default();
    let load = Load { events: 100_000, users: 200, ..Load::default() };
    let targets = vec![pipeline.ingests[0].address];
    let running = tokio::spawn({
        let control = control.clone();
        async move { load.run(&targets, &control).await }
    });
    control.reaches(1_000).await;

    // Somebody reads for long; a migrator that waited for them would make everybody else wait behind it.
    let mut reader = PgConnection::connect(&pipeline.database.url).await.unwrap();
    reader.execute("BEGIN; SELECT count(*) FROM users; SELECT count(*) FROM partitions").await.unwrap();
    let migrator = next(
        "ALTER TABLE users ADD COLUMN score int NOT NULL DEFAULT 0;
         ALTER TABLE partitions ADD COLUMN note text;
         ALTER TABLE matches ADD CONSTRAINT known CHECK (campaign_id <> '') NOT VALID;
         CREATE TABLE extra (id bigint PRIMARY KEY);
         CREATE FUNCTION seen() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
         CREATE TRIGGER users_seen BEFORE UPDATE ON users FOR EACH ROW EXECUTE FUNCTION seen();",
    );
    let migrating = tokio::spawn({
        let pool = pipeline.database.pool.clone();
        async move { schema::apply(&migrator, &pool).await.map_err(|e| e.to_string()) }
    });
    eventually("the migrator waits for its lock", async || {
        let waits =
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'
                        AND query LIKE 'ALTER TABLE users ADD COLUMN score%'";
        equal(pipeline.database.number(waits).await, 1)
    })
    .await;
    let stored = pipeline.rows().await;
    eventually("events are stored while the migrator cannot have its lock", async || match pipeline.rows().await {
        rows if rows > stored + 2_000 => Ok(()),
        rows => Err(format!("{rows}, before {stored}")),
    })
    .await;
    assert!(!migrating.is_finished(), "nobody held it up");
    reader.execute("COMMIT").await.unwrap();
    migrating.await.unwrap().unwrap();

    // What runs goes on, and what starts works too.
    pipeline.workers[0].kill();
    pipeline.workers[0].start_again();
    pipeline.add_ingest();
    pipeline.ready().await;
    let so_far = control.acknowledged();
    control.reaches(so_far + 2_000).await;
    control.stop();
    let log = running.await.unwrap();
    verdict(&pipeline, &log).await.assert_clean(&log);
    let again = run("worker", &["migrate"], pipeline.environment()).await;
    assert!(again.status.success() && again.text.contains("ahead"), "{}", again.text);
}

#[tokio::test]
async fn several_migrators_at_once_do_it_once() {
    let database = TestDatabase::create_empty(&Services::shared().database_url).await;
    let environment =
        [("DATABASE_URL".to_owned(), database.url.clone()), ("NATS_URL".to_owned(), "nats://unused".to_owned())];
    let migrate = || run("worker", &["migrate"], &environment);
    for output in [tokio::join!(migrate(), migrate(), migrate())].into_iter().flat_map(|(a, b, c)| [a, b, c]) {
        assert!(output.status.success(), "{}", output.text);
    }
    let applied = database.number("SELECT count(*) FROM _sqlx_migrations WHERE success").await;
    assert_eq!(applied, i64::try_from(MIGRATIONS.iter().count()).unwrap());
}

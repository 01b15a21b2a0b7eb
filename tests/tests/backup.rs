//! Restore drills: back up, go on, destroy the database, restore, and the pipeline goes on by itself. What the backup does not know
//! is read from the stream again; what is in neither is named before anything is read on.

use std::path::Path;

use serde_json::json;
use tests::books::assert_balanced;
use tests::eventually::{equal, eventually};
use tests::folder::Folder;
use tests::load::{Control, Load, Log};
use tests::matching::{campaign, listed, matched};
use tests::metrics::Metrics;
use tests::oracle::{campaigns, verdict};
use tests::pipeline::{Pipeline, Setup};
use tests::program::run;
use tests::services::{PrivatePostgres, binary, deploy, deploy_refused};

fn with_campaigns() -> Setup {
    campaigns().into_iter().fold(Setup::default(), Setup::campaign)
}

async fn load(pipeline: &Pipeline, seed: u64) -> Log {
    let load = Load { seed, events: 2_000, users: 40, ..Load::default() };
    load.run(&[pipeline.ingests[0].address], &Control::default()).await
}

/// Takes a backup of this kind; its folder.
fn back_up(pipeline: &Pipeline, kind: &str, folder: &Folder) -> String {
    back_up_into(&pipeline.database.url, kind, folder.path())
}

fn back_up_into(url: &str, kind: &str, folder: &Path) -> String {
    let worker = binary("worker");
    let environment = [("DATABASE_URL", url), ("WORKER", &*worker.to_string_lossy())];
    let lines = deploy("backup", &[kind, &folder.to_string_lossy()], &environment);
    lines.into_iter().find(|(key, _)| key == "BACKUP").expect("the folder of the backup").1
}

fn restore_dump(pipeline: &Pipeline, backup: &str) {
    let worker = binary("worker");
    let environment = [("DATABASE_URL", pipeline.database.url.as_str()), ("WORKER", &*worker.to_string_lossy())];
    deploy("restore", &["dump", backup], &environment);
}

/// Every event is there once, its traits and matches are those of a recount, and the books balance with the stream.
async fn assert_whole(pipeline: &Pipeline, logs: impl IntoIterator<Item = Log>) {
    let mut log = Log::default();
    logs.into_iter().for_each(|one| log.add(one));
    verdict(pipeline, &log).await.assert_clean(&log);
    assert_balanced(pipeline).await;
}

async fn one(pipeline: &Pipeline, id: &str) {
    let event = json!({"user_id": "u", "event": "opened", "messageId": id, "timestamp": chrono::Utc::now()});
    pipeline.client().accepted("/v1/track", &event).await;
}

#[tokio::test]
async fn after_the_restore_of_a_dump_everything_since_is_read_from_the_stream_again() {
    let (folder, mut pipeline) = (Folder::new("backups"), with_campaigns().workers(2).start().await);
    let before = load(&pipeline, 1).await;
    let (backup, during) = tokio::join!(
        tokio::task::spawn_blocking({
            let (url, folder) = (pipeline.database.url.clone(), folder.path().to_owned());
            move || back_up_into(&url, "dump", &folder)
        }),
        load(&pipeline, 2)
    );
    let backup = backup.unwrap();
    pipeline.drained().await;
    let stored = pipeline.rows().await;

    pipeline.database.destroy().await;
    // Events are taken all the while.
    let meanwhile = load(&pipeline, 3).await;
    restore_dump(&pipeline, &backup);
    assert!(pipeline.rows().await < stored + 2_000, "the backup is older than what was stored");
    pipeline.ready().await;
    let after = load(&pipeline, 4).await;
    assert_whole(&pipeline, [before, during, meanwhile, after]).await;
}

/// Waits until everything written so far is in the archive.
async fn archived(pipeline: &Pipeline) {
    let last: String = sqlx::query_scalar("SELECT pg_walfile_name(pg_switch_wal())")
        .fetch_one(&pipeline.database.pool)
        .await
        .expect("a switch of WAL");
    eventually("the WAL is archived", async || {
        let archived: Option<String> = sqlx::query_scalar("SELECT last_archived_wal FROM pg_stat_archiver")
            .fetch_one(&pipeline.database.pool)
            .await
            .map_err(|e| e.to_string())?;
        if archived.as_ref() >= Some(&last) { Ok(()) } else { Err(format!("{archived:?}, wanted {last}")) }
    })
    .await;
}

fn restore_base(postgres: &PrivatePostgres, url: &str, backup: &str, archive: &Folder, to: &[&str]) {
    let (folder, wal) = (postgres.folder().to_string_lossy(), archive.path().join("wal"));
    let arguments = ["base", backup, &folder, "--private", "--wal", &wal.to_string_lossy()];
    deploy("restore", &[&arguments, to].concat(), &[("DATABASE_URL", url)]);
    postgres.restart();
}

#[tokio::test]
async fn a_server_is_restored_to_its_last_archived_moment_or_to_any_time_before() {
    let (folder, archive) = (Folder::new("backups"), Folder::new("archive"));
    let postgres = PrivatePostgres::archiving(&archive.path().join("wal"));
    let mut pipeline = with_campaigns().postgres(&postgres).start().await;
    let first = load(&pipeline, 1).await;
    let backup = back_up(&pipeline, "base", &folder);
    let second = load(&pipeline, 2).await;
    pipeline.drained().await;
    // To the microsecond: what is committed from here on is not to come back with it.
    let time: String =
        sqlx::query_scalar("SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US')")
            .fetch_one(&pipeline.database.pool)
            .await
            .unwrap();
    let third = load(&pipeline, 3).await;
    pipeline.drained().await;
    let stored = pipeline.rows().await;
    archived(&pipeline).await;

    // To the last moment, with the programs stopped: nothing is missing.
    pipeline.workers[0].kill();
    postgres.destroy();
    restore_base(&postgres, &pipeline.database.url, &backup, &archive, &["--latest"]);
    assert_eq!(pipeline.rows().await, stored);
    pipeline.processed().await.expect("no message is to be read again");

    // To a time before: it is read again. The programs run on meanwhile.
    pipeline.workers[0].start_again();
    pipeline.ready().await;
    postgres.destroy();
    restore_base(&postgres, &pipeline.database.url, &backup, &archive, &["--to-time", &time]);
    pipeline.ready().await;
    let fourth = load(&pipeline, 4).await;
    assert_whole(&pipeline, [first, second, third, fourth]).await;
    let backups = "SELECT count(*) FROM backups WHERE finished_at IS NOT NULL AND removed_at IS NULL";
    assert_eq!(pipeline.database.number(backups).await, 1, "the restored backup is registered");

    // The next one needs nothing of what was archived before it.
    back_up(&pipeline, "base", &folder);
    let (here, wal) = (folder.path().to_string_lossy(), archive.path().join("wal"));
    let segments = || std::fs::read_dir(&wal).unwrap().filter(|f| f.as_ref().unwrap().file_name().len() == 24).count();
    assert!(segments() > 1);
    let arguments = ["prune", &here, "--keep", "1", "--wal", &wal.to_string_lossy()];
    deploy("backup", &arguments, &[("DATABASE_URL", &pipeline.database.url)]);
    assert_eq!(pipeline.database.number(backups).await, 1);
    assert_eq!(segments(), 0, "archived WAL is left that no backup needs");
}

#[test]
fn a_segment_is_archived_whole_and_never_overwritten() {
    let folder = Folder::new("archive");
    let archive = folder.path().to_string_lossy().into_owned();
    let settings = deploy("backup", &["wal", &archive], &[]);
    let command = &settings.iter().find(|(key, _)| key.trim() == "archive_command").expect("a command").1;
    let command = command.trim().trim_matches('\'');
    let archive_as = |name: &str, content: &[u8]| {
        let segment = folder.path().join("segment");
        std::fs::write(&segment, content).unwrap();
        let command = command.replace("%p", &segment.to_string_lossy()).replace("%f", name);
        std::process::Command::new("sh").args(["-c", &command]).status().unwrap().success()
    };
    let first = [vec![7; 3 << 20], vec![0; 5 << 20]].concat();
    assert!(archive_as("0001", &first));
    assert!(archive_as("0001", &first), "the same one may come again");
    assert!(!archive_as("0001", b"of another server"));
    assert_eq!(std::fs::read(folder.path().join("0001")).unwrap(), first);
    std::fs::write(folder.path().join(".0002.part"), vec![9; 100]).unwrap();
    assert!(archive_as("0002", b"after one that was cut off"));
    assert_eq!(std::fs::read(folder.path().join("0002")).unwrap(), b"after one that was cut off");
}

#[tokio::test]
async fn campaigns_of_a_restored_database_are_in_force_everywhere_even_when_their_version_is_as_before() {
    let (folder, mut pipeline) = (Folder::new("backups"), Pipeline::start().await);
    let add = async |id: &str| {
        sqlx::query("INSERT INTO campaigns (id, status, document) VALUES ($1, 'active', $2)")
            .bind(id)
            .bind(campaign(id, json!({})))
            .execute(&pipeline.database.pool)
            .await
            .unwrap();
    };
    add("kept").await;
    let backup = back_up(&pipeline, "dump", &folder);
    add("lost").await;
    pipeline.catalog_known().await;
    assert_eq!(listed(&pipeline.client(), "u").await, ["lost", "kept"]);
    let version = pipeline.database.number("SELECT version FROM catalog").await;

    // While nobody can look, the database goes back and comes to the same version another way.
    pipeline.ingests[0].pause();
    pipeline.workers[0].pause();
    pipeline.database.destroy().await;
    restore_dump(&pipeline, &backup);
    add("other").await;
    assert_eq!(pipeline.database.number("SELECT version FROM catalog").await, version);
    pipeline.ingests[0].resume();
    pipeline.workers[0].resume();
    pipeline.ready().await;
    eventually("the other campaign is known", async || {
        equal(listed(&pipeline.client(), "u").await, vec!["other".to_owned(), "kept".to_owned()])
    })
    .await;
    eventually("the worker goes by it", async || {
        equal(
            matched(&pipeline, json!({"user_id": "u", "event": "opened"})).await,
            vec!["kept".to_owned(), "other".to_owned()],
        )
    })
    .await;
}

/// Waits until messages up to here are gone from the stream.
async fn trimmed(pipeline: &Pipeline, to: u64) {
    eventually("processed messages are trimmed", async || {
        let first = pipeline.stream.state().await.first_seq;
        if first > to { Ok(()) } else { Err(format!("it begins at {first}")) }
    })
    .await;
}

#[tokio::test]
async fn a_backup_that_is_older_than_the_replay_window_halts_the_worker_which_names_what_is_missing() {
    let folder = Folder::new("backups");
    let setup = Setup::default().set("STREAM_MAX_BYTES", &(16 << 20).to_string());
    let mut pipeline = setup.set("TRIM_INTERVAL_SECONDS", "0.5").set("REPLAY_WINDOW_SECONDS", "0.5").start().await;
    for id in ["a", "b", "c"] {
        one(&pipeline, id).await;
    }
    pipeline.drained().await;
    let backup = back_up(&pipeline, "dump", &folder);

    // What was trimmed since is in the backup: nothing to halt for, although its own records say that nothing was trimmed.
    trimmed(&pipeline, 3).await;
    pipeline.database.destroy().await;
    restore_dump(&pipeline, &backup);
    pipeline.ready().await;
    one(&pipeline, "d").await;
    pipeline.drained().await;
    assert_eq!(pipeline.rows().await, 4);

    // What is trimmed now is not.
    trimmed(&pipeline, 4).await;
    pipeline.workers[0].start_again(); // it measures as it starts
    pipeline.ready().await;
    eventually("the metric warns", async || {
        equal(Metrics::of(&pipeline.workers[0]).await.sum("backup_missing_messages", &[]), 1.0)
    })
    .await;
    pipeline.database.destroy().await;
    restore_dump(&pipeline, &backup);
    pipeline.workers[0].unready_with("messages are missing").await;
    one(&pipeline, "e").await;
    let said = pipeline.workers[0].unready_with("events").await;
    for part in [
        "up to 3 ",
        "1 messages",
        "about 1 events",
        "accepted after about 20",
        "and before 20",
        "a newer one",
        "adopt-stream",
    ] {
        assert!(said.contains(part), "{part:?} is not named: {said}");
    }

    let output = run("worker", &["adopt-stream"], &pipeline.environment_of("worker")).await;
    assert!(output.status.success(), "{}", output.text);
    pipeline.ready().await;
    one(&pipeline, "f").await;
    pipeline.drained().await;
    let rows: Vec<String> = sqlx::query_scalar("SELECT message_id FROM events ORDER BY 1")
        .fetch_all(&pipeline.database.pool)
        .await
        .unwrap();
    assert_eq!(rows, ["a", "b", "c", "e", "f"]);
    assert_balanced(&pipeline).await;
}

#[tokio::test]
async fn who_was_erased_since_the_backup_is_erased_again_by_the_restore() {
    let (folder, mut pipeline) = (Folder::new("backups"), Pipeline::start().await);
    for user in ["gone", "stays"] {
        let event = json!({"userId": user, "traits": {"plan": "gold"}, "messageId": user});
        pipeline.client().accepted("/v1/identify", &event).await;
    }
    pipeline.drained().await;
    let backup = back_up(&pipeline, "dump", &folder);
    let answer = pipeline.admin().post("/v1/admin/erasures", &json!({"user_id": "gone"})).await.unwrap();
    assert_eq!(answer.status, 202, "{}", answer.text());
    let of = |user: &str| {
        format!(
            "SELECT (SELECT count(*) FROM events WHERE user_id = '{user}') + (SELECT count(*) FROM users WHERE id = '{user}')"
        )
    };
    eventually("the user is erased", async || equal(pipeline.database.number(&of("gone")).await, 0)).await;
    // The list of who was erased lies beside the next one.
    back_up(&pipeline, "dump", &folder);

    // Without a worker, which would find the request in the stream once more.
    pipeline.workers[0].kill();
    pipeline.database.destroy().await;
    restore_dump(&pipeline, &backup);
    assert_eq!(pipeline.database.number(&of("gone")).await, 0);
    assert_eq!(pipeline.database.number(&of("stays")).await, 2);
    pipeline.workers[0].start_again();
    pipeline.ready().await;
    pipeline.drained().await;
    assert_eq!(pipeline.database.number(&of("gone")).await, 0);
    assert_balanced(&pipeline).await;
}

#[tokio::test]
async fn backups_are_listed_removed_and_found_again_and_a_damaged_one_is_refused() {
    let (folder, pipeline) = (Folder::new("backups"), Pipeline::start().await);
    let url = pipeline.database.url.as_str();
    let environment = [("DATABASE_URL", url)];
    let here = folder.path().to_string_lossy().into_owned();
    let present = "SELECT count(*) FROM backups WHERE finished_at IS NOT NULL AND removed_at IS NULL";
    let (first, second) = (back_up(&pipeline, "dump", &folder), back_up(&pipeline, "dump", &folder));
    assert_eq!(pipeline.database.number(present).await, 2);
    let age = "SELECT count(*) FROM backups WHERE taken_at < finished_at AND length(checksum) = 64 AND bytes > 0 AND positions ? '0'";
    assert_eq!(pipeline.database.number(age).await, 2);

    // A database that does not know of them, as after a restore.
    sqlx::query("DELETE FROM backups").execute(&pipeline.database.pool).await.unwrap();
    deploy("backup", &["register", &here], &environment);
    assert_eq!(pipeline.database.number(present).await, 2);
    deploy("backup", &["prune", &here, "--older-than", "1"], &environment);
    assert_eq!(pipeline.database.number(present).await, 2);
    deploy("backup", &["prune", &here, "--keep", "1"], &environment);
    assert!(!Path::new(&first).exists() && Path::new(&second).exists());
    assert_eq!(pipeline.database.number(present).await, 1);
    assert_eq!(pipeline.database.number("SELECT count(removed_at) FROM backups").await, 1);

    // One that fails leaves no folder, and a row that says that there is nothing.
    let mut lock = pipeline.database.pool.begin().await.unwrap();
    sqlx::query("LOCK TABLE campaigns").execute(&mut *lock).await.unwrap();
    let failing = tokio::task::spawn_blocking({
        let (url, here) = (pipeline.database.url.clone(), here.clone());
        move || deploy_refused("backup", &["dump", &here], &[("DATABASE_URL", &url)])
    });
    eventually("the dump was cut off", async || {
        let end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                    WHERE datname = current_database() AND application_name = 'pg_dump' AND wait_event_type = 'Lock'";
        equal(pipeline.database.number(end).await, 1)
    })
    .await;
    lock.rollback().await.unwrap();
    let said = failing.await.unwrap();
    assert!(said.contains("pg_dump failed"), "{said}");
    assert_eq!(std::fs::read_dir(&here).unwrap().count(), 2, "the mark and one backup");
    assert_eq!(pipeline.database.number("SELECT count(*) FROM backups WHERE removed_at IS NULL").await, 1);

    // One that was killed is forgotten after a day.
    let killed = "INSERT INTO backups (id, kind, location, taken_at)
                  VALUES ('0badcafe-0000-8000-8000-000000000000', 'dump', (SELECT split_part(location, ':', 1) FROM backups LIMIT 1) || ':' || $1,
                          now() - interval '2 days')";
    sqlx::query(killed).bind(&here).execute(&pipeline.database.pool).await.unwrap();
    let left = Path::new(&here).join(".new-dump-0badcafe");
    std::fs::create_dir(&left).unwrap();
    deploy("backup", &["register", &here], &environment);
    assert!(!left.exists());
    assert_eq!(pipeline.database.number("SELECT count(*) FROM backups WHERE removed_at IS NULL").await, 1);

    let said = deploy_refused("restore", &["dump", &second], &environment);
    assert!(said.contains("is not empty"), "{said}");
    let dump = Path::new(&second).join("database.dump");
    let mut bytes = std::fs::read(&dump).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&dump, bytes).unwrap();
    for (command, arguments) in [("backup", ["check", &second]), ("restore", ["dump", &second])] {
        let said = deploy_refused(command, &arguments, &environment);
        assert!(said.contains("damaged"), "{said}");
    }
    let elsewhere = Folder::new("no-backups");
    let said = deploy_refused("backup", &["register", &elsewhere.path().to_string_lossy()], &environment);
    assert!(said.contains("not a folder of backups"), "{said}");
}

//! Days that are exported before they are dropped, and brought back for a while.

use std::fs;
use std::path::Path;

use serde_json::json;
use shared::domain::retention::Limits;
use tests::books::assert_balanced;
use tests::days::{ago, make_day, today};
use tests::eventually::{equal, eventually};
use tests::folder::Folder;
use tests::metrics::Metrics;
use tests::pipeline::{Pipeline, Setup};
use tests::program::{Output, run};
use worker::archive;
use worker::archive::lines;
use worker::jobs::partitions;
use worker::jobs::retention::sweep::Periods;
use worker::jobs::retention::{self, Rules};

/// Rules that keep so many days of events, and the rest as by default.
fn keep(days: u16, archive: Option<archive::folder::Folder>) -> Rules {
    let periods = Periods { matches: 400, dead_letters: 90, changes: 1_100, webhooks: 30 };
    Rules { limits: Limits { days, bytes: 0 }, periods, archive }
}

const ROWS: i32 = 6_000;

fn setup(folder: &Path) -> Setup {
    Setup::default()
        .set("RETENTION_DAYS", "30")
        .set("JOB_INTERVAL_SECONDS", "0.5")
        .set("ARCHIVE_DIR", folder.to_str().unwrap())
}

async fn worker(pipeline: &Pipeline, arguments: &[&str]) -> Output {
    run("worker", arguments, &pipeline.environment_of("worker")).await
}

/// All of a day's rows, as one text.
async fn content(pipeline: &Pipeline) -> Option<String> {
    let query = "SELECT md5(string_agg(e::text, '' ORDER BY id)) FROM events e";
    sqlx::query_scalar(query).fetch_one(&pipeline.database.pool).await.unwrap()
}

/// Waits until so many days were dropped, since the beginning.
async fn dropped(pipeline: &Pipeline, days: i64) {
    let dropped = "SELECT count(*) FROM removals WHERE reason = 'retention'";
    eventually("days are dropped", async || equal(pipeline.database.number(dropped).await, days)).await;
    assert_eq!(pipeline.rows().await, 0);
}

fn files(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Asks for an erasure, and waits until nothing of it is left in tables and archives.
async fn erase(pipeline: &Pipeline, user: &str) {
    let answer = pipeline.admin().post("/v1/admin/erasures", &json!({"user_id": user})).await.unwrap();
    assert_eq!(answer.status, 202, "{}", answer.text());
    let request = answer.json()["requests"][0]["id"].as_str().unwrap().to_owned();
    eventually("archives are looked through", async || {
        let receipt = pipeline.admin().get(&format!("/v1/admin/erasures/{request}")).await.unwrap();
        let said = receipt.text();
        match receipt.json()["state"].as_str() {
            Some("provisional" | "final") if !said.contains("archived days") => Ok(()),
            _ => Err(said),
        }
    })
    .await;
}

#[tokio::test]
async fn a_day_is_exported_dropped_brought_back_for_a_while_and_dropped_again() {
    let folder = Folder::new("archive");
    let mut pipeline = setup(folder.path()).workers(0).start().await;
    let day = ago(50);
    make_day(&pipeline.database.pool, day, ROWS).await;
    let before = content(&pipeline).await;
    pipeline.add_worker();
    pipeline.ready().await;
    dropped(&pipeline, 1).await;
    let archives = archive::folder::Folder::new(folder.path());
    let exported = archives.of_day(day).unwrap();
    assert_eq!((exported.len(), exported[0].rows), (1, u64::try_from(ROWS).unwrap()));
    assert_eq!(files(folder.path()).len(), 2, "{:?}", files(folder.path()));
    assert_balanced(&pipeline).await;
    // What anybody can check without us.
    let sum = std::process::Command::new("sha256sum").arg(archives.lines_path(&exported[0])).output().unwrap();
    assert!(String::from_utf8(sum.stdout).unwrap().starts_with(&exported[0].sha256));

    let past = worker(&pipeline, &["import-archive", &day.to_string(), "--until", &ago(1).to_string()]).await;
    assert!(!past.status.success() && past.text.contains("has passed"), "{}", past.text);
    for new in [ROWS, 0] {
        let output = worker(&pipeline, &["import-archive", &day.to_string(), "--until", &today().to_string()]).await;
        let said = format!("{new} of {ROWS} events of {day} brought back");
        assert!(output.status.success() && output.text.contains(&said), "{}", output.text);
        assert_eq!(content(&pipeline).await, before, "every column as it was");
        assert_balanced(&pipeline).await;
    }
    // Its events are known again: a resend is a duplicate, and goes nowhere else.
    let held = pipeline.database.number("SELECT count(*) FROM holds").await;
    assert_eq!(held, 1);
    let passed = format!("UPDATE holds SET until = '{}'", ago(1));
    sqlx::query(&passed).execute(&pipeline.database.pool).await.unwrap();
    dropped(&pipeline, 2).await;
    assert_eq!(archives.of_day(day).unwrap(), exported, "it was exported already");
    assert_balanced(&pipeline).await;

    // One file of it, by name.
    let manifest = folder.path().join(files(folder.path()).pop().unwrap());
    let until = today().to_string();
    let output = worker(&pipeline, &["import-archive", manifest.to_str().unwrap(), "--until", &until]).await;
    assert!(output.status.success(), "{}", output.text);
    assert_eq!(content(&pipeline).await, before);
}

#[tokio::test]
async fn erased_people_are_gone_from_archives_and_do_not_come_back_with_one() {
    let folder = Folder::new("archive");
    let mut pipeline = setup(folder.path()).workers(0).start().await;
    let day = ago(50);
    make_day(&pipeline.database.pool, day, ROWS).await;
    pipeline.add_worker();
    pipeline.ready().await;
    dropped(&pipeline, 1).await;
    let archives = archive::folder::Folder::new(folder.path());
    let whole = archives.of_day(day).unwrap().remove(0);
    // A copy that nobody told us of.
    let elsewhere = Folder::new("elsewhere");
    for name in files(folder.path()) {
        fs::copy(folder.path().join(&name), elsewhere.path().join(&name)).unwrap();
    }
    erase(&pipeline, "u-7").await;
    let left = archives.of_day(day).unwrap();
    // One in a hundred is theirs.
    let others = u64::try_from(ROWS - ROWS / 100).unwrap();
    assert_eq!((left.len(), left[0].rows), (1, others), "{left:?}");
    assert_ne!(left[0].sha256, whole.sha256);
    lines::verify(&archives, &left[0]).unwrap();
    // What is there has none of theirs, and what holds them brings none of theirs back.
    let until = today().to_string();
    for (from, new) in [(folder.path(), others), (elsewhere.path(), 0)] {
        let from = from.to_str().unwrap();
        let output = worker(&pipeline, &["import-archive", &day.to_string(), "--until", &until, "--from", from]).await;
        assert!(output.status.success() && output.text.contains(&format!("{new} of ")), "{}", output.text);
        assert_eq!(pipeline.rows().await, i64::try_from(others).unwrap());
        assert_eq!(pipeline.database.number("SELECT count(*) FROM events WHERE user_id = 'u-7'").await, 0);
    }
    assert_balanced(&pipeline).await;
}

#[tokio::test]
async fn a_day_that_waits_for_its_export_loses_erased_people_too() {
    let pipeline = Pipeline::start().await;
    let (pool, day) = (&pipeline.database.pool, ago(5));
    make_day(pool, day, 200).await;
    let table = partitions::name(day);
    sqlx::query(&format!("ALTER TABLE events DETACH PARTITION {table}")).execute(pool).await.unwrap();
    erase(&pipeline, "u-7").await;
    let left = format!("SELECT count(*) FROM {table}");
    assert_eq!(pipeline.database.number(&left).await, 198);
    assert_eq!(pipeline.database.number(&format!("{left} WHERE user_id = 'u-7'")).await, 0);
    assert_balanced(&pipeline).await;
}

#[tokio::test]
async fn a_day_that_cannot_be_exported_stays_until_it_can() {
    let folder = Folder::new("archive");
    let place = folder.path().join("archive");
    fs::write(&place, "a file where the folder should be").unwrap();
    let mut pipeline = setup(&place).workers(0).start().await;
    make_day(&pipeline.database.pool, ago(50), 10).await;
    pipeline.add_worker();
    pipeline.ready().await;
    eventually("the failure is counted and named", async || {
        let failures = Metrics::of(&pipeline.workers[0]).await.sum("archive_failures_total", &[]);
        let named = pipeline.workers[0].log().contains("could not be exported, and is not dropped");
        if failures > 0.5 && named { Ok(()) } else { Err(format!("{failures}, {}", pipeline.workers[0].log())) }
    })
    .await;
    assert_eq!(pipeline.rows().await, 10);
    fs::remove_file(&place).unwrap();
    dropped(&pipeline, 1).await;
    assert_eq!(files(&place).len(), 2);
    assert_balanced(&pipeline).await;
}

#[tokio::test]
async fn an_export_that_fails_in_the_middle_loses_nothing() {
    let (elsewhere, folder) = (Folder::new("elsewhere"), Folder::new("archive"));
    let pipeline = Setup::default().workers(0).start().await;
    let pool = &pipeline.database.pool;
    make_day(pool, ago(50), 10).await;
    // To know its name.
    let table = partitions::all(&mut pool.acquire().await.unwrap()).await.unwrap().remove(0);
    let known = archive::folder::Folder::new(elsewhere.path());
    let name = archive::export::export(&mut pool.acquire().await.unwrap(), &table, &known).await.unwrap().file;
    fs::create_dir_all(folder.path().join(&name).join("in the way")).unwrap();

    let rules = keep(30, Some(archive::folder::Folder::new(folder.path())));
    for _ in 0..2 {
        let done = retention::run(pool, &rules, today()).await.unwrap();
        assert_eq!((done.dropped.len(), done.failed.len()), (0, 1));
        assert_eq!(pipeline.database.number(&format!("SELECT count(*) FROM {}", table.name)).await, 10);
        assert_eq!(files(folder.path()), [name.as_str()], "nothing half done lies about");
        assert_balanced(&pipeline).await;
    }
    fs::remove_dir_all(folder.path().join(&name)).unwrap();
    let done = retention::run(pool, &rules, today()).await.unwrap();
    assert_eq!((done.dropped[0].archive.as_ref(), done.failed.len()), (Some(&name), 0));
    assert_balanced(&pipeline).await;
}

#[tokio::test]
async fn a_damaged_archive_is_refused_before_anything_is_changed() {
    let folder = Folder::new("archive");
    let pipeline = setup(folder.path()).workers(0).start().await;
    let (pool, archives) = (&pipeline.database.pool, archive::folder::Folder::new(folder.path()));
    make_day(pool, ago(50), 100).await;
    retention::run(pool, &keep(30, Some(archives.clone())), today()).await.unwrap();
    let exported = archives.of_day(ago(50)).unwrap().remove(0);
    let path = archives.lines_path(&exported);
    let whole = fs::read(&path).unwrap();
    let mut damaged = whole.clone();
    damaged[whole.len() / 2] ^= 1;
    fs::write(&path, &damaged).unwrap();
    let (day, until) = (ago(50).to_string(), today().to_string());
    let output = worker(&pipeline, &["import-archive", &day, "--until", &until]).await;
    assert!(!output.status.success() && output.text.contains("is damaged"), "{}", output.text);
    assert_eq!((pipeline.rows().await, pipeline.database.number("SELECT count(*) FROM holds").await), (0, 0));
    let unknown = worker(&pipeline, &["import-archive", &ago(51).to_string(), "--until", &until]).await;
    assert!(!unknown.status.success() && unknown.text.contains("there is no archive of"), "{}", unknown.text);

    fs::write(&path, &whole).unwrap();
    let output = worker(&pipeline, &["import-archive", &day, "--until", &until]).await;
    assert!(output.status.success(), "{}", output.text);
    assert_eq!(pipeline.rows().await, 100);
}

#[tokio::test]
async fn a_second_export_of_a_day_with_other_rows_leaves_the_first_alone() {
    let folder = Folder::new("archive");
    let pipeline = setup(folder.path()).workers(0).start().await;
    let (pool, archives) = (&pipeline.database.pool, archive::folder::Folder::new(folder.path()));
    for rows in [3, 4] {
        make_day(pool, ago(50), rows).await;
        retention::run(pool, &keep(30, Some(archives.clone())), today()).await.unwrap();
    }
    let all = archives.of_day(ago(50)).unwrap();
    assert_eq!(all.iter().map(|archive| archive.rows).sum::<u64>(), 7);
    all.iter().for_each(|archive| lines::verify(&archives, archive).unwrap());
    let output = worker(&pipeline, &["import-archive", &ago(50).to_string(), "--until", &today().to_string()]).await;
    assert!(output.status.success(), "{}", output.text);
    assert_eq!(pipeline.rows().await, 7);
    assert_balanced(&pipeline).await;
    let first: serde_json::Value = {
        let mut reader = lines::Reader::open(&archives, &all[0]).unwrap();
        serde_json::from_str(&reader.read().unwrap().unwrap()).unwrap()
    };
    assert_eq!(first["properties"]["text"], json!("Grüße \\ \""));
}

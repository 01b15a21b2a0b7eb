//! `worker repartition`: another number of partitions and lanes while events come in. Nothing is lost or doubled, and each user's order
//! holds, whoever is killed in between.

use shared::domain::layout::Layout;
use shared::stream::lanes;
use sqlx::Executor;
use tests::eventually::{equal, eventually};
use tests::load::{Control, Load, Log};
use tests::oracle::{campaigns, verdict};
use tests::pipeline::{Pipeline, Setup};
use tests::program::{Output, run, start_command};
use tests::services::Services;
use tests::stream::TestStream;

fn with_campaigns() -> Setup {
    campaigns().into_iter().fold(Setup::default(), Setup::campaign)
}

/// Runs the command as the owner of the schema, with more settings.
async fn repartition(pipeline: &Pipeline, arguments: &[&str], failpoints: &str) -> Output {
    let mut environment = pipeline.environment().to_vec();
    environment.push(("FAILPOINTS".to_owned(), failpoints.to_owned()));
    run("worker", &[&["repartition"], arguments].concat(), &environment).await
}

async fn to(pipeline: &mut Pipeline, epoch: u32, partitions: u16, lanes: u16) -> Output {
    let (p, l) = (partitions.to_string(), lanes.to_string());
    let output = repartition(pipeline, &["--partitions", &p, "--lanes", &l], "").await;
    assert!(output.status.success(), "{}", output.text);
    follow(pipeline, epoch, partitions, lanes).await;
    output
}

/// Database and streams are of this layout, and nothing else is left.
async fn follow(pipeline: &mut Pipeline, epoch: u32, partitions: u16, lanes: u16) {
    let layout = Layout { epoch, partitions, lanes };
    let before = pipeline.stream.lanes.clone();
    pipeline.stream.follow(layout);
    let number = async |query: &str| pipeline.database.number(query).await;
    assert_eq!(number("SELECT count(*) FROM partitions").await, i64::from(partitions));
    assert_eq!(number("SELECT count(*) FROM lanes").await, i64::from(lanes));
    assert_eq!(number("SELECT count(*) FROM layouts WHERE finished_at IS NULL").await, 0);
    for lane in &pipeline.stream.lanes {
        let state = pipeline.stream.state_of(lane).await;
        assert_eq!((state.layout, state.sealed), (layout, false), "{}", lane.stream);
        assert!(state.first_seq > state.barrier, "{} keeps messages of the layout before: {state:?}", lane.stream);
    }
    for lane in before.iter().filter(|lane| lane.number >= lanes) {
        let left = lanes::state(&pipeline.stream.context, lane).await.unwrap();
        assert_eq!(left, None, "{} is left", lane.stream);
    }
}

async fn balances(pipeline: &Pipeline) {
    let audit = run("worker", &["audit"], &pipeline.environment_of("worker")).await;
    assert!(audit.status.success(), "{}", audit.text);
    assert_eq!(pipeline.database.number("SELECT coalesce(sum(imbalance), 0)::bigint FROM lanes").await, 0);
}

/// A load in the background.
fn load(pipeline: &Pipeline, events: u64, control: &Control) -> tokio::task::JoinHandle<Log> {
    let load = Load { events, users: 300, connections: 6, batch: 20, ..Load::default() };
    let targets: Vec<_> = pipeline.ingests.iter().map(|ingest| ingest.address).collect();
    let control = control.clone();
    tokio::spawn(async move { load.run(&targets, &control).await })
}

#[tokio::test]
async fn under_load_and_kills_nothing_is_lost_doubled_or_out_of_order() {
    let mut pipeline = with_campaigns().set("AUDIT_INTERVAL_SECONDS", "0.5").ingests(2).workers(2).start().await;
    let control = Control::default();
    control.allow(4_000);
    let running = load(&pipeline, 24_000, &control);
    control.reaches(3_000).await;

    // Requests are under way all the time; a worker and an ingest die while the streams are closed.
    control.allow(u64::MAX);
    let owner = pipeline.environment().to_vec();
    let mut stopped = owner.clone();
    stopped.push(("FAILPOINTS".to_owned(), "repartition::ended=stop".to_owned()));
    let arguments = ["repartition", "--partitions", "5", "--lanes", "3"];
    let mut command = start_command("worker", &arguments, &stopped);
    let unready = pipeline.ingests[1].unready_with("being repartitioned").await;
    assert!(unready.contains("worker repartition"), "{unready}");
    pipeline.workers[0].kill();
    pipeline.ingests[0].kill();
    pipeline.workers[0].start_again();
    pipeline.ingests[0].start_again();
    resume_process(&command);
    assert!(command.wait().await.unwrap().success());
    follow(&mut pipeline, 1, 5, 3).await;
    pipeline.ready().await;
    let so_far = control.acknowledged();
    control.reaches(so_far + 3_000).await;

    let output = to(&mut pipeline, 2, 12, 1).await;
    eprintln!("{}", output.text);
    pipeline.workers[1].kill();
    // Started with the settings of the first layout, as all of them.
    pipeline.workers[1].start_again();
    pipeline.ready().await;
    let log = running.await.unwrap();
    assert_eq!(log.acknowledged.len(), 24_000, "every event is answered in the end");
    verdict(&pipeline, &log).await.assert_clean(&log);
    balances(&pipeline).await;
}

/// SIGCONT to a command that stopped itself.
fn resume_process(command: &tokio::process::Child) {
    let id = command.id().expect("it runs").to_string();
    eventually_stopped(&id);
    let done = std::process::Command::new("kill").args(["-CONT", &id]).status();
    assert!(done.is_ok_and(|status| status.success()));
}

fn eventually_stopped(id: &str) {
    let is_stopped = || std::fs::read_to_string(format!("/proc/{id}/stat")).is_ok_and(|stat| stat.contains(") T"));
    while !is_stopped() {
        std::thread::yield_now();
    }
}

/// Between its steps, in order.
const POINTS: [&str; 10] = [
    "planned=die",
    "made=die",
    "sealed=die",
    "ended=die",
    "processed=die",
    "taken=die",
    "opening=die",
    "opening=die@2",
    "opened=die",
    "cleared=die",
];

#[tokio::test]
async fn a_command_that_dies_anywhere_is_gone_on_with_by_the_next() {
    let mut pipeline = with_campaigns().workers(2).start().await;
    let control = Control::default();
    let running = load(&pipeline, 60_000, &control);
    for (epoch, point) in (1..).zip(POINTS) {
        // More lanes and fewer lanes in turn.
        let (partitions, lanes) = if epoch % 2 == 1 { (7, 3) } else { (4, 2) };
        let (p, l) = (partitions.to_string(), lanes.to_string());
        let wanted = ["--partitions", &p, "--lanes", &l];
        let died = repartition(&pipeline, &wanted, &format!("repartition::{point}")).await;
        assert!(!died.status.success(), "{point} was not reached: {}", died.text);
        let other = repartition(&pipeline, &["--partitions", "9"], "").await;
        assert!(!other.status.success() && other.text.contains("not finished"), "{point}: {}", other.text);
        let done = repartition(&pipeline, &[], "").await;
        assert!(done.status.success() && done.text.contains("going on"), "{point}: {}", done.text);
        follow(&mut pipeline, epoch, partitions, lanes).await;
        pipeline.ready().await;
    }
    control.stop();
    let log = running.await.unwrap();
    assert!(!log.acknowledged.is_empty());
    verdict(&pipeline, &log).await.assert_clean(&log);
    balances(&pipeline).await;
}

#[tokio::test]
async fn one_that_was_broken_off_is_given_up_as_long_as_it_is_not_taken() {
    let mut pipeline = with_campaigns().start().await;
    let control = Control::default();
    let running = load(&pipeline, 40_000, &control);
    for point in &POINTS[..5] {
        let wanted = ["--partitions", "6", "--lanes", "2"];
        let died = repartition(&pipeline, &wanted, &format!("repartition::{point}")).await;
        assert!(!died.status.success(), "{point} was not reached: {}", died.text);
        let given_up = repartition(&pipeline, &["--cancel"], "").await;
        assert!(given_up.status.success(), "{point}: {}", given_up.text);
        let second = pipeline.stream.lane.stream.replace("_0", "_1");
        assert!(pipeline.stream.context.get_stream(&second).await.is_err(), "{second} is left");
        pipeline.ready().await;
    }
    let died = repartition(&pipeline, &["--lanes", "2"], "repartition::taken=die").await;
    assert!(!died.status.success(), "{}", died.text);
    let refused = repartition(&pipeline, &["--cancel"], "").await;
    assert!(!refused.status.success() && refused.text.contains("to finish it"), "{}", refused.text);
    assert!(repartition(&pipeline, &[], "").await.status.success());
    follow(&mut pipeline, 1, 16, 2).await;
    control.stop();
    let log = running.await.unwrap();
    verdict(&pipeline, &log).await.assert_clean(&log);
    balances(&pipeline).await;
}

#[tokio::test]
async fn it_begins_only_where_it_can_end() {
    let mut pipeline = Setup::default().start().await;
    let refused = async |pipeline: &Pipeline, arguments: &[&str], says: &str| {
        let output = repartition(pipeline, arguments, "").await;
        assert!(!output.status.success() && output.text.contains(says), "{arguments:?}: {}", output.text);
        assert_eq!(pipeline.database.number("SELECT count(*) FROM layouts").await, 0);
    };
    refused(&pipeline, &[], "in force already").await;
    refused(&pipeline, &["--partitions", "16"], "in force already").await;
    refused(&pipeline, &["--partitions", "2", "--lanes", "3"], "stay empty").await;
    refused(&pipeline, &["--cancel"], "nothing to cancel").await;
    sqlx::query("UPDATE workers SET version = '0.0.1'").execute(&pipeline.database.pool).await.unwrap();
    refused(&pipeline, &["--lanes", "2"], "upgrade all of them first").await;
    let as_worker = pipeline.environment_of("worker");
    pipeline.workers[0].stop().await;
    refused(&pipeline, &["--lanes", "2"], "start one").await;
    pipeline.workers[0].start_again();
    pipeline.ready().await;
    let output = run("worker", &["repartition", "--lanes", "2"], &as_worker).await;
    assert!(!output.status.success() && output.text.contains("owner"), "{}", output.text);

    to(&mut pipeline, 1, 4, 2).await;
    // A program of before, such as one that was asleep, cannot make its positions again.
    let made = sqlx::query("INSERT INTO partitions (partition, lane) VALUES (15, 0)");
    let refused = made.execute(&pipeline.database.pool).await.unwrap_err().to_string();
    assert!(refused.contains("none of layout 1"), "{refused}");
}

/// An event as it lies in the stream.
fn line(user: &str) -> serde_json::Value {
    let now = chrono::Utc::now();
    serde_json::json!({"id": uuid::Uuid::new_v4(), "day": now.date_naive(), "type": "track", "user_id": user, "event": "e",
        "message_id": user, "timestamp": now, "received_at": now, "source": "by hand"})
}

#[tokio::test]
async fn letters_of_before_are_redriven_to_where_their_users_are_now() {
    let mut pipeline = with_campaigns().start().await;
    // Refused by the database, until it is mended.
    let poison = "ALTER TABLE events ADD CONSTRAINT poison CHECK (source <> 'by hand') NOT VALID";
    pipeline.database.pool.execute(poison).await.unwrap();
    for user in 0..20 {
        let user = format!("u-{user}");
        let partition = shared::domain::user_key::UserKey::user(&user).partition(16);
        pipeline.stream.publish_lines(&[(partition, line(&user).to_string().as_bytes())]).await;
    }
    pipeline.drained().await;
    assert_eq!(pipeline.database.number("SELECT count(*) FROM dead_letters").await, 20);
    to(&mut pipeline, 1, 5, 3).await;
    balances(&pipeline).await;
    pipeline.database.pool.execute("ALTER TABLE events DROP CONSTRAINT poison").await.unwrap();
    let redriven = run("worker", &["dead-letters", "redrive", "--all"], &pipeline.environment_of("worker")).await;
    assert!(redriven.status.success() && redriven.text.contains("redriven 20 letters"), "{}", redriven.text);
    pipeline.drained().await;
    assert_eq!(pipeline.rows().await, 20);
    balances(&pipeline).await;
}

#[tokio::test]
async fn what_comes_under_the_layout_before_in_spite_of_all_is_put_aside_and_can_be_redriven() {
    let mut pipeline = with_campaigns().start().await;
    to(&mut pipeline, 1, 5, 3).await;
    pipeline.ready().await;
    // A node of a cluster that has not heard of the new subject takes the old one for a moment longer.
    let stream = &pipeline.stream;
    let info = stream.context.get_stream(&stream.lane.stream).await.unwrap().cached_info().config.clone();
    let old = stream.lane.at_epoch(0);
    let subjects = vec![stream.lane.subject.clone(), old.subject.clone()];
    let both = async_nats::jetstream::stream::Config { subjects, ..info.clone() };
    stream.context.update_stream(both).await.unwrap();
    let mut of_before = TestStream::connect(&Services::shared().nats_url, "none", 0).await;
    of_before.lane = old;
    let users: Vec<String> = (0..20).map(|n| format!("u-{n}")).collect();
    let partition = |user: &str| shared::domain::user_key::UserKey::user(user).partition(16);
    let lines: Vec<(u16, String)> = users.iter().map(|user| (partition(user), line(user).to_string())).collect();
    let lines: Vec<(u16, &[u8])> = lines.iter().map(|(p, line)| (*p, line.as_bytes())).collect();
    of_before.publish_lines(&lines).await;
    stream.context.update_stream(info).await.unwrap();
    pipeline.drained().await;
    let letters = "SELECT count(*) FROM dead_letters WHERE events = 20 AND reason LIKE '%redrive it'";
    assert_eq!((pipeline.rows().await, pipeline.database.number(letters).await), (0, 1));
    balances(&pipeline).await;
    pipeline.ready().await;
    let redriven = run("worker", &["dead-letters", "redrive", "--all"], &pipeline.environment_of("worker")).await;
    assert!(redriven.status.success() && redriven.text.contains("(20 events)"), "{}", redriven.text);
    pipeline.drained().await;
    assert_eq!(pipeline.rows().await, 20);
    balances(&pipeline).await;
}

#[tokio::test]
async fn a_database_from_before_is_recognised_and_can_follow_the_streams() {
    let mut pipeline = Setup::default().start().await;
    let event = |id: &str| serde_json::json!({"user_id": "u", "event": "e", "messageId": id});
    pipeline.client().accepted("/v1/track", &event("before")).await;
    pipeline.drained().await;
    for table in ["partitions", "lanes", "layouts"] {
        let copy = format!("CREATE TABLE backup_{table} AS TABLE {table}");
        pipeline.database.pool.execute(copy.as_str()).await.unwrap();
    }
    to(&mut pipeline, 1, 5, 2).await;
    eventually("ingest, to which nobody talked meanwhile, has noticed", async || {
        let answer = pipeline.client().post("/v1/track", &event("after")).await.map_err(|e| e.to_string())?;
        equal(answer.status, 200)
    })
    .await;
    pipeline.drained().await;
    pipeline.workers[0].stop().await;
    for table in ["layouts", "lanes", "partitions"] {
        let restore = format!("DELETE FROM {table}; INSERT INTO {table} SELECT * FROM backup_{table}");
        pipeline.database.pool.execute(restore.as_str()).await.unwrap();
    }
    let forget = "DELETE FROM late_ids USING events e WHERE e.id = late_ids.id AND message_id = 'after';
                  DELETE FROM events WHERE message_id = 'after'; UPDATE ledger SET read = 1, stored = 1, settled = 0 WHERE read = 2";
    pipeline.database.pool.execute(forget).await.unwrap();
    pipeline.workers[0].start_again();
    let said = pipeline.workers[0].unready_with("Restore a backup taken after it").await;
    assert!(said.contains("adopt-stream"), "{said}");

    let refused = run("worker", &["adopt-stream"], &pipeline.environment_of("worker")).await;
    assert!(!refused.status.success() && refused.text.contains("owner"), "{}", refused.text);
    let adopted = run("worker", &["adopt-stream"], pipeline.environment()).await;
    assert!(adopted.status.success(), "{}", adopted.text);
    pipeline.ready().await;
    pipeline.client().accepted("/v1/track", &event("later")).await;
    pipeline.drained().await;
    eventually("what came after the repartition is there", async || equal(pipeline.rows().await, 3)).await;
}

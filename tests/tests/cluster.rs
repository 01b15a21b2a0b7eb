//! Three NATS servers that keep three copies of the stream: what fails, fails for a moment, and nothing is lost or doubled.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::json;
use tests::client::Client;
use tests::cluster::{PrivateCluster, SERVERS};
use tests::eventually::eventually;
use tests::load::{Control, Load, Log};
use tests::oracle::{campaigns, verdict};
use tests::pipeline::{Pipeline, Setup};

const PUBLISH_DEADLINE: Duration = Duration::from_secs(5);

fn with_campaigns() -> Setup {
    campaigns().into_iter().fold(Setup::default(), Setup::campaign)
}

fn start(load: &Load, targets: &[SocketAddr]) -> (Control, tokio::task::JoinHandle<Log>) {
    let (load, control, targets) = (load.clone(), Control::default(), targets.to_vec());
    let running = tokio::spawn({
        let control = control.clone();
        async move { load.run(&targets, &control).await }
    });
    (control, running)
}

fn targets(pipeline: &Pipeline) -> Vec<SocketAddr> {
    pipeline.ingests.iter().map(|ingest| ingest.address).collect()
}

/// One event is answered 503 within the deadline. It may still be stored later.
async fn is_refused_in_time(client: &Client) {
    let asked = Instant::now();
    let answer = client.post("/v1/track", &json!({"user_id": "u", "event": "e"})).await.unwrap();
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert!(asked.elapsed() < PUBLISH_DEADLINE + Duration::from_secs(2), "it took {:?}", asked.elapsed());
    assert!(answer.header("retry-after").is_some(), "no Retry-After");
}

/// The judge does not know the single events, which have no message id.
async fn assert_clean(pipeline: &Pipeline, log: &Log) {
    pipeline.drained().await;
    let mut found = tests::oracle::Found::of(pipeline).await;
    let unnamed = pipeline.database.number("SELECT count(*) FROM events WHERE message_id IS NULL").await;
    found.books[0] -= unnamed;
    found.books[1] -= unnamed;
    tests::oracle::judge(log, &found, 0).assert_clean(log);
}

#[tokio::test]
async fn the_leader_killed_again_and_again_and_then_two_of_three_under_load_lose_and_double_nothing() {
    let cluster = PrivateCluster::start().await;
    let pipeline = with_campaigns().cluster(&cluster).ingests(2).workers(2).start().await;
    let (control, running) = start(&Load { events: 12_000, users: 200, ..Load::default() }, &targets(&pipeline));
    for step in 1..=2 {
        control.allow(step * 2_500 + 2_500);
        control.reaches(step * 2_500).await;
        let leader = cluster.leader_of(&pipeline.stream.lane.stream).await;
        cluster.kill(leader);
        // The other two go on.
        control.reaches(step * 2_500 + 1_000).await;
        cluster.restart(leader).await;
    }
    control.allow(10_000);
    control.reaches(7_500).await;
    let leader = cluster.leader_of(&pipeline.stream.lane.stream).await;
    let other = (leader + 1) % SERVERS;
    cluster.kill(other);
    cluster.kill(leader);
    is_refused_in_time(&pipeline.client()).await;
    cluster.launch(leader);
    cluster.restart(other).await;
    cluster.healthy(leader).await;
    control.allow(u64::MAX);
    let log = running.await.unwrap();
    assert_eq!(log.unknown.len(), 0);
    assert_clean(&pipeline, &log).await;
}

#[tokio::test]
async fn programs_start_without_one_server_and_refuse_one_that_does_not_sync() {
    let cluster = PrivateCluster::start().await;
    let mut pipeline = Setup::default().cluster(&cluster).start().await;
    let down = (cluster.leader_of(&pipeline.stream.lane.stream).await + 1) % SERVERS;
    cluster.kill(down);
    pipeline.ingests[0].start_again();
    pipeline.workers[0].start_again();
    pipeline.ready().await;
    pipeline.client().accepted("/v1/track", &json!({"user_id": "u", "event": "e"})).await;
    pipeline.drained().await;

    let (always, seldom) = ("sync_interval: always", "sync_interval: \"2m\"");
    cluster.change(down, always, seldom);
    cluster.restart(down).await;
    pipeline.ingests[0].unready_with("does not sync each write").await;
    let refused = pipeline.client().post("/v1/track", &json!({"user_id": "u", "event": "e"})).await.unwrap();
    assert_eq!(refused.status, 503, "{}", refused.text());
    pipeline.workers[0].start_again();
    pipeline.workers[0].unready_with("does not sync each write").await;

    cluster.kill(down);
    cluster.change(down, seldom, always);
    cluster.restart(down).await;
    pipeline.ready().await;
    pipeline.client().accepted("/v1/track", &json!({"user_id": "u", "event": "e"})).await;
}

#[tokio::test]
async fn a_rolling_restart_of_all_servers_under_load_fails_no_request() {
    let cluster = PrivateCluster::start().await;
    let pipeline = with_campaigns().cluster(&cluster).ingests(2).workers(2).start().await;
    let (control, running) = start(&Load { events: u64::MAX / 2, users: 200, ..Load::default() }, &targets(&pipeline));
    for number in 0..SERVERS {
        control.reaches(control.acknowledged() + 1_000).await;
        cluster.stop(number);
        control.reaches(control.acknowledged() + 1_000).await;
        cluster.restart(number).await;
    }
    control.reaches(control.acknowledged() + 1_000).await;
    control.stop();
    let log = running.await.unwrap();
    assert_eq!((log.repeats, log.unknown.len()), (0, 0), "requests failed");
    verdict(&pipeline, &log).await.assert_clean(&log);
}

#[tokio::test]
async fn the_majority_goes_on_while_the_leader_is_cut_off_and_while_it_hangs() {
    let cluster = PrivateCluster::start().await;
    let mut pipeline = with_campaigns().cluster(&cluster).ingests(1).workers(2).start().await;
    let leader = cluster.leader_of(&pipeline.stream.lane.stream).await;
    // One more ingest, which knows of that server alone.
    pipeline.add_ingest();
    pipeline.ingests[1].set("NATS_URL", &cluster.url(leader));
    pipeline.ingests[1].start_again();
    pipeline.ready().await;
    let lonely = pipeline.ingests[1].client().with_key(tests::client::WRITE_KEY);
    let load = Load { events: 12_000, users: 200, ..Load::default() };
    let (control, running) = start(&load, &targets(&pipeline)[..1]);
    control.allow(4_000);
    control.reaches(2_000).await;

    cluster.cut_off(leader);
    cluster.cut_off_clients((leader + 1) % SERVERS); // so that the first ingest may well meet the one that is cut off
    control.allow(8_000);
    is_refused_in_time(&lonely).await;
    control.reaches(5_000).await;
    is_refused_in_time(&lonely).await;
    cluster.rejoin(leader);
    cluster.rejoin((leader + 1) % SERVERS);
    eventually("the lonely ingest accepts again", async || {
        let answer =
            lonely.post("/v1/track", &json!({"user_id": "u", "event": "e"})).await.map_err(|e| e.to_string())?;
        if answer.status == 200 { Ok(()) } else { Err(answer.text()) }
    })
    .await;

    control.reaches(7_000).await;
    let leader = cluster.leader_of(&pipeline.stream.lane.stream).await;
    cluster.pause(leader);
    control.allow(u64::MAX);
    control.reaches(9_000).await;
    cluster.resume(leader);
    let log = running.await.unwrap();
    assert_eq!(log.unknown.len(), 0);
    assert_clean(&pipeline, &log).await;
}

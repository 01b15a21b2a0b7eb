//! Three NATS servers that keep three copies of the stream: what fails, fails for a moment, and nothing is lost or doubled.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::json;
use tests::cluster::{PrivateCluster, SERVERS};
use tests::load::{Control, Load, Log};
use tests::oracle::{campaigns, verdict};
use tests::pipeline::{Pipeline, Setup};

const PUBLISH_DEADLINE: Duration = Duration::from_secs(5);

fn with_campaigns() -> Setup {
    campaigns().into_iter().fold(Setup::default(), Setup::campaign)
}

fn start(load: &Load, pipeline: &Pipeline) -> (Control, tokio::task::JoinHandle<Log>) {
    let (load, control) = (load.clone(), Control::default());
    let targets: Vec<SocketAddr> = pipeline.ingests.iter().map(|ingest| ingest.address).collect();
    let running = tokio::spawn({
        let control = control.clone();
        async move { load.run(&targets, &control).await }
    });
    (control, running)
}

#[tokio::test]
async fn the_leader_killed_again_and_again_under_load_loses_and_doubles_nothing() {
    let cluster = PrivateCluster::start().await;
    let pipeline = with_campaigns().cluster(&cluster).ingests(2).workers(2).start().await;
    let (control, running) = start(&Load { events: 12_000, users: 200, ..Load::default() }, &pipeline);
    for step in 1..=3 {
        control.allow(step * 2_500 + 2_500);
        control.reaches(step * 2_500).await;
        let at = Instant::now();
        let leader = cluster.leader_of(&pipeline.stream.lane.stream).await;
        cluster.kill(leader);
        control.reaches(step * 2_500 + 1_000).await;
        eprintln!("leader {leader} killed, {:?}", at.elapsed());
        cluster.restart(leader).await;
        eprintln!("healthy, {:?}", at.elapsed());
    }
    control.allow(u64::MAX);
    let log = running.await.unwrap();
    assert_eq!(log.unknown.len(), 0);
    verdict(&pipeline, &log).await.assert_clean(&log);
}

//! Three NATS servers with three copies of the stream: some die, hang, or are cut off.

use std::time::Duration;

use crate::chaos::schedule::Strike;
use crate::chaos::world::World;
use crate::cluster::SERVERS;
use crate::load::Control;

/// Acknowledged by those that are left, before the harm ends.
const MEANWHILE: u64 = 500;

/// The leader or two servers are killed, the leader hangs or is cut off, or all are restarted one after the other.
pub async fn strike(world: &World, strike: Strike, control: &Control) {
    let cluster = world.cluster();
    let leader = cluster.leader_of(&world.pipeline.stream.lane.stream).await;
    let other = (leader + 1 + strike.choose(2, SERVERS - 1)) % SERVERS;
    let more = async || control.reaches(control.acknowledged() + MEANWHILE).await;
    match strike.choose(1, 5) {
        0 => {
            cluster.kill(leader);
            more().await;
            cluster.restart(leader).await;
        }
        1 => {
            cluster.kill(leader);
            cluster.kill(other);
            // Nobody can acknowledge: the fault's own length.
            tokio::time::sleep(Duration::from_secs(2)).await;
            cluster.launch(leader);
            cluster.restart(other).await;
            cluster.healthy(leader).await;
        }
        2 => {
            cluster.pause(leader);
            more().await;
            cluster.resume(leader);
        }
        3 => {
            cluster.cut_off(leader);
            more().await;
            cluster.rejoin(leader);
        }
        _ => {
            for number in 0..SERVERS {
                cluster.stop(number);
                more().await;
                cluster.restart(number).await;
            }
        }
    }
    for number in 0..SERVERS {
        cluster.healthy(number).await;
    }
    cluster.meshed().await;
}

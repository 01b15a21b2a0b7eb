//! The network between programs and servers.

use std::time::Duration;

use crate::chaos::schedule::Strike;
use crate::chaos::world::World;
use crate::proxy::{Mode, Proxy};

/// Longer than the publish deadline of these runs, and long enough for several flushes.
const WHILE: Duration = Duration::from_secs(2);

async fn during(way: Option<&Proxy>, mode: Mode, length: Duration) {
    let way = way.expect("this world has a proxy on the way");
    way.set(mode);
    // The fault's own length, not a wait for something.
    tokio::time::sleep(length).await;
    way.set(Mode::Pass);
}

/// Between ingest and NATS.
pub async fn stream(world: &World, strike: Strike) {
    let way = world.stream_way.as_ref();
    match strike.choose(1, 6) {
        0 => during(way, Mode::Reset, WHILE).await,
        1 => during(way, Mode::BlackHole, WHILE).await,
        // Acknowledgements come late …
        2 => during(way, Mode::HoldAnswers, WHILE).await,
        // … or never.
        3 => {
            let way = way.expect("this world has a proxy on the way");
            way.set(Mode::HoldAnswers);
            tokio::time::sleep(WHILE).await;
            during(Some(way), Mode::Reset, Duration::from_millis(100)).await;
        }
        4 => during(way, Mode::HoldRequests, WHILE).await,
        _ => during(way, Mode::Delay(Duration::from_millis(300)), WHILE).await,
    }
}

/// Between workers and PostgreSQL.
pub async fn database(world: &World, strike: Strike) {
    let way = world.database_way.as_ref();
    match strike.choose(1, 6) {
        // Whether the COMMIT went through, nobody knows.
        0 | 1 => during(way, Mode::CutAfter(b"COMMIT"), WHILE).await,
        2 => during(way, Mode::HalfOpen, 2 * WHILE).await,
        3 => during(way, Mode::BlackHole, 2 * WHILE).await,
        4 => during(way, Mode::Delay(Duration::from_secs(5)), Duration::from_secs(8)).await,
        _ => during(way, Mode::Throttle(100_000), WHILE).await,
    }
}

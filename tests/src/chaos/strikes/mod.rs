//! The harm itself, and how each is healed: a strike returns when nothing is harmed any more, but before anything has recovered.

pub mod clock;
pub mod cluster;
pub mod database;
pub mod limits;
pub mod network;
pub mod programs;
pub mod retention;
pub mod servers;
pub mod stream;

use super::fault::Fault;
use super::schedule::Strike;
use super::world::World;
use crate::load::Control;

/// What the soak chooses from: faults that need no special world but the proxies.
const QUICK: [Fault; 9] = [
    Fault::IngestKill,
    Fault::IngestDiesUnanswered,
    Fault::WorkerKill,
    Fault::WorkerDiesInFlush,
    Fault::WorkerPause,
    Fault::NatsKill,
    Fault::PostgresKill,
    Fault::StreamNetwork,
    Fault::DatabaseNetwork,
];

/// Strikes once.
pub async fn strike(world: &mut World, fault: Fault, strike: Strike, control: &Control) {
    match fault {
        Fault::IngestKill => programs::kill(&mut world.pipeline.ingests, strike),
        Fault::IngestDiesUnanswered => programs::ingest_dies_unanswered(world, strike).await,
        Fault::IngestStop => programs::ingest_stops(world, strike).await,
        Fault::WorkerKill => programs::kill(&mut world.pipeline.workers, strike),
        Fault::WorkerDiesInFlush => programs::worker_dies_in_flush(world, strike).await,
        Fault::WorkerPause => programs::worker_pauses(world, strike).await,
        Fault::WorkersDown => programs::workers_down(world, control).await,
        Fault::WorkerScaling => programs::workers_scale(world).await,
        Fault::NatsKill => servers::nats_kill(world, strike).await,
        Fault::NatsPowerCut => servers::nats_power_cut(world),
        Fault::PostgresKill => servers::postgres_kill(world, strike).await,
        Fault::PostgresPowerCut => servers::postgres_power_cut(world),
        Fault::TotalPowerCut => servers::total_power_cut(world),
        Fault::StreamFull => servers::stream_full(world).await,
        Fault::NatsDiskFull => servers::nats_disk_full(world).await,
        Fault::PostgresDiskFull => servers::postgres_disk_full(world).await,
        Fault::StreamNetwork => network::stream(world, strike).await,
        Fault::DatabaseNetwork => network::database(world, strike).await,
        Fault::Lock => database::lock(world, strike).await,
        Fault::StreamReplaced => stream::replaced(world, strike, control).await,
        Fault::Poison => database::poison(world, strike).await,
        Fault::SchemaBehind => database::schema_behind(world).await,
        Fault::Clock => clock::wrong(world, strike).await,
        Fault::PartitionMissing => database::partition_missing(world).await,
        Fault::RetentionKilled => retention::killed(world).await,
        Fault::RetentionUnderLoad => retention::under_load(world, control).await,
        Fault::FileDescriptors => limits::file_descriptors(world, strike).await,
        Fault::Memory => limits::memory(world, control).await,
        Fault::Cluster => cluster::strike(world, strike, control).await,
        Fault::RollingUpgrade => {
            let next = std::env::var_os("EC_NEXT_FORMAT_BIN_DIR").expect("a build of the next format");
            crate::upgrade::roll(&mut world.pipeline, std::path::Path::new(&next), control).await;
        }
        Fault::Soak => {
            let quick = QUICK[strike.choose(28, QUICK.len())];
            Box::pin(self::strike(world, quick, strike, control)).await;
        }
    }
}

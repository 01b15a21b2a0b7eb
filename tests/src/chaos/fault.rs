//! The faults that a pipeline must survive. Numbers are those of the fault matrix in `tests/README.md`.

/// One kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// ingest is killed.
    IngestKill,
    /// ingest dies between the stream's acknowledgement and its answer.
    IngestDiesUnanswered,
    /// ingest is asked to stop.
    IngestStop,
    /// A worker is killed.
    WorkerKill,
    /// A worker dies inside the transaction of a flush, or right after its commit.
    WorkerDiesInFlush,
    /// A worker stands still beyond its lease, idle or inside a transaction, and goes on.
    WorkerPause,
    /// No worker runs for a while.
    WorkersDown,
    /// Workers come and go: to eight, to two.
    WorkerScaling,
    /// NATS is killed.
    NatsKill,
    /// The power of NATS' disk is cut.
    NatsPowerCut,
    /// A backend or the whole PostgreSQL is killed, or stopped at once.
    PostgresKill,
    /// The power of PostgreSQL's disk is cut.
    PostgresPowerCut,
    /// The power of everything is cut.
    TotalPowerCut,
    /// The stream holds all it may.
    StreamFull,
    /// The disk of NATS is full.
    NatsDiskFull,
    /// The disk of PostgreSQL is full.
    PostgresDiskFull,
    /// Between ingest and NATS: reset, silence, lost acknowledgements, slowness.
    StreamNetwork,
    /// Between workers and PostgreSQL: a cut after COMMIT was sent, half-open connections, slowness.
    DatabaseNetwork,
    /// Somebody locks the tables or a partition's row.
    Lock,
    /// The stream is deleted, made anew, or put back from an older copy.
    StreamReplaced,
    /// A row that PostgreSQL refuses, past the door.
    Poison,
    /// The schema is not the one that the programs know.
    SchemaBehind,
    /// The programs' clocks are wrong.
    Clock,
    /// The daily partition that events need is not there.
    PartitionMissing,
    /// The job that drops old partitions is killed in the middle of it, and another process leads it.
    RetentionKilled,
    /// Old partitions are dropped under load.
    RetentionUnderLoad,
    /// No file descriptors are left.
    FileDescriptors,
    /// Little memory.
    Memory,
    /// One of three NATS servers, or two, die, stand still, or are cut off.
    Cluster,
    /// Old and new programs together, the new ones writing a newer format.
    RollingUpgrade,
    /// Any of the quick ones.
    Soak,
}

/// What a fault needs to be tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// Nothing but the servers.
    Nothing,
    /// Disks whose power can be cut: root, Linux, loop devices.
    Disks,
    /// `libfaketime`.
    FakeTime,
    /// A memory control group.
    ControlGroup,
    /// A build of the programs that writes the next format.
    NextFormat,
}

/// What is known about a fault.
#[derive(Debug, Clone, Copy)]
pub struct Facts {
    /// As given to `--faults`.
    pub name: &'static str,
    /// Of the fault matrix.
    pub row: u8,
    /// How long one strike with its recovery takes, roughly: what a schedule counts with.
    pub seconds: u64,
    /// More strikes than that teach nothing new.
    pub most_strikes: u64,
    /// Processes that a strike kills with SIGKILL or SIGQUIT, or lets die.
    pub kills: u64,
    /// Power cuts of a strike.
    pub power_cuts: u64,
    /// What it needs.
    pub needs: Needs,
}

impl Fault {
    /// All of them, in order of the matrix.
    pub const ALL: [Self; 31] = [
        Self::IngestKill,
        Self::IngestDiesUnanswered,
        Self::IngestStop,
        Self::WorkerKill,
        Self::WorkerDiesInFlush,
        Self::WorkerPause,
        Self::WorkersDown,
        Self::WorkerScaling,
        Self::NatsKill,
        Self::NatsPowerCut,
        Self::PostgresKill,
        Self::PostgresPowerCut,
        Self::TotalPowerCut,
        Self::StreamFull,
        Self::NatsDiskFull,
        Self::PostgresDiskFull,
        Self::StreamNetwork,
        Self::DatabaseNetwork,
        Self::Lock,
        Self::StreamReplaced,
        Self::Poison,
        Self::SchemaBehind,
        Self::Clock,
        Self::PartitionMissing,
        Self::RetentionKilled,
        Self::RetentionUnderLoad,
        Self::FileDescriptors,
        Self::Memory,
        Self::Cluster,
        Self::RollingUpgrade,
        Self::Soak,
    ];

    /// By name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|fault| fault.facts().name == name)
    }

    /// What is known about it.
    #[must_use]
    pub fn facts(self) -> Facts {
        let plain =
            Facts { name: "", row: 0, seconds: 3, most_strikes: 60, kills: 0, power_cuts: 0, needs: Needs::Nothing };
        let cut = Facts { seconds: 5, power_cuts: 1, kills: 1, needs: Needs::Disks, ..plain };
        let once = Facts { seconds: 10, most_strikes: 3, ..plain };
        match self {
            Self::IngestKill => Facts { name: "ingest-kill", row: 1, seconds: 2, kills: 1, ..plain },
            Self::IngestDiesUnanswered => Facts { name: "ingest-dies-unanswered", row: 2, kills: 1, ..plain },
            Self::IngestStop => Facts { name: "ingest-stop", row: 3, ..plain },
            Self::WorkerKill => Facts { name: "worker-kill", row: 4, seconds: 2, kills: 1, ..plain },
            Self::WorkerDiesInFlush => Facts { name: "worker-dies-in-flush", row: 5, kills: 1, ..plain },
            Self::WorkerPause => Facts { name: "worker-pause", row: 6, seconds: 5, ..plain },
            Self::WorkersDown => Facts { name: "workers-down", row: 7, seconds: 5, kills: 3, ..plain },
            Self::WorkerScaling => Facts { name: "worker-scaling", row: 8, seconds: 6, ..plain },
            Self::NatsKill => Facts { name: "nats-kill", row: 9, kills: 1, ..plain },
            Self::NatsPowerCut => Facts { name: "nats-power-cut", row: 10, ..cut },
            Self::PostgresKill => Facts { name: "postgres-kill", row: 11, seconds: 6, kills: 1, ..plain },
            Self::PostgresPowerCut => Facts { name: "postgres-power-cut", row: 12, ..cut },
            Self::TotalPowerCut => Facts { name: "total-power-cut", row: 12, seconds: 8, kills: 7, ..cut },
            Self::StreamFull => Facts { name: "stream-full", row: 13, ..once },
            Self::NatsDiskFull => Facts { name: "nats-disk-full", row: 13, kills: 1, needs: Needs::Disks, ..once },
            Self::PostgresDiskFull => Facts { name: "postgres-disk-full", row: 14, needs: Needs::Disks, ..once },
            Self::StreamNetwork => Facts { name: "stream-network", row: 15, seconds: 4, ..plain },
            Self::DatabaseNetwork => Facts { name: "database-network", row: 16, seconds: 12, ..plain },
            Self::Lock => Facts { name: "lock", row: 17, seconds: 8, ..plain },
            Self::StreamReplaced => Facts { name: "stream-replaced", row: 18, most_strikes: 6, ..once },
            Self::Poison => Facts { name: "poison", row: 19, most_strikes: 10, ..plain },
            Self::SchemaBehind => Facts { name: "schema-behind", row: 20, seconds: 8, most_strikes: 3, ..plain },
            Self::Clock => {
                Facts { name: "clock", row: 21, seconds: 6, most_strikes: 8, needs: Needs::FakeTime, ..plain }
            }
            Self::PartitionMissing => Facts { name: "partition-missing", row: 22, most_strikes: 1, ..plain },
            Self::RetentionKilled => Facts { name: "retention-killed", row: 23, kills: 1, ..once },
            Self::RetentionUnderLoad => {
                Facts { name: "retention-under-load", row: 24, seconds: 30, most_strikes: 1, ..once }
            }
            Self::FileDescriptors => Facts { name: "file-descriptors", row: 25, seconds: 5, most_strikes: 4, ..plain },
            Self::Memory => Facts { name: "memory", row: 25, needs: Needs::ControlGroup, ..once },
            Self::Cluster => Facts { name: "cluster", row: 26, seconds: 15, kills: 1, ..plain },
            Self::RollingUpgrade => {
                Facts { name: "rolling-upgrade", row: 27, most_strikes: 1, needs: Needs::NextFormat, ..once }
            }
            Self::Soak => Facts { name: "soak", row: 28, seconds: 6, most_strikes: 600, ..plain },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_of_the_matrix_has_a_fault_and_every_name_is_its_own() {
        let rows: std::collections::BTreeSet<u8> = Fault::ALL.iter().map(|fault| fault.facts().row).collect();
        assert_eq!(rows, (1..=28).collect());
        for fault in Fault::ALL {
            assert_eq!(Fault::named(fault.facts().name), Some(fault));
        }
    }
}

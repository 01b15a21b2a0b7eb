//! Decides from a seed what strikes when. Pure: the same seed, time and faults give the same schedule.

use super::fault::Fault;

/// What a run takes beside its strikes: starting servers, draining, judging.
const RUN_SECONDS: u64 = 10;
/// Events that are acknowledged between two strikes, at least and at most.
const EVENTS_BETWEEN: std::ops::Range<u64> = 1_500..5_000;

/// One fault, from a fresh pipeline to its verdict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// What strikes.
    pub fault: Fault,
    /// Of the load.
    pub seed: u64,
    /// One after the other.
    pub strikes: Vec<Strike>,
}

/// One strike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Strike {
    /// How many events are acknowledged before it, since the pipeline recovered from the last one.
    pub after_events: u64,
    /// Whom it hits and how; each fault makes its choice of it.
    pub pick: u64,
}

impl Strike {
    /// One of `count` choices, the same each time it is asked with the same `salt`.
    #[must_use]
    pub fn choose(&self, salt: u64, count: usize) -> usize {
        let mut random = fastrand::Rng::with_seed(self.pick ^ salt.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        random.usize(..count)
    }
}

/// The schedule: each fault once, in an order of the seed, with as many strikes as fit into its share of the time, at least one.
#[must_use]
pub fn schedule(seed: u64, minutes: u64, faults: &[Fault]) -> Vec<Run> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut faults = faults.to_vec();
    faults.sort_unstable();
    faults.dedup();
    random.shuffle(&mut faults);
    let share = minutes * 60 / (faults.len().max(1) as u64);
    let runs = faults.into_iter().map(|fault| {
        let facts = fault.facts();
        let count = (share.saturating_sub(RUN_SECONDS) / facts.seconds).clamp(1, facts.most_strikes);
        let strikes =
            (0..count).map(|_| Strike { after_events: random.u64(EVENTS_BETWEEN), pick: random.u64(..) }).collect();
        Run { fault, seed: random.u64(..1_000_000_000), strikes }
    });
    runs.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_one_schedule_and_another_seed_another() {
        let all = |seed| schedule(seed, 30, &Fault::ALL);
        assert_eq!(all(7), all(7));
        assert_ne!(all(7), all(8));
        assert_eq!(all(7).len(), Fault::ALL.len());
        assert!(all(7).iter().all(|run| !run.strikes.is_empty()));
    }

    #[test]
    fn more_time_means_more_strikes_up_to_what_a_fault_can_teach() {
        let strikes = |minutes| schedule(1, minutes, &[Fault::NatsKill])[0].strikes.len();
        assert_eq!((strikes(0), strikes(1), strikes(600)), (1, 16, 60));
    }
}

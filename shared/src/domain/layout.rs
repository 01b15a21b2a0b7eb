//! The layout: into how many partitions users are cut, and to how many lanes these are dealt.
//!
//! It decides where a user's events lie, so all programs must work with the same one: that of the streams. `worker repartition`
//! replaces it by the next, whose *epoch* is one higher; subjects carry the epoch, so nothing that still works with the layout
//! before can publish.

use std::fmt;

/// A cut of users into partitions and lanes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// How often the pipeline was repartitioned before; 0 is as it was created.
    pub epoch: u32,
    /// Units of ownership.
    pub partitions: u16,
    /// Streams in all; not more than partitions.
    pub lanes: u16,
}

impl Layout {
    /// A pipeline as it is created.
    #[must_use]
    pub const fn first(partitions: u16, lanes: u16) -> Self {
        Self { epoch: 0, partitions, lanes }
    }

    /// The lane that holds a partition.
    #[must_use]
    pub fn lane_of(self, partition: u16) -> u16 {
        partition % self.lanes.max(1)
    }

    /// The partitions that lie in a lane, in order. The first of them has the number of the lane.
    pub fn partitions_of(self, lane: u16) -> impl Iterator<Item = u16> {
        (0..self.partitions).filter(move |&partition| self.lane_of(partition) == lane)
    }
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PARTITIONS={} LANES={} (layout {})", self.partitions, self.lanes, self.epoch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_partition_lies_in_exactly_one_lane() {
        let layout = Layout::first(6, 3);
        assert_eq!((0..6).map(|p| layout.lane_of(p)).collect::<Vec<_>>(), [0, 1, 2, 0, 1, 2]);
        assert_eq!(layout.partitions_of(1).collect::<Vec<_>>(), [1, 4]);
    }
}

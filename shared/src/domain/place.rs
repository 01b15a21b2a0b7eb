//! Where a match lies: the place of its event in the stream, which orders the matches of one user.
//!
//! It says nothing of the database, so a restored one that reads the stream again gives every match the place it had before, and a
//! cursor that an app holds stays good. Places of different users do not compare.

/// A place; later ones are greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    /// What the sequence counts in; see [`generation`].
    pub generation: i64,
    /// The message.
    pub sequence: i64,
    /// The event's line in the segment of its partition.
    pub index: i32,
}

/// Bits of the layout's epoch.
const EPOCH_BITS: u32 = 16;

/// The number of a time in which sequences only grow for each user. It grows with whatever lets them begin again: `since` (when the
/// stream of the first lane was created or adopted, in milliseconds since 1970) with a new stream or an older copy of it, `epoch` with
/// `worker repartition`, which may move a user to another lane.
#[must_use]
pub fn generation(since: i64, epoch: u32) -> i64 {
    let epoch = i64::from(epoch).min((1 << EPOCH_BITS) - 1);
    since.clamp(0, i64::MAX >> EPOCH_BITS) << EPOCH_BITS | epoch
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_later_in_a_later_generation_then_by_message_then_by_line() {
        let now = 1_795_364_657_806;
        let at = |generation, sequence, index| Place { generation, sequence, index };
        let places = [
            at(generation(now, 0), 9, 9),
            at(generation(now, 1), 1, 0),
            at(generation(now, 1), 1, 1),
            at(generation(now, 1), 2, 0),
            at(generation(now + 1, 0), 1, 0),
        ];
        assert!(places.is_sorted() && places[0].generation > 0);
        assert!(generation(i64::MAX, u32::MAX) > generation(now, 7), "whatever comes, it is a number");
    }
}

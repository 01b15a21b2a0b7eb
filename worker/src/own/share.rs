//! How many partitions an owner should have.

/// The fair share of `partitions` among `live` owners, rounded up so that none is left over.
#[must_use]
pub fn target(partitions: usize, live: usize) -> usize {
    partitions.div_ceil(live.max(1))
}

/// What an owner of `owned` partitions should give back: the highest ones beyond its share.
#[must_use]
pub fn surplus(owned: &[i32], target: usize) -> Vec<i32> {
    let mut sorted = owned.to_vec();
    sorted.sort_unstable();
    sorted.split_off(target.min(sorted.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_shares_of_all_owners_cover_every_partition(partitions in 1usize..200, live in 0usize..40) {
            prop_assert!(target(partitions, live) * live.max(1) >= partitions);
            prop_assert!(target(partitions, live) <= partitions);
        }

        #[test]
        fn what_is_kept_and_given_back_is_what_was_owned(owned in proptest::collection::btree_set(0i32..64, 0..64), target in 0usize..64) {
            let owned: Vec<i32> = owned.into_iter().collect();
            let back = surplus(&owned, target);
            prop_assert_eq!(back.len(), owned.len().saturating_sub(target));
            prop_assert!(back.iter().all(|p| owned.contains(p)));
        }
    }
}

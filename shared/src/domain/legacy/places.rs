//! Positions for imported documents, so that lists (highest position first) show them in the order of the file.
//!
//! Positions cannot be changed once given. They are therefore dealt far apart: what a later file has between two documents that were
//! imported before finds room there. What was never in a file stays above all that was, because it is newer.

/// Between two neighbours, at first.
const GAP: i64 = 1 << 32;

/// A position for each document of a list, first shown first. `given` are the positions of those that are there already; `others` those
/// of all documents, whether they are in the list or not.
#[must_use]
pub fn deal(given: &[Option<i64>], others: &[i64]) -> Vec<i64> {
    let mut dealt = Vec::with_capacity(given.len());
    let mut above: Option<i64> = None;
    let mut at = 0;
    while at < given.len() {
        if let Some(position) = given[at] {
            dealt.push(position);
            above = Some(position);
            at += 1;
            continue;
        }
        let run = given[at..].iter().take_while(|position| position.is_none()).count();
        let below = given.get(at + run).copied().flatten();
        let count = i64::try_from(run).unwrap_or(i64::MAX);
        let (top, step) = match (above, below) {
            (Some(above), Some(below)) => (above, room(above, below, count)),
            (Some(above), None) => (above, next_below(above, others, count)),
            (None, Some(below)) => {
                let ceiling = others.iter().copied().filter(|other| *other > below).min();
                let ceiling = ceiling.unwrap_or_else(|| below.saturating_add(GAP.saturating_mul(count + 1)));
                (ceiling, room(ceiling, below, count))
            }
            (None, None) => (others.iter().copied().min().unwrap_or(0).min(0), GAP),
        };
        for _ in 0..run {
            let place = above.filter(|_| dealt.len() > at).unwrap_or(top).saturating_sub(step);
            dealt.push(place);
            above = Some(place);
        }
        at += run;
    }
    dealt
}

/// A step that fits `count` places between two; at least 1, and then places may be shared.
fn room(above: i64, below: i64, count: i64) -> i64 {
    (above.saturating_sub(below) / count.saturating_add(1)).max(1)
}

/// A step for the places behind the last known one; others may stand further below.
fn next_below(above: i64, others: &[i64], count: i64) -> i64 {
    let floor = others.iter().copied().filter(|other| *other < above).max();
    floor.map_or(GAP, |floor| room(above, floor, count))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shown(places: &[i64]) -> bool {
        places.windows(2).all(|pair| pair[0] > pair[1])
    }

    #[test]
    fn a_first_import_goes_below_what_is_there() {
        let places = deal(&[None, None, None], &[7, 8]);
        assert!(shown(&places) && places[0] < 7, "{places:?}");
        assert_eq!(deal(&[], &[]), [0_i64; 0]);
    }

    #[test]
    fn what_a_later_file_has_more_finds_its_place_and_live_ones_stay_above() {
        let first = deal(&[None, None], &[]);
        let (a, b) = (first[0], first[1]);
        let live = 5;
        let later = deal(&[None, Some(a), None, None, Some(b), None], &[live, a, b]);
        assert!(shown(&later) && later[0] < live, "{later:?}");
        assert_eq!((later[1], later[4]), (a, b));
    }

    proptest! {
        #[test]
        fn any_list_that_grows_keeps_its_order(inserts in proptest::collection::vec(0usize..100, 1..12)) {
            let mut list: Vec<Option<i64>> = Vec::new();
            for place in inserts {
                list.insert(place % (list.len() + 1), None);
                let others: Vec<i64> = list.iter().copied().flatten().collect();
                let dealt = deal(&list, &others);
                prop_assert!(shown(&dealt), "{:?}", dealt);
                list = dealt.into_iter().map(Some).collect();
            }
        }
    }
}

//! How far a cursor may go: pure.
//!
//! Matches of one event have one place, and a page never tears them apart. The cursor stays before the first match that must wait;
//! later ones are given all the same, and are given again to who comes back with that cursor, unless they are acknowledged.

use std::time::Duration;

use shared::domain::place::Place;

/// What is to be done with a match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing<T> {
    /// Given now.
    Give(T),
    /// Given before, or nothing to give.
    Done,
    /// Not yet: look again after so long.
    Wait(Duration),
}

/// A match that is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given<T> {
    /// The match.
    pub item: T,
    /// Where it lies.
    pub place: Place,
    /// All up to it is settled, and it is the last of its event: the cursor may stand behind it.
    pub is_settled: bool,
}

/// What is given, and what comes next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// In order.
    pub given: Vec<Given<T>>,
    /// The cursor behind all that is settled.
    pub cursor: Option<Place>,
    /// There may be more behind it right now.
    pub more: bool,
    /// Something waits: look again after so long.
    pub look_again: Option<Duration>,
}

/// Lays out matches in order of their places, those behind `after`. `is_full`: there may be others behind them.
pub fn lay_out<T>(rows: Vec<(Place, Standing<T>)>, after: Option<Place>, is_full: bool) -> Page<T> {
    let waits = |standing: &Standing<T>| if let Standing::Wait(wait) = standing { Some(*wait) } else { None };
    let look_again = rows.iter().filter_map(|(_, standing)| waits(standing)).min();
    let barrier = rows.iter().find(|(_, standing)| waits(standing).is_some()).map(|(place, _)| *place);
    let is_settled = |place: Place| barrier.is_none_or(|barrier| place < barrier);
    // Where the database goes back behind a cursor of another history, that cursor is not gone on from.
    let after = after.filter(|after| rows.iter().all(|(place, _)| place > after));
    let cursor = rows.iter().map(|(place, _)| *place).rfind(|place| is_settled(*place)).or(after);
    let mut given: Vec<Given<T>> = Vec::new();
    for (place, standing) in rows {
        let Standing::Give(item) = standing else { continue };
        if let Some(before) = given.last_mut().filter(|before| before.place == place) {
            before.is_settled = false;
        }
        given.push(Given { item, place, is_settled: is_settled(place) });
    }
    Page { given, cursor, more: is_full && barrier.is_none(), look_again }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Standing::{Done, Give, Wait};

    fn at(sequence: i64) -> Place {
        Place { generation: 1, sequence, index: 0 }
    }

    const SOON: Duration = Duration::from_secs(5);
    const LATE: Duration = Duration::from_secs(50);

    fn given<T: Copy>(page: &Page<T>) -> Vec<(T, bool)> {
        page.given.iter().map(|given| (given.item, given.is_settled)).collect()
    }

    #[test]
    fn a_cursor_stands_behind_the_last_match_of_an_event() {
        let page = lay_out(vec![(at(1), Give("a")), (at(1), Give("b")), (at(2), Done), (at(3), Give("c"))], None, true);
        assert_eq!(given(&page), [("a", false), ("b", true), ("c", true)]);
        assert_eq!((page.cursor, page.more, page.look_again), (Some(at(3)), true, None));
        let nothing = lay_out(Vec::<(Place, Standing<()>)>::new(), Some(at(7)), false);
        assert_eq!((nothing.cursor, nothing.more), (Some(at(7)), false));
    }

    #[test]
    fn a_cursor_never_passes_what_must_wait() {
        let rows = vec![
            (at(1), Give("a")),
            (at(2), Give("b")),
            (at(2), Wait(LATE)),
            (at(3), Give("c")),
            (at(4), Wait(SOON)),
            (at(5), Done),
        ];
        let page = lay_out(rows, Some(at(0)), true);
        assert_eq!(given(&page), [("a", true), ("b", false), ("c", false)]);
        assert_eq!((page.cursor, page.more, page.look_again), (Some(at(1)), false, Some(SOON)));
        let page = lay_out(vec![(at(3), Wait(SOON)), (at(4), Give("d"))], Some(at(2)), false);
        assert_eq!((page.cursor, given(&page)), (Some(at(2)), vec![("d", false)]));
    }

    #[test]
    fn a_cursor_of_another_history_is_left() {
        let page = lay_out(vec![(at(3), Give("a"))], Some(at(9)), false);
        assert_eq!((page.cursor, given(&page)), (Some(at(3)), vec![("a", true)]));
        let page = lay_out(vec![(at(3), Wait::<()>(SOON))], Some(at(9)), false);
        assert_eq!(page.cursor, None);
    }
}

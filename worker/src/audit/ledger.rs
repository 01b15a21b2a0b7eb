//! The ledger against everything else: messages, letters, rows. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::snapshot::Snapshot;
use super::{Counts, Findings};

/// Rows of `events` against `stored`, if rows were counted.
pub fn compare_totals(snapshot: &Snapshot, findings: &mut Findings) {
    let Some(rows) = snapshot.rows else { return };
    let accounted = rows.present + rows.removed;
    if rows.stored != accounted {
        findings.add(format!(
            "the ledger says {} events were stored; there are {} rows, and {} were removed on purpose: {} rows too {}",
            rows.stored,
            rows.present,
            rows.removed,
            (rows.stored - accounted).abs(),
            if rows.stored > accounted { "few" } else { "many" }
        ));
    }
}

/// Each hour of each partition: `counted` are the events of the messages that were there; of a partition all messages from
/// `whole_from` on were.
pub fn compare_hours(snapshot: &Snapshot, counted: &Counts, whole_from: &BTreeMap<i32, i64>, findings: &mut Findings) {
    let keys: BTreeSet<_> = snapshot.ledger.keys().chain(counted.keys()).chain(snapshot.letters.keys()).collect();
    for key in keys {
        let page = snapshot.ledger.get(key).copied().unwrap_or_default();
        let (partition, hour) = (key.0, key.1.format("%Y-%m-%dT%H:%MZ"));
        let place = format!("partition {partition}, hour {hour}");
        let outcomes = page.stored + page.duplicate + page.dead + page.suppressed;
        if page.read != outcomes {
            findings.add(format!("{place}: the ledger read {} events and names an outcome for {outcomes}", page.read));
        }
        let letters = snapshot.letters.get(key).copied().unwrap_or(0);
        if page.dead - page.letters_dropped != letters {
            findings.add(format!(
                "{place}: the ledger says {} events are dead, the dead letters hold {letters}",
                page.dead - page.letters_dropped
            ));
        }
        let Some(whole_from) = whole_from.get(&partition) else { continue };
        let counted_from =
            snapshot.lanes.iter().find_map(|l| l.positions.get(&partition)).map_or(0, |p| p.counted_from);
        let first = page.first_seq.max(counted_from + 1);
        let (read, held) = (page.read - page.settled, counted.get(key).copied().unwrap_or(0));
        // Of an hour whose first messages are gone the rest is all there is to compare.
        let whole = first >= *whole_from;
        if (whole && read != held) || read < held {
            let least = if whole { "" } else { "at least " };
            let settled = match page.settled {
                0 => String::new(),
                settled => format!(" (beside {settled} before the positions were restarted)"),
            };
            findings.add(format!("{place}: the messages hold {least}{held} events, the ledger read {read}{settled}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Utc};
    use shared::stream::lanes::Lane;

    use super::*;
    use crate::attach::{LaneRecord, Position};
    use crate::audit::snapshot::{LaneBooks, Page, Place, Rows};

    const KEY: (i32, DateTime<Utc>) = (3, DateTime::UNIX_EPOCH);

    /// Partition 3 read 10 events in messages from 5 on, and counts from message 2 on.
    fn sound() -> Snapshot {
        let position = Position { partition: 3, last_seq: 9, last_batch_id: None };
        let lane = LaneBooks {
            lane: Lane::new("E", 0),
            record: LaneRecord { generation: String::new(), trimmed_to: 0, epoch: 0, as_of: None },
            positions: [(3, Place { position, counted_from: 2 })].into(),
        };
        let page = Page {
            read: 16,
            stored: 11,
            duplicate: 2,
            dead: 3,
            letters_dropped: 2,
            suppressed: 0,
            settled: 6,
            first_seq: 5,
        };
        Snapshot {
            lanes: vec![lane],
            ledger: [(KEY, page)].into(),
            letters: [(KEY, 1)].into(),
            rows: Some(Rows { stored: 11, present: 8, removed: 3 }),
        }
    }

    fn found(snapshot: &Snapshot, held: i64, whole_from: i64) -> Vec<String> {
        let mut findings = Findings::default();
        compare_totals(snapshot, &mut findings);
        compare_hours(snapshot, &[(KEY, held)].into(), &[(3, whole_from)].into(), &mut findings);
        findings.listed
    }

    #[test]
    fn books_that_balance_are_silent() {
        assert_eq!(found(&sound(), 10, 1), [""; 0]);
    }

    #[test]
    fn an_hour_is_compared_exactly_or_from_below_when_its_first_messages_are_gone() {
        assert_eq!(found(&sound(), 9, 5).len(), 1);
        assert_eq!(found(&sound(), 11, 5).len(), 1);
        assert_eq!(found(&sound(), 9, 6), [""; 0], "message 5 was trimmed, and held the tenth");
        assert_eq!(found(&sound(), 11, 6).len(), 1);
    }

    #[test]
    fn what_cannot_be_before_the_start_of_counting_is_not_believed_to_be() {
        let mut snapshot = sound();
        snapshot.ledger.get_mut(&KEY).unwrap().first_seq = 0;
        assert_eq!(found(&snapshot, 9, 3).len(), 1, "nothing before message 3 counts, and it is there");
        assert_eq!(found(&snapshot, 9, 4), [""; 0]);
    }

    #[test]
    fn rows_letters_and_outcomes_are_compared() {
        let changed = |change: fn(&mut Snapshot)| {
            let mut snapshot = sound();
            change(&mut snapshot);
            found(&snapshot, 10, 1).join("; ")
        };
        assert!(changed(|s| s.rows.as_mut().unwrap().present = 7).contains("1 rows too few"));
        assert!(changed(|s| s.rows.as_mut().unwrap().present = 9).contains("1 rows too many"));
        assert!(changed(|s| s.letters.clear()).contains("1 events are dead, the dead letters hold 0"));
        assert!(changed(|s| s.ledger.clear()).contains("the messages hold 10 events, the ledger read 0"));
        assert!(changed(|s| s.ledger.get_mut(&KEY).unwrap().duplicate = 1).contains("names an outcome for 15"));
    }
}

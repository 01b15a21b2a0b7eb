//! The judge: compares what was promised ([`crate::load::Log`]) with what is in PostgreSQL and in the stream.
//!
//! - every acknowledged event is stored exactly once, as it was sent; a refused one never; an unknown one at most once;
//! - traits and matches of every user equal a recount, in the order in which the client awaited its answers;
//! - the books balance: `read = stored + duplicate + dead + suppressed`, `stored` is the number of rows, and `read` is, per
//!   partition, what the messages of the stream hold.
//!
//! The recount shares no code with the pipeline. Judging is a pure function ([`judge`]), so that the tests below can show it a
//! lost, doubled or reordered event and see it object.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use sqlx::Row;

use crate::load::{Log, Sent, What};
use crate::pipeline::Pipeline;

/// The campaigns that the recount knows. Give them to [`crate::pipeline::Setup::campaign`], all of them.
#[must_use]
pub fn campaigns() -> Vec<Value> {
    let silver = json!({"id": 1, "type": "attribute", "field": "tier", "operator": "==", "value": "silver"});
    let big = json!({"id": 2, "type": "event", "field": "total", "operator": ">=", "value": "50"});
    let campaign = |id: &str, rules: Vec<Value>| json!({"id": id, "name": id, "status": "active", "trigger": "cart_viewed", "rules": rules});
    vec![
        campaign("silver", vec![silver.clone()]),
        campaign("big", vec![big.clone()]),
        campaign("silver-and-big", vec![silver, big]),
        json!({"id": "never", "name": "never", "status": "paused", "trigger": "cart_viewed", "rules": []}),
    ]
}

/// A campaign that is shown so often and never more, to all users together. Whom it meets depends on the workers' pace, so it is
/// judged by its total alone, with [`shown_too_often_or_too_seldom`].
#[must_use]
pub fn capped_campaign() -> Value {
    json!({"id": CAPPED, "name": CAPPED, "status": "active", "trigger": "cart_viewed", "rules": [],
           "frequency_cap": {"total": SHOWN_AT_MOST}})
}

const CAPPED: &str = "capped";
const SHOWN_AT_MOST: i64 = 700;

/// What is wrong with the total of [`capped_campaign`], which ran from the beginning.
///
/// # Panics
/// When the database cannot be read.
pub async fn shown_too_often_or_too_seldom(pipeline: &Pipeline) -> Option<String> {
    let number = async |query: &str| pipeline.database.number(query).await;
    let shown = number("SELECT count(*) FROM matches WHERE campaign_id = 'capped' AND disposition = 'show'").await;
    let counted =
        number("SELECT coalesce(sum(shown), 0)::bigint FROM campaign_totals WHERE campaign_id = 'capped'").await;
    let events = number("SELECT count(*) FROM events WHERE event = 'cart_viewed'").await;
    let owed = events.min(SHOWN_AT_MOST);
    (shown != owed || counted != owed).then(|| {
        format!(
            "a campaign with a cap of {SHOWN_AT_MOST} was shown {shown} times, counted {counted}, by {events} events"
        )
    })
}

fn expected_matches(tier: Option<&str>, total: i64) -> BTreeSet<String> {
    let (silver, big) = (tier == Some("silver"), total >= 50);
    let all = [("silver", silver), ("big", big), ("silver-and-big", silver && big)];
    all.into_iter().filter(|(_, holds)| *holds).map(|(id, _)| id.to_owned()).collect()
}

/// A row of `events` as far as the judge looks at it, with its matches.
#[derive(Debug, Clone, PartialEq)]
pub struct Stored {
    /// As sent.
    pub message_id: String,
    /// As sent.
    pub user: String,
    /// `properties` of a track, `traits` of an identify.
    pub content: Value,
    /// Ids of campaigns.
    pub matches: BTreeSet<String>,
}

/// All that is in the database and the stream.
#[derive(Debug, Clone, Default)]
pub struct Found {
    /// Rows of `events`.
    pub events: Vec<Stored>,
    /// Traits by user id.
    pub traits: BTreeMap<String, Value>,
    /// Rows of `matches` without an event, and rows that stand twice.
    pub stray_matches: i64,
    /// Sums of the ledger: read, stored, duplicate, dead, suppressed.
    pub books: [i64; 5],
    /// Events in `dead_letters`.
    pub dead_letters: i64,
    /// `read` of the ledger per partition.
    pub read_by_partition: BTreeMap<u16, i64>,
    /// What the stream gave each partition; `None` when it was trimmed and so cannot tell.
    pub published_by_partition: Option<BTreeMap<u16, i64>>,
}

impl Found {
    /// Looks at everything. The stream must be drained.
    ///
    /// # Panics
    /// When the database or the stream cannot be read.
    pub async fn of(pipeline: &Pipeline) -> Self {
        let pool = &pipeline.database.pool;
        let events = sqlx::query(
            "SELECT message_id, coalesce(user_id, '') AS user_id, coalesce(properties, traits) AS content,
                    array(SELECT campaign_id FROM matches m WHERE m.event_id = e.id AND m.day = e.day AND campaign_id <> 'capped') AS matches
               FROM events e WHERE message_id IS NOT NULL",
        )
        .fetch_all(pool)
        .await
        .expect("events can be read");
        let traits = sqlx::query("SELECT id, traits FROM users WHERE kind = 'user'")
            .fetch_all(pool)
            .await
            .expect("users can be read");
        let books: Vec<i64> = sqlx::query_scalar(
            "SELECT unnest(array[coalesce(sum(read), 0), coalesce(sum(stored), 0), coalesce(sum(duplicate), 0),
                                 coalesce(sum(dead), 0), coalesce(sum(suppressed), 0)])::bigint FROM ledger",
        )
        .fetch_all(pool)
        .await
        .expect("the ledger can be read");
        let read: Vec<(i32, i64)> =
            sqlx::query_as("SELECT partition, sum(read)::bigint FROM ledger GROUP BY partition")
                .fetch_all(pool)
                .await
                .expect("the ledger can be read");
        let first_seq = pipeline.stream.state().await.first_seq;
        let published = if first_seq == 1 { Some(pipeline.stream.events_by_partition().await) } else { None };
        Self {
            events: events
                .iter()
                .map(|row| Stored {
                    message_id: row.get("message_id"),
                    user: row.get("user_id"),
                    content: row.get::<Option<Value>, _>("content").unwrap_or_default(),
                    matches: row.get::<Vec<String>, _>("matches").into_iter().collect(),
                })
                .collect(),
            traits: traits.iter().map(|row| (row.get("id"), row.get("traits"))).collect(),
            stray_matches: pipeline
                .database
                .number("SELECT count(*) FROM matches m WHERE NOT EXISTS (SELECT FROM events e WHERE e.id = m.event_id AND e.day = m.day)")
                .await,
            books: books.try_into().unwrap_or_default(),
            dead_letters: pipeline.database.number("SELECT coalesce(sum(events), 0)::bigint FROM dead_letters").await,
            read_by_partition: read.into_iter().map(|(p, n)| (u16::try_from(p).unwrap_or(u16::MAX), n)).collect(),
            published_by_partition: published,
        }
    }
}

/// What the judge found.
#[derive(Debug, Default)]
pub struct Verdict {
    /// Events answered with success.
    pub acknowledged: usize,
    /// Of these, without a row.
    pub lost: Vec<String>,
    /// Message ids with more than one row.
    pub duplicated: Vec<String>,
    /// Everything else that is wrong, in words.
    pub faults: Vec<String>,
}

impl Verdict {
    /// Prints the summary line, and fails the test if anything is wrong.
    ///
    /// # Panics
    /// When anything is wrong.
    pub fn assert_clean(&self, log: &Log) {
        let (repeats, wait) = (log.repeats, log.longest_wait.as_secs_f64());
        eprintln!(
            "acked {}, lost {}, duplicated {}; {repeats} requests repeated, longest without an answer {wait:.1} s",
            self.acknowledged,
            self.lost.len(),
            self.duplicated.len()
        );
        let first = |ids: &[String]| ids.iter().take(5).cloned().collect::<Vec<_>>();
        assert!(self.lost.is_empty(), "{} acknowledged events are lost: {:?} …", self.lost.len(), first(&self.lost));
        assert!(
            self.duplicated.is_empty(),
            "{} events are stored twice: {:?} …",
            self.duplicated.len(),
            first(&self.duplicated)
        );
        assert!(self.faults.is_empty(), "{} faults:\n{}", self.faults.len(), first(&self.faults).join("\n"));
    }
}

/// Drains the pipeline, looks at everything and judges.
pub async fn verdict(pipeline: &Pipeline, log: &Log) -> Verdict {
    pipeline.drained().await;
    judge(log, &Found::of(pipeline).await, 0)
}

/// Compares. `planned_dead` is how many of the events the test meant to become dead letters.
#[must_use]
pub fn judge(log: &Log, found: &Found, planned_dead: i64) -> Verdict {
    let mut verdict = Verdict { acknowledged: log.acknowledged.len(), ..Verdict::default() };
    let mut rows = BTreeMap::<&str, Vec<&Stored>>::new();
    for stored in &found.events {
        rows.entry(&stored.message_id).or_default().push(stored);
    }
    verdict.duplicated = rows.iter().filter(|(_, rows)| rows.len() > 1).map(|(id, _)| (*id).to_owned()).collect();
    let is_stored = |sent: &&Sent| rows.contains_key(sent.message_id.as_str());
    verdict.lost =
        log.acknowledged.iter().filter(|sent| !is_stored(sent)).map(|sent| sent.message_id.clone()).collect();
    for sent in log.refused.iter().filter(is_stored) {
        verdict.faults.push(format!("{} was refused and is stored", sent.message_id));
    }
    recount(log, &rows, found, &mut verdict.faults);
    books(found, planned_dead, &mut verdict.faults);
    verdict
}

/// Goes through each user's stored events in order of arrival.
fn recount(log: &Log, rows: &BTreeMap<&str, Vec<&Stored>>, found: &Found, faults: &mut Vec<String>) {
    let mut users = BTreeMap::<&str, Vec<(&Sent, &Stored)>>::new();
    for sent in log.acknowledged.iter().chain(&log.unknown) {
        for stored in rows.get(sent.message_id.as_str()).into_iter().flatten() {
            users.entry(&sent.user).or_default().push((sent, stored));
        }
    }
    for (user, mut events) in users {
        events.sort_by_key(|(sent, _)| sent.seq);
        let mut traits = serde_json::Map::new();
        for (sent, stored) in events {
            let (content, matches) = match sent.what {
                What::Identify { tier } => {
                    let patch = json!({"tier": tier, "seq": sent.seq, (sent.tick()): true});
                    traits.extend(patch.as_object().cloned().unwrap_or_default());
                    (patch, BTreeSet::new())
                }
                What::Cart { total } => {
                    let tier = traits.get("tier").and_then(Value::as_str);
                    (json!({"seq": sent.seq, "total": total}), expected_matches(tier, total))
                }
                What::Other => (json!({"seq": sent.seq}), BTreeSet::new()),
            };
            if stored.content != content || stored.user != sent.user {
                faults.push(format!(
                    "{} is stored as {} {}, sent as {user} {content}",
                    sent.message_id, stored.user, stored.content
                ));
            }
            if stored.matches != matches {
                faults.push(format!("{} matched {:?}, and in order {matches:?}", sent.message_id, stored.matches));
            }
        }
        let stored = found.traits.get(user).cloned().unwrap_or_else(|| json!({}));
        if stored != Value::Object(traits.clone()) {
            faults.push(format!("traits of {user} are {stored}, and in order {}", Value::Object(traits)));
        }
    }
}

fn books(found: &Found, planned_dead: i64, faults: &mut Vec<String>) {
    let [read, stored, duplicate, dead, suppressed] = found.books;
    let rows = i64::try_from(found.events.len()).unwrap_or(i64::MAX);
    let mut expect = |holds: bool, fault: String| {
        if !holds {
            faults.push(fault);
        }
    };
    let sum = stored + duplicate + dead + suppressed;
    expect(read == sum, format!("the ledger read {read} events and accounts for {sum}"));
    expect(stored == rows, format!("the ledger says {stored} are stored, and there are {rows} rows"));
    expect(dead == planned_dead, format!("the ledger says {dead} are dead, planned were {planned_dead}"));
    expect(
        found.dead_letters == planned_dead,
        format!("{} are in dead_letters, planned were {planned_dead}", found.dead_letters),
    );
    expect(found.stray_matches == 0, format!("{} matches belong to no event", found.stray_matches));
    if let Some(published) = &found.published_by_partition {
        let read = &found.read_by_partition;
        expect(
            published == read,
            format!("the stream holds {published:?} events by partition, the ledger read {read:?}"),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(seq: i64, what: What) -> Sent {
        Sent { message_id: format!("m{seq}"), user: "u".to_owned(), seq, what }
    }

    fn stored(seq: i64, content: Value, matches: &[&str]) -> Stored {
        let matches = matches.iter().map(|m| (*m).to_owned()).collect();
        Stored { message_id: format!("m{seq}"), user: "u".to_owned(), content, matches }
    }

    /// Three acknowledged events, all well.
    fn sound() -> (Log, Found) {
        let acknowledged = vec![
            sent(0, What::Cart { total: 70 }),
            sent(1, What::Identify { tier: "silver" }),
            sent(2, What::Cart { total: 10 }),
        ];
        let traits = json!({"tier": "silver", "seq": 1, "tick_1": true});
        let found = Found {
            events: vec![
                stored(0, json!({"seq": 0, "total": 70}), &["big"]),
                stored(1, traits.clone(), &[]),
                stored(2, json!({"seq": 2, "total": 10}), &["silver"]),
            ],
            traits: [("u".to_owned(), traits)].into(),
            books: [4, 3, 1, 0, 0],
            read_by_partition: [(0, 4)].into(),
            published_by_partition: Some([(0, 4)].into()),
            ..Found::default()
        };
        (Log { acknowledged, ..Log::default() }, found)
    }

    fn faults(change: impl FnOnce(&mut Log, &mut Found)) -> String {
        let (mut log, mut found) = sound();
        change(&mut log, &mut found);
        let verdict = judge(&log, &found, 0);
        format!("lost {:?} duplicated {:?} {}", verdict.lost, verdict.duplicated, verdict.faults.join("; "))
    }

    #[test]
    fn a_sound_outcome_passes() {
        assert_eq!(faults(|_, _| {}), "lost [] duplicated [] ");
    }

    #[test]
    fn a_lost_event_is_seen() {
        let said = faults(|_, found| drop(found.events.remove(0)));
        assert!(said.starts_with("lost [\"m0\"]") && said.contains("3 are stored, and there are 2 rows"), "{said}");
    }

    #[test]
    fn a_doubled_row_is_seen() {
        let said = faults(|_, found| found.events.push(found.events[0].clone()));
        assert!(said.contains("duplicated [\"m0\"]"), "{said}");
    }

    #[test]
    fn a_refused_event_that_is_stored_is_seen() {
        let said = faults(|log, _| log.refused.extend(log.acknowledged.pop()));
        assert!(said.contains("m2 was refused and is stored"), "{said}");
    }

    #[test]
    fn an_unknown_event_may_be_there_or_not() {
        assert_eq!(faults(|log, _| log.unknown.extend(log.acknowledged.pop())), "lost [] duplicated [] ");
        let said = faults(|log, _| log.unknown.push(sent(3, What::Other)));
        assert_eq!(said, "lost [] duplicated [] ");
    }

    #[test]
    fn a_match_made_with_traits_of_the_wrong_moment_is_seen() {
        let said =
            faults(|_, found| found.events[0].matches = ["big", "silver", "silver-and-big"].map(str::to_owned).into());
        assert!(said.contains("m0 matched"), "{said}");
    }

    #[test]
    fn traits_and_contents_are_compared() {
        assert!(faults(|_, found| found.traits.clear()).contains("traits of u are {}"));
        assert!(faults(|_, found| found.events[2].content = json!({"seq": 2})).contains("m2 is stored as"));
    }

    #[test]
    fn books_that_do_not_balance_are_seen() {
        assert!(faults(|_, found| found.books = [5, 3, 1, 0, 0]).contains("accounts for 4"));
        assert!(faults(|_, found| found.books = [4, 3, 0, 1, 0]).contains("1 are dead"));
        assert!(faults(|_, found| found.dead_letters = 1).contains("1 are in dead_letters"));
        assert!(faults(|_, found| found.stray_matches = 1).contains("belong to no event"));
        assert!(
            faults(|_, found| found.published_by_partition = Some([(0, 3), (1, 1)].into()))
                .contains("the stream holds")
        );
    }
}

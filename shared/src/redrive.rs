//! Dead letters go through the stream again: locked, read anew, published as ordinary messages, marked. One step at a time, by
//! `worker dead-letters redrive` and by the admin API.
//!
//! What makes it safe:
//! - An event keeps its id, so the worker stores it once, however often it comes. Who dies between the acknowledgement and the mark
//!   leaves the letter open; driving it again adds a duplicate to the books, never a row.
//! - A letter is marked only after the acknowledgement of the message that carries it. The mark names that message.
//! - An event that fails again is a new letter, which names the one before (`previous_id`). Nothing is driven again by itself, and a
//!   run ends at the last letter that was there when it began.
//!
//! A driven event comes late in its user's order: it is matched with the traits and caps of now, and time rules look at when it was
//! received. Traits of an identify would overwrite newer ones, so one is passed over when a later identify of its user is stored,
//! unless [`Order::overwrite_traits`] says otherwise.

use std::collections::BTreeMap;

use bytes::Bytes;
use sqlx::postgres::PgPool;

use crate::domain::redrive::{self, Again};
use crate::domain::user_key::Placeholders;
use crate::runtime::settings::pipeline::Pipeline;
use crate::store::dead_letters::Filter;
use crate::store::dead_letters::open::{self, Redriven};
use crate::stream::lanes::Lane;

/// The way into the stream.
pub trait Publish {
    /// Why it is closed.
    type Error: Send;

    /// Puts lines, each with its partition, into one message of a lane, of this format version at least, and gives back its sequence
    /// once it is acknowledged. Takes a few seconds at most: locks are held meanwhile.
    fn publish(
        &mut self,
        lane: u16,
        version: u16,
        lines: Vec<(u16, Bytes)>,
    ) -> impl Future<Output = Result<u64, Self::Error>> + Send;
}

/// What shall be driven again.
#[derive(Debug, Clone)]
pub struct Order {
    /// Which letters.
    pub filter: Filter,
    /// The last letter that there was at the start.
    pub last_id: i64,
    /// Identifies too of whose user a later one is stored.
    pub overwrite_traits: bool,
    /// Who says so.
    pub by: String,
    placeholders: Placeholders,
    partitions: u16,
    lanes: u16,
}

/// What one step did.
#[derive(Debug)]
pub struct Step<E> {
    /// Letters that are in the stream again (or would be), and how many events they stand for.
    pub redriven: Vec<i64>,
    /// Events of these.
    pub events: u64,
    /// Letters that cannot be driven again, and why.
    pub skipped: Vec<(i64, String)>,
    /// The last letter that was looked at; `None` when there was none left.
    pub reached: Option<i64>,
    /// Why it ended early. What is in `redriven` is done; the others stay open.
    pub failure: Option<E>,
}

impl Order {
    /// For a pipeline with these settings.
    #[must_use]
    pub fn new(settings: &Pipeline, filter: Filter, last_id: i64, by: impl Into<String>) -> Self {
        Self {
            filter,
            last_id,
            overwrite_traits: false,
            by: by.into(),
            placeholders: settings.placeholders.clone(),
            partitions: settings.partitions,
            lanes: settings.lanes,
        }
    }

    /// Drives the next letters behind the id `after`, at most `most` of them; without `publish` it only says what it would do.
    pub async fn step<P: Publish + Send>(
        &self,
        pool: &PgPool,
        after: i64,
        most: u32,
        publish: Option<&mut P>,
    ) -> Result<Step<P::Error>, sqlx::Error> {
        let mut transaction = pool.begin().await?;
        let letters = open::lock(&mut transaction, &self.filter, after + 1..=self.last_id, most).await?;
        let reached = letters.last().map(|letter| letter.id);
        let mut step = Step { redriven: Vec::new(), events: 0, skipped: Vec::new(), reached, failure: None };
        let mut ready = Vec::with_capacity(letters.len());
        for letter in letters {
            match redrive::read(&letter.payload, self.partitions, &self.placeholders) {
                Ok(again) => ready.push((letter.id, again)),
                Err(why) => step.skipped.push((letter.id, why)),
            }
        }
        if !self.overwrite_traits {
            let identifies = ready.iter().flat_map(|(id, again)| again.identifies.iter().map(move |i| (*id, i)));
            let outdated = open::outdated(&mut transaction, &identifies.collect::<Vec<_>>()).await?;
            ready.retain(|(id, _)| !outdated.contains(id));
            step.skipped.extend(outdated.into_iter().map(|id| (id, OUTDATED.to_owned())));
        }
        let by_lane = self.by_lane(ready);
        let Some(publish) = publish else {
            for Piece { letters, lines, .. } in by_lane.into_values() {
                step.events += lines.len() as u64;
                step.redriven.extend(letters.iter().map(|(id, _)| *id));
            }
            transaction.rollback().await?;
            return Ok(step);
        };
        let mut marks = Vec::new();
        for (lane, Piece { letters, version, lines }) in by_lane {
            let events = lines.len() as u64;
            match publish.publish(lane, version, lines).await {
                Ok(seq) => {
                    let seq = i64::try_from(seq).unwrap_or(i64::MAX);
                    step.events += events;
                    step.redriven.extend(letters.iter().map(|(id, _)| *id));
                    marks.extend(letters.into_iter().map(|(id, event_id)| Redriven { id, event_id, seq }));
                }
                Err(failure) => {
                    step.failure = Some(failure);
                    break;
                }
            }
        }
        open::mark_redriven(&mut transaction, &marks, &self.by).await?;
        transaction.commit().await?;
        Ok(step)
    }

    /// One message per lane. Lines of a letter stay together: those of a whole message are of one lane already.
    fn by_lane(&self, ready: Vec<(i64, Again)>) -> BTreeMap<u16, Piece> {
        let mut by_lane = BTreeMap::<u16, Piece>::new();
        for (id, again) in ready {
            let partition = again.lines.first().map_or(0, |(partition, _)| *partition);
            let piece = by_lane.entry(Lane::of_partition(partition, self.lanes)).or_default();
            piece.letters.push((id, again.event_id));
            piece.version = piece.version.max(again.version);
            piece.lines.extend(again.lines);
        }
        by_lane
    }
}

/// Letters with their events' ids, and all their lines.
#[derive(Default)]
struct Piece {
    letters: Vec<(i64, Option<uuid::Uuid>)>,
    version: u16,
    lines: Vec<(u16, Bytes)>,
}

/// Why an identify is passed over.
const OUTDATED: &str = "it is an identify, and a later one of its user is stored, whose traits it could overwrite";

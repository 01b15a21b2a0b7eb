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

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use sqlx::postgres::PgPool;

use crate::domain::layout::Layout;
use crate::domain::redrive::{self, Again};
use crate::domain::user_key::Placeholders;
use crate::runtime::settings::pipeline::Pipeline;
use crate::store::dead_letters::Filter;
use crate::store::dead_letters::open::{self, Redriven};

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
    layout: Layout,
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
    /// For a pipeline with these settings and this layout.
    #[must_use]
    pub fn new(settings: &Pipeline, layout: Layout, filter: Filter, last_id: i64, by: impl Into<String>) -> Self {
        Self {
            filter,
            last_id,
            overwrite_traits: false,
            by: by.into(),
            placeholders: settings.placeholders.clone(),
            layout,
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
            match redrive::read(&letter.payload, self.layout, &self.placeholders) {
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
        let mut letters: BTreeMap<i64, Letter> = ready.iter().map(|(id, again)| (*id, self.letter(again))).collect();
        let by_lane = self.by_lane(ready);
        let Some(publish) = publish else {
            step.events = by_lane.values().map(|piece| piece.lines.len() as u64).sum();
            step.redriven.extend(letters.into_keys());
            transaction.rollback().await?;
            return Ok(step);
        };
        for (lane, piece) in by_lane {
            let events = piece.lines.len() as u64;
            match publish.publish(lane, piece.version, piece.lines).await {
                Ok(seq) => {
                    step.events += events;
                    for (_, letter) in letters.iter_mut().filter(|(id, _)| piece.letters.contains(id)) {
                        letter.lanes_left -= 1;
                        letter.seq = i64::try_from(seq).unwrap_or(i64::MAX);
                    }
                }
                Err(failure) => {
                    step.failure = Some(failure);
                    break;
                }
            }
        }
        letters.retain(|_, letter| letter.lanes_left == 0);
        step.redriven.extend(letters.keys());
        let mark = |(id, letter): (i64, Letter)| Redriven { id, event_id: letter.event_id, seq: letter.seq };
        let marks: Vec<Redriven> = letters.into_iter().map(mark).collect();
        open::mark_redriven(&mut transaction, &marks, &self.by).await?;
        transaction.commit().await?;
        Ok(step)
    }

    /// One message per lane. A letter that is a whole message may have lines in several.
    fn by_lane(&self, ready: Vec<(i64, Again)>) -> BTreeMap<u16, Piece> {
        let mut by_lane = BTreeMap::<u16, Piece>::new();
        for (id, again) in ready {
            for (partition, line) in again.lines {
                let piece = by_lane.entry(self.layout.lane_of(partition)).or_default();
                piece.letters.insert(id);
                piece.version = piece.version.max(again.version);
                piece.lines.push((partition, line));
            }
        }
        by_lane
    }

    fn letter(&self, again: &Again) -> Letter {
        let lanes: BTreeSet<u16> = again.lines.iter().map(|(partition, _)| self.layout.lane_of(*partition)).collect();
        Letter { event_id: again.event_id, lanes_left: lanes.len(), seq: 0 }
    }
}

/// What goes into one lane.
#[derive(Default)]
struct Piece {
    letters: BTreeSet<i64>,
    version: u16,
    lines: Vec<(u16, Bytes)>,
}

/// A letter on its way.
struct Letter {
    event_id: Option<uuid::Uuid>,
    /// Lanes that have not acknowledged their lines yet.
    lanes_left: usize,
    /// The message that carries its last lines.
    seq: i64,
}

/// Why an identify is passed over.
const OUTDATED: &str = "it is an identify, and a later one of its user is stored, whose traits it could overwrite";

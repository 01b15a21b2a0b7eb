//! Makes sure that every event that arrives is counted once more when it leaves, accepted or rejected, and shown in the live tail.

use serde_json::value::RawValue;
use shared::domain::event::Event;

use super::refusal::Rejected;
use crate::app::App;
use crate::metrics::{ABANDONED, Metrics};
use crate::problem::Problem;
use crate::tail::request::Watched;

/// The events of one request on their way. What is not settled when this is dropped was abandoned: its client went away.
#[derive(Debug)]
#[must_use = "dropping it counts its events as abandoned"]
pub struct Arrivals<'a> {
    metrics: &'a Metrics,
    open: u64,
    /// When somebody listens.
    watched: Option<Watched<'a>>,
}

impl<'a> Arrivals<'a> {
    /// A request arrived; until its events can be told apart it counts as one.
    pub fn begin(app: &'a App) -> Self {
        app.metrics.received(1);
        Self { metrics: &app.metrics, open: 1, watched: Watched::begin(&app.tail) }
    }

    /// They come with this key.
    pub fn came_with(&mut self, source: &str) {
        if let Some(watched) = &mut self.watched {
            watched.source(source);
        }
    }

    /// One of them is good, so far.
    pub fn saw(&mut self, event: &Event<'_>) {
        if let Some(watched) = &mut self.watched {
            watched.saw(event);
        }
    }

    /// It has so many events, at least one.
    pub fn are(&mut self, events: usize) {
        let events = events as u64;
        self.metrics.received(events.saturating_sub(self.open));
        self.open = self.open.max(events);
    }

    /// One event is refused.
    pub fn reject_one(&mut self, raw: &RawValue, rejected: &Rejected) {
        self.open = self.open.saturating_sub(1);
        self.metrics.rejected(rejected.code, 1);
        if let Some(watched) = &self.watched {
            watched.rejected(raw, rejected.code, &rejected.message);
        }
    }

    /// All that are left are refused.
    pub fn reject_rest(&mut self, problem: &Problem) {
        if self.open == 0 {
            return;
        }
        self.metrics.rejected(problem.kind().code(), self.open);
        self.open = 0;
        if let Some(watched) = &mut self.watched {
            watched.refused(problem.kind().code(), problem.message());
        }
    }

    /// All that are left are in the stream.
    pub fn accept_rest(&mut self) {
        self.metrics.accepted(self.open);
        self.open = 0;
        if let Some(watched) = &mut self.watched {
            watched.accepted();
        }
    }
}

impl Drop for Arrivals<'_> {
    fn drop(&mut self) {
        if self.open > 0 {
            self.metrics.rejected(ABANDONED, self.open);
        }
    }
}

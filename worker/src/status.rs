//! What each owner of this process is doing, for `/readyz` and for people.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What one owner is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Not attached yet.
    Starting,
    /// Attached: owns this many partitions and follows the stream.
    Working(usize),
    /// Something is away; it tries again by itself.
    Waiting(String),
    /// Going on would skip or misread events; a person must act. It looks again by itself.
    Halted(String),
    /// Stopped on request.
    Stopped,
}

/// States by owner name. Clones are the same board.
#[derive(Debug, Clone, Default)]
pub struct Board(Arc<Mutex<BTreeMap<String, State>>>);

impl Board {
    /// Sets what an owner is doing; says whether that is news.
    pub fn set(&self, owner: &str, state: State) -> bool {
        let mut states = self.states();
        let news = states.get(owner) != Some(&state);
        states.insert(owner.to_owned(), state);
        news
    }

    /// Forgets an owner; its successors are on the board, or about to be.
    pub fn remove(&self, owner: &str) {
        self.states().remove(owner);
    }

    /// Why the process is not ready; empty when every owner works.
    #[must_use]
    pub fn not_ready(&self) -> Vec<String> {
        let states = self.states();
        if states.is_empty() {
            return vec!["starting".to_owned()];
        }
        let reason = |(owner, state): (&String, &State)| match state {
            State::Working(_) => None,
            State::Starting => Some(format!("{owner}: starting")),
            State::Waiting(why) => Some(format!("{owner}: waiting: {why}")),
            State::Halted(why) => Some(format!("{owner}: halted: {why}")),
            State::Stopped => Some(format!("{owner}: stopped")),
        };
        states.iter().filter_map(reason).collect()
    }

    fn states(&self) -> MutexGuard<'_, BTreeMap<String, State>> {
        // A panic while holding the lock cannot leave a map half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

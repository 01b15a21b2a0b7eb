//! One poison row never sinks the rest: a group that the database refuses is halved, in order, until the row stands alone and is put
//! aside; all others are stored, in the same transaction.
//!
//! When most rows of many users fail alike, the rows are not the problem: then it stops instead of filling the dead letters.

use std::collections::{BTreeSet, HashMap};
use std::ops::Range;

use shared::domain::rollup;
use shared::store::failure;
use sqlx::{Executor, PgConnection};

use super::dead_letters::DeadLetter;
use super::effects::{self, Applied, Plan};
use super::sqlstate::{self, Class};
use super::{FlushError, Incoming};

/// A mass failure: more than half of at least this many rows …
const MASS_ROWS: usize = 100;
/// … from at least this many users, with one SQLSTATE.
const MASS_USERS: usize = 10;

/// Applies all events, putting those aside that cannot be stored.
pub async fn apply<'a>(
    transaction: &mut PgConnection,
    events: &'a [Incoming<'a>],
    plan: &Plan<'_>,
    dead: &mut Vec<DeadLetter<'a>>,
) -> Result<Applied, FlushError> {
    let mut all = Applied::default();
    let mut refused: HashMap<String, usize> = HashMap::new();
    // A stack of ranges, the leftmost on top, so that order holds across the halves.
    let mut todo: Vec<Range<usize>> = Vec::new();
    todo.push(0..events.len());
    while let Some(range) = todo.pop() {
        let group = &events[range.clone()];
        transaction.execute("SAVEPOINT apply").await?;
        let error = match effects::apply(transaction, group, plan).await {
            Ok(applied) => {
                transaction.execute("RELEASE SAVEPOINT apply").await?;
                all.fresh.extend(applied.fresh);
                all.matches += applied.matches;
                all.receivers.extend(applied.receivers);
                rollup::add(&mut all.sums, applied.sums);
                all.active.extend(applied.active);
                continue;
            }
            Err(error) => error,
        };
        if sqlstate::class(&error) != Class::Poison {
            return Err(FlushError::of(error, || events.iter().map(|i| plan.day_of(i)).collect()));
        }
        transaction.execute("ROLLBACK TO SAVEPOINT apply").await?;
        let middle = range.start + range.len() / 2;
        if let [incoming] = group {
            failure::count(&error);
            let state = shared::store::connection::sqlstate(&error).unwrap_or_default();
            let count = refused.entry(state.clone()).or_default();
            *count += 1;
            if is_mass_failure(*count, events, plan) {
                return Err(FlushError::Stop(format!(
                    "{count} of {} events were refused alike (SQLSTATE {state}): {error}. Nothing was put aside; find the cause first",
                    events.len()
                )));
            }
            let reason = error.as_database_error().map_or_else(|| error.to_string(), |e| e.message().to_owned());
            dead.push(DeadLetter::line(incoming.line, Some(&incoming.event), Some(state), reason));
        } else {
            todo.push(middle..range.end);
            todo.push(range.start..middle);
        }
    }
    Ok(all)
}

fn is_mass_failure(refused: usize, events: &[Incoming<'_>], plan: &Plan<'_>) -> bool {
    if events.len() < MASS_ROWS || refused * 2 <= events.len() {
        return false;
    }
    let users: BTreeSet<_> = events.iter().filter_map(|i| i.event.user_key(plan.context.placeholders)).collect();
    users.len() >= MASS_USERS
}

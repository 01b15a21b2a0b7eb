//! Which traits each user changes within the days: the profile tells the others as they were before.

use std::collections::HashMap;

use chrono::NaiveDate;
use futures_util::TryStreamExt;
use sqlx::FromRow;
use sqlx::postgres::PgConnection;

use super::Asked;
use crate::domain::campaign::backtest::{Key, Simulation, hash};
use crate::domain::user_key::UserKey;

/// Of one user, with the place in the table.
const USER_BYTES: usize = 32;
/// Traits that are told apart; further ones count as one.
const MOST_KEYS: usize = 64;

/// By the hash of a user, a bit for each trait in order of name.
#[derive(Debug, Default)]
pub struct Ahead(HashMap<u64, u64>);

#[derive(FromRow)]
struct Row {
    user_id: Option<String>,
    anonymous_id: Option<String>,
    set: Vec<bool>,
}

impl Ahead {
    /// Memory, about, in bytes.
    pub fn bytes(&self) -> usize {
        self.0.len() * USER_BYTES
    }

    /// Is this trait, by its place in order of name, set within the days?
    pub fn sets(&self, key: &Key, place: usize) -> bool {
        self.0.get(&hash(key)).is_some_and(|bits| bits & bit(place) != 0)
    }

    /// Forgets users that were put off.
    pub fn keep(&mut self, simulation: &Simulation) {
        self.0.retain(|hash, _| simulation.has(*hash));
    }

    /// Looks at the identifies of one day.
    pub async fn look_at(
        &mut self,
        snapshot: &mut PgConnection,
        simulation: &mut Simulation,
        (day, asked): (NaiveDate, &Asked),
    ) -> Result<(), sqlx::Error> {
        let keys: Vec<String> = simulation.wants().keys.traits.iter().cloned().collect();
        let sql = "/* ahead.look_at */ SELECT user_id, anonymous_id, ARRAY(SELECT traits ? key FROM unnest($2::text[]) WITH ORDINALITY AS k (key, place)
                          ORDER BY place) AS set
                     FROM events WHERE day = $1 AND type = 'identify' AND traits ?| $2";
        let mut rows = sqlx::query_as(sql).bind(day).bind(&keys).fetch(snapshot);
        while let Some(row) = rows.try_next().await? {
            let row: Row = row;
            let key = UserKey::of(row.user_id.as_deref(), row.anonymous_id.as_deref(), &asked.placeholders);
            let Some(hash) = key.map(|key| hash(&(key.kind, key.id.to_owned()))).filter(|hash| simulation.has(*hash))
            else {
                continue;
            };
            let set = row.set.iter().enumerate().filter(|(_, set)| **set);
            *self.0.entry(hash).or_default() |= set.fold(0, |bits, (place, _)| bits | bit(place));
            if self.bytes() > asked.state_bytes / 2 && simulation.put_off() {
                self.keep(simulation);
            }
        }
        Ok(())
    }
}

fn bit(place: usize) -> u64 {
    1 << place.min(MOST_KEYS - 1)
}

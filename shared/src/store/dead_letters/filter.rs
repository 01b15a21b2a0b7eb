//! Which letters are meant, as a condition in SQL.

use std::ops::RangeInclusive;

use chrono::{DateTime, Utc};
use sqlx::QueryBuilder;
use sqlx::postgres::Postgres;
use uuid::Uuid;

use super::State;

/// Which letters are meant: those for which everything holds. Texts are free of zero bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// These.
    pub ids: Option<Vec<i64>>,
    /// Of this event.
    pub event_id: Option<Uuid>,
    /// Refused by the database with this code.
    pub sqlstate: Option<String>,
    /// With this text in the reason, in capitals or not.
    pub reason: Option<String>,
    /// Of this user id, or of this anonymous id where the event has no user id.
    pub user_id: Option<String>,
    /// Put aside then or later.
    pub from: Option<DateTime<Utc>>,
    /// Put aside before.
    pub to: Option<DateTime<Utc>>,
}

impl Filter {
    /// Are all letters meant?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    pub(super) fn narrow(&self, query: &mut QueryBuilder<'_, Postgres>) {
        if let Some(ids) = &self.ids {
            query.push(" AND id = ANY(").push_bind(ids.clone()).push(")");
        }
        if let Some(event_id) = self.event_id {
            query.push(" AND event_id = ").push_bind(event_id);
        }
        if let Some(sqlstate) = &self.sqlstate {
            query.push(" AND sqlstate = ").push_bind(sqlstate.clone());
        }
        if let Some(reason) = &self.reason {
            query.push(" AND position(lower(").push_bind(reason.clone()).push(") IN lower(reason)) > 0");
        }
        if let Some(user_id) = &self.user_id {
            query.push(" AND user_id = ").push_bind(user_id.clone());
        }
        if let Some(from) = self.from {
            query.push(" AND created_at >= ").push_bind(from);
        }
        if let Some(to) = self.to {
            query.push(" AND created_at < ").push_bind(to);
        }
    }

    /// Selects `what` of the open letters that are meant, with ids in `ids`.
    pub(super) fn open<'a>(&self, what: &str, ids: &RangeInclusive<i64>) -> QueryBuilder<'a, Postgres> {
        let mut query = QueryBuilder::new(format!(
            "/* filter.open */ SELECT {what} FROM dead_letters WHERE {}",
            State::Open.condition()
        ));
        query.push(" AND id BETWEEN ").push_bind(*ids.start()).push(" AND ").push_bind(*ids.end());
        self.narrow(&mut query);
        query
    }
}

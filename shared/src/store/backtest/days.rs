//! The events of the days in the order of their receipt, a few hundred at a time.
//!
//! Each day's partition is read once, by a cursor in order of receipt, and the cursors are merged: an event may come days after the
//! day it is filed under, and up to a day before. What was received at one moment (a batch) is taken in the order of its own times. A cursor
//! is opened when the merge gets there, and closed when it has no more.

use std::collections::VecDeque;

use chrono::{DateTime, Days as Count, NaiveDate, Utc};
use serde_json::value::RawValue;
use sqlx::postgres::{PgArguments, PgConnection};
use sqlx::{Arguments, FromRow};
use uuid::Uuid;

use crate::domain::campaign::backtest::{Past, Simulation, What};
use crate::domain::campaign::folded;
use crate::domain::event::Flags;
use crate::domain::raw_object::RawObject;
use crate::domain::user_key::{Placeholders, UserKey};

/// Events read at once of one day, and handed out at once.
const ROWS_AT_ONCE: usize = 500;

/// One event.
#[derive(Debug, FromRow)]
pub struct Row {
    id: Uuid,
    day: NaiveDate,
    is_identify: bool,
    user_id: Option<String>,
    anonymous_id: Option<String>,
    event: Option<String>,
    timestamp: DateTime<Utc>,
    /// When it was received.
    pub received_at: DateTime<Utc>,
    flags: i16,
    properties: Vec<Option<String>>,
    context: Vec<Option<String>>,
    traits: Vec<Option<String>>,
}

/// A day that is being read.
#[derive(Debug)]
struct Open {
    day: NaiveDate,
    rows: VecDeque<Row>,
    /// There may be more.
    more: bool,
}

/// The days.
#[derive(Debug)]
pub struct Days {
    /// The next to be opened.
    next: NaiveDate,
    last: NaiveDate,
    open: Vec<Open>,
    filter: Filter,
}

/// What is read.
#[derive(Debug)]
struct Filter {
    traits: Vec<String>,
    properties: Vec<String>,
    context: Vec<String>,
    /// Exactly spelt.
    names: Vec<String>,
    /// However spelt.
    folded: Vec<String>,
}

impl Days {
    /// From a day to a day, both included.
    pub fn new(simulation: &Simulation, (first, last): (NaiveDate, NaiveDate)) -> Self {
        let (campaign, wants) = (simulation.campaign(), simulation.wants());
        let mut names: Vec<String> = wants.needs.counts.iter().map(|window| window.event.clone()).collect();
        let mut loosely = Vec::new();
        if campaign.listens_loosely() {
            loosely.extend(campaign.triggers().iter().map(|trigger| folded(trigger)));
        } else {
            names.extend(campaign.triggers().iter().cloned());
        }
        let list = |keys: &std::collections::BTreeSet<String>| keys.iter().cloned().collect();
        let keys = &wants.keys;
        let (traits, properties, context) = (list(&keys.traits), list(&keys.properties), list(&keys.context));
        Self {
            next: first,
            last,
            open: Vec::new(),
            filter: Filter { traits, properties, context, names, folded: loosely },
        }
    }

    /// The next events; none at the end.
    pub async fn next(&mut self, snapshot: &mut PgConnection) -> Result<Vec<Row>, sqlx::Error> {
        let mut rows = Vec::with_capacity(ROWS_AT_ONCE);
        while rows.len() < ROWS_AT_ONCE {
            self.fill(snapshot).await?;
            let first = self.first();
            // Nothing is filed under a day that begins more than a day after its receipt.
            let reached =
                first.map(|(_, at)| at.date_naive().checked_add_days(Count::new(1)).unwrap_or(NaiveDate::MAX));
            if self.next <= self.last && reached.is_none_or(|reached| self.next <= reached) {
                self.open_next(snapshot).await?;
                continue;
            }
            let Some((place, _)) = first else { break };
            rows.extend(self.open[place].rows.pop_front());
        }
        Ok(rows)
    }

    /// Where the earliest row is that was read, and when it was received.
    fn first(&self) -> Option<(usize, DateTime<Utc>)> {
        let heads = self.open.iter().enumerate().filter_map(|(place, open)| Some((place, open.rows.front()?)));
        let first = heads.min_by_key(|(place, row)| (row.received_at, row.timestamp, *place));
        first.map(|(place, row)| (place, row.received_at))
    }

    /// Reads on where everything that was read is used up, and closes what has no more.
    async fn fill(&mut self, snapshot: &mut PgConnection) -> Result<(), sqlx::Error> {
        for open in &mut self.open {
            if open.rows.is_empty() && open.more {
                open.fetch(snapshot).await?;
            }
        }
        self.open.retain(|open| open.more || !open.rows.is_empty());
        Ok(())
    }

    async fn open_next(&mut self, snapshot: &mut PgConnection) -> Result<(), sqlx::Error> {
        let day = self.next;
        self.next = day.succ_opt().unwrap_or(NaiveDate::MAX);
        let (sql, arguments) = self.filter.declare(day)?;
        sqlx::query_with(&sql, arguments).persistent(false).execute(&mut *snapshot).await?;
        let mut open = Open { day, rows: VecDeque::new(), more: true };
        open.fetch(snapshot).await?;
        self.open.push(open);
        Ok(())
    }
}

impl Open {
    async fn fetch(&mut self, snapshot: &mut PgConnection) -> Result<(), sqlx::Error> {
        let cursor = cursor(self.day);
        let sql = format!("/* days.fetch */ FETCH {ROWS_AT_ONCE} FROM {cursor}");
        let rows: Vec<Row> = sqlx::query_as(&sql).persistent(false).fetch_all(&mut *snapshot).await?;
        self.more = rows.len() == ROWS_AT_ONCE;
        self.rows.extend(rows);
        if !self.more {
            let sql = format!("/* days.close */ CLOSE {cursor}");
            sqlx::query(&sql).persistent(false).execute(snapshot).await?;
        }
        Ok(())
    }
}

fn cursor(day: NaiveDate) -> String {
    format!("events_of_{}", day.format("%Y%m%d"))
}

impl Filter {
    /// The statement that opens a day's cursor.
    fn declare(&self, day: NaiveDate) -> Result<(String, PgArguments), sqlx::Error> {
        let mut arguments = PgArguments::default();
        let add = |arguments: &mut PgArguments, list: &[String]| {
            arguments.add(list.to_vec()).map_err(sqlx::Error::Encode).map(|()| arguments.len())
        };
        arguments.add(day).map_err(sqlx::Error::Encode)?;
        let names = add(&mut arguments, &self.names)?;
        let mut wanted = format!("event = ANY(${names}::text[])");
        if !self.folded.is_empty() {
            // What the database folds otherwise than we do is looked at here.
            let folded = add(&mut arguments, &self.folded)?;
            wanted = format!(
                r#"({wanted} OR replace(lower(event COLLATE "C"), '_', ' ') = ANY(${folded}::text[]) OR event ~ '[^ -~]')"#
            );
        }
        let mut identifies = String::new();
        if !self.traits.is_empty() {
            let traits = add(&mut arguments, &self.traits)?;
            identifies = format!(" OR (type = 'identify' AND traits ?| ${traits}::text[])");
        }
        let mut parts = |column: &str, keys: &[String]| -> Result<String, sqlx::Error> {
            let mut parts = Vec::with_capacity(keys.len());
            for key in keys {
                arguments.add(key.clone()).map_err(sqlx::Error::Encode)?;
                parts.push(format!("({column} -> ${}::text)::text", arguments.len()));
            }
            Ok(format!("ARRAY[{}]::text[] AS {column}", parts.join(", ")))
        };
        let (properties, context) = (parts("properties", &self.properties)?, parts("context", &self.context)?);
        let traits = parts("traits", &self.traits)?;
        let sql = format!(
            r#"/* days.declare */ DECLARE {} NO SCROLL CURSOR FOR
               SELECT id, day, type = 'identify' AS is_identify, user_id, anonymous_id, event, "timestamp", received_at, flags,
                      {properties}, {context}, {traits}
                 FROM events
                WHERE day = $1 AND ((type IN ('track', 'page', 'screen') AND {wanted}){identifies})
                ORDER BY received_at, "timestamp", ctid"#,
            cursor(day)
        );
        Ok((sql, arguments))
    }
}

impl Row {
    /// As the simulation takes it.
    pub fn past(self, simulation: &Simulation, placeholders: &Placeholders) -> Past {
        let keys = &simulation.wants().keys;
        let what = if self.is_identify {
            What::Identify(object(&keys.traits, self.traits))
        } else {
            What::Named {
                event: self.event.unwrap_or_default(),
                properties: object(&keys.properties, self.properties),
                context: object(&keys.context, self.context),
            }
        };
        let key = UserKey::of(self.user_id.as_deref(), self.anonymous_id.as_deref(), placeholders);
        Past {
            id: self.id,
            key: key.map(|key| (key.kind, key.id.to_owned())),
            day: self.day,
            received_at: self.received_at,
            at: self.timestamp.min(self.received_at),
            imported: self.flags & Flags::IMPORTED.bits() != 0,
            // The index that counting uses knows a visitor under a placeholder by the placeholder.
            counts: self.user_id.is_none_or(|id| !placeholders.contains(&id)),
            what,
        }
    }
}

/// An object of these keys, as far as there are values.
pub fn object<'a>(keys: impl IntoIterator<Item = &'a String>, values: Vec<Option<String>>) -> RawObject {
    let mut object = RawObject::default();
    for (key, value) in keys.into_iter().zip(values) {
        let value = value.and_then(|value| RawValue::from_string(value).ok());
        // What was read as JSON can be written as JSON.
        let _ = value.map(|value| object.set(key, &value));
    }
    object
}

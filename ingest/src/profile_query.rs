//! What the database knows about one user, in one statement: so everything in it is of one moment, and belongs to the committed
//! offset that comes with it.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use serde::de::DeserializeOwned;
use shared::domain::campaign::Wants;
use shared::domain::rules::CountWindow;
use shared::domain::traits::Traits;
use shared::domain::user_key::UserKey;
use shared::store::occurrences::{self, Asked, Occurrence};
use shared::store::shown::{self, Moment, Pair, Shown};
use sqlx::Arguments;
use sqlx::postgres::{PgArguments, PgPool};

/// Beyond so many campaigns it is cheaper to look at all that the user was shown.
const FEW_CAMPAIGNS: usize = 20;

/// What the database knows, up to the offset `committed` of the user's partition.
#[derive(Debug, Default)]
pub struct Stored {
    /// Sequence of the last message whose effects are in the rest.
    pub committed: u64,
    /// Traits.
    pub traits: Traits,
    /// Events that rules count, latest first.
    pub occurrences: HashMap<CountWindow, Vec<Occurrence>>,
    /// What the user was shown.
    pub shown: HashMap<String, Shown>,
    /// How often campaigns were shown to anybody.
    pub totals: HashMap<String, u64>,
}

#[derive(sqlx::FromRow)]
struct Row {
    last_seq: i64,
    traits: Option<String>,
    times: Option<String>,
    shown: Option<String>,
    totals: Option<String>,
}

/// Reads what is wanted.
pub async fn read(
    pool: PgPool,
    partition: u16,
    user: UserKey<'_>,
    wants: &Wants,
    moment: Moment,
) -> Result<Stored, sqlx::Error> {
    let mut arguments = PgArguments::default();
    arguments.add(i32::from(partition)).map_err(sqlx::Error::Encode)?;
    arguments.add(user.kind.as_str()).map_err(sqlx::Error::Encode)?;
    arguments.add(user.id).map_err(sqlx::Error::Encode)?;

    let list = |rows: &str| format!("(SELECT json_agg(rows)::text FROM ({rows}) AS rows)");
    let nothing = "NULL::text".to_owned();
    let asked = questions(user, wants, moment.now);
    let times = if asked.is_empty() {
        nothing.clone()
    } else {
        let first = arguments.len() + 1;
        occurrences::add(&mut arguments, &asked)?;
        list(&occurrences::query(first))
    };
    let first = arguments.len() + 1;
    let shown = match wants.history.len() {
        0 => nothing.clone(),
        1..=FEW_CAMPAIGNS => {
            let pairs: Vec<Pair<'_>> = wants.history.iter().map(|id| Pair { user, campaign_id: id }).collect();
            shown::add_pairs(&mut arguments, &pairs, moment)?;
            list(&shown::pairs_query(first))
        }
        _ => {
            shown::add_user(&mut arguments, user, moment)?;
            list(&shown::user_query(first))
        }
    };
    let totals = if wants.totals.is_empty() {
        nothing
    } else {
        let first = arguments.len() + 1;
        let ids: Vec<&str> = wants.totals.iter().map(String::as_str).collect();
        arguments.add(ids).map_err(sqlx::Error::Encode)?;
        arguments.add(moment.but).map_err(sqlx::Error::Encode)?;
        format!("(SELECT json_object_agg(campaign_id, shown)::text FROM ({}) AS totals)", shown::totals_query(first))
    };
    let query = format!(
        "/* profile_query.read */ SELECT p.last_seq, u.traits::text AS traits, {times} AS times, {shown} AS shown, {totals} AS totals
           FROM partitions p LEFT JOIN users u ON u.kind = $2 AND u.id = $3
          WHERE p.partition = $1"
    );
    // Without a row no worker ever ran: nothing is stored.
    let row: Option<Row> = sqlx::query_as_with(&query, arguments).fetch_optional(&pool).await?;
    row.map_or_else(|| Ok(Stored::default()), |row| stored(row, wants, asked.len()))
}

fn questions<'a>(user: UserKey<'a>, wants: &'a Wants, now: DateTime<Utc>) -> Vec<Asked<'a>> {
    let ask =
        |window: &'a CountWindow| Asked { user, event: &window.event, since: window.since(now), most: window.most };
    wants.counts.iter().map(ask).collect()
}

fn stored(row: Row, wants: &Wants, questions: usize) -> Result<Stored, sqlx::Error> {
    let occurrences = occurrences::in_order(parsed(row.times)?, questions);
    let shown: Vec<shown::Row> = parsed(row.shown)?;
    let totals: HashMap<String, u64> = parsed(row.totals)?;
    Ok(Stored {
        committed: u64::try_from(row.last_seq).unwrap_or(0),
        traits: row.traits.and_then(|text| Traits::parse(&text).ok()).unwrap_or_default(),
        occurrences: wants.counts.iter().cloned().zip(occurrences).collect(),
        shown: shown.into_iter().map(|row| (row.campaign_id.clone(), row.into())).collect(),
        totals,
    })
}

fn parsed<T: DeserializeOwned + Default>(json: Option<String>) -> Result<T, sqlx::Error> {
    json.map_or_else(|| Ok(T::default()), |json| serde_json::from_str(&json).map_err(|e| sqlx::Error::Decode(e.into())))
}

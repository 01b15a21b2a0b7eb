//! Compares the file with the database, element by element, and says what differs.
//!
//! What is newer here is no difference: a campaign that was edited or deleted since, traits that a later identify changed, people who
//! were erased.

use std::collections::BTreeMap;
use std::path::Path;

use shared::domain::legacy::document;
use sqlx::PgPool;

use super::documents::{Standing, collection, standing};
use super::erased;
use super::plan::{Outcome, Plan};
use super::progress::Progress;
use super::source::{Kind, Source};
use super::survey::Survey;
use super::verify_rows::{self, Profile};
use crate::Problem;

/// Differences that are kept in words.
const MOST_IN_WORDS: usize = 20;

/// What the comparison found.
#[derive(Debug, Default)]
pub struct Comparison {
    /// By kind: the same, and changed here since.
    pub counts: BTreeMap<Kind, (u64, u64)>,
    /// Users and events of people who were erased here: they stay away.
    pub erased: u64,
    /// The first differences.
    pub differences: Vec<String>,
    /// All of them.
    pub different: u64,
}

impl Comparison {
    fn differ(&mut self, what: String) {
        self.different += 1;
        if self.differences.len() < MOST_IN_WORDS {
            self.differences.push(what);
        }
    }

    fn same(&mut self, kind: Kind) {
        self.counts.entry(kind).or_default().0 += 1;
    }

    fn newer(&mut self, kind: Kind) {
        self.counts.entry(kind).or_default().1 += 1;
    }

    /// Line by line.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let mut lines: Vec<String> = self
            .counts
            .iter()
            .map(|(kind, (same, newer))| format!("{}s: {same} the same, {newer} changed here since", kind.name()))
            .collect();
        if self.erased > 0 {
            lines.push(format!("{} users and events stay away: these people were erased here", self.erased));
        }
        lines.extend(self.differences.iter().map(|what| format!("DIFFERENT  {what}")));
        let unlisted = self.different - self.differences.len() as u64;
        if unlisted > 0 {
            lines.push(format!("DIFFERENT  … and {unlisted} more"));
        }
        lines
    }
}

/// Compares everything that `plan` would import.
pub async fn verify(path: &Path, pool: &PgPool, survey: &Survey, plan: &mut Plan<'_>) -> Result<Comparison, Problem> {
    let mut comparison = Comparison::default();
    let mut source = Source::open(path)?;
    let mut progress = Progress::start("comparing", survey.bytes);
    while let Some(piece) = source.next().await? {
        let (mut users, mut events) = (Vec::new(), Vec::new());
        for element in piece {
            match plan.decide(&element) {
                Outcome::Document(kind, found) => compare_document(pool, kind, &found, &mut comparison).await?,
                Outcome::User(user) => users.push((element.key.unwrap_or_default(), user)),
                Outcome::Event(event) => events.push((element.index, event)),
                Outcome::Nothing | Outcome::Rejected(_) => {}
            }
        }
        let asked: Vec<_> = users.iter().map(|(id, user)| (id.as_str(), user.as_ref())).collect();
        let profiles = verify_rows::users(pool, &asked).await?;
        let asked: Vec<_> = events.iter().map(|(_, event)| event.as_ref()).collect();
        let differences = verify_rows::events(pool, &asked).await?;
        let missing = users.iter().zip(&profiles).filter(|(_, profile)| **profile == Profile::Missing);
        let missing = missing.map(|((_, user), _)| user.line.as_slice());
        let differ = events.iter().filter(|(_, event)| differences.contains_key(&event.id));
        let lines: Vec<_> = missing.chain(differ.map(|(_, event)| event.line.as_slice())).collect();
        let erased = erased::among(pool, plan.placeholders(), &lines).await?;
        comparison.erased += erased.len() as u64;
        for ((id, user), profile) in users.iter().zip(profiles) {
            match profile {
                _ if erased.contains(&user.id) => {}
                Profile::Same => comparison.same(Kind::User),
                Profile::Newer => comparison.newer(Kind::User),
                Profile::Missing => comparison.differ(format!("user {id:?} has no profile, or traits are missing")),
            }
        }
        for (index, event) in &events {
            match differences.get(&event.id) {
                _ if erased.contains(&event.id) => {}
                None => comparison.same(Kind::Event),
                Some(what) => comparison.differ(format!("event {index} ({}) {what}", event.id)),
            }
        }
        progress.at(source.bytes_read());
    }
    for (kind, ids) in [(Kind::Campaign, &survey.campaigns), (Kind::Segment, &survey.segments)] {
        compare_order(pool, kind, ids, &mut comparison).await?;
    }
    progress.end();
    Ok(comparison)
}

async fn compare_document(
    pool: &PgPool,
    kind: Kind,
    found: &document::Imported,
    comparison: &mut Comparison,
) -> Result<(), sqlx::Error> {
    let what = || format!("{} {:?}", kind.name(), found.id);
    match standing(pool, kind, found).await? {
        Standing::New => comparison.differ(format!("{} is not there", what())),
        Standing::Deleted => comparison.newer(kind),
        Standing::Same | Standing::Changed => {
            let query = format!(
                "/* verify.compare_document */ SELECT version > 1, document = $2::jsonb, coalesce(created_at = $3, true), coalesce(updated_at = $4, true)
                   FROM {} WHERE id = $1",
                collection(kind).table()
            );
            let row: Option<(bool, bool, bool, bool)> = sqlx::query_as(&query)
                .bind(&found.id)
                .bind(found.document.to_json())
                .bind(found.created_at)
                .bind(found.updated_at)
                .fetch_optional(pool)
                .await?;
            match row {
                Some((false, true, true, true)) => comparison.same(kind),
                Some((true, ..)) | None => comparison.newer(kind),
                Some((false, false, ..)) => comparison.differ(format!("{} is another document", what())),
                Some((false, true, ..)) => comparison.differ(format!("{} has other times", what())),
            }
        }
    }
    Ok(())
}

/// Do lists show them in the order of the file?
async fn compare_order(
    pool: &PgPool,
    kind: Kind,
    ids: &[String],
    comparison: &mut Comparison,
) -> Result<(), sqlx::Error> {
    let query = format!(
        "/* verify.compare_order */ SELECT id FROM {} WHERE id = ANY($1) ORDER BY position DESC",
        collection(kind).table()
    );
    let shown: Vec<String> = sqlx::query_scalar(&query).bind(ids).fetch_all(pool).await?;
    let there: std::collections::HashSet<&str> = shown.iter().map(String::as_str).collect();
    let wanted = ids.iter().map(String::as_str).filter(|id| there.contains(id));
    if !wanted.eq(shown.iter().map(String::as_str)) {
        comparison.differ(format!("{}s are listed in another order than in the file", kind.name()));
    }
    Ok(())
}

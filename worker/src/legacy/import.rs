//! The import itself: one way through the file, after it was found good.

use std::collections::BTreeMap;
use std::path::Path;

use sqlx::PgPool;

use super::documents::{Documents, Standing};
use super::plan::{Outcome, Plan};
use super::progress::Progress;
use super::publish::Publisher;
use super::rejects::Rejects;
use super::source::{Kind, Source};
use super::stored;
use super::survey::Survey;
use crate::Problem;

/// What an import did.
#[derive(Debug, Default)]
pub struct Done {
    /// Documents, by how they stood before.
    pub documents: BTreeMap<Standing, u64>,
    /// Users and events that were there already.
    pub there: u64,
}

/// Reads the file without importing anything; `plan` has the report afterwards. Rejected elements go to `rejects`, if given.
pub async fn validate(
    path: &Path,
    pool: &PgPool,
    survey: &Survey,
    plan: &mut Plan<'_>,
    mut rejects: Option<&mut Rejects>,
) -> Result<(), Problem> {
    let mut source = Source::open(path)?;
    let mut progress = Progress::start("validating", survey.bytes);
    while let Some(piece) = source.next().await? {
        for element in piece {
            match plan.decide(&element) {
                Outcome::Document(kind, found) => {
                    let standing = super::documents::standing(pool, kind, &found).await?;
                    plan.report.stands(kind, &found.id, standing);
                }
                Outcome::Rejected(reason) => {
                    if let Some(rejects) = &mut rejects {
                        rejects.add(&element, &reason)?;
                    }
                }
                Outcome::User(_) | Outcome::Event(_) | Outcome::Nothing => {}
            }
        }
        progress.at(source.bytes_read());
    }
    progress.end();
    Ok(())
}

/// Imports the file.
pub async fn import(
    path: &Path,
    pool: &PgPool,
    survey: &Survey,
    plan: &mut Plan<'_>,
    publisher: &mut Publisher<'_>,
    rejects: &mut Rejects,
) -> Result<Done, Problem> {
    let documents = Documents::open(pool, survey).await?;
    let mut done = Done::default();
    let mut source = Source::open(path)?;
    let mut progress = Progress::start("importing", survey.bytes);
    while let Some(piece) = source.next().await? {
        let (mut users, mut events) = (Vec::new(), Vec::new());
        for element in piece {
            match plan.decide(&element) {
                Outcome::Document(kind, found) => {
                    let standing = patiently(&mut progress, async || documents.write(kind, &found).await).await;
                    let standing = standing.map_err(|error| may_not(kind, error))?;
                    *done.documents.entry(standing).or_default() += 1;
                }
                Outcome::User(user) => users.push(user),
                Outcome::Event(event) => events.push(event),
                Outcome::Nothing => {}
                Outcome::Rejected(reason) => rejects.add(&element, &reason)?,
            }
        }
        let there = patiently(&mut progress, async || {
            let ids: Vec<_> = users.iter().map(|user| user.id).collect();
            let mut there = stored::identifies(pool, &ids).await?;
            let keys: Vec<_> = events.iter().map(|event| (event.day, event.id)).collect();
            there.extend(stored::events(pool, &keys).await?);
            Ok(there)
        })
        .await?;
        let users = users.into_iter().map(|user| (user.id, user.partition, user.line));
        for (id, partition, line) in
            users.chain(events.into_iter().map(|event| (event.id, event.partition, event.line)))
        {
            if there.contains(&id) {
                done.there += 1;
            } else {
                publisher.add(partition, line, &mut progress).await?;
            }
        }
        progress.at(source.bytes_read());
    }
    publisher.finish(&mut progress).await?;
    rejects.finish()?;
    progress.end();
    Ok(done)
}

/// Asks the database again and again while it is away; other failures are ours.
async fn patiently<T>(
    progress: &mut Progress,
    ask: impl AsyncFn() -> Result<T, sqlx::Error>,
) -> Result<T, sqlx::Error> {
    use crate::flush::sqlstate::{Class, class};
    loop {
        match ask().await {
            Err(error) if class(&error) == Class::Wait => {
                progress.wait(&format!("waiting for PostgreSQL: {error}"));
                tokio::time::sleep(std::time::Duration::from_secs(1)).await;
            }
            answer => return answer,
        }
    }
}

fn may_not(kind: Kind, error: sqlx::Error) -> Problem {
    match error.as_database_error().and_then(|error| error.code()).as_deref() {
        Some("42501") => format!(
            "this database role may not write {}s: run the import with the DATABASE_URL of the owner ({error})",
            kind.name()
        )
        .into(),
        _ => error.into(),
    }
}

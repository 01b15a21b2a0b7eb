//! Looks through profiles for those that meet a condition, a chunk at a time, with the counts that the condition asks for.

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use shared::domain::rules::{Condition, CountWindow, Counts, Facts, Segments};
use shared::domain::traits::Traits;
use shared::domain::user_key::{KeyKind, UserKey};
use shared::store::occurrences::{self, Asked, Occurrence};
use sqlx::postgres::{PgConnection, PgPool};

use super::users::User;

/// After so long a scan stops at the end of its chunk.
const PATIENCE: Duration = Duration::from_secs(2);
/// Profiles read at once.
const CHUNK: usize = 1_000;

/// A walk over profiles, in the order of their ids.
#[derive(Debug, Clone)]
pub struct Scan {
    /// Who is looked for.
    pub condition: Condition,
    /// Among users or visitors.
    pub kind: KeyKind,
    /// Behind this id.
    pub after: Option<String>,
    /// About how many profiles to look at: whole chunks.
    pub most: usize,
    /// Most members to find.
    pub wanted: usize,
    /// Keep the members, or only count them.
    pub keep: bool,
}

/// What a scan found.
#[derive(Debug, Default)]
pub struct Found {
    /// Those that were kept.
    pub members: Vec<User>,
    /// How many there were.
    pub count: usize,
    /// Profiles looked at.
    pub scanned: usize,
    /// The last id looked at, unless it was the last there is.
    pub next: Option<String>,
}

impl Scan {
    /// Walks.
    pub async fn run(mut self, pool: PgPool) -> Result<Found, sqlx::Error> {
        let mut connection = pool.acquire().await?;
        let mut found = Found::default();
        let started = Instant::now();
        loop {
            let chunk = self.chunk(&mut connection).await?;
            let last_chunk = chunk.len() < CHUNK;
            let members = self.members(&mut connection, &chunk).await?;
            for (user, member) in chunk.into_iter().zip(members) {
                found.scanned += 1;
                self.after = Some(user.id.clone());
                if member {
                    found.count += 1;
                    if self.keep {
                        found.members.push(user);
                    }
                }
                if found.count >= self.wanted {
                    found.next = self.after;
                    return Ok(found);
                }
            }
            if last_chunk {
                return Ok(found);
            }
            if found.scanned >= self.most || started.elapsed() >= PATIENCE {
                found.next = self.after;
                return Ok(found);
            }
        }
    }

    async fn chunk(&self, connection: &mut PgConnection) -> Result<Vec<User>, sqlx::Error> {
        sqlx::query_as(
            "/* scan.chunk */ SELECT id, traits::text AS traits, created_at, updated_at FROM users
              WHERE kind = $1 AND id > $2 ORDER BY id LIMIT $3",
        )
        .bind(self.kind.as_str())
        // Nobody has an empty id.
        .bind(self.after.as_deref().unwrap_or_default())
        .bind(i64::try_from(CHUNK).unwrap_or(i64::MAX))
        .fetch_all(connection)
        .await
    }

    /// Is each of these a member?
    async fn members(&self, connection: &mut PgConnection, chunk: &[User]) -> Result<Vec<bool>, sqlx::Error> {
        let now = Utc::now();
        let windows: Vec<&CountWindow> = self.condition.needs().counts.iter().collect();
        let asked: Vec<Asked<'_>> = chunk
            .iter()
            .flat_map(|user| {
                windows.iter().map(|window| Asked {
                    user: UserKey { kind: self.kind, id: &user.id },
                    event: &window.event,
                    since: window.since(now),
                    most: window.most,
                })
            })
            .collect();
        let stored = occurrences::read(connection, &asked).await?;
        let mut members = Vec::with_capacity(chunk.len());
        for (place, user) in chunk.iter().enumerate() {
            let mine = stored.get(place * windows.len()..).unwrap_or_default();
            let counts = StoredCounts { windows: &windows, stored: mine };
            let traits = Traits::parse(&user.traits).unwrap_or_default();
            members.push(is_member(&self.condition, &traits, &counts, now));
        }
        Ok(members)
    }
}

/// How often one user did what is asked, in the order of the windows.
struct StoredCounts<'a> {
    windows: &'a [&'a CountWindow],
    stored: &'a [Vec<Occurrence>],
}

impl Counts for StoredCounts<'_> {
    fn count(&self, window: &CountWindow) -> Option<u32> {
        let place = self.windows.iter().position(|known| *known == window)?;
        u32::try_from(self.stored.get(place)?.len()).ok()
    }
}

/// Does the condition hold for a user, apart from any event?
pub fn is_member(condition: &Condition, traits: &Traits, counts: &dyn Counts, now: DateTime<Utc>) -> bool {
    // Segments name no others.
    let segments = Segments::new();
    let facts = Facts { traits, properties: None, context: None, counts, segments: &segments, now };
    condition.holds(&facts).is_true()
}

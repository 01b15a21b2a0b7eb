//! Carries out control lines, and drops the events of erased people.
//!
//! An erasure takes effect here, in order with its user's events: tombstones for the key and the visitors it is linked to, profile and
//! links gone, the request noted. From the commit on nothing of them is stored, wherever it comes from; what was stored before is
//! swept by [`crate::jobs::erasure`].
//!
//! A flush with a control line locks the rows of all partitions first ([`super::fence::lock_all`]). So an event of a linked visitor,
//! whose partition somebody else owns, is either committed before the tombstone, and swept, or read after it, and suppressed.
//! Control lines come before the events of the same flush: those before the line would be stored only to be swept.
//!
//! An anonymous id that is linked to other users too (a shared device) is kept away only up to the request, and their links stay.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use chrono::{DateTime, Utc};
use serde_json::json;
use shared::domain::control::{Control, Erase, Request};
use shared::domain::tombstone::{KeyHash, Salt};
use shared::domain::user_key::{KeyKind, UserKey};
use shared::store::tombstones;
use sqlx::{Executor, PgConnection};
use uuid::Uuid;

use super::{Context, Incoming, walk};
use crate::jobs::partitions::{Until, become_owner};
use crate::own::buffer::Line;

/// A control line with where it came from.
#[derive(Debug)]
pub struct Order<'a> {
    /// Where it came from.
    pub line: &'a Line,
    /// What it says.
    pub control: Control,
}

impl Order<'_> {
    /// Where it came from, as `(seq, partition, position)`.
    #[must_use]
    pub fn place(&self) -> (i64, i32, i32) {
        (self.line.seq, self.line.partition, self.line.position)
    }
}

/// Carries out control lines in order. One that was carried out before, and comes again in a replay, does nothing.
pub async fn carry_out(
    transaction: &mut PgConnection,
    orders: &[Order<'_>],
    events: &[Incoming<'_>],
    salt: &Salt,
    context: &Context<'_>,
) -> Result<(), sqlx::Error> {
    for order in orders {
        let known = "/* controls.carry_out */ SELECT EXISTS (SELECT FROM erasures WHERE id = $1)";
        if sqlx::query_scalar(known).bind(order.control.request().id).fetch_one(&mut *transaction).await? {
            continue;
        }
        match &order.control {
            Control::Erase(request) => {
                let links = links_before(events, order, context);
                erase(transaction, request, &links, salt).await?;
            }
            Control::RenewConsent(request) => renew(transaction, request, salt).await?,
        }
    }
    Ok(())
}

/// Anonymous ids that earlier events of this flush link to the key, and the database does not know yet.
fn links_before<'a>(events: &'a [Incoming<'a>], order: &Order<'_>, context: &Context<'_>) -> Vec<&'a str> {
    let key = order.control.request().key();
    let before = events.iter().filter(|incoming| {
        incoming.line.partition == order.line.partition
            && (incoming.line.seq, incoming.line.position) < (order.line.seq, order.line.position)
            && incoming.event.user_key(context.placeholders) == Some(key)
    });
    let links = before.filter_map(|incoming| walk::link(&incoming.event, context.placeholders));
    links.filter(|_| key.kind == KeyKind::User).map(|(_, anonymous_id)| anonymous_id).collect()
}

async fn erase(transaction: &mut PgConnection, erase: &Erase, links: &[&str], salt: &Salt) -> Result<(), sqlx::Error> {
    let request = &erase.request;
    let linked: Vec<(String, bool)> = match request.kind {
        KeyKind::Anonymous => Vec::new(),
        KeyKind::User => {
            sqlx::query_as(
                "/* controls.erase.identity_links */ SELECT a.id, EXISTS (SELECT FROM identity_links o WHERE o.anonymous_id = a.id AND o.user_id <> $1)
                   FROM (SELECT anonymous_id AS id FROM identity_links WHERE user_id = $1 UNION SELECT unnest($2::text[])) AS a",
            )
            .bind(&request.key)
            .bind(links)
            .fetch_all(&mut *transaction)
            .await?
        }
    };
    let named_by: Vec<String> = sqlx::query_scalar(
        "/* controls.erase.identity_links.2 */ SELECT DISTINCT user_id FROM identity_links WHERE anonymous_id = $1",
    )
    .bind(&request.key)
    .fetch_all(&mut *transaction)
    .await?;
    let visitors = linked.iter().map(|(id, shared)| (UserKey::anonymous(id), *shared));
    let keys: Vec<(UserKey<'_>, bool)> = std::iter::once((request.key(), false)).chain(visitors).collect();
    raise_tombstones(transaction, request, &keys, salt).await?;
    forget_profile(transaction, request, &linked).await?;
    note(transaction, erase, &keys, &named_by, salt).await
}

async fn raise_tombstones(
    transaction: &mut PgConnection,
    request: &Request,
    keys: &[(UserKey<'_>, bool)],
    salt: &Salt,
) -> Result<(), sqlx::Error> {
    let hashes: Vec<KeyHash> = keys.iter().map(|(key, _)| salt.hash(*key)).collect();
    sqlx::query(
        "/* controls.raise_tombstones */ INSERT INTO tombstones AS t (key_hash, erasure_id, erased_at, renewed_at)
         SELECT key_hash, $2, $3, CASE WHEN shared THEN $3 END FROM unnest($1::bytea[], $4::boolean[]) AS k (key_hash, shared)
          ORDER BY key_hash
         ON CONFLICT (key_hash) DO UPDATE SET
            erasure_id = excluded.erasure_id, erased_at = excluded.erased_at,
            renewed_at = CASE WHEN t.renewed_at IS NOT NULL AND excluded.renewed_at IS NOT NULL
                              THEN greatest(t.renewed_at, excluded.renewed_at) END",
    )
    .bind(tombstones::bytes(&hashes))
    .bind(request.id)
    .bind(request.requested_at)
    .bind(keys.iter().map(|(_, shared)| *shared).collect::<Vec<_>>())
    .execute(transaction)
    .await?;
    Ok(())
}

/// Profile and links go at once: what an identify after a renewal makes anew must not go with them later.
async fn forget_profile(
    transaction: &mut PgConnection,
    request: &Request,
    linked: &[(String, bool)],
) -> Result<(), sqlx::Error> {
    become_owner(transaction, Until::Commit).await?;
    let own: Vec<&str> = linked.iter().filter(|(_, shared)| !shared).map(|(id, _)| id.as_str()).collect();
    let all: Vec<&str> = linked.iter().map(|(id, _)| id.as_str()).collect();
    sqlx::query("/* controls.forget_profile.users */ DELETE FROM users WHERE (kind = $1 AND id = $2) OR (kind = 'anonymous' AND id = ANY($3))")
        .bind(request.kind.as_str())
        .bind(&request.key)
        .bind(all)
        .execute(&mut *transaction)
        .await?;
    sqlx::query(
        "/* controls.forget_profile.identity_links */ DELETE FROM identity_links
          WHERE ($1 = 'user' AND user_id = $2) OR anonymous_id = $2 OR anonymous_id = ANY($3)",
    )
    .bind(request.kind.as_str())
    .bind(&request.key)
    .bind(own)
    .execute(&mut *transaction)
    .await?;
    transaction.execute("/* controls.forget_profile.erasures */ SET LOCAL ROLE NONE").await?;
    Ok(())
}

async fn note(
    transaction: &mut PgConnection,
    erase: &Erase,
    keys: &[(UserKey<'_>, bool)],
    named_by: &[String],
    salt: &Salt,
) -> Result<(), sqlx::Error> {
    let request = &erase.request;
    let task = json!({
        "keys": keys.iter().map(|(key, _)| json!({"kind": key.kind, "id": key.id})).collect::<Vec<_>>(),
        "named_by": named_by,
        "pseudonym": format!("erased-{}", Uuid::new_v4()),
        "secret": Uuid::new_v4(),
    });
    sqlx::query(
        "/* controls.note */ INSERT INTO erasures (id, action, mode, kind, key_hash, linked_keys, keep_properties, requested_at, requested_by, reason,
                               state, task, positions)
         SELECT $1, 'erase', $2, $3, $4, $5, $6, $7, $8, $9, 'sweeping', $10,
                (SELECT coalesce(jsonb_agg(jsonb_build_object('lane', lane, 'stream', stream, 'generation', generation,
                                                              'sequence', processed_to) ORDER BY lane), '[]')
                   FROM (SELECT l.lane, l.stream, l.generation, max(p.last_seq) AS processed_to
                           FROM lanes l JOIN partitions p USING (lane) GROUP BY l.lane) AS l)",
    )
    .bind(request.id)
    .bind(erase.mode.as_str())
    .bind(request.kind.as_str())
    .bind(salt.hash(request.key()).0.to_vec())
    .bind(i32::try_from(keys.len() - 1).unwrap_or(i32::MAX))
    .bind(&erase.keep_properties)
    .bind(request.requested_at)
    .bind(&request.by)
    .bind(&request.reason)
    .bind(task)
    .execute(transaction)
    .await?;
    Ok(())
}

/// Renews consent for a key and everything that was erased together with it.
async fn renew(transaction: &mut PgConnection, request: &Request, salt: &Salt) -> Result<(), sqlx::Error> {
    let hash = salt.hash(request.key());
    // Never before what was suppressed already: the clocks of two doors differ.
    let renewed = sqlx::query(
        "/* controls.renew.tombstones */ UPDATE tombstones SET renewed_at = greatest($2, erased_at, last_received_at)
          WHERE erasure_id IN (SELECT erasure_id FROM tombstones WHERE key_hash = $1) AND renewed_at IS NULL",
    )
    .bind(hash.0.to_vec())
    .bind(request.requested_at)
    .execute(&mut *transaction)
    .await?;
    sqlx::query(
        "/* controls.renew.erasures */ INSERT INTO erasures (id, action, kind, key_hash, requested_at, requested_by, reason, state, counts)
         VALUES ($1, 'renew', $2, $3, $4, $5, $6, 'renewed', $7)",
    )
    .bind(request.id)
    .bind(request.kind.as_str())
    .bind(hash.0.to_vec())
    .bind(request.requested_at)
    .bind(&request.by)
    .bind(&request.reason)
    .bind(json!({"tombstones": renewed.rows_affected()}))
    .execute(transaction)
    .await?;
    Ok(())
}

/// Takes the events out that a tombstone covers, and counts them there. Gives back their places.
pub async fn suppress(
    transaction: &mut PgConnection,
    events: &mut Vec<Incoming<'_>>,
    salt: &Salt,
    context: &Context<'_>,
) -> Result<HashSet<(i64, i32, i32)>, sqlx::Error> {
    let keys: BTreeSet<UserKey<'_>> =
        events.iter().filter_map(|incoming| incoming.event.user_key(context.placeholders)).collect();
    let hashes: BTreeMap<UserKey<'_>, KeyHash> = keys.into_iter().map(|key| (key, salt.hash(key))).collect();
    let asked: Vec<KeyHash> = hashes.values().copied().collect();
    let found = tombstones::read(transaction, &asked).await?;
    if found.is_empty() {
        return Ok(HashSet::new());
    }
    let mut places = HashSet::new();
    let mut counts = BTreeMap::<KeyHash, (i64, DateTime<Utc>)>::new();
    for incoming in events.iter() {
        let event = &incoming.event;
        let hash = event.user_key(context.placeholders).and_then(|key| hashes.get(&key));
        let covered = hash.filter(|hash| found.get(hash).is_some_and(|stone| stone.covers(event.happened_at())));
        if let Some(hash) = covered {
            places.insert(incoming.place());
            let (count, last) = counts.entry(*hash).or_insert((0, event.received_at));
            (*count, *last) = (*count + 1, event.received_at.max(*last));
        }
    }
    events.retain(|incoming| !places.contains(&incoming.place()));
    let hashes: Vec<KeyHash> = counts.keys().copied().collect();
    sqlx::query(
        "/* controls.suppress */ UPDATE tombstones t SET suppressed = t.suppressed + c.count, last_received_at = greatest(t.last_received_at, c.last)
           FROM unnest($1::bytea[], $2::bigint[], $3::timestamptz[]) AS c (key_hash, count, last) WHERE t.key_hash = c.key_hash",
    )
    .bind(tombstones::bytes(&hashes))
    .bind(counts.values().map(|(count, _)| *count).collect::<Vec<_>>())
    .bind(counts.values().map(|(_, last)| *last).collect::<Vec<_>>())
    .execute(transaction)
    .await?;
    Ok(places)
}

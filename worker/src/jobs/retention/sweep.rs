//! Rows of other tables than `events`, each by a rule of its own, once a day and a few at a time. All rules: migrations/README.md.

use std::collections::BTreeMap;

use chrono::{Days, NaiveDate};
use shared::domain::day::oldest_kept;
use sqlx::PgConnection;

use super::Rules;

/// Rows deleted by one statement.
const ROWS_PER_STATEMENT: i64 = 5_000;
/// Older hours of the ledger are summed up.
pub const LEDGER_DAYS: u16 = 400;

/// How long rows are kept, in days.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Periods {
    /// Matches of campaigns that have no cap to count them for.
    pub matches: u16,
    /// Dead letters after they were closed. Open ones stay.
    pub dead_letters: u16,
    /// Changes of documents; the last change of each stays.
    pub changes: u16,
    /// Messages to receivers, after they were taken or given up.
    pub webhooks: u16,
}

/// How many rows went, by table; of `ledger` and `rollups`, how many were summed up.
pub type Swept = BTreeMap<&'static str, i64>;

/// A statement deletes up to `$2` rows from before `$1`, and tells how many.
struct Rule {
    table: &'static str,
    before: NaiveDate,
    statement: &'static str,
}

fn rules(rules: &Rules, today: NaiveDate) -> [Rule; 12] {
    let ago = |days: u16| today.checked_sub_days(Days::new(u64::from(days))).unwrap_or(NaiveDate::MIN);
    let events = oldest_kept(today, rules.limits.days);
    let periods = rules.periods;
    let rule = |table, before, statement| Rule { table, before, statement };
    [
        rule(
            "late_ids",
            events,
            "/* sweep.rules.late_ids */ WITH gone AS (DELETE FROM late_ids WHERE id IN (SELECT id FROM late_ids WHERE received_day < $1 LIMIT $2) RETURNING 1)
             SELECT count(*) FROM gone",
        ),
        rule(
            "duplicates",
            events,
            "/* sweep.rules.duplicates */ WITH gone AS (DELETE FROM duplicates WHERE event_id IN
                             (SELECT event_id FROM duplicates WHERE last_received_at < $1 LIMIT $2) RETURNING 1)
             SELECT count(*) FROM gone",
        ),
        // Events of a held day may still come, and their users are counted already.
        rule(
            "active_users",
            events,
            "/* sweep.rules.active_users */ WITH gone AS (DELETE FROM active_users WHERE (day, user_hash) IN
                             (SELECT day, user_hash FROM active_users a
                               WHERE day < $1 AND NOT EXISTS (SELECT FROM holds h WHERE h.day = a.day) LIMIT $2) RETURNING 1)
             SELECT count(*) FROM gone",
        ),
        // A cap counts all there ever were; goals look back less far than any period that may be set.
        rule(
            "matches",
            ago(periods.matches).min(events),
            "/* sweep.rules.matches */ WITH gone AS (DELETE FROM matches WHERE (event_id, campaign_id) IN
                             (SELECT event_id, campaign_id FROM matches m
                               WHERE coalesce(received_at, matched_at) < $1 AND NOT EXISTS
                                     (SELECT FROM campaigns c WHERE c.id = m.campaign_id
                                         AND coalesce(c.document->'frequency_cap', 'null') <> 'null') LIMIT $2) RETURNING 1)
             SELECT count(*) FROM gone",
        ),
        // With its match: while that is there, it tells that it has converted.
        rule(
            "conversions",
            ago(periods.matches).min(events),
            "/* sweep.rules.conversions */ WITH gone AS (DELETE FROM conversions WHERE (campaign_id, match_event_id) IN
                             (SELECT campaign_id, match_event_id FROM conversions c WHERE converted_at < $1 AND NOT EXISTS
                                     (SELECT FROM matches m WHERE (m.event_id, m.campaign_id) = (c.match_event_id, c.campaign_id))
                               LIMIT $2) RETURNING 1)
             SELECT count(*) FROM gone",
        ),
        // Not while its message is in the stream, where the audit finds it.
        rule(
            "dead_letters",
            ago(periods.dead_letters),
            "/* sweep.rules.dead_letters */ WITH gone AS (DELETE FROM dead_letters WHERE id IN
                             (SELECT d.id FROM dead_letters d JOIN lanes l USING (lane)
                               WHERE coalesce(d.redriven_at, d.discarded_at) < $1 AND d.stream_seq <= l.trimmed_to LIMIT $2)
                           RETURNING partition, date_trunc('hour', received_at, 'UTC') AS hour, events),
                  booked AS (UPDATE ledger l SET letters_dropped = l.letters_dropped + g.events
                               FROM (SELECT partition, hour, sum(events) AS events FROM gone GROUP BY 1, 2) g
                              WHERE (l.partition, l.hour) = (g.partition, g.hour))
             SELECT count(*) FROM gone",
        ),
        rule(
            "changes",
            ago(periods.changes),
            "/* sweep.rules.changes */ WITH gone AS (DELETE FROM changes WHERE id IN
                             (SELECT id FROM changes c WHERE changed_at < $1 AND EXISTS
                                     (SELECT FROM changes n WHERE (n.collection, n.entity_id) = (c.collection, c.entity_id)
                                         AND n.version > c.version) LIMIT $2) RETURNING 1)
             SELECT count(*) FROM gone",
        ),
        rule(
            "webhook_deliveries",
            ago(periods.webhooks),
            "/* sweep.rules.webhook_deliveries */ WITH gone AS (DELETE FROM webhook_deliveries WHERE position IN
                             (SELECT position FROM webhook_deliveries WHERE state <> 'pending' AND finished_at < $1 LIMIT $2) RETURNING 1)
             SELECT count(*) FROM gone",
        ),
        // What was never sent, because nobody resumed: its event is gone.
        rule(
            "webhook_deliveries",
            events,
            "/* sweep.rules.webhook_deliveries.2 */ WITH gone AS (DELETE FROM webhook_deliveries WHERE position IN
                             (SELECT position FROM webhook_deliveries WHERE created_at < $1 LIMIT $2) RETURNING 1)
             SELECT count(*) FROM gone",
        ),
        // With its secret, when no campaign came back for it and nothing is left of it.
        rule(
            "webhook_endpoints",
            ago(periods.webhooks),
            "/* sweep.rules.webhook_endpoints */ WITH gone AS (DELETE FROM webhook_endpoints WHERE campaign_id IN
                             (SELECT campaign_id FROM webhook_endpoints e WHERE webhook IS NULL AND changed_at < $1 AND NOT EXISTS
                                     (SELECT FROM webhook_deliveries d WHERE d.campaign_id = e.campaign_id) LIMIT $2) RETURNING 1)
             SELECT count(*) FROM gone",
        ),
        // Hours whose letters are still there are compared with them.
        rule(
            "ledger",
            ago(LEDGER_DAYS),
            "/* sweep.rules.ledger */ WITH old AS (DELETE FROM ledger WHERE (partition, hour) IN
                            (SELECT partition, hour FROM ledger WHERE hour < $1 AND hour > 'epoch' AND dead = letters_dropped LIMIT $2)
                          RETURNING *),
                  summed AS (INSERT INTO ledger AS l (partition, hour, read, stored, duplicate, dead, suppressed, settled, first_seq, letters_dropped)
                             SELECT partition, 'epoch', sum(read), sum(stored), sum(duplicate), sum(dead), sum(suppressed), sum(settled),
                                    min(first_seq), sum(letters_dropped) FROM old GROUP BY partition
                             ON CONFLICT (partition, hour) DO UPDATE SET
                                read = l.read + excluded.read, stored = l.stored + excluded.stored,
                                duplicate = l.duplicate + excluded.duplicate, dead = l.dead + excluded.dead,
                                suppressed = l.suppressed + excluded.suppressed, settled = l.settled + excluded.settled,
                                first_seq = least(l.first_seq, excluded.first_seq),
                                letters_dropped = l.letters_dropped + excluded.letters_dropped)
             SELECT count(*) FROM old",
        ),
        rule(
            "rollups",
            events,
            "/* sweep.rules.rollups */ WITH old AS (DELETE FROM rollups WHERE (day, what, metric, partition) IN
                            (SELECT day, what, metric, partition FROM rollups WHERE day < $1 AND partition <> -1 LIMIT $2)
                          RETURNING *),
                  summed AS (INSERT INTO rollups AS r (day, what, metric, partition, count)
                             SELECT day, what, metric, -1, sum(count) FROM old GROUP BY 1, 2, 3
                             ON CONFLICT (day, what, metric, partition) DO UPDATE SET count = r.count + excluded.count)
             SELECT count(*) FROM old",
        ),
    ]
}

/// Applies every rule, unless that was done on `today` already. The connection acts as the owner of `events`.
pub async fn sweep(connection: &mut PgConnection, kept: &Rules, today: NaiveDate) -> Result<Swept, sqlx::Error> {
    let mut swept = Swept::new();
    let last: Option<NaiveDate> =
        sqlx::query_scalar("/* sweep.retention */ SELECT swept_on FROM retention").fetch_one(&mut *connection).await?;
    if last == Some(today) {
        return Ok(swept);
    }
    for rule in rules(kept, today) {
        let mut all = 0;
        loop {
            let gone: i64 = sqlx::query_scalar(rule.statement)
                .bind(rule.before)
                .bind(ROWS_PER_STATEMENT)
                .fetch_one(&mut *connection)
                .await?;
            all += gone;
            if gone < ROWS_PER_STATEMENT {
                break;
            }
        }
        if all > 0 {
            tracing::info!(table = rule.table, rows = all, "expired rows dropped or summed up");
            *swept.entry(rule.table).or_default() += all;
        }
    }
    sqlx::query("/* sweep.retention.2 */ UPDATE retention SET swept_on = $1").bind(today).execute(connection).await?;
    Ok(swept)
}

//! The daily sums once more, counted from the rows themselves. Shares no code with the pipeline: names, spellings and user keys are
//! written down here a second time.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use sqlx::PgPool;

/// `(day, what, metric)` with its sum.
pub type Sums = BTreeMap<(NaiveDate, String, String), i64>;

const RECOUNT: &str = r#"
    WITH named (event, what, alone) AS (VALUES
            ('campaign_viewed', 'impressions', true), ('campaign_impression', 'impressions', true), ('nudge_impression', 'impressions', true),
            ('NINJA_EXPERIENCE_OPEN', 'impressions', true), ('impression', 'impressions', false), ('story_opened', 'impressions', false),
            ('campaign_clicked', 'clicks', true), ('nudge_click', 'clicks', true), ('NINJA_COMPONENT_CTA_CLICK', 'clicks', true),
            ('click', 'clicks', false), ('campaign_dismissed', 'dismissals', true), ('nudge_dismiss', 'dismissals', true),
            ('NINJA_EXPERIENCE_DISMISS', 'dismissals', true), ('story_closed', 'dismissals', false),
            ('campaign_converted', 'conversions', true), ('nudge_conversion', 'conversions', true), ('conversion', 'conversions', false)),
        spelt (key, place) AS (VALUES ('campaign_id', 1), ('campaignId', 2), ('campaign', 3), ('CAMPAIGN_ID', 4), ('nudgeId', 5)),
        reported AS (
            SELECT e.day, n.what, n.alone,
                   (SELECT btrim(e.properties ->> key) FROM spelt
                     WHERE jsonb_typeof(e.properties -> key) IN ('string', 'number') AND btrim(e.properties ->> key) <> ''
                     ORDER BY place LIMIT 1) AS campaign
              FROM events e JOIN named n USING (event) WHERE e.type = 'track'),
        present AS (
            SELECT DISTINCT day, CASE WHEN user_id NOT IN ('', 'anonymous') THEN 'u ' || user_id
                                      WHEN anonymous_id NOT IN ('', 'anonymous') THEN 'a ' || anonymous_id END AS somebody FROM events)
    SELECT day, 'events', type, count(*) FROM events GROUP BY 1, 3
    UNION ALL SELECT day, 'names', coalesce(event, ''), count(*) FROM events WHERE type IN ('track', 'page', 'screen') GROUP BY 1, 3
    UNION ALL SELECT day, 'shown', campaign_id, count(*) FROM matches WHERE disposition = 'show' GROUP BY 1, 3
    UNION ALL SELECT day, 'held_out', campaign_id, count(*) FROM matches WHERE disposition = 'hold_out' GROUP BY 1, 3
    UNION ALL SELECT day, 'converted', campaign_id, count(*) FROM conversions GROUP BY 1, 3
    UNION ALL SELECT day, what, coalesce(campaign, ''), count(*) FROM reported WHERE alone OR campaign IS NOT NULL GROUP BY 1, 2, 3
    UNION ALL SELECT day, 'active_users', '', count(*) FROM present WHERE somebody IS NOT NULL GROUP BY 1"#;

/// As the rows say.
pub async fn recounted(pool: &PgPool) -> Sums {
    read(pool, RECOUNT).await
}

/// As the roll-ups say.
pub async fn rolled_up(pool: &PgPool) -> Sums {
    read(pool, "SELECT day, what, metric, sum(count)::bigint FROM rollups GROUP BY 1, 2, 3").await
}

async fn read(pool: &PgPool, query: &str) -> Sums {
    let rows: Vec<(NaiveDate, String, String, i64)> =
        sqlx::query_as(query).fetch_all(pool).await.unwrap_or_else(|e| panic!("{query}: {e}"));
    rows.into_iter().map(|(day, what, metric, sum)| ((day, what, metric), sum)).collect()
}

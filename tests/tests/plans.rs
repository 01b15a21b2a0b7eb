//! Lists stay quick however many events there are: each reads few partitions and few rows, as PostgreSQL's own log of executed plans
//! tells. Seeded with `PLANS_ROWS` events over the whole retention (100,000; before a release 2,000,000).

use serde_json::Value;
use sqlx::PgPool;
use tests::client::Client;
use tests::pipeline::Setup;
use tests::plans::{Plan, explain_all, logged};
use tests::services::PrivatePostgres;
use worker::jobs::{partitions, today};

const DAYS: i32 = 90;
/// Partitions that one statement of a list may look into: those of a few days around its page.
const MOST_PARTITIONS: usize = 16;
/// Rows that one statement of a list may look at: what is counted for `total`, and a page.
const MOST_ROWS: u64 = 12_000;

fn rows() -> i64 {
    std::env::var("PLANS_ROWS").ok().map_or(100_000, |rows| rows.parse().expect("PLANS_ROWS is a number"))
}

/// Events of 5,000 users and one busy one, evenly over the retention, one kind of ten with another name; and everything around them.
async fn seed(pool: &PgPool) {
    let today = today(pool).await.unwrap();
    for back in 0..=DAYS {
        partitions::ensure(pool, today - chrono::Days::new(back.unsigned_abs().into())).await.unwrap();
    }
    let statements = [
        r#"INSERT INTO events (day, id, type, user_id, event, "timestamp", received_at, source, properties)
           SELECT at::date, gen_random_uuid(), CASE WHEN n % 50 = 0 THEN 'identify' ELSE 'track' END,
                  CASE WHEN n % 20 = 0 THEN 'busy' ELSE 'user-' || n % 5000 END,
                  CASE WHEN n % 10 = 0 THEN 'seldom' ELSE 'often' END, at, at, 'web', jsonb_build_object('n', n)
             FROM (SELECT n, date_trunc('day', now()) - n * interval '90 days' / $1 + interval '1 hour' AS at
                     FROM generate_series(0, $1 - 1) AS n) AS made"#,
        "INSERT INTO users (kind, id, traits) SELECT 'user', 'user-' || n, '{}' FROM generate_series(0, $1 / 10) AS n",
        "INSERT INTO dead_letters (lane, stream_seq, partition, position, reason, payload, received_at, user_id)
         SELECT 0, n, 0, 0, 'seeded', 'x', now(), 'user-' || n % 5000 FROM generate_series(1, $1 / 20) AS n",
        "INSERT INTO matches (event_id, campaign_id, campaign_version, day, user_kind, user_id, received_at)
         SELECT gen_random_uuid(), 'c', 1, now(), 'user', 'user-' || n % 5000, now() FROM generate_series(1, $1 / 10) AS n",
    ];
    for statement in statements {
        sqlx::query(statement).bind(rows()).execute(pool).await.unwrap_or_else(|e| panic!("{statement}: {e}"));
    }
    sqlx::query("ANALYZE").execute(pool).await.unwrap();
}

async fn get(admin: &Client, path: &str) -> Value {
    let answer = admin.get(path).await.unwrap();
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    answer.json()
}

/// What was done for a request.
async fn plans_of(postgres: &PrivatePostgres, admin: &Client, path: &str) -> (Value, Vec<Plan>) {
    let from = postgres.log().len();
    let answer = get(admin, path).await;
    let plans = logged(postgres, "ingest", from);
    // Not what other tasks of the program ask beside it.
    let asked = ["events", "users", "dead_letters", "matches", "identity_links"];
    let ours = |plan: &Plan| asked.iter().any(|table| plan.text.contains(&format!("FROM {table}")));
    let plans: Vec<Plan> = plans.into_iter().filter(ours).collect();
    assert!(!plans.is_empty(), "{path}: nothing was logged");
    (answer, plans)
}

fn is_small(plan: &Plan) -> bool {
    let partitions = plan.tables.iter().filter(|table| table.starts_with("events_")).count();
    partitions <= MOST_PARTITIONS && plan.rows <= MOST_ROWS
}

#[tokio::test]
async fn no_list_reads_all_partitions_or_many_rows() {
    let postgres = PrivatePostgres::start();
    let mut pipeline = Setup::default().postgres(&postgres).start().await;
    seed(&pipeline.database.pool).await;
    explain_all(&pipeline.database.pool).await;
    let ingest = &mut pipeline.ingests[0];
    assert!(ingest.stop().await.success());
    ingest.start_again();
    ingest.ready().await;
    let admin = pipeline.admin();

    let first = get(&admin, "/v1/admin/events").await;
    let cursor = first["next_cursor"].as_str().unwrap();
    let at = |days: i64| (chrono::Utc::now() - chrono::TimeDelta::days(days)).format("%Y-%m-%dT00:00:00Z").to_string();
    let lists = [
        "/v1/admin/events".to_owned(),
        format!("/v1/admin/events?cursor={cursor}"),
        format!("/v1/admin/events?to={}", at(45)),
        format!("/v1/admin/events?from={}&to={}", at(60), at(58)),
        "/v1/admin/events?event=often".to_owned(),
        "/v1/admin/events?type=track&limit=1000".to_owned(),
        "/v1/admin/events?source=web&offset=500".to_owned(),
        format!("/v1/admin/events?user_id=busy&from={}", at(5)),
        "/v1/admin/users".to_owned(),
        "/v1/admin/users?q=user-77".to_owned(),
        "/v1/admin/users/busy".to_owned(),
        "/v1/admin/dead-letters".to_owned(),
    ];
    for path in &lists {
        let (answer, plans) = plans_of(&postgres, &admin, path).await;
        let listed = ["events", "users", "dead_letters", "timeline"].iter().any(|list| {
            let list = &answer[*list];
            list.as_array().or(list["events"].as_array()).is_some_and(|rows| !rows.is_empty())
        });
        assert!(listed, "{path} lists nothing: {answer}");
        for plan in plans {
            assert!(is_small(&plan), "{path}: {} rows of {:?}\n{}", plan.rows, plan.tables, plan.text);
        }
    }
    // What is nowhere must be looked for everywhere: so the check above can fail.
    let (_, plans) = plans_of(&postgres, &admin, "/v1/admin/events?event=nowhere").await;
    assert!(plans.iter().any(|plan| !is_small(plan)), "{plans:?}");
}

/// A year of sums: a thousand event names a day, and a few campaigns.
async fn seed_sums(pool: &PgPool) {
    let statements = [
        "INSERT INTO rollups SELECT current_date - d, 'names', 'name ' || n, -1, 1 FROM generate_series(0, 364) d, generate_series(1, 1000) n",
        "INSERT INTO rollups SELECT current_date - d, what, 'c-' || n, -1, 1
           FROM generate_series(0, 364) d, unnest(ARRAY['shown', 'impressions', 'clicks', 'conversions']) what, generate_series(1, 5) n",
        "INSERT INTO campaigns (id, status, document) VALUES ('c-1', 'active', '{\"name\": \"c\", \"rules\": []}')",
        "ANALYZE",
    ];
    for statement in statements {
        sqlx::query(statement).execute(pool).await.unwrap_or_else(|e| panic!("{statement}: {e}"));
    }
}

#[tokio::test]
async fn figures_are_read_from_sums_alone_and_without_all_the_names() {
    let postgres = PrivatePostgres::start();
    let mut pipeline = Setup::default().workers(0).postgres(&postgres).start().await;
    seed_sums(&pipeline.database.pool).await;
    explain_all(&pipeline.database.pool).await;
    let ingest = &mut pipeline.ingests[0];
    assert!(ingest.stop().await.success());
    ingest.start_again();
    ingest.ready().await;
    let admin = pipeline.admin();
    let plans = async |path: &str| -> (Value, Vec<Plan>) {
        let from = postgres.log().len();
        let answer = get(&admin, path).await;
        let plans = logged(&postgres, "ingest", from).into_iter();
        let plans: Vec<Plan> = plans.filter(|plan| plan.text.contains("FROM rollups")).collect();
        assert!(!plans.is_empty(), "{path}: nothing was logged");
        (answer, plans)
    };
    let year = format!("from={}", chrono::Utc::now().date_naive() - chrono::Days::new(364));
    // All that is counted by campaign is 7,300 rows; with the names there are 372,300.
    for (path, most, impressions) in [
        ("/v1/analytics/overview".to_owned(), 7_300, "/impressions"),
        ("/v1/analytics/campaigns/c-1".to_owned(), 1_460, "/impressions"),
        ("/v1/analytics/daily".to_owned(), 600, "/daily/0/impressions"),
        (format!("/v1/analytics/daily?{year}"), 7_300, "/daily/364/impressions"),
    ] {
        let (answer, plans) = plans(&path).await;
        let shown = answer.pointer(impressions).and_then(Value::as_i64);
        assert!(shown.is_some_and(|shown| shown > 0), "{path}: {answer}");
        for plan in plans {
            let tables: Vec<&str> = plan.tables.iter().map(String::as_str).collect();
            assert!(
                tables == ["rollups"] && plan.rows <= most,
                "{path}: {} rows of {tables:?}\n{}",
                plan.rows,
                plan.text
            );
        }
    }
    // Where names are asked for they are read: so the check above can fail.
    let (answer, plans) = plans(&format!("/v1/analytics/events?{year}&limit=10")).await;
    assert_eq!((answer["events"].as_array().unwrap().len(), &answer["total"]), (10, &Value::from(365_000)));
    assert!(plans.iter().any(|plan| plan.rows >= 365_000), "{plans:?}");
}

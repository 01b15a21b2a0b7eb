//! What dashboards show is what is stored: through the real programs, against a recount of the rows.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use serde_json::{Value, json};
use tests::days::{ago, today};
use tests::eventually::{equal, eventually};
use tests::pipeline::{Pipeline, Setup};
use tests::program::run;
use tests::recount::{Sums, recounted, rolled_up};

const GOAL: &str = "with-goal";
const PLAIN: &str = "plain";

fn setup() -> Setup {
    let goal = json!({"id": GOAL, "name": "With a goal", "status": "active", "trigger": "cart_viewed", "rules": [],
                      "hold_out_percentage": 50, "goal": {"event": "bought"}});
    let plain = json!({"id": PLAIN, "name": "Plain", "status": "paused", "trigger": "cart_viewed", "rules": []});
    // Stored, and without effect: it has no page of its own to be missed.
    let broken = json!({"id": "broken", "name": 7, "status": "active", "trigger": [], "rules": "none"});
    Setup::default().campaign(goal).campaign(plain).campaign(broken)
}

async fn got(pipeline: &Pipeline, path: &str) -> Value {
    let answer = pipeline.admin().get(path).await.unwrap();
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    answer.json()
}

async fn send(pipeline: &Pipeline, batch: &[Value]) {
    pipeline.client().accepted("/v1/batch", &json!({"batch": batch})).await;
}

fn track(user: &str, event: &str, properties: &Value, id: &str) -> Value {
    json!({"type": "track", "userId": user, "event": event, "properties": properties, "messageId": id})
}

/// What the API should say of these sums: the same figures, made of the recount.
struct Expected<'a>(&'a Sums);

impl Expected<'_> {
    fn sum(&self, wanted: impl Fn(NaiveDate, &str, &str) -> bool) -> i64 {
        self.0.iter().filter(|((day, what, metric), _)| wanted(*day, what, metric)).map(|(_, count)| count).sum()
    }

    fn counts(&self, wanted: impl Fn(NaiveDate, &str) -> bool) -> Value {
        let of = |name: &str| self.sum(|day, what, metric| what == name && wanted(day, metric));
        let conversions = self.sum(|day, what, metric| {
            wanted(day, metric) && what == if metric == GOAL { "converted" } else { "conversions" }
        });
        json!({"matches": of("shown"), "impressions": of("impressions"), "clicks": of("clicks"),
               "dismissals": of("dismissals"), "conversions": conversions})
    }

    fn overview(&self) -> Value {
        let mut expected = self.counts(|_, _| true);
        expected["totalEvents"] = self.sum(|_, what, _| what == "events").into();
        expected
    }

    fn campaign(&self, id: &str) -> Value {
        let mut expected = self.counts(|_, metric| metric == id);
        expected["held_out"] = self.sum(|_, what, metric| what == "held_out" && metric == id).into();
        expected
    }

    fn daily(&self, campaign: Option<&str>, from: NaiveDate) -> Vec<Value> {
        let days = from.iter_days().take_while(|day| *day <= today());
        let day = |day: NaiveDate| {
            let mut expected = self.counts(|d, metric| d == day && campaign.is_none_or(|id| id == metric));
            expected["date"] = day.to_string().into();
            if campaign.is_none() {
                let of = |name: &str| self.sum(|d, what, _| d == day && what == name);
                expected["events"] = of("events").into();
                expected["active_users"] = of("active_users").into();
            }
            expected
        };
        days.map(day).collect()
    }

    fn names(&self) -> BTreeMap<&str, i64> {
        let mut names = BTreeMap::new();
        for ((_, what, metric), count) in self.0 {
            if what == "names" && !metric.is_empty() {
                *names.entry(metric.as_str()).or_default() += count;
            }
        }
        names
    }
}

/// Everything that differs between what the API says and a recount.
async fn differences(pipeline: &Pipeline, sums: &Sums) -> Vec<String> {
    let expected = Expected(sums);
    let from = ago(89);
    let period = format!("from={from}&to={}", today());
    let mut found = Vec::new();
    let mut compare = |what: String, said: &Value, expected: Value| {
        for (field, value) in expected.as_object().unwrap() {
            if said[field] != *value {
                found.push(format!("{what}: {field} is {}, and should be {value}", said[field]));
            }
        }
    };
    compare("overview".to_owned(), &got(pipeline, "/v1/analytics/overview").await, expected.overview());
    for id in [GOAL, PLAIN] {
        let all = got(pipeline, &format!("/v1/analytics/campaigns/{id}")).await;
        compare(id.to_owned(), &all, expected.campaign(id));
        let said = got(pipeline, &format!("/v1/analytics/campaigns/{id}?{period}")).await;
        compare(format!("{id} in its days"), &said, expected.campaign(id));
        compare(
            format!("{id}, daily"),
            &json!({"daily": said["daily"]}),
            json!({"daily": expected.daily(Some(id), from)}),
        );
        let steps: Vec<&Value> = all["funnel"].as_array().unwrap().iter().map(|step| &step["count"]).collect();
        let counts = expected.campaign(id);
        let funnel = ["matches", "impressions", "clicks", "conversions"].map(|step| counts[step].clone());
        compare(format!("{id}, funnel"), &json!({"funnel": steps}), json!({"funnel": funnel}));
    }
    let said = got(pipeline, &format!("/v1/analytics/daily?{period}")).await;
    compare("daily".to_owned(), &said, json!({"daily": expected.daily(None, from)}));
    let said = got(pipeline, &format!("/v1/analytics/events?{period}&limit=1000")).await;
    let names: BTreeMap<&str, i64> = said["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| (event["name"].as_str().unwrap(), event["count"].as_i64().unwrap()))
        .collect();
    compare("names".to_owned(), &json!({"names": names}), json!({"names": expected.names()}));
    found
}

/// A few thousand events as they come: of users, visitors and strangers, late, twice, with reports of all sorts.
fn load() -> Vec<Value> {
    let names = [
        "cart_viewed",
        "campaign_viewed",
        "impression",
        "click",
        "cart_viewed",
        "campaign_clicked",
        "bought",
        "campaign_dismissed",
        "story_opened",
        "conversion",
        "page",
        "nudge_click",
        "campaign_converted",
        "identify",
        "NINJA_EXPERIENCE_OPEN",
        "bought",
    ];
    let ids = [json!(GOAL), json!(PLAIN), json!("nobody's"), json!(17), Value::Null];
    let keys = ["campaign_id", "campaignId", "campaign", "CAMPAIGN_ID", "nudgeId"];
    let event = |n: usize| {
        let name = names[n % names.len()];
        let mut event = json!({"type": "track", "event": name, "messageId": format!("m-{n}"),
                               "properties": {keys[n % 7 % 5]: ids[n / 16 % ids.len()], "n": n}});
        match name {
            "identify" => event = json!({"type": "identify", "traits": {"n": n}, "messageId": format!("m-{n}")}),
            "page" => event = json!({"type": "page", "name": "Home", "messageId": format!("m-{n}")}),
            _ => {}
        }
        match n % 9 {
            0 => event["anonymousId"] = format!("visitor-{}", n / 9 % 20).into(),
            1 => {
                event["userId"] = "anonymous".into();
                event["anonymousId"] = format!("visitor-{}", n / 9 % 40).into();
            }
            2 => event["userId"] = "anonymous".into(),
            _ => event["userId"] = format!("user-{}", n / 16 % 60).into(),
        }
        if n.is_multiple_of(5) {
            event["timestamp"] = format!("{}T12:00:00Z", ago(u64::try_from(n).unwrap() / 5 % 60)).into();
        }
        event
    };
    (0..3_200).map(event).collect()
}

#[tokio::test]
async fn every_figure_equals_a_recount_with_killed_workers_and_replays_and_outlives_the_rows() {
    let mut pipeline = setup().workers(2).start().await;
    let events = load();
    for (n, batch) in events.chunks(100).enumerate() {
        send(&pipeline, batch).await;
        if n % 4 == 3 {
            // A resend, of which a part was never sent before.
            send(&pipeline, &events[n * 100 - 50..n * 100 + 100]).await;
            let worker = &mut pipeline.workers[n / 4 % 2];
            worker.kill();
            worker.start_again();
        }
    }
    pipeline.drained().await;
    let pool = pipeline.database.pool.clone();
    let counted = recounted(&pool).await;
    assert_eq!(rolled_up(&pool).await, counted);
    assert_eq!(differences(&pipeline, &counted).await, Vec::<String>::new());
    for what in ["shown", "held_out", "converted", "impressions", "clicks", "dismissals", "conversions", "active_users"]
    {
        assert!(counted.keys().any(|(_, counted, _)| counted == what), "the load makes no {what}");
    }
    let seen = counted.keys().filter(|(_, what, _)| what == "active_users").count();
    assert!(seen > 50, "the load reaches only {seen} days");

    // A sum that is off by one is found, in whatever it appears.
    let mut wrong = counted.clone();
    *wrong.get_mut(&(today(), "impressions".to_owned(), PLAIN.to_owned())).unwrap() += 1;
    let found = differences(&pipeline, &wrong).await;
    for part in ["overview", PLAIN, "plain in its days", "plain, daily", "plain, funnel", "daily"] {
        assert!(found.iter().any(|line| line.starts_with(&format!("{part}: "))), "{part}: {found:?}");
    }

    // Everything once more, as if positions had been lost; then the old days go.
    pipeline.workers.iter_mut().for_each(tests::program::Program::kill);
    for statement in [
        "UPDATE partitions SET last_seq = 0, last_batch_id = NULL, owner = NULL",
        "UPDATE retention SET swept_on = NULL",
    ] {
        sqlx::query(statement).execute(&pool).await.unwrap();
    }
    for worker in &mut pipeline.workers {
        worker.set("RETENTION_DAYS", "30");
        worker.start_again();
    }
    pipeline.ready().await;
    pipeline.drained().await;
    eventually("the old days are gone, and with them who was there", async || {
        let old = format!("SELECT count(*) FROM events WHERE day < '{}'", ago(32));
        let users = format!("SELECT count(*) FROM active_users WHERE day < '{}'", ago(32));
        equal((pipeline.database.number(&old).await, pipeline.database.number(&users).await), (0, 0))
    })
    .await;
    assert_ne!(recounted(&pool).await, counted, "nothing is gone");
    assert_eq!(rolled_up(&pool).await, counted);
    assert_eq!(differences(&pipeline, &counted).await, Vec::<String>::new());
}

#[tokio::test]
async fn days_from_before_the_upgrade_are_counted_by_a_command_while_events_come_in() {
    let mut pipeline = setup().workers(2).start().await;
    let events = load();
    for batch in events[..2_000].chunks(200) {
        send(&pipeline, batch).await;
    }
    pipeline.drained().await;
    // As a release leaves it that does not count these.
    let pool = pipeline.database.pool.clone();
    let uncounted =
        "DELETE FROM rollups WHERE what IN ('impressions', 'clicks', 'dismissals', 'conversions', 'active_users')";
    for statement in [uncounted, "DELETE FROM active_users"] {
        sqlx::query(statement).execute(&pool).await.unwrap();
    }
    for worker in &mut pipeline.workers {
        worker.kill();
        worker.start_again();
    }
    pipeline.ready().await;
    // Late ones, of those days, by users of those days.
    for batch in events[2_000..2_400].chunks(100) {
        send(&pipeline, batch).await;
    }
    pipeline.drained().await;
    assert_ne!(rolled_up(&pool).await, recounted(&pool).await);
    let recount = async || {
        let to = today().to_string();
        let done = run("worker", &["recount-sums", "--to", &to], &pipeline.environment_of("worker")).await;
        assert!(done.status.success() && done.text.contains("days up to"), "{}", done.text);
    };
    let sending = async {
        for batch in events[2_400..2_800].chunks(100) {
            // Of old days, so that today's, which is counted last, can be.
            let old: Vec<Value> = batch.iter().filter(|event| event["timestamp"].is_string()).cloned().collect();
            send(&pipeline, &old).await;
        }
    };
    tokio::join!(recount(), sending);
    pipeline.drained().await;
    let counted = recounted(&pool).await;
    assert_eq!(rolled_up(&pool).await, counted);
    recount().await;
    assert_eq!(rolled_up(&pool).await, counted);
    // Who was counted then is not counted again.
    send(&pipeline, &events[2_800..]).await;
    pipeline.drained().await;
    assert_eq!(rolled_up(&pool).await, recounted(&pool).await);

    let tomorrow = (today() + chrono::Days::new(1)).to_string();
    let without = run("worker", &["recount-sums", "--from", &tomorrow], &pipeline.environment_of("worker")).await;
    assert!(without.text.contains("0 days up to"), "by default up to the upgrade, which was today: {}", without.text);
}

#[tokio::test]
async fn names_and_spellings_of_every_sdk_count_and_the_old_fields_are_kept() {
    let pipeline = setup().start().await;
    let reports = [
        ("campaign_viewed", json!({"campaign_id": PLAIN})),
        ("campaign_impression", json!({"campaign_id": PLAIN})),
        ("impression", json!({"nudgeId": "n-1", "campaignId": PLAIN})),
        ("impression", json!({"nudgeId": PLAIN})),
        ("story_opened", json!({"campaign_id": PLAIN})),
        ("nudge_impression", json!({"campaign": PLAIN})),
        ("NINJA_EXPERIENCE_OPEN", json!({"CAMPAIGN_ID": PLAIN})),
        // Of nobody knows which campaign: only in the overview.
        ("campaign_viewed", json!({})),
        ("campaign_viewed", json!({"campaign_id": "gone"})),
        // Words of the app's own.
        ("impression", json!({"of": "a banner"})),
        ("story_opened", json!({})),
        ("click", json!({"x": 7})),
        ("conversion", json!({"campaign_id": null})),
        ("campaign_clicked", json!({"campaign_id": PLAIN, "button_text": null})),
        ("click", json!({"campaignId": PLAIN})),
        ("campaign_dismissed", json!({"campaign_id": PLAIN})),
        ("story_closed", json!({"campaign_id": PLAIN})),
        ("nudge_dismiss", json!({"campaign_id": PLAIN})),
        ("campaign_converted", json!({"campaign_id": PLAIN})),
        // This one has a goal, which decides.
        ("campaign_converted", json!({"campaign_id": GOAL})),
    ];
    let batch: Vec<Value> = reports
        .iter()
        .enumerate()
        .map(|(n, (name, properties))| track("u", name, properties, &n.to_string()))
        .collect();
    send(&pipeline, &batch).await;
    let second = json!({"userId": "v", "action": "click", "metadata": {"campaignId": PLAIN, "nudgeId": "n-1"}});
    pipeline.client().accepted("/api/v1/nudge/track", &second).await;
    pipeline.client().accepted("/v1/identify", &json!({"userId": "u", "traits": {}})).await;
    pipeline.drained().await;
    assert_eq!(rolled_up(&pipeline.database.pool).await, recounted(&pipeline.database.pool).await);

    let said = got(&pipeline, &format!("/v1/analytics/campaigns/{PLAIN}")).await;
    let expected = json!({"campaign_id": PLAIN, "campaign_name": "Plain", "impressions": 7, "clicks": 3, "conversions": 1, "dismissals": 3,
        "ctr": "42.86", "conversionRate": "33.33", "matches": 0, "held_out": 0, "conversions_are": "reported"});
    expected.as_object().unwrap().iter().for_each(|(field, value)| assert_eq!(said[field], *value, "{field}: {said}"));
    assert_eq!(said["daily"].as_array().unwrap().len(), 30);
    assert_eq!(
        said["funnel"][2],
        json!({"step": "clicks", "count": 3, "rate_of_previous": 3.0 / 7.0, "rate_of_first": 0.0})
    );
    let goal = got(&pipeline, &format!("/v1/analytics/campaigns/{GOAL}")).await;
    assert_eq!((&goal["conversions"], &goal["conversions_are"], &goal["ctr"]), (&json!(0), &json!("goal"), &json!(0)));
    let broken = got(&pipeline, "/v1/analytics/campaigns/broken").await;
    assert_eq!((&broken["impressions"], &broken["conversionRate"]), (&json!(0), &json!(0)));

    let overview = got(&pipeline, "/v1/analytics/overview").await;
    let expected = json!({"totalCampaigns": 3, "activeCampaigns": 2, "totalEvents": 22, "totalUsers": 1, "impressions": 9, "clicks": 3,
        "conversions": 1, "dismissals": 3, "matches": 0, "ctr": "33.33", "conversionRate": "33.33"});
    assert_eq!(overview, expected);
    let events = got(&pipeline, "/v1/analytics/events?limit=1").await;
    assert_eq!(
        (&events["events"], &events["other"], &events["total"]),
        (&json!([{"name": "campaign_viewed", "count": 3}]), &json!(18), &json!(21))
    );

    // The second generation's dashboard.
    let dashboard = got(&pipeline, "/v1/admin/analytics/dashboard").await;
    assert_eq!(
        (&dashboard["activeCampaigns"], &dashboard["totals"]),
        (&json!(2), &json!({"impressions": 9, "clicks": 3, "conversions": 1}))
    );
    let day = json!({"date": today().to_string(), "impressions": 9, "clicks": 3, "conversions": 1});
    assert_eq!(dashboard["daily"].as_array().unwrap().last(), Some(&day));
    let report = got(&pipeline, &format!("/v1/admin/analytics/campaign/{PLAIN}")).await;
    assert_eq!(report, json!({"stats": {"impressions": 7, "clicks": 3, "conversions": 1, "ctr": 42.86}}));

    // A deleted campaign has no page, and stays in the sums of everything.
    assert_eq!(pipeline.admin().delete(&format!("/v1/admin/campaigns/{PLAIN}")).await.unwrap().status, 200);
    let gone = pipeline.admin().get(&format!("/v1/analytics/campaigns/{PLAIN}")).await.unwrap();
    assert_eq!((gone.status, &gone.json()["error"]), (404, &json!("Campaign not found")));
    assert_eq!(got(&pipeline, "/v1/analytics/overview").await["impressions"], 9);
}

#[tokio::test]
async fn only_admins_read_them_and_what_is_asked_wrongly_is_refused() {
    let pipeline = setup().start().await;
    let paths = [
        "/v1/analytics/overview",
        "/v1/analytics/campaigns/plain",
        "/v1/analytics/daily",
        "/v1/analytics/events",
        "/v1/admin/analytics/dashboard",
        "/v1/admin/analytics/campaign/plain",
    ];
    for path in paths {
        assert_eq!(pipeline.client().get(path).await.unwrap().status, 403, "{path}");
        assert_eq!(pipeline.ingests[0].client().get(path).await.unwrap().status, 401, "{path}");
        got(&pipeline, path).await;
    }
    for path in ["/v1/analytics/campaigns/none", "/v1/admin/analytics/campaign/none", "/v1/analytics/campaigns/a%00b"] {
        let answer = pipeline.admin().get(path).await.unwrap();
        assert_eq!((answer.status, &answer.json()["error"]), (404, &json!("Campaign not found")), "{path}");
    }
    for query in ["from=tomorrow", "to=2026-02-30", "from=2026-02-02&to=2026-02-01", "from=2020-01-01&to=2026-01-01"] {
        for path in [
            "/v1/analytics/daily",
            "/v1/analytics/events",
            "/v1/analytics/campaigns/plain",
            "/v1/admin/analytics/dashboard",
        ] {
            let answer = pipeline.admin().get(&format!("{path}?{query}")).await.unwrap();
            assert_eq!((answer.status, &answer.json()["code"]), (400, &json!("invalid_parameter")), "{path}?{query}");
        }
    }
    // Tracking stays where older dashboards have it, with the key of an app.
    pipeline.client().accepted("/v1/analytics/track", &json!({"user_id": "u", "event": "e"})).await;
}

#[tokio::test]
async fn ids_without_end_count_under_one_label_and_campaigns_never_do() {
    let pipeline = setup().start().await;
    let most = i64::try_from(shared::domain::rollup::NAMES_PER_DAY).unwrap();
    let event = |n: i64| track("u", "campaign_viewed", &json!({"campaign_id": format!("c {n}")}), &format!("m-{n}"));
    for batch in 0..3 {
        send(&pipeline, &(0..500).map(|n| event(batch * 500 + n)).collect::<Vec<_>>()).await;
    }
    send(&pipeline, &[track("u", "campaign_viewed", &json!({"campaign_id": PLAIN}), "plain")]).await;
    pipeline.drained().await;
    let number = async |query: &str| pipeline.database.number(query).await;
    assert_eq!(number("SELECT count(*) FROM rollups WHERE what = 'impressions' AND metric LIKE 'c %'").await, most);
    assert_eq!(number("SELECT count FROM rollups WHERE what = 'impressions' AND metric = ''").await, 1_500 - most);
    assert_eq!(got(&pipeline, &format!("/v1/analytics/campaigns/{PLAIN}")).await["impressions"], 1);
    assert_eq!(got(&pipeline, "/v1/analytics/overview").await["impressions"], 1_501);
}

#[tokio::test]
async fn an_erased_person_is_known_on_no_day_and_the_days_keep_their_number() {
    let pipeline = setup().start().await;
    for (user, visitor) in [("ada", "visitor-of-ada"), ("bob", "visitor-of-bob")] {
        let old = format!("{}T12:00:00Z", ago(40));
        send(&pipeline, &[
            track(user, "e", &json!({}), &format!("{user}-1")),
            json!({"type": "track", "userId": user, "event": "e", "timestamp": old, "messageId": format!("{user}-2")}),
            json!({"type": "identify", "userId": user, "anonymousId": visitor, "messageId": format!("{user}-3")}),
            json!({"type": "page", "anonymousId": visitor, "messageId": format!("{user}-4")}),
            // An id that stands where a campaign's belongs.
            track("stranger", "campaign_viewed", &json!({"campaign_id": user}), &format!("{user}-5")),
        ]).await;
    }
    // A campaign that is called like somebody.
    let campaign = json!({"id": "ignored", "name": "c", "status": "draft", "rules": []});
    let made = pipeline.admin().post("/v1/admin/campaigns", &campaign).await.unwrap().json();
    sqlx::query("UPDATE campaigns SET id = 'visitor-of-ada' WHERE id = $1")
        .bind(made["id"].as_str())
        .execute(&pipeline.database.pool)
        .await
        .unwrap();
    send(&pipeline, &[track("stranger", "campaign_viewed", &json!({"campaign_id": "visitor-of-ada"}), "6")]).await;
    pipeline.drained().await;
    let export = got(&pipeline, "/v1/admin/users/ada/export").await;
    assert_eq!(export["active_days"], json!([ago(40).to_string(), today().to_string()]));
    let daily = format!("/v1/analytics/daily?from={}", ago(40));
    let before = got(&pipeline, &daily).await;
    assert_eq!((&before["daily"][0]["active_users"], &before["daily"][40]["active_users"]), (&json!(2), &json!(5)));
    let rows = async || pipeline.database.number("SELECT count(*) FROM active_users").await;
    assert_eq!(rows().await, 7);

    let answer = pipeline.admin().post("/v1/admin/erasures", &json!({"user_id": "ada"})).await.unwrap();
    assert_eq!(answer.status, 202, "{}", answer.text());
    eventually("what was known of ada's days is gone", async || equal(rows().await, 4)).await;
    eventually("her id is no name of a sum any more", async || {
        let named = "SELECT count(*) FROM rollups WHERE metric = 'ada'";
        equal(pipeline.database.number(named).await, 0)
    })
    .await;
    assert_eq!(got(&pipeline, &daily).await, before);
    assert_eq!(got(&pipeline, "/v1/analytics/campaigns/visitor-of-ada").await["impressions"], 1);
    let export = got(&pipeline, "/v1/admin/users/ada/export").await;
    assert_eq!(export["active_days"], json!([]));
    let audit = run("worker", &["audit"], &pipeline.environment_of("worker")).await;
    assert!(audit.status.success() && audit.text.contains("everything balances"), "{}", audit.text);
}

//! Campaigns tell receivers of their matches: at least once, signed, in order where asked, and never what must not be told, nor whom
//! must not be spoken to. Through the real programs, with a real HTTP server at the other end.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use tests::certificates::make_certificates;
use tests::eventually::{equal, eventually};
use tests::folder::Folder;
use tests::metrics::Metrics;
use tests::pipeline::{Pipeline, Setup};
use tests::program::run;
use tests::receiver::{Behaviour, Received, Receiver};

const WEBHOOKS: &str = "/v1/admin/webhooks";
const DELIVERIES: &str = "/v1/admin/webhooks/deliveries";

/// Receivers of a test are on this machine, and tests do not wait long.
fn setup() -> Setup {
    Setup::default()
        .set("WEBHOOK_ALLOW_NETWORKS", "127.0.0.0/8")
        .set("WEBHOOK_RETRY_SECONDS", "0.05")
        .set("WEBHOOK_TIMEOUT_SECONDS", "0.5")
}

fn campaign(id: &str, url: &str, more: &Value) -> Value {
    let mut webhook = json!({"url": url});
    for (key, value) in more.as_object().into_iter().flatten() {
        webhook[key] = value.clone();
    }
    json!({"id": id, "name": id, "status": "active", "trigger": "bought", "webhook": webhook})
}

async fn buy(pipeline: &Pipeline, user: &str, n: usize) -> Value {
    let body = json!({"user_id": user, "event": "bought", "properties": {"n": n}, "messageId": format!("{user}-{n}")});
    pipeline.client().accepted("/v1/track", &body).await
}

async fn get(pipeline: &Pipeline, path: &str) -> Value {
    let answer = pipeline.admin().get(path).await.unwrap();
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    answer.json()
}

async fn post(pipeline: &Pipeline, path: &str, body: &Value) -> Value {
    let answer = pipeline.admin().post(path, body).await.unwrap();
    assert!(answer.status < 300, "{path}: {} {}", answer.status, answer.text());
    answer.json()
}

/// Deliveries by state, such as `delivered 2`.
async fn states(pipeline: &Pipeline) -> String {
    let query = "SELECT coalesce(string_agg(state || ' ' || n, ', ' ORDER BY state), 'none') FROM
                 (SELECT state, count(*) AS n FROM webhook_deliveries GROUP BY 1) AS s";
    sqlx::query_scalar(query).fetch_one(&pipeline.database.pool).await.unwrap()
}

async fn until_states(pipeline: &Pipeline, wanted: &str) {
    eventually("the messages are in these states", async || equal(states(pipeline).await.as_str(), wanted)).await;
}

async fn until_received(receiver: &Receiver, count: usize) -> Vec<Received> {
    eventually("so much was received", async || {
        let received = receiver.received();
        if received.len() >= count { Ok(received) } else { Err(format!("{} of {count}", received.len())) }
    })
    .await
}

async fn secret(pipeline: &Pipeline, campaign: &str) -> Vec<u8> {
    let shown = get(pipeline, &format!("{WEBHOOKS}/{campaign}")).await;
    STANDARD.decode(shown["secret"].as_str().unwrap().strip_prefix("whsec_").unwrap()).unwrap()
}

/// As the specification tells receivers to do it.
fn is_signed(received: &Received, body: &[u8], secret: &[u8]) -> bool {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).unwrap();
    mac.update(format!("{}.{}.", received.id(), received.header("webhook-timestamp")).as_bytes());
    mac.update(body);
    let wanted = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
    received.header("webhook-signature").split(' ').any(|signature| signature == wanted)
}

#[tokio::test]
async fn a_match_is_told_once_signed_and_apps_learn_nothing_of_it() {
    let receiver = Receiver::start().await;
    let more = json!({"events": ["match", "conversion"], "headers": {"X-Team": "growth"}});
    let mut told = campaign("told", &receiver.url(), &more);
    told["goal"] = json!({"event": "paid", "within_seconds": 3600});
    let mut held_out = told.clone();
    (held_out["id"], held_out["hold_out_percentage"]) = (json!("held-out"), json!(100));
    let mut preview = told.clone();
    (preview["id"], preview["status"], preview["test_users"]) = (json!("preview"), json!("draft"), json!(["ada"]));
    let disabled = campaign("disabled", &receiver.url(), &json!({"enabled": false}));
    let mut pipeline = setup().campaign(told).campaign(held_out).campaign(preview).campaign(disabled).start().await;

    let answer = buy(&pipeline, "ada", 1).await;
    assert_eq!(answer["matched"].as_array().unwrap().len(), 3, "told, disabled and the preview: {answer}");
    buy(&pipeline, "ada", 1).await;
    pipeline.client().accepted("/v1/track", &json!({"user_id": "ada", "event": "paid", "messageId": "p"})).await;
    let listed = pipeline.client().get("/v1/campaigns?user_id=ada").await.unwrap().text();
    let fetched = pipeline.client().get("/api/v1/nudge/fetch?userId=ada").await.unwrap().text();
    for shown in [answer.to_string(), listed, fetched] {
        assert!(shown.contains("\"told\"") && !shown.contains("webhook") && !shown.contains("t0ken"), "{shown}");
    }

    let received = until_received(&receiver, 2).await;
    until_states(&pipeline, "delivered 2").await;
    let event_id = answer["event"]["id"].as_str().unwrap();
    let (matched, converted) = match received[0].json()["type"].as_str() {
        Some("campaign.matched") => (&received[0], &received[1]),
        _ => (&received[1], &received[0]),
    };
    assert_eq!((matched.line.as_str(), matched.header("x-team")), ("POST /hooks/t0ken?a=b", "growth"));
    assert_eq!(matched.header("content-type"), "application/json");
    let body = matched.json();
    let data = &body["data"];
    assert_eq!(
        (&data["campaign"]["id"], &data["campaign"]["version"], &data["user_id"]),
        (&json!("told"), &json!(1), &json!("ada"))
    );
    assert_eq!((&data["event"]["id"], &data["event"]["name"]), (&json!(event_id), &json!("bought")));
    assert_eq!(data["event"]["properties"], json!({"n": 1}));
    let body = converted.json();
    assert_eq!((&body["type"], &body["data"]["event"]["name"]), (&json!("campaign.converted"), &json!("paid")));
    assert_eq!(body["data"]["match_event_id"], json!(event_id));
    assert_ne!(matched.id(), converted.id());

    let secret = secret(&pipeline, "told").await;
    assert!(is_signed(matched, &matched.body, &secret), "{matched:?}");
    let forged = matched.body.iter().copied().rev().collect::<Vec<_>>();
    assert!(!is_signed(matched, &forged, &secret), "a body that was changed must not pass");
    assert!(!is_signed(matched, &matched.body, b"another secret"), "another's signature must not pass");

    // A replay tells nothing again.
    pipeline.workers[0].stop().await;
    let adopted = run("worker", &["adopt-stream"], &pipeline.environment_of("worker")).await;
    assert!(adopted.status.success(), "{}", adopted.text);
    pipeline.workers[0].start_again();
    pipeline.ready().await;
    pipeline.drained().await;
    buy(&pipeline, "eve", 2).await;
    until_states(&pipeline, "delivered 3").await;
    assert_eq!(receiver.received().len(), 3);

    for program in pipeline.ingests.iter().chain(&pipeline.workers) {
        let log = program.log();
        assert!(!log.contains(&STANDARD.encode(&secret)) && !log.contains("t0ken"), "{log}");
    }
}

#[tokio::test]
async fn what_is_not_taken_is_sent_again_under_the_same_id() {
    let (receiver, elsewhere) = (Receiver::start().await, Receiver::start().await);
    let pipeline = setup().campaign(campaign("c", &receiver.url(), &json!({}))).start().await;
    receiver.script([
        Behaviour::Status(500),
        Behaviour::Silence,
        Behaviour::Close,
        Behaviour::With(302, "location", elsewhere.url()),
    ]);
    buy(&pipeline, "ada", 1).await;
    until_states(&pipeline, "delivered 1").await;
    let received = receiver.received();
    assert_eq!(received.len(), 5);
    let first = &received[0];
    assert!(received.iter().all(|r| r.id() == first.id() && r.body == first.body), "{received:?}");
    assert!(elsewhere.received().is_empty(), "a redirect was followed");
    let delivery = get(&pipeline, &format!("{DELIVERIES}/{}", first.id())).await;
    assert_eq!(
        (&delivery["attempts"], &delivery["last_status"], &delivery["state"]),
        (&json!(5), &json!(200), &json!("delivered"))
    );
    let metrics = Metrics::of(&pipeline.workers[0]).await;
    let count = |outcome: &str| metrics.sum("webhook_attempts_total", &[&format!("outcome=\"{outcome}\"")]);
    assert_eq!((count("failed"), count("delivered")), (4.0, 1.0));

    // The receiver says when.
    receiver.script([Behaviour::With(503, "retry-after", "1".to_owned())]);
    buy(&pipeline, "ada", 2).await;
    until_states(&pipeline, "delivered 2").await;
    let received = receiver.received();
    let wait = received[6].at - received[5].at;
    assert!(wait >= Duration::from_secs(1), "{wait:?}");

    // By hand: the same message once more.
    let resent = pipeline.admin().post(&format!("{DELIVERIES}/{}/resend", first.id()), &json!({})).await.unwrap();
    assert_eq!((resent.status, &resent.json()["resent_by"]), (202, &json!("admin-1")), "{}", resent.text());
    let received = until_received(&receiver, 8).await;
    assert_eq!((received[7].id(), &received[7].body), (first.id(), &first.body));
    until_states(&pipeline, "delivered 2").await;
}

#[tokio::test]
async fn a_receiver_that_is_away_for_good_is_given_up_and_may_be_told_by_hand() {
    let receiver = Receiver::start().await;
    let url = receiver.url();
    drop(receiver);
    // Waits of 1 ms grow so that eleven attempts take less than a second; nothing is paused meanwhile.
    let environment = setup().set("WEBHOOK_RETRY_SECONDS", "0.01").set("WEBHOOK_PAUSE_FAILURES", "1000");
    let pipeline = environment.campaign(campaign("c", &url, &json!({}))).start().await;
    buy(&pipeline, "ada", 1).await;
    let waiting = eventually("it fails", async || {
        let list = get(&pipeline, &format!("{DELIVERIES}?campaign_id=c&state=pending")).await;
        let delivery = list["deliveries"][0].clone();
        if delivery["attempts"].as_i64() >= Some(2) { Ok(delivery) } else { Err(list.to_string()) }
    })
    .await;
    assert!(waiting["last_error"].as_str().unwrap().contains("cannot be connected to"), "{waiting}");
    assert!(waiting["next_attempt_at"].is_string() && waiting["last_status"].is_null(), "{waiting}");
    // As if it had been tried for days.
    let done = "UPDATE webhook_deliveries SET attempts = 10, next_attempt_at = now() WHERE claim IS NULL";
    eventually("it is given up", async || {
        sqlx::query(done).execute(&pipeline.database.pool).await.unwrap();
        equal(states(&pipeline).await.as_str(), "failed 1")
    })
    .await;
    let resumed = post(&pipeline, &format!("{WEBHOOKS}/c/resume?failed=true"), &json!({})).await;
    assert_eq!((&resumed["due"], &resumed["state"]), (&json!(1), &json!("active")), "{resumed}");
    until_states(&pipeline, "pending 1").await;
}

#[tokio::test]
async fn huge_slow_and_malformed_answers_do_no_harm() {
    let receiver = Receiver::start().await;
    let pipeline = setup().campaign(campaign("c", &receiver.url(), &json!({}))).start().await;
    receiver.script([
        Behaviour::Huge(10 << 20),
        Behaviour::Endless,
        Behaviour::With(200, "x-bomb", "x".repeat(1 << 20)),
        Behaviour::Status(204),
    ]);
    let started = std::time::Instant::now();
    for n in 0..3 {
        buy(&pipeline, "ada", n).await;
        until_states(&pipeline, &format!("delivered {}", n + 1)).await;
    }
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
    let received = receiver.received();
    assert_eq!(received.len(), 4, "only the answer with the huge head was no answer");
    assert_eq!(received[2].id(), received[3].id());
}

/// The numbers that were taken of each user, in the order in which they were.
fn taken(receiver: &Receiver, user: &str) -> Vec<u64> {
    let received = receiver.received();
    let of = received.iter().filter(|r| r.taken() && r.json()["data"]["user_id"] == user);
    of.map(|r| r.json()["data"]["event"]["properties"]["n"].as_u64().unwrap()).collect()
}

#[tokio::test]
async fn what_one_user_did_is_told_in_order_where_that_is_asked_for() {
    let (ordered, free) = (Receiver::start().await, Receiver::start().await);
    let failures = std::sync::atomic::AtomicUsize::new(0);
    for receiver in [&ordered, &free] {
        let failures = std::sync::atomic::AtomicUsize::new(failures.load(std::sync::atomic::Ordering::SeqCst));
        receiver.choose(move |told| {
            let is_first = told["data"]["user_id"] == "ada" && told["data"]["event"]["properties"]["n"] == 0;
            let fails = is_first && failures.fetch_add(1, std::sync::atomic::Ordering::SeqCst) < 3;
            fails.then_some(Behaviour::Status(500))
        });
    }
    let pipeline = setup()
        .workers(2)
        .campaign(campaign("ordered", &ordered.url(), &json!({"ordered": true})))
        .campaign(campaign("free", &free.url(), &json!({})))
        .start()
        .await;
    let batch: Vec<Value> = (0..20)
        .flat_map(|n| ["ada", "bob"].map(|user| json!({"type": "track", "userId": user, "event": "bought", "properties": {"n": n}, "messageId": format!("{user}-{n}")})))
        .collect();
    pipeline.client().accepted("/v1/batch", &json!({"batch": batch})).await;
    until_states(&pipeline, "delivered 80").await;
    let all: Vec<u64> = (0..20).collect();
    assert_eq!(taken(&ordered, "ada"), all);
    assert_eq!(taken(&ordered, "bob"), all);
    // The control: where it is not asked for, what failed is overtaken.
    let mut mixed = taken(&free, "ada");
    assert_ne!(mixed, all);
    mixed.sort_unstable();
    assert_eq!(mixed, all);
    let position = |user: &str, n: u64| {
        let received = ordered.received();
        let found = received.iter().position(|r| {
            r.taken() && r.json()["data"]["user_id"] == user && r.json()["data"]["event"]["properties"]["n"] == n
        });
        found.unwrap()
    };
    assert!(position("bob", 0) < position("ada", 0), "bob does not wait for ada");
}

#[tokio::test]
async fn an_endpoint_that_fails_again_and_again_is_paused_reported_and_resumed_by_hand() {
    let (receiver, gone) = (Receiver::start().await, Receiver::start().await);
    let pipeline = setup()
        .workers(2)
        .set("WEBHOOK_PAUSE_FAILURES", "3")
        .set("WEBHOOK_PAUSE_SECONDS", "0")
        .campaign(campaign("c", &receiver.url(), &json!({})))
        .campaign(campaign("gone", &gone.url(), &json!({})))
        .start()
        .await;
    receiver.answer(Behaviour::Status(500));
    gone.answer(Behaviour::Status(410));
    for n in 0..5 {
        buy(&pipeline, "ada", n).await;
    }
    let of = async |campaign: &str| {
        let list = get(&pipeline, WEBHOOKS).await;
        assert_eq!(list["total"], 2, "{list}");
        assert!(!list.to_string().contains("whsec_"), "{list}");
        list["webhooks"].as_array().unwrap().iter().find(|w| w["campaign_id"] == campaign).unwrap().clone()
    };
    for campaign in ["c", "gone"] {
        eventually("it is paused", async || equal(of(campaign).await["state"].as_str(), Some("paused"))).await;
    }
    assert!(of("gone").await["last_error"].as_str().unwrap().contains("410"), "{}", of("gone").await);
    let reported = |campaign: &str| {
        let logs = pipeline.workers.iter().map(tests::program::Program::log).collect::<String>();
        logs.lines()
            .filter(|l| {
                l.contains("ERROR") && l.contains("is paused") && l.contains(&format!("campaign=\"{campaign}\""))
            })
            .count()
    };
    assert_eq!((reported("c"), reported("gone")), (1, 1));
    eventually("metrics tell", async || {
        let metrics = Metrics::of(&pipeline.workers[0]).await;
        let read = |name: &str| metrics.sum(name, &[]);
        equal((read("webhook_paused_endpoints"), read("webhook_held"), read("webhook_pending")), (2.0, 10.0, 0.0))
    })
    .await;

    // Nothing is sent any more, but for a ping.
    let quiet = eventually("nothing is under way", async || {
        let claimed = pipeline.database.number("SELECT count(*) FROM webhook_deliveries WHERE claim IS NOT NULL").await;
        equal(claimed, 0).map(|()| receiver.received().len())
    })
    .await;
    receiver.answer(Behaviour::Status(200));
    let ping = post(&pipeline, &format!("{WEBHOOKS}/c/test"), &json!({})).await;
    assert_eq!((&ping["kind"], &ping["state"]), (&json!("ping"), &json!("pending")), "{ping}");
    let path = format!("{DELIVERIES}/{}", ping["id"].as_str().unwrap());
    eventually("the ping arrives", async || equal(get(&pipeline, &path).await["state"].as_str(), Some("delivered")))
        .await;
    let received = receiver.received();
    assert_eq!((received.len(), &received[quiet].json()["type"]), (quiet + 1, &json!("webhook.ping")));
    assert!(is_signed(&received[quiet], &received[quiet].body, &secret(&pipeline, "c").await));

    let resumed = post(&pipeline, &format!("{WEBHOOKS}/c/resume"), &json!({})).await;
    assert_eq!((&resumed["state"], &resumed["failures"]), (&json!("active"), &json!(0)), "{resumed}");
    eventually("what waited is sent", async || {
        let list = get(&pipeline, &format!("{DELIVERIES}?campaign_id=c&state=delivered")).await;
        equal(list["deliveries"].as_array().unwrap().len(), 6)
    })
    .await;
    assert_eq!(taken(&receiver, "ada").len(), 5);
    assert_eq!(of("gone").await["pending"], 5);
}

#[tokio::test]
async fn private_addresses_are_not_spoken_to_and_nothing_is_spoken_in_clear() {
    let receiver = Receiver::start().await;
    let port = receiver.address.port();
    let hosts =
        ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "0x7f000001", "127.1", "[::1]", "169.254.169.254", "0.0.0.0"];
    let mut setup = Setup::default().set("WEBHOOK_TIMEOUT_SECONDS", "2");
    for (number, host) in hosts.iter().enumerate() {
        for scheme in ["http", "https"] {
            setup = setup.campaign(campaign(
                &format!("{scheme}-{number}"),
                &format!("{scheme}://{host}:{port}/"),
                &json!({}),
            ));
        }
    }
    // Public, but in clear.
    setup = setup.campaign(campaign("clear", &format!("http://1.1.1.1:{port}/"), &json!({})));
    let pipeline = setup.start().await;
    buy(&pipeline, "ada", 1).await;
    pipeline.drained().await;
    let asked = eventually("each was tried", async || {
        let list = get(&pipeline, &format!("{DELIVERIES}?limit=100")).await;
        let list = list["deliveries"].as_array().unwrap().clone();
        if list.len() == 17 && list.iter().all(|d| d["last_error"].is_string()) {
            Ok(list)
        } else {
            Err(format!("{list:?}"))
        }
    })
    .await;
    for delivery in asked {
        let why = delivery["last_error"].as_str().unwrap();
        assert!(
            why.contains("is not public")
                || why.contains("only be reached over https")
                || why.contains("has no address"),
            "{delivery}"
        );
    }
    assert!(receiver.received().is_empty());
}

#[tokio::test]
async fn certificates_are_checked() {
    let folder = Folder::new("webhook-tls");
    make_certificates(folder.path(), "known");
    make_certificates(folder.path(), "unknown");
    let start = async |name: &str| {
        let file = |kind: &str| folder.path().join(format!("{name}-server.{kind}"));
        Receiver::start_tls(&file("pem"), &file("key")).await
    };
    let (known, unknown) = (start("known").await, start("unknown").await);
    let pipeline = setup()
        .set("SSL_CERT_FILE", &folder.path().join("known.pem").to_string_lossy())
        .set("WEBHOOK_TIMEOUT_SECONDS", "5")
        .campaign(campaign("known", &known.url(), &json!({})))
        .campaign(campaign("unknown", &unknown.url(), &json!({})))
        .start()
        .await;
    buy(&pipeline, "ada", 1).await;
    until_received(&known, 1).await;
    eventually("the stranger is refused", async || {
        let list = get(&pipeline, &format!("{DELIVERIES}?campaign_id=unknown")).await;
        let why = list["deliveries"][0]["last_error"].as_str().unwrap_or_default().to_owned();
        if why.contains("TLS with 127.0.0.1") { Ok(()) } else { Err(list.to_string()) }
    })
    .await;
    assert!(unknown.received().is_empty());
}

#[tokio::test]
async fn commands_do_what_the_api_does() {
    let receiver = Receiver::start().await;
    let pipeline = setup()
        .set("WEBHOOK_PAUSE_FAILURES", "1")
        .set("WEBHOOK_PAUSE_SECONDS", "0")
        .campaign(campaign("c", &receiver.url(), &json!({})))
        .start()
        .await;
    let command = async |arguments: &[&str]| {
        let arguments = [&["webhooks"], arguments].concat();
        let output = run("worker", &arguments, &pipeline.environment_of("worker")).await;
        (output.status.success(), output.text)
    };
    receiver.script([Behaviour::Status(500)]);
    buy(&pipeline, "ada", 1).await;
    let listed = eventually("it is paused", async || match command(&["list"]).await {
        (true, text) if text.contains("paused") => Ok(text),
        (_, text) => Err(text),
    })
    .await;
    assert!(
        listed.contains("1 pending") && listed.contains("answered 500") && listed.contains("1 webhooks"),
        "{listed}"
    );
    let (done, said) = command(&["resume", "c"]).await;
    assert!(done && said.contains("1 messages"), "{said}");
    until_states(&pipeline, "delivered 1").await;
    let id = receiver.received()[0].id().to_owned();
    let (done, said) = command(&["deliveries", "--state", "delivered"]).await;
    assert!(done && said.contains(&id) && said.contains("1 messages"), "{said}");
    let (done, said) = command(&["resend", &id]).await;
    assert!(done, "{said}");
    until_received(&receiver, 3).await;
    for wrong in [["resume", "nothing"], ["resend", "0b7e6a9e-2f0c-4d4e-9a51-6e1d4c8a7f10"]] {
        let (done, said) = command(&wrong).await;
        assert!(!done && said.contains("no "), "{wrong:?}: {said}");
    }
}

#[tokio::test]
async fn a_worker_that_dies_after_the_answer_leaves_the_message_to_another_under_the_same_id() {
    let receiver = Receiver::start().await;
    let environment = setup().set("FAILPOINTS", "worker::webhook_sent=die");
    let mut pipeline = environment.campaign(campaign("c", &receiver.url(), &json!({}))).start().await;
    buy(&pipeline, "ada", 1).await;
    until_received(&receiver, 1).await;
    pipeline.workers[0].end().await;
    assert_eq!(states(&pipeline).await, "pending 1", "nothing was noted");
    pipeline.workers[0].set("FAILPOINTS", "");
    pipeline.workers[0].start_again();
    until_states(&pipeline, "delivered 1").await;
    let received = receiver.received();
    assert_eq!((received.len(), received[0].id()), (2, received[1].id()));
}

#[tokio::test]
async fn several_workers_share_the_work_and_killed_ones_lose_nothing() {
    let receiver = Receiver::start().await;
    let mut pipeline =
        setup().workers(3).campaign(campaign("c", &receiver.url(), &json!({"ordered": true}))).start().await;
    for round in 0..4_usize {
        let batch: Vec<Value> = (0..50)
            .map(|u| json!({"type": "track", "userId": format!("u-{u}"), "event": "bought", "properties": {"n": round}, "messageId": format!("{u}-{round}")}))
            .collect();
        pipeline.client().accepted("/v1/batch", &json!({"batch": batch})).await;
        if round < 3 {
            until_received(&receiver, round * 50 + 10).await;
            pipeline.workers[round].kill();
            pipeline.workers[round].start_again();
        }
    }
    until_states(&pipeline, "delivered 200").await;
    for user in 0..50 {
        let mut taken = taken(&receiver, &format!("u-{user}"));
        assert!(taken.is_sorted(), "u-{user}: {taken:?}");
        taken.dedup();
        assert_eq!(taken, [0, 1, 2, 3], "u-{user}");
    }
    let ids: std::collections::BTreeSet<String> = receiver.received().iter().map(|r| r.id().to_owned()).collect();
    assert_eq!(ids.len(), 200, "an id is of one message");
}

#[tokio::test]
async fn editors_set_webhooks_and_secrets_change_without_a_gap() {
    let receiver = Receiver::start().await;
    let pipeline = setup().start().await;
    let admin = pipeline.admin();
    let made = admin
        .post("/v1/admin/campaigns", &campaign("-", "ftp://example.com", &json!({"secret": "whsec_x"})))
        .await
        .unwrap();
    let faults: Vec<String> =
        made.json()["details"].as_array().unwrap().iter().map(|d| d["path"].as_str().unwrap().to_owned()).collect();
    assert_eq!((made.status, faults), (400, vec!["webhook.secret".to_owned(), "webhook.url".to_owned()]));
    let made = admin.post("/v1/admin/campaigns", &campaign("-", &receiver.url(), &json!({}))).await.unwrap();
    assert_eq!(made.status, 201, "{}", made.text());
    let id = made.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(made.json()["webhook"]["url"], receiver.url(), "editors see it");
    let first = secret(&pipeline, &id).await;
    assert_eq!(first.len(), 32);

    let changed = post(&pipeline, &format!("{WEBHOOKS}/{id}/secret"), &json!({})).await;
    assert!(changed["previous_secret_until"].is_string(), "{changed}");
    let second = secret(&pipeline, &id).await;
    assert_ne!(first, second);
    let own = format!("whsec_{}", STANDARD.encode([7_u8; 24]));
    pipeline.catalog_known().await;
    buy(&pipeline, "ada", 1).await;
    let received = until_received(&receiver, 1).await;
    for secret in [&first, &second] {
        assert!(is_signed(&received[0], &received[0].body, secret), "both sign while the secret changes: {received:?}");
    }
    let changed = post(&pipeline, &format!("{WEBHOOKS}/{id}/secret"), &json!({"secret": own})).await;
    assert_eq!(changed["secret"], json!(own));
    let weak = admin.post(&format!("{WEBHOOKS}/{id}/secret"), &json!({"secret": "whsec_AAAA"})).await.unwrap();
    assert_eq!(weak.status, 400, "{}", weak.text());
    let history = get(&pipeline, &format!("/v1/admin/campaigns/{id}/history")).await.to_string();
    assert!(history.contains("t0ken") && !history.contains("whsec_"), "{history}");

    // Without a webhook there is nothing to show; with one again the secret is the same.
    let changed = admin.put(&format!("/v1/admin/campaigns/{id}"), &json!({"webhook": null})).await.unwrap();
    assert_eq!(changed.status, 200, "{}", changed.text());
    for (method, path) in [("GET", ""), ("POST", "/resume"), ("POST", "/test"), ("POST", "/secret")] {
        let answer =
            admin.send(method, &format!("{WEBHOOKS}/{id}{path}"), &[], if method == "GET" { b"" } else { b"{}" }).await;
        assert_eq!(answer.unwrap().status, 404, "{method} {path}");
    }
    admin.put(&format!("/v1/admin/campaigns/{id}"), &json!({"webhook": {"url": receiver.url()}})).await.unwrap();
    assert_eq!(secret(&pipeline, &id).await, [7; 24]);
}

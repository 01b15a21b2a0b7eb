//! Matches for apps: what waits for a user, who gets it, and until when.

use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use tests::client::Client;
use tests::eventually::{equal, eventually};
use tests::folder::Folder;
use tests::matching::campaign;
use tests::pipeline::{Pipeline, Setup};
use tests::program::run;
use tests::services::{binary, deploy};

/// Sends a track on `opened`; the reply.
async fn track(pipeline: &Pipeline, user: &str, id: &str) -> Value {
    let event = json!({"user_id": user, "event": "opened", "messageId": id});
    let reply = pipeline.client().accepted("/v1/track", &event).await;
    pipeline.drained().await;
    reply
}

async fn feed(client: &Client, query: &str) -> Value {
    let answer = client.get(&format!("/v1/matches?{query}")).await.unwrap();
    assert_eq!(answer.status, 200, "{query}: {}", answer.text());
    answer.json()
}

/// The campaigns of the matches that are given, in order.
fn given(feed: &Value) -> Vec<&str> {
    feed["matches"].as_array().unwrap().iter().map(|m| m["campaign"]["id"].as_str().unwrap()).collect()
}

/// `user/event/campaign` of each.
fn named(feed: &Value) -> Vec<String> {
    let name = |m: &Value| format!("{}/{}", m["id"].as_str().unwrap(), m["campaign"]["id"].as_str().unwrap());
    feed["matches"].as_array().unwrap().iter().map(name).collect()
}

fn ids(feed: &Value) -> Vec<String> {
    feed["matches"].as_array().unwrap().iter().map(|m| m["id"].as_str().unwrap().to_owned()).collect()
}

async fn acknowledge(client: &Client, user: &str, ids: &[String]) -> Value {
    client.accepted("/v1/matches/ack", &json!({"user_id": user, "ids": ids})).await
}

async fn execute(pipeline: &Pipeline, statement: &str) -> u64 {
    let done = sqlx::query(statement).execute(&pipeline.database.pool).await;
    done.unwrap_or_else(|e| panic!("{statement}: {e}")).rows_affected()
}

async fn change(pipeline: &Pipeline, campaign: &str, change: Value) {
    let path = format!("/v1/admin/campaigns/{campaign}");
    assert_eq!(pipeline.admin().put(&path, &change).await.unwrap().status, 200);
    pipeline.catalog_known().await;
}

#[tokio::test]
async fn a_match_is_given_until_it_is_acknowledged_and_a_cursor_goes_on_behind_it() {
    let variants =
        json!({"priority": 9, "variants": [{"name": "A", "weight": 0}, {"name": "B", "config": {"text": "b"}}]});
    let pipeline = Setup::default()
        .campaign(campaign("plain", json!({})))
        .campaign(campaign("first", variants))
        .campaign(campaign("held", json!({"hold_out_percentage": 100})))
        .start()
        .await;
    let client = pipeline.client();
    assert_eq!(feed(&client, "user_id=ada").await, json!({"matches": [], "cursor": null, "more": false}));
    let reply = track(&pipeline, "ada", "m1").await;
    track(&pipeline, "bob", "m2").await;

    let page = feed(&client, "user_id=ada&device_id=phone").await;
    assert_eq!(given(&page), ["first", "plain"], "by priority, and nothing that is held out");
    let first = &page["matches"][0];
    assert_eq!(first["campaign"], reply["matched"][0], "the object that the reply had, with the variant");
    assert_eq!(first["campaign"]["variant"], "B");
    assert_eq!((&first["event_id"], &first["event"]), (&reply["event"]["id"], &json!("opened")));
    assert_eq!(first["id"], format!("{}.first", reply["event"]["id"].as_str().unwrap()));
    let time = |field: &str| chrono::DateTime::parse_from_rfc3339(first[field].as_str().unwrap()).unwrap();
    let wait = (time("expires_at") - time("matched_at")).num_minutes();
    assert!((1_430..=1_440).contains(&wait), "{wait}");

    // Reading again is no acknowledgment; a cursor goes on behind what was read.
    assert_eq!(given(&feed(&client, "user_id=ada&device_id=phone").await), ["first", "plain"]);
    let cursor = page["cursor"].as_str().unwrap().to_owned();
    let behind = format!("user_id=ada&device_id=phone&after={cursor}");
    assert_eq!(feed(&client, &behind).await, json!({"matches": [], "cursor": cursor, "more": false}));
    track(&pipeline, "ada", "m3").await;
    let next = feed(&client, &behind).await;
    assert_eq!(given(&next), ["first", "plain"]);
    assert!(named(&next).iter().all(|name| !named(&page).contains(name)));

    // Pages never tear the matches of one event apart.
    let small = feed(&client, "user_id=ada&device_id=phone&limit=1").await;
    assert_eq!((ids(&small), &small["more"]), (ids(&page), &json!(true)));
    let rest = format!("user_id=ada&device_id=phone&limit=5&after={}", small["cursor"].as_str().unwrap());
    assert_eq!((ids(&feed(&client, &rest).await), small["cursor"].as_str()), (ids(&next), Some(cursor.as_str())));

    // Acknowledged, twice; one at a time; and of somebody else, which does nothing.
    let both = ids(&page);
    assert_eq!(acknowledge(&client, "bob", &both).await, json!({"ok": true, "acknowledged": [], "unknown": both}));
    for _ in 0..2 {
        let said = acknowledge(&client, "ada", &both[..1]).await;
        assert_eq!(said, json!({"ok": true, "acknowledged": [both[0]], "unknown": []}));
    }
    let left = feed(&client, "user_id=ada&device_id=phone").await;
    assert_eq!(ids(&left), [vec![both[1].clone()], ids(&next)].concat());
    assert_eq!(pipeline.database.number("SELECT count(*) FROM deliveries WHERE user_id = 'bob'").await, 0);
    for wrong in [json!({"user_id": "ada"}), json!({"user_id": "ada", "ids": ["x"]}), json!({"ids": []})] {
        let refused = client.post("/v1/matches/ack", &wrong).await.unwrap();
        assert_eq!((refused.status, &refused.json()["code"]), (400, &json!("invalid_parameter")), "{wrong}");
    }
    let refused = client.get("/v1/matches?user_id=ada&after=x").await.unwrap();
    assert_eq!((refused.status, &refused.json()["code"]), (400, &json!("invalid_parameter")));
}

#[tokio::test]
async fn of_two_devices_the_first_keeps_a_match_until_its_claim_ends() {
    let pipeline = Setup::default().campaign(campaign("c", json!({}))).start().await;
    let client = pipeline.client();
    let device = |name: &str| format!("user_id=ada&device_id={name}");
    track(&pipeline, "ada", "m1").await;
    let phone = feed(&client, &device("phone")).await;
    assert_eq!(phone["matches"].as_array().unwrap().len(), 1);

    let tablet = feed(&client, &device("tablet")).await;
    assert_eq!((given(&tablet).len(), &tablet["cursor"]), (0, &json!(null)), "the cursor does not pass it: {tablet}");
    assert!(tablet["retry_after_seconds"].as_u64().is_some_and(|seconds| (50..=61).contains(&seconds)), "{tablet}");
    assert_eq!(given(&feed(&client, "user_id=ada").await).len(), 0, "nor does a request without a device");
    // What comes later goes to whoever asks first, and the cursor stays where it is.
    track(&pipeline, "ada", "m2").await;
    let tablet = feed(&client, &device("tablet")).await;
    assert_eq!((given(&tablet).len(), &tablet["cursor"]), (1, &json!(null)), "{tablet}");
    let second = ids(&tablet);

    execute(&pipeline, "UPDATE deliveries SET claimed_until = now() WHERE device_id = 'phone'").await;
    let tablet = feed(&client, &device("tablet")).await;
    assert_eq!(ids(&tablet), [ids(&phone), second.clone()].concat());
    assert_eq!(given(&feed(&client, &device("phone")).await).len(), 0, "now it is the tablet's");
    let said = acknowledge(&client, "ada", &ids(&tablet)).await;
    assert_eq!(said["acknowledged"].as_array().unwrap().len(), 2);
    execute(&pipeline, "UPDATE deliveries SET claimed_until = now()").await;
    for name in ["phone", "tablet"] {
        assert_eq!(given(&feed(&client, &device(name)).await).len(), 0, "{name}");
    }

    // Many at once: one of them.
    track(&pipeline, "ada", "m3").await;
    let asked = (0..16).map(|n| {
        let (client, query) = (client.clone(), device(&format!("d{n}")));
        tokio::spawn(async move { given(&feed(&client, &query).await).len() })
    });
    let mut got = 0;
    for asked in asked.collect::<Vec<_>>() {
        got += asked.await.unwrap();
    }
    assert_eq!(got, 1, "devices that got the match");
}

#[tokio::test]
async fn an_acknowledgment_may_come_before_the_match_is_recorded() {
    let pipeline = Setup::default().campaign(campaign("c", json!({}))).start().await;
    let client = pipeline.client();
    pipeline.workers[0].pause();
    let mut shown = Vec::new();
    for id in ["m1", "m2"] {
        let event = json!({"user_id": "ada", "event": "opened", "messageId": id});
        let reply = client.accepted("/v1/track", &event).await;
        shown.push(format!(
            "{}.{}",
            reply["event"]["id"].as_str().unwrap(),
            reply["matched"][0]["id"].as_str().unwrap()
        ));
    }
    // Somebody else's word counts for nothing.
    acknowledge(&client, "bob", &shown).await;
    let said = acknowledge(&client, "ada", &shown[..1]).await;
    assert_eq!(said, json!({"ok": true, "acknowledged": [], "unknown": [shown[0]]}));
    pipeline.workers[0].resume();
    pipeline.drained().await;
    assert_eq!(ids(&feed(&client, "user_id=ada").await), shown[1..]);
    assert_eq!(acknowledge(&client, "ada", &shown).await["unknown"], json!([]));
}

#[tokio::test]
async fn what_is_over_is_not_given_and_what_only_rests_comes_again() {
    let short = json!({"match_ttl_seconds": 3_600});
    let preview = json!({"status": "draft", "test_users": ["ada"]});
    let setup = ["active", "ending", "closed", "optional"]
        .iter()
        .fold(Setup::default(), |setup, id| setup.campaign(campaign(id, json!({}))));
    let pipeline = setup
        .campaign(campaign("short", short))
        .campaign(campaign("draft", preview))
        .campaign(campaign("always", json!({"ignore_opt_out": true})))
        .start()
        .await;
    let client = pipeline.client();
    let waiting = async || {
        let page = feed(&client, "user_id=ada&device_id=phone").await;
        let mut campaigns: Vec<String> = given(&page).into_iter().map(str::to_owned).collect();
        campaigns.sort_unstable();
        campaigns.join(" ")
    };
    track(&pipeline, "ada", "m1").await;
    assert_eq!(waiting().await, "active always closed draft ending optional short");
    let page = feed(&client, "user_id=ada&device_id=phone").await;
    let of_draft = page["matches"].as_array().unwrap().iter().find(|m| m["campaign"]["id"] == "draft").unwrap();
    assert_eq!(of_draft["disposition"], "preview");

    execute(&pipeline, "UPDATE matches SET received_at = received_at - interval '2 hours'").await;
    assert_eq!(waiting().await, "active always closed draft ending optional");
    change(&pipeline, "ending", json!({"ends_at": "2026-01-01"})).await;
    change(&pipeline, "draft", json!({"test_users": []})).await;
    assert_eq!(waiting().await, "active always closed optional");
    change(&pipeline, "active", json!({"status": "paused"})).await;
    change(&pipeline, "closed", json!({"starts_at": "2999-01-01"})).await;
    assert_eq!(waiting().await, "always optional");
    change(&pipeline, "active", json!({"status": "active"})).await;
    change(&pipeline, "closed", json!({"starts_at": null})).await;
    assert_eq!(waiting().await, "active always closed optional");
    assert_eq!(pipeline.admin().delete("/v1/admin/campaigns/closed").await.unwrap().status, 200);
    pipeline.catalog_known().await;
    client.accepted("/v1/identify", &json!({"user_id": "ada", "traits": {"$campaigns_opt_out": true}})).await;
    pipeline.drained().await;
    assert_eq!(waiting().await, "always");
    execute(&pipeline, "UPDATE matches SET received_at = received_at - interval '1 day'").await;
    assert_eq!(waiting().await, "");
}

#[tokio::test]
async fn strangers_have_no_feed_and_visitors_have_one() {
    let pipeline = Setup::default().campaign(campaign("c", json!({}))).start().await;
    let client = pipeline.client();
    for event in
        [json!({"user_id": "anonymous", "event": "opened"}), json!({"anonymousId": "visitor", "event": "opened"})]
    {
        client.accepted("/v1/track", &event).await;
    }
    pipeline.drained().await;
    for query in ["", "user_id=", "user_id=anonymous", "userId=anonymous"] {
        let page = feed(&client, query).await;
        assert!(given(&page).is_empty() && page["reason"].as_str().unwrap().contains("strangers"), "{page}");
    }
    assert_eq!(given(&feed(&client, "anonymous_id=visitor").await), ["c"]);
    assert!(given(&feed(&client, "user_id=visitor").await).is_empty(), "a user is no visitor");
    let refused = client.post("/v1/matches/ack", &json!({"user_id": "anonymous", "ids": []})).await.unwrap();
    assert_eq!(refused.status, 400);
}

#[tokio::test]
async fn a_key_with_identity_verification_asks_for_the_users_hash() {
    let setup = Setup::default().set("CLIENT_API_KEYS", "web:k1").set("IDENTITY_SECRETS", "web:s3cret");
    let pipeline = setup.campaign(campaign("c", json!({}))).start().await;
    let client = pipeline.client().with_key("k1");
    let event = json!({"user_id": "ada", "event": "opened", "messageId": "m1"});
    client.accepted("/v1/track", &event).await;
    pipeline.drained().await;
    let hash = user_hash("s3cret", "ada");
    let id = ids(&feed(&client, &format!("user_id=ada&user_hash={hash}")).await).remove(0);
    for path in ["/v1/matches?user_id=ada", "/v1/matches?user_id=ada&user_hash=00", "/v1/matches/stream?user_id=ada"] {
        let refused = client.get(path).await.unwrap();
        assert_eq!((refused.status, &refused.json()["code"]), (403, &json!("user_not_verified")), "{path}");
    }
    for path in ["/v1/matches/ack", "/v1/matches/token"] {
        for (body, status) in [
            (json!({"user_id": "ada", "ids": [id]}), 403),
            (json!({"user_id": "bob", "ids": [id], "user_hash": hash}), 403),
            (json!({"user_id": "ada", "ids": [id], "user_hash": hash}), 200),
        ] {
            let answer = client.post(path, &body).await.unwrap();
            assert_eq!(answer.status, status, "{path} {body}: {}", answer.text());
        }
    }
    let in_header = [("x-user-hash", hash.as_str())];
    let answer = client.send("POST", "/v1/matches/token", &in_header, br#"{"user_id":"ada"}"#).await.unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
}

fn user_hash(secret: &str, user: &str) -> String {
    let mut hmac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    hmac.update(user.as_bytes());
    hmac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test]
async fn after_the_restore_of_an_older_database_cursors_hold_and_nothing_is_missing() {
    let (folder, mut pipeline) =
        (Folder::new("backups"), Setup::default().campaign(campaign("c", json!({}))).start().await);
    let client = pipeline.client();
    let of_phone = "user_id=ada&device_id=phone";
    track(&pipeline, "ada", "m1").await;
    let worker = binary("worker");
    let environment = [("DATABASE_URL", pipeline.database.url.as_str()), ("WORKER", &*worker.to_string_lossy())];
    let lines = deploy("backup", &["dump", &folder.path().to_string_lossy()], &environment);
    let backup = lines.into_iter().find(|(key, _)| key == "BACKUP").expect("the folder of the backup").1;
    for id in ["m2", "m3", "m4"] {
        track(&pipeline, "ada", id).await;
    }
    let before = feed(&client, of_phone).await;
    let all = ids(&before);
    assert_eq!(all.len(), 4);
    let behind_first = feed(&client, &format!("{of_phone}&limit=1")).await["cursor"].as_str().unwrap().to_owned();
    acknowledge(&client, "ada", &[all[0].clone(), all[2].clone()]).await;

    pipeline.workers[0].pause();
    pipeline.database.destroy().await;
    deploy("restore", &["dump", &backup], &environment);
    // Not read again yet: whoever asks behind the end gets nothing, and keeps the cursor.
    let end = before["cursor"].as_str().unwrap().to_owned();
    let early = eventually("the restored database is read", async || {
        let answer = client.get(&format!("/v1/matches?{of_phone}&after={end}")).await.map_err(|e| e.to_string())?;
        if answer.status == 200 { Ok(answer.json()) } else { Err(answer.text()) }
    })
    .await;
    assert_eq!((ids(&early), early["cursor"].as_str()), (vec![], Some(end.as_str())));
    pipeline.workers[0].resume();
    pipeline.ready().await;
    pipeline.drained().await;
    // What was not acknowledged is there in its place. (Acknowledgments after the backup are lost with it.)
    assert_eq!(ids(&feed(&client, of_phone).await), all);
    let behind = feed(&client, &format!("{of_phone}&after={behind_first}")).await;
    assert_eq!((ids(&behind), behind["cursor"].as_str()), (all[1..].to_vec(), Some(end.as_str())));
    track(&pipeline, "ada", "m5").await;
    let new = feed(&client, &format!("{of_phone}&after={end}")).await;
    assert_eq!(ids(&new).len(), 1);
    assert!(!all.contains(&ids(&new)[0]));
}

#[tokio::test]
async fn matches_go_on_behind_a_cursor_when_the_stream_is_made_anew_or_cut_anew() {
    let mut pipeline = Setup::default().set("LANES", "2").campaign(campaign("c", json!({}))).start().await;
    let client = pipeline.client();
    let users = ["ada", "bob", "eve", "kim"];
    let mut cursors = vec![String::new(); users.len()];
    let step = async |pipeline: &Pipeline, cursors: &mut Vec<String>, name: &str| {
        for (user, cursor) in users.iter().zip(cursors) {
            let event = json!({"user_id": user, "event": "opened", "messageId": format!("{user}-{name}")});
            eventually("the event is accepted", async || {
                let answer = client.post("/v1/track", &event).await.map_err(|e| e.to_string())?;
                if answer.status == 200 { Ok(()) } else { Err(answer.text()) }
            })
            .await;
            pipeline.drained().await;
            let after = if cursor.is_empty() { String::new() } else { format!("&after={cursor}") };
            let page = feed(&client, &format!("user_id={user}&device_id=phone{after}")).await;
            assert_eq!(given(&page), ["c"], "{user} {name}: {page}");
            *cursor = page["cursor"].as_str().unwrap().to_owned();
        }
    };
    // Sequences begin again below what they were.
    for name in ["a", "b", "c"] {
        step(&pipeline, &mut cursors, name).await;
    }
    pipeline.stream.delete().await;
    pipeline.ingests[0].unready().await;
    let adopted = run("worker", &["adopt-stream"], &pipeline.environment_of("worker")).await;
    assert!(adopted.status.success(), "{}", adopted.text);
    pipeline.ready().await;
    step(&pipeline, &mut cursors, "d").await;

    let cut = ["repartition", "--partitions", "5", "--lanes", "1"];
    let output = run("worker", &cut, pipeline.environment()).await;
    assert!(output.status.success(), "{}", output.text);
    pipeline.stream.follow(shared::domain::layout::Layout { epoch: 1, partitions: 5, lanes: 1 });
    pipeline.ready().await;
    step(&pipeline, &mut cursors, "e").await;
    let cut = ["repartition", "--partitions", "9", "--lanes", "3"];
    let output = run("worker", &cut, pipeline.environment()).await;
    assert!(output.status.success(), "{}", output.text);
    pipeline.stream.follow(shared::domain::layout::Layout { epoch: 2, partitions: 9, lanes: 3 });
    pipeline.ready().await;
    step(&pipeline, &mut cursors, "f").await;

    // A cursor from a time that the database knows nothing of, as from a history that is gone, gives everything that waits.
    execute(&pipeline, "DELETE FROM matches WHERE stream_generation = (SELECT max(stream_generation) FROM matches)")
        .await;
    let page = feed(&client, &format!("user_id=ada&device_id=phone&after={}", cursors[0])).await;
    assert_eq!(given(&page).len(), 5, "{page}");
}

#[tokio::test]
async fn deliveries_are_exported_and_erased_with_their_user() {
    let pipeline = Setup::default().campaign(campaign("c", json!({}))).start().await;
    let client = pipeline.client();
    for mode in ["delete", "anonymise"] {
        let user = format!("ada-{mode}");
        track(&pipeline, &user, &format!("{user}-1")).await;
        track(&pipeline, &user, &format!("{user}-2")).await;
        let page = feed(&client, &format!("user_id={user}&device_id=phone-of-{user}")).await;
        acknowledge(&client, &user, &ids(&page)[..1]).await;
        let export = run("worker", &["export-user", &user], &pipeline.environment_of("worker")).await;
        assert!(
            export.text.contains(&format!("phone-of-{user}")) && export.text.contains("\"acked_at\":\"20"),
            "{}",
            export.text
        );

        let answer =
            pipeline.admin().post("/v1/admin/erasures", &json!({"user_id": user, "mode": mode})).await.unwrap();
        assert_eq!(answer.status, 202, "{}", answer.text());
        let path = format!("/v1/admin/erasures/{}", answer.json()["requests"][0]["id"].as_str().unwrap());
        let receipt = eventually("the erasure is swept", async || {
            let answer = pipeline.admin().get(&path).await.map_err(|e| e.to_string())?.json();
            if answer["state"] == "provisional" { Ok(answer) } else { Err(answer.to_string()) }
        })
        .await;
        assert_eq!(receipt["counts"]["deliveries"], 2, "{receipt}");
        // A device that was offline knows nothing of it; nothing of what it says is kept.
        assert!(given(&feed(&client, &format!("user_id={user}&device_id=phone")).await).is_empty());
        let said = acknowledge(&client, &user, &ids(&page)).await;
        assert_eq!(said["acknowledged"], json!([]));
        let left = format!("SELECT count(*) FROM deliveries d WHERE position('{user}' IN d::text) > 0");
        equal(pipeline.database.number(&left).await, 0).unwrap();
    }
    assert_eq!(
        pipeline.database.number("SELECT count(stream_seq) FROM matches").await,
        0,
        "no place is left of the anonymised"
    );
}

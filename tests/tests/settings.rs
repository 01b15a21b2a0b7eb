//! Mistakes are told all at once, secrets never, and `check` says what is wrong.

use serde_json::json;
use tests::client::{ADMIN_KEY, WRITE_KEY};
use tests::pipeline::{Pipeline, Setup};
use tests::program::{Output, run};
use tests::roles::PASSWORD;

const PROGRAMS: [&str; 2] = ["ingest", "worker"];

fn with(environment: &[(String, String)], changes: &[(&str, &str)]) -> Vec<(String, String)> {
    let mut changed: Vec<_> =
        environment.iter().filter(|(name, _)| !changes.iter().any(|(n, _)| n == name)).cloned().collect();
    changed.extend(changes.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    changed
}

async fn check(program: &str, environment: &[(String, String)]) -> Output {
    // Each program listens nowhere while it only checks.
    run(program, &["check"], environment).await
}

#[tokio::test]
async fn every_mistake_is_told_at_once_without_secrets() {
    let bad = [
        ("DATABASE_URL", "postgres://user:hunter2@127.0.0.1:1/none"),
        ("PARTITIONS", "many"),
        ("RETENTION_DAYS", "1"),
        ("LANES", "0"),
        ("LOG_FORMAT", "loud"),
        ("CLIENT_API_KEYS", "web:hunter2"),
        ("INGEST_LISTEN", "nowhere"),
        ("WORKER_LISTEN", "nowhere"),
    ];
    for program in PROGRAMS {
        let listen = format!("{}_LISTEN=nowhere", program.to_uppercase());
        for arguments in [&[][..], &["check"]] {
            let output = run(program, arguments, &with(&[], &bad)).await;
            assert!(!output.status.success());
            for part in
                ["NATS_URL is not set", "PARTITIONS=many", "RETENTION_DAYS=1", "LANES=0", "LOG_FORMAT=loud", &listen]
            {
                assert!(output.text.contains(part), "{program} {arguments:?} does not say {part}:\n{}", output.text);
            }
            assert!(!output.text.contains("hunter2"), "{program} tells a secret:\n{}", output.text);
        }
    }
}

#[tokio::test]
async fn check_passes_on_a_sound_pipeline_and_changes_nothing() {
    let pipeline = Pipeline::start().await;
    let before = pipeline.stream.state().await;
    for program in PROGRAMS {
        let output = check(program, &pipeline.environment_of(program)).await;
        assert!(output.status.success(), "{program}:\n{}", output.text);
        assert!(output.text.lines().filter(|line| line.starts_with("ok ")).count() >= 3, "{}", output.text);
    }
    assert_eq!(pipeline.stream.state().await, before);
}

#[tokio::test]
async fn check_names_what_is_wrong_and_fails() {
    let pipeline = Pipeline::start().await;
    for (name, value, says) in [
        ("NATS_MONITOR_URLS", "", "NATS_MONITOR_URLS"),
        ("NATS_MONITOR_URLS", "http://127.0.0.1:1", "http://127.0.0.1:1"),
        ("NATS_URL", "nats://127.0.0.1:1", "NATS"),
        ("DATABASE_URL", "postgres://u:p@127.0.0.1:1/none", "PostgreSQL"),
        ("PARTITIONS", "32", "PARTITIONS"),
        ("STREAM_PREFIX", "NEVER-MADE", "NEVER-MADE_0"),
    ] {
        for program in PROGRAMS {
            let output = check(program, &with(pipeline.environment(), &[(name, value)])).await;
            assert!(!output.status.success(), "{program} passes with {name}={value}:\n{}", output.text);
            let problems: Vec<_> = output.text.lines().filter(|line| line.contains("PROBLEM")).collect();
            assert!(problems.iter().any(|line| line.contains(says)), "{program}, {name}={value}: {problems:#?}");
        }
    }
}

#[tokio::test]
async fn the_production_profile_refuses_what_is_only_for_development() {
    let pipeline = Pipeline::start().await;
    let production = with(pipeline.environment(), &[("PROFILE", "production")]);
    for program in PROGRAMS {
        let output = check(program, &production).await;
        assert!(output.status.success(), "{program}:\n{}", output.text);
        let output = check(program, &with(&production, &[("ACCEPT_DATA_LOSS_ON_POWER_CUT", "true")])).await;
        assert!(!output.status.success() && output.text.contains("ACCEPT_DATA_LOSS_ON_POWER_CUT"), "{}", output.text);
    }
    for change in
        [("CLIENT_API_KEYS", "web:dev-write-key"), ("ADMIN_API_KEYS", "dev-admin-key"), ("AUTH_REQUIRED", "false")]
    {
        let output = check("ingest", &with(&production, &[change])).await;
        assert!(!output.status.success() && output.text.contains(change.0), "{change:?}:\n{}", output.text);
    }
}

#[tokio::test]
async fn logs_hold_no_keys_passwords_bodies_or_traits() {
    let pipeline = Setup::default().set("LOG_LEVEL", "info").start().await;
    let client = pipeline.client();
    let secret = "secret-in-a-body";
    client.accepted("/v1/identify", &json!({"userId": "u", "traits": {"email": secret}})).await;
    client.accepted("/v1/track", &json!({"userId": "u", "event": "e", "properties": {"card": secret}})).await;
    client.post("/v1/track", &json!({"event": secret, "properties": [secret]})).await.unwrap();
    pipeline.ingests[0].client().with_key(secret).post("/v1/track", &json!({})).await.unwrap();
    pipeline.drained().await;
    for program in pipeline.ingests.iter().chain(&pipeline.workers) {
        let log = program.log();
        assert!(log.contains("DATABASE_URL=[redacted]"), "the settings in force are not printed:\n{log}");
        for hidden in [WRITE_KEY, ADMIN_KEY, secret, PASSWORD] {
            assert!(!log.contains(hidden), "the log of {} holds {hidden:?}:\n{log}", program.name);
        }
    }
}

#[tokio::test]
async fn json_logs_are_one_object_a_line() {
    let pipeline = Setup::default().set("LOG_FORMAT", "json").start().await;
    pipeline.client().accepted("/v1/track", &json!({"userId": "u", "event": "line\nbreak"})).await;
    pipeline.drained().await;
    for program in pipeline.ingests.iter().chain(&pipeline.workers) {
        let log = program.log();
        assert!(!log.trim().is_empty());
        for line in log.lines() {
            assert!(serde_json::from_str::<serde_json::Value>(line).is_ok_and(|v| v.is_object()), "{line}");
        }
    }
}

/// Would be an entry of its own if it began a line, red on a terminal, and a format if anything formatted it.
const HOSTILE: &str = "x\r\n2001-01-01T00:00:00.000000Z ERROR forged\n{\"level\":\"ERROR\"}\u{1b}[31m\u{9b}31m\u{8}\u{2028}%s%n{} ${jndi:ldap://x}";

#[tokio::test]
async fn what_clients_and_admins_send_makes_no_entry_of_a_log_and_colours_none() {
    for format in ["pretty", "json"] {
        let campaign = json!({"id": HOSTILE, "status": "active", "trigger": HOSTILE, "rules": [{"type": HOSTILE, "field": HOSTILE}]});
        let mut pipeline =
            Setup::default().campaign(campaign).set("LOG_FORMAT", format).set("LOG_LEVEL", "debug").start().await;
        let client = pipeline.client();
        client
            .accepted("/v1/track", &json!({"userId": HOSTILE, "event": HOSTILE, "properties": {HOSTILE: HOSTILE}}))
            .await;
        let escaped: String = HOSTILE.bytes().map(|byte| format!("%{byte:02X}")).collect();
        for path in
            [format!("/v1/campaigns?user_id={escaped}"), format!("/v1/features/{escaped}"), format!("/{escaped}")]
        {
            client.get(&path).await.unwrap();
        }
        for path in
            [format!("/v1/admin/campaigns/{escaped}"), format!("/v1/admin/users?kind={escaped}&cursor={escaped}")]
        {
            pipeline.admin().get(&path).await.unwrap();
        }
        client.send("POST", "/v1/track", &[], HOSTILE.as_bytes()).await.unwrap();
        client.send("POST", "/v1/batch", &[], format!("{{\"batch\": [{HOSTILE:?}]}}").as_bytes()).await.unwrap();
        // Not a header, so the connection just ends; what is said about it is logged.
        let _ = client.send("POST", "/v1/track", &[("x-request-id", HOSTILE)], b"{}").await;
        pipeline.stream.publish_lines(&[(0, HOSTILE.replace('\n', " ").as_bytes())]).await;
        pipeline.drained().await;
        assert_eq!(pipeline.database.number("SELECT count(*) FROM dead_letters").await, 1);
        for program in pipeline.ingests.iter_mut().chain(&mut pipeline.workers) {
            program.stop().await;
            let log = program.log();
            assert!(log.contains("forged"), "nothing hostile came near the log of {}:\n{log}", program.name);
            for line in log.lines() {
                let is_entry = match format {
                    "json" => serde_json::from_str::<serde_json::Value>(line)
                        .is_ok_and(|v| v["level"] != "ERROR" || v["timestamp"].is_string()),
                    _ => line.starts_with("20") && !line.starts_with("2001"),
                };
                assert!(is_entry && !line.contains(|c: char| c.is_control()), "{}, {format}: {line:?}", program.name);
            }
        }
    }
}

#[tokio::test]
async fn a_program_that_is_told_another_number_of_partitions_works_with_that_of_the_stream_and_says_so() {
    let mut pipeline = Pipeline::start().await;
    for program in pipeline.workers.iter_mut().chain(&mut pipeline.ingests) {
        program.set("PARTITIONS", "32");
        program.set("LANES", "2");
        program.start_again();
        program.ready().await;
        assert!(program.log().contains("PARTITIONS=16 LANES=1"), "{}", program.log());
    }
    for number in 0..50 {
        pipeline.client().accepted("/v1/track", &json!({"userId": format!("u-{number}"), "event": "e"})).await;
    }
    pipeline.drained().await;
    assert_eq!(pipeline.rows().await, 50);
    assert_eq!(pipeline.database.number("SELECT count(*) FROM partitions").await, 16);
    assert_eq!(pipeline.database.number("SELECT count(*) FROM lanes").await, 1);
}

//! Settings as an operator meets them: mistakes, secrets, checks, and documents that say what the code does.

use std::path::Path;

use shared::runtime::settings::{Setting, pipeline};
use tests::pipeline::Setup;
use tests::program::run;

fn document(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn groups() -> [(&'static str, Vec<&'static Setting>); 3] {
    [
        ("Both programs", pipeline::ALL.to_vec()),
        ("ingest", ingest::settings::ALL.to_vec()),
        ("worker", worker::settings::ALL.to_vec()),
    ]
}

#[test]
fn the_readme_lists_exactly_the_settings_of_the_code() {
    let readme = document("README.md");
    for (title, settings) in groups() {
        let rows = settings.iter().map(|s| {
            let default = match s.default {
                None => "required".to_owned(),
                Some("") => String::new(),
                Some(default) => format!("`{default}`"),
            };
            format!("| `{}` | {default} | {} |\n", s.name, s.meaning)
        });
        let table = format!("| {title} | default | |\n|---|---|---|\n{}\n", rows.collect::<String>());
        assert!(readme.contains(&table), "the README's settings should hold this table:\n{table}");
    }
}

#[test]
fn the_readme_lists_exactly_the_metrics_of_the_code() {
    let readme = document("README.md");
    let of_ingest = ingest::metrics::ALL.iter().map(|m| (m.name, m.kind, m.meaning));
    let rows = of_ingest
        .chain(worker::metrics::ALL)
        .map(|(name, kind, meaning)| format!("| `{name}` | {kind} | {meaning} |\n"));
    let table = format!("| metric | kind | |\n|---|---|---|\n{}\n", rows.collect::<String>());
    assert!(readme.contains(&table), "the README's metrics should be this table:\n{table}");
}

#[test]
fn the_example_file_holds_every_setting_with_its_default() {
    let mut expected =
        "# Every setting with its default. Copy to .env, or set them in the environment of the programs.\n\
                        # A line without a comment sign must be set; the others show the default.\n"
            .to_owned();
    for (title, settings) in groups() {
        expected += &format!("\n# ---- {title} ----\n");
        for s in settings {
            expected += &match s.default {
                None => format!("\n# {}\n{}=\n", s.meaning, s.name),
                Some(default) => format!("\n# {}\n# {}={default}\n", s.meaning, s.name),
            };
        }
    }
    assert_eq!(document(".env.example"), expected, ".env.example should be:\n{expected}");
}

fn variables(given: &[(&str, &str)]) -> Vec<(String, String)> {
    given.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[tokio::test]
async fn every_mistake_is_told_at_once_and_no_secret_with_it() {
    let given = variables(&[
        ("DATABASE_URL", ""),
        ("NATS_URL", "nats://user:hunter2@127.0.0.1:1"),
        ("PARTITIONS", "many"),
        ("LANES", "0"),
        ("RETENTION_DAYS", "-3"),
        ("LOG_FORMAT", "xml"),
        ("INGEST_LISTEN", "everywhere"),
        ("WORKER_LISTEN", "everywhere"),
        ("CLIENT_API_KEYS", "app:hunter2"),
    ]);
    for program in ["ingest", "worker"] {
        let output = run(program, &[], &given).await;
        let told = output.text;
        assert!(!output.status.success());
        for mistake in [
            "DATABASE_URL is not set",
            "PARTITIONS=many",
            "LANES=0",
            "RETENTION_DAYS=-3",
            "LOG_FORMAT=xml",
            "LISTEN=everywhere",
        ] {
            assert!(told.contains(mistake), "{program} should tell about {mistake}:\n{told}");
        }
        assert!(!told.contains("hunter2"), "{program} printed a secret:\n{told}");
    }
}

#[tokio::test]
async fn the_production_profile_refuses_what_is_only_for_development() {
    let base =
        [("PROFILE", "production"), ("DATABASE_URL", "postgres://x@127.0.0.1:1/x"), ("NATS_URL", "nats://127.0.0.1:1")];
    for (name, value) in [
        ("CLIENT_API_KEYS", "dev-write-key"),
        ("ADMIN_API_KEYS", "ops:dev-admin-key"),
        ("AUTH_REQUIRED", "false"),
        ("ACCEPT_DATA_LOSS_ON_POWER_CUT", "true"),
    ] {
        let mut given = base.to_vec();
        given.push((name, value));
        let output = run("ingest", &[], &variables(&given)).await;
        let told = output.text;
        assert!(!output.status.success() && told.contains(name), "{name}={value} should be refused:\n{told}");
        assert!(!told.contains("dev-admin-key") && !told.contains("dev-write-key"), "a key was printed:\n{told}");
    }
}

#[tokio::test]
async fn check_succeeds_on_a_good_system_and_names_what_is_wrong_on_a_bad_one() {
    let pipeline = Setup::default().workers(1).start().await;
    for program in ["ingest", "worker"] {
        let good = run(program, &["check"], pipeline.environment()).await;
        assert!(good.status.success(), "{program} check:\n{}", good.text);

        let mut unproven = pipeline.environment().to_vec();
        unproven.push(("NATS_MONITOR_URLS".to_owned(), String::new()));
        let bad = run(program, &["check"], &unproven).await;
        assert!(!bad.status.success() && bad.text.contains("NATS_MONITOR_URLS"), "{program} check:\n{}", bad.text);

        let mut recut = pipeline.environment().to_vec();
        recut.push(("PARTITIONS".to_owned(), "32".to_owned()));
        let bad = run(program, &["check"], &recut).await;
        assert!(!bad.status.success() && bad.text.contains("PARTITIONS=16"), "{program} check:\n{}", bad.text);
    }
}

//! The links to PostgreSQL and NATS: encrypted, with certificates checked, when the addresses ask for it; and the login to NATS.

use std::path::Path;

use serde_json::{Value, json};
use sqlx::Executor;
use tests::certificates::make_certificates;
use tests::client::Client;
use tests::eventually::eventually;
use tests::folder::Folder;
use tests::pipeline::{Pipeline, Setup};
use tests::program::{Program, run};
use tests::services::{PrivateNats, PrivatePostgres};

/// Switches TLS on in a running server. Its user may not read our folder, so it writes the files itself.
async fn switch_tls_on(pipeline: &Pipeline, folder: &Path) {
    for (ours, theirs) in [("known-server.key", "server.key"), ("known-server.pem", "server.crt")] {
        let text = std::fs::read_to_string(folder.join(ours)).unwrap().trim_end().replace('\n', "@");
        let copy = format!("COPY (SELECT '{text}') TO PROGRAM 'umask 077; tr @ ''\\n'' >{theirs}'");
        pipeline.database.pool.execute(copy.as_str()).await.unwrap_or_else(|e| panic!("{theirs}: {e}"));
    }
    pipeline.database.pool.execute("ALTER SYSTEM SET ssl = on").await.unwrap();
    pipeline.database.pool.execute("SELECT pg_reload_conf()").await.unwrap();
    eventually("PostgreSQL offers TLS", async || {
        let ssl: String = sqlx::query_scalar("SHOW ssl").fetch_one(&pipeline.database.pool).await.unwrap();
        if ssl == "on" { Ok(()) } else { Err(format!("ssl = {ssl}")) }
    })
    .await;
}

#[tokio::test]
async fn links_are_encrypted_and_certificates_checked() {
    let folder = Folder::new("tls");
    make_certificates(folder.path(), "known");
    make_certificates(folder.path(), "unknown");
    let file = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    let tls = format!(
        "tls {{ cert_file: \"{}\", key_file: \"{}\" }}\nallow_non_tls: true # for the test itself\nmax_payload:",
        file("known-server.pem"),
        file("known-server.key")
    );
    let nats = PrivateNats::start_with(&[("max_payload:", &tls)]);
    let postgres = PrivatePostgres::start();
    let mut pipeline = Setup::default().nats(&nats).postgres(&postgres).start().await;
    switch_tls_on(&pipeline, folder.path()).await;

    let encrypted = |program: &str, authority: &str| {
        let mut environment = pipeline.environment_of(program);
        for (name, value) in &mut environment {
            match name.as_str() {
                "DATABASE_URL" => *value += &format!("?sslmode=verify-full&sslrootcert={}", file(authority)),
                "NATS_URL" => *value = value.replace("nats://", "tls://"),
                _ => {}
            }
        }
        environment.push(("SSL_CERT_FILE".to_owned(), file(authority)));
        environment
    };
    for program in ["ingest", "worker"] {
        let check = run(program, &["check"], &encrypted(program, "known.pem")).await;
        assert!(check.status.success(), "{program}:\n{}", check.text);
        let check = run(program, &["check"], &encrypted(program, "unknown.pem")).await;
        let problems = check.text.lines().filter(|line| line.starts_with("PROBLEM")).count();
        assert!(!check.status.success() && problems >= 2, "{program} trusts a stranger's certificate:\n{}", check.text);
    }

    let settings = [encrypted("ingest", "known.pem"), encrypted("worker", "known.pem")];
    let Pipeline { ingests, workers, .. } = &mut pipeline;
    for (program, settings) in ingests.iter_mut().chain(workers).zip(&settings) {
        settings.iter().for_each(|(name, value)| program.set(name, value));
        program.start_again();
    }
    pipeline.ready().await;
    pipeline.client().accepted("/v1/track", &json!({"userId": "u", "event": "e"})).await;
    pipeline.drained().await;
    assert_eq!(pipeline.rows().await, 1);

    let open = "SELECT count(*) FROM pg_stat_activity JOIN pg_stat_ssl USING (pid)
                 WHERE datname = current_database() AND application_name <> '' AND ";
    assert_eq!(pipeline.database.number(&format!("{open} NOT ssl")).await, 0);
    assert!(pipeline.database.number(&format!("{open} ssl")).await >= 4);
    let (_, address) = nats.monitor_url.split_once("//").unwrap();
    let answer = Client::new(address.parse().unwrap()).get("/connz").await.unwrap().json();
    // The test's own has no name.
    let is_ours = |c: &&Value| c["name"].as_str().is_some_and(|name| !name.is_empty());
    let ours: Vec<_> = answer["connections"].as_array().unwrap().iter().filter(is_ours).collect();
    assert!(ours.len() >= 2 && ours.iter().all(|c| c["tls_version"].is_string()), "{answer:#}");
}

#[tokio::test]
async fn a_server_without_tls_is_refused_where_it_is_required() {
    let pipeline = Setup::default().ingests(0).start().await;
    for program in ["ingest", "worker"] {
        for (name, suffix, scheme) in [("DATABASE_URL", "?sslmode=require", ""), ("NATS_URL", "", "tls://")] {
            let mut environment = pipeline.environment_of(program);
            let (_, url) = environment.iter_mut().find(|(n, _)| n == name).unwrap();
            *url = format!("{url}{suffix}");
            if !scheme.is_empty() {
                *url = url.replace("nats://", scheme);
            }
            let check = run(program, &["check"], &environment).await;
            assert!(!check.status.success(), "{program} sends in clear what {name} wants encrypted:\n{}", check.text);
        }
    }
}

#[tokio::test]
async fn the_login_in_the_address_of_nats_is_used() {
    for (demanded, login) in
        [("user: ec, password: \"p@ss word\"", "ec:p%40ss%20word"), ("token: \"t/oken\"", "t%2Foken")]
    {
        let demanded = format!("authorization {{ {demanded} }}\nmax_payload:");
        let nats = PrivateNats::start_with(&[("max_payload:", &demanded)]);
        let pipeline = Setup::default().ingests(0).workers(0).start().await;
        let folder = Folder::new("nats-login");
        for (login, is_right) in [("ec:wrong", false), (login, true)] {
            let mut environment = pipeline.environment_of("worker");
            for (name, value) in &mut environment {
                match name.as_str() {
                    "NATS_URL" => *value = nats.url.replace("nats://", &format!("nats://{login}@")),
                    "NATS_MONITOR_URLS" => value.clone_from(&nats.monitor_url),
                    _ => {}
                }
            }
            let mut worker = Program::start("worker", "worker", &environment, folder.path());
            if is_right { worker.ready().await } else { drop(worker.unready_with("NATS").await) }
        }
    }
}

//! `worker check`: verifies settings, database, schema, streams and durability; changes nothing.

use std::time::Duration;

use shared::store::{durability, schema};
use shared::stream::{connection, lanes};

use super::{pool, say};
use crate::settings::Settings;
use crate::{Problem, attach, layout};

/// Runs the command; the error names how many things are wrong.
pub async fn check() -> Result<(), Problem> {
    let settings = Settings::from_environment()?;
    let mut problems = 0;
    let mut report = |what: &str, found: Vec<String>| {
        problems += found.len();
        if found.is_empty() {
            say(&format!("ok       {what}"));
        }
        found.iter().for_each(|problem| say(&format!("PROBLEM  {what}: {problem}")));
    };
    report("settings", Vec::new());
    let pool = pool(&settings)?;
    let said = |error: sqlx::Error| vec![error.to_string()];
    let database = durability::problems(&pool, &settings.pipeline).await;
    let reachable = database.is_ok();
    report("PostgreSQL and its durability", database.unwrap_or_else(said));
    if reachable {
        report("schema", schema::problem(&pool).await.map_or_else(said, |p| p.into_iter().collect()));
    }
    let stream = connection::connect(&settings.pipeline, "ec-worker-check").await?;
    connection::wait_until_up(&stream, Duration::from_secs(5)).await;
    report(
        "NATS, its streams and their durability",
        shared::stream::durability::problems(&stream, &settings.pipeline).await,
    );
    if reachable && stream.is_up() {
        let jetstream = lanes::jetstream(stream.client.clone());
        let layout = layout::in_force(&mut *pool.acquire().await?, &jetstream, &settings.pipeline).await;
        let lanes = layout.map(|layout| lanes::Lane::all(&settings.pipeline.stream_prefix, layout));
        for lane in lanes.unwrap_or_else(|error| {
            report("layout", vec![error.to_string()]);
            Vec::new()
        }) {
            let found = match attach::read(&mut *pool.acquire().await?, &lane).await {
                Ok(None) => vec!["no worker has run yet: its positions are not in the database".to_owned()],
                Ok(Some((record, positions))) => {
                    let verified = attach::verify(&jetstream, &lane, &record, &positions).await;
                    verified.err().map(|e| e.to_string()).into_iter().collect()
                }
                Err(error) => said(error),
            };
            report(&format!("positions in {}", lane.stream), found);
        }
    }
    if problems == 0 { Ok(()) } else { Err(format!("{problems} problem(s) found").into()) }
}

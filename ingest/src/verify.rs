//! `ingest check`: verifies settings, stream, durability, database and schema, and says each on a line.

use std::io::Write;
use std::time::Duration;

use shared::runtime::settings::Reader;
use shared::store::connection::{self as store, SessionLimits};
use shared::store::{durability as store_durability, schema};
use shared::stream::{connection as stream, durability as stream_durability};

use crate::run::{Failure, NAME};
use crate::settings::Settings;

const PATIENCE: Duration = Duration::from_secs(5);

/// Checks everything, prints it, and returns whether all is well. Mistakes in the settings end it at once.
pub async fn check(mut reader: Reader, out: &mut impl Write) -> Result<bool, Failure> {
    let settings = Settings::read(&mut reader);
    let in_force = reader.finish()?;
    let mut lines = vec![("settings", Ok(()))];
    lines.push(("NATS and stream", nats(&settings).await));
    lines.extend(postgres(&settings).await);

    let mut text = format!("settings in force:\n{in_force}");
    for (what, result) in &lines {
        match result {
            Ok(()) => text.push_str(&format!("ok       {what}\n")),
            Err(problems) => {
                let problems: &Vec<String> = problems;
                problems.iter().for_each(|problem| text.push_str(&format!("PROBLEM  {what}: {problem}\n")));
            }
        }
    }
    let write = |e: std::io::Error| Failure::Start { doing: "printing", cause: e.into() };
    out.write_all(text.as_bytes()).map_err(write)?;
    Ok(lines.iter().all(|(_, result)| result.is_ok()))
}

async fn nats(settings: &Settings) -> Result<(), Vec<String>> {
    let connection = stream::connect(&settings.pipeline, NAME).await.map_err(|e| vec![e.to_string()])?;
    stream::wait_until_up(&connection, PATIENCE).await;
    none(stream_durability::check(&connection, &settings.pipeline).await)
}

async fn postgres(settings: &Settings) -> Vec<(&'static str, Result<(), Vec<String>>)> {
    let pool = match store::options(&settings.pipeline, NAME, SessionLimits::default()) {
        Ok(options) => store::pool(options, 1),
        Err(error) => return vec![("PostgreSQL", Err(vec![format!("DATABASE_URL cannot be read: {error}")]))],
    };
    let durability = store_durability::problems(&pool, &settings.pipeline).await;
    let durability = durability.map_err(|e| vec![format!("it cannot be asked: {e}")]).and_then(none);
    if durability.is_err() {
        return vec![("PostgreSQL durability", durability)];
    }
    let schema = schema::problem(&pool).await;
    let schema =
        schema.map_err(|e| vec![format!("it cannot be read: {e}")]).and_then(|p| none(p.into_iter().collect()));
    vec![("PostgreSQL durability", durability), ("schema", schema)]
}

fn none(problems: Vec<String>) -> Result<(), Vec<String>> {
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

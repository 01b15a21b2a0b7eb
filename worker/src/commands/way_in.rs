//! The way into the stream for commands: the lanes, proven to keep what they acknowledge and to be the ones the positions belong to.

use std::time::Duration;

use chrono::Utc;
use shared::domain::layout::Layout;
use shared::domain::message::encode;
use shared::stream::connection::Connection;
use shared::stream::lanes::{self, Lane};
use shared::stream::sealed::Sealed;
use shared::stream::{connection, durability};
use sqlx::PgPool;

use crate::settings::Settings;
use crate::{Problem, attach, layout};

/// Longest wait for the connection.
const PATIENCE: Duration = Duration::from_secs(10);

/// The lanes, open for messages.
#[derive(Debug)]
pub struct WayIn {
    /// To NATS.
    pub connection: Connection,
    /// How events are cut into partitions, and these into lanes.
    pub layout: Layout,
    /// All of them.
    pub lanes: Vec<Lane>,
}

impl WayIn {
    /// Connects under a name; the error says what cannot be trusted.
    pub async fn open(settings: &Settings, pool: &PgPool, name: &str) -> Result<Self, Problem> {
        let stream = connection::connect(&settings.pipeline, name).await?;
        if !connection::wait_until_up(&stream, PATIENCE).await {
            return Err("NATS is not connected; check NATS_URL".into());
        }
        let problems = durability::problems(&stream, &settings.pipeline).await;
        if !problems.is_empty() {
            return Err(format!("the stream cannot be trusted: {}", problems.join("; ")).into());
        }
        let jetstream = lanes::jetstream(stream.client.clone());
        let layout = layout::in_force(&mut *pool.acquire().await?, &jetstream, &settings.pipeline).await?;
        let lanes = Lane::all(&settings.pipeline.stream_prefix, layout);
        for lane in &lanes {
            let recorded = attach::read(&mut *pool.acquire().await?, lane).await?;
            let (record, positions) = recorded.ok_or("no worker has run yet: its positions are not in the database")?;
            attach::verify(&jetstream, lane, &record, &positions).await?;
        }
        Ok(Self { connection: stream, layout, lanes })
    }
}

/// Seals lines, each with its partition, as one message of now.
pub fn seal<L: AsRef<[u8]>>(version: u16, lines: &[(u16, L)]) -> Sealed {
    let payload = encode(version, Utc::now(), lines.iter().map(|(partition, line)| (*partition, line.as_ref())));
    Sealed::new(version, payload, lines.len())
}

//! `worker erase`: people are erased, or their consent renewed, through the stream.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use chrono::Utc;
use indicatif::ProgressBar;
use shared::domain::control::{Control, Erase as Erasure, Mode, Request};
use shared::domain::limits::ID_BYTES;
use shared::domain::message::SPECIAL_VERSION;
use shared::domain::user_key::KeyKind;
use shared::redrive::Publish;
use shared::runtime::pace::Pace;
use sqlx::PgPool;
use uuid::Uuid;

use crate::Problem;
use crate::commands::way_in::WayIn;
use crate::commands::{pool, say};
use crate::settings::Settings;

/// People per second: all partitions wait for an erasure, for about a millisecond.
const PEOPLE_PER_SECOND: u32 = 200;
/// People of one step.
const PEOPLE_PER_STEP: usize = 50;
/// Between looks at what became of them.
const LOOK: Duration = Duration::from_millis(200);

/// `erase`.
#[derive(Debug, clap::Args)]
pub struct Erase {
    /// User ids
    ids: Vec<String>,
    /// A file with one id a line
    #[arg(long)]
    file: Option<PathBuf>,
    /// They are anonymous ids: visitors that nobody logged in as
    #[arg(long)]
    anonymous: bool,
    /// Keep the events, under one random id per person, without what identifies
    #[arg(long)]
    anonymise: bool,
    /// A property that anonymised events keep; may be given several times
    #[arg(long = "keep-property", requires = "anonymise")]
    keep_properties: Vec<String>,
    /// Renew the consent of people who were erased, instead: what happens from now on is stored again
    #[arg(long, conflicts_with = "anonymise")]
    renew: bool,
    /// Why: a ticket number, for example. It is kept in the receipt
    #[arg(long)]
    reason: Option<String>,
    /// Who asks, for the receipt
    #[arg(long, default_value_t = crate::commands::dead_letters::somebody())]
    by: String,
    /// Wait until everything that was stored is gone
    #[arg(long)]
    wait: bool,
}

impl Erase {
    /// Runs the command.
    pub async fn run(self) -> Result<(), Problem> {
        let settings = Settings::from_environment()?;
        let ids = self.ids(&settings)?;
        let pool = pool(&settings)?;
        let mut way = WayIn::open(&settings, &pool, "ec-worker-erase").await?;
        let bar = ProgressBar::new(ids.len() as u64);
        let mut pace = Pace::new(PEOPLE_PER_SECOND);
        let mut requests = Vec::with_capacity(ids.len());
        for step in ids.chunks(PEOPLE_PER_STEP) {
            pace.turn().await;
            pace.spend(step.len() as u64);
            let asked = requests.len();
            requests.extend(self.ask(&mut way, step).await.map_err(|why| {
                format!("{asked} of {} requests are in the stream, the next were not taken: {why}. Run this again: asking twice does no harm", ids.len())
            })?);
            bar.inc(step.len() as u64);
        }
        bar.finish_and_clear();
        let what = if self.renew { "renewals of consent" } else { "erasures" };
        say(&format!("{} {what} are in the stream", requests.len()));
        for (id, key) in requests.iter().take(20) {
            say(&format!("{id}  {key}"));
        }
        if requests.len() > 20 {
            say(&format!("… and {} more: worker erasures list", requests.len() - 20));
        }
        if self.wait {
            let ids: Vec<Uuid> = requests.into_iter().map(|(id, _)| id).collect();
            wait(&pool, &ids).await?;
            say(
                "everything that was stored is gone; the receipts are provisional until the stream is trimmed and older backups are gone",
            );
        }
        Ok(())
    }

    fn ids(&self, settings: &Settings) -> Result<Vec<String>, Problem> {
        let mut ids = self.ids.clone();
        if let Some(file) = &self.file {
            let text = std::fs::read_to_string(file).map_err(|e| format!("{} cannot be read: {e}", file.display()))?;
            ids.extend(text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned));
        }
        ids.sort_unstable();
        ids.dedup();
        if ids.is_empty() {
            return Err("say who is meant: ids, or --file with one id a line".into());
        }
        let is_wrong =
            |id: &&String| settings.pipeline.placeholders.contains(id) || id.len() > ID_BYTES || id.contains('\0');
        match ids.iter().find(is_wrong) {
            Some(id) => {
                Err(format!("{id:?} is nobody's id: it stands for strangers, or is longer than {ID_BYTES} bytes")
                    .into())
            }
            None => Ok(ids),
        }
    }

    /// Puts requests into the stream, one message per lane.
    async fn ask(&self, way: &mut WayIn, ids: &[String]) -> Result<Vec<(Uuid, String)>, Problem> {
        let mut lanes = BTreeMap::<u16, Vec<(u16, Bytes)>>::new();
        let mut requests = Vec::with_capacity(ids.len());
        for id in ids {
            let control = self.control(id);
            let partition = control.request().key().partition(way.layout.partitions);
            lanes.entry(way.layout.lane_of(partition)).or_default().push((partition, control.to_line()?.into()));
            requests.push((control.request().id, id.clone()));
        }
        for (lane, lines) in lanes {
            way.publish(lane, SPECIAL_VERSION, lines).await?;
        }
        Ok(requests)
    }

    fn control(&self, id: &str) -> Control {
        let request = Request {
            id: Uuid::new_v4(),
            kind: if self.anonymous { KeyKind::Anonymous } else { KeyKind::User },
            key: id.to_owned(),
            requested_at: Utc::now(),
            by: self.by.clone(),
            reason: self.reason.clone(),
        };
        if self.renew {
            return Control::RenewConsent(request);
        }
        let mode = if self.anonymise { Mode::Anonymise } else { Mode::Delete };
        Control::Erase(Erasure { request, mode, keep_properties: self.keep_properties.clone() })
    }
}

/// Waits until all of them took effect and are swept.
async fn wait(pool: &PgPool, ids: &[Uuid]) -> Result<(), Problem> {
    let bar = ProgressBar::new(ids.len() as u64);
    loop {
        let done: i64 = sqlx::query_scalar(
            "/* erase.wait */ SELECT count(*) FROM erasures WHERE id = ANY($1) AND state <> 'sweeping'",
        )
        .bind(ids)
        .fetch_one(pool)
        .await?;
        let done = u64::try_from(done).unwrap_or(0);
        bar.set_position(done);
        if done >= ids.len() as u64 {
            bar.finish_and_clear();
            return Ok(());
        }
        tokio::time::sleep(LOOK).await;
    }
}

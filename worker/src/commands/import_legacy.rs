//! `worker import-legacy`: brings the old server's `data.json` in. See [`crate::legacy`] for how, and `deploy/MIGRATION.md` for when.

use std::path::{Path, PathBuf};

use chrono::{Days, NaiveDate, Utc};
use shared::domain::legacy::Terms;
use sqlx::PgPool;

use super::way_in::WayIn;
use super::{pool, say};
use crate::legacy::documents::Standing;
use crate::legacy::import::{Done, import, validate};
use crate::legacy::plan::{Expired, Plan};
use crate::legacy::progress::Progress;
use crate::legacy::publish::Publisher;
use crate::legacy::rejects::Rejects;
use crate::legacy::survey::{Survey, survey};
use crate::legacy::{backup, hold, memory, verify};
use crate::settings::Settings;
use crate::{Problem, jobs};

/// What to import, and how.
#[derive(Debug, clap::Args)]
pub struct ImportLegacy {
    /// The old server's data.json
    file: PathBuf,
    /// Only say what would be done
    #[arg(long)]
    dry_run: bool,
    /// What becomes of events older than RETENTION_DAYS; must be said when there are any
    #[arg(long, value_enum)]
    expired: Option<Expired>,
    /// With --expired keep: the last day on which the old days are kept. Today and RETENTION_DAYS more, if not given
    #[arg(long, value_name = "DATE")]
    keep_until: Option<NaiveDate>,
    /// Where to write what cannot be imported, with reasons. FILE.rejects.jsonl, if not given (a dry run then writes none)
    #[arg(long, value_name = "FILE")]
    rejects: Option<PathBuf>,
    /// Where to put the copy of the file. Beside it, if not given
    #[arg(long, value_name = "FOLDER")]
    backup_dir: Option<PathBuf>,
    /// Compare the file with the database afterwards; with --dry-run: only compare
    #[arg(long)]
    verify: bool,
}

/// All was done that could be, but some elements could not be imported.
#[derive(Debug, thiserror::Error)]
#[error("{count} elements could not be imported: they are in {}, with reasons", rejects.display())]
pub struct Incomplete {
    count: u64,
    rejects: PathBuf,
}

/// What all ways through the file share.
struct Scene<'a> {
    settings: &'a Settings,
    pool: &'a PgPool,
    survey: Survey,
    terms: Terms<'a>,
    today: NaiveDate,
}

impl Scene<'_> {
    fn plan(&self, expired: Option<Expired>) -> Plan<'_> {
        let retention = Days::new(u64::from(self.settings.pipeline.retention_days));
        let shown_from = self.today.checked_sub_days(retention).unwrap_or(NaiveDate::MIN);
        Plan::new(self.terms, &self.survey, shown_from, expired)
    }
}

impl ImportLegacy {
    /// Runs the command.
    pub async fn run(self) -> Result<(), Problem> {
        let settings = Settings::from_environment()?;
        let pool = pool(&settings)?;
        let file = if self.dry_run { self.file.clone() } else { self.back_up()? };
        let mut scene = Scene {
            settings: &settings,
            pool: &pool,
            survey: survey(&file).await?,
            terms: Terms {
                now: Utc::now(),
                placeholders: &settings.pipeline.placeholders,
                // Where an event goes makes no difference to the validation.
                partitions: settings.pipeline.first_layout.partitions,
            },
            today: jobs::today(&pool).await?,
        };
        let mut rejects = Rejects::new(self.rejects_path());
        let rejected = self.validated(&scene, &file, &mut rejects).await?;
        let way = if self.dry_run { None } else { Some(WayIn::open(&settings, &pool, "ec-worker-import").await?) };
        if let Some(way) = &way {
            scene.terms.partitions = way.layout.partitions;
        }
        let published = match way {
            Some(way) => Some(self.imported(&scene, way, &file, &mut rejects).await?),
            None => None,
        };
        if self.verify {
            if let Some(publisher) = published {
                let mut progress = Progress::start("waiting for the workers", 0);
                publisher.processed(&mut progress).await?;
                progress.end();
            }
            compare(&scene, &file, self.expired).await?;
        }
        if let Some(peak) = memory::peak_bytes() {
            say(&format!("peak memory {} MiB", peak >> 20));
        }
        if rejected > 0 {
            let rejects = rejects.path().to_owned();
            return Err(match self.dry_run && self.rejects.is_none() {
                true => format!("{rejected} elements cannot be imported; --rejects FILE lists them").into(),
                false => Box::new(Incomplete { count: rejected, rejects }),
            });
        }
        Ok(())
    }

    fn back_up(&self) -> Result<PathBuf, Problem> {
        let copy = backup::copy(&self.file, self.backup_dir.as_deref())?;
        say(&format!("the file is copied to {} (compared); the copy is what is imported", copy.display()));
        Ok(copy)
    }

    fn rejects_path(&self) -> PathBuf {
        self.rejects.clone().unwrap_or_else(|| {
            let mut path = self.file.as_os_str().to_owned();
            path.push(".rejects.jsonl");
            path.into()
        })
    }

    /// Reads all of it once and prints the report; the number of elements that cannot be imported.
    async fn validated(&self, scene: &Scene<'_>, file: &Path, rejects: &mut Rejects) -> Result<u64, Problem> {
        let mut plan = scene.plan(self.expired);
        let listed = (self.dry_run && self.rejects.is_some()).then_some(&mut *rejects);
        validate(file, scene.pool, &scene.survey, &mut plan, listed).await?;
        rejects.finish()?;
        let report = plan.report;
        report.lines().iter().for_each(|line| say(line));
        let expired = report.all_expired();
        match self.expired {
            _ if expired == 0 => {}
            Some(Expired::Skip) => {
                say("            they are left out (--expired skip); they stay in the copy of the file")
            }
            Some(Expired::Keep) => {
                let until = self.until(scene);
                say(&format!("            they are imported, and kept to the end of {until} (--expired keep)"));
                if !self.dry_run {
                    hold::hold(scene.pool, report.expired_days().keys().copied(), until).await?;
                }
            }
            None => {
                let days = scene.settings.pipeline.retention_days;
                let choice = format!(
                    "{expired} events are older than the {days} days that are kept. Say what becomes of them: --expired keep imports them \
                     and keeps their days until --keep-until (by default {}), --expired skip leaves them out",
                    self.until(scene)
                );
                if !self.dry_run {
                    return Err(format!("{choice}. Nothing was imported").into());
                }
                say(&format!("            {choice}"));
            }
        }
        Ok(report.all_rejected())
    }

    fn until(&self, scene: &Scene<'_>) -> NaiveDate {
        let retention = Days::new(u64::from(scene.settings.pipeline.retention_days));
        self.keep_until.unwrap_or_else(|| scene.today.checked_add_days(retention).unwrap_or(NaiveDate::MAX))
    }

    async fn imported<'a>(
        &self,
        scene: &'a Scene<'_>,
        way: WayIn,
        file: &Path,
        rejects: &mut Rejects,
    ) -> Result<Publisher<'a>, Problem> {
        let mut publisher = Publisher::new(way, scene.settings, scene.pool);
        let mut plan = scene.plan(self.expired);
        let done = import(file, scene.pool, &scene.survey, &mut plan, &mut publisher, rejects).await?;
        tell(&done, publisher.sent);
        Ok(publisher)
    }
}

fn tell(done: &Done, sent: u64) {
    let of = |standing| done.documents.get(&standing).copied().unwrap_or(0);
    say(&format!(
        "documents: {} added, {} there already, {} changed here since and left alone, {} deleted here and left so",
        of(Standing::New),
        of(Standing::Same),
        of(Standing::Changed),
        of(Standing::Deleted)
    ));
    say(&format!("users and events: {sent} sent through the stream, {} there already", done.there));
}

async fn compare(scene: &Scene<'_>, file: &Path, expired: Option<Expired>) -> Result<(), Problem> {
    let mut plan = scene.plan(expired);
    let comparison = verify::verify(file, scene.pool, &scene.survey, &mut plan).await?;
    comparison.lines().iter().for_each(|line| say(line));
    if comparison.different == 0 {
        say("verified: everything that can be imported is in the database as it is in the file");
        return Ok(());
    }
    Err(format!("{} elements differ between the file and the database", comparison.different).into())
}

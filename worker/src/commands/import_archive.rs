//! `worker import-archive`: brings the events of a day back from its archive, for a while.
//!
//! The day is held first, so that the retention leaves it alone; then its partition is made and filled. Repeating it is harmless.

use std::path::{Path, PathBuf};

use chrono::NaiveDate;
use clap::Args;

use super::{pool, say};
use crate::Problem;
use crate::archive::folder::Folder;
use crate::archive::import::import;
use crate::archive::lines;
use crate::archive::manifest::Manifest;
use crate::jobs::partitions;
use crate::settings::Settings;

mod progress;

/// Its arguments.
#[derive(Debug, Args)]
pub struct ImportArchive {
    /// A day (2026-08-20): all its archives in the folder; or the manifest of one archive, a file.
    #[arg(value_name = "DAY|FILE")]
    what: String,
    /// The last day on which it is kept.
    #[arg(long, value_name = "DATE")]
    until: NaiveDate,
    /// The folder, where it is not `ARCHIVE_DIR`.
    #[arg(long, value_name = "FOLDER")]
    from: Option<PathBuf>,
}

/// Runs the command.
pub async fn import_archive(what: ImportArchive) -> Result<(), Problem> {
    let settings = Settings::from_environment()?;
    let pool = pool(&settings)?;
    let (folder, archives) = find(&what, settings.retention.archive.as_ref())?;
    let today = crate::jobs::today(&pool).await?;
    if what.until < today {
        return Err(format!("--until {} has passed: give a day from {today} on", what.until).into());
    }
    let rows: u64 = archives.iter().map(|archive| archive.rows).sum();
    let progress = progress::Progress::start(rows * 2);
    for archive in &archives {
        // Before anything is changed.
        let (folder, archive, progress) = (folder.clone(), archive.clone(), progress.clone());
        tokio::task::spawn_blocking(move || {
            lines::verify(&folder, &archive)?;
            progress.add(archive.rows);
            Ok::<_, crate::archive::ArchiveError>(())
        })
        .await??;
    }
    let mut connection = pool.acquire().await?;
    let mut new = 0;
    for archive in &archives {
        sqlx::query(
            "/* import_archive */ INSERT INTO holds AS h (day, until, reason) VALUES ($1, $2, 'brought back from an archive')
             ON CONFLICT (day) DO UPDATE SET until = greatest(h.until, excluded.until)",
        )
        .bind(archive.day)
        .bind(what.until)
        .execute(&mut *connection)
        .await?;
        partitions::ensure(&pool, archive.day).await?;
        new += import(&mut connection, &folder, archive, |rows| progress.add(rows)).await?;
    }
    // So that lists find them.
    crate::jobs::spans::note(&pool).await?;
    progress.end();
    let days: Vec<String> = archives.iter().map(|archive| archive.day.to_string()).collect();
    say(&format!(
        "{new} of {rows} events of {} brought back from {} archive(s), and held until {}; the others were there already",
        days.first().map_or("", String::as_str),
        archives.len(),
        what.until
    ));
    Ok(())
}

/// The archives that are meant, with their folder.
fn find(what: &ImportArchive, configured: Option<&Folder>) -> Result<(Folder, Vec<Manifest>), Problem> {
    let Ok(day) = what.what.parse::<NaiveDate>() else {
        let path = Path::new(&what.what);
        let name = path.file_name().and_then(|name| name.to_str()).filter(|_| path.exists());
        let name = name.ok_or_else(|| format!("{} is neither a day (2026-08-20) nor a file", what.what))?;
        let folder = Folder::new(path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new(".")));
        let archive = folder.read(name)?;
        return Ok((folder, vec![archive]));
    };
    let folder = what.from.as_ref().map(Folder::new).or(configured.cloned());
    let folder = folder.ok_or("where are the archives? Set ARCHIVE_DIR, or give --from FOLDER")?;
    let archives = folder.of_day(day)?;
    if archives.is_empty() {
        return Err(format!("there is no archive of {day} in {}", folder.path().display()).into());
    }
    Ok((folder, archives))
}

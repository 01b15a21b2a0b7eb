//! Brings the rows of an archive back into `events`.

use sqlx::{Connection, PgConnection};
use tokio::sync::mpsc;

use super::ArchiveError;
use super::folder::Folder;
use super::lines::Reader;
use super::manifest::Manifest;

/// A transaction takes so many rows …
const ROWS_AT_ONCE: usize = 5_000;
/// … or so many bytes of them.
const BYTES_AT_ONCE: usize = 4 << 20;

/// Inserts all rows of an archive that are not there, and books them. Tells how many were new; `progress` hears how many more were looked at.
/// Cut off, it has done a part of it, well booked, and can be repeated. The archive must have been verified.
pub async fn import(
    connection: &mut PgConnection,
    folder: &Folder,
    manifest: &Manifest,
    mut progress: impl FnMut(u64),
) -> Result<u64, ArchiveError> {
    let (sender, mut receiver) = mpsc::channel(2);
    let (folder, manifest_there) = (folder.clone(), manifest.clone());
    let reader = tokio::task::spawn_blocking(move || read(&folder, &manifest_there, &sender));
    let mut new = 0;
    while let Some(lines) = receiver.recv().await {
        new += insert(connection, manifest, &lines).await?;
        progress(lines.len() as u64);
    }
    reader.await??;
    Ok(new)
}

fn read(folder: &Folder, manifest: &Manifest, sender: &mpsc::Sender<Vec<String>>) -> Result<(), ArchiveError> {
    let mut reader = Reader::open(folder, manifest)?;
    let (mut lines, mut bytes) = (Vec::new(), 0);
    while let Some(line) = reader.read()? {
        bytes += line.len();
        lines.push(line);
        if lines.len() >= ROWS_AT_ONCE || bytes >= BYTES_AT_ONCE {
            bytes = 0;
            if sender.blocking_send(std::mem::take(&mut lines)).is_err() {
                return Ok(());
            }
        }
    }
    // Whoever does not listen any more has failed, and says why.
    let _ = sender.blocking_send(lines);
    Ok(())
}

/// Rows that come back are booked as removals below zero, in the same transaction.
async fn insert(connection: &mut PgConnection, manifest: &Manifest, lines: &[String]) -> Result<u64, sqlx::Error> {
    let mut transaction = connection.begin().await?;
    let new = sqlx::query(
        "/* import.insert.events */ INSERT INTO events SELECT row.* FROM unnest($1::text[]) AS line, json_populate_record(NULL::events, line::json) AS row
         ON CONFLICT DO NOTHING",
    )
    .bind(lines)
    .execute(&mut *transaction)
    .await?
    .rows_affected();
    if new > 0 {
        sqlx::query("/* import.insert.removals */ INSERT INTO removals (day, events, reason) VALUES ($1, -$2, 'brought back from an archive')")
            .bind(manifest.day)
            .bind(i64::try_from(new).unwrap_or(i64::MAX))
            .execute(&mut *transaction)
            .await?;
    }
    transaction.commit().await?;
    Ok(new)
}

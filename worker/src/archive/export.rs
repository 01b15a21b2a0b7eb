//! Makes an archive of the table of a day, a few rows at a time.

use futures_util::TryStreamExt as _;
use sqlx::PgConnection;
use tokio::sync::mpsc;
use uuid::Uuid;

use super::ArchiveError;
use super::folder::Folder;
use super::lines::Writer;
use super::manifest::Manifest;
use crate::jobs::partitions::DayTable;

/// Rows of one statement: none holds a snapshot for long, which would keep dead rows elsewhere from being cleaned up.
const ROWS_PER_STATEMENT: i64 = 2_000;
/// Lines are handed to the thread that compresses them in pieces of this size; two may wait.
const PIECE_BYTES: usize = 1 << 20;

enum Piece {
    Lines(Vec<String>),
    /// All are there.
    End,
}

/// Exports a table that nobody writes to any more. The connection must be allowed to read it.
pub async fn export(
    connection: &mut PgConnection,
    table: &DayTable,
    folder: &Folder,
) -> Result<Manifest, ArchiveError> {
    let schema = sqlx::query_scalar("/* export */ SELECT max(version) FROM _sqlx_migrations")
        .fetch_one(&mut *connection)
        .await?;
    let (sender, receiver) = mpsc::channel(2);
    let (folder, day) = (folder.clone(), table.day);
    let writer = tokio::task::spawn_blocking(move || write(&folder, day, schema, receiver));
    let read = read(connection, table, &sender).await;
    drop(sender);
    let written = writer.await?;
    read?;
    written
}

fn write(
    folder: &Folder,
    day: chrono::NaiveDate,
    schema: i64,
    mut pieces: mpsc::Receiver<Piece>,
) -> Result<Manifest, ArchiveError> {
    let mut writer = Writer::create(folder, day)?;
    while let Some(piece) = pieces.blocking_recv() {
        match piece {
            Piece::Lines(lines) => lines.iter().try_for_each(|line| writer.write(line))?,
            Piece::End => return writer.finish(schema),
        }
    }
    Err(ArchiveError::damaged(folder.path(), format!("the export of {day} was given up")))
}

/// Hands over all rows in order of id. Ends early when nobody listens: the writer says why.
async fn read(
    connection: &mut PgConnection,
    table: &DayTable,
    sender: &mpsc::Sender<Piece>,
) -> Result<(), sqlx::Error> {
    // By the primary key, which names the day first. The table's name is made of digits.
    let query = format!(
        "/* export.read */ SELECT id, row_to_json(e)::text FROM ONLY {} e WHERE day = $1 AND id >= $2 ORDER BY id LIMIT {ROWS_PER_STATEMENT}",
        table.name
    );
    let next = query.replace(">=", ">");
    let (mut query, mut after) = (query, Uuid::nil());
    loop {
        let (mut rows, mut piece, mut bytes) = (0, Vec::new(), 0);
        {
            let mut found =
                sqlx::query_as::<_, (Uuid, String)>(&query).bind(table.day).bind(after).fetch(&mut *connection);
            while let Some((id, line)) = found.try_next().await? {
                (after, rows, bytes) = (id, rows + 1, bytes + line.len());
                piece.push(line);
                if bytes >= PIECE_BYTES {
                    bytes = 0;
                    // Whoever does not listen any more is asked for the reason; the rest of the rows are of no use then.
                    let _ = sender.send(Piece::Lines(std::mem::take(&mut piece))).await;
                }
            }
        }
        query.clone_from(&next);
        let _ = sender.send(Piece::Lines(piece)).await;
        if sender.is_closed() {
            return Ok(());
        }
        if rows < ROWS_PER_STATEMENT {
            let _ = sender.send(Piece::End).await;
            return Ok(());
        }
    }
}

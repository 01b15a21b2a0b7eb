//! Tombstones as a file, for a database that was restored from an older backup: what was erased since would be back in it.
//!
//! One JSON object a line: `{"tombstones": 1, "salt": …}`, then each tombstone, each request with its receipt, and at last
//! `{"end": lines}`, so that a file that was cut off is not taken for a whole one. It holds the salt: keep it like a backup.

use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sqlx::{Executor, PgConnection, PgPool};

use crate::Problem;
use crate::commands::{pool, say};
use crate::erasure::restored;
use crate::settings::Settings;

/// The format of the file.
const VERSION: i64 = 1;

/// What to do.
#[derive(Debug, clap::Subcommand)]
pub enum Tombstones {
    /// Writes all tombstones and receipts into a file.
    Export {
        /// The file
        file: PathBuf,
    },
    /// Reads such a file, and erases again what the restored database still holds. Before the workers are started.
    Import {
        /// The file
        file: PathBuf,
    },
}

impl Tombstones {
    /// Runs the command.
    pub async fn run(self) -> Result<(), Problem> {
        let settings = Settings::from_environment()?;
        let pool = pool(&settings)?;
        match self {
            Self::Export { file } => {
                let lines = export(&pool, &file).await.map_err(|e| format!("{}: {e}", file.display()))?;
                say(&format!("{lines} tombstones and receipts written to {}", file.display()));
            }
            Self::Import { file } => {
                let lines = import(&pool, &file).await.map_err(|e| format!("{}: {e}", file.display()))?;
                say(&format!("{lines} tombstones and receipts are in force"));
                let counts = restored::erase_again(&pool, &settings.pipeline.placeholders).await?;
                let counts: Vec<String> = counts.iter().map(|(table, rows)| format!("{table} {rows}")).collect();
                say(&format!("erased again: {}", counts.join(", ")));
            }
        }
        Ok(())
    }
}

async fn export(pool: &PgPool, file: &PathBuf) -> Result<u64, Problem> {
    let mut moment = pool.begin().await?;
    moment
        .execute("/* tombstones.export.erasure_secrets */ SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        .await?;
    let salt: Vec<u8> =
        sqlx::query_scalar("/* tombstones.export.erasure_secrets.2 */ SELECT salt FROM erasure_secrets")
            .fetch_one(&mut *moment)
            .await?;
    let stones: Vec<Value> =
        sqlx::query_scalar("/* tombstones.export.tombstones */ SELECT jsonb_build_object('tombstone', to_jsonb(t)) FROM tombstones t ORDER BY key_hash")
            .fetch_all(&mut *moment)
            .await?;
    let erasures: Vec<Value> = sqlx::query_scalar(
        "/* tombstones.export.erasures */ SELECT jsonb_build_object('erasure', to_jsonb(e) - 'task') FROM erasures e ORDER BY position",
    )
    .fetch_all(&mut *moment)
    .await?;
    moment.rollback().await?;
    let mut out = BufWriter::new(std::fs::File::create(file)?);
    writeln!(out, "{}", json!({"tombstones": VERSION, "salt": STANDARD.encode(salt)}))?;
    let lines = (stones.len() + erasures.len()) as u64;
    for line in stones.into_iter().chain(erasures) {
        writeln!(out, "{line}")?;
    }
    writeln!(out, "{}", json!({"end": lines}))?;
    out.into_inner().map_err(|e| e.to_string())?.sync_all()?;
    Ok(lines)
}

async fn import(pool: &PgPool, file: &PathBuf) -> Result<u64, Problem> {
    let mut lines = BufReader::new(std::fs::File::open(file)?).lines();
    let mut next = || -> Result<Value, Problem> {
        let line = lines.next().ok_or("it ends before its last line: it was cut off")??;
        Ok(serde_json::from_str(&line)?)
    };
    let head = next()?;
    if head["tombstones"] != VERSION {
        return Err(
            format!("it is no file of tombstones that this program reads (version {})", head["tombstones"]).into()
        );
    }
    let salt = head["salt"].as_str().and_then(|text| STANDARD.decode(text).ok()).ok_or("it has no salt")?;
    let mut transaction = pool.begin().await?;
    // No flush is under way meanwhile.
    transaction.execute("/* tombstones.import */ SELECT FROM partitions ORDER BY partition FOR UPDATE").await?;
    take_salt(&mut transaction, &salt).await?;
    let mut read = 0;
    loop {
        let line = next()?;
        if let Some(end) = line["end"].as_u64() {
            if end != read {
                return Err(format!("it holds {read} of {end} lines").into());
            }
            break;
        }
        take(&mut transaction, &line).await?;
        read += 1;
    }
    transaction.commit().await?;
    Ok(read)
}

/// Hashes only compare under one salt. A database that has erased nobody takes the file's.
async fn take_salt(transaction: &mut PgConnection, salt: &[u8]) -> Result<(), Problem> {
    let taken = sqlx::query(
        "/* tombstones.take_salt */ UPDATE erasure_secrets SET salt = $1
          WHERE salt = $1 OR NOT EXISTS (SELECT FROM tombstones) AND NOT EXISTS (SELECT FROM erasures)",
    )
    .bind(salt)
    .execute(transaction)
    .await?;
    match taken.rows_affected() {
        0 => {
            Err("it is of another deployment: its salt is another one, and this database has tombstones of its own"
                .into())
        }
        _ => Ok(()),
    }
}

async fn take(transaction: &mut PgConnection, line: &Value) -> Result<(), Problem> {
    let statement = if line["tombstone"].is_object() {
        "/* tombstones.take.tombstones */ INSERT INTO tombstones AS t SELECT * FROM jsonb_populate_record(NULL::tombstones, $1)
         ON CONFLICT (key_hash) DO UPDATE SET erasure_id = excluded.erasure_id, erased_at = excluded.erased_at,
            renewed_at = excluded.renewed_at WHERE t.erased_at <= excluded.erased_at"
    } else {
        "/* tombstones.take.erasures */ INSERT INTO erasures (id, action, mode, kind, key_hash, linked_keys, keep_properties, requested_at, requested_by, reason,
                               state, erased_at, swept_at, final_at, positions, counts, mentions, receipt)
         SELECT id, action, mode, kind, key_hash, linked_keys, keep_properties, requested_at, requested_by, reason,
                CASE state WHEN 'sweeping' THEN 'provisional' ELSE state END, erased_at,
                CASE WHEN action = 'erase' THEN coalesce(swept_at, now()) END, final_at, positions, counts, mentions, receipt
           FROM jsonb_populate_record(NULL::erasures, $1) ON CONFLICT (id) DO NOTHING"
    };
    let object = line.get("tombstone").or(line.get("erasure")).ok_or("a line is neither a tombstone nor a request")?;
    sqlx::query(statement).bind(object).execute(transaction).await?;
    Ok(())
}

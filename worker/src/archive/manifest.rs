//! What an archive holds.

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};

/// How archives are written now.
pub const FORMAT: u32 = 1;

/// The description of an archive; a JSON file beside it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`FORMAT`].
    pub format: u32,
    /// The day that all its rows are filed under.
    pub day: NaiveDate,
    /// How many rows it has: one JSON object on each line, its keys the columns of `events`, in order of `id`.
    pub rows: u64,
    /// SHA-256 of the lines with their line ends, uncompressed: the same for the same rows.
    pub lines_sha256: String,
    /// Name of the file with the lines, compressed with Zstandard, in the same folder.
    pub file: String,
    /// Its size.
    pub bytes: u64,
    /// SHA-256 of that file, as `sha256sum` tells it.
    pub sha256: String,
    /// The last migration of the schema that the rows come from.
    pub schema: i64,
    /// When it was made.
    pub made_at: DateTime<Utc>,
}

impl Manifest {
    /// The common beginning of the names of both files.
    #[must_use]
    pub fn stem(&self) -> String {
        stem(self.day, &self.lines_sha256)
    }
}

/// How the names of an archive begin.
#[must_use]
pub fn stem(day: NaiveDate, lines_sha256: &str) -> String {
    let short = lines_sha256.get(..16).unwrap_or(lines_sha256);
    format!("events_{}-{short}", day.format("%Y%m%d"))
}

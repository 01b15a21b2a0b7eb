//! Days of events as files: compressed JSON lines beside a manifest that tells what they hold.
//!
//! [`folder`] knows the names, [`manifest`] the description, [`lines`] writes and reads; [`export`] makes an archive of a table, [`import`]
//! brings one back, [`rewrite`] replaces one.
//!
//! Invariant: an archive is complete when its manifest is there. Data is written under a temporary name, synced, read back and
//! compared before it gets its own; the manifest comes last, and names what it describes by checksum. A name holds the checksum of the
//! lines, so the same rows exported twice are one archive, and different ones never overwrite each other.

pub mod export;
pub mod folder;
pub mod import;
pub mod lines;
pub mod manifest;
pub mod rewrite;

use std::path::{Path, PathBuf};

/// Why an archive cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The file system refuses.
    #[error("{}: {source}", path.display())]
    File {
        /// Where.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is there, and is not what it should be.
    #[error("{} is damaged: {why}", path.display())]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The rows cannot be read or written.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    /// The thread that reads or writes is gone.
    #[error("the archive's thread ended: {0}")]
    Thread(#[from] tokio::task::JoinError),
}

impl ArchiveError {
    fn file(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { path, source }
    }

    fn damaged(path: &Path, why: impl Into<String>) -> Self {
        Self::Damaged { path: path.to_owned(), why: why.into() }
    }
}

//! A standby of a private PostgreSQL, started with `deploy/postgres`.

use std::path::Path;

use super::{deploy, value};
use crate::folder::Folder;

/// A standby of one test.
#[derive(Debug)]
pub struct Standby {
    folder: Folder,
    /// `postgres://…`, the same after a restart.
    pub url: String,
}

impl Standby {
    /// Copies the running server of a folder, and follows it.
    pub(super) fn of(primary: &Path) -> Self {
        let folder = Folder::new("standby");
        let (own, primary) = (folder.path().to_string_lossy().into_owned(), primary.to_string_lossy());
        let lines = deploy("postgres", &["standby", &own, "--of", &primary], &[]);
        Self { folder, url: value(&lines, "DATABASE_URL") }
    }

    /// Stops it.
    pub fn stop(&self) {
        deploy("postgres", &["stop", &self.folder.path().to_string_lossy()], &[]);
    }
}

impl Drop for Standby {
    fn drop(&mut self) {
        self.stop();
        if let Ok(home) = std::fs::read_to_string(self.folder.path().join("moved-to")) {
            let _ = std::fs::remove_dir_all(home.trim());
        }
    }
}

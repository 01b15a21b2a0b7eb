//! The folder that archives lie in.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::NaiveDate;

use super::ArchiveError;
use super::manifest::{FORMAT, Manifest};

const MANIFEST: &str = ".manifest.json";
/// An incomplete file that nobody has written to for so long was left.
const LEFT: Duration = Duration::from_secs(86_400);
/// How files end that are not complete.
pub const PARTIAL: &str = ".partial";

/// The folder.
#[derive(Debug, Clone)]
pub struct Folder(PathBuf);

impl Folder {
    /// The folder at a path. It need not exist yet.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Makes it if it is missing, proves that files can be written there, and removes what was left of writers that were killed.
    pub fn ready(&self) -> Result<(), ArchiveError> {
        fs::create_dir_all(&self.0).map_err(ArchiveError::file(&self.0))?;
        let probe = self.0.join(format!("probe-{}{PARTIAL}", uuid::Uuid::new_v4().simple()));
        File::create(&probe).map_err(ArchiveError::file(&probe))?;
        fs::remove_file(&probe).map_err(ArchiveError::file(&probe))?;
        for entry in fs::read_dir(&self.0).map_err(ArchiveError::file(&self.0))? {
            let path = entry.map_err(ArchiveError::file(&self.0))?.path();
            let age = fs::metadata(&path).and_then(|file| file.modified()).map(|written| written.elapsed());
            let is_left = path.to_string_lossy().ends_with(PARTIAL) && matches!(age, Ok(Ok(age)) if age > LEFT);
            if is_left {
                fs::remove_file(&path).map_err(ArchiveError::file(&path))?;
            }
        }
        Ok(())
    }

    /// The archives of a day, in order of name. Incomplete ones are none.
    pub fn of_day(&self, day: NaiveDate) -> Result<Vec<Manifest>, ArchiveError> {
        let mut found = self.all()?;
        found.retain(|manifest| manifest.day == day);
        Ok(found)
    }

    /// All archives, in order of name, so of day.
    pub fn all(&self) -> Result<Vec<Manifest>, ArchiveError> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.0).map_err(ArchiveError::file(&self.0))? {
            let name = entry.map_err(ArchiveError::file(&self.0))?.file_name().to_string_lossy().into_owned();
            names.extend(Some(name).filter(|name| name.starts_with("events_") && name.ends_with(MANIFEST)));
        }
        names.sort_unstable();
        names.iter().map(|name| self.read(name)).collect()
    }

    /// Reads the manifest in a file of this folder, or that of a file with lines.
    pub fn read(&self, name: &str) -> Result<Manifest, ArchiveError> {
        let stem = name.strip_suffix(MANIFEST).or_else(|| name.strip_suffix(".jsonl.zst")).unwrap_or(name);
        let path = self.0.join(format!("{stem}{MANIFEST}"));
        let bytes = fs::read(&path).map_err(ArchiveError::file(&path))?;
        let manifest: Manifest =
            serde_json::from_slice(&bytes).map_err(|error| ArchiveError::damaged(&path, error.to_string()))?;
        if manifest.format != FORMAT {
            let why =
                format!("its format is {}, this build reads {FORMAT}: use the build that wrote it", manifest.format);
            return Err(ArchiveError::damaged(&path, why));
        }
        if manifest.file.contains(['/', '\\']) {
            return Err(ArchiveError::damaged(&path, "its file lies outside of the folder"));
        }
        Ok(manifest)
    }

    /// The manifest with this name's beginning, if it is there.
    pub fn find(&self, stem: &str) -> Result<Option<Manifest>, ArchiveError> {
        if self.manifest_path(stem).exists() { self.read(stem).map(Some) } else { Ok(None) }
    }

    /// Where the lines of an archive are.
    #[must_use]
    pub fn lines_path(&self, manifest: &Manifest) -> PathBuf {
        self.0.join(&manifest.file)
    }

    fn manifest_path(&self, stem: &str) -> PathBuf {
        self.0.join(format!("{stem}{MANIFEST}"))
    }

    /// Completes an archive: puts the manifest beside its lines, all of it synced.
    pub fn complete(&self, manifest: &Manifest) -> Result<(), ArchiveError> {
        let path = self.manifest_path(&manifest.stem());
        let temporary = self.0.join(format!("{}{PARTIAL}", manifest.stem()));
        let text = serde_json::to_vec_pretty(manifest).map_err(|e| ArchiveError::damaged(&path, e.to_string()))?;
        fs::write(&temporary, text).map_err(ArchiveError::file(&temporary))?;
        File::open(&temporary).and_then(|file| file.sync_all()).map_err(ArchiveError::file(&temporary))?;
        fs::rename(&temporary, &path).map_err(ArchiveError::file(&path))?;
        self.sync()
    }

    /// Removes an archive: first its manifest, so that half of one is none.
    pub fn remove(&self, manifest: &Manifest) -> Result<(), ArchiveError> {
        for path in [self.manifest_path(&manifest.stem()), self.lines_path(manifest)] {
            match fs::remove_file(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(ArchiveError::file(&path)(error));
                }
                Ok(()) | Err(_) => self.sync()?,
            }
        }
        Ok(())
    }

    /// Makes names last.
    pub fn sync(&self) -> Result<(), ArchiveError> {
        File::open(&self.0).and_then(|folder| folder.sync_all()).map_err(ArchiveError::file(&self.0))
    }
}

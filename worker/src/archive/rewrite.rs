//! Replaces an archive by one with other lines: without those of a person, say. Blocks.

use super::ArchiveError;
use super::folder::Folder;
use super::lines::{Reader, Writer};
use super::manifest::Manifest;

/// Writes an archive anew with what `keep` makes of each line (`None`: it goes), and removes the old one once the new one is complete. After
/// a crash both may be there: doing it again ends well. Gives back the archive that is there now.
pub fn rewrite(
    folder: &Folder,
    manifest: &Manifest,
    mut keep: impl FnMut(String) -> Option<String>,
) -> Result<Manifest, ArchiveError> {
    let mut reader = Reader::open(folder, manifest)?;
    let mut writer = Writer::create(folder, manifest.day)?;
    while let Some(line) = reader.read()? {
        if let Some(line) = keep(line) {
            writer.write(&line)?;
        }
    }
    let new = writer.finish(manifest.schema)?;
    if new.stem() != manifest.stem() {
        folder.remove(manifest)?;
    }
    Ok(new)
}

//! A copy of the file before anything is changed, compared with it byte for byte; the import reads the copy, so that an old server
//! that still writes cannot disturb it.

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use shared::domain::legacy::identity::hex;

use crate::Problem;

/// Digits of the checksum in the name.
const DIGITS: usize = 16;

/// Copies a file beside it, or into `folder`, as `NAME.backup-CHECKSUM`. A copy that is there already and right is left.
pub fn copy(file: &Path, folder: Option<&Path>) -> Result<PathBuf, Problem> {
    let named = |path: &Path, doing: &str, error: std::io::Error| format!("{doing} {} failed: {error}", path.display());
    let checksum = checksum(file).map_err(|e| named(file, "reading", e))?;
    let name = file.file_name().ok_or("the file has no name")?.to_string_lossy().into_owned();
    let folder = folder.map_or_else(|| parent(file), Path::to_owned);
    let copy = folder.join(format!("{name}.backup-{}", &checksum[..DIGITS]));
    if self::checksum(&copy).is_ok_and(|found| found == checksum) {
        return Ok(copy);
    }
    let partial = folder.join(format!("{name}.backup-{}.partial", std::process::id()));
    let written = write(file, &partial).and_then(|()| self::checksum(&partial));
    let found = written.map_err(|error| named(&partial, "writing the copy", error))?;
    if found != checksum {
        let _ = std::fs::remove_file(&partial);
        return Err(format!(
            "{} changed while it was copied: stop the old server, then run this again",
            file.display()
        )
        .into());
    }
    std::fs::rename(&partial, &copy).map_err(|error| named(&copy, "naming the copy", error))?;
    sync_folder(&folder).map_err(|error| named(&folder, "syncing", error))?;
    Ok(copy)
}

fn write(from: &Path, to: &Path) -> std::io::Result<()> {
    let mut copy = File::create(to)?;
    std::io::copy(&mut File::open(from)?, &mut copy)?;
    copy.flush()?;
    copy.sync_all()
}

/// Makes a new or renamed file of a folder survive a power cut.
pub fn sync_folder(folder: &Path) -> std::io::Result<()> {
    File::open(folder)?.sync_all()
}

/// The folder that a file is in.
#[must_use]
pub fn parent(file: &Path) -> PathBuf {
    file.parent().filter(|parent| !parent.as_os_str().is_empty()).map_or_else(|| PathBuf::from("."), Path::to_owned)
}

/// SHA-256, in hexadecimal digits.
fn checksum(path: &Path) -> std::io::Result<String> {
    let (mut file, mut hash) = (File::open(path)?, Sha256::new());
    let mut buffer = vec![0; 256 << 10];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hex(&hash.finalize())),
            read => hash.update(&buffer[..read]),
        }
    }
}

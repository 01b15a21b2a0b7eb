//! Writes and reads the lines of an archive. Blocks: for threads that may.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};

use chrono::{NaiveDate, Utc};
use sha2::{Digest, Sha256};

use super::ArchiveError;
use super::folder::{Folder, PARTIAL};
use super::manifest::{self, FORMAT, Manifest};

/// Zstandard's default: the disk is slower than the compression.
const LEVEL: i32 = 3;
/// Longest line that is read. An event is at most 1 MiB as sent.
const LINE_BYTES: u64 = 16 << 20;

/// Sums up what passes.
#[derive(Debug)]
struct Summed<T> {
    inner: T,
    bytes: u64,
    hash: Sha256,
}

impl<T> Summed<T> {
    fn new(inner: T) -> Self {
        Self { inner, bytes: 0, hash: Sha256::new() }
    }

    fn saw(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        self.hash.update(bytes);
    }
}

impl<T: Write> Write for Summed<T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.saw(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl<T: Read> Read for Summed<T> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.saw(&buffer[..read]);
        Ok(read)
    }
}

fn hex(hash: Sha256) -> String {
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// An archive that is being written. Dropped before [`Writer::finish`] it leaves nothing.
pub struct Writer {
    folder: Folder,
    day: NaiveDate,
    path: PathBuf,
    encoder: Option<zstd::Encoder<'static, Summed<File>>>,
    rows: u64,
    lines: Sha256,
}

impl Writer {
    /// Begins, under a temporary name.
    pub fn create(folder: &Folder, day: NaiveDate) -> Result<Self, ArchiveError> {
        let name = format!("events_{}-{}{PARTIAL}", day.format("%Y%m%d"), uuid::Uuid::new_v4().simple());
        let path = folder.path().join(name);
        let file = File::create_new(&path).map_err(ArchiveError::file(&path))?;
        let encoder = zstd::Encoder::new(Summed::new(file), LEVEL).map_err(ArchiveError::file(&path))?;
        Ok(Self { folder: folder.clone(), day, path, encoder: Some(encoder), rows: 0, lines: Sha256::new() })
    }

    /// Adds a row: one JSON object without line breaks.
    pub fn write(&mut self, line: &str) -> Result<(), ArchiveError> {
        let Some(encoder) = &mut self.encoder else { return Ok(()) };
        encoder
            .write_all(line.as_bytes())
            .and_then(|()| encoder.write_all(b"\n"))
            .map_err(ArchiveError::file(&self.path))?;
        self.lines.update(line.as_bytes());
        self.lines.update(b"\n");
        self.rows += 1;
        Ok(())
    }

    /// Syncs, reads back, compares, and gives the archive its name. One with the same rows that is there already, and is well, stays as
    /// it is.
    pub fn finish(mut self, schema: i64) -> Result<Manifest, ArchiveError> {
        let Some(encoder) = self.encoder.take() else { return Err(ArchiveError::damaged(&self.path, "not open")) };
        let written = encoder.finish().map_err(ArchiveError::file(&self.path))?;
        written.inner.sync_all().map_err(ArchiveError::file(&self.path))?;
        let lines_sha256 = hex(std::mem::take(&mut self.lines));
        let stem = manifest::stem(self.day, &lines_sha256);
        let manifest = Manifest {
            format: FORMAT,
            day: self.day,
            rows: self.rows,
            lines_sha256,
            file: format!("{stem}.jsonl.zst"),
            bytes: written.bytes,
            sha256: hex(written.hash),
            schema,
            made_at: Utc::now(),
        };
        read_through(&self.path, &manifest)?;
        let there = self.folder.find(&stem).ok().flatten();
        if let Some(there) = there.filter(|there| verify(&self.folder, there).is_ok()) {
            return Ok(there);
        }
        let path = self.folder.lines_path(&manifest);
        fs::rename(&self.path, &path).map_err(ArchiveError::file(&path))?;
        self.folder.sync()?;
        self.folder.complete(&manifest)?;
        Ok(manifest)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // Gone already where it got its name.
        let _ = fs::remove_file(&self.path);
    }
}

/// The lines of an archive, one after another.
pub struct Reader {
    path: PathBuf,
    manifest: Manifest,
    decoder: BufReader<zstd::Decoder<'static, BufReader<Summed<File>>>>,
    rows: u64,
    lines: Sha256,
}

impl Reader {
    /// Opens an archive.
    pub fn open(folder: &Folder, manifest: &Manifest) -> Result<Self, ArchiveError> {
        Self::of_file(&folder.lines_path(manifest), manifest)
    }

    fn of_file(path: &Path, manifest: &Manifest) -> Result<Self, ArchiveError> {
        let file = File::open(path).map_err(ArchiveError::file(path))?;
        let decoder = zstd::Decoder::new(Summed::new(file)).map_err(ArchiveError::file(path))?;
        let decoder = BufReader::with_capacity(1 << 16, decoder);
        Ok(Self { path: path.to_owned(), manifest: manifest.clone(), decoder, rows: 0, lines: Sha256::new() })
    }

    /// The next line, without its end. After the last one it proves that it has read what the manifest says.
    pub fn read(&mut self) -> Result<Option<String>, ArchiveError> {
        let mut line = String::new();
        let read = self.decoder.by_ref().take(LINE_BYTES).read_line(&mut line);
        if read.map_err(|error| ArchiveError::damaged(&self.path, error.to_string()))? == 0 {
            self.prove()?;
            return Ok(None);
        }
        self.lines.update(line.as_bytes());
        self.rows += 1;
        if line.pop() != Some('\n') {
            return Err(ArchiveError::damaged(&self.path, format!("line {} has no end", self.rows)));
        }
        Ok(Some(line))
    }

    fn prove(&mut self) -> Result<(), ArchiveError> {
        let (path, wanted) = (&self.path, &self.manifest);
        let file = self.decoder.get_mut().get_mut();
        // What lies behind the compressed part belongs to the checksum too.
        io::copy(file, &mut io::sink()).map_err(ArchiveError::file(path))?;
        let file = file.get_mut();
        if self.rows != wanted.rows {
            return Err(ArchiveError::damaged(path, format!("{} rows, the manifest says {}", self.rows, wanted.rows)));
        }
        let found = (hex(self.lines.clone()), hex(file.hash.clone()), file.bytes);
        if found != (wanted.lines_sha256.clone(), wanted.sha256.clone(), wanted.bytes) {
            return Err(ArchiveError::damaged(path, "its checksum is not the one in its manifest"));
        }
        Ok(())
    }
}

/// Reads an archive to its end and proves that it is what its manifest says.
pub fn verify(folder: &Folder, manifest: &Manifest) -> Result<(), ArchiveError> {
    read_through(&folder.lines_path(manifest), manifest)
}

fn read_through(path: &Path, manifest: &Manifest) -> Result<(), ArchiveError> {
    let mut reader = Reader::of_file(path, manifest)?;
    while reader.read()?.is_some() {}
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Temporary(Folder);

    impl Temporary {
        fn new() -> Self {
            let folder = Folder::new(std::env::temp_dir().join(format!("ec-archive-{}", uuid::Uuid::new_v4())));
            folder.ready().unwrap();
            Self(folder)
        }

        fn write(&self, lines: &[&str]) -> Manifest {
            let mut writer = Writer::create(&self.0, "2028-02-29".parse().unwrap()).unwrap();
            lines.iter().for_each(|line| writer.write(line).unwrap());
            writer.finish(6).unwrap()
        }

        fn read(&self, manifest: &Manifest) -> Result<Vec<String>, ArchiveError> {
            let mut reader = Reader::open(&self.0, manifest)?;
            std::iter::from_fn(|| reader.read().transpose()).collect()
        }

        fn files(&self) -> Vec<String> {
            let names = fs::read_dir(self.0.path()).unwrap();
            let mut names: Vec<_> = names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
            names.sort();
            names
        }
    }

    impl Drop for Temporary {
        fn drop(&mut self) {
            fs::remove_dir_all(self.0.path()).unwrap();
        }
    }

    #[test]
    fn lines_are_read_back_as_they_were_written() {
        let folder = Temporary::new();
        let manifest = folder.write(&[r#"{"a":1}"#, r#"{"b":"ü"}"#]);
        assert_eq!(folder.read(&manifest).unwrap(), [r#"{"a":1}"#, r#"{"b":"ü"}"#]);
        assert_eq!(folder.0.all().unwrap().as_slice(), std::slice::from_ref(&manifest));
        assert_eq!(folder.0.read(&manifest.file).unwrap(), manifest);
        let empty = folder.write(&[]);
        assert_eq!(folder.read(&empty).unwrap(), [""; 0]);
    }

    #[test]
    fn the_same_rows_are_one_archive_and_others_another() {
        let folder = Temporary::new();
        let first = folder.write(&["{}"]);
        assert_eq!(folder.write(&["{}"]), first, "it is there already");
        folder.write(&["{}", "{}"]);
        assert_eq!(folder.0.of_day(first.day).unwrap().len(), 2);
        assert_eq!(folder.files().len(), 4);
        // A damaged one is replaced.
        fs::write(folder.0.lines_path(&first), "rubbish").unwrap();
        let again = folder.write(&["{}"]);
        assert_eq!(folder.read(&again).unwrap(), ["{}"]);
    }

    #[test]
    fn what_was_changed_or_cut_off_is_found() {
        let folder = Temporary::new();
        let manifest = folder.write(&["{\"n\":1}", "{\"n\":2}"]);
        let path = folder.0.lines_path(&manifest);
        let whole = fs::read(&path).unwrap();
        for damaged in [&whole[..whole.len() - 3], &[&whole[..], b"more"].concat(), &[]] {
            fs::write(&path, damaged).unwrap();
            assert!(folder.read(&manifest).is_err(), "{damaged:?}");
        }
        fs::write(&path, &whole).unwrap();
        let lies = Manifest { rows: 3, ..manifest.clone() };
        assert!(folder.read(&lies).unwrap_err().to_string().contains("2 rows, the manifest says 3"));
        let lies = Manifest { sha256: "00".to_owned(), ..manifest };
        assert!(folder.read(&lies).unwrap_err().to_string().contains("checksum"));
    }

    #[test]
    fn an_archive_that_was_given_up_leaves_nothing() {
        let folder = Temporary::new();
        let mut writer = Writer::create(&folder.0, "2028-02-29".parse().unwrap()).unwrap();
        writer.write("{}").unwrap();
        drop(writer);
        assert_eq!(folder.files(), [""; 0]);
    }

    #[test]
    fn what_a_killed_writer_left_goes_after_a_day() {
        let folder = Temporary::new();
        for (name, hours) in [("events_1.partial", 25), ("events_2.partial", 1), ("events_3.jsonl.zst", 25)] {
            let file = File::create(folder.0.path().join(name)).unwrap();
            let written = std::time::SystemTime::now() - std::time::Duration::from_secs(hours * 3_600);
            file.set_modified(written).unwrap();
        }
        folder.0.ready().unwrap();
        assert_eq!(folder.files(), ["events_2.partial", "events_3.jsonl.zst"]);
    }

    #[test]
    fn an_archive_is_rewritten_without_some_of_its_lines() {
        let folder = Temporary::new();
        let manifest = folder.write(&["{\"u\":1}", "{\"u\":2}"]);
        let unchanged = super::super::rewrite::rewrite(&folder.0, &manifest, Some).unwrap();
        assert_eq!(unchanged, manifest);
        let without =
            super::super::rewrite::rewrite(&folder.0, &manifest, |line| Some(line).filter(|l| !l.contains('1')))
                .unwrap();
        assert_eq!(folder.read(&without).unwrap(), ["{\"u\":2}"]);
        assert_eq!(folder.0.all().unwrap(), [without], "the old one is gone");
        assert_eq!(folder.files().len(), 2);
    }
}

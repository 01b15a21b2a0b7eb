//! What could not be imported, each with its reason: one JSON object a line. The file is there only when there is something in it.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::value::RawValue;

use super::source::Element;
use crate::Problem;

/// The file, or the place where it would be.
#[derive(Debug)]
pub struct Rejects {
    path: PathBuf,
    file: Option<BufWriter<File>>,
    /// How many are in it.
    pub count: u64,
}

#[derive(Serialize)]
struct Rejected<'a> {
    kind: &'a str,
    index: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
    reason: &'a str,
    element: &'a RawValue,
}

impl Rejects {
    /// Nothing so far.
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        Self { path, file: None, count: 0 }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Adds an element. A file of an earlier run is replaced.
    pub fn add(&mut self, element: &Element, reason: &str) -> Result<(), Problem> {
        let failed = |error: std::io::Error| format!("{} cannot be written: {error}", self.path.display());
        let file = match &mut self.file {
            Some(file) => file,
            file => file.insert(BufWriter::new(File::create(&self.path).map_err(failed)?)),
        };
        // A line break in well-formed JSON can only stand between tokens.
        let one_line = element.raw.get().replace(['\n', '\r'], " ");
        let raw: &RawValue = serde_json::from_str(&one_line)?;
        let key = element.key.as_deref();
        let rejected = Rejected { kind: element.kind.name(), index: element.index, key, reason, element: raw };
        serde_json::to_writer(&mut *file, &rejected)?;
        file.write_all(b"\n").map_err(failed)?;
        self.count += 1;
        Ok(())
    }

    /// Makes it durable.
    pub fn finish(&mut self) -> Result<(), Problem> {
        if let Some(file) = &mut self.file {
            file.flush()?;
            file.get_ref().sync_all()?;
        }
        Ok(())
    }
}

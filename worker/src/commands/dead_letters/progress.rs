//! How far a long command is: a bar on a terminal, else a line now and then, on standard error.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

const BETWEEN_LINES: Duration = Duration::from_secs(2);

/// Letters looked at, of all that are meant.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
    last_line: Instant,
}

impl Progress {
    /// Begins.
    #[must_use]
    pub fn start(letters: i64) -> Self {
        let bar = ProgressBar::new(u64::try_from(letters).unwrap_or(0));
        let style = ProgressStyle::with_template("{bar:40} {pos}/{len} letters, {per_sec}, {eta} left");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        Self { bar, last_line: Instant::now() }
    }

    /// So many more were looked at.
    #[expect(clippy::print_stderr, reason = "results go to standard output")]
    pub fn add(&mut self, letters: u64) {
        self.bar.inc(letters);
        if self.bar.is_hidden() && self.last_line.elapsed() > BETWEEN_LINES {
            self.last_line = Instant::now();
            eprintln!("{} of {} letters", self.bar.position(), self.bar.length().unwrap_or(0));
        }
    }

    /// Ends, whatever came of it.
    pub fn end(&self) {
        self.bar.finish_and_clear();
    }
}

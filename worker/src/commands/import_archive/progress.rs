//! How far an import is: a bar on a terminal, else a line now and then, on standard error.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

const BETWEEN_LINES: Duration = Duration::from_secs(2);

/// Rows looked at: each is verified once, and then inserted.
#[derive(Debug, Clone)]
pub struct Progress {
    bar: ProgressBar,
    last_line: Arc<Mutex<Instant>>,
}

impl Progress {
    /// Begins.
    #[must_use]
    pub fn start(rows: u64) -> Self {
        let bar = ProgressBar::new(rows);
        let style = ProgressStyle::with_template("{bar:40} {percent}%, {per_sec}, {eta} left");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        Self { bar, last_line: Arc::new(Mutex::new(Instant::now())) }
    }

    /// So many more were looked at.
    #[expect(clippy::print_stderr, reason = "results go to standard output")]
    pub fn add(&self, rows: u64) {
        self.bar.inc(rows);
        let mut last_line = self.last_line.lock().unwrap_or_else(PoisonError::into_inner);
        if self.bar.is_hidden() && last_line.elapsed() > BETWEEN_LINES {
            *last_line = Instant::now();
            eprintln!(
                "{} of {} rows, counting those that are verified and those that are inserted",
                self.bar.position(),
                self.bar.length().unwrap_or(0)
            );
        }
    }

    /// Ends.
    pub fn end(&self) {
        self.bar.finish_and_clear();
    }
}

//! How far a recount is: a bar on a terminal, else a line for each day, on standard error.

use chrono::NaiveDate;
use indicatif::{ProgressBar, ProgressStyle};

/// Days counted, of all that are meant.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// Begins.
    #[must_use]
    pub fn start(days: usize) -> Self {
        let bar = ProgressBar::new(days as u64);
        let style = ProgressStyle::with_template("{bar:40} {pos}/{len} days, {eta} left");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        Self { bar }
    }

    /// One more is counted.
    #[expect(clippy::print_stderr, reason = "results go to standard output")]
    pub fn done(&mut self, day: NaiveDate) {
        self.bar.inc(1);
        if self.bar.is_hidden() {
            eprintln!("{day} is counted, {} of {} days", self.bar.position(), self.bar.length().unwrap_or(0));
        }
    }

    /// Ends, whatever came of it.
    pub fn end(&self) {
        self.bar.finish_and_clear();
    }
}

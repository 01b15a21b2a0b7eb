//! How far a long step is, in bytes of the file or in what was written: a bar on a terminal, else a line now and then. On standard
//! error; results go to standard output.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

const BETWEEN_LINES: Duration = Duration::from_secs(5);

/// The progress of one step.
#[derive(Debug)]
pub struct Progress {
    what: &'static str,
    bar: ProgressBar,
    last_line: Instant,
}

impl Progress {
    /// Begins; so many bytes are to be read.
    #[must_use]
    pub fn start(what: &'static str, bytes: u64) -> Self {
        Self::with(what, ProgressBar::new(bytes), "{msg} {bar:40} {bytes}/{total_bytes}, {eta} left")
    }

    /// Begins, when nobody knows how much there is.
    #[must_use]
    pub fn counting(what: &'static str) -> Self {
        Self::with(what, ProgressBar::new_spinner(), "{msg} {spinner} {human_pos}")
    }

    fn with(what: &'static str, bar: ProgressBar, template: &str) -> Self {
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.set_message(what);
        Self { what, bar, last_line: Instant::now() }
    }

    /// It is here.
    #[expect(clippy::print_stderr, reason = "results go to standard output")]
    pub fn at(&mut self, position: u64) {
        self.bar.set_position(position);
        if self.bar.is_hidden() && self.last_line.elapsed() > BETWEEN_LINES {
            self.last_line = Instant::now();
            match self.bar.length() {
                Some(all) => eprintln!("{}: {} of {} MiB", self.what, position >> 20, all >> 20),
                None => eprintln!("{}: {position}", self.what),
            }
        }
    }

    /// It waits, for this reason.
    #[expect(clippy::print_stderr, reason = "results go to standard output")]
    pub fn wait(&mut self, why: &str) {
        if !self.bar.is_hidden() {
            self.bar.set_message(format!("{} ({why})", self.what));
        } else if self.last_line.elapsed() > BETWEEN_LINES {
            self.last_line = Instant::now();
            eprintln!("{}: {why}", self.what);
        }
    }

    /// It goes on.
    pub fn go_on(&self) {
        self.bar.set_message(self.what);
    }

    /// Ends, whatever came of it.
    pub fn end(&self) {
        self.bar.finish_and_clear();
    }
}

//! How far the workers are: a bar on a terminal, else a line now and then, on standard error.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

const BETWEEN_LINES: Duration = Duration::from_secs(2);

/// Messages that are still to be processed.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
    what: &'static str,
    last_line: Option<Instant>,
}

impl Progress {
    /// Begins.
    #[must_use]
    pub fn start(what: &'static str) -> Self {
        let bar = ProgressBar::new(0);
        let style = ProgressStyle::with_template("{msg} {bar:40} {pos}/{len} messages, {elapsed}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.set_message(what);
        Self { bar, what, last_line: None }
    }

    /// So many are left.
    #[expect(clippy::print_stderr, reason = "results go to standard output")]
    pub fn left(&mut self, messages: u64) {
        let all = self.bar.length().unwrap_or(0).max(messages);
        self.bar.set_length(all);
        self.bar.set_position(all - messages);
        let due = self.last_line.is_none_or(|at| at.elapsed() > BETWEEN_LINES);
        if messages > 0 && self.bar.is_hidden() && due {
            self.last_line = Some(Instant::now());
            eprintln!("{}: {messages} messages are left", self.what);
        }
    }

    /// Ends.
    pub fn end(&self) {
        self.bar.finish_and_clear();
    }
}

//! How far a long walk is: a bar on a terminal, a line now and then otherwise. On standard error; standard output is for the result.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// Between two lines.
const INTERVAL: Duration = Duration::from_secs(5);

/// The progress of one stream.
#[derive(Debug)]
pub struct Progress {
    name: String,
    total: u64,
    done: u64,
    bar: Option<ProgressBar>,
    said: Instant,
}

impl Progress {
    /// Begins, with `total` messages to go.
    #[must_use]
    pub fn new(name: &str, total: u64) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(total).with_message(name.to_owned());
            ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len} messages, {eta} to go")
                .map_or(bar.clone(), |style| bar.with_style(style))
        });
        Self { name: name.to_owned(), total, done: 0, bar, said: Instant::now() }
    }

    /// This many more are done.
    pub fn advance(&mut self, messages: u64) {
        self.done += messages;
        if let Some(bar) = &self.bar {
            bar.set_position(self.done);
        } else if self.said.elapsed() >= INTERVAL {
            self.said = Instant::now();
            eprintln!("{}: {} of {} messages", self.name, self.done, self.total);
        }
    }

    /// All done.
    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

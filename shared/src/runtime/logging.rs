//! Structured logs on standard error: JSON for machines, pretty for people. Never bodies, traits or keys.
//!
//! An entry is one line in both, whatever text of a client has found its way into it: nobody can write an entry that is not ours.

use std::borrow::Cow;
use std::io::{self, IsTerminal, Write};

use tracing_subscriber::EnvFilter;

use super::settings::pipeline::{LogFormat, Pipeline};

/// Starts logging. Call once; a second call is ignored.
pub fn start(settings: &Pipeline) {
    let filter = EnvFilter::try_new(&settings.log_level).unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(|| OneLine(io::stderr()));
    // Another subscriber is only ever in place in a test, which then keeps its own.
    let _ = match settings.log_format {
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
        LogFormat::Pretty => builder.with_target(false).with_ansi(io::stderr().is_terminal()).try_init(),
    };
}

/// A writer of entries, each with one call.
struct OneLine<W>(W);

impl<W: Write> Write for OneLine<W> {
    fn write(&mut self, entry: &[u8]) -> io::Result<usize> {
        let (text, end) = entry.strip_suffix(b"\n").map_or((entry, &b""[..]), |text| (text, b"\n"));
        // In one write: between two of them another thread's entry could come.
        match one_line(text) {
            Cow::Borrowed(_) => self.0.write_all(entry)?,
            Cow::Owned(mut line) => {
                line.extend_from_slice(end);
                self.0.write_all(&line)?;
            }
        }
        Ok(entry.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// The text with what the formatters leave spelled out: line breaks (pretty), DEL and the control characters beyond ASCII (JSON),
/// one of which begins a colour in some terminals. Escapes of ASCII are left: the formatters spell out those of a field, and pretty
/// colours with its own.
fn one_line(text: &[u8]) -> Cow<'_, [u8]> {
    let Ok(text) = std::str::from_utf8(text) else { return Cow::Borrowed(text) };
    let is_left = |c: char| matches!(c, '\n' | '\r' | '\u{7f}'..='\u{9f}');
    if !text.contains(is_left) {
        return Cow::Borrowed(text.as_bytes());
    }
    let mut line = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '\n' => line.push_str("\\n"),
            '\r' => line.push_str("\\r"),
            // A form that JSON reads back.
            c if is_left(c) => line.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => line.push(c),
        }
    }
    Cow::Owned(line.into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts how often it is written to.
    #[derive(Default)]
    struct Writes(usize);

    impl Write for Writes {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 += 1;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn an_entry_is_one_write_so_that_no_other_comes_between() {
        let mut writes = OneLine(Writes::default());
        writes.write_all(b"INFO plain\n").unwrap();
        writes.write_all(b"WARN no\nend\n").unwrap();
        assert_eq!(writes.0.0, 2);
    }

    #[test]
    fn an_entry_is_written_as_one_line() {
        let mut written = Vec::new();
        for entry in ["INFO plain\n", "WARN no\r\n2026-01-01 ERROR forged\nend\u{9b}31m\n"] {
            OneLine(&mut written).write_all(entry.as_bytes()).unwrap();
        }
        assert_eq!(
            String::from_utf8(written).unwrap(),
            "INFO plain\nWARN no\\r\\n2026-01-01 ERROR forged\\nend\\u009b31m\n"
        );
    }
}

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
    let builder = tracing_subscriber::fmt().with_env_filter(filter);
    // Another subscriber is only ever in place in a test, which then keeps its own.
    let _ = match settings.log_format {
        LogFormat::Json => builder.with_writer(io::stderr).json().flatten_event(true).try_init(),
        LogFormat::Pretty => {
            let colours = io::stderr().is_terminal();
            builder.with_writer(move || OneLine(io::stderr())).with_target(false).with_ansi(colours).try_init()
        }
    };
}

/// A writer of entries, each with one call. (JSON needs none: it escapes line breaks.)
struct OneLine<W>(W);

impl<W: Write> Write for OneLine<W> {
    fn write(&mut self, entry: &[u8]) -> io::Result<usize> {
        let (text, end) = entry.strip_suffix(b"\n").map_or((entry, &b""[..]), |text| (text, b"\n"));
        self.0.write_all(&one_line(text))?;
        self.0.write_all(end)?;
        Ok(entry.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// The text with its line breaks spelled out. Other control characters are the formatter's: it spells out those that a field
/// brings, and colours with its own.
fn one_line(text: &[u8]) -> Cow<'_, [u8]> {
    if !text.iter().any(|byte| matches!(byte, b'\n' | b'\r')) {
        return Cow::Borrowed(text);
    }
    let mut line = Vec::with_capacity(text.len() + 16);
    for byte in text {
        match byte {
            b'\n' => line.extend_from_slice(b"\\n"),
            b'\r' => line.extend_from_slice(b"\\r"),
            other => line.push(*other),
        }
    }
    Cow::Owned(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_written_as_one_line() {
        let mut written = Vec::new();
        for entry in ["INFO plain\n", "WARN no\r\n2026-01-01 ERROR forged\nend\n"] {
            OneLine(&mut written).write_all(entry.as_bytes()).unwrap();
        }
        assert_eq!(String::from_utf8(written).unwrap(), "INFO plain\nWARN no\\r\\n2026-01-01 ERROR forged\\nend\n");
    }
}

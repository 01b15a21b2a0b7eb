//! Structured logs on standard error: JSON for machines, pretty for people. Never bodies, traits or keys.

use tracing_subscriber::EnvFilter;

use super::settings::pipeline::{LogFormat, Pipeline};

/// Starts logging. Call once; a second call is ignored.
pub fn start(settings: &Pipeline) {
    let filter = EnvFilter::try_new(&settings.log_level).unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // Another subscriber is only ever in place in a test, which then keeps its own.
    let _ = match settings.log_format {
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
        LogFormat::Pretty => {
            builder.with_target(false).with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).try_init()
        }
    };
}

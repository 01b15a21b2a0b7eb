//! What any long-running program needs: settings, logs, metrics and a way to stop.

pub mod failpoint;
pub mod logging;
pub mod pace;
pub mod prometheus;
pub mod settings;
pub mod shutdown;

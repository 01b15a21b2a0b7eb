//! The console in a real browser: scripts of `tests/console` that click, run with Node against a pipeline.

use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use crate::client::{ADMIN_KEY, WRITE_KEY};
use crate::pipeline::Pipeline;
use crate::services::root;

/// Longest run of a script.
const PATIENCE: Duration = Duration::from_secs(240);
const NEEDS: [&str; 3] = ["EC_SDK_NODE", "EC_CONSOLE_NODE_FOLDER", "EC_SDK_CHROMIUM"];

/// `Ok`, or why no browser can be driven here.
pub fn available() -> Result<(), String> {
    match NEEDS.iter().find(|name| std::env::var_os(name).is_none()) {
        None => Ok(()),
        Some(name) => {
            let why = std::env::var("EC_SDK_WHY_NOT").unwrap_or_else(|_| "run it with ./deploy/test".to_owned());
            Err(format!("{name} is not set: {why}"))
        }
    }
}

/// Runs a script against the first ingest of a pipeline; prints what it says.
///
/// # Panics
/// When it fails, with what it says.
pub async fn run(pipeline: &Pipeline, script: &str, arguments: &[&str]) {
    let mut command = Command::new(std::env::var_os("EC_SDK_NODE").unwrap_or_default());
    command.arg(root().join("tests/console").join(script)).args(arguments);
    command.env("CONSOLE_URL", format!("http://{}", pipeline.ingests[0].address()));
    command.env("ADMIN_KEY", ADMIN_KEY).env("WRITE_KEY", WRITE_KEY);
    // A proxy of the machine's must not stand between.
    for name in ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"] {
        command.env_remove(name);
    }
    let child = command.stdin(Stdio::null()).kill_on_drop(true).output();
    let output = tokio::time::timeout(PATIENCE, child).await.expect("the script ends in time").expect("it can be run");
    let said = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    assert!(output.status.success(), "{script} {arguments:?} ended with {}:\n{said}", output.status);
    eprintln!("{said}");
}

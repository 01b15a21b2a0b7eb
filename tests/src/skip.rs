//! A test that cannot run here says so, in a way that the run counts and refuses unless it was told to expect it.

use std::fs::OpenOptions;
use std::io::Write;

/// Notes that `test` is skipped, and why, where `./deploy/test` looks for it.
///
/// # Panics
/// When nobody would see it.
pub fn skip(test: &str, reason: &str) {
    note("SKIPPED", test, reason);
}

/// The same of a test that no setup can make possible on this machine (no root, no loop devices): the run says so loudly, and goes on.
///
/// # Panics
/// When nobody would see it.
pub fn impossible_here(test: &str, reason: &str) {
    note("IMPOSSIBLE", test, reason);
}

fn note(how: &str, test: &str, reason: &str) {
    let file = std::env::var_os("EC_SKIP_FILE").expect("EC_SKIP_FILE is set by ./deploy/test");
    let file = OpenOptions::new().append(true).create(true).open(file);
    let noted = file.and_then(|mut file| writeln!(file, "{how} {test}: {reason}"));
    noted.expect("a skip can be noted");
}

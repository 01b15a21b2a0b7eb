//! PostgreSQL and NATS for the tests: the shared pair that `deploy/test` starts, and private ones that a test may kill.
//!
//! The shared pair comes from the environment; nobody harms it. Private ones are started by the same commands as everything
//! else (`deploy/nats`, `deploy/postgres`), so tests run on the settings that people run on.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::LazyLock;

use rustix::process::{Pid, Signal, kill_process};

use crate::folder::Folder;
use crate::image::Image;

mod nats;
mod postgres;
mod standby;

pub use nats::PrivateNats;
pub use postgres::PrivatePostgres;
pub use standby::Standby;

/// Addresses of one PostgreSQL and one NATS.
#[derive(Debug, Clone)]
pub struct Services {
    /// `postgres://…`, of a user who may create databases.
    pub database_url: String,
    /// `nats://…`
    pub nats_url: String,
    /// `http://…` of the server's monitoring port.
    pub nats_monitor_url: String,
}

impl Services {
    /// The pair that all tests share.
    ///
    /// # Panics
    /// When `./deploy/test` has not set it up.
    #[must_use]
    pub fn shared() -> &'static Self {
        static SHARED: LazyLock<Services> = LazyLock::new(|| Services {
            database_url: from_environment("EC_TEST_DATABASE_URL"),
            nats_url: from_environment("EC_TEST_NATS_URL"),
            nats_monitor_url: from_environment("EC_TEST_NATS_MONITOR_URL"),
        });
        &SHARED
    }
}

fn from_environment(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run the behaviour tests with ./deploy/test"))
}

/// A built program of the workspace, such as `ingest`.
#[must_use]
pub fn binary(name: &str) -> PathBuf {
    let folder = std::env::var_os("EC_BIN_DIR").map_or_else(|| root().join("target/debug"), PathBuf::from);
    folder.join(name)
}

/// The folder of the workspace.
#[must_use]
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."))
}

/// Runs `deploy/<command>` and returns its `KEY=value` lines.
///
/// # Panics
/// When it fails.
pub fn deploy(command: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Vec<(String, String)> {
    let output = run_deploy(command, arguments, environment);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "deploy/{command} {arguments:?} failed:\n{said}");
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    printed.lines().filter_map(|line| line.split_once('=')).map(|(k, v)| (k.to_owned(), v.to_owned())).collect()
}

/// Runs `deploy/<command>`, which must refuse, and returns what it said.
///
/// # Panics
/// When it succeeds.
#[must_use]
pub fn deploy_refused(command: &str, arguments: &[&str], environment: &[(&str, &str)]) -> String {
    let output = run_deploy(command, arguments, environment);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "deploy/{command} {arguments:?} should have been refused:\n{said}");
    said
}

fn run_deploy(command: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let folder = std::env::var_os("EC_DEPLOY_DIR").map_or_else(|| root().join("deploy"), PathBuf::from);
    let mut run = Command::new(folder.join(command));
    run.args(arguments).envs(environment.iter().copied());
    // The names the scripts know their tools by.
    for (theirs, ours) in [("NATS_SERVER", "EC_NATS_SERVER"), ("PG_BIN", "EC_PG_BIN")] {
        if let Some(value) = std::env::var_os(ours) {
            run.env(theirs, value);
        }
    }
    run.output().unwrap_or_else(|e| panic!("deploy/{command} cannot be run: {e}"))
}

fn value(lines: &[(String, String)], key: &str) -> String {
    let found = lines.iter().find(|(k, _)| k == key).map(|(_, v)| v.clone());
    found.unwrap_or_else(|| panic!("the deploy command printed no {key}"))
}

/// A process id from the first line of a file.
pub(crate) fn pid(file: &Path) -> Pid {
    let text = std::fs::read_to_string(file).unwrap_or_else(|e| panic!("{} cannot be read: {e}", file.display()));
    let number = text.lines().next().and_then(|line| line.trim().parse().ok());
    number.and_then(Pid::from_raw).unwrap_or_else(|| panic!("{} holds no process id", file.display()))
}

/// Where a private server keeps its data.
#[derive(Debug)]
enum Ground {
    /// A folder like any other.
    Folder(Folder),
    /// A disk whose power can be cut.
    Disk(Image),
}

impl Ground {
    fn folder(&self, name: &str) -> PathBuf {
        match self {
            Self::Folder(folder) => folder.path().to_owned(),
            Self::Disk(image) => image.path().join(name),
        }
    }

    /// Files of the scripts, such as the one with the ports, are nobody's promise.
    fn settle(&self) {
        if let Self::Disk(image) = self {
            image.settle();
        }
    }

    fn disk(&mut self) -> &mut Image {
        match self {
            Self::Disk(image) => image,
            Self::Folder(_) => panic!("this server is not on a disk of its own: start it with on_disk"),
        }
    }
}

fn send(process: Pid, signal: Signal) {
    // It may have ended by itself.
    let _ = kill_process(process, signal);
}

/// Until a killed process is gone. It is not our child, so there is nothing to wait on; as a zombie it is gone enough.
pub(crate) fn wait_for_end(process: Pid) {
    while is_alive(process) {
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
}

fn is_alive(process: Pid) -> bool {
    let status = format!("/proc/{}/stat", process.as_raw_nonzero());
    std::fs::read_to_string(status).is_ok_and(|text| !text.contains(") Z"))
}

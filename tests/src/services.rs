//! PostgreSQL and NATS for the tests: the shared pair that `deploy/test` starts, and private ones that a test may kill.
//!
//! The shared pair comes from the environment; nobody harms it. Private ones are started by the same commands as everything
//! else (`deploy/nats`, `deploy/postgres`), so tests run on the settings that people run on.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use rustix::process::{Pid, Signal, kill_process};

use crate::folder::Folder;

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
    let folder = std::env::var_os("EC_DEPLOY_DIR").map_or_else(|| root().join("deploy"), PathBuf::from);
    let mut run = Command::new(folder.join(command));
    run.args(arguments).envs(environment.iter().copied());
    // The names the scripts know their tools by.
    for (theirs, ours) in [("NATS_SERVER", "EC_NATS_SERVER"), ("PG_BIN", "EC_PG_BIN")] {
        if let Some(value) = std::env::var_os(ours) {
            run.env(theirs, value);
        }
    }
    let output = run.output().unwrap_or_else(|e| panic!("deploy/{command} cannot be run: {e}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "deploy/{command} {arguments:?} failed:\n{said}");
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    printed.lines().filter_map(|line| line.split_once('=')).map(|(k, v)| (k.to_owned(), v.to_owned())).collect()
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

/// A NATS server of one test.
#[derive(Debug)]
pub struct PrivateNats {
    folder: Folder,
    /// `nats://…`, the same after a restart.
    pub url: String,
    /// `http://…`, the same after a restart.
    pub monitor_url: String,
}

impl PrivateNats {
    /// Starts one on free ports, in a folder of its own.
    #[must_use]
    pub fn start() -> Self {
        let folder = Folder::new("nats");
        let lines = deploy("nats", &["start", &folder.path().to_string_lossy()], &[]);
        Self { folder, url: value(&lines, "NATS_URL"), monitor_url: value(&lines, "NATS_MONITOR_URL") }
    }

    /// Starts one with other settings: each pair is a text of the configuration file and what stands there instead.
    ///
    /// # Panics
    /// When a text is not in the configuration, or the server does not come up with the new one.
    #[must_use]
    pub fn start_with(changes: &[(&str, &str)]) -> Self {
        let nats = Self::start();
        nats.kill();
        let file = nats.folder.path().join("nats.conf");
        let mut text = std::fs::read_to_string(&file).expect("the server has a configuration");
        for (old, new) in changes {
            assert!(text.contains(old), "there is no {old:?} in {text}");
            text = text.replace(old, new);
        }
        std::fs::write(&file, text).expect("the configuration can be written");
        // Not by `deploy/nats`, which writes its own configuration at each start.
        let log = std::fs::File::create(nats.folder.path().join("nats.log")).expect("a log can be made");
        let server =
            std::env::var_os("EC_NATS_SERVER").map_or_else(|| root().join(".tools/nats-server"), PathBuf::from);
        let mut command = Command::new(server);
        command.arg("-c").arg(&file).stderr(log);
        let mut child = command.spawn().expect("nats-server can be started");
        std::fs::write(nats.folder.path().join("nats.pid"), child.id().to_string()).expect("a pid file can be written");
        // It is ended by its pid; somebody has to take note of that.
        std::thread::spawn(move || child.wait());
        let port: u16 =
            nats.url.rsplit(':').next().and_then(|port| port.parse().ok()).expect("a NATS URL ends in a port");
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        nats
    }

    /// kill -9.
    pub fn kill(&self) {
        let process = pid(&self.folder.path().join("nats.pid"));
        let _ = kill_process(process, Signal::KILL);
        wait_for_end(process);
    }

    /// SIGSTOP: connections stay open and nothing answers, as behind a broken network.
    pub fn pause(&self) {
        let _ = kill_process(pid(&self.folder.path().join("nats.pid")), Signal::STOP);
    }

    /// SIGCONT.
    pub fn resume(&self) {
        let _ = kill_process(pid(&self.folder.path().join("nats.pid")), Signal::CONT);
    }

    /// Starts it again, on the same ports and data.
    ///
    /// # Panics
    /// When it comes back on other ports: somebody took them.
    pub fn restart(&self) {
        let lines = deploy("nats", &["start", &self.folder.path().to_string_lossy()], &[]);
        assert_eq!(value(&lines, "NATS_URL"), self.url, "another process took the port of a private NATS server");
    }

    /// The folder of its data, `jetstream`. Copy or replace it only while the server is dead.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("jetstream")
    }
}

impl Drop for PrivateNats {
    fn drop(&mut self) {
        if self.folder.path().join("nats.pid").exists() {
            self.kill();
        }
    }
}

/// A PostgreSQL of one test.
#[derive(Debug)]
pub struct PrivatePostgres {
    folder: Folder,
    /// `postgres://…`, the same after a restart.
    pub url: String,
}

impl PrivatePostgres {
    /// Makes a cluster in a folder of its own and starts it on a free port.
    #[must_use]
    pub fn start() -> Self {
        let folder = Folder::new("postgres");
        let lines = deploy("postgres", &["start", &folder.path().to_string_lossy()], &[]);
        Self { folder, url: value(&lines, "DATABASE_URL") }
    }

    /// kill -9 of the whole server.
    pub fn kill(&self) {
        let home = std::fs::read_to_string(self.folder.path().join("moved-to"));
        let home = home.map_or_else(|_| self.folder.path().to_owned(), |path| PathBuf::from(path.trim()));
        let postmaster = pid(&home.join("data/postmaster.pid"));
        // The backends notice and end by themselves.
        let _ = kill_process(postmaster, Signal::KILL);
        wait_for_end(postmaster);
    }

    /// Starts it again, on the same port and data.
    ///
    /// # Panics
    /// When it comes back on another port: somebody took it.
    pub fn restart(&self) {
        let lines = deploy("postgres", &["start", &self.folder.path().to_string_lossy()], &[]);
        assert_eq!(value(&lines, "DATABASE_URL"), self.url, "another process took the port of a private PostgreSQL");
    }
}

impl Drop for PrivatePostgres {
    fn drop(&mut self) {
        deploy("postgres", &["stop", &self.folder.path().to_string_lossy()], &[]);
        if let Ok(home) = std::fs::read_to_string(self.folder.path().join("moved-to")) {
            let _ = std::fs::remove_dir_all(home.trim());
        }
    }
}

/// Until a killed process is gone. It is not our child, so there is nothing to wait on; as a zombie it is gone enough.
pub(crate) fn wait_for_end(process: Pid) {
    let status = PathBuf::from(format!("/proc/{}/stat", process.as_raw_nonzero()));
    while std::fs::read_to_string(&status).is_ok_and(|text| !text.contains(") Z")) {
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
}

//! One `ingest` or `worker` process: started, waited for, harmed, and always gone in the end.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::client::Client;
use crate::eventually::{eventually, within};
use crate::services::binary;

/// Longest drain after SIGTERM that a program promises.
pub const DRAIN: Duration = Duration::from_secs(30);
const TAIL_LINES: usize = 40;

/// A running (or dead) program. Killed when dropped; if the test is failing, the end of its log is printed.
#[derive(Debug)]
pub struct Program {
    /// What the test calls it, such as `worker 2`.
    pub name: String,
    /// Where it answers `/readyz`, `/metrics` and, if it is ingest, requests. Stays the same when it is started again.
    pub address: SocketAddr,
    binary: String,
    environment: Vec<(String, String)>,
    under: Vec<String>,
    log: PathBuf,
    child: Child,
}

impl Program {
    /// Starts a program. It logs into `folder`.
    #[must_use]
    pub fn start(binary_name: &str, name: &str, environment: &[(String, String)], folder: &Path) -> Self {
        let address = free_address();
        let listen = format!("{}_LISTEN", binary_name.to_ascii_uppercase());
        let mut environment = environment.to_vec();
        environment.push((listen, address.to_string()));
        let log = folder.join(format!("{}.log", name.replace(' ', "-")));
        let child = spawn(&[], binary_name, &environment, &log);
        let (name, binary) = (name.to_owned(), binary_name.to_owned());
        Self { name, address, binary, environment, under: Vec::new(), log, child }
    }

    /// Starts it again after it ended, with the same settings.
    pub fn start_again(&mut self) {
        self.kill();
        self.child = spawn(&self.under, &self.binary, &self.environment, &self.log);
    }

    /// Takes a setting back for the next [`Self::start_again`].
    pub fn unset(&mut self, name: &str) {
        self.environment.retain(|(n, _)| n != name);
    }

    /// Its name, or where its build is: what [`run`] takes.
    #[must_use]
    pub fn binary(&self) -> &str {
        &self.binary
    }

    /// From the next [`Self::start_again`] on it is the one in this folder: another build.
    pub fn take_build(&mut self, folder: &Path) {
        let name = Path::new(&self.binary).file_name().map_or_else(|| self.binary.clone().into(), ToOwned::to_owned);
        self.binary = folder.join(name).to_string_lossy().into_owned();
    }

    /// From the next [`Self::start_again`] on it is started by this command, as in `prlimit --nofile=64 ingest`.
    pub fn start_under(&mut self, command: &[&str]) {
        self.under = command.iter().map(|&word| word.to_owned()).collect();
    }

    /// Changes a setting for the next [`Self::start_again`].
    pub fn set(&mut self, name: &str, value: &str) {
        self.environment.retain(|(n, _)| n != name);
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    /// Waits until `/readyz` says 200.
    ///
    /// # Panics
    /// When it ends before that, or is not ready in time.
    pub async fn ready(&mut self) {
        let what = format!("{} is ready", self.name);
        eventually(&what, async || {
            let ended = self.child.try_wait().ok().flatten();
            assert!(
                ended.is_none(),
                "{} ended before it was ready: {}\n{}",
                self.name,
                ended.map(|e| e.to_string()).unwrap_or_default(),
                self.log_tail()
            );
            match self.client().get("/readyz").await {
                Ok(answer) if answer.status == 200 => Ok(()),
                Ok(answer) => Err(format!("{} {}", answer.status, answer.text())),
                Err(error) => Err(error.to_string()),
            }
        })
        .await;
    }

    /// Waits until `/readyz` says 503, and returns its reasons.
    pub async fn unready(&self) -> String {
        self.unready_with("").await
    }

    /// Waits until `/readyz` says 503 with `reason` among its reasons, and returns all of them.
    pub async fn unready_with(&self, reason: &str) -> String {
        let what = format!("{} is not ready, with {reason:?} among its reasons", self.name);
        eventually(&what, async || match self.client().get("/readyz").await {
            Ok(answer) if answer.status == 503 && answer.text().contains(reason) => Ok(answer.text()),
            Ok(answer) => Err(format!("{} {}", answer.status, answer.text())),
            Err(error) => Err(error.to_string()),
        })
        .await
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A keyless client of its address.
    #[must_use]
    pub fn client(&self) -> Client {
        Client::new(self.address)
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// kill -9, and waits for the end.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// SIGTERM: asks it to drain and end.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// SIGSTOP: it stops in the middle of whatever it does.
    pub fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// SIGCONT.
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).expect("a process id");
        let _ = kill_process(id, signal);
    }

    /// Does it stand still, by [`Self::pause`] or by its own hand?
    #[must_use]
    pub fn is_paused(&self) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid()));
        stat.is_ok_and(|stat| stat.contains(") T"))
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// SIGTERM, and how it ended.
    ///
    /// # Panics
    /// When it does not end within [`DRAIN`].
    pub async fn stop(&mut self) -> ExitStatus {
        self.terminate();
        self.end().await
    }

    /// Waits for its end after a signal that was sent already.
    ///
    /// # Panics
    /// When it does not end within [`DRAIN`].
    pub async fn end(&mut self) -> ExitStatus {
        let what = format!("{} ends", self.name);
        within(DRAIN, &what, async || self.ended().ok_or_else(|| "still running".to_owned())).await
    }

    /// All it has logged.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read(&self.log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        let tail = &lines[lines.len().saturating_sub(TAIL_LINES)..];
        format!("--- the end of the log of {} ---\n{}\n---", self.name, tail.join("\n"))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("{}", self.log_tail());
        }
    }
}

/// What a program said and how it ended.
#[derive(Debug)]
pub struct Output {
    /// How it ended.
    pub status: ExitStatus,
    /// Standard output, then standard error.
    pub text: String,
}

/// Runs a program to its end (`worker migrate`, `ingest check`).
///
/// # Panics
/// When it cannot be started, or takes longer than two minutes.
pub async fn run(binary_name: &str, arguments: &[&str], environment: &[(String, String)]) -> Output {
    let mut command = tokio::process::Command::from(command(&[], binary_name, environment));
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let output = tokio::time::timeout(Duration::from_secs(120), command.output()).await;
    let output = output.unwrap_or_else(|_| panic!("{binary_name} {arguments:?} does not end"));
    let output = output.unwrap_or_else(|e| panic!("{binary_name} cannot be run: {e}; build it first"));
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    Output { status: output.status, text }
}

/// Starts a command (`worker dead-letters redrive …`) that the test will harm. Killed when dropped.
///
/// # Panics
/// When it cannot be started.
#[must_use]
pub fn start_command(binary_name: &str, arguments: &[&str], environment: &[(String, String)]) -> tokio::process::Child {
    let mut command = tokio::process::Command::from(command(&[], binary_name, environment));
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    command.spawn().unwrap_or_else(|e| panic!("{binary_name} cannot be run: {e}; build it first"))
}

fn spawn(under: &[String], binary_name: &str, environment: &[(String, String)], log: &Path) -> Child {
    let file = || File::options().create(true).append(true).open(log).expect("a log file can be opened");
    let mut command = command(under, binary_name, environment);
    command.stdin(Stdio::null()).stdout(file()).stderr(file());
    command
        .spawn()
        .unwrap_or_else(|e| panic!("{} cannot be started: {e}; build it first", binary(binary_name).display()))
}

/// Only the given settings reach a program: what the developer's shell has set must not decide a test.
fn command(under: &[String], binary_name: &str, environment: &[(String, String)]) -> Command {
    let mut command = match under {
        [] => Command::new(binary(binary_name)),
        [outer, words @ ..] => {
            let mut command = Command::new(outer);
            command.args(words).arg(binary(binary_name));
            command
        }
    };
    command.env_clear().envs(environment.iter().map(|(name, value)| (name, value)));
    for kept in ["PATH", "HOME", "TMPDIR", "RUST_LOG", "RUST_BACKTRACE"] {
        if let Some(value) = std::env::var_os(kept) {
            command.env(kept, value);
        }
    }
    command
}

/// A port on loopback that nobody listens on, below the range that outgoing connections are given. Each test process walks
/// from a start of its own, so two of them rarely meet.
fn free_address() -> SocketAddr {
    const FIRST: u16 = 10_000;
    const COUNT: u16 = 10_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    #[expect(clippy::cast_possible_truncation, reason = "a remainder below COUNT")]
    let start = (std::process::id().wrapping_mul(97) % u32::from(COUNT)) as u16;
    loop {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = FIRST + (u32::from(start) + u32::from(step)).rem_euclid(u32::from(COUNT)) as u16;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}

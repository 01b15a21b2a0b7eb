//! The commands of `deploy/`, run as a person runs them: one command brings everything up, the lines it prints work when
//! pasted, stopping keeps the data, and what makes no sense is refused before anything is touched.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tests::folder::Folder;

const DEMO: &str = "Demo: a cart of 40 or more";

fn script(name: &str) -> PathBuf {
    let folder =
        std::env::var_os("EC_DEPLOY_DIR").map_or_else(|| tests::services::root().join("deploy"), PathBuf::from);
    folder.join(name)
}

fn run(name: &str, arguments: &[&str]) -> Output {
    Command::new(script(name)).args(arguments).stdin(Stdio::null()).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Runs a command that must be refused, and returns what it said.
fn refused(name: &str, arguments: &[&str]) -> String {
    let output = run(name, arguments);
    assert_eq!(
        output.status.code(),
        Some(1),
        "deploy/{name} {arguments:?} should have been refused: {}",
        text(&output.stdout)
    );
    text(&output.stderr)
}

fn succeeded(name: &str, arguments: &[&str]) -> String {
    let output = run(name, arguments);
    assert!(output.status.success(), "deploy/{name} {arguments:?}:\n{}", text(&output.stderr));
    text(&output.stdout)
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// What a pasted line answers.
fn paste(line: &str) -> Value {
    let output = Command::new("bash").args(["-c", line]).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{line}\n{}", text(&output.stderr));
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|e| panic!("{line}\nanswered {:?}: {e}", text(&output.stdout)))
}

/// Pastes until the answer is as wanted.
fn paste_until(line: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let deadline = Instant::now() + tests::eventually::PATIENCE;
    loop {
        let answer = paste(line);
        if wanted(&answer) {
            return answer;
        }
        assert!(Instant::now() < deadline, "{line}\nat last answered {answer}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A data folder of `deploy/up`; whatever runs in it is stopped at the end.
struct Data(Folder);

impl Data {
    fn new() -> Self {
        Self(Folder::new("up"))
    }

    fn path(&self) -> &str {
        self.0.path().to_str().unwrap()
    }
}

impl Drop for Data {
    fn drop(&mut self) {
        let _ = run("down", &["--data", self.path()]);
        if let Ok(place) = fs::read_to_string(self.0.path().join("postgres/moved-to")) {
            let _ = fs::remove_dir_all(place.trim());
        }
    }
}

/// A folder of `deploy/postgres` or `deploy/nats`; the server is stopped at the end.
struct Server(&'static str, Folder);

impl Server {
    fn start(kind: &'static str) -> (Self, String) {
        let server = Self(kind, Folder::new(kind));
        let printed = server.succeeded("start");
        (server, printed)
    }

    fn succeeded(&self, command: &str) -> String {
        succeeded(self.0, &[command, self.1.path().to_str().unwrap()])
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = run(self.0, &["stop", self.1.path().to_str().unwrap()]);
    }
}

#[test]
fn one_command_runs_everything_its_printed_lines_work_and_a_second_start_keeps_the_data() {
    let data = Data::new();
    let port = free_port().to_string();
    let printed = succeeded("up", &["--detach", "--debug", "--data", data.path(), "--port", &port]);

    let lines: Vec<&str> = printed.lines().map(str::trim).filter(|line| line.starts_with("curl ")).collect();
    let [identify, track, list] = lines.as_slice() else { panic!("not three lines to paste:\n{printed}") };
    assert_eq!(paste(identify)["ok"], true);
    let reply = paste_until(track, |reply| reply["matched"].as_array().is_some_and(|matched| !matched.is_empty()));
    assert_eq!(reply["ok"], true);
    assert_eq!(reply["matched"][0]["name"], DEMO);
    assert_eq!(reply["event"]["event"], "cart_viewed");
    paste_until(list, |events| events.to_string().contains("cart_viewed"));

    let said = refused("up", &["--debug", "--data", data.path(), "--port", &port]);
    assert!(
        said.contains("already running") && said.contains("ingest worker-1 worker-2 nats-server PostgreSQL"),
        "{said}"
    );
    assert!(said.contains(&format!("http://127.0.0.1:{port}")), "it should say where: {said}");

    assert_no_secret_in_logs(data.0.path());
    succeeded("down", &["--data", data.path()]);
    assert!(
        TcpStream::connect(("127.0.0.1", port.parse().unwrap())).is_err(),
        "ingest still listens after deploy/down"
    );
    assert!(text(&run("down", &["--data", data.path()]).stderr).contains("nothing runs"));

    // The second start, in the foreground, and its end as by Ctrl-C.
    let started = Instant::now();
    let mut up = in_foreground(&["--debug", "--data", data.path(), "--port", &port, "--workers", "1"]);
    let mut out = BufReader::new(up.stdout.take().unwrap()).lines();
    assert!(
        out.any(|line| line.unwrap().starts_with("Ctrl-C")),
        "it ended: {}",
        text(&up.wait_with_output().unwrap().stderr)
    );
    eprintln!("the second start took {:.1} s", started.elapsed().as_secs_f64());
    assert!(paste(list).to_string().contains("cart_viewed"), "the event of the first start is gone");
    let campaigns = format!(
        "curl -s http://127.0.0.1:{port}/v1/admin/campaigns -H 'x-api-key: dev-admin-key' -H 'accept: application/json'"
    );
    assert_eq!(paste(&campaigns).to_string().matches(DEMO).count(), 1, "the demo campaign was created again");

    let interrupted = Command::new("kill").args(["-INT", &up.id().to_string()]).status().unwrap();
    assert!(interrupted.success());
    let rest: Vec<String> = out.map_while(Result::ok).collect();
    let ended = up.wait_with_output().unwrap();
    let said = text(&ended.stderr);
    assert_eq!(ended.status.code(), Some(0), "{rest:?} {said}");
    let order = ["Stop ingest", "Stop worker", "Stop nats-server", "Stop PostgreSQL"].map(|step| said.find(step));
    assert!(order.iter().all(Option::is_some) && order.is_sorted(), "not stopped in order: {said}");
    assert!(!said.contains("killed"), "something had to be killed: {said}");
}

/// `deploy/up` without `--detach`. A shell keeps ignoring an interrupt that its parent ignores (as a background job's does),
/// so where that can be undone, it is.
fn in_foreground(arguments: &[&str]) -> std::process::Child {
    let mut command = if cfg!(target_os = "linux") {
        let mut command = Command::new("env");
        command.arg("--default-signal=INT").arg(script("up"));
        command
    } else {
        Command::new(script("up"))
    };
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn assert_no_secret_in_logs(data: &Path) {
    let home = fs::read_to_string(data.join("postgres/moved-to"));
    let home = home.map_or_else(|_| data.join("postgres"), |place| PathBuf::from(place.trim()));
    let password = fs::read_to_string(home.join("password")).unwrap();
    let mut logs: Vec<PathBuf> = fs::read_dir(data.join("logs")).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(logs.len() >= 3, "ingest and two workers have logs: {logs:?}");
    logs.push(data.join("nats/nats.log"));
    logs.push(home.join("postgres.log"));
    for log in logs {
        let content = text(&fs::read(&log).unwrap());
        for secret in ["dev-write-key", "dev-admin-key", &password] {
            assert!(!content.contains(secret), "{} holds a secret", log.display());
        }
    }
}

#[test]
fn a_cluster_of_three_goes_on_without_one_which_comes_back_where_it_was() {
    let (data, port) = (Data::new(), free_port().to_string());
    let up = ["--detach", "--debug", "--data", data.path(), "--port", &port, "--workers", "1"];
    succeeded("up", &[&up as &[&str], &["--nats", "3"]].concat());
    let nats = data.0.path().join("nats");
    let nats = nats.to_str().unwrap();
    let printed = succeeded("nats", &["url", nats]);
    let value = |name: &str| printed.lines().find_map(|line| line.strip_prefix(name)).expect(name).to_owned();
    assert_eq!((value("NATS_URL=").split(',').count(), value("STREAM_REPLICAS=")), (3, "3".to_owned()));
    for monitor in value("NATS_MONITOR_URLS=").split(',') {
        let jetstream = paste(&format!("curl -s '{monitor}/jsz?config=true&streams=true'"));
        assert_eq!(jetstream["config"]["sync_always"], true, "{jetstream}");
        assert_eq!(jetstream["meta_cluster"]["cluster_size"], 3, "{jetstream}");
        assert_eq!(jetstream["streams"], 1, "not every server has a copy of the stream: {jetstream}");
    }
    let said = refused("nats", &["start", nats, "--servers", "1"]);
    assert!(said.contains("is the folder of 3"), "{said}");

    succeeded("nats", &["stop", nats, "--server", "2"]);
    let track = format!(
        "curl -s http://127.0.0.1:{port}/v1/track -H 'x-api-key: dev-write-key' -d '{{\"user_id\":\"u\",\"event\":\"e\"}}'"
    );
    paste_until(&track, |reply| reply["ok"] == true);
    assert_eq!(succeeded("nats", &["start", nats]), printed, "it came back somewhere else");
    succeeded("down", &["--data", data.path()]);
    let said = refused("up", &[&up as &[&str], &["--nats", "1"]].concat());
    assert!(said.contains("is the folder of 3"), "{said}");
}

#[test]
fn what_makes_no_sense_is_refused_before_anything_is_touched() {
    let folder = Folder::new("refused");
    let data = folder.path().join("data");
    let data = data.to_str().unwrap();
    for (arguments, reason) in [
        (&["--bogus"] as &[&str], "unknown option \"--bogus\""),
        (&["--workers", "none"], "--workers needs a number"),
        (&["--workers", "0"], "--workers needs a number"),
        (&["--port", "http"], "--port needs a port number"),
        (&["--port", "70000"], "from 1 to 65535"),
    ] {
        let said = refused("up", &[&["--data", data], arguments].concat());
        assert!(said.contains(reason), "{arguments:?}: {said}");
    }
    assert!(refused("up", &["--data"]).contains("--data needs a folder"));
    assert!(refused("down", &["--bogus"]).contains("unknown option"));
    assert!(refused("test", &["--suite", "no_such"]).contains("no suite \"no_such\""));
    assert!(refused("nats", &["restart", data]).contains("unknown command"));
    assert!(refused("postgres", &["start"]).contains("DIR is missing"));
    assert!(refused("nats", &["url", data]).contains("no nats-server is running"));

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = listener.local_addr().unwrap().port().to_string();
    assert!(refused("up", &["--data", data, "--port", &taken]).contains(&format!("port {taken} is taken")));
    assert!(!Path::new(data).exists(), "a refused start left a data folder");
}

#[test]
fn a_folder_with_other_files_is_neither_used_nor_wiped() {
    let folder = Folder::new("foreign");
    let precious = folder.path().join("thesis.txt");
    fs::write(&precious, "three years of work").unwrap();
    let path = folder.path().to_str().unwrap();
    for arguments in [&["--fresh", "--data", path] as &[&str], &["--data", path]] {
        let said = refused("up", &[&["--port", &free_port().to_string()], arguments].concat());
        assert!(said.contains("is not a data folder"), "{said}");
    }
    for server in ["nats", "postgres"] {
        assert!(refused(server, &["start", path]).contains("not empty"));
    }
    assert_eq!(fs::read_to_string(precious).unwrap(), "three years of work");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_server_that_runs_is_found_again_and_one_that_was_killed_comes_back_on_its_port() {
    for (kind, pid_file) in [("nats", "nats.pid"), ("postgres", "data/postmaster.pid")] {
        let (server, printed) = Server::start(kind);
        assert_eq!(server.succeeded("start"), printed);
        assert_eq!(server.succeeded("url"), printed);

        let pid = fs::read_to_string(server.1.path().join(pid_file)).unwrap();
        let killed = Command::new("kill").args(["-KILL", pid.lines().next().unwrap()]).status().unwrap();
        assert!(killed.success());
        assert_eq!(server.succeeded("start"), printed, "{kind} came back somewhere else");

        server.succeeded("stop");
        assert_eq!(run(kind, &["url", server.1.path().to_str().unwrap()]).status.code(), Some(1));
    }
}

#[test]
fn a_process_that_was_given_the_old_pid_is_not_taken_for_the_server() {
    let (server, _) = Server::start("nats");
    let folder = server.1.path().to_str().unwrap();
    let pid_file = server.1.path().join("nats.pid");
    let recorded = fs::read_to_string(&pid_file).unwrap();
    let word = recorded.lines().nth(1).unwrap();
    server.succeeded("stop");

    let mut other = Command::new("sleep").arg("60").spawn().unwrap();
    fs::write(&pid_file, format!("{}\n{word}\n", other.id())).unwrap();
    let url = run("nats", &["url", folder]);
    server.succeeded("stop");
    let unharmed = other.try_wait().unwrap().is_none();
    other.kill().unwrap();
    other.wait().unwrap();

    assert_eq!(url.status.code(), Some(1), "it was taken for a running server");
    assert!(unharmed, "stopping the server ended another process");
}

#[test]
fn nats_is_configured_to_sync_each_message() {
    let (server, printed) = Server::start("nats");
    let monitor = printed.lines().find_map(|line| line.strip_prefix("NATS_MONITOR_URL=")).unwrap();
    let jetstream = paste(&format!("curl -s '{monitor}/jsz?config=true'"));
    assert_eq!(jetstream["config"]["sync_always"], true, "{jetstream}");
    assert!(server.1.path().join("jetstream").is_dir());
}

#[test]
fn postgresql_never_runs_as_root_and_finds_a_place_outside_a_closed_folder() {
    let folder = Folder::new("closed");
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let we_are = fs::metadata(folder.path()).unwrap().uid();
    let inner = folder.path().join("postgres");
    let inner = inner.to_str().unwrap();
    let output = run("postgres", &["start", inner]);
    let said = text(&output.stderr);
    let place = fs::read_to_string(folder.path().join("postgres/moved-to"));
    let home = place.as_ref().map_or(PathBuf::from(inner), |place| PathBuf::from(place.trim()));
    let owner = fs::metadata(home.join("data/postmaster.pid")).map(|file| file.uid());
    let stopped = run("postgres", &["stop", inner]);
    if place.is_ok() {
        let _ = fs::remove_dir_all(&home);
    }

    assert!(output.status.success(), "{said}");
    assert!(stopped.status.success());
    if we_are == 0 {
        assert_ne!(owner.unwrap(), 0, "the server ran as root");
        assert!(place.is_ok() && said.contains("its data is in"), "it should say where the data went: {said}");
    } else {
        assert_eq!(owner.unwrap(), we_are);
        assert!(place.is_err(), "we can reach our own folder, nothing should move");
    }
}

#[test]
fn servers_that_are_too_old_or_absent_are_named_by_install() {
    let folder = Folder::new("old");
    let old = folder.path().join("nats-server");
    fs::write(&old, "#!/bin/sh\necho nats-server: v2.10.20\n").unwrap();
    fs::set_permissions(&old, fs::Permissions::from_mode(0o755)).unwrap();

    let too_old = Command::new(script("install")).env("NATS_SERVER", &old).output().unwrap();
    assert_eq!(too_old.status.code(), Some(1));
    let said = text(&too_old.stderr);
    assert!(said.contains("is version 2.10.20; at least 2.15.1 is needed"), "{said}");

    let absent = Command::new(script("install")).env("PG_BIN", folder.path()).output().unwrap();
    assert_eq!(absent.status.code(), Some(1));
    let said = text(&absent.stderr);
    assert!(said.contains("has no initdb, postgres and pg_ctl"), "{said}");

    let found = run("install", &[]);
    assert!(found.status.success(), "{}", text(&found.stderr));
    let printed = text(&found.stdout);
    assert!(printed.contains("PG_BIN=/") && printed.contains("NATS_SERVER=/"), "{printed}");
}

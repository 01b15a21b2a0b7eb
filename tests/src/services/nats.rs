//! A private NATS server, started with `deploy/nats` or with a configuration of its own.

use std::path::PathBuf;
use std::process::Command;

use rustix::process::Signal;

use super::{Ground, deploy, pid, root, send, value, wait_for_end};
use crate::folder::Folder;
use crate::image::Image;

/// A NATS server of one test.
#[derive(Debug)]
pub struct PrivateNats {
    folder: PathBuf,
    ground: Ground,
    /// It runs on a configuration that `deploy/nats` would overwrite.
    changed: bool,
    /// `nats://…`, the same after a restart.
    pub url: String,
    /// `http://…`, the same after a restart.
    pub monitor_url: String,
}

impl PrivateNats {
    /// Starts one on free ports, in a folder of its own.
    #[must_use]
    pub fn start() -> Self {
        Self::start_on(Ground::Folder(Folder::new("nats")))
    }

    /// Starts one on a disk of its own, of so many mebibytes, whose power can be cut.
    ///
    /// # Panics
    /// Where [`Image::impossible`].
    #[must_use]
    pub fn on_disk(mebibytes: u64) -> Self {
        let disk = Image::mounted(mebibytes);
        let folder = disk.path().join("nats");
        std::fs::create_dir(&folder).expect("a folder can be made");
        // Twice of what there is: so the disk is full before the server's own limit is.
        std::fs::write(folder.join("max_file_bytes"), (mebibytes << 21).to_string()).expect("a limit can be written");
        Self::start_on(Ground::Disk(disk))
    }

    fn start_on(ground: Ground) -> Self {
        let folder = ground.folder("nats");
        let lines = deploy("nats", &["start", &folder.to_string_lossy()], &[]);
        ground.settle();
        let (url, monitor_url) = (value(&lines, "NATS_URL"), value(&lines, "NATS_MONITOR_URL"));
        Self { folder, ground, changed: false, url, monitor_url }
    }

    /// Starts one with other settings: each pair is a text of the configuration file and what stands there instead.
    ///
    /// # Panics
    /// When a text is not in the configuration, or the server does not come up with the new one.
    #[must_use]
    pub fn start_with(changes: &[(&str, &str)]) -> Self {
        let mut nats = Self::start();
        nats.change(changes);
        nats
    }

    /// Restarts it with other settings, as [`Self::start_with`].
    ///
    /// # Panics
    /// As [`Self::start_with`].
    pub fn change(&mut self, changes: &[(&str, &str)]) {
        self.kill();
        let file = self.folder.join("nats.conf");
        let mut text = std::fs::read_to_string(&file).expect("the server has a configuration");
        for (old, new) in changes {
            assert!(text.contains(old), "there is no {old:?} in {text}");
            text = text.replace(old, new);
        }
        std::fs::write(&file, text).expect("the configuration can be written");
        self.changed = true;
        self.restart();
    }

    /// Not by `deploy/nats`, which writes its own configuration at each start.
    fn restart_as_configured(&self) {
        let log = std::fs::File::create(self.folder.join("nats.log")).expect("a log can be made");
        let server =
            std::env::var_os("EC_NATS_SERVER").map_or_else(|| root().join(".tools/nats-server"), PathBuf::from);
        let mut command = Command::new(server);
        command.arg("-c").arg(self.folder.join("nats.conf")).stderr(log);
        let mut child = command.spawn().expect("nats-server can be started");
        std::fs::write(self.folder.join("nats.pid"), child.id().to_string()).expect("a pid file can be written");
        // It is ended by its pid; somebody has to take note of that.
        std::thread::spawn(move || child.wait());
        let port: u16 =
            self.url.rsplit(':').next().and_then(|port| port.parse().ok()).expect("a NATS URL ends in a port");
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }

    /// kill -9.
    pub fn kill(&self) {
        let process = pid(&self.folder.join("nats.pid"));
        send(process, Signal::KILL);
        wait_for_end(process);
    }

    /// SIGSTOP: connections stay open and nothing answers, as behind a broken network.
    pub fn pause(&self) {
        send(pid(&self.folder.join("nats.pid")), Signal::STOP);
    }

    /// SIGCONT.
    pub fn resume(&self) {
        send(pid(&self.folder.join("nats.pid")), Signal::CONT);
    }

    /// Starts it again, on the same ports and data.
    ///
    /// # Panics
    /// When it comes back on other ports: somebody took them.
    pub fn restart(&self) {
        if self.changed {
            return self.restart_as_configured();
        }
        let lines = deploy("nats", &["start", &self.folder.to_string_lossy()], &[]);
        assert_eq!(value(&lines, "NATS_URL"), self.url, "another process took the port of a private NATS server");
    }

    /// The folder of its data, `jetstream`. Copy or replace it only while the server is dead.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.folder.join("jetstream")
    }

    /// Its disk, see [`Self::on_disk`].
    ///
    /// # Panics
    /// When it has none.
    pub fn disk(&mut self) -> &mut Image {
        self.ground.disk()
    }
}

impl Drop for PrivateNats {
    fn drop(&mut self) {
        if self.folder.join("nats.pid").exists() {
            self.kill();
        }
    }
}

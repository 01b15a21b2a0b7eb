//! A private PostgreSQL, started with `deploy/postgres`.

use std::path::{Path, PathBuf};

use rustix::process::{Pid, Signal};

use super::{Ground, Standby, deploy, is_alive, pid, send, value, wait_for_end};
use crate::folder::Folder;
use crate::image::Image;

/// A PostgreSQL of one test.
#[derive(Debug)]
pub struct PrivatePostgres {
    folder: PathBuf,
    ground: Ground,
    /// `postgres://…`, the same after a restart.
    pub url: String,
}

impl PrivatePostgres {
    /// Makes a cluster in a folder of its own and starts it on a free port.
    #[must_use]
    pub fn start() -> Self {
        Self::start_on(Ground::Folder(Folder::new("postgres")))
    }

    /// Makes one on a disk of its own, of so many mebibytes, whose power can be cut.
    ///
    /// # Panics
    /// Where [`Image::impossible`].
    #[must_use]
    pub fn on_disk(mebibytes: u64) -> Self {
        Self::start_on(Ground::Disk(Image::mounted(mebibytes)))
    }

    /// Makes one that archives its WAL into a folder.
    #[must_use]
    pub fn archiving(archive: &Path) -> Self {
        Self::start_with(Ground::Folder(Folder::new("postgres")), &["--archive", &archive.to_string_lossy()])
    }

    /// A standby that follows this server.
    #[must_use]
    pub fn standby(&self) -> Standby {
        Standby::of(&self.folder)
    }

    fn start_on(ground: Ground) -> Self {
        Self::start_with(ground, &[])
    }

    fn start_with(ground: Ground, options: &[&str]) -> Self {
        let folder = ground.folder("postgres");
        let lines = deploy("postgres", &[&["start", &*folder.to_string_lossy()], options].concat(), &[]);
        ground.settle();
        Self { folder, ground, url: value(&lines, "DATABASE_URL") }
    }

    fn home(&self) -> PathBuf {
        let home = std::fs::read_to_string(self.folder.join("moved-to"));
        home.map_or_else(|_| self.folder.clone(), |path| PathBuf::from(path.trim()))
    }

    /// Everything that the server has logged.
    ///
    /// # Panics
    /// When the log cannot be read.
    #[must_use]
    pub fn log(&self) -> String {
        let log = self.home().join("postgres.log");
        String::from_utf8_lossy(&std::fs::read(&log).unwrap_or_else(|e| panic!("{}: {e}", log.display()))).into_owned()
    }

    /// The process that all others of it are children of.
    fn postmaster(&self) -> Pid {
        pid(&self.home().join("data/postmaster.pid"))
    }

    /// Every process of it.
    fn family(&self) -> Vec<Pid> {
        let postmaster = self.postmaster();
        let children = std::fs::read_dir("/proc").into_iter().flatten().filter_map(|entry| {
            let id: i32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
            let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
            // After the name in brackets come the state and the parent.
            let parent: i32 = stat.rsplit(") ").next()?.split(' ').nth(1)?.parse().ok()?;
            if parent == postmaster.as_raw_nonzero().get() { Pid::from_raw(id) } else { None }
        });
        std::iter::once(postmaster).chain(children).collect()
    }

    /// kill -9 of the postmaster, which the others notice.
    pub fn kill(&self) {
        let postmaster = self.postmaster();
        send(postmaster, Signal::KILL);
        wait_for_end(postmaster);
    }

    /// kill -9 of one backend: the server ends all others and recovers by itself.
    pub fn kill_backend(backend: i32) {
        if let Some(process) = Pid::from_raw(backend) {
            send(process, Signal::KILL);
        }
    }

    /// An immediate stop: everything ends at once, without a checkpoint.
    pub fn stop_immediately(&self) {
        let postmaster = self.postmaster();
        send(postmaster, Signal::QUIT);
        wait_for_end(postmaster);
    }

    /// SIGSTOP to all of it.
    pub fn pause(&self) {
        // The postmaster first, so that it makes no more.
        self.family().into_iter().for_each(|process| send(process, Signal::STOP));
        self.family().into_iter().for_each(|process| send(process, Signal::STOP));
    }

    /// SIGCONT to all of it.
    pub fn resume(&self) {
        self.family().into_iter().for_each(|process| send(process, Signal::CONT));
    }

    /// kill -9 of all of it at once.
    pub fn kill_all(&self) {
        let family = self.family();
        family.iter().for_each(|&process| send(process, Signal::KILL));
        family.into_iter().for_each(wait_for_end);
    }

    /// Does the server run?
    #[must_use]
    pub fn runs(&self) -> bool {
        self.home().join("data/postmaster.pid").exists() && is_alive(self.postmaster())
    }

    /// Starts it again, on the same port and data.
    ///
    /// # Panics
    /// When it comes back on another port: somebody took it.
    pub fn restart(&self) {
        let lines = deploy("postgres", &["start", &self.folder.to_string_lossy()], &[]);
        assert_eq!(value(&lines, "DATABASE_URL"), self.url, "another process took the port of a private PostgreSQL");
    }

    /// Where its data is: the folder that `deploy/postgres` was given.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// kill -9, and nothing is left of it but the empty folder.
    ///
    /// # Panics
    /// When its files cannot be removed.
    pub fn destroy(&self) {
        self.kill_all();
        std::fs::remove_dir_all(self.home()).expect("the data can be removed");
        let _ = std::fs::remove_dir_all(&self.folder);
        std::fs::create_dir(&self.folder).expect("the folder can be made");
    }

    /// Its disk, see [`Self::on_disk`].
    ///
    /// # Panics
    /// When it has none.
    pub fn disk(&mut self) -> &mut Image {
        self.ground.disk()
    }
}

impl Drop for PrivatePostgres {
    fn drop(&mut self) {
        if matches!(self.ground, Ground::Disk(_)) {
            // Nothing on it is needed any more.
            if self.runs() {
                self.kill_all();
            }
            return;
        }
        deploy("postgres", &["stop", &self.folder.to_string_lossy()], &[]);
        if let Ok(home) = std::fs::read_to_string(self.folder.join("moved-to")) {
            let _ = std::fs::remove_dir_all(home.trim());
        }
    }
}

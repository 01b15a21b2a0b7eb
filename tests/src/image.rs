//! A file system in a file, for power cuts: what a disk holds when the power goes is what was written to it, not what programs and
//! kernel still meant to write.
//!
//! An ext4 image is mounted through a loop device. At a cut every process on it stands still, the image file is copied, the
//! processes are killed, and the copy is mounted in place of the original: all that was only in the page cache of the mounted file
//! system is gone. A copy during which the kernel wrote to the device is no moment in time, so it is made again; the device's own
//! counter of writes tells. Needs Linux, root and loop devices.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::folder::Folder;

/// A mounted image; unmounted and deleted when dropped.
#[derive(Debug)]
pub struct Image {
    folder: Folder,
    cuts: u32,
}

impl Image {
    /// Why power cuts cannot be tried on this machine, if they cannot.
    #[must_use]
    pub fn impossible() -> Option<String> {
        if !rustix::process::geteuid().is_root() {
            return Some("needs root to mount an image".to_owned());
        }
        let folder = Folder::new("loop");
        let image = Self { folder, cuts: 0 };
        image.make(16).and_then(|()| image.mount()).err()
    }

    /// Makes a file system of so many mebibytes and mounts it.
    ///
    /// # Panics
    /// When that fails; see [`Self::impossible`].
    #[must_use]
    pub fn mounted(mebibytes: u64) -> Self {
        let image = Self { folder: Folder::new("image"), cuts: 0 };
        image.make(mebibytes).and_then(|()| image.mount()).unwrap_or_else(|e| panic!("{e}"));
        image
    }

    /// Where it is mounted.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.folder.path().join("mounted")
    }

    /// Writes everything to the disk: from here on a power cut takes only what comes later.
    ///
    /// # Panics
    /// When that fails.
    pub fn settle(&self) {
        command("sync", &["-f".as_ref(), self.path().as_os_str()]).unwrap_or_else(|e| panic!("{e}"));
    }

    /// What the disk holds now, as a copy for [`Self::put_back`]. Nothing that writes to it may be running.
    ///
    /// # Panics
    /// When it cannot be copied, or the kernel does not stop writing to it.
    pub fn photograph(&mut self) {
        self.cuts += 1;
        let (from, to) = (self.file(self.cuts - 1), self.file(self.cuts));
        for _ in 0..20 {
            let before = self.writes();
            command("cp", &["--sparse=always".as_ref(), from.as_os_str(), to.as_os_str()])
                .unwrap_or_else(|e| panic!("{e}"));
            if self.writes() == before {
                return;
            }
        }
        panic!("the kernel wrote to the image at every attempt to copy it");
    }

    /// Mounts the photograph in place of the original. Everything that had files open there must be dead.
    ///
    /// # Panics
    /// When it cannot be mounted.
    pub fn put_back(&self) {
        self.unmount();
        let _ = std::fs::remove_file(self.file(self.cuts - 1));
        self.mount().unwrap_or_else(|e| panic!("{e}"));
    }

    /// Fills it up to the last byte with a file, which is deleted again when the value is dropped.
    #[must_use]
    pub fn fill(&self) -> Ballast {
        let file = self.path().join("ballast");
        // Ends when the disk is full, which is what is wanted.
        let _ = command("dd", &["if=/dev/zero".as_ref(), format!("of={}", file.display()).as_ref(), "bs=64k".as_ref()]);
        Ballast(file)
    }

    fn file(&self, cut: u32) -> PathBuf {
        self.folder.path().join(format!("disk-{cut}"))
    }

    fn make(&self, mebibytes: u64) -> Result<(), String> {
        let file = self.file(0);
        let made = std::fs::File::create(&file).and_then(|f| f.set_len(mebibytes << 20));
        made.map_err(|e| format!("{} cannot be made: {e}", file.display()))?;
        std::fs::create_dir(self.path()).map_err(|e| format!("a mount point cannot be made: {e}"))?;
        command("mkfs.ext4", &["-q".as_ref(), "-m".as_ref(), "0".as_ref(), file.as_os_str()])
    }

    fn mount(&self) -> Result<(), String> {
        command("mount", &["-o".as_ref(), "loop".as_ref(), self.file(self.cuts).as_os_str(), self.path().as_os_str()])
    }

    fn unmount(&self) {
        // A process that was killed may hold it for a moment longer.
        for _ in 0..100 {
            if command("umount", &[self.path().as_os_str()]).is_ok() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        panic!("{} cannot be unmounted", self.path().display());
    }

    /// How many writes the loop device has seen.
    fn writes(&self) -> String {
        let mounts = std::fs::read_to_string("/proc/mounts").unwrap_or_default();
        let path = self.path();
        let device = mounts
            .lines()
            .filter_map(|line| line.split_once(' '))
            .find(|(_, rest)| rest.split(' ').next().is_some_and(|mounted| Path::new(mounted) == path));
        let name = device.and_then(|(device, _)| device.rsplit('/').next().map(str::to_owned));
        let name = name.unwrap_or_else(|| panic!("{} is not mounted", path.display()));
        let stat = std::fs::read_to_string(format!("/sys/block/{name}/stat"));
        let stat = stat.unwrap_or_else(|e| panic!("{name} has no counters: {e}"));
        stat.split_whitespace().nth(4).unwrap_or_default().to_owned()
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        // Lazily: whatever happens, no mount is left behind.
        let _ = command("umount", &["-l".as_ref(), self.path().as_os_str()]);
    }
}

/// A file that leaves no room.
#[derive(Debug)]
pub struct Ballast(PathBuf);

impl Drop for Ballast {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn command(program: &str, arguments: &[&std::ffi::OsStr]) -> Result<(), String> {
    let output = Command::new(program).args(arguments).output().map_err(|e| format!("{program} cannot be run: {e}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{program} failed: {}", String::from_utf8_lossy(&output.stderr).trim()))
}

//! Programs that get little: file descriptors, memory.

use std::path::{Path, PathBuf};

use tokio::net::TcpStream;

use crate::chaos::schedule::Strike;
use crate::chaos::world::World;
use crate::load::Control;
use crate::program::Program;

/// More than an ingest needs for itself, fewer than clients want.
const FILE_DESCRIPTORS: usize = 80;
/// For each program: several times what it takes at rest.
const MEMORY_BYTES: u64 = 160 << 20;

/// Clients take every file descriptor of an ingest; it goes on with those it has, and with all when they are gone.
pub async fn file_descriptors(world: &mut World, strike: Strike) {
    let ingests = &mut world.pipeline.ingests;
    let victim = strike.choose(1, ingests.len());
    ingests[victim].start_under(&["prlimit", &format!("--nofile={FILE_DESCRIPTORS}")]);
    ingests[victim].start_again();
    ingests[victim].ready().await;
    let address = ingests[victim].address;
    let mut idle = Vec::new();
    for _ in 0..2 * FILE_DESCRIPTORS {
        // The kernel accepts them until its queue is full; the program cannot.
        let open = tokio::time::timeout(std::time::Duration::from_millis(200), TcpStream::connect(address));
        if let Ok(Ok(stream)) = open.await {
            idle.push(stream);
        }
    }
    let open = std::fs::read_dir(format!("/proc/{}/fd", ingests[victim].pid())).map_or(0, Iterator::count);
    assert!(open >= FILE_DESCRIPTORS - 2, "only {open} of {FILE_DESCRIPTORS} file descriptors are in use");
    // The fault's own length: accepts fail again and again.
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    assert!(ingests[victim].ended().is_none(), "it ended when it had no file descriptors");
    drop(idle);
    // With its limit still in force, it recovers by itself.
    world.recovered().await;
    world.pipeline.ingests[victim].start_under(&[]);
    world.pipeline.ingests[victim].start_again();
}

/// Why programs cannot be given little memory here, if they cannot.
#[must_use]
pub fn control_group_impossible() -> Option<String> {
    ControlGroup::make("probe").err()
}

/// Every program is held to a memory limit, under load, with nothing killed.
pub async fn memory(world: &mut World, control: &Control) {
    let groups: Vec<ControlGroup> = (world.pipeline.ingests.iter().chain(&world.pipeline.workers))
        .map(|program| {
            let group = ControlGroup::make(&program.pid().to_string()).unwrap_or_else(|e| panic!("{e}"));
            group.hold(program).unwrap_or_else(|e| panic!("{e}"));
            group
        })
        .collect();
    let more = control.acknowledged() + 6_000;
    control.allow(more);
    control.reaches(more).await;
    for program in world.pipeline.ingests.iter_mut().chain(&mut world.pipeline.workers) {
        assert!(program.ended().is_none(), "{} did not live on {MEMORY_BYTES} bytes", program.name);
    }
    drop(groups);
}

/// A group of processes with a memory limit, of either version of Linux' control groups. Its processes are free again when it is dropped.
#[derive(Debug)]
struct ControlGroup {
    folder: PathBuf,
    above: PathBuf,
}

impl ControlGroup {
    fn make(name: &str) -> Result<Self, String> {
        let first = Path::new("/sys/fs/cgroup/memory");
        let (above, limit) =
            if first.is_dir() { (first, "memory.limit_in_bytes") } else { (Path::new("/sys/fs/cgroup"), "memory.max") };
        let folder = above.join(format!("ec-chaos-{name}"));
        let made =
            std::fs::create_dir(&folder).and_then(|()| std::fs::write(folder.join(limit), MEMORY_BYTES.to_string()));
        let group = Self { folder, above: above.to_owned() };
        made.map_err(|e| format!("no memory control group can be made in {}: {e}", above.display()))?;
        Ok(group)
    }

    fn hold(&self, program: &Program) -> Result<(), String> {
        let moved = std::fs::write(self.folder.join("cgroup.procs"), program.pid().to_string());
        moved.map_err(|e| format!("{} cannot be put into a control group: {e}", program.name))
    }
}

impl Drop for ControlGroup {
    fn drop(&mut self) {
        let inside = std::fs::read_to_string(self.folder.join("cgroup.procs")).unwrap_or_default();
        for process in inside.lines() {
            let _ = std::fs::write(self.above.join("cgroup.procs"), process);
        }
        let _ = std::fs::remove_dir(&self.folder);
    }
}

//! What a host or a lab leaves behind, and how it is cleared away. There is one way only: the end of
//! a test, the end of a run and the next run after a crash all go it.
//! Promise: nothing stays: no process, mount, namespace, control group or file.
//! Must not: end a process because of its name or a number that was written down. A process belongs
//! to a lab if it is in one of the lab's network namespaces or control groups, now.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::mount::{UnmountFlags, unmount};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::error::{Result, Trying};
use crate::place::{self, Place};
use crate::until::until;

/// For the kernel to end killed processes and let go of what they held.
const GONE: Duration = Duration::from_secs(20);

/// Where control groups are mounted, one hierarchy or one for each controller.
const CGROUPS: &str = "/sys/fs/cgroup";

pub(crate) struct Remains {
    folder: PathBuf,
    namespaces: Vec<PathBuf>,
    cgroup: String,
}

impl Remains {
    /// What one host leaves.
    pub(crate) fn of_host(place: &Place) -> Self {
        Self { folder: place.folder.clone(), namespaces: vec![place.network()], cgroup: place.cgroup.clone() }
    }

    /// What a whole lab leaves, its hosts included.
    pub(crate) fn of_lab(lab: &str) -> Self {
        let prefix = place::namespaces(lab);
        let ours = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&prefix));
        Self {
            folder: place::folder(lab),
            namespaces: entries(Path::new(place::NAMESPACES)).into_iter().filter(ours).collect(),
            cgroup: place::cgroup(lab),
        }
    }

    /// Clears it all away. The folder goes last: while it is there, a later run knows of the rest.
    pub(crate) fn clear(&self) -> Result<()> {
        until(GONE, "killed processes to go", || self.kill())?;
        unmount_below(&self.folder)?;
        for namespace in &self.namespaces {
            // Refused if it is not mounted, as after a crash in the middle of its making.
            let _ = unmount(namespace, UnmountFlags::DETACH);
            gone(fs::remove_file(namespace)).trying(|| format!("removing {}", namespace.display()))?;
        }
        until(GONE, "the control groups to be let go", || {
            self.cgroups().iter().all(|group| remove_group(group).is_ok()).then_some(())
        })?;
        // A process that was killed may have left a last file while the folder was being read.
        until(GONE, "the lab's folder to go", || gone(fs::remove_dir_all(&self.folder)).ok())
    }

    /// Kills whoever is there; done when nobody was.
    fn kill(&self) -> Option<()> {
        let inhabitants = self.inhabitants();
        let handles: Vec<_> =
            inhabitants.iter().filter_map(|&pid| Some((pid, pidfd_open(pid, PidfdFlags::empty()).ok()?))).collect();
        // A number can pass to another process, a handle cannot: look again before the kill.
        let still = if handles.is_empty() { HashSet::new() } else { self.inhabitants() };
        for (_, handle) in handles.iter().filter(|(pid, _)| still.contains(pid)) {
            // Refused if it has ended by itself.
            let _ = pidfd_send_signal(handle, Signal::KILL);
        }
        inhabitants.is_empty().then_some(())
    }

    fn inhabitants(&self) -> HashSet<Pid> {
        let spaces: HashSet<(u64, u64)> = self.namespaces.iter().filter_map(|n| identity(n)).collect();
        let mut pids = HashSet::new();
        for process in entries(Path::new("/proc")) {
            let Some(pid) = file_name(&process).parse().ok().and_then(Pid::from_raw) else {
                continue;
            };
            if identity(&process.join("ns/net")).is_some_and(|space| spaces.contains(&space)) {
                pids.insert(pid);
            }
        }
        for group in self.cgroups() {
            collect_members(&group, &mut pids);
        }
        pids.remove(&rustix::process::getpid());
        pids
    }

    /// Our control group in every hierarchy that has it.
    fn cgroups(&self) -> Vec<PathBuf> {
        let mut hierarchies = entries(Path::new(CGROUPS));
        hierarchies.push(CGROUPS.into());
        let groups = hierarchies.into_iter().map(|hierarchy| hierarchy.join(&self.cgroup));
        groups.filter(|group| group.is_dir()).collect()
    }
}

/// A namespace's file, by which two names of one namespace are known as one.
fn identity(namespace: &Path) -> Option<(u64, u64)> {
    fs::metadata(namespace).ok().map(|file| (file.dev(), file.ino()))
}

fn collect_members(group: &Path, pids: &mut HashSet<Pid>) {
    let members = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
    pids.extend(members.lines().filter_map(|pid| pid.parse().ok().and_then(Pid::from_raw)));
    for child in entries(group).iter().filter(|child| child.is_dir()) {
        collect_members(child, pids);
    }
}

fn remove_group(group: &Path) -> io::Result<()> {
    for child in entries(group).iter().filter(|child| child.is_dir()) {
        remove_group(child)?;
    }
    gone(fs::remove_dir(group))
}

fn unmount_below(folder: &Path) -> Result<()> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").trying(|| "reading mounts".to_owned())?;
    // proc(5): the fifth field is the mount point. Later mounts may lie on earlier ones.
    let points = mounts.lines().rev().filter_map(|line| line.split(' ').nth(4));
    for point in points.filter(|point| Path::new(point).starts_with(folder)) {
        unmount(point, UnmountFlags::DETACH).trying(|| format!("unmounting {point}"))?;
    }
    Ok(())
}

/// What is in a folder; nothing, if it is not there.
fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).collect()
}

fn file_name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// To find that something is gone already is as good as to remove it.
fn gone(removal: io::Result<()>) -> io::Result<()> {
    match removal {
        Err(refusal) if refusal.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

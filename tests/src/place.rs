//! Where a lab and each of its hosts keep their things: folders, namespaces, control groups.
//! Promise: everything of a lab carries its id, so that a later run can find and clear it.
//! Must not: touch anything; it only knows names.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The folder of all labs. Only root may write beside it, it is short (a socket's path ends at 107
/// bytes), and it lies on a real disk.
pub(crate) const ROOT: &str = "/var/lib/swarm-lab";

/// Where `ip netns` keeps network namespaces by name.
pub(crate) const NAMESPACES: &str = "/run/netns";

/// A lab's folder.
pub(crate) fn folder(lab: &str) -> PathBuf {
    Path::new(ROOT).join(lab)
}

/// The folder for what was printed on hosts that are gone, while their test still runs.
pub(crate) fn output(lab: &str) -> PathBuf {
    folder(lab).join("output")
}

/// What the names of all of a lab's network namespaces start with.
pub(crate) fn namespaces(lab: &str) -> String {
    format!("lab-{lab}-")
}

/// A lab's control group, relative to each hierarchy's root.
pub(crate) fn cgroup(lab: &str) -> String {
    format!("swarm-lab-{lab}")
}

/// One host's place in its lab.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    /// The host's folder; everything it writes is below.
    pub(crate) folder: PathBuf,
    /// The name of its network namespace.
    pub(crate) namespace: String,
    /// Its engine's control group, relative to each hierarchy's root.
    pub(crate) cgroup: String,
}

impl Place {
    pub(crate) fn new(lab: &str, host: &str) -> Self {
        Self {
            folder: folder(lab).join(host),
            namespace: format!("{}{host}", namespaces(lab)),
            cgroup: format!("{}/{host}", cgroup(lab)),
        }
    }

    /// The file that holds the network namespace open.
    pub(crate) fn network(&self) -> PathBuf {
        Path::new(NAMESPACES).join(&self.namespace)
    }

    /// The file that holds the namespace of the host's name open.
    pub(crate) fn uts(&self) -> PathBuf {
        self.folder.join("uts")
    }

    /// The file that holds the engine's view of the file system open.
    pub(crate) fn mounts(&self) -> PathBuf {
        self.folder.join("mnt")
    }

    /// Everything of the engine but its socket.
    pub(crate) fn engine(&self) -> PathBuf {
        self.folder.join("engine")
    }

    /// The engine's socket.
    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.join("docker.sock")
    }

    /// What the host's processes print.
    pub(crate) fn logs(&self) -> PathBuf {
        self.folder.join("log")
    }

    /// What tests keep on the host.
    pub(crate) fn state(&self) -> PathBuf {
        self.folder.join("state")
    }

    /// `nsenter` into the host's network and name; it becomes the program that is added to it.
    pub(crate) fn enter(&self) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", self.network().display()));
        command.arg(format!("--uts={}", self.uts().display()));
        command
    }
}

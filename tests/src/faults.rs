//! Faults that a test makes on a host: of its engine, its network, its disk.
//! Promise: each is real, and can be undone; what is not undone goes with the host.
//! Must not: touch another host, or pretend a fault that the kernel cannot make.

use std::ffi::CString;
use std::fs::{self, File};
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::mount::{MountFlags, mount};

use crate::error::{Result, Trying};
use crate::host::Host;
use crate::until::until;

/// Faults of the host's engine.
impl Host {
    /// Kills the engine (SIGKILL), and its containerd with it.
    pub fn kill_engine(&self) -> Result<()> {
        let file = self.place().engine().join("exec/containerd/containerd.pid");
        let containerd = fs::read_to_string(&file);
        self.engine().process()?.kill()?;
        // The kernel kills containerd once dockerd is gone. An engine that starts before that, or before somebody
        // has waited for the dead one, takes it for alive by its pid file, and relies on it in vain.
        let Ok(pid) = containerd else { return Ok(()) };
        until(Duration::from_secs(10), "containerd to be dead", || {
            let status = fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
            (status.is_empty() || status.contains(") Z ")).then_some(())
        })?;
        fs::remove_file(&file).trying(|| format!("removing {}", file.display()))
    }

    /// Starts an engine that was killed, on the data it left.
    pub fn start_engine(&self) -> Result<()> {
        self.engine().start()
    }

    /// Stops the engine in good order, and starts it again.
    pub fn restart_engine(&self) -> Result<()> {
        let mut engine = self.engine();
        engine.process()?.terminate()?;
        engine.process()?.wait(Duration::from_secs(30))?;
        engine.start()
    }

    /// Stops the engine where it is (SIGSTOP): its socket still takes connections, and is silent.
    pub fn pause_engine(&self) -> Result<()> {
        self.engine().process()?.pause()
    }

    /// Lets a paused engine go on.
    pub fn resume_engine(&self) -> Result<()> {
        self.engine().process()?.resume()
    }

    /// Whether the engine answers now.
    pub fn engine_answers(&self) -> bool {
        self.engine().answers()
    }
}

/// Faults of the host's network and disk.
impl Host {
    /// Cuts the host off: nothing passes, in either direction, until [`heal`](Self::heal).
    pub fn cut(&self) -> Result<()> {
        self.link().cut()
    }

    /// The host is lost, as when its power goes: its engine is killed, and what still runs on it reaches nobody. Undone
    /// by [`heal`](Self::heal) and [`start_engine`](Self::start_engine).
    pub fn lose(&self) -> Result<()> {
        self.cut()?;
        self.kill_engine()
    }

    /// Cuts this host and one other off from each other; both still reach the rest.
    pub fn cut_from(&self, other: &Host) -> Result<()> {
        self.parted().push(other.number());
        self.link().part(other.number())
    }

    /// Lets what the host sends pass at so many bits a second.
    pub fn throttle(&self, bits: u64) -> Result<()> {
        self.link().throttle(bits)
    }

    /// Undoes all that was done to this host's network through it.
    pub fn heal(&self) -> Result<()> {
        self.link().heal()?;
        for other in self.parted().drain(..) {
            self.link().meet(other)?;
        }
        Ok(())
    }

    /// Mounts an empty disk of so many bytes (a multiple of the page size) in the host's folder.
    pub fn small_disk(&self, bytes: u64) -> Result<PathBuf> {
        let disk = free_name(&self.folder());
        fs::create_dir(&disk).trying(|| format!("making {}", disk.display()))?;
        let size = CString::new(format!("size={bytes},mode=0700")).trying(|| "naming a size".to_owned())?;
        mount("lab", &disk, "tmpfs", MountFlags::empty(), Some(size.as_c_str()))
            .trying(|| format!("mounting {}", disk.display()))?;
        Ok(disk)
    }

    /// Mounts a folder in the host's folder that answers nobody, as that of a file server which is away, until the file
    /// is dropped.
    pub fn hung_folder(&self) -> Result<(PathBuf, File)> {
        let folder = free_name(&self.folder());
        fs::create_dir(&folder).trying(|| format!("making {}", folder.display()))?;
        let server =
            File::options().read(true).write(true).open("/dev/fuse").trying(|| "opening /dev/fuse".to_owned())?;
        let options = format!("fd={},rootmode=40000,user_id=0,group_id=0", server.as_raw_fd());
        let options = CString::new(options).trying(|| "naming a file".to_owned())?;
        mount("lab", &folder, "fuse", MountFlags::empty(), Some(options.as_c_str()))
            .trying(|| format!("mounting {}", folder.display()))?;
        Ok((folder, server))
    }
}

fn free_name(folder: &Path) -> PathBuf {
    let mut count = 1;
    loop {
        let path = folder.join(format!("disk-{count}"));
        if !path.exists() {
            return path;
        }
        count += 1;
    }
}

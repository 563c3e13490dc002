//! One Docker engine: dockerd, with a containerd that it starts by itself.
//! Promise: it writes only below its host's folder, and it takes nothing from the machine's own
//! Docker: not its settings, not its sockets, not its key.
//! Must not: know of swarms, or of other hosts.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::time::Duration;

use crate::error::{Error, Result, Trying};
use crate::place::Place;
use crate::process::Process;
use crate::run::run;
use crate::until::until;

/// An engine is ready in a second or two; this is for a machine that is busy with other things.
const READY: Duration = Duration::from_mins(1);

/// Folders that engines of one machine would share, and each engine's own view hides. `/run` has
/// containerd's sockets for containers, `/etc/docker` the engine's key and settings, and
/// `/var/lib/docker` the load balancers' files, which Docker 20.10 writes there whatever its data
/// root is.
const OWN: [&str; 3] = ["/run", "/etc/docker", "/var/lib/docker"];

/// Name servers for the engine: none. It looks its registry up before it runs a task, even if it has
/// the image, and must be refused at once instead of after 20 s.
const NO_NAMES: &str = "nameserver 127.0.0.1\n";

/// Run once in a host's new namespaces: its name, its name servers, its own empty folders.
const FURNISH: &str = r#"echo "$0" > /proc/sys/kernel/hostname
if [ -e /etc/resolv.conf ]; then mount --bind "$1" /etc/resolv.conf; fi
shift
for folder; do mount -t tmpfs -o mode=755 lab "$folder"; done"#;

#[derive(Debug)]
pub(crate) struct Engine {
    place: Place,
    dockerd: Option<Process>,
}

impl Engine {
    /// Makes the host's name and the engine's view of the file system. Nothing is started.
    pub(crate) fn furnish(place: &Place, hostname: &str) -> Result<Self> {
        fs::create_dir(place.engine()).trying(|| format!("making {}", place.engine().display()))?;
        let settings = place.engine().join("daemon.json");
        fs::write(&settings, "{}").trying(|| format!("writing {}", settings.display()))?;
        hold_namespaces(place, hostname)?;
        Ok(Self { place: place.clone(), dockerd: None })
    }

    /// Starts dockerd and waits until it answers.
    pub(crate) fn start(&mut self) -> Result<()> {
        let mut dockerd = Process::start("dockerd", self.command(), &self.place.logs())?;
        let mut end = None;
        let answer = until(READY, "the engine to answer", || {
            end = dockerd.ended().ok().flatten();
            (end.is_some() || self.answers()).then_some(())
        });
        if let Some(status) = end {
            return Err(Error::Refused {
                command: format!("dockerd of {}", self.place.namespace),
                status: status.to_string(),
                stderr: last_lines(&dockerd.stderr(), 20),
            });
        }
        self.dockerd = Some(dockerd);
        answer
    }

    /// The running dockerd, to signal it.
    pub(crate) fn process(&mut self) -> Result<&mut Process> {
        self.dockerd.as_mut().ok_or_else(|| Error::Late {
            what: format!("the engine of {} to be started", self.place.namespace),
            after: Duration::ZERO,
        })
    }

    /// Whether the engine answers `GET /_ping` now.
    pub(crate) fn answers(&self) -> bool {
        let ping = || -> std::io::Result<bool> {
            let mut socket = UnixStream::connect(self.place.socket())?;
            socket.set_read_timeout(Some(Duration::from_secs(1)))?;
            socket.write_all(b"GET /_ping HTTP/1.0\r\n\r\n")?;
            let mut status = [0; 12];
            socket.read_exact(&mut status)?;
            Ok(&status[9..] == b"200")
        };
        ping().unwrap_or(false)
    }

    fn command(&self) -> Command {
        let (place, home) = (&self.place, self.place.engine());
        let mut command = place.enter();
        command.arg(format!("--mount={}", place.mounts().display())).arg("dockerd");
        for (flag, path) in [
            ("--config-file", home.join("daemon.json")),
            ("--data-root", home.join("data")),
            ("--exec-root", home.join("exec")),
            ("--pidfile", home.join("pid")),
        ] {
            command.arg(flag).arg(path);
        }
        command.arg(format!("--host=unix://{}", place.socket().display()));
        command.args(["--storage-driver=vfs", "--bridge=none"]);
        command.args(["--exec-opt=native.cgroupdriver=cgroupfs", "--cgroup-parent"]);
        command.arg(format!("/{}", place.cgroup));
        command
    }
}

/// Makes the namespaces that outlive dockerd, so that a new dockerd finds its host as it was left.
fn hold_namespaces(place: &Place, hostname: &str) -> Result<()> {
    for file in [place.uts(), place.mounts()] {
        File::create_new(&file).trying(|| format!("making {}", file.display()))?;
    }
    for folder in OWN {
        fs::create_dir_all(folder).trying(|| format!("making {folder}"))?;
    }
    let names = place.engine().join("resolv.conf");
    fs::write(&names, NO_NAMES).trying(|| format!("writing {}", names.display()))?;
    run(Command::new("unshare")
        .arg(format!("--uts={}", place.uts().display()))
        .arg(format!("--mount={}", place.mounts().display()))
        .args(["sh", "-e", "-c", FURNISH, hostname])
        .arg(names)
        .args(OWN))
    .map(drop)
}

/// The end of a text.
pub(crate) fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

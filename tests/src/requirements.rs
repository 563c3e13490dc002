//! What a machine must have for a lab: root, and a few programs.
//! Promise: what can be installed is installed, in the open; what cannot is told in plain words.
//! Must not: start a service, or touch programs that are there.

use std::env;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::process::geteuid;

use crate::error::{Error, Result, Trying};

/// A program, and the Debian package that has it.
type Needed = (&'static str, &'static str);

/// What hosts with an engine need.
const HOSTS: [Needed; 17] = [
    ("dockerd", "docker.io"),
    ("docker", "docker.io"),
    ("containerd", "containerd"),
    ("runc", "runc"),
    ("iptables", "iptables"),
    ("ip", "iproute2"),
    ("tc", "iproute2"),
    ("busybox", "busybox-static"),
    ("nsenter", "util-linux"),
    ("unshare", "util-linux"),
    ("tar", "tar"),
    ("timeout", "coreutils"),
    ("faketime", "faketime"),
    ("strace", "strace"),
    ("python3", "python3"),
    ("openssl", "openssl"),
    ("curl", "curl"),
];

/// What whole machines need besides.
const MACHINES: [Needed; 3] =
    [("mmdebstrap", "mmdebstrap"), ("systemd-nspawn", "systemd-container"), ("setpriv", "util-linux")];

/// What programs for arm64 need to run here.
const ARM: [Needed; 1] = [("qemu-aarch64-static", "qemu-user-static")];

/// The browser without a window. It is smaller than the one with, and needs no driver.
pub(crate) const BROWSER: &str = "chromium-headless-shell";

/// What pages need to be looked at.
const BROWSERS: [Needed; 1] = [(BROWSER, "chromium-headless-shell")];

/// What the bench needs besides, to measure something else beside us.
const BENCHES: [Needed; 4] =
    [("nginx", "nginx-light"), ("sshd", "openssh-server"), ("ssh", "openssh-client"), ("ssh-keygen", "openssh-client")];

/// Debian's switch against services that start when they are installed: a program that is asked
/// first, and answers 101, "forbidden".
const POLICY: &str = "/usr/sbin/policy-rc.d";

/// Where apt keeps what it knows. Whoever installs holds a lock on it, for its turn.
const APT: &str = "/var/lib/apt";

/// What virtual machines need besides those.
const VIRTUAL_MACHINES: [Needed; 2] = [("qemu-system-x86_64", "qemu-system-x86"), ("mke2fs", "e2fsprogs")];

/// Installs what is missing for hosts, and tells what cannot be had.
pub fn meet() -> Result<()> {
    meet_all(&HOSTS)
}

/// The same for whole machines.
pub(crate) fn meet_for_machines() -> Result<()> {
    meet_all(&MACHINES)
}

/// The same for a browser.
pub(crate) fn meet_for_browsers() -> Result<()> {
    meet_all(&BROWSERS)
}

/// The same for a bench.
pub fn meet_for_benches() -> Result<()> {
    meet_all(&BENCHES)
}

/// What runs programs for arm64 here, installed if it is missing.
pub fn arm_emulator() -> Result<PathBuf> {
    let [(program, _)] = ARM;
    meet_all(&ARM)?;
    find(program).ok_or_else(|| Error::Unmet(format!("{program} was here, and is gone")))
}

/// The same for virtual machines.
pub(crate) fn meet_for_virtual_machines() -> Result<()> {
    if !cfg!(target_arch = "x86_64") {
        return Err(Error::Unmet("the lab's virtual machines are for x86_64, and this machine is not".to_owned()));
    }
    meet_for_machines()?;
    meet_all(&VIRTUAL_MACHINES)
}

fn meet_all(programs: &[Needed]) -> Result<()> {
    if !geteuid().is_root() {
        return Err(Error::Unmet(
            "the lab needs root: it makes network namespaces, mounts and Docker engines, all of \
             its own, and takes them away at the end. Run the tests as root, or with sudo -E."
                .to_owned(),
        ));
    }
    if missing(programs).is_empty() {
        return Ok(());
    }
    if !on_path("apt-get") {
        return Err(Error::Unmet(format!(
            "there is no apt-get here: install these first: {}",
            names(&missing(programs))
        )));
    }
    let _turn = turn()?;
    let lacking = missing(programs);
    if lacking.is_empty() {
        return Ok(());
    }
    install(&lacking)?;
    let missing = missing(programs);
    if missing.is_empty() {
        return Ok(());
    }
    Err(Error::Unmet(format!("the lab needs these programs on the PATH: {}", names(&missing))))
}

/// Installing, by one at a time of all threads and programs. apt's own locks are not enough: an `apt-get update` ends,
/// where its settings say so (Debian's container images), in the removal of what another has fetched and not unpacked yet.
fn turn() -> Result<File> {
    let turn = File::open(APT).trying(|| format!("opening {APT}"))?;
    turn.lock().trying(|| format!("locking {APT}"))?;
    Ok(turn)
}

fn names(programs: &[Needed]) -> String {
    let names: Vec<&str> = programs.iter().map(|(program, _)| *program).collect();
    names.join(", ")
}

fn missing(programs: &[Needed]) -> Vec<Needed> {
    programs.iter().copied().filter(|(program, _)| !on_path(program)).collect()
}

/// The program's file, on the PATH.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}

fn on_path(program: &str) -> bool {
    find(program).is_some()
}

fn install(missing: &[Needed]) -> Result<()> {
    let quiet = Quiet::ask()?;
    let mut packages: Vec<&str> = missing.iter().map(|(_, package)| *package).collect();
    packages.dedup();
    apt_get(&["update", "--quiet=2"])?;
    apt_get(&[&["install", "--yes", "--quiet=2", "--no-install-recommends"], &packages[..]].concat())?;
    // Newer Debian has the client in a package of its own.
    if !on_path("docker") {
        apt_get(&["install", "--yes", "--quiet=2", "--no-install-recommends", "docker-cli"])?;
    }
    drop(quiet);
    Ok(())
}

fn apt_get(arguments: &[&str]) -> Result<()> {
    eprintln!("lab: apt-get {}", arguments.join(" "));
    let status = Command::new("apt-get")
        .args(["-o", "DPkg::Lock::Timeout=300"])
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(Stdio::null())
        .status()
        .trying(|| "running apt-get".to_owned())?;
    if status.success() {
        return Ok(());
    }
    Err(Error::Unmet(format!("apt-get could not install what the lab needs ({status})")))
}

/// While it lives, packages that are installed start no service. A policy that is there stays.
struct Quiet {
    ours: bool,
}

impl Quiet {
    fn ask() -> Result<Self> {
        if Path::new(POLICY).exists() {
            return Ok(Self { ours: false });
        }
        let mut policy = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o755)
            .open(POLICY)
            .trying(|| format!("making {POLICY}"))?;
        policy.write_all(b"#!/bin/sh\nexit 101\n").trying(|| format!("writing {POLICY}"))?;
        Ok(Self { ours: true })
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        if self.ours {
            let _ = fs::remove_file(POLICY);
        }
    }
}

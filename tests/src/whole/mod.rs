//! Whole machines: Debian with systemd, cloud-init and Docker, booted on a host's network with nothing but user-data.
//! Promise: what runs in one has a real machine's init, boot order, disk and console; a machine is gone when dropped.
//! Must not: let anything in a machine change the machine it runs on: its clock, its kernel, its /sys.

mod disk;
mod image;
mod inside;
mod recipe;
mod root;
mod seed;
mod shelf;
mod virtual_machine;

use std::fs;
use std::process::Command;
use std::time::Duration;

pub use disk::Disk;
pub use image::Image;
pub use root::Root;
pub use virtual_machine::VirtualMachine;

use crate::error::{Error, Result};
use crate::host::Host;
use crate::process::Process;
use crate::until::until;

/// Puts a machine's root together and becomes systemd-nspawn, in a mount namespace of its own.
const START: &str = include_str!("start.sh");

/// What not even root in a machine may do, since all of them share one clock and one kernel.
const SHARED: &str = "--bounding-set=-sys_time,-sys_module,-sys_rawio";

/// A boot takes two seconds; this is for a machine that is busy with other things.
const BOOTED: Duration = Duration::from_mins(2);

/// A machine's orderly end: systemd gives a service that does not stop 90 s.
const OFF: Duration = Duration::from_mins(2);

/// A whole machine on a bare host's network, whose name and address it has.
#[derive(Debug)]
pub struct WholeMachine<'h> {
    host: &'h Host,
    disk: Disk,
    power: Option<Process>,
}

impl<'h> WholeMachine<'h> {
    /// A machine that was never powered on: its disk holds the root's files and nothing else.
    pub fn new(host: &'h Host, root: &Root) -> Result<Self> {
        Ok(Self { host, disk: Disk::new(host.place(), root)?, power: None })
    }

    /// Powers it on for the first time, with this user-data.
    pub fn boot(&mut self, user_data: &str) -> Result<()> {
        seed::write(&self.disk.seed_folder(), user_data, "")?;
        self.power_on()
    }

    /// Powers it on, with what is on its disk.
    pub fn power_on(&mut self) -> Result<()> {
        if self.is_on()? {
            return Err(Error::Unmet(format!("{} is on already", self.host.name())));
        }
        self.power = Some(self.host.spawn("console", self.start_command())?);
        Ok(())
    }

    /// Shuts it down in good order, as a press of its power button does.
    pub fn power_off(&mut self) -> Result<()> {
        let mut power = self.power.take().ok_or_else(|| self.off())?;
        power.terminate()?;
        power.wait(OFF).map(drop)
    }

    /// Off and on again, on the same disk.
    pub fn reboot(&mut self) -> Result<()> {
        self.power_off()?;
        self.power_on()
    }

    /// Whether it runs.
    pub fn is_on(&mut self) -> Result<bool> {
        match &mut self.power {
            Some(power) => Ok(power.ended()?.is_none()),
            None => Ok(false),
        }
    }

    /// Waits until cloud-init has done all it had to do, and gives its word for how that went: `done`, or `error`.
    pub fn settled(&self) -> Result<String> {
        until(BOOTED, &format!("{} to start cloud-init", self.host.name()), || {
            self.exists("/run/cloud-init/status.json").then_some(())
        })?;
        let told = self.run(&["cloud-init", "status", "--wait"])?;
        let word = told.stdout.lines().find_map(|line| line.trim_start_matches('.').strip_prefix("status: "));
        word.map(str::to_owned).ok_or_else(|| Error::Unreadable {
            what: "cloud-init status".to_owned(),
            answer: told.stdout + &told.stderr,
        })
    }

    /// What came out of its console since it was last powered on.
    #[must_use]
    pub fn console(&self) -> String {
        self.power.as_ref().map(|power| power.stdout().replace('\r', "")).unwrap_or_default()
    }

    /// Its disk.
    #[must_use]
    pub fn disk(&self) -> &Disk {
        &self.disk
    }

    /// The host whose network it is on.
    #[must_use]
    pub fn host(&self) -> &'h Host {
        self.host
    }

    fn off(&self) -> Error {
        Error::Unmet(format!("{} is off", self.host.name()))
    }

    /// Its network is its host's, and its mounts die with it.
    fn start_command(&self) -> Command {
        let place = self.host.place();
        let mut command = Command::new("setpriv");
        command.args([SHARED, "nsenter"]).arg(format!("--net={}", place.network().display()));
        command.args(["unshare", "--mount", "--propagation=private", "sh", "-c", START, "start.sh"]);
        command.arg(self.disk.base()).arg(self.disk.folder()).arg(&place.cgroup);
        let name = self.host.name();
        // It joins the network it was started on. Without a register there is no unit, no bus and no login session.
        command.args(["--network-namespace-path=/proc/self/ns/net", "--register=no", "--keep-unit"]);
        command.arg(format!("--machine={name}")).arg(format!("--hostname={name}"));
        command.arg(format!("--bind-ro={}:{}", self.disk.seed_folder().display(), seed::PLACE));
        // What dockerd needs; the bounding set says what nobody gets.
        command.args(["--capability=all", "--system-call-filter=@keyring bpf add_key"]);
        command.args(["--console=read-only", "--setenv=SYSTEMD_COLORS=0"]);
        command.args(["--resolv-conf=off", "--timezone=off", "--link-journal=no", "--boot"]);
        // Where a kernel's command line would be.
        command.arg(seed::boot_option(name));
        // Its network's settings are its own; the kernel's other settings and /sys are not.
        command.env("SYSTEMD_NSPAWN_API_VFS_WRITABLE", "network").env("SYSTEMD_NSPAWN_LOCK", "0");
        command
    }
}

impl Drop for WholeMachine<'_> {
    fn drop(&mut self) {
        self.power = None;
        // What its programs said stands beside its console, in case its test failed. Nothing more can be done here
        // about one that cannot be read or kept.
        let said = self.disk.journal().unwrap_or_default();
        let _ = fs::write(self.host.place().logs().join("journal.out"), said);
    }
}

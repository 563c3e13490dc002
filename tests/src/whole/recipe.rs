//! What is in the roots that machines start from: a Debian as a cloud's image has it, and how the lab differs.
//! Promise: a changed recipe is another root.
//! Must not: hold anything of the broker or the joiner; those come with the user-data.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use sha2::{Digest as _, Sha256};

use crate::error::{Result, Trying};
use crate::run::run;
use crate::whole::seed;

/// The release of Debian.
const SUITE: &str = "bookworm";

/// Has apt in a machine find packages beside those that it has.
const OFFER: &str = include_str!("offer.sh");

/// What every machine has, most of them with [`DOCKER`]. There is no SSH server among it.
const PACKAGES: [&str; 13] = [
    "systemd",
    "systemd-sysv",
    "dbus",
    "udev",
    "cloud-init",
    "iptables",
    "iproute2",
    "curl",
    "ca-certificates",
    "python3",
    "procps",
    "man-db",
    "bash-completion",
];

/// What makes a machine one that a swarm can have.
const DOCKER: &str = "docker.io";

/// Files that are written over those of the packages.
const FILES: [(&str, &str); 4] = [
    // The network is there already. Without a locale to generate, cloud-init has no reason to complain.
    (
        "etc/cloud/cloud.cfg.d/99-lab.cfg",
        "datasource_list: [NoCloud, None]\nnetwork: {config: disabled}\nlocale: C.UTF-8\n",
    ),
    // An overlay on an overlay is refused.
    ("etc/docker/daemon.json", "{\"storage-driver\": \"vfs\"}\n"),
    // No name servers, so that whoever looks a name up is refused at once instead of after a while.
    ("etc/resolv.conf", "nameserver 127.0.0.1\n"),
    ("etc/hostname", ""),
];

/// What would look for the internet, or for disks.
const MASKED: [&str; 6] = [
    "apt-daily.timer",
    "apt-daily-upgrade.timer",
    "dpkg-db-backup.timer",
    "e2scrub_all.timer",
    "e2scrub_reap.service",
    "fstrim.timer",
];

/// A recipe for a root.
#[derive(Debug)]
pub(crate) struct Recipe {
    packages: Vec<&'static str>,
    /// Packages that apt in the machine can install. It finds no others.
    offered: &'static [&'static str],
    files: Vec<(&'static str, String)>,
    /// What a unit is wanted by, and the unit.
    enabled: &'static [(&'static str, &'static str)],
}

impl Recipe {
    /// For machines that share this machine's kernel.
    pub(crate) fn shared_kernel() -> Self {
        let mut recipe = Self::plain();
        recipe.packages.push(DOCKER);
        recipe
    }

    /// The same without Docker, which the machine can install.
    pub(crate) fn without_docker() -> Self {
        let mut recipe = Self::plain();
        recipe.offered = &[DOCKER];
        recipe.files.push(("etc/apt/sources.list", "deb [trusted=yes] file:/srv/apt ./\n".to_owned()));
        // Else cloud-init writes Debian's mirrors there.
        let kept = "apt: {preserve_sources_list: true}\n";
        recipe.files.push(("etc/cloud/cloud.cfg.d/99-sources.cfg", kept.to_owned()));
        recipe
    }

    fn plain() -> Self {
        let files = FILES.map(|(file, text)| (file, text.to_owned())).to_vec();
        Self { packages: PACKAGES.to_vec(), offered: &[], files, enabled: &[] }
    }

    /// For machines with a kernel and a clock of their own. The kernel's command line tells their address, the second
    /// disk is their seed.
    pub(crate) fn own_kernel() -> Self {
        let mut recipe = Self::shared_kernel();
        recipe.packages.extend(["linux-image-cloud-amd64", "initramfs-tools", "kmod", "systemd-timesyncd"]);
        let fstab = format!("/dev/vdb {} ext4 ro,x-systemd.before=cloud-init-local.service 0 0\n", seed::PLACE);
        recipe.files.push(("etc/fstab", fstab));
        // A lab's time server may come up late, and nobody wants to wait half a minute more for it.
        let patience = "[Time]\nConnectionRetrySec=1\n";
        recipe.files.push(("etc/systemd/timesyncd.conf.d/lab.conf", patience.to_owned()));
        recipe.enabled = &[
            ("sysinit.target", "systemd-network-generator.service"),
            ("multi-user.target", "systemd-networkd.service"),
            ("network-online.target", "systemd-networkd-wait-online.service"),
        ];
        recipe
    }

    /// The recipe's name: what was made by another one has another.
    pub(crate) fn name(&self) -> String {
        let hash = format!("{:x}", Sha256::digest(format!("{SUITE} {self:?} {MASKED:?} {OFFER}")));
        hash[..12].to_owned()
    }

    /// Makes a root by it.
    pub(crate) fn make(&self, root: &Path) -> Result<()> {
        // If this process is killed, so is mmdebstrap, and what it has mounted goes with it.
        let mut mmdebstrap = Command::new("setpriv");
        mmdebstrap
            .args(["--pdeathsig=KILL", "unshare", "--mount", "--propagation=private", "--pid", "--fork"])
            .args(["--kill-child", "--mount-proc", "mmdebstrap", "--quiet", "--mode=root", "--variant=minbase"])
            .arg(format!("--include={}", self.packages.join(",")));
        if !self.offered.is_empty() {
            mmdebstrap.env("OFFERED", self.offered.join(" ")).arg(format!("--customize-hook={OFFER}"));
        }
        run(mmdebstrap.arg(SUITE).arg(root))?;
        for (file, text) in &self.files {
            let file = root.join(file);
            let folder = file.parent().unwrap_or(root);
            fs::create_dir_all(folder)
                .and_then(|()| fs::write(&file, text))
                .trying(|| format!("writing {}", file.display()))?;
        }
        let units = root.join("etc/systemd/system");
        for unit in MASKED {
            symlink("/dev/null", units.join(unit)).trying(|| format!("masking {unit}"))?;
        }
        for (target, unit) in self.enabled {
            let wants = units.join(format!("{target}.wants"));
            fs::create_dir_all(&wants)
                .and_then(|()| symlink(format!("/lib/systemd/system/{unit}"), wants.join(unit)))
                .trying(|| format!("enabling {unit}"))?;
        }
        Ok(())
    }
}

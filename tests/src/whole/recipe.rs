//! What is in the root that all machines start from: a Debian as a cloud's image has it, and how the lab differs.
//! Promise: a changed recipe is another root.
//! Must not: hold anything of the broker or the joiner; those come with the user-data.

use sha2::{Digest as _, Sha256};

/// The release of Debian.
pub(crate) const SUITE: &str = "bookworm";

/// There is no SSH server among them.
pub(crate) const PACKAGES: [&str; 12] = [
    "systemd",
    "systemd-sysv",
    "dbus",
    "udev",
    "cloud-init",
    "docker.io",
    "iptables",
    "iproute2",
    "curl",
    "ca-certificates",
    "python3",
    "procps",
];

/// Files that are written over those of the packages.
pub(crate) const FILES: [(&str, &str); 4] = [
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

/// Timers that would look for the internet, or for disks.
pub(crate) const MASKED: [&str; 5] =
    ["apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "e2scrub_all.timer", "fstrim.timer"];

/// The recipe's name: what was made by another one has another.
pub(crate) fn name() -> String {
    let hash = format!("{:x}", Sha256::digest(format!("{SUITE} {PACKAGES:?} {FILES:?} {MASKED:?}")));
    format!("root-{}", &hash[..12])
}

//! What user-data puts on a machine, whatever form it is written in.
//!
//! Must not know a form: each writes these files, then has these commands run.

use protocol::{InviteLine, Role};

use super::environment::environment;
use super::{Order, Program, UserDataError};

const FETCH: &str = include_str!("../../../cloud-init/boot/joiner-fetch");
const UNIT: &str = include_str!("../../../cloud-init/units/joiner.service");
const LEAVE: &str = include_str!("../../../cloud-init/units/joiner-leave.service");

/// Where the invite lies, for its unit.
pub(super) const INVITE: &str = "/etc/joiner/invite";
const ENVIRONMENT: &str = "/etc/joiner/environment";
const UNIT_FILE: &str = "/etc/systemd/system/joiner.service";
const LEAVE_FILE: &str = "/etc/systemd/system/joiner-leave.service";
/// Where the package has the joiner, and so the unit.
const PACKAGED: &str = "/usr/bin/joiner";

/// Where what is fetched goes.
pub(super) struct Place {
    fetch: &'static str,
    program: &'static str,
}

/// The administrator's own folders.
pub(super) const LOCAL: Place = Place { fetch: "/usr/local/sbin/joiner-fetch", program: "/usr/local/bin/joiner" };
/// Where /usr cannot be written. SELinux lets programs run from a folder named bin.
pub(super) const OPT: Place = Place { fetch: "/opt/joiner/bin/joiner-fetch", program: "/opt/joiner/bin/joiner" };

/// One file, owned by root.
pub(super) struct File {
    pub(super) path: &'static str,
    pub(super) mode: u32,
    /// Ends with a newline.
    pub(super) content: String,
}

/// The files of a machine, in the order they are written.
pub(super) struct Files {
    /// One line that says what this is, without a secret.
    pub(super) about: String,
    pub(super) plain: Vec<File>,
    /// The unit, where the image does not have it.
    pub(super) unit: Option<File>,
    /// What has an ephemeral machine leave when it is powered off, where the image does not have it.
    pub(super) leave: Option<File>,
    /// What starts the boot.
    pub(super) commands: Vec<&'static [&'static str]>,
    /// On a manager: what makes its broker's unit come up by itself.
    pub(super) up: Option<File>,
}

/// What has a manager's broker come up by itself, from the package in the image: it waits for the joiner.
const UP: &str = include_str!("../../../cloud-init/units/broker.service.d/up.conf");
pub(super) const UP_FILE: &str = "/etc/systemd/system/broker.service.d/up.conf";

/// What starts the boot, once the files are there. The units are not waited for: they may need what comes after
/// cloud-init.
pub(super) const COMMANDS: [&[&str]; 3] = [
    &["systemctl", "daemon-reload"],
    &["systemctl", "enable", "joiner.service"],
    &["systemctl", "start", "--no-block", "joiner.service"],
];
/// The same of what is stopped when the machine is powered off. It must have been started for that.
pub(super) const LEAVE_COMMANDS: [&[&str]; 2] =
    [&["systemctl", "enable", "joiner-leave.service"], &["systemctl", "start", "--no-block", "joiner-leave.service"]];
/// The same of the broker, on a manager. Without the broker's package they fail, and the machine says so.
pub(super) const BROKER_COMMANDS: [&[&str]; 2] =
    [&["systemctl", "enable", "broker.service"], &["systemctl", "start", "--no-block", "broker.service"]];

impl Files {
    pub(super) fn of(order: &Order, invite: &InviteLine, place: &Place) -> Result<Self, UserDataError> {
        let terms = invite.unverified();
        let machines = if terms.uses == 1 { "1 machine".into() } else { format!("{} machines", terms.uses) };
        let about = format!(
            "Joins this machine to a Docker swarm as a {}. Invite {}, for {machines} until {}: treat this like a password.",
            terms.role,
            terms.jti,
            crate::clock::shown(terms.exp)
        );
        let fetched = matches!(order.program, Program::Fetched(_));
        let to = (place.program != LOCAL.program).then_some(place.program);
        let mut files = vec![
            File { path: INVITE, mode: 0o600, content: format!("{}\n", invite.expose()) },
            File { path: ENVIRONMENT, mode: 0o644, content: environment(order, &terms.brokers, to)? },
        ];
        files.retain(|file| !file.content.is_empty());
        if fetched {
            files.push(File { path: place.fetch, mode: 0o755, content: without_comments(FETCH) });
        }
        let unit = fetched.then(|| File { path: UNIT_FILE, mode: 0o644, content: unit(place) });
        let leave = || File { path: LEAVE_FILE, mode: 0o644, content: leave_unit(place) };
        let manager = terms.role == Role::Manager;
        // A manager is demoted before it leaves.
        let leave = (fetched && terms.ephemeral.is_some() && !manager).then(leave);
        let leaves: &[_] = if leave.is_some() { &LEAVE_COMMANDS } else { &[] };
        let up = manager.then(|| File { path: UP_FILE, mode: 0o644, content: without_comments(UP) });
        let brokers: &[_] = if manager { &BROKER_COMMANDS } else { &[] };
        let commands = [&COMMANDS, leaves, brokers].concat();
        Ok(Self { about, plain: files, unit, leave, commands, up })
    }

    /// All of them, the units last.
    pub(super) fn all(&self) -> impl Iterator<Item = &File> {
        self.plain.iter().chain(&self.unit).chain(&self.leave).chain(&self.up)
    }
}

/// The package's unit, for a joiner that is fetched first.
fn unit(place: &Place) -> String {
    let start = format!("ExecStart={PACKAGED}");
    // The script installs programs: it runs outside of the unit's sandbox.
    let fetched = format!("ExecStartPre=+{}\nExecStart={}", place.fetch, place.program);
    without_comments(UNIT).replace(&start, &fetched)
}

/// The same of the unit that is there for a machine's end.
fn leave_unit(place: &Place) -> String {
    without_comments(LEAVE).replace(PACKAGED, place.program)
}

/// Room is short in user-data, and the comments stand in the product's source.
pub(super) fn without_comments(text: &str) -> String {
    let kept = |line: &&str| !line.trim_start().starts_with('#') || line.starts_with("#!");
    let mut lines: Vec<&str> = text.lines().filter(kept).collect();
    lines.dedup_by(|next, line| next.is_empty() && line.is_empty());
    let first = lines.iter().position(|line| !line.is_empty()).unwrap_or(0);
    lines[first..].join("\n") + "\n"
}

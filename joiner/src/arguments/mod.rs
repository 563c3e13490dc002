//! The command line and its environment variables, parsed once into what the commands take.
//!
//! Keeps DESIGN §6 (the command line is fixed: scripts depend on it).
//! Must not read any file or look at the machine.

mod values;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use lexopt::Arg;
use protocol::BrokerAddress;

use crate::exit;
use crate::invite::InviteSource;
use crate::narrate::{self, Level};
use values::{duration, folder, own_address, socket, text, yes};

pub use values::OwnAddress;

/// What to do.
#[derive(Debug, PartialEq)]
pub(crate) enum Command {
    /// Bring this machine into the swarm.
    Join(JoinOptions),
    /// Bring this machine out of the swarm.
    Leave(LeaveOptions),
    /// Say what is known here.
    Status(StatusOptions),
    /// Print the help.
    Help,
    /// Print the version.
    Version,
}

/// How to join.
#[derive(Debug, PartialEq)]
pub struct JoinOptions {
    /// Where the invite is.
    pub invite: Option<InviteSource>,
    /// Brokers to ask besides those that the invite names.
    pub brokers: Vec<BrokerAddress>,
    /// Docker's socket.
    pub docker: PathBuf,
    /// Which addresses the engine uses.
    pub addresses: Addresses,
    /// The state folder.
    pub state: PathBuf,
    /// For everything together.
    pub timeout: Duration,
    /// Whether the invite and its copies on this machine go when it is in.
    pub shred: bool,
    /// What to run when this machine will not join.
    pub on_failure: Option<OsString>,
}

/// The addresses of a swarm node.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Addresses {
    /// What other nodes reach it at.
    pub advertise: Option<OwnAddress>,
    /// What the overlay networks use.
    pub data_path: Option<OwnAddress>,
    /// What it listens on.
    pub listen: Option<OwnAddress>,
}

/// How to leave.
#[derive(Debug, PartialEq)]
pub(crate) struct LeaveOptions {
    /// Docker's socket.
    pub(crate) docker: PathBuf,
    /// The state folder.
    pub(crate) state: PathBuf,
    /// For the brokers, and for the node's tasks to end.
    pub(crate) timeout: Duration,
    /// Do nothing unless the invite said that this machine is ephemeral.
    pub(crate) if_ephemeral: bool,
}

/// What to say about this machine.
#[derive(Debug, PartialEq)]
pub(crate) struct StatusOptions {
    /// Docker's socket.
    pub(crate) docker: PathBuf,
    /// The state folder.
    pub(crate) state: PathBuf,
    /// As one JSON object.
    pub(crate) json: bool,
}

/// The command line is not one that joiner takes.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0}. Run 'joiner --help' for the command line")]
pub(crate) struct UsageError(String);

impl From<lexopt::Error> for UsageError {
    fn from(error: lexopt::Error) -> Self {
        Self(narrate::foreign(&error.to_string()))
    }
}

/// The help text.
pub(crate) fn help() -> String {
    format!("{HELP}{}", exit::codes())
}

const HELP: &str = "\
joiner: brings this machine into a Docker swarm, on an operator's invite, and out of it again

  joiner join [- | --invite-file FILE | INVITE] [options]   join; does nothing on a node that is in already
  joiner leave [--if-ephemeral] [options]                   have the node drained, and leave the swarm
  joiner status [--json] [options]                          say what is known here
  joiner --help | --version

An invite is the line that 'broker invite create' printed. Prefer a file of mode 0600 or '-' (stdin): an
argument can be read by every user of this machine while joiner runs.

options of join                                              environment
  --invite-file FILE      the invite is in this file         JOINER_INVITE_FILE
  --shred-invite          when this machine is in, remove    JOINER_SHRED_INVITE=yes|no
                          that file, and overwrite the
                          copies that cloud-init keeps
  --advertise-addr A      an address, an interface, or a     JOINER_ADVERTISE_ADDR
  --data-path-addr A      network in which this machine      JOINER_DATA_PATH_ADDR
                          has one address: 10.0.0.0/8
  --listen-addr A         the same [0.0.0.0:2377]            JOINER_LISTEN_ADDR
  --timeout 10m           for everything together            JOINER_TIMEOUT
  --on-failure CMD        run by /bin/sh, for two minutes    JOINER_ON_FAILURE
                          at most, when this machine will
                          not join however often it tries:
                          codes 64 to 66, 73, 77 and 78,
                          on a Docker that is in no swarm.
                          Is told JOINER_EXIT_CODE and
                          JOINER_REASON
options of leave
  --if-ephemeral          do nothing, unless this machine's
                          invite said that it is ephemeral
  --timeout 60s           for the brokers to answer, and     JOINER_LEAVE_TIMEOUT
                          for the node's tasks to end
options of all
  --docker SOCKET         [/var/run/docker.sock]             JOINER_DOCKER
  --state DIR             [/var/lib/joiner]                  JOINER_STATE
  -v, --verbose           tell each try, and what it cost    JOINER_LOG=error|warn|info|debug

A flag wins over its variable. A run that was cut off is finished by the next one: the same command, the same
key, the same use of the invite.

exit codes
";

/// Reads the command line; `environment` gives a variable's value.
pub(crate) fn parse(
    words: impl IntoIterator<Item = OsString>,
    environment: impl Fn(&str) -> Option<OsString>,
) -> Result<Command, UsageError> {
    let variable = |name: &str| environment(name).filter(|value| !value.is_empty());
    if let Some(level) = text(variable("JOINER_LOG"), "JOINER_LOG")? {
        let level = Level::parse(&level)
            .ok_or_else(|| UsageError("JOINER_LOG must be one of error, warn, info, debug".to_owned()))?;
        narrate::up_to(level);
    }
    let mut parser = lexopt::Parser::from_iter(words);
    match parser.next()? {
        Some(Arg::Value(command)) if command == "join" => join(parser, variable),
        Some(Arg::Value(command)) if command == "leave" => leave(parser, variable),
        Some(Arg::Value(command)) if command == "status" => status(parser, variable),
        Some(Arg::Value(command)) if command == "help" => Ok(Command::Help),
        Some(Arg::Short('h') | Arg::Long("help")) => Ok(Command::Help),
        Some(Arg::Short('V') | Arg::Long("version")) => Ok(Command::Version),
        // What stands there may be an invite, so it is not shown.
        Some(Arg::Value(_)) => Err(UsageError("the first word must be join, leave or status".to_owned())),
        Some(other) => Err(other.unexpected().into()),
        None => Err(UsageError("a command is missing: join, leave or status".to_owned())),
    }
}

fn join(mut parser: lexopt::Parser, variable: impl Fn(&str) -> Option<OsString>) -> Result<Command, UsageError> {
    let mut invites = Vec::new();
    let (mut docker, mut state, mut timeout) = (None, None, None);
    let (mut advertise, mut data_path, mut listen) = (None, None, None);
    let (mut shred, mut on_failure) = (false, None);
    while let Some(argument) = parser.next()? {
        match argument {
            Arg::Value(word) if word == "-" => invites.push(InviteSource::Stdin),
            Arg::Value(word) => invites.push(InviteSource::argument(
                // Not the error's own words: they would show the argument.
                word.into_string().map_err(|_| UsageError("the invite is not text".to_owned()))?,
            )),
            Arg::Long("invite-file") => invites.push(InviteSource::File(parser.value()?.into())),
            Arg::Long("docker") => docker = Some(parser.value()?),
            Arg::Long("state") => state = Some(parser.value()?),
            Arg::Long("timeout") => timeout = Some(parser.value()?),
            Arg::Long("shred-invite") => shred = true,
            Arg::Long("on-failure") => on_failure = Some(parser.value()?),
            Arg::Long("advertise-addr") => advertise = Some(parser.value()?),
            Arg::Long("data-path-addr") => data_path = Some(parser.value()?),
            Arg::Long("listen-addr") => listen = Some(parser.value()?),
            Arg::Short('v') | Arg::Long("verbose") => narrate::up_to(Level::Debug),
            Arg::Short('h') | Arg::Long("help") => return Ok(Command::Help),
            other => return Err(other.unexpected().into()),
        }
    }
    if invites.len() > 1 {
        return Err(UsageError(
            "the invite is given more than once: give it as -, as --invite-file or as INVITE".to_owned(),
        ));
    }
    let from_environment = || variable("JOINER_INVITE_FILE").map(|file| InviteSource::File(file.into()));
    Ok(Command::Join(JoinOptions {
        invite: invites.pop().or_else(from_environment),
        brokers: Vec::new(),
        docker: socket(docker.or_else(|| variable("JOINER_DOCKER"))),
        addresses: Addresses {
            advertise: own_address(advertise.or_else(|| variable("JOINER_ADVERTISE_ADDR")), "the advertise address")?,
            data_path: own_address(data_path.or_else(|| variable("JOINER_DATA_PATH_ADDR")), "the data path address")?,
            listen: own_address(listen.or_else(|| variable("JOINER_LISTEN_ADDR")), "the listen address")?,
        },
        state: folder(state.or_else(|| variable("JOINER_STATE"))),
        timeout: duration(timeout.or_else(|| variable("JOINER_TIMEOUT")), Duration::from_mins(10))?,
        shred: shred || yes(variable("JOINER_SHRED_INVITE"), "JOINER_SHRED_INVITE")?,
        on_failure: on_failure.or_else(|| variable("JOINER_ON_FAILURE")),
    }))
}

fn leave(mut parser: lexopt::Parser, variable: impl Fn(&str) -> Option<OsString>) -> Result<Command, UsageError> {
    let (mut docker, mut state, mut timeout, mut if_ephemeral) = (None, None, None, false);
    while let Some(argument) = parser.next()? {
        match argument {
            Arg::Long("if-ephemeral") => if_ephemeral = true,
            Arg::Long("timeout") => timeout = Some(parser.value()?),
            Arg::Long("docker") => docker = Some(parser.value()?),
            Arg::Long("state") => state = Some(parser.value()?),
            Arg::Short('v') | Arg::Long("verbose") => narrate::up_to(Level::Debug),
            Arg::Short('h') | Arg::Long("help") => return Ok(Command::Help),
            other => return Err(other.unexpected().into()),
        }
    }
    Ok(Command::Leave(LeaveOptions {
        docker: socket(docker.or_else(|| variable("JOINER_DOCKER"))),
        state: folder(state.or_else(|| variable("JOINER_STATE"))),
        // Not JOINER_TIMEOUT: a machine that waits long for its join may have seconds left when it goes.
        timeout: duration(timeout.or_else(|| variable("JOINER_LEAVE_TIMEOUT")), Duration::from_mins(1))?,
        if_ephemeral,
    }))
}

fn status(mut parser: lexopt::Parser, variable: impl Fn(&str) -> Option<OsString>) -> Result<Command, UsageError> {
    let (mut docker, mut state, mut json) = (None, None, false);
    while let Some(argument) = parser.next()? {
        match argument {
            Arg::Long("json") => json = true,
            Arg::Long("docker") => docker = Some(parser.value()?),
            Arg::Long("state") => state = Some(parser.value()?),
            Arg::Short('v') | Arg::Long("verbose") => narrate::up_to(Level::Debug),
            Arg::Short('h') | Arg::Long("help") => return Ok(Command::Help),
            other => return Err(other.unexpected().into()),
        }
    }
    Ok(Command::Status(StatusOptions {
        docker: socket(docker.or_else(|| variable("JOINER_DOCKER"))),
        state: folder(state.or_else(|| variable("JOINER_STATE"))),
        json,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(words: &[&str], environment: &[(&str, &str)]) -> Result<Command, UsageError> {
        let words = std::iter::once("joiner").chain(words.iter().copied()).map(OsString::from);
        parse(words, |name| environment.iter().find(|(key, _)| *key == name).map(|(_, value)| value.into()))
    }

    fn joined(words: &[&str], environment: &[(&str, &str)]) -> JoinOptions {
        match read(words, environment).expect("reads") {
            Command::Join(options) => options,
            other => panic!("not join: {other:?}"),
        }
    }

    #[test]
    fn defaults_are_those_of_the_design() {
        let options = joined(&["join"], &[]);
        assert_eq!(options.invite, None);
        assert_eq!(options.docker, PathBuf::from("/var/run/docker.sock"));
        assert_eq!(options.state, PathBuf::from("/var/lib/joiner"));
        assert_eq!(options.timeout, Duration::from_mins(10));
        assert_eq!(options.addresses, Addresses::default());
    }

    #[test]
    fn every_flag_has_a_variable_and_wins_over_it() {
        let environment = [
            ("JOINER_INVITE_FILE", "/env"),
            ("JOINER_DOCKER", "unix:///env.sock"),
            ("JOINER_ADVERTISE_ADDR", "eth0"),
            ("JOINER_DATA_PATH_ADDR", "eth1"),
            ("JOINER_LISTEN_ADDR", "eth2:2377"),
            ("JOINER_STATE", "/env-state"),
            ("JOINER_TIMEOUT", "90s"),
            ("JOINER_SHRED_INVITE", "yes"),
            ("JOINER_ON_FAILURE", "env-command"),
        ];
        let options = joined(&["join"], &environment);
        assert_eq!(options.invite, Some(InviteSource::File("/env".into())));
        assert_eq!(options.docker, PathBuf::from("/env.sock"));
        assert_eq!(options.state, PathBuf::from("/env-state"));
        assert_eq!(options.timeout, Duration::from_secs(90));
        assert_eq!(options.addresses.advertise, Some(OwnAddress::Named("eth0".into())));
        assert_eq!(options.addresses.data_path, Some(OwnAddress::Named("eth1".into())));
        assert_eq!(options.addresses.listen, Some(OwnAddress::Named("eth2:2377".into())));
        assert!(options.shred);
        assert_eq!(options.on_failure, Some("env-command".into()));

        let words =
            "join - --docker=/flag.sock --timeout 1h --state /s --advertise-addr 10.0.0.9 --on-failure flag-command";
        let options = joined(&words.split(' ').collect::<Vec<_>>(), &environment);
        assert_eq!(options.invite, Some(InviteSource::Stdin));
        assert_eq!(options.docker, PathBuf::from("/flag.sock"));
        assert_eq!(options.timeout, Duration::from_hours(1));
        assert_eq!(options.addresses.advertise, Some(OwnAddress::Named("10.0.0.9".into())));
        assert_eq!(options.on_failure, Some("flag-command".into()));
    }

    #[test]
    fn an_own_address_may_be_a_network_and_shredding_is_asked_for() {
        let options = joined(&["join", "--advertise-addr", "10.0.0.0/8", "--data-path-addr=fd00::/8"], &[]);
        assert_eq!(options.addresses.advertise, Some(OwnAddress::Within("10.0.0.0/8".parse().expect("a network"))));
        assert_eq!(options.addresses.data_path, Some(OwnAddress::Within("fd00::/8".parse().expect("a network"))));
        assert!(!options.shred && options.on_failure.is_none());
        assert!(joined(&["join", "--shred-invite"], &[]).shred);
        assert!(!joined(&["join"], &[("JOINER_SHRED_INVITE", "no")]).shred);
    }

    #[test]
    fn leaving_has_a_time_of_its_own() {
        let environment = [("JOINER_TIMEOUT", "2h"), ("JOINER_STATE", "/s")];
        let left = |words: &[&str], environment: &[_]| match read(words, environment).expect("reads") {
            Command::Leave(options) => options,
            other => panic!("not leave: {other:?}"),
        };
        let options = left(&["leave"], &environment);
        assert_eq!((options.timeout, options.if_ephemeral), (Duration::from_mins(1), false));
        assert_eq!(options.state, PathBuf::from("/s"));
        assert_eq!(left(&["leave"], &[("JOINER_LEAVE_TIMEOUT", "5s")]).timeout, Duration::from_secs(5));
        let options = left(&["leave", "--if-ephemeral", "--timeout=9s"], &[("JOINER_LEAVE_TIMEOUT", "5s")]);
        assert_eq!((options.timeout, options.if_ephemeral), (Duration::from_secs(9), true));
    }

    #[test]
    fn an_empty_variable_is_as_good_as_none() {
        assert_eq!(joined(&["join"], &[("JOINER_INVITE_FILE", ""), ("JOINER_TIMEOUT", "")]).invite, None);
    }

    #[test]
    fn what_is_not_the_command_line_is_said_without_showing_an_invite() {
        for words in [
            &["join", "SWINV-1-secret", "-"][..],
            &["join", "--invite-file", "/a", "SWINV-1-secret"],
            &["SWINV-1-secret"],
            &["join", "--timeout", "soon"],
            &["join", "--timeout", "0s"],
            &["join", "--tmeout", "1m"],
            &["join", "--advertise-addr", "10.0.0.0/33"],
            &["leave", "SWINV-1-secret"],
            &["status", "SWINV-1-secret"],
            &[],
        ] {
            let error = read(words, &[]).expect_err("not a command line").to_string();
            assert!(!error.contains("SWINV-1-"), "{error}");
        }
        assert!(read(&["join"], &[("JOINER_LOG", "loud")]).is_err());
        assert!(read(&["join"], &[("JOINER_SHRED_INVITE", "perhaps")]).is_err());
    }

    #[test]
    fn help_lists_every_exit_code() {
        let help = help();
        for code in ["0 ", "64", "65", "66", "69", "70", "72", "73", "75", "77", "78"] {
            assert!(help.lines().any(|line| line.trim_start().starts_with(code)), "{code}");
        }
        assert!(matches!(read(&["join", "--help"], &[]), Ok(Command::Help)));
    }

    #[test]
    fn help_names_every_flag_beside_its_variable() {
        let help = help();
        for name in "invite-file shred-invite advertise-addr data-path-addr listen-addr timeout on-failure docker state"
            .split(' ')
        {
            let variable = format!("JOINER_{}", name.replace('-', "_").to_uppercase());
            let line = help.lines().find(|line| line.trim_start().starts_with(&format!("--{name}")));
            assert!(line.is_some_and(|line| line.contains(&variable)), "{name}: {line:?}");
        }
        assert!(help.lines().all(|line| line.len() <= 110), "{help}");
    }

    #[test]
    fn debug_does_not_show_the_invite() {
        assert!(!format!("{:?}", joined(&["join", "SWINV-1-secret"], &[])).contains("secret"));
    }
}

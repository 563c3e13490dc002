//! The command line and its environment variables, parsed once into what the commands take.
//!
//! Keeps DESIGN §6 (the command line is fixed: scripts depend on it).
//! Must not read any file or look at the machine.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use lexopt::{Arg, ValueExt as _};

use crate::exit;
use crate::invite::InviteSource;
use crate::narrate::{self, Level};

/// What to do.
#[derive(Debug, PartialEq)]
pub(crate) enum Command {
    /// Bring this machine into the swarm.
    Join(JoinOptions),
    /// Say what is known here.
    Status(StatusOptions),
    /// Print the help.
    Help,
    /// Print the version.
    Version,
}

/// How to join.
#[derive(Debug, PartialEq)]
pub(crate) struct JoinOptions {
    /// Where the invite is.
    pub(crate) invite: Option<InviteSource>,
    /// Docker's socket.
    pub(crate) docker: PathBuf,
    /// Which addresses the engine uses.
    pub(crate) addresses: Addresses,
    /// The state folder.
    pub(crate) state: PathBuf,
    /// For everything together.
    pub(crate) timeout: Duration,
}

/// The addresses of a swarm node, as Docker takes them: an address, or the name of an interface.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Addresses {
    /// What other nodes reach it at.
    pub(crate) advertise: Option<String>,
    /// What the overlay networks use.
    pub(crate) data_path: Option<String>,
    /// What it listens on.
    pub(crate) listen: Option<String>,
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

const DEFAULT_DOCKER: &str = "/var/run/docker.sock";
const DEFAULT_STATE: &str = "/var/lib/joiner";
const DEFAULT_TIMEOUT: Duration = Duration::from_mins(10);

/// The help text.
pub(crate) fn help() -> String {
    format!("{HELP}{}", exit::codes())
}

const HELP: &str = "\
joiner: brings this machine into a Docker swarm, on an operator's invite

  joiner join [- | --invite-file FILE | INVITE] [options]   join; does nothing on a node that is in already
  joiner status [--json] [options]                          say what is known here
  joiner --help | --version

An invite is the line that 'broker invite create' printed. Prefer a file of mode 0600 or '-' (stdin): an
argument can be read by every user of this machine while joiner runs.

options of join                                              environment
  --invite-file FILE      the invite is in this file         JOINER_INVITE_FILE
  --advertise-addr A      address or interface, as Docker    JOINER_ADVERTISE_ADDR
  --data-path-addr A      takes them                         JOINER_DATA_PATH_ADDR
  --listen-addr A         [0.0.0.0:2377]                     JOINER_LISTEN_ADDR
  --timeout 10m           for everything together            JOINER_TIMEOUT
options of both
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
        Some(Arg::Value(command)) if command == "status" => status(parser, variable),
        Some(Arg::Value(command)) if command == "help" => Ok(Command::Help),
        Some(Arg::Short('h') | Arg::Long("help")) => Ok(Command::Help),
        Some(Arg::Short('V') | Arg::Long("version")) => Ok(Command::Version),
        // What stands there may be an invite, so it is not shown.
        Some(Arg::Value(_)) => Err(UsageError("the first word must be join or status".to_owned())),
        Some(other) => Err(other.unexpected().into()),
        None => Err(UsageError("a command is missing: join or status".to_owned())),
    }
}

fn join(mut parser: lexopt::Parser, variable: impl Fn(&str) -> Option<OsString>) -> Result<Command, UsageError> {
    let mut invites = Vec::new();
    let (mut docker, mut state, mut timeout) = (None, None, None);
    let (mut advertise, mut data_path, mut listen) = (None, None, None);
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
        docker: socket(docker.or_else(|| variable("JOINER_DOCKER"))),
        addresses: Addresses {
            advertise: text(advertise.or_else(|| variable("JOINER_ADVERTISE_ADDR")), "the advertise address")?,
            data_path: text(data_path.or_else(|| variable("JOINER_DATA_PATH_ADDR")), "the data path address")?,
            listen: text(listen.or_else(|| variable("JOINER_LISTEN_ADDR")), "the listen address")?,
        },
        state: folder(state.or_else(|| variable("JOINER_STATE"))),
        timeout: duration(timeout.or_else(|| variable("JOINER_TIMEOUT")))?,
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

fn text(value: Option<OsString>, what: &str) -> Result<Option<String>, UsageError> {
    value.map(|value| value.string().map_err(|_| UsageError(format!("{what} is not text")))).transpose()
}

/// A path, or what Docker's own variables hold: `unix:///path`.
fn socket(value: Option<OsString>) -> PathBuf {
    let value = value.unwrap_or_else(|| DEFAULT_DOCKER.into());
    match value.to_str().and_then(|text| text.strip_prefix("unix://")) {
        Some(path) => path.into(),
        None => value.into(),
    }
}

fn folder(value: Option<OsString>) -> PathBuf {
    value.map_or_else(|| DEFAULT_STATE.into(), PathBuf::from)
}

fn duration(value: Option<OsString>) -> Result<Duration, UsageError> {
    let Some(value) = text(value, "the timeout")? else { return Ok(DEFAULT_TIMEOUT) };
    humantime::parse_duration(&value)
        .ok()
        .filter(|timeout| !timeout.is_zero())
        .ok_or_else(|| UsageError(format!("'{}' is not a timeout: write 90s, 10m or 1h", narrate::foreign(&value))))
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
        ];
        let options = joined(&["join"], &environment);
        assert_eq!(options.invite, Some(InviteSource::File("/env".into())));
        assert_eq!(options.docker, PathBuf::from("/env.sock"));
        assert_eq!(options.state, PathBuf::from("/env-state"));
        assert_eq!(options.timeout, Duration::from_secs(90));
        assert_eq!(options.addresses.advertise.as_deref(), Some("eth0"));
        assert_eq!(options.addresses.data_path.as_deref(), Some("eth1"));
        assert_eq!(options.addresses.listen.as_deref(), Some("eth2:2377"));

        let words =
            ["join", "-", "--docker=/flag.sock", "--timeout", "1h", "--state", "/s", "--advertise-addr", "10.0.0.9"];
        let options = joined(&words, &environment);
        assert_eq!(options.invite, Some(InviteSource::Stdin));
        assert_eq!(options.docker, PathBuf::from("/flag.sock"));
        assert_eq!(options.timeout, Duration::from_hours(1));
        assert_eq!(options.addresses.advertise.as_deref(), Some("10.0.0.9"));
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
            &["leave"],
            &["status", "SWINV-1-secret"],
            &[],
        ] {
            let error = read(words, &[]).expect_err("not a command line").to_string();
            assert!(!error.contains("SWINV-1-"), "{error}");
        }
        assert!(read(&["join"], &[("JOINER_LOG", "loud")]).is_err());
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
    fn debug_does_not_show_the_invite() {
        assert!(!format!("{:?}", joined(&["join", "SWINV-1-secret"], &[])).contains("secret"));
    }
}

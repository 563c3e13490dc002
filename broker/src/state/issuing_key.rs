//! Where the issuing key comes from, or all of a cluster's: the state directory, or a file, a credential of systemd, or what a
//! command prints.
//!
//! Keeps DESIGN §3b: the key may live in any secret store. Keeps promise 7: neither the key nor the command's words are
//! shown, also not where they are wrong. Must not wait or read without a bound.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::str::FromStr;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};
use zeroize::Zeroizing;

use super::StateError;
use super::folder::check_file;
use crate::exit::Code;

/// A P-256 key in PEM form has some 240 bytes; more than this is something else.
const LONGEST: usize = 16 * 1024;
/// How long a command may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// Where systemd says in which folder it put the credentials of a service.
const CREDENTIALS: &str = "CREDENTIALS_DIRECTORY";

/// Where the issuing key is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum KeySource {
    /// In the state directory, where `broker init` puts it.
    #[default]
    State,
    /// In another file.
    File(PathBuf),
    /// In a credential that systemd passes (`LoadCredential=`).
    Credential(String),
    /// On the standard output of a line for `/bin/sh`.
    Command(String),
}

/// The key could not be had from there.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeySourceError {
    #[error("the key in {0} cannot be read: {1}")]
    Unreadable(PathBuf, std::io::Error),
    #[error(
        "there are no credentials here ($CREDENTIALS_DIRECTORY is not set), so none is called '{0}': only a service of systemd has them, with LoadCredential={0}:FILE in its unit"
    )]
    NoCredentials(String),
    #[error("systemd passed no credential '{0}': give it to the unit with LoadCredential={0}:FILE")]
    NoCredential(String),
    #[error("the command that gives the key cannot be run: {0}")]
    NotRun(std::io::Error),
    #[error("the command that gives the key failed ({0}); what it said stands above")]
    Failed(ExitStatus),
    #[error("the command that gives the key did not end within {} s, and was killed", .0.as_secs())]
    Late(Duration),
    #[error("what {0} gives for a key is not text, or longer than a key can be")]
    NotText(&'static str),
}

impl KeySourceError {
    /// A command may reach another machine, so its failure may pass; all else stays as it is.
    pub(super) fn code(&self) -> Code {
        match self {
            Self::Unreadable(..) | Self::NoCredential(_) => Code::NoInput,
            Self::NoCredentials(_) => Code::Config,
            Self::NotRun(_) => Code::System,
            Self::Failed(_) | Self::Late(_) => Code::Unavailable,
            Self::NotText(_) => Code::Data,
        }
    }
}

impl FromStr for KeySource {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wanted = "file:PATH, credential:NAME or command:LINE";
        let (kind, rest) = text.split_once(':').ok_or(wanted)?;
        let plain = |name: &str| !name.contains('/') && name != "." && name != "..";
        match kind {
            _ if rest.trim().is_empty() => Err(wanted),
            "file" if rest.starts_with('/') => Ok(Self::File(rest.into())),
            "file" => Err("file:PATH with an absolute path"),
            "credential" if plain(rest) => Ok(Self::Credential(rest.to_owned())),
            "credential" => Err("credential:NAME with the name of a credential, without a path"),
            "command" => Ok(Self::Command(rest.to_owned())),
            _ => Err(wanted),
        }
    }
}

impl KeySource {
    /// The same, where a path alone stands for a file.
    pub(crate) fn or_path(text: &str) -> Result<Self, &'static str> {
        let is_named = ["file:", "credential:", "command:"].iter().any(|kind| text.starts_with(kind));
        if is_named { text.parse() } else { Ok(Self::File(text.into())) }
    }

    /// Whether it is a file that depends on where it is asked for.
    pub(crate) fn is_relative(&self) -> bool {
        matches!(self, Self::File(path) if path.is_relative())
    }

    /// What it is, without the line, which may hold what is the operator's alone.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::File(path) => path.display().to_string(),
            Self::Credential(name) => format!("the credential {name}"),
            Self::State | Self::Command(_) => format!("the {}", self.kind()),
        }
    }

    /// What it is, without the path, the name or the line: those are the operator's.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::State => "state",
            Self::File(_) => "file",
            Self::Credential(_) => "credential",
            Self::Command(_) => "command",
        }
    }

    /// Reads the text of the key; none if it is in the state directory.
    pub(crate) fn read(&self) -> Result<Option<Zeroizing<String>>, StateError> {
        match self {
            Self::State => Ok(None),
            Self::File(path) => {
                check_file(path).map_err(|error| match error {
                    StateError::Io { path, error } => KeySourceError::Unreadable(path, error).into(),
                    error => error,
                })?;
                Ok(Some(of_file(path, self.kind())?))
            }
            Self::Credential(name) => Ok(Some(of_credential(name, std::env::var_os(CREDENTIALS).map(PathBuf::from))?)),
            Self::Command(line) => Ok(Some(of_command(line, PATIENCE)?)),
        }
    }
}

/// Systemd owns its folder of credentials, and its modes.
fn of_credential(name: &str, folder: Option<PathBuf>) -> Result<Zeroizing<String>, KeySourceError> {
    let folder = folder.ok_or_else(|| KeySourceError::NoCredentials(name.to_owned()))?;
    of_file(&folder.join(name), "a credential").map_err(|error| match error {
        KeySourceError::Unreadable(_, error) if error.kind() == ErrorKind::NotFound => {
            KeySourceError::NoCredential(name.to_owned())
        }
        error => error,
    })
}

fn of_file(path: &Path, kind: &'static str) -> Result<Zeroizing<String>, KeySourceError> {
    let unreadable = |error| KeySourceError::Unreadable(path.to_owned(), error);
    let bytes = bounded(File::open(path).map_err(unreadable)?).map_err(unreadable)?;
    text(&bytes, kind)
}

/// The line goes to a shell: secret stores are asked with pipes and quotes. What it says on standard error is the
/// operator's to read.
fn of_command(line: &str, patience: Duration) -> Result<Zeroizing<String>, KeySourceError> {
    let deadline = Instant::now() + patience;
    let mut command = Command::new("/bin/sh");
    // A group of its own, so that what the shell started ends with it.
    command.arg("-c").arg(line).stdin(Stdio::null()).stdout(Stdio::piped()).process_group(0);
    let mut child = command.spawn().map_err(KeySourceError::NotRun)?;
    let (sender, printed) = channel();
    if let Some(stdout) = child.stdout.take() {
        std::thread::spawn(move || drop(sender.send(bounded(stdout))));
    }
    let ended = match printed.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
        Ok(bytes) => bytes.map_err(KeySourceError::NotRun).and_then(|bytes| {
            // Whoever prints without an end is not waited for.
            let key = text(&bytes, "a command")?;
            let status = ended(&mut child, deadline)?.ok_or(KeySourceError::Late(patience))?;
            if status.success() { Ok(key) } else { Err(KeySourceError::Failed(status)) }
        }),
        Err(_) => Err(KeySourceError::Late(patience)),
    };
    if ended.is_err() {
        let _ = kill_process_group(Pid::from_child(&child), Signal::KILL);
        let _ = child.wait();
    }
    ended
}

fn ended(child: &mut Child, deadline: Instant) -> Result<Option<ExitStatus>, KeySourceError> {
    loop {
        match child.try_wait().map_err(KeySourceError::NotRun)? {
            None if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(10)),
            status => return Ok(status),
        }
    }
}

/// At most one byte more than a key may have, so that too long is seen. Nothing is copied on the way.
fn bounded(from: impl Read) -> std::io::Result<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(LONGEST + 1));
    from.take(LONGEST as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn text(bytes: &[u8], kind: &'static str) -> Result<Zeroizing<String>, KeySourceError> {
    match std::str::from_utf8(bytes) {
        Ok(text) if bytes.len() <= LONGEST => Ok(Zeroizing::new(text.to_owned())),
        Ok(_) | Err(_) => Err(KeySourceError::NotText(kind)),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_source_is_a_kind_and_a_place() {
        assert_eq!("file:/etc/key".parse(), Ok(KeySource::File("/etc/key".into())));
        assert_eq!("credential:issuing.key".parse(), Ok(KeySource::Credential("issuing.key".into())));
        assert_eq!("command:a: b | c".parse(), Ok(KeySource::Command("a: b | c".into())));
        for wrong in [
            "",
            "key",
            "file:",
            "file:key",
            "credential:",
            "credential:../key",
            "credential:..",
            "vault:key",
            "command: ",
        ] {
            assert!(wrong.parse::<KeySource>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_credential_is_in_the_folder_that_systemd_names() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("issuing.key"), "text").expect("written");
        let read = |name: &str, folder: Option<&Path>| of_credential(name, folder.map(Path::to_owned));
        assert_eq!(read("issuing.key", Some(folder.path())).expect("there").as_str(), "text");
        assert!(matches!(read("other", Some(folder.path())), Err(KeySourceError::NoCredential(_))));
        assert!(matches!(read("issuing.key", None), Err(KeySourceError::NoCredentials(_))));
    }

    #[test]
    fn a_command_gives_what_it_prints() {
        let long = Duration::from_secs(20);
        assert_eq!(of_command("printf '%s' \"a  b\" | tr a c", long).expect("text").as_str(), "c  b");
        let failed = of_command("echo key; exit 3", long).expect_err("failed").to_string();
        assert!(failed.contains("exit status: 3") && !failed.contains("key;"), "{failed}");
        assert!(matches!(of_command("/nowhere/at/all 2>&-", long), Err(KeySourceError::Failed(_))));
    }

    #[test]
    fn a_command_without_an_end_is_killed_with_all_that_it_started() {
        let start = Instant::now();
        assert!(matches!(of_command("yes", Duration::from_mins(1)), Err(KeySourceError::NotText(_))));
        assert!(matches!(of_command("exec >&-; sleep 60", Duration::from_millis(200)), Err(KeySourceError::Late(_))));
        let folder = tempfile::tempdir().expect("a folder");
        let alive = folder.path().join("alive");
        let line = format!("(sleep 1; touch {}) & sleep 60", alive.display());
        assert!(matches!(of_command(&line, Duration::from_millis(200)), Err(KeySourceError::Late(_))));
        assert!(start.elapsed() < Duration::from_secs(30));
        std::thread::sleep(Duration::from_millis(1500));
        assert!(!alive.exists(), "what it left in the background lived on");
    }

    #[test]
    fn what_is_too_long_is_not_read() {
        assert!(text(&vec![b'x'; LONGEST], "a file").is_ok());
        let bytes = bounded(std::io::repeat(b'x')).expect("reads");
        assert_eq!(bytes.len(), LONGEST + 1);
        assert!(matches!(text(&bytes, "a file"), Err(KeySourceError::NotText("a file"))));
    }
}

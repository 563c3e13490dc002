//! How a command ends: exit codes as in sysexits.h, and errors that say what to do.
//!
//! Serves DESIGN §6. Must not carry a secret: whatever stands here is printed.

use std::fmt;

/// An exit code of sysexits.h.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    /// 64: the command line is wrong.
    Usage = 64,
    /// 65: what was given does not read: an invite, a state file.
    Data = 65,
    /// 66: a file that was named is not there.
    NoInput = 66,
    /// 69: something that is needed does not answer.
    Unavailable = 69,
    /// 70: a fault of the broker itself.
    Internal = 70,
    /// 71: the operating system refused.
    System = 71,
    /// 72: a file that should be there is not: the Docker socket.
    OsFile = 72,
    /// 73: a file could not be made.
    CannotCreate = 73,
    /// 74: reading or writing failed.
    Io = 74,
    /// 75: not now; try again.
    TryAgain = 75,
    /// 77: not allowed.
    NotAllowed = 77,
    /// 78: the configuration is wrong.
    Config = 78,
}

impl Code {
    /// The one with this number; internal where there is none.
    pub(crate) fn of(number: u8) -> Self {
        let all = [
            Self::Usage,
            Self::Data,
            Self::NoInput,
            Self::Unavailable,
            Self::Internal,
            Self::System,
            Self::OsFile,
            Self::CannotCreate,
            Self::Io,
            Self::TryAgain,
            Self::NotAllowed,
            Self::Config,
        ];
        all.into_iter().find(|code| *code as u8 == number).unwrap_or(Self::Internal)
    }
}

/// What `--help` says about exit codes.
pub(crate) const HELP: &str = "Exit codes (sysexits.h): 0 done, 64 usage, 65 data does not read, 66 no such file, \
69 unavailable, 70 internal, 71 operating system, 72 Docker socket missing, 73 cannot create, 74 I/O, 75 try again, \
77 not allowed, 78 configuration.";

/// Why a command failed, for the person who typed it.
#[derive(Debug)]
pub(crate) struct Failure {
    /// The exit code.
    pub(crate) code: Code,
    message: String,
}

impl Failure {
    /// A failure: what happened, to what, and what to do.
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

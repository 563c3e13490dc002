//! A terminal, as a person sits at one.
//! Promise: it is a real one of the kernel's, and what a program shows on it is read to its end.

use std::fs::{File, OpenOptions};
use std::io::Read as _;
use std::process::{Command, Stdio};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use crate::cluster::Run;
use crate::error::{Result, Trying};

/// Which of a program's streams is the terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Output,
    /// Standard error.
    Errors,
}

/// Runs a command to its end, with a terminal of 24 lines as this stream. What the terminal was sent is in the same stream of
/// what it gives; of the other stream, and of the input, there is none.
pub fn on_terminal(mut command: Command, stream: Stream) -> Result<Run> {
    let (master, terminal) = open().trying(|| "opening a terminal".to_owned())?;
    command.env("TERM", "xterm").stdin(Stdio::null());
    match stream {
        Stream::Output => command.stdout(terminal).stderr(Stdio::null()),
        Stream::Errors => command.stdout(Stdio::null()).stderr(terminal),
    };
    let mut child = command.spawn().trying(|| format!("running {command:?}"))?;
    // Else this program would hold the terminal open itself.
    drop(command);
    let mut seen = Vec::new();
    // A terminal whose other end is gone ends with an error.
    let _ = File::from(master).read_to_end(&mut seen);
    let status = child.wait().trying(|| "waiting for a program on a terminal".to_owned())?;
    let seen = String::from_utf8_lossy(&seen).into_owned();
    let code = status.code().unwrap_or(-1);
    Ok(match stream {
        Stream::Output => Run { code, stdout: seen, stderr: String::new() },
        Stream::Errors => Run { code, stdout: String::new(), stderr: seen },
    })
}

fn open() -> std::io::Result<(std::os::fd::OwnedFd, File)> {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY)?;
    grantpt(&master)?;
    unlockpt(&master)?;
    let name = ptsname(&master, Vec::new())?.into_string().map_err(std::io::Error::other)?;
    let terminal = OpenOptions::new().read(true).write(true).open(name)?;
    tcsetwinsize(&terminal, Winsize { ws_row: 24, ws_col: 120, ws_xpixel: 0, ws_ypixel: 0 })?;
    Ok((master, terminal))
}

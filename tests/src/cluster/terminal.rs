//! A terminal, as a person sits at one.
//! Promise: it is a real one of the kernel's, and what a program shows on it is read to its end.

use std::fs::{File, OpenOptions};
use std::io::Read as _;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use crate::cluster::Run;
use crate::error::{Result, Trying};
use crate::until::{LONG, until};

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

/// Runs a command that does not end by itself, with a terminal as its standard output: until what the terminal was sent is
/// enough, and then until it ended by the SIGINT of a Ctrl-C.
pub fn on_terminal_until(mut command: Command, what: &str, enough: impl Fn(&str) -> bool) -> Result<Run> {
    let (master, terminal) = open().trying(|| "opening a terminal".to_owned())?;
    command.env("TERM", "xterm").stdin(Stdio::null()).stdout(terminal).stderr(Stdio::null());
    let mut child = command.spawn().trying(|| format!("running {command:?}"))?;
    drop(command);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (mut master, into) = (File::from(master), seen.clone());
    let reader = thread::spawn(move || {
        let mut bytes = [0; 4096];
        while let Ok(count @ 1..) = master.read(&mut bytes) {
            into.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(&bytes[..count]);
        }
    });
    let text = || String::from_utf8_lossy(&seen.lock().unwrap_or_else(PoisonError::into_inner)).into_owned();
    let came = until(LONG, what, || enough(&text()).then_some(()));
    // Its end was not waited for: its id is still its own.
    kill_process(Pid::from_child(&child), Signal::INT).trying(|| "interrupting a program on a terminal".to_owned())?;
    let ended = until(LONG, "a program on a terminal to end by SIGINT", || child.try_wait().ok().flatten());
    if ended.is_err() {
        // Both refuse only if it has ended by now.
        let _ = child.kill();
        let _ = child.wait();
    }
    let _ = reader.join();
    came?;
    Ok(Run { code: ended?.code().unwrap_or(-1), stdout: text(), stderr: String::new() })
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

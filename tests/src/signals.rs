//! What happens on SIGINT and SIGTERM: the lab goes down, then the program.
//! Promise: a Ctrl-C leaves nothing behind.
//! Must not: be asked for twice in one program.

use std::process::exit;
use std::thread;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::error::{Result, Trying};
use crate::register;

/// On a signal, takes down the lab whose id is told then, and ends the program.
pub(crate) fn go_down_on_signals(lab: impl Fn() -> Option<String> + Send + 'static) -> Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM]).trying(|| "catching signals".to_owned())?;
    thread::spawn(move || {
        if let Some(signal) = signals.forever().next() {
            eprintln!("lab: going down on signal {signal}");
            if let Some(lab) = lab() {
                register::take_down(&lab);
            }
            exit(128 + signal);
        }
    });
    Ok(())
}

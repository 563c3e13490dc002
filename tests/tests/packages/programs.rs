//! The static programs, and how each is run on this machine.

use std::ffi::OsString;
use std::path::PathBuf;

use lab::{Failed, programs, requirements};

/// The joiners.
pub(crate) const JOINERS: [&str; 2] = ["joiner-x86_64", "joiner-aarch64"];
/// The broker.
pub(crate) const BROKER: &str = "broker-x86_64";

/// Every program that is shipped.
pub(crate) fn all() -> Result<Vec<(&'static str, PathBuf)>, Failed> {
    let names = JOINERS.into_iter().chain([BROKER]);
    Ok(names.map(|name| Ok((name, programs::shipped(name)?))).collect::<lab::Result<_>>()?)
}

/// The emulator for a program, and none for one of this machine's kind.
pub(crate) fn emulator(name: &str) -> Result<Option<PathBuf>, Failed> {
    if !name.ends_with("aarch64") {
        return Ok(None);
    }
    Ok(Some(requirements::arm_emulator()?))
}

/// What to type to run a program here.
pub(crate) fn words(name: &str) -> Result<Vec<OsString>, Failed> {
    let program = programs::shipped(name)?;
    Ok(emulator(name)?.into_iter().chain([program]).map(OsString::from).collect())
}

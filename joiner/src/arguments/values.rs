//! Values of flags and variables, read.
//!
//! Keeps mistakes at the command line: a value that does not read is told before anything is done.
//! Must not show a value that may be an invite.

use std::ffi::OsString;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use ipnet::IpNet;
use lexopt::ValueExt as _;

use super::UsageError;
use crate::narrate;

const DEFAULT_DOCKER: &str = "/var/run/docker.sock";
const DEFAULT_STATE: &str = "/var/lib/joiner";

/// One of this machine's own addresses, as an operator says it.
#[derive(Clone, Debug, PartialEq)]
pub enum OwnAddress {
    /// An address or the name of an interface, as Docker takes it.
    Named(String),
    /// The one address that this machine has in a network.
    Within(IpNet),
}

impl FromStr for OwnAddress {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.contains('/') {
            return text.parse().map(Self::Within).map_err(|_| "a network: write it as 10.0.0.0/8 or fd00::/8");
        }
        Ok(Self::Named(text.to_owned()))
    }
}

pub(super) fn own_address(value: Option<OsString>, what: &str) -> Result<Option<OwnAddress>, UsageError> {
    let Some(value) = text(value, what)? else { return Ok(None) };
    value.parse().map(Some).map_err(|wanted| {
        let value = narrate::foreign(&value);
        UsageError(format!("{what} '{value}' is not {wanted}"))
    })
}

pub(super) fn text(value: Option<OsString>, what: &str) -> Result<Option<String>, UsageError> {
    value.map(|value| value.string().map_err(|_| UsageError(format!("{what} is not text")))).transpose()
}

/// A path, or what Docker's own variables hold: `unix:///path`.
pub(super) fn socket(value: Option<OsString>) -> PathBuf {
    let value = value.unwrap_or_else(|| DEFAULT_DOCKER.into());
    match value.to_str().and_then(|text| text.strip_prefix("unix://")) {
        Some(path) => path.into(),
        None => value.into(),
    }
}

pub(super) fn folder(value: Option<OsString>) -> PathBuf {
    value.map_or_else(|| DEFAULT_STATE.into(), PathBuf::from)
}

pub(super) fn duration(value: Option<OsString>, otherwise: Duration) -> Result<Duration, UsageError> {
    let Some(value) = text(value, "the timeout")? else { return Ok(otherwise) };
    humantime::parse_duration(&value)
        .ok()
        .filter(|timeout| !timeout.is_zero())
        .ok_or_else(|| UsageError(format!("'{}' is not a timeout: write 90s, 10m or 1h", narrate::foreign(&value))))
}

/// What a variable switches on.
pub(super) fn yes(value: Option<OsString>, what: &str) -> Result<bool, UsageError> {
    match text(value, what)?.as_deref() {
        None | Some("no" | "false" | "0") => Ok(false),
        Some("yes" | "true" | "1") => Ok(true),
        Some(_) => Err(UsageError(format!("{what} must be yes or no"))),
    }
}

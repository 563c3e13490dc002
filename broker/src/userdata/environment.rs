//! `/etc/joiner/environment`: settings for the joiner and for the script that fetches it, as systemd reads them.

use std::fmt;

use protocol::BrokerAddress;

use super::{Order, Program, UserDataError};

/// A value as systemd's `EnvironmentFile=` takes it (systemd.exec(5)): in double quotes nothing is special but a
/// backslash before one of four characters.
pub(super) struct Quoted<'a>(&'a str);

impl<'a> Quoted<'a> {
    /// Takes one line of text; `name` is for the complaint.
    pub(super) fn of(name: &'static str, text: &'a str) -> Result<Self, UserDataError> {
        if text.contains(char::is_control) { Err(UserDataError::SeveralLines(name)) } else { Ok(Self(text)) }
    }
}

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"")?;
        for character in self.0.chars() {
            if matches!(character, '"' | '\\' | '`' | '$') {
                f.write_str("\\")?;
            }
            write!(f, "{character}")?;
        }
        f.write_str("\"")
    }
}

/// The file's text. `to`: where the program goes, if that is not the script's default.
pub(super) fn environment(order: &Order, brokers: &[BrokerAddress], to: Option<&str>) -> Result<String, UserDataError> {
    let mut lines = Vec::new();
    if let Program::Fetched(joiners) = &order.program {
        let hashes = joiners.iter().map(|(architecture, hash)| (architecture.to_uppercase(), hash));
        lines.extend(hashes.map(|(architecture, hash)| format!("FETCH_SHA256_{architecture}={hash}")));
        let brokers: Vec<String> = brokers.iter().map(ToString::to_string).collect();
        lines.push(format!("FETCH_BROKERS={}", Quoted(&brokers.join(" "))));
        lines.push(format!("FETCH_INSTALL_DOCKER={}", if order.install_docker { "yes" } else { "no" }));
        lines.extend(to.map(|to| format!("FETCH_TO={to}")));
    }
    for (name, value) in &order.settings {
        lines.push(format!("{name}={}", Quoted::of(name, value)?));
    }
    Ok(lines.into_iter().map(|line| line + "\n").collect())
}

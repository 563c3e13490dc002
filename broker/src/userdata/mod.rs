//! User-data: the text that makes a new machine join by itself.
//!
//! Keeps promise 7 (the token never shows): an invite is the only secret in it, which is asked once more before the text
//! is given away. Must not do I/O: a pure function of what was ordered.

mod by_store;
mod cloud_config;
mod environment;
mod files;
mod ignition;
mod multipart;
mod shell;
mod tfvars;

use std::collections::BTreeMap;

use protocol::{InviteLine, Role};

pub(crate) use by_store::{ByStore, render_by_store};
use environment::Quoted;
use files::Files;

/// EC2's limit for user-data, in bytes: the narrowest of all providers.
pub(crate) const LIMIT: usize = 16 * 1024;

/// The form of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// #cloud-config, for cloud-init
    CloudConfig,
    /// A shell script, for images that run their user-data as one
    Shell,
    /// Ignition 3.3, for Flatcar and Fedora CoreOS
    Ignition,
    /// MIME multipart with the #cloud-config as a part, to put more parts beside it
    Multipart,
    /// JSON with the variables of the Terraform module, for a file NAME.auto.tfvars.json
    Tfvars,
}

/// What a machine shall do to join.
#[derive(Debug)]
pub(crate) struct Order {
    /// How the joiner comes to the machine.
    pub(crate) program: Program,
    /// Whether Docker is installed where there is none.
    pub(crate) install_docker: bool,
    /// The joiner's own settings, by the name of their variable.
    pub(crate) settings: BTreeMap<&'static str, String>,
}

/// How the joiner comes to the machine.
#[derive(Debug)]
pub(crate) enum Program {
    /// The image has the joiner's package.
    InImage,
    /// It is fetched from a broker, by the SHA-256 (lower-case hex) for the machine's architecture.
    Fetched(BTreeMap<String, String>),
}

/// Why there is no user-data.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum UserDataError {
    /// More than machines may be given.
    #[error(
        "the user-data would have {0} bytes, and EC2 takes at most {LIMIT}: shorten --on-failure, or give the invite fewer labels and networks"
    )]
    TooLarge(usize),
    /// A setting cannot be written down.
    #[error("{0} must be one line of text")]
    SeveralLines(&'static str),
    /// A swarm token stands in it.
    #[error(
        "a swarm join token stands in {0}: user-data can be read by everything on the machine. Leave it out: the invite is what the machine joins with"
    )]
    SwarmToken(&'static str),
    /// The Terraform module renders workers.
    #[error("--format tfvars is for workers: give a manager's user-data to the machine as it is, in another format")]
    ManagersByTerraform,
    /// Ignition's systems come with Docker.
    #[error("Flatcar and Fedora CoreOS come with Docker: leave --install-docker away with --format ignition")]
    DockerIsThere,
    /// There is nothing to install with.
    #[error("--install-docker is for machines that fetch the joiner too: leave --embed or --install-docker away")]
    NothingFetches,
    /// The environment variable has commas between options.
    #[error("--store-option: a value with a comma in it cannot be written into user-data")]
    Comma,
    /// Systemd reads it as more than a path.
    #[error("--store file:///FOLDER: in user-data, name a folder of letters, digits and . _ - only")]
    Folder,
}

impl Order {
    /// Finds what is wrong with the order itself, before an invite is made for it.
    pub(crate) fn check(&self, role: Role, format: Format) -> Result<(), UserDataError> {
        if role == Role::Manager && format == Format::Tfvars {
            return Err(UserDataError::ManagersByTerraform);
        }
        if self.install_docker && format == Format::Ignition {
            return Err(UserDataError::DockerIsThere);
        }
        if self.install_docker && matches!(self.program, Program::InImage) {
            return Err(UserDataError::NothingFetches);
        }
        for (name, value) in &self.settings {
            if value.contains("SWMTKN") {
                return Err(UserDataError::SwarmToken(name));
            }
            Quoted::of(name, value)?;
        }
        Ok(())
    }
}

/// Writes the user-data.
pub(crate) fn render(order: &Order, invite: &InviteLine, format: Format) -> Result<String, UserDataError> {
    order.check(invite.unverified().role, format)?;
    let files = Files::of(order, invite, if format == Format::Ignition { &files::OPT } else { &files::LOCAL })?;
    let text = if format == Format::Tfvars { tfvars::write(order, invite) } else { written(&files, format)? };
    if text.len() > LIMIT { Err(UserDataError::TooLarge(text.len())) } else { Ok(text) }
}

/// The files and commands, in a form that is for a machine.
fn written(files: &Files, format: Format) -> Result<String, UserDataError> {
    Ok(match format {
        Format::CloudConfig => cloud_config::write(files),
        Format::Shell => shell::write(files),
        Format::Ignition => ignition::write(files),
        Format::Multipart => multipart::write(files),
        Format::Tfvars => return Err(UserDataError::ManagersByTerraform),
    })
}

#[cfg(test)]
mod tests;

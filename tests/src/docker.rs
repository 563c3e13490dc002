//! Docker on a host, through its command line.
//! Promise: each call ends within a minute, and a refusal carries what Docker said.
//! Must not: read the settings of whoever runs the tests.

use std::process::Command;

use serde_json::Value;

use crate::error::{Error, Result};
use crate::host::Host;
use crate::run::run;

/// After this, an engine that does not answer is taken for one that never will.
const SECONDS: &str = "60";

impl Host {
    /// Runs `docker …` against this host's engine, and gives what it prints.
    pub fn docker(&self, arguments: &[&str]) -> Result<String> {
        run(self.docker_command().args(arguments))
    }

    /// Runs `docker …` and reads what it prints as JSON.
    pub fn json(&self, arguments: &[&str]) -> Result<Value> {
        let answer = self.docker(arguments)?;
        serde_json::from_str(&answer)
            .map_err(|_| Error::Unreadable { what: format!("docker {}", arguments.join(" ")), answer })
    }

    /// `docker`, with this host's engine and no settings.
    pub(crate) fn docker_command(&self) -> Command {
        let mut command = Command::new("timeout");
        command.args(["--signal=KILL", SECONDS, "docker"]);
        command.arg(format!("--host=unix://{}", self.socket().display()));
        command.env("DOCKER_CONFIG", self.place().engine().join("cli"));
        for setting in ["DOCKER_CONTEXT", "DOCKER_HOST", "DOCKER_TLS_VERIFY", "DOCKER_API_VERSION"] {
            command.env_remove(setting);
        }
        command
    }
}

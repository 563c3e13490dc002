//! User-data for managers that find each other through a store: the same for all, and no invite and no key in it.
//!
//! Keeps DESIGN §3b: the keys come by a file, a credential or a command; what is written down is where they are.

use protocol::Role;

use super::environment::Quoted;
use super::files::{BROKER_COMMANDS, COMMANDS, File, Files, UP_FILE, without_comments};
use super::{Format, LIMIT, UserDataError, written};

const UP: &str = include_str!("../../../cloud-init/units/broker.service.d/up-by-store.conf");
const ENVIRONMENT: &str = "/etc/broker/up.environment";

/// What such managers are told.
#[derive(Debug)]
pub(crate) struct ByStore {
    /// The store's URL.
    pub(crate) store: String,
    /// The folder, where it is one.
    pub(crate) folder: Option<String>,
    /// The store's options, without a secret.
    pub(crate) options: Vec<(String, String)>,
    /// Where the keys are, as `broker up --keys-file` takes it.
    pub(crate) keys: String,
    /// Whether they may be replaced when they are gone.
    pub(crate) ephemeral: bool,
    /// What other nodes reach the machine at.
    pub(crate) advertise: Option<String>,
}

/// Writes the user-data.
pub(crate) fn render_by_store(order: &ByStore, format: Format) -> Result<String, UserDataError> {
    if format == Format::Tfvars {
        return Err(UserDataError::ManagersByTerraform);
    }
    let text = written(&order.files()?, format)?;
    if text.len() > LIMIT { Err(UserDataError::TooLarge(text.len())) } else { Ok(text) }
}

impl ByStore {
    fn files(&self) -> Result<Files, UserDataError> {
        let about = format!(
            "Makes this machine a {} of a Docker swarm that it finds, or makes, by {}. No key is in this.",
            Role::Manager,
            Quoted::of("--store", &self.store)?
        );
        let environment = File { path: ENVIRONMENT, mode: 0o600, content: self.environment()? };
        let up = File { path: UP_FILE, mode: 0o644, content: self.drop_in()? };
        let commands = [&COMMANDS[..1], &BROKER_COMMANDS[..]].concat();
        Ok(Files { about, plain: vec![environment], unit: None, leave: None, commands, up: Some(up) })
    }

    fn environment(&self) -> Result<String, UserDataError> {
        if self.options.iter().any(|(_, value)| value.contains(',')) {
            return Err(UserDataError::Comma);
        }
        let options: Vec<String> = self.options.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let options = (!options.is_empty()).then(|| options.join(","));
        let ephemeral = self.ephemeral.then(|| "true".to_owned());
        let settings = [
            ("BROKER_STORE", Some(&self.store)),
            ("BROKER_STORE_OPTION", options.as_ref()),
            ("BROKER_KEYS_FILE", Some(&self.keys)),
            ("BROKER_EPHEMERAL", ephemeral.as_ref()),
            ("BROKER_SWARM_ADVERTISE_ADDR", self.advertise.as_ref()),
        ];
        let lines = settings.into_iter().filter_map(|(name, value)| Some((name, value?)));
        lines.map(|(name, value)| Ok(format!("{name}={}\n", Quoted::of(name, value)?))).collect()
    }

    fn drop_in(&self) -> Result<String, UserDataError> {
        let Some(folder) = &self.folder else { return Ok(without_comments(UP)) };
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte);
        if !folder.bytes().all(plain) {
            return Err(UserDataError::Folder);
        }
        Ok(without_comments(UP)
            .replace("[Unit]\n", &format!("[Unit]\nRequiresMountsFor={folder}\n"))
            .replace("[Service]\n", &format!("[Service]\nReadWritePaths={folder}\n")))
    }
}

//! A copy of the folder `cloud-init` that a trial may run Terraform in, so that the tree stays clean.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use lab::Failed;
use lab::cluster::{Run, run};
use serde_json::{Value, json};

const MISSING: &str = "there is no terraform on the PATH. './run test' gets one where Python 3 has pip; else install \
                       Terraform 1.9 or later: https://developer.hashicorp.com/terraform/install";

/// The copy. It is removed with this value.
pub(crate) struct Workspace {
    folder: PathBuf,
}

impl Workspace {
    /// Copies what the repository has; not what somebody's own runs of Terraform left there.
    pub(crate) fn new() -> Result<Self, Failed> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("swarm-terraform-{}-{number}", std::process::id()));
        let workspace = Self { folder };
        copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../cloud-init"), &workspace.folder)?;
        Ok(workspace)
    }

    /// A folder below the module's.
    pub(crate) fn at(&self, folder: &str) -> PathBuf {
        self.folder.join("terraform").join(folder)
    }

    /// A command in such a folder, in which nothing of the caller's own Terraform settings holds.
    pub(crate) fn command(&self, folder: &str, program: &str) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.at(folder));
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("TF_") {
                command.env_remove(name);
            }
        }
        command.envs([("TF_CLI_CONFIG_FILE", "/dev/null"), ("TF_IN_AUTOMATION", "1"), ("CHECKPOINT_DISABLE", "1")]);
        command
    }

    /// Runs Terraform to its end.
    pub(crate) fn run(&self, folder: &str, arguments: &[&str], variables: &[(&str, &str)]) -> Result<Run, Failed> {
        let mut command = self.command(folder, "terraform");
        command.args(arguments).envs(variables.iter().map(|(name, value)| (format!("TF_VAR_{name}"), value)));
        if let Err(refusal) = Command::new("terraform").arg("version").output()
            && refusal.kind() == io::ErrorKind::NotFound
        {
            return Err(MISSING.into());
        }
        Ok(run(command)?)
    }

    /// The same where it must succeed; gives its standard output.
    pub(crate) fn ok(&self, folder: &str, arguments: &[&str], variables: &[(&str, &str)]) -> Result<String, Failed> {
        let ended = self.run(folder, arguments, variables)?;
        if ended.code == 0 {
            return Ok(ended.stdout);
        }
        Err(format!("terraform {} in {folder}: {}{}", arguments.join(" "), ended.stdout, ended.stderr).into())
    }

    /// `terraform init`, which needs no registry where there is no provider.
    pub(crate) fn init(&self, folder: &str) -> Result<(), Failed> {
        self.ok(folder, &["init", "-backend=false", "-input=false", "-no-color"], &[]).map(drop)
    }

    /// What the module renders from these variables, machine by machine.
    pub(crate) fn user_data(&self, variables: &[(&str, &str)]) -> Result<Vec<String>, Failed> {
        self.ok("", &["apply", "-auto-approve", "-input=false", "-no-color"], variables)?;
        Ok(serde_json::from_str(&self.ok("", &["output", "-json", "user_data"], &[])?)?)
    }

    /// What a plan would do: each resource's address and actions.
    pub(crate) fn actions(&self, folder: &str, plan: &str) -> Result<Vec<(String, String)>, Failed> {
        let plan: Value = serde_json::from_str(&self.ok(folder, &["show", "-json", plan], &[])?)?;
        let changes = plan["resource_changes"].as_array().ok_or("the plan has no changes")?;
        let action = |change: &Value| {
            let actions = change["change"]["actions"].as_array().into_iter().flatten().filter_map(Value::as_str);
            (change["address"].as_str().unwrap_or_default().to_owned(), actions.collect::<Vec<_>>().join("+"))
        };
        Ok(changes.iter().map(action).collect())
    }
}

impl Drop for Workspace {
    fn drop(&mut self) {
        // Nobody would look for it there.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (name, kind, target) = (entry.file_name(), entry.file_type()?, to.join(entry.file_name()));
        let text = name.to_string_lossy();
        if text == ".terraform" || text == "cards" || text.contains(".tfstate") || text.contains(".tfvars") {
            continue;
        }
        if kind.is_dir() {
            copy(&entry.path(), &target)?;
        } else if kind.is_symlink() {
            std::os::unix::fs::symlink(fs::read_link(entry.path())?, target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

/// A line that has the form of an invite. The id is this digit 32 times; no broker would take it.
pub(crate) fn invite(id: char, uses: u32) -> String {
    let policy = json!({
        "aud": protocol::INVITE_AUDIENCE, "jti": id.to_string().repeat(32), "iat": 1_800_000_000, "exp": 1_800_003_600,
        "iss": "1".repeat(32), "pin": "A".repeat(43), "generation": 1, "role": "worker", "uses": uses,
        "brokers": ["10.0.0.11:7443"],
    });
    let header = json!({ "alg": "ES256", "typ": protocol::INVITE_TYP, "kid": "A".repeat(22) });
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signature = URL_SAFE_NO_PAD.encode([7; 64]);
    format!("{}{}.{}.{signature}", protocol::INVITE_PREFIX, part(&header), part(&policy))
}

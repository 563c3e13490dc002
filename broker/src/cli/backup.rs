//! `broker backup`.

use std::io::{BufWriter, IsTerminal as _};
use std::path::{Path, PathBuf};

use crate::clock;
use crate::exit::{Code, Failure};
use crate::state::{self, PrivateFile, backup::Head};

/// Write the state directory into one file: keys, cluster.json and the audit log as of now
///
/// It may be done while the broker runs. The file is a SECRET: whoever has it can make machines join. It is mode 0600, and
/// never written over another. To encrypt it on its way: broker backup - | age -r RECIPIENT > FILE. An issuing key that is
/// kept outside of the state directory is not in it, and neither are the joiners that the broker serves.
#[derive(clap::Args)]
#[command(after_help = crate::exit::HELP)]
pub(super) struct Backup {
    /// The file to make; - for standard output
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The state directory
    #[arg(long, value_name = "DIR", env = "BROKER_STATE", default_value = state::DEFAULT)]
    state: PathBuf,
    /// Print one JSON object; on standard error where the backup goes to standard output
    #[arg(long)]
    json: bool,
}

impl Backup {
    pub(super) fn run(self) -> Result<(), Failure> {
        if self.file == Path::new("-") {
            let stdout = std::io::stdout();
            if stdout.is_terminal() {
                return Err(Failure::new(Code::Usage, "a backup holds keys: send it into a file or a program"));
            }
            let head = state::backup::write(&self.state, BufWriter::new(stdout.lock()))?;
            let told = if self.json { json(&head, &self.file).to_string() } else { told(&head, &self.file) };
            eprintln!("{told}");
            return Ok(());
        }
        let head = to_file(&self.state, &self.file)?;
        if self.json { super::print_json(&json(&head, &self.file)) } else { super::print(&told(&head, &self.file)) }
    }
}

/// A file that is whole and durable, or none.
fn to_file(state: &Path, path: &Path) -> Result<Head, Failure> {
    let failed = |error: std::io::Error| Failure::new(Code::CannotCreate, format!("{}: {error}", path.display()));
    let mut file = PrivateFile::create(path).map_err(failed)?;
    let head = state::backup::write(state, BufWriter::new(&mut file))?;
    file.finish().map_err(failed)?;
    Ok(head)
}

fn json(head: &Head, file: &Path) -> serde_json::Value {
    serde_json::json!({
        "file": file,
        "cluster": head.cluster,
        "name": head.name,
        "broker": head.broker,
        "made_at": clock::shown(head.made),
        "files": head.files.iter().map(|file| &file.name).collect::<Vec<_>>(),
        "bytes": head.files.iter().map(|file| file.length).sum::<u64>(),
    })
}

fn told(head: &Head, file: &Path) -> String {
    let bytes: u64 = head.files.iter().map(|file| file.length).sum();
    let mut lines = vec![format!(
        "backed up cluster '{}' to {}: {} files, {bytes} bytes. It is a secret: whoever has it can make machines join",
        head.name,
        file.display(),
        head.files.len()
    )];
    if head.has("root.key") {
        lines.push(
            "the root's key is in it: better keep root.key away from managers, in a safe place of its own".into(),
        );
    }
    if !head.has("issuing.key") {
        lines.push("the issuing key is kept elsewhere, and is not in it".into());
    }
    lines.join("\n")
}

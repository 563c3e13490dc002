//! The README's way from `terraform apply` to a joined node, followed step by step.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use lab::cluster::{Cluster, run};
use lab::whole::Root;
use lab::{Failed, Pool};

use crate::scene::{boot, joined, with_joiner};

const SECTION: &str = "## From `terraform apply` to a joined node\n";

/// The example that the commands are typed in.
const EXAMPLE: &str = "terraform/examples/digitalocean";

/// Stands for the cloud, with the provider that Terraform has built in: what a machine would get is an output.
const CLOUD: &str = r#"
resource "terraform_data" "worker" {
  count = var.machines
  input = module.joiner.user_data[count.index]

  lifecycle {
    ignore_changes = [input]
  }
}

output "user_data" {
  value     = terraform_data.worker[*].output
  sensitive = true
}
"#;

/// The commands in the section's `sh` blocks, in order.
fn commands() -> Result<Vec<String>, Failed> {
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md"))?;
    let section = readme.split(SECTION).nth(1).and_then(|rest| rest.split("\n## ").next()).ok_or("no such section")?;
    let blocks = section.split("```sh\n").skip(1).filter_map(|block| block.split("```").next());
    Ok(blocks.flat_map(str::lines).map(str::to_owned).collect())
}

/// A copy of the example, its module and all, in which the cloud is another.
fn copy(to: &Path) -> Result<PathBuf, Failed> {
    let mut cp = Command::new("cp");
    cp.arg("--recursive").arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("../cloud-init")).arg(to);
    assert_eq!(run(cp)?.code, 0);
    let example = to.join("cloud-init").join(EXAMPLE);
    let main = fs::read_to_string(example.join("main.tf"))?;
    let (module, _) = main.split_once("\n}\n").ok_or("main.tf has no module")?;
    assert!(module.starts_with("module \"joiner\""), "{module}");
    fs::write(example.join("main.tf"), format!("{module}\n}}\n{CLOUD}"))?;
    for other in ["firewall.tf", "outputs.tf", "versions.tf"] {
        fs::remove_file(example.join(other))?;
    }
    Ok(example)
}

/// Types a command of Terraform's, and says yes.
fn apply(example: &Path, command: &str) -> Result<(), Failed> {
    let mut typed = Command::new("sh");
    typed.args(["-c", command]).current_dir(example).env("BROKER_ADMIN", "/nonexistent");
    let mut typed = typed.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    typed.stdin.take().ok_or("no standard input")?.write_all(b"yes\n")?;
    let ended = typed.wait_with_output()?;
    let told = [ended.stdout, ended.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    assert!(ended.status.success(), "{command}: {told}");
    assert!(!told.contains("SWINV-1-"), "Terraform shows no invite: {told}");
    Ok(())
}

fn user_data(example: &Path) -> Result<Vec<String>, Failed> {
    let mut output = Command::new("terraform");
    output.args(["output", "-json", "user_data"]).current_dir(example);
    Ok(serde_json::from_str(&run(output)?.stdout)?)
}

pub(crate) fn the_readme_from_terraform_apply_to_a_joined_node(pool: &Pool) -> Result<(), Failed> {
    let (cluster, hosts, root) = (Cluster::form(pool, 1, 0)?, pool.lease_bare(5)?, Root::ready()?);
    let manager = cluster.manager();
    let mut broker = with_joiner(manager)?;
    broker.serve()?;
    let example = copy(&manager.folder())?;

    let mut machines = Vec::new();
    let mut told = String::new();
    for command in commands()? {
        if let Some(arguments) = command.strip_prefix("broker ") {
            let mut typed = broker.command();
            typed.args(arguments.split_whitespace()).current_dir(&example);
            let ended = run(typed)?;
            assert_eq!(ended.code, 0, "{command}: {}{}", ended.stdout, ended.stderr);
            told = ended.stdout;
        } else {
            assert!(command.starts_with("./scale "), "nobody types {command} here");
            apply(&example, &command)?;
            let user_data = user_data(&example)?;
            for (host, user_data) in hosts.iter().zip(&user_data).skip(machines.len()) {
                machines.push(boot(host, &root, user_data)?);
            }
        }
    }
    // The last command is 'broker nodes'.
    assert!(told.contains("5 joined, 1 adopted, 0 pending, 0 down, 0 unexplained"), "{told}");
    for host in hosts.iter() {
        joined(manager, host)?;
    }
    Ok(())
}

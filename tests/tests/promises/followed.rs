//! The README, followed step by step: every command it tells a reader to type is typed here, at its own paths.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use lab::cluster::{Cluster, finish, run};
use lab::{Failed, Host, Pool, programs};

/// A place like a fresh machine's: folders of its own where the programs keep things, and Docker where it usually is.
const PLACE: &str = r#"
set -eu
mount --rbind /var/lib/swarm-lab /mnt
mount -t tmpfs tmpfs /var/lib
mkdir /var/lib/swarm-lab
mount --rbind /mnt /var/lib/swarm-lab
mount -t tmpfs tmpfs /run
ln -s "$DOCKER" /run/docker.sock
cd "$FOLDER"
"#;

/// The commands in the README's `sh` blocks, in order.
fn commands() -> Result<Vec<String>, Failed> {
    let readme = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md"))?;
    // That section's commands are typed by a trial with whole machines.
    let (before, rest) = readme.split_once("## From `terraform apply`").ok_or("a section is gone")?;
    let after = rest.split_once("\n## ").map(|(_, after)| after).ok_or("it is the last section")?;
    let readme = [before, after].concat();
    let blocks = readme.split("```sh\n").skip(1).filter_map(|block| block.split("```").next());
    Ok(blocks.flat_map(str::lines).map(str::to_owned).collect())
}

/// Runs a script on a host, in a place of its own.
fn place(host: &Host, folder: &Path, script: &str) -> Result<Command, Failed> {
    let programs = programs::broker()?.parent().ok_or("the programs are nowhere")?.display().to_string();
    let mut command = host.command("env");
    command
        .arg(format!("DOCKER={}", host.socket().display()))
        .arg(format!("FOLDER={}", folder.display()))
        .arg(format!("PATH={programs}:{}", std::env::var("PATH").unwrap_or_default()))
        .args(["unshare", "--mount", "--propagation", "private", "sh", "-c"])
        .arg(format!("{PLACE}{script}"));
    Ok(command)
}

pub(crate) fn the_readme_step_by_step(pool: &Pool) -> Result<(), Failed> {
    let cluster = Cluster::form(pool, 1, 1)?;
    let (manager, machine) = (cluster.manager(), &cluster[1]);
    let folder = manager.folder();
    let commands = commands()?;
    for run in commands.iter().filter_map(|command| command.strip_prefix("./run ")) {
        // These are the house's own; what they do is seen by everyone who runs the tests.
        assert!(["build", "demo", "demo --machines", "test", "lint", "package"].contains(&run), "./run {run}");
    }
    let typed: Vec<&String> = commands.iter().filter(|command| !command.starts_with("./run ")).collect();
    let at_machine =
        typed.iter().position(|command| command.starts_with("joiner ")).ok_or("no joiner in the README")?;
    let (before, after) = (&typed[..at_machine], &typed[at_machine + 1..]);

    let mut script = String::new();
    for command in before {
        if *command == "broker serve" {
            script.push_str("broker serve & serving=$!\nuntil broker status >status 2>&1; do sleep 0.1; done\n");
        } else {
            script.extend([command.as_str(), "\n"]);
        }
    }
    script.push_str("touch invited\nuntil [ -e joined ]; do sleep 0.1; done\n");
    for command in after {
        script.extend(["echo '$ ", command, "'\n", command, "\n"]);
    }
    script.push_str("kill $serving\nwait $serving\n");
    let mut operator = manager.spawn("readme", place(manager, &folder, &script)?)?;
    let invited = lab::until(Duration::from_secs(30), "the invite", || {
        (folder.join("invited").exists() || operator.ended().ok()?.is_some()).then_some(())
    });
    invited?;
    let joined = run(place(machine, &folder, typed[at_machine])?)?;
    assert_eq!(joined.code, 0, "{}{}", joined.stdout, joined.stderr);
    assert!(joined.stdout.contains("joined: node") && joined.stdout.contains("tier=web zone=a"), "{}", joined.stdout);
    std::fs::write(folder.join("joined"), "")?;
    let ended = finish(operator)?;
    assert_eq!(ended.code, 0, "{}{}", ended.stdout, ended.stderr);
    assert!(ended.stdout.contains("made cluster 'prod'"), "{}", ended.stdout);
    assert!(ended.stdout.contains("1 joined, 1 adopted, 0 pending, 0 down, 0 unexplained"), "{}", ended.stdout);
    for command in after {
        assert!(ended.stdout.contains(&format!("$ {command}\n")), "{command} was typed");
    }
    Ok(())
}

pub(crate) fn the_demo_to_its_last_line(_pool: &Pool) -> Result<(), Failed> {
    let ended = run(Command::new(programs::demo()?))?;
    assert_eq!(ended.code, 0, "{}{}", ended.stdout, ended.stderr);
    assert_eq!(ended.stdout.lines().last(), Some("3 of 3 machines joined, 3 explained, 0 unexplained"));
    Ok(())
}

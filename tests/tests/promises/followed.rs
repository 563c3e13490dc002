//! The README, followed step by step, by hand: every command it tells a reader to type is typed here, at its own paths, but
//! for those of the Debian packages, which are typed on whole machines (`tests/tests/packages/followed.rs`).

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use lab::cluster::{Cluster, finish, run};
use lab::{Failed, Host, LONG, Pool, programs};

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
    let mut readme = page("README.md")?;
    // Those sections' commands are typed by other trials: with whole machines, and with several managers.
    for section in ["From `terraform apply`", MANAGERS] {
        let (before, rest) = readme.split_once(&format!("\n## {section}")).ok_or("a section is gone")?;
        let after = rest.split_once("\n## ").map(|(_, after)| after).ok_or("it is the last section")?;
        readme = [before, "\n## ", after].concat();
    }
    Ok(typed(&readme))
}

/// A page of the repository.
pub(crate) fn page(path: &str) -> Result<String, Failed> {
    Ok(std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path))?)
}

/// The lines of a page's `sh` blocks.
pub(crate) fn typed(page: &str) -> Vec<String> {
    let blocks = page.split("```sh\n").skip(1).filter_map(|block| block.split("```").next());
    blocks.flat_map(str::lines).map(str::to_owned).collect()
}

/// The page's section on managers that find each other.
const BY_STORE: &str = "\n## By a store\n";

/// The README's section on several managers.
const MANAGERS: &str = "A broker on every manager";

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
    let others = ["./run ", "apt install ", "systemctl "];
    let by_hand = |command: &&String| !others.iter().any(|other| command.starts_with(other));
    let typed: Vec<&String> = commands.iter().filter(by_hand).collect();
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
    let invited = lab::until(LONG, "the invite", || {
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

/// The page, and what the README has of it, on three managers that are in no swarm yet.
pub(crate) fn the_page_on_several_managers_step_by_step(pool: &Pool) -> Result<(), Failed> {
    let hosts = pool.lease(3)?;
    let page_text = page("docs/high-availability.md")?;
    let (before, by_store) = page_text.split_once(BY_STORE).ok_or("a section is gone")?;
    // That section's commands are typed by the next trial.
    let rest = by_store.split_once("\n## ").map_or("", |(_, rest)| rest);
    let commands =
        typed(&[before, "\n## ", rest].concat().replace("10.0.0.0/24", &format!("{}/24", hosts[0].address())));
    let [init, form, made, invite, join, status, replaced] = &commands[..] else {
        return Err(format!("not the seven commands that are typed here: {commands:?}").into());
    };
    let readme = page("README.md")?;
    let section = readme.split_once(MANAGERS).and_then(|(_, rest)| rest.split("\n## ").next()).ok_or("a section")?;
    let [shorter] = &typed(section)[..] else { return Err("one command in the README's section".into()) };

    let serves = "until broker status >status 2>&1; do sleep 0.1; done\n";
    let waits = "touch up\nuntil [ -e over ]; do sleep 0.1; done\n";
    let ends = "kill $serving\nwait $serving\n";
    let first = format!(
        "{init}\n{form} & serving=$!\n{serves}{made}\n{invite}\n{waits}{status}\n{replaced}\ntouch told\n{ends}"
    );
    let other = |join: &str| format!("{join} & serving=$!\n{serves}{waits}{ends}");
    let scripts = [first, other(join), other(shorter)];
    let mut running = Vec::new();
    for (host, script) in hosts.iter().zip(&scripts) {
        let folder = host.folder();
        if !running.is_empty() {
            // As a person would bring it, with its mode.
            std::fs::copy(hosts[0].folder().join("manager-invite"), folder.join("manager-invite"))?;
        }
        let mut operator = host.spawn("page", place(host, &folder, script)?)?;
        let up = lab::until(Duration::from_mins(1), "the step to be done", || {
            (folder.join("up").exists() || operator.ended().ok()?.is_some()).then_some(())
        });
        up?;
        running.push((folder, operator));
    }
    let told = hosts[0].folder().join("told");
    for (number, (folder, operator)) in running.into_iter().enumerate() {
        std::fs::write(folder.join("over"), "")?;
        // The others serve until the first one has shown them.
        lab::until(LONG, "the status to be shown", || told.exists().then_some(()))?;
        let ended = finish(operator)?;
        assert_eq!(ended.code, 0, "{}{}", ended.stdout, ended.stderr);
        if number == 0 {
            let brokers: Vec<&str> = ended.stdout.lines().filter(|line| line.starts_with("broker ")).collect();
            assert!(brokers.len() == 3 && !ended.stdout.contains("not ready"), "{}", ended.stdout);
        }
    }
    Ok(())
}

/// The section on managers that find each other, on two of them.
pub(crate) fn the_section_on_a_store_step_by_step(pool: &Pool) -> Result<(), Failed> {
    let hosts = pool.lease(2)?;
    let shared = hosts[0].folder().join("managers");
    std::fs::create_dir(&shared)?;
    let page = page("docs/high-availability.md")?
        .replace("10.0.0.0/24", &format!("{}/24", hosts[0].address()))
        .replace("/mnt/managers", &shared.display().to_string());
    let section = page.split_once(BY_STORE).and_then(|(_, rest)| rest.split("\n## ").next()).ok_or("a section")?;
    let [init, mark, up] = &typed(section)[..] else { return Err("three commands in the section on a store".into()) };
    let folder = hosts[0].folder();
    assert_eq!(finish(hosts[0].spawn("page", place(&hosts[0], &folder, mark)?)?)?.code, 0);
    assert_eq!(finish(hosts[0].spawn("page", place(&hosts[0], &folder, init)?)?)?.code, 0);
    std::fs::copy(folder.join("prod.keys"), hosts[1].folder().join("prod.keys"))?;
    let serves =
        "until broker status | grep -c '^broker ' | grep -q 2; do sleep 0.2; done\nkill $serving\nwait $serving\n";
    let started = hosts.iter().map(|host| {
        let script = format!("{up} & serving=$!\nuntil broker status >status 2>&1; do sleep 0.1; done\n{serves}");
        Ok(host.spawn("page", place(host, &host.folder(), &script)?)?)
    });
    for operator in started.collect::<Result<Vec<_>, Failed>>()? {
        let ended = finish(operator)?;
        assert_eq!(ended.code, 0, "{}{}", ended.stdout, ended.stderr);
    }
    assert_eq!(lab::nodes(&hosts[0])?.len(), 2);
    Ok(())
}

pub(crate) fn the_demo_to_its_last_line(_pool: &Pool) -> Result<(), Failed> {
    let ended = run(Command::new(programs::demo()?))?;
    assert_eq!(ended.code, 0, "{}{}", ended.stdout, ended.stderr);
    assert_eq!(ended.stdout.lines().last(), Some("3 of 3 machines joined, 3 explained, 0 unexplained"));
    Ok(())
}

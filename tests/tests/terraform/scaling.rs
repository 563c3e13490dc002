//! More machines: what a plan would do to those that are there, and the script `scale`.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use lab::cluster::{Broker, Cluster, Joiner, Run, run};
use lab::{Failed, Pool, programs, until};
use serde_json::json;

use crate::workspace::{Workspace, invite};

pub(crate) fn five_after_three_with_another_invite_adds_two_and_replaces_none(_: &Pool) -> Result<(), Failed> {
    let workspace = Workspace::new()?;
    let at = "tests/scaling";
    workspace.init(at)?;
    let three = [("machines", "3"), ("invite", &invite('1', 3))];
    workspace.ok(at, &["apply", "-auto-approve", "-input=false", "-no-color"], &three)?;
    let five = [("machines", "5"), ("joined", "3"), ("invite", &invite('2', 2))];
    workspace.ok(at, &["plan", "-out=plan", "-input=false", "-no-color"], &five)?;
    let actions = workspace.actions(at, "plan")?;
    let count = |name: &str, action: &str| {
        let of = format!("terraform_data.{name}[");
        actions.iter().filter(|(address, found)| address.starts_with(&of) && found == action).count()
    };
    assert_eq!((count("worker", "create"), count("worker", "no-op")), (2, 3), "{actions:?}");
    // The same machines without ignore_changes: if these stayed too, the lines above would show nothing.
    assert_eq!((count("unprotected", "create"), count("unprotected", "delete+create")), (2, 3), "{actions:?}");
    assert_eq!(actions.len(), 10, "nothing else is touched: {actions:?}");
    Ok(())
}

const PI: &str = "examples/raspberry-pi";

/// Runs `scale` in the example that needs no provider.
fn scale(workspace: &Workspace, arguments: &[&str]) -> Result<Run, Failed> {
    let mut command = workspace.command(PI, "./scale");
    // No broker answers here, also if one runs on this machine.
    command.env("BROKER_ADMIN", "/nonexistent").args(arguments);
    Ok(run(command)?)
}

pub(crate) fn scale_makes_what_is_new_and_leaves_the_rest_alone(_: &Pool) -> Result<(), Failed> {
    let workspace = Workspace::new()?;
    workspace.init(PI)?;
    let at = |file: &str| workspace.at(PI).join(file);
    let card = |number: u32| fs::read_to_string(at(&format!("cards/pi-{number}/user-data")));
    let sure = |arguments: &[&str]| -> Result<(), Failed> {
        let ended = scale(&workspace, &[arguments, &["-auto-approve", "-no-color"]].concat())?;
        assert_eq!(ended.code, 0, "scale {arguments:?}: {}{}", ended.stdout, ended.stderr);
        Ok(())
    };
    let (first, second) = (invite('1', 3), invite('2', 2));

    // What 'broker cloud-init worker --format tfvars' prints.
    let order = json!({ "invite": first, "joiner_sha256": { "aarch64": "a".repeat(64) } });
    fs::write(at("first.json"), order.to_string())?;
    sure(&["3", "first.json"])?;
    for number in 1..=3 {
        assert!(card(number)?.contains(&first), "card {number}");
    }
    assert_eq!(fs::read_to_string(at("cards/pi-3/meta-data"))?, "instance-id: pi-3\nlocal-hostname: pi-3\n");
    let mode = fs::metadata(at("cards/pi-3/user-data"))?.permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "only the operator reads the invite");

    // A bare invite, for the two that are new.
    fs::write(at("terraform.tfvars"), "embed = true\n")?;
    fs::write(at("second"), format!("{second}\n"))?;
    sure(&["5", "second"])?;
    assert!(card(3)?.contains(&first) && card(4)?.contains(&second) && card(5)?.contains(&second));

    // From now on a plan needs no invite and changes nothing.
    let plan = ["plan", "-detailed-exitcode", "-input=false", "-no-color"];
    let ended = workspace.run(PI, &plan, &[])?;
    assert_eq!(ended.code, 0, "{}{}", ended.stdout, ended.stderr);

    sure(&["2"])?;
    assert!(card(2)?.contains(&first) && card(3).is_err(), "three cards are gone");
    Ok(())
}

pub(crate) fn scale_on_a_manager_makes_the_invite_and_waits_for_the_machines(pool: &Pool) -> Result<(), Failed> {
    let cluster = Cluster::form(pool, 1, 3)?;
    let manager = cluster.manager();
    let broker = Broker::start(manager)?;
    // One that came before does not count.
    Joiner::new(&cluster[3], &broker.invite(&[])?).joins()?;
    let workspace = Workspace::new()?;
    workspace.init(PI)?;
    let programs = programs::broker()?.parent().ok_or("the programs are nowhere")?.display().to_string();
    let mut command = manager.command("env");
    command
        .arg(format!("BROKER_ADMIN={}", manager.folder().join("admin.sock").display()))
        .arg(format!("PATH={programs}:{}", std::env::var("PATH").unwrap_or_default()))
        .args(["INVITE_OPTIONS=--embed --label zone=a", "TF_CLI_CONFIG_FILE=/dev/null", "TF_IN_AUTOMATION=1"])
        .arg(workspace.at(PI).join("scale"))
        .args(["2", "-auto-approve", "-no-color"]);
    let mut scale = manager.spawn("scale", command)?;
    let card = until(Duration::from_mins(1), "the second card", || {
        fs::read_to_string(workspace.at(PI).join("cards/pi-2/user-data")).ok().filter(|text| text.contains("runcmd"))
    })?;
    let line = card.lines().map(str::trim).find(|line| line.starts_with(protocol::INVITE_PREFIX)).ok_or("no invite")?;
    Joiner::new(&cluster[1], line).joins()?;
    assert!(scale.ended()?.is_none(), "one of two is there, and it does not wait: {}", scale.stderr());
    Joiner::new(&cluster[2], line).joins()?;
    let status = scale.wait(Duration::from_secs(30))?;
    assert!(status.success(), "{}{}", scale.stdout(), scale.stderr());

    // What Terraform says that there should be, held against what is: these cards are in no machine.
    let outputs = manager.folder().join("outputs.json");
    fs::write(&outputs, workspace.ok(PI, &["output", "-json"], &[])?)?;
    let told = broker.json(&["nodes", "--json", "--expect", &outputs.display().to_string()])?;
    let names = |list: &str| -> Vec<_> {
        told[list].as_array().into_iter().flatten().map(|one| one["hostname"].as_str().unwrap_or_default()).collect()
    };
    assert_eq!((names("missing"), names("joined").len()), (vec!["pi-1", "pi-2"], 3), "{told}");
    Ok(())
}

pub(crate) fn scale_says_what_it_needs(_: &Pool) -> Result<(), Failed> {
    let workspace = Workspace::new()?;
    workspace.init(PI)?;
    let at = |file: &str| workspace.at(PI).join(file);
    fs::write(at("token"), "SWMTKN-1-secret")?;
    fs::write(at("prose"), "hello")?;
    fs::write(at("one"), invite('1', 1))?;
    for (arguments, code, words) in [
        (&[][..], 64, "how many machines?"),
        (&["many"], 64, "how many machines?"),
        (&["2"], 64, "broker cloud-init worker --uses 2 --format tfvars"),
        (&["2", "nothing"], 66, "nothing cannot be read"),
        (&["2", "token"], 65, "a swarm join token. Never hand it out"),
        (&["2", "prose"], 65, "neither an invite"),
        (&["2", "one", "-auto-approve", "-no-color", "-var", "embed=true"], 1, "The invite is for 1 machines"),
    ] {
        let ended = scale(&workspace, arguments)?;
        let told = format!("{}{}", ended.stdout, ended.stderr);
        assert_eq!(ended.code, code, "scale {arguments:?}: {told}");
        assert!(told.contains(words) && !told.contains("secret"), "scale {arguments:?}: {told}");
        assert!(!at("machines.auto.tfvars.json").exists(), "nothing was done, and nothing is recorded");
    }
    Ok(())
}

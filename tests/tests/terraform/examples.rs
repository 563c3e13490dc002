//! The examples. Without their providers Terraform can read them and not judge them, so what can be judged is judged here.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use lab::{Failed, Pool};

use crate::workspace::Workspace;

const CLOUDS: [&str; 3] = ["aws", "digitalocean", "vultr"];

pub(crate) fn every_file_is_formatted(_: &Pool) -> Result<(), Failed> {
    // Also fails where a file does not read.
    Workspace::new()?.ok("", &["fmt", "-check", "-diff", "-recursive", "-no-color"], &[]).map(drop)
}

/// All of a folder's configuration, in one text.
fn text(folder: &Path) -> Result<String, Failed> {
    let mut text = String::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "tf") {
            text += &fs::read_to_string(path)?;
        }
    }
    assert!(!text.is_empty(), "{} has no configuration", folder.display());
    Ok(text)
}

/// The words that stand right behind this one.
fn after(text: &str, before: &str) -> BTreeSet<String> {
    let word = |rest: &str| rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect::<String>();
    text.split(before).skip(1).map(word).filter(|word| !word.is_empty()).collect()
}

/// The block that begins with this line, up to the brace that ends it.
fn block<'a>(text: &'a str, first: &str) -> Option<&'a str> {
    text.split_once(first)?.1.split("\n}").next()
}

pub(crate) fn every_example_names_only_what_is_there(_: &Pool) -> Result<(), Failed> {
    let workspace = Workspace::new()?;
    let module = text(&workspace.at(""))?;
    let (takes, gives) = (after(&module, "variable \""), after(&module, "output \""));
    for example in CLOUDS.into_iter().chain(["raspberry-pi"]) {
        let folder = workspace.at("examples").join(example);
        let text = text(&folder)?;
        assert_eq!(after(&text, "var."), after(&text, "variable \""), "{example}: variables used, and declared");
        for local in after(&text, "local.") {
            assert!(text.contains(&format!("\n  {local} ")), "{example}: local.{local} is not there");
        }
        assert!(after(&text, "module.joiner.").is_subset(&gives), "{example}: outputs of the module");
        let call = block(&text, "module \"joiner\" {\n").ok_or("no module")?;
        let gets: BTreeSet<String> =
            call.lines().filter_map(|line| Some(line.split_once('=')?.0.trim().to_owned())).collect();
        assert!(
            gets.contains("source") && gets.iter().all(|name| name == "source" || takes.contains(name)),
            "{gets:?}"
        );
        // What 'broker cloud-init worker --format tfvars' writes is taken by each.
        for name in ["invite", "joiner_sha256", "embed", "install_docker", "advertise_addr", "on_failure"] {
            assert!(gets.contains(name), "{example} does not pass {name} on");
        }
        assert!(fs::metadata(folder.join("scale"))?.is_file() && folder.join("README.md").is_file(), "{example}");
    }
    for folder in ["examples/raspberry-pi", "tests/scaling", "tests/invite"] {
        workspace.init(folder)?;
        workspace.ok(folder, &["validate", "-no-color"], &[])?;
    }
    Ok(())
}

pub(crate) fn nobody_logs_in_and_no_machine_is_replaced_for_an_invite(_: &Pool) -> Result<(), Failed> {
    let workspace = Workspace::new()?;
    for (cloud, machine, user_data) in [
        ("aws", "aws_instance", "user_data_base64"),
        ("digitalocean", "digitalocean_droplet", "user_data"),
        ("vultr", "vultr_instance", "user_data"),
    ] {
        let text = text(&workspace.at("examples").join(cloud))?;
        for port in ["7443", "2377", "7946", "4789"] {
            assert!(text.contains(port), "{cloud}: {port} is not opened");
        }
        assert!(!text.contains("\"22\"") && !text.contains("= 22\n") && !text.contains("ssh"), "{cloud}: ssh");
        let block = block(&text, &format!("resource \"{machine}\" \"worker\" {{\n")).ok_or("no machine")?;
        let ignored = block.split_once("ignore_changes = [").and_then(|(_, rest)| rest.split_once(']'));
        let ignored = ignored.ok_or_else(|| format!("{cloud}: a new invite would replace machines"))?.0;
        assert!(ignored.split(", ").any(|name| name == user_data), "{cloud}: {ignored}");
    }
    let aws = text(&workspace.at("examples/aws"))?;
    for machine in ["resource \"aws_instance\" \"worker\" {\n", "resource \"aws_launch_template\" \"worker\" {\n"] {
        let block = block(&aws, machine).ok_or("no machine")?;
        for line in ["http_tokens                 = \"required\"", "http_put_response_hop_limit = 1"] {
            assert!(block.contains(line), "containers could read the invite: {machine}");
        }
    }
    let group = block(&aws, "resource \"aws_autoscaling_group\" \"worker\" {\n").ok_or("no group")?;
    assert!(!group.contains("instance_refresh {"), "a new invite would replace every machine");
    Ok(())
}

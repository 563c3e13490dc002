//! The module by itself.

use lab::{Failed, Pool};

use crate::workspace::{Workspace, invite};

pub(crate) fn it_is_valid_and_its_own_tests_pass(_: &Pool) -> Result<(), Failed> {
    let workspace = Workspace::new()?;
    workspace.init("")?;
    workspace.ok("", &["validate", "-no-color"], &[])?;
    let told = workspace.ok("", &["test", "-no-color"], &[])?;
    let passed = told.lines().find_map(|line| line.strip_prefix("Success! ")?.strip_suffix(" passed, 0 failed."));
    // As many as there are runs in the files: one that is not found would fail nothing.
    let mut runs = 0;
    for file in ["tests/rendering.tftest.hcl", "tests/refusals.tftest.hcl"] {
        runs += std::fs::read_to_string(workspace.at(file))?.lines().filter(|line| line.starts_with("run \"")).count();
    }
    assert_eq!(passed.map(str::parse), Some(Ok(runs)), "{told}");
    Ok(())
}

/// Each variable and what is wrong with it; then what the operator reads.
const REFUSALS: [(&[(&str, &str)], &str); 4] = [
    (&[("invite", "SWMTKN-1-secret-secret")], "give the line that 'broker invite create' printed"),
    (&[("invite", "SWINV-1-secret.secret.secret")], "copy the whole line again"),
    (&[("invites", r#"["SWMTKN-1-secret-secret"]"#)], "which begins with SWINV-1-"),
    (&[("machines", "2")], "'broker invite create --uses 2'"),
];

pub(crate) fn what_is_refused_is_told_with_the_fix_and_without_the_secret(_: &Pool) -> Result<(), Failed> {
    let workspace = Workspace::new()?;
    workspace.init("")?;
    let plan = ["plan", "-input=false", "-no-color"];
    let refused = |variables: &[(&str, &str)]| -> Result<String, Failed> {
        let ended = workspace.run("", &plan, &[&[("embed", "true")], variables].concat())?;
        assert_eq!(ended.code, 1, "{variables:?} was taken: {}", ended.stdout);
        // Terraform breaks its lines anywhere.
        let told = format!("{}{}", ended.stdout, ended.stderr).replace('│', " ");
        Ok(told.split_whitespace().collect::<Vec<_>>().join(" "))
    };
    for (variables, fix) in REFUSALS {
        let told = refused(variables)?;
        assert!(told.contains(fix) && !told.contains("secret"), "{variables:?}: {told}");
    }
    let line = invite('1', 2);
    let told = refused(&[("machines", "5"), ("invite", &line)])?;
    assert!(told.contains("for 2 machines, and 5 new ones") && !told.contains(&line[..40]), "{told}");
    let told = refused(&[("ca_pin", &"B".repeat(43)), ("invite", &line)])?;
    assert!(told.contains(&format!("it pins {}", "A".repeat(43))) && !told.contains(&line[..40]), "{told}");
    Ok(())
}

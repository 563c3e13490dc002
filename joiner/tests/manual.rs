//! The man page and the completions, which are written by hand: they say all that the help says.

use std::collections::BTreeSet;
use std::process::Command;

const PAGE: &str = include_str!("../../package/joiner/joiner.1");
const BASH: &str = include_str!("../../package/joiner/joiner.bash");
const ZSH: &str = include_str!("../../package/joiner/_joiner");
const FISH: &str = include_str!("../../package/joiner/joiner.fish");

#[test]
fn the_man_page_has_the_flags_and_variables_of_the_help_and_no_others() {
    // roff writes a hyphen that is meant as one as \-, and changes fonts with \f.
    let page = words(&PAGE.replace("\\-", "-").replace("\\fB", " ").replace("\\fR", " ")).into_iter();
    let (help, page): (BTreeSet<_>, BTreeSet<_>) = (
        words(&help()).into_iter().filter(|word| is_name(word)).collect(),
        page.filter(|word| is_name(word)).collect(),
    );
    assert!(help.len() > 15, "the help has flags and variables: {help:?}");
    let differ: Vec<_> = help.symmetric_difference(&page).collect();
    assert!(differ.is_empty(), "in package/joiner/joiner.1 or in 'joiner --help', not in both: {differ:?}");
}

#[test]
fn the_man_page_has_every_exit_code_of_the_help() {
    let help = help();
    let (_, codes) = help.split_once("exit codes\n").expect("a list of exit codes");
    let codes: Vec<_> = codes.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert!(codes.len() > 8, "{codes:?}");
    for code in codes {
        assert!(PAGE.contains(&format!(".TP\n.B {code}\n")), "not in package/joiner/joiner.1: {code}");
    }
}

#[test]
fn completions_have_the_flags_of_the_help_and_no_others() {
    let flags = |text: &str| -> BTreeSet<String> { words(text).into_iter().filter(|word| is_flag(word)).collect() };
    let fish: Vec<_> = FISH.lines().filter(|line| line.starts_with("complete ")).collect();
    let fish = fish.join("\n").replace("-l ", "--");
    for (shell, text) in [("bash", BASH), ("zsh", ZSH), ("fish", &fish)] {
        assert_eq!(flags(text), flags(&help()), "package/joiner, {shell}");
        assert!(words(text).contains("join") && words(text).contains("status"), "package/joiner, {shell}");
    }
}

fn help() -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_joiner")).arg("--help").output().expect("joiner runs");
    String::from_utf8(output.stdout).expect("text")
}

fn is_flag(word: &str) -> bool {
    word.strip_prefix("--").is_some_and(|name| name.starts_with(char::is_alphabetic))
}

/// A flag or a variable.
fn is_name(word: &str) -> bool {
    is_flag(word) || word.starts_with("JOINER_")
}

fn words(text: &str) -> BTreeSet<String> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && !"-_".contains(c)).map(str::to_owned).collect()
}

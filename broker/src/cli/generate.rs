//! `broker generate`: man pages and completions, from the definition of the command line itself, so that neither can say
//! what the program does not. It is in no help: packages are made with it.
//!
//! Must not: show itself in what it makes.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::CommandFactory as _;
use clap_complete::Shell;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use super::{Command, CommandLine};
use crate::exit::{self, Code, Failure};
use crate::{joiners, state};

/// Write what a package needs beside the program
#[derive(clap::Args)]
pub(super) struct Generate {
    /// man: one page a command. completions: for bash, zsh and fish
    what: What,
    /// The folder to write into; it is made if it is not there
    folder: PathBuf,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum What {
    Man,
    Completions,
}

impl Generate {
    pub(super) fn run(self) -> Result<(), Failure> {
        let shown = CommandLine::<Command>::command();
        fs::create_dir_all(&self.folder)
            .and_then(|()| match self.what {
                What::Man => pages(shown, &self.folder),
                What::Completions => completions(shown, &self.folder),
            })
            .map_err(|error| Failure::new(Code::CannotCreate, format!("{}: {error}", self.folder.display())))
    }
}

fn completions(mut shown: clap::Command, folder: &Path) -> io::Result<()> {
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        clap_complete::generate_to(shell, &mut shown, "broker", folder)?;
    }
    Ok(())
}

fn pages(shown: clap::Command, folder: &Path) -> io::Result<()> {
    let mut shown = shown.disable_help_subcommand(true);
    // Gives each command its whole name: broker-invite-create.
    shown.build();
    page(&shown, None, folder)
}

/// Writes the page of a command, and those of the commands under it.
fn page(command: &clap::Command, parent: Option<&str>, folder: &Path) -> io::Result<()> {
    let name = command.get_display_name().unwrap_or_else(|| command.get_name());
    let man = Man::new(command.clone()).title(name.to_uppercase()).date(date()).manual("The swarm join broker");
    let man = man.source(concat!("broker ", env!("CARGO_PKG_VERSION")));
    let mut text = Vec::new();
    man.render_title(&mut text)?;
    man.render_name_section(&mut text)?;
    man.render_synopsis_section(&mut text)?;
    man.render_description_section(&mut text)?;
    man.render_options_section(&mut text)?;
    if command.has_subcommands() {
        man.render_subcommands_section(&mut text)?;
    }
    ending(parent).to_writer(&mut text)?;
    // What man pages checkers dislike in it: blanks at the ends of lines, and an empty line between two breaks.
    let text: String = String::from_utf8_lossy(&text).lines().flat_map(|line| [line.trim_end(), "\n"]).collect();
    fs::write(folder.join(format!("{name}.1")), text.replace("\n.br\n\n.br\n", "\n.sp\n"))?;
    command.get_subcommands().try_for_each(|under| page(under, Some(name), folder))
}

/// What all pages have at their end; the first one also says where things lie.
fn ending(parent: Option<&str>) -> Roff {
    let mut roff = Roff::new();
    roff.control("SH", ["EXIT STATUS"]).text([roman(exit::HELP)]);
    if parent.is_none() {
        roff.control("SH", ["FILES"]);
        for (file, what) in FILES {
            roff.control("TP", []).text([bold(file)]).text([roman(what)]);
        }
    }
    let also = parent.unwrap_or("joiner");
    roff.control("SH", ["SEE ALSO"]).text([bold(also), roman("(1)")]);
    roff
}

const FILES: [(&str, &str); 4] = [
    (state::DEFAULT, "The state: keys, the cluster's identity, the audit log. For root only; back it up."),
    (joiners::DEFAULT, "The joiners that new machines download."),
    ("/run/broker/admin.sock", "Where the other commands find the running broker. For root only."),
    ("/var/run/docker.sock", "Docker, of which this machine must be a swarm manager."),
];

/// The day that packages are dated with, for equal bytes from equal sources; today if nobody gives one.
/// <https://reproducible-builds.org/specs/source-date-epoch/>
fn date() -> String {
    let given = std::env::var("SOURCE_DATE_EPOCH").ok().and_then(|seconds| seconds.parse().ok());
    let day = given.and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    day.unwrap_or_else(jiff::Timestamp::now).strftime("%Y-%m-%d").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn generated(what: What) -> (tempfile::TempDir, Vec<String>) {
        let folder = tempfile::tempdir().expect("a folder");
        Generate { what, folder: folder.path().join("new") }.run().expect("generates");
        let files = fs::read_dir(folder.path().join("new")).expect("the new folder");
        let texts = files.map(|file| fs::read_to_string(file.expect("a file").path()).expect("text")).collect();
        (folder, texts)
    }

    #[test]
    fn every_command_has_a_page_with_each_of_its_options() {
        let (folder, texts) = generated(What::Man);
        let mut shown = CommandLine::<Command>::command().disable_help_subcommand(true);
        shown.build();
        let (mut commands, mut seen) = (vec![&shown], 0);
        while let Some(command) = commands.pop() {
            let name = command.get_display_name().unwrap_or("broker");
            let page = fs::read_to_string(folder.path().join("new").join(format!("{name}.1"))).expect(name);
            // roff writes a hyphen that is meant as one as \-.
            let page = page.replace("\\-", "-");
            for argument in command.get_arguments().filter(|argument| !argument.is_hide_set()) {
                let long = argument.get_long().map(|long| format!("--{long}"));
                let variable = argument.get_env().map(|name| name.to_string_lossy().into_owned());
                for word in [long, variable].into_iter().flatten() {
                    assert!(page.contains(&word), "{name}: {word}");
                }
            }
            assert!(page.contains("77 not allowed"), "{name}: the exit codes");
            // With a field that is empty, the later ones would be taken for it.
            let title = page.lines().find_map(|line| line.strip_prefix(".TH ")).expect("a title");
            assert!(!title.contains("  "), "{title}");
            commands.extend(command.get_subcommands());
            seen += 1;
        }
        assert!(seen > 15 && seen == texts.len(), "{seen} commands, {} pages", texts.len());
    }

    #[test]
    fn what_makes_the_pages_is_shown_nowhere() {
        for text in [generated(What::Man).1, generated(What::Completions).1].concat() {
            assert!(!text.contains("generate"), "{text}");
        }
        let help = CommandLine::<super::super::AnyCommand>::command().render_long_help().to_string();
        assert!(help.contains("cloud-init") && !help.contains("generate"), "{help}");
    }
}

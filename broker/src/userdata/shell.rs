//! A shell script that does by hand what cloud-init's modules do.

use super::files::{File, Files};

pub(super) fn write(files: &Files) -> String {
    let head = format!("#!/bin/sh\n# {}\nset -eu\numask 077\n", files.about);
    let written: String = files.all().enumerate().map(|(number, file)| entry(number, file)).collect();
    let paths: Vec<&str> = files.all().map(|file| file.path).collect();
    let labelled = format!("if command -v restorecon >/dev/null; then restorecon {}; fi\n", paths.join(" "));
    let commands: String = files.commands.iter().map(|command| command.join(" ") + "\n").collect();
    [head, written, labelled, commands].concat()
}

/// In a here-document: an argument would show in the list of processes.
fn entry(number: usize, file: &File) -> String {
    let File { path, mode, content } = file;
    let folder = path.rsplit_once('/').map_or("/", |(folder, _)| folder);
    format!(
        "(umask 022 && mkdir -p {folder})\ncat >{path} <<'END-{number}'\n{content}END-{number}\nchmod {mode:04o} {path}\n"
    )
}

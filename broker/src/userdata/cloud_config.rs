//! `#cloud-config`, as cloud-init's modules `write_files` and `runcmd` take it.

use super::files::{File, Files};

pub(super) fn write(files: &Files) -> String {
    let head = ["#cloud-config".to_owned(), format!("# {}", files.about), "write_files:".to_owned()];
    let commands = files.commands.iter().map(|command| format!("  - [{}]", command.join(", ")));
    let lines = head.into_iter().chain(files.all().flat_map(entry)).chain(["runcmd:".to_owned()]).chain(commands);
    lines.map(|line| line + "\n").collect()
}

fn entry(file: &File) -> Vec<String> {
    let head = [format!("  - path: {}", file.path), format!("    permissions: '{:04o}'", file.mode)];
    let indented = |line: &str| if line.is_empty() { String::new() } else { format!("      {line}") };
    head.into_iter().chain(["    content: |".to_owned()]).chain(file.content.lines().map(indented)).collect()
}

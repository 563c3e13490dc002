//! The list of `--expect`: from a file or standard input, in bounded memory.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;

use crate::exit::{Code, Failure};
use crate::fleet::{Expected, read_expected};

/// What Terraform prints of thousands of machines has room in this, in bytes, user-data included.
const MOST: u64 = 16 * 1024 * 1024;

/// Reads it. A failure names the file, and what to do.
pub(super) fn read(path: &Path) -> Result<Expected, Failure> {
    let bytes = if path == Path::new("-") {
        bounded(std::io::stdin().lock(), "standard input")?
    } else {
        let file = File::open(path).map_err(|error| match error.kind() {
            ErrorKind::NotFound => {
                let what = "there is no such file. Name the file with the machines, or - for standard input";
                failed(&shown(path), Code::NoInput, &what)
            }
            _ => failed(&shown(path), Code::Io, &error),
        })?;
        bounded(file, &shown(path))?
    };
    let name = if path == Path::new("-") { "standard input".to_owned() } else { shown(path) };
    read_expected(&bytes).map_err(|unfit| failed(&name, Code::Data, &unfit))
}

fn bounded(from: impl Read, name: &str) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    from.take(MOST + 1).read_to_end(&mut bytes).map_err(|error| match error.kind() {
        ErrorKind::IsADirectory => failed(name, Code::NoInput, &"it is a folder. Name a file in it"),
        _ => failed(name, Code::Io, &error),
    })?;
    if bytes.len() as u64 > MOST {
        let mib = MOST / (1024 * 1024);
        let what = format!("it is larger than {mib} MiB. Give the machines only: terraform output -json NAME");
        return Err(failed(name, Code::Data, &what));
    }
    Ok(bytes)
}

fn failed(name: &str, code: Code, what: &dyn std::fmt::Display) -> Failure {
    Failure::new(code, format!("--expect {name}: {what}"))
}

fn shown(path: &Path) -> String {
    crate::admin::plain(&path.display().to_string())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn what_does_not_read_is_told_with_the_file_and_the_fix() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("list");
        let told = |path: &Path| {
            let failure = read(path).expect_err("refused");
            (failure.code, failure.to_string().replace(&folder.path().display().to_string(), "/d"))
        };
        let of = |text: &str| {
            fs::write(&file, text).expect("written");
            told(&file)
        };
        let (code, words) = told(&folder.path().join("none"));
        assert!(code == Code::NoInput && words.starts_with("--expect /d/none: there is no such file. Name"), "{words}");
        let (code, words) = told(folder.path());
        assert!(code == Code::NoInput && words.starts_with("--expect /d: it is a folder"), "{words}");
        for (text, begin) in [
            ("", "--expect /d/list: it is empty. Give a hostname a line"),
            (
                "{\"a\"",
                "--expect /d/list: it is no whole JSON: EOF while parsing an object at line 1 column 4. Give all",
            ),
            ("{}", "--expect /d/list: it names no machine. Of Terraform, give"),
            ("a\na", "--expect /d/list: 'a' is there twice: line 1 and line 2."),
        ] {
            let (code, words) = of(text);
            assert!(code == Code::Data && words.starts_with(begin), "{words}");
        }
        let huge = fs::File::create(&file).expect("made");
        huge.set_len(MOST + 1).expect("a file with a hole");
        let (code, words) = told(&file);
        assert!(code == Code::Data && words.starts_with("--expect /d/list: it is larger than 16 MiB. Give"), "{words}");
        let (code, words) = told(Path::new("/dev/zero"));
        assert!(code == Code::Data && words.contains("larger than"), "an endless one: {words}");
    }
}

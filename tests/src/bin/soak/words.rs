//! What stands on the command line.

/// Milliseconds of a minute.
const MINUTE: f64 = 60_000.0;

/// What was asked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Words {
    pub(crate) milliseconds: u64,
    pub(crate) seed: u64,
    /// 3 or 5.
    pub(crate) managers: usize,
    pub(crate) json: bool,
}

impl Words {
    /// Reads them, or says what is wrong with them.
    pub(crate) fn read(words: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut read = Self { milliseconds: 60_000, seed: 1, managers: 3, json: false };
        let mut words = words;
        while let Some(word) = words.next() {
            if word == "--json" {
                read.json = true;
                continue;
            }
            let value = words.next().ok_or_else(|| format!("what comes after '{word}'?"))?;
            let wrong = |_| format!("'{word} {value}' does not read");
            match word.as_str() {
                "--minutes" => read.milliseconds = milliseconds(&value)?,
                "--seed" => read.seed = value.parse().map_err(wrong)?,
                "--managers" => {
                    read.managers = value.parse().map_err(wrong)?;
                    if ![3, 5].contains(&read.managers) {
                        return Err("--managers is 3 or 5".into());
                    }
                }
                _ => return Err(format!("there is no '{word}': --minutes M, --seed S, --managers 3|5, --json")),
            }
        }
        Ok(read)
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within a day, and not negative")]
fn milliseconds(value: &str) -> Result<u64, String> {
    let minutes: f64 = value.parse().map_err(|_| format!("'--minutes {value}' does not read"))?;
    if !(minutes > 0.0 && minutes <= 1440.0) {
        return Err("--minutes is more than 0 and at most 1440".into());
    }
    Ok((minutes * MINUTE) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Words, String> {
        Words::read(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn words_read() {
        assert_eq!(read(""), Ok(Words { milliseconds: 60_000, seed: 1, managers: 3, json: false }));
        let all = Words { milliseconds: 15_000, seed: 7, managers: 5, json: true };
        assert_eq!(read("--minutes 0.25 --seed 7 --managers 5 --json"), Ok(all));
        for wrong in
            ["--minutes", "--minutes x", "--minutes 0", "--minutes -1", "--seed -1", "--managers 4", "--sead 1"]
        {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}

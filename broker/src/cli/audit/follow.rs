//! `broker audit follow`.

use std::time::Duration;

use super::asked::Asked;
use super::others::Others;
use super::shown::Reader;
use crate::exit::Failure;

/// How often this broker's log is looked at.
const LOOK: Duration = Duration::from_millis(300);
/// The same of the logs of brokers elsewhere: each look is a request.
const ELSEWHERE: Duration = Duration::from_secs(1);
/// How long the running broker rests between two looks at the others'.
const OTHERS: Duration = Duration::from_secs(2);

#[derive(clap::Args)]
pub(in crate::cli) struct Follow {
    #[command(flatten)]
    asked: Asked,
}

impl Follow {
    pub(super) fn run(self) -> Result<(), Failure> {
        let asked = self.asked;
        let mut merged = asked.open(asked.choice.since().is_none(), true)?;
        if !asked.others.left_out() {
            bring_up_again_and_again(asked.others.clone());
        }
        let pause = if asked.others.elsewhere(true)?.is_some() { ELSEWHERE } else { LOOK };
        let mut printer = asked.format.printer();
        while asked.print(&mut merged, &mut printer)? == Reader::Here {
            std::thread::sleep(pause);
            asked.add_new(&mut merged)?;
        }
        Ok(())
    }
}

/// Beside what is printed: one that is down keeps no record of the others waiting. It ends with the program.
fn bring_up_again_and_again(others: Others) {
    std::thread::spawn(move || {
        loop {
            std::thread::sleep(OTHERS);
            others.refresh();
        }
    });
}

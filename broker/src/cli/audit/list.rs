//! `broker audit list`.

use super::asked::Asked;
use crate::exit::Failure;

#[derive(clap::Args)]
pub(in crate::cli) struct List {
    #[command(flatten)]
    asked: Asked,
}

impl List {
    pub(super) fn run(self) -> Result<(), Failure> {
        let mut merged = self.asked.open(false, false)?;
        self.asked.print(&mut merged, &mut self.asked.format.printer()).map(drop)
    }
}

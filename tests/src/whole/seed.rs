//! What a cloud gives a machine: its user-data, and what it is called. As from a cloud's own disk or metadata service, the
//! machine can read it whenever it likes and cannot change it, and it is not on the machine's disk.

use std::fs;
use std::path::Path;

use crate::error::{Result, Trying};

/// Where a machine finds it.
pub(crate) const PLACE: &str = "/media/seed";

/// Writes it into this folder. The provider's own settings are vendor-data.
pub(crate) fn write(folder: &Path, user_data: &str, vendor_data: &str) -> Result<()> {
    // The names are in the boot option.
    for (file, text) in [("meta-data", ""), ("user-data", user_data), ("vendor-data", vendor_data)] {
        let file = folder.join(file);
        fs::write(&file, text).trying(|| format!("writing {}", file.display()))?;
    }
    Ok(())
}

/// The boot option by which cloud-init finds it, and sees without a look at it whether this is still the same machine.
pub(crate) fn boot_option(name: &str) -> String {
    format!("ds=nocloud;s={PLACE}/;i=i-{name};h={name}")
}

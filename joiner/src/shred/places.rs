//! Where copies of an invite lie on a machine that got it in its user-data, and why there.
//!
//! Keeps the promise of `--shred-invite` to look in these places and in no other: what is added here must be added to
//! `ReadWritePaths` of cloud-init/units/joiner.service, too.
//! Must not name a place where a file with other text is written to: it is looked through as root.

/// A place, below `/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// A folder and everything in it.
    Tree(&'static str),
    /// The files of a folder whose names begin like this.
    Named(&'static str, &'static str),
    /// One file.
    File(&'static str),
}

/// All of them.
pub(super) const PLACES: &[Place] = &[
    // cloud-init. instances/ID/: user-data.txt is the user-data as it came (perhaps compressed, perhaps MIME with parts in
    // base64); user-data.txt.i is the same taken apart; cloud-config.txt is what its parts were merged to; obj.pkl is
    // the data source with both of them, pickled; scripts/ and boothooks/ are its shell parts and runcmd; data/ has what it
    // included from URLs. seed/: what an image, or the maker of a virtual machine, put there as user-data.
    Place::Tree("var/lib/cloud"),
    // cloud-init: instance-data-sensitive.json has the user-data of some clouds, perhaps in base64; newer releases keep
    // the merged configuration there, too (combined-cloud-config.json).
    Place::Tree("run/cloud-init"),
    // cloud-init: cloud-init.log has command lines, cloud-init-output.log what scripts print (set -x, say).
    Place::Named("var/log", "cloud-init"),
    // Azure: the custom data, in base64, in the document by which the machine was provisioned.
    Place::File("var/lib/waagent/ovf-env.xml"),
    // Ignition: the whole configuration, with the text of each file, until the next start.
    Place::File("run/ignition.json"),
    // Flatcar, put on a disk by flatcar-install: the configuration on the OEM partition, where it stays for good. Fedora
    // CoreOS removes its own (/boot/ignition) after the first start.
    Place::File("oem/config.ign"),
    // Raspberry Pi: cloud-init's user-data on the first partition, which any computer can read that the card is put into.
    Place::File("boot/user-data"),
    Place::File("boot/firmware/user-data"),
    // Raspberry Pi images without cloud-init: the script of the first start, and the kernel's command line that calls it.
    Place::File("boot/firstrun.sh"),
    Place::File("boot/firmware/firstrun.sh"),
    Place::File("boot/cmdline.txt"),
    Place::File("boot/firmware/cmdline.txt"),
];

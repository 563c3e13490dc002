//! A virtual machine: a whole machine with a kernel and a clock of its own. It takes a minute or two to boot where
//! the processor has to be emulated, so it is for what the others cannot show.
//! Promise: it knows of the world what it is told by its clock, its network and its user-data.
//! Must not: be looked into; a cloud's machine is known by its console and by what it does.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::error::{Result, Trying};
use crate::host::Host;
use crate::network::PLUG;
use crate::process::Process;
use crate::whole::image::{Image, disk};
use crate::whole::seed;

/// What a battery that is empty leaves in a machine's clock.
const EMPTY_BATTERY: &str = "1970-01-01T00:00:00";

/// A virtual machine in a bare host's place: its name, its addresses, its wire.
#[derive(Debug)]
pub struct VirtualMachine<'h> {
    host: &'h Host,
    power: Process,
}

impl<'h> VirtualMachine<'h> {
    /// Powers on a new machine, whose clock begins in 1970. Its provider's own settings are vendor-data.
    pub fn boot(host: &'h Host, image: &Image, user_data: &str, vendor_data: &str) -> Result<Self> {
        let place = host.place();
        let (given, seed_disk) = (place.folder.join("seed"), place.folder.join("seed.img"));
        let name = host.name();
        fs::create_dir(&given).trying(|| format!("making {}", given.display()))?;
        seed::write(&given, user_data, vendor_data)?;
        disk(&given, &seed_disk, "4M")?;

        let plug = host.link().hand_over()?;
        let mut command: Command = host.command("qemu-system-x86_64");
        // A processor that is emulated is the faster the less it can do.
        let (by, processor) = if has_virtualization() { ("kvm", "host") } else { ("tcg,thread=multi", "Nehalem") };
        command.args(["-accel", by, "-cpu", processor, "-smp", "2", "-m", "1G"]);
        // The last one leaves the image as it is.
        command.args(["-machine", "q35", "-snapshot"]);
        command.args(["-nodefaults", "-display", "none", "-no-reboot", "-serial", "stdio"]);
        command.arg("-rtc").arg(format!("base={EMPTY_BATTERY}")).args(["-device", "virtio-rng-pci"]);
        command.arg("-kernel").arg(image.kernel()).arg("-initrd").arg(image.first_disk());
        command.arg("-append").arg(format!(
            "root=/dev/vda rw console=ttyS0 quiet mitigations=off systemd.show_status=1 net.ifnames=0 \
             systemd.setenv=SYSTEMD_COLORS=0 ip={}::{}:255.255.255.0:{name}:eth0:off {}",
            plug.address,
            plug.gateway,
            seed::boot_option(name)
        ));
        for disk in [image.disk(), seed_disk] {
            command.arg("-drive").arg(format!("file={},if=virtio,format=raw", disk.display()));
        }
        command.arg("-netdev").arg(format!("tap,id=net,ifname={PLUG},script=no,downscript=no"));
        command.arg("-device").arg(format!("virtio-net-pci,netdev=net,mac={}", plug.hardware));
        // What the machine writes goes to a file that has no name.
        command.env("TMPDIR", host.folder());
        Ok(Self { host, power: host.spawn("console", command)? })
    }

    /// What came out of its console.
    #[must_use]
    pub fn console(&self) -> String {
        self.power.stdout().replace('\r', "")
    }

    /// Whether it runs.
    pub fn is_on(&mut self) -> Result<bool> {
        Ok(self.power.ended()?.is_none())
    }

    /// The host in whose place it is.
    #[must_use]
    pub fn host(&self) -> &'h Host {
        self.host
    }
}

/// Whether the processor can run machines by itself. That `/dev/kvm` is there does not tell: it may be there and fail.
fn has_virtualization() -> bool {
    let processor = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let flags = processor.lines().find(|line| line.starts_with("flags")).unwrap_or_default();
    Path::new("/dev/kvm").exists() && flags.split(' ').any(|flag| flag == "vmx" || flag == "svm")
}

//! The files by themselves: what they need of a machine, how large they are, what they tell.

use std::fs;
use std::path::Path;
use std::process::Command;

use lab::cluster::{Run, run};
use lab::{Failed, Pool};

use crate::programs::{BROKER, JOINERS, all, emulator};

/// 1.25 MiB: user-data lets each new machine fetch one, over whatever line it has.
const BUDGET: u64 = 1_310_720;

/// What `readelf` says of a file.
fn elf(options: &str, file: &Path) -> Result<String, Failed> {
    let mut command = Command::new("readelf");
    command.arg("--wide").arg(options).arg(file);
    let told = run(command)?;
    assert_eq!((told.code, told.stderr.as_str()), (0, ""), "{}", file.display());
    Ok(told.stdout)
}

pub(crate) fn every_program_is_there_static_and_stripped(_: &Pool) -> Result<(), Failed> {
    for (name, file) in all()? {
        let machine = if name.ends_with("aarch64") { "AArch64" } else { "X86-64" };
        assert!(elf("--file-header", &file)?.contains(machine), "{name} is for another machine");
        // INTERP names a loader, NEEDED a library: a static program has neither.
        assert!(!elf("--program-headers", &file)?.contains("INTERP"), "{name}");
        assert!(!elf("--dynamic", &file)?.contains("NEEDED"), "{name}");
        assert!(!elf("--sections", &file)?.contains(".symtab"), "{name} has its symbols still");
        // Loaded at a random address, where the compiler can make a static program so.
        let kind = if machine == "X86-64" { "DYN (" } else { "EXEC (" };
        assert!(elf("--file-header", &file)?.contains(kind), "{name}");
    }
    Ok(())
}

pub(crate) fn the_joiners_are_small(_: &Pool) -> Result<(), Failed> {
    for (name, file) in all()?.into_iter().filter(|(name, _)| JOINERS.contains(name)) {
        let bytes = fs::metadata(&file)?.len();
        assert!(bytes <= BUDGET, "{name} has {bytes} bytes, {} too many", bytes - BUDGET);
    }
    Ok(())
}

pub(crate) fn no_file_tells_where_it_was_built(_: &Pool) -> Result<(), Failed> {
    let house = Path::new(env!("CARGO_MANIFEST_DIR")).parent().ok_or("this package is nowhere")?;
    let registry = std::env::var("CARGO_HOME").unwrap_or(std::env::var("HOME")? + "/.cargo") + "/registry";
    let places = [house.join("joiner"), house.join("broker"), house.join("target"), registry.into()];
    for (name, file) in all()? {
        let bytes = fs::read(&file)?;
        for place in places.iter().map(|place| place.as_os_str().as_encoded_bytes()) {
            let told = bytes.windows(place.len()).any(|window| window == place);
            assert!(!told, "{name} has the path {} in it", String::from_utf8_lossy(place));
        }
    }
    Ok(())
}

/// Runs a program in a root that holds it, and an emulator where it needs one, and nothing else.
fn alone(name: &str, file: &Path, root: &Path, arguments: &[&str]) -> Result<Run, Failed> {
    let mut command = Command::new("chroot");
    command.arg(root).env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    if let Some(emulator) = emulator(name)? {
        fs::copy(emulator, root.join("emulator"))?;
        command.arg("/emulator");
    }
    fs::copy(file, root.join(name))?;
    command.arg(format!("/{name}")).args(arguments);
    Ok(run(command)?)
}

pub(crate) fn every_program_runs_where_nothing_else_is(pool: &Pool) -> Result<(), Failed> {
    let hosts = pool.lease_bare(1)?;
    for (name, file) in all()? {
        let root = hosts[0].folder().join(name);
        fs::create_dir(&root)?;
        let program = name.split('-').next().unwrap_or_default();
        let version = alone(name, &file, &root, &["--version"])?;
        assert_eq!(version.stdout, format!("{program} {}\n", env!("CARGO_PKG_VERSION")), "{}", version.stderr);
        let help = alone(name, &file, &root, &["--help"])?;
        assert!(help.code == 0 && help.stdout.contains(program), "{}{}", help.stdout, help.stderr);
        if name == BROKER {
            let made = alone(name, &file, &root, &["init", "--cluster", "alone", "--state", "/state"])?;
            assert!(made.code == 0 && made.stdout.contains("made cluster 'alone'"), "{}{}", made.stdout, made.stderr);
            assert!(root.join("state/cluster.json").is_file());
        } else {
            // Its last word is the fix, and not that of a program that fell over something missing.
            let told = alone(name, &file, &root, &["join", "--invite-file", "/invite"])?;
            assert_eq!(told.code, 66, "{}{}", told.stdout, told.stderr);
        }
    }
    Ok(())
}

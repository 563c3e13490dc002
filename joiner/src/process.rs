//! This process: its runtime, what it costs, and that it leaves no core dump.
//!
//! Keeps promise 7 (the token never shows): no core dump, no tracing by others of the same user.
//! Must not touch anything outside this process.

use std::time::{Duration, Instant};

use rustix::process::{DumpableBehavior, Resource, Rlimit};

use crate::exit::Error;

/// Forbids core dumps, also where the kernel pipes them into a program (which ignores the size limit).
pub(crate) fn forbid_core_dumps() {
    // Both fail only where the kernel lacks them; then there is no dump to forbid.
    let _ = rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable);
    let _ = rustix::process::setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
}

/// Runs a command on a runtime of one thread.
pub(crate) fn run<T>(command: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Error::Internal(format!("the runtime did not start: {error}")))?;
    let outcome = runtime.block_on(command);
    // A name that is still being looked up must not hold up the exit.
    runtime.shutdown_background();
    outcome
}

/// What this process has cost so far.
pub(crate) struct Cost {
    started: Instant,
}

impl Cost {
    /// Counts wall time from now on; CPU time counts from the start of the process.
    pub(crate) fn from_now() -> Self {
        Self { started: Instant::now() }
    }

    /// The cost until now, in words.
    pub(crate) fn so_far(&self) -> String {
        let cpu = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
        let cpu = Duration::new(u64::try_from(cpu.tv_sec).unwrap_or(0), u32::try_from(cpu.tv_nsec).unwrap_or(0));
        let memory =
            peak_memory().map_or_else(String::new, |kilobytes| format!(", {kilobytes} kB of memory at its peak"));
        format!("{} ms wall, {} ms of own CPU{memory}", self.started.elapsed().as_millis(), cpu.as_millis())
    }
}

fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse().ok()
}

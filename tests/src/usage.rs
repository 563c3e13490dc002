//! What /proc tells of a running process.
//! Promise: figures only grow, and stay as last seen when the process is gone.
//! Must not: be asked about a process whose end was waited for; its id may be another's.

use std::fs;
use std::time::Duration;

/// What a process has used, as far as was seen.
#[derive(Debug, Default)]
pub(crate) struct Usage {
    /// Processor time.
    pub(crate) cpu: Duration,
    /// Peak resident memory, in bytes.
    pub(crate) peak: u64,
}

impl Usage {
    pub(crate) fn look(&mut self, pid: u32) {
        if let Some(cpu) = cpu_time(pid) {
            self.cpu = cpu.max(self.cpu);
        }
        if let Some(peak) = peak_memory(pid) {
            self.peak = peak.max(self.peak);
        }
    }
}

/// proc(5): where a process's times stand after its name in parentheses.
const USER: usize = 11;
const KERNEL: usize = 12;
const USER_OF_ENDED: usize = 13;
const KERNEL_OF_ENDED: usize = 14;

fn cpu_time(pid: u32) -> Option<Duration> {
    times(pid, &[USER, KERNEL])
}

/// The sum of these times, which the kernel gives in clock ticks.
fn times(pid: u32, fields: &[usize]) -> Option<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, found) = stat.rsplit_once(") ")?;
    let found: Vec<&str> = found.split(' ').collect();
    let ticks = fields.iter().map(|field| found.get(*field)?.parse::<u64>().ok()).sum::<Option<u64>>()?;
    Some(Duration::from_millis(ticks * 1000 / rustix::param::clock_ticks_per_second()))
}

/// The processor time of a process and of all that came of it, as far as it runs or was waited for.
#[must_use]
pub fn family(pid: u32) -> Duration {
    let own = [USER, KERNEL, USER_OF_ENDED, KERNEL_OF_ENDED];
    children(pid).into_iter().map(family).chain(times(pid, &own)).sum()
}

/// The processor time of all programs that this one has waited for, and of what those waited for.
#[must_use]
pub fn of_ended_children() -> Duration {
    times(std::process::id(), &[USER_OF_ENDED, KERNEL_OF_ENDED]).unwrap_or_default()
}

/// proc(5): the children of each thread, by process id.
fn children(pid: u32) -> Vec<u32> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let lists = threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    lists.flat_map(|list| list.split_whitespace().filter_map(|child| child.parse().ok()).collect::<Vec<_>>()).collect()
}

/// proc(5): after the name in parentheses, a thread's state, T if it is stopped.
pub(crate) fn all_stopped(pid: u32) -> bool {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    threads.map(|thread| fs::read_to_string(thread.path().join("stat"))).all(|stat| {
        // A thread that ended between the two looks does not run either.
        stat.map_or(true, |stat| stat.rsplit_once(") ").is_some_and(|(_, s)| s.starts_with('T')))
    })
}

/// proc(5): `VmHWM`, the peak resident set, in kB.
fn peak_memory(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kilobytes * 1024)
}

//! What processes use, from `/proc`: CPU seconds and resident memory.

use std::collections::HashMap;

use procfs::process::{Process, all_processes};

use crate::error::Result;

/// CPU seconds of a process and all its descendants, living and reaped. Steps of 10 ms, nothing is
/// lost when a child ends: right for windows of seconds.
pub(crate) fn cpu_seconds(root: u32) -> Result<f64> {
    let ticks_per_second = procfs::ticks_per_second() as f64;
    let mut ticks = 0;
    for process in tree(root)? {
        // A process that ends meanwhile is counted by its parent the next time.
        let Ok(stat) = process.stat() else { continue };
        ticks += stat.utime + stat.stime;
        ticks += u64::try_from(stat.cutime + stat.cstime).unwrap_or(0);
    }
    Ok(ticks as f64 / ticks_per_second)
}

/// CPU seconds of the threads that one process has at this moment, in nanoseconds' steps: right for
/// windows of milliseconds in a process that is at rest before and after.
#[derive(Debug, Default)]
pub(crate) struct FineClock {
    /// By thread, so that one that ended keeps what it had used.
    threads: HashMap<i32, u64>,
}

impl FineClock {
    /// Reads the clock; one clock belongs to one process.
    pub(crate) fn read(&mut self, pid: u32) -> Result<f64> {
        for task in Process::new(pid.cast_signed())?.tasks()?.flatten() {
            if let Ok(stat) = task.schedstat() {
                self.threads.insert(task.tid, stat.sum_exec_runtime);
            }
        }
        Ok(self.threads.values().sum::<u64>() as f64 / 1e9)
    }
}

/// Resident memory of a process and all its descendants, in bytes.
pub(crate) fn rss_bytes(root: u32) -> Result<u64> {
    let kilobytes = |p: &Process| p.status().ok().and_then(|s| s.vmrss).unwrap_or(0);
    Ok(tree(root)?.iter().map(kilobytes).sum::<u64>() * 1024)
}

/// The most resident memory that one process has had so far, in bytes.
pub(crate) fn peak_rss_bytes(pid: u32) -> Result<u64> {
    Ok(Process::new(pid.cast_signed())?.status()?.vmhwm.unwrap_or(0) * 1024)
}

/// CPU seconds of this process itself: the generator's.
pub(crate) fn own_cpu_seconds() -> Result<f64> {
    let stat = Process::myself()?.stat()?;
    Ok((stat.utime + stat.stime) as f64 / procfs::ticks_per_second() as f64)
}

/// CPU seconds of this process's children that have ended.
pub(crate) fn children_cpu_seconds() -> Result<f64> {
    let stat = Process::myself()?.stat()?;
    Ok((stat.cutime + stat.cstime) as f64 / procfs::ticks_per_second() as f64)
}

/// A process and its descendants.
fn tree(root: u32) -> Result<Vec<Process>> {
    let root = root.cast_signed();
    let mut children: HashMap<i32, Vec<Process>> = HashMap::new();
    for process in all_processes()?.flatten() {
        if let Ok(stat) = process.stat() {
            children.entry(stat.ppid).or_default().push(process);
        }
    }
    let mut found = vec![Process::new(root)?];
    let mut at = 0;
    while at < found.len() {
        let pid = found[at].pid;
        found.extend(children.remove(&pid).unwrap_or_default());
        at += 1;
    }
    Ok(found)
}

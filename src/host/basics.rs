//! The guide's readings of the system and of this process.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};
use sysinfo::{MemoryRefreshKind, Pid, ProcessRefreshKind, ProcessesToUpdate, System};

use super::HostPaths;
use super::cgroup::{CpuUse, OwnCgroup};
use super::cpu::node_seconds;
use super::paths::read;
use super::readings::Readings;
use super::usage::{Look, Usage};

/// What the system's percentages are of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SystemScope {
    /// Of this process's cgroup limit where there is one, else of the node: for a server or a
    /// worker, whose limit is what it can run into.
    OwnLimit,
    /// Of the node, whatever limit this process itself has: for an agent that stands for a node.
    Node,
}

/// Reads system and process, and remembers the last look at CPU time.
#[derive(Debug)]
pub(super) struct Basics {
    paths: HostPaths,
    cgroup: Option<OwnCgroup>,
    // One System for good: making one anew costs ten times a refresh. None where sysinfo does not
    // know the platform.
    system: Option<System>,
    pid: Option<Pid>,
    cpu: CpuTimes,
    system_usage: Usage,
    process_usage: Usage,
}

/// CPU seconds there were so far, which a limited group counts from the first look on.
#[derive(Debug, Default)]
struct CpuTimes {
    limited: bool,
    last: Option<(Instant, f64)>,
    available: f64,
}

impl Basics {
    /// Takes the first look.
    pub(super) fn new(paths: &HostPaths, scope: SystemScope) -> Self {
        let mut basics = Self {
            paths: paths.clone(),
            cgroup: (scope == SystemScope::OwnLimit).then(OwnCgroup::find),
            system: System::new().ok(),
            pid: sysinfo::get_current_pid().ok(),
            cpu: CpuTimes::default(),
            system_usage: Usage::default(),
            process_usage: Usage::default(),
        };
        basics.collect(&mut Readings::default());
        basics
    }

    /// Adds the readings that this machine has.
    pub(super) fn collect(&mut self, out: &mut Readings) {
        self.refresh();
        self.collect_cpu(out);
        self.collect_memory(out);
        self.collect_process(out);
    }

    // Only what is read below, and only of this process: everything else sysinfo could refresh
    // costs more than all of this.
    fn refresh(&mut self) {
        let Some(system) = &mut self.system else {
            return;
        };
        system.refresh_memory_specifics(MemoryRefreshKind::nothing().with_ram());
        if let Some(pid) = self.pid {
            system.refresh_processes_specifics(
                ProcessesToUpdate::Some(&[pid]),
                false,
                ProcessRefreshKind::nothing().with_memory().without_tasks(),
            );
        }
    }

    fn collect_cpu(&mut self, out: &mut Readings) {
        let now = Instant::now();
        let limited = self.cgroup.as_ref().and_then(OwnCgroup::cpu);
        self.note_limit(limited.is_some());
        let look = match limited {
            Some(cpu) => Some(self.cpu.of_limited(now, cpu)),
            None => read(&self.paths.proc("stat")).ok().and_then(|stat| node_look(&stat)),
        };
        let Some(look) = look else { return };
        if let Some(percent) = self.system_usage.look(now, look) {
            let help = "CPU used, in percent of the limit where there is one, else of the node.";
            out.gauge("noetl_system_cpu_usage_percent", help, &[], percent);
        }
        let used = own_cpu_seconds();
        if let Some(percent) = self.process_usage.look(now, Look { used, ..look }) {
            let help = "CPU used by the process, in percent of the same as \
                        noetl_system_cpu_usage_percent.";
            out.gauge("noetl_process_cpu_percent", help, &[], percent);
        }
    }

    // A limit that was set or lifted changes what the percentages are of.
    fn note_limit(&mut self, limited: bool) {
        if self.cpu.limited != limited {
            self.cpu = CpuTimes { limited, ..CpuTimes::default() };
            self.system_usage.reset();
            self.process_usage.reset();
        }
    }

    fn collect_memory(&self, out: &mut Readings) {
        let Some(system) = &self.system else { return };
        let total = system.total_memory() as f64;
        let limited = self.cgroup.as_ref().and_then(|cgroup| cgroup.memory(total));
        let (used, total) = match limited {
            Some(memory) => (memory.used, memory.limit),
            None => (system.used_memory() as f64, total),
        };
        if total > 0.0 {
            let help = "Memory used and not available, of the limit where there is one, else of \
                        the node.";
            out.gauge("noetl_system_memory_usage_bytes", help, &[], used);
            let help = "Memory used, in percent of the limit where there is one, else of the node.";
            out.gauge("noetl_system_memory_usage_percent", help, &[], used / total * 100.0);
        }
    }

    fn collect_process(&self, out: &mut Readings) {
        let Some(process) = self.process() else {
            return;
        };
        let started = process.start_time() as f64;
        let help = "Resident memory of the process.";
        out.gauge("noetl_process_memory_rss_bytes", help, &[], process.memory() as f64);
        let help = "When the process started, in unixtime.";
        out.gauge("noetl_process_start_time_seconds", help, &[], started);
        if let Ok(now) = SystemTime::now().duration_since(UNIX_EPOCH) {
            let help = "How long the process has run.";
            let uptime = (now.as_secs_f64() - started).max(0.0);
            out.gauge("noetl_uptime_seconds", help, &[], uptime);
        }
    }

    fn process(&self) -> Option<&sysinfo::Process> {
        self.system.as_ref()?.process(self.pid?)
    }
}

impl CpuTimes {
    fn of_limited(&mut self, now: Instant, cpu: CpuUse) -> Look {
        if let Some((then, cpus)) = self.last {
            self.available += now.duration_since(then).as_secs_f64() * cpus;
        }
        self.last = Some((now, cpu.cpus));
        Look { used: cpu.used_seconds, available: self.available }
    }
}

/// CPU seconds of this process. From the clock that counts them to the nanosecond: `/proc` counts
/// ticks of 10 ms, in which an idle process has none for minutes.
fn own_cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

fn node_look(stat: &str) -> Option<Look> {
    node_seconds(stat).map(|(used, available)| Look { used, available })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::testing::readings;
    use super::*;

    #[test]
    fn a_limited_group_has_its_limit_times_the_time_that_passed() {
        let start = Instant::now();
        let mut times = CpuTimes::default();
        let at = |s| start + Duration::from_secs(s);
        let cpu = |used_seconds, cpus| CpuUse { used_seconds, cpus };
        assert!(times.of_limited(at(0), cpu(5.0, 0.5)).available.abs() < 1e-9);
        let look = times.of_limited(at(10), cpu(7.0, 0.5));
        assert!((look.available - 5.0).abs() < 1e-9);
        // The limit that was in force until now is the one that counts.
        times.of_limited(at(20), cpu(8.0, 2.0));
        assert!((times.of_limited(at(30), cpu(8.0, 2.0)).available - 30.0).abs() < 1e-9);
    }

    #[test]
    fn percentages_are_absent_until_the_second_look() {
        let mut basics = Basics::new(&HostPaths::default(), SystemScope::Node);
        let first = readings(|out| basics.collect(out));
        assert!(first.iter().all(|r| !r.name.contains("cpu")), "{first:?}");
        assert!(first.iter().any(|r| r.name == "noetl_process_memory_rss_bytes"));
        let deadline = Instant::now() + Duration::from_secs(5);
        loop {
            let later = readings(|out| basics.collect(out));
            if later.iter().filter(|r| r.name.contains("cpu")).count() == 2 {
                break;
            }
            assert!(Instant::now() < deadline, "no percentage after 5 s");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

//! `node_cpu_*`: seconds each CPU spent in each mode, from `/proc/stat`.

use std::collections::HashMap;

use super::paths::read;
use super::readings::Readings;
use super::{CollectError, HostPaths};

/// The modes in the order of the columns of `/proc/stat`.
const MODES: [&str; 8] = ["user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal"];
const GUEST_MODES: [&str; 2] = ["user", "nice"];
const COLUMNS: usize = MODES.len() + GUEST_MODES.len();

/// Seconds of one CPU, by column.
type Seconds = [f64; COLUMNS];

/// The highest seconds seen of each CPU.
///
/// The kernel lets `idle` and `iowait` step back a little. A counter that does so looks like one
/// that was reset, and a rate over it jumps by its whole value, so the last value is held.
#[derive(Debug, Default)]
pub(super) struct LastSeen(HashMap<String, Seconds>);

impl LastSeen {
    pub(super) fn collect(&mut self, paths: &HostPaths, out: &mut Readings) -> Result<(), CollectError> {
        let path = paths.proc("stat");
        let cpus = parse(&read(&path)?);
        if cpus.is_empty() {
            return Err(CollectError::malformed(&path, "no line of a CPU"));
        }
        for (cpu, seconds) in cpus {
            emit(&cpu, &self.hold(&cpu, seconds), out);
        }
        Ok(())
    }

    // A CPU that was unplugged and came back may start again from zero: a large step back is
    // believed.
    fn hold(&mut self, cpu: &str, now: Seconds) -> Seconds {
        const LARGE_STEP_BACK: f64 = 3.0;
        let idle = 3;
        let last = self.0.entry(cpu.to_owned()).or_insert(now);
        if last[idle] - now[idle] > LARGE_STEP_BACK {
            *last = now;
        }
        for (last, now) in last.iter_mut().zip(now) {
            *last = last.max(now);
        }
        *last
    }
}

fn emit(cpu: &str, seconds: &Seconds, out: &mut Readings) {
    let (modes, guest) = seconds.split_at(MODES.len());
    for (mode, value) in MODES.into_iter().zip(modes) {
        let help = "Seconds the CPUs spent in each mode.";
        out.counter("node_cpu_seconds_total", help, &[("cpu", cpu), ("mode", mode)], *value);
    }
    for (mode, value) in GUEST_MODES.into_iter().zip(guest) {
        let help = "Seconds the CPUs spent in guests (VMs) for each mode.";
        out.counter("node_cpu_guest_seconds_total", help, &[("cpu", cpu), ("mode", mode)], *value);
    }
}

/// Number and seconds of each CPU. The number is the kernel's: CPUs that are offline leave gaps.
fn parse(stat: &str) -> Vec<(String, Seconds)> {
    stat.lines()
        .filter_map(|line| {
            let (cpu, columns) = line.strip_prefix("cpu")?.split_once(' ')?;
            let is_number = !cpu.is_empty() && cpu.bytes().all(|b| b.is_ascii_digit());
            is_number.then(|| (cpu.to_owned(), seconds(columns)))
        })
        .collect()
}

/// Columns that an old kernel does not have are 0, as it counts that time elsewhere.
fn seconds(columns: &str) -> Seconds {
    let ticks_per_second = procfs::ticks_per_second() as f64;
    let mut seconds = [0.0; COLUMNS];
    for (slot, ticks) in seconds.iter_mut().zip(columns.split_whitespace()) {
        *slot = ticks.parse::<u64>().map_or(0.0, |ticks| ticks as f64 / ticks_per_second);
    }
    seconds
}

/// CPU seconds of the whole node: those it worked, and all there were. `None` where `stat` has no
/// summary line.
pub(super) fn node_seconds(stat: &str) -> Option<(f64, f64)> {
    let columns = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let by_mode = &seconds(columns)[..MODES.len()];
    let all: f64 = by_mode.iter().sum();
    let (idle, iowait) = (by_mode[3], by_mode[4]);
    Some((all - idle - iowait, all))
}

#[cfg(test)]
mod tests {
    use super::super::testing::lines;
    use super::*;

    const STAT: &str = "cpu  300 0 60 900 40 0 10 20 0 0\n\
        cpu0 100 1 20 300 10 2 3 4 5 6\n\
        cpu12 200 0 40 600 30 0 5 10 0 0\n\
        intr 5 0 0\nctxt 7\n";

    #[test]
    fn each_cpu_has_the_number_the_kernel_gives_it() {
        let numbers: Vec<_> = parse(STAT).into_iter().map(|(cpu, _)| cpu).collect();
        assert_eq!(numbers, ["0", "12"]);
    }

    #[test]
    fn every_mode_is_given_in_seconds() {
        let (cpu, seconds) = parse(STAT).swap_remove(0);
        let lines = lines(|out| emit(&cpu, &seconds, out));
        assert_eq!(lines.len(), 10);
        assert_eq!(lines[0], r#"node_cpu_seconds_total{cpu="0",mode="user"} 1"#);
        assert_eq!(lines[4], r#"node_cpu_seconds_total{cpu="0",mode="iowait"} 0.1"#);
        assert_eq!(lines[8], r#"node_cpu_guest_seconds_total{cpu="0",mode="user"} 0.05"#);
        assert_eq!(lines[9], r#"node_cpu_guest_seconds_total{cpu="0",mode="nice"} 0.06"#);
    }

    #[test]
    fn a_small_step_back_is_held_and_a_large_one_believed() {
        let mut seen = LastSeen::default();
        let at = |idle: f64, iowait: f64| {
            let mut seconds = [0.0; COLUMNS];
            (seconds[3], seconds[4]) = (idle, iowait);
            seconds
        };
        seen.hold("0", at(100.0, 5.0));
        assert_eq!(seen.hold("0", at(101.0, 4.9))[4].to_bits(), 5.0f64.to_bits());
        assert!((seen.hold("0", at(1.0, 0.1))[3] - 1.0).abs() < 1e-9);
    }

    #[test]
    fn waiting_for_a_disk_is_not_work() {
        let (worked, all) = node_seconds(STAT).unwrap();
        assert!((worked - 3.9).abs() < 1e-9, "{worked}");
        assert!((all - 13.3).abs() < 1e-9, "{all}");
        assert_eq!(node_seconds("intr 5\n"), None);
    }
}

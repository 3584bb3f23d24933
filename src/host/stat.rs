//! Boot time, forks, context switches, interrupts and running processes, from `/proc/stat`.

use super::paths::read;
use super::readings::Readings;
use super::{CollectError, HostPaths};
use crate::model::MetricType;

/// First word of the line, type, name, help. Of `intr` the first number is the sum of the others.
const LINES: [(&str, MetricType, &str, &str); 6] = [
    ("btime", MetricType::Gauge, "node_boot_time_seconds", "Node boot time, in unixtime."),
    ("ctxt", MetricType::Counter, "node_context_switches_total", "Total number of context switches."),
    ("processes", MetricType::Counter, "node_forks_total", "Total number of forks."),
    ("intr", MetricType::Counter, "node_intr_total", "Total number of interrupts serviced."),
    ("procs_running", MetricType::Gauge, "node_procs_running", "Number of processes in runnable state."),
    (
        "procs_blocked",
        MetricType::Gauge,
        "node_procs_blocked",
        "Number of processes blocked waiting for I/O to complete.",
    ),
];

pub(super) fn collect(paths: &HostPaths, out: &mut Readings) -> Result<(), CollectError> {
    emit(&read(&paths.proc("stat"))?, out);
    Ok(())
}

fn emit(stat: &str, out: &mut Readings) {
    for line in stat.lines() {
        let mut words = line.split(' ');
        let (Some(key), Some(Ok(value))) = (words.next(), words.next().map(str::parse)) else { continue };
        if let Some((_, kind, name, help)) = LINES.iter().find(|(first, ..)| *first == key) {
            out.push(*kind, *name, *help, &[], value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::lines;
    use super::*;

    #[test]
    fn each_line_is_a_metric_and_others_are_passed_over() {
        let stat = "cpu  1 2 3\nintr 398100 0 181 40\nctxt 404863\nbtime 1795515231\n\
            processes 11292\nprocs_running 6\nprocs_blocked 1\nsoftirq 199989 0\n";
        assert_eq!(
            lines(|out| emit(stat, out)),
            [
                "node_intr_total 398100",
                "node_context_switches_total 404863",
                "node_boot_time_seconds 1795515231",
                "node_forks_total 11292",
                "node_procs_running 6",
                "node_procs_blocked 1",
            ]
        );
    }
}

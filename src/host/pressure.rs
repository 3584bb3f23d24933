//! `node_pressure_*`: time lost to waiting for CPU, memory and disk, from `/proc/pressure`.
//!
//! Absent where the kernel is older than 4.20 or runs without pressure accounting.

use super::paths::read;
use super::readings::Readings;
use super::{CollectError, HostPaths};

/// File, line in it, metric, help. A whole system cannot stall for want of CPU, and interrupts are
/// only counted as stalls, so these have one metric each.
const RECORDS: [(&str, &str, &str, &str); 6] = [
    (
        "cpu",
        "some",
        "node_pressure_cpu_waiting_seconds_total",
        "Total time in seconds that processes have waited for CPU time",
    ),
    (
        "io",
        "some",
        "node_pressure_io_waiting_seconds_total",
        "Total time in seconds that processes have waited due to IO congestion",
    ),
    (
        "io",
        "full",
        "node_pressure_io_stalled_seconds_total",
        "Total time in seconds no process could make progress due to IO congestion",
    ),
    (
        "memory",
        "some",
        "node_pressure_memory_waiting_seconds_total",
        "Total time in seconds that processes have waited for memory",
    ),
    (
        "memory",
        "full",
        "node_pressure_memory_stalled_seconds_total",
        "Total time in seconds no process could make progress due to memory congestion",
    ),
    (
        "irq",
        "full",
        "node_pressure_irq_stalled_seconds_total",
        "Total time in seconds no process could make progress due to IRQ congestion",
    ),
];

pub(super) fn collect(paths: &HostPaths, out: &mut Readings) -> Result<(), CollectError> {
    for (file, line, name, help) in RECORDS {
        let path = paths.proc("pressure").join(file);
        let text = match read(&path) {
            // Newer than the others; kernels have it or not.
            Err(CollectError::Missing(_)) if file == "irq" => continue,
            result => result?,
        };
        let seconds = total_seconds(&text, line)
            .ok_or_else(|| CollectError::malformed(&path, format!("no total in line {line:?}")))?;
        out.counter(name, help, &[], seconds);
    }
    Ok(())
}

/// The total of the line that starts with `record`, which the kernel gives in microseconds.
fn total_seconds(text: &str, record: &str) -> Option<f64> {
    let line = text.lines().find(|line| line.split(' ').next() == Some(record))?;
    let total: u64 = line.split(' ').find_map(|word| word.strip_prefix("total="))?.parse().ok()?;
    Some(total as f64 / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_are_given_in_seconds() {
        let text = "some avg10=1.98 avg60=0.62 avg300=0.22 total=3626392\n\
            full avg10=0.00 avg60=0.00 avg300=0.04 total=2500000\n";
        assert_eq!(total_seconds(text, "some"), Some(3.626_392));
        assert_eq!(total_seconds(text, "full"), Some(2.5));
        assert_eq!(total_seconds("some avg10=1.98\n", "some"), None);
        assert_eq!(total_seconds("some total=1\n", "full"), None);
    }

    #[test]
    fn a_kernel_without_pressure_accounting_is_no_failure() {
        let dir = tempfile::tempdir().unwrap();
        let paths = HostPaths::new(dir.path().into(), None, None);
        let result = collect(&paths, &mut Readings::default());
        assert!(matches!(result, Err(CollectError::Missing(_))));
    }
}

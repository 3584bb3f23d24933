//! `node_schedstat_*`: time that tasks ran and waited on each CPU, from `/proc/schedstat`.

use super::paths::read;
use super::readings::Readings;
use super::{CollectError, HostPaths};

pub(super) fn collect(paths: &HostPaths, out: &mut Readings) -> Result<(), CollectError> {
    emit(&read(&paths.proc("schedstat"))?, out);
    Ok(())
}

fn emit(text: &str, out: &mut Readings) {
    for (cpu, [running, waiting, timeslices]) in text.lines().filter_map(parse) {
        let labels = [("cpu", cpu)];
        out.counter(
            "node_schedstat_running_seconds_total",
            "Number of seconds CPU spent running a process.",
            &labels,
            running / 1e9,
        );
        out.counter(
            "node_schedstat_waiting_seconds_total",
            "Number of seconds spent by processing waiting for this CPU.",
            &labels,
            waiting / 1e9,
        );
        out.counter(
            "node_schedstat_timeslices_total",
            "Number of timeslices executed by CPU.",
            &labels,
            timeslices,
        );
    }
}

/// The CPU's number and the last three of its nine columns: nanoseconds run, nanoseconds waited,
/// timeslices.
fn parse(line: &str) -> Option<(&str, [f64; 3])> {
    let (cpu, columns) = line.strip_prefix("cpu")?.split_once(' ')?;
    let mut columns = columns.split_whitespace().skip(6).map_while(|word| word.parse().ok());
    Some((cpu, [columns.next()?, columns.next()?, columns.next()?]))
}

#[cfg(test)]
mod tests {
    use super::super::testing::lines;
    use super::*;

    #[test]
    fn the_last_three_columns_of_each_cpu_are_read() {
        let text = "version 15\ntimestamp 15819019232\n\
            cpu0 498494191 0 3533438552 2553969831 0 0 2045936778163039 343796328169361 4767485306\n\
            domain0 00000000,00000003 212499247 210112015\n\
            cpu1 1 2 3\n";
        assert_eq!(
            lines(|out| emit(text, out)),
            [
                r#"node_schedstat_running_seconds_total{cpu="0"} 2045936.778163039"#,
                r#"node_schedstat_waiting_seconds_total{cpu="0"} 343796.328169361"#,
                r#"node_schedstat_timeslices_total{cpu="0"} 4767485306"#,
            ]
        );
    }
}

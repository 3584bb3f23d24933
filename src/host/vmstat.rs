//! `node_vmstat_*`: paging, swapping, page faults and kills for want of memory, from
//! `/proc/vmstat`.

use super::paths::read;
use super::readings::Readings;
use super::{CollectError, HostPaths};

pub(super) fn collect(paths: &HostPaths, out: &mut Readings) -> Result<(), CollectError> {
    emit(&read(&paths.proc("vmstat"))?, out);
    Ok(())
}

// `node_exporter` gives these without a type; here such are gauges.
fn emit(text: &str, out: &mut Readings) {
    for line in text.lines() {
        let Some((field, Ok(value))) = line.split_once(' ').map(|(f, v)| (f, v.parse())) else {
            continue;
        };
        if is_wanted(field) {
            let help = format!("/proc/vmstat information field {field}.");
            out.gauge(format!("node_vmstat_{field}"), help, &[], value);
        }
    }
}

/// The fields that `node_exporter` takes by default, of the hundred and more there are.
fn is_wanted(field: &str) -> bool {
    ["oom_kill", "pgpg", "pswp"].iter().any(|prefix| field.starts_with(prefix))
        || field.strip_prefix("pg").is_some_and(|rest| rest.contains("fault"))
}

#[cfg(test)]
mod tests {
    use super::super::testing::lines;
    use super::*;

    #[test]
    fn only_the_known_few_are_taken() {
        let text = "nr_free_pages 5\npgpgin 10\npgpgout 11\npswpin 0\npgfault 12\npgmajfault 1\n\
            numa_hint_faults 3\npgalloc_dma 4\noom_kill 2\nbroken\n";
        assert_eq!(
            lines(|out| emit(text, out)),
            [
                "node_vmstat_pgpgin 10",
                "node_vmstat_pgpgout 11",
                "node_vmstat_pswpin 0",
                "node_vmstat_pgfault 12",
                "node_vmstat_pgmajfault 1",
                "node_vmstat_oom_kill 2",
            ]
        );
    }
}

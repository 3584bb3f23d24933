//! `node_nf_conntrack_*`: the table of tracked connections, from `/proc/sys/net/netfilter` and
//! `/proc/net/stat/nf_conntrack`. Absent where the kernel's module is not loaded.

use super::paths::{read, read_number};
use super::readings::Readings;
use super::{CollectError, HostPaths};

/// Column of the statistics, and help.
const STATISTICS: [(&str, &str); 8] = [
    ("found", "Number of searched entries which were successful."),
    ("invalid", "Number of packets seen which can not be tracked."),
    ("ignore", "Number of packets seen which are already connected to a conntrack entry."),
    ("insert", "Number of entries inserted into the list."),
    ("insert_failed", "Number of entries for which list insertion was attempted but failed."),
    ("drop", "Number of packets dropped due to conntrack failure."),
    (
        "early_drop",
        "Number of dropped conntrack entries to make room for new ones, if maximum table size was \
         reached.",
    ),
    (
        "search_restart",
        "Number of conntrack table lookups which had to be restarted due to hashtable resizes.",
    ),
];

pub(super) fn collect(paths: &HostPaths, out: &mut Readings) -> Result<(), CollectError> {
    let path = paths.proc("sys/net/netfilter/nf_conntrack_count");
    let Some(entries) = read_number(&path) else {
        return Err(CollectError::Missing(path));
    };
    out.gauge(
        "node_nf_conntrack_entries",
        "Number of currently allocated flow entries for connection tracking.",
        &[],
        entries,
    );
    if let Some(limit) = read_number(&paths.proc("sys/net/netfilter/nf_conntrack_max")) {
        let help = "Maximum size of connection tracking table.";
        out.gauge("node_nf_conntrack_entries_limit", help, &[], limit);
    }
    match read(&paths.net("stat/nf_conntrack")) {
        Ok(text) => emit_statistics(&text, out),
        Err(CollectError::Missing(_)) => {}
        Err(e) => return Err(e),
    }
    Ok(())
}

fn emit_statistics(text: &str, out: &mut Readings) {
    for (column, help) in STATISTICS {
        if let Some(sum) = sum(text, column) {
            out.gauge(format!("node_nf_conntrack_stat_{column}"), help, &[], sum);
        }
    }
}

/// Sum of a column over the CPUs, which have a line each; values are hexadecimal.
fn sum(text: &str, column: &str) -> Option<f64> {
    let mut lines = text.lines();
    let at = lines.next()?.split_whitespace().position(|name| name == column)?;
    lines
        .map(|line| u64::from_str_radix(line.split_whitespace().nth(at)?, 16).ok())
        .try_fold(0.0, |sum, value| Some(sum + value? as f64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_found_by_name_and_summed_over_the_cpus() {
        let text = "entries  clashres found drop early_drop\n\
            00000021  00000000 0000000f 00000001 00000000\n\
            00000021  00000000 00000001 00000002 00000000\n";
        assert_eq!(sum(text, "found"), Some(16.0));
        assert_eq!(sum(text, "drop"), Some(3.0));
        assert_eq!(sum(text, "search_restart"), None);
        assert_eq!(sum("found\nzz\n", "found"), None);
    }
}

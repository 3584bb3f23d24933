//! `node_disk_*`: reads, writes and the time they took, from `/proc/diskstats`.

use procfs::{DiskStat, DiskStats, FromRead};

use super::paths::read;
use super::readings::Readings;
use super::{CollectError, HostPaths};

/// A sector of `/proc/diskstats`, whatever the disk's own is.
const SECTOR_BYTES: f64 = 512.0;

pub(super) fn collect(paths: &HostPaths, out: &mut Readings) -> Result<(), CollectError> {
    let path = paths.proc("diskstats");
    let DiskStats(disks) = DiskStats::from_read(read(&path)?.as_bytes())
        .map_err(|e| CollectError::malformed(&path, e.to_string()))?;
    for disk in disks.iter().filter(|disk| !is_excluded(&disk.name)) {
        emit(disk, out);
    }
    Ok(())
}

fn emit(disk: &DiskStat, out: &mut Readings) {
    emit_transfers(disk, out);
    emit_times(disk, out);
    emit_discards(disk, out);
}

fn emit_transfers(disk: &DiskStat, out: &mut Readings) {
    let labels = [("device", disk.name.as_str())];
    out.counter(
        "node_disk_reads_completed_total",
        "The total number of reads completed successfully.",
        &labels,
        disk.reads as f64,
    );
    out.counter(
        "node_disk_reads_merged_total",
        "The total number of reads merged.",
        &labels,
        disk.merged as f64,
    );
    out.counter(
        "node_disk_read_bytes_total",
        "The total number of bytes read successfully.",
        &labels,
        disk.sectors_read as f64 * SECTOR_BYTES,
    );
    out.counter(
        "node_disk_writes_completed_total",
        "The total number of writes completed successfully.",
        &labels,
        disk.writes as f64,
    );
    out.counter(
        "node_disk_writes_merged_total",
        "The number of writes merged.",
        &labels,
        disk.writes_merged as f64,
    );
    out.counter(
        "node_disk_written_bytes_total",
        "The total number of bytes written successfully.",
        &labels,
        disk.sectors_written as f64 * SECTOR_BYTES,
    );
    out.gauge(
        "node_disk_io_now",
        "The number of I/Os currently in progress.",
        &labels,
        disk.in_progress as f64,
    );
}

fn emit_times(disk: &DiskStat, out: &mut Readings) {
    let labels = [("device", disk.name.as_str())];
    out.counter(
        "node_disk_read_time_seconds_total",
        "The total number of seconds spent by all reads.",
        &labels,
        seconds(disk.time_reading),
    );
    out.counter(
        "node_disk_write_time_seconds_total",
        "This is the total number of seconds spent by all writes.",
        &labels,
        seconds(disk.time_writing),
    );
    out.counter(
        "node_disk_io_time_seconds_total",
        "Total seconds spent doing I/Os.",
        &labels,
        seconds(disk.time_in_progress),
    );
    out.counter(
        "node_disk_io_time_weighted_seconds_total",
        "The weighted # of seconds spent doing I/Os.",
        &labels,
        seconds(disk.weighted_time_in_progress),
    );
}

// Kernels count discards since 4.18 and flushes since 5.5.
fn emit_discards(disk: &DiskStat, out: &mut Readings) {
    let statistics = [
        (
            "node_disk_discards_completed_total",
            "The total number of discards completed successfully.",
            disk.discards.map(|n| n as f64),
        ),
        (
            "node_disk_discards_merged_total",
            "The total number of discards merged.",
            disk.discards_merged.map(|n| n as f64),
        ),
        (
            "node_disk_discarded_sectors_total",
            "The total number of sectors discarded successfully.",
            disk.sectors_discarded.map(|n| n as f64),
        ),
        (
            "node_disk_discard_time_seconds_total",
            "This is the total number of seconds spent by all discards.",
            disk.time_discarding.map(seconds),
        ),
        (
            "node_disk_flush_requests_total",
            "The total number of flush requests completed successfully",
            disk.flushes.map(|n| n as f64),
        ),
        (
            "node_disk_flush_requests_time_seconds_total",
            "This is the total number of seconds spent by all flush requests.",
            disk.time_flushing.map(seconds),
        ),
    ];
    for (name, help, value) in statistics {
        if let Some(value) = value {
            out.counter(name, help, &[("device", &disk.name)], value);
        }
    }
}

fn seconds(milliseconds: u64) -> f64 {
    milliseconds as f64 / 1000.0
}

/// Devices without a disk behind them, and partitions, whose disk is counted already:
/// `ram0`, `zram0`, `loop7`, `fd0`, `sda1`, `nvme0n1p2`.
fn is_excluded(device: &str) -> bool {
    let stem = device.trim_end_matches(|c: char| c.is_ascii_digit());
    if stem.len() == device.len() {
        return false;
    }
    matches!(stem, "ram" | "zram" | "loop" | "fd") || is_lettered_disk(stem) || is_nvme_partition(stem)
}

/// `sda`, `hdb`, `vdc`, `xvdd`: what is left of such a partition without its number.
fn is_lettered_disk(stem: &str) -> bool {
    let letter = ["xvd", "hd", "sd", "vd"].iter().find_map(|prefix| stem.strip_prefix(prefix));
    letter.is_some_and(|letter| letter.len() == 1 && letter.as_bytes()[0].is_ascii_lowercase())
}

/// `nvme0n1p`: what is left of such a partition without its number.
fn is_nvme_partition(stem: &str) -> bool {
    let is_number = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
    stem.strip_prefix("nvme")
        .and_then(|rest| rest.strip_suffix('p'))
        .and_then(|rest| rest.split_once('n'))
        .is_some_and(|(controller, namespace)| is_number(controller) && is_number(namespace))
}

#[cfg(test)]
mod tests {
    use super::super::testing::lines;
    use super::*;

    #[test]
    fn partitions_and_devices_without_a_disk_are_left_out() {
        for device in ["ram0", "zram0", "loop12", "fd0", "sda1", "hdb2", "vda15", "xvda1", "nvme0n1p2"] {
            assert!(is_excluded(device), "{device}");
        }
        for device in
            ["sda", "sdaa", "vda", "nvme0n1", "nvme12n3", "dm-0", "md127", "sr0", "mmcblk0", "sdaa1"]
        {
            assert!(!is_excluded(device), "{device}");
        }
    }

    #[test]
    fn sectors_become_bytes_and_milliseconds_seconds() {
        let line = " 254 0 vda 38506 9065 4369266 12678 10311 27740 3151920 16065 3 6800 30464 \
            4666 119 493408 1158 670 562";
        let disk = DiskStat::from_line(line).unwrap();
        let lines = lines(|out| emit(&disk, out));
        assert_eq!(lines.len(), 17);
        for expected in [
            r#"node_disk_read_bytes_total{device="vda"} 2237064192"#,
            r#"node_disk_written_bytes_total{device="vda"} 1613783040"#,
            r#"node_disk_io_now{device="vda"} 3"#,
            r#"node_disk_io_time_seconds_total{device="vda"} 6.8"#,
            r#"node_disk_io_time_weighted_seconds_total{device="vda"} 30.464"#,
            r#"node_disk_discarded_sectors_total{device="vda"} 493408"#,
            r#"node_disk_flush_requests_time_seconds_total{device="vda"} 0.562"#,
        ] {
            assert!(lines.iter().any(|line| line == expected), "{expected} not in {lines:#?}");
        }
    }

    #[test]
    fn an_old_kernels_missing_columns_are_absent() {
        let disk = DiskStat::from_line("8 0 sda 1 2 3 4 5 6 7 8 9 10 11").unwrap();
        assert_eq!(lines(|out| emit(&disk, out)).len(), 11);
    }
}

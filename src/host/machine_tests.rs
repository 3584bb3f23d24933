//! The readings compared with what this machine itself says, through other doors.

use std::collections::HashSet;
use std::fs;

use super::testing::{is_well_formed, series};
use super::{HostPaths, HostReader, Outcome};
use crate::model::Reading;

fn node() -> (Vec<Reading>, HostReader) {
    let mut reader = HostReader::new(HostPaths::default());
    (reader.node(), reader)
}

fn value(readings: &[Reading], wanted: &str) -> f64 {
    let found = readings.iter().find(|r| series(r) == wanted);
    found.unwrap_or_else(|| panic!("{wanted} is not among the readings")).value
}

fn number_after(text: &str, key: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(key)).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

#[test]
fn no_series_is_given_twice_and_all_are_well_formed() {
    let (mut readings, mut reader) = node();
    readings.extend(reader.core());
    let mut seen = HashSet::new();
    for reading in &readings {
        assert!(seen.insert(series(reading)), "{} twice", series(reading));
        assert!(is_well_formed(reading), "{reading:?}");
        assert!(reading.value.is_finite(), "{reading:?}");
    }
    assert!(readings.len() > 100, "only {} readings", readings.len());
}

#[test]
fn no_collector_fails_here() {
    let (_, reader) = node();
    for (name, outcome) in reader.outcomes() {
        assert!(!matches!(outcome, Outcome::Failed(_)), "{name}: {outcome:?}");
    }
}

#[test]
fn memory_and_boot_time_are_what_proc_says() {
    let (readings, mut reader) = node();
    let meminfo = fs::read_to_string("/proc/meminfo").unwrap();
    let total = number_after(&meminfo, "MemTotal:") * 1024.0;
    assert!((value(&readings, "node_memory_MemTotal_bytes") - total).abs() < 1.0);
    let stat = fs::read_to_string("/proc/stat").unwrap();
    let boot = number_after(&stat, "btime ");
    assert!((value(&readings, "node_boot_time_seconds") - boot).abs() <= 1.0);

    let core = reader.core();
    let used = value(&core, "noetl_system_memory_usage_bytes");
    let percent = value(&core, "noetl_system_memory_usage_percent");
    assert!(used > 0.0 && used < total);
    assert!(percent > 0.0 && percent < 100.0);
}

#[test]
fn cpu_seconds_lie_between_two_looks_at_proc() {
    let seconds = || {
        let stat = fs::read_to_string("/proc/stat").unwrap();
        number_after(&stat, "cpu0 ") / procfs::ticks_per_second() as f64
    };
    let before = seconds();
    let (readings, _) = node();
    let read = value(&readings, r#"node_cpu_seconds_total{cpu="0",mode="user"}"#);
    assert!(before <= read && read <= seconds(), "{before} {read}");
}

#[test]
fn the_root_filesystem_is_as_large_as_df_says() {
    let (readings, _) = node();
    let root = |metric: &str| {
        readings
            .iter()
            .find(|r| r.name == metric && r.labels.iter().any(|(k, v)| k == "mountpoint" && v == "/"))
    };
    let Some(size) = root("node_filesystem_size_bytes") else {
        println!("skipped: the root filesystem here is of a type that is not reported");
        return;
    };
    let df = std::process::Command::new("df").args(["-B1", "--output=size", "/"]).output().unwrap();
    let df = String::from_utf8(df.stdout).unwrap();
    let expected: f64 = df.lines().nth(1).unwrap().trim().parse().unwrap();
    assert!((size.value - expected).abs() < 1.0, "{} {expected}", size.value);
    let (free, avail) = (root("node_filesystem_free_bytes"), root("node_filesystem_avail_bytes"));
    assert!(avail.unwrap().value <= free.unwrap().value);
}

#[test]
fn the_process_is_this_one() {
    let mut reader = HostReader::new(HostPaths::default());
    let core = reader.core();
    let statm = fs::read_to_string("/proc/self/statm").unwrap();
    let pages: f64 = statm.split(' ').nth(1).unwrap().parse().unwrap();
    let now = pages * procfs::page_size() as f64;
    let rss = value(&core, "noetl_process_memory_rss_bytes");
    assert!(rss > now / 4.0 && rss < now * 4.0, "{rss} {now}");
    assert!(value(&core, "noetl_uptime_seconds") < 24.0 * 3600.0);
}

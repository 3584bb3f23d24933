//! What a day of outage takes: the real readings of this machine, made a thousand, packed as they are
//! sent.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use super::super::config::Identity;
use super::super::packing::{Reporter, pack};
use super::super::registration::Registration;
use super::log::Log;
use super::{SpoolConfig, SpoolStats, entry};
use crate::host::{HostPaths, HostReader};
use crate::model::{MetricType, Reading};

const SERIES: usize = 1000;
/// Reports of a day, one a minute.
const DAY: usize = 24 * 60;
/// As many are written: of a tenth of a day, into a tenth of the room.
const PART: usize = 10;
/// The default of `--spool-max-size`.
const ROOM: u64 = 64 << 20;

/// This machine's readings; those that miss to a thousand are as others of them, of another device.
fn thousand() -> Vec<Reading> {
    let mut reader = HostReader::new(HostPaths::default());
    let mut all = reader.core();
    all.extend(reader.node());
    assert!(all.len() > 100, "{}", all.len());
    let own = all.clone();
    let more = own.iter().cycle().zip(0_usize..).map(|(reading, i)| {
        let mut reading = reading.clone();
        reading.labels.push(("device".into(), format!("nvme{}n1p{}", i / own.len(), i % 7)));
        reading
    });
    all.extend(more.take(SERIES.saturating_sub(own.len())));
    all.truncate(SERIES);
    all
}

/// A number from 0 to 1.
fn random(state: &mut u64) -> f64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*state >> 11) as f64 / (1_u64 << 53) as f64
}

/// A minute later: half of the counters went on, by whole numbers or not as they were; gauges went up
/// or down.
fn a_minute_later(readings: &mut [Reading], state: &mut u64) {
    for reading in readings {
        let is_whole = reading.value.fract() == 0.0;
        let step = match reading.kind {
            MetricType::Gauge => (random(state) - 0.5) * (reading.value.abs() / 50.0 + 1.0),
            _ if random(state) < 0.5 => 0.0,
            _ => random(state) * 10_000.0,
        };
        reading.value += if is_whole { step.round() } else { step };
    }
}

#[test]
fn a_day_of_a_thousand_series_fits_in_the_default_room() {
    let dir = tempfile::tempdir().unwrap();
    let stats = Arc::new(SpoolStats::default());
    let config = SpoolConfig { dir: dir.path().to_owned(), max_bytes: ROOM / PART as u64 };
    let mut log = Log::open(&config, Arc::clone(&stats)).unwrap();
    let identity = Identity {
        name: "node-1.example.org".into(),
        kind: "node_agent".into(),
        hostname: "node-1.example.org".into(),
        pool_name: None,
    };
    let own = Registration::new(&identity);
    let labels = identity.labels();
    let every = Duration::from_mins(1);
    let reporter =
        Reporter { name: &identity.name, kind: &identity.kind, labels: &labels, source: None, every };
    let (mut readings, mut state) = (thousand(), 7);
    for minute in 0..DAY / PART {
        a_minute_later(&mut readings, &mut state);
        let at_ms = 1_700_000_000_000 + 60_000 * i64::try_from(minute).unwrap();
        for report in pack(&reporter, &readings, at_ms).unwrap() {
            let samples = u32::try_from(report.samples).unwrap();
            log.append(at_ms, samples, entry::encode(&report, &own)).unwrap();
        }
    }
    log.sync().unwrap();
    let (samples, bytes) = (stats.samples.load(Relaxed), stats.bytes.load(Relaxed));
    assert_eq!(stats.dropped_full.load(Relaxed), 0, "{bytes} bytes");
    assert_eq!(samples, (SERIES * DAY / PART) as u64);
    let day = bytes * PART as u64;
    println!(
        "a day takes {day} bytes, {:.1} a sample, {:.0} % of the room",
        bytes as f64 / samples as f64,
        100.0 * day as f64 / ROOM as f64
    );
    assert!(day < ROOM * 9 / 10, "{day}");
}

//! Made-up data for tests: an installation with a day of history, and ways to make it large.

// Made-up numbers are small.
#![allow(clippy::cast_possible_wrap, clippy::cast_sign_loss, clippy::too_many_lines)]

mod component;
mod explorer;
mod status;

pub(super) use component::{component_page, series_rows};
pub(super) use explorer::{explorer, metric_rows};
pub(super) use status::status;

use super::data::*;
use super::query::ComponentsQuery;

/// 2025-11-24 10:30:00 UTC.
pub(super) const NOW: i64 = 1_763_980_200_000;
const HOUR: i64 = 3_600_000;
const MIB: u64 = 1 << 20;

pub(super) fn shell() -> Shell {
    Shell {
        version: "0.1.0".into(),
        instance: "noetl-server".into(),
        uptime_seconds: 93_784,
        now_ms: NOW,
        notices: Vec::new(),
    }
}

/// A walk between `low` and `high`, the same in every run.
pub(super) fn walk(seed: u64, count: i64, step_ms: i64, low: f64, high: f64) -> Vec<Point> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut at = 0.5;
    (0..count)
        .map(|i| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let step = (state % 2001) as f64 / 1000.0 - 1.0;
            at = (at + step * 0.12).clamp(0.0, 1.0);
            (NOW - (count - 1 - i) * step_ms, low + at * (high - low))
        })
        .collect()
}

/// The running sum of a walk: a counter.
pub(super) fn climb(seed: u64, count: i64, step_ms: i64, per_second: f64) -> Vec<Point> {
    let mut sum = 0.0;
    walk(seed, count, step_ms, 0.0, 2.0 * per_second)
        .into_iter()
        .map(|(t, v)| {
            sum += v * step_ms as f64 / 1000.0;
            (t, sum.round())
        })
        .collect()
}

pub(super) fn overview() -> Overview {
    Overview {
        now_ms: NOW,
        version: "0.1.0".into(),
        uptime_seconds: 93_784,
        host: Some(host()),
        components: ComponentCounts { up: 21, silent: 2, offline: 1 },
        live_series: 4_812,
        samples_per_second: Some(318.4),
        samples_per_second_points: walk(7, 90, 10_000, 290.0, 340.0),
        samples_stored: Some(27_412_300),
        database_bytes: Some(93 * MIB + 400_000),
        partitions: Some(10),
        last_retention: Some(status::runs().remove(0)),
        rejected_samples: 1_277,
        rejected_recently: 37,
        rejected_reason: Some("timestamp lies more than 10 minutes ahead".into()),
        endpoints: endpoints(),
    }
}

fn host() -> Host {
    let reading = |label: &str, metric: &str, unit: &str, points: Vec<Point>| HostReading {
        label: label.into(),
        metric_name: metric.into(),
        unit: Some(unit.into()),
        value: points.last().map(|p| p.1),
        points,
    };
    let card = |title: &str, readings, detail: &str, scale_max| HostCard {
        title: title.into(),
        readings,
        detail: Some(detail.into()),
        scale_max,
    };
    Host {
        runtime_id: 1,
        name: "dev-laptop".into(),
        facts: vec!["Linux 6.1".into(), "8 cores".into(), "up 3 d 4 h".into()],
        last_report_ms: Some(NOW - 3_200),
        cards: vec![
            card(
                "CPU",
                vec![reading(
                    "",
                    "noetl_system_cpu_usage_percent",
                    "percent",
                    walk(1, 90, 10_000, 4.0, 62.0),
                )],
                "load 1.42, 0.98, 0.71",
                Some(100.0),
            ),
            card(
                "Memory",
                vec![reading(
                    "",
                    "noetl_system_memory_usage_percent",
                    "percent",
                    walk(2, 90, 10_000, 38.0, 44.0),
                )],
                "6.41 GiB of 15.6 GiB",
                Some(100.0),
            ),
            card(
                "Disk",
                vec![reading(
                    "",
                    "noetl_host_filesystem_usage_percent",
                    "percent",
                    walk(3, 90, 10_000, 71.0, 71.6),
                )],
                "/ has 137 GiB of 468 GiB left",
                Some(100.0),
            ),
            card(
                "Network",
                vec![
                    reading(
                        "received",
                        "noetl_host_network_receive_bytes_total",
                        "bytes/s",
                        walk(4, 90, 10_000, 1e4, 2.4e6),
                    ),
                    reading(
                        "sent",
                        "noetl_host_network_transmit_bytes_total",
                        "bytes/s",
                        walk(5, 90, 10_000, 5e3, 4e5),
                    ),
                ],
                "eth0, wlan0",
                None,
            ),
        ],
    }
}

fn endpoints() -> Vec<Endpoint> {
    [
        ("POST", "/api/metrics/report", "Take a component's metrics; 200 means that they are stored"),
        ("GET", "/api/metrics/query", "Stored samples by component, name, labels and time, newest first"),
        ("POST", "/api/metrics/self-report", "The server reports its own system metrics at once"),
        (
            "GET",
            "/api/metrics/prometheus",
            "Newest value of every live series, for Prometheus and VictoriaMetrics",
        ),
        (
            "GET",
            "/api/metrics/components",
            "Every component: kind, status, last report, series, refused samples",
        ),
        ("POST", "/api/metrics/cleanup", "Drop samples past an age"),
        ("POST", "/api/worker/pool/register", "Register a worker pool"),
        ("DELETE", "/api/worker/pool/deregister", "Take a worker pool off the list"),
        ("GET", "/livez", "Whether the process lives"),
        ("GET", "/readyz", "Whether it can take reports: database, schema"),
        ("GET", "/metrics", "The process's own metrics"),
        ("GET", "/openapi.json", "This list for programs, with every field"),
    ]
    .map(|(method, path, help)| Endpoint { method: method.into(), path: path.into(), help: help.into() })
    .into()
}

pub(super) fn component_rows(count: usize) -> Vec<ComponentRow> {
    (0..count)
        .map(|i| {
            let status = match i % 12 {
                5 => ComponentStatus::Silent,
                11 => ComponentStatus::Offline,
                _ => ComponentStatus::Up,
            };
            let (kind, name) = match i % 3 {
                0 => ("worker_pool", format!("worker-cpu-{:02}", i / 3 + 1)),
                1 => ("node_agent", format!("node-{}.eu-central-1.compute.internal", i / 3 + 1)),
                _ => ("server_api", format!("noetl-server-{}", i / 3 + 1)),
            };
            let quiet = if status == ComponentStatus::Up { 0 } else { 47 * 60_000 };
            let rejected = if i % 7 == 5 { 1_240 * i as u64 } else { 0 };
            ComponentRow {
                runtime_id: 612_345_678_901_234_000 + i as i64,
                name,
                kind: kind.into(),
                status,
                last_heartbeat_ms: Some(NOW - quiet - 1_000 * (i as i64 % 15)),
                last_report_ms: (i % 11 != 10).then_some(NOW - quiet - 4_000 * (i as i64 % 15)),
                series: 12 + 37 * (i as u64 % 9),
                rejected_samples: rejected,
                last_rejection: (rejected > 0).then(|| Rejection {
                    reason: "metric_value: `http_requests_total` is a counter, but was sent as a gauge"
                        .into(),
                    at_ms: NOW - 95_000,
                }),
            }
        })
        .collect()
}

pub(super) fn component_list(count: usize, query: ComponentsQuery) -> ComponentList {
    ComponentList::select(component_rows(count), query, NOW)
}

//! An installation to be drawn: what tests of `top` look at.

use super::TopConfig;
use super::column::Column;
use super::snapshot::{Alert, Component, Detail, Newest, Snapshot, Total};
use super::state::{State, Update};
use crate::client::ServerUrl;
use crate::model::Millis;

pub(super) fn config() -> TopConfig {
    TopConfig {
        server_url: ServerUrl::parse("http://127.0.0.1:8082").unwrap(),
        tls: None,
        auth_token_file: None,
        interval: std::time::Duration::from_secs(2),
        sort_by: Column::Status,
    }
}

fn component(id: i64, name: &str, kind: &str, status: &str, values: [Option<f64>; 5]) -> Component {
    let [heard, cpu_percent, memory_bytes, active_tasks, queue_size] = values;
    Component {
        runtime_id: id,
        name: name.into(),
        kind: kind.into(),
        status: status.into(),
        heartbeat_age_seconds: heard.map(seconds),
        report_age_seconds: Some(3600),
        cpu_percent,
        memory_bytes,
        active_tasks,
        queue_size,
        series: 20 + id.unsigned_abs() * 411,
        samples_per_second: heard.map(|s| 20.0 / s),
    }
}

#[allow(clippy::cast_possible_truncation, reason = "whole seconds of this file")]
fn seconds(seconds: f64) -> i64 {
    seconds as i64
}

pub(super) fn snapshot() -> Snapshot {
    let gib = 1024.0 * 1024.0 * 1024.0;
    Snapshot {
        server: "http://127.0.0.1:8082".into(),
        time: Millis(1_704_110_400_000),
        total: Total {
            up: 4,
            silent: 1,
            offline: 0,
            active_workers: 2,
            series: 6265,
            samples_per_second: Some(45.2),
            rejected_recently: Some(0.0),
            report_p99_seconds: Some(0.0041),
        },
        alerts: Some(vec![
            Alert { name: "NoetlWorkerSilent".into(), state: "firing".into(), count: 1 },
            Alert { name: "NoetlQueueLong".into(), state: "pending".into(), count: 2 },
        ]),
        notices: Vec::new(),
        components: vec![
            component(
                1,
                "node-a.example.org",
                "node_agent",
                "up",
                [Some(4.0), Some(41.5), Some(6.2 * gib), None, None],
            ),
            component(2, "noetl-server", "server_api", "up", [Some(1.0), Some(0.4), Some(90e6), None, None]),
            component(
                3,
                "worker-cpu-01",
                "worker_pool",
                "up",
                [Some(9.0), Some(97.25), Some(1.5 * gib), Some(8.0), Some(120.0)],
            ),
            component(
                4,
                "worker-cpu-02",
                "worker_pool",
                "up",
                [Some(2.0), Some(12.0), Some(700e6), Some(0.0), Some(0.0)],
            ),
            component(5, "noetl-worker-gpu-01-5c6d7e8f9a-q4w5e", "worker_pool", "silent", [None; 5]),
        ],
    }
}

pub(super) fn detail() -> Detail {
    let newest = |name: &str, labels: &str, value: &str, age: i64| Newest {
        name: name.into(),
        labels: labels.into(),
        value: value.into(),
        at: Millis(1_704_110_400_000 - age * 1000),
    };
    Detail {
        runtime_id: 3,
        name: "worker-cpu-01".into(),
        kind: "worker_pool".into(),
        status: "up".into(),
        now: Millis(1_704_110_400_000),
        matched: 250,
        rows: vec![
            newest("jobs_processed_total", "queue=\"batch\"", "150 jobs", 12),
            newest("noetl_process_memory_rss_bytes", "", "1.50 GiB", 12),
            newest("noetl_worker_active_tasks", "", "8", 12),
            newest(
                "noetl_worker_queue_size",
                "instance=\"a-very-long-name.example.org:9090\", pool=\"cpu\"",
                "120",
                300,
            ),
        ],
    }
}

pub(super) fn state() -> State {
    let mut state = State::new(&config());
    state.take(Update::Seen(Box::new(snapshot()), None));
    state
}

//! From the server's answers to a [`Snapshot`]: what its API says of components, its export of their
//! newest values, its own metrics, its pages.
//!
//! Contract: pure. What an answer does not have is not known.

use std::collections::HashMap;

use serde::Deserialize;

use super::rates::{Rated, Totals};
use super::short::clean;
use super::snapshot::{Alert, Component, Detail, Newest, Total};
use crate::model::{COMPONENT_UP, Millis, Reading, parse_timestamp};
use crate::server::page::unit;

/// Families of the export that are asked for.
pub(super) const FAMILIES: [&str; 8] = [
    COMPONENT_UP,
    PROCESS_CPU,
    SYSTEM_CPU,
    PROCESS_MEMORY,
    SYSTEM_MEMORY,
    ACTIVE_TASKS,
    "noetl_worker_queue_size",
    "noetl_server_queue_size",
];
const PROCESS_CPU: &str = "noetl_process_cpu_percent";
const SYSTEM_CPU: &str = "noetl_system_cpu_usage_percent";
const PROCESS_MEMORY: &str = "noetl_process_memory_rss_bytes";
const SYSTEM_MEMORY: &str = "noetl_system_memory_usage_bytes";
const ACTIVE_TASKS: &str = "noetl_worker_active_tasks";
/// Kind of a component that stands for a machine.
const NODE: &str = "node_agent";
/// Kind of a component that works.
const WORKER: &str = "worker_pool";
/// Where reports come to.
const REPORTS: [&str; 3] = ["/api/metrics/report", "/api/v1/write", "/v1/metrics"];

/// The answer of `/api/metrics/components`.
#[derive(Debug, Deserialize)]
pub(super) struct Components {
    components: Vec<Listed>,
}

#[derive(Debug, Deserialize)]
struct Listed {
    runtime_id: i64,
    name: String,
    component_type: String,
    status: String,
    last_heartbeat: Option<String>,
    last_report: Option<String>,
    series: u64,
    accepted_samples: u64,
}

impl Components {
    /// Samples accepted of each.
    pub(super) fn accepted(&self) -> HashMap<i64, u64> {
        self.components.iter().map(|listed| (listed.runtime_id, listed.accepted_samples)).collect()
    }

    /// The components as they are now, with the newest values that the export has of them.
    pub(super) fn rows(self, exported: &[Reading], now: Millis, rated: &Rated) -> Vec<Component> {
        let mut values: HashMap<(&str, &str, &str), f64> = HashMap::new();
        for reading in exported.iter().filter(|reading| reading.value.is_finite()) {
            let key = (label(reading, "component_type"), label(reading, "component"), &*reading.name);
            let value = values.entry(key).or_default();
            // Shares do not add up; tasks of several targets do.
            *value = if reading.name.ends_with("_percent") {
                value.max(reading.value)
            } else {
                *value + reading.value
            };
        }
        self.components.into_iter().map(|listed| listed.row(&values, now, rated)).collect()
    }
}

impl Listed {
    fn row(self, values: &HashMap<(&str, &str, &str), f64>, now: Millis, rated: &Rated) -> Component {
        let value = |names: &[&str]| {
            names.iter().find_map(|name| values.get(&(&*self.component_type, &*self.name, *name))).copied()
        };
        let of_node = self.component_type == NODE;
        let age = |time: Option<&str>| Some(now.since(parse_timestamp(time?).ok()?).max(0) / 1000);
        Component {
            runtime_id: self.runtime_id,
            cpu_percent: value(if of_node { &[SYSTEM_CPU] } else { &[PROCESS_CPU, SYSTEM_CPU] }),
            memory_bytes: value(if of_node { &[SYSTEM_MEMORY] } else { &[PROCESS_MEMORY, SYSTEM_MEMORY] }),
            active_tasks: value(&[ACTIVE_TASKS]),
            queue_size: value(&["noetl_worker_queue_size", "noetl_server_queue_size"]),
            heartbeat_age_seconds: age(self.last_heartbeat.as_deref()),
            report_age_seconds: age(self.last_report.as_deref()),
            series: self.series,
            samples_per_second: rated.samples.get(&self.runtime_id).copied(),
            name: self.name,
            kind: self.component_type,
            status: self.status,
        }
    }
}

/// All components together.
pub(super) fn total(
    components: &[Component],
    own: &[Reading],
    rated: &Rated,
    overview: Option<f64>,
) -> Total {
    let of = |status: &str| components.iter().filter(|c| c.status == status).count();
    Total {
        up: of("up"),
        silent: of("silent"),
        offline: of("offline"),
        active_workers: components.iter().filter(|c| c.status == "up" && c.kind == WORKER).count(),
        series: components.iter().map(|c| c.series).sum(),
        samples_per_second: rated.total.or(overview),
        rejected_recently: refused(own),
        report_p99_seconds: rated.p99,
    }
}

/// What the overview says of the last minute: samples a second.
#[derive(Debug, Deserialize)]
pub(super) struct Overview {
    pub(super) samples_per_second: Option<f64>,
}

/// Totals of a look, all but its time.
pub(super) fn totals(components: &Components, own: &[Reading]) -> Totals {
    Totals { accepted: components.accepted(), answered: answered(own), ..Totals::default() }
}

/// Alerts that are pending or firing, the firing ones first; `None` where there are no rules.
pub(super) fn alerts(own: &[Reading]) -> Option<Vec<Alert>> {
    let mut rules = own.iter().filter(|reading| reading.name == "noetl_metrics_rules");
    let mut alerts: Vec<Alert> = own
        .iter()
        .filter(|reading| reading.name == "noetl_metrics_alerts" && reading.value >= 1.0)
        .map(|reading| Alert {
            name: label(reading, "alertname").into(),
            state: label(reading, "state").into(),
            count: whole(reading.value),
        })
        .collect();
    alerts.sort_by(|a, b| a.state.cmp(&b.state).then_with(|| a.name.cmp(&b.name)));
    (rules.next().is_some() || !alerts.is_empty()).then_some(alerts)
}

/// Samples that were refused lately.
pub(super) fn refused(own: &[Reading]) -> Option<f64> {
    value(own, "noetl_metrics_samples_rejected_recently")
}

/// Whether another server is the active one.
pub(super) fn is_standby(own: &[Reading]) -> bool {
    value(own, "noetl_metrics_active") == Some(0.0)
}

fn value(own: &[Reading], name: &str) -> Option<f64> {
    own.iter().find(|reading| reading.name == name).map(|reading| reading.value)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a cast of a float saturates")]
const fn whole(value: f64) -> u64 {
    value as u64
}

fn label<'a>(reading: &'a Reading, name: &str) -> &'a str {
    reading.labels.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value.as_ref())
}

/// How long reports took: the histograms of their paths, added up.
fn answered(own: &[Reading]) -> Vec<(f64, f64)> {
    let mut buckets: Vec<(f64, f64)> = Vec::new();
    for reading in own {
        let is_report = reading.name == "noetl_metrics_http_request_duration_seconds_bucket"
            && REPORTS.contains(&label(reading, "path"));
        let Some(le) = is_report.then(|| label(reading, "le").parse().ok()).flatten() else { continue };
        match buckets.iter_mut().find(|(bound, _)| *bound == le) {
            Some((_, count)) => *count += reading.value,
            None => buckets.push((le, reading.value)),
        }
    }
    buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
    buckets
}

/// The page of a component, as JSON.
#[derive(Debug, Deserialize)]
pub(super) struct Page {
    now_ms: i64,
    component: Head,
    matched: u64,
    rows: Vec<Row>,
}

#[derive(Debug, Deserialize)]
struct Head {
    runtime_id: i64,
    name: String,
    kind: String,
    status: String,
}

#[derive(Debug, Deserialize)]
struct Row {
    name: String,
    labels: Vec<Label>,
    value: Value,
    unit: Option<String>,
    timestamp_ms: i64,
}

#[derive(Debug, Deserialize)]
struct Label {
    name: String,
    value: String,
}

/// A number, or the word for what JSON has no number for.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Value {
    Number(f64),
    Word(String),
}

impl From<Page> for Detail {
    fn from(page: Page) -> Self {
        let Head { runtime_id, name, kind, status } = page.component;
        Self {
            runtime_id,
            name,
            kind,
            status,
            now: Millis(page.now_ms),
            matched: page.matched,
            rows: page.rows.into_iter().map(Newest::from).collect(),
        }
    }
}

impl From<Row> for Newest {
    fn from(row: Row) -> Self {
        let labels: Vec<String> =
            row.labels.iter().map(|l| format!("{}={:?}", l.name, clean(&l.value))).collect();
        Self {
            value: match row.value {
                Value::Number(value) => unit::quantity(value, row.unit.as_deref(), &row.name).to_string(),
                Value::Word(word) => word,
            },
            name: row.name,
            labels: labels.join(", "),
            at: Millis(row.timestamp_ms),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::exposition;

    const NOW: Millis = Millis(1_800_000_010_000);

    fn readings(text: &str) -> Vec<Reading> {
        exposition::parse(text, 100, "").unwrap()
    }

    fn listed(name: &str, kind: &str, status: &str) -> serde_json::Value {
        serde_json::json!({
            "runtime_id": name.len(), "name": name, "component_type": kind, "status": status,
            "last_heartbeat": null, "last_report": Millis(NOW.0 - 7900).rfc3339(),
            "series": 4, "accepted_samples": 10, "rejected_samples": 0, "last_rejection": null,
        })
    }

    fn components() -> Components {
        let all = [
            listed("n", "node_agent", "up"),
            listed("w1", "worker_pool", "up"),
            listed("w10", "worker_pool", "silent"),
        ];
        serde_json::from_value(serde_json::json!({ "components": all })).unwrap()
    }

    #[test]
    fn a_node_has_its_machine_s_values_and_a_worker_its_own() {
        let exported = readings(
            "noetl_system_cpu_usage_percent{component=\"n\",component_type=\"node_agent\"} 40\n\
             noetl_process_cpu_percent{component=\"n\",component_type=\"node_agent\"} 1\n\
             noetl_system_cpu_usage_percent{component=\"w1\",component_type=\"worker_pool\"} 40\n\
             noetl_process_cpu_percent{component=\"w1\",component_type=\"worker_pool\"} 2\n\
             noetl_worker_active_tasks{component=\"w1\",component_type=\"worker_pool\",target=\"a\"} 3\n\
             noetl_worker_active_tasks{component=\"w1\",component_type=\"worker_pool\",target=\"b\"} 4\n\
             noetl_worker_queue_size{component=\"w1\",component_type=\"another\"} 5\n\
             noetl_process_memory_rss_bytes{component=\"w1\",component_type=\"worker_pool\"} NaN\n",
        );
        let rated = Rated { samples: HashMap::from([(2, 1.5)]), ..Rated::default() };
        let rows = components().rows(&exported, NOW, &rated);
        assert_eq!(
            (rows[0].cpu_percent, rows[1].cpu_percent, rows[2].cpu_percent),
            (Some(40.0), Some(2.0), None)
        );
        assert_eq!((rows[1].active_tasks, rows[1].queue_size, rows[1].memory_bytes), (Some(7.0), None, None));
        assert_eq!(
            (rows[1].report_age_seconds, rows[1].heard(), rows[1].samples_per_second),
            (Some(7), Some(7), Some(1.5))
        );
        let total = total(&rows, &[], &Rated::default(), Some(2.5));
        assert_eq!((total.up, total.silent, total.active_workers, total.series), (2, 1, 1, 12));
        assert_eq!((total.samples_per_second, total.rejected_recently), (Some(2.5), None));
    }

    #[test]
    fn alerts_are_told_where_there_are_rules() {
        assert_eq!(alerts(&readings("noetl_metrics_ready 1\n")), None);
        assert_eq!(alerts(&readings("noetl_metrics_rules 2\n")), Some(Vec::new()));
        let own = "noetl_metrics_alerts{alertname=\"B\",state=\"firing\"} 0\n\
                   noetl_metrics_alerts{alertname=\"B\",state=\"pending\"} 1\n\
                   noetl_metrics_alerts{alertname=\"Z\",state=\"firing\"} 2\n";
        let alerts = alerts(&readings(own)).unwrap();
        let seen: Vec<_> = alerts.iter().map(|a| (a.name.as_str(), a.state.as_str(), a.count)).collect();
        assert_eq!(seen, [("Z", "firing", 2), ("B", "pending", 1)]);
        let is_standby = |text: &str| super::is_standby(&readings(text));
        assert_eq!(
            ["noetl_metrics_active 0\n", "noetl_metrics_active 1\n", "other 0\n"].map(is_standby),
            [true, false, false]
        );
    }

    #[test]
    fn all_ways_to_report_are_one_histogram() {
        let bucket = |path: &str, le: &str, count: u64| {
            format!(
                "noetl_metrics_http_request_duration_seconds_bucket{{path=\"{path}\",le=\"{le}\"}} {count}\n"
            )
        };
        let mut own = "# TYPE noetl_metrics_http_request_duration_seconds histogram\n".to_owned();
        for (path, less, all) in [("/v1/metrics", 1, 2), ("/api/v1/write", 10, 20), ("/livez", 100, 200)] {
            own += &(bucket(path, "0.1", less) + &bucket(path, "+Inf", all));
        }
        assert_eq!(answered(&readings(&own)), [(0.1, 11.0), (f64::INFINITY, 22.0)]);
    }

    #[test]
    fn the_page_of_a_component_becomes_lines() {
        let page = serde_json::json!({
            "now_ms": 5000, "matched": 300,
            "component": {"runtime_id": 7, "name": "w", "kind": "worker_pool", "status": "up", "series": 1},
            "rows": [
                {"name": "a_bytes", "labels": [{"name": "l", "value": "x\u{1b}\"y"}], "value": 2048.0, "unit": null,
                 "timestamp_ms": 4000, "points": []},
                {"name": "b", "labels": [], "value": "NaN", "unit": "items", "timestamp_ms": 1},
            ],
        });
        let detail = Detail::from(serde_json::from_value::<Page>(page).unwrap());
        assert_eq!((detail.runtime_id, detail.matched), (7, 300));
        assert_eq!((detail.rows[0].value.as_str(), detail.rows[1].value.as_str()), ("2.00 KiB", "NaN"));
        assert_eq!(detail.rows[0].labels, "l=\"x\u{fffd}\\\"y\"");
    }
}

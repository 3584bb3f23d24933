//! One sample's way: registered, reported, read back, exported.

use serde_json::{Value, json};

use super::super::catalogue::{EXPORTED, LEAVES, READ_BACK, REGISTERS, STORED};
use super::super::report::Report;
use super::caller::{Answer, Caller};
use crate::model::Millis;

/// The component that the sample belongs to, and its metric.
pub(super) const COMPONENT: &str = "noetl-metrics-check";
const METRIC: &str = "noetl_metrics_check_time_seconds";

/// One step after the other, until one fails.
pub(super) async fn note(caller: &Caller, report: &mut Report<'_>) {
    let now = Millis::now();
    let value = now.0 / 1000;
    let component = json!({"name": COMPONENT, "component_type": "check"});
    let sample = json!({"metric_name": METRIC, "metric_type": "gauge", "metric_value": value,
        "timestamp": now.rfc3339(), "unit": "seconds", "help_text": "When noetl-metrics check ran last."});
    let reported = json!({"component_name": COMPONENT, "component_type": "check", "metrics": [sample]});
    let query = format!("/api/metrics/query?component_name={COMPONENT}&metric_name={METRIC}&limit=1");
    let export = format!("/api/metrics/prometheus?active=1&component_name={COMPONENT}");
    let write = async |path, body| caller.post(path, body, caller.token()).await.and_then(Answer::body);
    let read = async |path: &str| caller.get(path).await.and_then(Answer::body);
    if !report.note(REGISTERS, write("/api/worker/pool/register", &component).await) {
        return;
    }
    if report.note(STORED, write("/api/metrics/report", &reported).await) {
        report.note(READ_BACK, read(&query).await.and_then(|text| found(&text, value)));
        report.note(EXPORTED, read(&export).await.and_then(|text| exported(&text)));
    }
    report.note(LEAVES, write("/api/worker/pool/deregister", &component).await);
}

/// Whether a query's answer has the value.
fn found(text: &str, value: i64) -> Result<String, String> {
    let answer: Value = serde_json::from_str(text).map_err(|e| e.to_string())?;
    match answer["metrics"][0]["metric_value"].as_f64() {
        Some(seen) if seen == value as f64 => Ok(format!("{METRIC} = {seen}")),
        Some(seen) => Err(format!("{METRIC} is {seen}, not {value}")),
        None => Err("there is no such sample".into()),
    }
}

/// Whether the export has the series.
fn exported(text: &str) -> Result<String, String> {
    let line = text.lines().find(|line| line.starts_with(METRIC));
    line.map(str::to_owned).ok_or_else(|| format!("the export has no {METRIC}"))
}

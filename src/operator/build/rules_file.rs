//! The rules that the servers evaluate themselves, where no system in the cluster does: a ConfigMap
//! that they mount, and the flags that name it. A change of it reaches running servers.
//!
//! It has the spec's own aggregates and rules and, where an Alertmanager is named, those of the rules
//! object that compare a newest value with a threshold.

use k8s_openapi::api::core::v1::{ConfigMap, ConfigMapVolumeSource, Volume};
use serde_json::{Value, json};

use super::metadata;
use crate::operator::names::Component;
use crate::operator::validate::Checked;

/// The volume's name, and where servers find it.
pub(super) const VOLUME: &str = "rules";
pub(super) const DIR: &str = "/etc/noetl-metrics/rules";
const FILE: &str = "rules.yaml";

/// Whether the servers evaluate rules.
pub(super) fn is_wanted(checked: &Checked) -> bool {
    let rules = &checked.spec.rules;
    let asks_nothing =
        rules.custom.is_empty() && rules.aggregates.is_empty() && rules.alertmanagers.is_empty();
    checked.rules.is_none() && !asks_nothing
}

/// The ConfigMap.
pub(super) fn rules_file(checked: &Checked) -> Option<ConfigMap> {
    if !is_wanted(checked) {
        return None;
    }
    let custom = &checked.spec.rules.custom;
    let mut rules = if checked.spec.rules.alertmanagers.is_empty() { Vec::new() } else { standard(checked) };
    rules.retain(|rule| custom.iter().all(|own| rule["name"] != own.name.as_str()));
    rules.extend(custom.iter().map(|rule| json!(rule)));
    let mut file = json!({"rules": rules});
    if !checked.spec.rules.aggregates.is_empty() {
        file["aggregates"] = json!(checked.spec.rules.aggregates);
    }
    let text = serde_yaml::to_string(&file).unwrap_or_default();
    Some(ConfigMap {
        metadata: metadata(checked, &checked.names.rules, Component::Server),
        data: Some([(FILE.to_owned(), text)].into()),
        ..ConfigMap::default()
    })
}

/// Its volume.
pub(super) fn volume(checked: &Checked) -> Volume {
    Volume {
        name: VOLUME.to_owned(),
        config_map: Some(ConfigMapVolumeSource {
            name: checked.names.rules.clone(),
            ..ConfigMapVolumeSource::default()
        }),
        ..Volume::default()
    }
}

/// The servers' flags.
pub(super) fn args(checked: &Checked) -> Vec<String> {
    if !is_wanted(checked) {
        return Vec::new();
    }
    let mut args = vec![format!("--rules-file={DIR}/{FILE}")];
    args.extend(checked.spec.rules.alertmanagers.iter().map(|url| format!("--alertmanager-url={url}")));
    args
}

/// The rules with the spec's thresholds.
fn standard(checked: &Checked) -> Vec<Value> {
    let rules = &checked.spec.rules;
    let (hold, silent) = (&rules.for_, &rules.component_down_for);
    let node = json!({"component_type": "node_agent"});
    let others = json!({"component_type": "!=node_agent"});
    let series = checked.spec.server.limits.series * i64::from(rules.series_percent) / 100;
    let mut all = vec![
        json!({"name": "NoetlMetricsAgentMissing", "summary": "A node's agent is silent", "severity": "warning",
            "metric": "noetl_component_up", "labels": node, "comparison": "==", "threshold": 0, "for": silent}),
        json!({"name": "NoetlComponentDown", "summary": "A component of NoETL is silent", "severity": "critical",
            "metric": "noetl_component_up", "labels": others, "comparison": "==", "threshold": 0, "for": silent}),
        json!({"name": "NoetlNodeCpuHigh", "summary": "A node's CPU is busy", "severity": "warning",
            "metric": "noetl_system_cpu_usage_percent", "labels": node,
            "comparison": ">", "threshold": rules.node_cpu_percent, "for": hold}),
        json!({"name": "NoetlNodeMemoryHigh", "summary": "A node's memory is nearly used up", "severity": "warning",
            "metric": "noetl_system_memory_usage_percent", "labels": node,
            "comparison": ">", "threshold": rules.node_memory_percent, "for": hold}),
        json!({"name": "NoetlMetricsSeriesLimitNear", "summary": "The limit of series is near", "severity": "warning",
            "metric": "noetl_metrics_live_series", "labels": {},
            "comparison": ">", "threshold": series, "for": hold}),
        json!({"name": "NoetlMetricsReportsRejected", "summary": "Samples are rejected", "severity": "warning",
            "metric": "noetl_metrics_samples_rejected_recently", "labels": {},
            "comparison": ">", "threshold": 0, "for": "15m"}),
        json!({"name": "NoetlMetricsRetentionFailing", "summary": "Old samples are not dropped", "severity": "warning",
            "metric": "noetl_metrics_retention_failed", "labels": {},
            "comparison": "==", "threshold": 1, "for": "15m"}),
    ];
    for rule in &mut all {
        let runbook = format!("docs/runbooks/{}.md", rule["name"].as_str().unwrap_or_default());
        rule["runbook"] = json!(runbook);
    }
    all
}

//! The rules that the servers evaluate themselves, where no system in the cluster does: a ConfigMap
//! that they mount, and the flags that name it. A change of it reaches running servers.
//!
//! It has the spec's own rules and, where an Alertmanager is named, those of the rules object that
//! compare a newest value with a threshold.

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
    checked.rules.is_none() && !(rules.custom.is_empty() && rules.alertmanagers.is_empty())
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
    let text = serde_yaml::to_string(&json!({"rules": rules})).unwrap_or_default();
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
    let series = i64::from(checked.spec.server.limits.series) * i64::from(rules.series_percent) / 100;
    let all = [
        (
            "NoetlMetricsAgentMissing",
            "noetl_component_up",
            &node,
            "==",
            0,
            silent,
            "warning",
            "A node's agent is silent",
        ),
        (
            "NoetlComponentDown",
            "noetl_component_up",
            &others,
            "==",
            0,
            silent,
            "critical",
            "A component of NoETL is silent",
        ),
        (
            "NoetlNodeCpuHigh",
            "noetl_system_cpu_usage_percent",
            &node,
            ">",
            rules.node_cpu_percent.into(),
            hold,
            "warning",
            "A node's CPU is busy",
        ),
        (
            "NoetlNodeMemoryHigh",
            "noetl_system_memory_usage_percent",
            &node,
            ">",
            rules.node_memory_percent.into(),
            hold,
            "warning",
            "A node's memory is nearly used up",
        ),
        (
            "NoetlMetricsSeriesLimitNear",
            "noetl_metrics_live_series",
            &json!({}),
            ">",
            series,
            hold,
            "warning",
            "The limit of series is near",
        ),
        (
            "NoetlMetricsReportsRejected",
            "noetl_metrics_samples_rejected_recently",
            &json!({}),
            ">",
            0,
            &"15m".to_owned(),
            "warning",
            "Samples are rejected",
        ),
        (
            "NoetlMetricsRetentionFailing",
            "noetl_metrics_retention_failed",
            &json!({}),
            "==",
            1,
            &"15m".to_owned(),
            "warning",
            "Old samples are not dropped",
        ),
    ];
    let rule = |(name, metric, labels, comparison, threshold, hold, severity, summary): (
        _,
        _,
        &Value,
        _,
        i64,
        &String,
        _,
        _,
    )| {
        json!({
            "name": name, "metric": metric, "labels": labels, "comparison": comparison, "threshold": threshold,
            "for": hold, "severity": severity, "summary": summary, "runbook": format!("docs/runbooks/{name}.md"),
        })
    };
    all.into_iter().map(rule).collect()
}

//! `spec.rules`: alert rules and their thresholds, and aggregates.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{INTERVAL, rules};
use crate::rules::{Comparison, Function};

/// Alert rules and their thresholds.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub struct Rules {
    /// The kind of object; `Auto` takes the first kind that the cluster has.
    pub kind: RulesKind,
    /// Labels of the rules object, by which an evaluator selects it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32))]
    pub labels: BTreeMap<String, String>,
    /// CPU of a node, in percent, above which NoetlNodeCpuHigh fires.
    #[schemars(range(min = 1, max = 100))]
    pub node_cpu_percent: i32,
    /// Memory of a node, in percent, above which NoetlNodeMemoryHigh fires.
    #[schemars(range(min = 1, max = 100))]
    pub node_memory_percent: i32,
    /// Use of a file system, in percent, above which NoetlNodeFilesystemFull fires.
    #[schemars(range(min = 1, max = 100))]
    pub node_filesystem_percent: i32,
    /// Live series, in percent of `server.limits.series`, above which NoetlMetricsSeriesLimitNear
    /// fires.
    #[schemars(range(min = 1, max = 100))]
    pub series_percent: i32,
    /// How long a node or component may be above a threshold, or a queue may grow.
    #[serde(rename = "for")]
    #[schemars(length(max = 6), regex(pattern = INTERVAL))]
    pub for_: String,
    /// How long a component may be silent before NoetlComponentDown fires.
    #[schemars(length(max = 6), regex(pattern = INTERVAL))]
    pub component_down_for: String,
    /// Rules of your own. They become part of the rules object; where there is none, the servers
    /// evaluate them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub custom: Vec<CustomRule>,
    /// Metrics that are made of others, by recording rules of the rules object; where there is none, by
    /// the servers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50))]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub aggregates: Vec<CustomAggregate>,
    /// URLs of Alertmanagers that the servers tell of alerts where there is no rules object, such as
    /// `http://alertmanager.monitoring:9093`; then they evaluate the rules with thresholds above too.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), inner(length(max = 512), regex(pattern = "^https?://[^@#? ]+$")))]
    pub alertmanagers: Vec<String>,
}

/// An alert rule: the newest value of a metric compared with a threshold.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = rules(&[("has(self.threshold) != (self.comparison == 'absent')", "every comparison needs a threshold, except absent, which has none")])))]
pub struct CustomRule {
    /// Name of its alerts.
    #[schemars(length(max = 128), regex(pattern = "^[a-zA-Z_][a-zA-Z0-9_]*$"))]
    pub name: String,
    /// Name of the metric.
    #[schemars(length(max = 255), regex(pattern = "^[a-zA-Z_:][a-zA-Z0-9_:]*$"))]
    pub metric: String,
    /// Labels of its series; a value may begin with `=~`, `!~` or `!=`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 10))]
    pub labels: BTreeMap<String, Matched>,
    /// How values are compared; `absent` where there is no such series.
    pub comparison: Comparison,
    /// With what values are compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold: Option<f64>,
    /// How long it has to hold before the alert fires.
    #[serde(rename = "for", default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 6), regex(pattern = INTERVAL))]
    pub for_: Option<String>,
    /// How long the alert goes on firing after it held last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 6), regex(pattern = INTERVAL))]
    pub keep_firing_for: Option<String>,
    /// Label `severity` of its alerts; `warning` where it is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub severity: Option<String>,
    /// What is wrong, in a line; may hold `{{ $labels.NAME }}` and `{{ $value }}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub summary: Option<String>,
    /// The same with more words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub description: Option<String>,
    /// What to do about it, or where that is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub runbook: Option<String>,
}

/// A metric that is made of the newest values of another one's series.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema, PartialEq)]
#[schemars(extend("x-kubernetes-validations" = rules(&[("!self.name.startsWith('noetl_metrics_') && !self.name.startsWith('noetl_component_')", "what servers make themselves begins with noetl_metrics_ or noetl_component_")])))]
pub struct CustomAggregate {
    /// Name of the metric that is made.
    #[schemars(length(max = 255), regex(pattern = "^[a-zA-Z_:][a-zA-Z0-9_:]*$"))]
    pub name: String,
    /// Name of the metric that it is made of; one before it in this list, too.
    #[schemars(length(max = 255), regex(pattern = "^[a-zA-Z_:][a-zA-Z0-9_:]*$"))]
    pub metric: String,
    /// Labels of its series; a value may begin with `=~`, `!~` or `!=`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 10))]
    pub labels: BTreeMap<String, Matched>,
    /// Labels that stay: a series is made for each of their values. None: one of all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10), inner(length(max = 128), regex(pattern = "^[a-zA-Z_][a-zA-Z0-9_]*$")))]
    #[schemars(extend("x-kubernetes-list-type" = "set"))]
    pub by: Vec<String>,
    /// What becomes of the values.
    pub function: Function,
    /// Help text of the metric; recording rules have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub help: Option<String>,
}

/// What a label's value is compared with.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
#[serde(transparent)]
pub struct Matched(#[schemars(length(max = 256))] pub String);

impl Default for Rules {
    fn default() -> Self {
        Self {
            kind: RulesKind::Auto,
            labels: BTreeMap::new(),
            node_cpu_percent: 90,
            node_memory_percent: 90,
            node_filesystem_percent: 90,
            series_percent: 80,
            for_: "10m".to_owned(),
            component_down_for: "5m".to_owned(),
            custom: Vec::new(),
            aggregates: Vec::new(),
            alertmanagers: Vec::new(),
        }
    }
}

/// Kinds of rules objects.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
pub enum RulesKind {
    /// The first of the others that the cluster has, in their order.
    #[default]
    Auto,
    /// VictoriaMetrics' operator.
    VMRule,
    /// The Prometheus operator.
    PrometheusRule,
    /// No rules object: the servers evaluate what they are given.
    None,
}

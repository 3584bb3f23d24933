//! `spec.rules`: alert rules and their thresholds.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::INTERVAL;

/// Alert rules and their thresholds.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
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
}

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
    /// No rules object.
    None,
}

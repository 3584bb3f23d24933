//! `spec.agent`: what runs on each node.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::placement::{NodePlacement, Resources, brief};
use super::rules;
use super::server::PodMetadata;
use super::{BYTES, DISK_BYTES, INTERVAL};

/// The agents.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("x-kubernetes-validations" = rules(&[("duration(self.heartbeatInterval).getSeconds() <= duration(self.metricsInterval).getSeconds() * 10", "heartbeatInterval must not exceed ten times metricsInterval: the server would take the agent for dead")])))]
pub struct Agent {
    /// Whether agents run.
    pub enabled: bool,
    /// Time between reports.
    #[schemars(length(max = 6), regex(pattern = INTERVAL))]
    #[schemars(extend("x-kubernetes-validations" = rules(&[("duration(self) >= duration('1s') && duration(self) <= duration('1h')", "metricsInterval must be between 1s and 1h")])))]
    pub metrics_interval: String,
    /// Time between heartbeats.
    #[schemars(length(max = 6), regex(pattern = INTERVAL))]
    #[schemars(extend("x-kubernetes-validations" = rules(&[("duration(self) >= duration('1s') && duration(self) <= duration('10m')", "heartbeatInterval must be between 1s and 10m")])))]
    pub heartbeat_interval: String,
    /// Memory for reports while the servers are away.
    #[schemars(length(max = 18), regex(pattern = BYTES))]
    pub buffer: String,
    /// Where an agent keeps reports while the servers are away, and over its own restarts.
    #[schemars(extend("default" = {}))]
    pub spool: AgentSpool,
    /// Directory on the node with `*.prom` files, in the Prometheus text format, to be reported too.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 255), regex(pattern = "^/[^:]*$"))]
    #[schemars(extend("x-kubernetes-validations" = rules(&[("!self.contains('/../') && !self.endsWith('/..')", "textfileDirectory must be a plain absolute path, without '..'")])))]
    pub textfile_directory: Option<String>,
    /// Which pods of NoETL an agent scrapes on its node, and what it keeps of them.
    #[schemars(extend("default" = {}))]
    pub scrape: AgentScrape,
    /// CPU and memory of an agent; what is not given has a default.
    pub resources: Resources,
    /// Where agents run; by default on every node, whatever its taints.
    pub placement: NodePlacement,
    /// Labels and annotations that are added to the agents' pods.
    pub pod: PodMetadata,
}

impl Default for Agent {
    fn default() -> Self {
        Self {
            enabled: true,
            metrics_interval: "60s".to_owned(),
            heartbeat_interval: "15s".to_owned(),
            buffer: "64MiB".to_owned(),
            spool: AgentSpool::default(),
            textfile_directory: None,
            scrape: AgentScrape::default(),
            resources: Resources::default(),
            placement: NodePlacement::default(),
            pod: PodMetadata::default(),
        }
    }
}

/// A directory of each node, `/var/lib/noetl-metrics/spool/<namespace>/<name>`.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
pub struct AgentSpool {
    /// Whether reports are kept on the node's disk; else in memory alone.
    pub enabled: bool,
    /// Disk that they may take on a node; a day of 1000 series fits in 64MiB.
    #[schemars(length(max = 9), regex(pattern = DISK_BYTES))]
    pub size: String,
}

impl Default for AgentSpool {
    fn default() -> Self {
        Self { enabled: true, size: "64MiB".to_owned() }
    }
}

/// The least of a default that the rule on intervals can be checked against: the API server does so
/// before it fills other defaults in.
pub(super) fn intervals() -> serde_json::Value {
    let Agent { metrics_interval, heartbeat_interval, .. } = Agent::default();
    serde_json::json!({"metricsInterval": metrics_interval, "heartbeatInterval": heartbeat_interval})
}

/// Pods of NoETL, which expose metrics and send none.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub struct AgentScrape {
    /// Whether agents scrape pods of their node.
    pub enabled: bool,
    /// Which pods; by default those that NoETL labels `component: server` or `component: worker`.
    #[schemars(schema_with = "brief::<LabelSelector>")]
    pub selector: LabelSelector,
    /// Namespaces of the pods, instead of the resource's own: name that one too to keep it. In another
    /// one agents need a RoleBinding, made by that namespace's owner.
    #[schemars(
        length(max = 16),
        inner(length(min = 1, max = 63), regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))
    )]
    pub namespaces: Vec<String>,
    /// Names or numbers of the ports that have metrics.
    #[schemars(
        length(min = 1, max = 16),
        inner(length(min = 1, max = 15), regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))
    )]
    pub ports: Vec<String>,
    /// Path of the metrics.
    #[schemars(length(min = 1, max = 255), regex(pattern = "^/[-a-zA-Z0-9._~/]*$"))]
    pub path: String,
    /// Time between two scrapes of a pod.
    #[schemars(length(max = 6), regex(pattern = INTERVAL))]
    #[schemars(extend("x-kubernetes-validations" = rules(&[("duration(self) >= duration('1s') && duration(self) <= duration('1h')", "scrape.interval must be between 1s and 1h")])))]
    pub interval: String,
    /// Metric families that are kept: names or patterns with `*`; `default` stands for those that say
    /// how workers, servers and queues are doing.
    #[schemars(
        length(min = 1, max = 64),
        inner(length(min = 1, max = 200), regex(pattern = "^[a-zA-Z0-9_:*]+$"))
    )]
    pub keep: Vec<String>,
    /// Whether the cluster's scraper is told of these pods too, for all of their families; those of the
    /// resource's own namespace only.
    pub object: bool,
}

impl Default for AgentScrape {
    fn default() -> Self {
        let noetl = LabelSelectorRequirement {
            key: "component".to_owned(),
            operator: "In".to_owned(),
            values: Some(vec!["server".to_owned(), "worker".to_owned()]),
        };
        Self {
            enabled: true,
            selector: LabelSelector { match_expressions: Some(vec![noetl]), match_labels: None },
            namespaces: Vec::new(),
            ports: ["metrics", "http", "cmdbus-lag"].map(str::to_owned).to_vec(),
            path: "/metrics".to_owned(),
            interval: "15s".to_owned(),
            keep: vec!["default".to_owned()],
            object: false,
        }
    }
}

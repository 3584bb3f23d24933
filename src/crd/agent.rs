//! `spec.agent`: what runs on each node.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::placement::{NodePlacement, Resources};
use super::rules;
use super::server::PodMetadata;
use super::{BYTES, INTERVAL};

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
    /// Directory on the node with `*.prom` files, in the Prometheus text format, to be reported too.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 255), regex(pattern = "^/[^:]*$"))]
    #[schemars(extend("x-kubernetes-validations" = rules(&[("!self.contains('/../') && !self.endsWith('/..')", "textfileDirectory must be a plain absolute path, without '..'")])))]
    pub textfile_directory: Option<String>,
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
            textfile_directory: None,
            resources: Resources::default(),
            placement: NodePlacement::default(),
            pod: PodMetadata::default(),
        }
    }
}

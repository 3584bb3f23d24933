//! `status`: what the operator answers. Every field is optional, so that an older definition or an
//! older operator never makes an object unreadable.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the operator found and did.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub struct NoetlMetricsStatus {
    /// The spec's generation that this status is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ready, Available, Progressing, Degraded, DatabaseReady, ScrapeReady, RetentionHealthy.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]), schema_with = "super::placement::brief::<Vec<Condition>>")]
    pub conditions: Vec<Condition>,
    /// The servers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<ServerStatus>,
    /// The agents.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentStatus>,
    /// What a scraper is told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scrape: Option<ScrapeStatus>,
    /// The last run of retention.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retention: Option<RetentionStatus>,
    /// Image of the servers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
}

/// The servers.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
pub struct ServerStatus {
    /// Servers there are.
    pub replicas: i32,
    /// Servers that are ready.
    pub ready: i32,
    /// Ready servers of those wanted, such as `2/2`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
    /// Selects the servers' pods, for autoscalers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,
    /// The address to report to and to query.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

/// The agents.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
pub struct AgentStatus {
    /// Nodes that should have one.
    pub desired: i32,
    /// Agents that are ready.
    pub ready: i32,
    /// Ready agents of those wanted, such as `3/3`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
}

/// What a scraper is told.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
pub struct ScrapeStatus {
    /// Kind of the scrape object, or `None`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Kind of the rules object, or `None`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rules: Option<String>,
}

/// The last run of retention.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub struct RetentionStatus {
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_run: Option<Time>,
    /// Whether it succeeded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub succeeded: Option<bool>,
    /// Its Job.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job: Option<String>,
}

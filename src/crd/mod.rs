//! The resource `NoetlMetrics`: what a user writes (spec), what the operator answers (status), and
//! the schema the API server checks both with.
//!
//! Everything that the schema or a CEL rule can refuse is refused there, with a sentence for
//! people; what only the cluster can know is left to the operator. A field without an effect does
//! not exist. No I/O here, and nothing of what the operator makes of a spec.

mod agent;
mod alerts;
mod database;
mod forward;
mod network;
mod placement;
mod retention;
mod scrape;
mod server;
mod status;
mod tls;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{CustomResource, CustomResourceExt};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use agent::{Agent, AgentScrape, AgentSpool};
pub use alerts::{CustomAggregate, CustomRule, Matched, Rules, RulesKind};
pub use database::{Database, PasswordSecret, Runtime, SecretKey, UrlSecret};
pub use forward::ForwardTo;
pub use network::{NetworkPolicySpec, Peer};
pub use placement::{NodePlacement, Placement, Resources};
pub use retention::Retention;
pub use scrape::{Scrape, ScrapeKind};
pub use server::{Auth, Autoscaling, BoundedText, DisruptionBudget, Limits, PodMetadata, ReadAccess, Server};
pub use status::{AgentStatus, NoetlMetricsStatus, RetentionStatus, ScrapeStatus, ServerStatus};
pub use tls::{IssuerRef, Tls};

/// API group of the resource.
pub const GROUP: &str = "metrics.noetl.io";
/// Its served version.
pub const VERSION: &str = "v1alpha1";
/// Its plural, as in URLs and rights.
pub const PLURAL: &str = "noetlmetrics";

/// Names that may have dots, as those of Secrets.
const DNS_NAME: &str = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$";
/// Keys of a Secret.
const SECRET_KEY: &str = r"^[-._a-zA-Z0-9]+$";
/// Short times: seconds, minutes, hours.
const INTERVAL: &str = "^[1-9][0-9]{0,4}(s|m|h)$";
/// Long times: hours, days, weeks.
const AGE: &str = "^[1-9][0-9]{0,3}(h|d|w)$";
/// Amounts of bytes.
const BYTES: &str = "^[1-9][0-9]{0,14}(KiB|MiB|GiB)?$";

/// Amounts of bytes that are worth a file.
const DISK_BYTES: &str = "^[1-9][0-9]{0,5}(MiB|GiB)$";

/// Runs NoETL Metrics in this namespace: server, agents, retention, and what a scraper needs.
#[derive(CustomResource, Clone, Debug, Deserialize, Serialize, JsonSchema, PartialEq)]
#[kube(
    group = "metrics.noetl.io",
    version = "v1alpha1",
    kind = "NoetlMetrics",
    plural = "noetlmetrics",
    singular = "noetlmetrics",
    shortname = "nm",
    category = "noetl",
    namespaced,
    status = "NoetlMetricsStatus",
    derive = "PartialEq",
    doc = "An installation of NoETL Metrics: servers that take reports and export them to scrapers, agents that report each node, retention, scrape objects and alert rules. `spec.database` is all that must be given.",
    validation = Rule::new("self.metadata.name.size() <= 63 && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')").message("metadata.name becomes the name of a Service: at most 63 lower-case letters, digits and '-', beginning with a letter, ending with a letter or digit"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status", description = "Whether servers answer and the database is reached"),
    printcolumn(name = "Servers", type_ = "string", json_path = ".status.server.summary", description = "Ready servers of those wanted"),
    printcolumn(name = "Agents", type_ = "string", json_path = ".status.agent.summary", description = "Ready agents of those wanted"),
    printcolumn(name = "Scrape", type_ = "string", json_path = ".status.scrape.kind", description = "Kind of the scrape objects"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason", description = "Why it is or is not ready", priority = 1),
    printcolumn(name = "Image", type_ = "string", json_path = ".status.image", description = "Image of the servers", priority = 1),
    scale(
        spec_replicas_path = ".spec.server.replicas",
        status_replicas_path = ".status.server.replicas",
        label_selector_path = ".status.server.selector"
    )
)]
#[serde(rename_all = "camelCase")]
pub struct NoetlMetricsSpec {
    /// The PostgreSQL that keeps components, series and samples.
    pub database: Database,
    /// How long samples are kept.
    #[serde(default)]
    // Fields have defaults of their own, and are filled in: `{}` keeps the definition small.
    #[schemars(extend("default" = {}))]
    pub retention: Retention,
    /// The image of server, agent and jobs; by default the one the operator was installed with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<Image>,
    /// The servers: they take reports, answer queries, export to scrapers.
    #[serde(default)]
    #[schemars(extend("default" = {}))]
    pub server: Server,
    /// The agents: one on each node, reporting its CPU, memory, disks and network.
    #[serde(default)]
    #[schemars(extend("default" = agent::intervals()))]
    pub agent: Agent,
    /// How a scraper in the cluster is told what to scrape.
    #[serde(default)]
    pub scrape: Scrape,
    /// Alert rules and their thresholds.
    #[serde(default)]
    #[schemars(extend("default" = {}))]
    pub rules: Rules,
    /// Who may connect to the servers.
    #[serde(default)]
    #[schemars(extend("default" = {}))]
    pub network_policy: NetworkPolicySpec,
    /// Changes nothing in the cluster while true; the status goes on being kept.
    #[serde(default)]
    pub paused: bool,
}

/// An image and how it is pulled.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Image {
    /// Reference with a tag or a digest, such as `registry.example.org/noetl-metrics:0.1.0`; by
    /// default the operator's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512), regex(pattern = r"^[a-zA-Z0-9][-a-zA-Z0-9._/:@]*$"))]
    pub reference: Option<String>,
    /// When it is pulled; by default what Kubernetes does with its tag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pull_policy: Option<PullPolicy>,
    /// Names of Secrets, in the resource's namespace, with the registry's credentials.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), inner(length(min = 1, max = 253), regex(pattern = DNS_NAME)))]
    pub pull_secrets: Vec<String>,
}

/// When an image is pulled.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
pub enum PullPolicy {
    /// At each start of a pod.
    Always,
    /// Where the node lacks it.
    IfNotPresent,
    /// Not at all.
    Never,
}

impl PullPolicy {
    /// The word that pods use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Always => "Always",
            Self::IfNotPresent => "IfNotPresent",
            Self::Never => "Never",
        }
    }
}

/// CEL rules of a schema, each with the sentence that a user is told where it does not hold.
fn rules(rules: &[(&str, &str)]) -> serde_json::Value {
    rules.iter().map(|(rule, message)| serde_json::json!({"rule": rule, "message": message})).collect()
}

/// The definition that `noetl-metrics crd` prints.
pub fn definition() -> CustomResourceDefinition {
    NoetlMetrics::crd()
}

/// The definition as YAML, with the comment that says where it comes from.
///
/// An error is one of the YAML writer; the definition is a constant of the program.
pub fn yaml() -> Result<String, serde_yaml::Error> {
    let written = serde_yaml::to_string(&definition())?;
    Ok(format!("# Made by `make generate`: what `noetl-metrics crd` prints.\n{}", narrowed(&written)))
}

/// The same YAML with levels indented by one space: by two, half of the file would be blanks.
fn narrowed(yaml: &str) -> String {
    let mut narrow = String::new();
    // Columns that levels begin at, before and now, outermost first.
    let mut levels = vec![(0, 0)];
    for line in yaml.lines() {
        let text = line.trim_start_matches(' ');
        let column = line.len() - text.len();
        levels.truncate(levels.partition_point(|(before, _)| *before <= column).max(1));
        let (before, mut now) = levels[levels.len() - 1];
        if before < column {
            now += 1;
            levels.push((column, now));
        }
        // What belongs to an item stands behind its dash.
        if text.starts_with("- ") {
            levels.push((column + 2, now + 2));
        }
        narrow.extend(std::iter::repeat_n(' ', now));
        narrow.push_str(text);
        narrow.push('\n');
    }
    narrow
}

#[cfg(test)]
mod tests;

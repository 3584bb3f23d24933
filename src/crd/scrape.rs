//! `spec.scrape`: which object tells a scraper in the cluster about the servers.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::INTERVAL;
use super::database::SecretKey;
use super::rules;

/// How a scraper in the cluster is told what to scrape.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("x-kubernetes-validations" = rules(&[("duration(self.timeout) <= duration(self.interval)", "scrape.timeout must not exceed scrape.interval")])))]
pub struct Scrape {
    /// The kind of object; `Auto` takes the first kind that the cluster has.
    pub kind: ScrapeKind,
    /// Time between scrapes.
    #[schemars(length(max = 6), regex(pattern = INTERVAL))]
    #[schemars(extend("x-kubernetes-validations" = rules(&[("duration(self) >= duration('1s') && duration(self) <= duration('1h')", "scrape.interval must be between 1s and 1h")])))]
    pub interval: String,
    /// How long a scrape may take.
    #[schemars(length(max = 6), regex(pattern = INTERVAL))]
    pub timeout: String,
    /// Parts in which the exported data is scraped, each of some of the components: for more series than a
    /// scrape should have at once. `PodMonitoring` has one always.
    #[schemars(range(min = 1, max = 64))]
    pub shards: u16,
    /// Bytes of a scrape's text, as 50MB or 1GiB: scrapers of VictoriaMetrics refuse more than 16MiB, some
    /// 100,000 series, unless they are told so. The others have no bound of their own.
    #[schemars(length(max = 9), regex(pattern = r"^[1-9][0-9]{0,5}[KMG]i?B$"))]
    pub max_size: String,
    /// Labels of the scrape objects, by which a scraper selects them.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32))]
    pub labels: BTreeMap<String, String>,
    /// A Secret, in the resource's namespace, whose key holds the token that scrapers send, where reading
    /// needs one; else those that can send the token of their ServiceAccount.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_secret_ref: Option<SecretKey>,
}

impl Default for Scrape {
    fn default() -> Self {
        Self {
            kind: ScrapeKind::Auto,
            interval: "30s".to_owned(),
            timeout: "10s".to_owned(),
            shards: 1,
            max_size: "256MiB".to_owned(),
            labels: BTreeMap::new(),
            token_secret_ref: None,
        }
    }
}

/// Kinds of scrape objects.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
pub enum ScrapeKind {
    /// The first of the others that the cluster has, in their order.
    #[default]
    Auto,
    /// VictoriaMetrics' operator, pods.
    VMPodScrape,
    /// VictoriaMetrics' operator, the Service's endpoints.
    VMServiceScrape,
    /// The Prometheus operator, pods.
    PodMonitor,
    /// The Prometheus operator, the Service's endpoints.
    ServiceMonitor,
    /// Google Managed Prometheus.
    PodMonitoring,
    /// No scrape object.
    None,
}

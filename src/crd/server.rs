//! `spec.server`: how many servers, what they take, who may do what.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::database::SecretKey;
use super::forward::ForwardTo;
use super::placement::{Placement, Resources};
use super::rules;
use super::tls::Tls;
use super::{BYTES, INTERVAL};

/// The servers.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub struct Server {
    /// How many. More are for availability, not for throughput: one is active, the others forward
    /// to it and take over.
    #[schemars(range(min = 1, max = 5))]
    pub replicas: i32,
    /// Whether something else decides how many servers run.
    pub autoscaling: Autoscaling,
    /// CPU and memory of a server; what is not given has a default.
    pub resources: Resources,
    /// Where servers run.
    pub placement: Placement,
    /// Labels and annotations that are added to the servers' pods.
    pub pod: PodMetadata,
    /// How many servers a drain may take away at once.
    pub disruption_budget: DisruptionBudget,
    /// How often a server reports on itself.
    #[schemars(length(max = 6), regex(pattern = INTERVAL))]
    #[schemars(extend("x-kubernetes-validations" = rules(&[("duration(self) >= duration('1s') && duration(self) <= duration('1h')", "metricsInterval must be between 1s and 1h")])))]
    pub metrics_interval: String,
    /// A component that is silent for longer leaves the exposition.
    #[schemars(length(max = 6), regex(pattern = INTERVAL))]
    #[schemars(extend("x-kubernetes-validations" = rules(&[("duration(self) >= duration('30s') && duration(self) <= duration('24h')", "staleAfter must be between 30s and 24h")])))]
    pub stale_after: String,
    /// Whether a report of a component that is not registered registers it, instead of being
    /// answered with 404.
    pub register_unknown_components: bool,
    /// What a report may hold.
    pub limits: Limits,
    /// Where traces can be looked at, such as `https://tempo.example/trace/{trace_id}`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(max = 512),
        regex(
            pattern = r"^https?://[-.a-zA-Z0-9]+(:[0-9]{1,5})?/[-.,:;/?#&=%+@!~*_a-zA-Z0-9]*[{]trace_id[}][-.,:;/?#&=%+@!~*_a-zA-Z0-9]*$"
        )
    )]
    pub trace_url: Option<String>,
    /// Who may do what.
    // What the rules can be checked against, before the API server fills other defaults in.
    #[schemars(extend("default" = {"enabled": true}))]
    pub auth: Auth,
    /// Other stores that the active server sends all samples on to as they are stored.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub forward: Vec<ForwardTo>,
    /// TLS; without it servers speak plain HTTP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            replicas: 2,
            autoscaling: Autoscaling::default(),
            resources: Resources::default(),
            placement: Placement::default(),
            pod: PodMetadata::default(),
            disruption_budget: DisruptionBudget::default(),
            metrics_interval: "60s".to_owned(),
            stale_after: "5m".to_owned(),
            register_unknown_components: false,
            limits: Limits::default(),
            trace_url: None,
            auth: Auth::default(),
            forward: Vec::new(),
            tls: None,
        }
    }
}

/// Whether something else decides how many servers run.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
#[serde(default)]
pub struct Autoscaling {
    /// True leaves the Deployment's `replicas` to a HorizontalPodAutoscaler or to `kubectl scale`.
    pub enabled: bool,
}

/// Labels and annotations of pods.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
#[serde(default)]
pub struct PodMetadata {
    /// Labels, beside those that the operator sets.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32))]
    #[schemars(extend("x-kubernetes-validations" = rules(&[("self.all(key, !key.startsWith('app.kubernetes.io/') && !key.startsWith('metrics.noetl.io/'))", "labels that begin with app.kubernetes.io/ or metrics.noetl.io/ are set by the operator"), ("self.all(key, key.matches('^([a-zA-Z0-9]([-._a-zA-Z0-9]*[a-zA-Z0-9])?/)?[a-zA-Z0-9]([-._a-zA-Z0-9]*[a-zA-Z0-9])?$') && self[key].matches('^([a-zA-Z0-9]([-._a-zA-Z0-9]{0,61}[a-zA-Z0-9])?)?$'))", "a label's key and value are letters, digits, '-', '_' and '.', a value at most 63 of them")])))]
    pub labels: BTreeMap<String, BoundedText>,
    /// Annotations, beside those that the operator sets.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32))]
    #[schemars(extend("x-kubernetes-validations" = rules(&[("self.all(key, !key.startsWith('metrics.noetl.io/'))", "annotations that begin with metrics.noetl.io/ are set by the operator")])))]
    pub annotations: BTreeMap<String, BoundedText>,
}

/// A label's or annotation's value.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
#[serde(transparent)]
pub struct BoundedText(#[schemars(length(max = 1024))] pub String);

/// How many servers a drain may take away at once.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
pub struct DisruptionBudget {
    /// Whether there is a PodDisruptionBudget.
    pub enabled: bool,
    /// Servers that may be missing at once.
    #[schemars(range(min = 1, max = 4))]
    pub max_unavailable: i32,
}

impl Default for DisruptionBudget {
    fn default() -> Self {
        Self { enabled: true, max_unavailable: 1 }
    }
}

/// What a report may hold.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("x-kubernetes-validations" = rules(&[("self.componentSeries <= self.series", "limits.componentSeries, of one component, must not exceed limits.series, of all")])))]
pub struct Limits {
    /// Live series of all components.
    #[schemars(range(min = 1000, max = 100_000_000))]
    pub series: i64,
    /// Live series of one component.
    #[schemars(range(min = 10, max = 100_000_000))]
    pub component_series: i64,
    /// Labels of a sample.
    #[schemars(range(min = 1, max = 256))]
    pub labels: i32,
    /// Size of a request's body, as sent and after decompression.
    #[schemars(length(max = 18), regex(pattern = BYTES))]
    pub body: String,
}

impl Default for Limits {
    fn default() -> Self {
        Self { series: 1_000_000, component_series: 10_000, labels: 40, body: "16MiB".to_owned() }
    }
}

/// Who may do what.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("x-kubernetes-validations" = rules(&[
    ("self.enabled || (!has(self.serviceAccounts) && !has(self.readers) && !has(self.admins) && !has(self.anyComponent) && !has(self.tokenSecretRef) && self.read == 'Open' && !self.ownComponent && !self.review)", "its other fields have no effect while auth.enabled is false"),
    ("self.ownComponent || !has(self.anyComponent)", "auth.anyComponent has no effect without ownComponent"),
])))]
pub struct Auth {
    /// False lets everyone do everything who can connect.
    pub enabled: bool,
    /// Who may read: everyone, or whoever has that right.
    pub read: ReadAccess,
    /// ServiceAccounts that may write, as `namespace/name` or `namespace/*`, with a token whose
    /// audience is `noetl-metrics`. The installation's own agents always may.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 317), regex(pattern = SERVICE_ACCOUNT)))]
    pub service_accounts: Vec<String>,
    /// Likewise, that may read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 317), regex(pattern = SERVICE_ACCOUNT)))]
    pub readers: Vec<String>,
    /// Likewise, that may administer: clean up, make partitions, set times to live.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 317), regex(pattern = SERVICE_ACCOUNT)))]
    pub admins: Vec<String>,
    /// Whether a ServiceAccount reports only as the component that has its name or its pod's; agents
    /// report as what they scrape.
    pub own_component: bool,
    /// Likewise, that may report as any component nevertheless.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 317), regex(pattern = SERVICE_ACCOUNT)))]
    pub any_component: Vec<String>,
    /// Whether the API server is asked too: whether a token still holds, and what roles allow. The
    /// chart's `rbac.reviewers` has to name the servers' ServiceAccount.
    pub review: bool,
    /// A Secret, in the resource's namespace, whose key holds tokens, one a line, each with what it may:
    /// `<token> rights=read,write,admin components=a,b`; the token alone may read and write.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_secret_ref: Option<SecretKey>,
}

/// `namespace/name` or `namespace/*`.
const SERVICE_ACCOUNT: &str = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?/(\*|[a-z0-9]([-.a-z0-9]*[a-z0-9])?)$";

/// Who may read.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
pub enum ReadAccess {
    /// Everyone who can connect.
    #[default]
    Open,
    /// Who has the right to.
    Required,
}

impl Default for Auth {
    fn default() -> Self {
        Self {
            enabled: true,
            read: ReadAccess::Open,
            service_accounts: Vec::new(),
            readers: Vec::new(),
            admins: Vec::new(),
            own_component: false,
            any_component: Vec::new(),
            review: false,
            token_secret_ref: None,
        }
    }
}

//! `spec.networkPolicy`: who may connect to the servers.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::placement::brief;
use super::rules;

/// Who may connect to the servers.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(default)]
#[schemars(extend("x-kubernetes-validations" = rules(&[("self.enabled || !has(self.from)", "networkPolicy.from has no effect while networkPolicy.enabled is false")])))]
pub struct NetworkPolicySpec {
    /// Whether there is a NetworkPolicy: connections to a server's port only, whatever else its
    /// pod may listen on. What servers connect to is left open.
    pub enabled: bool,
    /// Who may connect; everyone where the list is empty. The installation's own agents and
    /// servers always may.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub from: Vec<Peer>,
}

impl Default for NetworkPolicySpec {
    fn default() -> Self {
        Self { enabled: true, from: Vec::new() }
    }
}

/// Pods, all pods of namespaces, or addresses that may connect.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("x-kubernetes-validations" = rules(&[("has(self.cidr) != (has(self.podSelector) || has(self.namespaceSelector))", "a peer is either a cidr or a podSelector and/or namespaceSelector")])))]
pub struct Peer {
    /// Pods, of this namespace or of those that `namespaceSelector` names.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "brief::<Option<LabelSelector>>")]
    pub pod_selector: Option<LabelSelector>,
    /// Namespaces; an empty selector means all.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "brief::<Option<LabelSelector>>")]
    pub namespace_selector: Option<LabelSelector>,
    /// Addresses, such as 10.0.0.0/8.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 49))]
    #[schemars(extend("x-kubernetes-validations" = rules(&[("isCIDR(self)", "cidr must be a block of addresses such as 10.0.0.0/8")])))]
    pub cidr: Option<String>,
}

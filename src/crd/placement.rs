//! Where pods run and what they may use: the lean part of a pod that users set.
//!
//! A whole `PodTemplateSpec` would make the definition too large for client-side `kubectl apply`.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Affinity, NodeAffinity, Toleration, TopologySpreadConstraint};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use schemars::transform::Transform;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::DNS_NAME;

/// Where servers run.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub struct Placement {
    /// Labels that a node must have.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32))]
    pub node_selector: BTreeMap<String, String>,
    /// Taints that are tolerated.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), schema_with = "brief::<Vec<Toleration>>")]
    pub tolerations: Vec<Toleration>,
    /// Affinity to nodes and other pods.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "brief::<Option<Affinity>>")]
    pub affinity: Option<Affinity>,
    /// How servers are spread; by default over nodes where that is possible.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), schema_with = "brief::<Vec<TopologySpreadConstraint>>")]
    pub topology_spread: Vec<TopologySpreadConstraint>,
    /// Name of a PriorityClass.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = DNS_NAME))]
    pub priority_class_name: Option<String>,
}

/// On which nodes an agent runs.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub struct NodePlacement {
    /// Labels that a node must have.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32))]
    pub node_selector: BTreeMap<String, String>,
    /// Taints that are tolerated; by default all.
    #[schemars(length(max = 32), schema_with = "brief::<Vec<Toleration>>")]
    pub tolerations: Vec<Toleration>,
    /// Affinity to nodes.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "brief::<Option<NodeAffinity>>")]
    pub node_affinity: Option<NodeAffinity>,
    /// Name of a PriorityClass.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = DNS_NAME))]
    pub priority_class_name: Option<String>,
}

impl Default for NodePlacement {
    fn default() -> Self {
        let all = Toleration { operator: Some("Exists".to_owned()), ..Toleration::default() };
        Self {
            node_selector: BTreeMap::new(),
            tolerations: vec![all],
            node_affinity: None,
            priority_class_name: None,
        }
    }
}

/// CPU and memory of a container.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(default)]
pub struct Resources {
    /// What is set aside on the node.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 8), schema_with = "amounts")]
    pub requests: BTreeMap<String, Quantity>,
    /// What is not exceeded.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 8), schema_with = "amounts")]
    pub limits: BTreeMap<String, Quantity>,
}

/// Amounts by resource. The pattern is Kubernetes' own, without signs: what it refuses a pod would be
/// refused for.
fn amounts(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "additionalProperties": {
            "description": "An amount, such as 100m, 0.5, 128Mi",
            "pattern": "^([0-9]+|[0-9]*[.][0-9]+|[0-9]+[.])(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei|[eE]-?[0-9]+)?$",
            "x-kubernetes-int-or-string": true,
        },
    })
}

/// The schema of a type of Kubernetes, each description cut to its first sentence: all of them
/// would be most of the definition's size.
pub(super) fn brief<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    let mut schema = T::json_schema(generator);
    schemars::transform::transform_subschemas(&mut FirstSentence, &mut schema);
    schema
}

/// Sentences that the definition has many times, each with a short one that says the same.
const SHORT: &[(&str, &str)] = &[
    ("key is the label key that the selector applies to.", "The label's key"),
    ("operator represents a key's relationship to a set of values", "How the label relates to the values"),
    ("values is an array of string values", "The values"),
    ("matchLabels is a map of {key,value} pairs", "Labels, by key and value"),
    ("matchExpressions is a list of label selector requirements", "Requirements on labels"),
    (
        "A label selector requirement is a selector that contains values, a key, and an operator that relates the key and values.",
        "A key, values, and an operator that relates them.",
    ),
    (
        "A node selector requirement is a selector that contains values, a key, and an operator that relates the key and values.",
        "A key, values, and an operator that relates them.",
    ),
    ("Represents a key's relationship to a set of values", "How the key relates to the values"),
    (
        "The scheduler will prefer to schedule pods to nodes that satisfy the affinity expressions specified by this field, but it may choose a node that violates one or more of the expressions",
        "The scheduler prefers nodes that satisfy these expressions, but may choose one that violates some of them",
    ),
    (
        "This pod should be co-located (affinity) or not co-located (anti-affinity) with the pods matching the labelSelector in the specified namespaces, where co-located is defined as running on a node whose value of the label with key topologyKey matches that of any node on which any of the selected pods is running",
        "Whether this pod is co-located with the pods matching the labelSelector in the specified namespaces: runs on a node with the same value of the label topologyKey as one of theirs",
    ),
    (
        "Defines a set of pods (namely those matching the labelSelector relative to the given namespace(s)) that this pod should be co-located (affinity) or not co-located (anti-affinity) with, where co-located is defined as running on a node whose value of the label with key <topologyKey> matches that of any node on which a pod of the set of pods is running",
        "Pods matching the labelSelector in the given namespaces that this pod is, or is not, co-located with: on nodes with the same value of the label topologyKey",
    ),
];

/// Cuts descriptions.
struct FirstSentence;

impl Transform for FirstSentence {
    fn transform(&mut self, schema: &mut Schema) {
        if let Some(serde_json::Value::String(text)) = schema.get_mut("description") {
            let end = text.find(". ").or_else(|| text.find('\n')).unwrap_or(text.len());
            text.truncate(end);
            if let Some((_, short)) = SHORT.iter().find(|(long, _)| long == text) {
                (*short).clone_into(text);
            }
        }
        schemars::transform::transform_subschemas(self, schema);
    }
}

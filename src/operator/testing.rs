//! Resources and settings for tests.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::Settings;
use super::kinds::Kind;
use super::validate::{Checked, validate};
use crate::crd::NoetlMetrics;

pub(super) fn settings() -> Settings {
    Settings {
        namespace: "noetl-system".to_owned(),
        image: Some("example.org/noetl-metrics:1.2.3".to_owned()),
        agent_cluster_role: None,
    }
}

/// A resource whose spec is `spec` (YAML) over a database.
pub(super) fn object(name: &str, spec: &str) -> NoetlMetrics {
    let mut object = json!({
        "apiVersion": "metrics.noetl.io/v1alpha1",
        "kind": "NoetlMetrics",
        "metadata": {"name": name, "namespace": "noetl", "uid": "0000-1111", "generation": 3},
        "spec": {"database": {"secretRef": {"name": "noetl-metrics-db", "key": "url"}}},
    });
    let given: serde_json::Map<String, Value> = serde_yaml::from_str(spec).expect("a spec in YAML");
    for (field, value) in given {
        object["spec"][field] = value;
    }
    serde_json::from_value(object).expect("a NoetlMetrics")
}

/// The same, checked, in a cluster with the kinds `present`.
pub(super) fn checked(spec: &str, present: &[Kind]) -> Checked {
    let present: BTreeSet<Kind> = present.iter().copied().collect();
    validate(&object("noetl", spec), &settings(), &present).expect("a valid resource")
}

//! Hands the Deployment's `replicas` over to an autoscaler.
//!
//! Were the field just left out of what is applied while nobody else has set it yet, the API server
//! would put it back to 1. So its present value is first applied under another manager's name,
//! which the autoscaler then takes it from.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use kube::core::DynamicObject;
use serde_json::{Value, json};

use super::names::MANAGER as OPERATOR;

/// Holds the field until the autoscaler sets it.
pub(super) const MANAGER: &str = "noetl-metrics-operator-replicas";

/// What is to be applied under [`MANAGER`] before `wanted`; `None` where nothing is to be handed over.
pub(super) fn hand_over(live: &DynamicObject, wanted: &Deployment) -> Option<Value> {
    if wanted.spec.as_ref()?.replicas.is_some() {
        return None;
    }
    let owners = live.metadata.managed_fields.iter().flatten().filter(|entry| decides_replicas(entry));
    let mut managers = owners.map(|entry| entry.manager.as_deref().unwrap_or_default());
    let only_ours = managers.next() == Some(OPERATOR) && managers.next().is_none();
    only_ours.then(|| {
        json!({
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": live.metadata.name, "namespace": live.metadata.namespace},
            "spec": {"replicas": live.data["spec"]["replicas"]},
        })
    })
}

/// Whether a manager set the field.
pub(super) fn decides_replicas(entry: &ManagedFieldsEntry) -> bool {
    entry.fields_v1.as_ref().is_some_and(|fields| fields.0.pointer("/f:spec/f:replicas").is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::build::build;
    use crate::operator::testing::checked;

    fn live(managers: &[&str]) -> DynamicObject {
        let entries: Vec<_> = managers
            .iter()
            .map(|m| json!({"manager": m, "operation": "Apply", "fieldsV1": {"f:spec": {"f:replicas": {}}}}))
            .collect();
        serde_json::from_value(json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "noetl-server", "namespace": "noetl", "managedFields": entries},
            "spec": {"replicas": 3},
        }))
        .unwrap()
    }

    #[test]
    fn the_present_number_is_handed_over_once() {
        let auto = build(&checked("{server: {autoscaling: {enabled: true}}}", &[])).server;
        let fixed = build(&checked("{}", &[])).server;
        assert_eq!(hand_over(&live(&[OPERATOR]), &auto).unwrap()["spec"]["replicas"], 3);
        assert!(hand_over(&live(&[OPERATOR, "autoscaler"]), &auto).is_none());
        assert!(hand_over(&live(&[MANAGER]), &auto).is_none());
        assert!(hand_over(&live(&[OPERATOR]), &fixed).is_none());
    }
}

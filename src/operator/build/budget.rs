//! The servers' PodDisruptionBudget.

use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::metadata;
use crate::operator::names::Component;
use crate::operator::validate::Checked;

/// A budget in servers that may be missing, so that a single server does not block a drain.
pub(super) fn budget(checked: &Checked) -> Option<PodDisruptionBudget> {
    let budget = &checked.spec.server.disruption_budget;
    budget.enabled.then(|| PodDisruptionBudget {
        metadata: metadata(checked, &checked.names.server, Component::Server),
        spec: Some(PodDisruptionBudgetSpec {
            max_unavailable: Some(IntOrString::Int(budget.max_unavailable)),
            selector: Some(LabelSelector {
                match_labels: Some(checked.names.selector(Component::Server)),
                ..LabelSelector::default()
            }),
            // A server that is broken anyway must not block a drain.
            unhealthy_pod_eviction_policy: Some("AlwaysAllow".to_owned()),
            ..PodDisruptionBudgetSpec::default()
        }),
        ..PodDisruptionBudget::default()
    })
}

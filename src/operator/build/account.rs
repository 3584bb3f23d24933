//! ServiceAccounts, and the RoleBinding of the agents' one.

use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::api::rbac::v1::{RoleBinding, RoleRef, Subject};

use super::metadata;
use crate::operator::names::Component;
use crate::operator::validate::Checked;

/// The servers' identity. It has no rights, but those that the chart's `rbac.reviewers` gives it: its
/// token only reads the cluster's published keys.
pub(super) fn server(checked: &Checked) -> ServiceAccount {
    account(checked, &checked.names.server, Component::Server)
}

/// The agents' identity, by which servers know them.
pub(super) fn agent(checked: &Checked) -> ServiceAccount {
    account(checked, &checked.names.agent, Component::Agent)
}

fn account(checked: &Checked, name: &str, component: Component) -> ServiceAccount {
    ServiceAccount {
        metadata: metadata(checked, name, component),
        automount_service_account_token: Some(false),
        ..ServiceAccount::default()
    }
}

/// Binds the agents to a ClusterRole of the chart, in this namespace.
pub(super) fn agent_role(checked: &Checked, role: &str) -> RoleBinding {
    RoleBinding {
        metadata: metadata(checked, &checked.names.agent, Component::Agent),
        role_ref: RoleRef {
            api_group: "rbac.authorization.k8s.io".to_owned(),
            kind: "ClusterRole".to_owned(),
            name: role.to_owned(),
        },
        subjects: Some(vec![Subject {
            kind: "ServiceAccount".to_owned(),
            name: checked.names.agent.clone(),
            namespace: Some(checked.namespace.clone()),
            ..Subject::default()
        }]),
    }
}

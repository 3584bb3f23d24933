//! The servers' NetworkPolicy: who may connect, and only to the one port.

use k8s_openapi::api::networking::v1::{
    IPBlock, NetworkPolicy, NetworkPolicyIngressRule, NetworkPolicyPeer, NetworkPolicyPort, NetworkPolicySpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::{PORT_NAME, metadata};
use crate::crd::Peer;
use crate::operator::names::{COMPONENT_LABEL, Component, INSTANCE_LABEL, NAME_LABEL};
use crate::operator::validate::Checked;

/// The policy.
pub(super) fn network_policy(checked: &Checked) -> Option<NetworkPolicy> {
    let wanted = &checked.spec.network_policy;
    wanted.enabled.then(|| NetworkPolicy {
        metadata: metadata(checked, &checked.names.server, Component::Server),
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(LabelSelector {
                match_labels: Some(checked.names.selector(Component::Server)),
                ..LabelSelector::default()
            }),
            policy_types: Some(vec!["Ingress".to_owned()]),
            ingress: Some(vec![NetworkPolicyIngressRule {
                // Without a list everyone may connect.
                from: (!wanted.from.is_empty()).then(|| peers(checked)),
                ports: Some(vec![NetworkPolicyPort {
                    port: Some(IntOrString::String(PORT_NAME.to_owned())),
                    protocol: Some("TCP".to_owned()),
                    ..NetworkPolicyPort::default()
                }]),
            }]),
            ..NetworkPolicySpec::default()
        }),
    })
}

/// Who was named, the installation's own pods, and the operator, which asks servers how they are.
fn peers(checked: &Checked) -> Vec<NetworkPolicyPeer> {
    let own = [(NAME_LABEL, "noetl-metrics"), (INSTANCE_LABEL, &checked.names.instance)];
    let operator = [(NAME_LABEL, "noetl-metrics"), (COMPONENT_LABEL, "operator")];
    let namespace = [("kubernetes.io/metadata.name", checked.operator_namespace.as_str())];
    let mut peers: Vec<_> = checked.spec.network_policy.from.iter().map(peer).collect();
    peers.push(NetworkPolicyPeer { pod_selector: Some(matching(&own)), ..NetworkPolicyPeer::default() });
    peers.push(NetworkPolicyPeer {
        pod_selector: Some(matching(&operator)),
        namespace_selector: Some(matching(&namespace)),
        ..NetworkPolicyPeer::default()
    });
    peers
}

fn peer(peer: &Peer) -> NetworkPolicyPeer {
    NetworkPolicyPeer {
        ip_block: peer.cidr.clone().map(|cidr| IPBlock { cidr, except: None }),
        namespace_selector: peer.namespace_selector.clone(),
        pod_selector: peer.pod_selector.clone(),
    }
}

fn matching(labels: &[(&str, &str)]) -> LabelSelector {
    LabelSelector {
        match_labels: Some(labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()),
        ..LabelSelector::default()
    }
}

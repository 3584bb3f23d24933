//! Network policies: whether the scrapers' pods may connect to the servers.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Namespace, Pod};
use k8s_openapi::api::networking::v1::{NetworkPolicy, NetworkPolicyIngressRule, NetworkPolicyPeer};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::{Api, ResourceExt};

use super::super::report::{Outcome, failed, left_out, listed as in_words, passed};
use super::reading::{Read, Space, listed, matches};
use super::resource::Installation;
use super::scraper::Scraper;
use crate::operator::build::PORT_NAME;
use crate::operator::names::Component;

/// Labels of a pod and of its namespace.
struct Caller {
    words: String,
    namespace: String,
    pod_labels: BTreeMap<String, String>,
    namespace_labels: BTreeMap<String, String>,
    ips: Vec<String>,
}

/// Whether every scraper that selects the object may connect.
pub(super) async fn lets_in(it: &Installation, scrapers: &Read<Vec<Scraper>>) -> Read<Outcome> {
    let labels = it.names.selector(Component::Server);
    let policies: Vec<NetworkPolicy> = it.space.list("").await?;
    let guarding: Vec<_> = policies.iter().filter(|policy| guards(policy, &labels)).collect();
    if guarding.is_empty() {
        return Ok(passed("no policy is about the servers: everyone may connect"));
    }
    let names = in_words(&guarding.iter().map(|policy| policy.name_any()).collect::<Vec<_>>());
    let rules: Vec<_> =
        guarding.iter().flat_map(|policy| rules_of(policy)).filter(|rule| has_port(rule)).collect();
    if rules.iter().any(|rule| rule.from.as_ref().is_none_or(Vec::is_empty)) {
        return Ok(passed(format!("{names} lets everyone in")));
    }
    let scrapers = scrapers.as_ref().map_or(&[][..], Vec::as_slice);
    let callers = callers(it, scrapers.iter().filter(|scraper| scraper.misses.is_none())).await?;
    if callers.is_empty() {
        return Ok(left_out(format!(
            "{names} lets some in; no pod of a scraper is known that it could be asked of"
        )));
    }
    let kept: Vec<_> = callers
        .iter()
        .filter(|caller| !rules.iter().any(|rule| lets(rule, caller, &it.space)))
        .map(|c| c.words.clone())
        .collect();
    Ok(match kept.as_slice() {
        [] => passed(format!(
            "{names} lets {} in",
            in_words(&callers.iter().map(|c| c.words.clone()).collect::<Vec<_>>())
        )),
        kept => failed(format!("{names} keeps out {}", in_words(kept))),
    })
}

/// Whether a policy is about connections to the servers.
fn guards(policy: &NetworkPolicy, labels: &BTreeMap<String, String>) -> bool {
    policy.spec.as_ref().is_some_and(|spec| {
        let ingress = spec.policy_types.as_ref().is_none_or(|types| types.iter().any(|t| t == "Ingress"));
        ingress && spec.pod_selector.as_ref().is_none_or(|selector| matches(selector, labels))
    })
}

fn rules_of(policy: &NetworkPolicy) -> impl Iterator<Item = &NetworkPolicyIngressRule> {
    policy.spec.iter().flat_map(|spec| spec.ingress.iter().flatten())
}

/// Whether a rule is about the servers' port.
fn has_port(rule: &NetworkPolicyIngressRule) -> bool {
    let ports = rule.ports.as_deref().unwrap_or_default();
    ports.is_empty()
        || ports.iter().any(|port| match &port.port {
            None => true,
            Some(IntOrString::String(name)) => name == PORT_NAME,
            Some(IntOrString::Int(number)) => {
                let (ours, last) = (crate::operator::build::PORT, port.end_port.unwrap_or(*number));
                (*number..=last).contains(&ours)
            }
        })
}

fn lets(rule: &NetworkPolicyIngressRule, caller: &Caller, space: &Space) -> bool {
    rule.from.iter().flatten().any(|peer| is_meant(peer, caller, space))
}

fn is_meant(peer: &NetworkPolicyPeer, caller: &Caller, space: &Space) -> bool {
    if let Some(block) = &peer.ip_block {
        let within = |block: &str| caller.ips.iter().any(|ip| is_within(ip, block));
        return within(&block.cidr) && !block.except.iter().flatten().any(|except| within(except));
    }
    let namespace = match &peer.namespace_selector {
        Some(selector) => matches(selector, &caller.namespace_labels),
        None => caller.namespace == space.namespace,
    };
    namespace && peer.pod_selector.as_ref().is_none_or(|selector| matches(selector, &caller.pod_labels))
}

/// Whether an address is within a block; both of the same version.
fn is_within(ip: &str, block: &str) -> bool {
    let Some((network, length)) = block.split_once('/') else { return false };
    let bits = |text: &str| -> Option<(u128, u32)> {
        match text.parse().ok()? {
            std::net::IpAddr::V4(v4) => Some((u128::from(u32::from(v4)), 32)),
            std::net::IpAddr::V6(v6) => Some((u128::from(v6), 128)),
        }
    };
    let (Some((ip, width)), Some((network, other)), Ok(length)) =
        (bits(ip), bits(network), length.parse::<u32>())
    else {
        return false;
    };
    let kept = width.saturating_sub(length);
    width == other && ip.checked_shr(kept).unwrap_or(0) == network.checked_shr(kept).unwrap_or(0)
}

/// The pods of the scrapers, as their operators label them.
async fn callers(it: &Installation, scrapers: impl Iterator<Item = &Scraper>) -> Read<Vec<Caller>> {
    let client = &it.space.client;
    let mut callers = Vec::new();
    for scraper in scrapers {
        let labels = match scraper.kind {
            "VMAgent" => {
                format!("app.kubernetes.io/name=vmagent,app.kubernetes.io/instance={}", scraper.name)
            }
            _ => format!("operator.prometheus.io/name={}", scraper.name),
        };
        let pods: Vec<Pod> = listed(&Api::namespaced(client.clone(), &scraper.namespace), &labels).await?;
        let namespaces: Api<Namespace> = Api::all(client.clone());
        let home = namespaces.get_opt(&scraper.namespace).await.ok().flatten();
        let namespace_labels = home.and_then(|namespace| namespace.metadata.labels).unwrap_or_default();
        callers.extend(pods.into_iter().map(|pod| Caller {
            words: format!("pod {} in {}", pod.name_any(), scraper.namespace),
            namespace: scraper.namespace.clone(),
            ips: pod.status.iter().filter_map(|status| status.pod_ip.clone()).collect(),
            pod_labels: pod.metadata.labels.unwrap_or_default(),
            namespace_labels: namespace_labels.clone(),
        }));
    }
    Ok(callers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_within_their_blocks() {
        assert!(is_within("10.1.2.3", "10.0.0.0/8") && is_within("10.1.2.3", "0.0.0.0/0"));
        assert!(!is_within("11.1.2.3", "10.0.0.0/8") && !is_within("10.1.2.3", "::/0"));
        assert!(is_within("fd00::1", "fd00::/8") && is_within("fd00::1", "fd00::1/128"));
        assert!(!is_within("", "10.0.0.0/8") && !is_within("10.1.2.3", "10.0.0.0"));
    }
}

//! The agents: one on every node, and the right to watch NoETL's pods.

use std::collections::BTreeSet;

use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::Node;
use k8s_openapi::api::rbac::v1::{ClusterRole, RoleBinding};
use kube::{Api, ResourceExt};

use super::super::report::{Outcome, failed, left_out, listed, passed, warning};
use super::reading::{Read, Space, listed as read_all, unread};
use super::resource::Installation;
use super::servers::is_ready;
use crate::operator::names::Component;
use crate::operator::status::pods::of_pod;

/// Whether every node has an agent, and what keeps those that are missing.
pub(super) async fn scheduled(it: &Installation) -> Read<Outcome> {
    if !it.resource.spec.agent.enabled {
        return Ok(left_out("spec.agent.enabled is false"));
    }
    let name = &it.names.agent;
    let Some(set) = it.space.get::<DaemonSet>(name).await? else {
        return Ok(failed(format!("there is no DaemonSet {name}")));
    };
    let status = set.status.clone().unwrap_or_default();
    let (wanted, ready) = (status.desired_number_scheduled, status.number_ready);
    // Without the right to list nodes, what the DaemonSet itself wants counts.
    let nodes: Option<Vec<Node>> = read_all(&Api::all(it.space.client.clone()), "").await.ok();
    let nodes = nodes.map_or(wanted, |nodes| i32::try_from(nodes.len()).unwrap_or(i32::MAX));
    let words = format!("{ready} of {wanted} are ready, on {nodes} nodes");
    if ready < wanted {
        let mut why = of_pods(it).await?;
        why.extend(it.warning(set.metadata.uid.as_deref()).await);
        return Ok(failed(format!("{words}. {}", listed(&why))));
    }
    Ok(match wanted {
        0 => warning(format!("{words}: no node takes one")),
        wanted if wanted < nodes => {
            warning(format!("{words}: {} take none, by a taint or by spec.agent.placement", nodes - wanted))
        }
        _ => passed(words),
    })
}

async fn of_pods(it: &Installation) -> Read<Vec<String>> {
    let pods = it.pods(Component::Agent).await?;
    let waiting = pods.iter().filter(|pod| !is_ready(pod));
    Ok(waiting.filter_map(|pod| Some(format!("pod {}: {}", pod.name_any(), of_pod(pod)?))).collect())
}

/// Whether agents may watch the pods that they are to scrape.
pub(super) async fn rights(it: &Installation) -> Read<Outcome> {
    let agent = &it.resource.spec.agent;
    if !agent.enabled || !agent.scrape.enabled {
        return Ok(left_out("agents scrape no pods"));
    }
    let own = std::slice::from_ref(&it.space.namespace);
    let namespaces = if agent.scrape.namespaces.is_empty() { own } else { &agent.scrape.namespaces };
    let mut roles = BTreeSet::new();
    for namespace in namespaces {
        roles.insert(role_in(it, namespace).await?);
    }
    let roles: Vec<String> = roles.into_iter().collect();
    Ok(passed(format!("by ClusterRole {}", roles.join(", "))))
}

/// The role by which agents may watch the pods of a namespace: one that is there, and that a
/// RoleBinding of the namespace gives them.
async fn role_in(it: &Installation, namespace: &str) -> Read<String> {
    let (name, own) = (&it.names.agent, &it.space.namespace);
    let space = Space { namespace: namespace.to_owned(), client: it.space.client.clone() };
    let binds = |binding: &RoleBinding| {
        let subjects = binding.subjects.iter().flatten();
        subjects
            .clone()
            .any(|s| s.kind == "ServiceAccount" && s.name == *name && s.namespace.as_ref() == Some(own))
    };
    let binding = if namespace == own {
        // The operator made it.
        let Some(binding) = space.get::<RoleBinding>(name).await? else {
            return Err(failed(format!("there is no RoleBinding {name}")));
        };
        Some(binding)
            .filter(binds)
            .ok_or_else(|| failed(format!("RoleBinding {name} does not bind ServiceAccount {name}")))?
    } else {
        space.list::<RoleBinding>("").await?.into_iter().find(binds).ok_or_else(|| {
            failed(format!("namespace {namespace} has no RoleBinding for ServiceAccount {own}:{name}"))
        })?
    };
    let role = binding.role_ref.name;
    let roles: Api<ClusterRole> = Api::all(it.space.client.clone());
    let Some(found) = roles.get_opt(&role).await.map_err(|e| unread(&e))? else {
        let bound = binding.metadata.name.unwrap_or_default();
        return Err(failed(format!("there is no ClusterRole {role}, to which RoleBinding {bound} binds")));
    };
    let watches = found.rules.unwrap_or_default().iter().any(|rule| {
        let has =
            |list: &Option<Vec<String>>, word: &str| list.iter().flatten().any(|w| w == word || w == "*");
        has(&rule.resources, "pods") && rule.verbs.iter().any(|verb| verb == "watch" || verb == "*")
    });
    if watches { Ok(role) } else { Err(failed(format!("ClusterRole {role} does not let them watch pods"))) }
}

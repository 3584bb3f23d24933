//! The agents: one on every node, and the right to watch NoETL's pods.

use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::Node;
use k8s_openapi::api::rbac::v1::{ClusterRole, RoleBinding};
use kube::{Api, ResourceExt};

use super::super::report::{Outcome, failed, left_out, listed, passed, warning};
use super::reading::{Read, listed as read_all, unread};
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

/// Whether agents may watch the pods that they are to scrape: by a RoleBinding to a role that is there.
pub(super) async fn rights(it: &Installation) -> Read<Outcome> {
    let agent = &it.resource.spec.agent;
    if !agent.enabled || !agent.scrape.enabled {
        return Ok(left_out("agents scrape no pods"));
    }
    let name = &it.names.agent;
    let Some(binding) = it.space.get::<RoleBinding>(name).await? else {
        return Ok(failed(format!("there is no RoleBinding {name}")));
    };
    let subjects = binding.subjects.unwrap_or_default();
    let bound = subjects.iter().any(|s| {
        s.kind == "ServiceAccount"
            && s.name == *name
            && s.namespace.as_deref().is_none_or(|n| n == it.space.namespace)
    });
    if !bound {
        return Ok(failed(format!("RoleBinding {name} does not bind ServiceAccount {name}")));
    }
    let role = binding.role_ref.name;
    let roles: Api<ClusterRole> = Api::all(it.space.client.clone());
    let Some(found) = roles.get_opt(&role).await.map_err(|e| unread(&e))? else {
        return Ok(failed(format!("there is no ClusterRole {role}, to which RoleBinding {name} binds")));
    };
    let watches = found.rules.unwrap_or_default().iter().any(|rule| {
        let has =
            |list: &Option<Vec<String>>, word: &str| list.iter().flatten().any(|w| w == word || w == "*");
        has(&rule.resources, "pods") && rule.verbs.iter().any(|verb| verb == "watch" || verb == "*")
    });
    Ok(if watches {
        passed(format!("by ClusterRole {role}"))
    } else {
        failed(format!("ClusterRole {role} does not let them watch pods"))
    })
}

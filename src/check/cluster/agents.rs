//! The agents: one on every node, and the right to watch NoETL's pods.

use std::collections::BTreeSet;

use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::Node;
use k8s_openapi::api::rbac::v1::{ClusterRole, PolicyRule, Role, RoleBinding, RoleRef};
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
    let (mut roles, mut wrong, mut unread) = (BTreeSet::new(), Vec::new(), None);
    for namespace in namespaces {
        match role_in(it, namespace).await {
            Ok(Ok(role)) => _ = roles.insert(role),
            Ok(Err(why)) => wrong.push(why),
            Err(outcome) => unread = Some(outcome),
        }
    }
    match unread {
        _ if !wrong.is_empty() => Ok(failed(wrong.join("; "))),
        Some(outcome) => Err(outcome),
        None => Ok(passed(format!("by {}", roles.into_iter().collect::<Vec<_>>().join(", ")))),
    }
}

/// The role by which agents may list and watch the pods of a namespace: one that is there, and that a
/// RoleBinding of the namespace gives them. Otherwise why there is none.
async fn role_in(it: &Installation, namespace: &str) -> Read<Result<String, String>> {
    let (account, own) = (&it.names.agent, &it.space.namespace);
    let space = Space { namespace: namespace.to_owned(), client: it.space.client.clone() };
    let bindings = space.list::<RoleBinding>("").await?.into_iter().filter(|binding| {
        binding.subjects.iter().flatten().any(|subject| {
            subject.kind == "ServiceAccount"
                && subject.name == *account
                && subject.namespace.as_ref() == Some(own)
        })
    });
    let mut wrong = Vec::new();
    for binding in bindings {
        let RoleRef { kind, name, .. } = &binding.role_ref;
        let role = format!("{kind} {name}");
        match rules(&space, &binding.role_ref).await? {
            Some(rules) if let_watch(&rules) => return Ok(Ok(role)),
            Some(_) => wrong.push(format!("{role} does not let them list and watch pods of {namespace}")),
            None => {
                let bound = binding.name_any();
                wrong.push(format!("there is no {role}, to which RoleBinding {bound} of {namespace} binds"));
            }
        }
    }
    if wrong.is_empty() {
        wrong.push(format!("namespace {namespace} has no RoleBinding for ServiceAccount {own}:{account}"));
    }
    Ok(Err(wrong.join("; ")))
}

/// What the role of a binding allows; `None` where it is not there.
async fn rules(space: &Space, role: &RoleRef) -> Read<Option<Vec<PolicyRule>>> {
    if role.kind == "Role" {
        let found = space.get::<Role>(&role.name).await?;
        return Ok(found.map(|role| role.rules.unwrap_or_default()));
    }
    let roles: Api<ClusterRole> = Api::all(space.client.clone());
    let found = roles.get_opt(&role.name).await.map_err(|e| unread(&e))?;
    Ok(found.map(|role| role.rules.unwrap_or_default()))
}

/// Whether rules allow to list and to watch all pods.
fn let_watch(rules: &[PolicyRule]) -> bool {
    let has = |list: &[String], word: &str| list.iter().any(|w| w == word || w == "*");
    let of_pods = |rule: &&PolicyRule| {
        has(rule.api_groups.as_deref().unwrap_or_default(), "")
            && has(rule.resources.as_deref().unwrap_or_default(), "pods")
            && rule.resource_names.is_none()
    };
    ["list", "watch"].iter().all(|verb| rules.iter().filter(of_pods).any(|rule| has(&rule.verbs, verb)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(groups: &[&str], resources: &[&str], verbs: &[&str]) -> PolicyRule {
        let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        PolicyRule {
            api_groups: Some(owned(groups)),
            resources: Some(owned(resources)),
            verbs: owned(verbs),
            ..PolicyRule::default()
        }
    }

    #[test]
    fn it_takes_both_verbs_on_pods_of_the_core_group() {
        assert!(let_watch(&[rule(&[""], &["pods"], &["list", "watch"])]));
        assert!(let_watch(&[rule(&[""], &["pods"], &["list"]), rule(&["*"], &["*"], &["watch"])]));
        assert!(!let_watch(&[rule(&[""], &["pods"], &["get", "watch"])]));
        assert!(!let_watch(&[rule(&["apps"], &["pods"], &["*"])]));
        assert!(!let_watch(&[rule(&[""], &["pods/log"], &["*"])]));
        let named = PolicyRule { resource_names: Some(vec!["one".into()]), ..rule(&[""], &["pods"], &["*"]) };
        assert!(!let_watch(&[named]));
    }
}

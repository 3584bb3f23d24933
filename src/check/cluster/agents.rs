//! The agents: one on every node, and the right to watch NoETL's pods.

use std::collections::BTreeSet;

use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::Node;
use k8s_openapi::api::rbac::v1::{
    ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding, RoleRef, Subject,
};
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
    let (mut roles, mut wrong, mut unread) = (BTreeSet::new(), Vec::new(), Vec::new());
    for namespace in namespaces {
        match roles_in(it, namespace).await {
            Rights::By(by) => roles.extend(by),
            Rights::Lacking(why) => wrong.push(why),
            Rights::Unread(why) => unread.push(why),
        }
    }
    Ok(if !wrong.is_empty() {
        wrong.extend(unread);
        failed(wrong.join("; "))
    } else if unread.is_empty() {
        passed(format!("by {}", roles.into_iter().collect::<Vec<_>>().join(", ")))
    } else {
        left_out(unread.join("; "))
    })
}

/// Whether agents may list and watch the pods of a namespace.
enum Rights {
    /// They may, by these roles.
    By(Vec<String>),
    /// They may not, and why.
    Lacking(String),
    /// What was read does not let them, and this could not be read.
    Unread(String),
}

/// What all bindings of the agents together let them do in a namespace: its own, and those of the whole
/// cluster, where they can be read.
async fn roles_in(it: &Installation, namespace: &str) -> Rights {
    let (account, own) = (&it.names.agent, &it.space.namespace);
    let space = Space { namespace: namespace.to_owned(), client: it.space.client.clone() };
    let theirs = |binding: String, subjects: Option<Vec<Subject>>, role: RoleRef| {
        let is_one = subjects.iter().flatten().any(|subject| names_account(subject, own, account));
        is_one.then_some((binding, role))
    };
    let (mut bound, mut unread) = (Vec::new(), Vec::new());
    match space.list::<RoleBinding>("").await {
        Ok(found) => bound.extend(found.into_iter().filter_map(|it| {
            theirs(format!("RoleBinding {} of {namespace}", it.name_any()), it.subjects, it.role_ref)
        })),
        Err(Outcome(_, why)) => unread.push(why),
    }
    match read_all::<ClusterRoleBinding>(&Api::all(it.space.client.clone()), "").await {
        Ok(found) => bound.extend(found.into_iter().filter_map(|it| {
            theirs(format!("ClusterRoleBinding {}", it.name_any()), it.subjects, it.role_ref)
        })),
        Err(Outcome(_, why)) => unread.push(why),
    }
    let (mut given, mut by, mut wrong) = (Vec::new(), Vec::new(), Vec::new());
    for (binding, role) in bound {
        let words = format!("{} {}", role.kind, role.name);
        match rules(&space, &role).await {
            Ok(Some(rules)) if rules.iter().any(is_of_pods) => {
                given.extend(rules);
                by.push(words);
            }
            Ok(Some(_)) => {}
            Ok(None) => wrong.push(format!("there is no {words}, to which {binding} binds")),
            Err(Outcome(_, why)) => unread.push(why),
        }
    }
    if let_watch(&given) {
        return Rights::By(by);
    }
    if !by.is_empty() {
        wrong.push(format!("{} does not let them list and watch pods of {namespace}", by.join(" with ")));
    }
    if wrong.is_empty() {
        wrong.push(format!("namespace {namespace} has no RoleBinding for ServiceAccount {own}:{account}"));
    }
    let wrong = wrong.join("; ");
    if unread.is_empty() {
        Rights::Lacking(wrong)
    } else {
        Rights::Unread(format!("{wrong}, as far as could be read: {}", unread.join("; ")))
    }
}

/// Whether a subject is a ServiceAccount: by its name, as a user, or by a group that it is in.
fn names_account(subject: &Subject, namespace: &str, name: &str) -> bool {
    match &*subject.kind {
        "ServiceAccount" => subject.name == name && subject.namespace.as_deref() == Some(namespace),
        "User" => subject.name == format!("system:serviceaccount:{namespace}:{name}"),
        "Group" => {
            subject.name == "system:serviceaccounts"
                || subject.name == "system:authenticated"
                || subject.name == format!("system:serviceaccounts:{namespace}")
        }
        _ => false,
    }
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
    let of_pods = || rules.iter().filter(|rule| is_of_pods(rule));
    ["list", "watch"].iter().all(|verb| of_pods().any(|rule| has(&rule.verbs, verb)))
}

/// Whether a rule is about all pods.
fn is_of_pods(rule: &PolicyRule) -> bool {
    has(rule.api_groups.as_deref().unwrap_or_default(), "")
        && has(rule.resources.as_deref().unwrap_or_default(), "pods")
        && rule.resource_names.is_none()
}

fn has(list: &[String], word: &str) -> bool {
    list.iter().any(|one| one == word || one == "*")
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

    #[test]
    fn a_service_account_is_named_in_three_ways() {
        let subject = |kind: &str, name: &str, namespace: Option<&str>| Subject {
            kind: kind.into(),
            name: name.into(),
            namespace: namespace.map(str::to_owned),
            ..Subject::default()
        };
        let is_it = |kind, name, namespace| names_account(&subject(kind, name, namespace), "noetl", "a");
        assert!(is_it("ServiceAccount", "a", Some("noetl")));
        assert!(!is_it("ServiceAccount", "a", Some("other")) && !is_it("ServiceAccount", "b", Some("noetl")));
        assert!(is_it("User", "system:serviceaccount:noetl:a", None) && !is_it("User", "a", None));
        assert!(is_it("Group", "system:serviceaccounts:noetl", None));
        assert!(is_it("Group", "system:serviceaccounts", None) && !is_it("Group", "noetl", None));
    }
}
